//! The SCSI side of a session: commands as umpio sends them, and what is read out of the answers.

use crate::base::request::{Op, Request};

/// A command descriptor block of at most 16 bytes, zero filled.
pub type Cdb = [u8; 16];

/// READ(16), WRITE(16) and their kin (SBC, 5). `fua`: not honoured by VERIFY.
#[inline]
pub fn io_cdb(r: &Request) -> Cdb {
    let mut c = [0; 16];
    let fua = if r.fua { 0x08 } else { 0 };
    match r.op {
        Op::Read => {
            c[0] = 0x88;
            c[1] = fua;
        }
        Op::Write => {
            c[0] = 0x8a;
            c[1] = fua;
        }
        // SYNCHRONIZE CACHE(16) of everything: LBA and count 0.
        Op::Flush => {
            c[0] = 0x91;
            return c;
        }
        Op::WriteZeroes => c[0] = 0x93,
        Op::Discard => {
            c[0] = 0x42;
            c[7..9].copy_from_slice(&24_u16.to_be_bytes());
            return c;
        }
        // VERIFY(16), BYTCHK 01b: compare with the data sent.
        Op::Compare => {
            c[0] = 0x8f;
            c[1] = 0x02;
        }
        Op::CompareAndWrite => {
            c[0] = 0x89;
            c[1] = fua;
            c[2..10].copy_from_slice(&r.lba.to_be_bytes());
            c[13] = r.blocks as u8;
            return c;
        }
    }
    c[2..10].copy_from_slice(&r.lba.to_be_bytes());
    c[10..14].copy_from_slice(&r.blocks.to_be_bytes());
    c
}

/// The eight bytes of a logical unit number: peripheral addressing below 256, flat above (SAM, 4.7).
pub fn lun_bytes(lun: u32) -> u64 {
    if lun < 256 {
        u64::from(lun) << 48
    } else {
        (0x4000 | u64::from(lun & 0x3fff)) << 48
    }
}

/// The number in eight bytes of REPORT LUNS, when it is of the kinds above.
fn lun_number(b: &[u8]) -> Option<u32> {
    match b[0] >> 6 {
        0 if b[0] == 0 => Some(u32::from(b[1])),
        1 => Some(u32::from(u16::from_be_bytes([b[0], b[1]]) & 0x3fff)),
        _ => None,
    }
}

pub fn report_luns(room: u32) -> Cdb {
    let mut c = [0; 16];
    c[0] = 0xa0;
    c[6..10].copy_from_slice(&room.to_be_bytes());
    c
}

/// Logical unit numbers of a REPORT LUNS answer, sorted, the first `max` of them.
pub fn parse_luns(data: &[u8], max: usize) -> Vec<u32> {
    let Some(list) = data.get(8..) else {
        return Vec::new();
    };
    let len = u32::from_be_bytes([data[0], data[1], data[2], data[3]]) as usize;
    let list = &list[..len.min(list.len())];
    let mut luns: Vec<u32> = list.chunks_exact(8).filter_map(lun_number).collect();
    luns.sort_unstable();
    luns.dedup();
    luns.truncate(max);
    luns
}

pub fn inquiry(page: Option<u8>, room: u16) -> Cdb {
    let mut c = [0; 16];
    c[0] = 0x12;
    if let Some(p) = page {
        c[1] = 1;
        c[2] = p;
    }
    c[3..5].copy_from_slice(&room.to_be_bytes());
    c
}

/// What standard INQUIRY data say (SPC, 6.6.2).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Inquiry {
    /// Peripheral qualifier and device type.
    pub qualifier: u8,
    pub device_type: u8,
    /// Target port group support: 1 implicit, 2 explicit.
    pub tpgs: u8,
    pub vendor: String,
    pub product: String,
    pub revision: String,
}

pub fn parse_inquiry(d: &[u8]) -> Option<Inquiry> {
    if d.len() < 36 {
        return None;
    }
    let text = |b: &[u8]| String::from_utf8_lossy(b).trim().to_owned();
    Some(Inquiry {
        qualifier: d[0] >> 5,
        device_type: d[0] & 0x1f,
        tpgs: d[5] >> 4 & 3,
        vendor: text(&d[8..16]),
        product: text(&d[16..32]),
        revision: text(&d[32..36]),
    })
}

/// A vital product data page without its header, when it is the page asked for.
fn page(d: &[u8], code: u8) -> Option<&[u8]> {
    if d.len() < 4 || d[1] != code {
        return None;
    }
    let n = usize::from(u16::from_be_bytes([d[2], d[3]]));
    Some(&d[4..(4 + n).min(d.len())])
}

/// Page codes of VPD page 00h.
pub fn parse_pages(d: &[u8]) -> Vec<u8> {
    page(d, 0).map(<[u8]>::to_vec).unwrap_or_default()
}

/// What VPD page 83h says of a logical unit and of the port it was asked through.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Designators {
    pub uuid: Option<[u8; 16]>,
    pub eui64: Option<[u8; 8]>,
    /// The 16-byte form of an EUI-64 designator: an NGUID.
    pub nguid: Option<[u8; 16]>,
    pub naa: Option<Vec<u8>>,
    pub relative_port: Option<u16>,
    pub target_port_group: Option<u16>,
}

/// Reads VPD page 83h (SPC, 7.7.6). Of several designators of a kind the first counts.
pub fn parse_designators(d: &[u8]) -> Designators {
    let mut out = Designators::default();
    let mut rest = page(d, 0x83).unwrap_or(&[]);
    while rest.len() >= 4 {
        let (association, kind) = (rest[1] >> 4 & 3, rest[1] & 0x0f);
        let n = usize::from(rest[3]);
        let Some(id) = rest.get(4..4 + n) else { break };
        match (association, kind, n) {
            (0, 2, 8) if out.eui64.is_none() => out.eui64 = id.try_into().ok(),
            (0, 2, 16) if out.nguid.is_none() => out.nguid = id.try_into().ok(),
            (0, 3, 8 | 16) if out.naa.is_none() => out.naa = Some(id.to_vec()),
            // Two bytes before the UUID: its type (1h: RFC 4122), and one reserved.
            (0, 0xa, 18) if out.uuid.is_none() && id[0] >> 4 == 1 => {
                out.uuid = id[2..].try_into().ok();
            }
            (1, 4, 4) => out.relative_port = Some(u16::from_be_bytes([id[2], id[3]])),
            (1, 5, 4) => out.target_port_group = Some(u16::from_be_bytes([id[2], id[3]])),
            _ => {}
        }
        rest = &rest[4 + n..];
    }
    out
}

/// The serial number of VPD page 80h, without blanks around it. Shown, never compared.
pub fn parse_serial(d: &[u8]) -> String {
    let text = page(d, 0x80).unwrap_or(&[]);
    String::from_utf8_lossy(text).trim().to_owned()
}

/// VPD page B0h (SBC, 6.6.4); blocks, 0 where the target names none.
#[derive(Copy, Clone, PartialEq, Eq, Default, Debug)]
pub struct BlockLimits {
    pub compare_and_write: u8,
    pub transfer: u32,
    pub unmap: u32,
    pub unmap_descriptors: u32,
    pub write_same: u64,
}

pub fn parse_limits(d: &[u8]) -> BlockLimits {
    let Some(p) = page(d, 0xb0) else {
        return BlockLimits::default();
    };
    // Offsets of the standard count from the page's header.
    let u32_at = |at: usize| {
        p.get(at - 4..at)
            .map_or(0, |b| u32::from_be_bytes([b[0], b[1], b[2], b[3]]))
    };
    BlockLimits {
        compare_and_write: p.get(1).copied().unwrap_or(0),
        transfer: u32_at(8),
        unmap: u32_at(20),
        unmap_descriptors: u32_at(24),
        write_same: u64::from(u32_at(36)) << 32 | u64::from(u32_at(40)),
    }
}

/// VPD page B2h: whether UNMAP, and WRITE SAME(16) with UNMAP, are there.
pub fn parse_provisioning(d: &[u8]) -> (bool, bool) {
    let flags = page(d, 0xb2).and_then(|p| p.get(1)).copied().unwrap_or(0);
    (flags & 0x80 != 0, flags & 0x40 != 0)
}

pub fn read_capacity() -> Cdb {
    let mut c = [0; 16];
    c[0] = 0x9e;
    c[1] = 0x10;
    c[13] = 32;
    c
}

/// Blocks and bytes in a block.
pub fn parse_capacity(d: &[u8]) -> Option<(u64, u32)> {
    let last = u64::from_be_bytes(d.get(..8)?.try_into().ok()?);
    let size = u32::from_be_bytes(d.get(8..12)?.try_into().ok()?);
    Some((last.checked_add(1)?, size))
}

/// MODE SENSE(6) of the caching page without block descriptors.
pub fn mode_sense_caching() -> Cdb {
    let mut c = [0; 16];
    c[0] = 0x1a;
    c[1] = 0x08;
    c[2] = 0x08;
    c[4] = 0xff;
    c
}

/// Write cache enabled, and DPO/FUA honoured.
pub fn parse_caching(d: &[u8]) -> (bool, bool) {
    let (Some(device), Some(skip)) = (d.get(2), d.get(3)) else {
        return (false, false);
    };
    let page = d.get(4 + usize::from(*skip)..).unwrap_or(&[]);
    let wce = page.len() > 2 && page[0] & 0x3f == 0x08 && page[2] & 0x04 != 0;
    (wce, device & 0x10 != 0)
}

/// REPORT TARGET PORT GROUPS (SPC-4, 6.37), with the length-only header or the extended one, which has
/// the implicit transition time.
pub fn report_target_port_groups(extended: bool, room: u32) -> Cdb {
    let mut c = [0; 16];
    c[0] = 0xa3;
    c[1] = if extended { 0x2a } else { 0x0a };
    c[6..10].copy_from_slice(&room.to_be_bytes());
    c
}

/// SET TARGET PORT GROUPS (SPC, 6.45) with that many bytes of parameters.
pub fn set_target_port_groups(bytes: u32) -> Cdb {
    let mut c = [0; 16];
    c[0] = 0xa4;
    c[1] = 0x0a;
    c[6..10].copy_from_slice(&bytes.to_be_bytes());
    c
}

/// Its parameters: these groups to active/optimized.
pub fn groups_to_optimize(groups: &[u16]) -> Vec<u8> {
    let mut out = vec![0; 4];
    for g in groups {
        let [high, low] = g.to_be_bytes();
        // Asymmetric access state 0h.
        out.extend_from_slice(&[0, 0, high, low]);
    }
    out
}

/// Sense key, ASC and ASCQ of fixed or descriptor sense data, current or deferred (SPC, 4.4).
pub fn parse_sense(d: &[u8]) -> Option<(u8, u8, u8)> {
    match d.first()? & 0x7f {
        0x70 | 0x71 => Some((
            d.get(2)? & 0x0f,
            d.get(12).copied().unwrap_or(0),
            d.get(13).copied().unwrap_or(0),
        )),
        0x72 | 0x73 => Some((d.get(1)? & 0x0f, *d.get(2)?, *d.get(3)?)),
        _ => None,
    }
}
