//! TCP connections whose small sends go through one io_uring per polling thread.
//!
//! Where several connections have something to send in a turn, the thread's ring sends it with one
//! call for all of them, at [`turn`]; where it is one or two, they send by themselves, as they do
//! with more than the staging holds, uncopied. Receives are those of plain sockets, and go straight
//! into the sink's places (`docs/performance.md` has what else was tried).
//!
//! The ring is the thread's, the connection its user's: it takes a seat in the ring of the thread
//! that first moves bytes on it, and where it is used on another thread later it changes rings.
//! Only bytes that a full socket has left behind in a ring cannot follow; then the connection ends
//! with an error, as any that has lost something.

mod ring;

use super::tcp::TcpConn;
use super::{Sink, Source, Turn};
use crate::base::clock::Time;
use crate::base::iovecs::SendVec;
use ring::{Ring, Seat};
use std::cell::{Cell, RefCell};
use std::io;
use std::os::fd::RawFd;

/// Send rounds of one connection in one turn at most.
const ROUNDS_MAX: usize = 8;
/// Sends of a turn, on average and in 1/256, above which they are staged: from measurement.
const STAGE_ABOVE: u32 = 2 * 256 + 128;
/// The average is over some 2^AVERAGE turns that sent something.
const AVERAGE: u32 = 4;

#[derive(Debug)]
enum ThreadRing {
    Untried,
    Ready(Box<Ring>),
    Refused,
}

thread_local! {
    static RING: RefCell<ThreadRing> = const { RefCell::new(ThreadRing::Untried) };
    /// Connections of this thread that have sent in this turn, and in others on average.
    static SENDS: Cell<(u32, u32)> = const { Cell::new((0, 0)) };
}

#[cfg(test)]
thread_local! {
    static FORCED: Cell<bool> = const { Cell::new(false) };
}

impl ThreadRing {
    fn get(&mut self) -> Option<&mut Ring> {
        if matches!(self, Self::Untried) {
            *self = match Ring::new() {
                Ok(ring) => Self::Ready(Box::new(ring)),
                Err(e) => {
                    warn_once(&e);
                    Self::Refused
                }
            };
        }
        match self {
            Self::Ready(ring) => Some(ring.as_mut()),
            _ => None,
        }
    }
}

fn warn_once(e: &io::Error) {
    static ONCE: std::sync::Once = std::sync::Once::new();
    ONCE.call_once(|| {
        tracing::warn!(
            "io_uring cannot be used here ({e}); connections that ask for it use plain sockets"
        );
    });
}

/// Whether this thread can drive connections by io_uring. The first refusal is logged, with what
/// was refused.
pub fn available() -> bool {
    RING.with_borrow_mut(|r| r.get().is_some())
}

/// Sends what this thread's connections have staged.
/// Returns whether anything moved. Without such connections it does nothing.
pub fn turn() -> bool {
    let (sends, average) = SENDS.get();
    if sends > 0 {
        let average = average - (average >> AVERAGE) + ((sends << 8) >> AVERAGE);
        SENDS.set((0, average));
        #[cfg(test)]
        if FORCED.get() {
            force(true);
        }
    }
    RING.with_borrow_mut(|r| match r {
        ThreadRing::Ready(ring) => ring.turn(),
        _ => false,
    })
}

fn left_behind() -> io::Error {
    io::Error::other(
        "the connection was moved to another thread while bytes of it waited to be sent",
    )
}

/// Test only: connections of this thread stage what they send from now on, or where that pays.
#[cfg(test)]
pub(super) fn force(on: bool) {
    FORCED.set(on);
    SENDS.set((0, if on { 100 * 256 } else { 0 }));
}

/// One TCP connection, driven by the ring of the thread that uses it.
#[derive(Debug)]
pub struct UringConn {
    tcp: TcpConn,
    seat: Option<Seat>,
}

impl UringConn {
    /// Takes over a connection. It joins the ring of the thread that first moves bytes on it.
    pub fn new(tcp: TcpConn) -> Self {
        Self { tcp, seat: None }
    }

    pub fn poll_connect(&mut self) -> io::Result<bool> {
        self.tcp.poll_connect()
    }

    /// Its place in `ring`, entered if need be; none where the ring is full.
    fn enter(&mut self, ring: &mut Ring) -> io::Result<Option<u32>> {
        match &self.seat {
            Some(seat) if seat.is_in(ring) => return Ok(Some(seat.index)),
            // They are out of reach, and what follows them must not overtake them.
            Some(seat) if seat.waits() => return Err(left_behind()),
            _ => {}
        }
        if let Some(elsewhere) = self.seat.take() {
            elsewhere.leave_note();
        }
        self.seat = ring.attach(self.tcp.fd()).ok();
        Ok(self.seat.as_ref().map(|s| s.index))
    }

    pub fn recv<S: Sink>(&mut self, sink: &mut S, now: Time) -> io::Result<Turn> {
        if let Some(seat) = &self.seat {
            // A send that failed says more than what there is to read after it.
            match self.with_ring(|ring, index| ring.check(index)) {
                Some(sends) => sends?,
                None if seat.waits() => return Err(left_behind()),
                None => {}
            }
        }
        self.tcp.recv(sink, now)
    }

    pub fn send<S: Source>(&mut self, source: &mut S, now: Time) -> io::Result<Turn> {
        RING.with_borrow_mut(|r| {
            let (sends, average) = SENDS.get();
            SENDS.set((sends + 1, average));
            let staging = average > STAGE_ABOVE;
            if !staging && self.seat.is_none() {
                return self.tcp.send(source, now);
            }
            let Some(ring) = r.get() else {
                return self.tcp.send(source, now);
            };
            let Some(index) = self.enter(ring)? else {
                return self.tcp.send(source, now);
            };
            let mut turn = Turn::default();
            if !staging && !ring.has_staged(index) {
                ring.check(index)?;
                return self.tcp.send(source, now);
            }
            for _ in 0..ROUNDS_MAX {
                ring.check(index)?;
                let mut slices = SendVec::new();
                source.send_slices(&mut slices);
                let offered: usize = slices.iter().map(|s| s.len()).sum();
                if offered == 0 {
                    break;
                }
                if offered <= ring.room(index) {
                    for s in &slices {
                        ring.stage(index, s);
                    }
                    drop(slices);
                    turn.bytes += offered;
                    source.sent(offered, now);
                    if !source.has_output() {
                        break;
                    }
                    continue;
                }
                drop(slices);
                // Bytes leave in order: the staged ones first.
                if ring.has_staged(index) {
                    ring.turn();
                    ring.check(index)?;
                }
                if !ring.has_staged(index) {
                    turn.bytes += self.tcp.send(source, now)?.bytes;
                }
                break;
            }
            Ok(turn)
        })
    }

    /// As `send`, of the last words of a connection: at once, and not at all behind bytes that still
    /// wait to be sent.
    pub fn send_last<S: Source>(&mut self, source: &mut S, now: Time) -> io::Result<Turn> {
        let waiting = self.with_ring(|ring, index| ring.has_staged(index));
        if waiting == Some(false) || self.seat.is_none() {
            self.tcp.send(source, now)
        } else {
            Ok(Turn::default())
        }
    }

    /// Runs `f` where this is the thread of its ring.
    fn with_ring<T>(&self, f: impl FnOnce(&mut Ring, u32) -> T) -> Option<T> {
        let seat = self.seat.as_ref()?;
        // A thread that is ending may have given up its ring before its connections.
        let done = RING.try_with(|r| match &mut *r.borrow_mut() {
            ThreadRing::Ready(ring) if seat.is_in(ring) => Some(f(ring, seat.index)),
            _ => None,
        });
        done.ok().flatten()
    }

    /// Leaves the ring. Whatever the ring still refers to, the connection has been ended before.
    fn leave(&mut self) {
        let here = self.with_ring(Ring::detach).is_some();
        if let Some(seat) = self.seat.take()
            && !here
        {
            seat.leave_note();
        }
    }

    /// Closes with RST, so that nothing still queued here reaches the peer later: what is staged is
    /// never offered to the socket, and the reset comes before anything else is done.
    pub fn abort(mut self) {
        self.with_ring(|ring, index| ring.drop_staged(index));
        ring::reset(self.tcp.fd());
        self.leave();
    }

    /// Whether bytes wait to be sent: after a turn, for a full socket.
    pub fn is_clogged(&self) -> bool {
        self.seat.as_ref().is_some_and(Seat::waits)
    }

    pub fn fd(&self) -> RawFd {
        self.tcp.fd()
    }

    pub fn addrs(&self) -> (String, String) {
        self.tcp.addrs()
    }
}

impl Drop for UringConn {
    /// Sends what is staged, as far as the socket takes it, and ends both directions in order.
    fn drop(&mut self) {
        if self.seat.is_none() {
            return;
        }
        self.with_ring(|ring, index| {
            if ring.has_staged(index) {
                ring.turn();
            }
        });
        // A ring of another thread may keep the socket open: the peer shall see the end all the same.
        self.tcp.shut_down();
        self.leave();
    }
}
