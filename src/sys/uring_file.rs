//! Reads and writes of one file through io_uring.
//!
//! The ring owns each job, and with it every buffer the kernel may touch, from `start` until the
//! kernel has said that it is done; dropping the ring waits for that. So nothing outside can
//! free or look at memory in flight, and the interface is safe.
#![allow(unsafe_code)]

use super::blockfile::Zeroing;
use crate::base::request::Token;
use crate::base::sg::SgList;
use io_uring::{IoUring, Probe, opcode, types};
use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

/// Slices of one call at most; the kernel's own limit is 1024. What is beyond comes as a short
/// transfer, which the caller continues.
const IOVECS_MAX: usize = 256;

/// Source of written zeros, aligned so that O_DIRECT takes it.
#[repr(align(4096))]
pub struct Zeros([u8; 64 * 1024]);

/// The zeros that a [`Call::WriteZeros`] writes, over and over.
pub static ZEROS: Zeros = Zeros([0; 64 * 1024]);

impl Zeros {
    pub fn as_slice(&self) -> &[u8] {
        &self.0
    }
}

/// One I/O under way on a file: the request, room for what a compare reads, and what its owner
/// remembers about it.
#[derive(Debug)]
pub struct Job<S> {
    pub token: Token,
    pub scratch: SgList,
    pub state: S,
}

/// Which buffers of a job a read fills.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum Buffer {
    Payload,
    Scratch,
}

/// One system call on a file. `skip` and `len` are bytes of the buffer, `at` is the offset in the
/// file. A call may do less than `len`, and says how much it did.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum Call {
    Read {
        buffer: Buffer,
        skip: usize,
        len: usize,
        at: u64,
    },
    /// Writes payload; `durable` also makes it so before it ends (RWF_DSYNC).
    Write {
        skip: usize,
        len: usize,
        at: u64,
        durable: bool,
    },
    WriteZeros {
        len: u64,
        at: u64,
        durable: bool,
    },
    /// Makes everything written before durable.
    Sync,
    /// Makes a range read as zeros without writing it.
    Zero {
        how: Zeroing,
        len: u64,
        at: u64,
    },
}

/// Bytes done, or the errno.
pub type Outcome = Result<usize, i32>;

struct Slot<S> {
    job: Option<Job<S>>,
    /// Read by the kernel while the job is in flight. It keeps its room from one job to the next.
    iovecs: Vec<libc::iovec>,
}

/// An io_uring on one file with a fixed number of jobs in flight.
///
/// Belongs to one thread at a time; it may move to another between calls.
pub struct FileRing<S> {
    ring: IoUring,
    slots: Vec<Slot<S>>,
    free: Vec<u32>,
    /// Submissions that the kernel has not been told of.
    queued: usize,
    /// Keeps the file open as long as the ring; the ring knows it as fixed file 0.
    _file: File,
}

// SAFETY: the raw pointers in `iovecs` point into buffers that the same FileRing owns by its
// jobs, which are Send.
unsafe impl<S: Send> Send for FileRing<S> {}

/// The file, as registered with the ring.
const FIXED: types::Fixed = types::Fixed(0);

impl<S> FileRing<S> {
    /// A ring for `depth` jobs; an error where io_uring is missing, forbidden or too old.
    pub fn new(file: File, depth: u32) -> io::Result<Self> {
        assert!(depth > 0 && depth <= 4096);
        // Completion work waits for our next call instead of interrupting us; kernels before
        // 5.19 know neither flag.
        let ring = IoUring::builder()
            .setup_coop_taskrun()
            .setup_taskrun_flag()
            .build(depth)
            .or_else(|e| match e.raw_os_error() {
                Some(libc::EINVAL) => IoUring::new(depth),
                _ => Err(e),
            })?;
        let mut probe = Probe::new();
        ring.submitter().register_probe(&mut probe)?;
        let needed = [
            opcode::Readv::CODE,
            opcode::Writev::CODE,
            opcode::Fsync::CODE,
            opcode::Fallocate::CODE,
        ];
        if !needed.iter().all(|&op| probe.is_supported(op)) {
            return Err(io::Error::new(
                io::ErrorKind::Unsupported,
                "the kernel's io_uring lacks file operations",
            ));
        }
        ring.submitter().register_files(&[file.as_raw_fd()])?;
        // A filter may forbid the call that starts I/O and no other: better to know now.
        ring.submit()?;
        Ok(Self {
            ring,
            slots: std::iter::repeat_with(|| Slot {
                job: None,
                iovecs: Vec::new(),
            })
            .take(depth as usize)
            .collect(),
            free: (0..depth).rev().collect(),
            queued: 0,
            _file: file,
        })
    }

    /// Jobs started whose outcome has not been taken.
    pub fn in_flight(&self) -> usize {
        self.slots.len() - self.free.len()
    }

    /// Whether `turn` has something to tell the kernel.
    pub fn has_queued(&self) -> bool {
        self.queued > 0
    }

    /// Readable when an outcome may be taken.
    pub fn fd(&self) -> BorrowedFd<'_> {
        // SAFETY: the ring keeps its descriptor open for as long as it lives.
        unsafe { BorrowedFd::borrow_raw(self.ring.as_raw_fd()) }
    }

    /// Starts a call of `job`; the kernel hears of it with the next `turn`. The caller sees to it
    /// that no more than the ring's depth are in flight.
    pub fn start(&mut self, job: Job<S>, call: Call) {
        let index = self.free.pop().expect("a slot for every job in flight");
        let slot = &mut self.slots[index as usize];
        assert!(slot.job.is_none(), "a free slot holds no job");
        let entry = slot.prepare(job, call).user_data(u64::from(index));
        // SAFETY: the entry points to the slot's iovecs and to buffers of the slot's job. Both
        // stay as they are until the completion is taken: only `next_done` empties the slot, and
        // only for a completion of it.
        let pushed = unsafe { self.ring.submission().push(&entry) };
        assert!(pushed.is_ok(), "the queue has an entry for every slot");
        self.queued += 1;
    }

    /// Tells the kernel of started calls and lets it finish others. Without either it is no
    /// system call.
    pub fn turn(&mut self) -> io::Result<()> {
        if self.queued == 0 && (self.in_flight() == 0 || !self.ring.submission().taskrun()) {
            return Ok(());
        }
        match self.ring.submit() {
            Ok(n) => {
                self.queued -= n;
                Ok(())
            }
            // Interrupted, or short of memory just now: still queued, for the next turn.
            Err(e) if is_passing(&e) => Ok(()),
            Err(e) => Err(e),
        }
    }

    /// Takes the outcome of a call.
    pub fn next_done(&mut self) -> Option<(Job<S>, Outcome)> {
        if self.free.len() == self.slots.len() {
            return None;
        }
        let entry = self.ring.completion().next()?;
        let index = entry.user_data() as u32;
        let job = self.slots[index as usize].job.take();
        self.free.push(index);
        let outcome = usize::try_from(entry.result()).map_err(|_| -entry.result());
        Some((job.expect("one completion per job"), outcome))
    }
}

impl<S> Slot<S> {
    /// Takes the job in and describes the call to the kernel.
    fn prepare(&mut self, job: Job<S>, call: Call) -> io_uring::squeue::Entry {
        let iovecs = &mut self.iovecs;
        iovecs.clear();
        let job = self.job.insert(job);
        match call {
            Call::Read {
                buffer,
                skip,
                len,
                at,
            } => {
                let list = match buffer {
                    Buffer::Payload => &mut job.token.data,
                    Buffer::Scratch => &mut job.scratch,
                };
                list.for_each_mut(skip, len, |part| {
                    push(iovecs, part.as_mut_ptr(), part.len());
                });
                opcode::Readv::new(FIXED, iovecs.as_ptr(), iovecs.len() as u32)
                    .offset(at)
                    .build()
            }
            Call::Write {
                skip,
                len,
                at,
                durable,
            } => {
                // The kernel only reads what a write's slices point to.
                job.token.data.for_each(skip, len, |part| {
                    push(iovecs, part.as_ptr().cast_mut(), part.len());
                });
                writev(iovecs, at, durable)
            }
            Call::WriteZeros { len, at, durable } => {
                let zeros = ZEROS.as_slice();
                let mut left = len;
                while left > 0 && iovecs.len() < IOVECS_MAX {
                    let n = left.min(zeros.len() as u64);
                    push(iovecs, zeros.as_ptr().cast_mut(), n as usize);
                    left -= n;
                }
                writev(iovecs, at, durable)
            }
            Call::Sync => opcode::Fsync::new(FIXED)
                .flags(types::FsyncFlags::DATASYNC)
                .build(),
            Call::Zero { how, len, at } => opcode::Fallocate::new(FIXED, len)
                .offset(at)
                .mode(how.mode())
                .build(),
        }
    }
}

fn push(iovecs: &mut Vec<libc::iovec>, base: *mut u8, len: usize) {
    if iovecs.len() < IOVECS_MAX {
        iovecs.push(libc::iovec {
            iov_base: base.cast(),
            iov_len: len,
        });
    }
}

fn writev(iovecs: &[libc::iovec], at: u64, durable: bool) -> io_uring::squeue::Entry {
    opcode::Writev::new(FIXED, iovecs.as_ptr(), iovecs.len() as u32)
        .offset(at)
        .rw_flags(if durable { libc::RWF_DSYNC } else { 0 })
        .build()
}

fn is_passing(e: &io::Error) -> bool {
    matches!(
        e.raw_os_error(),
        Some(libc::EINTR | libc::EAGAIN | libc::EBUSY)
    )
}

impl<S> Drop for FileRing<S> {
    fn drop(&mut self) {
        while self.in_flight() > 0 {
            match self.ring.submit_and_wait(1) {
                Ok(_) => {}
                Err(e) if is_passing(&e) => std::thread::yield_now(),
                Err(e) => {
                    // Nobody can say when the kernel is done with the buffers: never free them.
                    tracing::error!(
                        "io_uring_enter failed with {} in flight: {e}",
                        self.in_flight()
                    );
                    std::mem::forget(std::mem::take(&mut self.slots));
                    return;
                }
            }
            while self.next_done().is_some() {}
        }
    }
}

impl<S> std::fmt::Debug for FileRing<S> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FileRing")
            .field("in_flight", &self.in_flight())
            .field("queued", &self.queued)
            .finish_non_exhaustive()
    }
}

impl std::fmt::Debug for Zeros {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Zeros")
    }
}
