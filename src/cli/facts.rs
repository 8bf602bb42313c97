//! What the engine did between two moments, in the words of the report.

use hdrhistogram::Histogram;

use super::json;
use super::report::{Fenced, LatencyNs, LunFacts, PathReport};
use crate::lun::route::ParkReason;
use crate::lun::status::{LunStatus, PathStatus};
use crate::path::url::{NexusSpec, PathSpec};
use crate::transport::{self, Driver};

/// A LUN at one moment, with the reactor's busy time until then.
#[derive(Clone, Debug)]
pub struct Snapshot {
    pub status: LunStatus,
    pub busy_ns: u64,
    /// How connections are driven whose URL does not say.
    pub driver: Driver,
}

/// The difference between two snapshots of the same LUN. States are those of the later one.
pub fn between(from: &Snapshot, to: &Snapshot, longest_stall_ns: u64) -> LunFacts {
    let (a, b) = (&from.status, &to.status);
    let paths = a.paths.iter().zip(&b.paths).map(|(a, b)| path(a, b));
    let parked = |s: &LunStatus| -> u64 {
        let waits = ParkReason::ALL.iter().zip(&s.routes.parked);
        // A full queue is what depth is for, and no sign of trouble.
        let waits = waits.filter(|(why, _)| **why != ParkReason::QueueFull);
        waits.map(|(_, n)| n).sum()
    };
    LunFacts {
        policy: b.policy.clone(),
        transport: transport(&b.paths, to.driver),
        paths: paths.collect(),
        fenced: Fenced {
            count: b.fence.held + b.fence.waited - a.fence.held - a.fence.waited,
            longest_ns: b.fence.longest_ns,
        },
        longest_stall_ns,
        busy_ns: to.busy_ns - from.busy_ns,
        retries: b.stats.retries - a.stats.retries,
        rerouted: b.stats.rerouted - a.stats.rerouted,
        parked: parked(b) - parked(a),
    }
}

/// What the paths went over: `tcp`, `uring`, `tcp+uring` or `local`. Called on the thread that
/// drives them, which knows whether io_uring was refused.
fn transport(paths: &[PathStatus], default: Driver) -> String {
    let (mut tcp, mut uring) = (false, false);
    for path in paths {
        let Ok(spec) = PathSpec::parse(&path.url) else {
            continue;
        };
        let asked = match spec.nexus {
            NexusSpec::NvmeTcp(nvme) => nvme.tcp.driver,
            NexusSpec::Iscsi(iscsi) => iscsi.tcp.driver,
            NexusSpec::Local(_) => continue,
        };
        match asked.unwrap_or(default) {
            Driver::Uring if transport::uring::available() => uring = true,
            _ => tcp = true,
        }
    }
    match (tcp, uring) {
        (false, false) => "local",
        (true, false) => "tcp",
        (false, true) => "uring",
        (true, true) => "tcp+uring",
    }
    .to_owned()
}

fn path(a: &PathStatus, b: &PathStatus) -> PathReport {
    PathReport {
        url: b.url.clone(),
        nexus_id: json::id(b.nexus_id),
        state: b.state.to_string(),
        // A path that works may still remember why it once did not.
        reason: b.reason.clone().filter(|_| !b.joined),
        access: b.access.to_string(),
        ios: b.stats.ios - a.stats.ios,
        bytes: b.stats.bytes - a.stats.bytes,
        errors: b.stats.errors - a.stats.errors,
        reconnects: b.logins - a.logins,
        latency_ns: LatencyNs::of(&difference(&b.stats.latency, &a.stats.latency)),
    }
}

fn difference(later: &Histogram<u32>, earlier: &Histogram<u32>) -> Histogram<u32> {
    let mut h = later.clone();
    h.subtract(earlier)
        .expect("the later of two histograms holds the earlier");
    h
}
