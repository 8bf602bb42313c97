//! Counters and latency histograms per path and per LUN, kept by the one reactor that owns them.

use crate::base::request::Op;
use hdrhistogram::Histogram;

/// Longest latency told apart: one hour, in nanoseconds. Longer ones count as that.
const LATENCY_MAX_NS: u64 = 3_600_000_000_000;

/// A latency histogram in nanoseconds with two significant digits: some 20 KiB, so that a thousand
/// LUNs can have one for each path.
pub fn latency_histogram() -> Histogram<u32> {
    Histogram::new_with_bounds(1, LATENCY_MAX_NS, 2).expect("constant bounds are valid")
}

/// Times from an access change that let a path carry I/O to the end of the first I/O.
#[derive(Copy, Clone, PartialEq, Eq, Debug, Default)]
pub struct FirstIo {
    /// How often that was.
    pub count: u64,
    /// All of them together, in nanoseconds.
    pub sum_ns: u64,
    /// The longest of them, in nanoseconds.
    pub longest_ns: u64,
}

/// What one path of one LUN has carried on this reactor.
#[derive(Clone, Debug)]
pub struct PathStats {
    pub ios: u64,
    pub bytes: u64,
    pub reads: u64,
    pub bytes_read: u64,
    pub writes: u64,
    pub bytes_written: u64,
    /// Answers that were not success.
    pub errors: u64,
    /// Requests it was lost with.
    pub lost: u64,
    /// From dispatch to completion.
    pub latency: Histogram<u32>,
    pub first_io: FirstIo,
}

impl Default for PathStats {
    fn default() -> Self {
        Self {
            ios: 0,
            bytes: 0,
            reads: 0,
            bytes_read: 0,
            writes: 0,
            bytes_written: 0,
            errors: 0,
            lost: 0,
            latency: latency_histogram(),
            first_io: FirstIo::default(),
        }
    }
}

impl PathStats {
    /// The first I/O since an access change has ended.
    pub fn record_first_io(&mut self, nanos: u64) {
        let f = &mut self.first_io;
        f.count += 1;
        f.sum_ns = f.sum_ns.saturating_add(nanos);
        f.longest_ns = f.longest_ns.max(nanos);
    }

    /// Adds what another path has carried.
    pub fn add(&mut self, other: &Self) {
        self.ios += other.ios;
        self.bytes += other.bytes;
        self.reads += other.reads;
        self.bytes_read += other.bytes_read;
        self.writes += other.writes;
        self.bytes_written += other.bytes_written;
        self.errors += other.errors;
        self.lost += other.lost;
        // All are made with the same bounds.
        let _ = self.latency.add(&other.latency);
        let (f, o) = (&mut self.first_io, &other.first_io);
        f.count += o.count;
        f.sum_ns = f.sum_ns.saturating_add(o.sum_ns);
        f.longest_ns = f.longest_ns.max(o.longest_ns);
    }

    #[inline]
    pub fn record(&mut self, op: Op, bytes: u64, latency_ns: u64) {
        match op {
            Op::Read => {
                self.reads += 1;
                self.bytes_read += bytes;
            }
            Op::Write => {
                self.writes += 1;
                self.bytes_written += bytes;
            }
            _ => {}
        }
        self.ios += 1;
        self.bytes += bytes;
        self.latency.saturating_record(latency_ns.max(1));
    }
}

/// What a LUN has done on this reactor.
#[derive(Clone, Debug)]
pub struct LunStats {
    pub completed: u64,
    pub bytes: u64,
    pub failed: u64,
    /// Counted retries.
    pub retries: u64,
    /// Sent again without being counted: lost reads, access changes, never sent.
    pub rerouted: u64,
    /// Longest time between two completions while a request that is not fenced was outstanding.
    pub longest_stall_ns: u64,
    /// From the front end's submission to completion.
    pub latency: Histogram<u32>,
}

impl Default for LunStats {
    fn default() -> Self {
        Self {
            completed: 0,
            bytes: 0,
            failed: 0,
            retries: 0,
            rerouted: 0,
            longest_stall_ns: 0,
            latency: latency_histogram(),
        }
    }
}
