//! Where a request goes: to a path, or to where it waits until one can take it.

use super::Plane;
use crate::base::clock::Time;
use crate::base::error::{ErrorKind, IoError};
use crate::base::request::Token;
use crate::lun::fence::Release;
use crate::lun::policy::PathIx;
use crate::lun::route::{ParkReason, Route};
use std::time::Duration;

/// How often waiting requests are checked against their time limits.
const SWEEP: Duration = Duration::from_millis(10);

impl Plane {
    /// Hands a request to a path, or to where it waits.
    pub(super) fn dispatch(&mut self, mut token: Token, avoid: Option<PathIx>) {
        let now = self.now;
        let c = token.channel as usize;
        let channel = &mut self.channels[c];
        if channel.is_closing() {
            return self.finish(token, Err(IoError::new(ErrorKind::Aborted)));
        }
        if !channel.fence.is_idle()
            && let Some(loss) = channel.fence.blocks(&token)
        {
            channel.goes_behind_fence();
            token.give_up = self.fence_limit(c, loss);
            self.channels[c].fence.wait_behind(loss, token, now);
            return;
        }
        if self.doubts.any() && self.doubts.blocks(&channel.identity, &channel.name, &token) {
            return self.park(token, ParkReason::ForeignFence);
        }
        let shape = channel.shape(&token);
        match channel.route(shape, &self.loads, now, avoid) {
            Route::Submit(path) => {
                let slot = &channel.slots[path.index()];
                let (association, nsid) = (slot.association, slot.nsid);
                token.path = path.index() as u16;
                token.dispatched = now;
                token.on_wire = false;
                token.give_up = Time::NEVER;
                match self.paths.submit(association, nsid, token, now) {
                    Ok(()) => {
                        self.loads[association].on_dispatch(&shape, now.as_nanos());
                        channel.in_flight += 1;
                        channel.slots[path.index()].in_flight += 1;
                        channel.routes.submitted += 1;
                    }
                    Err(token) => self.park(token, ParkReason::QueueFull),
                }
            }
            Route::Park(reason) => self.park(token, reason),
            Route::Fail(error) => {
                channel.routes.failed += 1;
                self.finish(token, Err(error));
            }
        }
    }

    /// Whatever it waits for in turn, the time that it may wait is counted from the first on, until a
    /// path takes it.
    pub(super) fn park(&mut self, mut token: Token, reason: ParkReason) {
        let channel = &mut self.channels[token.channel as usize];
        channel.routes.parked[reason as usize] += 1;
        if token.give_up == Time::NEVER {
            token.give_up = self.now + channel.settings.park_max;
        }
        match reason {
            ParkReason::QueueFull => channel.backlog.push_back(token),
            ParkReason::NoPathNow | ParkReason::Busy => channel.parked.push_back(token),
            ParkReason::ForeignFence => {
                let due = self.now + SWEEP;
                channel.next_sweep = channel.next_sweep.min(due);
                channel.delayed.push((due, token));
            }
        }
    }

    pub(super) fn drain_backlog(&mut self, c: usize) {
        for _ in 0..self.channels[c].backlog.len() {
            let before = self.channels[c].backlog.len();
            let Some(mut token) = self.channels[c].backlog.pop_front() else {
                return;
            };
            token.give_up = Time::NEVER;
            self.dispatch(token, None);
            let backlog = &mut self.channels[c].backlog;
            if backlog.len() == before {
                // Still full: it keeps its place at the head.
                if let Some(token) = backlog.pop_back() {
                    backlog.push_front(token);
                }
                return;
            }
        }
    }

    pub(super) fn unpark(&mut self, c: usize) {
        for _ in 0..self.channels[c].parked.len() {
            let Some(token) = self.channels[c].parked.pop_front() else {
                return;
            };
            self.dispatch(token, None);
        }
    }

    /// Time limits: parked, delayed and fenced requests.
    pub(super) fn sweep(&mut self, c: usize) {
        let now = self.now;
        self.channels[c].next_sweep = now + SWEEP;
        let mut i = 0;
        while i < self.channels[c].delayed.len() {
            let channel = &mut self.channels[c];
            let (due, token) = &channel.delayed[i];
            if *due > now {
                i += 1;
                continue;
            }
            let overdue = token.give_up <= now;
            // Other reactors do not tell when they have settled a doubt: it is looked at again.
            if !overdue
                && self.doubts.any()
                && self.doubts.blocks(&channel.identity, &channel.name, token)
            {
                channel.delayed[i].0 = now + SWEEP;
                i += 1;
                continue;
            }
            let (_, token) = channel.delayed.swap_remove(i);
            if overdue {
                self.finish(token, Err(IoError::new(ErrorKind::NoPath)));
            } else {
                self.dispatch(token, None);
            }
        }
        while let Some(at) = self.channels[c]
            .parked
            .iter()
            .position(|t| t.give_up <= now)
        {
            if let Some(token) = self.channels[c].parked.remove(at) {
                self.finish(token, Err(IoError::new(ErrorKind::NoPath)));
            }
        }
        if !self.channels[c].fence.is_idle() {
            let mut released = std::mem::take(&mut self.released);
            self.channels[c].fence.expire(now, &mut released);
            if released.iter().any(|r| matches!(r, Release::Unknown(_))) {
                self.put_in_doubt(c);
            }
            self.act_on(&mut released);
            self.released = released;
        }
    }
}
