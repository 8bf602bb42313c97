//! The ring of one thread: all small sends of a turn in one system call.
//!
//! The kernel is given two kinds of work. A send refers to bytes that this ring has staged and owns,
//! carries MSG_DONTWAIT, and is therefore over when the call that submitted it returns:
//! [`Ring::turn`] does not return before it has taken the completion of every send. A poll for room
//! in a socket that was full refers to no memory. So no operation that refers to memory outlives a
//! call, and payload is never in the kernel's hands when a request completes (I4).
//!
//! A ring belongs to the thread that made it: the kernel takes calls on it from no other. A
//! connection holds a [`Seat`] in one ring and may leave it from any thread, by a note that the ring
//! reads in its next turn; to leave early costs nothing but the seat until then.
#![allow(unsafe_code)]

use io_uring::{IoUring, Probe, opcode, types};
use std::io;
use std::os::fd::RawFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// Sockets of one ring at most; further ones are driven by plain calls.
const SLOTS: u32 = 256;
/// One send and one poll for room per socket in one turn.
const ENTRIES: u32 = 2 * SLOTS;
/// Bytes staged for one socket at most. What is offered beyond goes out by a call of its own,
/// uncopied: payload of this size and more is never copied (I11).
pub(super) const STAGE_MAX: usize = 16 * 1024;

/// What a full socket is polled for.
const ROOM: u32 = (libc::POLLOUT | libc::POLLHUP | libc::POLLERR) as u32;

const KIND_SEND: u64 = 1 << 63;
/// A poll for room to send.
const KIND_ROOM: u64 = 1 << 62;
const KINDS: u64 = KIND_SEND | KIND_ROOM;
/// Completions that nobody waits for.
const IGNORED: u64 = u64::MAX;
/// IORING_ENTER_GETEVENTS of io_uring_enter(2).
const GETEVENTS: u32 = 1;

/// What a ring and those who hold seats in it share.
#[derive(Debug, Default)]
pub(super) struct Home {
    /// Seats that were left on other threads.
    left: Mutex<Vec<(u32, u32)>>,
    /// There are some.
    any_left: AtomicBool,
}

/// A connection's place in a ring.
#[derive(Debug)]
pub(super) struct Seat {
    home: Arc<Home>,
    pub(super) index: u32,
    epoch: u32,
    /// The ring holds bytes that the socket has not taken. Written by the ring's thread.
    waits: Arc<AtomicBool>,
}

impl Seat {
    pub(super) fn is_in(&self, ring: &Ring) -> bool {
        Arc::ptr_eq(&self.home, &ring.home)
    }

    /// Whether bytes wait in its ring: for a turn, or for a full socket.
    pub(super) fn waits(&self) -> bool {
        self.waits.load(Ordering::Acquire)
    }

    /// Leaves the ring from another thread than its own.
    pub(super) fn leave_note(self) {
        let mut left = self
            .home
            .left
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        left.push((self.index, self.epoch));
        self.home.any_left.store(true, Ordering::Release);
    }
}

#[derive(Debug, Default)]
struct Slot {
    /// Tells completions of an earlier socket in this slot from those of the present one.
    epoch: u32,
    used: bool,
    /// errno of a send that failed; 0: none.
    error: i32,
    staged: Vec<u8>,
    /// A send of `staged` is under way, within `turn` only.
    sending: bool,
    /// The socket was full: staged bytes wait for room, which is polled for.
    full: bool,
    /// That poll is under way.
    room_armed: bool,
    waits: Arc<AtomicBool>,
}

/// See the module.
pub(super) struct Ring {
    ring: IoUring,
    home: Arc<Home>,
    slots: Vec<Slot>,
    free: Vec<u32>,
    /// Slots with something staged, or to be polled for room.
    dirty: Vec<u32>,
    sending: usize,
    moved: bool,
    /// errno of a ring that does not work any more; 0: it does.
    broken: i32,
}

fn refused(what: &str, e: &io::Error) -> io::Error {
    io::Error::new(e.kind(), format!("{what}: {e}"))
}

impl Ring {
    /// A ring for the calling thread.
    ///
    /// # Errors
    /// io_uring is missing, forbidden or too old; says what was refused.
    pub(super) fn new() -> io::Result<Self> {
        // DEFER_TASKRUN needs Linux 6.1, and SINGLE_ISSUER with it.
        let ring = IoUring::builder()
            .setup_single_issuer()
            .setup_defer_taskrun()
            .setup_taskrun_flag()
            .build(ENTRIES)
            .map_err(|e| refused("io_uring_setup with SINGLE_ISSUER and DEFER_TASKRUN", &e))?;
        let mut probe = Probe::new();
        ring.submitter()
            .register_probe(&mut probe)
            .map_err(|e| refused("io_uring_register of a probe", &e))?;
        for (code, name) in [
            (opcode::PollAdd::CODE, "POLL_ADD"),
            (opcode::PollRemove::CODE, "POLL_REMOVE"),
            (opcode::Send::CODE, "SEND"),
        ] {
            if !probe.is_supported(code) {
                return Err(io::Error::new(
                    io::ErrorKind::Unsupported,
                    format!("the kernel's io_uring lacks {name}"),
                ));
            }
        }
        ring.submitter()
            .register_files_sparse(SLOTS)
            .map_err(|e| refused("io_uring_register of a sparse file table", &e))?;
        // A filter may forbid the call that starts I/O and no other: better to know now.
        ring.submit().map_err(|e| refused("io_uring_enter", &e))?;
        Ok(Self {
            ring,
            home: Arc::new(Home::default()),
            slots: std::iter::repeat_with(Slot::default)
                .take(SLOTS as usize)
                .collect(),
            free: (0..SLOTS).rev().collect(),
            dirty: Vec::with_capacity(ENTRIES as usize),
            sending: 0,
            moved: false,
            broken: 0,
        })
    }

    /// Takes a connected socket in. The caller detaches it before it closes the descriptor.
    ///
    /// # Errors
    /// The ring is full or broken.
    pub(super) fn attach(&mut self, fd: RawFd) -> io::Result<Seat> {
        if self.broken != 0 {
            return Err(io::Error::from_raw_os_error(self.broken));
        }
        let Some(&index) = self.free.last() else {
            return Err(io::ErrorKind::QuotaExceeded.into());
        };
        self.ring.submitter().register_files_update(index, &[fd])?;
        self.free.pop();
        let slot = &mut self.slots[index as usize];
        slot.epoch = (slot.epoch + 1) & 0x3FFF_FFFF;
        slot.used = true;
        slot.error = 0;
        slot.staged.clear();
        slot.full = false;
        slot.room_armed = false;
        slot.waits = Arc::default();
        let seat = Seat {
            home: self.home.clone(),
            index,
            epoch: slot.epoch,
            waits: slot.waits.clone(),
        };
        Ok(seat)
    }

    /// Lets go of a socket: nothing of the ring refers to it afterwards. Staged bytes are dropped.
    pub(super) fn detach(&mut self, index: u32) {
        let slot = &mut self.slots[index as usize];
        debug_assert!(slot.used && !slot.sending);
        slot.used = false;
        slot.staged.clear();
        if slot.room_armed && self.broken == 0 {
            let poll = user_data(index, slot.epoch) | KIND_ROOM;
            let entry = opcode::PollRemove::new(poll).build().user_data(IGNORED);
            // SAFETY: the entry refers to no memory.
            let pushed = unsafe { self.ring.submission().push(&entry) };
            // The poll's own end is done with in the same call, as work of this thread. Where it
            // fails the file is kept until the ring goes; its owner has ended the connection.
            if pushed.is_ok()
                && let Err(e) = self.ring.submit_and_wait(1)
            {
                tracing::warn!("io_uring_enter failed to remove a poll: {e}");
            }
            self.harvest();
        }
        // Fails only where the table is gone, and with it the reference.
        let _ = self.ring.submitter().register_files_update(index, &[-1]);
        self.free.push(index);
    }

    pub(super) fn check(&self, index: u32) -> io::Result<()> {
        match (self.slots[index as usize].error, self.broken) {
            (0, 0) => Ok(()),
            (0, e) | (e, _) => Err(io::Error::from_raw_os_error(e)),
        }
    }

    /// Room for bytes to send in the next turn.
    pub(super) fn room(&self, index: u32) -> usize {
        STAGE_MAX - self.slots[index as usize].staged.len()
    }

    pub(super) fn has_staged(&self, index: u32) -> bool {
        !self.slots[index as usize].staged.is_empty()
    }

    /// What is staged will never be sent.
    pub(super) fn drop_staged(&mut self, index: u32) {
        let slot = &mut self.slots[index as usize];
        debug_assert!(
            !slot.sending,
            "sends are over when the call that made them is"
        );
        slot.staged.clear();
    }

    /// Lets go of the seats that were left on other threads.
    fn read_notes(&mut self) {
        if !self.home.any_left.swap(false, Ordering::Acquire) {
            return;
        }
        let notes = self
            .home
            .left
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let notes = std::mem::take(&mut *{ notes });
        for (index, epoch) in notes {
            let slot = &self.slots[index as usize];
            if slot.used && slot.epoch == epoch {
                self.detach(index);
            }
        }
    }

    /// Takes bytes for the next turn; the caller has asked for `room`.
    pub(super) fn stage(&mut self, index: u32, bytes: &[u8]) {
        let slot = &mut self.slots[index as usize];
        if slot.staged.is_empty() {
            self.dirty.push(index);
            // Room for good, so that steady state does not allocate.
            slot.staged.reserve(STAGE_MAX);
            slot.waits.store(true, Ordering::Release);
        }
        slot.staged.extend_from_slice(bytes);
    }

    /// Sends what is staged for all sockets: one system call, and none when there is nothing.
    /// Returns whether anything moved.
    pub(super) fn turn(&mut self) -> bool {
        if self.broken != 0 {
            return false;
        }
        if self.home.any_left.load(Ordering::Relaxed) {
            self.read_notes();
        }
        let mut queued = 0;
        for at in 0..self.dirty.len() {
            let index = self.dirty[at];
            queued += self.push(index);
        }
        self.dirty.clear();
        self.moved = false;
        if queued > 0 {
            if let Err(e) = self.complete_all() {
                self.fail(&e);
                return true;
            }
        } else if self.ring.submission().taskrun() || self.ring.submission().cq_overflow() {
            // SAFETY: no argument but a null signal mask.
            let entered = unsafe {
                self.ring
                    .submitter()
                    .enter::<libc::sigset_t>(0, 0, GETEVENTS, None)
            };
            match entered {
                Err(e) if !is_passing(&e) => {
                    self.fail(&e);
                    return true;
                }
                _ => self.harvest(),
            }
        } else {
            self.harvest();
        }
        self.moved
    }

    /// Queues what a dirty slot needs; how many entries that were.
    fn push(&mut self, index: u32) -> usize {
        let slot = &mut self.slots[index as usize];
        if !slot.used {
            return 0;
        }
        let mut queued = 0;
        let data = user_data(index, slot.epoch);
        if slot.full && !slot.room_armed {
            let entry = opcode::PollAdd::new(types::Fixed(index), ROOM)
                .build()
                .user_data(data | KIND_ROOM);
            // SAFETY: the entry refers to no memory.
            if unsafe { self.ring.submission().push(&entry) }.is_ok() {
                slot.room_armed = true;
                queued += 1;
            }
        }
        if !slot.staged.is_empty() && !slot.sending && !slot.full && slot.error == 0 {
            let entry = opcode::Send::new(
                types::Fixed(index),
                slot.staged.as_ptr(),
                slot.staged.len() as u32,
            )
            .flags(libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL)
            .build()
            .user_data(data | KIND_SEND);
            // SAFETY: `staged` is not touched until the completion has been taken, which
            // `complete_all` waits for within the same call; where it cannot, `fail` leaks it.
            if unsafe { self.ring.submission().push(&entry) }.is_ok() {
                slot.sending = true;
                self.sending += 1;
                queued += 1;
            }
        }
        queued
    }

    /// Submits, and takes completions until no send is under way.
    fn complete_all(&mut self) -> io::Result<()> {
        loop {
            // With MSG_DONTWAIT every send has its completion by now: nothing is waited for.
            match self.ring.submit_and_wait(self.sending) {
                Ok(_) => {}
                Err(e) if is_passing(&e) => {}
                Err(e) => return Err(e),
            }
            self.harvest();
            if self.sending == 0 && self.ring.submission().is_empty() {
                return Ok(());
            }
        }
    }

    fn next_completion(&mut self) -> Option<io_uring::cqueue::Entry> {
        self.ring.completion().next()
    }

    fn harvest(&mut self) {
        while let Some(entry) = self.next_completion() {
            let data = entry.user_data();
            if data == IGNORED {
                continue;
            }
            let index = data as u32;
            let slot = &mut self.slots[index as usize];
            let current = slot.used && user_data(index, slot.epoch) == data & !KINDS;
            if data & KIND_SEND != 0 {
                self.sending -= 1;
                slot.sending = false;
                match entry.result() {
                    n if n > 0 => {
                        slot.staged.drain(..(n as usize).min(slot.staged.len()));
                        self.moved = true;
                    }
                    0 => {}
                    e if -e == libc::EAGAIN || -e == libc::EINTR => {}
                    e => slot.error = -e,
                }
                // What was not taken waits for room: to offer it again before would be for nothing.
                slot.full = !slot.staged.is_empty() && slot.error == 0;
                slot.waits.store(!slot.staged.is_empty(), Ordering::Release);
                if slot.full {
                    self.dirty.push(index);
                }
                continue;
            }
            if !current {
                continue;
            }
            // Room, or an end that the next send will name.
            slot.room_armed = false;
            slot.full = false;
            self.dirty.push(index);
            self.moved = true;
        }
    }

    /// The ring does not work any more: its connections end with the error.
    fn fail(&mut self, e: &io::Error) {
        tracing::error!("io_uring_enter failed: {e}; its connections end");
        self.broken = e.raw_os_error().unwrap_or(libc::EIO);
        for slot in self.slots.iter_mut().filter(|s| s.sending) {
            // Nobody can say whether the kernel still reads these bytes: never free them.
            std::mem::forget(std::mem::take(&mut slot.staged));
            slot.sending = false;
        }
        self.sending = 0;
    }
}

fn user_data(index: u32, epoch: u32) -> u64 {
    (u64::from(epoch) << 32) | u64::from(index)
}

fn is_passing(e: &io::Error) -> bool {
    matches!(
        e.raw_os_error(),
        Some(libc::EINTR | libc::EAGAIN | libc::EBUSY)
    )
}

/// Resets a TCP connection at once, whoever else still refers to the socket: closing it would
/// only do so with the last reference.
pub(super) fn reset(fd: RawFd) {
    let nowhere = libc::sockaddr {
        sa_family: libc::AF_UNSPEC as libc::sa_family_t,
        sa_data: [0; 14],
    };
    let len = size_of::<libc::sockaddr>() as libc::socklen_t;
    // SAFETY: the address lives through the call and has the length given. A failure leaves an
    // ordinary close, and the fence does not rely on the RST arriving.
    unsafe { libc::connect(fd, &raw const nowhere, len) };
}

impl std::fmt::Debug for Ring {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Ring")
            .field("sockets", &(self.slots.len() - self.free.len()))
            .finish_non_exhaustive()
    }
}
