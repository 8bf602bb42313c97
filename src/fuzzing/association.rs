//! A host association and the embedded target, over a network that the input owns: it delays, cuts,
//! damages and invents bytes while I/O, aborts, resets, access changes and shutdowns go on.
//!
//! Both halves are real, so that inputs reach states that a scripted peer does not.

use super::Input;
use super::input::noise;
use super::wire::{Bytes, feed, pull_all};
use crate::base::clock::Time;
use crate::base::request::{Op, Request, RequestPool, Token};
use crate::front::nvme_tcp::{PortalConfig, SubsystemConfig, Target, TargetConfig};
use crate::lun::port::{Geometry, PortId, Ports};
use crate::path::identity::Identity;
use crate::proto::nvme::controller::AnaState;
use crate::proto::nvme::{Nqn, Sqe};
use crate::proto::nvme_tcp::host::{Association, AssociationConfig};
use crate::sys::iobuf::IoBuf;
use crate::transport::listener::Listener;
use crate::transport::pipe::{PipeConn, PipeNet};
use std::time::Duration;

const NQN: &str = "nqn.2024-01.test:subsystem";
const OPERATIONS: usize = 300;

/// LUNs that keep nothing and answer at the next turn.
#[derive(Debug, Default)]
struct Nothing {
    pool: RequestPool,
    queued: Vec<(PortId, Token)>,
}

impl Ports for Nothing {
    fn geometry(&self, _: PortId) -> Option<Geometry> {
        Some(Geometry {
            block_size: 512,
            blocks: 1 << 20,
            max_transfer_blocks: 256,
            volatile_cache: true,
            discard: true,
            write_zeroes: true,
            compare: true,
            compare_and_write: false,
            identity: Identity::default(),
        })
    }

    fn take(&mut self) -> Token {
        self.pool.get()
    }

    fn recycle(&mut self, token: Token) {
        self.pool.put(token);
    }

    fn submit(&mut self, port: PortId, mut token: Token) {
        token.result = Ok(());
        self.queued.push((port, token));
    }

    fn completions(&mut self, port: PortId, out: &mut Vec<Token>) {
        let (mine, rest) = std::mem::take(&mut self.queued)
            .into_iter()
            .partition(|(p, _)| *p == port);
        self.queued = rest;
        let mine: Vec<(PortId, Token)> = mine;
        out.extend(mine.into_iter().map(|(_, t)| t));
    }
}

/// A connection of the host, with the bytes that the input may touch.
#[derive(Debug)]
struct Line {
    conn: Option<PipeConn>,
    up: bool,
    to_target: Bytes,
    to_host: Bytes,
}

#[derive(Debug)]
struct World {
    host: Association,
    target: Target,
    ports: Nothing,
    net: PipeNet,
    lines: Vec<Line>,
    now: Time,
    /// Nothing reaches the host while this is set.
    held: bool,
    /// By number: how often each request came back.
    back: Vec<u8>,
}

impl World {
    fn new(flags: u8) -> Self {
        let net = PipeNet::new();
        let ports = Nothing::default();
        let mut target = Target::new(TargetConfig::default());
        let portal = target.add_portal(PortalConfig::new(Listener::pipe(&net, "a")));
        assert_eq!(portal.0, 0);
        target
            .add_subsystem(SubsystemConfig::new(NQN))
            .expect("new");
        let identity = Identity {
            uuid: Some([7; 16]),
            ..Identity::default()
        };
        target
            .add_namespace(NQN, 1, PortId(0), &identity, &ports)
            .expect("new");
        let nqn = |s: &str| Nqn::new(s).expect("a valid name");
        let config = AssociationConfig {
            io_queues: 1 + u16::from(flags & 1),
            depth: 16,
            header_digest: flags & 2 != 0,
            data_digest: flags & 4 != 0,
            sq_flow_control: flags & 8 != 0,
            ..AssociationConfig::new(nqn(NQN), nqn("nqn.2024-01.test:host"), [9; 16])
        };
        let now = Time::from_nanos(1_000_000_000);
        let host = Association::new(config, now);
        Self {
            host,
            target,
            ports,
            net,
            lines: Vec::new(),
            now,
            held: false,
            back: Vec::new(),
        }
    }

    /// Everything that happens at this instant.
    fn turn(&mut self) {
        if let Some(q) = self.host.wants_connection()
            && q == self.lines.len()
        {
            let conn = self.net.connect("a", self.now).ok();
            self.lines.push(Line {
                conn,
                up: false,
                to_target: Bytes::default(),
                to_host: Bytes::default(),
            });
        }
        for q in 0..self.lines.len() {
            self.line(q);
        }
        self.target.poll(&mut self.ports, self.now);
        self.host.poll(self.now);
        while self.host.poll_event().is_some() {}
        let back = &mut self.back;
        self.host.drain_io(|t, _| back[t.user as usize] += 1);
    }

    fn line(&mut self, q: usize) {
        let line = &mut self.lines[q];
        let Some(conn) = &mut line.conn else { return };
        if !line.up {
            if !conn.poll_connect(self.now).unwrap_or(false) {
                return;
            }
            line.up = true;
            self.host.connected(q, self.now);
        }
        let queue = self.host.queue_mut(q);
        line.to_target.bytes.extend(pull_all(queue, self.now));
        let sent = conn.send(&mut line.to_target, self.now);
        let received = conn.recv(&mut line.to_host, self.now);
        if !self.held {
            let n = feed(queue, &line.to_host.bytes, usize::MAX, self.now);
            line.to_host.bytes.drain(..n);
        }
        if sent.is_err() || received.is_err() {
            line.conn = None;
        }
    }

    fn wait(&mut self, time: Duration) {
        for _ in 0..4 {
            self.now += time / 4;
            self.turn();
        }
    }

    /// To the next instant at which something is due.
    fn leap(&mut self) {
        let mut due = self.host.next_deadline();
        for at in [self.net.next_delivery(), self.target.next_deadline()]
            .into_iter()
            .flatten()
        {
            due = due.min(at);
        }
        if due != Time::NEVER {
            self.now = self.now.max(due) + Duration::from_micros(1);
        }
        self.turn();
    }

    fn submit(&mut self, n: u8) {
        let mut t = Request::new();
        t.user = self.back.len() as u64;
        let blocks = [1, 8, 64, 256][usize::from(n / 4) % 4];
        let (op, sqe) = match n % 4 {
            0 | 1 => (
                Op::Read,
                Sqe::read(1, u64::from(n), (blocks - 1) as u16, false),
            ),
            2 => (
                Op::Write,
                Sqe::write(1, u64::from(n), (blocks - 1) as u16, false),
            ),
            _ => (Op::Flush, Sqe::flush(1)),
        };
        t.op = op;
        if op != Op::Flush {
            t.blocks = blocks as u32;
            t.data.push(IoBuf::zeroed(blocks * 512));
        }
        if self.host.submit(sqe, t, self.now).is_ok() {
            self.back.push(0);
        }
    }

    fn damage(&mut self, input: &mut Input<'_>) {
        let (q, how, at) = (
            usize::from(input.byte()),
            input.byte(),
            usize::from(input.word()),
        );
        if self.lines.is_empty() {
            return;
        }
        let index = q % self.lines.len();
        let line = &mut self.lines[index];
        // What is still on its way is what the host has just said, and what has just come for it.
        line.to_target
            .bytes
            .extend(pull_all(self.host.queue_mut(index), self.now));
        let bytes = if how & 1 == 0 {
            &mut line.to_host.bytes
        } else {
            &mut line.to_target.bytes
        };
        match how % 8 {
            0..=3 if !bytes.is_empty() => {
                let at = at % bytes.len();
                bytes[at] ^= 1 << (how >> 5);
            }
            4 | 5 => bytes.truncate(at),
            6 => bytes.extend_from_slice(input.bytes(usize::from(how))),
            _ => line.conn = None,
        }
    }

    fn step(&mut self, input: &mut Input<'_>) {
        let (what, n) = (input.byte(), input.byte());
        match what % 16 {
            0..=4 => self.submit(n),
            5 => self.wait(Duration::from_millis(u64::from(n))),
            6 => self.leap(),
            7 => self.damage(input),
            8 => self.held = n & 1 != 0,
            9 => {
                let states = [
                    AnaState::Optimized,
                    AnaState::NonOptimized,
                    AnaState::Inaccessible,
                    AnaState::Change,
                ];
                let _ = self.target.set_access(1, states[usize::from(n) % 4]);
            }
            10 if n < 32 => {
                let _ = self.target.remove_namespace(NQN, 1);
            }
            10 => {
                let identity = Identity {
                    uuid: Some([n; 16]),
                    ..Identity::default()
                };
                let _ = self.target.add_namespace(
                    NQN,
                    u32::from(n % 4),
                    PortId(0),
                    &identity,
                    &self.ports,
                );
            }
            11 => drop(
                self.host
                    .start_ccr(u16::from(n), 1, 7, u32::from(n), self.now),
            ),
            12 => drop(self.host.abort(
                usize::from(n) % self.lines.len().max(1),
                u16::from(n) % 20,
                1,
                self.now,
            )),
            13 => self.host.reread_ana(self.now),
            14 if n > 240 => self.host.shutdown(self.now),
            _ => self.wait(Duration::from_micros(400)),
        }
        self.turn();
    }
}

pub(super) fn run(bytes: &[u8]) {
    let mut input = Input::new(bytes);
    let mut w = World::new(input.byte());
    if input.bit() {
        // Past the login; else the input owns that as well.
        for _ in 0..200 {
            w.wait(Duration::from_micros(400));
            if w.host.is_up() {
                break;
            }
        }
        assert!(
            w.host.is_up(),
            "an undisturbed login succeeds: {:?}",
            w.host.controller()
        );
    }
    for _ in 0..OPERATIONS {
        if input.is_empty() {
            break;
        }
        w.step(&mut input);
    }
    // The transports go first (I4), then what was under way comes back.
    w.lines.clear();
    let back = &mut w.back;
    w.host.drain(|t| back[t.user as usize] += 1);
    w.host.drain_io(|t, _| back[t.user as usize] += 1);
    assert!(
        back.iter().all(|n| *n == 1),
        "every request comes back once: {back:?}"
    );
    assert_eq!(w.host.in_flight(), 0);
}

pub(super) fn seeds() -> Vec<Vec<u8>> {
    let seed = |n: u8| {
        let mut s = noise(300 + u64::from(n), 400);
        s[..2].copy_from_slice(&[n, n & 1]);
        s
    };
    (0..32).map(seed).collect()
}
