//! Initiator half against target half, in virtual time: a LUN over one session of several connections,
//! each over a link of its own.

mod hold;
mod moved;
mod transition;

use super::*;
use crate::base::rng::Rng;
use crate::base::sg::SgList;
use crate::lun::channel::LunSettings;
use crate::lun::plane::{ChannelId, PathToOpen, Plane};
use crate::lun::policy::PolicySpec;
use crate::path::dialer::Dialer;
use crate::path::iscsi_session::{ConnectionSetting, SessionStatus};
use crate::path::iscsi_url::ConnectionSpec;
use crate::path::loss::Fencing;
use crate::path::nvme_link::HostIdentity;
use crate::path::url::PathSpec;
use crate::proto::iscsi::initiator::{ConnectionPolicy, MemberState};
use proptest::prelude::*;
use std::collections::HashMap;

const TICK: Duration = Duration::from_micros(100);

/// What was asked for, by its cookie.
#[derive(Debug)]
struct Asked {
    lba: u64,
    /// What it writes, or must read.
    version: u64,
    write: bool,
}

#[derive(Debug)]
struct Pair {
    net: PipeNet,
    target: Target,
    ports: MemPorts,
    plane: Plane,
    lun: ChannelId,
    port: PortId,
    now: Time,
    asked: HashMap<u64, Asked>,
    next: u64,
    /// The last acknowledged version of each block.
    versions: HashMap<u64, u64>,
    completed: Vec<u64>,
    done: Vec<Token>,
    /// What must not be: reads of something else than was written last.
    wrong: Vec<String>,
}

impl Pair {
    /// A session over the portals `p0` to `p(n-1)`, which is up.
    fn new(n: usize, options: &str) -> Self {
        let further: String = (1..n).map(|i| format!("conn=p{i}&")).collect();
        // No assumption: every fence opens by proof or not at all.
        let url =
            format!("iscsi://p0/{TARGET}/0?{further}nop_timeout=200&fence_assume=never{options}");
        let mut pair = Self::over([1; 4], &[url], None);
        pair.until("all connections to be up", |p| p.up() == n);
        pair
    }

    /// A LUN over those URLs; the portals are in those groups.
    fn over(groups: [u16; 4], urls: &[String], policy: Option<PolicySpec>) -> Self {
        Self::with(TargetConfig::default(), groups, urls, policy)
    }

    fn with(
        config: TargetConfig,
        groups: [u16; 4],
        urls: &[String],
        policy: Option<PolicySpec>,
    ) -> Self {
        let net = PipeNet::new();
        let identity = Identity {
            uuid: Some([7; 16]),
            ..Identity::default()
        };
        let ports = MemPorts::new(identity.clone());
        let mut target = Target::new(config);
        target
            .add_lun(TARGET, 0, PortId(1), &identity, &ports)
            .unwrap();
        for (n, group) in groups.into_iter().enumerate() {
            target
                .add_portal(PortalConfig {
                    listener: Listener::pipe(&net, &format!("p{n}:3260")),
                    target: TARGET.to_owned(),
                    group,
                    access: AccessState::Optimized,
                })
                .unwrap();
        }
        let host = HostIdentity {
            nqn: "nqn.2026-01.io.umpio:h".to_owned(),
            id: [1; 16],
            initiator_name: INITIATOR.to_owned(),
            reactor: 0,
        };
        let mut plane = Plane::new(Dialer::Pipe(net.clone()), host, 1, Time::ZERO);
        let path = |url: &String| PathToOpen {
            spec: PathSpec::parse(url).unwrap(),
            local: None,
            weight: 0,
        };
        let paths = urls.iter().map(path).collect();
        let lun = plane.open("lun", paths, policy, LunSettings::default());
        let port = plane.open_port(lun);
        Self {
            net,
            target,
            ports,
            plane,
            lun,
            port,
            now: Time::ZERO,
            asked: HashMap::new(),
            next: 1,
            versions: HashMap::new(),
            completed: Vec::new(),
            done: Vec::new(),
            wrong: Vec::new(),
        }
    }

    fn session(&self) -> SessionStatus {
        let all = self.plane.paths.sessions();
        all.into_iter().next().expect("a session")
    }

    /// Connections that are up.
    fn up(&self) -> usize {
        let all = self.plane.paths.sessions();
        let connections = all.iter().flat_map(|s| &s.connections);
        connections.filter(|c| c.state == MemberState::Up).count()
    }

    fn step(&mut self) {
        self.now += TICK;
        self.plane.flush(self.now);
        self.plane.poll(self.now);
        self.plane.flush(self.now);
        self.target.poll(&mut self.ports, self.now);
        let mut done = std::mem::take(&mut self.done);
        self.plane.completions(self.port, &mut done);
        for t in done.drain(..) {
            self.completed(t);
        }
        self.done = done;
    }

    fn completed(&mut self, t: Token) {
        let asked = self.asked.remove(&t.user);
        let a = asked.expect("each request completes once");
        assert_eq!(t.result, Ok(()), "{a:?}");
        if a.write {
            self.versions.insert(a.lba, a.version);
        } else {
            let mut first = [0; 8];
            t.data.read_at(0, &mut first);
            let read = u64::from_be_bytes(first);
            if read != a.version {
                let (lba, version) = (a.lba, a.version);
                self.wrong
                    .push(format!("block {lba}: read {read}, not {version}"));
            }
        }
        self.completed.push(t.user);
        self.plane.recycle(t);
    }

    fn run(&mut self, ms: u64) {
        let end = self.now + Duration::from_millis(ms);
        while self.now < end {
            self.step();
        }
    }

    fn until(&mut self, what: &str, is: impl Fn(&Self) -> bool) {
        let end = self.now + Duration::from_secs(40);
        while !is(self) {
            assert!(
                self.now < end,
                "waited in vain for {what}: {:#?}",
                self.plane.paths.sessions()
            );
            self.step();
        }
    }

    fn finish(&mut self) {
        self.until("all requests to complete", |p| p.asked.is_empty());
    }

    fn submit(&mut self, write: bool, lba: u64, blocks: u32) -> u64 {
        let user = self.next;
        self.next += 1;
        let mut t = self.plane.take();
        t.op = if write { Op::Write } else { Op::Read };
        t.lba = lba;
        t.blocks = blocks;
        t.user = user;
        t.submitted = self.now;
        t.data = SgList::zeroed(blocks as usize * 512);
        let version = if write {
            t.data.write_at(0, &user.to_be_bytes());
            user
        } else {
            self.versions.get(&lba).copied().unwrap_or(0)
        };
        self.asked.insert(
            user,
            Asked {
                lba,
                version,
                write,
            },
        );
        self.plane.submit(self.port, t);
        user
    }

    /// Commands that each connection of the target has taken.
    fn commands(&self) -> Vec<u64> {
        let all = self.target.connections.iter().flatten();
        all.map(|c| c.conn.counters().commands).collect()
    }

    fn proofs(&self) -> Vec<&'static str> {
        let status = self.plane.status(self.lun);
        status.proofs.iter().map(|(name, _)| *name).collect()
    }

    /// What was read or written as it must not be: nothing that was written late has undone what
    /// was written after it.
    fn ghosts(&self) -> Vec<String> {
        let mut wrong = self.wrong.clone();
        let mut last = HashMap::new();
        for (lba, version) in &self.ports.written {
            let before = last.insert(*lba, *version).unwrap_or(0);
            if before > *version {
                wrong.push(format!("block {lba}: {version} after {before}"));
            }
        }
        for (lba, version) in &self.versions {
            if last.get(lba) != Some(version) {
                wrong.push(format!("block {lba}: {:?}, not {version}", last.get(lba)));
            }
        }
        wrong
    }

    fn check_no_ghost(&self) {
        assert_eq!(self.ghosts(), [""; 0]);
    }
}

#[test]
fn commands_go_over_all_connections_in_turn() {
    let mut p = Pair::new(3, "");
    assert_eq!(p.session().policy, ConnectionPolicy::RoundRobin);
    assert_eq!(p.target.sessions(), 1);
    let before = p.commands();
    for lba in 0..30 {
        p.submit(lba % 2 == 0, lba, 1);
    }
    p.finish();
    let took: Vec<u64> = p
        .commands()
        .iter()
        .zip(&before)
        .map(|(a, b)| a - b)
        .collect();
    assert_eq!(took, [10, 10, 10]);
    p.check_no_ghost();
}

#[test]
fn commands_are_not_reordered_by_links_of_different_speed() {
    let mut p = Pair::new(3, "");
    for (n, ms) in [(0, 4), (1, 0), (2, 2)] {
        p.net.set_link(&format!("p{n}:3260"), |l| {
            l.delay = Duration::from_millis(ms)
        });
    }
    for lba in 0..60 {
        p.submit(false, lba, 1);
        if lba % 7 == 0 {
            p.step();
        }
    }
    p.finish();
    let order: Vec<u64> = (0..60).collect();
    assert_eq!(p.ports.handed_in, order);
}

#[test]
fn a_connection_lost_in_the_middle_of_writes_is_logged_out_before_they_are_sent_again() {
    let mut p = Pair::new(2, "");
    p.ports.stuck = true;
    for lba in 0..8 {
        p.submit(true, lba * 64, 64);
    }
    p.run(20);
    let first = p.ports.handed_in.len();
    assert_eq!(first, 8);
    p.net.cut("p1:3260", false, p.now);
    p.run(500);
    assert_eq!(
        p.ports.handed_in.len(),
        first,
        "nothing is sent again while the old writes may still take effect"
    );
    p.ports.stuck = false;
    p.finish();
    assert_eq!(p.proofs(), ["connection logout"]);
    assert!(p.ports.handed_in.len() > first);
    p.check_no_ghost();
    p.until("the connection to be back", |p| p.up() == 2);
    assert_eq!(p.target.sessions(), 1);
    assert_eq!(
        p.plane.paths.get(0).counters.losses,
        0,
        "the session went on"
    );
}

#[test]
fn reads_of_a_lost_connection_go_over_another_at_once() {
    let mut p = Pair::new(2, "");
    p.ports.stuck = true;
    for lba in 0..8 {
        p.submit(false, lba, 1);
    }
    p.run(5);
    p.net.cut("p0:3260", false, p.now);
    p.run(5);
    p.ports.stuck = false;
    p.finish();
    assert!(p.proofs().is_empty(), "no fence for reads");
}

#[test]
fn numbers_lost_with_a_connection_do_not_stall_the_others() {
    let mut p = Pair::new(2, "");
    p.net.set_link("p1:3260", |l| l.hold_to_target = true);
    for lba in 0..20 {
        p.submit(lba % 3 == 0, lba, 1);
    }
    p.run(50);
    assert!(
        p.ports.handed_in.len() < 3,
        "behind the first gap all waits"
    );
    // Keep-alive notices that the link is dead.
    p.finish();
    assert_eq!(p.plane.paths.get(0).counters.losses, 0);
    p.net.release("p1:3260", p.now, |_| Duration::ZERO);
    p.run(100);
    p.check_no_ghost();
    p.until("the connection to be back", |p| p.up() == 2);
}

#[test]
fn a_late_write_of_a_connection_that_was_given_up_has_no_effect() {
    let mut p = Pair::new(2, "&conn_policy=1");
    // All goes over p0, whose bytes are stuck in a switch; the write goes over p1 in the end, and is
    // overwritten there; then the switch remembers.
    p.net.set_link("p0:3260", |l| l.hold_to_target = true);
    p.submit(true, 5, 1);
    p.run(1);
    p.net.cut_silently("p0:3260");
    p.finish();
    p.submit(true, 5, 1);
    p.finish();
    p.net.release("p0:3260", p.now, |_| Duration::ZERO);
    p.run(200);
    p.check_no_ghost();
}

#[test]
fn without_any_connection_the_session_is_built_anew() {
    let mut p = Pair::new(2, "");
    p.ports.stuck = true;
    for lba in 0..8 {
        p.submit(true, lba, 1);
    }
    p.run(5);
    p.net.cut("p0:3260", false, p.now);
    p.net.cut("p1:3260", false, p.now);
    p.run(50);
    assert_eq!(p.plane.paths.get(0).counters.losses, 1);
    p.ports.stuck = false;
    p.finish();
    assert!(
        p.proofs().contains(&"session reinstatement"),
        "{:?}",
        p.proofs()
    );
    p.check_no_ghost();
    p.until("both connections to be back", |p| p.up() == 2);
}

#[test]
fn the_first_portal_may_be_down_when_the_session_begins() {
    let mut p = Pair::new(2, "");
    for n in 0..2 {
        p.net.cut(&format!("p{n}:3260"), false, p.now);
    }
    p.net.set_link("p0:3260", |l| l.refuse = true);
    p.until("the other portal to serve", |p| p.up() == 1);
    p.submit(true, 1, 1);
    p.finish();
    p.net.set_link("p0:3260", |l| l.refuse = false);
    p.until("both", |p| p.up() == 2);
}

#[test]
fn connections_come_and_go_and_policies_change_while_commands_run() {
    let mut p = Pair::new(1, "");
    let nexus = p.session().nexus;
    let spec = |n: usize| ConnectionSpec {
        host: format!("p{n}"),
        port: 3260,
        source: None,
        interface: None,
        weight: 0,
        primary: false,
    };
    let mut lba = 0;
    let mut busy = |p: &mut Pair, n: usize| {
        for _ in 0..n {
            p.submit(lba % 2 == 0, lba % 2000, 1);
            lba += 1;
            p.step();
        }
    };
    busy(&mut p, 20);
    let now = p.now;
    let added = |p: &mut Pair, n| {
        p.plane
            .paths
            .by_nexus(nexus)
            .unwrap()
            .add_connection(spec(n), now)
    };
    assert_eq!(added(&mut p, 1), Ok(1));
    assert_eq!(added(&mut p, 2), Ok(2));
    busy(&mut p, 100);
    p.until("three", |p| p.up() == 3);
    busy(&mut p, 60);

    // All to the last one.
    let settings: Vec<ConnectionSetting> = (0..3)
        .map(|cid| ConnectionSetting {
            cid,
            weight: 3 - u32::from(cid),
            primary: cid == 2,
        })
        .collect();
    let a = p.plane.paths.by_nexus(nexus).unwrap();
    a.set_connection_policy(ConnectionPolicy::WeightedPaths, &settings)
        .unwrap();
    p.finish();
    let before = p.commands();
    busy(&mut p, 30);
    p.finish();
    let took: Vec<u64> = p
        .commands()
        .iter()
        .zip(&before)
        .map(|(a, b)| a - b)
        .collect();
    assert_eq!(took, [0, 0, 30]);

    // The first one, which made the session, goes; then the one that carries all.
    let gone = |p: &mut Pair, cid| {
        let now = p.now;
        p.plane
            .paths
            .by_nexus(nexus)
            .unwrap()
            .remove_connection(cid, now)
    };
    busy(&mut p, 10);
    gone(&mut p, 0).unwrap();
    busy(&mut p, 50);
    gone(&mut p, 2).unwrap();
    busy(&mut p, 50);
    assert!(gone(&mut p, 1).is_err(), "the last one stays");
    assert!(gone(&mut p, 7).is_err());
    p.finish();
    assert_eq!(p.up(), 1);
    assert_eq!(p.session().connections.len(), 1);
    assert_eq!(p.commands().len(), 1);
    assert_eq!(p.plane.paths.get(0).counters.losses, 0);
    assert_eq!(added(&mut p, 3), Ok(0), "its place and CID are free");
    p.until("two", |p| p.up() == 2);
    p.check_no_ghost();
}

/// Random I/O, one request per block at a time, over links that hold, delay, and die.
fn storm(seed: u64, fence: bool) -> Vec<String> {
    let mut rng = Rng::new(seed);
    let n = 2 + rng.below(2) as usize;
    let policy = 1 + rng.below(6);
    let mut p = Pair::new(n, &format!("&conn_policy={policy}"));
    p.ports.lazy = Some(Rng::new(seed ^ 1));
    if !fence {
        p.plane.paths.set_fencing(Fencing::Off);
    }
    let mut unstick = Time::NEVER;
    for _ in 0..6000 {
        if rng.below(3) == 0 && p.asked.len() < 24 {
            let region = rng.below(40);
            let lba = region * 64;
            if !p.asked.values().any(|a| a.lba == lba) {
                let blocks = if region.is_multiple_of(3) { 64 } else { 1 };
                p.submit(rng.below(2) == 0, lba, blocks);
            }
        }
        let link = format!("p{}:3260", rng.below(n as u64));
        match rng.below(900) {
            0 => p.net.cut(&link, false, p.now),
            1 => p.net.cut(&link, true, p.now),
            2 => p.net.cut_silently(&link),
            3 | 4 => p.net.set_link(&link, |l| l.hold_to_target = true),
            5 => p.net.set_link(&link, |l| l.hold_to_host = true),
            6..12 => {
                let spread = rng.below(3000);
                p.net
                    .release(&link, p.now, |k| Duration::from_micros(spread * k as u64));
            }
            12..16 => {
                let delay = Duration::from_micros(rng.below(2000));
                p.net.set_link(&link, |l| l.delay = delay);
            }
            16 => {
                p.ports.stuck = true;
                unstick = p.now + Duration::from_millis(rng.below(60));
            }
            _ => {}
        }
        if p.now >= unstick {
            p.ports.stuck = false;
            unstick = Time::NEVER;
        }
        p.step();
    }
    p.ports.stuck = false;
    for i in 0..n {
        p.net
            .release(&format!("p{i}:3260"), p.now, |_| Duration::ZERO);
    }
    p.finish();
    p.until("all connections to be back", |p| p.up() == n);
    p.run(50);
    assert_eq!(p.completed.len() as u64, p.next - 1);
    p.ghosts()
}

/// The storm is one: without the fence it is seen what the fence is for.
#[test]
fn a_storm_without_the_fence_is_noticed() {
    assert!((0..40).any(|seed| !storm(seed, false).is_empty()));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// Whatever happens to connections, no request is lost or completed twice, every read sees the
    /// last acknowledged write, and no write takes effect after a later one.
    #[test]
    fn a_storm_loses_doubles_and_undoes_nothing(seed in any::<u64>()) {
        prop_assert_eq!(storm(seed, true), Vec::<String>::new());
    }
}

#[test]
fn a_connection_that_the_target_has_no_place_for_is_not_kept_open() {
    let config = TargetConfig {
        session_connections: 2,
        ..TargetConfig::default()
    };
    let url = format!("iscsi://p0/{TARGET}/0?conn=p1&conn=p2&nop_timeout=200&fence_assume=never");
    let mut p = Pair::with(config, [1; 4], &[url], None);
    p.until("two connections to be up", |p| p.up() == 2);
    p.run(100);
    let open = p.target.status().connections;
    assert_eq!(open.len(), 2, "{open:?}");
    assert!(open.iter().all(|c| c.logged_in));
    // The one that found no place steps in when there is one, or the lost one comes back.
    p.net.cut("p1:3260", false, p.now);
    p.until("one to be lost", |p| p.up() == 1);
    p.until("two to be up again", |p| p.up() == 2);
    assert_eq!(p.plane.paths.get(0).counters.losses, 0);
}
