//! A LUN in memory for tests: completes in any order, and can misbehave on purpose.

use std::cell::Cell;

use crate::base::clock::Time;
use crate::base::error::{ErrorKind, IoError};
use crate::base::request::{Op, RequestPool, Token};
use crate::base::rng::Rng;
use crate::lun::port::{Geometry, PortId, Ports};
use crate::path::identity::Identity;

/// What goes wrong. One in `every` I/Os of the fitting kind is hit.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(crate) enum Fault {
    /// Acknowledged, not stored.
    LostWrite,
    /// Only the first half of the I/O's blocks is stored.
    HalfWrite,
    /// A read returns what was there before the last write.
    StaleRead,
    /// Half of one 512-byte unit is stored.
    TornUnit,
    /// Two units of one write change places.
    SwappedUnits,
    /// A write goes to the block after the one it names.
    MisplacedWrite,
    /// A write of long ago is done again, after newer ones were acknowledged.
    Resurrected,
    /// One bit of what is read is flipped.
    FlippedBit,
    /// A read returns zeroes.
    ZeroRead,
    /// A write fails and is done later all the same.
    GhostAfterFailure,
}

/// An I/O on its way: applied at one time, completed at a later one.
#[derive(Debug)]
struct Flight {
    token: Token,
    apply_at: u64,
    applied: bool,
    done_at: u64,
    fail: bool,
}

/// The LUN.
#[derive(Debug)]
pub(crate) struct MockLun {
    geometry: Geometry,
    pub(crate) data: Vec<u8>,
    /// What each block held before its last write.
    before: Vec<u8>,
    /// Recent writes, for resurrection: byte offset and payload.
    old: Vec<(usize, Vec<u8>)>,
    flights: Vec<Flight>,
    pool: RequestPool,
    rng: Rng,
    now: u64,
    /// Nanoseconds an I/O takes at most; at least a tenth of it.
    pub(crate) latency_ns: u64,
    /// In a thousand writes so many fail with unknown outcome.
    pub(crate) failures_per_mille: u64,
    pub(crate) fault: Option<(Fault, u64)>,
    /// Until then nothing completes.
    pub(crate) frozen_until: u64,
    pub(crate) submitted: u64,
    pub(crate) struck: Cell<u64>,
}

impl MockLun {
    pub(crate) fn new(block_size: u32, blocks: u64, seed: u64) -> Self {
        let bytes = (u64::from(block_size) * blocks) as usize;
        Self {
            geometry: Geometry {
                block_size,
                blocks,
                max_transfer_blocks: 256,
                volatile_cache: false,
                discard: false,
                write_zeroes: false,
                compare: false,
                compare_and_write: false,
                identity: Identity::default(),
            },
            data: vec![0; bytes],
            before: vec![0; bytes],
            old: Vec::new(),
            flights: Vec::new(),
            pool: RequestPool::default(),
            rng: Rng::new(seed),
            now: 0,
            latency_ns: 100_000,
            failures_per_mille: 0,
            fault: None,
            frozen_until: 0,
            submitted: 0,
            struck: Cell::new(0),
        }
    }

    pub(crate) fn shape(&self) -> &Geometry {
        &self.geometry
    }

    /// Moves time on; I/Os are applied in the order of their times of effect.
    pub(crate) fn advance(&mut self, now: Time) {
        self.now = now.as_nanos();
        if self.now < self.frozen_until {
            return;
        }
        let mut due: Vec<(u64, usize)> = self
            .flights
            .iter()
            .enumerate()
            .filter(|(_, f)| !f.applied && f.apply_at <= self.now)
            .map(|(i, f)| (f.apply_at, i))
            .collect();
        due.sort_unstable();
        for (_, i) in due {
            self.apply(i);
        }
    }

    fn strikes(&mut self, fault: Fault) -> bool {
        let hit = match self.fault {
            Some((f, every)) if f == fault => self.rng.chance(1, every),
            _ => false,
        };
        self.struck.set(self.struck.get() + u64::from(hit));
        hit
    }

    fn apply(&mut self, index: usize) {
        self.flights[index].applied = true;
        let at = (self.flights[index].token.lba * u64::from(self.geometry.block_size)) as usize;
        if self.flights[index].token.op == Op::Read {
            self.apply_read(index, at);
        } else {
            self.apply_write(index, at);
        }
    }

    fn apply_read(&mut self, index: usize, at: usize) {
        let stale = self.strikes(Fault::StaleRead);
        let flip = self.strikes(Fault::FlippedBit);
        let zero = self.strikes(Fault::ZeroRead);
        let data = &mut self.flights[index].token.data;
        let len = data.len();
        let from = if stale { &self.before } else { &self.data };
        data.write_at(0, &from[at..at + len]);
        if flip {
            let byte = data.segments()[0].as_slice()[len / 2] ^ 0x10;
            data.write_at(len / 2, &[byte]);
        }
        if zero {
            data.write_at(0, &vec![0; len]);
        }
    }

    fn apply_write(&mut self, index: usize, mut at: usize) {
        let flight = &self.flights[index];
        let mut bytes = vec![0; flight.token.data.len()];
        flight.token.data.read_at(0, &mut bytes);
        let failing = flight.fail;
        if failing && self.rng.chance(1, 2) {
            if self.fault.is_some_and(|f| f.0 == Fault::GhostAfterFailure) {
                self.old.push((at, bytes));
            }
            return;
        }
        self.before[at..at + bytes.len()].copy_from_slice(&self.data[at..at + bytes.len()]);
        if self.strikes(Fault::LostWrite) {
            return;
        }
        if self.strikes(Fault::HalfWrite) {
            bytes.truncate(bytes.len() / 2);
        }
        if self.strikes(Fault::TornUnit) {
            let kept = self.data[at + 256..at + 512].to_vec();
            bytes[256..512].copy_from_slice(&kept);
        }
        if bytes.len() >= 1024 && self.strikes(Fault::SwappedUnits) {
            let (a, b) = bytes.split_at_mut(512);
            a.swap_with_slice(&mut b[..512]);
        }
        if at + bytes.len() + 512 <= self.data.len() && self.strikes(Fault::MisplacedWrite) {
            at += 512;
        }
        self.data[at..at + bytes.len()].copy_from_slice(&bytes);
        if matches!(self.fault, Some((Fault::Resurrected, _))) {
            self.old.push((at, bytes));
        }
        if self.old.len() > 64 {
            let (at, bytes) = self.old.remove(0);
            if self.strikes(Fault::Resurrected) {
                self.data[at..at + bytes.len()].copy_from_slice(&bytes);
            }
        }
    }

    /// Does the writes that failed without being done, long after.
    pub(crate) fn ghosts(&mut self) -> usize {
        let old = std::mem::take(&mut self.old);
        for (at, bytes) in &old {
            self.data[*at..at + bytes.len()].copy_from_slice(bytes);
        }
        old.len()
    }
}

impl Ports for MockLun {
    fn geometry(&self, _port: PortId) -> Option<Geometry> {
        Some(self.geometry.clone())
    }

    fn take(&mut self) -> Token {
        self.pool.get()
    }

    fn recycle(&mut self, token: Token) {
        self.pool.put(token);
    }

    fn submit(&mut self, _port: PortId, token: Token) {
        self.submitted += 1;
        assert_eq!(
            token.data.len(),
            token.blocks as usize * self.geometry.block_size as usize,
            "payload fits the range"
        );
        let ns = self.rng.between(self.latency_ns / 10, self.latency_ns);
        let fail = token.op == Op::Write && self.rng.chance(self.failures_per_mille, 1000);
        self.flights.push(Flight {
            token,
            apply_at: self.now + self.rng.below(ns + 1),
            applied: false,
            done_at: self.now + ns,
            fail,
        });
    }

    fn completions(&mut self, _port: PortId, out: &mut Vec<Token>) {
        if self.now < self.frozen_until {
            return;
        }
        let mut i = 0;
        while i < self.flights.len() {
            let f = &self.flights[i];
            if f.applied && f.done_at <= self.now {
                let mut f = self.flights.swap_remove(i);
                f.token.path = (f.token.lba % 2) as u16;
                if f.fail {
                    f.token.result = Err(IoError::new(ErrorKind::OutcomeUnknown));
                }
                out.push(f.token);
            } else {
                i += 1;
            }
        }
    }
}
