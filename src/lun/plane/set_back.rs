//! What is set on a LUN, kept so that it can be set again: reactors follow one another, and where a
//! later one refuses, those before it go back.

use super::{ChannelId, Plane};
use crate::lun::policy::defaults::Setting;
use crate::lun::policy::validate::validate;
use crate::lun::policy::{NtStatus, PathState, SetRequest};

/// The policy, weights and wishes of a LUN at some time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WhatIsSet {
    explicit: Option<Setting>,
    /// By nexus id.
    paths: Vec<(u64, u32, Option<PathState>)>,
}

impl Plane {
    /// What is set on a LUN now.
    pub fn what_is_set(&self, id: ChannelId) -> WhatIsSet {
        let selector = &self.channel(id).selector;
        let path = |p: &crate::lun::policy::query::PathAnswer| {
            let nexus = selector.path_id(p.path)?;
            Some((nexus, p.weight, selector.desired(p.path)))
        };
        WhatIsSet {
            explicit: selector.explicit(),
            paths: selector.query().paths.iter().filter_map(path).collect(),
        }
    }

    /// Sets it again. What the target was told meanwhile stays so: nobody can untell it.
    pub fn set_back(&mut self, id: ChannelId, was: &WhatIsSet) {
        for (nexus, weight, desired) in &was.paths {
            // A path that has gone meanwhile has nothing to go back to.
            if self.set_weight(id, *nexus, *weight) {
                self.set_desired(id, *nexus, *desired);
            }
        }
        // Round robin that was in force may be refused by now: then the policy stays that replaced it.
        let _ = self.set_explicit(id, was.explicit);
    }

    /// What would come of a set request here, as far as this reactor can tell. Changes nothing.
    pub fn would_grant(&self, id: ChannelId, request: &SetRequest) -> NtStatus {
        match validate(&self.channel(id).selector.set_view(), request) {
            Ok(_) => NtStatus::SUCCESS,
            Err(status) => status,
        }
    }
}
