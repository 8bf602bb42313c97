//! The data plane of one reactor: channels over associations.
//!
//! Owned and driven by one thread; nothing here is shared. A turn is: receive (`poll`), let front
//! ends take completions and hand in more, send (`flush`).

use super::channel::{Channel, Life, LunSettings, PathSlot, SlotLife};
use super::doubt::{Doubts, DoubtsOf};
use super::fence::Release;
use super::policy::{Alua, NexusLoad, Options, PathInit, PathIx, PolicySpec, Selector};
use super::port::{Geometry, PortId, Ports};
use super::retry::{Facts, Verdict, verdict};
use super::route::{ParkReason, Route};
use super::stats::PathStats;
use super::status::{LunStatus, PathStatus};
use crate::base::clock::{Clock, Time};
use crate::base::error::{ErrorKind, IoError};
use crate::base::request::{LossClass, NONE, Op, Request, RequestPool, Token};
use crate::path::access::AccessState;
use crate::path::dialer::Dialer;
use crate::path::local::LocalDevice;
use crate::path::loss::{LossId, Proof};
use crate::path::nvme_link::HostIdentity;
use crate::path::outcome::Outcome;
use crate::path::reason::DownReason;
use crate::path::set::{AssociationIx, PathEvent, PathSet};
use crate::path::state::State;
use crate::path::url::{NexusSpec, PathSpec};
use std::time::Duration;

mod manage;
pub use manage::{Overview, PathOverview, target_name};

/// A LUN on this reactor.
#[derive(Copy, Clone, PartialEq, Eq, Hash, Debug)]
pub struct ChannelId(pub u32);

/// How often waiting requests are checked against their time limits.
const SWEEP: Duration = Duration::from_millis(10);

/// Extra time past a loss's bound before a held request is given up on.
const BOUND_SLACK: Duration = Duration::from_secs(1);

/// One path of a LUN to open. A local path brings its device.
#[derive(Debug)]
pub struct PathToOpen {
    pub spec: PathSpec,
    pub local: Option<LocalDevice>,
    pub weight: u32,
}

#[derive(Debug)]
struct Port {
    channel: u32,
    open: bool,
    done: Vec<Token>,
}

/// Channels, associations, and what lies between.
#[derive(Debug)]
pub struct Plane {
    pub paths: PathSet,
    /// By association: what the policies count by.
    loads: Vec<NexusLoad>,
    channels: Vec<Channel>,
    ports: Vec<Port>,
    pool: RequestPool,
    doubts: DoubtsOf,
    now: Time,
    released: Vec<Release>,
    events: Vec<PathEvent>,
    done: Vec<(Token, Outcome)>,
}

impl Plane {
    pub fn new(dialer: Dialer, host: HostIdentity, seed: u64, now: Time) -> Self {
        Self {
            paths: PathSet::new(dialer, host, seed),
            loads: Vec::new(),
            channels: Vec::new(),
            ports: Vec::new(),
            pool: RequestPool::default(),
            // Until it is told whom it shares them with; by a clock that stands, only proofs count.
            doubts: Doubts::default().join(Clock::virtual_at(now).0),
            now,
            released: Vec::new(),
            events: Vec::new(),
            done: Vec::new(),
        }
    }

    /// Shares with other reactors which blocks are in doubt.
    pub fn share_doubts(&mut self, doubts: &Doubts, clock: Clock) {
        self.doubts = doubts.join(clock);
    }

    /// Opens a LUN over its paths; they log in as `poll` is called.
    pub fn open(
        &mut self,
        name: &str,
        paths: Vec<PathToOpen>,
        policy: Option<PolicySpec>,
        settings: LunSettings,
    ) -> ChannelId {
        let asymmetric_kind = paths
            .iter()
            .any(|p| !matches!(p.spec.nexus, NexusSpec::Local(_)));
        // ANA is folded like implicit ALUA; a LUN on local devices has no access states.
        let alua = if asymmetric_kind {
            Alua::Implicit
        } else {
            Alua::None
        };
        let selector = Selector::new(Options {
            alua,
            ..Options::default()
        });
        let mut channel = Channel::new(name.to_owned(), settings, selector);
        channel.next_sweep = self.now;
        let id = ChannelId(self.channels.len() as u32);
        self.channels.push(channel);
        for path in paths {
            self.add_path(id, path);
        }
        if let Some(spec) = policy {
            // Round robin is checked against symmetry when that is known: at the first join.
            let _ = self.set_policy(id, spec);
        }
        id
    }

    /// Adds a path to a LUN, at the end of its list.
    pub fn add_path(&mut self, id: ChannelId, path: PathToOpen) -> PathIx {
        let association = self.paths.attach(&path.spec.nexus, path.local, self.now);
        if self.loads.len() <= association {
            self.loads.resize_with(association + 1, NexusLoad::default);
        }
        let channel = &mut self.channels[id.0 as usize];
        // The place of a path that is gone, or a new one: where the selector will put it.
        let gone = |s: &PathSlot| s.life == SlotLife::Gone;
        let at = channel.slots.iter().position(gone);
        let at = at.unwrap_or(channel.slots.len());
        let init = PathInit {
            id: path.spec.nexus.id(),
            nexus: association as u16,
            // Each controller reports its own states, so every path is a group of its own.
            tpg: at as u32 + 1,
            weight: path.weight,
        };
        let ix = channel
            .selector
            .add_path(init)
            .expect("path ids and counts are checked when a LUN is configured");
        assert_eq!(ix.index(), at, "selector and channel number paths alike");
        channel.selector.path_down(ix);
        let slot = PathSlot {
            spec: path.spec,
            association,
            nsid: 0,
            joined: false,
            refused: None,
            access: AccessState::Optimized,
            usable_since: None,
            weight: path.weight,
            stats: PathStats::default(),
            life: SlotLife::Here,
            in_flight: 0,
        };
        match channel.slots.get_mut(at) {
            Some(place) => *place = slot,
            None => channel.slots.push(slot),
        }
        if self.paths.get(association).state() == State::Up {
            self.try_join(id.0 as usize, at);
        }
        ix
    }

    /// A further port on a LUN.
    pub fn open_port(&mut self, id: ChannelId) -> PortId {
        self.ports.push(Port {
            channel: id.0,
            open: true,
            done: Vec::new(),
        });
        PortId(self.ports.len() as u32 - 1)
    }

    /// Ends a port: what still completes on it is dropped, with its buffers.
    pub fn close_port(&mut self, id: PortId) {
        let port = &mut self.ports[id.0 as usize];
        assert!(port.open, "a port is closed once");
        port.open = false;
        for token in port.done.drain(..) {
            self.pool.put(token);
        }
    }

    /// Closes a LUN: requests that wait fail at once, those on a path end as they end, and the
    /// paths are given up when the last of them has.
    pub fn close(&mut self, id: ChannelId) {
        let c = id.0 as usize;
        let channel = &mut self.channels[c];
        if channel.life != Life::Open {
            return;
        }
        channel.life = Life::Closing;
        let mut waiting: Vec<Token> = channel
            .parked
            .drain(..)
            .chain(channel.backlog.drain(..))
            .collect();
        waiting.extend(channel.delayed.drain(..).map(|(_, token)| token));
        for token in waiting {
            self.finish(token, Err(IoError::new(ErrorKind::Aborted)));
        }
        self.put_in_doubt(c);
        let mut fenced = Vec::new();
        self.channels[c].fence.take_all(&mut fenced);
        for token in fenced {
            self.channels[c].begins(self.now);
            let sent = token.on_wire && token.op.loss_class() != LossClass::Free;
            let kind = if sent {
                ErrorKind::OutcomeUnknown
            } else {
                ErrorKind::Aborted
            };
            self.finish(token, Err(IoError::new(kind)));
        }
    }

    /// Gives up the paths of a closing LUN that has nothing on them any more.
    fn finish_closing(&mut self, c: usize) {
        let channel = &mut self.channels[c];
        if channel.life != Life::Closing || channel.in_flight > 0 {
            return;
        }
        channel.life = Life::Closed;
        for slot in channel
            .slots
            .iter_mut()
            .filter(|s| s.life != SlotLife::Gone)
        {
            slot.joined = false;
            slot.life = SlotLife::Gone;
            self.paths.detach(slot.association, self.now);
        }
    }

    /// Changes the policy from the next request on.
    ///
    /// # Errors
    /// What Windows refuses: round robin where paths are not equal.
    pub fn set_policy(
        &mut self,
        id: ChannelId,
        spec: PolicySpec,
    ) -> Result<(), super::policy::NtStatus> {
        let channel = &mut self.channels[id.0 as usize];
        channel
            .selector
            .set_explicit(Some(super::policy::defaults::Setting::new(spec)))
    }

    /// Starts the longest fence of a LUN's counters anew, for measuring one loss at a time.
    pub fn reset_longest_fence(&mut self, id: ChannelId) {
        self.channels[id.0 as usize].fence.counters.longest_ns = 0;
    }

    /// Lowers the longest command of a LUN, in blocks; larger requests are split.
    pub fn limit_transfer(&mut self, id: ChannelId, blocks: u32) {
        if let Some(g) = &mut self.channels[id.0 as usize].geometry {
            g.max_transfer_blocks = g.max_transfer_blocks.min(blocks).max(1);
        }
    }

    pub fn channel(&self, id: ChannelId) -> &Channel {
        &self.channels[id.0 as usize]
    }

    pub fn channels(&self) -> impl Iterator<Item = (ChannelId, &Channel)> {
        self.channels
            .iter()
            .enumerate()
            .map(|(i, c)| (ChannelId(i as u32), c))
    }

    /// Loads by association, as the policies see them.
    pub fn loads(&self) -> &[NexusLoad] {
        &self.loads
    }

    /// Adds what other reactors have in flight on an association's nexus, as of this tick.
    pub fn set_remote_load(&mut self, ix: AssociationIx, in_flight: u32, bytes: u64) {
        self.loads[ix].remote_in_flight = in_flight;
        self.loads[ix].remote_bytes = bytes;
    }

    pub fn now(&self) -> Time {
        self.now
    }

    /// Receives, completes, routes again. Returns whether anything was done.
    pub fn poll(&mut self, now: Time) -> bool {
        self.now = now;
        let worked = self.paths.poll(now);
        if worked || !self.paths.events.is_empty() || !self.paths.done.is_empty() {
            self.digest();
        }
        for c in 0..self.channels.len() {
            if self.channels[c].life != Life::Open {
                self.finish_closing(c);
            }
            if self.channels[c].leaving > 0 {
                self.finish_leaving(c);
            }
            if !self.channels[c].backlog.is_empty() {
                self.drain_backlog(c);
            }
            if now >= self.channels[c].next_sweep {
                self.sweep(c);
            }
        }
        worked
    }

    /// Sends what was handed in since the last turn.
    pub fn flush(&mut self, now: Time) -> bool {
        self.now = now;
        let worked = self.paths.flush(now);
        if !self.paths.events.is_empty() || !self.paths.done.is_empty() {
            self.digest();
        }
        worked
    }

    /// Losses first, so that no request is routed to a path that is gone; then completions; then
    /// opened fences, whose requests the completions may just have put behind them.
    fn digest(&mut self) {
        while !self.paths.events.is_empty() || !self.paths.done.is_empty() {
            let mut events =
                std::mem::replace(&mut self.paths.events, std::mem::take(&mut self.events));
            let mut done = std::mem::replace(&mut self.paths.done, std::mem::take(&mut self.done));
            for event in events
                .iter()
                .filter(|e| !matches!(e, PathEvent::FenceOpen(..)))
            {
                self.on_path_event(event);
            }
            for (token, outcome) in done.drain(..) {
                self.on_outcome(token, outcome);
            }
            for event in events.drain(..) {
                if let PathEvent::FenceOpen(loss, proof) = event {
                    self.open_fence(loss, proof);
                }
            }
            self.events = events;
            self.done = done;
        }
    }

    fn on_path_event(&mut self, event: &PathEvent) {
        let (&PathEvent::Up(ix)
        | &PathEvent::Down(ix)
        | &PathEvent::Access(ix)
        | &PathEvent::Units(ix)) = event
        else {
            return;
        };
        for c in 0..self.channels.len() {
            for at in 0..self.channels[c].slots.len() {
                if self.channels[c].slots[at].association != ix
                    || self.channels[c].slots[at].life != SlotLife::Here
                    || self.channels[c].life == Life::Closed
                {
                    continue;
                }
                match event {
                    PathEvent::Up(_) | PathEvent::Units(_) => self.try_join(c, at),
                    PathEvent::Down(_) => {
                        let channel = &mut self.channels[c];
                        channel.slots[at].joined = false;
                        channel.selector.path_down(PathIx::new(at));
                    }
                    _ => self.refresh_access(c, at),
                }
            }
            self.unpark(c);
        }
    }

    /// Reads a path's unit again and lets it into the LUN, or keeps it out and says why.
    fn try_join(&mut self, c: usize, at: usize) {
        let channel = &mut self.channels[c];
        let slot = &channel.slots[at];
        let association = self.paths.get(slot.association);
        let wanted = match slot.spec.nexus {
            NexusSpec::NvmeTcp(_) | NexusSpec::Iscsi(_) => slot.spec.nsid,
            NexusSpec::Local(_) => None,
        };
        let ix = PathIx::new(at);
        let verdict = match association.unit(wanted) {
            Some(unit) => channel.join(at, unit).map(|()| unit.carrying_access()),
            None => Err(match (wanted, association.units().len()) {
                (Some(n), _) => {
                    let have: Vec<_> = association
                        .units()
                        .iter()
                        .map(|u| u.nsid.to_string())
                        .collect();
                    format!(
                        "namespace {n} is absent; the target offers: {}",
                        if have.is_empty() {
                            "none".to_owned()
                        } else {
                            have.join(", ")
                        }
                    )
                }
                (None, 0) => "the target offers no namespace".to_owned(),
                (None, n) => format!("the target offers {n} namespaces: choose one with nsid="),
            }),
        };
        match verdict {
            Ok(access) => {
                channel.selector.set_access(ix, access);
                channel.selector.path_up(ix);
                self.check_policy(c);
            }
            Err(why) => {
                tracing::warn!(lun = %channel.name, path = %channel.slots[at].spec.url, "path refused: {why}");
                channel.slots[at].joined = false;
                channel.slots[at].refused = Some(why);
                channel.selector.path_down(ix);
            }
        }
        self.unpark(c);
    }

    /// A LUN that turned out asymmetric does not keep round robin (it is refused there).
    fn check_policy(&mut self, c: usize) {
        let channel = &mut self.channels[c];
        if channel.selector.policy().policy() == super::policy::Policy::RoundRobin
            && !channel.selector.symmetric()
        {
            tracing::warn!(lun = %channel.name, "round robin is refused on an asymmetric LUN; using round robin with subset");
            let rrws = super::policy::defaults::Setting::new(PolicySpec::new(
                super::policy::Policy::RoundRobinWithSubset,
            ));
            // Granted by the rule just checked.
            let _ = channel.selector.set_explicit(Some(rrws));
        }
    }

    fn refresh_access(&mut self, c: usize, at: usize) {
        let channel = &mut self.channels[c];
        let slot = &mut channel.slots[at];
        if !slot.joined {
            return;
        }
        let nsid = slot.nsid;
        if let Some(unit) = self.paths.get(slot.association).unit(Some(nsid)) {
            let was = std::mem::replace(&mut slot.access, unit.carrying_access());
            if slot.access != was {
                slot.usable_since = slot.access.usable_now().then_some(self.now);
            }
            channel.selector.set_access(PathIx::new(at), slot.access);
        }
        self.check_policy(c);
    }

    /// Hands a request to a path, or to where it waits.
    fn dispatch(&mut self, mut token: Token, avoid: Option<PathIx>) {
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

    fn park(&mut self, mut token: Token, reason: ParkReason) {
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

    /// Nobody waits for some of the fenced writes of a LUN any more: its closed blocks stay closed, to
    /// everybody.
    fn put_in_doubt(&self, c: usize) {
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
    fn fence_limit(&self, c: usize, loss: LossId) -> Time {
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

    fn drain_backlog(&mut self, c: usize) {
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

    fn unpark(&mut self, c: usize) {
        for _ in 0..self.channels[c].parked.len() {
            let Some(mut token) = self.channels[c].parked.pop_front() else {
                return;
            };
            let limit = token.give_up;
            token.give_up = Time::NEVER;
            let (channel, before) = (token.channel as usize, self.channels[c].parked.len());
            self.dispatch(token, None);
            if self.channels[channel].parked.len() > before {
                // Parked again: the waiting it has done counts on.
                if let Some(token) = self.channels[channel].parked.back_mut() {
                    token.give_up = limit;
                }
            }
        }
    }

    /// Time limits: parked, delayed and fenced requests.
    fn sweep(&mut self, c: usize) {
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
            let (_, mut token) = channel.delayed.swap_remove(i);
            if overdue {
                self.finish(token, Err(IoError::new(ErrorKind::NoPath)));
            } else {
                token.give_up = Time::NEVER;
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

    fn open_fence(&mut self, loss: LossId, proof: Proof) {
        self.doubts.settle(loss);
        let mut released = std::mem::take(&mut self.released);
        for channel in &mut self.channels {
            channel.fence.open(loss, self.now, &mut released);
            if !released.is_empty() {
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

    fn act_on(&mut self, released: &mut Vec<Release>) {
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

    /// A path gave a request back.
    fn on_outcome(&mut self, mut token: Token, outcome: Outcome) {
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
    fn access_denied(&mut self, c: usize, token: Token) {
        let at = usize::from(token.path);
        let channel = &mut self.channels[c];
        let slot = &mut channel.slots[at];
        if slot.joined && slot.access.usable_now() {
            slot.access = AccessState::Transitioning;
            channel
                .selector
                .set_access(PathIx::new(at), AccessState::Transitioning);
            let association = slot.association;
            self.paths.reread_access(association, self.now);
        }
        self.dispatch(token, Some(PathIx::new(at)));
    }

    /// Completes a request towards its port, or its part towards its parent.
    fn finish(&mut self, mut token: Token, result: Result<(), IoError>) {
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
    fn split(&mut self, token: Token, max: u32) {
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

    /// Takes a nexus down as if it had been lost, or for good. For tests, demos and operators.
    pub fn take_down(&mut self, ix: AssociationIx, reason: DownReason) {
        self.paths.take_down(ix, reason, self.now);
        self.digest();
    }

    /// When `poll` has something to do even if nothing arrives.
    pub fn next_deadline(&self) -> Time {
        if self.ports.iter().any(|p| !p.done.is_empty()) {
            return Time::ZERO;
        }
        let channels = self
            .channels
            .iter()
            .map(Channel::next_deadline)
            .min()
            .unwrap_or(Time::NEVER);
        channels.min(self.paths.next_deadline())
    }

    /// Whether every path of a LUN has joined.
    pub fn all_joined(&self, id: ChannelId) -> bool {
        self.channel(id)
            .slots
            .iter()
            .all(|s| s.joined || s.life != SlotLife::Here)
    }

    pub fn status(&self, id: ChannelId) -> LunStatus {
        let channel = self.channel(id);
        let path = |slot: &PathSlot| {
            let a = self.paths.get(slot.association);
            let reason = a
                .reason()
                .map(ToString::to_string)
                .or_else(|| slot.refused.clone());
            PathStatus {
                url: slot.spec.url.clone(),
                nexus_id: a.nexus.id,
                state: a.state(),
                reason,
                joined: slot.joined,
                access: slot.access,
                weight: slot.weight,
                local_addr: a.nexus.local_addr.clone(),
                remote_addr: a.nexus.remote_addr.clone(),
                nexus_in_flight: self.loads[slot.association].in_flight,
                logins: a.counters.logins,
                stats: slot.stats.clone(),
            }
        };
        let mut stats = channel.stats.clone();
        stats.longest_stall_ns = stats.longest_stall_ns.max(channel.stalled_for(self.now));
        LunStatus {
            name: channel.name.clone(),
            policy: channel.selector.policy().to_string(),
            geometry: channel.geometry.clone(),
            paths: channel
                .slots
                .iter()
                .filter(|s| s.life == SlotLife::Here)
                .map(path)
                .collect(),
            stats,
            routes: channel.routes,
            fence: channel.fence.counters,
            fenced_now: channel.fence.occupants(),
            parked_now: channel.parked.len() + channel.backlog.len() + channel.delayed.len(),
            proofs: channel.proofs.clone(),
        }
    }
}

impl Ports for Plane {
    fn geometry(&self, port: PortId) -> Option<Geometry> {
        let channel = self.ports.get(port.0 as usize)?.channel;
        self.channels[channel as usize].geometry.clone()
    }

    fn take(&mut self) -> Token {
        self.pool.get()
    }

    fn recycle(&mut self, token: Token) {
        self.pool.put(token);
    }

    #[inline]
    fn submit(&mut self, port: PortId, mut token: Token) {
        let c = self.ports[port.0 as usize].channel;
        token.port = port.0;
        token.channel = c;
        token.parent = NONE;
        token.retries = 0;
        token.give_up = Time::NEVER;
        token.submitted = self.now;
        let channel = &mut self.channels[c as usize];
        channel.begins(self.now);
        // A LUN that has never been seen has nothing to check against: the request waits.
        if channel.geometry.is_none() {
            return self.dispatch(token, None);
        }
        if let Err(error) = channel.check(&token) {
            return self.finish(token, Err(error));
        }
        let max = channel
            .geometry
            .as_ref()
            .map_or(u32::MAX, |g| g.max_transfer_blocks);
        if token.blocks > max && token.op.has_range() {
            // Atomic means one command.
            if token.op == Op::CompareAndWrite {
                return self.finish(token, Err(IoError::new(ErrorKind::Invalid)));
            }
            return self.split(token, max);
        }
        self.dispatch(token, None);
    }

    fn completions(&mut self, port: PortId, out: &mut Vec<Token>) {
        out.append(&mut self.ports[port.0 as usize].done);
    }
}

/// A request as the token type that front ends fill in.
pub fn empty_request() -> Token {
    Request::new()
}
