//! What the initiator half says of requests and logical units, in the words that all protocols share.

use super::access::AccessState;
use super::identity::Identity;
use super::outcome::Outcome;
use super::scsi_outcome::{Action, Triple, from_scsi};
use super::unit::{Hardware, Unit};
use crate::base::error::{ErrorKind, IoError};
use crate::proto::iscsi::initiator::{Completion, UnitInfo, scsi};

/// How a request ended, and what to do about it.
pub(super) fn outcome_of(c: &Completion) -> (Outcome, Action) {
    let fault = |raw| Outcome::PathFault {
        error: IoError::with_raw(ErrorKind::Device, raw),
    };
    // A service response instead of a status; data damaged on the way; less data than asked for.
    if c.response != 0 || c.damaged {
        return (fault(0x8000_0000 | u32::from(c.response)), Action::Nothing);
    }
    if c.status == 0 && c.short {
        return (fault(0x4000_0000), Action::Nothing);
    }
    let sense = scsi::parse_sense(c.sense()).map(|(k, a, q)| Triple::new(k, a, q));
    from_scsi(c.status, sense)
}

/// A logical unit in the words that all protocols share.
pub(super) fn unit(u: &UnitInfo) -> Unit {
    let bytes = |blocks: u64| {
        let n = blocks.saturating_mul(u64::from(u.block_size));
        u32::try_from(n).unwrap_or(u32::MAX)
    };
    // 0 means "no limit reported".
    let max_transfer = match u.limits.transfer {
        0 => u32::MAX,
        n => bytes(u64::from(n)),
    };
    // Longer requests are split at the transfer limit alone, so a command with a lower limit of its
    // own is not offered.
    let reaches = |limit: u64| {
        limit == 0 || bytes(limit) >= max_transfer.min(REQUEST_BLOCKS_MAX * u.block_size.max(1))
    };
    Unit {
        nsid: u.lun,
        identity: Identity {
            uuid: u.designators.uuid,
            nguid: u.designators.nguid,
            eui64: u.designators.eui64,
            naa: u.designators.naa.clone(),
        },
        block_size: u.block_size,
        blocks: u.blocks,
        max_transfer,
        volatile_cache: u.write_cache,
        discard: u.unmap && reaches(u64::from(u.limits.unmap)),
        write_zeroes: u.write_same && reaches(u.limits.write_same),
        // VERIFY with data is not offered by targets in a way that can be asked for.
        compare: false,
        compare_and_write: u.limits.compare_and_write > 0,
        group: u32::from(u.group),
        access: if u.tpgs == 0 {
            AccessState::Optimized
        } else if u.overdue {
            // It promised to be through by now.
            AccessState::Unavailable
        } else {
            AccessState::from_alua(u.state).unwrap_or(AccessState::Unavailable)
        },
        access_raw: u.state,
        asymmetric: u.tpgs != 0,
        hardware: Hardware {
            vendor: u.vendor.clone(),
            product: u.product.clone(),
            revision: u.revision.clone(),
        },
    }
}

/// Blocks of one command at most, whatever the target allows (`lun` splits there).
const REQUEST_BLOCKS_MAX: u32 = 65_536;
