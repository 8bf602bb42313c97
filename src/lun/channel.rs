//! A LUN's half on one reactor: its paths, its policy, and its requests that wait.

use super::fence::Fence;
use super::policy::{IoClass, IoShape, NexusLoad, PathIx, Prospects, Selector};
use super::port::Geometry;
use super::route::{ParkReason, Route, RouteCounters};
use super::split::Splits;
use super::stats::{LunStats, PathStats};
use crate::base::clock::Time;
use crate::base::error::{ErrorKind, IoError};
use crate::base::request::{Op, Token};
use crate::path::access::AccessState;
use crate::path::identity::{Identity, Match};
use crate::path::set::AssociationIx;
use crate::path::unit::Unit;
use crate::path::url::PathSpec;
use std::collections::VecDeque;
use std::time::Duration;

/// Settings of a LUN that a channel works by.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LunSettings {
    /// How long I/O waits for a path before it fails (PDORemovePeriod).
    pub park_max: Duration,
    /// Counted retries (RetryCount).
    pub retry_max: u8,
    /// How long a request waits before a counted retry (RetryInterval).
    pub retry_after: Duration,
    /// Paths whose identity has nothing in common with the LUN's are let in all the same.
    pub trust_paths: bool,
    /// Targets whose access states differ may be told which to have (explicit ALUA), for every host
    /// that they serve.
    pub explicit_alua: bool,
}

impl Default for LunSettings {
    fn default() -> Self {
        Self {
            park_max: crate::base::limits::PARK_MAX,
            retry_max: 3,
            retry_after: Duration::ZERO,
            trust_paths: false,
            explicit_alua: false,
        }
    }
}

/// Where a LUN stands on this reactor.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum Life {
    Open,
    /// Takes nothing more; its paths are given up when nothing is on them.
    Closing,
    /// Without paths; its ports may still be read.
    Closed,
}

/// Where a path stands in its LUN.
#[derive(Copy, Clone, PartialEq, Eq, Debug, Default)]
pub enum SlotLife {
    #[default]
    Here,
    /// Taken out; something is still on it.
    Leaving,
    /// Its place may be taken.
    Gone,
}

/// One path of the LUN.
#[derive(Debug)]
pub struct PathSlot {
    pub spec: PathSpec,
    pub association: AssociationIx,
    /// The unit's number on its association, once joined.
    pub nsid: u32,
    pub joined: bool,
    /// Why it was not let in.
    pub refused: Option<String>,
    pub access: AccessState,
    /// Since when it may carry I/O, until the first I/O over it has ended.
    pub usable_since: Option<Time>,
    pub weight: u32,
    pub stats: PathStats,
    pub life: SlotLife,
    /// Commands of this LUN on it.
    pub in_flight: u32,
}

/// A LUN on one reactor. Owned, read and written by that reactor alone; others see snapshots.
#[derive(Debug)]
pub struct Channel {
    pub name: String,
    pub settings: LunSettings,
    pub selector: Selector,
    /// By `PathIx`.
    pub slots: Vec<PathSlot>,
    pub geometry: Option<Geometry>,
    block_shift: u32,
    pub identity: Identity,
    /// No path is usable now: routed again when paths change.
    pub parked: VecDeque<Token>,
    /// The path chosen was full: routed again when something completes.
    pub backlog: VecDeque<Token>,
    /// The target asked for a pause until then, or their blocks are in doubt and looked at again then.
    pub delayed: Vec<(Time, Token)>,
    pub fence: Fence,
    pub splits: Splits,
    pub routes: RouteCounters,
    pub stats: LunStats,
    pub proofs: Vec<(&'static str, u64)>,
    /// Requests outstanding that are not behind the fence.
    unfenced: u64,
    /// Since when nothing of them has completed.
    stall_since: Time,
    /// Commands given to paths and not back yet.
    pub in_flight: u32,
    pub next_sweep: Time,
    pub life: Life,
    /// Paths that were taken out and still have something on them.
    pub leaving: u32,
}

impl Channel {
    pub fn new(name: String, settings: LunSettings, selector: Selector) -> Self {
        Self {
            name,
            settings,
            selector,
            slots: Vec::new(),
            geometry: None,
            block_shift: 9,
            identity: Identity::default(),
            parked: VecDeque::new(),
            backlog: VecDeque::new(),
            delayed: Vec::new(),
            fence: Fence::default(),
            splits: Splits::default(),
            routes: RouteCounters::default(),
            stats: LunStats::default(),
            proofs: Vec::new(),
            unfenced: 0,
            stall_since: Time::ZERO,
            in_flight: 0,
            next_sweep: Time::ZERO,
            life: Life::Open,
            leaving: 0,
        }
    }

    pub fn is_closing(&self) -> bool {
        self.life != Life::Open
    }

    /// What the policies need to know of a request.
    #[inline]
    pub fn shape(&self, token: &Token) -> IoShape {
        let class = match token.op {
            Op::Read => IoClass::Read,
            Op::Write => IoClass::Write,
            _ => return IoShape::other(),
        };
        IoShape {
            class,
            lba: token.lba,
            blocks: token.blocks,
            bytes: token.blocks << self.block_shift,
        }
    }

    #[inline]
    pub fn bytes(&self, blocks: u32) -> u64 {
        u64::from(blocks) << self.block_shift
    }

    /// Checks a request against the LUN before anything is done with it.
    pub fn check(&self, token: &Token) -> Result<(), IoError> {
        let Some(g) = &self.geometry else {
            return Err(IoError::new(ErrorKind::NoPath));
        };
        let invalid = Err(IoError::new(ErrorKind::Invalid));
        if token.op.has_range() {
            if token.blocks == 0 {
                return invalid;
            }
            if token.end() > g.blocks || token.end() < token.lba {
                return Err(IoError::new(ErrorKind::OutOfRange));
            }
        }
        let payload = match token.op {
            Op::Read | Op::Write | Op::Compare => self.bytes(token.blocks),
            Op::CompareAndWrite => self.bytes(token.blocks) * 2,
            Op::Flush | Op::WriteZeroes | Op::Discard => 0,
        };
        if token.data.len() as u64 != payload {
            return invalid;
        }
        let known = match token.op {
            Op::WriteZeroes => g.write_zeroes,
            Op::Discard => g.discard,
            Op::Compare => g.compare,
            Op::CompareAndWrite => g.compare_and_write,
            _ => true,
        };
        if known {
            Ok(())
        } else {
            Err(IoError::new(ErrorKind::Unsupported))
        }
    }

    /// Chooses a path, or says why there is none. Counting is the caller's, who knows whether the
    /// path took it.
    #[inline]
    pub fn route(
        &mut self,
        shape: IoShape,
        loads: &[NexusLoad],
        now: Time,
        avoid: Option<PathIx>,
    ) -> Route {
        match self.selector.choose(shape, loads, now.as_nanos(), avoid) {
            Some(path) => Route::Submit(path),
            None => match self.selector.prospects() {
                Prospects::UsableNow | Prospects::MayComeBack => Route::Park(ParkReason::NoPathNow),
                // None is left at all: the next one may be on its way, as when the only path is given up
                // to be had again with other options.
                Prospects::Never if self.slots.iter().all(|s| s.life == SlotLife::Gone) => {
                    Route::Park(ParkReason::NoPathNow)
                }
                Prospects::Never => Route::Fail(IoError::new(ErrorKind::NoPath)),
            },
        }
    }

    /// A request became outstanding, or came out of the fence.
    #[inline]
    pub fn begins(&mut self, now: Time) {
        if self.unfenced == 0 {
            self.stall_since = now;
        }
        self.unfenced += 1;
    }

    /// A request went behind the fence: a gap from now on is not its doing.
    pub fn goes_behind_fence(&mut self) {
        assert!(
            self.unfenced > 0,
            "a request is fenced that was not outstanding"
        );
        self.unfenced -= 1;
    }

    /// A request completed.
    #[inline]
    pub fn ends(&mut self, now: Time) {
        assert!(self.unfenced > 0, "a completion too many on {}", self.name);
        self.note_gap(now);
        self.unfenced -= 1;
    }

    #[inline]
    fn note_gap(&mut self, now: Time) {
        let gap = now.nanos_since(self.stall_since);
        if gap > self.stats.longest_stall_ns {
            self.stats.longest_stall_ns = gap;
        }
        self.stall_since = now;
    }

    /// Requests outstanding, fenced or not.
    pub fn outstanding(&self) -> u64 {
        let (held, waiting) = self.fence.occupants();
        self.unfenced + (held + waiting) as u64
    }

    pub fn stalled_for(&self, now: Time) -> u64 {
        if self.unfenced > 0 {
            now.nanos_since(self.stall_since)
        } else {
            0
        }
    }

    /// Decides whether a unit belongs to this LUN (invariant I7), and takes it in.
    pub fn join(&mut self, at: usize, unit: &Unit) -> Result<(), String> {
        if !self.identity.is_empty() || !unit.identity.is_empty() {
            match self.identity.compare(&unit.identity) {
                Match::Same => self.identity.learn(&unit.identity),
                Match::Different => {
                    return Err(format!(
                        "another logical unit: it is {}, the LUN is {}",
                        unit.identity, self.identity
                    ));
                }
                Match::Unknown if self.identity.is_empty() && self.geometry.is_none() => {
                    self.identity.learn(&unit.identity)
                }
                Match::Unknown if self.settings.trust_paths => self.identity.learn(&unit.identity),
                Match::Unknown => {
                    return Err(format!(
                        "no identifier in common with the LUN (path: {}, LUN: {}); trust_paths lets it in",
                        unit.identity, self.identity
                    ));
                }
            }
        } else if self.geometry.is_some()
            && !self.settings.trust_paths
            && self.slots.iter().filter(|s| s.joined).count() > 0
        {
            return Err("it reports no identifier at all; trust_paths lets it in".to_owned());
        }
        if let Some(g) = self.geometry.as_ref().filter(|_| unit.size_known()) {
            if g.block_size != unit.block_size {
                return Err(format!(
                    "size mismatch: blocks of {} bytes, the LUN has {}",
                    unit.block_size, g.block_size
                ));
            }
            let others = self
                .slots
                .iter()
                .enumerate()
                .any(|(i, s)| i != at && s.joined);
            if others && g.blocks != unit.blocks {
                return Err(format!(
                    "size mismatch: {} blocks, the LUN has {}",
                    unit.blocks, g.blocks
                ));
            }
        }
        // A path at rest may not tell its size (READ CAPACITY is refused there). Its identity is
        // enough to list it; it carries nothing before the size was read and checked.
        if unit.size_known() {
            self.reconcile(unit);
        }
        let slot = &mut self.slots[at];
        slot.nsid = unit.nsid;
        slot.joined = true;
        slot.refused = None;
        slot.access = unit.carrying_access();
        Ok(())
    }

    /// Folds a unit's limits and abilities into the LUN's: the weakest path counts.
    pub fn reconcile(&mut self, unit: &Unit) {
        let max = (unit.max_transfer / unit.block_size).clamp(1, 65_536);
        self.block_shift = unit.block_size.trailing_zeros();
        let identity = self.identity.clone();
        match &mut self.geometry {
            None => {
                self.geometry = Some(Geometry {
                    block_size: unit.block_size,
                    blocks: unit.blocks,
                    max_transfer_blocks: max,
                    volatile_cache: unit.volatile_cache,
                    discard: unit.discard,
                    write_zeroes: unit.write_zeroes,
                    compare: unit.compare,
                    compare_and_write: unit.compare_and_write,
                    identity,
                });
            }
            Some(g) => {
                g.blocks = unit.blocks;
                g.max_transfer_blocks = g.max_transfer_blocks.min(max);
                g.volatile_cache |= unit.volatile_cache;
                g.discard &= unit.discard;
                g.write_zeroes &= unit.write_zeroes;
                g.compare &= unit.compare;
                g.compare_and_write &= unit.compare_and_write;
                g.identity = identity;
            }
        }
    }

    /// When something in here is due even if nothing happens on the paths.
    pub fn next_deadline(&self) -> Time {
        let delayed = self
            .delayed
            .iter()
            .map(|(at, _)| *at)
            .min()
            .unwrap_or(Time::NEVER);
        let parked = self
            .parked
            .iter()
            .map(|t| t.give_up)
            .min()
            .unwrap_or(Time::NEVER);
        self.fence.next_deadline().min(delayed).min(parked)
    }
}
