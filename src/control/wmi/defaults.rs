//! MSDSM_DEFAULT_LOAD_BALANCE_POLICY and MSDSM_TARGETS_DEFAULT_LOAD_BALANCE_POLICY: policies of LUNs
//! that have none of their own. MSDSM_SUPPORTED_DEVICES_LIST and MSDSM_DEVICE_PERF are here as well.

use super::{Result, find_lun, status_of};
use crate::control::layout::buffer::{Buffer, read, read_array};
use crate::control::layout::dsm::{
    DEVICE_PERF_ARRAY, MsdsmDefaultPolicy, MsdsmDevicePathPerf, MsdsmTargetDefaultPolicy,
    MsdsmTargetsHeader,
};
use crate::control::layout::mpio::encode_counted;
use crate::control::layout::{LayoutError, WmiText32, from_wmi_text, wmi_text};
use crate::control::view::{HardwareId, Surface};
use crate::lun::policy::NtStatus;
use crate::lun::policy::defaults::Setting;

/// A default: policy 0 where there is none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DefaultPolicy {
    /// DSM_LB_*, or 0.
    pub policy: u32,
    /// PreferredPath; 0 for none.
    pub preferred_path: u64,
}

impl DefaultPolicy {
    fn of(setting: Option<Setting>) -> Self {
        setting.map_or_else(Self::default, |s| Self {
            policy: s.spec.policy().number(),
            preferred_path: s.preferred.unwrap_or(0),
        })
    }

    /// MSDSM_DEFAULT_LOAD_BALANCE_POLICY.
    pub fn encode(self) -> Vec<u8> {
        let mut out = Buffer::new();
        out.push(&MsdsmDefaultPolicy {
            load_balance_policy: self.policy,
            reserved: 0,
            preferred_path: self.preferred_path,
        });
        out.into_bytes()
    }

    /// Reads one.
    ///
    /// # Errors
    /// It is too short.
    pub fn decode(bytes: &[u8]) -> std::result::Result<Self, LayoutError> {
        let raw: MsdsmDefaultPolicy = read(bytes, 0)?;
        Ok(Self {
            policy: raw.load_balance_policy,
            preferred_path: raw.preferred_path,
        })
    }
}

/// The DSM-wide default.
pub fn get_default(surface: &dyn Surface) -> DefaultPolicy {
    DefaultPolicy::of(surface.view().defaults.engine)
}

/// Sets it; policy 0 removes it.
///
/// # Errors
/// Policies from 7 on; whatever the change failed with.
pub fn set_default(surface: &dyn Surface, new: DefaultPolicy) -> Result<()> {
    let setting = Setting::from_request(new.policy, new.preferred_path)?;
    surface
        .set_engine_default(setting)
        .map_err(|e| status_of(&e))
}

/// The defaults by vendor and product.
pub fn get_target_defaults(surface: &dyn Surface) -> Vec<(HardwareId, DefaultPolicy)> {
    let view = surface.view();
    let all = view.defaults.targets.iter();
    all.map(|(id, s)| (id.clone(), DefaultPolicy::of(Some(*s))))
        .collect()
}

/// Sets the default of one vendor and product; policy 0 removes it.
///
/// # Errors
/// No hardware id; policies from 7 on; whatever the change failed with.
pub fn set_target_default(
    surface: &dyn Surface,
    hardware_id: &str,
    new: DefaultPolicy,
) -> Result<()> {
    let id = HardwareId::parse(hardware_id).ok_or(NtStatus::INVALID_PARAMETER)?;
    let setting = Setting::from_request(new.policy, new.preferred_path)?;
    surface
        .set_target_default(&id, setting)
        .map_err(|e| status_of(&e))
}

/// MSDSM_TARGETS_DEFAULT_LOAD_BALANCE_POLICY.
pub fn encode_target_defaults(all: &[(HardwareId, DefaultPolicy)]) -> Vec<u8> {
    let mut out = Buffer::new();
    out.push(&MsdsmTargetsHeader {
        number_devices: all.len() as u32,
        reserved: 0,
    });
    for (id, default) in all {
        out.push(&MsdsmTargetDefaultPolicy {
            hardware_id: wmi_text(id.padded()),
            load_balance_policy: default.policy,
            reserved: 0,
            preferred_path: default.preferred_path,
        });
    }
    out.into_bytes()
}

/// Reads one: hardware ids as they stand there.
///
/// # Errors
/// It is too short, or a hardware id is no text.
pub fn decode_target_defaults(
    bytes: &[u8],
) -> std::result::Result<Vec<(String, DefaultPolicy)>, LayoutError> {
    let head: MsdsmTargetsHeader = read(bytes, 0)?;
    let all: Vec<MsdsmTargetDefaultPolicy> = read_array(bytes, 8, head.number_devices)?;
    let one = |(n, raw): (usize, &MsdsmTargetDefaultPolicy)| {
        let id = from_wmi_text(&raw.hardware_id).ok_or(LayoutError::Text { at: 8 + n * 80 })?;
        let default = DefaultPolicy {
            policy: raw.load_balance_policy,
            preferred_path: raw.preferred_path,
        };
        Ok((id, default))
    };
    all.iter().enumerate().map(one).collect()
}

/// MSDSM_SUPPORTED_DEVICES_LIST: the hardware ids of all LUNs, each once.
pub fn supported_devices(surface: &dyn Surface) -> Vec<HardwareId> {
    let view = surface.view();
    let mut all: Vec<_> = view.luns.iter().map(|l| l.hardware.clone()).collect();
    all.sort();
    all.dedup();
    all
}

/// Its block.
pub fn encode_supported_devices(all: &[HardwareId]) -> Vec<u8> {
    let texts = all.iter().map(|id| wmi_text(id.padded()));
    encode_counted::<WmiText32>(8, &texts.collect::<Vec<_>>())
}

/// MSDSM_DEVICE_PERF of one LUN: what each path has carried of it.
///
/// # Errors
/// No such instance.
pub fn device_perf(surface: &dyn Surface, instance: &str) -> Result<Vec<MsdsmDevicePathPerf>> {
    let view = surface.view();
    let paths = find_lun(&view, instance)?.paths.iter();
    let perf = paths.map(|p| MsdsmDevicePathPerf {
        path_id: p.nexus_id,
        number_reads: p.counters.reads as u32,
        number_writes: p.counters.writes as u32,
        bytes_read: p.counters.bytes_read,
        bytes_written: p.counters.bytes_written,
    });
    Ok(perf.collect())
}

/// Its block.
pub fn encode_device_perf(all: &[MsdsmDevicePathPerf]) -> Vec<u8> {
    encode_counted(DEVICE_PERF_ARRAY, all)
}
