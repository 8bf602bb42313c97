//! One LUN with its loads, spoken to by path id. Nexus of path `n` is `n - 1`.
#![allow(dead_code, unused_imports, reason = "each test binary uses its part")]

use umpio::lun::access::AccessState;
use umpio::lun::policy::defaults::{Choices, Setting};
use umpio::lun::policy::*;

pub(crate) use AccessState::{
    NonOptimized as AU, Optimized as AO, Standby as SB, Transitioning as TR, Unavailable as UA,
};

pub(crate) struct Bench {
    pub(crate) selector: Selector,
    pub(crate) loads: Vec<NexusLoad>,
    pub(crate) now_ns: u64,
}

/// Paths 1 to `count`, no ALUA, under an explicit policy that names no states.
pub(crate) fn equal(policy: Policy, count: u64) -> Bench {
    let mut bench = unsettled(Options::default(), Some(policy));
    for id in 1..=count {
        bench.add(id, 0);
    }
    bench
}

/// No ALUA, policy by default.
pub(crate) fn plain(count: u64) -> Bench {
    let mut bench = unsettled(Options::default(), None);
    (1..=count).for_each(|id| bench.add(id, 0));
    bench
}

/// Groups 1 … in the states given, paths as (id, group), policy as told or by capability.
pub(crate) fn grouped(
    alua: Alua,
    policy: Option<Policy>,
    groups: &[AccessState],
    paths: &[(u64, u32)],
) -> Bench {
    let mut bench = unsettled(
        Options {
            alua,
            ..Options::default()
        },
        policy,
    );
    let states: Vec<GroupState> = (1..)
        .zip(groups)
        .map(|(tpg, &access)| GroupState {
            tpg,
            access,
            preferred: false,
        })
        .collect();
    bench.selector.set_groups(&states);
    let inits: Vec<PathInit> = paths.iter().map(|&(id, tpg)| init(id, tpg)).collect();
    bench.selector.add_paths(&inits).expect("distinct ids");
    bench.loads.resize(16, NexusLoad::default());
    bench
}

pub(crate) fn unsettled(options: Options, policy: Option<Policy>) -> Bench {
    let explicit = policy.map(|p| Setting::new(p.into()));
    let selector = Selector::with_choices(
        options,
        Choices {
            explicit,
            ..Choices::default()
        },
    );
    Bench {
        selector,
        loads: Vec::new(),
        now_ns: 0,
    }
}

fn init(id: u64, tpg: u32) -> PathInit {
    PathInit {
        id,
        nexus: u16::try_from(id - 1).expect("small ids"),
        tpg,
        weight: 0,
    }
}

impl Bench {
    pub(crate) fn add(&mut self, id: u64, tpg: u32) {
        self.selector.add_path(init(id, tpg)).expect("distinct ids");
        let room = usize::try_from(id)
            .expect("small ids")
            .max(self.loads.len());
        self.loads.resize(room, NexusLoad::default());
    }

    pub(crate) fn ix(&self, id: u64) -> PathIx {
        self.selector.find_path(id).expect("a path of the LUN")
    }

    pub(crate) fn load(&mut self, id: u64) -> &mut NexusLoad {
        &mut self.loads[usize::try_from(id - 1).expect("small ids")]
    }

    /// Picks for `io` without dispatching it.
    pub(crate) fn pick_io(&mut self, io: IoShape) -> Option<u64> {
        let ix = self.selector.choose(io, &self.loads, self.now_ns, None)?;
        self.selector.path_id(ix)
    }

    pub(crate) fn pick(&mut self) -> Option<u64> {
        self.pick_io(IoShape::read(0, 8, 512))
    }

    pub(crate) fn pick_avoiding(&mut self, id: u64) -> Option<u64> {
        let avoid = Some(self.ix(id));
        let ix = self
            .selector
            .choose(IoShape::read(0, 8, 512), &self.loads, self.now_ns, avoid)?;
        self.selector.path_id(ix)
    }

    pub(crate) fn picks(&mut self, count: usize) -> Vec<u64> {
        (0..count)
            .map(|_| self.pick().expect("a usable path"))
            .collect()
    }

    /// Picks and dispatches.
    pub(crate) fn dispatch(&mut self, io: IoShape) -> u64 {
        let id = self.pick_io(io).expect("a usable path");
        let now_ns = self.now_ns;
        self.load(id).on_dispatch(&io, now_ns);
        id
    }

    pub(crate) fn down(&mut self, id: u64) {
        self.selector.path_down(self.ix(id));
    }

    pub(crate) fn up(&mut self, id: u64) {
        self.selector.path_up(self.ix(id));
    }

    pub(crate) fn group(&mut self, tpg: u32, access: AccessState) {
        self.selector.set_group_access(tpg, access, false);
    }

    /// A set request by the ALUA method.
    pub(crate) fn set(&mut self, policy: Policy, paths: &[SetPath]) -> NtStatus {
        self.request(SetRequest::new(
            SetMethod::Alua,
            policy.number(),
            paths.to_vec(),
        ))
    }

    pub(crate) fn request(&mut self, request: SetRequest) -> NtStatus {
        match self.selector.begin_set(&request) {
            SetStep::Done(status) => status,
            SetStep::SendStpg(stpg) => panic!("unexpected {stpg:?}"),
        }
    }

    pub(crate) fn stpg(&mut self) -> Option<Vec<u32>> {
        self.selector.take_stpg().map(|request| request.tpgs)
    }

    /// The target grants an STPG: these are the states afterwards.
    pub(crate) fn granted(&mut self, states: &[(u32, AccessState)]) {
        let groups = report(states);
        self.selector.stpg_done(&groups);
    }

    /// States by the query, in list order: AO, AU, SB, UA or failed.
    pub(crate) fn shown(&self) -> Vec<&'static str> {
        let text = |p: &query::PathAnswer| match (p.failed, p.state) {
            (true, _) => "failed",
            (_, PathState::Optimized) => "AO",
            (_, PathState::NonOptimized) => "AU",
            (_, PathState::Standby) => "SB",
            (_, PathState::Unavailable) => "UA",
        };
        self.selector.query().paths.iter().map(text).collect()
    }
}

pub(crate) fn report(states: &[(u32, AccessState)]) -> Vec<GroupState> {
    states
        .iter()
        .map(|&(tpg, access)| GroupState {
            tpg,
            access,
            preferred: false,
        })
        .collect()
}

/// An entry of a set request, by state.
pub(crate) fn wish(id: u64, state: PathState) -> SetPath {
    SetPath::in_state(id, state)
}

pub(crate) fn active(id: u64) -> SetPath {
    SetPath::new(id)
}

pub(crate) fn standby(id: u64) -> SetPath {
    wish(id, PathState::Standby)
}

pub(crate) fn preferred(path: SetPath) -> SetPath {
    SetPath {
        preferred: true,
        ..path
    }
}

pub(crate) fn weighing(id: u64, weight: u32) -> SetPath {
    SetPath {
        weight,
        ..SetPath::new(id)
    }
}
