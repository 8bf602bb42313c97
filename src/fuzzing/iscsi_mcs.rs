//! An initiator's session of several connections (MC/S) against a target that sends anything on each
//! of them: connections come, are lost with what is under way, are logged out on another, are added
//! and taken out.
//!
//! Beyond what [`super::iscsi_session`] checks: that a lost connection is over is only said once its
//! logout has been asked for on another one.

use super::Input;
use super::input::noise;
use super::iscsi_session::{Order, Peer, request};
use super::wire::{feed, pull_all};
use crate::base::clock::Time;
use crate::base::rng::Rng;
use crate::proto::iscsi::initiator::{
    CONNECTIONS_MAX, ConnectionPolicy, Session, SessionConfig, SessionEvent,
};
use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

const OPERATIONS: usize = 600;
/// Rounds of right answers until all connections must be up.
const BRING_UP: usize = 300;

/// What an input has led to: that seeds go where they should is tested.
#[derive(Copy, Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct Reached {
    /// Connections lost while the session had others, and those whose logout was answered.
    pub(super) lost: u32,
    pub(super) logged_out: u32,
    /// Connections that joined after the first round.
    pub(super) rejoined: u32,
    /// Connections that left in order.
    pub(super) left: u32,
}

#[derive(Debug)]
struct Rig {
    session: Session,
    peers: Vec<Option<Peer>>,
    order: Rc<RefCell<Order>>,
    digests: bool,
    now: Time,
    /// How often each request has come back.
    back: Vec<u8>,
    /// CIDs that were lost and are not logged out yet.
    lost: Vec<u16>,
    over: bool,
    reached: Reached,
}

impl Rig {
    /// Takes in all that the initiator has to send, on every connection.
    fn pull(&mut self) {
        for (ix, peer) in self.peers.iter_mut().enumerate() {
            if let Some(peer) = peer {
                peer.absorb(&pull_all(self.session.connection_at_mut(ix), self.now));
            }
        }
    }

    /// Gives a connection what its peer has said, and sees what comes of it.
    fn give(&mut self, ix: usize, chunk: usize) {
        let out = match &mut self.peers[ix] {
            Some(peer) => std::mem::take(&mut peer.out),
            None => return,
        };
        feed(self.session.connection_at_mut(ix), &out, chunk, self.now);
        let back = &mut self.back;
        self.session.drain_io(|t, _| back[t.user as usize] += 1);
        self.session.poll(self.now);
        self.events();
    }

    fn events(&mut self) {
        while let Some(event) = self.session.poll_event() {
            match event {
                SessionEvent::Failed(failure) => {
                    assert!(!failure.to_string().is_empty());
                    self.over = true;
                }
                SessionEvent::LoggedOut => self.over = true,
                SessionEvent::ConnectionFailed { ix, .. } => self.lose(ix),
                SessionEvent::ConnectionLeft { ix } => {
                    self.session.closed(ix);
                    self.peers[ix] = None;
                    self.reached.left += 1;
                }
                SessionEvent::ConnectionMoved { ix, .. } => self.peers[ix] = None,
                SessionEvent::ConnectionUp { .. } => self.reached.rejoined += 1,
                SessionEvent::ConnectionLoggedOut { cid } => {
                    let at = self.lost.iter().position(|c| *c == cid);
                    self.lost
                        .swap_remove(at.expect("what was lost is logged out, once"));
                    let logouts = &mut self.order.borrow_mut().logouts;
                    assert!(logouts.contains(&cid), "nobody was asked to log {cid} out");
                    logouts.retain(|c| *c != cid);
                    self.reached.logged_out += 1;
                }
                _ => {}
            }
        }
    }

    /// The transport of a connection is gone.
    fn lose(&mut self, ix: usize) {
        self.peers[ix] = None;
        if !self.session.survives_without(ix) {
            self.over = true;
            return;
        }
        let cid = ix as u16;
        // What was asked for an earlier loss of the same CID proves nothing of this one.
        self.order.borrow_mut().logouts.retain(|c| *c != cid);
        self.lost.retain(|c| *c != cid);
        self.lost.push(cid);
        let (done, lost) = (RefCell::new(&mut self.back), &mut self.reached.lost);
        self.session.lost(
            ix,
            self.now,
            |t, _| done.borrow_mut()[t.user as usize] += 1,
            |t| done.borrow_mut()[t.user as usize] += 1,
        );
        *lost += 1;
        self.session.poll(self.now);
    }

    fn connect(&mut self, ix: usize) {
        if self.session.wants(ix) && self.session.connected_at(ix, self.now) {
            let connections = CONNECTIONS_MAX as u16;
            let order = Rc::clone(&self.order);
            self.peers[ix] = Some(Peer::new(self.digests, connections, ix as u16, order));
        }
    }

    fn honest(&mut self, ix: usize) {
        if let Some(peer) = &mut self.peers[ix] {
            peer.honest();
        }
    }

    /// All connections are made, one after the other, with right answers.
    fn bring_up(&mut self, connections: usize) {
        self.connect(0);
        for _ in 0..BRING_UP {
            self.pull();
            for ix in 0..connections {
                self.connect(ix);
                self.honest(ix);
                self.give(ix, usize::MAX);
            }
        }
        assert!(self.session.is_up(), "right answers bring a session up");
        assert!(self.peers[..connections].iter().all(Option::is_some));
        assert_eq!(self.reached.rejoined as usize, connections - 1);
        self.reached = Reached::default();
    }

    fn step(&mut self, input: &mut Input<'_>) {
        let what = input.byte();
        let ix = usize::from(input.byte()) % self.session.members().count();
        match what % 16 {
            0..=3 => {
                let t = request(input.byte(), self.back.len() as u64);
                if self.session.submit(0, t, self.now).is_ok() {
                    self.back.push(0);
                }
            }
            4..=7 => {
                self.pull();
                self.honest(ix);
            }
            8 => {
                self.now += Duration::from_millis(u64::from(input.byte()) * 20);
                self.session.poll(self.now);
                self.events();
            }
            9 => {
                // What it had sent may have arrived, or not.
                if input.bit() {
                    self.pull();
                }
                if self.peers[ix].is_some() {
                    self.lose(ix);
                    self.events();
                }
            }
            10 | 11 => (0..self.peers.len()).for_each(|ix| {
                if ix < self.session.members().count() {
                    self.connect(ix);
                }
            }),
            12 => match input.byte() {
                0..=47 if self.session.remove_connection(ix, self.now) == Ok(true) => {
                    self.session.closed(ix);
                    self.peers[ix] = None;
                }
                48..=111 => {
                    let _ = self.session.add_connection(u32::from(what), ix == 1);
                }
                112..=223 => {
                    let policy = ConnectionPolicy::from_number(1 + u32::from(input.byte()) % 6);
                    self.session
                        .set_policy(policy.expect("numbers from 1 to 6"));
                }
                255 => self.session.shutdown(self.now),
                _ => {}
            },
            _ => {
                self.pull();
                if let Some(peer) = &mut self.peers[ix] {
                    peer.wrong(input);
                    let (flip, n) = (input.byte(), peer.out.len());
                    if flip > 250 && n > 0 {
                        peer.out[usize::from(input.word()) % n] ^= 1 << (flip & 7);
                    }
                }
            }
        }
        if self.over {
            return;
        }
        // Nothing is fed before all that was asked has been seen.
        self.pull();
        let chunk = 1 + usize::from(input.byte()) * 40;
        self.give(ix, chunk);
    }
}

fn play(bytes: &[u8]) -> Reached {
    let mut input = Input::new(bytes);
    let choice = input.byte();
    let connections = 2 + usize::from(choice >> 3) % 3;
    let digests = choice & 1 != 0;
    let mut session = Session::new(SessionConfig {
        header_digest: digests,
        data_digest: digests,
        immediate_data: choice & 2 != 0,
        initial_r2t: choice & 4 != 0,
        first_burst: 4096,
        max_burst: 16_384,
        max_recv: 65_536,
        depth: 2 + u16::from(choice >> 5),
        ..SessionConfig::new(
            "iqn.i".to_owned(),
            "iqn.t".to_owned(),
            [0x80, 0, 0, 0, 0, 1],
        )
    });
    for n in 1..connections {
        session
            .add_connection(n as u32, n == 1)
            .expect("a few are allowed");
    }
    let order = Rc::new(RefCell::new(Order::default()));
    order.borrow_mut().abort_plugs = input.bit();
    let mut rig = Rig {
        session,
        peers: (0..CONNECTIONS_MAX).map(|_| None).collect(),
        order,
        digests,
        now: Time::from_nanos(1_000_000),
        back: Vec::new(),
        lost: Vec::new(),
        over: false,
        reached: Reached::default(),
    };
    rig.bring_up(connections);
    for _ in 0..OPERATIONS {
        if input.is_empty() || rig.over {
            break;
        }
        rig.step(&mut input);
    }
    let Rig {
        mut session,
        mut back,
        reached,
        ..
    } = rig;
    session.drain(|t| back[t.user as usize] += 1);
    // What had been answered and was not handed over comes now.
    session.drain_io(|t, _| back[t.user as usize] += 1);
    assert!(
        back.iter().all(|n| *n == 1),
        "every request comes back once: {back:?}"
    );
    reached
}

pub(super) fn run(bytes: &[u8]) {
    play(bytes);
}

/// Choices that lead to right answers mostly, so that the session lives long enough to lose connections
/// and to get them back.
fn mostly_right(rng: &mut Rng) -> Vec<u8> {
    let mut out = Vec::new();
    for _ in 0..OPERATIONS {
        let ix = rng.below(4) as u8;
        let arg = rng.next_u64() as u8;
        match rng.below(40) {
            0..=12 => out.extend([0, ix, arg]),
            13..=29 => out.extend([4, ix]),
            30 | 31 => out.extend([9, ix, arg]),
            32..=34 => out.extend([10, ix]),
            35 => out.extend([12, ix, 0]),
            36 => out.extend([12, ix, 48]),
            37 => out.extend([12, ix, 112, arg]),
            38 => out.extend([8, ix, arg % 4]),
            _ => out.extend([13, ix, 7, arg]),
        }
        out.push(255);
    }
    out
}

pub(super) fn seeds() -> Vec<Vec<u8>> {
    let seed = |n: u8| {
        let mut s = vec![n << 3 | n & 7, n >> 1];
        let stream = 900 + u64::from(n);
        if n.is_multiple_of(2) {
            s.extend(mostly_right(&mut Rng::new(stream)));
        } else {
            s.extend(noise(stream, 2000));
        }
        s
    };
    (0..24).map(seed).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_seeds_lose_connections_log_them_out_and_make_them_again() {
        let mut all = Reached::default();
        for seed in seeds() {
            let r = play(&seed);
            all.lost += r.lost;
            all.logged_out += r.logged_out;
            all.rejoined += r.rejoined;
            all.left += r.left;
        }
        let Reached {
            lost,
            logged_out,
            rejoined,
            left,
        } = all;
        assert!(
            lost >= 20 && logged_out >= 10 && rejoined >= 5 && left > 0,
            "{all:?}"
        );
    }
}
