//! Identify command (Base 2.3 clause 5.2.13) and the namespace lists it returns.
//!
//! CDW10: CNS 7:0, CNTID 31:16. CDW11: CNSSID 15:0, CSI 31:24. Every structure is 4096 bytes.

use super::bytes::{get32, need_mut, put32};
use super::codes::codes;
use super::error::{CodecError, Result};
use super::opcode::AdminOpcode;
use super::sqe::{NSID_ALL, Sqe};

pub use super::id_ctrl::IdentifyController;
pub use super::id_ns::{IdentifyNamespace, LbaFormat};
pub use super::ns_desc::{NsDescriptor, NsDescriptors};

/// Bytes of every Identify data structure.
pub const IDENTIFY_LEN: usize = 4096;
/// NSIDs in a namespace list.
pub const NS_LIST_MAX: usize = IDENTIFY_LEN / 4;

codes! {
    /// Controller or Namespace Structure: what an Identify command asks for.
    Cns: u8 {
        NAMESPACE = 0x00 => "Identify Namespace",
        CONTROLLER = 0x01 => "Identify Controller",
        ACTIVE_NAMESPACES = 0x02 => "Active Namespace ID list",
        NAMESPACE_DESCRIPTORS = 0x03 => "Namespace Identification Descriptor list",
        CSI_NAMESPACE = 0x05 => "I/O Command Set specific Identify Namespace",
        CSI_CONTROLLER = 0x06 => "I/O Command Set specific Identify Controller",
        CSI_ACTIVE_NAMESPACES = 0x07 => "I/O Command Set specific Active Namespace ID list",
        INDEPENDENT_NAMESPACE = 0x08 => "I/O Command Set Independent Identify Namespace",
        ALLOCATED_NAMESPACES = 0x10 => "Allocated Namespace ID list",
        ALLOCATED_NAMESPACE = 0x11 => "Identify Namespace of an allocated NSID",
        NAMESPACE_CONTROLLERS = 0x12 => "Controllers attached to a namespace",
        CONTROLLERS = 0x13 => "Controllers in the NVM subsystem",
        COMMAND_SETS = 0x1c => "Identify I/O Command Set",
    }
}

/// Identify command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Identify {
    /// What is asked for.
    pub cns: Cns,
    /// Namespace, or for lists: only NSIDs greater than this.
    pub nsid: u32,
    /// CNTID, for lists of controllers: only identifiers from this one on.
    pub cntid: u16,
    /// I/O Command Set, where `cns` takes one; 0 is NVM.
    pub csi: u8,
}

impl Identify {
    /// The plain form.
    pub const fn new(cns: Cns, nsid: u32) -> Self {
        Self {
            cns,
            nsid,
            cntid: 0,
            csi: 0,
        }
    }

    /// Reads a command.
    pub fn parse(sqe: &Sqe) -> Result<Self> {
        if sqe.opcode() != AdminOpcode::IDENTIFY.0 {
            return Err(CodecError::BadValue {
                field: "OPC",
                value: u64::from(sqe.opcode()),
            });
        }
        Ok(Self {
            cns: Cns(sqe.cdw10() as u8),
            nsid: sqe.nsid(),
            cntid: (sqe.cdw10() >> 16) as u16,
            csi: (sqe.cdw11() >> 24) as u8,
        })
    }

    /// The command, for 4096 bytes by the transport.
    pub fn to_sqe(&self) -> Sqe {
        let mut sqe = Sqe::new(AdminOpcode::IDENTIFY.0);
        sqe.set_nsid(self.nsid);
        sqe.set_cdw10(u32::from(self.cns.0) | u32::from(self.cntid) << 16);
        sqe.set_cdw11(u32::from(self.csi) << 24);
        sqe.set_transport(IDENTIFY_LEN as u32);
        sqe
    }
}

/// A namespace list: up to 1024 NSIDs, ascending, ended by a zero or by the end of the list
/// (clause 4.6.2). Also the Changed Attached Namespace List log (there FFFFFFFFh alone means "too
/// many to list").
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NsList<'a> {
    /// Whole entries in use.
    entries: &'a [u8],
}

impl<'a> NsList<'a> {
    /// Reads up to 4096 bytes. NSIDs that do not ascend are `BadValue`: a host that walks the
    /// lists by "greater than the last one" would not come to an end.
    pub fn parse(buf: &'a [u8]) -> Result<Self> {
        if !buf.len().is_multiple_of(4) {
            let need = buf.len().next_multiple_of(4);
            return Err(CodecError::Truncated {
                need,
                got: buf.len(),
            });
        }
        let buf = &buf[..buf.len().min(IDENTIFY_LEN)];
        let mut last = 0;
        for at in (0..buf.len()).step_by(4) {
            let nsid = get32(buf, at);
            if nsid == 0 {
                return Ok(Self {
                    entries: &buf[..at],
                });
            }
            if nsid <= last {
                return Err(CodecError::BadValue {
                    field: "NSID list",
                    value: u64::from(nsid),
                });
            }
            last = nsid;
        }
        Ok(Self { entries: buf })
    }

    /// The NSIDs.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = u32> + use<'a> {
        self.entries.chunks_exact(4).map(|entry| get32(entry, 0))
    }

    /// Number of NSIDs.
    pub const fn len(&self) -> usize {
        self.entries.len() / 4
    }

    /// No NSID.
    pub const fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// All 1024 entries are in use: ask again for NSIDs greater than the last one.
    pub const fn is_full(&self) -> bool {
        self.len() == NS_LIST_MAX
    }

    /// The changed list has overflowed: take every namespace as changed.
    pub fn is_overflow(&self) -> bool {
        self.len() == 1 && get32(self.entries, 0) == NSID_ALL
    }
}

/// Writes a namespace list of 4096 bytes and returns how many NSIDs it took: at most 1024, which
/// leaves the rest of `nsids` for the next command. The caller gives them ascending.
pub fn emit_ns_list(buf: &mut [u8], nsids: impl IntoIterator<Item = u32>) -> Result<usize> {
    let b = need_mut::<IDENTIFY_LEN>(buf)?;
    let mut count = 0;
    for nsid in nsids.into_iter().take(NS_LIST_MAX) {
        put32(b, 4 * count, nsid);
        count += 1;
    }
    Ok(count)
}

/// A fixed ASCII field such as SN: cut to `N` bytes, padded with spaces, other characters as `?`.
pub fn ascii_field<const N: usize>(text: &str) -> [u8; N] {
    let mut field = [b' '; N];
    for (to, from) in field.iter_mut().zip(text.chars()) {
        *to = if matches!(from, ' '..='~') {
            from as u8
        } else {
            b'?'
        };
    }
    field
}

/// The text of a fixed ASCII field without its padding; empty where it is not ASCII.
pub fn ascii_text(field: &[u8]) -> &str {
    match core::str::from_utf8(field) {
        Ok(text) if text.is_ascii() => text.trim_matches(|c: char| c == ' ' || c == '\0'),
        _ => "",
    }
}
