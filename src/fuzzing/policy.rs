//! A LUN's policy under a stream of events: paths come, go and change, policies are set, requests
//! are routed and complete.

use super::Input;
use super::input::noise;
use crate::lun::access::AccessState;
use crate::lun::policy::defaults::{Scope, Setting};
use crate::lun::policy::{
    Alua, GroupState, IoShape, NexusLoad, Options, PathInit, PathIx, PathState, Policy, PolicySpec,
    Prospects, Selector, SetMethod, SetPath, SetRequest, SetStep, VendorPolicy,
};

const NEXUSES: usize = 8;
/// Operations of one input: more teach nothing new.
const OPERATIONS: usize = 2000;

#[derive(Debug)]
struct World {
    selector: Selector,
    paths: Vec<PathIx>,
    up: Vec<bool>,
    loads: Vec<NexusLoad>,
    in_flight: Vec<(usize, IoShape, u64)>,
    now: u64,
    ids: u64,
}

const ACCESS: [AccessState; 6] = [
    AccessState::Optimized,
    AccessState::NonOptimized,
    AccessState::Standby,
    AccessState::Unavailable,
    AccessState::Transitioning,
    AccessState::Lost,
];

fn spec(n: u8) -> PolicySpec {
    match n % 9 {
        7 => PolicySpec::vendor(VendorPolicy::Latency),
        8 => PolicySpec::vendor(VendorPolicy::Share),
        n => Policy::ALL[usize::from(n)].into(),
    }
}

impl World {
    fn new(input: &mut Input<'_>) -> Self {
        let alua =
            [Alua::None, Alua::Implicit, Alua::Explicit, Alua::Both][usize::from(input.byte() % 4)];
        let flags = input.byte();
        let options = Options {
            alua,
            cache_bytes: (flags & 1 == 0).then_some(1 << 20),
            spread_non_optimized: flags & 2 != 0,
        };
        Self {
            selector: Selector::new(options),
            paths: Vec::new(),
            up: Vec::new(),
            loads: vec![NexusLoad::default(); NEXUSES],
            in_flight: Vec::new(),
            now: 1,
            ids: 0,
        }
    }

    fn pick(&self, n: u8) -> Option<usize> {
        (!self.paths.is_empty()).then(|| usize::from(n) % self.paths.len())
    }

    fn step(&mut self, input: &mut Input<'_>) {
        let (what, n, m) = (input.byte(), input.byte(), input.byte());
        self.now += u64::from(n) * 1000;
        let path = self.pick(n);
        match (what % 16, path) {
            (0, _) => self.add(n, m),
            (1, Some(i)) if m < 64 => {
                self.selector.remove_path(self.paths.swap_remove(i));
                self.up.swap_remove(i);
            }
            (1 | 2, Some(i)) => {
                self.selector.path_down(self.paths[i]);
                self.up[i] = false;
            }
            (3, Some(i)) => {
                self.selector.path_up(self.paths[i]);
                self.up[i] = true;
            }
            (4, Some(i)) => self
                .selector
                .set_access(self.paths[i], ACCESS[usize::from(m) % 6]),
            (5, _) => self.selector.set_group_access(
                u32::from(n % 5),
                ACCESS[usize::from(m) % 6],
                m > 127,
            ),
            (6, Some(i)) => self.selector.set_weight(self.paths[i], u32::from(m)),
            (7, _) => self.set(n, m),
            (8, _) => {
                let setting = (m < 200).then(|| Setting {
                    spec: spec(n),
                    preferred: None,
                });
                let _ = self.selector.set_explicit(setting);
            }
            (9, _) => {
                let scope = if m & 1 == 0 {
                    Scope::Engine
                } else {
                    Scope::Target
                };
                self.selector.set_default(
                    scope,
                    (m < 128).then(|| Setting {
                        spec: spec(n),
                        preferred: None,
                    }),
                );
            }
            (10, _) => {
                if self.selector.take_stpg().is_some() {
                    self.selector.stpg_done(&[group(n, m)]);
                }
            }
            (11, _) => self.complete(usize::from(n)),
            _ => self.route(n, m),
        }
        self.check();
    }

    fn add(&mut self, n: u8, m: u8) {
        // Some ids are zero or there already: refused, and nothing changes.
        self.ids += u64::from(n < 250);
        let init = PathInit {
            id: if m == 255 { 0 } else { self.ids },
            nexus: u16::from(m) % NEXUSES as u16,
            tpg: u32::from(n % 5),
            weight: u32::from(m),
        };
        if let Ok(ix) = self.selector.add_path(init) {
            self.paths.push(ix);
            self.up.push(true);
        }
    }

    fn set(&mut self, n: u8, m: u8) {
        let state = |i: usize| {
            let states = [
                PathState::Optimized,
                PathState::NonOptimized,
                PathState::Standby,
                PathState::Unavailable,
            ];
            states[(usize::from(m) >> (i % 4)) % 4]
        };
        let paths = self.paths.iter().enumerate();
        let paths = paths
            .filter_map(|(i, ix)| Some(SetPath::in_state(self.selector.path_id(*ix)?, state(i))));
        let method = if n & 128 == 0 {
            SetMethod::Alua
        } else {
            SetMethod::Plain
        };
        let mut request = SetRequest::new(method, u32::from(n % 9), paths.collect());
        if m % 16 == 15 {
            request.count ^= u32::from(n);
        }
        if let SetStep::SendStpg(_) = self.selector.begin_set(&request) {
            let groups = [group(n, m)];
            let _ = self.selector.finish_set((m & 1 == 0).then_some(&groups));
        }
    }

    fn route(&mut self, n: u8, m: u8) {
        let io = match m % 3 {
            0 => IoShape::read(u64::from(n) * 8, 8, 512),
            1 => IoShape::write(u64::from(n) * 8, 8, 512),
            _ => IoShape::other(),
        };
        let avoid = self.pick(m).filter(|_| m > 200).map(|i| self.paths[i]);
        let chosen = self.selector.choose(io, &self.loads, self.now, avoid);
        let usable = self.selector.prospects() == Prospects::UsableNow;
        assert_eq!(chosen.is_some(), usable);
        let Some(ix) = chosen else { return };
        let i = self
            .paths
            .iter()
            .position(|p| *p == ix)
            .expect("a path of the LUN");
        assert!(self.up[i], "a path that is down was chosen");
        // Every path's nexus stands in its place of the table, as in the plane.
        let nexus = ix.index() % NEXUSES;
        self.loads[nexus].on_dispatch(&io, self.now);
        self.in_flight.push((nexus, io, self.now));
    }

    fn complete(&mut self, n: usize) {
        if self.in_flight.is_empty() {
            return;
        }
        let (nexus, io, since) = self.in_flight.swap_remove(n % self.in_flight.len());
        self.loads[nexus].on_complete(&io, self.now - since, self.now);
    }

    fn check(&self) {
        for ix in self.selector.candidates() {
            let i = self
                .paths
                .iter()
                .position(|p| *p == ix)
                .expect("a candidate is a path of the LUN");
            assert!(self.up[i], "a candidate is down");
        }
        let in_flight: u32 = self.loads.iter().map(|l| l.in_flight).sum();
        assert_eq!(in_flight as usize, self.in_flight.len());
    }
}

fn group(n: u8, m: u8) -> GroupState {
    GroupState {
        tpg: u32::from(n % 5),
        access: ACCESS[usize::from(m) % 6],
        preferred: m > 127,
    }
}

pub(super) fn run(bytes: &[u8]) {
    let mut input = Input::new(bytes);
    let mut world = World::new(&mut input);
    for n in 0..OPERATIONS {
        if input.is_empty() {
            break;
        }
        // A LUN without paths shows little: it starts with some.
        if n == 0 {
            (0..4).for_each(|n| world.add(n, n));
        }
        world.step(&mut input);
    }
}

pub(super) fn seeds() -> Vec<Vec<u8>> {
    (0..8).map(|n| noise(n, 1200)).collect()
}
