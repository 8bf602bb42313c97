//! Tasks outstanding on one connection. The initiator task tag is the slot's index with a count of
//! its uses above it, so that a late answer never meets the next task: no search, no hash. Tags are
//! unique in the whole session (RFC 7143, 11.2.1.8): each connection has its own stretch of indexes.

use super::tx::Tx;
use crate::base::clock::Time;
use crate::base::limits::DIRECT_MIN;
use crate::base::request::{Op, Token};
use crate::base::sg::SgList;

/// End of a list of slots.
pub(super) const NIL: u16 = u16::MAX;
/// Tags from here on belong to no slot.
const INDEX: u32 = 0xffff;

/// What WRITE SAME sends: the largest logical block that is supported.
pub(super) static ZEROS: [u8; 64 * 1024] = [0; 64 * 1024];

/// Bytes of an UNMAP parameter list with one descriptor (SBC, 5.35).
pub(super) const UNMAP_LEN: u32 = 24;

/// Which way a task's data goes.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(super) enum Dir {
    None,
    In,
    Out,
}

/// Data of a command that is not I/O.
#[derive(Debug, Default)]
pub enum CommandData {
    #[default]
    None,
    /// Room for what the target sends; less may come.
    In(SgList),
    Out(SgList),
}

/// Not on the way of an I/O, so its box is allocated.
#[derive(Debug)]
pub(super) struct Command {
    pub(super) tag: u32,
    pub(super) data: CommandData,
}

#[derive(Debug)]
pub(super) enum Owner {
    Free,
    Io(Token),
    Command(Box<Command>),
}

/// Where the bytes of a task's data-out come from.
pub(super) enum Origin<'a> {
    Payload(&'a SgList),
    /// One block of zeros, for WRITE SAME.
    Zeros,
    /// An UNMAP parameter list, made when needed: a discard carries no payload.
    Unmap([u8; UNMAP_LEN as usize]),
}

/// The parameter list of an UNMAP of one range.
fn unmap_list(token: &Token) -> [u8; UNMAP_LEN as usize] {
    let mut b = [0; UNMAP_LEN as usize];
    b[0..2].copy_from_slice(&22_u16.to_be_bytes());
    b[2..4].copy_from_slice(&16_u16.to_be_bytes());
    b[8..16].copy_from_slice(&token.lba.to_be_bytes());
    b[16..20].copy_from_slice(&token.blocks.to_be_bytes());
    b
}

impl Owner {
    pub(super) fn origin(&self) -> Option<Origin<'_>> {
        match self {
            Self::Io(t) => Some(match t.op {
                Op::Discard => Origin::Unmap(unmap_list(t)),
                Op::WriteZeroes => Origin::Zeros,
                _ => Origin::Payload(&t.data),
            }),
            Self::Command(c) => match &c.data {
                CommandData::Out(d) => Some(Origin::Payload(d)),
                _ => None,
            },
            Self::Free => None,
        }
    }

    #[inline]
    pub(super) fn payload(&self) -> Option<&SgList> {
        match self {
            Self::Io(t) => Some(&t.data),
            Self::Command(c) => match &c.data {
                CommandData::None => None,
                CommandData::In(d) | CommandData::Out(d) => Some(d),
            },
            Self::Free => None,
        }
    }

    #[inline]
    pub(super) fn payload_mut(&mut self) -> Option<&mut SgList> {
        match self {
            Self::Io(t) => Some(&mut t.data),
            Self::Command(c) => match &mut c.data {
                CommandData::None => None,
                CommandData::In(d) | CommandData::Out(d) => Some(d),
            },
            Self::Free => None,
        }
    }
}

#[derive(Debug)]
pub(super) struct Slot {
    pub(super) owner: Owner,
    /// Uses of this slot, in the upper half of the tag.
    uses: u16,
    pub(super) lun: u64,
    pub(super) cmd_sn: u32,
    pub(super) dispatched: Time,
    /// Position in the stream sent of the first byte of the command PDU.
    pub(super) command_at: u64,
    /// Position behind the last byte queued so far that belongs to this task.
    pub(super) tx_end: u64,
    /// Bytes of data (Expected Data Transfer Length).
    pub(super) len: u32,
    /// Bytes of data received; or sent unsolicited and asked for by R2Ts.
    pub(super) moved: u32,
    /// DataSN expected next of Data-In and R2T (one counter, RFC 7143, 4.2.2.3 and 11.8.3).
    pub(super) data_sn: u32,
    /// DataSN of the next Data-Out of the sequence that is being sent.
    pub(super) out_sn: u32,
    /// Sequences of Data-Out not yet queued in full.
    pub(super) sequences: u32,
    /// Of them, those that R2Ts asked for.
    pub(super) r2ts: u32,
    /// Neighbours in the list of I/O in order of dispatch.
    prev: u16,
    next: u16,
    pub(super) dir: Dir,
    /// Counted in `large_reads`: payload must not land in staging.
    pub(super) large: bool,
    /// A data digest was wrong: the task fails at its end.
    pub(super) damaged: bool,
    /// Its completion waits for bytes to leave.
    pub(super) answered: bool,
}

impl Slot {
    const fn new() -> Self {
        Self {
            owner: Owner::Free,
            uses: 0,
            lun: 0,
            cmd_sn: 0,
            dispatched: Time::ZERO,
            command_at: 0,
            tx_end: 0,
            len: 0,
            moved: 0,
            data_sn: 0,
            out_sn: 0,
            sequences: 0,
            r2ts: 0,
            prev: NIL,
            next: NIL,
            dir: Dir::None,
            large: false,
            damaged: false,
            answered: false,
        }
    }
}

/// All slots of a connection, with a stack of free ones (the last used is the warmest) and the list
/// of I/O in order of dispatch.
#[derive(Debug)]
pub(super) struct Slots {
    all: Box<[Slot]>,
    free: Vec<u16>,
    /// What the index of the first slot is in tags.
    base: u16,
    oldest: u16,
    newest: u16,
    /// Reads of [`DIRECT_MIN`] and more whose payload has not all come.
    pub(super) large_reads: u32,
    /// Data of everything in use.
    pub(super) bytes: u64,
}

impl Slots {
    pub(super) fn new(depth: u16, base: u16) -> Self {
        Self {
            base,
            all: (0..depth).map(|_| Slot::new()).collect(),
            free: (0..depth).rev().collect(),
            oldest: NIL,
            newest: NIL,
            large_reads: 0,
            bytes: 0,
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
    pub(super) fn get(&self, ix: u16) -> &Slot {
        &self.all[usize::from(ix)]
    }

    #[inline]
    pub(super) fn get_mut(&mut self, ix: u16) -> &mut Slot {
        &mut self.all[usize::from(ix)]
    }

    /// The tag of the task in a slot.
    #[inline]
    pub(super) fn itt(&self, ix: u16) -> u32 {
        u32::from(self.get(ix).uses) << 16 | u32::from(self.base + ix)
    }

    /// The slot of a tag that the target named, when a task that was not answered yet is in it and
    /// its command has begun to leave.
    #[inline]
    pub(super) fn named(&self, itt: u32, tx: &Tx) -> Option<u16> {
        let ix = ((itt & INDEX) as u16).wrapping_sub(self.base);
        let s = self.all.get(usize::from(ix))?;
        let waits = !matches!(s.owner, Owner::Free)
            && u32::from(s.uses) == itt >> 16
            && !s.answered
            && tx.has_left(s.command_at);
        waits.then_some(ix)
    }

    /// Takes a free slot for `owner`; the caller has checked that there is one.
    #[inline]
    pub(super) fn take(&mut self, owner: Owner, lun: u64, dir: Dir, len: u32, now: Time) -> u16 {
        let ix = self.free.pop().expect("the caller saw a free slot");
        let io = matches!(owner, Owner::Io(_));
        let large = dir == Dir::In && len as usize >= DIRECT_MIN;
        self.large_reads += u32::from(large);
        self.bytes += u64::from(len);
        let newest = self.newest;
        let s = &mut self.all[usize::from(ix)];
        debug_assert!(matches!(s.owner, Owner::Free), "a free slot is empty");
        // Never FFFFh: that tag means "none" (RFC 7143, 11.2.1.8).
        s.uses = if s.uses >= u16::MAX - 1 {
            0
        } else {
            s.uses + 1
        };
        s.owner = owner;
        s.lun = lun;
        s.dispatched = now;
        s.len = len;
        s.moved = 0;
        s.data_sn = 0;
        s.out_sn = 0;
        s.sequences = 0;
        s.r2ts = 0;
        s.dir = dir;
        s.large = large;
        s.damaged = false;
        s.answered = false;
        s.prev = NIL;
        s.next = NIL;
        if io {
            s.prev = newest;
            if newest == NIL {
                self.oldest = ix;
            } else {
                self.all[usize::from(newest)].next = ix;
            }
            self.newest = ix;
        }
        ix
    }

    /// Empties a slot and gives back what was in it.
    #[inline]
    pub(super) fn release(&mut self, ix: u16) -> Owner {
        let s = &mut self.all[usize::from(ix)];
        let owner = std::mem::replace(&mut s.owner, Owner::Free);
        let (prev, next) = (s.prev, s.next);
        self.bytes -= u64::from(s.len);
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
        self.free.push(ix);
        owner
    }

    /// The payload of a large read is complete: it cannot land in staging any more.
    #[inline]
    pub(super) fn payload_done(&mut self, ix: u16) {
        let s = &mut self.all[usize::from(ix)];
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
pub(super) fn io_data(token: &Token, block_size: u32) -> (Dir, u32) {
    match token.op {
        Op::Flush => (Dir::None, 0),
        Op::Discard => (Dir::Out, UNMAP_LEN),
        Op::WriteZeroes => {
            assert!(block_size as usize <= ZEROS.len(), "a block of zeros");
            (Dir::Out, block_size)
        }
        Op::Read => (Dir::In, token.data.len() as u32),
        Op::Write | Op::Compare | Op::CompareAndWrite => (Dir::Out, token.data.len() as u32),
    }
}
