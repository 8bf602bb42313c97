//! A channel: I/O in, completions out.

use super::engine::{Engine, Lun};
use super::io::{Completion, Io, Refusal, SubmitError};
use crate::base::request::Token;
use crate::base::sg::SgList;
use crate::lun::channel::Channel;
use crate::lun::plane::Plane;
use crate::lun::port::{PortId, Ports};
use std::time::Duration;

/// How a channel is made.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct ChannelOptions {
    /// Requests outstanding at most; a further one is refused.
    pub depth: usize,
}

impl Default for ChannelOptions {
    fn default() -> Self {
        Self { depth: 1024 }
    }
}

/// A caller's way to a LUN. Every I/O that `submit` takes comes out of `poll_completions` (or
/// `take_completions`) once, with its buffers.
///
/// A channel dropped with I/O outstanding abandons it: the I/O still runs, and its buffers stay
/// with the engine. Who lent foreign memory must not do that, but `close` the channel first.
#[derive(Debug)]
pub struct BlockChannel {
    lun: Lun,
    port: PortId,
    options: ChannelOptions,
    outstanding: usize,
    closed: bool,
    /// Kept between calls so that a batch allocates nothing.
    batch: Vec<Token>,
    /// Payload lists that requests of the pool came with: each goes back into one, so that a split
    /// finds room in it again.
    spares: Vec<SgList>,
}

impl BlockChannel {
    pub(super) fn new(lun: Lun, port: PortId, options: ChannelOptions) -> Self {
        let room = options.depth.min(1024);
        Self {
            lun,
            port,
            options,
            outstanding: 0,
            closed: false,
            batch: Vec::with_capacity(room),
            spares: Vec::with_capacity(room),
        }
    }

    /// Hands an I/O in. It is sent by the engine's next `poll`, together with whatever else was
    /// handed in until then.
    ///
    /// # Errors
    /// The I/O itself and what is wrong with it; nothing has been done then.
    #[inline]
    pub fn submit(&mut self, engine: &mut Engine, io: Io) -> Result<(), SubmitError> {
        self.submit_to(engine.reactor().plane(), io)
    }

    #[inline]
    pub(super) fn submit_to(&mut self, plane: &mut Plane, io: Io) -> Result<(), SubmitError> {
        let blocks = match self.admit(plane.channel(self.lun.0), &io) {
            Ok(blocks) => blocks,
            Err(why) => return Err(SubmitError { io, why }),
        };
        let mut token = plane.take();
        token.op = io.op;
        token.fua = io.fua;
        token.lba = io.lba;
        token.blocks = blocks;
        self.spares
            .push(std::mem::replace(&mut token.data, io.data));
        token.user = io.user;
        self.outstanding += 1;
        plane.submit(self.port, token);
        Ok(())
    }

    #[inline]
    fn admit(&self, lun: &Channel, io: &Io) -> Result<u32, Refusal> {
        if self.closed || lun.is_closing() {
            return Err(Refusal::Closed);
        }
        if self.outstanding >= self.options.depth {
            return Err(Refusal::Full {
                depth: self.options.depth,
            });
        }
        lun.geometry
            .as_ref()
            .ok_or(Refusal::NotReady)
            .and_then(|g| io.check(g))
    }

    /// Turns the engine once and moves what has completed on this channel to the end of `out`.
    /// Returns how many that were.
    #[inline]
    pub fn poll_completions(&mut self, engine: &mut Engine, out: &mut Vec<Completion>) -> usize {
        engine.poll();
        self.take_completions(engine, out)
    }

    /// As `poll_completions`, without turning the engine: for callers with several channels on it.
    pub fn take_completions(&mut self, engine: &mut Engine, out: &mut Vec<Completion>) -> usize {
        self.take_from(engine.reactor().plane(), out)
    }

    pub(super) fn take_from(&mut self, plane: &mut Plane, out: &mut Vec<Completion>) -> usize {
        plane.completions(self.port, &mut self.batch);
        let n = self.batch.len();
        assert!(
            n <= self.outstanding,
            "{n} completions of {} requests",
            self.outstanding
        );
        self.outstanding -= n;
        for mut token in self.batch.drain(..) {
            let io = Io {
                op: token.op,
                fua: token.fua,
                lba: token.lba,
                blocks: token.blocks,
                data: std::mem::replace(&mut token.data, self.spares.pop().unwrap_or_default()),
                user: token.user,
            };
            out.push(Completion {
                io,
                result: token.result,
            });
            plane.recycle(token);
        }
        n
    }

    /// I/O handed in and not yet taken out.
    pub fn outstanding(&self) -> usize {
        self.outstanding
    }

    pub fn lun(&self) -> Lun {
        self.lun
    }

    /// Takes no more I/O and polls until what is outstanding has come out, or the time is up.
    ///
    /// # Errors
    /// The channel, when something is still outstanding; it can only be polled on, or closed again.
    pub fn close(
        mut self,
        engine: &mut Engine,
        out: &mut Vec<Completion>,
        at_most: Duration,
    ) -> Result<(), Self> {
        self.closed = true;
        let until = engine.reactor().now() + at_most;
        loop {
            let worked = engine.poll();
            self.take_completions(engine, out);
            if self.outstanding == 0 {
                self.give_up_port(engine.reactor().plane());
                return Ok(());
            }
            if engine.reactor().now() >= until {
                return Err(self);
            }
            if !worked {
                engine.wait(Duration::from_millis(1));
            }
        }
    }

    /// Ends a channel that has nothing outstanding.
    pub(super) fn give_up_port(self, plane: &mut Plane) {
        assert!(
            self.outstanding == 0,
            "a port is given up with {} requests outstanding",
            self.outstanding
        );
        plane.close_port(self.port);
    }
}
