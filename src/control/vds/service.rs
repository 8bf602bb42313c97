//! IVdsService, IVdsServiceHba, IVdsServiceIscsi, IVdsProvider, IVdsHwProvider, IVdsSubSystem: the
//! walk down to the LUNs.

use super::hresult::{Failure, HResult, Result};
use super::lun;
use super::object::{self, Object, not_found};
use super::types::{
    Health, HwProviderType, ObjectType, ProviderProp, ProviderType, QUERY_HARDWARE_PROVIDERS,
    QUERY_SOFTWARE_PROVIDERS, QUERY_VIRTUALDISK_PROVIDERS, ServiceProp, Status, SubSystemProp,
};
use crate::control::view::{Surface, View, ids};
use uuid::Uuid;

/// What the provider calls itself.
pub const PROVIDER_NAME: &str = "umpio";

/// IVdsService::IsServiceReady: `S_OK`, since nothing here is loaded late.
pub fn is_service_ready(_surface: &dyn Surface) -> HResult {
    HResult::S_OK
}

/// IVdsService::GetProperties. No flag of the disk and volume half applies.
pub fn get_service_properties(surface: &dyn Surface) -> ServiceProp {
    ServiceProp {
        version: surface.view().host.version.clone(),
        flags: 0,
    }
}

/// IVdsService::QueryProviders.
///
/// # Errors
/// Unknown bits in the mask, or none.
pub fn query_providers(surface: &dyn Surface, masks: u32) -> Result<Vec<Object>> {
    let known = QUERY_SOFTWARE_PROVIDERS | QUERY_HARDWARE_PROVIDERS | QUERY_VIRTUALDISK_PROVIDERS;
    if masks == 0 || masks & !known != 0 {
        return Err(Failure::new(
            HResult::VDS_E_INVALID_QUERY_PROVIDER_FLAG,
            format!("mask {masks:#x}; allowed are the bits of {known:#x}, at least one"),
        ));
    }
    let view = surface.view();
    let ours = Object::Provider(ids::provider(&view.host));
    Ok(if masks & QUERY_HARDWARE_PROVIDERS != 0 {
        vec![ours]
    } else {
        Vec::new()
    })
}

/// IVdsService::GetObject.
///
/// # Errors
/// See [`object::get_object`].
pub fn get_object(surface: &dyn Surface, id: Uuid, object_type: i32) -> Result<Object> {
    let view = surface.view();
    if ObjectType::from_number(object_type) == Some(ObjectType::Lun) {
        trusted(&view)?;
    }
    object::get_object(&view, id, object_type)
}

/// IVdsServiceHba::QueryHbaPorts: none.
pub fn query_hba_ports(_surface: &dyn Surface) -> Vec<Object> {
    Vec::new()
}

/// IVdsServiceIscsi::GetInitiatorName.
pub fn get_initiator_name(surface: &dyn Surface) -> String {
    surface.view().host.initiator_name.clone()
}

/// IVdsServiceIscsi::QueryInitiatorAdapters: this host's software initiator.
pub fn query_initiator_adapters(surface: &dyn Surface) -> Vec<Object> {
    vec![Object::InitiatorAdapter(ids::initiator_adapter(
        &surface.view().host,
    ))]
}

fn provider(view: &View, id: Uuid) -> Result<()> {
    if id == ids::provider(&view.host) {
        Ok(())
    } else {
        Err(not_found(ObjectType::Provider, id))
    }
}

fn subsystem(view: &View, id: Uuid) -> Result<()> {
    if id == ids::subsystem(&view.host) {
        Ok(())
    } else {
        Err(not_found(ObjectType::SubSystem, id))
    }
}

/// What the provider knows can be trusted, and it takes calls.
pub(super) fn trusted(view: &View) -> Result<()> {
    if view.provider.exiting {
        return Err(Failure::new(
            HResult::VDS_E_PROVIDER_EXITING,
            "the daemon is stopping",
        ));
    }
    if view.provider.call_in_progress {
        return Err(Failure::new(
            HResult::VDS_E_ANOTHER_CALL_IN_PROGRESS,
            "a Reenumerate or Refresh of the provider is running",
        ));
    }
    match view.provider.cache.why() {
        None => Ok(()),
        Some(why) => Err(Failure::new(
            HResult::VDS_E_PROVIDER_CACHE_CORRUPT,
            format!("{why}; call Reenumerate and then Refresh of the provider"),
        )),
    }
}

/// IVdsProvider::GetProperties.
///
/// # Errors
/// No such provider.
pub fn get_provider_properties(surface: &dyn Surface, id: Uuid) -> Result<ProviderProp> {
    let view = surface.view();
    provider(&view, id)?;
    Ok(ProviderProp {
        id,
        name: PROVIDER_NAME.to_owned(),
        version_id: ids::provider_version(&view.host),
        version: view.host.version.clone(),
        provider_type: ProviderType::Hardware,
        flags: 0,
        stripe_size_flags: 0,
        rebuild_priority: 0,
    })
}

/// IVdsHwProviderType::GetProviderType and IVdsHwProviderType2::GetProviderType2: iSCSI and NVMe/TCP
/// side by side.
///
/// # Errors
/// No such provider.
pub fn get_provider_type(surface: &dyn Surface, id: Uuid) -> Result<HwProviderType> {
    provider(&surface.view(), id)?;
    Ok(HwProviderType::Hybrid)
}

/// IVdsHwProvider::QuerySubSystems: all LUNs of this host are in one.
///
/// # Errors
/// No such provider.
pub fn query_subsystems(surface: &dyn Surface, id: Uuid) -> Result<Vec<Object>> {
    let view = surface.view();
    provider(&view, id)?;
    Ok(vec![Object::SubSystem(ids::subsystem(&view.host))])
}

/// IVdsHwProvider::Reenumerate, and IVdsService::Reenumerate: reads again which LUNs there are.
///
/// # Errors
/// One is running; or the inventory is still not to be had.
pub fn reenumerate(surface: &dyn Surface) -> Result<()> {
    Ok(surface.reenumerate()?)
}

/// IVdsHwProvider::Refresh, and IVdsService::Refresh: reads again what each of them is like.
///
/// # Errors
/// One is running; or the objects are still not to be had.
pub fn refresh(surface: &dyn Surface) -> Result<()> {
    Ok(surface.refresh()?)
}

/// IVdsSubSystem::GetProperties.
///
/// # Errors
/// No such subsystem; the provider's cache is corrupt.
pub fn get_subsystem_properties(surface: &dyn Surface, id: Uuid) -> Result<SubSystemProp> {
    let view = surface.view();
    subsystem(&view, id)?;
    trusted(&view)?;
    let worst = view
        .luns
        .iter()
        .map(lun::health)
        .fold(Health::Healthy, |worst, health| {
            if rank(health) > rank(worst) {
                health
            } else {
                worst
            }
        });
    Ok(SubSystemProp {
        id,
        friendly_name: PROVIDER_NAME.to_owned(),
        identification: view.host.nqn.clone(),
        flags: 0,
        stripe_size_flags: 0,
        status: Status::Online,
        health: worst,
        number_of_internal_buses: 0,
        max_number_of_slots_each_bus: 0,
        max_number_of_controllers: 0,
        rebuild_priority: 0,
    })
}

/// How bad it is. A LUN that failed takes redundancy from the subsystem, not life.
const fn rank(health: Health) -> u8 {
    match health {
        Health::Healthy => 0,
        Health::Unknown => 1,
        Health::Degraded => 2,
        Health::FailedRedundancy => 3,
        Health::Failed => 4,
    }
}

/// IVdsSubSystem::GetProvider.
///
/// # Errors
/// No such subsystem.
pub fn get_provider(surface: &dyn Surface, id: Uuid) -> Result<Object> {
    let view = surface.view();
    subsystem(&view, id)?;
    Ok(Object::Provider(ids::provider(&view.host)))
}

/// IVdsSubSystem::QueryLuns.
///
/// # Errors
/// No such subsystem; the provider's cache is corrupt.
pub fn query_luns(surface: &dyn Surface, id: Uuid) -> Result<Vec<Object>> {
    let view = surface.view();
    subsystem(&view, id)?;
    trusted(&view)?;
    Ok(view.luns.iter().map(|l| Object::Lun(l.guid)).collect())
}

/// IVdsSubSystemIscsi::QueryTargets.
///
/// # Errors
/// As [`query_luns`].
pub fn query_targets(surface: &dyn Surface, id: Uuid) -> Result<Vec<Object>> {
    let view = surface.view();
    subsystem(&view, id)?;
    trusted(&view)?;
    let all = object::targets(&view);
    Ok(all.into_iter().map(|(id, _)| Object::Target(id)).collect())
}

/// IVdsSubSystemIscsi::QueryPortals.
///
/// # Errors
/// As [`query_luns`].
pub fn query_portals(surface: &dyn Surface, id: Uuid) -> Result<Vec<Object>> {
    let view = surface.view();
    subsystem(&view, id)?;
    trusted(&view)?;
    let all = object::portals(&view);
    Ok(all.into_iter().map(|(id, _)| Object::Portal(id)).collect())
}
