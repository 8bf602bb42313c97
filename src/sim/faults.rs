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

/// A link of the network: what one connection of a session goes over. NVMe/TCP portals, and iSCSI ones
/// whose sessions have a single connection, have one link.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct Link {
    pub portal: usize,
    /// Place of the connection in its session, from 0.
    pub connection: usize,
}

impl Link {
    /// The link of a portal's first (or only) connections.
    pub const fn first(portal: usize) -> Self {
        Self {
            portal,
            connection: 0,
        }
    }
}

impl fmt::Display for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "sim{}", self.portal)?;
        match self.connection {
            0 => Ok(()),
            n => write!(f, ".{n}"),
        }
    }
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
    /// Every connection over a link breaks.
    Cut {
        link: Link,
        how: Cut,
    },
    /// Nothing arrives any more in these directions, until released.
    Hold {
        link: Link,
        to_target: bool,
        to_host: bool,
    },
    /// What was held on each connection arrives at some time within `spread`.
    Release {
        link: Link,
        spread: Duration,
    },
    /// The target keeps I/O commands of a link from being executed, or lets go of them.
    Keep {
        link: Link,
        on: bool,
    },
    Delay {
        link: Link,
        delay: Duration,
    },
    /// New connections are refused (or taken again).
    Refuse {
        link: Link,
        on: bool,
    },
    Access {
        portal: usize,
        state: Ana,
    },
    /// An initiator that is none of the hosts resets a LUN over iSCSI: commands of all sessions end
    /// without an answer.
    ResetUnit {
        lun: usize,
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
                link,
                how: Cut::Gone,
            } => write!(f, "cut {link}, what is under way is gone"),
            Self::Cut {
                link,
                how: Cut::Late,
            } => write!(f, "cut {link}, what is under way arrives late"),
            Self::Cut {
                link,
                how: Cut::Silent,
            } => write!(f, "cut {link} unseen by the target"),
            Self::Keep { link, on: true } => write!(f, "target keeps commands of {link}"),
            Self::Keep { link, on: false } => {
                write!(f, "target executes what it kept of {link}")
            }
            Self::Hold {
                link,
                to_target: true,
                to_host: true,
            } => write!(f, "hold {link} both ways"),
            Self::Hold {
                link,
                to_target: true,
                ..
            } => write!(f, "hold {link} towards the target"),
            Self::Hold { link, .. } => write!(f, "hold {link} towards the host"),
            Self::Release { link, spread } => write!(f, "release {link} within {spread:?}"),
            Self::Delay { link, delay } => write!(f, "{link} takes {delay:?} one way"),
            Self::Refuse { link, on: true } => write!(f, "{link} refuses connections"),
            Self::Refuse { link, on: false } => write!(f, "{link} takes connections"),
            Self::Access { portal, state } => write!(f, "access over sim{portal}: {state:?}"),
            Self::ResetUnit { lun } => write!(f, "another initiator resets lun{lun}"),
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
    /// A LUN reset by somebody else.
    pub reset: u32,
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
pub fn heal(links: impl IntoIterator<Item = Link>) -> Vec<Fault> {
    let mut out = vec![Fault::TargetUp];
    for link in links {
        out.push(Fault::Release {
            link,
            spread: Duration::ZERO,
        });
        out.push(Fault::Keep { link, on: false });
        out.push(Fault::Delay {
            link,
            delay: Duration::from_micros(50),
        });
        out.push(Fault::Refuse { link, on: false });
        if link.connection == 0 {
            out.push(Fault::Access {
                portal: link.portal,
                state: Ana::Optimized,
            });
        }
    }
    out
}
