//! Task management and text requests.

use super::Target;
use super::connection::Connection;
use crate::proto::iscsi::pdu::{NO_TAG, TaskFunction, TaskRequest, TaskResult, TextRequest};
use crate::proto::iscsi::{serial, text};
use crate::proto::scsi::{asc, lun_number, lun_to_wire};

/// Task management of one session that waits at most.
const TASKS_MAX: usize = 32;

impl Target {
    pub(super) fn task(&mut self, c: &mut Connection, t: &TaskRequest) {
        let next = c.conn.order().map_or(0, |o| o.exp_cmd_sn());
        let of_many = !matches!(
            TaskFunction::from_byte(t.function),
            Some(TaskFunction::AbortTask | TaskFunction::TaskReassign)
        );
        // It acts on all commands before it, and some of them are still to come on other
        // connections (RFC 7143, 4.2.3.3).
        if t.immediate && of_many && serial::lt(next, t.sn.cmd_sn) {
            let window = c.conn.order().map(|o| o.window());
            let ahead =
                window.is_some_and(|w| serial::le(t.sn.cmd_sn, w.max_cmd_sn.wrapping_add(1)));
            let s = c.session.and_then(|at| self.sessions[at].as_mut());
            if ahead
                && let Some(s) = s
                && s.tasks.len() < TASKS_MAX
            {
                s.tasks.push((c.index, *t));
                return;
            }
        }
        self.carry_out_task(c, t);
    }

    pub(super) fn carry_out_task(&mut self, c: &mut Connection, t: &TaskRequest) {
        let Some(s) = self.session(c.session) else {
            return c.conn.task_response(t.itt, TaskResult::Rejected as u8);
        };
        let node = s.node;
        let own: Vec<usize> = s.connections.iter().map(|(_, index)| *index).collect();
        let lun = lun_number(t.lun);
        let here = self.nodes[node].units.iter().any(|u| Some(u.lun) == lun);
        let function = TaskFunction::from_byte(t.function);
        let result = match function {
            Some(TaskFunction::AbortTask) => self.abort_task(c, t),
            _ if !here => TaskResult::NoLun,
            Some(TaskFunction::AbortTaskSet) => {
                self.abort_lun(c, t.lun);
                self.with_others(c, own, |target, other| target.abort_lun(other, t.lun));
                TaskResult::Complete
            }
            Some(f @ (TaskFunction::ClearTaskSet | TaskFunction::LogicalUnitReset)) => {
                self.abort_lun(c, t.lun);
                let all = 0..self.connections.len();
                self.with_others(c, all, |target, other| {
                    if target
                        .session(other.session)
                        .is_some_and(|s| s.node == node)
                    {
                        target.abort_lun(other, t.lun);
                    }
                });
                if f == TaskFunction::LogicalUnitReset {
                    self.tell(node, lun, None, asc::DEVICE_RESET);
                } else {
                    self.tell(node, lun, c.session, asc::COMMANDS_CLEARED);
                }
                TaskResult::Complete
            }
            Some(TaskFunction::TaskReassign) => TaskResult::ReassignNotSupported,
            _ => TaskResult::NotSupported,
        };
        c.tasks.push((t.itt, result as u8));
        self.finish_tasks(c);
    }

    /// A task of this connection, or the number of a command that will not come any more since its
    /// connection is gone (RFC 7143, 11.5.1).
    fn abort_task(&mut self, c: &mut Connection, t: &TaskRequest) -> TaskResult {
        if let Some(slot) = c.conn.slot_of(t.ref_itt) {
            self.abort(c, slot);
            return TaskResult::Complete;
        }
        if serial::lt(t.ref_cmd_sn, t.sn.cmd_sn) && c.conn.plug(t.ref_cmd_sn) {
            return TaskResult::Complete;
        }
        TaskResult::NoTask
    }

    fn abort_lun(&mut self, c: &mut Connection, lun: u64) {
        for slot in c.conn.unanswered() {
            if c.conn.command(slot).lun == lun {
                self.abort(c, slot);
            }
        }
    }

    /// What a LOGICAL UNIT RESET of an initiator that is none of ours does: the unit's commands of all
    /// sessions end without an answer (TAS 0), and every session is told by a unit attention.
    pub fn reset_unit(&mut self, target: &str, lun: u16) {
        let Some(node) = self.nodes.iter().position(|n| n.name == target) else {
            return;
        };
        for index in 0..self.connections.len() {
            let Some(mut c) = self.hand(index) else {
                continue;
            };
            if self.session(c.session).is_some_and(|s| s.node == node) {
                self.abort_lun(&mut c, lun_to_wire(lun));
            }
            self.put_back(c, index);
        }
        self.tell(node, Some(lun), None, asc::DEVICE_RESET);
    }

    /// Answers task management once nothing that was aborted can have an effect any more.
    pub(super) fn finish_tasks(&mut self, c: &mut Connection) {
        if c.tasks.is_empty() || c.commands.iter().any(|cmd| cmd.aborted) {
            return;
        }
        let busy = |o: &Connection| o.commands.iter().any(|cmd| cmd.aborted);
        if self.connections.iter().flatten().any(|o| busy(o)) {
            return;
        }
        for (itt, result) in std::mem::take(&mut c.tasks) {
            c.conn.task_response(itt, result);
        }
    }

    /// SendTargets (RFC 7143, appendix C); every other key is not understood here.
    pub(super) fn text(&mut self, c: &mut Connection, t: &TextRequest, data: &[u8]) {
        if t.ttt == NO_TAG {
            c.text.clear();
            let pairs = text::pairs(data).unwrap_or_default();
            for (key, value) in pairs {
                if key == "SendTargets" {
                    self.send_targets(c, value);
                } else {
                    text::push(&mut c.text, key, "NotUnderstood");
                }
            }
        }
        let max = c.conn.params().send_max as usize;
        let rest = c.text.split_off(c.text.len().min(max));
        let piece = std::mem::replace(&mut c.text, rest);
        let more = !c.text.is_empty();
        let ttt = if more { 1 } else { NO_TAG };
        c.conn.text_response(t.itt, ttt, &piece, more);
    }

    fn send_targets(&self, c: &mut Connection, which: &str) {
        let own = self.session(c.session).map(|s| s.node);
        let wanted = |at: usize, name: &str| match which {
            "All" => c.discovery,
            "" => Some(at) == own,
            n => n == name && (c.discovery || Some(at) == own),
        };
        let mut out = Vec::new();
        for (at, node) in self.nodes.iter().enumerate() {
            if !wanted(at, &node.name) {
                continue;
            }
            text::push(&mut out, "TargetName", &node.name);
            for p in self.portals.iter().filter(|p| p.target == at) {
                let address = reachable(&p.listener.address(), &c.local);
                text::push(&mut out, "TargetAddress", &format!("{address},{}", p.group));
            }
        }
        c.text.extend_from_slice(&out);
    }
}

/// An address that listens everywhere, as the initiator that asks reached it.
fn reachable(address: &str, local: &str) -> String {
    let any = ["0.0.0.0:", "[::]:"]
        .iter()
        .find_map(|a| address.strip_prefix(a));
    match (any, local.rsplit_once(':')) {
        (Some(port), Some((host, _))) => format!("{host}:{port}"),
        _ => address.to_owned(),
    }
}
