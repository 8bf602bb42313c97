//! Which of many sockets have something to receive, asked of the kernel once a turn.
//!
//! A receive that finds nothing costs a system call. With few connections that is the quickest way
//! to learn of an answer; with many, most calls of a turn are for nothing. So each thread counts
//! the receives of a turn that found nothing, and above a threshold asks one epoll set first
//! (edge-triggered: it reports a socket when something has arrived since it was last asked) and
//! receives only where that says so. Below the threshold nothing here costs more than the count.
//!
//! A socket joins the set of the thread that receives on it, when that set is first wanted, and
//! moves with its user to another thread's set. Where epoll is refused, receives stay as they are.

use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use std::cell::{Cell, RefCell};
use std::os::fd::BorrowedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

/// Receives of a turn that found nothing, on average and in 1/256, above which the set is asked:
/// where the lines of `docs/performance.md` cross.
const ON_ABOVE: u32 = 3 * 256;
/// And below which it is no longer.
const OFF_BELOW: u32 = 3 * 128;
/// The average is over some 2^AVERAGE turns.
const AVERAGE: u32 = 6;
/// Events taken of one turn at most; more wait for the next.
const EVENTS: usize = 128;

/// There may be something to receive.
const READY: u8 = 1;
/// There is an end or an error to read, whatever was read before.
const ENDED: u8 = 2;

/// What a socket's place in a set says; written by the thread that receives on it, and read by it.
#[derive(Debug)]
struct Flag(AtomicU8);

#[derive(Debug)]
struct Set {
    epoll: Arc<Epoll>,
    /// By the number that events carry. A place whose socket is gone has one reference left.
    places: Vec<Arc<Flag>>,
    events: Box<[EpollEvent; EVENTS]>,
}

/// Counts of one thread.
#[derive(Copy, Clone, Default)]
struct Count {
    /// Receives of this turn that found nothing, or would have.
    nothing: u32,
    average: u32,
}

thread_local! {
    static COUNT: Cell<Count> = const { Cell::new(Count { nothing: 0, average: 0 }) };
    /// Whether sockets of this thread are received on only where its set says so.
    static ON: Cell<bool> = const { Cell::new(false) };
    static SET: RefCell<Option<Set>> = const { RefCell::new(None) };
}

#[cfg(test)]
thread_local! {
    static FORCED: Cell<bool> = const { Cell::new(false) };
}

/// Test only: the set of this thread is asked from now on, or when that pays.
#[cfg(test)]
pub(super) fn force(on: bool) {
    FORCED.set(on);
    ON.set(on && SET.with_borrow_mut(Set::made));
}

#[cfg(test)]
pub(super) fn is_on() -> bool {
    ON.get()
}

/// A socket's place in the set of a thread.
#[derive(Debug, Default)]
pub(super) struct Seat(Option<(Arc<Epoll>, Arc<Flag>)>);

/// Begins a turn of this thread: asks its set, where that pays.
pub(super) fn turn() {
    let mut count = COUNT.get();
    count.average = count.average - (count.average >> AVERAGE) + ((count.nothing << 8) >> AVERAGE);
    count.nothing = 0;
    COUNT.set(count);
    if ON.get() {
        #[cfg(test)]
        let count = if FORCED.get() {
            Count {
                nothing: 0,
                average: ON_ABOVE,
            }
        } else {
            count
        };
        if count.average < OFF_BELOW {
            ON.set(false);
        } else {
            SET.with_borrow_mut(|set| {
                if let Some(set) = set {
                    set.ask();
                }
            });
        }
    } else if count.average > ON_ABOVE {
        // What is not in the set yet counts as ready until it is.
        ON.set(SET.with_borrow_mut(Set::made));
        if !ON.get() {
            COUNT.set(Count::default());
        }
    }
}

/// Whether to make a receive call on this socket.
#[inline]
pub(super) fn is_ready(seat: &mut Seat, fd: BorrowedFd<'_>) -> bool {
    if !ON.get() {
        return true;
    }
    let ready = seat.is_ready(fd);
    if !ready {
        found_nothing();
    }
    ready
}

/// A receive found nothing.
#[inline]
pub(super) fn found_nothing() {
    let mut count = COUNT.get();
    count.nothing += 1;
    COUNT.set(count);
}

/// A receive has emptied this socket.
#[inline]
pub(super) fn emptied(seat: &Seat) {
    if let Some((_, flag)) = &seat.0 {
        // The end of a stream has one event, which may be behind us.
        let ended = flag.0.load(Ordering::Relaxed) & ENDED;
        flag.0.store(
            if ended != 0 { READY | ENDED } else { 0 },
            Ordering::Relaxed,
        );
    }
}

impl Seat {
    fn is_ready(&mut self, fd: BorrowedFd<'_>) -> bool {
        SET.with_borrow_mut(|set| {
            let Some(set) = set else { return true };
            match &self.0 {
                Some((epoll, flag)) if Arc::ptr_eq(epoll, &set.epoll) => {
                    flag.0.load(Ordering::Relaxed) & READY != 0
                }
                _ => {
                    if let Some((old, _)) = self.0.take() {
                        // Fails where the old set is gone, and with it the place.
                        let _ = old.delete(fd);
                    }
                    self.0 = set.join(fd);
                    true
                }
            }
        })
    }
}

impl Set {
    /// Makes the set of a thread if need be; whether there is one.
    fn made(set: &mut Option<Self>) -> bool {
        if set.is_none() {
            match Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC) {
                Ok(epoll) => {
                    *set = Some(Self {
                        epoll: Arc::new(epoll),
                        places: Vec::new(),
                        events: Box::new([EpollEvent::empty(); EVENTS]),
                    });
                }
                Err(e) => tracing::debug!("epoll_create1 failed: {e}; every socket is asked"),
            }
        }
        set.is_some()
    }

    fn join(&mut self, fd: BorrowedFd<'_>) -> Option<(Arc<Epoll>, Arc<Flag>)> {
        // What came before it joined has no event of its own.
        let flag = Arc::new(Flag(AtomicU8::new(READY)));
        let free = self.places.iter().position(|p| Arc::strong_count(p) == 1);
        let at = free.unwrap_or(self.places.len());
        let wanted = EpollFlags::EPOLLIN | EpollFlags::EPOLLRDHUP | EpollFlags::EPOLLET;
        self.epoll
            .add(fd, EpollEvent::new(wanted, at as u64))
            .ok()?;
        match free {
            Some(at) => self.places[at] = flag.clone(),
            None => self.places.push(flag.clone()),
        }
        Some((self.epoll.clone(), flag))
    }

    fn ask(&mut self) {
        let Ok(n) = self.epoll.wait(&mut self.events[..], EpollTimeout::ZERO) else {
            return;
        };
        let ended = EpollFlags::EPOLLRDHUP | EpollFlags::EPOLLHUP | EpollFlags::EPOLLERR;
        for event in &self.events[..n] {
            let Some(flag) = self.places.get(event.data() as usize) else {
                continue;
            };
            let more = if event.events().intersects(ended) {
                READY | ENDED
            } else {
                READY
            };
            let seen = flag.0.load(Ordering::Relaxed);
            flag.0.store(seen | more, Ordering::Relaxed);
        }
    }
}
