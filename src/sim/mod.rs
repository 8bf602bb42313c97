//! The deterministic simulator: the real data path in virtual time, under seeded faults.
//!
//! A seed decides everything: how the world is built ([`swarm`]), what the callers ask for
//! ([`workload`]), and what goes wrong ([`faults`], [`schedule`]). The hosts are real planes, the target is the
//! real embedded target over NVMe/TCP, iSCSI or both under one LUN, in between is the network in memory
//! ([`crate::transport::pipe`]); the
//! [`world`] gives them their turns and moves the clock. The [`checker`] knows what every block may
//! hold. A failing seed is a complete bug report: running it again tells the same story.
//!
//! ```text
//!  workload ─ Plane ─┐                        ┌─ Target ─ Plane ─ memory
//!  workload ─ Plane ─┴─ pipe (cut/hold/delay) ┘                     │
//!      └──────────────────── checker ────────────────── look ───────┘
//! ```

pub mod checker;
pub mod content;
pub mod failure;
pub mod faults;
pub mod host;
#[cfg(test)]
mod scenarios;
pub mod schedule;
pub mod swarm;
pub mod target;
#[cfg(test)]
mod tests;
pub mod trace;
pub mod violation;
pub mod workload;
pub mod world;

use crate::base::clock::Time;
use crate::path::loss::Fencing;
use failure::Failure;
use std::time::Duration;
use swarm::Setup;
use workload::Counts;
use world::World;

/// How seeds are run.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct SimOptions {
    /// Test of the test: without (all of) the fence corruption must be found.
    pub fence: Fencing,
    /// Keep a readable trace.
    pub trace: bool,
}

impl Default for SimOptions {
    fn default() -> Self {
        Self {
            fence: Fencing::Whole,
            trace: false,
        }
    }
}

/// What became of one seed.
#[derive(Clone, Debug)]
pub struct SimReport {
    pub seed: u64,
    /// Equal for equal runs.
    pub hash: u64,
    pub failure: Option<Failure>,
    /// Virtual time that passed.
    pub virtual_time: Duration,
    pub requests: Counts,
    pub faults: u64,
    /// Requests held behind the fence, and requests that waited behind those.
    pub fenced: (u64, u64),
    /// How losses were proven, by name.
    pub proofs: Vec<(&'static str, u64)>,
    /// Blocks judged.
    pub checked: u64,
    /// Readable, where asked for.
    pub trace: Vec<String>,
    /// The setup, for people.
    pub setup: Setup,
}

impl SimReport {
    pub fn is_clean(&self) -> bool {
        self.failure.is_none()
    }
}

/// Runs one seed.
pub fn run_seed(seed: u64, options: &SimOptions) -> SimReport {
    let mut setup = Setup::draw(seed);
    setup.fence = options.fence;
    run_setup(setup, options)
}

/// Runs one world of the caller's making.
pub fn run_setup(setup: Setup, options: &SimOptions) -> SimReport {
    let mut world = World::new(setup, options.trace);
    let failure = world.run().err();
    if let Some(failure) = &failure {
        world.trace.note(world.now, trace::Kind::Wrong, 0, 0, || {
            format!("!! {failure}")
        });
    }
    report(world, failure)
}

fn report(mut world: World, failure: Option<Failure>) -> SimReport {
    let mut fenced = (0, 0);
    let mut proofs: Vec<(&'static str, u64)> = Vec::new();
    for host in &world.hosts {
        for lun in &host.luns {
            let channel = host.plane.channel(*lun);
            fenced.0 += channel.fence.counters.held;
            fenced.1 += channel.fence.counters.waited;
            for (name, n) in &channel.proofs {
                match proofs.iter_mut().find(|(known, _)| known == name) {
                    Some((_, sum)) => *sum += n,
                    None => proofs.push((name, *n)),
                }
            }
        }
    }
    SimReport {
        seed: world.setup.seed,
        hash: world.trace.hash(),
        failure,
        virtual_time: world.now.since(Time::ZERO),
        requests: world.counts(),
        faults: world.faults_done,
        fenced,
        proofs,
        checked: world.checker.checked,
        trace: world.trace.take_lines(),
        setup: world.setup,
    }
}

/// Runs seeds in order until one fails; `each` sees every report.
pub fn run_seeds(
    seeds: impl IntoIterator<Item = u64>,
    options: &SimOptions,
    mut each: impl FnMut(&SimReport),
) -> Option<SimReport> {
    for seed in seeds {
        let report = run_seed(seed, options);
        each(&report);
        if !report.is_clean() {
            return Some(report);
        }
    }
    None
}
