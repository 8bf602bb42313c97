//! What happened when: events, and what each path carried in each interval.

use serde::Serialize;

/// What kind of thing happened; decides its colour on the page.
#[derive(Copy, Clone, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum EventKind {
    /// Somebody cut a nexus on purpose.
    Cut,
    /// Somebody gave it back.
    Restore,
    /// The engine lost a path.
    Loss,
    /// The engine has a path (again).
    Up,
    /// The policy was changed.
    Policy,
    /// Anything else worth telling.
    Note,
}

/// Something that happened during a run.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Event {
    /// Since measuring began.
    pub at_ns: u64,
    pub kind: EventKind,
    pub text: String,
}

/// What one path had carried up to one moment.
#[derive(Copy, Clone, PartialEq, Eq, Debug, Default)]
pub struct Carried {
    pub ios: u64,
    pub bytes: u64,
}

/// Running totals of all paths, looked at once per interval.
#[derive(Clone, Debug, Default)]
pub struct PathTimeline {
    paths: usize,
    /// Moments, and behind each `paths` totals.
    at_ns: Vec<u64>,
    totals: Vec<Carried>,
}

impl PathTimeline {
    /// Room for `samples` looks at `paths` paths.
    pub fn new(paths: usize, samples: usize) -> Self {
        Self {
            paths,
            at_ns: Vec::with_capacity(samples),
            totals: Vec::with_capacity(samples * paths),
        }
    }

    pub fn paths(&self) -> usize {
        self.paths
    }

    /// Notes the totals of every path as of `at_ns`.
    pub fn sample(&mut self, at_ns: u64, totals: impl Iterator<Item = Carried>) {
        self.at_ns.push(at_ns);
        self.totals.extend(totals);
        assert!(
            self.totals.len() == self.at_ns.len() * self.paths,
            "one total per path"
        );
    }

    /// I/Os a second of every path between one sample and the next: end of the interval in
    /// nanoseconds, and one rate per path.
    pub fn rates(&self) -> Vec<(u64, Vec<f64>)> {
        let rows = self.totals.chunks(self.paths.max(1));
        let samples: Vec<_> = self.at_ns.iter().zip(rows).collect();
        let mut out = Vec::with_capacity(samples.len());
        for pair in samples.windows(2) {
            let [(from, before), (to, after)] = pair else {
                continue;
            };
            let seconds = to.saturating_sub(**from) as f64 / 1e9;
            if seconds <= 0.0 {
                continue;
            }
            let rates = before.iter().zip(*after);
            let rates = rates.map(|(b, a)| a.ios.saturating_sub(b.ios) as f64 / seconds);
            out.push((**to, rates.collect()));
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_differences_by_time() {
        let mut t = PathTimeline::new(2, 3);
        let of = |a, b| [a, b].map(|ios| Carried { ios, bytes: 0 }).into_iter();
        t.sample(0, of(0, 0));
        t.sample(500_000_000, of(100, 0));
        t.sample(1_000_000_000, of(100, 50));
        let rates = t.rates();
        assert_eq!(rates[0], (500_000_000, vec![200.0, 0.0]));
        assert_eq!(rates[1], (1_000_000_000, vec![0.0, 100.0]));
    }
}
