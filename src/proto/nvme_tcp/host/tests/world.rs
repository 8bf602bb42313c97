//! An association and a fake controller over the network in memory, in virtual time.

use super::fake::{End, Fake};
use super::peer::{Chunks, feed};
use crate::base::clock::Time;
use crate::proto::nvme::Nqn;
use crate::proto::nvme_tcp::host::{
    Association, AssociationConfig, AssociationEvent, AssociationFailure,
};
use crate::proto::nvme_tcp::pdu::Digests;
use crate::transport::pipe::{PipeConn, PipeListener, PipeNet};
use std::time::Duration;

const AT: &str = "portal";

pub(super) fn config() -> AssociationConfig {
    let nqn = |s: &str| Nqn::new(s).unwrap();
    AssociationConfig {
        io_queues: 2,
        depth: 32,
        kato: Duration::from_secs(2),
        ..AssociationConfig::new(
            nqn("nqn.2024-01.test:subsystem"),
            nqn("nqn.2024-01.test:host"),
            [9; 16],
        )
    }
}

pub(super) struct World {
    pub(super) host: Association,
    pub(super) fake: Fake,
    pub(super) now: Time,
    pub(super) events: Vec<AssociationEvent>,
    pub(super) net: PipeNet,
    listener: PipeListener,
    conns: Vec<Option<PipeConn>>,
    peers: Vec<PipeConn>,
    up: Vec<bool>,
}

impl World {
    pub(super) fn new(config: AssociationConfig, fake: Fake) -> Self {
        let net = PipeNet::new();
        let listener = net.listen(AT);
        let now = Time::from_nanos(1_000_000_000);
        Self {
            host: Association::new(config, now),
            fake,
            now,
            events: Vec::new(),
            net,
            listener,
            conns: Vec::new(),
            peers: Vec::new(),
            up: Vec::new(),
        }
    }

    /// Everything that happens at this instant.
    pub(super) fn turn(&mut self) {
        let digests = Digests {
            header: self.host.config().header_digest,
            data: self.host.config().data_digest,
        };
        for _ in 0..4 {
            if let Some(q) = self.host.wants_connection()
                && self.conns.len() == q
            {
                self.conns
                    .push(Some(self.net.connect(AT, self.now).unwrap()));
                self.up.push(false);
            }
            if let Some(c) = self.listener.accept().unwrap() {
                self.peers.push(c);
                self.fake.ends.push(End::new(digests));
            }
            for (q, conn) in self.conns.iter_mut().enumerate() {
                let Some(c) = conn else { continue };
                if !self.up[q] {
                    if !c.poll_connect(self.now).unwrap() {
                        continue;
                    }
                    self.up[q] = true;
                    self.host.connected(q, self.now);
                }
                let queue = self.host.queue_mut(q);
                if c.recv(queue, self.now).is_err() || c.send(queue, self.now).is_err() {
                    *conn = None;
                }
            }
            for (q, c) in self.peers.iter_mut().enumerate() {
                let _ = c.recv(&mut self.fake.ends[q], self.now);
            }
            self.fake.turn();
            for (q, c) in self.peers.iter_mut().enumerate() {
                let _ = c.send(&mut self.fake.ends[q], self.now);
            }
            self.host.poll(self.now);
            while let Some(e) = self.host.poll_event() {
                self.events.push(e);
            }
        }
    }

    /// The next instant at which something happens.
    fn next(&self) -> Time {
        let mut at = self.host.next_deadline();
        if let Some(t) = self.net.next_delivery() {
            at = at.min(t);
        }
        if self.up.iter().any(|u| !u) {
            at = at.min(self.now + Duration::from_micros(100));
        }
        at.max(self.now + Duration::from_nanos(1))
    }

    /// Runs until `done`, or for `limit`; whether it was done.
    pub(super) fn run_until(
        &mut self,
        limit: Duration,
        mut done: impl FnMut(&mut Self) -> bool,
    ) -> bool {
        let end = self.now + limit;
        loop {
            self.turn();
            if done(self) {
                return true;
            }
            let next = self.next();
            if next > end {
                self.now = end;
                self.turn();
                return done(self);
            }
            self.now = next;
        }
    }

    pub(super) fn run(&mut self, time: Duration) {
        self.run_until(time, |_| false);
    }

    #[track_caller]
    pub(super) fn come_up(&mut self) {
        let up = self.run_until(Duration::from_secs(30), |w| w.host.is_up());
        assert!(up, "{:?}", self.events);
        assert_eq!(self.events, [AssociationEvent::Up]);
        self.events.clear();
    }

    #[track_caller]
    pub(super) fn expect(&mut self, event: &AssociationEvent) {
        let came = self.run_until(Duration::from_secs(30), |w| w.events.contains(event));
        assert!(came, "{event:?} not in {:?}", self.events);
    }

    /// Runs until the association fails.
    #[track_caller]
    pub(super) fn failure(&mut self) -> AssociationFailure {
        self.run_until(Duration::from_secs(60), |w| {
            matches!(w.events.last(), Some(AssociationEvent::Failed(_)))
        });
        match self.events.last() {
            Some(AssociationEvent::Failed(f)) => f.clone(),
            _ => panic!("did not fail: {:?}", self.events),
        }
    }

    /// Gives bytes to queue `q` as if its controller had sent them.
    pub(super) fn inject(&mut self, q: usize, bytes: &[u8]) {
        feed(self.host.queue_mut(q), bytes, Chunks::Whole);
        self.turn();
    }
}
