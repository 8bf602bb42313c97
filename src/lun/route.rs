//! Routing has three outcomes, each counted (invariant I5).

use super::policy::PathIx;
use crate::base::error::IoError;

/// Why a request waits in the channel.
#[derive(Copy, Clone, PartialEq, Eq, Debug, Hash)]
#[repr(usize)]
pub enum ParkReason {
    /// No path is usable now, one may come back.
    NoPathNow,
    /// The path chosen takes no more commands at the moment.
    QueueFull,
    /// The target asked for a pause.
    Busy,
    /// Another reactor's unproven loss keeps its blocks closed.
    ForeignFence,
}

impl ParkReason {
    pub const ALL: [Self; 4] = [
        Self::NoPathNow,
        Self::QueueFull,
        Self::Busy,
        Self::ForeignFence,
    ];

    pub const fn name(self) -> &'static str {
        match self {
            Self::NoPathNow => "no usable path now",
            Self::QueueFull => "queue full",
            Self::Busy => "target busy",
            Self::ForeignFence => "blocks closed by another reactor's loss",
        }
    }
}

/// Where a request goes.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum Route {
    Submit(PathIx),
    Park(ParkReason),
    Fail(IoError),
}

/// How often each outcome was taken.
#[derive(Copy, Clone, Default, Debug, PartialEq, Eq)]
pub struct RouteCounters {
    pub submitted: u64,
    pub parked: [u64; 4],
    pub failed: u64,
}
