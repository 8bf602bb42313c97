//! The reactor's half of an awaited LUN.

use super::async_block::{AsyncLun, AsyncOpenError};
use super::async_slots::{Outcome, Table};
use super::channel::BlockChannel;
use super::io::{Completion, Io, Refusal};
use super::oneshot::Giver;
use crate::base::clock::Time;
use crate::base::sg::SgList;
use crate::engine::reactor::{NotReady, Service};
use crate::lun::plane::{ChannelId, Plane};
use std::sync::Arc;
use std::task::Waker;
use std::time::Duration;

/// Who waits for the LUN to be ready, and until when.
#[derive(Debug)]
pub(super) struct Opening {
    pub(super) giver: Giver<Result<AsyncLun, AsyncOpenError>>,
    pub(super) until: Time,
    pub(super) at_most: Duration,
}

/// Carries I/O between a [`Table`] and a channel, and closes the LUN when its handles are gone.
#[derive(Debug)]
pub(super) struct AsyncService {
    table: Arc<Table>,
    lun: ChannelId,
    opening: Option<Opening>,
    /// `None` once the LUN is closed.
    channel: Option<BlockChannel>,
    fresh: Vec<Io>,
    completions: Vec<Completion>,
    done: Vec<(usize, Outcome)>,
    wakers: Vec<Waker>,
    dropped: Vec<SgList>,
}

impl AsyncService {
    pub(super) fn new(
        table: Arc<Table>,
        lun: ChannelId,
        channel: BlockChannel,
        opening: Opening,
    ) -> Self {
        Self {
            table,
            lun,
            opening: Some(opening),
            channel: Some(channel),
            fresh: Vec::new(),
            completions: Vec::new(),
            done: Vec::new(),
            wakers: Vec::new(),
            dropped: Vec::new(),
        }
    }

    /// Answers who opened the LUN, when there is an answer.
    fn answer(&mut self, plane: &mut Plane, now: Time) {
        let Some(opening) = self
            .opening
            .take_if(|o| plane.all_joined(self.lun) || now >= o.until)
        else {
            return;
        };
        let channel = plane.channel(self.lun);
        match &channel.geometry {
            Some(geometry) if channel.slots.iter().any(|s| s.joined) => {
                let lun = AsyncLun::new(self.table.clone(), geometry.clone());
                opening.giver.give(Ok(lun));
            }
            _ => {
                let status = plane.status(self.lun);
                let why = NotReady {
                    why: status.why_not_ready(),
                    name: status.name,
                    after: opening.at_most,
                };
                opening.giver.give(Err(why.into()));
                self.table.close(Refusal::Closed);
            }
        }
    }

    fn close(&mut self, plane: &mut Plane) {
        if let Some(channel) = self.channel.take() {
            channel.give_up_port(plane);
            plane.close(self.lun);
        }
    }
}

impl Service for AsyncService {
    fn poll(&mut self, plane: &mut Plane, now: Time) -> bool {
        if self.opening.is_some() {
            self.answer(plane, now);
        }
        let Some(channel) = &mut self.channel else {
            return false;
        };
        self.table.take_fresh(&mut self.fresh);
        let mut worked = !self.fresh.is_empty();
        for io in self.fresh.drain(..) {
            if let Err(error) = channel.submit_to(plane, io) {
                self.done.push((
                    error.io.user as usize,
                    (Err(error.why.into()), error.io.data),
                ));
            }
        }
        channel.take_from(plane, &mut self.completions);
        for Completion { io, result } in self.completions.drain(..) {
            self.done
                .push((io.user as usize, (result.map_err(Into::into), io.data)));
        }
        if !self.done.is_empty() {
            worked = true;
            self.table
                .settle(&mut self.done, &mut self.wakers, &mut self.dropped);
        }
        let idle = channel.outstanding() == 0;
        if idle
            && !worked
            && self.opening.is_none()
            && self.table.is_closed()
            && self.table.under_way() == 0
        {
            self.close(plane);
            worked = true;
        }
        worked
    }

    fn is_over(&self) -> bool {
        self.channel.is_none()
    }

    fn next_deadline(&self) -> Time {
        self.opening.as_ref().map_or(Time::NEVER, |o| o.until)
    }
}

impl Drop for AsyncService {
    fn drop(&mut self) {
        if self.channel.is_some() {
            self.table.stop();
        }
    }
}
