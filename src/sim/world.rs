//! The simulated world: hosts, a network in memory and a target, stepped in virtual time.
//!
//! All actors run until none of them has anything to do; then the clock jumps to the next thing
//! that is due. Nothing reads a real clock and every choice comes from the seed, so a run can be
//! repeated to the byte.

use super::checker::Checker;
use super::failure::Failure;
use super::faults::{Cut, Fault, heal};
use super::host::Host;
use super::schedule::{Stage, schedule};
use super::swarm::{Protocol, Setup};
use super::target::TargetActor;
use super::trace::{Kind, Trace};
use super::workload::Counts;
use crate::base::clock::Time;
use crate::base::request::Op;
use crate::base::rng::{Rng, derive};
use crate::transport::pipe::PipeNet;
use std::collections::VecDeque;
use std::time::Duration;

/// Turns of all actors at one instant at most; beyond that they chase each other's tails.
const TURNS_MAX: u32 = 20_000;
/// The clock never jumps further than a reactor would sleep.
const JUMP_MAX: Duration = Duration::from_millis(100);
/// How far it moves when something is due that nobody fetches (idle connections are looked at in
/// intervals); doubled while that lasts.
const STEP_MIN: Duration = Duration::from_micros(50);
const STEP_MAX: Duration = Duration::from_millis(1);
/// How often the LUNs' memory is looked at while something happens.
const LOOK_EVERY: Duration = Duration::from_micros(500);

/// Everything in a run.
#[derive(Debug)]
pub struct World {
    pub setup: Setup,
    pub now: Time,
    pub net: PipeNet,
    pub hosts: Vec<Host>,
    pub target: TargetActor,
    pub checker: Checker,
    pub trace: Trace,
    faults: VecDeque<(Time, Fault)>,
    pub faults_done: u64,
    step: Duration,
    next_look: Time,
}

impl World {
    /// A world before its first instant.
    pub fn new(setup: Setup, keep_trace: bool) -> Self {
        let now = Time::from_nanos(1_000_000);
        let net = PipeNet::new();
        let target = TargetActor::new(&setup, &net, now);
        let hosts = (0..setup.hosts)
            .map(|h| Host::new(&setup, h, &net, now))
            .collect();
        Self {
            checker: Checker::new(setup.luns, setup.blocks),
            trace: Trace::new(setup.seed, keep_trace),
            setup,
            now,
            net,
            hosts,
            target,
            faults: VecDeque::new(),
            faults_done: 0,
            step: STEP_MIN,
            next_look: now,
        }
    }

    /// The whole story of a seed: join, load under faults, heal, drain, read everything.
    ///
    /// # Errors
    /// The first thing that is wrong.
    pub fn run(&mut self) -> Result<(), Failure> {
        self.join()?;
        if self.setup.lookalike {
            self.add_lookalikes();
        }
        let stage = Stage {
            hosts: self.setup.hosts,
            luns: self.setup.luns,
            portals: self.setup.portals,
            spare: self.setup.spare,
            connections: self.setup.connections(),
            from: self.now,
            until: self.now + self.setup.active,
        };
        let mut rng = Rng::new(derive(self.setup.seed, 0xFA17));
        self.faults = schedule(&self.setup.faults, &stage, &mut rng).into();
        self.start_load();
        self.run_until(stage.until)?;
        self.heal();
        // Load goes on for a while after the last fault: paths come back under load.
        self.run_until(self.now + Duration::from_millis(300))?;
        self.drain()?;
        self.rejoin()?;
        self.read_all()
    }

    /// Waits until every path has joined its LUN.
    ///
    /// # Errors
    /// It takes too long.
    pub fn join(&mut self) -> Result<(), Failure> {
        self.run_while(Duration::from_secs(10), "all paths to join", |w| {
            !w.hosts.iter().all(Host::all_joined)
        })
    }

    /// Gives every LUN a path to a unit that looks like it. What a LUN is its first paths have said.
    pub fn add_lookalikes(&mut self) {
        for host in &mut self.hosts {
            host.add_lookalikes(&self.setup);
        }
    }

    fn phase(&mut self, name: &'static str) {
        self.trace
            .note(self.now, Kind::Phase, name.len() as u64, 0, || {
                format!("-- {name}")
            });
    }

    pub fn start_load(&mut self) {
        self.phase("load and faults begin");
        for host in &mut self.hosts {
            host.workload.start(self.now);
        }
    }

    /// Ends every fault.
    pub fn heal(&mut self) {
        self.phase("all faults end");
        self.faults.clear();
        for fault in heal(self.setup.links()) {
            self.apply(&fault);
        }
    }

    /// Hands in no more, and waits for all that is out.
    ///
    /// # Errors
    /// It takes too long.
    pub fn drain(&mut self) -> Result<(), Failure> {
        self.phase("load ends");
        for host in &mut self.hosts {
            host.workload.stop();
        }
        let bound = self.patience();
        self.run_while(bound, "requests to complete", |w| {
            w.hosts.iter().any(|h| h.workload.outstanding() > 0)
        })
    }

    /// How long anything may take once all faults have ended: a login that hangs until its time is
    /// up, the longest back-off, the longest fence, and the time that requests may wait.
    fn patience(&self) -> Duration {
        let cqt = Duration::from_millis(u64::from(self.setup.cqt_ms));
        Duration::from_secs(60) + self.setup.kato * 4 + cqt + self.setup.park_max * 2
    }

    /// Waits until every path is back, and every loss proven that can be.
    fn rejoin(&mut self) -> Result<(), Failure> {
        let bound = self.patience();
        self.run_while(bound, "all paths to come back", |w| {
            !w.hosts.iter().all(Host::all_joined)
        })?;
        if !self.provable() {
            return Ok(());
        }
        self.run_while(bound, "all losses to be proven", |w| {
            w.hosts.iter().any(|h| h.open_losses() > 0)
        })
    }

    /// Every loss is proven some time: an iSCSI session is when its nexus logs in again. Otherwise
    /// blocks may stay closed for good.
    fn provable(&self) -> bool {
        !self.setup.has(Protocol::NvmeTcp) || self.setup.ccr || !self.setup.kato.is_zero()
    }

    /// Every host reads every block once more. Where a loss can never be proven its blocks stay
    /// closed, and reads of them fail in their time; no others do.
    ///
    /// # Errors
    /// What a read must not return.
    pub fn read_all(&mut self) -> Result<(), Failure> {
        self.phase("every block is read");
        let failed = self.counts().failed;
        for lba in 0..self.setup.blocks {
            for lun in 0..self.setup.luns {
                for h in 0..self.hosts.len() {
                    loop {
                        let Host {
                            plane, workload, ..
                        } = &mut self.hosts[h];
                        if workload.hand_in(
                            plane,
                            lun,
                            Op::Read,
                            lba,
                            1,
                            &mut self.checker,
                            &mut self.trace,
                            self.now,
                        ) {
                            break;
                        }
                        let bound = self.patience();
                        let depth = self.setup.load.depth;
                        self.run_while(bound, "a place", move |w| {
                            w.hosts[h].workload.outstanding() == depth
                        })?;
                    }
                }
            }
        }
        self.drain()?;
        if self.provable() && self.counts().failed > failed {
            return Err(Failure::Unhealed {
                reads: self.counts().failed - failed,
            });
        }
        self.look(true)
    }

    /// Runs until a time has come.
    ///
    /// # Errors
    /// What went wrong meanwhile.
    pub fn run_until(&mut self, until: Time) -> Result<(), Failure> {
        loop {
            self.settle()?;
            if self.now >= until {
                return Ok(());
            }
            self.advance(until);
        }
    }

    /// Runs for as long as `busy` says, but not longer than `bound`.
    ///
    /// # Errors
    /// The bound has passed; or what went wrong meanwhile.
    pub fn run_while(
        &mut self,
        bound: Duration,
        waiting_for: &'static str,
        busy: impl Fn(&Self) -> bool,
    ) -> Result<(), Failure> {
        let until = self.now + bound;
        loop {
            self.settle()?;
            if !busy(self) {
                return Ok(());
            }
            if self.now >= until {
                let hosts = self.hosts.iter().map(|h| {
                    let oldest = h
                        .workload
                        .oldest()
                        .map_or_else(String::new, |o| format!("; oldest: {o}"));
                    h.describe() + &oldest
                });
                return Err(Failure::Stuck {
                    waiting_for,
                    details: hosts.collect::<Vec<_>>().join("\n"),
                });
            }
            self.advance(until);
        }
    }

    /// Runs all actors until none has anything to do.
    fn settle(&mut self) -> Result<(), Failure> {
        while self.faults.front().is_some_and(|(at, _)| *at <= self.now) {
            let (_, fault) = self.faults.pop_front().expect("looked at above");
            self.apply(&fault);
        }
        let mut moved = false;
        for _ in 0..TURNS_MAX {
            let mut worked = false;
            for (index, host) in self.hosts.iter_mut().enumerate() {
                let step = host.step(&mut self.checker, &mut self.trace, self.now);
                worked |= step.map_err(|wrong| Failure::Caller { host: index, wrong })?;
            }
            worked |= self.target.step(self.now);
            if !worked {
                if moved && self.now >= self.next_look {
                    self.next_look = self.now + LOOK_EVERY;
                    self.look(false)?;
                }
                return Ok(());
            }
            moved = true;
        }
        Err(Failure::Livelock)
    }

    /// Judges what the LUNs' memory holds: what has changed, or all of it.
    ///
    /// # Errors
    /// A block that shows what it may not.
    pub fn look(&mut self, all: bool) -> Result<(), Failure> {
        for lun in 0..self.setup.luns {
            let memory = self.target.memory(lun);
            self.checker
                .look(lun, all, |at, out| memory.read(at, out))
                .map_err(Failure::Memory)?;
        }
        let joined = self.hosts.iter().any(Host::lookalike_joined);
        if self.setup.lookalike && (joined || self.target.lookalike_written()) {
            return Err(Failure::Lookalike { joined });
        }
        Ok(())
    }

    /// Moves the clock to the next thing that is due.
    fn advance(&mut self, until: Time) {
        let faults = self.faults.front().map_or(Time::NEVER, |f| f.0);
        let hosts = self
            .hosts
            .iter()
            .map(Host::next_deadline)
            .min()
            .unwrap_or(Time::NEVER);
        let network = self.net.next_delivery().unwrap_or(Time::NEVER);
        let next = faults
            .min(hosts)
            .min(network)
            .min(self.target.next_deadline())
            .min(until);
        if next > self.now {
            self.now = next.min(self.now + JUMP_MAX);
            self.step = STEP_MIN;
        } else {
            self.now += self.step;
            self.step = (self.step * 2).min(STEP_MAX);
        }
    }

    /// Does a fault to the world.
    pub fn apply(&mut self, fault: &Fault) {
        self.faults_done += 1;
        self.trace
            .note(self.now, Kind::Fault, self.faults_done, 0, || {
                format!("** {fault}")
            });
        let now = self.now;
        match *fault {
            Fault::Cut {
                link,
                how: Cut::Silent,
            } => self.net.cut_silently(&self.setup.address_of(link)),
            Fault::Cut { link, how } => {
                self.net
                    .cut(&self.setup.address_of(link), how == Cut::Late, now)
            }
            Fault::Hold {
                link,
                to_target,
                to_host,
            } => self.net.set_link(&self.setup.address_of(link), |l| {
                l.hold_to_target = to_target;
                l.hold_to_host = to_host;
            }),
            Fault::Release { link, spread } => {
                let draw = derive(self.setup.seed, self.faults_done);
                self.net.release(&self.setup.address_of(link), now, |nth| {
                    let most = spread.as_nanos() as u64;
                    Duration::from_nanos(Rng::new(derive(draw, nth as u64)).between(0, most))
                });
            }
            Fault::Keep { link, on } => self.target.keep(link, on, now),
            Fault::Delay { link, delay } => self
                .net
                .set_link(&self.setup.address_of(link), |l| l.delay = delay),
            Fault::Refuse { link, on } => self
                .net
                .set_link(&self.setup.address_of(link), |l| l.refuse = on),
            Fault::Access { portal, state } => self.target.set_access(portal, state),
            Fault::ResetUnit { lun } => self.target.reset_unit(lun),
            Fault::TargetDown => self.target.stop(),
            Fault::TargetUp => self.target.start(now),
            Fault::Policy { host, lun, spec } => {
                // Round robin is refused on a LUN whose paths are not equal: that is an answer too.
                self.hosts[host].set_policy(lun, spec);
            }
            Fault::AddPath { host, portal } => {
                let Self { hosts, setup, .. } = self;
                hosts[host].add_path(setup, portal);
            }
        }
    }

    /// What all callers have seen.
    pub fn counts(&self) -> Counts {
        self.hosts.iter().fold(Counts::default(), |a, h| {
            let b = h.workload.counts;
            Counts {
                submitted: a.submitted + b.submitted,
                done: a.done + b.done,
                failed: a.failed + b.failed,
                unknown: a.unknown + b.unknown,
                no_path: a.no_path + b.no_path,
                miscompared: a.miscompared + b.miscompared,
            }
        })
    }
}
