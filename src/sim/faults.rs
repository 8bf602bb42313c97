//! The fault menu, and a schedule drawn from it.
//!
//! Every fault passes: what is cut can be connected to again, what is held is released, a target
//! that went away comes back. So at the end everything must have completed, and nothing may have
//! been lost or have come back from the dead.

use crate::base::clock::Time;
use crate::base::rng::Rng;
use crate::lun::policy::{Policy, PolicySpec, VendorPolicy};
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
    fn draw(rng: &mut Rng) -> Self {
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
    Release {
        portal: usize,
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
            Self::Release { portal } => write!(f, "release sim{portal}"),
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
}

/// What the schedule is drawn for.
#[derive(Copy, Clone, Debug)]
pub struct Stage {
    pub hosts: usize,
    pub luns: usize,
    /// Portals that the hosts have paths over from the start.
    pub portals: usize,
    /// Portals beyond those, for paths that are added.
    pub spare: usize,
    pub from: Time,
    pub until: Time,
}

/// Draws a schedule, sorted by time.
pub fn schedule(menu: &FaultMenu, stage: &Stage, rng: &mut Rng) -> Vec<(Time, Fault)> {
    let weights = [
        menu.cut,
        menu.zombie,
        menu.stall,
        menu.delay,
        menu.refuse,
        menu.access,
        menu.restart,
        menu.policy,
        menu.add_path,
    ];
    let total: u32 = weights.iter().sum();
    let mut out = Vec::new();
    if total == 0 {
        return out;
    }
    let mut spare = (0..stage.hosts)
        .map(|_| stage.portals..stage.portals + stage.spare)
        .collect::<Vec<_>>();
    let mut at = stage.from + span(menu.gap, rng);
    while at < stage.until {
        let mut pick = rng.below(u64::from(total)) as u32;
        let kind = weights.iter().position(|w| {
            let hit = pick < *w;
            pick = pick.saturating_sub(*w);
            hit
        });
        let portal = rng.below(stage.portals as u64) as usize;
        let end = at + span(menu.lasts, rng);
        match kind.unwrap_or(0) {
            0 => out.push((
                at,
                Fault::Cut {
                    portal,
                    how: Cut::draw(rng),
                },
            )),
            1 => zombie(menu, portal, at, end, rng, &mut out),
            2 => stall(portal, at, end, rng, &mut out),
            3 => {
                out.push((
                    at,
                    Fault::Delay {
                        portal,
                        delay: span(menu.delay_max, rng),
                    },
                ));
                out.push((
                    end,
                    Fault::Delay {
                        portal,
                        delay: Duration::from_micros(50),
                    },
                ));
            }
            4 => {
                out.push((at, Fault::Refuse { portal, on: true }));
                out.push((
                    at,
                    Fault::Cut {
                        portal,
                        how: Cut::draw(rng),
                    },
                ));
                out.push((end, Fault::Refuse { portal, on: false }));
            }
            5 => {
                let state = Ana::ALL[rng.below(4) as usize];
                out.push((at, Fault::Access { portal, state }));
                if !matches!(state, Ana::Optimized | Ana::NonOptimized) {
                    out.push((
                        end,
                        Fault::Access {
                            portal,
                            state: Ana::Optimized,
                        },
                    ));
                }
            }
            6 => {
                out.push((at, Fault::TargetDown));
                out.push((end, Fault::TargetUp));
            }
            7 => out.push((at, policy(stage, rng))),
            _ => {
                let host = rng.below(stage.hosts as u64) as usize;
                if let Some(portal) = spare[host].next() {
                    out.push((at, Fault::AddPath { host, portal }));
                }
            }
        }
        at += span(menu.gap, rng);
    }
    out.sort_by_key(|(at, _)| *at);
    out
}

/// Somewhere between a hundredth of `max` and all of it, short ones more often.
fn span(max: Duration, rng: &mut Rng) -> Duration {
    let max = (max.as_nanos() as u64).max(100);
    let a = rng.between(max / 100, max);
    let b = rng.between(max / 100, max);
    Duration::from_nanos(a.min(b))
}

/// The story of the ghost write: commands stay under way (or unexecuted in the target), the host
/// loses the nexus, and then they are executed.
fn zombie(
    menu: &FaultMenu,
    portal: usize,
    at: Time,
    end: Time,
    rng: &mut Rng,
    out: &mut Vec<(Time, Fault)>,
) {
    let cut = at + span(menu.lasts / 4, rng);
    let how = Cut::draw(rng);
    if rng.chance(1, 2) {
        out.push((
            at,
            Fault::Hold {
                portal,
                to_target: true,
                to_host: rng.chance(1, 3),
            },
        ));
        out.push((cut, Fault::Cut { portal, how }));
        out.push((cut.max(end), Fault::Release { portal }));
    } else {
        out.push((at, Fault::Keep { portal, on: true }));
        out.push((cut, Fault::Cut { portal, how }));
        out.push((cut.max(end), Fault::Keep { portal, on: false }));
    }
}

fn stall(portal: usize, at: Time, end: Time, rng: &mut Rng, out: &mut Vec<(Time, Fault)>) {
    let way = rng.below(3);
    out.push((
        at,
        Fault::Hold {
            portal,
            to_target: way != 0,
            to_host: way != 1,
        },
    ));
    if rng.chance(1, 2) {
        out.push((
            end,
            Fault::Cut {
                portal,
                how: Cut::Gone,
            },
        ));
    }
    out.push((end, Fault::Release { portal }));
}

fn policy(stage: &Stage, rng: &mut Rng) -> Fault {
    let spec = match rng.below(8) {
        0 => PolicySpec::vendor(VendorPolicy::Latency),
        1 => PolicySpec::vendor(VendorPolicy::Share),
        n => PolicySpec::new(Policy::ALL[(n - 2) as usize]),
    };
    Fault::Policy {
        host: rng.below(stage.hosts as u64) as usize,
        lun: rng.below(stage.luns as u64) as usize,
        spec,
    }
}

/// What undoes every fault that does not pass by itself.
pub fn heal(portals: usize) -> Vec<Fault> {
    let mut out = vec![Fault::TargetUp];
    for portal in 0..portals {
        out.push(Fault::Release { portal });
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_draws_the_same_schedule_and_a_weight_of_zero_never_comes() {
        let menu = FaultMenu {
            cut: 1,
            zombie: 2,
            access: 1,
            gap: Duration::from_millis(50),
            lasts: Duration::from_millis(300),
            delay_max: Duration::from_millis(5),
            ..FaultMenu::default()
        };
        let stage = Stage {
            hosts: 1,
            luns: 1,
            portals: 3,
            spare: 0,
            from: Time::ZERO,
            until: Time::from_nanos(5_000_000_000),
        };
        let draw = |seed| schedule(&menu, &stage, &mut Rng::new(seed));
        assert_eq!(draw(5), draw(5));
        assert_ne!(draw(5), draw(6));
        assert!(draw(5).len() > 50);
        assert!(
            !draw(5)
                .iter()
                .any(|(_, f)| matches!(f, Fault::TargetDown | Fault::Delay { .. }))
        );
        assert!(draw(5).is_sorted_by_key(|(at, _)| *at));
    }
}
