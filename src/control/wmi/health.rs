//! MPIO_PATH_HEALTH_INFO, MPIO_DEVINSTANCE_HEALTH_INFO and MPIO_DISK_HEALTH_INFO.

use super::mpio::disk_name;
use super::{Result, filetime, find_lun};
use crate::control::layout::mpio::{MpioDiskHealth, MpioPathHealth};
use crate::control::layout::wmi_text;
use crate::control::view::{Counters, Surface};
use crate::path::state::State;

fn health(path_id: u64, offline: bool, c: &Counters) -> MpioPathHealth {
    MpioPathHealth {
        path_id,
        number_reads: c.reads,
        number_writes: c.writes,
        number_bytes_read: c.bytes_read,
        number_bytes_written: c.bytes_written,
        number_retries: c.retries,
        number_io_errors: c.errors,
        create_time: filetime(c.created_ns),
        fail_time: filetime(c.failed_ns),
        path_offline: u8::from(offline),
        // 64-bit counters do not wrap while anybody lives.
        outstanding_requests: u8::try_from(c.in_flight).unwrap_or(u8::MAX),
        ..MpioPathHealth::default()
    }
}

/// MPIO_PATH_HEALTH_INFO: every nexus, with what all LUNs have done over it.
pub fn path_health(surface: &dyn Surface) -> Vec<MpioPathHealth> {
    let view = surface.view();
    let all = view.nexuses.iter();
    all.map(|n| health(n.id, n.state != State::Up, &n.counters))
        .collect()
}

/// MPIO_DEVINSTANCE_HEALTH_INFO of a LUN: each of its paths. The class has padding where the other
/// has outstanding requests.
///
/// # Errors
/// No such instance.
pub fn device_health(surface: &dyn Surface, instance: &str) -> Result<Vec<MpioPathHealth>> {
    let view = surface.view();
    let paths = find_lun(&view, instance)?.paths.iter();
    let all = paths.map(|p| MpioPathHealth {
        outstanding_requests: 0,
        ..health(p.nexus_id, p.failed, &p.counters)
    });
    Ok(all.collect())
}

/// MPIO_DISK_HEALTH_INFO: every LUN.
pub fn disk_health(surface: &dyn Surface) -> Vec<MpioDiskHealth> {
    let view = surface.view();
    let disk = |l: &crate::control::view::LunView| MpioDiskHealth {
        name: wmi_text(&disk_name(l)),
        number_reads: l.counters.reads,
        number_writes: l.counters.writes,
        number_bytes_read: l.counters.bytes_read,
        number_bytes_written: l.counters.bytes_written,
        number_retries: l.counters.retries,
        number_io_errors: l.counters.errors,
        create_time: filetime(l.counters.created_ns),
        path_failures: l.counters.path_failures,
        fail_time: filetime(l.counters.failed_ns),
        device_offline: u8::from(l.paths.iter().all(|p| p.failed)),
        ..MpioDiskHealth::default()
    };
    view.luns.iter().map(disk).collect()
}
