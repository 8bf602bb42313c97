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
#[derive(Clone, Debug)]
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
    /// Orderly end once everything before has been read.
    Fin,
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
        }
    }

    fn push(&mut self, now: Time, delay: Duration, bytes: Vec<u8>) {
        let at = (now + delay).max(self.last_delivery);
        self.last_delivery = at;
        self.queued += bytes.len();
        self.chunks.push_back((at, bytes));
    }

    fn finish(&mut self, end: End, now: Time, delay: Duration) {
        if self.end == End::Open {
            self.end = end;
            self.end_at = (now + delay).max(self.last_delivery);
        }
    }
}

#[derive(Debug)]
struct Pair {
    link: String,
    /// `lanes[0]` flows to the listener, `lanes[1]` to the connecting side.
    lanes: [Lane; 2],
    /// Set when the link was cut under the connection: both ends see a reset at once.
    broken: bool,
}

#[derive(Debug, Default)]
struct Net {
    links: HashMap<String, LinkState>,
    listening: HashMap<String, VecDeque<usize>>,
    pairs: Vec<Pair>,
}

impl Net {
    fn link(&self, name: &str) -> LinkState {
        self.links.get(name).cloned().unwrap_or_default()
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
        let link = net.link(address);
        if link.refuse || !net.listening.contains_key(address) {
            return Err(io::Error::new(
                io::ErrorKind::ConnectionRefused,
                format!("{address}: connection refused"),
            ));
        }
        let id = net.pairs.len();
        net.pairs.push(Pair {
            link: address.to_owned(),
            lanes: [Lane::new(), Lane::new()],
            broken: false,
        });
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
        change(net.links.entry(address.to_owned()).or_default());
    }

    /// Resets every connection of a link. With `deliver_late` the bytes under way to the target
    /// still arrive (after the delay, or when a hold is lifted); without, they are gone.
    pub fn cut(&self, address: &str, deliver_late: bool, now: Time) {
        let mut net = self.net();
        let delay = net.link(address).delay;
        for pair in net
            .pairs
            .iter_mut()
            .filter(|p| p.link == address && !p.broken)
        {
            pair.broken = true;
            if !deliver_late {
                for lane in &mut pair.lanes {
                    lane.chunks.clear();
                    lane.queued = 0;
                    lane.read = 0;
                }
            }
            for lane in &mut pair.lanes {
                lane.finish(End::Reset, now, delay);
            }
        }
    }

    /// The next time at which something arrives anywhere, held links left out.
    pub fn next_delivery(&self) -> Option<Time> {
        let net = self.net();
        let mut best: Option<Time> = None;
        for pair in &net.pairs {
            let link = net.link(&pair.link);
            for (side, lane) in pair.lanes.iter().enumerate() {
                let held = if side == 0 {
                    link.hold_to_target
                } else {
                    link.hold_to_host
                };
                if held {
                    continue;
                }
                let at = lane
                    .chunks
                    .front()
                    .map(|c| c.0)
                    .or((lane.end_at != Time::NEVER).then_some(lane.end_at));
                if let Some(at) = at {
                    best = Some(best.map_or(at, |b: Time| b.min(at)));
                }
            }
        }
        best
    }

    /// Bytes under way towards the listener over all connections of a link.
    pub fn under_way(&self, address: &str) -> usize {
        self.net()
            .pairs
            .iter()
            .filter(|p| p.link == address)
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
        if self.net.net().pairs[self.id].broken {
            return Err(io::ErrorKind::ConnectionReset.into());
        }
        Ok(now >= self.up_at)
    }

    pub fn recv<S: Sink>(&mut self, sink: &mut S, now: Time) -> io::Result<Turn> {
        let mut turn = Turn::default();
        loop {
            let mut net = self.net.net();
            let link = net.link(&net.pairs[self.id].link);
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
                    if lane.end == End::Reset {
                        return Err(io::ErrorKind::ConnectionReset.into());
                    }
                    turn.eof = true;
                    return Ok(turn);
                }
                None => return Ok(turn),
            }
        }
    }

    pub fn send<S: Source>(&mut self, source: &mut S, now: Time) -> io::Result<Turn> {
        let mut turn = Turn::default();
        loop {
            let mut net = self.net.net();
            let link = net.link(&net.pairs[self.id].link);
            let pair = &mut net.pairs[self.id];
            if pair.broken || pair.lanes[1 - self.side].end == End::Reset {
                return Err(io::ErrorKind::ConnectionReset.into());
            }
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
            lane.push(now, link.delay, bytes);
            drop(net);
            turn.bytes += n;
            source.sent(n, now);
        }
    }

    /// Ends the connection from this side; what it sent before is still under way.
    pub fn abort(self) {}

    pub fn addrs(&self) -> (String, String) {
        let link = self.net.net().pairs[self.id].link.clone();
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
        let delay = net.link(&net.pairs[self.id].link).delay;
        let pair = &mut net.pairs[self.id];
        let after = pair.lanes[self.side].last_delivery;
        pair.lanes[self.side].finish(End::Reset, after, delay);
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
        self.net.net().listening.remove(&self.address);
    }
}
