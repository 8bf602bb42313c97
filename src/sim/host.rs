//! One host (or one reactor of a host) of the simulated world: a plane and its caller.

use super::checker::Checker;
use super::failure::Wrong;
use super::faults::Link;
use super::swarm::{Protocol, Setup};
use super::target::{LOOKALIKE, LOOKALIKE_ADDRESS, SUBSYSTEM, TARGET};
use super::trace::{Kind, Trace};
use super::workload::Workload;
use crate::base::clock::Time;
use crate::base::rng::derive;
use crate::lun::channel::{LunSettings, PathSlot};
use crate::lun::plane::{ChannelId, PathToOpen, Plane};
use crate::lun::policy::PolicySpec;
use crate::path::dialer::Dialer;
use crate::path::nvme_link::HostIdentity;
use crate::path::state::State;
use crate::path::url::PathSpec;
use crate::transport::pipe::PipeNet;

/// A host.
#[derive(Debug)]
pub struct Host {
    index: usize,
    pub plane: Plane,
    pub luns: Vec<ChannelId>,
    pub workload: Workload,
    /// What the trace was told last: association states, and per LUN fence and proofs.
    told_states: Vec<State>,
    told_fence: Vec<(usize, usize)>,
    told_proofs: Vec<u64>,
}

/// The CHAP name and secret of hosts, where targets ask for one.
pub const CHAP: (&str, &str) = ("sim", "only-for-simulations");

/// A path URL of a setup.
fn url(setup: &Setup, portal: usize, lun: usize) -> String {
    match setup.protocol(portal) {
        Protocol::NvmeTcp => nvme_url(setup, portal, lun),
        Protocol::Iscsi => {
            let further = (1..setup.connections_of(portal)).map(|connection| {
                let to = setup.address_of(Link { portal, connection });
                format!("&conn={to}")
            });
            let policy = format!("&conn_policy={}", setup.iscsi.conn_policy);
            iscsi_url(setup, &setup.address(portal), TARGET, lun)
                + &further.collect::<String>()
                + &policy
        }
    }
}

fn iscsi_url(setup: &Setup, address: &str, target: &str, lun: usize) -> String {
    let i = &setup.iscsi;
    let chap = if i.chap {
        format!("{}%{}@", CHAP.0, CHAP.1)
    } else {
        String::new()
    };
    let assume = i
        .fence_assume
        .map_or_else(|| "never".to_owned(), |d| d.as_millis().to_string());
    format!(
        "iscsi://{chap}{address}/{target}/{lun}?depth={}&header_digest={}&data_digest={}\
         &nop_timeout={}&fence_assume={assume}&immediate_data={}&initial_r2t={}\
         &first_burst={}&max_burst={}&max_recv={}",
        setup.depth,
        u8::from(setup.header_digest),
        u8::from(setup.data_digest),
        i.nop_timeout.as_millis(),
        u8::from(i.immediate_data),
        u8::from(i.initial_r2t),
        i.first_burst,
        i.max_burst,
        i.max_recv,
    )
}

fn nvme_url(setup: &Setup, portal: usize, lun: usize) -> String {
    let digest = |on: bool| u8::from(on);
    format!(
        "nvme-tcp://{}/{SUBSYSTEM}?nsid={}&kato={}&queues={}&depth={}&hdgst={}&ddgst={}&sqfc={}",
        setup.address(portal),
        lun + 1,
        setup.kato.as_millis(),
        setup.queues,
        setup.depth,
        digest(setup.header_digest),
        digest(setup.data_digest),
        digest(setup.sq_flow_control),
    )
}

/// A path to open.
pub fn path(setup: &Setup, portal: usize, lun: usize) -> PathToOpen {
    to_open(&url(setup, portal, lun), portal as u32 + 1)
}

fn to_open(url: &str, weight: u32) -> PathToOpen {
    PathToOpen {
        spec: PathSpec::parse(url).expect("a URL of our own making"),
        local: None,
        weight,
    }
}

/// Whether a place of a LUN is a path to a unit that only looks like it.
fn is_lookalike(slot: &PathSlot) -> bool {
    slot.spec.url.contains(LOOKALIKE)
}

impl Host {
    pub fn new(setup: &Setup, index: usize, net: &PipeNet, now: Time) -> Self {
        let mut id = [0; 16];
        id[..8].copy_from_slice(&derive(setup.seed, 0x1D).to_le_bytes());
        // All planes are reactors of one host: a host identity is shared, associations are not.
        let identity = HostIdentity {
            nqn: "nqn.2026-01.org.umpio:sim-host".to_owned(),
            id,
            initiator_name: "iqn.2026-01.org.umpio:sim".to_owned(),
            // Each has ISIDs of its own by it: else they would reinstate each other's sessions.
            reactor: index,
        };
        let seed = derive(setup.seed, 0x4057 + index as u64);
        let mut plane = Plane::new(Dialer::Pipe(net.clone()), identity, seed, now);
        plane.paths.set_fencing(setup.fence);
        let settings = LunSettings {
            park_max: setup.park_max,
            ..LunSettings::default()
        };
        let mut luns = Vec::new();
        let mut ports = Vec::new();
        for lun in 0..setup.luns {
            let paths = (0..setup.portals)
                .map(|portal| path(setup, portal, lun))
                .collect();
            let channel = plane.open(&format!("lun{lun}"), paths, setup.policy, settings.clone());
            ports.push(plane.open_port(channel));
            luns.push(channel);
        }
        let share = setup.blocks / setup.hosts as u64;
        let own = (share * index as u64, share * (index as u64 + 1));
        let workload = Workload::new(
            index,
            setup.load.clone(),
            ports,
            setup.blocks,
            own,
            setup.park_max,
            derive(seed, 0x10AD),
        );
        Self {
            index,
            plane,
            workload,
            told_states: Vec::new(),
            told_fence: vec![(0, 0); luns.len()],
            told_proofs: vec![0; luns.len()],
            luns,
        }
    }

    /// One turn, as a reactor makes it.
    ///
    /// # Errors
    /// What the caller must never see.
    pub fn step(
        &mut self,
        checker: &mut Checker,
        trace: &mut Trace,
        now: Time,
    ) -> Result<bool, Wrong> {
        let mut worked = self.plane.flush(now);
        worked |= self.plane.poll(now);
        worked |= self.workload.step(&mut self.plane, checker, trace, now)?;
        worked |= self.plane.flush(now);
        self.tell(trace, now);
        Ok(worked)
    }

    pub fn next_deadline(&self) -> Time {
        self.plane
            .next_deadline()
            .min(self.workload.next_deadline())
    }

    /// Every path of every LUN has joined.
    pub fn all_joined(&self) -> bool {
        self.luns.iter().all(|l| {
            let mut slots = self.plane.channel(*l).slots.iter();
            slots.all(|s| s.joined || is_lookalike(s))
        })
    }

    /// A path to a unit that only looks like the LUN carries its I/O.
    pub fn lookalike_joined(&self) -> bool {
        self.luns.iter().any(|l| {
            let mut slots = self.plane.channel(*l).slots.iter();
            slots.any(|s| s.joined && is_lookalike(s))
        })
    }

    /// Why such a path is not one of the LUN's, once it was looked at.
    pub fn lookalike_refused(&self, lun: usize) -> Option<&str> {
        let mut slots = self.plane.channel(self.luns[lun]).slots.iter();
        slots.find(|s| is_lookalike(s))?.refused.as_deref()
    }

    pub fn add_lookalikes(&mut self, setup: &Setup) {
        for (lun, channel) in self.luns.iter().enumerate() {
            let url = iscsi_url(setup, LOOKALIKE_ADDRESS, LOOKALIKE, lun);
            self.plane.add_path(*channel, to_open(&url, 1));
        }
    }

    pub fn set_policy(&mut self, lun: usize, spec: PolicySpec) -> bool {
        self.plane.set_policy(self.luns[lun], spec).is_ok()
    }

    pub fn add_path(&mut self, setup: &Setup, portal: usize) {
        for lun in 0..self.luns.len() {
            self.plane
                .add_path(self.luns[lun], path(setup, portal, lun));
        }
    }

    /// Losses whose proof is still to come.
    pub fn open_losses(&self) -> usize {
        self.plane.paths.losses().len()
    }

    /// How the paths are, for a run that got stuck.
    pub fn describe(&self) -> String {
        let paths = self.plane.paths.iter().map(|a| {
            let reason = a.reason().map_or_else(String::new, |r| format!(" ({r})"));
            format!("{}: {}{reason}", a.nexus.key, a.state())
        });
        let luns = self.luns.iter().map(|l| {
            let s = self.plane.status(*l);
            let paths = s
                .paths
                .iter()
                .map(|p| format!("{}{}", p.access.short(), if p.joined { "" } else { "!" }));
            let paths = paths.collect::<Vec<_>>().join(",");
            format!(
                "{}: fenced {:?}, parked {}, paths {paths}",
                s.name, s.fenced_now, s.parked_now
            )
        });
        format!(
            "host{}: {}",
            self.index,
            paths.chain(luns).collect::<Vec<_>>().join("; ")
        )
    }

    /// Notes what has changed on the paths and behind the fence.
    fn tell(&mut self, trace: &mut Trace, now: Time) {
        let host = self.index;
        self.told_states.resize(self.plane.paths.len(), State::Idle);
        for (a, told) in self.plane.paths.iter().zip(&mut self.told_states) {
            if a.state() != *told {
                let from = std::mem::replace(told, a.state());
                trace.note(
                    now,
                    Kind::Association,
                    a.nexus.id ^ host as u64,
                    a.state() as u64,
                    || {
                        let reason = a.reason().map_or_else(String::new, |r| format!(" ({r})"));
                        let portal = a.nexus.key.split('|').nth(3).unwrap_or("");
                        format!("host{host} {portal}: {from} -> {}{reason}", a.state())
                    },
                );
            }
        }
        for lun in 0..self.luns.len() {
            let channel = self.plane.channel(self.luns[lun]);
            let fenced = channel.fence.occupants();
            let proofs = channel.proofs.iter().map(|p| p.1).sum();
            if fenced == self.told_fence[lun] && proofs == self.told_proofs[lun] {
                continue;
            }
            trace.note(
                now,
                Kind::Fence,
                (host << 8 | lun) as u64,
                (fenced.0 << 16 | fenced.1) as u64 ^ proofs << 32,
                || {
                    format!(
                        "host{host} lun{lun} fence: {} held, {} wait; proofs {:?}",
                        fenced.0, fenced.1, channel.proofs
                    )
                },
            );
            self.told_fence[lun] = fenced;
            self.told_proofs[lun] = proofs;
        }
    }
}
