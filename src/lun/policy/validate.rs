//! The ordered validation of a set request: one pure function, one NTSTATUS for each reason.
//!
//! The numbers in the comments are those of `docs/policies.md`. Their order is part of the contract:
//! a request that is wrong in two ways is refused for the first. What 15 and 16 ask for (the target's
//! consent, then the commit) is in `set`.

use super::Policy;
use super::status::NtStatus;
use super::topology::{Alua, PathState};
use crate::lun::access::AccessState;

/// Which of the two methods, hence which structure, a request came by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SetMethod {
    /// DsmSetLoadBalancePolicy (1): a path has an id, a weight and one flag.
    Plain,
    /// DsmSetLoadBalancePolicyALUA (2).
    Alua,
}

impl SetMethod {
    /// WmiMethodId.
    #[must_use]
    pub const fn number(self) -> u32 {
        match self {
            Self::Plain => 1,
            Self::Alua => 2,
        }
    }

    /// The method of a WmiMethodId.
    #[must_use]
    pub const fn from_number(number: u32) -> Option<Self> {
        match number {
            1 => Some(Self::Plain),
            2 => Some(Self::Alua),
            _ => None,
        }
    }

    /// Size of MPIO_DSM_Path or MPIO_DSM_Path_V2.
    #[must_use]
    pub const fn path_bytes(self) -> u32 {
        match self {
            Self::Plain => 24,
            Self::Alua => 64,
        }
    }
}

/// Bytes before the array of paths.
pub const HEADER_BYTES: u32 = 16;
/// Bytes of the answer.
pub const OUT_BYTES: u32 = 4;
/// Newest structure version known.
pub const VERSION_MAX: u32 = 2;

/// A path of a set request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SetPath {
    /// Its id.
    pub id: u64,
    /// PrimaryPath.
    pub primary: bool,
    /// OptimizedPath. The plain method has no such field, and means yes.
    pub optimized: bool,
    /// PreferredPath. Not in the plain method.
    pub preferred: bool,
    /// PathWeight.
    pub weight: u32,
}

impl SetPath {
    /// Active/optimized, not preferred, weight 0: what a caller means who says nothing.
    #[must_use]
    pub const fn new(id: u64) -> Self {
        Self {
            id,
            primary: true,
            optimized: true,
            preferred: false,
            weight: 0,
        }
    }

    /// The same in another state.
    #[must_use]
    pub const fn in_state(id: u64, state: PathState) -> Self {
        Self {
            primary: state.primary(),
            optimized: state.optimized(),
            ..Self::new(id)
        }
    }
}

/// A set request with the sizes of the buffers that it came in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SetRequest {
    /// The method.
    pub method: SetMethod,
    /// Version field of the structure.
    pub version: u32,
    /// LoadBalancePolicy; 0 clears.
    pub policy: u32,
    /// DSMPathCount, whatever the array holds.
    pub count: u32,
    /// Size of the in buffer.
    pub in_size: u32,
    /// Size of the out buffer.
    pub out_size: u32,
    /// The array.
    pub paths: Vec<SetPath>,
}

impl SetRequest {
    /// A request whose sizes and version are right.
    #[must_use]
    pub fn new(method: SetMethod, policy: u32, paths: Vec<SetPath>) -> Self {
        let count = u32::try_from(paths.len()).unwrap_or(u32::MAX);
        let in_size = HEADER_BYTES.saturating_add(count.saturating_mul(method.path_bytes()));
        Self {
            method,
            version: method.number(),
            policy,
            count,
            in_size,
            out_size: OUT_BYTES,
            paths,
        }
    }
}

/// The LUN as validation sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SetView {
    /// Kind of target.
    pub alua: Alua,
    /// Paths are equal.
    pub symmetric: bool,
    /// Some target port group is active/optimized.
    pub any_optimized: bool,
    /// The LUN's paths, in list order.
    pub paths: Vec<PathView>,
}

/// A path as validation sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PathView {
    /// Its id.
    pub id: u64,
    /// Its target port group.
    pub tpg: u32,
    /// Known, and not connected.
    pub failed: bool,
    /// State of its group.
    pub access: AccessState,
}

/// A request without fault.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Policy 0: the explicit setting goes.
    Clear,
    /// To be put in force.
    Grant(Grant),
}

/// What to put in force.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grant {
    /// The policy, one of the first six.
    pub policy: Policy,
    /// One per path of the view, in its order.
    pub wishes: Vec<GrantedPath>,
    /// The preferred path, under FAILOVER.
    pub preferred: Option<u64>,
    /// Groups that the target has to make active/optimized first.
    pub stpg: Option<Vec<u32>>,
}

/// What to store of one path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GrantedPath {
    /// The state wished.
    pub state: PathState,
    /// The weight.
    pub weight: u32,
}

/// A path of the LUN with its entry in the request.
struct Pair<'a> {
    view: &'a PathView,
    entry: &'a SetPath,
    state: PathState,
    preferred: bool,
}

/// Checks 1 to 14, in this order.
pub fn validate(view: &SetView, request: &SetRequest) -> Result<Verdict, NtStatus> {
    // 1: nothing to set a policy on.
    require(!view.paths.is_empty())?;
    // 2: no room for the answer.
    if request.out_size < OUT_BYTES {
        return Err(NtStatus::BUFFER_TOO_SMALL);
    }
    // 3: cleared whatever else the request holds.
    if request.policy == 0 {
        return Ok(Verdict::Clear);
    }
    // 4: a count that the buffer can not hold, however large.
    let needed =
        u64::from(HEADER_BYTES) + u64::from(request.count) * u64::from(request.method.path_bytes());
    if u64::from(request.in_size) < needed {
        return Err(NtStatus::BUFFER_TOO_SMALL);
    }
    // 5
    if request.version > VERSION_MAX {
        return Err(NtStatus::NOT_SUPPORTED);
    }
    // 6: the vendor policies have a way in of their own.
    let policy = Policy::from_number(request.policy).filter(|&p| p != Policy::VendorSpecific);
    let policy = policy.ok_or(NtStatus::INVALID_PARAMETER)?;
    // 7
    require(request.count as usize == view.paths.len())?;
    // 8
    let pairs = pair_up(view, request)?;
    // 9
    require(policy != Policy::RoundRobin || view.symmetric)?;
    // A failed path has to be listed; what its entry asks for is nobody's business now.
    let alive = || pairs.iter().filter(|p| !p.view.failed);
    let active = |p: &&Pair<'_>| p.state == PathState::Optimized;
    if policy == Policy::Failover {
        // 10
        require(alive().filter(active).count() <= 1)?;
        require(alive().filter(|p| p.preferred).count() <= 1)?;
    }
    // 11: nobody but the target could make it so.
    if view.alua == Alua::Implicit {
        require(
            alive()
                .filter(active)
                .all(|p| p.view.access == AccessState::Optimized),
        )?;
    }
    match policy {
        // 12
        Policy::RoundRobin
        | Policy::LeastQueueDepth
        | Policy::WeightedPaths
        | Policy::LeastBlocks => {
            require(alive().all(|p| is_so_or_active(view.alua, p)))?;
        }
        // 13
        Policy::RoundRobinWithSubset => require(alive().all(|p| may_rest(view.alua, p)))?,
        Policy::Failover | Policy::VendorSpecific => {}
    }
    // 14
    let excused = view.alua != Alua::None && !view.any_optimized;
    require(excused || alive().any(|p| active(&p)))?;
    Ok(Verdict::Grant(grant(view, policy, &pairs)))
}

fn require(condition: bool) -> Result<(), NtStatus> {
    if condition {
        Ok(())
    } else {
        Err(NtStatus::INVALID_PARAMETER)
    }
}

/// Check 8: ids are unique (0 aside), and each path of the LUN has its entry.
fn pair_up<'a>(view: &'a SetView, request: &'a SetRequest) -> Result<Vec<Pair<'a>>, NtStatus> {
    let entries = &request.paths[..request.paths.len().min(request.count as usize)];
    for (i, entry) in entries.iter().enumerate() {
        require(entry.id == 0 || entries[..i].iter().all(|other| other.id != entry.id))?;
    }
    let pair = |view: &'a PathView| {
        let entry = entries
            .iter()
            .find(|e| e.id == view.id)
            .ok_or(NtStatus::INVALID_PARAMETER)?;
        let plain = request.method == SetMethod::Plain;
        let state = PathState::from_flags(entry.primary, entry.optimized || plain);
        Ok(Pair {
            view,
            entry,
            state,
            preferred: entry.preferred && !plain,
        })
    };
    view.paths.iter().map(pair).collect()
}

/// Check 12: these policies keep nobody in reserve. A path that is not wished active must be in that
/// state in the target's own words; without ALUA active/unoptimized is a wish like any other.
fn is_so_or_active(alua: Alua, pair: &Pair<'_>) -> bool {
    match (pair.state, alua) {
        (PathState::Optimized, _) | (PathState::NonOptimized, Alua::None) => true,
        (PathState::Standby | PathState::Unavailable, Alua::None) => false,
        (state, _) => is_in(state, pair.view.access),
    }
}

/// Check 13: a path may rest where the target would let it work, or holds it back just so.
fn may_rest(alua: Alua, pair: &Pair<'_>) -> bool {
    let access = pair.view.access;
    pair.state.primary()
        || alua == Alua::None
        || access == AccessState::Optimized
        || is_in(pair.state, access)
}

fn is_in(state: PathState, access: AccessState) -> bool {
    match state {
        PathState::Optimized => access == AccessState::Optimized,
        PathState::NonOptimized => access == AccessState::NonOptimized,
        PathState::Standby => access == AccessState::Standby,
        PathState::Unavailable => access == AccessState::Unavailable,
    }
}

fn grant(view: &SetView, policy: Policy, pairs: &[Pair<'_>]) -> Grant {
    let wishes = pairs
        .iter()
        .map(|p| GrantedPath {
            state: p.state,
            weight: p.entry.weight,
        })
        .collect();
    let marked = |failed: bool| {
        pairs
            .iter()
            .find(|p| p.preferred && p.view.failed == failed)
    };
    let preferred = marked(false).or_else(|| marked(true)).map(|p| p.view.id);
    let preferred = preferred.filter(|_| policy == Policy::Failover);
    Grant {
        policy,
        wishes,
        preferred,
        stpg: groups_to_raise(view, pairs),
    }
}

/// 15: all groups with an active wish, if one of them is not there yet. All of them, because a target
/// may lower the groups that an STPG does not name.
fn groups_to_raise(view: &SetView, pairs: &[Pair<'_>]) -> Option<Vec<u32>> {
    if !view.alua.explicit() {
        return None;
    }
    let mut tpgs = Vec::new();
    let mut missing = false;
    for pair in pairs
        .iter()
        .filter(|p| !p.view.failed && p.state == PathState::Optimized)
    {
        missing |= pair.view.access != AccessState::Optimized;
        if !tpgs.contains(&pair.view.tpg) {
            tpgs.push(pair.view.tpg);
        }
    }
    missing.then_some(tpgs)
}
