//! The data plane of one reactor: channels over associations.
//!
//! Owned and driven by one thread; nothing here is shared. A turn is: receive (`poll`), let front
//! ends take completions and hand in more, send (`flush`).

use super::channel::{Channel, Life, LunSettings, PathSlot, SlotLife};
use super::doubt::{Doubts, DoubtsOf};
use super::fence::Release;
use super::policy::defaults::Setting;
use super::policy::hardware::HardwareId;
use super::policy::{Alua, NexusLoad, Options, PathInit, PathIx, PolicySpec, Selector};
use super::port::PortId;
use super::stats::PathStats;
use super::status::{LunStatus, PathStatus};
use crate::base::clock::{Clock, Time};
use crate::base::error::{ErrorKind, IoError};
use crate::base::request::{LossClass, Request, RequestPool, Token};
use crate::path::access::AccessState;
use crate::path::dialer::Dialer;
use crate::path::local::LocalDevice;
use crate::path::nvme_link::HostIdentity;
use crate::path::outcome::Outcome;
use crate::path::reason::DownReason;
use crate::path::set::{AssociationIx, PathEvent, PathSet};
use crate::path::state::State;
use crate::path::url::{NexusSpec, PathSpec};

mod departed;
mod dispatch;
mod fencing;
mod groups;
mod joining;
mod manage;
mod outcome;
mod ports;
mod set_back;
pub use departed::Departed;
pub use groups::{SetAnswer, SetBegun, SetDone, ToldGroup};
pub use manage::{Overview, PathOverview, target_name};
pub use set_back::WhatIsSet;

/// A LUN on this reactor.
#[derive(Copy, Clone, PartialEq, Eq, Hash, Debug)]
pub struct ChannelId(pub u32);

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
    orders: groups::Orders,
    departed: departed::DepartedOf,
    /// Default policies by vendor and product.
    target_defaults: Vec<(HardwareId, Setting)>,
    now: Time,
    released: Vec<Release>,
    events: Vec<PathEvent>,
    done: Vec<(Token, Outcome)>,
}

/// How the states of a LUN's paths may differ, and be told.
fn alua_of(asymmetric_kind: bool, explicit: bool) -> Alua {
    match (asymmetric_kind, explicit) {
        (false, _) => Alua::None,
        (true, false) => Alua::Implicit,
        (true, true) => Alua::Both,
    }
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
            orders: groups::Orders::default(),
            departed: departed::DepartedOf::default(),
            target_defaults: Vec::new(),
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
        let alua = alua_of(asymmetric_kind, settings.explicit_alua);
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
        // A LUN that began with local paths, or with none, learns here that states may differ.
        if !matches!(path.spec.nexus, NexusSpec::Local(_)) && channel.selector.alua() == Alua::None
        {
            let alua = alua_of(true, channel.settings.explicit_alua);
            channel.selector.set_alua(alua);
        }
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
        self.each_slot(c, Self::leave_stats);
        let channel = &mut self.channels[c];
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
        self.each_slot(c, |plane, c, at| {
            let slot = &mut plane.channels[c].slots[at];
            slot.joined = false;
            slot.life = SlotLife::Gone;
            plane.leave(c, at);
        });
    }

    /// Does something with each path that a LUN still has.
    fn each_slot(&mut self, c: usize, does: impl Fn(&mut Self, usize, usize)) {
        for at in 0..self.channels[c].slots.len() {
            if self.channels[c].slots[at].life != SlotLife::Gone {
                does(self, c, at);
            }
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
        channel.selector.set_explicit(Some(Setting::new(spec)))
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
            if self.channels[c].settings.explicit_alua {
                self.order_groups(c);
            }
        }
        if !self.orders.is_empty() {
            self.look_after_orders();
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

    /// Takes a nexus down as if it had been lost, or for good. For tests, demos and operators.
    pub fn take_down(&mut self, ix: AssociationIx, reason: DownReason) {
        self.paths.take_down(ix, reason, self.now);
        self.digest();
    }

    /// When `poll` has something to do even if nothing arrives.
    pub fn next_deadline(&self) -> Time {
        if self.ports.iter().any(|p| !p.done.is_empty()) || self.orders.any_over() {
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
                departed: self.departed(a.nexus.id).cloned().map(Box::new),
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

/// A request as the token type that front ends fill in.
pub fn empty_request() -> Token {
    Request::new()
}
