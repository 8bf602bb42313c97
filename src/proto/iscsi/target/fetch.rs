//! Data of a command on its way in: the buffer for it, and the R2Ts that ask for it.

use super::{Event, State, TargetConn, ttt};
use crate::base::limits::DIRECT_MIN;
use crate::base::sg::SgList;
use crate::proto::iscsi::pdu::R2t;

impl TargetConn {
    /// Gives a command the buffer for its data from the initiator, not longer than it sends. What
    /// came before its turn is copied over.
    pub fn give_buffer(&mut self, slot: u16, mut data: SgList) {
        let early = self.take_early(slot);
        if !early.is_empty() {
            let n = self.slots[usize::from(slot)].received as usize;
            let n = n.min(data.len()).min(early.len());
            let mut at = 0;
            early.for_each(0, n, |part| {
                data.write_at(at, part);
                at += part.len();
            });
            if n >= DIRECT_MIN {
                self.counters.copied_bytes_large += n as u64;
            } else {
                self.counters.copied_bytes_small += n as u64;
            }
            self.events.push_back(Event::Released { data: early });
        }
        self.fetch_into(slot, data);
    }

    pub(super) fn fetch_into(&mut self, slot: u16, data: SgList) {
        let s = &mut self.slots[usize::from(slot)];
        assert!(s.state == State::Owned, "a command takes one buffer");
        assert!(!data.is_empty() && data.len() <= s.cmd.expected as usize);
        s.data = data;
        s.state = State::Fetching;
        self.resume = true;
        self.large_fetches += u32::from(s.data.len() >= DIRECT_MIN);
        if !s.intact && !s.unsolicited {
            // It was damaged while it was early.
            return self.fail_fetch(slot);
        }
        if !self.start_immediate(slot) {
            self.fetch_on(slot);
        }
    }

    /// Takes the data of a command whose data is ready.
    pub fn take_data(&mut self, slot: u16) -> SgList {
        let s = &mut self.slots[usize::from(slot)];
        assert!(s.state == State::Owned, "data is taken once it is there");
        std::mem::take(&mut s.data)
    }

    /// Asks for the next parts of a command's data, or tells that all is there.
    pub(super) fn fetch_on(&mut self, slot: u16) {
        let at = usize::from(slot);
        let max_burst = self.params.max_burst;
        let s = &mut self.slots[at];
        if s.state != State::Fetching || s.unsolicited {
            return;
        }
        let total = s.data.len() as u32;
        let burst = |from: u32| (total - from).min(max_burst);
        if s.r2t.is_none() {
            if s.received >= total {
                let intact = s.intact;
                self.end_fetch(slot);
                self.events.push_back(Event::DataReady { slot, intact });
                return;
            }
            s.r2t = Some((s.received, burst(s.received)));
            s.asked = s.asked.max(s.received);
            s.next_data_sn = 0;
        }
        loop {
            let s = &mut self.slots[at];
            if s.asked >= total || s.r2t_sn - s.filling >= u32::from(self.params.max_r2t.max(1)) {
                return;
            }
            let (offset, desired, r2t_sn) = (s.asked, burst(s.asked), s.r2t_sn);
            s.asked += desired;
            s.r2t_sn += 1;
            let ttt = ttt(slot, s.generation, r2t_sn);
            let (lun, itt) = (s.cmd.lun, s.cmd.itt);
            let sn = self.target_sn();
            self.counters.r2ts += 1;
            self.pdu(&[], |_, out| {
                R2t {
                    lun,
                    itt,
                    ttt,
                    sn,
                    r2t_sn,
                    offset,
                    desired,
                }
                .emit(out);
            });
        }
    }

    /// No more data of a command is awaited.
    pub(super) fn end_fetch(&mut self, slot: u16) {
        let s = &mut self.slots[usize::from(slot)];
        if s.state == State::Fetching {
            s.state = State::Owned;
            self.large_fetches -= u32::from(s.data.len() >= DIRECT_MIN);
        }
    }
}
