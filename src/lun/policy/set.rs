//! A set request takes effect: DsmSetLoadBalancePolicy, its ALUA form, and policy 0.
//!
//! Nothing changes before the target has said yes, so a refusal leaves everything as it was: states,
//! wishes, weights, the rotation's cursor.

use super::Policy;
use super::defaults::Setting;
use super::selector::{Selector, Stpg};
use super::status::NtStatus;
use super::topology::{Event, GroupState, PathIx, PathState, StpgRequest};
use super::validate::{PathView, SetRequest, SetView, Verdict, validate};

/// What a set request leads to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SetStep {
    /// Granted and in force, or refused and forgotten.
    Done(NtStatus),
    /// Send this, read the groups again, then call [`Selector::finish_set`].
    SendStpg(StpgRequest),
}

/// A valid request that waits for the target.
#[derive(Clone, Debug)]
pub(crate) struct PendingSet {
    policy: Policy,
    wishes: Vec<Wish>,
    preferred: Option<u64>,
}

#[derive(Clone, Copy, Debug)]
struct Wish {
    path: PathIx,
    state: PathState,
    weight: u32,
}

impl Selector {
    /// Validates a request and puts it in force, or says what has to be sent to the target before.
    ///
    /// On the LUN's other reactors: the same call, with the answer of the one STPG given to
    /// `finish_set` of each. A second request replaces one that still waits.
    pub fn begin_set(&mut self, request: &SetRequest) -> SetStep {
        self.pending = None;
        let grant = match validate(&self.set_view(), request) {
            Err(status) => return SetStep::Done(status),
            Ok(Verdict::Clear) => {
                self.choices.explicit = None;
                self.settle(Event::Reset, Stpg::Allowed);
                return SetStep::Done(NtStatus::SUCCESS);
            }
            Ok(Verdict::Grant(grant)) => grant,
        };
        let order: Vec<PathIx> = self.topology.order().to_vec();
        assert_eq!(grant.wishes.len(), order.len());
        let wishes = order.into_iter().zip(&grant.wishes);
        let wishes = wishes
            .map(|(path, w)| Wish {
                path,
                state: w.state,
                weight: w.weight,
            })
            .collect();
        let pending = PendingSet {
            policy: grant.policy,
            wishes,
            preferred: grant.preferred,
        };
        match grant.stpg {
            None => {
                self.commit(pending);
                SetStep::Done(NtStatus::SUCCESS)
            }
            Some(tpgs) => {
                self.pending = Some(pending);
                SetStep::SendStpg(StpgRequest { tpgs })
            }
        }
    }

    /// The target's answer to the STPG of [`Self::begin_set`]: the groups as read afterwards, or
    /// `None` if it refused. A group that did not reach optimized keeps its real state.
    pub fn finish_set(&mut self, groups: Option<&[GroupState]>) -> NtStatus {
        let Some(pending) = self.pending.take() else {
            // Overtaken by another request, which has an answer of its own.
            return NtStatus::INVALID_PARAMETER;
        };
        let Some(groups) = groups else {
            return NtStatus::IO_DEVICE_ERROR;
        };
        groups
            .iter()
            .for_each(|&group| self.topology.set_group(group));
        self.commit(pending);
        NtStatus::SUCCESS
    }

    fn commit(&mut self, set: PendingSet) {
        for wish in set.wishes {
            if self.topology.get(wish.path).is_some() {
                let path = self.topology.path_mut(wish.path);
                path.desired = Some(wish.state);
                path.init.weight = wish.weight;
            }
        }
        self.choices.explicit = Some(Setting {
            spec: set.policy.into(),
            preferred: set.preferred,
        });
        self.settle(Event::Granted, Stpg::Answered);
    }

    /// What validation needs to know of the LUN.
    #[must_use]
    pub fn set_view(&self) -> SetView {
        let path = |(ix, path): (PathIx, &super::topology::Path)| PathView {
            id: path.init.id,
            tpg: path.init.tpg,
            failed: !path.up,
            access: self.topology.access(ix),
        };
        SetView {
            alua: self.topology.alua,
            symmetric: self.topology.symmetric(),
            any_optimized: self.topology.any_optimized(),
            paths: self.paths().map(path).collect(),
        }
    }
}
