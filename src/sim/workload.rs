//! The caller's side: one host's I/O on all its LUNs, every completion accounted for.
//!
//! A closed loop with think time. Writes stay in the host's own part of a LUN (two hosts that
//! write the same blocks need a reservation, which is not what is tested here); reads go anywhere.
//! Every buffer is overwritten the moment its request completes, so that anything which still
//! reads it is seen as damage.

use super::checker::{Checker, Seq};
use super::content::{BLOCK, WriteId, put};
use super::failure::{Wrong, judge};
use super::trace::{Kind, Trace};
use crate::base::clock::Time;
use crate::base::error::{ErrorKind, IoError};
use crate::base::request::{Op, Token};
use crate::base::rng::Rng;
use crate::base::sg::SgList;
use crate::lun::plane::Plane;
use crate::lun::port::{PortId, Ports};
use crate::sys::iobuf::IoBuf;
use std::time::Duration;

/// What fills a buffer that belongs to nobody's request any more.
const SCRIBBLE: u8 = 0xEE;

/// How one host loads its LUNs.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LoadSpec {
    /// Requests outstanding at most.
    pub depth: usize,
    /// Longest pause between two bursts.
    pub think: Duration,
    /// Requests in one burst at most.
    pub burst: u64,
    pub read_percent: u64,
    /// In a hundred writes so many are flushes, write zeroes or compares instead.
    pub other_percent: u64,
    /// Blocks of most I/Os at most.
    pub small: u64,
    /// In a hundred I/Os so many are of up to `large` blocks.
    pub large_percent: u64,
    pub large: u64,
    /// Writes may overlap other writes that are under way.
    pub overlap: bool,
}

#[derive(Debug)]
struct Slot {
    op: Op,
    lun: usize,
    lba: u64,
    blocks: u32,
    len: usize,
    write: Option<WriteId>,
    read: Option<Seq>,
    submitted: Time,
}

/// A request that came back.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct Ended {
    pub op: Op,
    pub lba: u64,
    pub result: Result<(), IoError>,
}

/// What a host's caller has seen.
#[derive(Copy, Clone, Default, Debug, PartialEq, Eq)]
pub struct Counts {
    pub submitted: u64,
    pub done: u64,
    /// Failed for lack of a path, with an unknown outcome, or with the device's own error.
    pub failed: u64,
    pub no_path: u64,
    pub unknown: u64,
    /// Compares that found other data, as they must.
    pub miscompared: u64,
}

/// One host's caller.
#[derive(Debug)]
pub struct Workload {
    host: usize,
    spec: LoadSpec,
    rng: Rng,
    ports: Vec<PortId>,
    /// Blocks of a LUN; this host writes `own`.
    blocks: u64,
    own: (u64, u64),
    /// How long a request waits before it may fail.
    patience: Duration,
    /// Generation and what is in flight, by place. The cookie of a request is both.
    slots: Vec<(u64, Option<Slot>)>,
    next_burst: Time,
    running: bool,
    done: Vec<Token>,
    pub counts: Counts,
    /// For scenarios: what came back, where asked for.
    pub keep_ended: bool,
    pub ended: Vec<Ended>,
}

impl Workload {
    pub fn new(
        host: usize,
        spec: LoadSpec,
        ports: Vec<PortId>,
        blocks: u64,
        own: (u64, u64),
        patience: Duration,
        seed: u64,
    ) -> Self {
        assert!(
            own.0 < own.1 && own.1 <= blocks,
            "a host's own blocks lie inside the LUN"
        );
        let slots = (0..spec.depth).map(|_| (0, None)).collect();
        Self {
            host,
            spec,
            rng: Rng::new(seed),
            ports,
            blocks,
            own,
            patience,
            slots,
            next_burst: Time::NEVER,
            running: false,
            done: Vec::new(),
            counts: Counts::default(),
            keep_ended: false,
            ended: Vec::new(),
        }
    }

    pub fn start(&mut self, now: Time) {
        self.running = true;
        self.next_burst = now;
    }

    pub fn stop(&mut self) {
        self.running = false;
        self.next_burst = Time::NEVER;
    }

    pub fn outstanding(&self) -> usize {
        self.slots.iter().filter(|s| s.1.is_some()).count()
    }

    /// The oldest request that is still out, for messages.
    pub fn oldest(&self) -> Option<String> {
        let slot = self
            .slots
            .iter()
            .filter_map(|s| s.1.as_ref())
            .min_by_key(|s| s.submitted)?;
        Some(format!(
            "{} of LUN {} block {} since {:?}",
            slot.op.name(),
            slot.lun,
            slot.lba,
            slot.submitted
        ))
    }

    /// When there is something to hand in.
    pub fn next_deadline(&self) -> Time {
        if self.slots.iter().any(|s| s.1.is_none()) {
            self.next_burst
        } else {
            Time::NEVER
        }
    }

    /// Takes back what has completed and hands in what is due. True when it did anything.
    ///
    /// # Errors
    /// The first thing that a caller must never see.
    pub fn step(
        &mut self,
        plane: &mut Plane,
        checker: &mut Checker,
        trace: &mut Trace,
        now: Time,
    ) -> Result<bool, Wrong> {
        let worked = self.reap(plane, checker, trace, now)?;
        if !self.running || now < self.next_burst {
            return Ok(worked);
        }
        for _ in 0..self.rng.between(1, self.spec.burst) {
            self.hand_in_next(plane, checker, trace, now);
        }
        let think = self.spec.think.as_nanos() as u64;
        self.next_burst = now + Duration::from_nanos(self.rng.between(think / 16, think));
        Ok(true)
    }

    fn reap(
        &mut self,
        plane: &mut Plane,
        checker: &mut Checker,
        trace: &mut Trace,
        now: Time,
    ) -> Result<bool, Wrong> {
        let mut done = std::mem::take(&mut self.done);
        for port in &self.ports {
            plane.completions(*port, &mut done);
        }
        let worked = !done.is_empty();
        for token in done.drain(..) {
            self.take_back(plane, token, checker, trace, now)?;
        }
        self.done = done;
        Ok(worked)
    }

    fn take_back(
        &mut self,
        plane: &mut Plane,
        mut token: Token,
        checker: &mut Checker,
        trace: &mut Trace,
        now: Time,
    ) -> Result<(), Wrong> {
        let user = token.user;
        let place = self.slots.get_mut((user & 0xFFFF) as usize);
        let slot = place
            .filter(|s| s.0 == user >> 16)
            .and_then(|s| s.1.take())
            .ok_or(Wrong::Twice { user })?;
        let altered = |what| Wrong::Altered { user, what };
        if (token.op, token.lba, token.blocks) != (slot.op, slot.lba, slot.blocks) {
            return Err(altered("range"));
        }
        if token.data.len() != slot.len {
            return Err(altered("payload"));
        }
        let result = token.result;
        let host = self.host;
        trace.note(
            now,
            Kind::Done,
            user,
            result.err().map_or(0, |e| 1 + e.kind as u64),
            || {
                let end = result.map_or_else(|e| format!("FAILED: {e}"), |()| "done".to_owned());
                let took = now.since(slot.submitted);
                format!(
                    "host{host} lun{} {} {}+{} {end} after {took:?}",
                    slot.lun,
                    slot.op.name(),
                    slot.lba,
                    slot.blocks
                )
            },
        );
        if self.keep_ended {
            self.ended.push(Ended {
                op: slot.op,
                lba: slot.lba,
                result,
            });
        }
        if let Err(error) = result {
            let counts = &mut self.counts;
            match error.kind {
                ErrorKind::Miscompare => counts.miscompared += 1,
                ErrorKind::OutcomeUnknown => counts.unknown += 1,
                ErrorKind::NoPath => counts.no_path += 1,
                _ => {}
            }
            counts.failed += u64::from(error.kind != ErrorKind::Miscompare);
            judge(slot.op, error, now.since(slot.submitted), self.patience)?;
        } else {
            self.counts.done += 1;
        }
        if let Some(write) = slot.write {
            checker.write_ended(write, result.is_ok());
        }
        if let Some(started) = slot.read {
            if result.is_ok() {
                let mut data = vec![0; slot.len];
                token.data.read_at(0, &mut data);
                checker
                    .read_done(self.host, slot.lun, slot.lba, started, &data)
                    .map_err(Wrong::Data)?;
            } else {
                checker.read_failed(started);
            }
        }
        for buf in token.data.segments_mut() {
            buf.as_mut_slice().fill(SCRIBBLE);
        }
        plane.recycle(token);
        Ok(())
    }

    fn draw_op(&mut self) -> Op {
        if self.rng.chance(self.spec.read_percent, 100) {
            return Op::Read;
        }
        if !self.rng.chance(self.spec.other_percent, 100) {
            return Op::Write;
        }
        match self.rng.below(3) {
            0 => Op::Flush,
            1 => Op::WriteZeroes,
            _ => Op::Compare,
        }
    }

    fn hand_in_next(
        &mut self,
        plane: &mut Plane,
        checker: &mut Checker,
        trace: &mut Trace,
        now: Time,
    ) {
        let lun = self.rng.below(self.ports.len() as u64) as usize;
        let mut op = self.draw_op();
        if op == Op::Compare && !plane.geometry(self.ports[lun]).is_some_and(|g| g.compare) {
            // Not known over all paths; discarding is.
            op = Op::Discard;
        }
        let (low, high) = if op.mutates() {
            self.own
        } else {
            (0, self.blocks)
        };
        let most = if self.rng.chance(self.spec.large_percent, 100) {
            self.spec.large
        } else {
            self.spec.small
        };
        let len = self.rng.between(1, most.min(high - low));
        let lba = self.rng.between(low, high - len);
        if op.mutates() && !self.spec.overlap && checker.is_writing(lun, lba, len as u32) {
            return;
        }
        let (lba, len) = if op.has_range() {
            (lba, len as u32)
        } else {
            (0, 0)
        };
        self.hand_in(plane, lun, op, lba, len, checker, trace, now);
    }

    /// Hands in one request; false when no place is free.
    #[allow(clippy::too_many_arguments)]
    pub fn hand_in(
        &mut self,
        plane: &mut Plane,
        lun: usize,
        op: Op,
        lba: u64,
        blocks: u32,
        checker: &mut Checker,
        trace: &mut Trace,
        now: Time,
    ) -> bool {
        let Some(index) = self.slots.iter().position(|s| s.1.is_none()) else {
            return false;
        };
        let mut token = plane.take();
        let write = op
            .mutates()
            .then(|| checker.write_started(self.host, lun, lba, blocks, op != Op::Write));
        let read = (op == Op::Read).then(|| checker.read_started());
        let len = if matches!(op, Op::Read | Op::Write | Op::Compare) {
            blocks as usize * BLOCK
        } else {
            0
        };
        if len > 0 {
            token.data = self.payload(len);
        }
        if let (Op::Write, Some(write)) = (op, write) {
            let mut block = [0; BLOCK];
            for n in 0..u64::from(blocks) {
                put(&mut block, lun, lba + n, write);
                token.data.write_at(n as usize * BLOCK, &block);
            }
        }
        let place = &mut self.slots[index];
        place.0 += 1;
        token.op = op;
        token.lba = lba;
        token.blocks = blocks;
        token.user = index as u64 | place.0 << 16;
        place.1 = Some(Slot {
            op,
            lun,
            lba,
            blocks,
            len,
            write,
            read,
            submitted: now,
        });
        self.counts.submitted += 1;
        let (host, user) = (self.host, token.user);
        trace.note(
            now,
            Kind::Submit,
            user,
            lba ^ u64::from(blocks) << 32 ^ (op as u64) << 60,
            || {
                let name = write.map_or_else(String::new, |w| format!(" (write {w})"));
                format!("host{host} lun{lun} {} {lba}+{blocks}{name}", op.name())
            },
        );
        plane.submit(self.ports[lun], token);
        true
    }

    /// A buffer in one piece, or in two.
    fn payload(&mut self, len: usize) -> SgList {
        let mut data = SgList::new();
        let cut = if self.rng.chance(1, 4) {
            self.rng.below(len as u64) as usize
        } else {
            0
        };
        for part in [cut, len - cut].into_iter().filter(|n| *n > 0) {
            let mut buf = IoBuf::zeroed(part);
            buf.as_mut_slice().fill(SCRIBBLE);
            data.push(buf);
        }
        data
    }
}
