//! `null:SIZE`: a unit that holds nothing, to measure everything around it.

use super::{DEPTH, Done, LocalUnit, check, identity, spec::SECTOR};
use crate::base::error::{ErrorKind, IoError};
use crate::base::request::{Op, Token};
use uuid::Uuid;

/// A null device of one reactor. Writes are dropped. A read leaves its buffer untouched, so that
/// not even a memset is measured; whoever hands buffers to somebody who must not see what was in
/// them before (a target with pooled buffers) asks for `zero`.
#[derive(Debug)]
pub struct NullDevice {
    unit: LocalUnit,
    zero: bool,
    done: Vec<Done>,
}

impl NullDevice {
    pub fn new(bytes: u64, zero: bool, uuid: Option<Uuid>) -> Self {
        Self::with(
            LocalUnit {
                block_size: SECTOR,
                blocks: bytes / u64::from(SECTOR),
                identity: identity(uuid),
                volatile_cache: false,
                discard: true,
                write_zeroes: true,
                // There is nothing to compare with.
                compare: false,
            },
            zero,
        )
    }

    fn with(unit: LocalUnit, zero: bool) -> Self {
        Self {
            unit,
            zero,
            done: Vec::with_capacity(DEPTH),
        }
    }

    pub(super) fn share(&self) -> Self {
        Self::with(self.unit.clone(), self.zero)
    }

    pub(super) fn unit(&self) -> &LocalUnit {
        &self.unit
    }

    pub(super) fn submit(&mut self, mut token: Token) {
        let result = check(&self.unit, &token).and_then(|_| match token.op {
            Op::Compare | Op::CompareAndWrite => Err(IoError::new(ErrorKind::Unsupported)),
            Op::Read if self.zero => {
                let len = token.data.len();
                token.data.for_each_mut(0, len, |part| part.fill(0));
                Ok(())
            }
            Op::Read | Op::Write | Op::Flush | Op::WriteZeroes | Op::Discard => Ok(()),
        });
        self.done.push((token, result));
    }

    pub(super) fn poll(&mut self, done: &mut Vec<Done>) {
        done.append(&mut self.done);
    }

    pub(super) fn in_flight(&self) -> usize {
        self.done.len()
    }
}
