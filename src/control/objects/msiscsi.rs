//! Methods of the MSiSCSI classes.

use super::args::{Entry, id, number, optional_entries, optional_raw, parse_id, raw};
use super::{Method, may, method};
use crate::control::jsonrpc::{Params, RpcError};
use crate::control::layout::msiscsi::{IscsiPath, SessionPolicy};
use crate::control::msiscsi::{self, SetRequest};
use crate::control::view::changes::SessionPath;
use crate::control::view::{McsPolicy, Surface};
use serde_json::{Value, json};

/// The table.
pub(super) const METHODS: &[Method] = &[
    method(
        "msiscsi_query_lb_policy",
        "MSiSCSI_QueryLBPolicy",
        "unique_adapter_id, sessions (session_id, policy, policy_name, paths), raw",
        &[],
        |s, _| {
            let got = msiscsi::query_lb_policy(s);
            Ok(json!({
                "status": 0,
                "name": "ISDSC_SUCCESS",
                "unique_adapter_id": id(got.adapter),
                "sessions": got.sessions.iter().map(session).collect::<Vec<_>>(),
                "raw": raw(&got.encode()),
            }))
        },
    ),
    method(
        "msiscsi_lb_operations_set_load_balance_policy",
        "MSiSCSI_LB_Operations.SetLoadBalancePolicy",
        "raw (the OUT buffer)",
        &[
            may("session_id", "string", "UniqueSessionId"),
            may("policy", "integer", "MSiSCSI_LB_*, 1 to 6"),
            may(
                "paths",
                "array",
                "objects with connection_id, primary, weight",
            ),
            may(
                "raw",
                "string",
                "SetLoadBalancePolicy_IN as base64, in place of the rest",
            ),
        ],
        set,
    ),
];

fn session(s: &SessionPolicy) -> Value {
    let path = |p: &IscsiPath| {
        json!({
            "connection_id": id(p.unique_connection_id),
            "estimated_link_speed": p.estimated_link_speed,
            "weight": p.path_weight,
            "primary": p.primary_path != 0,
            "connection_status": p.connection_status,
            "tcp_offload_available": p.tcp_offload_available,
        })
    };
    let policy = s.header.load_balance_policy;
    json!({
        "session_id": id(s.header.unique_session_id),
        "policy": policy,
        "policy_name": McsPolicy::from_number(policy).map(McsPolicy::name),
        "paths": s.paths.iter().map(path).collect::<Vec<_>>(),
    })
}

fn set(s: &dyn Surface, p: &mut Params) -> Result<Value, RpcError> {
    let request = match optional_raw(p, "raw")? {
        Some(bytes) => SetRequest::parse(&bytes),
        None => {
            let text = p.text("session_id", "UniqueSessionId, 0x and hex digits")?;
            let session = parse_id(&text).ok_or_else(|| {
                RpcError::field("session_id", "must be 0x and up to 16 hex digits")
            })?;
            let policy = number(p, "policy")?;
            let entries = optional_entries(p, "paths")?.unwrap_or_default();
            let paths: Result<_, _> = entries.into_iter().map(path).collect();
            SetRequest::new(session, policy, paths?)
        }
    };
    let status = msiscsi::set_load_balance_policy(s, &request);
    Ok(json!({
        "status": status.0,
        "name": status.name(),
        "raw": raw(&msiscsi::encode_out(status)),
    }))
}

fn path(mut e: Entry) -> Result<SessionPath, RpcError> {
    let path = SessionPath {
        connection: e.id("connection_id")?,
        primary: e.flag_or("primary", true)?,
        weight: e.number_or("weight", 0)?,
    };
    e.finish()?;
    Ok(path)
}
