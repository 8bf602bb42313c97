//! Methods of the VDS objects.

use super::args::{guid, number, number_or, optional_entries, optional_raw, raw};
use super::vds_json::{self as write, from_path_policy, result};
use super::{Method, Param, may, method, must, waits};
use crate::control::jsonrpc::{Params, RpcError};
use crate::control::layout::vds::decode_path_policies;
use crate::control::vds::types::{ObjectType, PathId, PathPolicy};
use crate::control::vds::{
    Failure, HResult, Interface, Object, Result as VdsResult, SetPaths, interface, iscsi, lun,
    mpio, object, query_interface, service,
};
use crate::control::view::{Surface, ids};
use crate::lun::policy::Policy;
use serde_json::{Value, json};
use uuid::Uuid;

type Answer = Result<Value, RpcError>;

const LUN: &[Param] = &[must("lun", "string", "GUID or name of the LUN")];
const ID: &[Param] = &[must("id", "string", "GUID of the object")];
const PROVIDER: &[Param] = &[may(
    "provider",
    "string",
    "GUID of the provider; there is one",
)];
const SUBSYSTEM: &[Param] = &[may(
    "subsystem",
    "string",
    "GUID of the subsystem; there is one",
)];
const OBJECT: &[Param] = &[
    must("id", "string", "GUID of the object"),
    must(
        "type",
        "integer",
        "VDS_OBJECT_TYPE: provider 1, subsystem 30, LUN 33, portal 36, target 37, portal group 38, initiator adapter 91, initiator portal 92",
    ),
];

/// The table.
pub(super) const METHODS: &[Method] = &[
    method(
        "vds_service_get_properties",
        "IVdsService::GetProperties",
        "version, flags, raw (VDS_SERVICE_PROP)",
        &[],
        |s, _| {
            Ok(result(
                Ok(service::get_service_properties(s)),
                write::service_prop,
            ))
        },
    ),
    method(
        "vds_service_is_service_ready",
        "IVdsService::IsServiceReady",
        "",
        &[],
        |s, _| {
            let hresult = service::is_service_ready(s);
            Ok(json!({ "hresult": hresult.0, "name": hresult.name() }))
        },
    ),
    method(
        "vds_service_query_providers",
        "IVdsService::QueryProviders",
        "objects (id, kind)",
        &[may(
            "masks",
            "integer",
            "software 1, hardware 2, virtual disk 4; 2 by default",
        )],
        |s, p| {
            let masks = number_or(p, "masks", 2)?;
            Ok(result(service::query_providers(s, masks), |o| {
                write::objects(o)
            }))
        },
    ),
    method(
        "vds_service_get_object",
        "IVdsService::GetObject",
        "id, kind of the object",
        OBJECT,
        |s, p| {
            let (id, object_type) = (guid(p, "id")?, number(p, "type")?);
            let object_type = i32::try_from(object_type).unwrap_or(-1);
            Ok(result(
                service::get_object(s, id, object_type),
                write::object,
            ))
        },
    ),
    method(
        "vds_service_reenumerate",
        "IVdsService::Reenumerate",
        "",
        &[],
        |s, _| Ok(result(service::reenumerate(s), |()| json!({}))),
    ),
    waits(method(
        "vds_service_refresh",
        "IVdsService::Refresh",
        "",
        &[],
        |s, _| Ok(result(service::refresh(s), |()| json!({}))),
    )),
    method(
        "vds_service_hba_query_hba_ports",
        "IVdsServiceHba::QueryHbaPorts",
        "objects (id, kind)",
        &[],
        |s, _| {
            Ok(result(Ok(service::query_hba_ports(s)), |o| {
                write::objects(o)
            }))
        },
    ),
    method(
        "vds_service_iscsi_get_initiator_name",
        "IVdsServiceIscsi::GetInitiatorName",
        "initiator_name",
        &[],
        |s, _| {
            let name = service::get_initiator_name(s);
            Ok(result(Ok(name), |n| json!({ "initiator_name": n })))
        },
    ),
    method(
        "vds_service_iscsi_query_initiator_adapters",
        "IVdsServiceIscsi::QueryInitiatorAdapters",
        "objects (id, kind)",
        &[],
        |s, _| {
            Ok(result(Ok(service::query_initiator_adapters(s)), |o| {
                write::objects(o)
            }))
        },
    ),
    method(
        "vds_query_interface",
        "IUnknown::QueryInterface",
        "interface, iid, interfaces (all of the object)",
        &[
            must("id", "string", "GUID of the object"),
            must(
                "type",
                "integer",
                "VDS_OBJECT_TYPE of it; 0 for the service",
            ),
            must("iid", "string", "IID or name of the interface"),
        ],
        interface_of,
    ),
    method(
        "vds_provider_get_properties",
        "IVdsProvider::GetProperties",
        "VDS_PROVIDER_PROP, raw",
        PROVIDER,
        |s, p| {
            let id = provider(s, p)?;
            Ok(result(
                service::get_provider_properties(s, id),
                write::provider_prop,
            ))
        },
    ),
    method(
        "vds_hw_provider_type2_get_provider_type2",
        "IVdsHwProviderType2::GetProviderType2; the same as GetProviderType",
        "type, type_number",
        PROVIDER,
        |s, p| {
            let id = provider(s, p)?;
            Ok(result(
                service::get_provider_type(s, id),
                |t| json!({ "type": t.name(), "type_number": t.number() }),
            ))
        },
    ),
    method(
        "vds_hw_provider_query_sub_systems",
        "IVdsHwProvider::QuerySubSystems",
        "objects (id, kind)",
        PROVIDER,
        |s, p| {
            let id = provider(s, p)?;
            Ok(result(service::query_subsystems(s, id), |o| {
                write::objects(o)
            }))
        },
    ),
    method(
        "vds_hw_provider_reenumerate",
        "IVdsHwProvider::Reenumerate",
        "",
        PROVIDER,
        |s, p| {
            let id = provider(s, p)?;
            let known = service::get_provider_type(s, id);
            Ok(result(known.and_then(|_| service::reenumerate(s)), |()| {
                json!({})
            }))
        },
    ),
    waits(method(
        "vds_hw_provider_refresh",
        "IVdsHwProvider::Refresh",
        "",
        PROVIDER,
        |s, p| {
            let id = provider(s, p)?;
            let known = service::get_provider_type(s, id);
            Ok(result(known.and_then(|_| service::refresh(s)), |()| {
                json!({})
            }))
        },
    )),
    method(
        "vds_sub_system_get_properties",
        "IVdsSubSystem::GetProperties",
        "VDS_SUB_SYSTEM_PROP, raw",
        SUBSYSTEM,
        |s, p| {
            let id = subsystem(s, p)?;
            Ok(result(
                service::get_subsystem_properties(s, id),
                write::subsystem_prop,
            ))
        },
    ),
    method(
        "vds_sub_system_get_provider",
        "IVdsSubSystem::GetProvider",
        "id, kind of the object",
        SUBSYSTEM,
        |s, p| {
            let id = subsystem(s, p)?;
            Ok(result(service::get_provider(s, id), write::object))
        },
    ),
    method(
        "vds_sub_system_query_luns",
        "IVdsSubSystem::QueryLuns",
        "objects (id, kind)",
        SUBSYSTEM,
        |s, p| {
            let id = subsystem(s, p)?;
            Ok(result(service::query_luns(s, id), |o| write::objects(o)))
        },
    ),
    method(
        "vds_sub_system_iscsi_query_targets",
        "IVdsSubSystemIscsi::QueryTargets",
        "objects (id, kind)",
        SUBSYSTEM,
        |s, p| {
            let id = subsystem(s, p)?;
            Ok(result(service::query_targets(s, id), |o| write::objects(o)))
        },
    ),
    method(
        "vds_sub_system_iscsi_query_portals",
        "IVdsSubSystemIscsi::QueryPortals",
        "objects (id, kind)",
        SUBSYSTEM,
        |s, p| {
            let id = subsystem(s, p)?;
            Ok(result(service::query_portals(s, id), |o| write::objects(o)))
        },
    ),
    method(
        "vds_lun_get_properties",
        "IVdsLun::GetProperties",
        "VDS_LUN_PROP, raw",
        LUN,
        |s, p| {
            let id = lun_id(s, p)?;
            Ok(result(
                on(id, |id| lun::get_properties(s, id)),
                write::lun_prop,
            ))
        },
    ),
    method(
        "vds_lun_get_sub_system",
        "IVdsLun::GetSubSystem",
        "id, kind of the object",
        LUN,
        |s, p| {
            let id = lun_id(s, p)?;
            Ok(result(
                on(id, |id| lun::get_subsystem(s, id)),
                write::object,
            ))
        },
    ),
    method(
        "vds_lun_number_get_lun_number",
        "IVdsLunNumber::GetLunNumber",
        "lun_number",
        LUN,
        |s, p| {
            let id = lun_id(s, p)?;
            Ok(result(
                on(id, |id| lun::get_lun_number(s, id)),
                |n| json!({ "lun_number": n }),
            ))
        },
    ),
    method(
        "vds_lun_iscsi_query_associated_targets",
        "IVdsLunIscsi::QueryAssociatedTargets",
        "objects (id, kind)",
        LUN,
        |s, p| {
            let id = lun_id(s, p)?;
            Ok(result(
                on(id, |id| lun::query_associated_targets(s, id)),
                |o| write::objects(o),
            ))
        },
    ),
    method(
        "vds_lun_mpio_get_path_info",
        "IVdsLunMpio::GetPathInfo",
        "number_of_paths, paths (VDS_PATH_INFO), raw",
        LUN,
        |s, p| {
            let id = lun_id(s, p)?;
            Ok(result(on(id, |id| mpio::get_path_info(s, id)), |i| {
                write::path_infos(i)
            }))
        },
    ),
    method(
        "vds_lun_mpio_get_load_balance_policy",
        "IVdsLunMpio::GetLoadBalancePolicy",
        "policy, policy_name, number_of_paths, paths (VDS_PATH_POLICY), raw",
        LUN,
        |s, p| {
            let id = lun_id(s, p)?;
            Ok(result(
                on(id, |id| mpio::get_load_balance_policy(s, id)),
                |got| {
                    let (paths, bytes) = write::path_policies(&got.paths);
                    let name =
                        Policy::from_number(got.policy).map_or("VDS_LBP_UNKNOWN", Policy::vds_name);
                    json!({
                        "policy": got.policy,
                        "policy_name": name,
                        "number_of_paths": got.paths.len(),
                        "paths": paths,
                        "raw": raw(&bytes),
                    })
                },
            ))
        },
    ),
    waits(method(
        "vds_lun_mpio_set_load_balance_policy",
        "IVdsLunMpio::SetLoadBalancePolicy",
        "",
        &[
            must("lun", "string", "GUID or name of the LUN"),
            must("policy", "integer", "VDS_LOADBALANCE_POLICY_ENUM"),
            may(
                "paths",
                "array",
                "objects with path_id, source_id, primary, weight; without: NULL",
            ),
            may(
                "raw",
                "string",
                "VDS_PATH_POLICY array as base64, in place of paths",
            ),
            may(
                "number_of_paths",
                "integer",
                "lNumberOfPaths, where it differs from the array",
            ),
        ],
        set_policy,
    )),
    method(
        "vds_lun_mpio_get_supported_lb_policies",
        "IVdsLunMpio::GetSupportedLbPolicies",
        "lb_flags (a mask of VDS_LBF_*), policies (names)",
        LUN,
        |s, p| {
            let id = lun_id(s, p)?;
            Ok(result(
                on(id, |id| mpio::get_supported_lb_policies(s, id)),
                |mask| {
                    let names = Policy::ALL.iter().filter(|p| mask & p.vds_bit() != 0);
                    json!({ "lb_flags": mask, "policies": names.map(|p| p.vds_name()).collect::<Vec<_>>() })
                },
            ))
        },
    ),
    method(
        "vds_iscsi_target_get_properties",
        "IVdsIscsiTarget::GetProperties",
        "VDS_ISCSI_TARGET_PROP, raw",
        ID,
        |s, p| {
            let id = guid(p, "id")?;
            Ok(result(
                iscsi::get_target_properties(s, id),
                write::target_prop,
            ))
        },
    ),
    method(
        "vds_iscsi_target_get_sub_system",
        "IVdsIscsiTarget::GetSubSystem",
        "id, kind of the object",
        ID,
        |s, p| {
            let id = guid(p, "id")?;
            Ok(result(iscsi::get_subsystem_of_target(s, id), write::object))
        },
    ),
    method(
        "vds_iscsi_target_query_portal_groups",
        "IVdsIscsiTarget::QueryPortalGroups",
        "objects (id, kind)",
        ID,
        |s, p| {
            let id = guid(p, "id")?;
            Ok(result(iscsi::query_portal_groups(s, id), |o| {
                write::objects(o)
            }))
        },
    ),
    method(
        "vds_iscsi_target_query_associated_luns",
        "IVdsIscsiTarget::QueryAssociatedLuns",
        "objects (id, kind)",
        ID,
        |s, p| {
            let id = guid(p, "id")?;
            Ok(result(iscsi::query_luns_of_target(s, id), |o| {
                write::objects(o)
            }))
        },
    ),
    method(
        "vds_iscsi_portal_group_get_properties",
        "IVdsIscsiPortalGroup::GetProperties",
        "VDS_ISCSI_PORTALGROUP_PROP, raw",
        ID,
        |s, p| {
            let id = guid(p, "id")?;
            Ok(result(
                iscsi::get_portal_group_properties(s, id),
                write::group_prop,
            ))
        },
    ),
    method(
        "vds_iscsi_portal_group_get_target",
        "IVdsIscsiPortalGroup::GetTarget",
        "id, kind of the object",
        ID,
        |s, p| {
            let id = guid(p, "id")?;
            Ok(result(iscsi::get_target_of_group(s, id), write::object))
        },
    ),
    method(
        "vds_iscsi_portal_group_query_associated_portals",
        "IVdsIscsiPortalGroup::QueryAssociatedPortals",
        "objects (id, kind)",
        ID,
        |s, p| {
            let id = guid(p, "id")?;
            Ok(result(iscsi::query_portals_of_group(s, id), |o| {
                write::objects(o)
            }))
        },
    ),
    method(
        "vds_iscsi_portal_get_properties",
        "IVdsIscsiPortal::GetProperties",
        "VDS_ISCSI_PORTAL_PROP, raw",
        ID,
        |s, p| {
            let id = guid(p, "id")?;
            Ok(result(
                iscsi::get_portal_properties(s, id),
                write::portal_prop,
            ))
        },
    ),
    method(
        "vds_iscsi_portal_query_associated_portal_groups",
        "IVdsIscsiPortal::QueryAssociatedPortalGroups",
        "objects (id, kind)",
        ID,
        |s, p| {
            let id = guid(p, "id")?;
            Ok(result(iscsi::query_groups_of_portal(s, id), |o| {
                write::objects(o)
            }))
        },
    ),
    method(
        "vds_iscsi_initiator_adapter_get_properties",
        "IVdsIscsiInitiatorAdapter::GetProperties",
        "VDS_ISCSI_INITIATOR_ADAPTER_PROP, raw",
        ID,
        |s, p| {
            let id = guid(p, "id")?;
            Ok(result(
                iscsi::get_initiator_adapter_properties(s, id),
                write::adapter_prop,
            ))
        },
    ),
    method(
        "vds_iscsi_initiator_adapter_query_initiator_portals",
        "IVdsIscsiInitiatorAdapter::QueryInitiatorPortals",
        "objects (id, kind)",
        ID,
        |s, p| {
            let id = guid(p, "id")?;
            Ok(result(iscsi::query_initiator_portals(s, id), |o| {
                write::objects(o)
            }))
        },
    ),
    method(
        "vds_iscsi_initiator_portal_get_properties",
        "IVdsIscsiInitiatorPortal::GetProperties",
        "VDS_ISCSI_INITIATOR_PORTAL_PROP, raw",
        ID,
        |s, p| {
            let id = guid(p, "id")?;
            Ok(result(
                iscsi::get_initiator_portal_properties(s, id),
                write::initiator_portal_prop,
            ))
        },
    ),
    method(
        "vds_iscsi_initiator_portal_get_initiator_adapter",
        "IVdsIscsiInitiatorPortal::GetInitiatorAdapter",
        "id, kind of the object",
        ID,
        |s, p| {
            let id = guid(p, "id")?;
            Ok(result(iscsi::get_adapter_of_portal(s, id), write::object))
        },
    ),
];

fn provider(s: &dyn Surface, p: &mut Params) -> Result<Uuid, RpcError> {
    optional_guid(p, "provider", || ids::provider(&s.view().host))
}

fn subsystem(s: &dyn Surface, p: &mut Params) -> Result<Uuid, RpcError> {
    optional_guid(p, "subsystem", || ids::subsystem(&s.view().host))
}

fn optional_guid(p: &mut Params, field: &str, or: impl FnOnce() -> Uuid) -> Result<Uuid, RpcError> {
    match p.optional(field) {
        None => Ok(or()),
        Some(Value::String(text)) => {
            Uuid::try_parse(text.trim()).map_err(|_| RpcError::field(field, "is no GUID"))
        }
        Some(_) => Err(RpcError::field(field, "must be a GUID")),
    }
}

/// A LUN by GUID or name. A name that nobody has is no malformed call, but an object not found.
fn lun_id(s: &dyn Surface, p: &mut Params) -> Result<VdsResult<Uuid>, RpcError> {
    let text = p.text("lun", "GUID or name of a LUN")?;
    let view = s.view();
    if let Some(lun) = view.lun(&text) {
        return Ok(Ok(lun.guid));
    }
    // A name that was a LUN's still stands for it: the object is there, and deleted.
    let once = ids::lun(&view.host, &text);
    if view.departed.contains(&once) {
        return Ok(Ok(once));
    }
    Ok(Uuid::try_parse(text.trim()).map_err(|_| {
        let why = format!("there is no LUN '{text}'");
        Failure::new(HResult::VDS_E_OBJECT_NOT_FOUND, why)
    }))
}

fn on<T>(id: VdsResult<Uuid>, f: impl FnOnce(Uuid) -> VdsResult<T>) -> VdsResult<T> {
    id.and_then(f)
}

fn interface_of(s: &dyn Surface, p: &mut Params) -> Answer {
    let (id, object_type) = (guid(p, "id")?, number(p, "type")?);
    let iid = p.text("iid", "an IID or the name of an interface")?;
    let iid = match Interface::parse(&iid) {
        Some(known) => known.iid(),
        None => Uuid::try_parse(iid.trim())
            .map_err(|_| RpcError::field("iid", "is no IID, and no interface that we know"))?,
    };
    let asked = || -> VdsResult<(Object, Interface)> {
        let object = if object_type == 0 {
            Object::Service
        } else {
            let kind = i32::try_from(object_type)
                .ok()
                .and_then(ObjectType::from_number);
            match kind {
                // A LUN that is gone still is what it was.
                Some(ObjectType::Lun) if s.view().departed.contains(&id) => Object::Lun(id),
                _ => object::get_object(&s.view(), id, object_type as i32)?,
            }
        };
        Ok((object, query_interface(&object, iid)?))
    };
    Ok(result(asked(), |(object, found)| {
        let all = interface::interfaces_of(object).iter().map(|i| i.name());
        json!({
            "interface": found.name(),
            "iid": found.iid().to_string(),
            "interfaces": all.collect::<Vec<_>>(),
        })
    }))
}

fn set_policy(s: &dyn Surface, p: &mut Params) -> Answer {
    let id = lun_id(s, p)?;
    let policy = number(p, "policy")?;
    let entries = optional_entries(p, "paths")?;
    let bytes = optional_raw(p, "raw")?;
    let count = match p.optional("number_of_paths") {
        None => None,
        Some(value) => match value.as_i64().and_then(|n| i32::try_from(n).ok()) {
            Some(n) => Some(n),
            None => {
                return Err(RpcError::field(
                    "number_of_paths",
                    "must be a whole number of 32 bits",
                ));
            }
        },
    };
    let array = match (entries, bytes) {
        (Some(_), Some(_)) => return Err(RpcError::field("raw", "is given beside paths")),
        (None, None) => None,
        (Some(entries), None) => Some(read_paths(s, entries)?),
        (None, Some(bytes)) => {
            let whole = (bytes.len() / 24) as u32;
            let asked = count.and_then(|n| u32::try_from(n).ok()).unwrap_or(whole);
            let all = decode_path_policies(&bytes, asked);
            let all = all.map_err(|e| RpcError::field("raw", e))?;
            Some(all.iter().map(from_path_policy).collect())
        }
    };
    let outcome = on(id, |id| match (&array, count) {
        (None, count) => {
            let null = SetPaths::Null(count.unwrap_or(0));
            mpio::set_load_balance_policy(s, id, policy, null)
        }
        (Some(array), Some(n)) if usize::try_from(n) != Ok(array.len()) => {
            let why = format!("lNumberOfPaths is {n}, the array has {}", array.len());
            Err(Failure::new(HResult::E_INVALIDARG, why))
        }
        (Some(array), _) => mpio::set_load_balance_policy(s, id, policy, SetPaths::Array(array)),
    });
    Ok(result(outcome, |()| json!({})))
}

fn read_paths(
    s: &dyn Surface,
    entries: Vec<super::args::Entry>,
) -> Result<Vec<PathPolicy>, RpcError> {
    let ours = ids::dsm(&s.view().host);
    let read = |mut e: super::args::Entry| {
        let policy = PathPolicy {
            id: PathId {
                source: e.optional_id("source_id")?.unwrap_or(ours),
                path: e.id("path_id")?,
            },
            primary: e.flag_or("primary", true)?,
            weight: e.number_or("weight", 0)?,
        };
        e.finish()?;
        Ok(policy)
    };
    entries.into_iter().map(read).collect()
}
