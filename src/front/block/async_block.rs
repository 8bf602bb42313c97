//! The block API as futures, under any executor.
//!
//! An [`AsyncEngine`] has a thread that polls its reactor; futures hand their I/O to it through a
//! table and are woken from it. Nothing here knows an executor, a timer or a runtime.
//!
//! An I/O starts when its future is first polled. A future dropped before it is ready lets go of
//! the I/O, not of its buffers: those stay with the engine until the I/O has ended.

use super::async_service::{AsyncService, Opening};
pub use super::async_slots::{BlockError, Outcome};
use super::async_slots::{Started, Table};
use super::channel::{BlockChannel, ChannelOptions};
use super::engine::Lun;
use super::io::{Io, Refusal};
use super::oneshot::oneshot;
use crate::base::sg::SgList;
use crate::engine::driver::{Driver, DriverConfig};
use crate::engine::reactor::{Handle, LunSpec, NotReady, OpenError, ReactorConfig};
use crate::lun::port::Geometry;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::task::{Context, Poll};
use std::time::Duration;

/// Why a LUN could not be had.
#[derive(Debug, thiserror::Error)]
pub enum AsyncOpenError {
    #[error(transparent)]
    Open(#[from] OpenError),
    #[error(transparent)]
    NotReady(#[from] NotReady),
    #[error("the engine has stopped")]
    Stopped,
}

/// An engine on a thread of its own, for awaited I/O.
///
/// Dropping it stops the thread: what is still under way then ends as "outcome unknown", without
/// its buffers. [`shut_down`](Self::shut_down) lets it end first.
#[derive(Debug)]
pub struct AsyncEngine {
    driver: Driver,
    tables: Mutex<Vec<Weak<Table>>>,
}

impl AsyncEngine {
    /// # Errors
    /// No thread, or no descriptors.
    pub fn start(reactor: ReactorConfig, driver: DriverConfig) -> io::Result<Self> {
        let driver = Driver::start(reactor, driver, |_| {})?;
        Ok(Self {
            driver,
            tables: Mutex::default(),
        })
    }

    /// For orders to the reactor, such as a change of policy.
    pub fn handle(&self) -> &Handle {
        self.driver.handle()
    }

    /// Takes no more I/O, waits for what is under way for at most `at_most`, and stops. Blocks.
    pub fn shut_down(self, at_most: Duration) {
        let tables =
            std::mem::take(&mut *self.tables.lock().unwrap_or_else(PoisonError::into_inner));
        let tables: Vec<_> = tables.iter().filter_map(Weak::upgrade).collect();
        for table in &tables {
            table.close(Refusal::Stopped);
        }
        let clock = crate::base::clock::Clock::monotonic();
        let until = clock.now() + at_most;
        while tables.iter().any(|t| t.under_way() > 0) && clock.now() < until {
            std::thread::sleep(Duration::from_millis(1));
        }
        self.driver.stop();
    }

    fn new_table(&self) -> Arc<Table> {
        let table = Arc::new(Table::new(
            ChannelOptions::default().depth,
            self.driver.handle().waker(),
        ));
        let mut tables = self.tables.lock().unwrap_or_else(PoisonError::into_inner);
        tables.retain(|t| t.strong_count() > 0);
        tables.push(Arc::downgrade(&table));
        table
    }
}

/// The last handle of a LUN closes it.
#[derive(Debug)]
struct Owner(Arc<Table>);

impl Drop for Owner {
    fn drop(&mut self) {
        self.0.close(Refusal::Closed);
    }
}

/// A LUN whose I/O is awaited. Clones are handles on the same LUN, from any thread; the last one
/// to go closes it, and what is under way then still ends as it should.
#[derive(Clone, Debug)]
pub struct AsyncLun {
    owner: Arc<Owner>,
    geometry: Arc<Geometry>,
}

impl AsyncLun {
    pub(super) fn new(table: Arc<Table>, geometry: Geometry) -> Self {
        Self {
            owner: Arc::new(Owner(table)),
            geometry: Arc::new(geometry),
        }
    }

    /// Opens a LUN and waits until every path has joined, or, after `at_most`, at least one.
    ///
    /// # Errors
    /// Bad URLs; no path that joined in time, with why; an engine that has stopped.
    pub async fn open(
        engine: &AsyncEngine,
        spec: LunSpec,
        at_most: Duration,
    ) -> Result<Self, AsyncOpenError> {
        let (giver, taker) = oneshot();
        let table = engine.new_table();
        let order = engine.handle().send(move |reactor| {
            let lun = match reactor.open_lun(&spec) {
                Ok(lun) => lun,
                Err(e) => return giver.give(Err(e.into())),
            };
            let channel =
                BlockChannel::new(Lun(lun), reactor.open_port(lun), ChannelOptions::default());
            let opening = Opening {
                giver,
                until: reactor.now() + at_most,
                at_most,
            };
            reactor.add_service(Box::new(AsyncService::new(table, lun, channel, opening)));
        });
        if order.is_err() {
            return Err(AsyncOpenError::Stopped);
        }
        taker.await.unwrap_or(Err(AsyncOpenError::Stopped))
    }

    /// What the LUN was like when it was opened.
    pub fn geometry(&self) -> &Geometry {
        &self.geometry
    }

    /// Any I/O; the others are short for it. Resolves to how it ended, and its buffers.
    pub fn io(&self, io: Io) -> IoFuture {
        IoFuture {
            table: self.owner.0.clone(),
            stage: Stage::New(io),
        }
    }

    /// Fills `data` from `lba` on.
    pub fn read(&self, lba: u64, data: impl Into<SgList>) -> IoFuture {
        self.io(Io::read(lba, data))
    }

    pub fn write(&self, lba: u64, data: impl Into<SgList>) -> IoFuture {
        self.io(Io::write(lba, data))
    }

    pub fn flush(&self) -> IoFuture {
        self.io(Io::flush())
    }

    pub fn discard(&self, lba: u64, blocks: u32) -> IoFuture {
        self.io(Io::discard(lba, blocks))
    }

    pub fn write_zeroes(&self, lba: u64, blocks: u32) -> IoFuture {
        self.io(Io::write_zeroes(lba, blocks))
    }

    pub fn compare(&self, lba: u64, data: impl Into<SgList>) -> IoFuture {
        self.io(Io::compare(lba, data))
    }
}

#[derive(Debug)]
enum Stage {
    New(Io),
    Started(usize),
    Over,
}

/// One I/O. Does nothing until it is polled.
#[derive(Debug)]
#[must_use = "an I/O starts when it is awaited"]
pub struct IoFuture {
    table: Arc<Table>,
    stage: Stage,
}

impl Future for IoFuture {
    type Output = Outcome;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Outcome> {
        match std::mem::replace(&mut self.stage, Stage::Over) {
            Stage::New(io) => match self.table.start(io, cx.waker()) {
                Started::At(at) => self.stage = Stage::Started(at),
                Started::Later(io) => self.stage = Stage::New(io),
                Started::Refused(io, why) => return Poll::Ready((Err(why.into()), io.data)),
            },
            Stage::Started(at) => match self.table.outcome(at, cx.waker()) {
                Some(outcome) => return Poll::Ready(outcome),
                None => self.stage = Stage::Started(at),
            },
            Stage::Over => panic!("an I/O is polled after it was ready"),
        }
        Poll::Pending
    }
}

impl Drop for IoFuture {
    fn drop(&mut self) {
        if let Stage::Started(at) = self.stage {
            self.table.abandon(at);
        }
    }
}
