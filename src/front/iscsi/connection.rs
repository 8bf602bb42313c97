//! One connection of a target: its login, its commands, and moving bytes.

use super::Target;
use super::command::Cmd;
use super::logout::Logout;
use super::session::Desk;
use crate::base::clock::Time;
use crate::lun::port::Ports;
use crate::proto::iscsi::login::{
    DigestOffer, Offer, Step, TargetConfig as LoginConfig, TargetLogin,
};
use crate::proto::iscsi::target::{CommandOrder, Event, Params, TargetConn, WINDOW};
use crate::transport::{Conn, Source};
use std::collections::VecDeque;

/// Receive calls of one connection in one turn at most.
const TURNS_MAX: usize = 16;

/// R2Ts of one command at a time.
const R2TS_MAX: u16 = 8;

/// What we allow.
fn offer(max_connections: u16) -> Offer {
    Offer {
        header_digest: DigestOffer::PreferNone,
        data_digest: DigestOffer::PreferNone,
        max_connections,
        initial_r2t: false,
        immediate_data: true,
        max_recv: 256 * 1024,
        max_burst: 1024 * 1024,
        first_burst: 256 * 1024,
        time2wait: 2,
        time2retain: 0,
        max_outstanding_r2t: R2TS_MAX,
    }
}

#[derive(Debug)]
pub(super) struct Connection {
    /// None once it is closed; it stays until its requests are back.
    pub(super) link: Option<Conn>,
    pub(super) conn: TargetConn,
    pub(super) index: usize,
    pub(super) portal: usize,
    pub(super) opened: Time,
    pub(super) peer: String,
    pub(super) local: String,
    login: Option<Box<TargetLogin>>,
    pub(super) logged_in: bool,
    pub(super) discovery: bool,
    /// Its session, by index.
    pub(super) session: Option<usize>,
    pub(super) cid: u16,
    pub(super) commands: Vec<Cmd>,
    pub(super) in_execution: u32,
    pub(super) starved: VecDeque<u16>,
    /// Commands about target port groups that a fault holds, by slot and task tag: not begun.
    pub(super) held: Vec<(u16, u32)>,
    /// Answers to task management that wait for aborted requests to be back.
    pub(super) tasks: Vec<(u32, u8)>,
    pub(super) logouts: Vec<Logout>,
    /// Text that did not fit in one answer.
    pub(super) text: Vec<u8>,
    /// The last login answer, which waits until nothing of these connections executes any more.
    waiting: Option<(Vec<usize>, Vec<u8>, Params)>,
    /// Closed once all has left.
    pub(super) leaving: bool,
}

/// Bytes that nobody can guess; in a simulated network, the same in every run.
fn entropy(link: &Conn, now: Time) -> [u8; 32] {
    let mut out = [0; 32];
    if matches!(link, Conn::Pipe(_)) {
        out[..8].copy_from_slice(&now.as_nanos().to_be_bytes());
        return out;
    }
    out[..16].copy_from_slice(uuid::Uuid::new_v4().as_bytes());
    out[16..].copy_from_slice(uuid::Uuid::new_v4().as_bytes());
    out
}

impl Connection {
    pub(super) fn new(
        link: Conn,
        index: usize,
        portal: usize,
        (group, max_connections): (u16, u16),
        now: Time,
    ) -> Self {
        let (local, peer) = link.addrs();
        let conn = TargetConn::new();
        let config = LoginConfig {
            offer: offer(max_connections),
            portal_group: group,
            depth: WINDOW,
            ..LoginConfig::default()
        };
        let entropy = entropy(&link, now);
        Self {
            link: Some(link),
            commands: (0..conn.slots()).map(|_| Cmd::default()).collect(),
            conn,
            index,
            portal,
            opened: now,
            peer,
            local,
            login: Some(Box::new(TargetLogin::new(config, entropy))),
            logged_in: false,
            discovery: false,
            session: None,
            cid: 0,
            in_execution: 0,
            starved: VecDeque::new(),
            held: Vec::new(),
            tasks: Vec::new(),
            logouts: Vec::new(),
            text: Vec::new(),
            waiting: None,
            leaving: false,
        }
    }
}

impl Target {
    pub(super) fn receive<P: Ports>(&mut self, index: usize, ports: &mut P, now: Time) -> bool {
        if self.connections[index]
            .as_ref()
            .is_none_or(|c| c.link.is_none())
        {
            return false;
        }
        let mut c = self.hand(index).expect("looked at above");
        let mut work = self.receive_on(&mut c, index, ports, now) > 0;
        let session = c.session;
        self.put_back(c, index);
        if let Some(at) = session {
            work |= self.advance(at, ports, now);
        }
        work
    }

    fn receive_on<P: Ports>(
        &mut self,
        c: &mut Connection,
        index: usize,
        ports: &mut P,
        now: Time,
    ) -> usize {
        let mut bytes = 0;
        if c.waiting.is_some() {
            self.finish_login(c);
        }
        self.feed_starved(c, index, ports, now);
        self.finish_tasks(c);
        self.finish_logouts(c);
        for _ in 0..TURNS_MAX {
            let Some(link) = &mut c.link else { break };
            let result = link.recv(&mut c.conn, now);
            let stalled = c.conn.is_stalled();
            self.take_events(c, ports, now);
            if c.link.is_none() {
                return bytes;
            }
            match result {
                Err(e) => {
                    self.close(c, &e.to_string(), true);
                    break;
                }
                Ok(turn) => {
                    bytes += turn.bytes;
                    if turn.eof {
                        self.close(c, "closed by the initiator", false);
                        break;
                    }
                    if !stalled {
                        break;
                    }
                }
            }
        }
        bytes
    }

    /// Acts on all that a connection has taken in.
    pub(super) fn take_events<P: Ports>(&mut self, c: &mut Connection, ports: &mut P, now: Time) {
        while let Some(event) = c.conn.next_event() {
            self.event(c, event, ports, now);
            if c.link.is_none() {
                return;
            }
        }
        if let Some(reason) = c.conn.failure()
            && !c.leaving
        {
            self.counters.protocol_errors += 1;
            self.close(c, &reason.to_string(), true);
        }
    }

    fn event<P: Ports>(&mut self, c: &mut Connection, event: Event, ports: &mut P, now: Time) {
        let index = c.index;
        match event {
            Event::Room { slot } if c.conn.wants_room(slot) => self.room(c, slot),
            // Task management right before them, in one piece, may have ended these.
            Event::Room { .. } => {}
            Event::Command { slot } | Event::DataReady { slot, .. } if !c.conn.is_owned(slot) => {}
            Event::Login { bhs, data } => self.login(c, index, &bhs, &data),
            Event::Command { slot } => self.command(c, index, slot, ports, now),
            Event::DataReady { slot, intact } => {
                self.data_ready(c, index, slot, intact, ports, now);
            }
            Event::Released { data } => self.buffers.put(data),
            Event::Task(t) => self.task(c, &t),
            Event::Text(t, data) => self.text(c, &t, &data),
            Event::Logout(l) => self.logout(c, &l),
        }
    }

    fn login(&mut self, c: &mut Connection, index: usize, bhs: &[u8; 48], data: &[u8]) {
        let Some(mut login) = c.login.take() else {
            return;
        };
        let mut desk = Desk {
            config: &self.config,
            nodes: &self.nodes,
            sessions: &mut self.sessions,
            portal: &self.portals[c.portal],
            last_tsih: &mut self.last_tsih,
            connection: index,
            replaced: Vec::new(),
            session: None,
        };
        let step = login.receive(bhs, data, &mut desk);
        let (replaced, session) = (desk.replaced, desk.session);
        match step {
            Step::Send(pdu) => {
                c.conn.raw(&pdu);
                c.login = Some(login);
            }
            Step::Done { last, negotiated } => {
                self.counters.logins += 1;
                let n = *negotiated;
                tracing::debug!(peer = c.peer, initiator = n.initiator_name, "logged in");
                c.discovery = n.discovery;
                c.cid = n.cid;
                let p = &n.params;
                let mut params = Params {
                    digests: p.digests,
                    initial_r2t: p.initial_r2t,
                    immediate_data: p.immediate_data,
                    send_max: p.max_send,
                    receive_max: p.max_recv,
                    max_burst: p.max_burst,
                    first_burst: p.first_burst,
                    max_r2t: p.max_outstanding_r2t,
                };
                for old in &replaced {
                    self.close_at(*old, "its connection or session was replaced", true);
                }
                // Lent from here on: this connection is in hand.
                let order = match session.and_then(|at| self.sessions[at].as_mut()) {
                    Some(s) if s.order.is_some() => {
                        // The leading login has agreed on this for all (RFC 7143, 13).
                        let all = &s.params;
                        params.initial_r2t = all.initial_r2t;
                        params.immediate_data = all.immediate_data;
                        params.max_burst = all.max_burst;
                        params.first_burst = all.first_burst;
                        params.max_r2t = all.max_r2t;
                        s.order.take()
                    }
                    Some(s) => {
                        s.params = params.clone();
                        None
                    }
                    None => None,
                };
                c.session = session;
                let order =
                    order.unwrap_or_else(|| Box::new(CommandOrder::new(n.window.exp_cmd_sn)));
                c.conn.join(order, index as u32, n.stat_sn);
                c.logged_in = true;
                c.waiting = Some((replaced, last.unwrap_or_default(), params));
                self.finish_login(c);
            }
            Step::Redirect { .. } => self.close(c, "a redirection", false),
            Step::Failed { last, failure } => {
                self.counters.failed_logins += 1;
                tracing::info!(peer = c.peer, %failure, "login failed");
                if let Some(pdu) = last {
                    c.conn.raw(&pdu);
                }
                c.leaving = true;
            }
        }
    }

    /// The tasks of a session that was replaced end before its successor begins (RFC 7143, 6.3.5).
    fn finish_login(&mut self, c: &mut Connection) {
        let waiting = c.waiting.as_ref();
        if waiting.is_some_and(|(old, ..)| old.iter().any(|at| self.is_ending(*at))) {
            return;
        }
        if let Some((_, last, params)) = c.waiting.take() {
            c.conn.raw(&last);
            c.conn.enter_full_feature(params);
        }
    }

    pub(super) fn send(&mut self, index: usize, now: Time) -> bool {
        let Some(c) = &mut self.connections[index] else {
            return false;
        };
        let Some(link) = &mut c.link else {
            return false;
        };
        if !c.conn.has_output() {
            if c.leaving {
                self.close_at(index, "done", false);
                return true;
            }
            return false;
        }
        match link.send(&mut c.conn, now) {
            Ok(turn) => turn.bytes > 0,
            Err(e) => {
                let why = e.to_string();
                self.close_at(index, &why, true);
                true
            }
        }
    }
}
