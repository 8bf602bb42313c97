//! Whether the provider's picture of its LUNs can be trusted, and how it is mended.

/// Condition of the provider's cache: the picture of LUNs and paths that it answers from.
///
/// It goes bad when the picture can not be had in full: a reactor does not answer, or two reactors
/// contradict each other about a LUN. It is mended in the order that VDS prescribes to clients:
/// Reenumerate (which LUNs and paths are there?), then Refresh (what is each of them like?); calls
/// are refused until both have succeeded.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum CacheState {
    /// As the reactors say.
    #[default]
    Good,
    /// Not to be trusted: why.
    Corrupt(String),
    /// The inventory is right again, its details are not yet: why it went bad.
    Reenumerated(String),
}

impl CacheState {
    /// It can not be trusted from now on. The first reason stays.
    pub fn corrupt(&mut self, why: impl Into<String>) {
        *self = match std::mem::take(self) {
            Self::Good => Self::Corrupt(why.into()),
            Self::Corrupt(why) | Self::Reenumerated(why) => Self::Corrupt(why),
        };
    }

    /// The inventory was read again.
    pub fn reenumerated(&mut self) {
        if let Self::Corrupt(why) = std::mem::take(self) {
            *self = Self::Reenumerated(why);
        }
    }

    /// Every object was read again. Returns whether the cache is good now: a Refresh over an
    /// inventory that nobody has read again mends nothing.
    pub fn refreshed(&mut self) -> bool {
        if let Self::Reenumerated(_) = self {
            *self = Self::Good;
        }
        *self == Self::Good
    }

    /// Calls may be answered.
    pub fn is_good(&self) -> bool {
        *self == Self::Good
    }

    /// Why not.
    pub fn why(&self) -> Option<&str> {
        match self {
            Self::Good => None,
            Self::Corrupt(why) | Self::Reenumerated(why) => Some(why),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_reenumerate_and_then_refresh_mends_it() {
        let mut cache = CacheState::default();
        cache.corrupt("a reactor is silent");
        cache.corrupt("and another");
        assert_eq!(cache.why(), Some("a reactor is silent"));
        assert!(!cache.refreshed(), "without Reenumerate");
        cache.reenumerated();
        assert!(!cache.is_good());
        assert_eq!(cache.why(), Some("a reactor is silent"));
        assert!(cache.refreshed());
        assert_eq!(cache, CacheState::Good);
    }

    #[test]
    fn what_breaks_between_the_two_calls_has_to_be_mended_from_the_start() {
        let mut cache = CacheState::default();
        cache.corrupt("first");
        cache.reenumerated();
        cache.corrupt("second");
        assert!(!cache.refreshed());
        assert_eq!(cache.why(), Some("first"));
    }

    #[test]
    fn on_a_good_cache_both_are_harmless() {
        let mut cache = CacheState::default();
        cache.reenumerated();
        assert!(cache.is_good());
        assert!(cache.refreshed());
    }
}
