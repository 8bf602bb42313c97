//! What the MPIO driver itself tells: disks, their devices, paths, and the DSM.

use super::{DSM_NAME, Result, find_lun};
use crate::control::layout::mpio::{
    DsmCounters, DsmParameters, DsmVersion, MpioAdapterInformation, MpioDriveInfo, PdoInformation,
    ScsiAddr,
};
use crate::control::layout::wmi_text;
use crate::control::view::{LunView, MpioTimers, Surface, ids};
use crate::path::identity::Identity;

/// "MPIO DiskN".
pub fn disk_name(lun: &LunView) -> String {
    format!("MPIO Disk{}", lun.number)
}

/// MPIO_DISK_INFO: every LUN.
pub fn disk_info(surface: &dyn Surface) -> Vec<MpioDriveInfo> {
    let view = surface.view();
    let drive = |l: &LunView| MpioDriveInfo {
        number_paths: l.paths.len() as u32,
        name: wmi_text(&disk_name(l)),
        serial_number: wmi_text(&l.serial),
        dsm_name: wmi_text(DSM_NAME),
    };
    view.luns.iter().map(drive).collect()
}

/// MPIO_GET_DESCRIPTOR of a LUN.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Descriptor {
    /// "MPIO DiskN".
    pub device_name: String,
    /// One per path.
    pub pdos: Vec<PdoInformation>,
}

impl Descriptor {
    /// Its block.
    pub fn encode(&self) -> Vec<u8> {
        crate::control::layout::mpio::encode_descriptor(&wmi_text(&self.device_name), &self.pdos)
    }
}

/// The SCSI address that a path shows as: umpio's paths have none of their own, so it is the path's
/// place in its LUN's list and the number of its unit, as far as bytes go.
pub fn scsi_address(index: usize, unit: u32) -> ScsiAddr {
    ScsiAddr {
        port_number: 0,
        scsi_path_id: 0,
        target_id: u8::try_from(index).unwrap_or(u8::MAX),
        lun: u8::try_from(unit).unwrap_or(u8::MAX),
    }
}

/// The identifier of a PDO as VPD page 83h numbers types: NAA 3, EUI-64 2, else our UUID (Ah).
fn identifier(identity: &Identity) -> (u32, Vec<u8>) {
    if let Some(naa) = &identity.naa {
        (3, naa.clone())
    } else if let Some(nguid) = identity.nguid {
        (2, nguid.to_vec())
    } else if let Some(eui) = identity.eui64 {
        (2, eui.to_vec())
    } else if let Some(uuid) = identity.uuid {
        (10, uuid.to_vec())
    } else {
        (0, Vec::new())
    }
}

/// MPIO_GET_DESCRIPTOR.
///
/// # Errors
/// No such instance.
pub fn get_descriptor(surface: &dyn Surface, instance: &str) -> Result<Descriptor> {
    let view = surface.view();
    let lun = find_lun(&view, instance)?;
    let (identifier_type, id) = identifier(&lun.identity);
    let length = id.len().min(32);
    let mut identifier = [0; 32];
    identifier[..length].copy_from_slice(&id[..length]);
    let pdo = |(n, p): (usize, &crate::control::view::PathView)| PdoInformation {
        scsi_address: scsi_address(n, p.unit),
        // DSM_DEV_ACTIVE_OPTIMIZED … of the sample are its own; here 0 works, 1 does not.
        device_state: u32::from(p.failed),
        path_identifier: p.nexus_id,
        identifier_type,
        identifier_length: length as u32,
        identifier,
        pad: [0; 4],
    };
    Ok(Descriptor {
        device_name: disk_name(lun),
        pdos: lun.paths.iter().enumerate().map(pdo).collect(),
    })
}

/// MPIO_PATH_INFORMATION: every nexus, named by its two ends. It has no place on a bus.
pub fn path_information(surface: &dyn Surface) -> Vec<MpioAdapterInformation> {
    let view = surface.view();
    let path = |n: &crate::control::view::NexusView| MpioAdapterInformation {
        path_id: n.id,
        adapter_name: wmi_text(&if n.portal_name.is_empty() {
            n.protocol.name().to_owned()
        } else {
            format!("{} {}", n.protocol.name(), n.portal_name)
        }),
        ..MpioAdapterInformation::default()
    };
    view.nexuses.iter().map(path).collect()
}

/// DSM_COUNTERS.
pub fn counters(timers: &MpioTimers) -> DsmCounters {
    DsmCounters {
        path_verify_enabled: u32::from(timers.path_verify_enabled),
        path_verification_period: timers.path_verification_period_s,
        pdo_remove_period: timers.pdo_remove_period_s,
        retry_count: timers.retry_count,
        retry_interval: timers.retry_interval_s,
        ..DsmCounters::default()
    }
}

/// MPIO_REGISTERED_DSM: ours.
pub fn registered_dsm(surface: &dyn Surface) -> Vec<DsmParameters> {
    let view = surface.view();
    let mut parts = view.host.version.split(['.', '-', '+']);
    let mut part = || parts.next().and_then(|p| p.parse().ok()).unwrap_or(0);
    let version = DsmVersion {
        major: part(),
        minor: part(),
        product_build: part(),
        qfe_number: 0,
    };
    vec![DsmParameters {
        dsm_name: wmi_text(DSM_NAME),
        dsm_context: ids::dsm_context(&view.host),
        version,
        counters: counters(&view.timers),
    }]
}
