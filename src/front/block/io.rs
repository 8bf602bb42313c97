//! One I/O of the block API: what is asked, how it ended, and why it was not taken.

use crate::base::error::IoError;
use crate::base::limits::REQUEST_MAX;
use crate::base::request::Op;
use crate::base::sg::SgList;
use crate::lun::port::Geometry;

/// One I/O to hand in. It is moved in, and moved out again with its buffers, whatever becomes of
/// it: in a [`Completion`], or in a [`SubmitError`].
#[derive(Debug, Default)]
pub struct Io {
    pub op: Op,
    /// Force unit access: a write completes only when it is on stable storage.
    pub fua: bool,
    /// First logical block.
    pub lba: u64,
    /// Length in logical blocks; 0 means: as long as the payload.
    pub blocks: u32,
    /// Payload. Its segments need no alignment, only their sum must make whole blocks.
    pub data: SgList,
    /// The caller's own mark; nobody below reads it.
    pub user: u64,
}

impl Io {
    fn with_payload(op: Op, lba: u64, data: impl Into<SgList>) -> Self {
        Self {
            op,
            lba,
            data: data.into(),
            ..Self::default()
        }
    }

    fn with_range(op: Op, lba: u64, blocks: u32) -> Self {
        Self {
            op,
            lba,
            blocks,
            ..Self::default()
        }
    }

    /// Fills `data` from `lba` on.
    pub fn read(lba: u64, data: impl Into<SgList>) -> Self {
        Self::with_payload(Op::Read, lba, data)
    }

    pub fn write(lba: u64, data: impl Into<SgList>) -> Self {
        Self::with_payload(Op::Write, lba, data)
    }

    /// Makes every write that has completed durable.
    pub fn flush() -> Self {
        Self {
            op: Op::Flush,
            ..Self::default()
        }
    }

    pub fn discard(lba: u64, blocks: u32) -> Self {
        Self::with_range(Op::Discard, lba, blocks)
    }

    pub fn write_zeroes(lba: u64, blocks: u32) -> Self {
        Self::with_range(Op::WriteZeroes, lba, blocks)
    }

    /// Fails with `Miscompare` unless the LUN holds `data` at `lba`.
    pub fn compare(lba: u64, data: impl Into<SgList>) -> Self {
        Self::with_payload(Op::Compare, lba, data)
    }

    /// Compares with the first half of `data` and, when that is equal, writes the second half, in
    /// one atomic operation.
    pub fn compare_and_write(lba: u64, data: impl Into<SgList>) -> Self {
        Self::with_payload(Op::CompareAndWrite, lba, data)
    }

    /// With the caller's own mark.
    #[must_use]
    pub fn user(mut self, user: u64) -> Self {
        self.user = user;
        self
    }

    #[must_use]
    pub fn fua(mut self) -> Self {
        self.fua = true;
        self
    }

    /// Checks the I/O against the LUN and returns its length in blocks.
    ///
    /// # Errors
    /// What is wrong with it.
    #[inline]
    pub(super) fn check(&self, lun: &Geometry) -> Result<u32, Refusal> {
        if self.op == Op::Flush {
            let nothing = self.blocks == 0 && self.data.is_empty();
            return if nothing {
                Ok(0)
            } else {
                Err(Refusal::Stray { op: Op::Flush })
            };
        }
        let known = match self.op {
            Op::Read | Op::Write | Op::Flush => true,
            Op::Discard => lun.discard,
            Op::WriteZeroes => lun.write_zeroes,
            Op::Compare => lun.compare,
            Op::CompareAndWrite => lun.compare_and_write,
        };
        if !known {
            return Err(Refusal::Unsupported { op: self.op });
        }
        let blocks = match self.op {
            Op::Discard | Op::WriteZeroes if !self.data.is_empty() => {
                return Err(Refusal::Stray { op: self.op });
            }
            Op::Discard | Op::WriteZeroes => self.blocks,
            Op::CompareAndWrite => self.payload_blocks(lun, 2)?,
            _ => self.payload_blocks(lun, 1)?,
        };
        if blocks == 0 {
            return Err(Refusal::Empty);
        }
        if self
            .lba
            .checked_add(u64::from(blocks))
            .is_none_or(|end| end > lun.blocks)
        {
            return Err(Refusal::OutOfRange {
                lba: self.lba,
                blocks,
                capacity: lun.blocks,
            });
        }
        // Atomic means one command: it cannot be split as the others are.
        if self.op == Op::CompareAndWrite && blocks > lun.max_transfer_blocks {
            let max = lun.max_transfer_blocks as usize * lun.block_size as usize * 2;
            return Err(Refusal::TooLong {
                bytes: self.data.len(),
                max,
            });
        }
        Ok(blocks)
    }

    /// The payload's length in blocks, where it holds `copies` times the range.
    #[inline]
    fn payload_blocks(&self, lun: &Geometry, copies: usize) -> Result<u32, Refusal> {
        let bytes = self.data.len();
        if bytes > REQUEST_MAX {
            return Err(Refusal::TooLong {
                bytes,
                max: REQUEST_MAX,
            });
        }
        // Block sizes are powers of two, and what is at most REQUEST_MAX bytes fits a u32.
        let shift = lun.block_size.trailing_zeros();
        let blocks = (bytes / copies) >> shift;
        if (blocks << shift) * copies != bytes
            || (self.blocks != 0 && self.blocks as usize != blocks)
        {
            return Err(Refusal::Misfit {
                bytes,
                blocks: self.blocks,
                block_size: lun.block_size,
            });
        }
        Ok(blocks as u32)
    }
}

/// An I/O that has ended, and how. What it was comes back as it was handed in.
#[derive(Debug)]
pub struct Completion {
    pub io: Io,
    pub result: Result<(), IoError>,
}

/// Why an I/O was not taken. Nothing of it has been done.
#[derive(Copy, Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Refusal {
    #[error("no path of the LUN has answered yet, so its block size is not known: await_lun first")]
    NotReady,
    #[error("{depth} requests are outstanding on this channel: take completions first")]
    Full { depth: usize },
    #[error("the channel or its LUN is closed")]
    Closed,
    #[error("the engine has stopped")]
    Stopped,
    #[error("the range is empty")]
    Empty,
    #[error("blocks {lba} to {lba} + {blocks} lie outside the LUN, which has {capacity}")]
    OutOfRange {
        lba: u64,
        blocks: u32,
        capacity: u64,
    },
    #[error("a payload of {bytes} bytes does not make {} of {block_size} bytes", Blocks(*blocks))]
    Misfit {
        bytes: usize,
        blocks: u32,
        block_size: u32,
    },
    #[error("a {} takes no payload, and a flush no range", op.name())]
    Stray { op: Op },
    #[error("{bytes} bytes are more than the {max} that one such request may have")]
    TooLong { bytes: usize, max: usize },
    #[error("the LUN does not know {}", op.name())]
    Unsupported { op: Op },
}

/// A number of blocks in an error text; 0 stands for "any".
struct Blocks(u32);

impl std::fmt::Display for Blocks {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.0 == 0 {
            f.write_str("whole blocks")
        } else {
            write!(f, "{} blocks", self.0)
        }
    }
}

/// An I/O that was not taken: itself, with its buffers, and why.
#[derive(Debug, thiserror::Error)]
#[error("{why}")]
pub struct SubmitError {
    pub io: Io,
    pub why: Refusal,
}
