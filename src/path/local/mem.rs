//! `mem:SIZE`: a unit in memory, shared by the reactors of the process.

use super::{DEPTH, Done, LocalUnit, Span, check, identity, spec::SECTOR};
use crate::base::error::{ErrorKind, IoError};
use crate::base::request::{Op, Request, Token};
use crate::sys::store::Store;
use std::io;
use std::sync::Arc;
use uuid::Uuid;

/// A memory device of one reactor. Requests are carried out at `submit`, in order, and given back
/// by the next `poll`.
#[derive(Debug)]
pub struct MemDevice {
    store: Arc<Store>,
    unit: LocalUnit,
    done: Vec<Done>,
}

impl MemDevice {
    pub fn new(bytes: u64, uuid: Option<Uuid>) -> io::Result<Self> {
        let store = Store::new(bytes)
            .map_err(|e| io::Error::new(e.kind(), format!("mem: of {bytes} bytes: {e}")))?;
        let unit = LocalUnit {
            block_size: SECTOR,
            blocks: bytes / u64::from(SECTOR),
            identity: identity(uuid),
            // There is nothing that a flush could make safer.
            volatile_cache: false,
            discard: true,
            write_zeroes: true,
            compare: true,
        };
        Ok(Self::over(store, unit))
    }

    fn over(store: Arc<Store>, unit: LocalUnit) -> Self {
        assert!(unit.bytes() <= store.len(), "the unit fits its store");
        Self {
            store,
            unit,
            done: Vec::with_capacity(DEPTH),
        }
    }

    pub(super) fn share(&self) -> Self {
        Self::over(self.store.clone(), self.unit.clone())
    }

    pub(super) fn unit(&self) -> &LocalUnit {
        &self.unit
    }

    /// The memory itself, for a front end that lends it out instead of copying.
    pub fn store(&self) -> &Arc<Store> {
        &self.store
    }

    pub(super) fn submit(&mut self, mut token: Token) {
        let result = check(&self.unit, &token).and_then(|span| run(&self.store, span, &mut token));
        self.done.push((token, result));
    }

    pub(super) fn poll(&mut self, done: &mut Vec<Done>) {
        done.append(&mut self.done);
    }

    pub(super) fn in_flight(&self) -> usize {
        self.done.len()
    }
}

fn run(store: &Store, span: Span, request: &mut Request) -> Result<(), IoError> {
    // The payload's length, which `check` compared with the span, is a usize.
    let len = span.len as usize;
    match request.op {
        Op::Read => {
            let mut at = span.at;
            request.data.for_each_mut(0, len, |part| {
                store.read(at, part);
                at += part.len() as u64;
            });
            Ok(())
        }
        Op::Write => {
            write(store, span.at, request, 0, len);
            Ok(())
        }
        Op::WriteZeroes | Op::Discard => {
            store.zero(span.at, span.len);
            Ok(())
        }
        Op::Flush => Ok(()),
        Op::Compare => compare(store, span.at, request, len),
        Op::CompareAndWrite => {
            let _alone = store.exclusive();
            compare(store, span.at, request, len)?;
            write(store, span.at, request, len, len);
            Ok(())
        }
    }
}

fn write(store: &Store, mut at: u64, request: &Request, skip: usize, len: usize) {
    request.data.for_each(skip, len, |part| {
        store.write(at, part);
        at += part.len() as u64;
    });
}

fn compare(store: &Store, mut at: u64, request: &Request, len: usize) -> Result<(), IoError> {
    let mut same = true;
    request.data.for_each(0, len, |part| {
        same = same && store.equals(at, part);
        at += part.len() as u64;
    });
    if same {
        Ok(())
    } else {
        Err(IoError::new(ErrorKind::Miscompare))
    }
}
