//! The request token: one I/O, handed down and up as a box that can only be moved.
//!
//! Whoever holds the box is responsible for the I/O. It is completed once because completing it
//! means giving the box away. Boxes are recycled by a pool, so steady state allocates nothing.

use super::clock::Time;
use super::error::IoError;
use super::sg::SgList;

/// What an I/O does.
#[derive(Copy, Clone, PartialEq, Eq, Debug, Hash, Default)]
#[repr(u8)]
pub enum Op {
    #[default]
    Read,
    Write,
    Flush,
    WriteZeroes,
    /// Unmap / deallocate.
    Discard,
    Compare,
    /// Compare the first half of the payload, write the second (one atomic operation).
    CompareAndWrite,
}

/// What a lost nexus means for a request of this kind (invariant I6).
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum LossClass {
    /// Sent again on another path at once.
    Free,
    /// Waits behind the fence, then is sent again.
    Fenced,
    /// Waits behind the fence, then fails upward: never sent twice.
    Never,
}

impl Op {
    pub const fn loss_class(self) -> LossClass {
        match self {
            Self::Read => LossClass::Free,
            Self::Write | Self::WriteZeroes | Self::Discard | Self::Flush => LossClass::Fenced,
            Self::Compare | Self::CompareAndWrite => LossClass::Never,
        }
    }

    /// Whether it changes the blocks it names.
    pub const fn mutates(self) -> bool {
        matches!(
            self,
            Self::Write | Self::WriteZeroes | Self::Discard | Self::CompareAndWrite
        )
    }

    /// Whether payload flows from the caller to the LUN.
    pub const fn sends_data(self) -> bool {
        matches!(self, Self::Write | Self::Compare | Self::CompareAndWrite)
    }

    /// Whether `lba` and `blocks` mean anything.
    pub const fn has_range(self) -> bool {
        !matches!(self, Self::Flush)
    }

    pub const fn name(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Write => "write",
            Self::Flush => "flush",
            Self::WriteZeroes => "write zeroes",
            Self::Discard => "discard",
            Self::Compare => "compare",
            Self::CompareAndWrite => "compare and write",
        }
    }
}

/// No index.
pub const NONE: u32 = u32::MAX;

/// One I/O. The upper half belongs to the front end; the lower to `lun`, which alone reads it.
#[derive(Debug)]
pub struct Request {
    pub op: Op,
    /// Force unit access: on stable storage before it completes.
    pub fua: bool,
    /// First logical block.
    pub lba: u64,
    /// Length in logical blocks (of the LUN's block size).
    pub blocks: u32,
    /// Payload: filled by a read, sent by a write, empty otherwise.
    pub data: SgList,
    /// The front end's own cookie; nobody below reads it.
    pub user: u64,
    /// Set when the box comes back.
    pub result: Result<(), IoError>,

    /// Channel that owns it.
    pub channel: u32,
    /// Port of that channel it came in by, and goes back to.
    pub port: u32,
    /// Index of the path it is or was last sent on, in the channel's list.
    pub path: u16,
    /// Counted retries so far.
    pub retries: u8,
    /// Index of the split parent in the channel, or `NONE`.
    pub parent: u32,
    /// When the front end handed it in.
    pub submitted: Time,
    /// When it was last given to a path.
    pub dispatched: Time,
    /// When waiting for a path (parked, fenced) ends in failure; `Time::NEVER` while not waiting.
    pub give_up: Time,
    /// Whether any byte of its last dispatch may have reached the wire.
    pub on_wire: bool,
}

/// The move-only token of one I/O.
pub type Token = Box<Request>;

impl Request {
    pub fn new() -> Token {
        Box::new(Self {
            op: Op::Read,
            fua: false,
            lba: 0,
            blocks: 0,
            // Parts and served requests have a segment or two: made once, not at their first use.
            data: SgList::with_room(4),
            user: 0,
            result: Ok(()),
            channel: NONE,
            port: NONE,
            path: u16::MAX,
            retries: 0,
            parent: NONE,
            submitted: Time::ZERO,
            dispatched: Time::ZERO,
            give_up: Time::NEVER,
            on_wire: false,
        })
    }

    /// Ready for another I/O; the payload vector keeps its room.
    pub fn reset(&mut self) {
        self.op = Op::Read;
        self.fua = false;
        self.lba = 0;
        self.blocks = 0;
        self.data.clear();
        self.user = 0;
        self.result = Ok(());
        self.channel = NONE;
        self.port = NONE;
        self.path = u16::MAX;
        self.retries = 0;
        self.parent = NONE;
        self.give_up = Time::NEVER;
        self.on_wire = false;
    }

    /// First block after the range.
    pub fn end(&self) -> u64 {
        self.lba.saturating_add(u64::from(self.blocks))
    }
}

/// Recycles request boxes. Bounded: beyond its capacity boxes are freed.
#[derive(Debug, Default)]
pub struct RequestPool {
    // The boxes are what is moved around as tokens, so they are kept as boxes.
    #[allow(clippy::vec_box)]
    free: Vec<Token>,
}

/// Boxes kept for reuse at most.
const POOL_MAX: usize = 8192;

impl RequestPool {
    pub fn get(&mut self) -> Token {
        self.free.pop().unwrap_or_else(Request::new)
    }

    pub fn put(&mut self, mut token: Token) {
        if self.free.len() < POOL_MAX {
            token.reset();
            self.free.push(token);
        }
    }
}
