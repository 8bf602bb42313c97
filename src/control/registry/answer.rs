//! What the registry answers: plain copies, named as RPC and CLI show them.

use crate::control::state;
use crate::lun::plane::{Overview, PathOverview, target_name};
use crate::lun::policy::query::PathAnswer as Placed;
use crate::lun::policy::{Alua, PathState};
use serde::{Serialize, Serializer};

/// A 64-bit id as scripts get it.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct Id(pub u64);

impl Serialize for Id {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_str(&state::id(self.0))
    }
}

#[derive(Clone, Debug, Serialize)]
pub struct VersionAnswer {
    pub name: &'static str,
    pub version: &'static str,
    pub rpc_version: u32,
}

#[derive(Clone, Debug, Serialize)]
pub struct DaemonAnswer {
    pub version: &'static str,
    pub pid: u32,
    pub uptime_ns: u64,
    pub host_nqn: String,
    pub host_id: String,
    pub initiator_name: String,
    pub reactors: Vec<ReactorAnswer>,
    pub luns: usize,
    pub paths: usize,
    pub paths_up: usize,
    pub last_event: u64,
    /// The run-time settings are as durable as they should be.
    pub state_kept: bool,
    pub config_file: Option<String>,
}

#[derive(Clone, Debug, Serialize)]
pub struct ReactorAnswer {
    pub index: usize,
    pub cpu: Option<usize>,
    pub busy_ns: u64,
    pub associations_up: usize,
}

#[derive(Clone, Debug, Serialize)]
pub struct LunAnswer {
    pub name: String,
    pub guid: String,
    pub disk: u32,
    /// `ok`, `degraded` (some paths are missing), `lost` (all are) or `new` (never seen).
    pub state: &'static str,
    pub policy: String,
    pub policy_number: u32,
    pub policy_source: &'static str,
    pub symmetric: bool,
    pub alua: &'static str,
    pub supported_policies: Vec<&'static str>,
    pub block_size: Option<u32>,
    pub blocks: Option<u64>,
    pub bytes: Option<u64>,
    /// `uuid:…`, `nguid:…`, `eui64:…`, `naa:…`.
    pub identity: Vec<String>,
    pub paths_up: usize,
    pub paths_total: usize,
    pub served: bool,
    pub ios: u64,
    pub io_bytes: u64,
    pub failed: u64,
    pub retries: u64,
    pub rerouted: u64,
    pub parked: usize,
    pub fenced: usize,
    pub fence_longest_ns: u64,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub paths: Vec<PathAnswer>,
}

#[derive(Clone, Debug, Serialize)]
pub struct PathAnswer {
    pub lun: String,
    pub url: String,
    pub nexus_id: Id,
    /// State of its association.
    pub state: String,
    pub joined: bool,
    pub reason: Option<String>,
    /// What the target says of it.
    pub access: String,
    /// What the policy made of it.
    pub placed: &'static str,
    pub preferred: bool,
    pub weight: u32,
    pub tpg: u32,
    pub local_addr: String,
    pub remote_addr: String,
    pub target: String,
    pub in_flight: u32,
    pub ios: u64,
    pub bytes: u64,
    pub errors: u64,
    pub lost: u64,
    pub logins: u64,
    pub losses: u64,
}

#[derive(Clone, Debug, Serialize)]
pub struct NexusAnswer {
    pub nexus_id: Id,
    pub target: String,
    pub state: String,
    pub reason: Option<String>,
    pub local_addr: String,
    pub remote_addr: String,
    pub in_flight: u32,
    pub attempts: u64,
    pub logins: u64,
    pub losses: u64,
    pub luns: Vec<String>,
}

#[derive(Clone, Debug, Serialize)]
pub struct PolicyAnswer {
    pub lun: String,
    pub policy: String,
    pub policy_number: u32,
    pub abbreviation: &'static str,
    pub display_name: &'static str,
    pub source: &'static str,
    pub supported: Vec<&'static str>,
    pub symmetric: bool,
    pub paths: Vec<PolicyPathAnswer>,
}

#[derive(Clone, Debug, Serialize)]
pub struct PolicyPathAnswer {
    pub url: String,
    pub nexus_id: Id,
    pub placed: &'static str,
    pub wished: Option<&'static str>,
    pub failed: bool,
    pub preferred: bool,
    pub weight: u32,
    pub access: String,
}

#[derive(Clone, Debug, Serialize)]
pub struct DefaultsAnswer {
    /// DSM-wide; nothing when it was never set.
    pub policy: Option<String>,
}

#[derive(Clone, Debug, Serialize)]
pub struct ServeAnswer {
    pub lun: String,
    pub reactor: usize,
    /// `waiting`, `serving` or `failed`.
    pub state: &'static str,
    pub reason: Option<String>,
    /// With the ports that were taken.
    pub urls: Vec<String>,
}

#[derive(Clone, Debug, Default, Serialize)]
pub struct ReloadAnswer {
    /// What was changed, one line each.
    pub changed: Vec<String>,
    /// Keys that differ and take a restart.
    pub restart_needed: Vec<String>,
    /// What could not be done, one line each.
    pub failed: Vec<String>,
}

#[derive(Clone, Debug, Serialize)]
pub struct ConfigAnswer {
    pub file: Option<String>,
    pub socket: String,
    pub state_dir: String,
    pub host_nqn: String,
    pub host_id: String,
    pub initiator_name: String,
    pub reactors: usize,
    pub metrics: Option<String>,
    pub default_policy: Option<String>,
    pub timers: crate::control::config::Timers,
    /// Keys where a run-time setting wins over the file.
    pub overridden: Vec<String>,
}

/// As RPC spells the state of a path under its policy.
pub const fn placed_name(state: PathState) -> &'static str {
    match state {
        PathState::Optimized => "active_optimized",
        PathState::NonOptimized => "active_unoptimized",
        PathState::Standby => "standby",
        PathState::Unavailable => "unavailable",
    }
}

/// All of them, for readers.
pub const PLACED: [(&str, PathState); 4] = [
    ("active_optimized", PathState::Optimized),
    ("active_unoptimized", PathState::NonOptimized),
    ("standby", PathState::Standby),
    ("unavailable", PathState::Unavailable),
];

pub(super) const fn alua_name(alua: Alua) -> &'static str {
    match alua {
        Alua::None => "none",
        Alua::Implicit => "implicit",
        Alua::Explicit => "explicit",
        Alua::Both => "both",
    }
}

pub(super) fn path(lun: &str, p: &PathOverview, placed: &Placed) -> PathAnswer {
    PathAnswer {
        lun: lun.to_owned(),
        url: p.spec.url.clone(),
        nexus_id: Id(p.nexus_id),
        state: p.state.to_string(),
        joined: p.joined,
        reason: p.reason.clone(),
        access: p.access.to_string(),
        placed: placed_name(placed.state),
        preferred: placed.preferred,
        weight: placed.weight,
        tpg: placed.tpg,
        local_addr: p.local_addr.clone(),
        remote_addr: p.remote_addr.clone(),
        target: target_name(&p.spec.nexus).to_owned(),
        in_flight: p.nexus_in_flight,
        ios: p.ios,
        bytes: p.bytes,
        errors: p.errors,
        lost: p.lost,
        logins: p.logins,
        losses: p.losses,
    }
}

/// Folds the second reactor's view of a LUN into the first's.
pub(super) fn fold(mut all: Vec<Overview>) -> Option<Overview> {
    let rest = all.split_off(1.min(all.len()));
    let mut one = all.pop()?;
    for other in rest {
        one.completed += other.completed;
        one.bytes += other.bytes;
        one.failed += other.failed;
        one.retries += other.retries;
        one.rerouted += other.rerouted;
        one.parked_now += other.parked_now;
        one.fenced_now.0 += other.fenced_now.0;
        one.fenced_now.1 += other.fenced_now.1;
        one.longest_stall_ns = one.longest_stall_ns.max(other.longest_stall_ns);
        one.fence.longest_ns = one.fence.longest_ns.max(other.fence.longest_ns);
        one.geometry = one.geometry.or(other.geometry);
        for p in &mut one.paths {
            let Some(o) = other.paths.iter().find(|o| o.nexus_id == p.nexus_id) else {
                continue;
            };
            p.ios += o.ios;
            p.bytes += o.bytes;
            p.errors += o.errors;
            p.lost += o.lost;
            p.reads += o.reads;
            p.bytes_read += o.bytes_read;
            p.writes += o.writes;
            p.bytes_written += o.bytes_written;
            p.departed += o.departed;
            p.attempts += o.attempts;
            p.logins += o.logins;
            p.losses += o.losses;
            p.nexus_in_flight += o.nexus_in_flight;
            p.in_flight += o.in_flight;
            // A path that is missing on one reactor is worth telling.
            if p.joined && !o.joined {
                p.state = o.state;
                p.reason.clone_from(&o.reason);
                p.joined = false;
            }
        }
    }
    Some(one)
}
