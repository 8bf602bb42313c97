//! The life of a workload: hand in, take back, check, measure; driven by whoever polls.

use super::generate::{Access, Generator};
use super::spec::{Spec, SpecError};
use super::stall::StallMeter;
use super::stats::Stats;
use super::verify::{Seen, Verifier};
use crate::base::clock::Time;
use crate::base::request::{Op, Token};
use crate::base::rng::{Rng, derive};
use crate::lun::port::{Geometry, PortId, Ports};
use crate::sys::iobuf::IoBuf;

/// How far a workload has come.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum Phase {
    /// Starts new I/O.
    Running,
    /// Waits for what is outstanding.
    Draining,
    /// Reads everything once more (verified workloads only), outside the measurement.
    Sweeping,
    Finished,
}

/// Bytes of one read of the sweep, unless the workload's own I/Os are larger.
const SWEEP: u64 = 128 * 1024;

/// Draws at most for a write that overlaps no outstanding one, before waiting.
const DRAWS: u32 = 8;

/// One place for an outstanding I/O, with its buffer.
#[derive(Debug)]
struct Slot {
    /// Away while the I/O is outstanding.
    buf: Option<IoBuf>,
    access: Access,
    /// When the I/O should have started; its latency counts from here.
    start: Time,
    /// What a verified read may not fall behind.
    seen: Vec<Seen>,
    /// Handed in by the sweep, or before a `restart`: not measured.
    unmeasured: bool,
}

/// An I/O that has not come back.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct Outstanding {
    pub write: bool,
    pub lba: u64,
    pub blocks: u32,
    /// When it should have started.
    pub since: Time,
}

/// A workload on one port. Allocates when it is made, never per I/O.
#[derive(Debug)]
pub struct Workload {
    generator: Generator,
    verifier: Option<Verifier>,
    stats: Stats,
    stall: StallMeter,
    phase: Phase,
    slots: Vec<Slot>,
    free: Vec<u32>,
    done: Vec<Token>,
    /// Drawn, but waits for an overlapping write.
    pending: Option<Access>,
    rate: Option<u64>,
    /// Origin of the schedule of a set rate, and I/Os started on it.
    schedule: Option<(Time, u64)>,
    /// All of the depth was in use when the last step ended.
    was_full: bool,
    issued: u64,
    limit: u64,
    block_size: u32,
    first: u64,
    blocks: u64,
    sweep_next: u64,
    sweep_blocks: u32,
    sweep_everything: bool,
    fenced: u32,
}

impl Workload {
    /// A workload for a LUN of this geometry.
    pub fn new(spec: &Spec, geometry: &Geometry) -> Result<Self, SpecError> {
        let (first, blocks) = spec.fit(geometry)?;
        let block_size = geometry.block_size;
        let block = u64::from(block_size);
        let mut room = spec.sizes.max();
        if spec.verify.is_some() {
            room = room.max((SWEEP / block * block).min(blocks * block));
        }
        let verifier = spec
            .verify
            .map(|rules| Verifier::new(spec.run, rules, block_size, first, blocks));
        let room_blocks = (room / block) as u32;
        let mut noise = Rng::new(derive(spec.seed, 0xDA7A));
        let units = verifier.as_ref().map_or(0, |v| v.units_in(room_blocks));
        let slots = (0..spec.depth)
            .map(|_| {
                let mut buf = IoBuf::zeroed(room as usize);
                noise.fill(buf.as_mut_slice());
                Slot {
                    buf: Some(buf),
                    access: Access {
                        write: false,
                        lba: 0,
                        blocks: 0,
                    },
                    start: Time::ZERO,
                    seen: Vec::with_capacity(units),
                    unmeasured: false,
                }
            })
            .collect();
        Ok(Self {
            generator: Generator::new(spec, block_size, first, blocks),
            verifier,
            stats: Stats::new(spec.series),
            stall: StallMeter::default(),
            phase: Phase::Running,
            slots,
            // Popped from the end: the lowest slots, whose memory is warm, are used most.
            free: (0..spec.depth).rev().collect(),
            done: Vec::with_capacity(spec.depth as usize),
            pending: None,
            rate: spec.rate,
            schedule: None,
            was_full: false,
            issued: 0,
            limit: spec.limit.unwrap_or(u64::MAX),
            block_size,
            first,
            blocks,
            sweep_next: 0,
            sweep_blocks: room_blocks,
            sweep_everything: spec.verify.is_some_and(|r| r.fresh),
            fenced: 0,
        })
    }

    /// Takes back what completed and hands in what is due. True when it did anything.
    pub fn step<P: Ports>(&mut self, ports: &mut P, port: PortId, now: Time) -> bool {
        if self.stats.started.is_none() {
            self.stats.started = Some(now);
        }
        let reaped = self.reap(ports, port, now);
        let before = self.outstanding();
        match self.phase {
            Phase::Running => self.issue(ports, port, now),
            Phase::Draining if before == 0 => self.phase = self.after_drain(),
            Phase::Sweeping => self.sweep(ports, port, now),
            Phase::Draining | Phase::Finished => {}
        }
        let outstanding = self.outstanding();
        if matches!(self.phase, Phase::Running | Phase::Draining) {
            let waiting = outstanding.saturating_sub(self.fenced);
            self.stall.observe(now, reaped, waiting);
        }
        reaped > 0 || outstanding > before
    }

    /// Starts no more I/O; what is outstanding is waited for, and a verified workload then
    /// reads everything once more.
    pub fn stop(&mut self, now: Time) {
        if self.phase == Phase::Running {
            self.phase = Phase::Draining;
            self.stats.stopped = Some(now);
        }
    }

    /// What is outstanding, the oldest first.
    pub fn outstanding_ios(&self) -> Vec<Outstanding> {
        let away = self.slots.iter().filter(|s| s.buf.is_none());
        let mut all: Vec<Outstanding> = away
            .map(|s| Outstanding {
                write: s.access.write,
                lba: s.access.lba,
                blocks: s.access.blocks,
                since: s.start,
            })
            .collect();
        all.sort_by_key(|o| o.since);
        all
    }

    /// Measures from here on as if nothing had been before (the end of a warm-up).
    pub fn restart(&mut self, now: Time) {
        self.stats.clear(now);
        self.stall.restart();
        for slot in &mut self.slots {
            slot.unmeasured = slot.buf.is_none();
        }
    }

    /// I/Os behind the fence as of now: they do not count as a stall.
    pub fn set_fenced(&mut self, ios: u32) {
        self.fenced = ios;
    }

    pub fn phase(&self) -> Phase {
        self.phase
    }

    pub fn is_finished(&self) -> bool {
        self.phase == Phase::Finished
    }

    /// I/Os handed in and not yet back.
    pub fn outstanding(&self) -> u32 {
        (self.slots.len() - self.free.len()) as u32
    }

    pub fn stats(&self) -> &Stats {
        &self.stats
    }

    pub fn longest_stall_ns(&self) -> u64 {
        self.stall.longest_ns()
    }

    pub fn verifier(&self) -> Option<&Verifier> {
        self.verifier.as_ref()
    }

    pub fn miscompares(&self) -> u64 {
        self.verifier.as_ref().map_or(0, Verifier::miscompares)
    }

    /// Blocks of the final sweep: handed in, and in all.
    pub fn sweep_progress(&self) -> (u64, u64) {
        (self.sweep_next, self.blocks)
    }

    /// Reads everything again after the end of a verified run.
    pub fn sweep_again(&mut self) {
        assert!(self.is_finished(), "one sweep at a time");
        self.sweep_next = 0;
        self.phase = self.after_drain();
    }

    /// When the next I/O of a set rate is due; until then there is only completion to wait for.
    pub fn next_due(&self) -> Option<Time> {
        if self.phase == Phase::Running && !self.free.is_empty() {
            self.due()
        } else {
            None
        }
    }

    fn reap<P: Ports>(&mut self, ports: &mut P, port: PortId, now: Time) -> usize {
        let mut done = std::mem::take(&mut self.done);
        ports.completions(port, &mut done);
        let count = done.len();
        for token in done.drain(..) {
            self.take_back(ports, token, now);
        }
        self.done = done;
        count
    }

    fn take_back<P: Ports>(&mut self, ports: &mut P, mut token: Token, now: Time) {
        let index = token.user as u32;
        let slot = &mut self.slots[index as usize];
        let buf = token.data.pop().expect("a payload comes back with its I/O");
        assert!(slot.buf.is_none(), "an I/O completes once");
        let Access { write, lba, blocks } = slot.access;
        if let Some(v) = &mut self.verifier {
            if write {
                v.write_done(lba, blocks, token.result.is_ok(), token.path);
            } else if token.result.is_ok() {
                v.read_done(lba, blocks, &slot.seen, buf.as_slice(), token.path);
            }
        }
        match token.result {
            // A failure counts wherever it happens; a success only inside the measurement.
            Err(e) => self.stats.failed(e, now),
            Ok(()) if slot.unmeasured => {}
            Ok(()) => {
                let latency = now.nanos_since(slot.start);
                self.stats.done(write, buf.len() as u64, latency, now);
            }
        }
        slot.buf = Some(buf);
        ports.recycle(token);
        self.free.push(index);
    }

    fn issue<P: Ports>(&mut self, ports: &mut P, port: PortId, now: Time) {
        while !self.free.is_empty() {
            if self.issued >= self.limit {
                self.stop(now);
                return;
            }
            let start = match self.due_from(now) {
                Some(due) if due > now => break,
                Some(due) => due,
                None => now,
            };
            let Some(access) = self.next_access() else {
                break;
            };
            if let Some((_, started)) = &mut self.schedule {
                *started += 1;
                if self.was_full && start < now {
                    self.stats.late_starts += 1;
                }
            }
            self.issued += 1;
            self.hand_in(ports, port, access, start, false);
        }
        self.was_full = self.free.is_empty();
    }

    /// When the next I/O should start, as the rate has it. The schedule begins with the first
    /// call, and does not wait for anything: an I/O that starts late is late (this is what
    /// corrects for coordinated omission).
    fn due_from(&mut self, now: Time) -> Option<Time> {
        self.rate?;
        self.schedule.get_or_insert((now, 0));
        self.due()
    }

    fn due(&self) -> Option<Time> {
        let (origin, started) = self.schedule?;
        let after = u128::from(started) * 1_000_000_000 / u128::from(self.rate?);
        Some(Time::from_nanos(
            origin.as_nanos().saturating_add(after as u64),
        ))
    }

    /// The next I/O that may be outstanding beside the others.
    fn next_access(&mut self) -> Option<Access> {
        let mut access = self.pending.take().unwrap_or_else(|| self.generator.draw());
        let Some(verifier) = &self.verifier else {
            return Some(access);
        };
        let mut draws = 1;
        while access.write && !verifier.may_write(access.lba, access.blocks) {
            if draws == DRAWS {
                // Some write is outstanding here, so a completion will come and ask again.
                self.pending = Some(access);
                return None;
            }
            // A sequential workload keeps its order and waits.
            if !self.generator.is_random() {
                draws = DRAWS;
                continue;
            }
            access = self.generator.draw();
            draws += 1;
        }
        Some(access)
    }

    fn hand_in<P: Ports>(
        &mut self,
        ports: &mut P,
        port: PortId,
        access: Access,
        start: Time,
        unmeasured: bool,
    ) {
        let Access { write, lba, blocks } = access;
        let index = self.free.pop().expect("asked for with a place free");
        let slot = &mut self.slots[index as usize];
        let mut buf = slot.buf.take().expect("a free place has its buffer");
        buf.restore();
        buf.truncate(blocks as usize * self.block_size as usize);
        if let Some(v) = &mut self.verifier {
            if write {
                v.write_started(lba, blocks, buf.as_mut_slice());
            } else {
                v.read_started(lba, blocks, &mut slot.seen);
            }
        }
        slot.access = access;
        slot.start = start;
        slot.unmeasured = unmeasured;
        let mut token = ports.take();
        token.op = if write { Op::Write } else { Op::Read };
        token.lba = lba;
        token.blocks = blocks;
        token.user = u64::from(index);
        token.data.push(buf);
        ports.submit(port, token);
    }

    fn after_drain(&self) -> Phase {
        if self.verifier.is_some() {
            Phase::Sweeping
        } else {
            Phase::Finished
        }
    }

    /// Goes on with the final reading of everything (on a LUN that was not fresh: of everything
    /// written). Only this finds a write that was lost where no later read happened to look.
    fn sweep<P: Ports>(&mut self, ports: &mut P, port: PortId, now: Time) {
        while self.sweep_next < self.blocks {
            let lba = self.first + self.sweep_next;
            let left = self.blocks - self.sweep_next;
            let blocks = left.min(u64::from(self.sweep_blocks)) as u32;
            let verifier = self.verifier.as_ref().expect("only verified runs sweep");
            if self.sweep_everything || verifier.was_written(lba, blocks) {
                if self.free.is_empty() {
                    return;
                }
                let access = Access {
                    write: false,
                    lba,
                    blocks,
                };
                self.hand_in(ports, port, access, now, true);
            }
            self.sweep_next += u64::from(blocks);
        }
        if self.outstanding() == 0 {
            self.phase = Phase::Finished;
        }
    }
}
