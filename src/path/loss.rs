//! Lost associations, and what proves that nothing of them is left executing.
//!
//! When an association is lost with writes in flight, the controller may still execute them, late.
//! A loss stays open until a proof arrives or a stated bound has passed (invariant I6):
//!
//! - the target acknowledged an orderly teardown;
//! - another path to the subsystem reset the controller (Cross-Controller Reset, TP8028);
//! - 2 × KATO + CQT have passed since this host saw the loss, stopped Keep Alive and began to close
//!   all connections (TP4129; 3 × KATO where traffic counts as keep-alive; KATO in place of a CQT
//!   of zero). With a KATO of zero the controller never notices: there is no bound.

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
            Self::LocalDevice => "local device",
            Self::NoneAskedFor => "none (fence off)",
        }
    }
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
    /// When the time bound opens it; `Time::NEVER` without a bound.
    pub bound_at: Time,
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
            lost_at: now,
            bound_at,
            ccr,
            ccr_failures: 0,
        }
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
