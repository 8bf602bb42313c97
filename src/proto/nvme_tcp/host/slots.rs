//! Commands outstanding on one queue. The CID is the slot's index: no search, no hash.

use super::queue::AdminData;
use super::tx::Tx;
use crate::base::clock::Time;
use crate::base::limits::DIRECT_MIN;
use crate::base::request::{Op, Token};
use crate::base::sg::SgList;
use crate::proto::nvme::Cqe;

/// End of a list of slots.
pub(super) const NIL: u16 = u16::MAX;

/// Which way a command's data goes.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(super) enum Dir {
    None,
    /// Read by the host: C2HData.
    ToHost,
    /// Sent by the host on request: R2T and H2CData.
    OnRequest,
    /// Sent by the host in the capsule.
    InCapsule,
}

/// An admin or Fabrics command; not on the way of an I/O, so its box is allocated.
#[derive(Debug)]
pub(super) struct AdminCmd {
    pub(super) tag: u32,
    pub(super) data: AdminData,
}

#[derive(Debug)]
pub(super) enum Owner {
    Free,
    Io(Token),
    Admin(Box<AdminCmd>),
}

/// The 16 bytes of a Dataset Management range: made here, because a discard carries no payload.
pub(super) fn dsm_range(token: &Token) -> [u8; 16] {
    let mut b = [0; 16];
    b[4..8].copy_from_slice(&token.blocks.to_le_bytes());
    b[8..16].copy_from_slice(&token.lba.to_le_bytes());
    b
}

impl Owner {
    /// The payload in memory (a discard has none, see [`dsm_range`]).
    #[inline]
    pub(super) fn payload(&self) -> Option<&SgList> {
        match self {
            Self::Io(t) => Some(&t.data),
            Self::Admin(a) => match &a.data {
                AdminData::None => None,
                AdminData::FromHost(d) | AdminData::ToHost(d) => Some(d),
            },
            Self::Free => None,
        }
    }

    #[inline]
    pub(super) fn payload_mut(&mut self) -> Option<&mut SgList> {
        match self {
            Self::Io(t) => Some(&mut t.data),
            Self::Admin(a) => match &mut a.data {
                AdminData::None => None,
                AdminData::FromHost(d) | AdminData::ToHost(d) => Some(d),
            },
            Self::Free => None,
        }
    }
}

#[derive(Debug)]
pub(super) struct Slot {
    pub(super) owner: Owner,
    pub(super) dispatched: Time,
    /// Position in the stream sent of the first byte of the capsule.
    pub(super) capsule_at: u64,
    /// Position behind the last byte queued so far that belongs to this command.
    pub(super) tx_end: u64,
    /// Bytes of data.
    pub(super) len: u32,
    /// Bytes of data received, or asked for by R2Ts.
    pub(super) moved: u32,
    /// R2Ts not yet answered in full.
    pub(super) r2ts: u32,
    /// Neighbours in the list of I/O in order of dispatch.
    pub(super) prev: u16,
    pub(super) next: u16,
    /// Submission queue tail after this command.
    pub(super) sq_tail: u16,
    pub(super) dir: Dir,
    /// Counted in `large_reads`: payload must not land in staging.
    pub(super) large: bool,
    /// LAST_PDU has come.
    pub(super) last: bool,
    /// A data digest was wrong: the command fails at its end (NVMe/TCP, "Digest Error handling").
    pub(super) damaged: bool,
    /// Its completion waits in `deferred`.
    pub(super) answered: bool,
}

impl Slot {
    const fn new() -> Self {
        Self {
            owner: Owner::Free,
            dispatched: Time::ZERO,
            capsule_at: 0,
            tx_end: 0,
            len: 0,
            moved: 0,
            r2ts: 0,
            prev: NIL,
            next: NIL,
            sq_tail: 0,
            dir: Dir::None,
            large: false,
            last: false,
            damaged: false,
            answered: false,
        }
    }
}

/// All slots of a queue, with a stack of free ones (the last used is the warmest) and the list of
/// I/O in order of dispatch.
#[derive(Debug)]
pub(super) struct Slots {
    all: Box<[Slot]>,
    free: Vec<u16>,
    oldest: u16,
    newest: u16,
    /// Reads of [`DIRECT_MIN`] and more whose payload has not all come.
    pub(super) large_reads: u32,
}

impl Slots {
    pub(super) fn new(depth: u16) -> Self {
        Self {
            all: (0..depth).map(|_| Slot::new()).collect(),
            free: (0..depth).rev().collect(),
            oldest: NIL,
            newest: NIL,
            large_reads: 0,
        }
    }

    pub(super) fn depth(&self) -> usize {
        self.all.len()
    }

    pub(super) fn free(&self) -> usize {
        self.free.len()
    }

    pub(super) fn used(&self) -> usize {
        self.all.len() - self.free.len()
    }

    #[inline]
    pub(super) fn get(&self, cid: u16) -> &Slot {
        &self.all[usize::from(cid)]
    }

    #[inline]
    pub(super) fn get_mut(&mut self, cid: u16) -> &mut Slot {
        &mut self.all[usize::from(cid)]
    }

    /// The slot of a CID that the peer named, when a command that was not answered yet is in it
    /// and its capsule has begun to leave.
    #[inline]
    pub(super) fn named(&mut self, cid: u16, tx: &Tx) -> Option<&mut Slot> {
        let s = self.all.get_mut(usize::from(cid))?;
        let waits = !matches!(s.owner, Owner::Free) && !s.answered && tx.has_left(s.capsule_at);
        waits.then_some(s)
    }

    /// Takes a free slot for `owner`; the caller has checked that there is one.
    #[inline]
    pub(super) fn take(&mut self, owner: Owner, dir: Dir, len: u32, now: Time) -> u16 {
        let cid = self.free.pop().expect("the caller saw a free slot");
        let io = matches!(owner, Owner::Io(_));
        let large = dir == Dir::ToHost && len as usize >= DIRECT_MIN;
        self.large_reads += u32::from(large);
        let newest = self.newest;
        let s = &mut self.all[usize::from(cid)];
        debug_assert!(matches!(s.owner, Owner::Free), "a free slot is empty");
        s.owner = owner;
        s.dispatched = now;
        s.len = len;
        s.moved = 0;
        s.r2ts = 0;
        s.dir = dir;
        s.large = large;
        s.last = false;
        s.damaged = false;
        s.answered = false;
        s.prev = NIL;
        s.next = NIL;
        if io {
            s.prev = newest;
            if newest == NIL {
                self.oldest = cid;
            } else {
                self.all[usize::from(newest)].next = cid;
            }
            self.newest = cid;
        }
        cid
    }

    /// Empties a slot and gives back what was in it.
    #[inline]
    pub(super) fn release(&mut self, cid: u16) -> Owner {
        let s = &mut self.all[usize::from(cid)];
        let owner = std::mem::replace(&mut s.owner, Owner::Free);
        let (prev, next) = (s.prev, s.next);
        self.large_reads -= u32::from(std::mem::take(&mut s.large));
        if matches!(owner, Owner::Io(_)) {
            match prev {
                NIL => self.oldest = next,
                p => self.all[usize::from(p)].next = next,
            }
            match next {
                NIL => self.newest = prev,
                n => self.all[usize::from(n)].prev = prev,
            }
        }
        self.free.push(cid);
        owner
    }

    /// The payload of a large read is complete: it cannot land in staging any more.
    #[inline]
    pub(super) fn payload_done(&mut self, cid: u16) {
        let s = &mut self.all[usize::from(cid)];
        self.large_reads -= u32::from(std::mem::take(&mut s.large));
    }

    pub(super) fn oldest(&self) -> Option<u16> {
        (self.oldest != NIL).then_some(self.oldest)
    }

    /// Every slot in use, for rare walks.
    pub(super) fn in_use(&self) -> impl Iterator<Item = (u16, &Slot)> {
        self.all
            .iter()
            .enumerate()
            .filter(|(_, s)| !matches!(s.owner, Owner::Free))
            .map(|(i, s)| (i as u16, s))
    }
}

/// Which way the data of an I/O goes, and how much there is.
#[inline]
pub(super) fn io_data(token: &Token, in_capsule_max: u32) -> (Dir, u32) {
    let len = match token.op {
        Op::Discard => 16,
        _ => token.data.len() as u32,
    };
    match token.op {
        Op::Flush | Op::WriteZeroes => (Dir::None, 0),
        _ if len == 0 => (Dir::None, 0),
        Op::Read => (Dir::ToHost, len),
        _ if len <= in_capsule_max => (Dir::InCapsule, len),
        _ => (Dir::OnRequest, len),
    }
}

/// A completion that waits until no byte of its command's data is queued any more (I4).
#[derive(Debug)]
pub(super) struct Deferred {
    pub(super) cid: u16,
    pub(super) cqe: Cqe,
}
