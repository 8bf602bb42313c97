//! One client. It never makes us wait, and there is a bound on what it can make us hold: one
//! unfinished message, one piece of the stream behind it, and the answers it does not take.

use super::Methods;
use super::budget::Usage;
use super::error::{RpcError, code};
use super::framer::{Framer, Spoilt};
use super::message::{self, Parsed};
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
    /// A message of its is being answered elsewhere; the next waits for that.
    away: bool,
    /// Tells it from others, those before it in its place included.
    pub(super) number: u64,
    /// What it had lately.
    pub(super) usage: Usage,
}

/// What a turn of a client has come to.
#[derive(Debug, Default)]
pub(super) struct Turn {
    /// Bytes that were read.
    pub(super) read: Option<usize>,
    /// A message that is to be answered elsewhere.
    pub(super) away: Option<Parsed>,
    /// A message was answered, with an answer or with nothing.
    pub(super) answered: bool,
    /// It was no message.
    pub(super) refused: bool,
}

impl Connection {
    pub(super) fn new(stream: UnixStream, message_max: usize, number: u64, usage: Usage) -> Self {
        Self {
            stream,
            away: false,
            number,
            usage,
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

    /// What to wait for; where it may not act, only for room to send in.
    pub(super) fn wants(&self, may_act: bool) -> PollFlags {
        let mut flags = PollFlags::empty();
        flags.set(PollFlags::POLLIN, may_act && self.reads());
        flags.set(PollFlags::POLLOUT, !self.out.is_empty());
        flags
    }

    /// It has something to do without waiting.
    pub(super) fn has_work(&self) -> bool {
        self.more && self.has_room() && !self.away
    }

    /// Nothing is left to do; drop it.
    pub(super) fn is_over(&self) -> bool {
        let silent = self.closing || (self.ended && !self.more);
        self.broken || (silent && self.out.is_empty() && !self.away)
    }

    /// What has come of the message that was answered elsewhere.
    pub(super) fn returned(&mut self, answer: Option<String>) {
        self.away = false;
        self.say(answer);
    }

    fn has_room(&self) -> bool {
        self.out.len() - self.sent < ANSWERS_MAX
    }

    fn reads(&self) -> bool {
        !(self.more || self.ended || self.closing || self.away) && self.has_room()
    }

    /// One turn: reads a piece, carries out one message, sends. One message, so that a client
    /// with many takes turns with the others. Where it may not act, it only sends.
    pub(super) fn turn(
        &mut self,
        ready: PollFlags,
        piece: &mut [u8; PIECE],
        methods: &mut dyn Methods,
        may_act: bool,
    ) -> Turn {
        // A stream that was hung up on may still hold something to read.
        let readable = PollFlags::POLLIN | PollFlags::POLLHUP | PollFlags::POLLERR;
        let mut turn = Turn::default();
        if may_act && ready.intersects(readable) && self.reads() {
            let room = self.usage.piece().min(PIECE);
            turn.read = Some(self.read(&mut piece[..room]));
        }
        if may_act && self.has_work() {
            self.carry_out(methods, &mut turn);
        }
        self.write();
        turn
    }

    fn read(&mut self, piece: &mut [u8]) -> usize {
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

    fn carry_out(&mut self, methods: &mut dyn Methods, turn: &mut Turn) {
        let answer = match self.framer.next() {
            Ok(Some(text)) => match message::parse(text) {
                Ok(parsed) => {
                    turn.answered = true;
                    if parsed.waits(methods) {
                        self.away = true;
                        turn.away = Some(parsed);
                        return;
                    }
                    parsed.answer(methods)
                }
                Err(refused) => {
                    turn.refused = true;
                    Some(refused)
                }
            },
            Ok(None) => {
                self.more = false;
                let torn = self.ended && self.framer.is_inside();
                turn.refused = torn;
                torn.then(|| {
                    let text = "the stream ended inside a message";
                    message::refuse(&RpcError::new(code::PARSE, text))
                })
            }
            Err(why) => {
                self.more = false;
                self.closing = true;
                turn.refused = true;
                let code = match why {
                    Spoilt::TooLong(_) => code::INVALID_REQUEST,
                    _ => code::PARSE,
                };
                Some(message::refuse(&RpcError::new(code, why.to_string())))
            }
        };
        self.say(answer);
    }

    fn say(&mut self, answer: Option<String>) {
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
