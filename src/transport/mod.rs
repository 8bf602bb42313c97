//! Bytes in and out of one connection. Nothing here knows a protocol.

mod gate;
pub mod listener;
pub mod pipe;
#[cfg(test)]
pub(crate) mod raw;
pub mod tcp;
#[cfg(test)]
mod tests;
pub mod uring;

use crate::base::clock::Time;
use crate::base::iovecs::{RecvVec, SendVec};
use std::io;

/// Where received bytes go: a protocol machine says where the next ones shall land, straight in
/// a caller's buffer where that pays.
pub trait Sink {
    /// Puts the places for the next bytes on `out`, in wire order. An empty list means that the
    /// machine takes nothing now (it failed, or is full).
    fn recv_places<'a>(&'a mut self, out: &mut RecvVec<'a>);
    /// `n` bytes have landed in the places last given.
    fn received(&mut self, n: usize, now: Time);
}

/// Where bytes to send come from.
pub trait Source {
    /// Puts the next bytes to send on `out`, in wire order; nothing when there is none.
    fn send_slices<'a>(&'a self, out: &mut SendVec<'a>);
    /// The first `n` of them have been taken by the transport.
    fn sent(&mut self, n: usize, now: Time);
    /// Whether `send_slices` would give anything.
    fn has_output(&self) -> bool;
}

/// What one turn of a connection did.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
pub struct Turn {
    /// Bytes moved.
    pub bytes: usize,
    /// The peer has ended its stream (receive only).
    pub eof: bool,
    /// The last call showed that nothing is left: asking again now would find nothing (receive
    /// only; false where there is no telling).
    pub dry: bool,
}

/// How the sockets of a connection are driven.
#[derive(Copy, Clone, PartialEq, Eq, Debug, Default)]
pub enum Driver {
    /// Plain non-blocking calls.
    #[default]
    Tcp,
    /// One io_uring per polling thread; plain calls where that is refused.
    Uring,
}

impl Driver {
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "tcp" => Some(Self::Tcp),
            "uring" => Some(Self::Uring),
            _ => None,
        }
    }
}

/// Begins a turn of this thread's connections: learns which have something to receive, where that
/// is asked for all of them at once. Returns whether anything moved.
pub fn begin_turn() -> bool {
    gate::turn();
    uring::turn()
}

/// Ends it: sends what is staged, where that is done for all of them at once. Returns whether
/// anything moved.
pub fn end_turn() -> bool {
    uring::turn()
}

/// One connection. An enum, so that the data path is monomorphic and a simulated connection is
/// the same type as a real one.
#[derive(Debug)]
pub enum Conn {
    Tcp(tcp::TcpConn),
    Uring(uring::UringConn),
    Pipe(pipe::PipeConn),
}

impl Conn {
    /// A TCP connection driven as asked, or by plain calls where that is refused.
    pub fn over(tcp: tcp::TcpConn, driver: Driver) -> Self {
        match driver {
            Driver::Uring if uring::available() => Self::Uring(uring::UringConn::new(tcp)),
            _ => Self::Tcp(tcp),
        }
    }

    /// How it is driven, for status.
    pub fn driver(&self) -> &'static str {
        match self {
            Self::Tcp(_) => "tcp",
            Self::Uring(_) => "uring",
            Self::Pipe(_) => "pipe",
        }
    }

    /// Whether the connection is established; an error when it never will be.
    pub fn poll_connect(&mut self, now: Time) -> io::Result<bool> {
        match self {
            Self::Tcp(c) => c.poll_connect(),
            Self::Uring(c) => c.poll_connect(),
            Self::Pipe(c) => c.poll_connect(now),
        }
    }

    /// Receives until nothing is left or the budget of one tick is used up.
    pub fn recv<S: Sink>(&mut self, sink: &mut S, now: Time) -> io::Result<Turn> {
        match self {
            Self::Tcp(c) => c.recv(sink, now),
            Self::Uring(c) => c.recv(sink, now),
            Self::Pipe(c) => c.recv(sink, now),
        }
    }

    /// Sends what the source has: one system call where the socket takes it all; with io_uring and
    /// many connections, it is staged for [`end_turn`].
    pub fn send<S: Source>(&mut self, source: &mut S, now: Time) -> io::Result<Turn> {
        match self {
            Self::Tcp(c) => c.send(source, now),
            Self::Uring(c) => c.send(source, now),
            Self::Pipe(c) => c.send(source, now),
        }
    }

    /// As `send`, of the last words of a connection that is about to be aborted: at once or not at
    /// all.
    pub fn send_last<S: Source>(&mut self, source: &mut S, now: Time) -> io::Result<Turn> {
        match self {
            Self::Uring(c) => c.send_last(source, now),
            Self::Tcp(_) | Self::Pipe(_) => self.send(source, now),
        }
    }

    /// Ends the connection with RST: bytes not yet delivered are dropped by this host (I4).
    pub fn abort(self) {
        match self {
            Self::Tcp(c) => c.abort(),
            Self::Uring(c) => c.abort(),
            Self::Pipe(c) => c.abort(),
        }
    }

    /// File descriptor to sleep on; none for a pipe.
    pub fn fd(&self) -> Option<std::os::fd::RawFd> {
        match self {
            Self::Tcp(c) => Some(c.fd()),
            Self::Uring(c) => Some(c.fd()),
            Self::Pipe(_) => None,
        }
    }

    /// Whether bytes that were taken from a source wait here for a full socket: a sleeper waits
    /// for that to become writable, too.
    pub fn is_clogged(&self) -> bool {
        match self {
            Self::Uring(c) => c.is_clogged(),
            Self::Tcp(_) | Self::Pipe(_) => false,
        }
    }

    /// Local and remote address, as shown in status.
    pub fn addrs(&self) -> (String, String) {
        match self {
            Self::Tcp(c) => c.addrs(),
            Self::Uring(c) => c.addrs(),
            Self::Pipe(c) => c.addrs(),
        }
    }
}
