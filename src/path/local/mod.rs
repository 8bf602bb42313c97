//! Local devices: paths without a transport.
//!
//! A local device stands where an association stands for a remote one: it takes requests, and
//! gives each back once with its result. `mem:` and `null:` do the work at `submit`; `file:`
//! leaves it to io_uring or to a thread.
//!
//! Threads: a device belongs to one reactor; [`LocalDevice::share`] makes another one of the same
//! unit for a second reactor. What two reactors do to the same blocks at the same time leaves
//! unspecified data, as on a disk. COMPARE AND WRITE is atomic towards everything on its own
//! device, and towards other COMPARE AND WRITEs on devices shared from it; not towards plain
//! writes that come in on those.

mod file;
mod job;
mod mem;
mod null;
mod spec;
#[cfg(test)]
mod tests;
mod worker;

pub use file::FileDevice;
pub use mem::MemDevice;
pub use null::NullDevice;
pub use spec::{FileEngine, LocalSpec, SpecError, parse_size};

use super::identity::Identity;
use crate::base::clock::Time;
use crate::base::error::{ErrorKind, IoError};
use crate::base::request::{Op, Request, Token};
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, RawFd};

/// Requests in flight on one device at most; `submit` hands further ones back.
pub const DEPTH: usize = 256;

/// A request that is done, and how it ended. A raw status in the error is an errno.
pub type Done = (Token, Result<(), IoError>);

/// What a local device is like.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LocalUnit {
    /// Bytes in a logical block.
    pub block_size: u32,
    /// Capacity in logical blocks.
    pub blocks: u64,
    pub identity: Identity,
    /// Flush means something.
    pub volatile_cache: bool,
    pub discard: bool,
    pub write_zeroes: bool,
    /// Compare and compare-and-write are known.
    pub compare: bool,
}

impl LocalUnit {
    pub fn bytes(&self) -> u64 {
        self.blocks * u64::from(self.block_size)
    }
}

/// A local device of one reactor.
#[derive(Debug)]
pub enum LocalDevice {
    Mem(MemDevice),
    Null(NullDevice),
    File(Box<FileDevice>),
}

impl LocalDevice {
    /// Opens what the spec names. Errors say which device and what was wrong with it.
    pub fn open(spec: &LocalSpec) -> io::Result<Self> {
        match spec {
            LocalSpec::Mem { bytes, uuid } => MemDevice::new(*bytes, *uuid).map(Self::Mem),
            LocalSpec::Null { bytes, zero, uuid } => {
                Ok(Self::Null(NullDevice::new(*bytes, *zero, *uuid)))
            }
            LocalSpec::File {
                path,
                direct,
                engine,
                uuid,
            } => {
                let device = FileDevice::open(path, *direct, *engine, *uuid)?;
                Ok(Self::File(Box::new(device)))
            }
        }
    }

    /// The same unit for another reactor: the same memory, or the same file opened anew.
    pub fn share(&self) -> io::Result<Self> {
        match self {
            Self::Mem(d) => Ok(Self::Mem(d.share())),
            Self::Null(d) => Ok(Self::Null(d.share())),
            Self::File(d) => d.share().map(|d| Self::File(Box::new(d))),
        }
    }

    pub fn unit(&self) -> &LocalUnit {
        match self {
            Self::Mem(d) => d.unit(),
            Self::Null(d) => d.unit(),
            Self::File(d) => d.unit(),
        }
    }

    /// Hands a request in. It comes back through `poll`, whatever is wrong with it; or at once,
    /// when [`DEPTH`] requests are in flight.
    pub fn submit(&mut self, token: Token, now: Time) -> Result<(), Token> {
        if self.in_flight() >= DEPTH {
            return Err(token);
        }
        match self {
            Self::Mem(d) => d.submit(token),
            Self::Null(d) => d.submit(token),
            Self::File(d) => d.submit(token, now),
        }
        Ok(())
    }

    /// Gets I/O going and appends what is done to `done`.
    pub fn poll(&mut self, done: &mut Vec<Done>, now: Time) {
        match self {
            Self::Mem(d) => d.poll(done),
            Self::Null(d) => d.poll(done),
            Self::File(d) => d.poll(done, now),
        }
    }

    /// Requests taken and not yet given back.
    pub fn in_flight(&self) -> usize {
        match self {
            Self::Mem(d) => d.in_flight(),
            Self::Null(d) => d.in_flight(),
            Self::File(d) => d.in_flight(),
        }
    }

    /// Readable when `poll` has something to give; to be slept on after a `poll`, and only while
    /// `must_poll` is false. None where there is never anything to sleep for.
    pub fn fd(&self) -> Option<RawFd> {
        self.as_fd().map(|fd| fd.as_raw_fd())
    }

    /// The same, for calls that want to know that it stays open.
    pub fn as_fd(&self) -> Option<BorrowedFd<'_>> {
        match self {
            Self::Mem(_) | Self::Null(_) => None,
            Self::File(d) => Some(d.fd()),
        }
    }

    /// Whether `poll` has work that `fd` will not tell of. A reactor does not sleep then.
    pub fn must_poll(&self) -> bool {
        match self {
            Self::Mem(d) => d.in_flight() > 0,
            Self::Null(d) => d.in_flight() > 0,
            Self::File(d) => d.must_poll(),
        }
    }
}

/// Where a request lies on the device, in bytes.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
struct Span {
    at: u64,
    len: u64,
}

/// Checks a request against the unit, so that nothing below has to.
fn check(unit: &LocalUnit, request: &Request) -> Result<Span, IoError> {
    if !request.op.has_range() {
        return Ok(Span { at: 0, len: 0 });
    }
    let end = request.lba.checked_add(u64::from(request.blocks));
    if end.is_none_or(|end| end > unit.blocks) {
        return Err(IoError::new(ErrorKind::OutOfRange));
    }
    let size = u64::from(unit.block_size);
    let span = Span {
        at: request.lba * size,
        len: u64::from(request.blocks) * size,
    };
    let payload = match request.op {
        Op::Read | Op::Write | Op::Compare => span.len,
        Op::CompareAndWrite => span.len * 2,
        Op::WriteZeroes | Op::Discard | Op::Flush => return Ok(span),
    };
    if request.data.len() as u64 == payload {
        Ok(span)
    } else {
        Err(IoError::new(ErrorKind::Invalid))
    }
}

/// The identity of a unit that has none of its own: as given, or a new one.
fn identity(uuid: Option<uuid::Uuid>) -> Identity {
    Identity {
        uuid: Some(uuid.unwrap_or_else(uuid::Uuid::new_v4).into_bytes()),
        ..Identity::default()
    }
}
