//! IVdsIscsiTarget, IVdsIscsiPortalGroup, IVdsIscsiPortal, IVdsIscsiInitiatorAdapter and
//! IVdsIscsiInitiatorPortal: the ends that paths have. Subsystems of NVMe/TCP appear as targets, for
//! want of a word in VDS.

use super::hresult::Result;
use super::object::{self, Object, not_found};
use super::service::trusted;
use super::types::{
    InitiatorAdapterProp, InitiatorPortalProp, IpAddress, ObjectType, PortalGroupProp, PortalProp,
    Status, TargetProp,
};
use crate::control::view::{NexusView, Surface, View, ids};
use crate::path::state::State;
use std::net::SocketAddr;
use uuid::Uuid;

type All<'v> = Vec<(Uuid, &'v NexusView)>;

fn one(view: &View, all: All<'_>, object_type: ObjectType, id: Uuid) -> Result<usize> {
    trusted(view)?;
    let found = all.iter().position(|(i, _)| *i == id);
    found.ok_or_else(|| not_found(object_type, id))
}

/// The object of that id with its first nexus.
fn find<'v>(
    view: &'v View,
    all: All<'v>,
    object_type: ObjectType,
    id: Uuid,
) -> Result<&'v NexusView> {
    let at = one(view, all.clone(), object_type, id)?;
    Ok(all[at].1)
}

fn target(view: &View, id: Uuid) -> Result<&NexusView> {
    find(view, object::targets(view), ObjectType::Target, id)
}

fn group(view: &View, id: Uuid) -> Result<&NexusView> {
    find(
        view,
        object::portal_groups(view),
        ObjectType::PortalGroup,
        id,
    )
}

/// IVdsIscsiTarget::GetProperties.
///
/// # Errors
/// No such target; the provider's cache is corrupt.
pub fn get_target_properties(surface: &dyn Surface, id: Uuid) -> Result<TargetProp> {
    let view = surface.view();
    let nexus = target(&view, id)?;
    Ok(TargetProp {
        id,
        iscsi_name: nexus.target_name.clone(),
        friendly_name: String::new(),
        chap_enabled: false,
    })
}

/// IVdsIscsiTarget::GetSubSystem, IVdsIscsiPortal::GetSubSystem.
///
/// # Errors
/// As [`get_target_properties`].
pub fn get_subsystem_of_target(surface: &dyn Surface, id: Uuid) -> Result<Object> {
    let view = surface.view();
    target(&view, id)?;
    Ok(Object::SubSystem(ids::subsystem(&view.host)))
}

/// IVdsIscsiTarget::QueryPortalGroups.
///
/// # Errors
/// As [`get_target_properties`].
pub fn query_portal_groups(surface: &dyn Surface, id: Uuid) -> Result<Vec<Object>> {
    let view = surface.view();
    let name = &target(&view, id)?.target_name;
    let groups = object::portal_groups(&view).into_iter();
    let groups = groups.filter(|(_, n)| n.target_name == *name);
    Ok(groups.map(|(id, _)| Object::PortalGroup(id)).collect())
}

/// IVdsIscsiTarget::QueryAssociatedLuns.
///
/// # Errors
/// As [`get_target_properties`].
pub fn query_luns_of_target(surface: &dyn Surface, id: Uuid) -> Result<Vec<Object>> {
    let view = surface.view();
    let name = &target(&view, id)?.target_name;
    let leads_there = |nexus: u64| view.nexus(nexus).is_some_and(|n| n.target_name == *name);
    let luns = view.luns.iter();
    let luns = luns.filter(|l| l.paths.iter().any(|p| leads_there(p.nexus_id)));
    Ok(luns.map(|l| Object::Lun(l.guid)).collect())
}

/// IVdsIscsiPortalGroup::GetProperties.
///
/// # Errors
/// No such group; the provider's cache is corrupt.
pub fn get_portal_group_properties(surface: &dyn Surface, id: Uuid) -> Result<PortalGroupProp> {
    let view = surface.view();
    let tag = group(&view, id)?.portal_group;
    Ok(PortalGroupProp { id, tag })
}

/// IVdsIscsiPortalGroup::GetTarget.
///
/// # Errors
/// As [`get_portal_group_properties`].
pub fn get_target_of_group(surface: &dyn Surface, id: Uuid) -> Result<Object> {
    let view = surface.view();
    let name = &group(&view, id)?.target_name;
    Ok(Object::Target(ids::target(&view.host, name)))
}

/// IVdsIscsiPortalGroup::QueryAssociatedPortals.
///
/// # Errors
/// As [`get_portal_group_properties`].
pub fn query_portals_of_group(surface: &dyn Surface, id: Uuid) -> Result<Vec<Object>> {
    let view = surface.view();
    let of = group(&view, id)?;
    let mut found = Vec::new();
    let members = view.nexuses.iter();
    for nexus in
        members.filter(|n| n.target_name == of.target_name && n.portal_group == of.portal_group)
    {
        let portal = Object::Portal(ids::target_portal(&view.host, nexus));
        if !found.contains(&portal) {
            found.push(portal);
        }
    }
    Ok(found)
}

/// IVdsIscsiPortal::GetProperties. Online when some nexus through it is up.
///
/// # Errors
/// No such portal; the provider's cache is corrupt.
pub fn get_portal_properties(surface: &dyn Surface, id: Uuid) -> Result<PortalProp> {
    let view = surface.view();
    let first = find(&view, object::portals(&view), ObjectType::Portal, id)?;
    let through = || {
        let all = view.nexuses.iter();
        all.filter(|n| ids::target_portal(&view.host, n) == id)
    };
    let status = if through().any(|n| n.state == State::Up) {
        Status::Online
    } else if through().any(|n| matches!(n.state, State::Connecting | State::LoggingIn)) {
        Status::NotReady
    } else if through().all(|n| n.state == State::Idle) {
        Status::Unknown
    } else {
        Status::Offline
    };
    let socket = through().find_map(|n| n.portal);
    Ok(PortalProp {
        id,
        address: IpAddress::known(socket, &first.portal_name),
        status,
    })
}

/// IVdsIscsiPortal::QueryAssociatedPortalGroups.
///
/// # Errors
/// As [`get_portal_properties`].
pub fn query_groups_of_portal(surface: &dyn Surface, id: Uuid) -> Result<Vec<Object>> {
    let view = surface.view();
    find(&view, object::portals(&view), ObjectType::Portal, id)?;
    let mut found = Vec::new();
    let through = view.nexuses.iter();
    for n in through.filter(|n| ids::target_portal(&view.host, n) == id) {
        let group = ids::portal_group(&view.host, &n.target_name, n.portal_group);
        if !found.contains(&Object::PortalGroup(group)) {
            found.push(Object::PortalGroup(group));
        }
    }
    Ok(found)
}

fn adapter(view: &View, id: Uuid) -> Result<()> {
    if id == ids::initiator_adapter(&view.host) {
        Ok(())
    } else {
        Err(not_found(ObjectType::InitiatorAdapter, id))
    }
}

/// IVdsIscsiInitiatorAdapter::GetProperties.
///
/// # Errors
/// No such adapter.
pub fn get_initiator_adapter_properties(
    surface: &dyn Surface,
    id: Uuid,
) -> Result<InitiatorAdapterProp> {
    let view = surface.view();
    adapter(&view, id)?;
    Ok(InitiatorAdapterProp {
        id,
        name: view.host.initiator_name.clone(),
    })
}

/// IVdsIscsiInitiatorAdapter::QueryInitiatorPortals: the source addresses in use.
///
/// # Errors
/// No such adapter.
pub fn query_initiator_portals(surface: &dyn Surface, id: Uuid) -> Result<Vec<Object>> {
    let view = surface.view();
    adapter(&view, id)?;
    let all = object::initiator_portals(&view).into_iter();
    Ok(all.map(|(id, _)| Object::InitiatorPortal(id)).collect())
}

/// IVdsIscsiInitiatorPortal::GetProperties. Its index is its place among the adapter's portals; its
/// port is 0, since every connection has one of its own.
///
/// # Errors
/// No such portal; the provider's cache is corrupt.
pub fn get_initiator_portal_properties(
    surface: &dyn Surface,
    id: Uuid,
) -> Result<InitiatorPortalProp> {
    let view = surface.view();
    let all = object::initiator_portals(&view);
    let at = one(&view, all.clone(), ObjectType::InitiatorPortal, id)?;
    let nexus = all[at].1;
    let socket = nexus.source.map(|s| SocketAddr::new(s.ip(), 0));
    Ok(InitiatorPortalProp {
        id,
        address: IpAddress::known(socket, nexus.interface.as_deref().unwrap_or("")),
        port_index: at as u32,
    })
}

/// IVdsIscsiInitiatorPortal::GetInitiatorAdapter.
///
/// # Errors
/// As [`get_initiator_portal_properties`].
pub fn get_adapter_of_portal(surface: &dyn Surface, id: Uuid) -> Result<Object> {
    let view = surface.view();
    one(
        &view,
        object::initiator_portals(&view),
        ObjectType::InitiatorPortal,
        id,
    )?;
    Ok(Object::InitiatorAdapter(ids::initiator_adapter(&view.host)))
}
