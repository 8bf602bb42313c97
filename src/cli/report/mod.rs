//! What a run measured, in the words scripts rely on.
//!
//! [`RunReport`] is the JSON of `bench --json` and `demo --json`; its keys are a contract and are
//! only ever added to. [`table`] is the same for people, [`hdr`] the histograms as files,
//! [`html`] the page; [`timeline`] is what happened when.

pub mod chart;
pub mod hdr;
pub mod html;
pub mod scale;
pub mod table;
#[cfg(test)]
mod tests;
pub mod timeline;

use hdrhistogram::{Counter, Histogram};
use serde::Serialize;

use self::timeline::Event;
use super::{json, units};
use crate::base::clock::Time;
use crate::front::workload::stats::OpStats;
use crate::front::workload::{Spec, Workload};

/// A latency distribution in nanoseconds; all zero when nothing was recorded.
#[derive(Copy, Clone, PartialEq, Eq, Debug, Default, Serialize)]
pub struct LatencyNs {
    pub min: u64,
    pub mean: u64,
    pub p50: u64,
    pub p90: u64,
    pub p99: u64,
    pub p999: u64,
    pub p9999: u64,
    pub max: u64,
}

impl LatencyNs {
    pub fn of<T: Counter>(h: &Histogram<T>) -> Self {
        if h.is_empty() {
            return Self::default();
        }
        Self {
            min: h.min(),
            mean: h.mean().round() as u64,
            p50: h.value_at_quantile(0.5),
            p90: h.value_at_quantile(0.9),
            p99: h.value_at_quantile(0.99),
            p999: h.value_at_quantile(0.999),
            p9999: h.value_at_quantile(0.9999),
            max: h.max(),
        }
    }
}

/// One kind of I/O.
#[derive(Copy, Clone, PartialEq, Eq, Debug, Default, Serialize)]
pub struct OpReport {
    pub ios: u64,
    pub bytes: u64,
    pub latency_ns: LatencyNs,
}

impl OpReport {
    fn of(op: &OpStats) -> Self {
        Self {
            ios: op.ios,
            bytes: op.bytes,
            latency_ns: LatencyNs::of(&op.latency),
        }
    }
}

/// Requests that waited behind the fence, and the longest that a fence stayed shut.
#[derive(Copy, Clone, PartialEq, Eq, Debug, Default, Serialize)]
pub struct Fenced {
    pub count: u64,
    pub longest_ns: u64,
}

/// One path.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize)]
pub struct PathReport {
    pub url: String,
    /// 64 bits as a string.
    pub nexus_id: String,
    pub state: String,
    /// Why it is not up, where it is not.
    pub reason: Option<String>,
    pub access: String,
    pub ios: u64,
    pub bytes: u64,
    pub errors: u64,
    /// Times that its nexus was lost as a whole and logged in to again. A session that lost one of
    /// several connections is not lost.
    pub reconnects: u64,
    pub latency_ns: LatencyNs,
}

/// Failed I/Os of one kind.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct ErrorReport {
    pub kind: String,
    pub count: u64,
    /// The first of them, with its raw status.
    pub example: String,
}

/// What was asked for.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct WorkloadReport {
    pub rw: &'static str,
    pub rwmixread: u8,
    pub bs: String,
    pub iodepth: u32,
    pub rate: Option<u64>,
    pub seed: String,
    pub verify: bool,
}

/// What the engine says about the LUN of a run; the workload knows the rest.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct LunFacts {
    pub policy: String,
    pub transport: String,
    pub paths: Vec<PathReport>,
    pub fenced: Fenced,
    /// As the channel measured it, which knows what is fenced and what is not.
    pub longest_stall_ns: u64,
    /// Time of reactor turns that did work: received, completed, submitted or sent anything.
    /// A polling loop's CPU time says nothing, for it is all of the time.
    pub busy_ns: u64,
    pub retries: u64,
    pub rerouted: u64,
    pub parked: u64,
}

/// What only the demo counts.
#[derive(Copy, Clone, PartialEq, Eq, Debug, Default, Serialize)]
pub struct DemoCounts {
    pub cuts: u64,
    pub policy_changes: u64,
}

/// A run's result.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct RunReport {
    pub command: &'static str,
    pub version: &'static str,
    /// No error, no miscompare, and nothing outstanding was given up.
    pub ok: bool,
    /// Ended before its time by a signal.
    pub interrupted: bool,
    pub workload: WorkloadReport,
    pub elapsed_ns: u64,
    pub ios: u64,
    pub bytes: u64,
    pub iops: f64,
    pub bandwidth_bytes_per_s: u64,
    pub latency_ns: LatencyNs,
    pub read: OpReport,
    pub write: OpReport,
    pub errors: u64,
    pub error_kinds: Vec<ErrorReport>,
    /// Units of 512 bytes that read wrong.
    pub miscompares: u64,
    pub miscompare_details: Vec<String>,
    /// Units of 512 bytes that were checked.
    pub checked: u64,
    /// Units that a read beside a write found half old, half new: not counted as miscompares.
    pub torn: u64,
    /// Starts of a set rate that came late because all of the depth was in use.
    pub late_starts: u64,
    /// What did not come back within the time that is waited for it: nothing, unless something hangs.
    pub given_up: Vec<String>,
    pub longest_stall_ns: u64,
    pub fenced: Fenced,
    pub policy: String,
    pub transport: String,
    pub busy_ns_per_io: f64,
    pub retries: u64,
    pub rerouted: u64,
    pub parked: u64,
    pub paths: Vec<PathReport>,
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    pub demo: Option<DemoCounts>,
    pub events: Vec<Event>,
}

/// What tells paths of one LUN apart: where they lead, and where they set out from if that was
/// given.
pub fn path_label(url: &str) -> String {
    let (rest, remote) = match url.split_once("://") {
        Some((_, rest)) => (rest, true),
        None => (url, false),
    };
    let (place, query) = rest.split_once('?').unwrap_or((rest, ""));
    let host = place.split_once('/').map_or(place, |(host, _)| host);
    let place = match remote {
        // NVMe/TCP goes without saying.
        true if url.starts_with("iscsi:") => {
            // Without the name and the secret before the host.
            format!("iscsi {}", host.rsplit_once('@').map_or(host, |(_, h)| h))
        }
        true => host.to_owned(),
        false => place.to_owned(),
    };
    let source = query
        .split('&')
        .filter(|o| o.starts_with("src=") || o.starts_with("iface="));
    source.fold(place, |label, o| format!("{label} {o}"))
}

/// One decimal is what a measurement is worth.
fn rounded(n: f64) -> f64 {
    (n * 10.0).round() / 10.0
}

impl RunReport {
    /// `now` ends the measurement of a run that was not stopped.
    pub fn new(
        command: &'static str,
        spec: &Spec,
        workload: &Workload,
        lun: LunFacts,
        events: Vec<Event>,
        now: Time,
    ) -> Self {
        let stats = workload.stats();
        let elapsed_ns = stats.elapsed_ns(now);
        let per_second = |n: u64| match elapsed_ns {
            0 => 0.0,
            ns => n as f64 * 1e9 / ns as f64,
        };
        let kinds = stats.errors.iter().map(|(example, count)| ErrorReport {
            kind: example.kind.name().to_owned(),
            count,
            example: example.to_string(),
        });
        let verifier = workload.verifier();
        let errors = stats.errors.total();
        let miscompares = workload.miscompares();
        let ios = stats.ios();
        Self {
            command,
            version: env!("CARGO_PKG_VERSION"),
            ok: errors == 0 && miscompares == 0,
            interrupted: false,
            workload: WorkloadReport {
                rw: spec.pattern.name(),
                rwmixread: spec.read_percent,
                bs: units::show_sizes(&spec.sizes),
                iodepth: spec.depth,
                rate: spec.rate,
                seed: json::id(spec.seed),
                verify: spec.verify.is_some(),
            },
            elapsed_ns,
            ios,
            bytes: stats.bytes(),
            iops: rounded(per_second(stats.ios_in_time)),
            bandwidth_bytes_per_s: per_second(stats.bytes_in_time) as u64,
            latency_ns: LatencyNs::of(&stats.latency()),
            read: OpReport::of(&stats.read),
            write: OpReport::of(&stats.write),
            errors,
            error_kinds: kinds.collect(),
            miscompares,
            miscompare_details: verifier
                .map(|v| v.details().iter().map(ToString::to_string).collect())
                .unwrap_or_default(),
            checked: verifier.map_or(0, |v| v.checked()),
            torn: verifier.map_or(0, |v| v.torn()),
            late_starts: stats.late_starts,
            given_up: Vec::new(),
            longest_stall_ns: lun.longest_stall_ns,
            fenced: lun.fenced,
            policy: lun.policy,
            transport: lun.transport,
            busy_ns_per_io: match ios {
                0 => 0.0,
                n => rounded(lun.busy_ns as f64 / n as f64),
            },
            retries: lun.retries,
            rerouted: lun.rerouted,
            parked: lun.parked,
            paths: lun.paths,
            demo: None,
            events,
        }
    }

    /// Enters how the run ended.
    pub fn ended(&mut self, interrupted: bool, given_up: &[String]) {
        self.interrupted = interrupted;
        self.given_up = given_up.to_vec();
        self.ok &= given_up.is_empty();
    }
}
