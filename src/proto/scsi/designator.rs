//! Designators of the device identification page (SPC-4, 7.8.6; UUID: SPC-5).

use super::bytes::get16;
use super::vpd::page_body;

/// What a designator is of.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum Association {
    LogicalUnit = 0,
    TargetPort = 1,
    TargetDevice = 2,
}

/// Types of designators.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum DesignatorKind {
    T10Vendor = 1,
    Eui64 = 2,
    Naa = 3,
    RelativePort = 4,
    PortGroup = 5,
    ScsiName = 8,
    Uuid = 0xa,
}

/// iSCSI's protocol identifier (SPC-4, table 477).
const ISCSI: u8 = 5;

/// Appends one designator.
///
/// # Panics
/// It has more than 255 bytes.
pub fn put_designator(out: &mut Vec<u8>, of: Association, kind: DesignatorKind, id: &[u8]) {
    // Code set 1 is binary, 2 ASCII, 3 UTF-8.
    let code = match kind {
        DesignatorKind::T10Vendor => 2,
        DesignatorKind::ScsiName => 3,
        _ => 1,
    };
    // PIV: only port and device designators belong to a protocol.
    let (protocol, piv) = match of {
        Association::LogicalUnit => (0, 0),
        _ => (ISCSI << 4, 0x80),
    };
    let uuid = kind == DesignatorKind::Uuid;
    // A SCSI name is zero terminated and padded to a multiple of four.
    let name_pad = match kind {
        DesignatorKind::ScsiName => 4 - id.len() % 4,
        _ => 0,
    };
    let len = id.len() + name_pad + if uuid { 2 } else { 0 };
    let len = u8::try_from(len).expect("a designator has 255 bytes at most");
    out.extend_from_slice(&[protocol | code, piv | (of as u8) << 4 | kind as u8, 0, len]);
    if uuid {
        // UUID type 1: an RFC 4122 UUID.
        out.extend_from_slice(&[0x10, 0]);
    }
    out.extend_from_slice(id);
    out.resize(out.len() + name_pad, 0);
}

/// What the device identification page says of a unit and of the port it was asked through. Of
/// several designators of one kind the first counts.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Designators {
    pub uuid: Option<[u8; 16]>,
    pub eui64: Option<[u8; 8]>,
    /// The 16-byte form of type 2: an NGUID.
    pub nguid: Option<[u8; 16]>,
    /// 8 or 16 bytes.
    pub naa: Option<Vec<u8>>,
    pub t10: Option<Vec<u8>>,
    pub relative_port: Option<u16>,
    pub port_group: Option<u16>,
}

impl Designators {
    /// Reads VPD page 83h; none when it is another page.
    pub fn parse(page: &[u8]) -> Option<Self> {
        let mut out = Self::default();
        let mut rest = page_body(page, 0x83)?;
        while rest.len() >= 4 {
            let (of, kind) = (rest[1] >> 4 & 3, rest[1] & 0x0f);
            let len = usize::from(rest[3]);
            let Some(id) = rest.get(4..4 + len) else {
                break;
            };
            match (of, kind, len) {
                (0, 1, _) if out.t10.is_none() => out.t10 = Some(id.to_vec()),
                (0, 2, 8) if out.eui64.is_none() => out.eui64 = id.try_into().ok(),
                (0, 2, 16) if out.nguid.is_none() => out.nguid = id.try_into().ok(),
                (0, 3, 8 | 16) if out.naa.is_none() => out.naa = Some(id.to_vec()),
                (0, 0xa, 18) if out.uuid.is_none() && id[0] >> 4 == 1 => {
                    out.uuid = id[2..].try_into().ok();
                }
                (1, 4, 4) => out.relative_port = out.relative_port.or(Some(get16(id, 2))),
                (1, 5, 4) => out.port_group = out.port_group.or(Some(get16(id, 2))),
                _ => {}
            }
            rest = &rest[4 + len..];
        }
        Some(out)
    }
}
