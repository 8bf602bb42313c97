//! The real host half against this target: what one says, the other must understand.

use super::*;
use crate::proto::nvme::Sqe;
use crate::proto::nvme_tcp::host::association::{
    Association, AssociationConfig, AssociationEvent, CcrResult,
};
use crate::transport::tcp::{TcpConn, TcpOptions};
use crate::transport::{Conn, Driver};

struct Peer {
    a: Association,
    portal: &'static str,
    /// In place of `portal`, a real one.
    real: Option<std::net::SocketAddr>,
    conns: Vec<Option<Conn>>,
    events: Vec<AssociationEvent>,
    done: Vec<(Token, u16)>,
}

impl Peer {
    fn new(portal: &'static str, change: impl Fn(&mut AssociationConfig), now: Time) -> Self {
        let mut c =
            AssociationConfig::new(Nqn::new(NQN).unwrap(), Nqn::new(HOST).unwrap(), [9; 16]);
        change(&mut c);
        Self {
            a: Association::new(c, now),
            portal,
            real: None,
            conns: Vec::new(),
            events: Vec::new(),
            done: Vec::new(),
        }
    }

    fn turn(&mut self, w: &World) {
        while let Some(q) = self.a.wants_connection() {
            let conn = match self.real {
                Some(to) => real_conn(to),
                None => Conn::Pipe(w.net.connect(self.portal, w.now).unwrap()),
            };
            self.conns.resize_with(q + 1, || None);
            self.conns[q] = Some(conn);
            self.a.connected(q, w.now);
        }
        for (q, conn) in self.conns.iter_mut().enumerate() {
            if let Some(c) = conn {
                let ok = c.recv(self.a.queue_mut(q), w.now).is_ok_and(|t| !t.eof);
                let ok = c.send(self.a.queue_mut(q), w.now).is_ok() && ok;
                if !ok {
                    *conn = None;
                }
            }
        }
        self.a.poll(w.now);
        let done = &mut self.done;
        self.a
            .drain_io(|t, cqe| done.push((t, cqe.status.to_raw() >> 1)));
        while let Some(e) = self.a.poll_event() {
            self.events.push(e);
        }
        for (q, conn) in self.conns.iter_mut().enumerate() {
            if let Some(c) = conn {
                let _ = c.send(self.a.queue_mut(q), w.now);
            }
        }
    }
}

/// Buffers of a real connection, on either side: some tens of KiB with what the kernel adds.
fn small_buffers() -> TcpOptions {
    TcpOptions {
        send_buffer: Some(8192),
        receive_buffer: Some(8192),
        ..TcpOptions::default()
    }
}

fn real_conn(to: std::net::SocketAddr) -> Conn {
    let tcp = TcpConn::connect(to, &small_buffers()).unwrap();
    let mut conn = Conn::over(tcp, Driver::Tcp);
    while !conn.poll_connect(Time::ZERO).unwrap() {
        std::thread::yield_now();
    }
    conn
}

fn run(w: &mut World, peers: &mut [&mut Peer], ms: u64) {
    for _ in 0..ms * 10 {
        w.now += Duration::from_micros(100);
        while w.target.poll(&mut w.ports, w.now) {}
        for p in peers.iter_mut() {
            p.turn(w);
        }
    }
}

fn write(p: &mut Peer, lba: u64, blocks: u32, data: &[u8], now: Time) {
    let mut t = crate::base::request::Request::new();
    t.op = Op::Write;
    t.data = crate::sys::iobuf::IoBuf::from(data).into();
    t.user = lba;
    let sqe = Sqe::write(1, lba, (blocks - 1) as u16, false);
    assert!(p.a.submit(sqe, t, now).is_ok());
}

fn read(p: &mut Peer, lba: u64, blocks: u32, now: Time) {
    let mut t = crate::base::request::Request::new();
    t.op = Op::Read;
    t.data = crate::base::sg::SgList::zeroed(blocks as usize * 512);
    t.user = lba;
    let sqe = Sqe::read(1, lba, (blocks - 1) as u16, false);
    assert!(p.a.submit(sqe, t, now).is_ok());
}

#[test]
fn data_goes_both_ways() {
    for (digests, flow) in [(false, false), (true, false), (true, true), (false, true)] {
        let mut w = World::with(queue(|q| q.r2t_size = 64 * 1024));
        let mut p = Peer::new(
            "a",
            |c| {
                c.header_digest = digests;
                c.data_digest = digests;
                c.sq_flow_control = flow;
                c.io_queues = 3;
            },
            w.now,
        );
        run(&mut w, &mut [&mut p], 50);
        assert!(p.events.contains(&AssociationEvent::Up), "{:?}", p.events);
        let ns = &p.a.namespaces()[0];
        assert_eq!((ns.blocks, ns.block_size, ns.ana_state), (4096, 512, 1));
        assert_eq!(ns.uuid, Some([7; 16]));
        for round in 0..3 {
            for n in 0..20u64 {
                let blocks = [1, 8, 16, 64, 128][n as usize % 5];
                let data = pattern(blocks as usize * 512, n as u8 + round);
                write(&mut p, n * 130, blocks, &data, w.now);
            }
            run(&mut w, &mut [&mut p], 30);
            assert_eq!(p.done.len(), 20);
            assert!(p.done.drain(..).all(|(_, s)| s == 0));
            for n in 0..20u64 {
                read(&mut p, n * 130, [1, 8, 16, 64, 128][n as usize % 5], w.now);
            }
            run(&mut w, &mut [&mut p], 30);
            assert_eq!(p.done.len(), 20);
            for (t, status) in p.done.drain(..) {
                assert_eq!(status, 0);
                let mut b = vec![0; t.data.len()];
                t.data.read_at(0, &mut b);
                assert_eq!(b, pattern(b.len(), (t.user / 130) as u8 + round));
            }
        }
        let s = w.status();
        assert!(
            s.connections
                .iter()
                .all(|c| c.counters.copied_bytes_large == 0)
        );
        assert_eq!(s.buffer_bytes, 0);
        p.a.shutdown(w.now);
        run(&mut w, &mut [&mut p], 50);
        assert!(
            p.events.contains(&AssociationEvent::ShutdownDone),
            "{:?}",
            p.events
        );
    }
}

#[test]
fn ana_changes_and_namespace_changes_are_heard() {
    let mut w = World::new();
    let mut p = Peer::new("b", |_| {}, w.now);
    run(&mut w, &mut [&mut p], 50);
    for state in [
        AnaState::Inaccessible,
        AnaState::Change,
        AnaState::Optimized,
    ] {
        p.events.clear();
        w.target.set_access(2, state).unwrap();
        run(&mut w, &mut [&mut p], 20);
        assert!(p.events.contains(&AssociationEvent::AccessChanged));
        assert_eq!(p.a.namespaces()[0].ana_state, state as u8);
    }
    w.target
        .add_namespace(NQN, 2, PortId(0), &Identity::default(), &w.ports)
        .unwrap();
    run(&mut w, &mut [&mut p], 30);
    assert!(p.events.contains(&AssociationEvent::NamespacesChanged));
    assert_eq!(p.a.namespaces().len(), 2);
}

#[test]
fn keep_alive_keeps_it_alive_and_a_cross_reset_ends_it() {
    let mut w = World::new();
    let mut a = Peer::new("a", |c| c.kato = Duration::from_millis(500), w.now);
    let mut b = Peer::new("b", |_| {}, w.now);
    run(&mut w, &mut [&mut a, &mut b], 5000);
    assert_eq!(w.status().controllers.len(), 2, "{:?}", a.events);
    let info = a.a.controller().unwrap().clone();
    w.target
        .set_fault(PortalId(0), Fault::Hold(true), w.now)
        .unwrap();
    write(&mut a, 5, 1, &[0xaa; 512], w.now);
    run(&mut w, &mut [&mut a, &mut b], 5);
    assert!(b.a.start_ccr(info.cntlid, info.ciu, info.cirn, 1, w.now));
    run(&mut w, &mut [&mut b], 20);
    let done = AssociationEvent::CcrAnswered {
        tag: 1,
        result: CcrResult::Done,
    };
    assert!(b.events.contains(&done), "{:?}", b.events);
    w.target.set_fault(PortalId(0), Fault::None, w.now).unwrap();
    run(&mut w, &mut [&mut b], 20);
    assert_eq!(w.ports.data[5 * 512], 0);
}

#[test]
fn a_sleeper_waits_for_room_where_an_answer_did_not_fit_its_socket() {
    let mut w = World::new();
    let at = "127.0.0.1:0".parse().unwrap();
    let listener = Listener::tcp(at, small_buffers()).unwrap();
    let real = listener.socket_addr();
    w.target.add_portal(PortalConfig::new(listener));
    let mut p = Peer::new("", |_| {}, w.now);
    p.real = real;
    let waits_for_room = |w: &World| {
        let mut fds = Vec::new();
        w.target.fds(&mut fds);
        fds.iter().any(|(_, room)| *room)
    };
    while !p.events.contains(&AssociationEvent::Up) {
        run(&mut w, &mut [&mut p], 1);
    }
    assert!(!waits_for_room(&w));
    for n in 0..16 {
        read(&mut p, n * 128, 128, w.now);
    }
    p.turn(&w);
    while !waits_for_room(&w) {
        w.now += Duration::from_micros(100);
        w.target.poll(&mut w.ports, w.now);
    }
    while p.done.len() < 16 {
        run(&mut w, &mut [&mut p], 1);
    }
    assert!(p.done.iter().all(|(_, status)| *status == 0));
    assert!(!waits_for_room(&w));
}
