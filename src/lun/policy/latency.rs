//! `latency` (7, ours): the path on which the request is expected to complete first.
//!
//! Expected time = smoothed service time × (requests in flight + 1). Two things make it react in
//! milliseconds: the age of the oldest request in flight counts as a service time that is still
//! growing, so a stalled path is left before anything completes on it; and a sample after a silence
//! replaces the old value at once, so a path that recovered is believed at its first answer.
//!
//! A path that nobody uses gives no samples. So an idle path whose value is old gets one request
//! now and then, the rarer the slower it was: it costs about 3 % of one request's time at most.

use super::load::NexusLoad;
use super::rule::{Ask, Candidate, Rule, first_minimum};

/// No path is probed more often than this …
const PROBE_MIN_NS: u64 = 10_000_000;
/// … nor, while it is idle, more rarely than this.
const PROBE_MAX_NS: u64 = 1_000_000_000;
/// Pause after a probe, in service times of the path.
const PROBE_PAUSE: u64 = 32;

const _: () = assert!(
    PROBE_MIN_NS >= super::load::STALE_NS,
    "a probe's answer must replace the old value"
);
const _: () = assert!(PROBE_MIN_NS < PROBE_MAX_NS);

#[derive(Clone, Debug, Default)]
pub(crate) struct Latency {
    /// Per candidate, the earliest time of its next probe.
    probe_at_ns: Vec<u64>,
    /// The least of them: one comparison per request while nothing is due.
    next_probe_ns: u64,
}

/// Wraps only beyond 18 minutes times 16 million requests.
#[inline(always)]
fn expected_ns(load: &NexusLoad, now_ns: u64) -> u64 {
    let age = now_ns.saturating_sub(load.oldest_dispatch_ns);
    load.service_ns
        .max(age)
        .wrapping_mul(load.queue_depth() + 1)
}

impl Latency {
    /// A path to probe, if one is due. Moves its next turn on.
    #[cold]
    fn due(&mut self, candidates: &[Candidate], ask: &Ask<'_>) -> Option<usize> {
        let mut due = None;
        for (place, candidate) in candidates.iter().enumerate() {
            if self.probe_at_ns[place] > ask.now_ns {
                continue;
            }
            let load = &ask.loads[usize::from(candidate.nexus)];
            let pause = load
                .service_ns
                .saturating_mul(PROBE_PAUSE)
                .clamp(PROBE_MIN_NS, PROBE_MAX_NS);
            let fresh = load.in_flight > 0 || load.sampled_at_ns.saturating_add(pause) > ask.now_ns;
            if fresh || place == ask.avoid {
                // In use, or asked lately for another LUN: look again when that could be old.
                self.probe_at_ns[place] = ask.now_ns + PROBE_MIN_NS;
            } else if due.is_none() {
                self.probe_at_ns[place] = ask.now_ns + pause;
                due = Some(place);
            }
        }
        self.next_probe_ns = self.probe_at_ns.iter().copied().min().unwrap_or(u64::MAX);
        due
    }
}

impl Rule for Latency {
    const SPREADS_NON_OPTIMIZED: bool = true;

    fn rebuild(&mut self, candidates: &[Candidate]) {
        self.probe_at_ns = vec![0; candidates.len()];
        self.next_probe_ns = 0;
    }

    #[inline]
    fn pick(&mut self, candidates: &[Candidate], ask: &Ask<'_>) -> usize {
        if ask.now_ns >= self.next_probe_ns
            && let Some(place) = self.due(candidates, ask)
        {
            return place;
        }
        first_minimum(candidates, ask.avoid, |c| {
            expected_ns(&ask.loads[usize::from(c.nexus)], ask.now_ns)
        })
    }
}
