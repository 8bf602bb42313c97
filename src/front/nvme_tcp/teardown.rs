//! How connections and controllers end, and what must not happen after.
//!
//! The rule that hosts rely on (TP4129, TP8028): once a host has been told that a controller is
//! gone, or KATO and CQT have passed without a word from it, nothing that it sent there is
//! executed. So a controller stays in the list, "ending", until its last command is back from
//! `Ports` and its held ones are discarded; only then are waiting resets answered.

use super::connection::{Connection, LINGER, Place};
use super::subsystem::refresh;
use super::{CLOSED_KEPT, Target};
use crate::base::clock::Time;
use crate::lun::port::Ports;
use crate::proto::nvme::controller::Controller;
use crate::proto::nvme::controller::wire::status;
use crate::proto::nvme_tcp::controller::QueueError;
use crate::transport::Source;
use std::fmt;
use std::io;

/// Why a connection was closed.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum CloseReason {
    /// The host broke the protocol, or said that we did.
    Protocol(QueueError),
    /// The network reported an error.
    Network(io::ErrorKind),
    /// The host ended the stream.
    HostClosed,
    /// The host disconnected the queue.
    Disconnected,
    /// No ICReq or Connect came in time.
    ConnectTimeout,
    /// The host reset its controller (CC.EN).
    ControllerReset,
    /// Its controller ended.
    Controller(EndReason),
    /// The reset fault.
    Fault,
}

impl fmt::Display for CloseReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Protocol(e) => write!(f, "protocol error: {e}"),
            Self::Network(kind) => write!(f, "network: {kind}"),
            Self::HostClosed => f.write_str("closed by the host"),
            Self::Disconnected => f.write_str("disconnected by the host"),
            Self::ConnectTimeout => f.write_str("no Connect in time"),
            Self::ControllerReset => f.write_str("controller reset by the host"),
            Self::Controller(e) => write!(f, "controller ended: {e}"),
            Self::Fault => f.write_str("reset fault"),
        }
    }
}

/// Why a controller ended.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum EndReason {
    /// Its admin queue was lost or closed.
    AdminLost,
    /// The keep alive timer expired.
    KeepAlive,
    /// Another controller was asked to end it.
    CrossReset,
    /// One of its connections broke the protocol.
    Protocol,
}

impl fmt::Display for EndReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::AdminLost => "admin queue lost",
            Self::KeepAlive => "keep alive timeout",
            Self::CrossReset => "cross-controller reset",
            Self::Protocol => "protocol error",
        })
    }
}

impl Target {
    /// A connection broke the protocol: it stays a moment for C2HTermReq to be read, its
    /// controller ends now.
    pub(super) fn fail(&mut self, conn: &mut Connection, reason: QueueError, now: Time) {
        tracing::info!(peer = conn.peer, %reason, "connection failed");
        self.counters.protocol_errors += 1;
        self.note_closed(&conn.peer, CloseReason::Protocol(reason));
        conn.closing = Some(now + LINGER);
        if let Some(at) = conn.member {
            self.end_controller(at, EndReason::Protocol, now);
        }
    }

    fn note_closed(&mut self, peer: &str, reason: CloseReason) {
        if self.closed.len() == CLOSED_KEPT {
            self.closed.pop_front();
        }
        self.closed.push_back((peer.to_owned(), reason));
    }

    /// Closes a connection: with RST where something went wrong, so that nothing queued reaches
    /// the host later. What is held of it stays held.
    pub(super) fn close(&mut self, conn: &mut Connection, reason: CloseReason, now: Time) {
        let Some(link) = conn.link.take() else {
            return;
        };
        if conn.closing.is_none() {
            tracing::debug!(peer = conn.peer, %reason, "connection closed");
            self.note_closed(&conn.peer, reason);
        }
        if self.portals[conn.portal].faults.drop {
            self.portals[conn.portal].silent.push(link);
        } else if matches!(reason, CloseReason::HostClosed | CloseReason::Disconnected)
            || conn.closing.is_some()
        {
            drop(link);
        } else {
            link.abort();
        }
        conn.queue.drain_buffers(&mut self.buffers.returned);
        for d in conn.delayed.drain(..) {
            self.buffers.returned.extend(d.data);
        }
        self.buffers.take_returned();
        conn.starved.clear();
        let Some(at) = conn.member else { return };
        self.attention = true;
        if conn.qid == 0 {
            self.end_controller(at, EndReason::AdminLost, now);
        } else {
            let qid = conn.qid;
            self.member_mut(at).queues.retain(|(q, _)| *q != qid);
        }
    }

    pub(super) fn close_at(&mut self, index: usize, reason: CloseReason, now: Time) {
        if let Some(mut conn) = self.connections[index].take() {
            self.close(&mut conn, reason, now);
            self.put_back(conn, index);
        }
    }

    /// Discards what is held of a connection; a live one answers that it was aborted.
    pub(super) fn discard_at(&mut self, index: usize) {
        if let Some(mut conn) = self.connections[index].take() {
            self.discard(&mut conn);
            self.put_back(conn, index);
        }
    }

    fn discard(&mut self, conn: &mut Connection) {
        while let Some(h) = conn.held.pop_front() {
            self.counters.discarded += 1;
            if let Some(data) = h.data {
                self.buffers.put(data);
            }
            if conn.link.is_some() {
                conn.complete(h.slot, 0, status::ABORT_REQUESTED, None);
            }
        }
    }

    /// Begins the end of a controller; `attend` closes its connections and sees it out.
    pub(super) fn end_controller(&mut self, at: usize, reason: EndReason, now: Time) {
        self.attention = true;
        let m = self.member_mut(at);
        // When the host is silent for KATO, or asks for it, nothing may be executed any more.
        let discard_at = match reason {
            EndReason::KeepAlive | EndReason::CrossReset => now,
            EndReason::AdminLost | EndReason::Protocol => m.controller.deadline(),
        };
        m.discard_at = m.discard_at.min(discard_at);
        if m.ending.is_none() {
            tracing::debug!(cntlid = m.controller.instance.cntlid, %reason, "controller ends");
            m.ending = Some(reason);
        }
        if reason == EndReason::KeepAlive {
            self.counters.keep_alive_timeouts += 1;
        }
    }

    /// The reset fault: every connection of a portal ends with RST.
    pub(super) fn reset_portal(&mut self, portal: usize, now: Time) {
        for index in 0..self.connections.len() {
            let hit = self.connections[index]
                .as_ref()
                .is_some_and(|c| c.portal == portal && c.link.is_some());
            if hit {
                self.close_at(index, CloseReason::Fault, now);
            }
        }
    }

    /// Looks after controllers: events to tell, ends to bring about, resets to answer.
    pub(super) fn attend(&mut self, now: Time) {
        self.attention = false;
        let mut again = false;
        for at in 0..self.members.len() {
            let Some(m) = &self.members[at] else {
                continue;
            };
            if let Some(reason) = m.ending {
                again |= !self.end(at, reason, now);
            } else if m.controller.wants_quiet() {
                let quiet = self
                    .connections
                    .iter()
                    .flatten()
                    .all(|c| c.member != Some(at) || c.qid == 0 || c.is_quiet());
                if quiet {
                    self.member_mut(at).controller.quiet();
                } else {
                    again = true;
                }
            }
        }
        again |= self.answer_resets(now);
        for at in 0..self.members.len() {
            self.tell_events(at);
        }
        self.watching = again;
    }

    /// Goes on ending a controller; true when it is gone.
    fn end(&mut self, at: usize, reason: EndReason, now: Time) -> bool {
        let discard = now >= self.member(at).discard_at;
        let mut gone = true;
        for index in 0..self.connections.len() {
            let Some(c) = &self.connections[index] else {
                continue;
            };
            if c.member != Some(at) {
                continue;
            }
            let mut conn = self.connections[index].take().expect("looked at above");
            if conn.closing.is_none() {
                self.close(&mut conn, CloseReason::Controller(reason), now);
            }
            if discard {
                self.discard(&mut conn);
            }
            gone &= conn.is_quiet();
            self.put_back(conn, index);
        }
        if !gone {
            return false;
        }
        // Connections that linger for their last PDU execute nothing: they belong to nobody now.
        for c in self.connections.iter_mut().flatten() {
            if c.member == Some(at) {
                c.member = None;
            }
        }
        let Some(m) = self.members[at].take() else {
            return true;
        };
        tracing::debug!(cntlid = m.controller.instance.cntlid, "controller gone");
        let which = m.impacted();
        self.subsystems[m.subsystem]
            .uniquifiers
            .insert(which.icid, which.ciu);
        for other in self.members.iter_mut().flatten() {
            if other.subsystem == m.subsystem {
                other.controller.reset_finished(&which);
            }
        }
        true
    }

    /// Answers cross-controller resets whose controller is gone; those that take long are
    /// answered too, and finished by an event. True while some wait.
    fn answer_resets(&mut self, now: Time) -> bool {
        let mut at = 0;
        while at < self.resets.len() {
            let r = &self.resets[at];
            let (which, subsystem) = (r.which, r.subsystem);
            let gone = !self
                .members
                .iter()
                .flatten()
                .any(|m| m.subsystem == subsystem && m.impacted() == which);
            if !gone && now < r.since + self.config.reset_wait {
                at += 1;
                continue;
            }
            let r = self.resets.swap_remove(at);
            let Some(conn) = self.connection_at(r.place) else {
                continue;
            };
            conn.complete(r.slot, Controller::reset_result(gone), 0, None);
            if !gone {
                self.member_mut(r.asker).controller.reset_begun(which);
            }
        }
        !self.resets.is_empty()
    }

    /// The live connection in a place, if it is still the same one.
    fn connection_at(&mut self, place: Place) -> Option<&mut Connection> {
        let c = self.connections.get_mut(place.index)?.as_deref_mut()?;
        (c.epoch == place.epoch && c.link.is_some()).then_some(c)
    }

    fn tell_events(&mut self, at: usize) {
        let Some(m) = &mut self.members[at] else {
            return;
        };
        let place = m.admin;
        while let Some((slot, result)) = self.members[at]
            .as_mut()
            .and_then(|m| m.controller.take_event())
        {
            if let Some(conn) = self.connection_at(place) {
                conn.complete(slot, result, 0, None);
                self.counters.events += 1;
            }
        }
    }

    /// Timers that need no exactness: keep alive, connects that do not come, LUNs that change.
    pub(super) fn timers<P: Ports>(&mut self, ports: &mut P, now: Time) -> bool {
        let mut work = false;
        for at in 0..self.members.len() {
            let Some(m) = &mut self.members[at] else {
                continue;
            };
            if m.ending.is_some() {
                self.attention |= now >= m.discard_at;
                continue;
            }
            if m.controller.expired(&self.portals[m.portal].limits, now) {
                work = true;
                self.end_controller(at, EndReason::KeepAlive, now);
            }
        }
        for index in 0..self.connections.len() {
            let Some(c) = &self.connections[index] else {
                continue;
            };
            let late = c.member.is_none() && now >= c.opened + self.config.connect_timeout;
            let lingered = c.closing.is_some_and(|t| {
                now >= t || (!c.queue.has_output() && c.queue.failure().is_some_and(is_by_host))
            });
            if c.link.is_some() && (late || lingered) {
                work = true;
                self.close_at(index, CloseReason::ConnectTimeout, now);
            }
        }
        self.refresh_namespaces(ports) | work
    }

    fn refresh_namespaces<P: Ports>(&mut self, ports: &P) -> bool {
        let mut any = false;
        for at in 0..self.subsystems.len() {
            let s = &mut self.subsystems[at];
            for (info, port) in s.namespaces.iter_mut().zip(&s.ports) {
                if !refresh(info, ports.geometry(*port)) {
                    continue;
                }
                any = true;
                let nsid = info.nsid;
                for m in self.members.iter_mut().flatten() {
                    if m.subsystem == at {
                        m.controller.namespace_changed(nsid);
                    }
                }
            }
        }
        self.attention |= any;
        any
    }
}

fn is_by_host(reason: QueueError) -> bool {
    matches!(reason, QueueError::HostTerminated { .. })
}
