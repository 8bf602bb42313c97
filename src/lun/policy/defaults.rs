//! Which setting is in force: explicit on the LUN, else the default of its vendor and product, else
//! the engine-wide default, else what the LUN can do.

use super::status::NtStatus;
use super::{Policy, PolicySpec};

/// A policy that somebody chose, with the preferred path that goes with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Setting {
    /// The policy.
    pub spec: PolicySpec,
    /// The preferred path, by id. Only FAILOVER looks at it.
    pub preferred: Option<u64>,
}

impl Setting {
    /// A policy without a preferred path.
    #[must_use]
    pub const fn new(spec: PolicySpec) -> Self {
        Self {
            spec,
            preferred: None,
        }
    }

    /// What a setter of class defaults was given: policy 0 removes the default, 7 and above are
    /// refused, a preferred path of 0 is none.
    pub fn from_request(policy: u32, preferred: u64) -> Result<Option<Self>, NtStatus> {
        if policy == 0 {
            return Ok(None);
        }
        match Policy::from_number(policy) {
            None | Some(Policy::VendorSpecific) => Err(NtStatus::INVALID_PARAMETER),
            Some(policy) => Ok(Some(Self {
                spec: policy.into(),
                preferred: Some(preferred).filter(|&id| id != 0),
            })),
        }
    }
}

/// Where the setting in force comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// Set on this LUN.
    Explicit,
    /// Default of the LUN's vendor and product.
    Target,
    /// Default of the whole engine (DSM-wide).
    Engine,
    /// Nobody chose: round robin on equal paths, with subset on unequal ones.
    Capability,
}

impl Source {
    /// As status output has it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Explicit => "explicit",
            Self::Target => "target-default",
            Self::Engine => "engine-default",
            Self::Capability => "capability",
        }
    }
}

/// Whose default.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// One vendor and product.
    Target,
    /// The whole engine (DSM-wide).
    Engine,
}

/// The choices that were made for one LUN.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Choices {
    /// On the LUN itself.
    pub explicit: Option<Setting>,
    /// For its vendor and product.
    pub target: Option<Setting>,
    /// For the whole engine.
    pub engine: Option<Setting>,
}

impl Choices {
    /// The setting in force on a LUN whose paths are equal (`symmetric`), or not.
    ///
    /// Round robin is refused on unequal paths, so a default that says so means "with subset" there.
    /// An explicit round robin was granted while the paths were equal, and stands.
    #[must_use]
    pub fn in_force(&self, symmetric: bool) -> (Setting, Source) {
        let chosen = [
            (self.explicit, Source::Explicit),
            (self.target, Source::Target),
            (self.engine, Source::Engine),
        ];
        let hit = chosen
            .into_iter()
            .find_map(|(setting, source)| setting.map(|s| (s, source)));
        let (mut setting, source) =
            hit.unwrap_or_else(|| (Setting::new(Policy::RoundRobin.into()), Source::Capability));
        let refused = !symmetric && setting.spec.policy() == Policy::RoundRobin;
        if refused && source != Source::Explicit {
            setting.spec = Policy::RoundRobinWithSubset.into();
        }
        (setting, source)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn setting(policy: Policy) -> Option<Setting> {
        Some(Setting::new(policy.into()))
    }

    #[test]
    fn explicit_beats_target_beats_engine_beats_capability() {
        let mut choices = Choices {
            explicit: setting(Policy::LeastBlocks),
            target: setting(Policy::Failover),
            engine: setting(Policy::WeightedPaths),
        };
        let mut seen = Vec::new();
        for _ in 0..4 {
            let (setting, source) = choices.in_force(true);
            seen.push((setting.spec.policy().number(), source.name()));
            match source {
                Source::Explicit => choices.explicit = None,
                Source::Target => choices.target = None,
                _ => choices.engine = None,
            }
        }
        let want = [
            (6, "explicit"),
            (1, "target-default"),
            (5, "engine-default"),
            (2, "capability"),
        ];
        assert_eq!(seen, want);
    }

    #[test]
    fn capability_is_round_robin_on_equal_paths_and_subset_on_unequal_ones() {
        let none = Choices::default();
        assert_eq!(none.in_force(true).0.spec.policy(), Policy::RoundRobin);
        assert_eq!(
            none.in_force(false).0.spec.policy(),
            Policy::RoundRobinWithSubset
        );
    }

    #[test]
    fn a_round_robin_default_becomes_subset_on_unequal_paths_but_an_explicit_one_stands() {
        let default = Choices {
            engine: setting(Policy::RoundRobin),
            ..Choices::default()
        };
        assert_eq!(
            default.in_force(false).0.spec.policy(),
            Policy::RoundRobinWithSubset
        );
        assert_eq!(default.in_force(false).1, Source::Engine);
        let explicit = Choices {
            explicit: setting(Policy::RoundRobin),
            ..Choices::default()
        };
        assert_eq!(explicit.in_force(false).0.spec.policy(), Policy::RoundRobin);
    }

    #[test]
    fn a_default_is_removed_by_0_and_refused_from_7() {
        assert_eq!(Setting::from_request(0, 5), Ok(None));
        for policy in [7, 8, u32::MAX] {
            assert_eq!(
                Setting::from_request(policy, 0),
                Err(NtStatus::INVALID_PARAMETER)
            );
        }
        let failover = Setting::from_request(1, 9).expect("granted").expect("set");
        assert_eq!(failover.preferred, Some(9));
        assert_eq!(
            Setting::from_request(1, 0)
                .expect("granted")
                .expect("set")
                .preferred,
            None
        );
    }
}
