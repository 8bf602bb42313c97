//! SCSI statuses and sense data folded into what `lun` decides on, and what a link does about them.
//!
//! The cases are those of the MSDSM sample's error handling: access state changes are never
//! counted, unit attentions are absorbed (SAM, 5.14: the command was not executed), thin
//! provisioning and reservation conflicts go up at once.

use super::outcome::Outcome;
use crate::base::error::{ErrorKind, IoError};
use std::time::Duration;

/// SCSI status codes (SAM, 5.3.1).
pub mod status {
    pub const GOOD: u8 = 0x00;
    pub const CHECK_CONDITION: u8 = 0x02;
    pub const CONDITION_MET: u8 = 0x04;
    pub const BUSY: u8 = 0x08;
    pub const RESERVATION_CONFLICT: u8 = 0x18;
    pub const TASK_SET_FULL: u8 = 0x28;
    pub const ACA_ACTIVE: u8 = 0x30;
    pub const TASK_ABORTED: u8 = 0x40;
}

/// Sense key, additional sense code and its qualifier (SPC, 4.4).
#[derive(Copy, Clone, PartialEq, Eq, Default, Debug)]
pub struct Triple {
    pub key: u8,
    pub asc: u8,
    pub ascq: u8,
}

impl Triple {
    pub const fn new(key: u8, asc: u8, ascq: u8) -> Self {
        Self { key, asc, ascq }
    }

    const fn raw(self) -> u32 {
        (self.key as u32) << 16 | (self.asc as u32) << 8 | self.ascq as u32
    }
}

/// What the link does besides handing the outcome up.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum Action {
    Nothing,
    /// Read the target port groups again.
    Access,
    /// Look at the logical units again: capacity, identity, or which there are.
    Units,
}

/// Before a busy target is asked again.
const BUSY_DELAY: Duration = Duration::from_millis(10);
/// After a unit attention: the condition is cleared by having been reported.
const AGAIN_DELAY: Duration = Duration::from_millis(1);

/// Folds a status. `sense` belongs to CHECK CONDITION; without it the target said nothing more.
pub fn from_scsi(status: u8, sense: Option<Triple>) -> (Outcome, Action) {
    let error = |kind| IoError::with_raw(kind, u32::from(status) << 24);
    let outcome = match status {
        status::GOOD | status::CONDITION_MET => Outcome::Done,
        status::CHECK_CONDITION => {
            return sense.map_or(
                (
                    Outcome::PathFault {
                        error: error(ErrorKind::Device),
                    },
                    Action::Nothing,
                ),
                from_sense,
            );
        }
        status::BUSY | status::TASK_SET_FULL | status::ACA_ACTIVE => Outcome::Busy {
            after: BUSY_DELAY,
            error: error(ErrorKind::Device),
        },
        status::RESERVATION_CONFLICT => Outcome::Failed(error(ErrorKind::ReservationConflict)),
        // Another initiator's task management took it: how far it had come is unknown.
        _ => Outcome::PathFault {
            error: error(ErrorKind::Device),
        },
    };
    (outcome, Action::Nothing)
}

fn from_sense(t: Triple) -> (Outcome, Action) {
    let error = |kind| IoError::with_raw(kind, t.raw());
    let failed = |kind| (Outcome::Failed(error(kind)), Action::Nothing);
    let fault = (
        Outcome::PathFault {
            error: error(ErrorKind::Device),
        },
        Action::Nothing,
    );
    let busy = |action| {
        (
            Outcome::Busy {
                after: BUSY_DELAY,
                error: error(ErrorKind::Device),
            },
            action,
        )
    };
    let again = |action| {
        (
            Outcome::Busy {
                after: AGAIN_DELAY,
                error: error(ErrorKind::Device),
            },
            action,
        )
    };
    let denied = (
        Outcome::AccessDenied {
            error: error(ErrorKind::NoPath),
        },
        Action::Access,
    );
    match (t.key, t.asc, t.ascq) {
        // No sense, recovered error, completed: it was done.
        (0x0 | 0x1 | 0xf, ..) => (Outcome::Done, Action::Nothing),
        // In transition, standby, unavailable: another target port group may take it.
        (0x2, 0x04, 0x0a..=0x0c) => denied,
        // Manual intervention: may be a controller that is being updated.
        (0x2, 0x04, 0x03) => fault,
        // Space allocation in progress.
        (0x2, 0x04, 0x14) => failed(ErrorKind::Device),
        // Becoming ready, formatting, rebuilding, other operations in progress.
        (0x2, 0x04, 0x01 | 0x04..=0x09 | 0x0d..=0x13 | 0x15..=0x1f) => busy(Action::Nothing),
        (0x2, 0x3a, _) => failed(ErrorKind::Device),
        (0x2, ..) => fault,
        (0x3, ..) => failed(ErrorKind::Medium),
        // Hardware error: this way to the device, as far as anybody can tell.
        (0x4, ..) => fault,
        (0x5, 0x20, _) => failed(ErrorKind::Unsupported),
        (0x5, 0x21, _) => failed(ErrorKind::OutOfRange),
        // The logical unit is not there any more on this path.
        (0x5, 0x25, _) => (fault.0, Action::Units),
        (0x5, ..) => failed(ErrorKind::Invalid),
        // Unit attentions: the command was not executed, so that even a compare-and-write may be
        // sent again.
        (0x6, 0x2a, 0x06 | 0x07) => again(Action::Access),
        (0x6, 0x2a, 0x01 | 0x09) | (0x6, 0x3f, _) => again(Action::Units),
        (0x6, 0x29, _) | (0x6, 0x28, _) => again(Action::Units),
        (0x6, ..) => again(Action::Nothing),
        (0x7, 0x27, 0x07) => failed(ErrorKind::NoSpace),
        (0x7, ..) => failed(ErrorKind::WriteProtected),
        (0xb, ..) => fault,
        (0xd, ..) => failed(ErrorKind::OutOfRange),
        (0xe, ..) => failed(ErrorKind::Miscompare),
        _ => failed(ErrorKind::Device),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sense(key: u8, asc: u8, ascq: u8) -> (Outcome, Action) {
        from_scsi(status::CHECK_CONDITION, Some(Triple::new(key, asc, ascq)))
    }

    #[test]
    fn a_changed_access_state_is_read_again_and_never_counted() {
        for ascq in [0x06, 0x07] {
            let (outcome, action) = sense(6, 0x2a, ascq);
            assert!(matches!(outcome, Outcome::Busy { .. }));
            assert_eq!(action, Action::Access);
        }
        for ascq in [0x0a, 0x0b, 0x0c] {
            let (outcome, action) = sense(2, 0x04, ascq);
            assert!(matches!(outcome, Outcome::AccessDenied { .. }));
            assert_eq!(action, Action::Access);
        }
    }

    #[test]
    fn not_ready_has_variants() {
        assert!(matches!(sense(2, 0x04, 0x03).0, Outcome::PathFault { .. }));
        assert!(matches!(sense(2, 0x04, 0x14).0, Outcome::Failed(_)));
        assert!(matches!(sense(2, 0x04, 0x01).0, Outcome::Busy { .. }));
        assert!(matches!(sense(2, 0x04, 0x00).0, Outcome::PathFault { .. }));
        assert!(matches!(sense(2, 0x3a, 0x00).0, Outcome::Failed(_)));
    }

    #[test]
    fn unit_attentions_are_absorbed_and_acted_on() {
        for (asc, ascq, action) in [
            (0x29, 0x00, Action::Units),
            (0x29, 0x07, Action::Units),
            (0x2a, 0x09, Action::Units),
            (0x3f, 0x0e, Action::Units),
            (0x3f, 0x03, Action::Units),
            (0x2a, 0x04, Action::Nothing),
            (0x38, 0x07, Action::Nothing),
        ] {
            let got = sense(6, asc, ascq);
            assert!(
                matches!(got.0, Outcome::Busy { .. }),
                "{asc:02x}/{ascq:02x}"
            );
            assert_eq!(got.1, action, "{asc:02x}/{ascq:02x}");
        }
    }

    #[test]
    fn what_the_device_says_for_good_goes_up() {
        let kind = |o: Outcome| match o {
            Outcome::Failed(e) => e.kind,
            other => panic!("{other:?}"),
        };
        assert_eq!(kind(sense(3, 0x11, 0).0), ErrorKind::Medium);
        assert_eq!(kind(sense(5, 0x21, 0).0), ErrorKind::OutOfRange);
        assert_eq!(kind(sense(5, 0x20, 0).0), ErrorKind::Unsupported);
        assert_eq!(kind(sense(7, 0x27, 0x07).0), ErrorKind::NoSpace);
        assert_eq!(kind(sense(7, 0x27, 0x00).0), ErrorKind::WriteProtected);
        assert_eq!(kind(sense(14, 0x1d, 0).0), ErrorKind::Miscompare);
        let (outcome, _) = from_scsi(status::RESERVATION_CONFLICT, None);
        assert_eq!(kind(outcome), ErrorKind::ReservationConflict);
    }

    #[test]
    fn busy_and_full_wait_and_an_unknown_unit_fails_over() {
        for s in [status::BUSY, status::TASK_SET_FULL] {
            assert!(matches!(from_scsi(s, None).0, Outcome::Busy { .. }));
        }
        assert!(matches!(
            sense(5, 0x25, 0),
            (Outcome::PathFault { .. }, Action::Units)
        ));
        assert!(matches!(
            from_scsi(status::TASK_ABORTED, None).0,
            Outcome::PathFault { .. }
        ));
        assert!(matches!(
            from_scsi(status::CHECK_CONDITION, None).0,
            Outcome::PathFault { .. }
        ));
    }

    #[test]
    fn the_raw_value_is_key_asc_and_ascq() {
        let (Outcome::Failed(e), _) = sense(5, 0x21, 0x00) else {
            panic!("failed")
        };
        assert_eq!(e.raw, 0x05_2100);
    }
}
