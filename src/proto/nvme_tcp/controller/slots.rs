//! Command slots: where a command lives from its capsule to its answer. A slot's number is its
//! transfer tag's index, so an H2CData PDU finds its command without a search.

use crate::base::sg::SgList;
use crate::proto::nvme::{SglType, Sqe};
use crate::proto::nvme_tcp::pdu::DataRange;

/// R2Ts outstanding per command at most; what a host allows beyond is not used.
pub const R2TS: usize = 4;
/// Slots of a queue at most: what fits the tag beside the R2T index and its generation.
pub const SLOTS_MAX: usize = 1 << SLOT_BITS;

const SLOT_BITS: u32 = 12;
const R2T_BITS: u32 = 2;
const _: () = assert!(R2TS == 1 << R2T_BITS);

/// What SGL entry 1 of a command says about its data (section 3.4: data comes in the capsule by
/// an offset descriptor, or by a transport descriptor with data PDUs).
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum Shape {
    /// No data, or the length is 0.
    None,
    /// That many bytes in the capsule.
    Capsule(u32),
    /// That many bytes by R2T and H2CData, or by C2HData.
    Transport(u32),
    /// Another kind of descriptor.
    BadType,
    /// An in-capsule descriptor that does not match what the capsule carries.
    BadLength,
    /// An in-capsule descriptor with an offset other than 0 (ICDOFF is 0).
    BadOffset,
}

impl Shape {
    /// Bytes of data announced.
    pub const fn len(self) -> u32 {
        match self {
            Self::Capsule(n) | Self::Transport(n) => n,
            _ => 0,
        }
    }

    pub const fn is_empty(self) -> bool {
        self.len() == 0
    }

    /// Reads SGL entry 1 against the bytes in the capsule.
    #[inline]
    pub(super) fn of(sqe: &Sqe, carried: usize) -> Self {
        let sgl = sqe.sgl();
        let len = sgl.length;
        match sgl.kind {
            SglType::TRANSPORT if carried == 0 && len == 0 => Self::None,
            SglType::TRANSPORT if carried == 0 => Self::Transport(len),
            SglType::TRANSPORT => Self::BadLength,
            SglType::IN_CAPSULE if carried != len as usize => Self::BadLength,
            SglType::IN_CAPSULE if sgl.address != 0 => Self::BadOffset,
            SglType::IN_CAPSULE if len == 0 => Self::None,
            SglType::IN_CAPSULE => Self::Capsule(len),
            // Hosts leave the descriptor empty, or a plain data block of length 0, without data.
            _ if len == 0 && carried == 0 => Self::None,
            _ => Self::BadType,
        }
    }
}

#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(super) enum State {
    Free,
    /// The owner has it and may give a buffer or complete it.
    Owned,
    /// Its data is on the way in.
    Fetching,
    /// Its data is on the way out.
    Sending,
}

/// One outstanding R2T.
#[derive(Copy, Clone, Debug, Default)]
pub(super) struct R2t {
    pub(super) offset: u32,
    pub(super) len: u32,
    pub(super) done: u32,
    /// Counts the uses of this entry; its low bits are in the tag, so that a late tag is noticed.
    pub(super) generation: u8,
    pub(super) active: bool,
}

#[derive(Debug)]
pub(super) struct Slot {
    pub(super) sqe: Sqe,
    pub(super) data: SgList,
    pub(super) state: State,
    pub(super) shape: Shape,
    /// Every data digest so far was right.
    pub(super) intact: bool,
    /// Bytes received.
    pub(super) received: u32,
    /// Bytes asked for by R2T.
    pub(super) asked: u32,
    pub(super) r2ts: [R2t; R2TS],
}

impl Slot {
    fn new() -> Self {
        Self {
            sqe: Sqe::default(),
            data: SgList::new(),
            state: State::Free,
            shape: Shape::None,
            intact: true,
            received: 0,
            asked: 0,
            r2ts: [R2t::default(); R2TS],
        }
    }

    #[inline]
    pub(super) fn cid(&self) -> u16 {
        self.sqe.cid()
    }

    /// The next R2T, when one may be sent: `limit` outstanding, `size` bytes each at most.
    pub(super) fn next_r2t(&mut self, slot: u16, limit: usize, size: u32) -> Option<DataRange> {
        let left = self.data.len() as u32 - self.asked;
        if left == 0 {
            return None;
        }
        let index = self.r2ts[..limit].iter().position(|r| !r.active)?;
        let r = &mut self.r2ts[index];
        r.active = true;
        r.offset = self.asked;
        r.len = left.min(size);
        r.done = 0;
        r.generation = r.generation.wrapping_add(1);
        let (offset, len) = (r.offset, r.len);
        let ttag = tag(slot, index, r.generation);
        self.asked += len;
        Some(DataRange {
            cccid: self.cid(),
            ttag,
            offset,
            len,
        })
    }
}

/// Transfer tag: generation (2 bits), R2T index (2 bits), slot (12 bits).
const fn tag(slot: u16, r2t: usize, generation: u8) -> u16 {
    slot | (r2t as u16) << SLOT_BITS | (generation as u16 & 3) << (SLOT_BITS + R2T_BITS)
}

/// All slots of a queue.
#[derive(Debug)]
pub(super) struct Slots {
    all: Vec<Slot>,
    free: Vec<u16>,
}

impl Slots {
    pub(super) fn new(count: usize) -> Self {
        let mut s = Self {
            all: Vec::new(),
            free: Vec::new(),
        };
        s.grow(count);
        s
    }

    /// Makes room for `count` commands in all.
    pub(super) fn grow(&mut self, count: usize) {
        let count = count.min(SLOTS_MAX);
        let old = self.all.len();
        if count <= old {
            return;
        }
        self.all.resize_with(count, Slot::new);
        self.free.reserve(count);
        self.free.extend((old..count).rev().map(|i| i as u16));
    }

    pub(super) fn len(&self) -> usize {
        self.all.len()
    }

    /// Slots in use.
    pub(super) fn used(&self) -> usize {
        self.all.len() - self.free.len()
    }

    #[inline]
    pub(super) fn take(&mut self) -> Option<u16> {
        self.free.pop()
    }

    #[inline]
    pub(super) fn put(&mut self, slot: u16) {
        let s = &mut self.all[usize::from(slot)];
        assert!(s.state != State::Free, "a slot is freed once");
        s.state = State::Free;
        self.free.push(slot);
    }

    #[inline]
    pub(super) fn at(&self, slot: u16) -> &Slot {
        &self.all[usize::from(slot)]
    }

    #[inline]
    pub(super) fn at_mut(&mut self, slot: u16) -> &mut Slot {
        &mut self.all[usize::from(slot)]
    }

    /// The slot and R2T index a transfer tag names, if that R2T is outstanding.
    #[inline]
    pub(super) fn by_tag(&self, ttag: u16) -> Option<(u16, usize)> {
        let slot = ttag & (SLOTS_MAX as u16 - 1);
        let index = usize::from(ttag >> SLOT_BITS) & (R2TS - 1);
        let s = self.all.get(usize::from(slot))?;
        let r = &s.r2ts[index];
        (s.state == State::Fetching && r.active && tag(slot, index, r.generation) == ttag)
            .then_some((slot, index))
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Slot> {
        self.all.iter_mut()
    }

    /// The command with this identifier that is not yet being answered.
    pub(super) fn by_cid(&self, cid: u16) -> Option<u16> {
        self.all
            .iter()
            .position(|s| !matches!(s.state, State::Free | State::Sending) && s.cid() == cid)
            .map(|i| i as u16)
    }
}
