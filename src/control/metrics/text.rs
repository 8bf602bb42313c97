//! The text of a scrape (OpenMetrics 1.0).

use crate::control::registry::answer::DaemonAnswer;
use crate::lun::plane::{Overview, PathOverview, target_name};
use crate::lun::stats::{FirstIo, PathStats};
use crate::lun::status::LunStatus;
use crate::path::access::AccessState;
use crate::path::state::State;
use hdrhistogram::Histogram;
use std::fmt::Write;

/// Upper bounds of the latency buckets, in microseconds.
const BUCKETS_US: [u64; 14] = [
    10, 20, 50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000, 50_000, 100_000, 500_000, 1_000_000,
];

/// Samples of one family; families stand together, as OpenMetrics wants them.
struct Family {
    name: &'static str,
    kind: &'static str,
    help: &'static str,
    samples: String,
}

struct Page(Vec<Family>);

impl Page {
    fn put(&mut self, name: &'static str, kind: &'static str, help: &'static str, sample: &str) {
        let at = self.0.iter().position(|f| f.name == name);
        let at = at.unwrap_or_else(|| {
            self.0.push(Family {
                name,
                kind,
                help,
                samples: String::new(),
            });
            self.0.len() - 1
        });
        self.0[at].samples.push_str(sample);
    }

    fn counter(&mut self, name: &'static str, help: &'static str, labels: &str, value: u64) {
        self.put(
            name,
            "counter",
            help,
            &format!("{name}_total{{{labels}}} {value}\n"),
        );
    }

    fn gauge(&mut self, name: &'static str, help: &'static str, labels: &str, value: u64) {
        self.put(
            name,
            "gauge",
            help,
            &format!("{name}{{{labels}}} {value}\n"),
        );
    }

    fn latency(
        &mut self,
        name: &'static str,
        help: &'static str,
        labels: &str,
        h: &Histogram<u32>,
    ) {
        let mut out = String::new();
        for us in BUCKETS_US {
            let n = h.count_between(0, us * 1_000);
            let _ = writeln!(out, "{name}_bucket{{{labels},le=\"{}\"}} {n}", seconds(us));
        }
        let _ = writeln!(out, "{name}_bucket{{{labels},le=\"+Inf\"}} {}", h.len());
        let sum = h.mean() * h.len() as f64 / 1e9;
        let _ = writeln!(out, "{name}_count{{{labels}}} {}", h.len());
        let _ = writeln!(
            out,
            "{name}_sum{{{labels}}} {}",
            if sum.is_finite() { sum } else { 0.0 }
        );
        self.put(name, "histogram", help, &out);
    }

    fn state(
        &mut self,
        name: &'static str,
        help: &'static str,
        labels: &str,
        of: &str,
        all: &[String],
    ) {
        for state in all {
            let on = u8::from(state == of);
            let sample = format!("{name}{{{labels},{name}=\"{state}\"}} {on}\n");
            self.put(name, "stateset", help, &sample);
        }
    }
}

fn seconds(us: u64) -> String {
    format!("{}", us as f64 / 1e6)
}

/// A label's value.
fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\")
        .replace('"', "\\\"")
        .replace('\n', "\\n")
}

/// The page: `luns` has one entry a LUN, with one pair a reactor.
pub fn text(luns: &[Vec<(Overview, LunStatus)>], daemon: &DaemonAnswer) -> String {
    let mut page = Page(Vec::new());
    let version = format!("version=\"{}\"", daemon.version);
    page.put(
        "umpio_build",
        "info",
        "The daemon.",
        &format!("umpio_build_info{{{version}}} 1\n"),
    );
    for r in &daemon.reactors {
        let labels = format!("reactor=\"{}\"", r.index);
        let busy = format!(
            "umpio_reactor_busy_seconds_total{{{labels}}} {}\n",
            r.busy_ns as f64 / 1e9
        );
        page.put(
            "umpio_reactor_busy_seconds",
            "counter",
            "Time of turns that did work.",
            &busy,
        );
        page.gauge(
            "umpio_reactor_associations_up",
            "Associations that are up.",
            &labels,
            r.associations_up as u64,
        );
    }
    for lun in luns {
        for (reactor, (o, status)) in lun.iter().enumerate() {
            one_lun(&mut page, reactor, o, status);
        }
    }
    nexuses(&mut page, luns);
    let mut out = String::new();
    for f in &page.0 {
        let _ = write!(
            out,
            "# TYPE {} {}\n# HELP {} {}\n{}",
            f.name, f.kind, f.name, f.help, f.samples
        );
    }
    out.push_str("# EOF\n");
    out
}

fn one_lun(page: &mut Page, reactor: usize, o: &Overview, status: &LunStatus) {
    let l = format!("lun=\"{}\",reactor=\"{reactor}\"", escaped(&o.name));
    page.counter("umpio_lun_ios", "Requests completed.", &l, o.completed);
    page.counter("umpio_lun_bytes", "Bytes moved.", &l, o.bytes);
    page.counter("umpio_lun_errors", "Requests that failed.", &l, o.failed);
    page.counter("umpio_lun_retries", "Counted retries.", &l, o.retries);
    let in_flight = o.paths.iter().map(|p| u64::from(p.in_flight)).sum();
    page.gauge(
        "umpio_lun_in_flight",
        "Requests on the LUN's paths.",
        &l,
        in_flight,
    );
    page.counter(
        "umpio_lun_rerouted",
        "Requests sent again without being counted.",
        &l,
        o.rerouted,
    );
    page.counter(
        "umpio_lun_fenced",
        "Requests ever held behind the fence.",
        &l,
        o.fence.held,
    );
    page.counter(
        "umpio_lun_fence_unknown",
        "Requests that failed as outcome unknown.",
        &l,
        o.fence.unknown,
    );
    page.gauge(
        "umpio_lun_parked",
        "Requests waiting for a path now.",
        &l,
        o.parked_now as u64,
    );
    let fenced = (o.fenced_now.0 + o.fenced_now.1) as u64;
    page.gauge(
        "umpio_lun_fenced_now",
        "Requests behind the fence now.",
        &l,
        fenced,
    );
    page.gauge(
        "umpio_lun_policy",
        "Policy in force, by its Windows number.",
        &l,
        u64::from(o.policy.policy().number()),
    );
    let stall = format!(
        "umpio_lun_longest_stall_seconds{{{l}}} {}\n",
        o.longest_stall_ns as f64 / 1e9
    );
    page.put(
        "umpio_lun_longest_stall_seconds",
        "gauge",
        "Longest time without a completion while something was outstanding.",
        &stall,
    );
    page.latency(
        "umpio_lun_latency_seconds",
        "From submission to completion.",
        &l,
        &status.stats.latency,
    );
    let states: Vec<String> = State::ALL.iter().map(ToString::to_string).collect();
    let accesses: Vec<String> = ACCESS.iter().map(ToString::to_string).collect();
    for p in &o.paths {
        let l = format!(
            "lun=\"{}\",nexus=\"{:#018x}\",target=\"{}\",reactor=\"{reactor}\"",
            escaped(&o.name),
            p.nexus_id,
            escaped(target_name(&p.spec.nexus)),
        );
        page.counter(
            "umpio_path_ios",
            "Requests completed over the path.",
            &l,
            p.ios,
        );
        page.counter(
            "umpio_path_bytes",
            "Bytes moved over the path.",
            &l,
            p.bytes,
        );
        page.counter(
            "umpio_path_errors",
            "Answers that were not success.",
            &l,
            p.errors,
        );
        page.counter(
            "umpio_path_lost",
            "Requests the path was lost with.",
            &l,
            p.lost,
        );
        page.counter(
            "umpio_path_logins",
            "Logins of its association.",
            &l,
            p.logins,
        );
        page.counter(
            "umpio_path_reconnects",
            "Logins of its association after the first.",
            &l,
            p.logins.saturating_sub(1),
        );
        let stats = status.paths.iter().find(|s| s.nexus_id == p.nexus_id);
        let first_io = stats.map_or_else(FirstIo::default, |s| s.stats.first_io);
        let name = "umpio_path_access_to_io_seconds";
        let sample = format!(
            "{name}_count{{{l}}} {}\n{name}_sum{{{l}}} {}\n",
            first_io.count,
            first_io.sum_ns as f64 / 1e9
        );
        page.put(
            name,
            "summary",
            "From an access change that let the path carry I/O to the end of the first.",
            &sample,
        );
        let name = "umpio_path_access_to_io_longest_seconds";
        let sample = format!("{name}{{{l}}} {}\n", first_io.longest_ns as f64 / 1e9);
        page.put(name, "gauge", "The longest of these.", &sample);
        page.counter(
            "umpio_path_losses",
            "Losses of its association.",
            &l,
            p.losses,
        );
        page.gauge(
            "umpio_path_joined",
            "It belongs to the LUN.",
            &l,
            u64::from(p.joined),
        );
        page.gauge("umpio_path_weight", "Weight.", &l, u64::from(p.weight));
        page.gauge(
            "umpio_path_in_flight",
            "Requests of the LUN on the path.",
            &l,
            u64::from(p.in_flight),
        );
        page.state(
            "umpio_path_state",
            "State of its association.",
            &l,
            &p.state.to_string(),
            &states,
        );
        page.state(
            "umpio_path_access",
            "What the target says of it.",
            &l,
            &p.access.to_string(),
            &accesses,
        );
        let full = status.paths.iter().find(|s| s.nexus_id == p.nexus_id);
        if let Some(full) = full {
            page.latency(
                "umpio_path_latency_seconds",
                "From dispatch to completion.",
                &l,
                &full.stats.latency,
            );
        }
    }
}

/// What all LUNs have done over one nexus, on one reactor, those included that are closed.
struct Nexus<'a> {
    id: u64,
    reactor: usize,
    path: &'a PathOverview,
    stats: PathStats,
    logins: u64,
    losses: u64,
}

fn nexuses(page: &mut Page, luns: &[Vec<(Overview, LunStatus)>]) {
    let mut all: Vec<Nexus<'_>> = Vec::new();
    for lun in luns {
        for (reactor, (o, status)) in lun.iter().enumerate() {
            for p in &o.paths {
                let full = status.paths.iter().find(|s| s.nexus_id == p.nexus_id);
                let Some(full) = full else { continue };
                let same = |n: &&mut Nexus<'_>| (n.id, n.reactor) == (p.nexus_id, reactor);
                if let Some(n) = all.iter_mut().find(same) {
                    n.stats.add(&full.stats);
                    continue;
                }
                let mut n = Nexus {
                    id: p.nexus_id,
                    reactor,
                    path: p,
                    stats: full.stats.clone(),
                    logins: p.logins,
                    losses: p.losses,
                };
                if let Some(gone) = &full.departed {
                    n.stats.add(&gone.stats);
                    n.logins += gone.logins;
                    n.losses += gone.losses;
                }
                all.push(n);
            }
        }
    }
    let states: Vec<String> = State::ALL.iter().map(ToString::to_string).collect();
    for n in &all {
        let p = n.path;
        let l = format!(
            "nexus=\"{:#018x}\",target=\"{}\",reactor=\"{}\"",
            n.id,
            escaped(target_name(&p.spec.nexus)),
            n.reactor,
        );
        let counters = [
            (
                "umpio_nexus_ios",
                "Requests completed over the nexus.",
                n.stats.ios,
            ),
            (
                "umpio_nexus_bytes",
                "Bytes moved over the nexus.",
                n.stats.bytes,
            ),
            (
                "umpio_nexus_errors",
                "Answers that were not success.",
                n.stats.errors,
            ),
            (
                "umpio_nexus_lost",
                "Requests the nexus was lost with.",
                n.stats.lost,
            ),
            ("umpio_nexus_losses", "Times that it was lost.", n.losses),
            (
                "umpio_nexus_reconnects",
                "Logins after the first.",
                n.logins.saturating_sub(1),
            ),
        ];
        for (name, help, value) in counters {
            page.counter(name, help, &l, value);
        }
        page.gauge(
            "umpio_nexus_in_flight",
            "Requests in flight on the nexus.",
            &l,
            u64::from(p.nexus_in_flight),
        );
        page.state(
            "umpio_nexus_state",
            "State of its association.",
            &l,
            &p.state.to_string(),
            &states,
        );
        page.latency(
            "umpio_nexus_latency_seconds",
            "From dispatch to completion.",
            &l,
            &n.stats.latency,
        );
    }
}

const ACCESS: [AccessState; 6] = [
    AccessState::Optimized,
    AccessState::NonOptimized,
    AccessState::Standby,
    AccessState::Unavailable,
    AccessState::Transitioning,
    AccessState::Lost,
];
