//! The plane over local devices: what needs no protocol to be shown.

use super::channel::LunSettings;
use super::plane::{ChannelId, PathToOpen, Plane};
use super::policy::{Policy, PolicySpec};
use super::port::{PortId, Ports};
use crate::base::clock::Time;
use crate::base::error::ErrorKind;
use crate::base::request::{Op, Token};
use crate::base::sg::SgList;
use crate::path::dialer::Dialer;
use crate::path::local::{LocalDevice, LocalSpec};
use crate::path::nvme_link::HostIdentity;
use crate::path::state::State;
use crate::path::url::PathSpec;
use std::time::Duration;

fn plane() -> Plane {
    let host = HostIdentity {
        nqn: "nqn.2026-01.test:host".into(),
        id: [1; 16],
        initiator_name: "iqn.2026-01.org.umpio:sim".to_owned(),
        reactor: 0,
    };
    Plane::new(Dialer::Tcp, host, 7, Time::ZERO)
}

/// A LUN on `n` paths that share one memory store.
fn open_mem(plane: &mut Plane, n: usize, policy: Policy) -> (ChannelId, PortId) {
    let first = LocalDevice::open(&"mem:1M".parse::<LocalSpec>().unwrap()).unwrap();
    let mut devices: Vec<_> = (1..n).map(|_| first.share().unwrap()).collect();
    devices.push(first);
    let paths = devices.into_iter().enumerate().map(|(i, d)| PathToOpen {
        spec: PathSpec::parse(&format!("mem:1M?n={i}")).unwrap(),
        local: Some(d),
        weight: 0,
    });
    let lun = plane.open(
        "l",
        paths.collect(),
        Some(PolicySpec::new(policy)),
        LunSettings::default(),
    );
    let port = plane.open_port(lun);
    plane.poll(Time::from_nanos(1));
    assert!(plane.all_joined(lun));
    (lun, port)
}

fn request(plane: &mut Plane, op: Op, lba: u64, blocks: u32, data: SgList) -> Token {
    let mut t = plane.take();
    t.op = op;
    t.lba = lba;
    t.blocks = blocks;
    t.data = data;
    t
}

fn run(plane: &mut Plane, port: PortId, token: Token) -> Token {
    plane.submit(port, token);
    let mut done = Vec::new();
    for i in 2..1000 {
        plane.poll(Time::from_nanos(i));
        plane.completions(port, &mut done);
        if let Some(t) = done.pop() {
            assert!(done.is_empty(), "one request, one completion");
            return t;
        }
    }
    panic!("the request never came back");
}

#[test]
fn what_is_written_is_read_over_another_path() {
    let mut p = plane();
    let (lun, port) = open_mem(&mut p, 2, Policy::RoundRobin);
    let mut data = SgList::zeroed(4096);
    data.write_at(0, &[0xAB; 4096]);
    let w = request(&mut p, Op::Write, 8, 8, data);
    assert_eq!(run(&mut p, port, w).result, Ok(()));
    let r = request(&mut p, Op::Read, 8, 8, SgList::zeroed(4096));
    let r = run(&mut p, port, r);
    let mut got = [0; 4096];
    r.data.read_at(0, &mut got);
    assert_eq!(got, [0xAB; 4096]);
    let ios: Vec<_> = p.status(lun).paths.iter().map(|s| s.stats.ios).collect();
    assert_eq!(ios, [1, 1], "round robin used both");
}

#[test]
fn bad_requests_fail_with_the_reason_and_keep_their_buffers() {
    let mut p = plane();
    let (_, port) = open_mem(&mut p, 1, Policy::Failover);
    let beyond = request(&mut p, Op::Read, 2047, 2, SgList::zeroed(1024));
    let t = run(&mut p, port, beyond);
    assert_eq!(t.result.unwrap_err().kind, ErrorKind::OutOfRange);
    assert_eq!(t.data.len(), 1024);
    let short = request(&mut p, Op::Write, 0, 2, SgList::zeroed(512));
    assert_eq!(
        run(&mut p, port, short).result.unwrap_err().kind,
        ErrorKind::Invalid
    );
    let empty = request(&mut p, Op::Read, 0, 0, SgList::new());
    assert_eq!(
        run(&mut p, port, empty).result.unwrap_err().kind,
        ErrorKind::Invalid
    );
    let wraps = request(&mut p, Op::Discard, u64::MAX, 2, SgList::new());
    assert_eq!(
        run(&mut p, port, wraps).result.unwrap_err().kind,
        ErrorKind::OutOfRange
    );
}

#[test]
fn a_request_larger_than_a_command_is_split_and_comes_back_whole() {
    let mut p = plane();
    let (lun, port) = open_mem(&mut p, 2, Policy::RoundRobin);
    p.limit_transfer(lun, 16);
    let mut data = SgList::new();
    // Segments that do not line up with the parts.
    for (len, fill) in [(3000, 1u8), (20_000, 2), (9768, 3)] {
        let mut b = crate::sys::iobuf::IoBuf::zeroed(len);
        b.as_mut_slice().fill(fill);
        data.push(b);
    }
    let w = request(&mut p, Op::Write, 100, 64, data);
    assert_eq!(run(&mut p, port, w).result, Ok(()));
    assert_eq!(p.status(lun).routes.submitted, 4);
    let r = request(&mut p, Op::Read, 100, 64, SgList::zeroed(32_768));
    let r = run(&mut p, port, r);
    let mut got = vec![0; 32_768];
    r.data.read_at(0, &mut got);
    assert!(
        got[..3000].iter().all(|b| *b == 1)
            && got[3000..23_000].iter().all(|b| *b == 2)
            && got[23_000..].iter().all(|b| *b == 3)
    );
    assert_eq!(p.channel(lun).outstanding(), 0);
}

#[test]
fn another_identity_is_kept_out() {
    let mut p = plane();
    let paths = (0..2).map(|i| PathToOpen {
        spec: PathSpec::parse(&format!("mem:1M?n={i}")).unwrap(),
        local: Some(LocalDevice::open(&"mem:1M".parse::<LocalSpec>().unwrap()).unwrap()),
        weight: 0,
    });
    let lun = p.open("l", paths.collect(), None, LunSettings::default());
    p.poll(Time::from_nanos(1));
    let status = p.status(lun);
    assert_eq!(
        status.paths.iter().map(|s| s.joined).collect::<Vec<_>>(),
        [true, false]
    );
    let why = status.paths[1].reason.clone().unwrap();
    assert!(why.contains("another logical unit"), "{why}");
}

#[test]
fn why_the_last_attempt_failed_is_known_while_the_next_one_runs() {
    let mut p = plane();
    let path = PathToOpen {
        spec: PathSpec::parse("nvme-tcp://127.0.0.1:1/nqn.2026-01.x:y").unwrap(),
        local: None,
        weight: 0,
    };
    let lun = p.open("l", vec![path], None, LunSettings::default());
    let (mut failed, mut retried) = (false, false);
    for ms in 1..100_000 {
        p.poll(Time::from_nanos(ms * 1_000_000));
        let path = p.status(lun).paths.remove(0);
        let why = path.reason.unwrap_or_default();
        failed |= path.state == State::Backoff;
        retried |= failed && path.state == State::Connecting;
        assert!(!failed || why.contains("refused"), "{}: {why}", path.state);
        if retried {
            return;
        }
    }
    panic!("no second attempt was seen, failed first: {failed}");
}

#[test]
fn io_waits_for_a_path_and_fails_when_its_time_is_up() {
    let mut p = plane();
    let spec = PathSpec::parse("nvme-tcp://127.0.0.1:1/nqn.2026-01.x:y").unwrap();
    let settings = LunSettings {
        park_max: Duration::from_millis(50),
        ..LunSettings::default()
    };
    let lun = p.open(
        "l",
        vec![PathToOpen {
            spec,
            local: None,
            weight: 0,
        }],
        None,
        settings,
    );
    let port = p.open_port(lun);
    let r = request(&mut p, Op::Read, 0, 1, SgList::zeroed(512));
    p.submit(port, r);
    let mut done = Vec::new();
    p.poll(Time::from_nanos(1_000_000));
    p.completions(port, &mut done);
    assert!(done.is_empty());
    for ms in 2..80 {
        p.poll(Time::from_nanos(ms * 1_000_000));
    }
    p.completions(port, &mut done);
    assert_eq!(
        done.pop().unwrap().result.unwrap_err().kind,
        ErrorKind::NoPath
    );
}

#[test]
fn blocks_in_doubt_wait_on_every_reactor_and_go_on_after_the_proof() {
    let all = super::doubt::Doubts::default();
    let (clock, _) = crate::base::clock::Clock::virtual_at(Time::ZERO);
    let other = all.join(clock.clone());
    let mut p = plane();
    p.share_doubts(&all, clock);
    let (lun, port) = open_mem(&mut p, 1, Policy::Failover);
    let loss = crate::path::loss::LossId(9);
    let identity = p.channel(lun).identity.clone();
    other.publish(&identity, "l", (0, 8, loss), Time::NEVER);

    let r = request(&mut p, Op::Write, 7, 1, SgList::zeroed(512));
    p.submit(port, r);
    let free = request(&mut p, Op::Write, 8, 1, SgList::zeroed(512));
    assert!(run(&mut p, port, free).result.is_ok(), "all else flows");
    let mut done = Vec::new();
    for ms in 1..100 {
        p.poll(Time::from_nanos(ms * 1_000_000));
        p.completions(port, &mut done);
    }
    assert!(done.is_empty(), "a late write may still come");
    let parked = p.status(lun).routes.parked;
    let foreign = super::route::ParkReason::ForeignFence as usize;
    assert_eq!(parked[foreign], 1, "however often it was looked at");

    other.settle(loss);
    for ms in 100..200 {
        p.poll(Time::from_nanos(ms * 1_000_000));
        p.completions(port, &mut done);
    }
    assert!(done.pop().expect("it went on").result.is_ok());
}
