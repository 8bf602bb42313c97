//! Paths and target port groups of one LUN, and who outranks whom when somebody has to step in.
//!
//! Cold: everything here runs on events (a path lost, a group changed, a policy set), never per I/O.
//!
//! A path has up to three opinions about it, and most of the subtlety is in keeping them apart:
//! what the *target* reports (`access`), what an administrator *wished* (`desired`,
//! stored by a granted set request and kept until the next), and what the *policy* made of the two
//! (`state`, the only one that candidates are drawn from).

use crate::lun::access::AccessState;
use std::fmt;

/// Paths per LUN. Windows stops at 32; the rest is room for lists that are being replaced.
pub const PATHS_MAX: usize = 64;

/// Names a path within its LUN, from `add_path` until `remove_path`; then the value may name another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PathIx(u16);

impl PathIx {
    /// The index that the `n`th path added to a selector gets, while none has been removed.
    #[must_use]
    pub const fn new(n: usize) -> Self {
        Self(n as u16)
    }

    /// As an index into the caller's own table.
    #[inline]
    #[must_use]
    pub const fn index(self) -> usize {
        self.0 as usize
    }
}

/// A path as it arrives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PathInit {
    /// Stable 64-bit id of the nexus (DsmPathId). Never 0.
    pub id: u64,
    /// Index of the nexus in the loads that `choose` is given.
    pub nexus: u16,
    /// Target port group. For ANA: a number of the caller's per controller and ANA group, since
    /// each controller reports its own state for a group.
    pub tpg: u32,
    /// Weight, for `weighted-paths` (least wins) and `share` (in proportion).
    pub weight: u32,
}

/// How the target reports and changes access states. ANA counts as implicit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Alua {
    /// Not at all: every path is as good as any other.
    #[default]
    None,
    /// The target reports, and changes states by itself.
    Implicit,
    /// The target reports, and changes states when told to.
    Explicit,
    /// Either.
    Both,
}

impl Alua {
    /// SET TARGET PORT GROUPS works.
    #[must_use]
    pub const fn explicit(self) -> bool {
        matches!(self, Self::Explicit | Self::Both)
    }

    /// ALUASupport of MPIO_DSM_Path_V2.
    #[must_use]
    pub const fn number(self) -> u32 {
        self as u32
    }
}

/// State of a path as policies and Windows tools see it: the two flags of MPIO_DSM_Path_V2.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PathState {
    /// Active/Optimized: a candidate.
    Optimized,
    /// Active/Unoptimized: used when no candidate is left.
    NonOptimized,
    /// Standby: may be promoted.
    Standby,
    /// Unavailable: promoted last.
    Unavailable,
}

impl PathState {
    /// PrimaryPath and OptimizedPath, taken together.
    #[must_use]
    pub const fn from_flags(primary: bool, optimized: bool) -> Self {
        match (primary, optimized) {
            (true, true) => Self::Optimized,
            (true, false) => Self::NonOptimized,
            (false, true) => Self::Standby,
            (false, false) => Self::Unavailable,
        }
    }

    /// PrimaryPath.
    #[must_use]
    pub const fn primary(self) -> bool {
        matches!(self, Self::Optimized | Self::NonOptimized)
    }

    /// OptimizedPath; of a path that is not primary it says nothing about speed.
    #[must_use]
    pub const fn optimized(self) -> bool {
        matches!(self, Self::Optimized | Self::Standby)
    }

    /// The state that an access state shows as.
    #[must_use]
    pub const fn of(access: AccessState) -> Self {
        match access {
            AccessState::Optimized => Self::Optimized,
            AccessState::NonOptimized => Self::NonOptimized,
            AccessState::Standby => Self::Standby,
            AccessState::Unavailable | AccessState::Transitioning | AccessState::Lost => {
                Self::Unavailable
            }
        }
    }
}

/// A group as REPORT TARGET PORT GROUPS or the ANA log gives it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GroupState {
    /// Its number.
    pub tpg: u32,
    /// Its state.
    pub access: AccessState,
    /// The target's PREF bit.
    pub preferred: bool,
}

/// A SET TARGET PORT GROUPS to send: these groups to active/optimized, the others as the target likes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StpgRequest {
    /// The groups, in list order of their paths, each once.
    pub tpgs: Vec<u32>,
}

/// Why a path was not added.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AddPathError {
    /// Id 0 means "failed path" in every Windows structure, so no path may have it.
    ZeroId,
    /// The LUN has a path with this id.
    DuplicateId,
    /// The LUN has [`PATHS_MAX`] paths.
    TooMany,
}

impl fmt::Display for AddPathError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::ZeroId => "path id 0 is reserved",
            Self::DuplicateId => "the LUN has a path with this id",
            Self::TooMany => "the LUN has as many paths as it may have",
        })
    }
}

impl std::error::Error for AddPathError {}

/// What happened, as far as the placing of paths is concerned.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Event<'a> {
    /// Paths arrived or returned, in list order.
    Arrived(&'a [PathIx]),
    /// A path was lost or removed.
    Lost,
    /// Access states changed; these paths became optimized by it.
    Groups { gained: &'a [PathIx] },
    /// A set request was granted: its wishes are in `desired`.
    Granted,
    /// The policy in force changed without a request naming states (default changed, setting cleared).
    Reset,
}

#[derive(Clone, Debug)]
pub(crate) struct Path {
    pub(crate) init: PathInit,
    pub(crate) up: bool,
    pub(crate) desired: Option<PathState>,
    /// What was told of this path alone; wins over its group.
    own: Option<AccessState>,
    pub(crate) state: PathState,
    /// Promoted because every path of the subset was gone.
    pub(crate) stand_in: bool,
}

#[derive(Clone, Copy, Debug)]
struct Group {
    state: GroupState,
    /// Reported by the target, as opposed to assumed because a path named it.
    told: bool,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Topology {
    pub(crate) alua: Alua,
    slots: Vec<Option<Path>>,
    order: Vec<PathIx>,
    groups: Vec<Group>,
    /// The preferred path of the setting in force, by id; only FAILOVER looks at it.
    pub(crate) preferred: Option<u64>,
    /// The one path of FAILOVER.
    pub(crate) running: Option<PathIx>,
    /// A path that should take I/O back, once its group lets it.
    pub(crate) failback: Option<PathIx>,
}

impl Topology {
    pub(crate) fn new(alua: Alua) -> Self {
        Self {
            alua,
            ..Self::default()
        }
    }

    pub(crate) fn add(&mut self, init: PathInit) -> Result<PathIx, AddPathError> {
        if init.id == 0 {
            return Err(AddPathError::ZeroId);
        }
        if self.find(init.id).is_some() {
            return Err(AddPathError::DuplicateId);
        }
        if self.order.len() == PATHS_MAX {
            return Err(AddPathError::TooMany);
        }
        if self.group(init.tpg).is_none() {
            let state = GroupState {
                tpg: init.tpg,
                access: AccessState::Optimized,
                preferred: false,
            };
            self.groups.push(Group { state, told: false });
        }
        let path = Path {
            init,
            up: true,
            desired: None,
            own: None,
            state: PathState::Standby,
            stand_in: false,
        };
        let free = self
            .slots
            .iter()
            .position(Option::is_none)
            .unwrap_or(self.slots.len());
        if free == self.slots.len() {
            self.slots.push(None);
        }
        assert!(free < PATHS_MAX);
        self.slots[free] = Some(path);
        let ix = PathIx(free as u16);
        self.order.push(ix);
        Ok(ix)
    }

    pub(crate) fn remove(&mut self, ix: PathIx) {
        assert!(
            self.slots[ix.index()].is_some(),
            "removing a path that is not there"
        );
        self.slots[ix.index()] = None;
        self.order.retain(|&other| other != ix);
        self.forget(ix);
    }

    /// The path is no longer there to run, or to take anything back.
    pub(crate) fn forget(&mut self, ix: PathIx) {
        self.running = self.running.filter(|&r| r != ix);
        self.failback = self.failback.filter(|&r| r != ix);
    }

    pub(crate) fn path(&self, ix: PathIx) -> &Path {
        self.slots[ix.index()]
            .as_ref()
            .expect("a PathIx lives from add_path to remove_path")
    }

    pub(crate) fn path_mut(&mut self, ix: PathIx) -> &mut Path {
        self.slots[ix.index()]
            .as_mut()
            .expect("a PathIx lives from add_path to remove_path")
    }

    pub(crate) fn get(&self, ix: PathIx) -> Option<&Path> {
        self.slots.get(ix.index()).and_then(Option::as_ref)
    }

    pub(crate) fn find(&self, id: u64) -> Option<PathIx> {
        self.order
            .iter()
            .copied()
            .find(|&ix| self.path(ix).init.id == id)
    }

    /// All paths, in list order.
    pub(crate) fn order(&self) -> &[PathIx] {
        &self.order
    }

    /// Place in the list.
    pub(crate) fn position(&self, ix: PathIx) -> Option<usize> {
        self.order.iter().position(|&other| other == ix)
    }

    /// Paths that are connected and not written off by the target, in list order.
    pub(crate) fn live(&self) -> impl Iterator<Item = PathIx> + '_ {
        self.order.iter().copied().filter(|&ix| self.is_live(ix))
    }

    pub(crate) fn is_live(&self, ix: PathIx) -> bool {
        self.path(ix).up && self.access(ix) != AccessState::Lost
    }

    fn group(&self, tpg: u32) -> Option<&Group> {
        self.groups.iter().find(|g| g.state.tpg == tpg)
    }

    /// What the target says of a path.
    pub(crate) fn access(&self, ix: PathIx) -> AccessState {
        let path = self.path(ix);
        match (path.own, self.alua) {
            (Some(own), _) => own,
            (None, Alua::None) => AccessState::Optimized,
            (None, _) => self
                .group(path.init.tpg)
                .map_or(AccessState::Optimized, |g| g.state.access),
        }
    }

    /// The target's PREF bit of the path's group.
    pub(crate) fn group_preferred(&self, ix: PathIx) -> bool {
        self.alua != Alua::None
            && self
                .group(self.path(ix).init.tpg)
                .is_some_and(|g| g.state.preferred)
    }

    pub(crate) fn set_own(&mut self, ix: PathIx, access: AccessState) {
        self.path_mut(ix).own = Some(access);
    }

    pub(crate) fn set_group(&mut self, state: GroupState) {
        match self.groups.iter_mut().find(|g| g.state.tpg == state.tpg) {
            Some(group) => *group = Group { state, told: true },
            None => self.groups.push(Group { state, told: true }),
        }
    }

    /// No ALUA, or implicit only with every group in the same state. Found and lost as states change.
    pub(crate) fn symmetric(&self) -> bool {
        match self.alua {
            Alua::None => true,
            Alua::Explicit | Alua::Both => false,
            Alua::Implicit => {
                let told = self
                    .groups
                    .iter()
                    .filter(|g| g.told)
                    .map(|g| g.state.access);
                let paths = self
                    .order
                    .iter()
                    .filter(|&&ix| self.path(ix).up || self.path(ix).own.is_none());
                let mut all = told.chain(paths.map(|&ix| self.access(ix)));
                let Some(first) = all.next() else { return true };
                all.all(|state| state == first)
            }
        }
    }

    /// May be the one path of FAILOVER without asking the target for anything.
    pub(crate) fn may_run(&self, ix: PathIx) -> bool {
        let access = self.access(ix);
        access == AccessState::Optimized || (access.usable_now() && self.symmetric())
    }

    /// Some group, or some path, is optimized in the target's own words.
    pub(crate) fn any_optimized(&self) -> bool {
        let told = self
            .groups
            .iter()
            .any(|g| g.told && g.state.access == AccessState::Optimized);
        told || self
            .order
            .iter()
            .any(|&ix| self.access(ix) == AccessState::Optimized)
    }

    /// A live path that the policy made a candidate.
    pub(crate) fn any_active(&self) -> bool {
        self.live()
            .any(|ix| self.path(ix).state == PathState::Optimized)
    }

    /// Who steps in on a symmetric LUN: the first standby, or the first in a group that the target
    /// prefers. Paths wished active/unoptimized and then unavailable are asked only when no standby
    /// is left: no I/O fails while some path works.
    pub(crate) fn first_standby(&self) -> Option<PathIx> {
        use PathState::{NonOptimized, Optimized, Standby, Unavailable};
        for class in [Standby, NonOptimized, Unavailable, Optimized] {
            let works = |&ix: &PathIx| self.access(ix).usable_now() && self.path(ix).state == class;
            let preferred = self
                .live()
                .find(|ix| works(ix) && self.group_preferred(*ix));
            if let Some(ix) = preferred.or_else(|| self.live().find(works)) {
                return Some(ix);
            }
        }
        None
    }

    /// Who steps in on an asymmetric LUN, among the live paths that `fits` lets through.
    ///
    /// A path whose group is optimized wins outright. Else the better access state wins, whatever
    /// anyone wished. Among equals a wished path displaces the candidate before it, unless that one
    /// was wished as well and sits in a preferred group.
    pub(crate) fn best_asymmetric(&self, fits: impl Fn(PathIx) -> bool) -> Option<PathIx> {
        let mut best: Option<PathIx> = None;
        for ix in self.live().filter(|&ix| fits(ix)) {
            let access = self.access(ix);
            if access == AccessState::Optimized {
                return Some(ix);
            }
            let Some(held) = best else {
                best = Some(ix);
                continue;
            };
            let better = access.rank() < self.access(held).rank();
            let equal = access.rank() == self.access(held).rank();
            let shielded = self.wished(held) && self.group_preferred(held);
            if better || (equal && self.wished(ix) && !shielded) {
                best = Some(ix);
            }
        }
        best
    }

    /// A stored wish for active/optimized.
    pub(crate) fn wished(&self, ix: PathIx) -> bool {
        self.path(ix).desired == Some(PathState::Optimized)
    }
}
