//! What a workload shall do.

use std::fmt;
use std::time::Duration;

use crate::base::limits::REQUEST_MAX;
use crate::lun::port::Geometry;

/// Which blocks are touched in which order, and how.
#[derive(Copy, Clone, PartialEq, Eq, Debug, Default, Hash)]
pub enum Pattern {
    #[default]
    RandRead,
    RandWrite,
    /// Reads and writes at random places, mixed by `read_percent`.
    RandRw,
    /// One block after the other.
    Read,
    Write,
}

impl Pattern {
    pub const fn name(self) -> &'static str {
        match self {
            Self::RandRead => "randread",
            Self::RandWrite => "randwrite",
            Self::RandRw => "randrw",
            Self::Read => "read",
            Self::Write => "write",
        }
    }

    /// Whether it changes the LUN.
    pub const fn writes(self) -> bool {
        !matches!(self, Self::RandRead | Self::Read)
    }

    pub const fn is_random(self) -> bool {
        matches!(self, Self::RandRead | Self::RandWrite | Self::RandRw)
    }
}

/// Bytes of one I/O.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Sizes {
    /// Each as likely as the others; an I/O lies at a multiple of its size.
    List(Vec<u64>),
    /// Any number of blocks between the two, small ones as likely as large ones (uniform over
    /// powers of two), at any block: what a verifier wants.
    Range(u64, u64),
}

impl Sizes {
    pub fn one(bytes: u64) -> Self {
        Self::List(vec![bytes])
    }

    pub fn max(&self) -> u64 {
        match self {
            Self::List(l) => l.iter().copied().max().unwrap_or(0),
            Self::Range(_, high) => *high,
        }
    }

    fn smallest(&self) -> u64 {
        match self {
            Self::List(l) => l.iter().copied().min().unwrap_or(0),
            Self::Range(low, _) => *low,
        }
    }
}

/// How strictly a read is judged. See [`super::verify`] for what each rule rests on.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct Rules {
    /// The LUN reads as zeroes where nothing was written. Otherwise any content that is not of
    /// this run is taken until the first write of the block is acknowledged.
    pub fresh: bool,
    /// A version that a completed read has seen is never undone: later reads see it or a newer
    /// one, even while its write is still outstanding.
    pub monotonic_reads: bool,
    /// A write that failed has been done or never will be. Only where the fence rests on proof.
    pub failures_settle: bool,
    /// A read beside a write may find a block half old, half new: SBC allows it, and a target that
    /// serves a file through the page cache does it. NVMe does not: AWUN, in the NVM command set's atomic
    /// operations, is one block at least.
    pub tears_beside_writes: bool,
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            fresh: true,
            monotonic_reads: true,
            failures_settle: false,
            tears_beside_writes: false,
        }
    }
}

/// Latency over time: how long an interval is, how many there are at most (the last one takes
/// all that comes after), and with how many significant digits they are kept.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct SeriesSpec {
    pub interval: Duration,
    pub count: usize,
    pub digits: u8,
}

impl SeriesSpec {
    /// Intervals of 100 ms or more, 240 at most, for a run of this length.
    pub fn for_runtime(runtime: Duration) -> Self {
        let interval = Duration::from_millis(100).max(runtime / 240);
        let count = (runtime.as_nanos() / interval.as_nanos()) as usize + 2;
        Self {
            interval,
            count,
            digits: 2,
        }
    }
}

/// A workload. All of it is fixed before the first I/O.
#[derive(Clone, PartialEq, Debug)]
pub struct Spec {
    pub pattern: Pattern,
    /// Reads in a hundred I/Os of `Pattern::RandRw`.
    pub read_percent: u8,
    pub sizes: Sizes,
    /// I/Os outstanding at most.
    pub depth: u32,
    /// I/Os a second, started on schedule whether or not earlier ones are back. `None`: a new
    /// one whenever one is back.
    pub rate: Option<u64>,
    pub seed: u64,
    /// Distinguishes this run's stamps from those an earlier run left on the LUN.
    pub run: u64,
    /// Stamp what is written, check what is read.
    pub verify: Option<Rules>,
    /// First byte and length of the part of the LUN to use; length 0 means up to its end.
    pub offset: u64,
    pub length: u64,
    /// Stop by itself after that many I/Os.
    pub limit: Option<u64>,
    pub series: Option<SeriesSpec>,
}

impl Default for Spec {
    fn default() -> Self {
        Self {
            pattern: Pattern::RandRead,
            read_percent: 70,
            sizes: Sizes::one(4096),
            depth: 32,
            rate: None,
            seed: 1,
            run: 0,
            verify: None,
            offset: 0,
            length: 0,
            limit: None,
            series: None,
        }
    }
}

/// Why a workload does not fit a LUN.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum SpecError {
    /// A size (or the offset or length) is not a multiple of the LUN's block size.
    Unaligned { bytes: u64, block_size: u32 },
    /// A size of zero, or a range whose start is above its end.
    EmptySize,
    /// One I/O would be larger than the engine takes, or than the part of the LUN in use.
    TooLarge { bytes: u64, limit: u64 },
    /// Offset and length reach beyond the LUN.
    BeyondEnd { end: u64, bytes: u64 },
    /// The table of a verified run would be absurdly large: use a part of the LUN.
    TooMuchToVerify { bytes: u64, limit: u64 },
    /// A depth or a rate of zero.
    Zero(&'static str),
}

impl fmt::Display for SpecError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unaligned { bytes, block_size } => write!(
                f,
                "{bytes} bytes is not a multiple of the LUN's block size of {block_size} bytes"
            ),
            Self::EmptySize => f.write_str("an I/O size of nothing"),
            Self::TooLarge { bytes, limit } => {
                write!(f, "an I/O of {bytes} bytes is larger than {limit} bytes")
            }
            Self::BeyondEnd { end, bytes } => write!(
                f,
                "the range ends at byte {end}, but the LUN has {bytes} bytes"
            ),
            Self::TooMuchToVerify { bytes, limit } => write!(
                f,
                "{bytes} bytes are too many to verify at once (at most {limit})"
            ),
            Self::Zero(what) => write!(f, "{what} must be at least 1"),
        }
    }
}

impl std::error::Error for SpecError {}

/// Bytes under verification at most: the table takes 16 bytes per 512, so this is 4 GiB of it.
pub const VERIFY_MAX: u64 = 128 << 30;

impl Spec {
    /// Checks the workload against a LUN; gives the first block and the number of blocks in use.
    pub fn fit(&self, geometry: &Geometry) -> Result<(u64, u64), SpecError> {
        let block = u64::from(geometry.block_size);
        let bytes = geometry.bytes();
        if self.depth == 0 {
            return Err(SpecError::Zero("the I/O depth"));
        }
        if self.rate == Some(0) {
            return Err(SpecError::Zero("the rate"));
        }
        let empty_range = matches!(self.sizes, Sizes::Range(low, high) if low > high);
        if self.sizes.smallest() == 0 || empty_range {
            return Err(SpecError::EmptySize);
        }
        let sizes: &[u64] = match &self.sizes {
            Sizes::List(l) => l,
            Sizes::Range(low, high) => &[*low, *high],
        };
        for &n in sizes.iter().chain(&[self.offset, self.length]) {
            if n % block != 0 {
                return Err(SpecError::Unaligned {
                    bytes: n,
                    block_size: geometry.block_size,
                });
            }
        }
        let end = match self.length {
            0 => bytes.max(self.offset),
            n => self.offset.saturating_add(n),
        };
        if end > bytes || self.offset >= bytes {
            return Err(SpecError::BeyondEnd { end, bytes });
        }
        let length = end - self.offset;
        let limit = length.min(REQUEST_MAX as u64);
        if self.sizes.max() > limit {
            return Err(SpecError::TooLarge {
                bytes: self.sizes.max(),
                limit,
            });
        }
        if self.verify.is_some() && length > VERIFY_MAX {
            return Err(SpecError::TooMuchToVerify {
                bytes: length,
                limit: VERIFY_MAX,
            });
        }
        Ok((self.offset / block, length / block))
    }
}
