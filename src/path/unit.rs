//! A logical unit as one association sees it.

use super::access::AccessState;
use super::identity::Identity;

/// What one association reports of one namespace or logical unit.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Unit {
    /// NVMe: the namespace id. Local: 1.
    pub nsid: u32,
    pub identity: Identity,
    /// Bytes in a logical block; 0 while the target does not tell (a SCSI path at rest).
    pub block_size: u32,
    pub blocks: u64,
    /// Bytes in one command at most; `u32::MAX` when there is no limit.
    pub max_transfer: u32,
    pub volatile_cache: bool,
    pub discard: bool,
    pub write_zeroes: bool,
    pub compare: bool,
    pub compare_and_write: bool,
    /// ANA group, or 0 where the target has none.
    pub group: u32,
    pub access: AccessState,
    /// The access state as the target wrote it.
    pub access_raw: u8,
    /// The target reports access states at all.
    pub asymmetric: bool,
    pub hardware: Hardware,
}

/// What a target says that it is. Empty where it does not say.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Hardware {
    /// INQUIRY's vendor; "NVMe" for a namespace.
    pub vendor: String,
    /// INQUIRY's product; the model of an NVMe controller.
    pub product: String,
    pub revision: String,
}

impl Unit {
    /// The target has told how large it is.
    pub fn size_known(&self) -> bool {
        self.block_size != 0
    }

    /// The access state as far as I/O is concerned: none goes to a unit of unknown size, whatever
    /// its state, until the size has been read.
    pub fn carrying_access(&self) -> AccessState {
        if self.access.usable_now() && !self.size_known() {
            AccessState::Transitioning
        } else {
            self.access
        }
    }
}
