//! What comes back from the paths, and how it ends for the one who asked.

use super::Plane;
use crate::base::error::{ErrorKind, IoError};
use crate::base::request::{NONE, Token};
use crate::lun::policy::PathIx;
use crate::lun::retry::{Facts, Verdict, verdict};
use crate::lun::route::ParkReason;
use crate::path::access::AccessState;
use crate::path::outcome::Outcome;

impl Plane {
    /// A path gave a request back.
    pub(super) fn on_outcome(&mut self, mut token: Token, outcome: Outcome) {
        let now = self.now;
        let c = token.channel as usize;
        let channel = &mut self.channels[c];
        let shape = channel.shape(&token);
        let slot = &mut channel.slots[usize::from(token.path)];
        let load = &mut self.loads[slot.association];
        channel.in_flight -= 1;
        slot.in_flight -= 1;
        let service = now.nanos_since(token.dispatched);
        match outcome {
            Outcome::Lost(_) | Outcome::NotSent => {
                load.on_drop(&shape);
                slot.stats.lost += 1;
            }
            _ => load.on_complete(&shape, service, now.as_nanos()),
        }
        if outcome == Outcome::Done {
            let bytes = u64::from(shape.bytes);
            slot.stats.record(token.op, bytes, service);
            if let Some(since) = slot.usable_since.take() {
                slot.stats.record_first_io(now.nanos_since(since));
            }
            channel.stats.bytes += bytes;
            return self.finish(token, Ok(()));
        }
        slot.stats.errors += u64::from(!matches!(outcome, Outcome::Lost(_) | Outcome::NotSent));
        let facts = Facts {
            class: token.op.loss_class(),
            retries: token.retries,
            retry_max: channel.settings.retry_max,
            overdue: now >= token.submitted + channel.settings.park_max,
        };
        let from = PathIx::new(usize::from(token.path));
        match verdict(outcome, facts) {
            Verdict::Complete(result) => self.finish(token, result),
            Verdict::Reroute { avoid, counted } => {
                token.retries = token.retries.saturating_add(u8::from(counted));
                let stats = &mut channel.stats;
                if counted {
                    stats.retries += 1;
                } else {
                    stats.rerouted += 1;
                }
                let after = channel.settings.retry_after;
                if counted && !after.is_zero() {
                    channel.next_sweep = channel.next_sweep.min(now + after);
                    channel.delayed.push((now + after, token));
                    return;
                }
                self.dispatch(token, avoid.then_some(from));
            }
            Verdict::RouteLater { after } => {
                channel.stats.rerouted += 1;
                channel.routes.parked[ParkReason::Busy as usize] += 1;
                channel.next_sweep = channel.next_sweep.min(now + after);
                channel.delayed.push((now + after, token));
            }
            Verdict::AccessChanged => {
                channel.stats.rerouted += 1;
                self.access_denied(c, token);
            }
            // Nobody waits for a proof any more: the answer is that there is none.
            Verdict::Fence(_) if channel.is_closing() => {
                self.finish(token, Err(IoError::new(ErrorKind::OutcomeUnknown)));
            }
            Verdict::Fence(loss) => {
                channel.goes_behind_fence();
                token.give_up = self.fence_limit(c, loss);
                self.channels[c].fence.hold(loss, token, now);
            }
        }
    }

    /// The target refused for the path's access state: what we believed is stale. The path is not
    /// used until its state has been read again.
    pub(super) fn access_denied(&mut self, c: usize, token: Token) {
        let at = usize::from(token.path);
        let channel = &mut self.channels[c];
        let slot = &mut channel.slots[at];
        if slot.joined && slot.access.usable_now() {
            slot.access = AccessState::Transitioning;
            slot.usable_since = None;
            channel
                .selector
                .set_access(PathIx::new(at), AccessState::Transitioning);
            let association = slot.association;
            self.paths.reread_access(association, self.now);
        }
        self.dispatch(token, Some(PathIx::new(at)));
    }

    /// Completes a request towards its port, or its part towards its parent.
    pub(super) fn finish(&mut self, mut token: Token, result: Result<(), IoError>) {
        let c = token.channel as usize;
        let channel = &mut self.channels[c];
        if token.parent != NONE {
            let parent = token.parent;
            channel.ends(self.now);
            let ended = channel.splits.part_done(parent, result);
            token.data.clear();
            self.pool.put(token);
            if let Some((parent, result)) = ended {
                self.channels[c].begins(self.now);
                self.finish(parent, result);
            }
            return;
        }
        channel.ends(self.now);
        channel.stats.completed += 1;
        channel.stats.failed += u64::from(result.is_err());
        channel
            .stats
            .latency
            .saturating_record(self.now.nanos_since(token.submitted).max(1));
        token.result = result;
        let port = &mut self.ports[token.port as usize];
        if port.open {
            port.done.push(token);
        } else {
            self.pool.put(token);
        }
    }

    /// Sends a request larger than one command in parts, each routed for itself.
    #[allow(unsafe_code)]
    pub(super) fn split(&mut self, token: Token, max: u32) {
        let c = token.channel as usize;
        let shift = self.channels[c]
            .geometry
            .as_ref()
            .map_or(9, |g| g.block_size.trailing_zeros());
        let (op, fua, lba, blocks) = (token.op, token.fua, token.lba, token.blocks);
        let (port, channel, submitted) = (token.port, token.channel, token.submitted);
        let has_payload = !token.data.is_empty();
        let parts = blocks.div_ceil(max);
        // The parent itself is not outstanding; its parts are.
        self.channels[c].goes_behind_fence();
        let parent = self.channels[c].splits.open(token, parts);
        for n in 0..parts {
            let first = n * max;
            let count = max.min(blocks - first);
            let mut part = self.pool.get();
            if has_payload {
                let data = &self.channels[c].splits.parent(parent).data;
                // SAFETY: the parent rests in `splits`, untouched, until its last part has ended and
                // dropped its view; the parts' ranges do not overlap.
                unsafe {
                    part.data
                        .view_of(data, (first as usize) << shift, (count as usize) << shift)
                };
            }
            part.op = op;
            part.fua = fua;
            part.lba = lba + u64::from(first);
            part.blocks = count;
            part.parent = parent;
            part.port = port;
            part.channel = channel;
            part.submitted = submitted;
            self.channels[c].begins(self.now);
            self.dispatch(part, None);
        }
    }
}
