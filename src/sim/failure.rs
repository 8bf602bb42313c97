//! What must not happen in a run, and which I/O may fail why.

use super::checker::Violation;
use crate::base::error::{ErrorKind, IoError};
use crate::base::request::{LossClass, Op};
use std::fmt;
use std::time::Duration;

/// Why a run is a failure.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Failure {
    /// A host's caller saw what it must never see.
    Caller { host: usize, wrong: Wrong },
    /// The LUN's memory shows it.
    Memory(Violation),
    /// Actors that never come to rest.
    Livelock,
    /// A LUN has taken a path to another unit for its own, or a block of that unit was written.
    Lookalike { joined: bool },
    /// Reads failed after all faults had ended and all paths were back.
    Unhealed { reads: u64 },
    /// Something did not happen in its time.
    Stuck {
        waiting_for: &'static str,
        details: String,
    },
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Caller { host, wrong } => write!(f, "host{host}: {wrong}"),
            Self::Memory(v) => v.fmt(f),
            Self::Livelock => f.write_str("the actors never come to rest"),
            Self::Lookalike { joined: true } => {
                f.write_str("a path to another unit has joined the LUN")
            }
            Self::Lookalike { joined: false } => {
                f.write_str("another unit, which is no path of a LUN, was written to")
            }
            Self::Unhealed { reads } => write!(
                f,
                "{reads} reads failed though all paths are back and nothing is lost"
            ),
            Self::Stuck {
                waiting_for,
                details,
            } => write!(f, "stuck, waiting for {waiting_for}: {details}"),
        }
    }
}

/// What the caller must never see.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Wrong {
    Data(Violation),
    /// A request came back that was not outstanding.
    Twice {
        user: u64,
    },
    /// A request came back as something else than was handed in.
    Altered {
        user: u64,
        what: &'static str,
    },
    /// It failed without having waited for as long as it may.
    TooEarly {
        op: Op,
        after: Duration,
        error: IoError,
    },
    /// It failed for a reason that no fault in the menu can cause.
    Reason {
        op: Op,
        error: IoError,
    },
}

impl fmt::Display for Wrong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Data(v) => v.fmt(f),
            Self::Twice { user } => write!(f, "request {user:#x} completed twice"),
            Self::Altered { user, what } => {
                write!(f, "request {user:#x} came back with another {what}")
            }
            Self::TooEarly { op, after, error } => {
                write!(f, "a {} failed after only {after:?}: {error}", op.name())
            }
            Self::Reason { op, error } => {
                write!(f, "a {} failed for no allowed reason: {error}", op.name())
            }
        }
    }
}

/// Judges a failed request. Every fault in the menu passes or leaves another path: nothing may
/// fail before it has waited for its full time, except what must not be sent twice.
///
/// # Errors
/// It should not have failed.
pub fn judge(op: Op, error: IoError, after: Duration, patience: Duration) -> Result<(), Wrong> {
    match error.kind {
        // A compare sees whatever concurrent writes have left.
        ErrorKind::Miscompare if op == Op::Compare => Ok(()),
        ErrorKind::OutcomeUnknown if op.loss_class() == LossClass::Never => Ok(()),
        ErrorKind::OutcomeUnknown if op.loss_class() == LossClass::Free => {
            Err(Wrong::Reason { op, error })
        }
        ErrorKind::NoPath | ErrorKind::TimedOut | ErrorKind::OutcomeUnknown | ErrorKind::Device => {
            if after >= patience {
                Ok(())
            } else {
                Err(Wrong::TooEarly { op, after, error })
            }
        }
        _ => Err(Wrong::Reason { op, error }),
    }
}
