//! VDS structures as JSON, and as the buffers that they are on Windows.

use super::args::{id, raw};
use crate::control::layout::vds::{
    PathDetail, VdsIpAddress, VdsIscsiInitiatorAdapterProp, VdsIscsiInitiatorPortalProp,
    VdsIscsiPortalGroupProp, VdsIscsiPortalProp, VdsIscsiTargetProp, VdsLunProp, VdsPathId,
    VdsPathInfo, VdsPathPolicy, VdsProviderProp, VdsServiceProp, VdsSubSystemProp,
    encode_path_infos, encode_path_policies, encode_prop,
};
use crate::control::vds::types::{
    InitiatorAdapterProp, InitiatorPortalProp, IpAddress, LunProp, PathEnds, PathId, PathInfo,
    PathPolicy, PortalGroupProp, PortalProp, ProviderProp, ServiceProp, SubSystemProp, TargetProp,
};
use crate::control::vds::{Failure, HResult, Object, Result};
use serde_json::{Value, json};
use std::net::SocketAddr;

/// The result of a call: the HRESULT first, then what `f` makes of a success.
pub(super) fn result<T>(outcome: Result<T>, f: impl FnOnce(&T) -> Value) -> Value {
    let mut answer = match &outcome {
        Ok(_) => head(HResult::S_OK),
        Err(Failure { hresult, why }) => {
            let mut answer = head(*hresult);
            answer["why"] = json!(why);
            answer
        }
    };
    if let (Ok(value), Some(answer)) = (&outcome, answer.as_object_mut())
        && let Value::Object(more) = f(value)
    {
        answer.extend(more);
    }
    answer
}

fn head(hresult: HResult) -> Value {
    json!({ "hresult": hresult.0, "name": hresult.name() })
}

pub(super) fn object(object: &Object) -> Value {
    json!({ "id": object.id().to_string(), "kind": object.kind() })
}

pub(super) fn objects(all: &[Object]) -> Value {
    json!({ "objects": all.iter().map(object).collect::<Vec<_>>() })
}

fn c_path_id(p: PathId) -> VdsPathId {
    VdsPathId {
        ull_source_id: p.source,
        ull_path_id: p.path,
    }
}

fn address(a: &IpAddress) -> Value {
    let (text, port) = match a {
        IpAddress::Text(text) => (text.clone(), 0),
        IpAddress::Socket(s) => (s.ip().to_string(), s.port()),
        IpAddress::Empty => (String::new(), 0),
    };
    json!({ "type": a.name(), "type_number": a.number(), "address": text, "port": port })
}

fn c_address(a: &IpAddress) -> VdsIpAddress {
    let mut c = VdsIpAddress {
        address_type: a.number(),
        ..VdsIpAddress::default()
    };
    match a {
        IpAddress::Text(text) => {
            let last = c.wsz_text_address.len() - 1;
            let place = &mut c.wsz_text_address[..last];
            for (to, unit) in place.iter_mut().zip(text.encode_utf16()) {
                *to = unit;
            }
        }
        IpAddress::Socket(SocketAddr::V4(s)) => {
            // In memory the address reads in network order.
            c.ipv4_address = u32::from_le_bytes(s.ip().octets());
            c.ul_port = u32::from(s.port());
        }
        IpAddress::Socket(SocketAddr::V6(s)) => {
            c.ipv6_address = s.ip().octets();
            c.ul_ipv6_flow_info = s.flowinfo();
            c.ul_ipv6_scope_id = s.scope_id();
            c.ul_port = u32::from(s.port());
        }
        IpAddress::Empty => {}
    }
    c
}

pub(super) fn path_infos(infos: &[PathInfo]) -> Value {
    let one = |i: &PathInfo| {
        let mut path = json!({
            "source_id": id(i.id.source),
            "path_id": id(i.id.path),
            "type": i.hw_type().name(),
            "type_number": i.hw_type().number(),
            "status": i.status.name(),
            "status_number": i.status.number(),
        });
        if let PathEnds::Ip {
            target_portal,
            initiator_adapter,
            initiator_portal,
        } = &i.ends
        {
            path["target_portal_id"] = json!(target_portal.to_string());
            path["initiator_adapter_id"] = json!(initiator_adapter.to_string());
            path["initiator_portal_ip"] = address(initiator_portal);
        }
        path
    };
    let c = |i: &PathInfo| {
        let mut info = VdsPathInfo {
            path_id: c_path_id(i.id),
            hw_type: i.hw_type().number(),
            status: i.status.number(),
            ..VdsPathInfo::default()
        };
        match &i.ends {
            PathEnds::Local => (info, PathDetail::None),
            PathEnds::Ip {
                target_portal,
                initiator_adapter,
                initiator_portal,
            } => {
                info.target_port = (*target_portal).into();
                info.initiator_port = (*initiator_adapter).into();
                let ip = Box::new(c_address(initiator_portal));
                (info, PathDetail::Ip(ip))
            }
        }
    };
    json!({
        "number_of_paths": infos.len(),
        "paths": infos.iter().map(one).collect::<Vec<_>>(),
        "raw": raw(&encode_path_infos(&infos.iter().map(c).collect::<Vec<_>>())),
    })
}

pub(super) fn path_policies(policies: &[PathPolicy]) -> (Value, Vec<u8>) {
    let one = |p: &PathPolicy| {
        json!({
            "source_id": id(p.id.source),
            "path_id": id(p.id.path),
            "primary": p.primary,
            "weight": p.weight,
        })
    };
    let c = |p: &PathPolicy| VdsPathPolicy {
        path_id: c_path_id(p.id),
        b_primary_path: i32::from(p.primary),
        ul_weight: p.weight,
    };
    (
        policies.iter().map(one).collect(),
        encode_path_policies(&policies.iter().map(c).collect::<Vec<_>>()),
    )
}

/// The reverse of one entry, out of a buffer.
pub(super) fn from_path_policy(c: &VdsPathPolicy) -> PathPolicy {
    PathPolicy {
        id: PathId {
            source: c.path_id.ull_source_id,
            path: c.path_id.ull_path_id,
        },
        primary: c.b_primary_path != 0,
        weight: c.ul_weight,
    }
}

pub(super) fn service_prop(p: &ServiceProp) -> Value {
    let c = VdsServiceProp {
        ul_flags: p.flags,
        ..VdsServiceProp::default()
    };
    json!({ "version": p.version, "flags": p.flags, "raw": raw(&encode_prop(&c, &[(0, &p.version)])) })
}

pub(super) fn provider_prop(p: &ProviderProp) -> Value {
    let c = VdsProviderProp {
        id: p.id.into(),
        guid_version_id: p.version_id.into(),
        provider_type: p.provider_type.number(),
        ul_flags: p.flags,
        ul_stripe_size_flags: p.stripe_size_flags,
        s_rebuild_priority: p.rebuild_priority,
        ..VdsProviderProp::default()
    };
    json!({
        "id": p.id.to_string(),
        "provider_name": p.name,
        "version_id": p.version_id.to_string(),
        "version": p.version,
        "type": p.provider_type.name(),
        "type_number": p.provider_type.number(),
        "flags": p.flags,
        "raw": raw(&encode_prop(&c, &[(16, &p.name), (40, &p.version)])),
    })
}

pub(super) fn subsystem_prop(p: &SubSystemProp) -> Value {
    let c = VdsSubSystemProp {
        id: p.id.into(),
        ul_flags: p.flags,
        ul_stripe_size_flags: p.stripe_size_flags,
        status: p.status.number(),
        health: p.health.number(),
        s_number_of_internal_buses: p.number_of_internal_buses,
        s_max_number_of_slots_each_bus: p.max_number_of_slots_each_bus,
        s_max_number_of_controllers: p.max_number_of_controllers,
        s_rebuild_priority: p.rebuild_priority,
        ..VdsSubSystemProp::default()
    };
    json!({
        "id": p.id.to_string(),
        "friendly_name": p.friendly_name,
        "identification": p.identification,
        "flags": p.flags,
        "status": format!("VDS_SSS_{}", p.status.name()),
        "status_number": p.status.number(),
        "health": p.health.name(),
        "health_number": p.health.number(),
        "raw": raw(&encode_prop(&c, &[(16, &p.friendly_name), (24, &p.identification)])),
    })
}

pub(super) fn lun_prop(p: &LunProp) -> Value {
    let c = VdsLunProp {
        id: p.id.into(),
        ull_size: p.size,
        ul_flags: p.flags,
        lun_type: p.lun_type.number(),
        status: p.status.number(),
        health: p.health.number(),
        transition_state: p.transition_state.number(),
        s_rebuild_priority: p.rebuild_priority,
        ..VdsLunProp::default()
    };
    let texts = [
        (24, p.friendly_name.as_str()),
        (32, p.identification.as_str()),
        (40, p.unmasking_list.as_str()),
    ];
    json!({
        "id": p.id.to_string(),
        "size": p.size,
        "friendly_name": p.friendly_name,
        "identification": p.identification,
        "unmasking_list": p.unmasking_list,
        "flags": p.flags,
        "type": p.lun_type.name(),
        "type_number": p.lun_type.number(),
        "status": format!("VDS_LS_{}", p.status.name()),
        "status_number": p.status.number(),
        "health": p.health.name(),
        "health_number": p.health.number(),
        "transition_state": p.transition_state.name(),
        "transition_state_number": p.transition_state.number(),
        "raw": raw(&encode_prop(&c, &texts)),
    })
}

pub(super) fn target_prop(p: &TargetProp) -> Value {
    let c = VdsIscsiTargetProp {
        id: p.id.into(),
        b_chap_enabled: i32::from(p.chap_enabled),
        ..VdsIscsiTargetProp::default()
    };
    json!({
        "id": p.id.to_string(),
        "iscsi_name": p.iscsi_name,
        "friendly_name": p.friendly_name,
        "chap_enabled": p.chap_enabled,
        "raw": raw(&encode_prop(&c, &[(16, &p.iscsi_name), (24, &p.friendly_name)])),
    })
}

pub(super) fn group_prop(p: &PortalGroupProp) -> Value {
    let c = VdsIscsiPortalGroupProp {
        id: p.id.into(),
        tag: p.tag,
    };
    json!({ "id": p.id.to_string(), "tag": p.tag, "raw": raw(&encode_prop(&c, &[])) })
}

pub(super) fn portal_prop(p: &PortalProp) -> Value {
    let c = VdsIscsiPortalProp {
        id: p.id.into(),
        address: c_address(&p.address),
        status: p.status.number(),
    };
    json!({
        "id": p.id.to_string(),
        "address": address(&p.address),
        "status": format!("VDS_IPS_{}", p.status.name()),
        "status_number": p.status.number(),
        "raw": raw(&encode_prop(&c, &[])),
    })
}

pub(super) fn adapter_prop(p: &InitiatorAdapterProp) -> Value {
    let c = VdsIscsiInitiatorAdapterProp {
        id: p.id.into(),
        ..VdsIscsiInitiatorAdapterProp::default()
    };
    json!({
        "id": p.id.to_string(),
        "adapter_name": p.name,
        "raw": raw(&encode_prop(&c, &[(16, &p.name)])),
    })
}

pub(super) fn initiator_portal_prop(p: &InitiatorPortalProp) -> Value {
    let c = VdsIscsiInitiatorPortalProp {
        id: p.id.into(),
        address: c_address(&p.address),
        ul_port_index: p.port_index,
    };
    json!({
        "id": p.id.to_string(),
        "address": address(&p.address),
        "port_index": p.port_index,
        "raw": raw(&encode_prop(&c, &[])),
    })
}
