//! The policy state of one LUN on one reactor.
//!
//! Two halves. The hot one is [`Selector::choose`]: a compact array of candidates, a rule, the place
//! of the previous pick; no lock, no allocation, no clock. The cold one takes events, lets the rule
//! place the paths anew, and rebuilds that array.
//!
//! Owned and called by one reactor. Every reactor that serves the LUN has its own, fed the same
//! events in any interleaving; they may disagree for as long as an event takes to reach both.
//!
//! On a LUN with explicit ALUA an event may call for a SET TARGET PORT GROUPS. It is fetched with
//! [`Selector::take_stpg`] and answered with [`Selector::stpg_done`]. Every selector of the LUN asks
//! for the same one: send it once (from the LUN's home reactor) and answer all. While a LUN is being
//! discovered, fetch it only when its paths have settled, else the first path to arrive drags the
//! LUN to its own controller.

use super::defaults::{Choices, Scope, Setting, Source};
use super::least_blocks::CACHE_BYTES_DEFAULT;
use super::load::{IoShape, NexusLoad};
use super::round_robin::RoundRobin;
use super::rule::{AnyRule, Ask, Candidate, NOWHERE};
use super::set::PendingSet;
use super::topology::{
    AddPathError, Alua, Event, GroupState, Path, PathInit, PathIx, PathState, StpgRequest, Topology,
};
use super::{Policy, PolicySpec};
use crate::lun::access::AccessState;

/// What a LUN is told once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// How the target manages access states. ANA is [`Alua::Implicit`].
    pub alua: Alua,
    /// `least-blocks`: bytes that writes of a sequential run may have in flight; `None` switches the
    /// affinity off (DsmCacheSizeForLeastBlocks, DsmUseCacheForLeastBlocks).
    pub cache_bytes: Option<u64>,
    /// When no path is optimized, run the policy over all non-optimized ones instead of staying on
    /// one of them. Windows stays on one, so this is off.
    pub spread_non_optimized: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            alua: Alua::None,
            cache_bytes: Some(CACHE_BYTES_DEFAULT),
            spread_non_optimized: false,
        }
    }
}

/// What a request without a path has to hope for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Prospects {
    /// `choose` has an answer.
    UsableNow,
    /// Not now; park it.
    MayComeBack,
    /// No path, or none that the target will ever serve again; fail it.
    Never,
}

/// The policy state of one LUN on one reactor.
#[derive(Debug)]
pub struct Selector {
    // Hot.
    candidates: Vec<Candidate>,
    rule: AnyRule,
    /// Place of the previous pick, [`NOWHERE`] when it is not among the candidates.
    last_place: usize,
    /// The place that every request goes to without the rule being asked, else [`NOWHERE`].
    fixed: usize,
    // Cold.
    last: Option<PathIx>,
    /// The path that the rotation names next, kept while there is nothing to rotate over.
    named: Option<PathIx>,
    pub(crate) topology: Topology,
    pub(crate) choices: Choices,
    pub(crate) pending: Option<PendingSet>,
    in_force: (Setting, Source),
    options: Options,
    stpg_wanted: Option<StpgRequest>,
    stpg_sent: Option<StpgRequest>,
}

impl Selector {
    /// A LUN without paths, under the policy that its capability gives.
    #[must_use]
    pub fn new(options: Options) -> Self {
        Self::with_choices(options, Choices::default())
    }

    /// A LUN without paths, under configured policies.
    #[must_use]
    pub fn with_choices(options: Options, choices: Choices) -> Self {
        let topology = Topology::new(options.alua);
        let in_force = choices.in_force(topology.symmetric());
        let mut selector = Self {
            candidates: Vec::new(),
            rule: AnyRule::new(in_force.0.spec, options.cache_bytes),
            last_place: NOWHERE,
            fixed: NOWHERE,
            last: None,
            named: None,
            topology,
            choices,
            pending: None,
            in_force,
            options,
            stpg_wanted: None,
            stpg_sent: None,
        };
        selector.settle(Event::Reset, Stpg::Allowed);
        selector
    }

    /// The path for a request, `None` when no path can carry it now (then see [`Self::prospects`]).
    ///
    /// `loads` is indexed by [`PathInit::nexus`]. The caller dispatches, and then counts, on the
    /// nexus of the answer. `avoid` is a wish: that path is the answer only when the policy has no
    /// other to offer.
    #[inline]
    pub fn choose(
        &mut self,
        io: IoShape,
        loads: &[NexusLoad],
        now_ns: u64,
        avoid: Option<PathIx>,
    ) -> Option<PathIx> {
        let place = if self.fixed != NOWHERE {
            if avoid.is_some() {
                self.detour(avoid)
            } else {
                self.fixed
            }
        } else if self.candidates.is_empty() {
            return None;
        } else {
            let avoid = avoid.map_or(NOWHERE, |path| self.place_of(path));
            let ask = Ask {
                io: &io,
                loads,
                now_ns,
                avoid,
                last: self.last_place,
            };
            self.rule.pick(&self.candidates, &ask)
        };
        self.last_place = place;
        Some(self.candidates[place].path)
    }

    /// The fixed place, or another one if that is to be avoided and there is another.
    #[cold]
    fn detour(&self, avoid: Option<PathIx>) -> usize {
        let other = usize::from(self.fixed == 0);
        let avoided = avoid == Some(self.candidates[self.fixed].path);
        if avoided && other < self.candidates.len() {
            other
        } else {
            self.fixed
        }
    }

    #[cold]
    fn place_of(&self, path: PathIx) -> usize {
        self.candidates
            .iter()
            .position(|c| c.path == path)
            .unwrap_or(NOWHERE)
    }

    /// Whether a request without a path should wait.
    #[must_use]
    pub fn prospects(&self) -> Prospects {
        if !self.candidates.is_empty() {
            return Prospects::UsableNow;
        }
        // A lost nexus is reconnected for as long as it is configured, whatever it reported last.
        let hope =
            |&ix: &PathIx| !self.topology.path(ix).up || self.topology.access(ix).may_come_back();
        if self.topology.order().iter().any(hope) {
            Prospects::MayComeBack
        } else {
            Prospects::Never
        }
    }

    // Events.

    /// A path arrives, at the end of the list. Tell the state of its group before, if the target
    /// has groups: an untold group counts as optimized.
    pub fn add_path(&mut self, init: PathInit) -> Result<PathIx, AddPathError> {
        let ix = self.topology.add(init)?;
        self.settle(Event::Arrived(&[ix]), Stpg::Allowed);
        Ok(ix)
    }

    /// Several paths arrive and settle together.
    pub fn add_paths(&mut self, inits: &[PathInit]) -> Result<Vec<PathIx>, AddPathError> {
        let mut arrived = Vec::with_capacity(inits.len());
        let mut verdict = Ok(());
        for init in inits {
            match self.topology.add(*init) {
                Ok(ix) => arrived.push(ix),
                Err(error) => {
                    verdict = Err(error);
                    break;
                }
            }
        }
        self.settle(Event::Arrived(&arrived), Stpg::Allowed);
        verdict.map(|()| arrived)
    }

    /// A path is no longer configured. Its `PathIx` is void from here on.
    pub fn remove_path(&mut self, ix: PathIx) {
        self.save_marks();
        self.topology.remove(ix);
        self.last = self.last.filter(|&l| l != ix);
        self.named = self.named.filter(|&n| n != ix);
        self.settle_marked(Event::Lost, Stpg::Allowed);
    }

    /// The nexus is back. The path enters as a standby; wishes and failback rules apply from there.
    pub fn path_up(&mut self, ix: PathIx) {
        let path = self.topology.path_mut(ix);
        if path.up {
            return;
        }
        path.up = true;
        path.state = PathState::Standby;
        path.stand_in = false;
        self.settle(Event::Arrived(&[ix]), Stpg::Allowed);
    }

    /// The nexus is lost. The path keeps its place in the list.
    pub fn path_down(&mut self, ix: PathIx) {
        let path = self.topology.path_mut(ix);
        if !path.up {
            return;
        }
        path.up = false;
        path.stand_in = false;
        self.topology.forget(ix);
        self.settle(Event::Lost, Stpg::Allowed);
    }

    /// The target said something about this path alone. From then on that wins over its group.
    pub fn set_access(&mut self, ix: PathIx, access: AccessState) {
        self.change_states(Stpg::Allowed, |topology| topology.set_own(ix, access));
    }

    /// The target said something about a group.
    pub fn set_group_access(&mut self, tpg: u32, access: AccessState, preferred: bool) {
        self.set_groups(&[GroupState {
            tpg,
            access,
            preferred,
        }]);
    }

    /// A whole report: the groups change together, and the paths settle once.
    pub fn set_groups(&mut self, groups: &[GroupState]) {
        self.change_states(Stpg::Allowed, |topology| {
            groups.iter().for_each(|&g| topology.set_group(g))
        });
    }

    /// The weight of one path. Order of preference or share, see the policies.
    pub fn set_weight(&mut self, ix: PathIx, weight: u32) {
        self.save_marks();
        self.topology.path_mut(ix).init.weight = weight;
        self.rebuild(false);
    }

    /// A stored wish for one path, as of a set request granted in an earlier life.
    pub fn set_desired(&mut self, ix: PathIx, desired: Option<PathState>) {
        self.topology.path_mut(ix).desired = desired;
        self.settle(Event::Reset, Stpg::Allowed);
    }

    /// A default was set or removed. Where it governs the LUN, the next path is found anew at once.
    pub fn set_default(&mut self, scope: Scope, setting: Option<Setting>) {
        let governing = |source| match scope {
            Scope::Target => source == Source::Target,
            Scope::Engine => source == Source::Engine,
        };
        let before = self.in_force.1;
        match scope {
            Scope::Target => self.choices.target = setting,
            Scope::Engine => self.choices.engine = setting,
        }
        let after = self.choices.in_force(self.topology.symmetric()).1;
        if governing(before) || governing(after) {
            self.settle(Event::Reset, Stpg::Allowed);
        }
    }

    /// The LUN's own policy, without naming states or weights: how config and CLI set it. The
    /// vendor policies come in here too; the DSM methods refuse them. `None` clears.
    pub fn set_explicit(&mut self, setting: Option<Setting>) -> Result<(), super::NtStatus> {
        let round_robin = setting.is_some_and(|s| s.spec.policy() == Policy::RoundRobin);
        if round_robin && !self.topology.symmetric() {
            return Err(super::NtStatus::INVALID_PARAMETER);
        }
        self.choices.explicit = setting;
        self.settle(Event::Reset, Stpg::Allowed);
        Ok(())
    }

    // Explicit ALUA.

    /// Whether the target may be told what to do.
    pub fn set_alua(&mut self, alua: Alua) {
        self.options.alua = alua;
        self.topology.alua = alua;
        self.settle(Event::Reset, Stpg::Allowed);
    }

    /// The SET TARGET PORT GROUPS that the last events call for, once.
    pub fn take_stpg(&mut self) -> Option<StpgRequest> {
        let request = self.stpg_wanted.take()?;
        self.stpg_sent = Some(request.clone());
        Some(request)
    }

    /// The target answered it; `groups` is the REPORT TARGET PORT GROUPS read after a success, empty
    /// when it refused or could not be asked: every request taken is answered. No further STPG follows
    /// from the answer itself, so a stubborn target is asked again only when something else happens.
    pub fn stpg_done(&mut self, groups: &[GroupState]) {
        self.stpg_sent = None;
        self.change_states(Stpg::Answered, |topology| {
            groups.iter().for_each(|&g| topology.set_group(g))
        });
        self.topology.failback = None;
    }

    // What others want to know.

    /// The policy in force.
    #[must_use]
    pub fn policy(&self) -> PolicySpec {
        self.in_force.0.spec
    }

    /// Where it comes from.
    #[must_use]
    pub fn policy_source(&self) -> Source {
        self.in_force.1
    }

    /// The LUN's own setting, whatever is in force.
    #[must_use]
    pub fn explicit(&self) -> Option<Setting> {
        self.choices.explicit
    }

    /// The stored wish for a path.
    #[must_use]
    pub fn desired(&self, ix: PathIx) -> Option<PathState> {
        self.topology.get(ix).and_then(|path| path.desired)
    }

    /// All paths of the target are equal, in the sense of the policies.
    #[must_use]
    pub fn symmetric(&self) -> bool {
        self.topology.symmetric()
    }

    /// How the target manages access states.
    #[must_use]
    pub fn alua(&self) -> Alua {
        self.options.alua
    }

    /// The path with this id.
    #[must_use]
    pub fn find_path(&self, id: u64) -> Option<PathIx> {
        self.topology.find(id)
    }

    /// The id of a path.
    #[must_use]
    pub fn path_id(&self, ix: PathIx) -> Option<u64> {
        self.topology.get(ix).map(|path| path.init.id)
    }

    /// What the target says of a path.
    #[must_use]
    pub fn access(&self, ix: PathIx) -> AccessState {
        self.topology.access(ix)
    }

    /// The paths that `choose` draws from, in list order.
    pub fn candidates(&self) -> impl Iterator<Item = PathIx> + '_ {
        self.candidates.iter().map(|c| c.path)
    }

    // How an event takes effect.

    fn change_states(&mut self, stpg: Stpg, change: impl FnOnce(&mut Topology)) {
        let could_run: Vec<PathIx> = self
            .topology
            .order()
            .iter()
            .copied()
            .filter(|&ix| self.topology.may_run(ix))
            .collect();
        change(&mut self.topology);
        let is_new = |ix: &PathIx| {
            self.topology.access(*ix) == AccessState::Optimized && !could_run.contains(ix)
        };
        let gained: Vec<PathIx> = self.topology.live().filter(is_new).collect();
        self.settle(Event::Groups { gained: &gained }, stpg);
    }

    pub(crate) fn settle(&mut self, event: Event<'_>, stpg: Stpg) {
        self.save_marks();
        self.settle_marked(event, stpg);
    }

    fn settle_marked(&mut self, event: Event<'_>, stpg: Stpg) {
        let before = self.in_force.0.spec;
        self.in_force = self.choices.in_force(self.topology.symmetric());
        self.topology.preferred = self.in_force.0.preferred;
        if self.in_force.0.spec != before {
            self.rule = AnyRule::new(self.in_force.0.spec, self.options.cache_bytes);
        }
        if matches!(event, Event::Granted | Event::Reset) {
            self.topology.failback = None;
        }
        self.rule.place(&mut self.topology, event);
        self.want_stpg(stpg);
        self.rebuild(!matches!(event, Event::Groups { .. }));
    }

    fn want_stpg(&mut self, stpg: Stpg) {
        self.stpg_wanted = None;
        let topology = &self.topology;
        if stpg == Stpg::Answered || !topology.alua.explicit() {
            return;
        }
        let target = if topology.any_active() {
            topology
                .failback
                .filter(|&ix| topology.access(ix) != AccessState::Optimized)
        } else {
            topology.best_asymmetric(|_| true)
        };
        let wanted = target.map(|ix| StpgRequest {
            tpgs: vec![topology.path(ix).init.tpg],
        });
        self.stpg_wanted = wanted.filter(|request| self.stpg_sent.as_ref() != Some(request));
    }

    /// Remembers the previous pick and the cursor by path, before places change.
    fn save_marks(&mut self) {
        if let Some(candidate) = self.candidates.get(self.last_place) {
            self.last = Some(candidate.path);
        }
        if let Some(rotation) = self.rule.rotation().filter(|rotation| rotation.moved) {
            self.named = self
                .candidates
                .get(rotation.next)
                .map(|candidate| candidate.path);
        }
    }

    fn rebuild(&mut self, restart: bool) {
        let topology = &self.topology;
        let in_state = |state: PathState| {
            topology.live().filter(move |&ix| {
                topology.path(ix).state == state && topology.access(ix).usable_now()
            })
        };
        let candidate = |ix: PathIx| {
            let PathInit { nexus, weight, .. } = topology.path(ix).init;
            Candidate {
                path: ix,
                nexus,
                weight,
            }
        };
        let alone = self.in_force.0.spec.policy() == Policy::Failover;
        let fallback: Vec<PathIx>;
        self.candidates.clear();
        self.fixed = NOWHERE;
        if alone {
            let running = topology
                .running
                .filter(|&ix| topology.access(ix).usable_now());
            self.candidates.extend(running.map(candidate));
        } else {
            self.candidates
                .extend(in_state(PathState::Optimized).map(candidate));
        }
        if self.candidates.is_empty() && !alone {
            fallback = in_state(PathState::NonOptimized).collect();
            let spreads = self.options.spread_non_optimized || self.rule.spreads_non_optimized();
            if !spreads && !fallback.is_empty() {
                let stays = self
                    .last
                    .filter(|ix| fallback.contains(ix))
                    .or_else(|| self.fall_back_on(&fallback));
                self.fixed = fallback
                    .iter()
                    .position(|&ix| Some(ix) == stays)
                    .unwrap_or(0);
            }
            self.candidates.extend(fallback.into_iter().map(candidate));
        }
        self.last_place = self.last.map_or(NOWHERE, |ix| self.place_of(ix));
        self.rule.rebuild(&self.candidates);
        self.place_cursor(restart);
        if self.candidates.len() == 1 && self.rule.rotation().is_none() {
            self.fixed = 0;
        }
        assert!(self.fixed == NOWHERE || self.fixed < self.candidates.len());
    }

    fn fall_back_on(&self, among: &[PathIx]) -> Option<PathIx> {
        if self.topology.symmetric() {
            let preferred = among
                .iter()
                .copied()
                .find(|&ix| self.topology.group_preferred(ix));
            return preferred.or_else(|| among.first().copied());
        }
        self.topology.best_asymmetric(|ix| among.contains(&ix))
    }

    /// On the first active path after an arrival, loss or set; else on the path named before, or the
    /// first active one behind it.
    fn place_cursor(&mut self, restart: bool) {
        let rotates = self.fixed == NOWHERE;
        if restart {
            self.named = self.candidates.first().filter(|_| rotates).map(|c| c.path);
        }
        let from = self
            .named
            .and_then(|ix| self.topology.position(ix))
            .unwrap_or(0);
        let behind = |c: &Candidate| self.topology.position(c.path).is_some_and(|p| p >= from);
        let next = self.candidates.iter().position(behind).unwrap_or(0);
        if let Some(rotation) = self.rule.rotation() {
            *rotation = RoundRobin { next, moved: false };
        }
    }

    pub(crate) fn paths(&self) -> impl Iterator<Item = (PathIx, &Path)> + '_ {
        self.topology
            .order()
            .iter()
            .map(|&ix| (ix, self.topology.path(ix)))
    }
}

/// Whether an event may call for a SET TARGET PORT GROUPS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stpg {
    Allowed,
    /// It is itself the answer to one.
    Answered,
}
