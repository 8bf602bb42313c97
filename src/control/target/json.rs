//! A target's status as JSON. 64-bit ids are texts; counters are numbers.

use super::rpc::STATES;
use super::{BackingPath, BackingStatus};
use crate::front::nvme_tcp::{
    AnaState, ConnectionStatus, ControllerStatus, PortalStatus, TargetCounters, TargetStatus,
};
use serde_json::{Value, json};
use uuid::Uuid;

pub(super) fn status(target: &TargetStatus, backing: &BackingStatus) -> Value {
    let closed = target.closed.iter();
    json!({
        "portals": list(&target.portals, portal),
        "controllers": list(&target.controllers, controller),
        "connections": list(&target.connections, connection),
        "counters": counters(&target.counters),
        "closed": closed
            .map(|(peer, why)| json!({ "peer": peer, "reason": why.to_string() }))
            .collect::<Vec<_>>(),
        "buffer_bytes": target.buffer_bytes,
        "backing": {
            "lun": backing.lun,
            "policy": backing.policy,
            "paths": list(&backing.paths, path),
        },
    })
}

fn list<T>(items: &[T], item: impl Fn(&T) -> Value) -> Value {
    items.iter().map(item).collect()
}

fn state(state: AnaState) -> &'static str {
    let named = STATES.iter().find(|(_, s)| *s == state);
    named.map_or("unknown", |(name, _)| name)
}

fn portal(p: &PortalStatus) -> Value {
    let access = |(group, s): &(u32, AnaState)| json!({ "ana_group": group, "state": state(*s) });
    let switches = [
        ("drop", p.dropping),
        ("delay", !p.delay.is_zero()),
        ("hold", p.holding),
        ("refuse", p.refusing),
    ];
    let on = switches.iter().filter(|(_, on)| *on);
    json!({
        "portal": p.id.0,
        "address": p.address,
        "group": p.group,
        "access": list(&p.access, access),
        "faults": on.map(|(name, _)| *name).collect::<Vec<_>>(),
        "delay_ms": p.delay.as_millis() as u64,
        "connections": p.connections,
    })
}

fn controller(c: &ControllerStatus) -> Value {
    json!({
        "cntlid": c.cntlid,
        "subsystem": c.subsystem,
        "hostnqn": c.hostnqn,
        "host_id": Uuid::from_bytes(c.host_id).to_string(),
        "portal": c.portal.0,
        "io_queues": c.io_queues,
        "kato_ms": c.kato.as_millis() as u64,
        "ready": c.ready,
        "ending": c.ending.map(|why| why.to_string()),
    })
}

fn connection(c: &ConnectionStatus) -> Value {
    json!({
        "peer": c.peer,
        "portal": c.portal.0,
        "cntlid": c.cntlid,
        "qid": c.qid,
        "open": c.open,
        "in_execution": c.in_execution,
        "held": c.held,
        "counters": {
            "commands": c.counters.commands,
            "responses": c.counters.responses,
            "r2ts": c.counters.r2ts,
            "bytes_in": c.counters.bytes_in,
            "bytes_out": c.counters.bytes_out,
            "copied_bytes_small": c.counters.copied_bytes_small,
            "copied_bytes_large": c.counters.copied_bytes_large,
            "digest_errors": c.counters.digest_errors,
        },
    })
}

fn counters(c: &TargetCounters) -> Value {
    json!({
        "accepted": c.accepted,
        "refused_connections": c.refused_connections,
        "refused_connects": c.refused_connects,
        "refused_commands": c.refused_commands,
        "controllers_created": c.controllers_created,
        "keep_alive_timeouts": c.keep_alive_timeouts,
        "cross_resets": c.cross_resets,
        "protocol_errors": c.protocol_errors,
        "io_errors": c.io_errors,
        "events": c.events,
        "held": c.held,
        "discarded": c.discarded,
        "starved": c.starved,
        "discovery_generation": c.discovery_generation,
    })
}

fn path(p: &BackingPath) -> Value {
    json!({
        "url": p.url,
        "nexus_id": format!("{:#018x}", p.nexus_id),
        "state": p.state.to_string(),
        "joined": p.joined,
        "reason": p.reason,
        "access": p.access.to_string(),
        "ios": p.ios,
        "bytes": p.bytes,
        "errors": p.errors,
    })
}
