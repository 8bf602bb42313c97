//! Named stories: what the seeds hunt for, told once on purpose.

mod associations;
mod iscsi;
mod losses;
mod mcs;
mod mixed;
mod zombie;

use super::content::{BLOCK, Content, content};
use super::failure::Failure;
use super::faults::{Cut, Fault, Link};
use super::host::Host;
use super::swarm::Setup;
use super::workload::Ended;
use super::world::World;
use crate::base::request::Op;
use crate::lun::policy::{Policy, PolicySpec};
use std::time::Duration;

const fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

/// A world whose paths have joined and whose first path carries all I/O.
fn world(change: impl FnOnce(&mut Setup)) -> World {
    let mut setup = Setup::plain(1);
    setup.policy = Some(PolicySpec::new(Policy::Failover));
    setup.load.depth = 64;
    change(&mut setup);
    let mut w = World::new(setup, true);
    w.join().expect("nothing is wrong yet");
    for host in &mut w.hosts {
        host.workload.keep_ended = true;
    }
    w
}

impl World {
    /// Hands in one request of host 0 on LUN 0.
    fn ask(&mut self, op: Op, lba: u64, blocks: u32) {
        self.ask_of(0, 0, op, lba, blocks);
    }

    fn ask_of(&mut self, host: usize, lun: usize, op: Op, lba: u64, blocks: u32) {
        let Host {
            plane, workload, ..
        } = &mut self.hosts[host];
        let taken = workload.hand_in(
            plane,
            lun,
            op,
            lba,
            blocks,
            &mut self.checker,
            &mut self.trace,
            self.now,
        );
        assert!(taken, "a place is free");
    }

    fn pass(&mut self, time: Duration) -> Result<(), Failure> {
        self.run_until(self.now + time)?;
        self.look(false)
    }

    /// What has come back since this was asked last.
    fn ended(&mut self) -> Vec<Ended> {
        std::mem::take(&mut self.hosts[0].workload.ended)
    }

    /// Runs until everything has come back, and gives it.
    fn all_ended(&mut self) -> Result<Vec<Ended>, Failure> {
        self.run_while(ms(60_000), "all requests", |w| {
            w.hosts[0].workload.outstanding() > 0
        })?;
        self.look(false)?;
        Ok(self.ended())
    }

    fn proofs(&self) -> Vec<(&'static str, u64)> {
        self.hosts[0]
            .plane
            .channel(self.hosts[0].luns[0])
            .proofs
            .clone()
    }

    /// From now on nothing gets through to the target over a portal.
    fn hold(&mut self, portal: usize) {
        self.apply(&Fault::Hold {
            link: Link::first(portal),
            to_target: true,
            to_host: false,
        });
    }

    fn release(&mut self, portal: usize) {
        self.apply(&Fault::Release {
            link: Link::first(portal),
            spread: ms(0),
        });
    }

    /// The host loses a portal; the target does not hear of it.
    fn lose(&mut self, portal: usize) {
        self.apply(&Fault::Cut {
            link: Link::first(portal),
            how: Cut::Silent,
        });
    }

    /// The write that a block of LUN 0 holds.
    fn stored(&self, lba: u64) -> Content {
        let mut block = [0; BLOCK];
        self.target.memory(0).read(lba * BLOCK as u64, &mut block);
        content(&block, 0, lba)
    }
}
