//! A target's commands as JSON-RPC methods: one method, one command.

use super::{CommandError, TargetAnswer, TargetCommand, TargetHandle, json};
use crate::control::jsonrpc::{Methods, Params, RpcError};
use crate::front::fault::Fault;
use crate::front::iscsi;
use crate::front::nvme_tcp::TargetError;
use crate::path::access::AccessState;
use serde_json::Value;
use std::time::Duration;

/// All methods, as `rpc_get_methods` tells them.
pub(super) const METHODS: &[&str] = &[
    "rpc_get_methods",
    "target_add_portal",
    "target_set_access",
    "target_set_fault",
    "target_status",
];

/// Access states, as they are written. Standby is SCSI's; ANA's nearest is inaccessible.
pub(super) const STATES: [(&str, AccessState); 6] = [
    ("optimized", AccessState::Optimized),
    ("non_optimized", AccessState::NonOptimized),
    ("standby", AccessState::Standby),
    ("inaccessible", AccessState::Unavailable),
    ("persistent_loss", AccessState::Lost),
    ("change", AccessState::Transitioning),
];

/// Faults, as they are written; `delay` gets its time from `ms`.
const FAULTS: [(&str, Fault); 9] = [
    ("none", Fault::None),
    ("drop", Fault::Drop(true)),
    ("delay", Fault::Delay(Duration::ZERO)),
    ("hold", Fault::Hold(true)),
    ("reset", Fault::Reset),
    ("refuse", Fault::Refuse(true)),
    ("busy_groups", Fault::BusyGroups(true)),
    ("refuse_groups", Fault::RefuseGroups(true)),
    ("hold_groups", Fault::HoldGroups(true)),
];

/// Longest delay: ten minutes.
const DELAY_MAX_MS: u64 = 600_000;

/// Group numbers.
const GROUPS: std::ops::RangeInclusive<u64> = 1..=u32::MAX as u64;

/// A target's methods.
#[derive(Debug)]
pub struct TargetRpc(TargetHandle);

impl TargetRpc {
    pub fn new(target: TargetHandle) -> Self {
        Self(target)
    }
}

impl Methods for TargetRpc {
    fn call(&mut self, method: &str, params: Params) -> Result<Value, RpcError> {
        match self.0.run(read(method, params)?) {
            Ok(answer) => Ok(write(&answer)),
            Err(e) => Err(refused(&e)),
        }
    }
}

/// The command that a call means.
pub(super) fn read(method: &str, mut params: Params) -> Result<TargetCommand, RpcError> {
    let command = match method {
        "rpc_get_methods" => {
            // SPDK's clients send these; every method here is current, and none has an alias.
            params.optional_flag("current")?;
            params.optional_flag("include_aliases")?;
            TargetCommand::GetMethods
        }
        "target_status" => TargetCommand::Status,
        "target_set_access" => TargetCommand::SetAccess {
            group: params.number("group", GROUPS)? as u32,
            state: params.one_of("state", &STATES)?,
        },
        "target_set_fault" => {
            let portal = params.number("portal", 0..=u64::from(u32::MAX))?;
            let mut fault = params.one_of("fault", &FAULTS)?;
            if let Fault::Delay(by) = &mut fault {
                *by = Duration::from_millis(params.number("ms", 0..=DELAY_MAX_MS)?);
            } else if params.optional_number("ms", 0..=DELAY_MAX_MS)?.is_some() {
                return Err(RpcError::field("ms", "goes with fault delay only"));
            }
            TargetCommand::SetFault {
                portal: portal as usize,
                fault,
            }
        }
        "target_add_portal" => {
            let wanted = "an IP address and a port, as in 127.0.0.1:4420 or [::1]:0";
            let at = params.text("address", wanted)?;
            TargetCommand::AddPortal {
                at: at
                    .parse()
                    .map_err(|_| RpcError::field("address", format!("must be {wanted}")))?,
                group: params.optional_number("group", GROUPS)?.unwrap_or(1) as u32,
                access: params
                    .optional_one_of("state", &STATES)?
                    .unwrap_or(AccessState::Optimized),
            }
        }
        _ => return Err(RpcError::no_method(method)),
    };
    params.finish()?;
    Ok(command)
}

fn write(answer: &TargetAnswer) -> Value {
    match answer {
        TargetAnswer::Methods(names) => serde_json::json!(names),
        TargetAnswer::Done => Value::Bool(true),
        TargetAnswer::Portal { portal, address } => {
            serde_json::json!({ "portal": portal, "address": address })
        }
        TargetAnswer::Status(status) => json::status(status),
    }
}

/// An error names the parameter that is to blame, where one is.
fn refused(error: &CommandError) -> RpcError {
    match error {
        CommandError::Target(TargetError::NoPortal(_) | TargetError::NoTargetPortGroups(_))
        | CommandError::Iscsi(iscsi::TargetError::NoPortal(_)) => RpcError::field("portal", error),
        CommandError::Target(TargetError::NoGroup(_)) => RpcError::field("group", error),
        _ => RpcError::failed(error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::jsonrpc::code;
    use serde_json::json;

    fn call(method: &str, params: Value) -> Result<TargetCommand, RpcError> {
        read(method, Params::of(params))
    }

    #[test]
    fn every_method_listed_is_a_command() {
        for method in METHODS {
            let known = call(method, json!({}));
            assert!(
                !known.is_err_and(|e| e.code == code::METHOD_NOT_FOUND),
                "{method}"
            );
        }
        assert!(METHODS.is_sorted());
        let e = call("target_remove_portal", json!({})).expect_err("not there");
        assert_eq!(e.code, code::METHOD_NOT_FOUND);
    }

    #[test]
    fn commands_are_read_from_their_parameters() {
        assert_eq!(
            call(
                "target_set_access",
                json!({ "group": 2, "state": "non_optimized" })
            ),
            Ok(TargetCommand::SetAccess {
                group: 2,
                state: AccessState::NonOptimized
            })
        );
        assert_eq!(
            call(
                "target_set_fault",
                json!({ "portal": 1, "fault": "delay", "ms": 5 })
            ),
            Ok(TargetCommand::SetFault {
                portal: 1,
                fault: Fault::Delay(Duration::from_millis(5))
            })
        );
        assert_eq!(
            call("target_add_portal", json!({ "address": "[::1]:0" })),
            Ok(TargetCommand::AddPortal {
                at: "[::1]:0".parse().expect("valid"),
                group: 1,
                access: AccessState::Optimized
            })
        );
        let spdk = json!({ "current": true, "include_aliases": false });
        assert_eq!(call("rpc_get_methods", spdk), Ok(TargetCommand::GetMethods));
    }

    #[test]
    fn a_wrong_parameter_is_named() {
        let bad = [
            ("target_set_access", json!({}), "group"),
            ("target_set_access", json!({ "group": 0 }), "group"),
            ("target_set_access", json!({ "group": "1" }), "group"),
            ("target_set_access", json!({ "group": 1.5 }), "group"),
            ("target_set_access", json!({ "group": 1 }), "state"),
            (
                "target_set_access",
                json!({ "group": 1, "state": "lost" }),
                "state",
            ),
            (
                "target_set_access",
                json!({ "group": 1, "state": "change", "grup": 1 }),
                "grup",
            ),
            (
                "target_set_fault",
                json!({ "portal": -1, "fault": "none" }),
                "portal",
            ),
            ("target_set_fault", json!({ "portal": 0 }), "fault"),
            (
                "target_set_fault",
                json!({ "portal": 0, "fault": "delay" }),
                "ms",
            ),
            (
                "target_set_fault",
                json!({ "portal": 0, "fault": "drop", "ms": 1 }),
                "ms",
            ),
            (
                "target_add_portal",
                json!({ "address": "localhost" }),
                "address",
            ),
            ("target_status", json!({ "verbose": true }), "verbose"),
            ("rpc_get_methods", json!({ "current": 1 }), "current"),
        ];
        for (method, params, field) in bad {
            let e = call(method, params.clone()).expect_err(method);
            assert_eq!(e.code, code::INVALID_PARAMS, "{method} {params}");
            assert_eq!(e.field.as_deref(), Some(field), "{method} {params}: {e}");
            assert!(e.message.starts_with(field), "{e}");
        }
        let e = call("target_set_access", json!({ "group": 1, "state": "lost" }));
        let text = e.expect_err("no such state").message;
        assert!(
            text.contains("\"lost\"") && text.contains("persistent_loss"),
            "{text}"
        );
    }
}
