//! Methods of the MSiSCSI classes.

use super::args::{Entry, id, number, number_or, optional_entries, optional_raw, parse_id, raw};
use super::{Method, may, method, must};
use crate::base::authority;
use crate::control::jsonrpc::{Params, RpcError};
use crate::control::layout::msiscsi::{IscsiPath, SessionPolicy};
use crate::control::msiscsi::{self, IscsiStatus, SetRequest};
use crate::control::view::changes::{NewConnection, SessionPath};
use crate::control::view::{ConnectionView, McsPolicy, Surface, View};
use crate::path::iscsi_url::ISCSI_PORT;
use serde_json::{Value, json};
use std::net::SocketAddr;

/// The table.
pub(super) const METHODS: &[Method] = &[
    method(
        "msiscsi_query_lb_policy",
        "MSiSCSI_QueryLBPolicy",
        "unique_adapter_id, sessions (session_id, nexus_id, target_name, max_connections, policy, policy_name, paths), raw",
        &[],
        |s, _| {
            let (got, view) = (msiscsi::query_lb_policy(s), s.view());
            Ok(json!({
                "status": 0,
                "name": "ISDSC_SUCCESS",
                "unique_adapter_id": id(got.adapter),
                "sessions": got.sessions.iter().map(|p| session(&view, p)).collect::<Vec<_>>(),
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
    method(
        "msiscsi_add_connection",
        "AddIScsiConnection: a further connection (MC/S) of a session; it logs in by and by, and is kept over restarts",
        "connection_id",
        &[
            must("session_id", "string", "UniqueSessionId"),
            must("portal", "string", "HOST[:PORT] of the target"),
            may("source", "string", "IP address of our end"),
            may("weight", "integer", "its weight; 0 without"),
            may("primary", "boolean", "it is a primary one; true without"),
        ],
        add,
    ),
    method(
        "msiscsi_remove_connection",
        "RemoveIScsiConnection: takes a connection out of a session, in order and for good",
        "",
        &[
            must("session_id", "string", "UniqueSessionId"),
            must("connection_id", "string", "UniqueConnectionId"),
        ],
        |s, p| {
            let (session, connection) = (session_id(p)?, wanted_id(p, "connection_id")?);
            let status = msiscsi::remove_connection(s, session, connection);
            Ok(json!({ "status": status.0, "name": status.name() }))
        },
    ),
];

fn wanted_id(p: &mut Params, field: &str) -> Result<u64, RpcError> {
    let text = p.text(field, "an id: 0x and hex digits")?;
    parse_id(&text).ok_or_else(|| RpcError::field(field, "must be 0x and up to 16 hex digits"))
}

fn session_id(p: &mut Params) -> Result<u64, RpcError> {
    wanted_id(p, "session_id")
}

fn add(s: &dyn Surface, p: &mut Params) -> Result<Value, RpcError> {
    let session = session_id(p)?;
    let wanted = "HOST[:PORT], IPv6 in brackets";
    let portal = p.text("portal", wanted)?;
    let (host, port) = authority::remote(&portal)
        .map_err(|what| RpcError::field("portal", format!("must be {wanted}: {what}")))?;
    let source = match p.optional("source") {
        None | Some(Value::Null) => None,
        Some(v) => {
            let address = v.as_str().and_then(|t| t.parse().ok());
            Some(address.ok_or_else(|| RpcError::field("source", "must be an IP address"))?)
        }
    };
    let new = NewConnection {
        host: host.to_owned(),
        port: port.unwrap_or(ISCSI_PORT),
        source,
        weight: number_or(p, "weight", 0)?,
        primary: p.optional_flag("primary")?.unwrap_or(true),
    };
    let (status, id) = match msiscsi::add_connection(s, session, &new) {
        Ok(connection) => (IscsiStatus::SUCCESS, Some(id(connection))),
        Err(status) => (status, None),
    };
    Ok(json!({ "status": status.0, "name": status.name(), "connection_id": id }))
}

fn session(view: &View, s: &SessionPolicy) -> Value {
    let known = view
        .sessions
        .iter()
        .find(|v| v.id == s.header.unique_session_id);
    let path = |p: &IscsiPath| {
        let all = known.map_or(&[][..], |k| &k.connections);
        let known = all.iter().find(|c| c.id == p.unique_connection_id);
        let end = |end: fn(&ConnectionView) -> Option<SocketAddr>| {
            known.and_then(end).map(|a| a.to_string())
        };
        json!({
            "cid": known.map(|c| c.cid),
            "source": end(|c| c.source),
            "portal": end(|c| c.portal),
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
        "nexus_id": known.map(|k| id(k.nexus_id)),
        "target_name": known.map(|k| &k.target_name),
        "max_connections": known.map(|k| k.max_connections),
        "policy": policy,
        "policy_name": McsPolicy::from_number(policy).map(McsPolicy::name),
        "paths": s.paths.iter().map(path).collect::<Vec<_>>(),
    })
}

fn set(s: &dyn Surface, p: &mut Params) -> Result<Value, RpcError> {
    let request = match optional_raw(p, "raw")? {
        Some(bytes) => SetRequest::parse(&bytes),
        None => {
            let session = session_id(p)?;
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
