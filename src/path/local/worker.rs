//! The engine of a file where io_uring is not to be had: one thread that makes blocking calls,
//! in the order in which they come.

use super::DEPTH;
use super::job::Job;
use crate::base::sg::SgList;
use crate::sys::blockfile;
use crate::sys::uring_file::{Buffer, Call, Outcome, ZEROS};
use nix::sys::eventfd::{EfdFlags, EventFd};
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;

/// Zeros written in one call at most, so that a call is not arbitrarily long.
const ZEROS_MAX: u64 = 16 << 20;

/// The reactor's side of the thread.
#[derive(Debug)]
pub(super) struct Worker {
    /// `None` once the thread has been told to end.
    calls: Option<SyncSender<(Job, Call)>>,
    done: Receiver<(Job, Outcome)>,
    event: Arc<EventFd>,
    thread: Option<JoinHandle<()>>,
    in_flight: usize,
    /// Outcomes taken whose event is still in, or on its way to, the eventfd.
    unread: u64,
}

impl Worker {
    pub(super) fn new(file: File) -> io::Result<Self> {
        let event = EventFd::from_flags(EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK)?;
        let event = Arc::new(event);
        // Both hold all that can be in flight, so neither side ever waits for room.
        let (calls, todo) = sync_channel::<(Job, Call)>(DEPTH);
        let (finished, done) = sync_channel(DEPTH);
        let bell = event.clone();
        let thread = std::thread::Builder::new()
            .name("umpio-file".to_owned())
            .spawn(move || {
                while let Ok((mut job, call)) = todo.recv() {
                    let outcome = make(&file, &mut job, call)
                        .map_err(|e| e.raw_os_error().unwrap_or(libc::EIO));
                    if finished.send((job, outcome)).is_err() {
                        break;
                    }
                    // Cannot overflow: it is read every few completions.
                    let _ = bell.write(1);
                }
            })?;
        Ok(Self {
            calls: Some(calls),
            done,
            event,
            thread: Some(thread),
            in_flight: 0,
            unread: 0,
        })
    }

    pub(super) fn in_flight(&self) -> usize {
        self.in_flight
    }

    pub(super) fn fd(&self) -> BorrowedFd<'_> {
        self.event.as_fd()
    }

    pub(super) fn start(&mut self, job: Job, call: Call) {
        let calls = self.calls.as_ref().expect("only a drop ends the thread");
        assert!(
            calls.try_send((job, call)).is_ok(),
            "the worker thread lives and has room for all that may be in flight"
        );
        self.in_flight += 1;
    }

    pub(super) fn next_done(&mut self) -> Option<(Job, Outcome)> {
        if self.in_flight == 0 {
            self.read_event();
            return None;
        }
        let Ok(done) = self.done.try_recv() else {
            self.read_event();
            return None;
        };
        self.in_flight -= 1;
        self.unread += 1;
        Some(done)
    }

    /// Takes the events of outcomes that have been taken out of the eventfd, so that it is
    /// readable only for others. An event may come a moment after its outcome; then the next
    /// round reads it.
    fn read_event(&mut self) {
        if self.unread > 0
            && let Ok(n) = self.event.read()
        {
            if n > self.unread {
                // One of an outcome that is not taken yet: it must still wake.
                let _ = self.event.write(n - self.unread);
            }
            self.unread = self.unread.saturating_sub(n);
        }
    }
}

impl Drop for Worker {
    /// Waits until every call that was started is over.
    fn drop(&mut self) {
        self.calls = None;
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the worker thread of a file has panicked");
        }
    }
}

/// Makes one call; as a system call would, it may do less than asked.
fn make(file: &File, job: &mut Job, call: Call) -> io::Result<usize> {
    match call {
        Call::Read {
            buffer,
            skip,
            len,
            at,
        } => {
            let buffers = match buffer {
                Buffer::Payload => &mut job.token.data,
                Buffer::Scratch => &mut job.scratch,
            };
            let mut tally = Tally::default();
            buffers.for_each_mut(skip, len, |part| {
                tally.add(part.len(), |done| file.read_at(part, at + done));
            });
            tally.outcome()
        }
        Call::Write {
            skip,
            len,
            at,
            durable,
        } => {
            let n = write(file, &job.token.data, skip, len, at)?;
            if durable {
                file.sync_data()?;
            }
            Ok(n)
        }
        Call::WriteZeros { len, at, durable } => {
            let mut tally = Tally::default();
            let mut left = len.min(ZEROS_MAX) as usize;
            while left > 0 && tally.goes_on() {
                let zeros = ZEROS.as_slice();
                let zeros = &zeros[..zeros.len().min(left)];
                tally.add(zeros.len(), |done| file.write_at(zeros, at + done));
                left -= zeros.len();
            }
            let n = tally.outcome()?;
            if durable {
                file.sync_data()?;
            }
            Ok(n)
        }
        Call::Sync => file.sync_data().map(|()| 0),
        Call::Zero { how, len, at } => blockfile::zero_range(file, how, at, len).map(|()| 0),
    }
}

fn write(file: &File, data: &SgList, skip: usize, len: usize, at: u64) -> io::Result<usize> {
    let mut tally = Tally::default();
    data.for_each(skip, len, |part| {
        tally.add(part.len(), |done| file.write_at(part, at + done));
    });
    tally.outcome()
}

/// Transfers part by part that count as one: the first that is short or fails ends it.
#[derive(Default)]
struct Tally {
    done: usize,
    ended: Option<io::Result<()>>,
}

impl Tally {
    fn goes_on(&self) -> bool {
        self.ended.is_none()
    }

    fn add(&mut self, len: usize, transfer: impl FnOnce(u64) -> io::Result<usize>) {
        if !self.goes_on() {
            return;
        }
        match transfer(self.done as u64) {
            Ok(n) => {
                self.done += n;
                if n < len {
                    self.ended = Some(Ok(()));
                }
            }
            Err(e) => self.ended = Some(Err(e)),
        }
    }

    /// An error counts only where nothing was done before it; it comes again with the rest.
    fn outcome(self) -> io::Result<usize> {
        match self.ended {
            Some(Err(e)) if self.done == 0 => Err(e),
            _ => Ok(self.done),
        }
    }
}
