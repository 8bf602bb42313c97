//! REPORT and SET TARGET PORT GROUPS parameter data (SPC-4, 6.37 and 6.45).

use super::bytes::{byte, get16, get32, put32};
use super::sense::{Sense, asc};

/// Asymmetric access states (SPC-4, 5.15.2.4).
#[derive(Copy, Clone, PartialEq, Eq, Debug, Hash)]
#[repr(u8)]
pub enum GroupState {
    Optimized = 0,
    NonOptimized = 1,
    Standby = 2,
    Unavailable = 3,
    LbaDependent = 4,
    Offline = 0xe,
    Transitioning = 0xf,
}

impl GroupState {
    pub const fn from_bits(b: u8) -> Option<Self> {
        Some(match b & 0x0f {
            0 => Self::Optimized,
            1 => Self::NonOptimized,
            2 => Self::Standby,
            3 => Self::Unavailable,
            4 => Self::LbaDependent,
            0xe => Self::Offline,
            0xf => Self::Transitioning,
            _ => return None,
        })
    }
}

/// A target port group.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PortGroup {
    pub group: u16,
    /// Raw, four bits; see [`GroupState`].
    pub state: u8,
    pub preferred: bool,
    /// States it can have, as the byte of the descriptor: bit 0 active/optimized, 1
    /// active/non-optimized, 2 standby, 3 unavailable, 4 LBA dependent, 6 offline, 7 transitioning.
    pub supported: u8,
    /// 0 none, 1 changed by SET TARGET PORT GROUPS, 2 by the device itself.
    pub status: u8,
    /// Relative target port identifiers.
    pub ports: Vec<u16>,
}

/// Writes the data of REPORT TARGET PORT GROUPS; `transition_time` in seconds goes into the
/// extended header when that is asked for.
pub fn put_target_port_groups(
    groups: &[PortGroup],
    extended: bool,
    transition_time: u8,
    out: &mut Vec<u8>,
) {
    let start = out.len();
    out.extend_from_slice(&[0; 4]);
    if extended {
        out.extend_from_slice(&[0x10, transition_time, 0, 0]);
    }
    for g in groups {
        let [hi, lo] = g.group.to_be_bytes();
        let ports = g.ports.len().min(255);
        out.extend_from_slice(&[
            u8::from(g.preferred) << 7 | g.state & 0x0f,
            g.supported,
            hi,
            lo,
            0,
            g.status,
            0,
            ports as u8,
        ]);
        for p in &g.ports[..ports] {
            out.extend_from_slice(&u32::from(*p).to_be_bytes());
        }
    }
    let len = (out.len() - start - 4) as u32;
    put32(&mut out[start..], 0, len);
}

/// Reads the data of REPORT TARGET PORT GROUPS in either form: the groups and the implicit
/// transition time in seconds (0: not said).
pub fn read_target_port_groups(b: &[u8]) -> (Vec<PortGroup>, u8) {
    let end = (4 + get32(b, 0) as usize).min(b.len());
    let mut rest = b.get(4..end).unwrap_or(&[]);
    let mut time = 0;
    // RETURN DATA FORMAT 001b marks the extended header.
    if byte(rest, 0) >> 4 & 7 == 1 {
        time = byte(rest, 1);
        rest = rest.get(4..).unwrap_or(&[]);
    }
    let mut groups = Vec::new();
    while let Some(head) = rest.get(..8) {
        let count = usize::from(head[7]);
        // Linux does not count the extended header in its length and so cuts off the last port
        // of the last group; the group's state is there all the same.
        let end = (8 + 4 * count).min(rest.len());
        let ports = &rest[8..end];
        groups.push(PortGroup {
            group: get16(head, 2),
            state: head[0] & 0x0f,
            preferred: head[0] & 0x80 != 0,
            supported: head[1],
            status: head[5],
            ports: ports.chunks_exact(4).map(|p| get16(p, 2)).collect(),
        });
        rest = &rest[end..];
    }
    (groups, time)
}

/// Reads the parameter list of SET TARGET PORT GROUPS: group and wanted state, raw.
pub fn read_set_target_port_groups(b: &[u8]) -> Result<Vec<(u16, u8)>, Sense> {
    if b.len() < 4 || !(b.len() - 4).is_multiple_of(4) {
        return Err(Sense::illegal(asc::PARAMETER_LIST_LENGTH));
    }
    Ok(b[4..]
        .chunks_exact(4)
        .map(|d| (get16(d, 2), d[0] & 0x0f))
        .collect())
}
