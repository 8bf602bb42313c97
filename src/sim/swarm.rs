//! Options drawn from the seed. Each run switches some faults and features off altogether
//! ("swarm testing"): a run with only cuts goes deeper into cuts than one with everything.

use super::faults::{FaultMenu, Link};
use super::workload::LoadSpec;
use crate::base::rng::{Rng, derive};
use crate::lun::policy::{Policy, PolicySpec, VendorPolicy};
use crate::path::loss::Fencing;
use std::time::Duration;

const fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

/// What a portal speaks.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum Protocol {
    NvmeTcp,
    Iscsi,
}

/// What concerns iSCSI only.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct IscsiSetup {
    /// Time without an answer after which a host takes a session for lost; zero: never.
    pub nop_timeout: Duration,
    /// How long after a loss a host takes the target to be done without proof. The faults of a run
    /// must be such that this is true.
    pub fence_assume: Option<Duration>,
    pub immediate_data: bool,
    pub initial_r2t: bool,
    pub first_burst: u32,
    pub max_burst: u32,
    pub max_recv: u32,
    pub chap: bool,
    /// Connections of each session (MC/S), and the policy among them as `conn_policy=` has it.
    pub connections: usize,
    pub conn_policy: u32,
}

/// All that decides a run besides the seed's own streams.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Setup {
    pub seed: u64,
    /// Planes that use the target: reactors of one host, or hosts.
    pub hosts: usize,
    pub luns: usize,
    /// Portals with a path from the start, and portals for paths added later.
    pub portals: usize,
    pub spare: usize,
    /// What the portals speak, in turn.
    pub protocols: Vec<Protocol>,
    pub iscsi: IscsiSetup,
    /// Hosts are given one more path, to another unit with the same serial number.
    pub lookalike: bool,
    /// Blocks of 512 bytes of each LUN.
    pub blocks: u64,
    /// Keep Alive Timeout that the hosts ask for; zero: none, and no bound on a loss.
    pub kato: Duration,
    /// Command Quiesce Time that the target reports.
    pub cqt_ms: u16,
    /// The target knows Cross-Controller Reset, and how many it does at a time.
    pub ccr: bool,
    pub ccr_limit: u8,
    /// Any command counts as Keep Alive.
    pub traffic_keep_alive: bool,
    /// The target's largest transfer: 2^mdts × 4 KiB.
    pub mdts: u8,
    pub capsule_data: u32,
    pub queues: u16,
    pub depth: u16,
    pub header_digest: bool,
    pub data_digest: bool,
    pub sq_flow_control: bool,
    pub policy: Option<PolicySpec>,
    /// How long a request waits for a path before it fails.
    pub park_max: Duration,
    /// How long faults happen.
    pub active: Duration,
    pub load: LoadSpec,
    pub faults: FaultMenu,
    /// How much of the fence there is.
    pub fence: Fencing,
}

impl Setup {
    /// A calm, small world with two portals, for scenarios to change.
    pub fn plain(seed: u64) -> Self {
        Self {
            seed,
            hosts: 1,
            luns: 1,
            portals: 2,
            spare: 0,
            protocols: vec![Protocol::NvmeTcp],
            iscsi: IscsiSetup {
                nop_timeout: ms(500),
                fence_assume: None,
                immediate_data: true,
                initial_r2t: false,
                first_burst: 65_536,
                max_burst: 262_144,
                max_recv: 65_536,
                chap: false,
                connections: 1,
                conn_policy: 2,
            },
            lookalike: false,
            blocks: 64,
            kato: ms(500),
            cqt_ms: 100,
            ccr: true,
            ccr_limit: 4,
            traffic_keep_alive: false,
            mdts: 8,
            capsule_data: 8192,
            queues: 1,
            depth: 32,
            header_digest: false,
            data_digest: false,
            sq_flow_control: false,
            policy: None,
            park_max: ms(2000),
            active: ms(2000),
            load: LoadSpec {
                depth: 8,
                think: ms(5),
                burst: 4,
                read_percent: 40,
                other_percent: 0,
                small: 4,
                large_percent: 0,
                large: 16,
                overlap: false,
            },
            faults: FaultMenu {
                gap: ms(100),
                lasts: ms(300),
                delay_max: ms(5),
                spread: true,
                ..FaultMenu::default()
            },
            fence: Fencing::Whole,
        }
    }

    /// The run that a seed stands for.
    pub fn draw(seed: u64) -> Self {
        let mut r = Rng::new(derive(seed, 0x5E7));
        let r = &mut r;
        let small_world = r.chance(1, 2);
        let setup = Self {
            hosts: if r.chance(1, 4) { 2 } else { 1 },
            luns: if r.chance(1, 3) { 2 } else { 1 },
            portals: r.between(2, 4) as usize,
            spare: r.below(2) as usize,
            blocks: if small_world { r.between(16, 48) } else { 256 },
            kato: if r.chance(1, 10) {
                Duration::ZERO
            } else {
                ms(r.between(150, 1500))
            },
            cqt_ms: *pick(r, &[0, 20, 100, 700]),
            ccr: r.chance(1, 2),
            ccr_limit: *pick(r, &[1, 4]),
            traffic_keep_alive: r.chance(1, 4),
            mdts: *pick(r, &[1, 2, 5, 8]),
            capsule_data: *pick(r, &[0, 512, 4096, 8192]),
            queues: *pick(r, &[1, 1, 2, 3]),
            depth: *pick(r, &[2, 4, 16, 64]),
            header_digest: r.chance(1, 3),
            data_digest: r.chance(1, 3),
            sq_flow_control: r.chance(1, 3),
            policy: draw_policy(r),
            park_max: ms(*pick(r, &[300, 1000, 3000, 8000])),
            active: ms(r.between(1500, 4000)),
            load: draw_load(r, small_world),
            faults: draw_faults(r),
            ..Self::plain(seed)
        };
        let setup = match r.below(10) {
            0 => setup.without_proof(),
            1 | 2 => setup.with_slow_zombies(r),
            _ => setup,
        };
        setup.with_protocols(&mut Rng::new(derive(seed, 0x15C51)))
    }

    /// One protocol, the other, or both under one LUN.
    fn with_protocols(mut self, r: &mut Rng) -> Self {
        use Protocol::{Iscsi, NvmeTcp};
        self.protocols = match r.below(3) {
            0 => vec![NvmeTcp],
            1 => vec![Iscsi],
            _ => pick(r, &[[NvmeTcp, Iscsi], [Iscsi, NvmeTcp]]).to_vec(),
        };
        self.iscsi = IscsiSetup {
            nop_timeout: if r.chance(1, 10) {
                Duration::ZERO
            } else {
                ms(r.between(150, 1500))
            },
            fence_assume: None,
            immediate_data: r.chance(2, 3),
            initial_r2t: r.chance(1, 3),
            first_burst: *pick(r, &[512, 4096, 65_536]),
            max_burst: *pick(r, &[65_536, 262_144]),
            max_recv: *pick(r, &[512, 4096, 65_536, 262_144]),
            chap: r.chance(1, 4),
            connections: *pick(r, &[1, 1, 2, 3]),
            conn_policy: r.between(1, 6) as u32,
        };
        if self.has(Iscsi) && r.chance(1, 3) {
            self.faults.reset = 2;
        }
        self.lookalike = self.has(Iscsi) && r.chance(1, 4);
        if self.has(Iscsi) && r.chance(1, 3) {
            self.iscsi.fence_assume = Some(self.make_assumption_true());
        }
        self
    }

    /// Faults such that nothing of a lost session is executed later than the time returned: a hold
    /// ends for all that it held at once, and what arrives then may be kept in the target for as
    /// long again. With several connections a command may wait, received, for one that another of them
    /// still has under way.
    fn make_assumption_true(&mut self) -> Duration {
        self.faults.spread = false;
        self.faults.lasts * (1 + self.iscsi.connections as u32) + self.faults.delay_max * 2 + ms(50)
    }

    /// What a portal speaks.
    pub fn protocol(&self, portal: usize) -> Protocol {
        self.protocols[portal % self.protocols.len()]
    }

    pub fn has(&self, protocol: Protocol) -> bool {
        (0..self.portals + self.spare).any(|p| self.protocol(p) == protocol)
    }

    /// Connections that a session (or links that an association) over a portal has.
    pub fn connections_of(&self, portal: usize) -> usize {
        match self.protocol(portal) {
            Protocol::NvmeTcp => 1,
            Protocol::Iscsi => self.iscsi.connections,
        }
    }

    /// The same for all portals, spare ones included.
    pub fn connections(&self) -> Vec<usize> {
        let all = 0..self.portals + self.spare;
        all.map(|portal| self.connections_of(portal)).collect()
    }

    /// All links there are.
    pub fn links(&self) -> Vec<Link> {
        let of = |portal| {
            let all = 0..self.connections_of(portal);
            all.map(move |connection| Link { portal, connection })
        };
        (0..self.portals + self.spare).flat_map(of).collect()
    }

    /// The address of a portal.
    pub fn address(&self, portal: usize) -> String {
        self.address_of(Link::first(portal))
    }

    /// The address that a link leads to.
    pub fn address_of(&self, link: Link) -> String {
        let Link { portal, connection } = link;
        match self.protocol(portal) {
            Protocol::NvmeTcp => format!("sim{portal}:4420"),
            Protocol::Iscsi => format!("sim{portal}:{}", 3260 + connection),
        }
    }

    /// No loss is ever proven: writes fail upward while their zombies are still under way.
    fn without_proof(mut self) -> Self {
        self.kato = Duration::ZERO;
        self.ccr = false;
        self.park_max = ms(100);
        self.blocks = self.blocks.min(64);
        self.load.large = 16;
        self.faults.zombie = 6;
        self.faults.lasts = ms(1000);
        self
    }

    /// The time bound is all there is, and zombies come back close to it.
    fn with_slow_zombies(mut self, r: &mut Rng) -> Self {
        self.kato = ms(r.between(100, 300));
        self.ccr = false;
        self.cqt_ms = 20;
        self.blocks = self.blocks.min(64);
        self.load.large = 16;
        self.faults.zombie = 9;
        self.traffic_keep_alive = r.chance(1, 2);
        self.queues = self.queues.max(2);
        self.faults.lasts = self.kato * if self.traffic_keep_alive { 3 } else { 2 };
        self
    }
}

fn pick<'a, T>(r: &mut Rng, from: &'a [T]) -> &'a T {
    &from[r.below(from.len() as u64) as usize]
}

fn draw_policy(r: &mut Rng) -> Option<PolicySpec> {
    match r.below(9) {
        0 => None,
        1 => Some(PolicySpec::vendor(VendorPolicy::Latency)),
        2 => Some(PolicySpec::vendor(VendorPolicy::Share)),
        n => Some(PolicySpec::new(Policy::ALL[(n - 3) as usize])),
    }
}

fn draw_load(r: &mut Rng, small_world: bool) -> LoadSpec {
    LoadSpec {
        depth: *pick(r, &[1, 4, 16, 32]),
        think: ms(*pick(r, &[2, 5, 10])),
        burst: *pick(r, &[1, 2, 8]),
        read_percent: *pick(r, &[20, 50, 70]),
        other_percent: *pick(r, &[0, 10, 40]),
        small: *pick(r, &[1, 2, 8]),
        large_percent: *pick(r, &[0, 0, 5, 20]),
        large: if small_world { 16 } else { 96 },
        overlap: r.chance(1, 3),
    }
}

fn draw_faults(r: &mut Rng) -> FaultMenu {
    let mut weight = |often: u32| if r.chance(2, 3) { often } else { 0 };
    FaultMenu {
        cut: weight(3),
        zombie: weight(6),
        stall: weight(3),
        delay: weight(2),
        refuse: weight(2),
        access: weight(3),
        restart: weight(1),
        policy: weight(2),
        add_path: weight(1),
        // Where there is iSCSI.
        reset: 0,
        gap: ms(*pick(r, &[60, 150, 400])),
        lasts: ms(*pick(r, &[30, 200, 600, 1500])),
        delay_max: ms(*pick(r, &[1, 5, 30])),
        spread: true,
    }
}
