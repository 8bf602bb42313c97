//! Connect: who gets in, and where a refusal points.

use super::*;

const PARAMETERS: u16 = 0x4182;

#[test]
fn ids_are_given_in_turn_and_static_ones_are_honoured() {
    let mut w = World::new();
    let (_, first) = w.admin("a", 0);
    let (_, second) = w.admin("b", 0);
    assert_ne!(first, second);
    let h = w.open("a", Digests::NONE);
    let a = w.call(h, connect_sqe(0, 31, 0), &connect_data(0x123));
    assert_eq!((a.status, a.result), (0, 0x123));
    let h = w.open("a", Digests::NONE);
    let a = w.call(h, connect_sqe(0, 31, 0), &connect_data(0x123));
    assert_eq!(a.status, 0x181, "an id in use is busy");
}

#[test]
fn connect_data_by_r2t_is_as_good_as_in_the_capsule() {
    let mut w = World::new();
    let h = w.open("a", Digests::NONE);
    let mut s = connect_sqe(0, 31, 0);
    s[39] = 0x5a;
    assert_eq!(w.call(h, s, &connect_data(0xffff)).status, 0);
}

#[test]
fn every_refusal_points_at_its_field() {
    type Spoil = fn(&mut [u8; 64], &mut [u8; 1024]);
    let cases: [(Spoil, u16, u64); 8] = [
        (|s, _| s[40] = 1, 0x4180, 40),
        (|s, _| s[44..46].fill(0), PARAMETERS, 44),
        (|s, _| s[44..46].fill(0xff), PARAMETERS, 44),
        (|_, d| d[260] ^= 1, PARAMETERS, 0x1_0000 | 256),
        (|_, d| d[256..512].fill(b'n'), PARAMETERS, 0x1_0000 | 256),
        (|_, d| d[512] = 0, PARAMETERS, 0x1_0000 | 512),
        (
            |_, d| d[16..18].copy_from_slice(&[0xf0, 0xff]),
            PARAMETERS,
            0x1_0000 | 16,
        ),
        // An I/O queue of a controller that is not there.
        (|s, _| s[42] = 1, PARAMETERS, 0x1_0000 | 16),
    ];
    let mut w = World::new();
    for (n, (spoil, status, result)) in cases.into_iter().enumerate() {
        let h = w.open("a", Digests::NONE);
        let (mut s, mut d) = (connect_sqe(0, 31, 0), connect_data(0xffff));
        spoil(&mut s, &mut d);
        let a = w.call(h, s, &d);
        assert_eq!((a.status, a.result), (status, result), "case {n}");
    }
    assert_eq!(w.status().counters.refused_connects, 8);
}

#[test]
fn io_queues_must_fit_their_controller() {
    let mut w = World::with(limits(|l| l.io_queues = 2));
    let (_, cntlid) = w.admin("a", 0);
    w.io("a", cntlid, 1);
    let mut refuse = |portal: &str, qid: u16, spoil: fn(&mut [u8; 1024])| {
        let h = w.open(portal, Digests::NONE);
        let mut d = connect_data(cntlid);
        spoil(&mut d);
        let a = w.call(h, connect_sqe(qid, 31, 0), &d);
        (a.status, a.result)
    };
    assert_eq!(refuse("a", 1, |_| {}), (0x400c, 0), "the queue exists");
    assert_eq!(refuse("a", 3, |_| {}), (PARAMETERS, 42));
    assert_eq!(refuse("b", 2, |_| {}), (PARAMETERS, 0x1_0010));
    assert_eq!(refuse("a", 2, |d| d[530] ^= 1), (PARAMETERS, 0x1_0200));
    assert_eq!(refuse("a", 2, |d| d[0] ^= 1), (PARAMETERS, 0x1_0000));
    assert_eq!(refuse("a", 2, |_| {}), (0, u64::from(cntlid)));
}

#[test]
fn an_io_queue_needs_an_enabled_controller() {
    let mut w = World::new();
    let h = w.open("a", Digests::NONE);
    let a = w.call(h, connect_sqe(0, 31, 0), &connect_data(0xffff));
    let io = w.open("a", Digests::NONE);
    let d = connect_data(a.result as u16);
    assert_eq!(w.call(io, connect_sqe(1, 31, 0), &d).status, 0x400c);
    let identify = dword(sqe(0x06, 0, 4096), 10, 1);
    assert_eq!(w.call(h, identify, &[]).status, 0x400c);
}

#[test]
fn sqhd_says_whether_flow_control_is_off() {
    let mut w = World::new();
    let (_, cntlid) = w.admin("a", 0);
    let h = w.open("a", Digests::NONE);
    let mut s = connect_sqe(1, 31, 0);
    s[46] = 4;
    let a = w.call(h, s, &connect_data(cntlid));
    assert_eq!((a.status, a.sqhd), (0, 0xffff));
    let h = w.open("a", Digests::NONE);
    let a = w.call(h, connect_sqe(2, 31, 0), &connect_data(cntlid));
    assert_eq!((a.status, a.sqhd), (0, 1));
}

#[test]
fn hosts_that_are_not_allowed_are_refused() {
    let mut w = World::new();
    let mut s = SubsystemConfig::new("nqn.2026-01.io.umpio:private");
    s.hosts = vec!["nqn.2026-01.io.umpio:other".to_owned()];
    w.target.add_subsystem(s).unwrap();
    let h = w.open("a", Digests::NONE);
    let mut d = connect_data(0xffff);
    d[256..300].fill(0);
    d[256..256 + 28].copy_from_slice(b"nqn.2026-01.io.umpio:private");
    assert_eq!(w.call(h, connect_sqe(0, 31, 0), &d).status, 0x4184);
}

#[test]
fn the_ready_delay_shows_in_csts() {
    let mut w = World::with(limits(|l| l.ready_delay = Duration::from_millis(50)));
    let h = w.open("a", Digests::NONE);
    w.call(h, connect_sqe(0, 31, 0), &connect_data(0xffff));
    w.call(h, set_property(0x14, 0x0046_0001), &[]);
    assert_eq!(w.call(h, get_property(0x1c, false), &[]).result, 0);
    w.run(50);
    assert_eq!(w.call(h, get_property(0x1c, false), &[]).result, 1);
}

#[test]
fn commands_before_connect_are_out_of_sequence() {
    let mut w = World::new();
    let h = w.open("a", Digests::NONE);
    assert_eq!(w.call(h, get_property(0, true), &[]).status, 0x400c);
}

#[test]
fn a_silent_connection_is_closed_in_time() {
    let mut w = World::new();
    let h = w.open("a", Digests::NONE);
    w.run(11_000);
    assert!(w.hosts[h].gone);
    assert!(w.status().connections.is_empty());
}

#[test]
fn connections_beyond_the_limit_are_reset() {
    let mut w = World::new();
    w.target.config.connections = 1;
    let a = w.open("a", Digests::NONE);
    let b = w.open("a", Digests::NONE);
    assert!(!w.hosts[a].gone && w.hosts[b].gone);
}

#[test]
fn a_real_socket_gets_in_and_a_shut_door_refuses() {
    use crate::transport::tcp::TcpOptions;
    use std::io::{Read, Write};
    let at = "127.0.0.1:0".parse().unwrap();
    let listener = Listener::tcp(at, TcpOptions::default()).unwrap();
    let at = listener.socket_addr().unwrap();
    let mut target = Target::new(TargetConfig::default());
    let portal = target.add_portal(PortalConfig::new(listener));
    let mut ports = MemPorts::new();
    let clock = crate::base::clock::Clock::monotonic();
    let mut host = std::net::TcpStream::connect(at).unwrap();
    let mut b = [0; HEADER_AREA];
    let n = IcReq {
        pfv: 0,
        hpda: 0,
        digests: Digests::NONE,
        max_r2t: 0,
    }
    .emit(&mut b);
    host.write_all(&b[..n]).unwrap();
    host.set_nonblocking(true).unwrap();
    let mut answer = [0; 128];
    let mut got = 0;
    while got < answer.len() {
        target.poll(&mut ports, clock.now());
        match host.read(&mut answer[got..]) {
            Ok(n) => got += n,
            Err(e) => assert_eq!(e.kind(), std::io::ErrorKind::WouldBlock),
        }
    }
    assert_eq!(answer[0], PduType::IcResp as u8);
    let mut fds = Vec::new();
    target.fds(&mut fds);
    assert_eq!(fds.len(), 2);
    target
        .set_fault(portal, Fault::Refuse(true), clock.now())
        .unwrap();
    assert!(std::net::TcpStream::connect(at).is_err());
    target.set_fault(portal, Fault::None, clock.now()).unwrap();
    assert!(std::net::TcpStream::connect(at).is_ok());
}
