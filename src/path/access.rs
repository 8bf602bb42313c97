//! What a target says about a path: one type for SCSI ALUA and NVMe ANA.
//!
//! The two standards describe the same thing with different numbers and different words. Everything
//! above the codecs asks only two questions, and they are not each other's opposite:
//! *can it carry I/O now* ([`AccessState::usable_now`]) and *is waiting worth while*
//! ([`AccessState::may_come_back`]). The raw value stays with whoever decoded it.

use std::fmt;

/// Access state of a path, as the target reported it last.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum AccessState {
    /// ALUA active/optimized, ANA optimized.
    #[default]
    Optimized,
    /// ALUA active/non-optimized and LBA-dependent, ANA non-optimized: works, but the long way round.
    NonOptimized,
    /// ALUA standby: answers inquiries, refuses reads and writes. ANA has no such state.
    Standby,
    /// ALUA unavailable and offline, ANA inaccessible: refuses nearly everything, for now.
    Unavailable,
    /// ALUA transitioning, ANA change: the next state is on its way.
    Transitioning,
    /// ANA persistent loss: the target promises that this path never works again.
    Lost,
}

impl AccessState {
    /// Every state, best first. The order is the order of the candidates in a failover.
    pub const ALL: [Self; 6] = [
        Self::Optimized,
        Self::NonOptimized,
        Self::Standby,
        Self::Unavailable,
        Self::Transitioning,
        Self::Lost,
    ];

    /// State field of an ANA group descriptor (low four bits). `None` for a reserved value.
    #[must_use]
    pub fn from_ana(raw: u8) -> Option<Self> {
        match raw & 0x0f {
            0x1 => Some(Self::Optimized),
            0x2 => Some(Self::NonOptimized),
            0x3 => Some(Self::Unavailable),
            0x4 => Some(Self::Lost),
            0xf => Some(Self::Transitioning),
            _ => None,
        }
    }

    /// Asymmetric access state of a REPORT TARGET PORT GROUPS descriptor (low four bits).
    ///
    /// Offline is read as unavailable and not as lost: an administrator takes ports offline and
    /// brings them back, and a LUN that waits for one must park and not fail.
    #[must_use]
    pub fn from_alua(raw: u8) -> Option<Self> {
        match raw & 0x0f {
            0x0 => Some(Self::Optimized),
            0x1 | 0x4 => Some(Self::NonOptimized),
            0x2 => Some(Self::Standby),
            0x3 | 0xe => Some(Self::Unavailable),
            0xf => Some(Self::Transitioning),
            _ => None,
        }
    }

    /// The target executes reads and writes on such a path.
    #[inline]
    #[must_use]
    pub const fn usable_now(self) -> bool {
        matches!(self, Self::Optimized | Self::NonOptimized)
    }

    /// The path works, or may work again without being configured anew.
    #[inline]
    #[must_use]
    pub const fn may_come_back(self) -> bool {
        !matches!(self, Self::Lost)
    }

    /// Place in the order of preference, 0 the best. Unavailable beats only transitioning (and lost).
    #[inline]
    #[must_use]
    pub const fn rank(self) -> u8 {
        self as u8
    }

    /// Long name, as in status output.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Optimized => "optimized",
            Self::NonOptimized => "non-optimized",
            Self::Standby => "standby",
            Self::Unavailable => "unavailable",
            Self::Transitioning => "transitioning",
            Self::Lost => "lost",
        }
    }

    /// Two letters, as in tables and policy traces.
    #[must_use]
    pub const fn short(self) -> &'static str {
        match self {
            Self::Optimized => "AO",
            Self::NonOptimized => "AU",
            Self::Standby => "SB",
            Self::Unavailable => "UA",
            Self::Transitioning => "TR",
            Self::Lost => "LO",
        }
    }

    /// Reads a long or a short name, in any case.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|s| text.eq_ignore_ascii_case(s.name()) || text.eq_ignore_ascii_case(s.short()))
    }
}

impl fmt::Display for AccessState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ana_and_alua_numbers_fold_into_one_type() {
        use AccessState::*;
        let ana = [
            (1, Optimized),
            (2, NonOptimized),
            (3, Unavailable),
            (4, Lost),
            (15, Transitioning),
        ];
        for (raw, want) in ana {
            assert_eq!(AccessState::from_ana(raw), Some(want));
        }
        let alua = [
            (0, Optimized),
            (1, NonOptimized),
            (2, Standby),
            (3, Unavailable),
            (4, NonOptimized),
            (14, Unavailable),
            (15, Transitioning),
        ];
        for (raw, want) in alua {
            assert_eq!(AccessState::from_alua(raw), Some(want));
        }
        for reserved in [0, 5, 9, 14] {
            assert_eq!(AccessState::from_ana(reserved), None);
        }
        for reserved in [5, 9, 13] {
            assert_eq!(AccessState::from_alua(reserved), None);
        }
    }

    #[test]
    fn names_read_back() {
        for state in AccessState::ALL {
            assert_eq!(AccessState::parse(state.name()), Some(state));
            assert_eq!(AccessState::parse(state.short()), Some(state));
            assert_eq!(state.to_string(), state.name());
        }
        assert_eq!(AccessState::parse("fast"), None);
    }

    #[test]
    fn usable_implies_may_come_back_and_only_lost_never_does() {
        for state in AccessState::ALL {
            assert!(!state.usable_now() || state.may_come_back());
            assert_eq!(state.may_come_back(), state != AccessState::Lost);
        }
    }

    #[test]
    fn unavailable_beats_only_transitioning() {
        assert!(AccessState::Unavailable.rank() < AccessState::Transitioning.rank());
        assert!(AccessState::Unavailable.rank() > AccessState::Standby.rank());
    }
}
