//! How a miscompare is told.

use std::fmt;

use super::stamp::Content;

/// What is wrong with what a read returned.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum Why {
    /// Older than what was acknowledged (or already seen) when the read was handed in.
    Stale,
    /// Newer than anything written, or a failed write that came to life.
    Impossible,
    /// It belongs to another place.
    Misplaced,
    /// Torn or damaged.
    Damaged,
    /// Nobody in this run wrote it.
    Foreign,
}

impl Why {
    pub const fn name(self) -> &'static str {
        match self {
            Self::Stale => "stale data",
            Self::Impossible => "data that cannot be there",
            Self::Misplaced => "data of another place",
            Self::Damaged => "damaged data",
            Self::Foreign => "foreign data",
        }
    }
}

/// One read that returned something it may not: its first bad unit in detail.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Miscompare {
    /// Logical block, in the LUN's block size.
    pub lba: u64,
    /// Number of the 512-byte unit.
    pub unit: u64,
    pub why: Why,
    pub found: Content,
    /// Versions that were acceptable.
    pub oldest: u32,
    pub newest: u32,
    /// Bad units in the same read.
    pub units: u32,
    /// A write of the unit was outstanding when the read completed.
    pub writing: bool,
    /// Index of the path that carried the read, where the engine says.
    pub read_path: Option<u16>,
    /// Index of the path that carried the unit's last acknowledged write.
    pub write_path: Option<u16>,
}

impl fmt::Display for Miscompare {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { oldest, newest, .. } = *self;
        write!(
            f,
            "{} at LBA {:#x} (byte {:#x}): expected ",
            self.why.name(),
            self.lba,
            self.unit * super::UNIT as u64
        )?;
        match (oldest, newest) {
            (0, 0) => f.write_str("the initial content")?,
            (0, n) => write!(f, "the initial content or version 1 to {n}")?,
            (a, b) if a == b => write!(f, "version {a}")?,
            (a, b) => write!(f, "version {a} to {b}")?,
        }
        write!(f, ", found {}", self.found)?;
        if self.writing {
            f.write_str("; a write was outstanding")?;
        }
        if let Some(p) = self.read_path {
            write!(f, "; read over path {p}")?;
        }
        if let Some(p) = self.write_path {
            write!(f, "; last acknowledged write over path {p}")?;
        }
        if self.units > 1 {
            write!(f, "; {} units of this read are wrong", self.units)?;
        }
        Ok(())
    }
}
