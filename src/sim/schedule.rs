//! A schedule of faults, drawn from the menu.

use super::faults::{Ana, Cut, Fault, FaultMenu, Link};
use crate::base::clock::Time;
use crate::base::rng::Rng;
use crate::lun::policy::{Policy, PolicySpec, VendorPolicy};
use std::time::Duration;

/// What the schedule is drawn for.
#[derive(Clone, Debug)]
pub struct Stage {
    pub hosts: usize,
    pub luns: usize,
    /// Portals that the hosts have paths over from the start.
    pub portals: usize,
    /// Portals beyond those, for paths that are added.
    pub spare: usize,
    /// Connections of a session over each of all portals.
    pub connections: Vec<usize>,
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
        menu.reset,
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
        let links = links(stage, portal, rng);
        let end = at + span(menu.lasts, rng);
        match kind.unwrap_or(0) {
            0 => {
                let how = Cut::draw(rng);
                out.extend(links.map(|link| (at, Fault::Cut { link, how })));
            }
            1 => {
                links.for_each(|link| zombie(menu, link, at, end, rng, &mut out));
                // Two at once: two losses that ask for proof through the same sibling, or one of a
                // session and one of a connection.
                if rng.chance(1, 3) {
                    let other = Link::first((portal + 1) % stage.portals);
                    zombie(menu, other, at, end, rng, &mut out);
                }
            }
            2 => links.for_each(|link| stall(link, at, end, rng, &mut out)),
            3 => {
                let slow = span(menu.delay_max, rng);
                for link in links {
                    out.push((at, Fault::Delay { link, delay: slow }));
                    let delay = Duration::from_micros(50);
                    out.push((end, Fault::Delay { link, delay }));
                }
            }
            4 => {
                let how = Cut::draw(rng);
                for link in links {
                    out.push((at, Fault::Refuse { link, on: true }));
                    out.push((at, Fault::Cut { link, how }));
                    out.push((end, Fault::Refuse { link, on: false }));
                }
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
            9 => {
                let lun = rng.below(stage.luns as u64) as usize;
                out.push((at, Fault::ResetUnit { lun }));
            }
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

/// The links of a portal that a fault falls on: one connection's, or all of them, which is the whole
/// nexus.
fn links(stage: &Stage, portal: usize, rng: &mut Rng) -> impl Iterator<Item = Link> + use<> {
    let all = stage.connections[portal];
    let which = match rng.below(all as u64 + 1) as usize {
        n if n < all => n..n + 1,
        _ => 0..all,
    };
    which.map(move |connection| Link { portal, connection })
}

/// The story of the ghost write: commands stay under way (or unexecuted in the target), the host
/// loses the nexus, and then they are executed.
fn zombie(
    menu: &FaultMenu,
    link: Link,
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
                link,
                to_target: true,
                to_host: rng.chance(1, 3),
            },
        ));
        out.push((cut, Fault::Cut { link, how }));
        let spread = if rng.chance(1, 2) && menu.spread {
            span(menu.lasts, rng)
        } else {
            Duration::ZERO
        };
        out.push((cut.max(end), Fault::Release { link, spread }));
    } else {
        out.push((at, Fault::Keep { link, on: true }));
        out.push((cut, Fault::Cut { link, how }));
        out.push((cut.max(end), Fault::Keep { link, on: false }));
    }
}

fn stall(link: Link, at: Time, end: Time, rng: &mut Rng, out: &mut Vec<(Time, Fault)>) {
    let way = rng.below(3);
    out.push((
        at,
        Fault::Hold {
            link,
            to_target: way != 0,
            to_host: way != 1,
        },
    ));
    if rng.chance(1, 2) {
        out.push((
            end,
            Fault::Cut {
                link,
                how: Cut::Gone,
            },
        ));
    }
    out.push((
        end,
        Fault::Release {
            link,
            spread: Duration::ZERO,
        },
    ));
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
            spread: true,
            ..FaultMenu::default()
        };
        let stage = Stage {
            hosts: 1,
            luns: 1,
            portals: 3,
            spare: 0,
            connections: vec![1, 3, 2],
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
        let cut = |link| {
            let is = move |f: &Fault| matches!(f, Fault::Cut { link: l, .. } if *l == link);
            draw(5).iter().any(|(_, f)| is(f))
        };
        for (portal, connections) in [(0, 1), (1, 3), (2, 2)] {
            for connection in 0..4 {
                let link = Link { portal, connection };
                assert_eq!(cut(link), connection < connections, "{link}");
            }
        }
    }
}
