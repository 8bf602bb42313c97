//! Logout, and what a connection leaves behind when it ends.

use super::Target;
use super::connection::Connection;
use crate::proto::iscsi::pdu::{LogoutReason, LogoutRequest, LogoutResult};

/// A logout whose answer waits until nothing that it ends can have an effect any more.
#[derive(Debug)]
pub(super) struct Logout {
    itt: u32,
    /// Connections that were ended, by index.
    ended: Vec<usize>,
    /// The connection that asked goes too.
    leaves: bool,
}

impl Target {
    /// RFC 7143, 11.14. The answer to the logout of a connection, asked for on another one, is what an
    /// initiator takes as proof that no command of the lost connection is carried out any more.
    pub(super) fn logout(&mut self, c: &mut Connection, l: &LogoutRequest) {
        let of_session = self.session(c.session);
        let result = |r: LogoutResult| r as u8;
        let (ended, leaves) = match l.reason {
            LogoutReason::CloseSession => {
                let all = of_session.map(|s| s.connections.iter().chain(&s.ended));
                let all = all.into_iter().flatten();
                (all.map(|(_, index)| *index).collect(), true)
            }
            LogoutReason::CloseConnection if l.cid == c.cid => (Vec::new(), true),
            LogoutReason::CloseConnection => {
                let all = of_session.map(|s| s.connections.iter().chain(&s.ended));
                let all = all.into_iter().flatten();
                let of_cid = all.filter(|(cid, _)| *cid == l.cid);
                let ended: Vec<usize> = of_cid.map(|(_, index)| *index).collect();
                if ended.is_empty() {
                    let no_cid = result(LogoutResult::NoCid);
                    return c.conn.logout_response(l.itt, no_cid);
                }
                (ended, false)
            }
            LogoutReason::Recovery => {
                let refused = result(LogoutResult::RecoveryNotSupported);
                return c.conn.logout_response(l.itt, refused);
            }
        };
        let own = c.index;
        let others: Vec<usize> = ended.iter().copied().filter(|i| *i != own).collect();
        self.with_others(c, others.iter().copied(), |target, other| {
            target.close(
                other,
                "logged out by another connection of its session",
                true,
            );
        });
        if !leaves && let Some(s) = c.session.and_then(|at| self.sessions[at].as_mut()) {
            // Logged out is forgotten, once the answer is out.
            s.ended
                .retain(|(cid, index)| *cid != l.cid || others.contains(index));
        }
        if leaves {
            for slot in c.conn.unanswered() {
                self.abort(c, slot);
            }
        }
        c.logouts.push(Logout {
            itt: l.itt,
            ended: others,
            leaves,
        });
        self.finish_logouts(c);
    }

    pub(super) fn finish_logouts(&mut self, c: &mut Connection) {
        let mut at = 0;
        while at < c.logouts.len() {
            let l = &c.logouts[at];
            let own = l.leaves && c.in_execution > 0;
            if own || l.ended.iter().any(|index| self.is_ending(*index)) {
                at += 1;
                continue;
            }
            let l = c.logouts.remove(at);
            c.conn.logout_response(l.itt, LogoutResult::Closed as u8);
            c.leaving |= l.leaves;
            if let Some(s) = c.session.and_then(|at| self.sessions[at].as_mut()) {
                s.ended.retain(|(_, index)| !l.ended.contains(index));
            }
        }
    }

    pub(super) fn close_at(&mut self, index: usize, why: &str, reset: bool) {
        if let Some(mut c) = self.hand(index) {
            self.close(&mut c, why, reset);
            self.put_back(c, index);
        }
    }

    /// Ends a connection with its tasks. The session ends with its last one.
    pub(super) fn close(&mut self, c: &mut Connection, why: &str, reset: bool) {
        let Some(link) = c.link.take() else { return };
        tracing::debug!(peer = c.peer, cid = c.cid, why, "connection closed");
        if reset {
            link.abort();
        } else {
            drop(link);
        }
        let mut data = Vec::new();
        c.conn.drain_buffers(&mut data);
        for d in data {
            self.buffers.put(d);
        }
        c.starved.clear();
        c.tasks.clear();
        c.logouts.clear();
        self.take_order(c);
        if let Some(s) = c.session.take().and_then(|at| self.sessions[at].as_mut()) {
            s.remove(c.index);
        }
    }
}
