//! IVdsLun, IVdsLunNumber, IVdsLunIscsi; and the state a LUN must be in to be asked at all.

use super::hresult::{Failure, HResult, Result};
use super::object::Object;
use super::service::trusted;
use super::types::{Health, LunProp, LunType, Status, TransitionState};
use crate::control::view::{LunCondition, LunView, Surface, View, ids};
use uuid::Uuid;

/// The LUN of an id.
pub(super) fn find(view: &View, id: Uuid) -> Result<&LunView> {
    view.lun_by_guid(id).ok_or_else(|| {
        if view.departed.contains(&id) {
            let why = format!("LUN {id} was taken out of the configuration");
            Failure::new(HResult::VDS_E_OBJECT_DELETED, why)
        } else {
            Failure::new(
                HResult::VDS_E_OBJECT_NOT_FOUND,
                format!("there is no LUN {id}"),
            )
        }
    })
}

/// The LUN of an object that somebody holds: one that is not there any more was deleted.
pub(super) fn held(view: &View, id: Uuid) -> Result<&LunView> {
    trusted(view)?;
    find(view, id)
}

/// The same where its state matters: nobody works on it, and it is not failed.
pub(super) fn working(view: &View, id: Uuid) -> Result<&LunView> {
    let lun = held(view, id)?;
    if let Some(call) = &lun.call_in_progress {
        let why = format!("{call} of LUN '{}' has not ended yet; try again", lun.name);
        return Err(Failure::new(HResult::VDS_E_ANOTHER_CALL_IN_PROGRESS, why));
    }
    if let LunCondition::Failed(why) = &lun.condition {
        let why = format!("LUN '{}' is failed: {why}", lun.name);
        return Err(Failure::new(HResult::VDS_E_OBJECT_STATUS_FAILED, why));
    }
    Ok(lun)
}

fn live_paths(lun: &LunView) -> usize {
    lun.paths.iter().filter(|p| !p.failed).count()
}

/// VDS_LUN_STATUS.
pub(super) fn status(lun: &LunView) -> Status {
    match lun.condition {
        LunCondition::Failed(_) => Status::Failed,
        LunCondition::NotReady => Status::NotReady,
        // Without a path it is there, and can not be reached.
        LunCondition::Good if live_paths(lun) == 0 => Status::Offline,
        LunCondition::Good => Status::Online,
    }
}

/// VDS_HEALTH: how many of its paths are left.
pub(super) fn health(lun: &LunView) -> Health {
    if let LunCondition::Failed(_) = lun.condition {
        return Health::Failed;
    }
    match (live_paths(lun), lun.paths.len()) {
        (_, 0) => Health::Unknown,
        (0, _) if lun.condition == LunCondition::NotReady => Health::Unknown,
        (0, _) => Health::Failed,
        (live, all) if live == all => Health::Healthy,
        (1, _) => Health::FailedRedundancy,
        _ => Health::Degraded,
    }
}

/// IVdsLun::GetProperties. A failed LUN, or one at work, can still be looked at.
///
/// # Errors
/// It is gone; the provider's cache is corrupt.
pub fn get_properties(surface: &dyn Surface, id: Uuid) -> Result<LunProp> {
    let view = surface.view();
    let lun = held(&view, id)?;
    Ok(LunProp {
        id,
        size: lun.size.map_or(0, |s| s.bytes()),
        friendly_name: lun.name.clone(),
        identification: if lun.identity.is_empty() {
            lun.serial.clone()
        } else {
            lun.identity.to_string()
        },
        unmasking_list: [&view.host.initiator_name, &view.host.nqn]
            .map(String::as_str)
            .into_iter()
            .filter(|n| !n.is_empty())
            .collect::<Vec<_>>()
            .join(";"),
        flags: 0,
        lun_type: LunType::Unknown,
        status: status(lun),
        health: health(lun),
        transition_state: TransitionState::Stable,
        rebuild_priority: 0,
    })
}

/// IVdsLun::GetSubSystem.
///
/// # Errors
/// As [`get_properties`].
pub fn get_subsystem(surface: &dyn Surface, id: Uuid) -> Result<Object> {
    let view = surface.view();
    held(&view, id)?;
    Ok(Object::SubSystem(ids::subsystem(&view.host)))
}

/// IVdsLunNumber::GetLunNumber: the N of "MPIO DiskN".
///
/// # Errors
/// As [`get_properties`].
pub fn get_lun_number(surface: &dyn Surface, id: Uuid) -> Result<u32> {
    Ok(held(&surface.view(), id)?.number)
}

/// IVdsLunIscsi::QueryAssociatedTargets: the targets that its paths lead to, each once.
///
/// # Errors
/// As [`get_properties`].
pub fn query_associated_targets(surface: &dyn Surface, id: Uuid) -> Result<Vec<Object>> {
    let view = surface.view();
    let lun = held(&view, id)?;
    let mut found = Vec::new();
    for path in &lun.paths {
        let name = view.nexus(path.nexus_id).map(|n| n.target_name.as_str());
        if let Some(name) = name.filter(|n| !n.is_empty()) {
            let target = Object::Target(ids::target(&view.host, name));
            if !found.contains(&target) {
                found.push(target);
            }
        }
    }
    Ok(found)
}
