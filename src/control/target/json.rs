//! A target's status as JSON. 64-bit ids are texts; counters are numbers.

use super::rpc::STATES;
use super::{BackingPath, PortalAt, Portals, StatusAnswer};
use crate::front::iscsi::fault as iscsi;
use crate::front::nvme_tcp::{
    AnaState, ConnectionStatus, ControllerStatus, PortalId, PortalStatus, TargetCounters,
};
use crate::path::access::AccessState;
use serde_json::{Value, json};
use std::time::Duration;
use uuid::Uuid;

pub(super) fn status(s: &StatusAnswer) -> Value {
    let target = &s.nvme;
    let at = |id: PortalId| number(&s.portals, PortalAt::Nvme(id));
    let iscsi_at = |n: usize| number(&s.portals, PortalAt::Iscsi(n));
    let portals = s.portals.all.iter().enumerate();
    let portals = portals.filter_map(|(n, place)| match place {
        PortalAt::Nvme(id) => Some(portal(n, target.portals.iter().find(|p| p.id == *id)?)),
        PortalAt::Iscsi(at) => Some(iscsi_portal(n, s.iscsi.portals.get(*at)?)),
    });
    let closed = target.closed.iter();
    json!({
        "portals": portals.collect::<Vec<_>>(),
        "controllers": list(&target.controllers, |c| controller(c, at(c.portal))),
        "connections": list(&target.connections, |c| connection(c, at(c.portal))),
        "counters": counters(&target.counters),
        "closed": closed
            .map(|(peer, why)| json!({ "peer": peer, "reason": why.to_string() }))
            .collect::<Vec<_>>(),
        "buffer_bytes": target.buffer_bytes,
        "iscsi": {
            "connections": list(&s.iscsi.connections, |c| iscsi_connection(c, iscsi_at(c.portal))),
            "counters": iscsi_counters(&s.iscsi),
            "held": s.iscsi.held,
        },
        "backing": {
            "lun": s.backing.lun,
            "policy": s.backing.policy,
            "paths": list(&s.backing.paths, path),
        },
    })
}

fn number(portals: &Portals, at: PortalAt) -> Option<usize> {
    portals.all.iter().position(|p| *p == at)
}

fn list<T>(items: &[T], item: impl Fn(&T) -> Value) -> Value {
    items.iter().map(item).collect()
}

/// As `target_set_access` spells it.
fn access_name(state: AccessState) -> &'static str {
    let named = STATES.iter().find(|(_, s)| *s == state);
    named.map_or("unknown", |(name, _)| name)
}

fn state(state: AnaState) -> &'static str {
    access_name(match state {
        AnaState::Optimized => AccessState::Optimized,
        AnaState::NonOptimized => AccessState::NonOptimized,
        AnaState::Inaccessible => AccessState::Unavailable,
        AnaState::PersistentLoss => AccessState::Lost,
        AnaState::Change => AccessState::Transitioning,
    })
}

fn faults(drop: bool, delay: Duration, hold: bool, refuse: bool) -> Vec<&'static str> {
    let switches = [
        ("drop", drop),
        ("delay", !delay.is_zero()),
        ("hold", hold),
        ("refuse", refuse),
    ];
    let on = switches.iter().filter(|(_, on)| *on);
    on.map(|(name, _)| *name).collect()
}

fn portal(n: usize, p: &PortalStatus) -> Value {
    let access = |(group, s): &(u32, AnaState)| json!({ "ana_group": group, "state": state(*s) });
    json!({
        "portal": n,
        "protocol": "nvme-tcp",
        "address": p.address,
        "group": p.group,
        "access": list(&p.access, access),
        "faults": faults(p.dropping, p.delay, p.holding, p.refusing),
        "delay_ms": p.delay.as_millis() as u64,
        "connections": p.connections,
    })
}

fn iscsi_portal(n: usize, p: &iscsi::PortalStatus) -> Value {
    let f = p.faults;
    let mut faults = faults(f.drop, f.delay, f.hold, f.refuse);
    faults.extend(f.busy_groups.then_some("busy_groups"));
    faults.extend(f.refuse_groups.then_some("refuse_groups"));
    faults.extend(f.hold_groups.then_some("hold_groups"));
    json!({
        "portal": n,
        "protocol": "iscsi",
        "address": p.address,
        "target": p.target,
        "group": p.group,
        "access": [{ "target_port_group": p.group, "state": access_name(p.access) }],
        "faults": faults,
        "delay_ms": f.delay.as_millis() as u64,
        "connections": p.connections,
    })
}

fn iscsi_connection(c: &iscsi::ConnectionStatus, portal: Option<usize>) -> Value {
    json!({
        "peer": c.peer,
        "portal": portal,
        "logged_in": c.logged_in,
        "discovery": c.discovery,
        "tsih": c.tsih,
        "cid": c.cid,
        "in_execution": c.in_execution,
    })
}

fn iscsi_counters(s: &iscsi::TargetStatus) -> Value {
    let c = &s.counters;
    json!({
        "accepted": c.accepted,
        "refused_connections": c.refused_connections,
        "logins": c.logins,
        "failed_logins": c.failed_logins,
        "commands": c.commands,
        "io_errors": c.io_errors,
        "protocol_errors": c.protocol_errors,
        "starved": c.starved,
        "aborted": c.aborted,
    })
}

fn controller(c: &ControllerStatus, portal: Option<usize>) -> Value {
    json!({
        "cntlid": c.cntlid,
        "subsystem": c.subsystem,
        "hostnqn": c.hostnqn,
        "host_id": Uuid::from_bytes(c.host_id).to_string(),
        "portal": portal,
        "io_queues": c.io_queues,
        "kato_ms": c.kato.as_millis() as u64,
        "ready": c.ready,
        "ending": c.ending.map(|why| why.to_string()),
    })
}

fn connection(c: &ConnectionStatus, portal: Option<usize>) -> Value {
    json!({
        "peer": c.peer,
        "portal": portal,
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
