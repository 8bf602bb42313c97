//! Methods of the WMI classes of MPIO and its DSM. The named ones have readable answers; `wmi_query`,
//! `wmi_set` and `wmi_execute` take and give the bytes of any class.

use super::args::{Entry, id, number, number_or, optional_entries, optional_raw, raw};
use super::{Method, Param, may, method, must, waits};
use crate::control::jsonrpc::{Params, RpcError};
use crate::control::layout::dsm::MpioDsmPathV2;
use crate::control::layout::from_wmi_text;
use crate::control::layout::mpio::{DsmCounters, MpioPathHealth, encode_counted};
use crate::control::view::Surface;
use crate::control::wmi::class::Class;
use crate::control::wmi::defaults::{self, DefaultPolicy};
use crate::control::wmi::{self as objects, health, mpio, operations, policy, status_name, timers};
use crate::lun::policy::{NtStatus, Policy, SetMethod, SetPath, SetRequest};
use serde_json::{Value, json};

type Answer = Result<Value, RpcError>;

const INSTANCE: &[Param] = &[must(
    "instance",
    "string",
    "InstanceName, GUID, 'MPIO DiskN' or name of the LUN",
)];
const SET: &[Param] = &[
    must(
        "instance",
        "string",
        "InstanceName, GUID, 'MPIO DiskN' or name of the LUN",
    ),
    may("policy", "integer", "LoadBalancePolicy; 0 clears"),
    may(
        "paths",
        "array",
        "objects with path_id, primary, weight, and for ALUA optimized, preferred",
    ),
    may("version", "integer", "Version of the structure"),
    may(
        "raw",
        "string",
        "the IN buffer as base64, in place of the rest",
    ),
];

/// The table.
pub(super) const METHODS: &[Method] = &[
    method(
        "dsm_query_lb_policy",
        "DSM_QueryLBPolicy",
        "policy, policy_name, paths (MPIO_DSM_Path_V2), raw (DSM_QueryLBPolicy)",
        INSTANCE,
        |s, p| query(s, p, |got| raw(&got.encode_v1())),
    ),
    method(
        "dsm_query_lb_policy_v2",
        "DSM_QueryLBPolicy_V2",
        "policy, policy_name, paths (MPIO_DSM_Path_V2), raw (DSM_QueryLBPolicy_V2)",
        INSTANCE,
        |s, p| query(s, p, |got| raw(&got.encode_v2())),
    ),
    method(
        "dsm_query_supported_lb_policies",
        "DSM_QuerySupportedLBPolicies",
        "policies (numbers), raw",
        INSTANCE,
        |s, p| supported(s, p, 1),
    ),
    method(
        "dsm_query_supported_lb_policies_v2",
        "DSM_QuerySupportedLBPolicies_V2",
        "policies (numbers), raw",
        INSTANCE,
        |s, p| supported(s, p, 2),
    ),
    method(
        "dsm_query_unique_id",
        "DSM_QueryUniqueId",
        "dsm_unique_id, raw",
        INSTANCE,
        |s, p| {
            let got = policy::query_unique_id(s, &instance(p)?);
            Ok(result(
                got,
                |n| json!({ "dsm_unique_id": id(*n), "raw": raw(&n.to_le_bytes()) }),
            ))
        },
    ),
    waits(method(
        "dsm_lb_operations_dsm_set_load_balance_policy",
        "DSM_LB_Operations.DsmSetLoadBalancePolicy",
        "raw (the OUT buffer)",
        SET,
        |s, p| set(s, p, SetMethod::Plain),
    )),
    waits(method(
        "dsm_lb_operations_dsm_set_load_balance_policy_alua",
        "DSM_LB_Operations.DsmSetLoadBalancePolicyALUA",
        "raw (the OUT buffer)",
        SET,
        |s, p| set(s, p, SetMethod::Alua),
    )),
    method(
        "msdsm_get_default_load_balance_policy",
        "MSDSM_DEFAULT_LOAD_BALANCE_POLICY",
        "policy, preferred_path, raw",
        &[],
        |s, _| {
            let got = defaults::get_default(s);
            Ok(result(Ok(got), |d| default(*d, Some(d.encode()))))
        },
    ),
    method(
        "msdsm_set_default_load_balance_policy",
        "MSDSM_DEFAULT_LOAD_BALANCE_POLICY, written",
        "",
        &[
            must("policy", "integer", "LoadBalancePolicy; 0 removes"),
            may("preferred_path", "string", "path id"),
        ],
        |s, p| {
            let new = new_default(p)?;
            Ok(result(defaults::set_default(s, new), |()| json!({})))
        },
    ),
    method(
        "msdsm_get_targets_default_load_balance_policy",
        "MSDSM_TARGETS_DEFAULT_LOAD_BALANCE_POLICY",
        "targets (hardware_id, policy, preferred_path), raw",
        &[],
        |s, _| {
            let all = defaults::get_target_defaults(s);
            Ok(result(Ok(all), |all| {
                let one = |(hardware, d): &(crate::control::view::HardwareId, DefaultPolicy)| {
                    let mut v = default(*d, None);
                    v["hardware_id"] = json!(hardware.padded());
                    v
                };
                json!({
                    "targets": all.iter().map(one).collect::<Vec<_>>(),
                    "raw": raw(&defaults::encode_target_defaults(all)),
                })
            }))
        },
    ),
    method(
        "msdsm_set_target_default_load_balance_policy",
        "MSDSM_TARGET_DEFAULT_POLICY_INFO, written",
        "",
        &[
            must(
                "hardware_id",
                "string",
                "8 characters of vendor, 16 of product, blank padded",
            ),
            must("policy", "integer", "LoadBalancePolicy; 0 removes"),
            may("preferred_path", "string", "path id"),
        ],
        |s, p| {
            let hardware = p.text("hardware_id", "vendor and product")?;
            let new = new_default(p)?;
            Ok(result(
                defaults::set_target_default(s, &hardware, new),
                |()| json!({}),
            ))
        },
    ),
    method(
        "mpio_disk_info",
        "MPIO_DISK_INFO",
        "drives (MPIO_DRIVE_INFO), raw",
        &[],
        |s, _| {
            Ok(result(Ok(mpio::disk_info(s)), |all| {
                let one = |d: &crate::control::layout::mpio::MpioDriveInfo| {
                    json!({
                        "disk": from_wmi_text(&d.name),
                        "number_paths": d.number_paths,
                        "serial_number": from_wmi_text(&d.serial_number),
                        "dsm_name": from_wmi_text(&d.dsm_name),
                    })
                };
                json!({ "drives": all.iter().map(one).collect::<Vec<_>>(), "raw": raw(&encode_counted(4, all)) })
            }))
        },
    ),
    method(
        "mpio_get_descriptor",
        "MPIO_GET_DESCRIPTOR",
        "device_name, pdos (PDO_INFORMATION), raw",
        INSTANCE,
        |s, p| {
            let got = mpio::get_descriptor(s, &instance(p)?);
            Ok(result(got, |d| {
                let pdo = |p: &crate::control::layout::mpio::PdoInformation| {
                    let a = p.scsi_address;
                    let length = (p.identifier_length as usize).min(p.identifier.len());
                    let identifier = p.identifier[..length].iter().map(|b| format!("{b:02x}"));
                    json!({
                        "path_identifier": id(p.path_identifier),
                        "scsi_address": format!("{:03}|{:03}|{:03}|{:03}", a.port_number, a.scsi_path_id, a.target_id, a.lun),
                        "device_state": p.device_state,
                        "identifier_type": p.identifier_type,
                        "identifier": identifier.collect::<String>(),
                    })
                };
                json!({
                    "device_name": d.device_name,
                    "pdos": d.pdos.iter().map(pdo).collect::<Vec<_>>(),
                    "raw": raw(&d.encode()),
                })
            }))
        },
    ),
    method(
        "mpio_path_information",
        "MPIO_PATH_INFORMATION",
        "paths (MPIO_ADAPTER_INFORMATION), raw",
        &[],
        |s, _| {
            Ok(result(Ok(mpio::path_information(s)), |all| {
                let one = |a: &crate::control::layout::mpio::MpioAdapterInformation| {
                    json!({
                        "path_id": id(a.path_id),
                        "adapter_name": from_wmi_text(&a.adapter_name),
                    })
                };
                json!({ "paths": all.iter().map(one).collect::<Vec<_>>(), "raw": raw(&encode_counted(8, all)) })
            }))
        },
    ),
    method(
        "mpio_registered_dsm",
        "MPIO_REGISTERED_DSM",
        "dsms (DSM_PARAMETERS), raw",
        &[],
        |s, _| {
            Ok(result(Ok(mpio::registered_dsm(s)), |all| {
                let one = |d: &crate::control::layout::mpio::DsmParameters| {
                    let v = d.version;
                    json!({
                        "dsm_name": from_wmi_text(&d.dsm_name),
                        "dsm_context": id(d.dsm_context),
                        "dsm_version": format!("{}.{}.{}.{}", v.major, v.minor, v.product_build, v.qfe_number),
                        "counters": counters(&d.counters),
                    })
                };
                json!({ "dsms": all.iter().map(one).collect::<Vec<_>>(), "raw": raw(&encode_counted(8, all)) })
            }))
        },
    ),
    method(
        "mpio_path_health_info",
        "MPIO_PATH_HEALTH_INFO",
        "paths (MPIO_PATH_HEALTH_CLASS), raw",
        &[],
        |s, _| Ok(result(Ok(health::path_health(s)), |all| paths_health(all))),
    ),
    method(
        "mpio_devinstance_health_info",
        "MPIO_DEVINSTANCE_HEALTH_INFO",
        "paths (MPIO_PATH_HEALTH_CLASS), raw",
        INSTANCE,
        |s, p| {
            let got = health::device_health(s, &instance(p)?);
            Ok(result(got, |all| paths_health(all)))
        },
    ),
    method(
        "mpio_timers_counters",
        "MPIO_TIMERS_COUNTERS",
        "counters (DSM_Counters), raw",
        &[],
        |s, _| {
            let block = Class::TimersCounters.query(s, "");
            let all = counters(&mpio::counters(&s.view().timers));
            Ok(result(
                block,
                |block| json!({ "counters": all, "raw": raw(block) }),
            ))
        },
    ),
    method(
        "mpio_wmi_methods_set_dsm_counters",
        "MPIO_WMI_METHODS.SetDSMCounters; what is left out stays",
        "",
        &[
            may(
                "dsm_context",
                "string",
                "DsmContext of MPIO_REGISTERED_DSM; ours by default",
            ),
            may("path_verify_enabled", "integer", "0 or 1"),
            may("path_verification_period", "integer", "seconds"),
            may("pdo_remove_period", "integer", "seconds"),
            may("retry_count", "integer", "retries of one request"),
            may("retry_interval", "integer", "seconds"),
        ],
        set_counters,
    ),
    method(
        "wmi_instances",
        "InstanceNames of a class",
        "instances (names)",
        &[must("class", "string", "GUID or name of the class")],
        |s, p| {
            let class = class(p)?;
            Ok(result(class, |c| json!({ "instances": c.instances(s) })))
        },
    ),
    method(
        "wmi_query",
        "The data block of an instance",
        "raw (the data block)",
        &[
            must("class", "string", "GUID or name of the class"),
            may(
                "instance",
                "string",
                "InstanceName; the control object by default",
            ),
        ],
        |s, p| {
            let (class, instance) = (class(p)?, optional_instance(p)?);
            Ok(result(
                class.and_then(|c| c.query(s, &instance)),
                |b| json!({ "raw": raw(b) }),
            ))
        },
    ),
    method(
        "wmi_set",
        "Writes the data block of an instance",
        "",
        &[
            must("class", "string", "GUID or name of the class"),
            may(
                "instance",
                "string",
                "InstanceName; the control object by default",
            ),
            must("raw", "string", "the block as base64"),
        ],
        |s, p| {
            let (class, instance) = (class(p)?, optional_instance(p)?);
            let block = optional_raw(p, "raw")?.ok_or_else(|| RpcError::field("raw", "missing"))?;
            Ok(result(
                class.and_then(|c| c.set(s, &instance, &block)),
                |()| json!({}),
            ))
        },
    ),
    waits(method(
        "wmi_execute",
        "Executes a method of an instance",
        "raw (the OUT buffer)",
        &[
            must("class", "string", "GUID or name of the class"),
            may(
                "instance",
                "string",
                "InstanceName; the control object by default",
            ),
            must("method", "integer", "WmiMethodId"),
            may("raw", "string", "the IN buffer as base64"),
            may(
                "out_size",
                "integer",
                "bytes of the OUT buffer; 65536 by default",
            ),
        ],
        |s, p| {
            let (class, instance) = (class(p)?, optional_instance(p)?);
            let method = number(p, "method")?;
            let input = optional_raw(p, "raw")?.unwrap_or_default();
            let out = number_or(p, "out_size", 65536)?;
            let done = class.and_then(|c| c.execute(s, &instance, method, &input, out));
            Ok(result(done, |out| json!({ "raw": raw(out) })))
        },
    )),
];

/// The result of a call: the NTSTATUS first, then what `f` makes of a success.
fn result<T>(outcome: objects::Result<T>, f: impl FnOnce(&T) -> Value) -> Value {
    let status = outcome.as_ref().err().copied().unwrap_or(NtStatus::SUCCESS);
    let mut answer = json!({ "status": status.0, "name": status_name(status) });
    if let (Ok(value), Some(answer)) = (&outcome, answer.as_object_mut())
        && let Value::Object(more) = f(value)
    {
        answer.extend(more);
    }
    answer
}

fn instance(p: &mut Params) -> Result<String, RpcError> {
    p.text("instance", "an InstanceName, GUID, 'MPIO DiskN' or name")
}

fn optional_instance(p: &mut Params) -> Result<String, RpcError> {
    match p.optional("instance") {
        None => Ok(String::new()),
        Some(Value::String(text)) => Ok(text),
        Some(_) => Err(RpcError::field("instance", "must be text")),
    }
}

fn class(p: &mut Params) -> Result<objects::Result<Class>, RpcError> {
    Ok(Class::parse(&p.text("class", "GUID or name of a class")?))
}

fn query(
    s: &dyn Surface,
    p: &mut Params,
    encode: impl FnOnce(&policy::QueryLbPolicy) -> String,
) -> Answer {
    let got = policy::query_lb_policy(s, &instance(p)?);
    Ok(result(got, |got| {
        json!({
            "policy": got.policy,
            "policy_name": Policy::from_number(got.policy).map(Policy::display_name),
            "paths": got.paths.iter().map(path).collect::<Vec<_>>(),
            "raw": encode(got),
        })
    }))
}

fn path(p: &MpioDsmPathV2) -> Value {
    json!({
        "path_id": id(p.dsm_path_id),
        "weight": p.path_weight,
        "primary": p.primary_path != 0,
        "optimized": p.optimized_path != 0,
        "preferred": p.preferred_path != 0,
        "failed": p.failed_path != 0,
        "target_port_group_state": p.target_port_group_state,
        "alua_support": p.alua_support,
        "symmetric_lua": p.symmetric_lua != 0,
        "target_port_group_preferred": p.target_port_group_preferred != 0,
        "target_port_group_identifier": p.target_port_group_identifier,
        "target_port_identifier": p.target_port_identifier,
    })
}

fn supported(s: &dyn Surface, p: &mut Params, version: u32) -> Answer {
    let got = policy::query_supported_lb_policies(s, &instance(p)?);
    Ok(result(got, |all| {
        let block = policy::encode_supported_lb_policies(version, all);
        json!({ "policies": all, "raw": raw(&block) })
    }))
}

fn set(s: &dyn Surface, p: &mut Params, method: SetMethod) -> Answer {
    let instance = instance(p)?;
    let request = match optional_raw(p, "raw")? {
        Some(bytes) => operations::parse_in(method, &bytes, 4),
        None => {
            let policy = number(p, "policy")?;
            let entries = optional_entries(p, "paths")?.unwrap_or_default();
            let paths: Result<_, _> = entries.into_iter().map(|e| wish(e, method)).collect();
            let mut request = SetRequest::new(method, policy, paths?);
            request.version = number_or(p, "version", request.version)?;
            request
        }
    };
    let done = operations::set_load_balance_policy(s, &instance, &request);
    Ok(match done {
        Ok(status) => json!({
            "status": status.0,
            "name": status_name(status),
            "raw": raw(&operations::encode_out(status)),
        }),
        Err(status) => result(Err::<(), _>(status), |()| json!({})),
    })
}

fn wish(mut e: Entry, method: SetMethod) -> Result<SetPath, RpcError> {
    let mut path = SetPath {
        primary: e.flag_or("primary", true)?,
        weight: e.number_or("weight", 0)?,
        ..SetPath::new(e.id("path_id")?)
    };
    if method == SetMethod::Alua {
        path.optimized = e.flag_or("optimized", true)?;
        path.preferred = e.flag_or("preferred", false)?;
    }
    e.finish()?;
    Ok(path)
}

fn default(d: DefaultPolicy, block: Option<Vec<u8>>) -> Value {
    let mut v = json!({ "policy": d.policy, "preferred_path": id(d.preferred_path) });
    if let Some(block) = block {
        v["raw"] = json!(raw(&block));
    }
    v
}

fn path_id(p: &mut Params, field: &str) -> Result<Option<u64>, RpcError> {
    match p.optional(field) {
        None => Ok(None),
        Some(Value::String(text)) => match super::args::parse_id(&text) {
            Some(id) => Ok(Some(id)),
            None => Err(RpcError::field(field, "must be 0x and up to 16 hex digits")),
        },
        Some(_) => Err(RpcError::field(field, "must be text: 0x and hex digits")),
    }
}

fn new_default(p: &mut Params) -> Result<DefaultPolicy, RpcError> {
    Ok(DefaultPolicy {
        policy: number(p, "policy")?,
        preferred_path: path_id(p, "preferred_path")?.unwrap_or(0),
    })
}

fn counters(c: &DsmCounters) -> Value {
    json!({
        "path_verify_enabled": c.path_verify_enabled,
        "path_verification_period": c.path_verification_period,
        "pdo_remove_period": c.pdo_remove_period,
        "retry_count": c.retry_count,
        "retry_interval": c.retry_interval,
    })
}

fn set_counters(s: &dyn Surface, p: &mut Params) -> Answer {
    let view = s.view();
    let now = mpio::counters(&view.timers);
    let ours = crate::control::view::ids::dsm_context(&view.host);
    let context = path_id(p, "dsm_context")?.unwrap_or(ours);
    let new = DsmCounters {
        path_verify_enabled: number_or(p, "path_verify_enabled", now.path_verify_enabled)?,
        path_verification_period: number_or(
            p,
            "path_verification_period",
            now.path_verification_period,
        )?,
        pdo_remove_period: number_or(p, "pdo_remove_period", now.pdo_remove_period)?,
        retry_count: number_or(p, "retry_count", now.retry_count)?,
        retry_interval: number_or(p, "retry_interval", now.retry_interval)?,
        ..DsmCounters::default()
    };
    Ok(result(timers::set_dsm_counters(s, context, &new), |()| {
        json!({})
    }))
}

fn paths_health(all: &[MpioPathHealth]) -> Value {
    let one = |h: &MpioPathHealth| {
        json!({
            "path_id": id(h.path_id),
            "number_reads": h.number_reads,
            "number_writes": h.number_writes,
            "number_bytes_read": h.number_bytes_read,
            "number_bytes_written": h.number_bytes_written,
            "number_retries": h.number_retries,
            "number_io_errors": h.number_io_errors,
            "create_time": h.create_time,
            "fail_time": h.fail_time,
            "offline": h.path_offline != 0,
            "outstanding_requests": h.outstanding_requests,
        })
    };
    json!({ "paths": all.iter().map(one).collect::<Vec<_>>(), "raw": raw(&encode_counted(8, all)) })
}
