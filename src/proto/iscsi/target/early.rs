//! Requests that came before their turn: what this connection holds of them.
//!
//! The data that comes unasked with a command cannot wait in the socket, since what plugs the gap
//! before it may come behind it on this very connection. So a command that is early gets room for
//! that data at once ([`Event::Room`]).

use super::order::Arrival;
use super::rx::Rx;
use super::{Event, State, TargetConn};
use crate::base::limits::DIRECT_MIN;
use crate::base::sg::SgList;
use crate::proto::iscsi::pdu::NopOut;

/// A request that waits for its turn, or whose turn it is.
#[derive(Debug)]
pub(super) enum Numbered {
    Command { slot: u16 },
    Nop(NopOut, Vec<u8>),
    Other(Event),
}

impl TargetConn {
    /// Whether a numbered request is taken, and when.
    pub(super) fn arrival(&mut self, immediate: bool, cmd_sn: u32) -> Arrival {
        if immediate {
            return Arrival::Now;
        }
        let who = self.who;
        let arrival = self.order_mut().arrive(cmd_sn, who);
        self.counters.ignored += u64::from(arrival == Arrival::Ignored);
        self.counters.early += u64::from(arrival == Arrival::Early);
        arrival
    }

    /// Takes a request that is no SCSI command, now or when it is its turn.
    pub(super) fn numbered(&mut self, immediate: bool, cmd_sn: u32, request: Numbered) {
        match self.arrival(immediate, cmd_sn) {
            Arrival::Now => self.take(request),
            Arrival::Early => self.held.push((cmd_sn, request)),
            Arrival::Ignored => {}
        }
    }

    fn take(&mut self, request: Numbered) {
        match request {
            Numbered::Command { slot } => {
                self.order_mut().enter();
                self.slots[usize::from(slot)].state = State::Owned;
                self.events.push_back(Event::Command { slot });
            }
            Numbered::Nop(nop, data) => self.nop_in(&nop, &data),
            Numbered::Other(event) => self.events.push_back(event),
        }
    }

    /// The next request of the session is held here ([`super::CommandOrder::due`]): it becomes an
    /// event. False while its data is in the middle of being received.
    pub fn bring_forward(&mut self) -> bool {
        let next = self.order_mut().exp_cmd_sn();
        let Some(at) = self.held.iter().position(|(sn, _)| *sn == next) else {
            return false;
        };
        if let Numbered::Command { slot } = self.held[at].1
            && self.is_receiving(slot)
        {
            return false;
        }
        let (_, request) = self.held.swap_remove(at);
        self.order_mut().deliver();
        self.take(request);
        true
    }

    /// Bytes that may come unasked for a command that has no buffer yet.
    pub fn early_need(&self, slot: u16) -> usize {
        let s = &self.slots[usize::from(slot)];
        if s.unsolicited {
            return s.cmd.expected.min(self.params.first_burst) as usize;
        }
        match self.rx {
            Rx::Wait { slot: waiting, len } if waiting == slot => len as usize,
            _ => 0,
        }
    }

    /// Whether a command has room from before its turn.
    pub fn has_early(&self, slot: u16) -> bool {
        self.slots[usize::from(slot)].early
    }

    /// Whether [`Event::Room`] still stands: a request before it may have ended the command.
    pub fn wants_room(&self, slot: u16) -> bool {
        let s = &self.slots[usize::from(slot)];
        s.state == State::Early && !s.early
    }

    /// Gives an early command room for what comes unasked: at least [`Self::early_need`] bytes, and
    /// best as many as the command will want, since then they stay where they are.
    pub fn give_early(&mut self, slot: u16, data: SgList) {
        assert!(data.len() >= self.early_need(slot));
        let s = &mut self.slots[usize::from(slot)];
        assert!(s.state == State::Early, "only what is early takes room");
        s.early = true;
        s.data = data;
        self.large_fetches += u32::from(s.data.len() >= DIRECT_MIN);
        self.resume = true;
        self.start_immediate(slot);
    }

    /// The room that a command got while it was early serves as its buffer of `len` bytes, where it
    /// got that much; false otherwise.
    pub fn keep_early(&mut self, slot: u16, len: usize) -> bool {
        let s = &self.slots[usize::from(slot)];
        if !s.early || s.data.len() != len {
            return false;
        }
        let data = self.take_early(slot);
        self.fetch_into(slot, data);
        true
    }

    /// Takes the room of an early command back.
    pub(super) fn take_early(&mut self, slot: u16) -> SgList {
        let s = &mut self.slots[usize::from(slot)];
        if !std::mem::take(&mut s.early) {
            return SgList::new();
        }
        let data = std::mem::take(&mut s.data);
        self.large_fetches -= u32::from(data.len() >= DIRECT_MIN);
        data
    }

    /// The room of an early command is not wanted any more.
    pub(super) fn drop_early(&mut self, slot: u16) {
        let data = self.take_early(slot);
        if !data.is_empty() {
            self.events.push_back(Event::Released { data });
        }
    }

    /// A command that waits for its turn is gone; its number counts as received.
    pub(super) fn forget_early(&mut self, slot: u16) {
        let is = |n: &Numbered| matches!(n, Numbered::Command { slot: s } if *s == slot);
        if let Some(at) = self.held.iter().position(|(_, n)| is(n)) {
            let (cmd_sn, _) = self.held.swap_remove(at);
            self.order_mut().forget(cmd_sn);
        }
    }

    /// The connection ends: what it holds counts as received, and its commands leave the window.
    pub(super) fn leave_order(&mut self) {
        let Some(order) = &mut self.order else { return };
        for (cmd_sn, _) in self.held.drain(..) {
            order.forget(cmd_sn);
        }
        for s in &mut self.slots {
            let waits = matches!(s.state, State::Owned | State::Fetching);
            if waits && !s.cmd.immediate {
                order.leave();
            }
            s.state = State::Free;
        }
    }
}
