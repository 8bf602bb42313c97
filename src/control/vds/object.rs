//! Which objects there are, and how they are found.

use super::hresult::{Failure, HResult, Result};
use super::types::ObjectType;
use crate::control::view::{NexusView, View, ids};
use uuid::Uuid;

/// An object, by its id. The service has none: there is one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Object {
    Service,
    Provider(Uuid),
    SubSystem(Uuid),
    Lun(Uuid),
    Target(Uuid),
    PortalGroup(Uuid),
    Portal(Uuid),
    InitiatorAdapter(Uuid),
    InitiatorPortal(Uuid),
}

impl Object {
    /// Its id; nil for the service.
    pub const fn id(self) -> Uuid {
        match self {
            Self::Service => Uuid::nil(),
            Self::Provider(id)
            | Self::SubSystem(id)
            | Self::Lun(id)
            | Self::Target(id)
            | Self::PortalGroup(id)
            | Self::Portal(id)
            | Self::InitiatorAdapter(id)
            | Self::InitiatorPortal(id) => id,
        }
    }

    /// What it is, in a word.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Service => "service",
            Self::Provider(_) => "provider",
            Self::SubSystem(_) => "subsystem",
            Self::Lun(_) => "LUN",
            Self::Target(_) => "target",
            Self::PortalGroup(_) => "portal group",
            Self::Portal(_) => "target portal",
            Self::InitiatorAdapter(_) => "initiator adapter",
            Self::InitiatorPortal(_) => "initiator portal",
        }
    }

    /// An object of that type and id, whether it exists or not.
    pub const fn new(object_type: ObjectType, id: Uuid) -> Self {
        match object_type {
            ObjectType::Provider => Self::Provider(id),
            ObjectType::SubSystem => Self::SubSystem(id),
            ObjectType::Lun => Self::Lun(id),
            ObjectType::Portal => Self::Portal(id),
            ObjectType::Target => Self::Target(id),
            ObjectType::PortalGroup => Self::PortalGroup(id),
            ObjectType::InitiatorAdapter => Self::InitiatorAdapter(id),
            ObjectType::InitiatorPortal => Self::InitiatorPortal(id),
        }
    }
}

/// The first of each kind, as `key` tells kinds apart, in the order of the view.
fn distinct<'v, K: PartialEq>(
    view: &'v View,
    key: impl Fn(&'v NexusView) -> Option<K>,
) -> Vec<(K, &'v NexusView)> {
    let mut found: Vec<(K, &NexusView)> = Vec::new();
    for nexus in &view.nexuses {
        if let Some(key) = key(nexus)
            && found.iter().all(|(k, _)| *k != key)
        {
            found.push((key, nexus));
        }
    }
    found
}

fn remote(nexus: &NexusView) -> bool {
    !nexus.target_name.is_empty()
}

/// All targets: one for each name, whatever the number of nexuses to it.
pub(super) fn targets(view: &View) -> Vec<(Uuid, &NexusView)> {
    distinct(view, |n| {
        remote(n).then(|| ids::target(&view.host, &n.target_name))
    })
}

/// All portal groups.
pub(super) fn portal_groups(view: &View) -> Vec<(Uuid, &NexusView)> {
    distinct(view, |n| {
        remote(n).then(|| ids::portal_group(&view.host, &n.target_name, n.portal_group))
    })
}

/// All target portals.
pub(super) fn portals(view: &View) -> Vec<(Uuid, &NexusView)> {
    distinct(view, |n| {
        remote(n).then(|| ids::target_portal(&view.host, n))
    })
}

/// All initiator portals: source addresses.
pub(super) fn initiator_portals(view: &View) -> Vec<(Uuid, &NexusView)> {
    distinct(view, |n| {
        remote(n).then(|| ids::initiator_portal(&view.host, n))
    })
}

/// IVdsService::GetObject: an object by its id and type.
///
/// # Errors
/// The type is none of a hardware provider, or nothing has that id; for a LUN that once had it,
/// that it is deleted.
pub fn get_object(view: &View, id: Uuid, object_type: i32) -> Result<Object> {
    let Some(object_type) = ObjectType::from_number(object_type) else {
        return Err(Failure::new(
            HResult::VDS_E_INVALID_OBJECT_TYPE,
            format!("a hardware provider has no objects of type {object_type}"),
        ));
    };
    let has = |all: Vec<(Uuid, &NexusView)>| all.iter().any(|(i, _)| *i == id);
    let found = match object_type {
        ObjectType::Provider => id == ids::provider(&view.host),
        ObjectType::SubSystem => id == ids::subsystem(&view.host),
        ObjectType::Lun => return super::lun::find(view, id).map(|lun| Object::Lun(lun.guid)),
        ObjectType::Portal => has(portals(view)),
        ObjectType::Target => has(targets(view)),
        ObjectType::PortalGroup => has(portal_groups(view)),
        ObjectType::InitiatorAdapter => id == ids::initiator_adapter(&view.host),
        ObjectType::InitiatorPortal => has(initiator_portals(view)),
    };
    if found {
        Ok(Object::new(object_type, id))
    } else {
        Err(not_found(object_type, id))
    }
}

/// Nothing has that id: there are codes of their own for the ends of a path.
pub(super) fn not_found(object_type: ObjectType, id: Uuid) -> Failure {
    let code = match object_type {
        ObjectType::InitiatorAdapter => HResult::VDS_E_INITIATOR_ADAPTER_NOT_FOUND,
        ObjectType::Portal => HResult::VDS_E_TARGET_PORTAL_NOT_FOUND,
        _ => HResult::VDS_E_OBJECT_NOT_FOUND,
    };
    let kind = Object::new(object_type, id).kind();
    Failure::new(code, format!("there is no {kind} {id}"))
}
