//! Mode parameters (SPC-4, 7.5; SBC-3, 6.4): caching, control, control extension, and for
//! Windows informational exceptions and power condition, each with all that can be said of a
//! device that never changes.

use super::bytes::{byte, get16, put16};
use super::sense::{Sense, asc};

/// What the mode pages of a unit say.
#[derive(Copy, Clone, PartialEq, Eq, Debug, Default)]
pub struct ModePages {
    pub write_cache: bool,
    pub read_only: bool,
    /// Sense data in descriptor format (D_SENSE).
    pub descriptor_sense: bool,
    pub blocks: u64,
    pub block_size: u32,
}

/// Page and subpage codes, in the order in which all of them are returned.
const PAGES: [(u8, u8); 5] = [(0x08, 0), (0x0a, 0), (0x0a, 1), (0x1a, 0), (0x1c, 0)];

fn page(m: &ModePages, code: (u8, u8), changeable: bool, out: &mut Vec<u8>) {
    let start = out.len();
    match code {
        (0x08, _) => {
            out.extend_from_slice(&[0x08, 18]);
            out.resize(start + 20, 0);
            // WCE follows the backing; nobody changes it from here.
            out[start + 2] = u8::from(m.write_cache && !changeable) << 2;
        }
        (0x0a, 0) => {
            out.extend_from_slice(&[0x0a, 10]);
            out.resize(start + 12, 0);
            if changeable {
                out[start + 2] = 0x04;
            } else {
                // D_SENSE; queue algorithm modifier 1: order is not restricted; SWP.
                out[start + 2] = u8::from(m.descriptor_sense) << 2;
                out[start + 3] = 0x10;
                out[start + 4] = u8::from(m.read_only) << 3;
                // Busy timeout period: unlimited.
                put16(out, start + 8, 0xffff);
            }
        }
        (0x0a, _) => {
            out.extend_from_slice(&[0x4a, 0x01, 0, 0x1c]);
            out.resize(start + 32, 0);
        }
        (0x1a, _) => {
            out.extend_from_slice(&[0x1a, 38]);
            out.resize(start + 40, 0);
        }
        _ => {
            out.extend_from_slice(&[0x1c, 10]);
            out.resize(start + 12, 0);
            if !changeable {
                // DEXCPT: no informational exceptions.
                out[start + 2] = 0x08;
            }
        }
    }
}

/// The data of MODE SENSE(6) or (10).
#[allow(clippy::too_many_arguments, clippy::fn_params_excessive_bools)]
pub fn mode_sense(
    m: &ModePages,
    long: bool,
    no_descriptors: bool,
    control: u8,
    code: u8,
    subpage: u8,
    out: &mut Vec<u8>,
) -> Result<(), Sense> {
    if control == 3 {
        return Err(Sense::illegal(asc::SAVING_NOT_SUPPORTED));
    }
    let wanted = |(p, s): (u8, u8)| match (code, subpage) {
        (0x3f, 0) => s == 0,
        (0x3f, 0xff) => true,
        (0x3f, _) => false,
        (c, 0xff) => p == c,
        (c, sub) => p == c && s == sub,
    };
    if code == 0x3f && subpage != 0 && subpage != 0xff {
        return Err(Sense::cdb_field(3));
    }
    if !PAGES.iter().any(|c| wanted(*c)) {
        let known = PAGES.iter().any(|(p, _)| *p == code);
        return Err(if known {
            Sense::cdb_field(3)
        } else {
            Sense::cdb_bit(2, 5)
        });
    }
    let start = out.len();
    // DPOFUA: both are honoured. WP for a unit that cannot be written.
    let device = u8::from(m.read_only) << 7 | 0x10;
    let descriptor = if no_descriptors { 0 } else { 8 };
    if long {
        out.extend_from_slice(&[0, 0, 0, device, 0, 0, 0, descriptor]);
    } else {
        out.extend_from_slice(&[0, 0, device, descriptor]);
    }
    if !no_descriptors {
        // Short block descriptor for direct access devices.
        let blocks = u32::try_from(m.blocks).unwrap_or(u32::MAX);
        out.extend_from_slice(&blocks.to_be_bytes());
        out.extend_from_slice(&(m.block_size & 0x00ff_ffff).to_be_bytes());
    }
    for c in PAGES.into_iter().filter(|c| wanted(*c)) {
        page(m, c, control == 1, out);
    }
    let len = out.len() - start;
    if long {
        put16(out, start, (len - 2) as u16);
    } else {
        out[start] = (len - 1) as u8;
    }
    Ok(())
}

/// Reads the parameter list of MODE SELECT and changes what may be changed (D_SENSE); true when
/// something did. What would change anything else is refused, and nothing is changed then.
pub fn read_mode_select(b: &[u8], long: bool, m: &mut ModePages) -> Result<bool, Sense> {
    if b.is_empty() {
        return Ok(false);
    }
    let head = if long { 8 } else { 4 };
    if b.len() < head {
        return Err(Sense::illegal(asc::PARAMETER_LIST_LENGTH));
    }
    let descriptors = if long {
        usize::from(get16(b, 6))
    } else {
        usize::from(b[3])
    };
    let mut at = head + descriptors;
    if at > b.len() || (descriptors != 0 && descriptors != 8) {
        return Err(Sense::illegal(asc::PARAMETER_LIST_LENGTH));
    }
    let mut wanted = *m;
    while at < b.len() {
        let sub = b[at] & 0x40 != 0;
        let (code, len) = if sub {
            let len = 4 + usize::from(get16(b, at + 2));
            ((b[at] & 0x3f, byte(b, at + 1)), len)
        } else {
            ((b[at] & 0x3f, 0), 2 + usize::from(byte(b, at + 1)))
        };
        let Some(given) = b.get(at..at + len) else {
            return Err(Sense::illegal(asc::PARAMETER_LIST_LENGTH));
        };
        if !PAGES.contains(&code) {
            return Err(Sense::parameter(at as u16));
        }
        let (mut now, mut mask) = (Vec::new(), Vec::new());
        page(m, code, false, &mut now);
        page(m, code, true, &mut mask);
        if now.len() != len {
            return Err(Sense::parameter(at as u16 + 1));
        }
        let head = if sub { 4 } else { 2 };
        for i in head..len {
            if (given[i] ^ now[i]) & !mask[i] != 0 {
                return Err(Sense::parameter((at + i) as u16));
            }
        }
        if code == (0x0a, 0) {
            wanted.descriptor_sense = given[2] & 0x04 != 0;
        }
        at += len;
    }
    let changed = wanted != *m;
    *m = wanted;
    Ok(changed)
}

/// What a host wants of the caching page.
#[derive(Copy, Clone, PartialEq, Eq, Debug, Default)]
pub struct Caching {
    pub write_cache: bool,
    /// DPO and FUA are honoured.
    pub dpofua: bool,
    pub write_protected: bool,
}

/// Reads the caching page out of the data of MODE SENSE(6) or (10).
pub fn read_caching(b: &[u8], long: bool) -> Option<Caching> {
    let (device, skip) = if long {
        (*b.get(3)?, 8 + usize::from(get16(b, 6)))
    } else {
        (*b.get(2)?, 4 + usize::from(byte(b, 3)))
    };
    let page = b.get(skip..).unwrap_or(&[]);
    let here = page.len() > 2 && page[0] & 0x3f == 0x08;
    Some(Caching {
        write_cache: here && page[2] & 0x04 != 0,
        dpofua: device & 0x10 != 0,
        write_protected: device & 0x80 != 0,
    })
}
