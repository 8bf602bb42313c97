//! A network in memory, in virtual time: the transport of pair tests and of the simulator.
//!
//! A connection is two lanes of timed chunks. Each link (named by the address that is connected
//! to) can be delayed, cut, silenced or held from outside. Held or delayed bytes are delivered
//! even when their sender has gone in the meantime: that is how a zombie PDU is made.

use super::{Sink, Source, Turn};
use crate::base::clock::Time;
use crate::base::iovecs::{RecvVec, SendVec};
use std::collections::{HashMap, VecDeque};
use std::io;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

/// Bytes under way in one direction at most; beyond that a send is refused for now.
const WINDOW: usize = 1 << 20;

/// What a link does to the bytes of both directions.
#[derive(Copy, Clone, Debug)]
pub struct LinkState {
    /// One-way delay.
    pub delay: Duration,
    /// Bytes towards the listener stay under way until this is lifted.
    pub hold_to_target: bool,
    /// Bytes towards the connecting side stay under way until this is lifted.
    pub hold_to_host: bool,
    /// New connections are refused.
    pub refuse: bool,
}

impl Default for LinkState {
    fn default() -> Self {
        Self {
            delay: Duration::from_micros(50),
            hold_to_target: false,
            hold_to_host: false,
            refuse: false,
        }
    }
}

#[derive(Copy, Clone, Debug, PartialEq, Eq)]
enum End {
    Open,
    /// The sender is gone; the receiver learns of it after what is still under way.
    Reset,
}

#[derive(Debug)]
struct Lane {
    chunks: VecDeque<(Time, Vec<u8>)>,
    /// Bytes of the first chunk already read.
    read: usize,
    queued: usize,
    last_delivery: Time,
    end: End,
    end_at: Time,
    /// The receiver has been told of the end.
    end_seen: bool,
}

impl Lane {
    fn new() -> Self {
        Self {
            chunks: VecDeque::new(),
            read: 0,
            queued: 0,
            last_delivery: Time::ZERO,
            end: End::Open,
            end_at: Time::NEVER,
            end_seen: false,
        }
    }

    /// When there is something for the receiver to do next.
    fn next(&self) -> Option<Time> {
        let end = self.end != End::Open && !self.end_seen;
        self.chunks
            .front()
            .map(|c| c.0)
            .or(end.then_some(self.end_at))
    }

    /// The end is the next thing the receiver learns.
    fn is_over(&self) -> bool {
        self.end != End::Open && self.chunks.is_empty()
    }

    fn clear(&mut self) {
        self.chunks.clear();
        self.queued = 0;
        self.read = 0;
    }

    fn push(&mut self, now: Time, delay: Duration, bytes: Vec<u8>) {
        let at = (now + delay).max(self.last_delivery);
        self.last_delivery = at;
        self.queued += bytes.len();
        self.chunks.push_back((at, bytes));
    }

    /// Nothing arrives before that time.
    fn hold_until(&mut self, at: Time) {
        for chunk in &mut self.chunks {
            chunk.0 = chunk.0.max(at);
        }
        self.last_delivery = self.last_delivery.max(at);
        if self.end != End::Open {
            self.end_at = self.end_at.max(at);
        }
    }

    fn finish(&mut self, now: Time, delay: Duration) {
        if self.end == End::Open {
            self.end = End::Reset;
            self.end_at = (now + delay).max(self.last_delivery);
        }
    }
}

#[derive(Debug)]
struct Pair {
    /// Index of its link.
    link: usize,
    /// `lanes[0]` flows to the listener, `lanes[1]` to the connecting side.
    lanes: [Lane; 2],
    /// Set when the link was cut under the connection: both ends see a reset at once.
    broken: bool,
    /// Ends that have been dropped: nothing is delivered to them any more.
    closed: [bool; 2],
    /// When the connecting side is connected; `Time::NEVER` once it knows.
    up_at: Time,
    /// The listener's side is never told of the end, and what it sends is lost.
    silent: bool,
}

#[derive(Debug, Default)]
struct Net {
    /// By name, in order of first mention; there are few, and pairs know their index.
    links: Vec<(String, LinkState)>,
    listening: HashMap<String, VecDeque<usize>>,
    pairs: Vec<Pair>,
    /// Pairs of which at least one end is still held by somebody.
    live: Vec<usize>,
}

impl Net {
    /// The index of a link, which is made when it is new.
    fn link(&mut self, name: &str) -> usize {
        let at = self.links.iter().position(|(n, _)| n == name);
        at.unwrap_or_else(|| {
            self.links.push((name.to_owned(), LinkState::default()));
            self.links.len() - 1
        })
    }

    /// What the link of a pair does now.
    fn state_of(&self, pair: usize) -> LinkState {
        self.links[self.pairs[pair].link].1
    }
}

/// A network in memory. Clones are handles to the same one.
#[derive(Clone, Debug, Default)]
pub struct PipeNet(Arc<Mutex<Net>>);

impl PipeNet {
    pub fn new() -> Self {
        Self::default()
    }

    fn net(&self) -> MutexGuard<'_, Net> {
        self.0
            .lock()
            .expect("a simulated network is used by one thread at a time")
    }

    pub fn listen(&self, address: &str) -> PipeListener {
        self.net().listening.entry(address.to_owned()).or_default();
        PipeListener {
            net: self.clone(),
            address: address.to_owned(),
        }
    }

    /// Connects to a listener; like TCP it fails when nobody listens or the link refuses.
    pub fn connect(&self, address: &str, now: Time) -> io::Result<PipeConn> {
        let mut net = self.net();
        let at = net.link(address);
        let link = net.links[at].1;
        if link.refuse || !net.listening.contains_key(address) {
            return Err(io::Error::new(
                io::ErrorKind::ConnectionRefused,
                format!("{address}: connection refused"),
            ));
        }
        let id = net.pairs.len();
        net.pairs.push(Pair {
            link: at,
            lanes: [Lane::new(), Lane::new()],
            broken: false,
            closed: [false; 2],
            up_at: now + link.delay * 2,
            silent: false,
        });
        net.live.push(id);
        net.listening
            .get_mut(address)
            .expect("checked above")
            .push_back(id);
        Ok(PipeConn {
            net: self.clone(),
            id,
            side: 0,
            up_at: now + link.delay * 2,
        })
    }

    /// Changes what a link does, from now on.
    pub fn set_link(&self, address: &str, change: impl FnOnce(&mut LinkState)) {
        let mut net = self.net();
        let at = net.link(address);
        change(&mut net.links[at].1);
    }

    /// Resets every connection of a link. With `deliver_late` the bytes under way to the target
    /// still arrive (after the delay, or when a hold is lifted); without, they are gone.
    pub fn cut(&self, address: &str, deliver_late: bool, now: Time) {
        let mut net = self.net();
        let at = net.link(address);
        let delay = net.links[at].1.delay;
        for pair in net.pairs.iter_mut().filter(|p| p.link == at && !p.broken) {
            pair.broken = true;
            if !deliver_late {
                pair.lanes.iter_mut().for_each(Lane::clear);
            }
            for lane in &mut pair.lanes {
                lane.finish(now, delay);
            }
        }
    }

    /// Lifts the holds of a link, connection by connection: what was under way on the n-th one
    /// (oldest first) arrives `later(n)` from now. Switches do not forget in order.
    pub fn release(&self, address: &str, now: Time, later: impl Fn(usize) -> Duration) {
        let mut net = self.net();
        let at = net.link(address);
        let state = &mut net.links[at].1;
        state.hold_to_target = false;
        state.hold_to_host = false;
        let Net { pairs, live, .. } = &mut *net;
        let held = live
            .iter()
            .filter(|id| pairs[**id].link == at)
            .copied()
            .collect::<Vec<_>>();
        for (n, id) in held.into_iter().enumerate() {
            for lane in &mut pairs[id].lanes {
                lane.hold_until(now + later(n));
            }
        }
    }

    /// Resets every connection of a link for the connecting side only: the network is gone, and
    /// no reset gets through either. What is under way to the target still arrives, as with
    /// `deliver_late`; that the host has gone it must find out by itself (Keep Alive).
    pub fn cut_silently(&self, address: &str) {
        let mut net = self.net();
        let at = net.link(address);
        for pair in net.pairs.iter_mut().filter(|p| p.link == at && !p.broken) {
            pair.broken = true;
            pair.silent = true;
        }
    }

    /// The next time at which something arrives anywhere, held links and ends that nobody holds
    /// any more left out. In the past when an end has not fetched what has arrived.
    pub fn next_delivery(&self) -> Option<Time> {
        let net = self.net();
        let mut best: Option<Time> = None;
        let mut offer = |at: Time| best = Some(best.map_or(at, |b| b.min(at)));
        for pair in net.live.iter().map(|id| &net.pairs[*id]) {
            let link = &net.links[pair.link].1;
            if !pair.closed[0] && pair.up_at != Time::NEVER {
                offer(pair.up_at);
            }
            let held = [link.hold_to_target, link.hold_to_host];
            for (side, lane) in pair.lanes.iter().enumerate() {
                if !held[side] && !pair.closed[1 - side] {
                    lane.next().into_iter().for_each(&mut offer);
                }
            }
        }
        best
    }

    /// Bytes under way towards the listener over all connections of a link.
    pub fn under_way(&self, address: &str) -> usize {
        let mut net = self.net();
        let at = net.link(address);
        net.pairs
            .iter()
            .filter(|p| p.link == at)
            .map(|p| p.lanes[0].queued)
            .sum()
    }
}

/// One end of a connection in memory.
#[derive(Debug)]
pub struct PipeConn {
    net: PipeNet,
    id: usize,
    /// 0: the connecting side, 1: the listener's.
    side: usize,
    up_at: Time,
}

impl PipeConn {
    pub fn poll_connect(&mut self, now: Time) -> io::Result<bool> {
        let mut net = self.net.net();
        let pair = &mut net.pairs[self.id];
        if pair.broken {
            return Err(io::ErrorKind::ConnectionReset.into());
        }
        let up = now >= self.up_at;
        if up {
            pair.up_at = Time::NEVER;
        }
        Ok(up)
    }

    pub fn recv<S: Sink>(&mut self, sink: &mut S, now: Time) -> io::Result<Turn> {
        let mut turn = Turn::default();
        loop {
            let mut net = self.net.net();
            let link = net.state_of(self.id);
            let pair = &mut net.pairs[self.id];
            // The connecting side notices a cut at once; the listener after what is under way.
            if self.side == 0 && pair.broken {
                return Err(io::ErrorKind::ConnectionReset.into());
            }
            let held = if self.side == 1 {
                link.hold_to_target
            } else {
                link.hold_to_host
            };
            let lane = &mut pair.lanes[1 - self.side];
            if held {
                return Ok(turn);
            }
            match lane.chunks.front() {
                Some((at, bytes)) if *at <= now => {
                    let mut done = 0;
                    {
                        let mut places = RecvVec::new();
                        sink.recv_places(&mut places);
                        for place in &mut places {
                            let rest = &bytes[lane.read + done..];
                            let n = rest.len().min(place.len());
                            place[..n].copy_from_slice(&rest[..n]);
                            done += n;
                        }
                    }
                    if done == 0 {
                        return Ok(turn);
                    }
                    lane.read += done;
                    lane.queued -= done;
                    if lane.read == bytes.len() {
                        lane.read = 0;
                        lane.chunks.pop_front();
                    }
                    drop(net);
                    turn.bytes += done;
                    sink.received(done, now);
                }
                Some(_) => return Ok(turn),
                None if lane.end != End::Open && lane.end_at <= now => {
                    lane.end_seen = true;
                    return Err(io::ErrorKind::ConnectionReset.into());
                }
                None => return Ok(turn),
            }
        }
    }

    pub fn send<S: Source>(&mut self, source: &mut S, now: Time) -> io::Result<Turn> {
        let mut turn = Turn::default();
        loop {
            let mut net = self.net.net();
            let link = net.state_of(self.id);
            let pair = &mut net.pairs[self.id];
            // The connecting side notices a cut at once; the listener when the reset has arrived.
            let held = [link.hold_to_target, link.hold_to_host][1 - self.side];
            let told = pair.lanes[1 - self.side]
                .next()
                .is_none_or(|at| at <= now && !held)
                && pair.lanes[1 - self.side].is_over();
            if (self.side == 0 && pair.broken) || told {
                return Err(io::ErrorKind::ConnectionReset.into());
            }
            let nobody = pair.closed[1 - self.side] || pair.broken;
            let lane = &mut pair.lanes[self.side];
            let room = WINDOW.saturating_sub(lane.queued);
            let mut bytes = Vec::new();
            {
                let mut slices = SendVec::new();
                source.send_slices(&mut slices);
                for s in &slices {
                    let n = s.len().min(room - bytes.len());
                    bytes.extend_from_slice(&s[..n]);
                }
            }
            if bytes.is_empty() {
                return Ok(turn);
            }
            let n = bytes.len();
            if !nobody {
                lane.push(now, link.delay, bytes);
            }
            drop(net);
            turn.bytes += n;
            source.sent(n, now);
        }
    }

    /// Ends the connection from this side; what it sent before is still under way.
    pub fn abort(self) {}

    pub fn addrs(&self) -> (String, String) {
        let net = self.net.net();
        let link = net.links[net.pairs[self.id].link].0.clone();
        if self.side == 0 {
            ("pipe".to_owned(), link)
        } else {
            (link, "pipe".to_owned())
        }
    }
}

impl Drop for PipeConn {
    fn drop(&mut self) {
        let mut net = self.net.net();
        let delay = net.state_of(self.id).delay;
        let pair = &mut net.pairs[self.id];
        let after = pair.lanes[self.side].last_delivery;
        if !(pair.silent && self.side == 0) {
            pair.lanes[self.side].finish(after, delay);
        }
        pair.closed[self.side] = true;
        // Nobody reads these any more.
        pair.lanes[1 - self.side].clear();
        if pair.closed == [true; 2] {
            let id = self.id;
            net.live.retain(|p| *p != id);
        }
    }
}

/// A listening address in a network in memory.
#[derive(Debug)]
pub struct PipeListener {
    net: PipeNet,
    address: String,
}

impl PipeListener {
    pub fn accept(&mut self) -> io::Result<Option<PipeConn>> {
        let mut net = self.net.net();
        let Some(id) = net
            .listening
            .get_mut(&self.address)
            .and_then(VecDeque::pop_front)
        else {
            return Ok(None);
        };
        drop(net);
        Ok(Some(PipeConn {
            net: self.net.clone(),
            id,
            side: 1,
            up_at: Time::ZERO,
        }))
    }

    pub fn address(&self) -> &str {
        &self.address
    }
}

impl Drop for PipeListener {
    fn drop(&mut self) {
        let mut net = self.net.net();
        // Connections that nobody has accepted end with the listener, as on a real host.
        for id in net.listening.remove(&self.address).unwrap_or_default() {
            let pair = &mut net.pairs[id];
            pair.broken = true;
            pair.closed[1] = true;
            if pair.closed[0] {
                net.live.retain(|p| *p != id);
            }
        }
    }
}
