//! Lost associations, and what proves that nothing of them is left executing.
//!
//! When an association is lost with writes in flight, the controller may still execute them, late.
//! A loss stays open until a proof arrives or a stated bound has passed (invariant I6):
//!
//! - the target acknowledged an orderly teardown;
//! - another path to the subsystem reset the controller (Cross-Controller Reset, TP8028);
//! - 2 × KATO + CQT have passed since this host saw the loss, stopped Keep Alive and began to close
//!   all connections (TP4129; 3 × KATO where traffic counts as keep-alive; KATO in place of a CQT
//!   of zero). With a KATO of zero the controller never notices: there is no bound;
//! - iSCSI: the session was reinstated, that is, a login with the same ISID to the same target portal
//!   group was answered: the target ends all tasks of the old session before (RFC 7143, 6.3.5);
//! - iSCSI, where one connection of a session is lost and others are not: its CID was logged out on
//!   another connection, which ends its tasks (RFC 7143, 11.14);
//! - LUN RESET is none: it says nothing of what is still under way (`docs/fence.md`);
//! - iSCSI has no bound of its own. Where no proof comes, a configured time is *assumed* to be
//!   enough (`fence_assume`), and is called that wherever it is shown.

use super::iscsi_link::SessionName;
use crate::base::clock::Time;
use std::time::Duration;

/// Names one loss, over the life of a reactor.
#[derive(Copy, Clone, PartialEq, Eq, Hash, Debug, PartialOrd, Ord)]
pub struct LossId(pub u64);

/// Why nothing of a lost association can be executed any more.
#[derive(Copy, Clone, PartialEq, Eq, Hash, Debug)]
pub enum Proof {
    /// The target acknowledged the teardown.
    OrderlyTeardown,
    /// Cross-Controller Reset through another controller of the subsystem.
    CrossControllerReset,
    /// The time after which the target must have stopped.
    TimeBound,
    /// The target has answered a login that ended the lost session (session reinstatement).
    SessionReinstatement,
    /// The target has logged the lost connection out, asked by another of its session.
    ConnectionLogout,
    /// No proof: the time that the configuration assumes to be enough has passed.
    Assumption,
    /// A local device completes or discards everything before it goes.
    LocalDevice,
    /// The fence is switched off, for tests of the tests only: no proof at all.
    NoneAskedFor,
}

impl Proof {
    pub const fn name(self) -> &'static str {
        match self {
            Self::OrderlyTeardown => "orderly teardown",
            Self::CrossControllerReset => "cross-controller reset",
            Self::TimeBound => "time bound",
            Self::SessionReinstatement => "session reinstatement",
            Self::ConnectionLogout => "connection logout",
            Self::Assumption => "assumed time (no proof)",
            Self::LocalDevice => "local device",
            Self::NoneAskedFor => "none (fence off)",
        }
    }
}

/// How far losses are fenced. All but `Whole` is there to show that tests notice what is missing.
#[derive(Copy, Clone, PartialEq, Eq, Debug, Default)]
pub enum Fencing {
    #[default]
    Whole,
    /// Every loss counts as proven at once.
    Off,
    /// A lost connection of a session counts as logged out before the target has said so.
    LogoutTakenForGranted,
}

/// What is needed to name a controller in Cross-Controller Reset.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct ControllerName {
    pub cntlid: u16,
    /// Controller Instance Uniquifier.
    pub ciu: u8,
    /// Controller Instance Random Number.
    pub cirn: u64,
}

/// The timing a controller promised when it was logged in to.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct QuiesceTiming {
    pub kato: Duration,
    /// Command Quiesce Time; zero when the controller reports none.
    pub cqt: Duration,
    /// Traffic Based Keep Alive is in force.
    pub traffic_based: bool,
}

impl QuiesceTiming {
    /// Time from the loss to the point where the controller must have stopped; `None`: never.
    pub fn bound(&self) -> Option<Duration> {
        if self.kato.is_zero() {
            return None;
        }
        let cqt = if self.cqt.is_zero() {
            self.kato
        } else {
            self.cqt
        };
        Some(self.kato * if self.traffic_based { 3 } else { 2 } + cqt)
    }
}

/// How far Cross-Controller Reset has come for one loss.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum CcrState {
    /// Not possible: the controller could not be named.
    Unavailable,
    /// Waits for a sibling that can do it; not before the time given.
    Wanted { not_before: Time },
    /// Asked of an association.
    Asked { through: usize },
}

/// One lost association with requests that may still be executed.
#[derive(Clone, Debug)]
pub struct Loss {
    pub id: LossId,
    pub association: usize,
    pub subsystem: Option<String>,
    pub controller: Option<ControllerName>,
    pub lost_at: Time,
    /// The iSCSI session that was lost.
    pub session: Option<SessionName>,
    /// Only one connection of it, of that name, is lost.
    pub connection: Option<u64>,
    /// When the time bound opens it; `Time::NEVER` without a bound.
    pub bound_at: Time,
    /// What the passing of that time is: a bound of the standard, or an assumption.
    pub bound_is: Proof,
    pub ccr: CcrState,
    pub ccr_failures: u32,
}

impl Loss {
    pub fn new(
        id: LossId,
        association: usize,
        subsystem: Option<String>,
        controller: Option<ControllerName>,
        timing: Option<QuiesceTiming>,
        now: Time,
    ) -> Self {
        let bound_at = timing
            .and_then(|t| t.bound())
            .map_or(Time::NEVER, |b| now + b);
        let ccr = if controller.is_some() && subsystem.is_some() {
            CcrState::Wanted { not_before: now }
        } else {
            CcrState::Unavailable
        };
        Self {
            id,
            association,
            subsystem,
            controller,
            session: None,
            connection: None,
            lost_at: now,
            bound_at,
            bound_is: Proof::TimeBound,
            ccr,
            ccr_failures: 0,
        }
    }

    /// The loss of an iSCSI session; `assume`: the time that is taken as enough without proof.
    pub fn of_session(
        id: LossId,
        association: usize,
        session: Option<SessionName>,
        assume: Option<Duration>,
        now: Time,
    ) -> Self {
        Self {
            session,
            bound_at: assume.map_or(Time::NEVER, |d| now + d),
            bound_is: Proof::Assumption,
            ..Self::new(id, association, None, None, None, now)
        }
    }

    /// The loss of one connection of a session. The end of the session proves it too.
    pub fn of_connection(self, tag: u64) -> Self {
        Self {
            connection: Some(tag),
            ..self
        }
    }

    /// Whether a login that ended in `session` has ended the lost one.
    pub fn ended_by(&self, session: SessionName) -> bool {
        self.session == Some(session)
    }

    /// A reset through this sibling did not prove anything: try again later, slower each time.
    pub fn ccr_failed(&mut self, now: Time) {
        self.ccr_failures += 1;
        let delay = Duration::from_millis(20u64 << self.ccr_failures.min(6));
        self.ccr = CcrState::Wanted {
            not_before: now + delay,
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn timing(kato_ms: u64, cqt_ms: u64, traffic_based: bool) -> QuiesceTiming {
        QuiesceTiming {
            kato: Duration::from_millis(kato_ms),
            cqt: Duration::from_millis(cqt_ms),
            traffic_based,
        }
    }

    #[test]
    fn a_session_is_ended_by_its_own_isid_in_its_own_portal_group_and_by_no_other() {
        let name = |isid, target_portal_group| SessionName {
            isid: [isid; 6],
            target_portal_group,
            sent_on: 0,
        };
        let loss = Loss::of_session(LossId(1), 0, Some(name(1, 1)), None, Time::ZERO);
        assert!(loss.ended_by(name(1, 1)));
        assert!(!loss.ended_by(name(2, 1)));
        assert!(!loss.ended_by(name(1, 2)));
        let elsewhere = SessionName {
            sent_on: 7,
            ..name(1, 1)
        };
        assert!(
            !loss.ended_by(elsewhere),
            "a login that was sent on may have gone to another system"
        );
        assert_eq!(
            loss.bound_at,
            Time::NEVER,
            "nothing is assumed unless configured"
        );
        let unknown = Loss::of_session(LossId(1), 0, None, None, Time::ZERO);
        assert!(!unknown.ended_by(name(1, 1)));
    }

    #[test]
    fn an_assumption_is_called_one() {
        let assume = Some(Duration::from_secs(3));
        let loss = Loss::of_session(LossId(1), 0, None, assume, Time::from_nanos(5));
        assert_eq!(loss.bound_at, Time::from_nanos(3_000_000_005));
        assert_eq!(loss.bound_is, Proof::Assumption);
        assert!(Proof::Assumption.name().contains("assumed"));
    }

    #[test]
    fn the_bound_of_tp4129() {
        assert_eq!(
            timing(5000, 100, false).bound(),
            Some(Duration::from_millis(10_100))
        );
        assert_eq!(
            timing(5000, 100, true).bound(),
            Some(Duration::from_millis(15_100))
        );
        assert_eq!(
            timing(5000, 0, false).bound(),
            Some(Duration::from_millis(15_000)),
            "KATO in place of CQT 0"
        );
        assert_eq!(
            timing(0, 100, false).bound(),
            None,
            "without keep-alive there is no bound"
        );
    }
}
