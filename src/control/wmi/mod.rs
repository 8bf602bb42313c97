//! The WMI classes of MPIO and of its DSM (root\WMI): policies of LUNs, disks, paths, health, timers.
//! Knows nothing of JSON; every class can be had as values, and as the exact bytes of the block.
//!
//! - [`class`]: GUIDs, instances, and the dispatch by them, for callers that hold raw buffers
//! - [`policy`]: DSM_QueryLBPolicy(_V2), DSM_QuerySupportedLBPolicies(_V2), DSM_QueryUniqueId
//! - [`operations`]: DSM_LB_Operations, the two set methods
//! - [`defaults`]: MSDSM_*: policies of the whole DSM and of one vendor and product
//! - [`mpio`]: MPIO_DISK_INFO, MPIO_GET_DESCRIPTOR, MPIO_PATH_INFORMATION, MPIO_REGISTERED_DSM
//! - [`health`]: MPIO_PATH_HEALTH_INFO and its kin
//! - [`timers`]: MPIO_TIMERS_COUNTERS, MPIO_WMI_METHODS.SetDSMCounters and the clearing of counters
//!
//! A method answers with an NTSTATUS, which for the set methods stands in their OUT structure as well.

pub mod class;
pub mod defaults;
pub mod health;
pub mod mpio;
pub mod operations;
pub mod policy;
#[cfg(test)]
mod tests;
pub mod timers;

use crate::control::view::{ChangeError, LunView, View, ids};
use crate::lun::policy::NtStatus;

/// DSM name of every LUN here, as mpclaim and MPIO_DRIVE_INFO show it.
pub const DSM_NAME: &str = "umpio DSM";

/// What a method gives.
pub type Result<T> = std::result::Result<T, NtStatus>;

/// STATUS_DEVICE_BUSY: another change of the LUN is under way.
pub const DEVICE_BUSY: NtStatus = NtStatus(0x8000_0011);
/// STATUS_IO_TIMEOUT: not in time; it may still happen.
pub const IO_TIMEOUT: NtStatus = NtStatus(0xC000_00B5);
/// STATUS_DELETE_PENDING: the daemon is stopping.
pub const DELETE_PENDING: NtStatus = NtStatus(0xC000_0056);
/// STATUS_UNSUCCESSFUL: it was tried.
pub const UNSUCCESSFUL: NtStatus = NtStatus(0xC000_0001);

/// Name of a status, ours included.
pub const fn status_name(status: NtStatus) -> &'static str {
    match status {
        DEVICE_BUSY => "STATUS_DEVICE_BUSY",
        IO_TIMEOUT => "STATUS_IO_TIMEOUT",
        DELETE_PENDING => "STATUS_DELETE_PENDING",
        UNSUCCESSFUL => "STATUS_UNSUCCESSFUL",
        other => other.name(),
    }
}

/// What became of a change, as an NTSTATUS.
pub const fn status_of(error: &ChangeError) -> NtStatus {
    match error {
        ChangeError::Busy(_) => DEVICE_BUSY,
        ChangeError::Gone => NtStatus::WMI_INSTANCE_NOT_FOUND,
        ChangeError::NotSupported(_) => NtStatus::NOT_SUPPORTED,
        ChangeError::Invalid(_) => NtStatus::INVALID_PARAMETER,
        ChangeError::Failed(_) => UNSUCCESSFUL,
        ChangeError::Timeout(_) => IO_TIMEOUT,
        ChangeError::Stopping => DELETE_PENDING,
    }
}

/// The LUN of an InstanceName; its configured name, its GUID or "MPIO DiskN" will do as well.
///
/// # Errors
/// `STATUS_WMI_INSTANCE_NOT_FOUND`.
pub fn find_lun<'v>(view: &'v View, instance: &str) -> Result<&'v LunView> {
    let by_instance = || {
        let of = |l: &&LunView| ids::lun_instance(l).eq_ignore_ascii_case(instance);
        view.luns.iter().find(of)
    };
    let by_guid = || view.lun_by_guid(uuid::Uuid::try_parse(instance).ok()?);
    let by_disk = || {
        let number = instance.strip_prefix("MPIO Disk")?.parse().ok()?;
        view.lun_by_number(number)
    };
    view.lun(instance)
        .or_else(by_instance)
        .or_else(by_guid)
        .or_else(by_disk)
        .ok_or(NtStatus::WMI_INSTANCE_NOT_FOUND)
}

/// Nanoseconds since 1970 as a FILETIME: 100 ns since 1601. 0 stays 0, "never".
pub const fn filetime(ns: u64) -> u64 {
    /// Between 1601 and 1970, in 100 ns.
    const EPOCHS_APART: u64 = 116_444_736_000_000_000;
    if ns == 0 { 0 } else { ns / 100 + EPOCHS_APART }
}
