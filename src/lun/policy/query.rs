//! DSM_QueryLBPolicy and its ALUA form: what is set, path by path.

use super::defaults::Source;
use super::selector::Selector;
use super::topology::{Alua, PathIx, PathState};
use super::{Policy, PolicySpec};
use crate::lun::access::AccessState;

/// The policy in force and the paths under it, in list order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PolicyAnswer {
    /// The policy.
    pub spec: PolicySpec,
    /// Who chose it.
    pub source: Source,
    /// Its paths.
    pub paths: Vec<PathAnswer>,
}

/// One path of a [`PolicyAnswer`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PathAnswer {
    /// The path in our own terms.
    pub path: PathIx,
    /// Id as Windows answers it: 0 while the path is failed.
    pub id: u64,
    /// Its weight.
    pub weight: u32,
    /// It is known, and not connected.
    pub failed: bool,
    /// State under the policy; a failed path shows as unavailable.
    pub state: PathState,
    /// It is the preferred path of FAILOVER.
    pub preferred: bool,
    /// Target port group.
    pub tpg: u32,
    /// What the target said of it last.
    pub access: AccessState,
    /// The target prefers its group.
    pub tpg_preferred: bool,
}

impl Selector {
    /// The answer as of now. On a LUN for which [`Self::refresh_before_query`] holds, read the
    /// groups first.
    #[must_use]
    pub fn query(&self) -> PolicyAnswer {
        let spec = self.policy();
        let favourite = self
            .topology
            .preferred
            .filter(|_| spec.policy() == Policy::Failover);
        let paths = self.paths().map(|(ix, path)| PathAnswer {
            path: ix,
            id: if path.up { path.init.id } else { 0 },
            weight: path.init.weight,
            failed: !path.up,
            state: if self.topology.is_live(ix) {
                path.state
            } else {
                PathState::Unavailable
            },
            preferred: favourite == Some(path.init.id),
            tpg: path.init.tpg,
            access: self.topology.access(ix),
            tpg_preferred: self.topology.group_preferred(ix),
        });
        PolicyAnswer {
            spec,
            source: self.policy_source(),
            paths: paths.collect(),
        }
    }

    /// An asymmetric target that changes states by itself is asked again before a query is answered.
    #[must_use]
    pub fn refresh_before_query(&self) -> bool {
        !self.symmetric() && matches!(self.alua(), Alua::Implicit | Alua::Both)
    }

    /// The policies that this LUN accepts from the DSM methods (DSM_QuerySupportedLBPolicies).
    #[must_use]
    pub fn supported(&self) -> Vec<Policy> {
        let offered = Policy::ALL
            .into_iter()
            .filter(|&p| p != Policy::VendorSpecific);
        offered
            .filter(|&p| p != Policy::RoundRobin || self.symmetric())
            .collect()
    }
}
