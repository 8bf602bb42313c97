//! Requests that wait for the proof that a lost path can do no more harm.

use super::Plane;
use crate::base::clock::Time;
use crate::base::error::{ErrorKind, IoError};
use crate::lun::fence::Release;
use crate::path::loss::{LossId, Proof};
use std::time::Duration;

/// Extra time past a loss's bound before a held request is given up on.
const BOUND_SLACK: Duration = Duration::from_secs(1);

impl Plane {
    /// Nobody waits for some of the fenced writes of a LUN any more: its closed blocks stay closed, to
    /// everybody.
    pub(super) fn put_in_doubt(&self, c: usize) {
        let channel = &self.channels[c];
        for (lba, end, loss) in channel.fence.closed() {
            let losses = self.paths.losses().iter();
            let until = losses
                .filter(|l| l.id == loss)
                .map(|l| l.bound_at)
                .next()
                .unwrap_or(Time::NEVER);
            self.doubts
                .publish(&channel.identity, &channel.name, (lba, end, loss), until);
        }
    }

    /// Until when a request may wait behind a loss: past its bound, where it has one.
    pub(super) fn fence_limit(&self, c: usize, loss: LossId) -> Time {
        let patience = self.now + self.channels[c].settings.park_max;
        let bound = self
            .paths
            .losses()
            .iter()
            .find(|l| l.id == loss)
            .map_or(Time::ZERO, |l| l.bound_at);
        if bound == Time::NEVER {
            patience
        } else {
            patience.max(bound + BOUND_SLACK)
        }
    }

    pub(super) fn open_fence(&mut self, loss: LossId, proof: Proof) {
        self.doubts.settle(loss);
        let mut released = std::mem::take(&mut self.released);
        for channel in &mut self.channels {
            let before = released.len();
            channel.fence.open(loss, self.now, &mut released);
            if released.len() > before {
                match channel
                    .proofs
                    .iter_mut()
                    .find(|(name, _)| *name == proof.name())
                {
                    Some((_, n)) => *n += 1,
                    None => channel.proofs.push((proof.name(), 1)),
                }
            }
        }
        self.act_on(&mut released);
        self.released = released;
    }

    pub(super) fn act_on(&mut self, released: &mut Vec<Release>) {
        for item in released.drain(..) {
            let (mut token, failure) = match item {
                Release::Route(t) => (t, None),
                Release::Unknown(t) => (t, Some(ErrorKind::OutcomeUnknown)),
                Release::TimedOut(t) => (t, Some(ErrorKind::NoPath)),
            };
            token.give_up = Time::NEVER;
            self.channels[token.channel as usize].begins(self.now);
            match failure {
                None => self.dispatch(token, None),
                Some(kind) => self.finish(token, Err(IoError::new(kind))),
            }
        }
    }
}
