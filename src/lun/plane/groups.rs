//! Explicit ALUA: what a LUN tells its targets about their groups (SET TARGET PORT GROUPS), for a set
//! request of the DSM methods or because the policy needs an active path. Only LUNs whose
//! `explicit_alua` allows it do.
//!
//! Every path is a group of its own to the policies, since each session reads states by itself; the
//! order for a path names the target's own group, and goes to the target over that path.

use super::{ChannelId, Overview, Plane};
use crate::lun::channel::{Life, PathSlot, SlotLife};
use crate::lun::policy::{GroupState, NtStatus, SetRequest, SetStep, StpgRequest};
use crate::path::access::AccessState;
use crate::path::state::State;
use std::fmt;

/// What the target says of a path's group after it was told: nexus id, state.
pub type ToldGroup = (u64, AccessState);

/// What came of a set request on one reactor.
#[derive(Debug)]
pub struct SetAnswer {
    pub status: NtStatus,
    /// What the target was told, and says since.
    pub told: Vec<ToldGroup>,
    /// The LUN as it is now.
    pub overview: Overview,
}

/// A set request is over, or waits for the target.
#[derive(Debug)]
pub enum SetBegun {
    Over(Box<SetAnswer>),
    /// [`SetDone`] is called when it is over.
    Waits,
}

/// Called when a set request is over that has waited.
pub struct SetDone(pub Box<dyn FnOnce(SetAnswer) + Send>);

impl fmt::Debug for SetDone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SetDone")
    }
}

/// Orders to targets that are under way.
#[derive(Debug, Default)]
pub(super) struct Orders {
    all: Vec<Order>,
    /// The next tag; one order has one for each of its paths.
    next_tag: u32,
}

impl Orders {
    pub(super) fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// Some order only waits to be ended.
    pub(super) fn any_over(&self) -> bool {
        self.all.iter().any(Order::is_over)
    }
}

/// What one LUN wants of its targets.
#[derive(Debug)]
struct Order {
    channel: usize,
    /// For a set request; else because the policy needs it.
    set: Option<SetDone>,
    /// By path of the LUN.
    parts: Vec<Part>,
}

impl Order {
    fn is_over(&self) -> bool {
        self.parts.iter().all(|p| p.done.is_some())
    }
}

#[derive(Debug)]
struct Part {
    at: usize,
    tag: u32,
    /// Whether the target did it, once that is known.
    done: Option<bool>,
}

impl Plane {
    /// A set request of the DSM methods, with all its checks. Where the target has to be told, it
    /// waits for that.
    pub fn begin_request(
        &mut self,
        id: ChannelId,
        request: &SetRequest,
        done: SetDone,
    ) -> SetBegun {
        let status = match self.selector_mut(id).begin_set(request) {
            SetStep::Done(status) => status,
            SetStep::SendStpg(wanted) => {
                self.order(id.0 as usize, &wanted, Some(done));
                return SetBegun::Waits;
            }
        };
        self.changed(id);
        SetBegun::Over(Box::new(SetAnswer {
            status,
            told: Vec::new(),
            overview: self.overview(id),
        }))
    }

    /// The same request on another reactor, when the target has done what the first one had told
    /// it.
    pub fn follow_request(
        &mut self,
        id: ChannelId,
        request: &SetRequest,
        told: &[ToldGroup],
    ) -> NtStatus {
        let status = match self.selector_mut(id).begin_set(request) {
            SetStep::Done(status) => status,
            SetStep::SendStpg(_) => {
                let channel = self.channel(id);
                let group = |&(nexus, access): &ToldGroup| {
                    let path = channel.selector.find_path(nexus)?;
                    Some(GroupState {
                        tpg: path.index() as u32 + 1,
                        access,
                        preferred: false,
                    })
                };
                let groups: Vec<_> = told.iter().filter_map(group).collect();
                self.selector_mut(id).finish_set(Some(&groups))
            }
        };
        self.changed(id);
        status
    }

    /// Sends what the policy of a LUN wants sent. Not while some path is still being tried for the first
    /// time: of several, one comes first, and no target is to change sides for that.
    pub(super) fn order_groups(&mut self, c: usize) {
        let coming = |s: &PathSlot| {
            s.life == SlotLife::Here && self.paths.get(s.association).is_on_first_attempt()
        };
        if self.channels[c].slots.iter().any(coming) {
            return;
        }
        if let Some(wanted) = self.channels[c].selector.take_stpg() {
            tracing::info!(lun = %self.channels[c].name, paths = ?wanted.tpgs, "no active path is left as it should be: the target is told");
            self.order(c, &wanted, None);
        }
    }

    fn order(&mut self, c: usize, wanted: &StpgRequest, set: Option<SetDone>) {
        let mut parts = Vec::with_capacity(wanted.tpgs.len());
        for tpg in &wanted.tpgs {
            // See `add_path`.
            let at = (*tpg as usize).wrapping_sub(1);
            let Some(slot) = self.channels[c].slots.get(at) else {
                continue;
            };
            let (association, nsid) = (slot.association, slot.nsid);
            let tag = self.orders.next_tag;
            self.orders.next_tag = tag.wrapping_add(1);
            let sent = self.paths.optimize(association, nsid, tag, self.now);
            let done = (!sent).then_some(false);
            parts.push(Part { at, tag, done });
        }
        self.orders.all.push(Order {
            channel: c,
            set,
            parts,
        });
    }

    /// A target has answered an order.
    pub(super) fn groups_set(&mut self, tag: u32, done: bool) {
        let parts = self.orders.all.iter_mut().flat_map(|o| &mut o.parts);
        for part in parts.filter(|p| p.tag == tag) {
            part.done = Some(done);
        }
    }

    /// Ends the orders that are over: all their parts are answered, or cannot be any more.
    pub(super) fn look_after_orders(&mut self) {
        let mut n = 0;
        while n < self.orders.all.len() {
            let order = &mut self.orders.all[n];
            let channel = &self.channels[order.channel];
            let closed = channel.life != Life::Open;
            for part in &mut order.parts {
                let slot = &channel.slots[part.at];
                let lost = slot.life != SlotLife::Here
                    || self.paths.get(slot.association).state() != State::Up;
                if part.done.is_none() && (lost || closed) {
                    part.done = Some(false);
                }
            }
            if order.is_over() {
                let order = self.orders.all.swap_remove(n);
                self.end_order(order);
            } else {
                n += 1;
            }
        }
    }

    fn end_order(&mut self, order: Order) {
        let c = order.channel;
        let id = ChannelId(c as u32);
        let all_done = !order.parts.is_empty() && order.parts.iter().all(|p| p.done == Some(true));
        let channel = &self.channels[c];
        let mut groups = Vec::new();
        let mut told = Vec::new();
        for part in order.parts.iter().filter(|p| p.done == Some(true)) {
            let slot = &channel.slots[part.at];
            let association = self.paths.get(slot.association);
            let Some(unit) = association.unit(Some(slot.nsid)) else {
                continue;
            };
            let access = unit.carrying_access();
            groups.push(GroupState {
                tpg: part.at as u32 + 1,
                access,
                preferred: false,
            });
            told.push((association.nexus.id, access));
        }
        let Some(SetDone(done)) = order.set else {
            self.channels[c].selector.stpg_done(&groups);
            self.changed(id);
            return;
        };
        let answer = all_done.then_some(&groups[..]);
        let status = self.channels[c].selector.finish_set(answer);
        self.changed(id);
        done(SetAnswer {
            status,
            told,
            overview: self.overview(id),
        });
    }
}
