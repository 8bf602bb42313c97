//! One client. It never makes us wait, and there is a bound on what it can make us hold: one
//! unfinished message, one piece of the stream behind it, and the answers it does not take.

use super::Methods;
use super::error::{RpcError, code};
use super::framer::{Framer, Spoilt};
use super::message;
use nix::poll::PollFlags;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;

/// Read at a time, into a buffer that the server lends.
pub(super) const PIECE: usize = 64 << 10;

/// From this many bytes of answers on that a client has not taken, its further requests wait.
const ANSWERS_MAX: usize = 256 << 10;

/// A client's connection.
#[derive(Debug)]
pub(super) struct Connection {
    stream: UnixStream,
    framer: Framer,
    /// Answers, and how much of them has gone out.
    out: Vec<u8>,
    sent: usize,
    /// The framer may hold another message.
    more: bool,
    /// The client says no more.
    ended: bool,
    /// It is not listened to any more; what was answered still goes out.
    closing: bool,
    broken: bool,
}

impl Connection {
    pub(super) fn new(stream: UnixStream, message_max: usize) -> Self {
        Self {
            stream,
            framer: Framer::new(message_max),
            out: Vec::new(),
            sent: 0,
            more: false,
            ended: false,
            closing: false,
            broken: false,
        }
    }

    pub(super) fn fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }

    /// What to wait for.
    pub(super) fn wants(&self) -> PollFlags {
        let mut flags = PollFlags::empty();
        flags.set(PollFlags::POLLIN, self.reads());
        flags.set(PollFlags::POLLOUT, !self.out.is_empty());
        flags
    }

    /// It has something to do without waiting.
    pub(super) fn has_work(&self) -> bool {
        self.more && self.has_room()
    }

    /// Nothing is left to do; drop it.
    pub(super) fn is_over(&self) -> bool {
        let silent = self.closing || (self.ended && !self.more);
        self.broken || (silent && self.out.is_empty())
    }

    fn has_room(&self) -> bool {
        self.out.len() - self.sent < ANSWERS_MAX
    }

    fn reads(&self) -> bool {
        !(self.more || self.ended || self.closing) && self.has_room()
    }

    /// One turn: reads a piece, carries out one message, sends. One message, so that a client
    /// with many takes turns with the others. Where it may not act, it only sends. Gives the bytes
    /// that were read.
    pub(super) fn turn(
        &mut self,
        ready: PollFlags,
        piece: &mut [u8; PIECE],
        methods: &mut dyn Methods,
        may_act: bool,
    ) -> usize {
        // A stream that was hung up on may still hold something to read.
        let readable = PollFlags::POLLIN | PollFlags::POLLHUP | PollFlags::POLLERR;
        let mut read = 0;
        if may_act && ready.intersects(readable) && self.reads() {
            read = self.read(piece);
        }
        if may_act && self.has_work() {
            self.carry_out(methods);
        }
        self.write();
        read
    }

    fn read(&mut self, piece: &mut [u8; PIECE]) -> usize {
        match self.stream.read(piece) {
            Ok(0) => {
                self.ended = true;
                self.more = true;
                0
            }
            Ok(n) => {
                self.framer.push(&piece[..n]);
                self.more = true;
                n
            }
            Err(e) if passes(&e) => 0,
            Err(_) => {
                self.broken = true;
                0
            }
        }
    }

    fn carry_out(&mut self, methods: &mut dyn Methods) {
        let answer = match self.framer.next() {
            Ok(Some(text)) => message::answer(text, methods),
            Ok(None) => {
                self.more = false;
                let torn = self.ended && self.framer.is_inside();
                torn.then(|| {
                    let text = "the stream ended inside a message";
                    message::refuse(&RpcError::new(code::PARSE, text))
                })
            }
            Err(why) => {
                self.more = false;
                self.closing = true;
                let code = match why {
                    Spoilt::TooLong(_) => code::INVALID_REQUEST,
                    _ => code::PARSE,
                };
                Some(message::refuse(&RpcError::new(code, why.to_string())))
            }
        };
        if let Some(answer) = answer {
            self.out.extend_from_slice(answer.as_bytes());
        }
    }

    fn write(&mut self) {
        while self.sent < self.out.len() && !self.broken {
            match self.stream.write(&self.out[self.sent..]) {
                Ok(n) => self.sent += n,
                Err(e) if passes(&e) => return,
                Err(_) => self.broken = true,
            }
        }
        // Long answers are rare: their memory is not kept.
        self.sent = 0;
        if self.out.capacity() > PIECE {
            self.out = Vec::new();
        } else {
            self.out.clear();
        }
    }
}

fn passes(e: &io::Error) -> bool {
    matches!(
        e.kind(),
        io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted
    )
}
