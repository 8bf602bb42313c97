//! The fault menu.
//!
//! Every fault passes: what is cut can be connected to again, what is held is released, a target
//! that went away comes back. So at the end everything must have completed, and nothing may have
//! been lost or have come back from the dead.

use crate::base::rng::Rng;
use crate::lun::policy::PolicySpec;
use std::fmt;
use std::time::Duration;

/// Access state that a portal is given, as the target names them.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum Ana {
    Optimized,
    NonOptimized,
    Inaccessible,
    Transition,
}

impl Ana {
    pub const ALL: [Self; 4] = [
        Self::Optimized,
        Self::NonOptimized,
        Self::Inaccessible,
        Self::Transition,
    ];
}

/// What becomes of what is under way when a connection breaks.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum Cut {
    /// It is gone.
    Gone,
    /// It still arrives at the target, and then the news of the end.
    Late,
    /// It still arrives at the target, but no news of the end ever does.
    Silent,
}

impl Cut {
    pub fn draw(rng: &mut Rng) -> Self {
        [Self::Gone, Self::Late, Self::Silent][rng.below(3) as usize]
    }
}

/// One thing that is done to the world.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Fault {
    /// Every connection of a portal breaks.
    Cut {
        portal: usize,
        how: Cut,
    },
    /// Nothing arrives any more in these directions, until released.
    Hold {
        portal: usize,
        to_target: bool,
        to_host: bool,
    },
    /// What was held on each connection arrives at some time within `spread`.
    Release {
        portal: usize,
        spread: Duration,
    },
    /// The target keeps I/O commands of a portal from being executed, or lets go of them.
    Keep {
        portal: usize,
        on: bool,
    },
    Delay {
        portal: usize,
        delay: Duration,
    },
    /// New connections are refused (or taken again).
    Refuse {
        portal: usize,
        on: bool,
    },
    Access {
        portal: usize,
        state: Ana,
    },
    /// The target's process ends: connections, controllers and commands are gone.
    TargetDown,
    TargetUp,
    Policy {
        host: usize,
        lun: usize,
        spec: PolicySpec,
    },
    /// A host learns of one more portal.
    AddPath {
        host: usize,
        portal: usize,
    },
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cut {
                portal,
                how: Cut::Gone,
            } => write!(f, "cut sim{portal}, what is under way is gone"),
            Self::Cut {
                portal,
                how: Cut::Late,
            } => write!(f, "cut sim{portal}, what is under way arrives late"),
            Self::Cut {
                portal,
                how: Cut::Silent,
            } => write!(f, "cut sim{portal} unseen by the target"),
            Self::Keep { portal, on: true } => write!(f, "target keeps commands of sim{portal}"),
            Self::Keep { portal, on: false } => {
                write!(f, "target executes what it kept of sim{portal}")
            }
            Self::Hold {
                portal,
                to_target: true,
                to_host: true,
            } => write!(f, "hold sim{portal} both ways"),
            Self::Hold {
                portal,
                to_target: true,
                ..
            } => write!(f, "hold sim{portal} towards the target"),
            Self::Hold { portal, .. } => write!(f, "hold sim{portal} towards the host"),
            Self::Release { portal, spread } => write!(f, "release sim{portal} within {spread:?}"),
            Self::Delay { portal, delay } => write!(f, "sim{portal} takes {delay:?} one way"),
            Self::Refuse { portal, on: true } => write!(f, "sim{portal} refuses connections"),
            Self::Refuse { portal, on: false } => write!(f, "sim{portal} takes connections"),
            Self::Access { portal, state } => write!(f, "access over sim{portal}: {state:?}"),
            Self::TargetDown => f.write_str("target down"),
            Self::TargetUp => f.write_str("target up"),
            Self::Policy { host, lun, spec } => write!(f, "host{host} lun{lun}: policy {spec}"),
            Self::AddPath { host, portal } => write!(f, "host{host} gets a path over sim{portal}"),
        }
    }
}

/// How often each kind of fault happens (relative to the others; 0: never), and how hard.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct FaultMenu {
    /// A plain cut.
    pub cut: u32,
    /// Commands kept under way or in the target, a cut while it lasts, a late release: zombies.
    pub zombie: u32,
    /// A hold, in one direction or both, that is released or ends in a cut that drops everything.
    pub stall: u32,
    pub delay: u32,
    pub refuse: u32,
    pub access: u32,
    pub restart: u32,
    pub policy: u32,
    pub add_path: u32,
    /// Pause between two faults at most.
    pub gap: Duration,
    /// How long a fault lasts at most.
    pub lasts: Duration,
    /// Longest one-way delay of a slow link.
    pub delay_max: Duration,
    /// What a hold ends for may arrive later still, connection by connection.
    pub spread: bool,
}

/// What undoes every fault that does not pass by itself.
pub fn heal(portals: usize) -> Vec<Fault> {
    let mut out = vec![Fault::TargetUp];
    for portal in 0..portals {
        out.push(Fault::Release {
            portal,
            spread: Duration::ZERO,
        });
        out.push(Fault::Keep { portal, on: false });
        out.push(Fault::Delay {
            portal,
            delay: Duration::from_micros(50),
        });
        out.push(Fault::Refuse { portal, on: false });
        out.push(Fault::Access {
            portal,
            state: Ana::Optimized,
        });
    }
    out
}
