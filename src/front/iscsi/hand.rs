//! A connection that is worked on is taken out of the target, and has the command numbers of its
//! session on loan until it is put back.

use super::Target;
use super::connection::Connection;
use super::session::Session;
use crate::base::clock::Time;
use crate::lun::port::Ports;
use crate::proto::iscsi::serial;

impl Target {
    /// Takes a connection out; none where it is in hand already, or gone.
    #[inline]
    pub(super) fn hand(&mut self, index: usize) -> Option<Box<Connection>> {
        let mut c = self.connections.get_mut(index)?.take()?;
        self.lend(&mut c);
        Some(c)
    }

    pub(super) fn put_back(&mut self, mut c: Box<Connection>, index: usize) {
        self.take_order(&mut c);
        if c.link.is_some() || c.in_execution > 0 {
            self.connections[index] = Some(c);
        }
    }

    #[inline]
    fn lend(&mut self, c: &mut Connection) {
        if let Some(s) = c.session.and_then(|at| self.sessions[at].as_mut())
            && let Some(order) = s.order.take()
        {
            c.conn.lend(order);
        }
    }

    #[inline]
    pub(super) fn take_order(&mut self, c: &mut Connection) {
        if let Some(s) = c.session.and_then(|at| self.sessions[at].as_mut())
            && let Some(order) = c.conn.hand_back()
        {
            s.order = Some(order);
        }
    }

    pub(super) fn session(&self, at: Option<usize>) -> Option<&Session> {
        self.sessions.get(at?)?.as_ref()
    }

    /// Does something with connections while `c` is in hand, and has lent its numbers back.
    pub(super) fn with_others(
        &mut self,
        c: &mut Connection,
        others: impl IntoIterator<Item = usize>,
        mut f: impl FnMut(&mut Self, &mut Connection),
    ) {
        self.take_order(c);
        for index in others {
            if let Some(mut other) = self.hand(index) {
                f(self, &mut other);
                self.put_back(other, index);
            }
        }
        self.lend(c);
    }

    /// Requests of a connection that is closed may still execute.
    pub(super) fn is_ending(&self, index: usize) -> bool {
        let c = self.connections.get(index).and_then(Option::as_ref);
        c.is_some_and(|c| c.link.is_none() && c.in_execution > 0)
    }

    /// Delivers what has come early and is in turn now, whichever connection holds it.
    pub(super) fn advance<P: Ports>(&mut self, at: usize, ports: &mut P, now: Time) -> bool {
        let mut work = false;
        loop {
            let order = self.session(Some(at)).and_then(|s| s.order.as_ref());
            let Some(index) = order.and_then(|o| o.due()) else {
                break;
            };
            let index = index as usize;
            let Some(mut c) = self.hand(index) else { break };
            let went_on = c.conn.bring_forward();
            if went_on {
                work = true;
                self.take_events(&mut c, ports, now);
            }
            self.put_back(c, index);
            if !went_on {
                break;
            }
        }
        self.tasks_in_turn(at);
        work
    }

    /// Task management that has waited for the commands before it (RFC 7143, 4.2.3.3).
    fn tasks_in_turn(&mut self, at: usize) {
        loop {
            let Some(s) = self.sessions[at].as_mut() else {
                return;
            };
            if s.tasks.is_empty() {
                return;
            }
            let Some(next) = s.order.as_ref().map(|o| o.exp_cmd_sn()) else {
                return;
            };
            let due = |(_, t): &(usize, _)| serial::le(task_sn(t), next);
            let Some(i) = s.tasks.iter().position(due) else {
                return;
            };
            let (index, t) = s.tasks.remove(i);
            if let Some(mut c) = self.hand(index) {
                self.carry_out_task(&mut c, &t);
                self.put_back(c, index);
            }
        }
    }

    /// Forgets sessions without a connection once nothing of them executes any more.
    pub(super) fn reap(&mut self) {
        for at in 0..self.sessions.len() {
            let over = self.sessions[at].as_ref().is_some_and(|s| {
                s.connections.is_empty() && !s.ended.iter().any(|(_, i)| self.is_ending(*i))
            });
            if over {
                self.sessions[at] = None;
            }
        }
    }
}

const fn task_sn(t: &crate::proto::iscsi::pdu::TaskRequest) -> u32 {
    t.sn.cmd_sn
}
