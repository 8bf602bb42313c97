//! What a workload measured.

use hdrhistogram::Histogram;

use super::spec::SeriesSpec;
use crate::base::clock::Time;
use crate::base::error::{ErrorKind, IoError};

/// Latencies up to an hour; longer ones are recorded as that.
pub const LATENCY_MAX_NS: u64 = 3_600_000_000_000;

/// A histogram of fixed size, so that recording never allocates.
pub fn histogram(digits: u8) -> Histogram<u64> {
    Histogram::new_with_bounds(1, LATENCY_MAX_NS, digits).expect("constant bounds are valid")
}

/// One kind of I/O.
#[derive(Clone, Debug)]
pub struct OpStats {
    /// Completed without error.
    pub ios: u64,
    pub bytes: u64,
    /// Nanoseconds from start (the intended one where a rate is set) to completion.
    pub latency: Histogram<u64>,
}

impl OpStats {
    fn new() -> Self {
        Self {
            ios: 0,
            bytes: 0,
            latency: histogram(3),
        }
    }

    fn clear(&mut self) {
        self.ios = 0;
        self.bytes = 0;
        self.latency.reset();
    }
}

/// Room for every kind of error.
const KINDS: usize = ErrorKind::Device as usize + 1;

/// Failed I/Os, by kind, with the first of each as an example.
#[derive(Clone, Debug, Default)]
pub struct ErrorCounts([(u64, Option<IoError>); KINDS]);

impl ErrorCounts {
    pub fn add(&mut self, error: IoError) {
        let (count, first) = &mut self.0[error.kind as usize];
        *count += 1;
        first.get_or_insert(error);
    }

    pub fn total(&self) -> u64 {
        self.0.iter().map(|(n, _)| n).sum()
    }

    /// Kinds that happened: an example and how often.
    pub fn iter(&self) -> impl Iterator<Item = (IoError, u64)> {
        self.0.iter().filter_map(|(n, e)| Some(((*e)?, *n)))
    }
}

/// One interval of the run.
#[derive(Clone, Debug)]
pub struct Interval {
    pub ios: u64,
    pub bytes: u64,
    pub errors: u64,
    pub latency: Histogram<u64>,
}

/// Latency over time. All intervals exist from the start: going to the next one is a matter of
/// an index, and adds no noise to what is measured.
#[derive(Clone, Debug)]
pub struct Series {
    pub interval_ns: u64,
    pub intervals: Vec<Interval>,
}

impl Series {
    fn new(spec: SeriesSpec) -> Self {
        let interval = Interval {
            ios: 0,
            bytes: 0,
            errors: 0,
            latency: histogram(spec.digits),
        };
        Self {
            interval_ns: spec.interval.as_nanos().max(1) as u64,
            intervals: vec![interval; spec.count.max(1)],
        }
    }

    fn clear(&mut self) {
        for i in &mut self.intervals {
            i.ios = 0;
            i.bytes = 0;
            i.errors = 0;
            i.latency.reset();
        }
    }

    /// The interval that `after_ns` from the start falls into.
    fn at(&mut self, after_ns: u64) -> &mut Interval {
        let last = self.intervals.len() - 1;
        let index = usize::try_from(after_ns / self.interval_ns).unwrap_or(last);
        &mut self.intervals[index.min(last)]
    }
}

/// Everything measured so far.
#[derive(Clone, Debug)]
pub struct Stats {
    pub read: OpStats,
    pub write: OpStats,
    pub errors: ErrorCounts,
    pub series: Option<Series>,
    /// When measuring began; set by the first step.
    pub started: Option<Time>,
    /// When new I/O was no longer started.
    pub stopped: Option<Time>,
    /// I/Os and bytes completed between the two; what came back later is in the histograms, but
    /// not in the throughput.
    pub ios_in_time: u64,
    pub bytes_in_time: u64,
    /// I/Os a set rate called for whose start was late because all of the depth was in use.
    pub late_starts: u64,
}

impl Stats {
    pub(super) fn new(series: Option<SeriesSpec>) -> Self {
        Self {
            read: OpStats::new(),
            write: OpStats::new(),
            errors: ErrorCounts::default(),
            series: series.map(Series::new),
            started: None,
            stopped: None,
            ios_in_time: 0,
            bytes_in_time: 0,
            late_starts: 0,
        }
    }

    pub(super) fn clear(&mut self, now: Time) {
        self.read.clear();
        self.write.clear();
        self.errors = ErrorCounts::default();
        if let Some(s) = &mut self.series {
            s.clear();
        }
        self.started = Some(now);
        self.stopped = None;
        self.ios_in_time = 0;
        self.bytes_in_time = 0;
        self.late_starts = 0;
    }

    #[inline]
    pub(super) fn done(&mut self, write: bool, bytes: u64, latency_ns: u64, now: Time) {
        let op = if write {
            &mut self.write
        } else {
            &mut self.read
        };
        op.ios += 1;
        op.bytes += bytes;
        // Below the lowest bound of 1 ns happens in virtual time only.
        op.latency.saturating_record(latency_ns.max(1));
        if self.stopped.is_none() {
            self.ios_in_time += 1;
            self.bytes_in_time += bytes;
        }
        let started = self.started.unwrap_or(now);
        if let Some(series) = &mut self.series {
            let interval = series.at(now.nanos_since(started));
            interval.ios += 1;
            interval.bytes += bytes;
            interval.latency.saturating_record(latency_ns.max(1));
        }
    }

    pub(super) fn failed(&mut self, error: IoError, now: Time) {
        self.errors.add(error);
        let started = self.started.unwrap_or(now);
        if let Some(series) = &mut self.series {
            series.at(now.nanos_since(started)).errors += 1;
        }
    }

    pub fn ios(&self) -> u64 {
        self.read.ios + self.write.ios
    }

    pub fn bytes(&self) -> u64 {
        self.read.bytes + self.write.bytes
    }

    /// Reads and writes together.
    pub fn latency(&self) -> Histogram<u64> {
        let mut all = self.read.latency.clone();
        all.add(&self.write.latency)
            .expect("both have the same bounds");
        all
    }

    /// Nanoseconds of measuring as of `now`.
    pub fn elapsed_ns(&self, now: Time) -> u64 {
        self.started
            .map_or(0, |s| self.stopped.unwrap_or(now).nanos_since(s))
    }
}
