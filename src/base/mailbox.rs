//! Mailbox: how the control plane and other threads hand work to a reactor (invariant I8).
//!
//! A bounded queue with many senders and one reader. A polling reactor pays one relaxed load per
//! tick while it is empty. A reactor that goes to sleep says so first, and is woken through an
//! eventfd; while it is awake senders make no system call.
//!
//! ```text
//! loop {
//!     while let Some(command) = mailbox.take() { … }
//!     …
//!     if idle && mailbox.prepare_sleep() {
//!         poll([mailbox.fd(), sockets…], timeout);
//!         mailbox.woken();
//!     }
//! }
//! ```

use nix::sys::eventfd::{EfdFlags, EventFd};
use std::io;
use std::os::fd::{AsRawFd, RawFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};

/// What both sides share.
///
/// `waiting` and `poked` are written by everybody, `asleep` is set by the reader and cleared by
/// whoever first wakes it. All use sequentially consistent order where they meet: a sender
/// changes `waiting` or `poked` and then looks at `asleep`, the reader sets `asleep` and then
/// looks at those two, so at least one of them sees the other.
#[derive(Debug)]
struct Shared {
    /// Messages put and not yet taken; may run behind the queue for an instant, never for good.
    waiting: AtomicUsize,
    /// Somebody wants a turn of the reactor without sending it a message.
    poked: AtomicBool,
    asleep: AtomicBool,
    event: EventFd,
}

/// The reader's end; belongs to one reactor.
#[derive(Debug)]
pub struct Mailbox<T> {
    queue: Receiver<T>,
    shared: Arc<Shared>,
    /// Wake-ups that some sender has written or is about to write to the eventfd, and that have
    /// not been read from it.
    unread: u64,
}

/// A sender's end.
#[derive(Debug)]
pub struct Sender<T> {
    queue: SyncSender<T>,
    waker: Waker,
}

/// Wakes a sleeping reactor without a message.
#[derive(Clone, Debug)]
pub struct Waker(Arc<Shared>);

/// Why a message came back.
#[derive(Copy, Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum SendError<T> {
    #[error("the reactor's mailbox is full")]
    Full(T),
    #[error("the reactor has stopped")]
    Closed(T),
}

/// A mailbox for `capacity` messages, and its first sender.
pub fn mailbox<T>(capacity: usize) -> io::Result<(Mailbox<T>, Sender<T>)> {
    assert!(capacity > 0, "a mailbox without room would block");
    let event = EventFd::from_flags(EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK)?;
    let shared = Arc::new(Shared {
        waiting: AtomicUsize::new(0),
        poked: AtomicBool::new(false),
        asleep: AtomicBool::new(false),
        event,
    });
    // The channel with a bound is an array: no allocation per message.
    let (tx, rx) = sync_channel(capacity);
    let mailbox = Mailbox {
        queue: rx,
        shared: shared.clone(),
        unread: 0,
    };
    let sender = Sender {
        queue: tx,
        waker: Waker(shared),
    };
    Ok((mailbox, sender))
}

impl<T> Mailbox<T> {
    /// The next message. One relaxed load when there is none.
    #[inline]
    pub fn take(&mut self) -> Option<T> {
        if self.shared.waiting.load(Ordering::Relaxed) == 0 {
            return None;
        }
        let message = self.queue.try_recv().ok()?;
        // A sender counts before it puts, so there is one to take off.
        let before = self.shared.waiting.fetch_sub(1, Ordering::SeqCst);
        assert!(before > 0, "a message that was not counted");
        Some(message)
    }

    /// Announces that the reactor will sleep on [`Mailbox::fd`]; `false` when it must not, since
    /// there is work. After `true`, call [`Mailbox::woken`] before anything else.
    pub fn prepare_sleep(&mut self) -> bool {
        self.shared.asleep.store(true, Ordering::SeqCst);
        let poked = self.shared.poked.swap(false, Ordering::SeqCst);
        if !poked && self.shared.waiting.load(Ordering::SeqCst) == 0 {
            return true;
        }
        self.rise();
        false
    }

    /// The sleep is over, for whatever reason.
    pub fn woken(&mut self) {
        self.rise();
        self.shared.poked.store(false, Ordering::SeqCst);
        // The writer may be a little behind its flag; then the read comes with the next sleep.
        if self.unread > 0
            && let Ok(n) = self.shared.event.read()
        {
            self.unread = self.unread.saturating_sub(n);
        }
    }

    /// Awake again. Where a sender was first it writes to the eventfd, now or in a moment.
    fn rise(&mut self) {
        if !self.shared.asleep.swap(false, Ordering::SeqCst) {
            self.unread += 1;
        }
    }

    /// Readable when a sleeping reactor is to wake.
    pub fn fd(&self) -> RawFd {
        self.shared.event.as_raw_fd()
    }

    pub fn waker(&self) -> Waker {
        Waker(self.shared.clone())
    }
}

impl<T> Sender<T> {
    /// Puts a message and wakes the reactor. Never waits: a full mailbox gives it back.
    pub fn send(&self, message: T) -> Result<(), SendError<T>> {
        let shared = &self.waker.0;
        shared.waiting.fetch_add(1, Ordering::SeqCst);
        let sent = self.queue.try_send(message).map_err(|e| match e {
            TrySendError::Full(m) => SendError::Full(m),
            TrySendError::Disconnected(m) => SendError::Closed(m),
        });
        if sent.is_err() {
            shared.waiting.fetch_sub(1, Ordering::SeqCst);
        }
        shared.end_sleep();
        sent
    }

    pub fn waker(&self) -> Waker {
        self.waker.clone()
    }
}

impl<T> Clone for Sender<T> {
    fn clone(&self) -> Self {
        Self {
            queue: self.queue.clone(),
            waker: self.waker.clone(),
        }
    }
}

impl Waker {
    /// Makes the reactor turn once more: ends its sleep, or keeps it from the next one.
    pub fn wake(&self) {
        self.0.poked.store(true, Ordering::SeqCst);
        self.0.end_sleep();
    }
}

impl Shared {
    /// One load while the reactor is awake; only the first of several senders makes the call.
    fn end_sleep(&self) {
        if self.asleep.load(Ordering::SeqCst) && self.asleep.swap(false, Ordering::SeqCst) {
            // The counter of an eventfd that is read once per sleep cannot overflow.
            let _ = self.event.write(1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
    use std::os::fd::AsFd;

    fn readable<T>(m: &Mailbox<T>, timeout: PollTimeout) -> bool {
        let mut fds = [PollFd::new(m.shared.event.as_fd(), PollFlags::POLLIN)];
        poll(&mut fds, timeout).expect("poll") > 0
    }

    #[test]
    fn a_full_mailbox_gives_the_message_back_and_a_dropped_one_too() {
        let (mut m, s) = mailbox(1).expect("eventfd");
        s.send(1).expect("room for one");
        assert_eq!(s.send(2), Err(SendError::Full(2)));
        assert_eq!(m.take(), Some(1));
        assert_eq!(m.take(), None);
        s.send(3).expect("room again");
        drop(m);
        assert_eq!(s.send(4), Err(SendError::Closed(4)));
    }

    #[test]
    fn an_awake_reactor_costs_its_senders_no_system_call() {
        let (mut m, s) = mailbox(4).expect("eventfd");
        s.send(1).expect("room");
        s.waker().wake();
        assert!(!readable(&m, PollTimeout::ZERO));
        assert!(!m.prepare_sleep(), "there is work");
        assert_eq!(m.take(), Some(1));
        assert!(m.prepare_sleep());
    }

    #[test]
    fn a_wake_just_before_the_sleep_is_not_lost() {
        let (mut m, s) = mailbox::<u8>(1).expect("eventfd");
        s.waker().wake();
        assert!(!m.prepare_sleep());
        assert!(m.prepare_sleep(), "once is enough");
        m.woken();
        assert!(!readable(&m, PollTimeout::ZERO));
    }

    #[test]
    fn one_event_per_sleep_whatever_the_number_of_senders() {
        let (mut m, s) = mailbox(8).expect("eventfd");
        assert!(m.prepare_sleep());
        for i in 0..8 {
            s.clone().send(i).expect("room");
        }
        assert!(readable(&m, PollTimeout::ZERO));
        m.woken();
        assert!(!readable(&m, PollTimeout::ZERO), "the event is read");
        assert_eq!(std::iter::from_fn(|| m.take()).count(), 8);
    }

    #[test]
    fn a_sleeper_is_woken_for_every_message() {
        const MESSAGES: u64 = 20_000;
        let (mut m, s) = mailbox(64).expect("eventfd");
        std::thread::scope(|scope| {
            for _ in 0..2 {
                let s = s.clone();
                scope.spawn(move || {
                    for i in 1..=MESSAGES {
                        let mut message = i;
                        while let Err(SendError::Full(back)) = s.send(message) {
                            message = back;
                            std::thread::yield_now();
                        }
                    }
                });
            }
            let mut sum = 0;
            while sum < MESSAGES * (MESSAGES + 1) {
                while let Some(i) = m.take() {
                    sum += i;
                }
                if sum < MESSAGES * (MESSAGES + 1) && m.prepare_sleep() {
                    // A lost wake-up would hang here.
                    readable(&m, PollTimeout::NONE);
                    m.woken();
                }
            }
        });
        assert_eq!(m.take(), None);
    }
}
