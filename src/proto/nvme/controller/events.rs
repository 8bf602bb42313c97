//! Asynchronous events: requests waiting, events pending, and which of them the host wants
//! (base specification, sections 5.2.2 and 5.2.26.1.5).

use crate::proto::nvme::id_ctrl::oaes;
use crate::proto::nvme::{AsyncEvent, Lid, aer};
use arrayvec::ArrayVec;

/// Asynchronous Event Requests kept at most, whatever AERL says.
const REQUESTS_MAX: usize = 16;

/// A notice that a controller of ours can give.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum Notice {
    NamespaceChanged,
    AnaChange,
    /// A cross-controller reset has come to its end.
    ResetCompleted,
    /// The discovery log has changed.
    DiscoveryChanged,
}

impl Notice {
    const ALL: [Self; 4] = [
        Self::NamespaceChanged,
        Self::AnaChange,
        Self::ResetCompleted,
        Self::DiscoveryChanged,
    ];

    const fn bit(self) -> u8 {
        1 << self as u8
    }

    /// Bit in OAES and in the Asynchronous Event Configuration feature.
    pub(super) const fn config_bit(self) -> u32 {
        match self {
            Self::NamespaceChanged => oaes::NAMESPACE_ATTRIBUTE,
            Self::AnaChange => oaes::ANA_CHANGE,
            Self::ResetCompleted => oaes::CCR_COMPLETED,
            Self::DiscoveryChanged => 1 << 31,
        }
    }

    const fn event(self) -> AsyncEvent {
        match self {
            Self::NamespaceChanged => AsyncEvent::NAMESPACE_ATTRIBUTE,
            Self::AnaChange => AsyncEvent::ANA_CHANGE,
            Self::ResetCompleted => AsyncEvent::CCR_COMPLETED,
            Self::DiscoveryChanged => {
                AsyncEvent::notice(aer::Notice::DISCOVERY_LOG, Lid::DISCOVERY)
            }
        }
    }

    /// The log page that tells more, and clears the notice.
    const fn log_page(self) -> Lid {
        self.event().lid
    }

    /// Dword 0 of the completion: type "notice", information, log page.
    const fn dword(self) -> u32 {
        self.event().to_dw0()
    }
}

/// The events of one controller.
#[derive(Debug, Default)]
pub(super) struct Events {
    /// Slots of waiting requests, oldest first.
    waiting: ArrayVec<u16, REQUESTS_MAX>,
    pending: u8,
    /// Told, and not to be told again before the log has been read.
    masked: u8,
    config: u32,
}

impl Events {
    /// A request comes in; false when there are `limit` already.
    pub(super) fn request(&mut self, slot: u16, limit: u8) -> bool {
        if self.waiting.len() >= usize::from(limit) {
            return false;
        }
        self.waiting.try_push(slot).is_ok()
    }

    /// Takes a waiting request back (Abort, or the end of its queue).
    pub(super) fn withdraw(&mut self, slot: u16) -> bool {
        let found = self.waiting.iter().position(|s| *s == slot);
        found.map(|i| self.waiting.remove(i)).is_some()
    }

    pub(super) fn set_config(&mut self, config: u32) {
        self.config = config;
    }

    pub(super) fn config(&self) -> u32 {
        self.config
    }

    /// Something has happened. Without the host's wish for it, it is forgotten.
    pub(super) fn raise(&mut self, notice: Notice) {
        if self.config & notice.config_bit() != 0 {
            self.pending |= notice.bit();
        }
    }

    /// The log page was read without Retain Asynchronous Event.
    pub(super) fn log_read(&mut self, log_page: Lid) {
        for n in Notice::ALL {
            if n.log_page() == log_page {
                self.masked &= !n.bit();
                self.pending &= !n.bit();
            }
        }
    }

    /// A request to complete, with its dword 0.
    #[inline]
    pub(super) fn take(&mut self) -> Option<(u16, u32)> {
        let due = self.pending & !self.masked;
        if due == 0 || self.waiting.is_empty() {
            return None;
        }
        let notice = Notice::ALL.into_iter().find(|n| due & n.bit() != 0)?;
        self.pending &= !notice.bit();
        self.masked |= notice.bit();
        Some((self.waiting.remove(0), notice.dword()))
    }

    /// A controller reset forgets everything but the requests, whose queue goes on.
    pub(super) fn reset(&mut self) {
        self.pending = 0;
        self.masked = 0;
        self.config = 0;
    }

    pub(super) fn requests(&self) -> usize {
        self.waiting.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_notice_is_told_once_until_its_log_is_read() {
        let mut e = Events::default();
        e.set_config(Notice::AnaChange.config_bit());
        assert!(e.request(1, 4) && e.request(2, 4));
        e.raise(Notice::AnaChange);
        assert_eq!(e.take(), Some((1, 0x000c_0302)));
        e.raise(Notice::AnaChange);
        assert_eq!(e.take(), None);
        e.log_read(Lid::ANA);
        assert_eq!(e.take(), None, "the read has told it all");
        e.raise(Notice::AnaChange);
        assert_eq!(e.take(), Some((2, 0x000c_0302)));
    }

    #[test]
    fn unwanted_notices_and_too_many_requests_are_refused() {
        let mut e = Events::default();
        assert!(e.request(1, 1));
        assert!(!e.request(2, 1));
        e.raise(Notice::NamespaceChanged);
        assert_eq!(e.take(), None);
    }
}
