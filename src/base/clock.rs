//! Time as the engine sees it: nanoseconds from an origin, read once per tick.
//!
//! Nothing outside this file reads a system clock; everything else is handed `now`. That is what
//! lets the simulator run the same code in virtual time.

use std::fmt;
use std::ops::{Add, AddAssign, Sub};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// A point in time: nanoseconds since the clock's origin.
#[derive(Copy, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Time(u64);

impl Time {
    pub const ZERO: Self = Self(0);
    /// Later than any deadline.
    pub const NEVER: Self = Self(u64::MAX);

    pub const fn from_nanos(ns: u64) -> Self {
        Self(ns)
    }

    pub const fn as_nanos(self) -> u64 {
        self.0
    }

    /// How long after `earlier`; zero when it is not.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }

    /// Nanoseconds after `earlier`; zero when it is not.
    #[inline]
    pub const fn nanos_since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}

impl Add<Duration> for Time {
    type Output = Self;
    fn add(self, d: Duration) -> Self {
        Self(
            self.0
                .saturating_add(u64::try_from(d.as_nanos()).unwrap_or(u64::MAX)),
        )
    }
}

impl AddAssign<Duration> for Time {
    fn add_assign(&mut self, d: Duration) {
        *self = *self + d;
    }
}

impl Sub for Time {
    type Output = Duration;
    fn sub(self, other: Self) -> Duration {
        self.since(other)
    }
}

impl fmt::Debug for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if *self == Self::NEVER {
            return f.write_str("never");
        }
        write!(
            f,
            "{}.{:09}s",
            self.0 / 1_000_000_000,
            self.0 % 1_000_000_000
        )
    }
}

/// Where `now` comes from.
#[derive(Clone, Debug)]
pub enum Clock {
    /// The machine's monotonic clock, counted from the clock's making.
    Monotonic(Instant),
    /// A clock that only moves when somebody moves it (simulator, tests).
    Virtual(Arc<AtomicU64>),
}

impl Clock {
    pub fn monotonic() -> Self {
        Self::Monotonic(Instant::now())
    }

    /// A virtual clock and the handle that moves it (nanoseconds).
    pub fn virtual_at(start: Time) -> (Self, Arc<AtomicU64>) {
        let cell = Arc::new(AtomicU64::new(start.0));
        (Self::Virtual(cell.clone()), cell)
    }

    #[inline]
    pub fn now(&self) -> Time {
        match self {
            // 584 years of nanoseconds fit; the cast cannot lose anything real.
            Self::Monotonic(origin) => Time(origin.elapsed().as_nanos() as u64),
            Self::Virtual(cell) => Time(cell.load(Ordering::Relaxed)),
        }
    }
}

/// Wall-clock time in nanoseconds since 1970, for seeds and time stamps shown to people.
pub fn wall_nanos() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |d| d.as_nanos() as u64)
}

/// The moment of so many nanoseconds since 1970, for file formats that want it as such.
pub fn wall_time(ns: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_nanos(ns)
}
