//! The caller-polled engine.

use super::channel::{BlockChannel, ChannelOptions};
use crate::engine::reactor::{Handle, LunSpec, NotReady, OpenError, Reactor, ReactorConfig};
use crate::lun::plane::ChannelId;
use crate::lun::policy::{NtStatus, PolicySpec};
use crate::lun::port::Geometry;
use crate::lun::status::LunStatus;
use std::io;
use std::time::Duration;

/// A LUN that an engine has open. Means nothing to another engine.
#[derive(Copy, Clone, PartialEq, Eq, Hash, Debug)]
pub struct Lun(pub(super) ChannelId);

impl Lun {
    /// Its name on the reactor, for services that serve it on.
    pub fn id(self) -> ChannelId {
        self.0
    }
}

/// The LUN is closed already.
#[derive(Copy, Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("the LUN is closed")]
pub struct ClosedLun;

/// One reactor in the hands of its caller: it works while it is polled, in the caller's thread,
/// and holds no thread of its own.
///
/// Threads: owned by one at a time. It may be moved to another thread with its channels and
/// everything in flight; nothing in it is tied to the thread that made it.
#[derive(Debug)]
pub struct Engine {
    reactor: Reactor,
}

impl Engine {
    /// # Errors
    /// No descriptors to be had.
    pub fn new(config: ReactorConfig) -> io::Result<Self> {
        Reactor::new(config).map(Self::from)
    }

    /// Opens a LUN over its paths, which log in as the engine is polled.
    ///
    /// # Errors
    /// URLs that say nothing, two paths over one nexus, local devices that do not open.
    pub fn open_lun(&mut self, spec: &LunSpec) -> Result<Lun, OpenError> {
        self.reactor.open_lun(spec).map(Lun)
    }

    /// Polls until every path has joined, or, when the time is up, until at least one has.
    ///
    /// # Errors
    /// No path has: why, one by one.
    pub fn await_lun(&mut self, lun: Lun, at_most: Duration) -> Result<(), NotReady> {
        self.reactor.await_paths(lun.0, at_most)
    }

    /// A channel for I/O on a LUN; a LUN may have several.
    ///
    /// # Errors
    /// The LUN is closed.
    pub fn open_channel(&mut self, lun: Lun) -> Result<BlockChannel, ClosedLun> {
        self.open_channel_with(lun, ChannelOptions::default())
    }

    /// # Errors
    /// The LUN is closed.
    pub fn open_channel_with(
        &mut self,
        lun: Lun,
        options: ChannelOptions,
    ) -> Result<BlockChannel, ClosedLun> {
        if self.reactor.plane().channel(lun.0).is_closing() {
            return Err(ClosedLun);
        }
        Ok(BlockChannel::new(
            lun,
            self.reactor.open_port(lun.0),
            options,
        ))
    }

    /// Closes a LUN: what waits for a path or behind a fence fails at once, what is in flight ends
    /// as it ends, and then the paths log out. Every request still comes out of its channel.
    pub fn close_lun(&mut self, lun: Lun) {
        self.reactor.plane().close(lun.0);
    }

    /// One turn: sends, receives, completes. Returns whether anything was done.
    #[inline]
    pub fn poll(&mut self) -> bool {
        self.reactor.poll()
    }

    /// Sleeps until something arrives, something is due, or `at_most` has passed. For callers that
    /// do not spin; a completion that is ready ends it at once.
    pub fn wait(&mut self, at_most: Duration) {
        self.reactor.wait(at_most);
    }

    /// What a LUN is like; `None` until a path has told.
    pub fn geometry(&mut self, lun: Lun) -> Option<Geometry> {
        self.reactor.plane().channel(lun.0).geometry.clone()
    }

    pub fn status(&self, lun: Lun) -> LunStatus {
        self.reactor.status(lun.0)
    }

    /// Changes the policy, from the next request on.
    ///
    /// # Errors
    /// What Windows refuses.
    pub fn set_policy(&mut self, lun: Lun, policy: PolicySpec) -> Result<(), NtStatus> {
        self.reactor.set_policy(lun.0, policy)
    }

    /// A handle with which other threads give this engine orders; they run inside `poll`.
    pub fn handle(&self) -> Handle {
        self.reactor.handle()
    }

    /// What is underneath, for served targets and other services on the same engine.
    pub fn reactor(&mut self) -> &mut Reactor {
        &mut self.reactor
    }

    /// Logs out of every path in order, for at most `at_most`, and ends the engine.
    pub fn shut_down(mut self, at_most: Duration) {
        self.reactor.shut_down(at_most);
    }
}

impl From<Reactor> for Engine {
    fn from(reactor: Reactor) -> Self {
        Self { reactor }
    }
}
