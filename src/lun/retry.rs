//! What to do with a request that a path gave back: one pure function.

use crate::base::error::{ErrorKind, IoError};
use crate::base::request::LossClass;
use crate::path::loss::LossId;
use crate::path::outcome::Outcome;
use std::time::Duration;

/// The verdict on a request.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum Verdict {
    Complete(Result<(), IoError>),
    /// Route it again at once; `avoid`: not over the path it came from, if there is another.
    Reroute {
        avoid: bool,
        counted: bool,
    },
    /// Route it again after a while.
    RouteLater {
        after: Duration,
    },
    /// The path's access state must be read again; route once more meanwhile.
    AccessChanged,
    /// It goes behind the fence of this loss.
    Fence(LossId),
}

/// What the verdict depends on besides the outcome.
#[derive(Copy, Clone, Debug)]
pub struct Facts {
    pub class: LossClass,
    /// Counted retries so far.
    pub retries: u8,
    /// Counted retries allowed (RetryCount of MPIO).
    pub retry_max: u8,
    /// The time the request may wait in all has passed.
    pub overdue: bool,
}

/// Decides. Access changes and losses are never counted, as in MSDSM; what a device says for good
/// goes up; busy targets are asked again until the request is overdue.
pub fn verdict(outcome: Outcome, facts: Facts) -> Verdict {
    match outcome {
        Outcome::Done => Verdict::Complete(Ok(())),
        Outcome::Failed(error) => Verdict::Complete(Err(error)),
        Outcome::NotSent => Verdict::Reroute {
            avoid: true,
            counted: false,
        },
        Outcome::Lost(loss) => match facts.class {
            LossClass::Free => Verdict::Reroute {
                avoid: true,
                counted: false,
            },
            LossClass::Fenced | LossClass::Never => Verdict::Fence(loss),
        },
        Outcome::AccessDenied { error } if facts.overdue => Verdict::Complete(Err(error)),
        // The target refused before doing anything, so even a compare-and-write may go elsewhere.
        Outcome::AccessDenied { .. } => Verdict::AccessChanged,
        Outcome::Busy { error, .. } if facts.overdue => Verdict::Complete(Err(error)),
        Outcome::Busy { after, .. } => Verdict::RouteLater { after },
        // The path failed it at some point unknown: what must not be sent twice goes up.
        Outcome::PathFault { error } if facts.class == LossClass::Never => {
            Verdict::Complete(Err(IoError::with_raw(ErrorKind::OutcomeUnknown, error.raw)))
        }
        Outcome::PathFault { error } if facts.retries >= facts.retry_max || facts.overdue => {
            Verdict::Complete(Err(error))
        }
        Outcome::PathFault { .. } => Verdict::Reroute {
            avoid: true,
            counted: true,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ERROR: IoError = IoError::new(ErrorKind::Device);

    const fn facts(class: LossClass, retries: u8) -> Facts {
        Facts {
            class,
            retries,
            retry_max: 3,
            overdue: false,
        }
    }

    #[test]
    fn a_lost_read_goes_elsewhere_at_once_and_a_lost_write_behind_the_fence() {
        let lost = Outcome::Lost(LossId(7));
        assert_eq!(
            verdict(lost, facts(LossClass::Free, 200)),
            Verdict::Reroute {
                avoid: true,
                counted: false
            }
        );
        assert_eq!(
            verdict(lost, facts(LossClass::Fenced, 0)),
            Verdict::Fence(LossId(7))
        );
        assert_eq!(
            verdict(lost, facts(LossClass::Never, 0)),
            Verdict::Fence(LossId(7))
        );
    }

    #[test]
    fn a_path_fault_is_counted_up_to_the_limit_and_then_goes_up() {
        let fault = Outcome::PathFault { error: ERROR };
        assert_eq!(
            verdict(fault, facts(LossClass::Fenced, 2)),
            Verdict::Reroute {
                avoid: true,
                counted: true
            }
        );
        assert_eq!(
            verdict(fault, facts(LossClass::Fenced, 3)),
            Verdict::Complete(Err(ERROR))
        );
    }

    #[test]
    fn a_faulted_compare_and_write_is_never_sent_again() {
        let v = verdict(
            Outcome::PathFault { error: ERROR },
            facts(LossClass::Never, 0),
        );
        assert_eq!(
            v,
            Verdict::Complete(Err(IoError::new(ErrorKind::OutcomeUnknown)))
        );
    }

    #[test]
    fn an_access_change_is_not_counted_but_ends_when_overdue() {
        let denied = Outcome::AccessDenied { error: ERROR };
        assert_eq!(
            verdict(denied, facts(LossClass::Fenced, 255)),
            Verdict::AccessChanged
        );
        let late = Facts {
            overdue: true,
            ..facts(LossClass::Fenced, 0)
        };
        assert_eq!(verdict(denied, late), Verdict::Complete(Err(ERROR)));
    }

    #[test]
    fn the_devices_own_verdict_goes_up_unchanged() {
        let e = IoError::with_raw(ErrorKind::Medium, 0x281);
        assert_eq!(
            verdict(Outcome::Failed(e), facts(LossClass::Free, 0)),
            Verdict::Complete(Err(e))
        );
    }
}
