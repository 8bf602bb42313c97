//! MPIO_TIMERS_COUNTERS, and the methods of MPIO_WMI_METHODS and MPIO_DISK_WMI_METHODS: SetDSMCounters
//! and the clearing of health counters.

use super::mpio::counters;
use super::{Result, find_lun, status_of};
use crate::control::layout::Field;
use crate::control::layout::buffer::read;
use crate::control::layout::mpio::{DsmCounters, MpioTimersCounters, SetDsmCountersIn};
use crate::control::view::{CounterScope, MpioTimers, Surface, ids};
use crate::lun::policy::NtStatus;

/// MPIO_TIMERS_COUNTERS.
pub fn timers_counters(surface: &dyn Surface) -> MpioTimersCounters {
    let c = counters(&surface.view().timers);
    MpioTimersCounters {
        path_verify_enabled: c.path_verify_enabled,
        path_verification_period: c.path_verification_period,
        pdo_remove_period: c.pdo_remove_period,
        retry_count: c.retry_count,
        retry_interval: c.retry_interval,
    }
}

/// SetDSMCounters: the five timers of the DSM of that context. The others stay.
///
/// # Errors
/// No such DSM; a truth value that is neither 0 nor 1; whatever the change failed with.
pub fn set_dsm_counters(surface: &dyn Surface, context: u64, new: &DsmCounters) -> Result<()> {
    let view = surface.view();
    if context != ids::dsm_context(&view.host) || new.path_verify_enabled > 1 {
        return Err(NtStatus::INVALID_PARAMETER);
    }
    let timers = MpioTimers {
        path_verify_enabled: new.path_verify_enabled == 1,
        path_verification_period_s: new.path_verification_period,
        pdo_remove_period_s: new.pdo_remove_period,
        retry_count: new.retry_count,
        retry_interval_s: new.retry_interval,
        ..view.timers
    };
    surface.set_timers(timers).map_err(|e| status_of(&e))
}

/// A method of MPIO_WMI_METHODS (1 to 8) on the control object, from its IN buffer. MPIOMoveDevice
/// (1) moves devices between controllers, which this engine does by policy only.
///
/// # Errors
/// No such method, a short buffer, or what the method itself says.
pub fn mpio_method(surface: &dyn Surface, method: u32, input: &[u8]) -> Result<Vec<u8>> {
    match method {
        1 => Err(NtStatus::NOT_SUPPORTED),
        2 => path_configuration(surface, argument(input)?),
        3 => {
            let new: SetDsmCountersIn = argument(input)?;
            set_dsm_counters(surface, new.dsm_context, &new.counters)?;
            Ok(Vec::new())
        }
        4 => clear(surface, CounterScope::All),
        5 => clear(surface, CounterScope::Nexus(nexus(surface, input)?)),
        6 => clear(surface, CounterScope::Nexuses),
        7 => {
            let number: u32 = argument(input)?;
            let view = surface.view();
            let lun = view.lun_by_number(number);
            let lun = lun.ok_or(NtStatus::INVALID_PARAMETER)?;
            clear(surface, CounterScope::Lun(lun.name.clone()))
        }
        8 => clear(surface, CounterScope::Luns),
        _ => Err(NtStatus::WMI_ITEMID_NOT_FOUND),
    }
}

/// A method of MPIO_DISK_WMI_METHODS (1, 2) on a LUN.
///
/// # Errors
/// No such instance, method, or path; a short buffer.
pub fn disk_method(
    surface: &dyn Surface,
    instance: &str,
    method: u32,
    input: &[u8],
) -> Result<Vec<u8>> {
    let view = surface.view();
    let lun = find_lun(&view, instance)?;
    match method {
        1 => clear(surface, CounterScope::Paths(lun.name.clone())),
        2 => {
            let id: u64 = argument(input)?;
            lun.path(id).ok_or(NtStatus::INVALID_PARAMETER)?;
            clear(surface, CounterScope::Path(lun.name.clone(), id))
        }
        _ => Err(NtStatus::WMI_ITEMID_NOT_FOUND),
    }
}

/// MSDSM_WMI_METHODS.MSDsmClearCounters on a LUN: what MSDSM_DEVICE_PERF counts.
///
/// # Errors
/// No such instance.
pub fn clear_perf(surface: &dyn Surface, instance: &str) -> Result<Vec<u8>> {
    let view = surface.view();
    let lun = find_lun(&view, instance)?;
    clear(surface, CounterScope::Paths(lun.name.clone()))
}

fn argument<T: Field>(input: &[u8]) -> Result<T> {
    read(input, 0).map_err(|_| NtStatus::BUFFER_TOO_SMALL)
}

fn nexus(surface: &dyn Surface, input: &[u8]) -> Result<u64> {
    let id = argument(input)?;
    let known = surface.view().nexus(id).is_some();
    if known {
        Ok(id)
    } else {
        Err(NtStatus::INVALID_PARAMETER)
    }
}

fn clear(surface: &dyn Surface, scope: CounterScope) -> Result<Vec<u8>> {
    surface
        .clear_counters(scope)
        .map(|()| Vec::new())
        .map_err(|e| status_of(&e))
}

/// GetPathConfiguration: the SCSI addresses of what is reached over a nexus.
fn path_configuration(surface: &dyn Surface, id: u64) -> Result<Vec<u8>> {
    let view = surface.view();
    view.nexus(id).ok_or(NtStatus::INVALID_PARAMETER)?;
    let mut found = Vec::new();
    for lun in &view.luns {
        for (n, p) in lun.paths.iter().enumerate() {
            if p.nexus_id == id {
                found.push(super::mpio::scsi_address(n, p.unit));
            }
        }
    }
    Ok(crate::control::layout::mpio::encode_counted(4, &found))
}
