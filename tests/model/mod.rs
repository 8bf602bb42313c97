//! A second opinion on the policies, written from `docs/policies.md` and sharing no code with them.
//!
//! Deliberately naive: nothing is cached, every state is worked out from facts whenever somebody
//! asks. Slow and plain, so that a reader can hold it against the text.

mod io;
mod set;

pub(crate) use set::{Entry, Request};

use serde_json::{Value, json};
use std::collections::BTreeMap;

/// State of a group, or of a path, best first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum S {
    AO,
    AU,
    SB,
    UA,
    TR,
}

impl S {
    pub(crate) fn text(self) -> &'static str {
        ["AO", "AU", "SB", "UA", "TR"][self as usize]
    }

    fn works(self) -> bool {
        self <= Self::AU
    }
}

pub(crate) const FOO: u32 = 1;
pub(crate) const RR: u32 = 2;
pub(crate) const RRWS: u32 = 3;
pub(crate) const LQD: u32 = 4;
pub(crate) const WP: u32 = 5;
pub(crate) const LB: u32 = 6;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Op {
    Read,
    Write,
    Other,
}

#[derive(Clone, Debug)]
struct MPath {
    id: u64,
    tpg: u32,
    weight: u32,
    up: bool,
    wish: Option<S>,
    /// RRWS: works in place of the subset.
    stands_in: bool,
}

type Groups = BTreeMap<u32, (S, bool)>;

/// What the target is like, and what it was told to be like.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    pub alua: &'static str,
    pub groups: Groups,
    pub others: Option<S>,
    pub max_ao: usize,
    pub refuses: bool,
}

#[derive(Clone, Debug)]
struct Lun {
    target: Target,
    /// The groups as last read.
    seen: Groups,
    paths: Vec<MPath>,
    explicit: Option<(u32, Option<u64>)>,
    /// FOO: the running path.
    runs: Option<u64>,
    /// The path that should be fetched back by STPG.
    fetch: Option<u64>,
    /// RR, RRWS: the path to use next. `None`: the first.
    next: Option<u64>,
    /// Previous pick.
    last: Option<u64>,
    cache: Option<u64>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Load {
    requests: u64,
    bytes: u64,
    last_lba: u64,
}

#[derive(Clone, Copy, Debug)]
struct Io {
    lun: usize,
    op: Op,
    lba: u64,
    blocks: u64,
    on: Option<u64>,
}

/// Everything there is.
#[derive(Clone, Debug, Default)]
pub(crate) struct Model {
    luns: Vec<Lun>,
    loads: BTreeMap<u64, Load>,
    ios: BTreeMap<u64, Io>,
    /// Policy and preferred path.
    dsm: Option<(u32, Option<u64>)>,
    vendor: Option<(u32, Option<u64>)>,
    block: u64,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Why {
    Came(u64),
    Lost,
    States,
    Set,
    Default,
}

impl Model {
    pub(crate) fn new(
        block: u64,
        dsm: Option<(u32, Option<u64>)>,
        vendor: Option<(u32, Option<u64>)>,
    ) -> Self {
        Self {
            block,
            dsm,
            vendor,
            ..Self::default()
        }
    }

    pub(crate) fn add_lun(&mut self, target: Target, paths: &[(u64, u32)], cache: Option<u64>) {
        let seen = if target.alua == "none" {
            Groups::new()
        } else {
            target.groups.clone()
        };
        let path = |&(id, tpg): &(u64, u32)| MPath {
            id,
            tpg,
            weight: 0,
            up: true,
            wish: None,
            stands_in: false,
        };
        let paths: Vec<MPath> = paths.iter().map(path).collect();
        for p in &paths {
            self.loads.entry(p.id).or_default();
        }
        let lun = Lun {
            target,
            seen,
            paths,
            explicit: None,
            runs: None,
            fetch: None,
            next: None,
            last: None,
            cache,
        };
        self.luns.push(lun);
    }

    /// All paths of all LUNs have arrived.
    pub(crate) fn start(&mut self) -> Vec<Value> {
        let mut sent = Vec::new();
        for lun in 0..self.luns.len() {
            let ids: Vec<u64> = self.luns[lun].paths.iter().map(|p| p.id).collect();
            let before = self.view(lun);
            self.settle(lun, Why::Came(ids[0]), &before);
            for &id in &ids[1..] {
                self.failback(lun, id);
            }
            sent.extend(self.stpg(lun));
        }
        sent
    }

    // Facts.

    fn policy(&self, lun: usize) -> (u32, Option<u64>) {
        let l = &self.luns[lun];
        let equal = self.equal(lun);
        if let Some(explicit) = l.explicit {
            return explicit;
        }
        match self.vendor.or(self.dsm) {
            Some((RR, preferred)) if !equal => (RRWS, preferred),
            Some(default) => default,
            None => (if equal { RR } else { RRWS }, None),
        }
    }

    fn real(&self, lun: usize, id: u64) -> S {
        let l = &self.luns[lun];
        if l.target.alua == "none" {
            return S::AO;
        }
        l.seen.get(&self.path(lun, id).tpg).map_or(S::AO, |g| g.0)
    }

    fn preferred_group(&self, lun: usize, id: u64) -> bool {
        let l = &self.luns[lun];
        l.target.alua != "none" && l.seen.get(&self.path(lun, id).tpg).is_some_and(|g| g.1)
    }

    fn equal(&self, lun: usize) -> bool {
        let l = &self.luns[lun];
        match l.target.alua {
            "none" => true,
            "implicit" => {
                let mut states: Vec<S> = l.seen.values().map(|g| g.0).collect();
                states.extend(l.paths.iter().map(|p| self.real(lun, p.id)));
                states.windows(2).all(|w| w[0] == w[1])
            }
            _ => false,
        }
    }

    fn commands(&self, lun: usize) -> bool {
        matches!(self.luns[lun].target.alua, "explicit" | "both")
    }

    fn path(&self, lun: usize, id: u64) -> &MPath {
        self.luns[lun]
            .paths
            .iter()
            .find(|p| p.id == id)
            .expect("a path of the LUN")
    }

    fn path_mut(&mut self, lun: usize, id: u64) -> &mut MPath {
        self.luns[lun]
            .paths
            .iter_mut()
            .find(|p| p.id == id)
            .expect("a path of the LUN")
    }

    fn up(&self, lun: usize) -> Vec<u64> {
        self.luns[lun]
            .paths
            .iter()
            .filter(|p| p.up)
            .map(|p| p.id)
            .collect()
    }

    /// State of a path under the policy in force.
    fn shown(&self, lun: usize, id: u64) -> S {
        let (policy, _) = self.policy(lun);
        let (path, real, equal) = (self.path(lun, id), self.real(lun, id), self.equal(lun));
        match policy {
            FOO if self.luns[lun].runs == Some(id) => real,
            FOO if equal && real.works() => match path.wish {
                Some(S::AO) | None => S::SB,
                Some(wish) => wish,
            },
            FOO if real == S::AO => match path.wish {
                Some(S::AO) | None => S::AU,
                Some(wish) => wish,
            },
            RRWS if real == S::AO && !path.stands_in => path.wish.unwrap_or(S::AO),
            RR | LQD | WP | LB
                if self.luns[lun].target.alua == "none" && path.wish == Some(S::AU) =>
            {
                S::AU
            }
            _ => real,
        }
    }

    fn view(&self, lun: usize) -> BTreeMap<u64, S> {
        self.up(lun)
            .into_iter()
            .map(|id| (id, self.shown(lun, id)))
            .collect()
    }

    fn active(&self, lun: usize) -> Vec<u64> {
        self.up(lun)
            .into_iter()
            .filter(|&id| self.shown(lun, id) == S::AO)
            .collect()
    }

    // Failover.

    /// Equal paths: the first standby, one of a preferred group before the others.
    fn stand_in_equal(&self, lun: usize, before: &BTreeMap<u64, S>) -> Option<u64> {
        let up: Vec<u64> = self
            .up(lun)
            .into_iter()
            .filter(|&id| self.real(lun, id).works())
            .collect();
        for class in [S::SB, S::AU, S::UA, S::AO] {
            // A path that was not there before enters as standby.
            let of: Vec<u64> = up
                .iter()
                .copied()
                .filter(|id| *before.get(id).unwrap_or(&S::SB) == class)
                .collect();
            let preferred = of.iter().copied().find(|&id| self.preferred_group(lun, id));
            if preferred.or(of.first().copied()).is_some() {
                return preferred.or(of.first().copied());
            }
        }
        None
    }

    /// Unequal paths.
    fn stand_in_unequal(&self, lun: usize, among: &[u64]) -> Option<u64> {
        if let Some(id) = among
            .iter()
            .copied()
            .find(|&id| self.real(lun, id) == S::AO)
        {
            return Some(id);
        }
        let best = among.iter().map(|&id| self.real(lun, id)).min()?;
        let peers: Vec<u64> = among
            .iter()
            .copied()
            .filter(|&id| self.real(lun, id) == best)
            .collect();
        let wished = |id: &u64| self.path(lun, *id).wish == Some(S::AO);
        let shielded = peers
            .iter()
            .copied()
            .find(|id| wished(id) && self.preferred_group(lun, *id));
        shielded
            .or(peers.iter().copied().rfind(wished))
            .or(peers.first().copied())
    }

    fn can_run(&self, lun: usize, id: u64) -> bool {
        let real = self.real(lun, id);
        real == S::AO || (self.equal(lun) && real.works())
    }

    /// `id` came back: it may take I/O back.
    fn failback(&mut self, lun: usize, id: u64) {
        let (policy, preferred) = self.policy(lun);
        let preferred = preferred.filter(|&p| self.luns[lun].paths.iter().any(|x| x.id == p));
        let wished = self.path(lun, id).wish == Some(S::AO);
        let runs = self.luns[lun].runs;
        match policy {
            FOO if runs != Some(id) => {
                let mine =
                    preferred == Some(id) || (wished && (preferred.is_none() || runs != preferred));
                if mine && self.can_run(lun, id) {
                    self.luns[lun].runs = Some(id);
                } else if mine {
                    self.luns[lun].fetch = Some(id);
                }
            }
            RRWS if wished && self.real(lun, id) != S::AO => self.luns[lun].fetch = Some(id),
            _ => {}
        }
    }

    /// After any change: who runs, who stands in. `before` is how things looked before it.
    fn settle(&mut self, lun: usize, why: Why, before: &BTreeMap<u64, S>) {
        if matches!(why, Why::Set | Why::Default) {
            self.luns[lun].fetch = None;
        }
        let (policy, preferred) = self.policy(lun);
        let up = self.up(lun);
        if policy == FOO {
            self.settle_foo(lun, why, before, preferred);
        }
        if policy == RRWS {
            if matches!(why, Why::Set | Why::Default) {
                self.luns[lun]
                    .paths
                    .iter_mut()
                    .for_each(|p| p.stands_in = false);
            }
            let belongs = |m: &Self, id: u64| {
                m.real(lun, id) == S::AO && matches!(m.path(lun, id).wish, None | Some(S::AO))
            };
            let back = up.iter().any(|&id| belongs(self, id));
            for &id in &up {
                let leaves =
                    (back && self.path(lun, id).wish == Some(S::SB)) || self.real(lun, id) != S::AO;
                let keeps = self.path(lun, id).stands_in && !leaves && !belongs(self, id);
                self.path_mut(lun, id).stands_in = keeps;
            }
            if self.active(lun).is_empty() {
                let view = self.view(lun);
                let one = if self.equal(lun) {
                    self.stand_in_equal(lun, &view)
                } else {
                    self.stand_in_unequal(lun, &up)
                };
                if let Some(id) = one.filter(|&id| self.real(lun, id) == S::AO) {
                    self.path_mut(lun, id).stands_in = true;
                }
            }
        }
        if let Why::Came(id) = why {
            self.failback(lun, id);
        }
        if why != Why::States {
            self.luns[lun].next = self.active(lun).first().copied();
        }
    }

    fn settle_foo(
        &mut self,
        lun: usize,
        why: Why,
        before: &BTreeMap<u64, S>,
        preferred: Option<u64>,
    ) {
        let up = self.up(lun);
        let ready: Vec<u64> = up
            .iter()
            .copied()
            .filter(|&id| self.can_run(lun, id))
            .collect();
        let wished = ready
            .iter()
            .copied()
            .find(|&id| self.path(lun, id).wish == Some(S::AO));
        match why {
            Why::Set => self.luns[lun].runs = wished,
            Why::Default => {
                let favourite = preferred.filter(|p| ready.contains(p));
                let was_active = ready
                    .iter()
                    .copied()
                    .find(|id| before.get(id) == Some(&S::AO));
                self.luns[lun].runs = favourite.or(wished).or(was_active);
            }
            _ => {}
        }
        let runs = self.luns[lun].runs.filter(|id| up.contains(id));
        self.luns[lun].runs = runs;
        if runs.is_none_or(|id| !self.can_run(lun, id)) {
            let one = match (self.equal(lun), why) {
                (true, Why::Came(_)) => up.iter().copied().find(|&id| self.real(lun, id).works()),
                (true, _) => self.stand_in_equal(lun, before),
                (false, _) => self.stand_in_unequal(lun, &up),
            };
            if let Some(id) = one {
                let still_works = runs.is_some_and(|id| self.real(lun, id).works());
                if self.can_run(lun, id) || !still_works {
                    self.luns[lun].runs = Some(id);
                }
            }
        }
        if let (Why::Default, Some(id)) = (why, preferred.filter(|p| up.contains(p))) {
            self.failback(lun, id);
        }
    }

    /// The groups are read again: what was not optimized and now is counts as returning.
    fn read_groups(&mut self, lun: usize) {
        if self.luns[lun].target.alua == "none" {
            return;
        }
        let before = self.view(lun);
        let could: Vec<u64> = self
            .ids(lun)
            .into_iter()
            .filter(|&id| self.can_run(lun, id))
            .collect();
        self.luns[lun].seen = self.luns[lun].target.groups.clone();
        self.settle(lun, Why::States, &before);
        for id in self.up(lun) {
            if self.real(lun, id) == S::AO && !could.contains(&id) && self.policy(lun).0 == FOO {
                self.failback(lun, id);
            }
        }
    }

    fn ids(&self, lun: usize) -> Vec<u64> {
        self.luns[lun].paths.iter().map(|p| p.id).collect()
    }

    fn ask_target(&mut self, lun: usize, tpgs: &[u32]) -> bool {
        let target = &mut self.luns[lun].target;
        if target.refuses {
            return false;
        }
        if let Some(others) = target.others {
            for (tpg, group) in &mut target.groups {
                if group.0 == S::AO && !tpgs.contains(tpg) {
                    group.0 = others;
                }
            }
        }
        for tpg in tpgs {
            let now = target.groups.values().filter(|g| g.0 == S::AO).count();
            if let Some(group) = target.groups.get_mut(tpg).filter(|_| now < target.max_ao) {
                group.0 = S::AO;
            }
        }
        true
    }

    /// One STPG if nobody is active, or if a path is to be fetched back.
    fn stpg(&mut self, lun: usize) -> Vec<Value> {
        if !self.commands(lun) {
            return vec![];
        }
        let target = if self.active(lun).is_empty() {
            self.stand_in_unequal(lun, &self.up(lun))
        } else {
            self.luns[lun]
                .fetch
                .filter(|&id| self.real(lun, id) != S::AO)
        };
        let Some(id) = target else { return vec![] };
        let tpg = self.path(lun, id).tpg;
        let ok = self.ask_target(lun, &[tpg]);
        if ok {
            self.read_groups(lun);
        }
        self.luns[lun].fetch = None;
        vec![json!({"lun": lun, "tpgs": [tpg], "ok": ok})]
    }

    // Events.

    pub(crate) fn fail(&mut self, id: u64) -> Vec<Value> {
        let mut sent = Vec::new();
        for lun in 0..self.luns.len() {
            if self.ids(lun).contains(&id) && self.path(lun, id).up {
                let before = self.view(lun);
                let path = self.path_mut(lun, id);
                (path.up, path.stands_in) = (false, false);
                let l = &mut self.luns[lun];
                l.runs = l.runs.filter(|&r| r != id);
                l.fetch = l.fetch.filter(|&f| f != id);
                self.settle(lun, Why::Lost, &before);
            }
        }
        (0..self.luns.len()).for_each(|lun| sent.extend(self.stpg_if(lun, id)));
        sent
    }

    fn stpg_if(&mut self, lun: usize, id: u64) -> Vec<Value> {
        if self.ids(lun).contains(&id) {
            self.stpg(lun)
        } else {
            vec![]
        }
    }

    pub(crate) fn comes_back(&mut self, id: u64) -> Vec<Value> {
        let mut sent = Vec::new();
        for lun in 0..self.luns.len() {
            if self.ids(lun).contains(&id) {
                self.read_groups(lun);
                if !self.path(lun, id).up {
                    let before = self.view(lun);
                    self.path_mut(lun, id).up = true;
                    self.settle(lun, Why::Came(id), &before);
                }
            }
        }
        (0..self.luns.len()).for_each(|lun| sent.extend(self.stpg_if(lun, id)));
        sent
    }

    pub(crate) fn tpg(
        &mut self,
        lun: usize,
        set: &[(u32, S)],
        refuses: Option<bool>,
        silent: bool,
    ) -> Vec<Value> {
        let target = &mut self.luns[lun].target;
        target.refuses = refuses.unwrap_or(target.refuses);
        for (tpg, state) in set {
            target.groups.entry(*tpg).or_insert((S::AO, false)).0 = *state;
        }
        if silent {
            return vec![];
        }
        self.read_groups(lun);
        self.stpg(lun)
    }

    pub(crate) fn is_up(&self, id: u64) -> bool {
        (0..self.luns.len()).any(|lun| self.up(lun).contains(&id))
    }

    pub(crate) fn lun_commands(&self, lun: usize) -> bool {
        self.commands(lun)
    }

    pub(crate) fn any_commands(&self) -> bool {
        (0..self.luns.len()).any(|lun| self.commands(lun))
    }
}
