//! The Windows-shaped objects as methods: IVdsLunMpio and its surroundings, the DSM's WMI classes,
//! MSiSCSI. Results carry `{"hresult" | "status": number, "name": …}`; a JSON-RPC error is for calls
//! that are malformed. Raw IN and OUT buffers are base64.

use super::methods::{Kind, Means, Method, Param, id, may, must};
use crate::control::jsonrpc::{Params, RpcError};
use crate::control::layout::dsm::MpioDsmPathV2;
use crate::control::msiscsi;
use crate::control::state::id as id_text;
use crate::control::vds::types::{PathEnds, PathId, PathInfo, PathPolicy};
use crate::control::vds::{self, Failure, HResult, Object, SetPaths};
use crate::control::view::{Surface, ids};
use crate::control::wmi::{self, class::Class};
use crate::lun::policy::{NtStatus, Policy, SetMethod, SetPath, SetRequest};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use uuid::Uuid;

/// A raw buffer in bytes at most.
const RAW_MAX: usize = 256 << 10;

const GUID: Param = must("id", Kind::Text, "GUID of the LUN, or its name");
const OBJECT: Param = must("id", Kind::Text, "GUID of the object");
const INSTANCE: Param = must(
    "instance",
    Kind::Text,
    "InstanceName; a LUN's name, GUID or \"MPIO DiskN\" will do",
);
const OK: &str = "hresult, name";

/// All of them, by name.
pub(super) const METHODS: &[Method] = &[
    Method {
        name: "dsm_lb_operations_dsm_set_load_balance_policy",
        summary: "DSM_LB_Operations.DsmSetLoadBalancePolicy: every check of Windows, in its order.",
        params: SET_PARAMS,
        result: "status (NTSTATUS), name, out (base64)",
        means: Means::Object(|p, s| dsm_set(p, s, SetMethod::Plain)),
    },
    Method {
        name: "dsm_lb_operations_dsm_set_load_balance_policy_alua",
        summary: "DSM_LB_Operations.DsmSetLoadBalancePolicyALUA.",
        params: SET_PARAMS,
        result: "status (NTSTATUS), name, out (base64)",
        means: Means::Object(|p, s| dsm_set(p, s, SetMethod::Alua)),
    },
    Method {
        name: "dsm_query_lb_policy",
        summary: "DSM_QueryLBPolicy_V2, and its V1 form as raw_v1.",
        params: &[INSTANCE],
        result: "status, name, load_balance_policy, paths (MPIO_DSM_Path_V2), raw_v1, raw_v2 (base64)",
        means: Means::Object(dsm_query),
    },
    Method {
        name: "dsm_query_supported_lb_policies",
        summary: "DSM_QuerySupportedLBPolicies.",
        params: &[INSTANCE],
        result: "status, name, policies (numbers)",
        means: Means::Object(|p, s| {
            let instance = text(p, "instance")?;
            Ok(
                match wmi::policy::query_supported_lb_policies(s, &instance) {
                    Ok(policies) => status(NtStatus::SUCCESS, json!({ "policies": policies })),
                    Err(e) => status(e, json!({})),
                },
            )
        }),
    },
    Method {
        name: "dsm_query_unique_id",
        summary: "DSM_QueryUniqueId.",
        params: &[INSTANCE],
        result: "status, name, dsm_unique_id",
        means: Means::Object(|p, s| {
            let instance = text(p, "instance")?;
            Ok(match wmi::policy::query_unique_id(s, &instance) {
                Ok(n) => status(NtStatus::SUCCESS, json!({ "dsm_unique_id": id_text(n) })),
                Err(e) => status(e, json!({})),
            })
        }),
    },
    Method {
        name: "msiscsi_lb_operations_set_load_balance_policy",
        summary: "MSiSCSI_LB_Operations.SetLoadBalancePolicy over the connections of a session.",
        params: &[must("in", Kind::Text, "SetLoadBalancePolicy_IN, base64")],
        result: "status (ISCSI_STATUS_QUALIFIERS), name, out (base64)",
        means: Means::Object(|p, s| {
            let bytes = raw(p, "in")?;
            let request = msiscsi::SetRequest::parse(&bytes);
            let status = msiscsi::set_load_balance_policy(s, &request);
            let out = STANDARD.encode(msiscsi::encode_out(status));
            Ok(json!({ "status": status.0, "name": status.name(), "out": out }))
        }),
    },
    Method {
        name: "msiscsi_query_lb_policy",
        summary: "MSiSCSI_QueryLBPolicy of all sessions.",
        params: &[],
        result: "adapter, sessions (how many), raw (base64)",
        means: Means::Object(|_, s| {
            let q = msiscsi::query_lb_policy(s);
            let raw = STANDARD.encode(q.encode());
            Ok(json!({ "adapter": id_text(q.adapter), "sessions": q.sessions.len(), "raw": raw }))
        }),
    },
    Method {
        name: "vds_lun_get_properties",
        summary: "IVdsLun::GetProperties.",
        params: &[GUID],
        result: "hresult, name, and VDS_LUN_PROP",
        means: Means::Object(|p, s| {
            let lun = lun(p, s)?;
            Ok(answer(vds::lun::get_properties(s, lun), |l| {
                json!({
                    "id": l.id.to_string(),
                    "size": l.size,
                    "friendly_name": l.friendly_name,
                    "identification": l.identification,
                    "unmasking_list": l.unmasking_list,
                    "flags": l.flags,
                    "type": l.lun_type.number(),
                    "status": l.status.number(),
                    "health": l.health.number(),
                    "rebuild_priority": l.rebuild_priority,
                })
            }))
        }),
    },
    Method {
        name: "vds_lun_mpio_get_load_balance_policy",
        summary: "IVdsLunMpio::GetLoadBalancePolicy.",
        params: &[GUID],
        result: "hresult, name, policy, policy_name, number_of_paths, paths",
        means: Means::Object(|p, s| {
            let lun = lun(p, s)?;
            Ok(answer(vds::mpio::get_load_balance_policy(s, lun), |g| {
                let name =
                    Policy::from_number(g.policy).map_or("VDS_LBP_UNKNOWN", Policy::vds_name);
                let paths: Vec<Value> = g.paths.iter().map(path_policy).collect();
                json!({
                    "policy": g.policy,
                    "policy_name": name,
                    "number_of_paths": paths.len(),
                    "paths": paths,
                })
            }))
        }),
    },
    Method {
        name: "vds_lun_mpio_get_path_info",
        summary: "IVdsLunMpio::GetPathInfo.",
        params: &[GUID],
        result: "hresult, name, number_of_paths, paths (VDS_PATH_INFO)",
        means: Means::Object(|p, s| {
            let lun = lun(p, s)?;
            Ok(answer(vds::mpio::get_path_info(s, lun), |all| {
                let paths: Vec<Value> = all.iter().map(path_info).collect();
                json!({ "number_of_paths": paths.len(), "paths": paths })
            }))
        }),
    },
    Method {
        name: "vds_lun_mpio_get_supported_lb_policies",
        summary: "IVdsLunMpio::GetSupportedLbPolicies.",
        params: &[GUID],
        result: "hresult, name, lb_flags (a mask of VDS_LBF_*)",
        means: Means::Object(|p, s| {
            let lun = lun(p, s)?;
            let mask = vds::mpio::get_supported_lb_policies(s, lun);
            Ok(answer(mask, |m| json!({ "lb_flags": m })))
        }),
    },
    Method {
        name: "vds_lun_mpio_set_load_balance_policy",
        summary: "IVdsLunMpio::SetLoadBalancePolicy. Without paths: a NULL pointer with count 0.",
        params: &[
            GUID,
            must("policy", Kind::Number, "VDS_LBP_*, 1 to 7"),
            may(
                "paths",
                Kind::VdsPathList,
                "VDS_PATH_POLICY: source, path, primary, weight",
            ),
        ],
        result: OK,
        means: Means::Object(vds_set),
    },
    Method {
        name: "vds_provider_query_subsystems",
        summary: "IVdsHwProvider::QuerySubSystems.",
        params: &[OBJECT],
        result: "hresult, name, objects (kind, id)",
        means: Means::Object(|p, s| {
            let id = guid(p)?;
            Ok(answer(vds::service::query_subsystems(s, id), |o| {
                objects(o)
            }))
        }),
    },
    Method {
        name: "vds_provider_reenumerate",
        summary: "IVdsHwProvider::Reenumerate: reads again which LUNs and paths there are.",
        params: &[],
        result: OK,
        means: Means::Object(|_, s| Ok(answer(vds::service::reenumerate(s), |()| json!({})))),
    },
    Method {
        name: "vds_provider_refresh",
        summary: "IVdsHwProvider::Refresh: reads every object again.",
        params: &[],
        result: OK,
        means: Means::Object(|_, s| Ok(answer(vds::service::refresh(s), |()| json!({})))),
    },
    Method {
        name: "vds_service_query_providers",
        summary: "IVdsService::QueryProviders.",
        params: &[may(
            "masks",
            Kind::Number,
            "VDS_QUERY_*; 2, hardware, without",
        )],
        result: "hresult, name, objects (kind, id)",
        means: Means::Object(|p, s| {
            let masks = p
                .optional_number("masks", 0..=u64::from(u32::MAX))?
                .unwrap_or(2);
            Ok(answer(
                vds::service::query_providers(s, masks as u32),
                objects,
            ))
        }),
    },
    Method {
        name: "vds_subsystem_query_luns",
        summary: "IVdsSubSystem::QueryLuns.",
        params: &[OBJECT],
        result: "hresult, name, objects (kind, id)",
        means: Means::Object(|p, s| {
            let id = guid(p)?;
            Ok(answer(vds::service::query_luns(s, id), objects))
        }),
    },
    Method {
        name: "wmi_execute",
        summary: "Executes a WMI method with raw buffers.",
        params: &[
            must("class", Kind::Text, "name or GUID of the class"),
            INSTANCE,
            must("method", Kind::Number, "WmiMethodId"),
            must("in", Kind::Text, "IN buffer, base64"),
            may(
                "out_size",
                Kind::Number,
                "room for the OUT buffer; 65536 without",
            ),
        ],
        result: "status (NTSTATUS), name, out (base64)",
        means: Means::Object(|p, s| {
            let class = text(p, "class")?;
            let instance = text(p, "instance")?;
            let method = p.number("method", 0..=u64::from(u32::MAX))? as u32;
            let input = raw(p, "in")?;
            let room = p
                .optional_number("out_size", 0..=RAW_MAX as u64)?
                .unwrap_or(65_536) as u32;
            let class = Class::parse(&class);
            Ok(block(
                class.and_then(|c| c.execute(s, &instance, method, &input, room)),
                "out",
            ))
        }),
    },
    Method {
        name: "wmi_query",
        summary: "The data block of an instance of a WMI class, as raw bytes.",
        params: &[
            must("class", Kind::Text, "name or GUID of the class"),
            INSTANCE,
        ],
        result: "status (NTSTATUS), name, block (base64)",
        means: Means::Object(|p, s| {
            let class = text(p, "class")?;
            let instance = text(p, "instance")?;
            Ok(block(
                Class::parse(&class).and_then(|c| c.query(s, &instance)),
                "block",
            ))
        }),
    },
    Method {
        name: "wmi_set",
        summary: "Sets the data block of an instance of a WMI class.",
        params: &[
            must("class", Kind::Text, "name or GUID of the class"),
            INSTANCE,
            must("block", Kind::Text, "the block, base64"),
        ],
        result: "status (NTSTATUS), name",
        means: Means::Object(|p, s| {
            let class = text(p, "class")?;
            let instance = text(p, "instance")?;
            let bytes = raw(p, "block")?;
            Ok(
                match Class::parse(&class).and_then(|c| c.set(s, &instance, &bytes)) {
                    Ok(()) => status(NtStatus::SUCCESS, json!({})),
                    Err(e) => status(e, json!({})),
                },
            )
        }),
    },
];

const SET_PARAMS: &[Param] = &[
    INSTANCE,
    may("policy", Kind::Number, "LoadBalancePolicy; 0 clears"),
    may(
        "paths",
        Kind::DsmPathList,
        "path, and primary, optimized, preferred, weight",
    ),
    may(
        "in",
        Kind::Text,
        "the IN buffer instead of policy and paths, base64",
    ),
];

fn text(p: &mut Params, field: &str) -> Result<String, RpcError> {
    p.text(field, "a text")
}

fn raw(p: &mut Params, field: &str) -> Result<Vec<u8>, RpcError> {
    let wrong = |what: String| RpcError::field(field, what);
    let text = p.text(field, "bytes in base64")?;
    let bytes = STANDARD
        .decode(&text)
        .map_err(|e| wrong(format!("must be base64: {e}")))?;
    if bytes.len() > RAW_MAX {
        return Err(wrong(format!("{} bytes; {RAW_MAX} at most", bytes.len())));
    }
    Ok(bytes)
}

fn guid(p: &mut Params) -> Result<Uuid, RpcError> {
    let text = p.text("id", "a GUID")?;
    Uuid::try_parse(&text).map_err(|_| RpcError::field("id", "must be a GUID"))
}

/// A LUN's GUID, given as such or by its name.
fn lun(p: &mut Params, s: &dyn Surface) -> Result<Uuid, RpcError> {
    let text = p.text("id", "a GUID or the name of a LUN")?;
    if let Ok(id) = Uuid::try_parse(&text) {
        return Ok(id);
    }
    let view = s.view();
    let id = ids::lun(&view.host, &text);
    if view.lun(&text).is_some() || view.departed.contains(&id) {
        return Ok(id);
    }
    let what = format!("'{text}' is no GUID and no LUN; vds_subsystem_query_luns names them");
    Err(RpcError::field("id", what))
}

fn answer<T>(result: vds::Result<T>, value: impl FnOnce(T) -> Value) -> Value {
    let (code, mut told) = match result {
        Ok(v) => (HResult::S_OK, value(v)),
        Err(Failure { hresult, why }) => (hresult, json!({ "why": why })),
    };
    told["hresult"] = json!(code.0);
    told["name"] = json!(code.name());
    told
}

fn status(status: NtStatus, mut told: Value) -> Value {
    told["status"] = json!(status.0);
    told["name"] = json!(wmi::status_name(status));
    told
}

fn block(result: wmi::Result<Vec<u8>>, name: &str) -> Value {
    match result {
        Ok(bytes) => status(NtStatus::SUCCESS, json!({ name: STANDARD.encode(bytes) })),
        Err(e) => status(e, json!({})),
    }
}

fn objects(all: Vec<Object>) -> Value {
    let object = |o: &Object| json!({ "kind": o.kind(), "id": o.id().to_string() });
    json!({ "objects": all.iter().map(object).collect::<Vec<_>>() })
}

fn path_id(id: PathId) -> Value {
    json!({ "source": id_text(id.source), "path": id_text(id.path) })
}

fn path_policy(p: &PathPolicy) -> Value {
    let mut out = path_id(p.id);
    out["primary"] = json!(p.primary);
    out["weight"] = json!(p.weight);
    out
}

fn path_info(p: &PathInfo) -> Value {
    let mut out = path_id(p.id);
    out["type"] = json!(p.hw_type().number());
    out["type_name"] = json!(p.hw_type().name());
    out["status"] = json!(p.status.number());
    out["status_name"] = json!(p.status.name());
    if let PathEnds::Ip {
        target_portal,
        initiator_adapter,
        initiator_portal,
    } = &p.ends
    {
        out["target_portal_id"] = json!(target_portal.to_string());
        out["initiator_adapter_id"] = json!(initiator_adapter.to_string());
        out["initiator_portal_type"] = json!(initiator_portal.name());
        out["initiator_portal_ip"] = json!(initiator_portal.ip().map(|ip| ip.to_string()));
    }
    out
}

/// Objects of a list, with their members read by `read`.
fn list<T>(
    p: &mut Params,
    read: impl Fn(&mut Params, &str) -> Result<T, RpcError>,
) -> Result<Option<Vec<T>>, RpcError> {
    let items = match p.optional("paths") {
        None | Some(Value::Null) => return Ok(None),
        Some(Value::Array(items)) => items,
        Some(_) => return Err(RpcError::field("paths", "must be a list of objects")),
    };
    let mut out = Vec::with_capacity(items.len());
    for (n, item) in items.into_iter().enumerate() {
        let at = format!("paths[{n}]");
        let Value::Object(item) = item else {
            return Err(RpcError::field(&at, "must be an object"));
        };
        let mut members = Params::from(item);
        let named = |e: RpcError| RpcError {
            message: format!("{at}.{}", e.message),
            field: e.field.map(|f| format!("{at}.{f}")),
            ..e
        };
        out.push(read(&mut members, &at).map_err(named)?);
        members.finish().map_err(named)?;
    }
    Ok(Some(out))
}

fn vds_set(p: &mut Params, s: &dyn Surface) -> Result<Value, RpcError> {
    let lun = lun(p, s)?;
    let policy = p.number("policy", 0..=u64::from(u32::MAX))? as u32;
    let paths = list(p, |m, _| {
        Ok(PathPolicy {
            id: PathId {
                source: id(m, "source")?,
                path: id(m, "path")?,
            },
            primary: m.optional_flag("primary")?.unwrap_or(true),
            weight: m
                .optional_number("weight", 0..=u64::from(u32::MAX))?
                .unwrap_or(0) as u32,
        })
    })?;
    let paths = paths.as_deref().map_or(SetPaths::Null(0), SetPaths::Array);
    Ok(answer(
        vds::mpio::set_load_balance_policy(s, lun, policy, paths),
        |()| json!({}),
    ))
}

fn dsm_set(p: &mut Params, s: &dyn Surface, method: SetMethod) -> Result<Value, RpcError> {
    let instance = text(p, "instance")?;
    let policy = p.optional_number("policy", 0..=u64::from(u32::MAX))?;
    let paths = list(p, |m, _| {
        let flag = |m: &mut Params, name: &str, or: bool| Ok(m.optional_flag(name)?.unwrap_or(or));
        Ok(SetPath {
            id: id(m, "path")?,
            primary: flag(m, "primary", true)?,
            optimized: flag(m, "optimized", true)?,
            preferred: flag(m, "preferred", false)?,
            weight: m
                .optional_number("weight", 0..=u64::from(u32::MAX))?
                .unwrap_or(0) as u32,
        })
    })?;
    let given = match p.optional("in") {
        None | Some(Value::Null) => None,
        Some(Value::String(text)) => {
            let bytes = STANDARD.decode(&text);
            Some(bytes.map_err(|e| RpcError::field("in", format!("must be base64: {e}")))?)
        }
        Some(_) => return Err(RpcError::field("in", "must be bytes in base64")),
    };
    let request = match (given, policy) {
        (Some(_), Some(_)) => {
            return Err(RpcError::field("in", "stands instead of policy and paths"));
        }
        (None, None) => {
            return Err(RpcError::field(
                "policy",
                "missing; or give the buffer as in",
            ));
        }
        (Some(bytes), None) => wmi::operations::parse_in(method, &bytes, 4),
        (None, Some(n)) => SetRequest::new(method, n as u32, paths.unwrap_or_default()),
    };
    let done = wmi::operations::set_load_balance_policy(s, &instance, &request);
    let done = done.unwrap_or_else(|e| e);
    let out = STANDARD.encode(wmi::operations::encode_out(done));
    Ok(status(done, json!({ "out": out })))
}

fn dsm_query(p: &mut Params, s: &dyn Surface) -> Result<Value, RpcError> {
    let instance = text(p, "instance")?;
    let q = match wmi::policy::query_lb_policy(s, &instance) {
        Ok(q) => q,
        Err(e) => return Ok(status(e, json!({}))),
    };
    let path = |p: &MpioDsmPathV2| {
        json!({
            "dsm_path_id": id_text(p.dsm_path_id),
            "path_weight": p.path_weight,
            "primary_path": p.primary_path,
            "optimized_path": p.optimized_path,
            "preferred_path": p.preferred_path,
            "failed_path": p.failed_path,
            "target_port_group_state": p.target_port_group_state,
            "alua_support": p.alua_support,
            "symmetric_lua": p.symmetric_lua,
            "target_port_group_preferred": p.target_port_group_preferred,
            "target_port_group_identifier": p.target_port_group_identifier,
            "target_port_identifier": p.target_port_identifier,
        })
    };
    let told = json!({
        "load_balance_policy": q.policy,
        "dsm_path_count": q.paths.len(),
        "paths": q.paths.iter().map(path).collect::<Vec<_>>(),
        "raw_v1": STANDARD.encode(q.encode_v1()),
        "raw_v2": STANDARD.encode(q.encode_v2()),
    });
    Ok(status(NtStatus::SUCCESS, told))
}
