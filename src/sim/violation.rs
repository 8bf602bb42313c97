//! A block that shows what it may not show.

use super::content::{Content, WriteId};
use std::fmt;

/// Who looked at a block.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum Observer {
    /// A completed read of that host.
    Host(usize),
    /// The LUN's memory, as it is now.
    Memory,
}

impl fmt::Display for Observer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Host(h) => write!(f, "a read of host {h}"),
            Self::Memory => f.write_str("the LUN's memory"),
        }
    }
}

/// What is wrong with what was seen.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum Wrong {
    /// A value that had been overwritten before, by an acknowledged write or before others' eyes.
    Stale,
    /// A failed write that a host had seen not to have been done.
    Revived,
    /// No write of this run to this block.
    Unknown,
    /// Not what any write puts there.
    Damaged,
}

/// A block that shows what it may not show.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct Violation {
    pub wrong: Wrong,
    pub by: Observer,
    pub lun: usize,
    pub lba: u64,
    pub found: Content,
    /// The newest acknowledged write of the block.
    pub newest: WriteId,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = match self.wrong {
            Wrong::Stale => "an overwritten value came back",
            Wrong::Revived => "a failed write was done after a read had shown that it was not",
            Wrong::Unknown => "a value that was never written here",
            Wrong::Damaged => "damaged data",
        };
        write!(
            f,
            "{what}: {} finds {:?} in block {} of LUN {}",
            self.by, self.found, self.lba, self.lun
        )?;
        write!(f, "; newest acknowledged: write {}", self.newest)
    }
}
