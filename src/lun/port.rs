//! Ports: how a front end hands I/O to a channel and gets it back.

use crate::base::request::Token;
use crate::path::identity::Identity;

/// A front end's handle on one channel of one reactor. Two front ends of the same LUN hold two
/// ports: what completes on a port goes to whoever asks it first, and would be taken for an answer
/// to something else.
#[derive(Copy, Clone, PartialEq, Eq, Hash, Debug)]
pub struct PortId(pub u32);

/// What a LUN is like, reconciled over its paths.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Geometry {
    /// Bytes in a logical block; a power of two, 512 or more.
    pub block_size: u32,
    /// Capacity in logical blocks.
    pub blocks: u64,
    /// Logical blocks in one command at most (the smallest of the paths' limits). Larger
    /// requests are split.
    pub max_transfer_blocks: u32,
    /// The device has a volatile write cache: flush means something.
    pub volatile_cache: bool,
    /// Discard (unmap, deallocate) is known.
    pub discard: bool,
    /// Write zeroes is known.
    pub write_zeroes: bool,
    /// Compare is known.
    pub compare: bool,
    /// Compare-and-write is known as one atomic command.
    pub compare_and_write: bool,
    pub identity: Identity,
}

impl Geometry {
    pub fn bytes(&self) -> u64 {
        self.blocks.saturating_mul(u64::from(self.block_size))
    }
}

/// What a front end needs of the data plane. The reactor's plane is one; tests have others.
pub trait Ports {
    /// The LUN behind a port; `None` until its first path has told.
    fn geometry(&self, port: PortId) -> Option<Geometry>;
    /// An empty request from the pool.
    fn take(&mut self) -> Token;
    /// A request that is done with, back to the pool.
    fn recycle(&mut self, token: Token);
    /// Hands a request in. Every request handed in comes back once through `completions`, with
    /// its result set.
    fn submit(&mut self, port: PortId, token: Token);
    /// Moves what has completed since the last call to the end of `out`.
    fn completions(&mut self, port: PortId, out: &mut Vec<Token>);
}
