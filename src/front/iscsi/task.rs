//! Task management, text requests and logout.

use super::Target;
use super::connection::Connection;
use crate::proto::iscsi::pdu::{
    LogoutReason, LogoutRequest, LogoutResult, NO_TAG, TaskFunction, TaskRequest, TaskResult,
    TextRequest,
};
use crate::proto::iscsi::text;
use crate::proto::scsi::{asc, lun_number};

impl Target {
    pub(super) fn task(&mut self, c: &mut Connection, t: &TaskRequest) {
        let session = c.session.unwrap_or(0);
        let Some(s) = self.sessions.iter().find(|s| s.tsih == session) else {
            return c.conn.task_response(t.itt, TaskResult::Rejected as u8);
        };
        let node = s.node;
        let lun = lun_number(t.lun);
        let here = self.nodes[node].units.iter().any(|u| Some(u.lun) == lun);
        let function = TaskFunction::from_byte(t.function);
        let result = match function {
            Some(TaskFunction::AbortTask) => match c.conn.slot_of(t.ref_itt) {
                Some(slot) => {
                    self.abort(c, slot);
                    TaskResult::Complete
                }
                None => TaskResult::NoTask,
            },
            _ if !here => TaskResult::NoLun,
            Some(TaskFunction::AbortTaskSet) => {
                self.abort_lun(c, t.lun);
                TaskResult::Complete
            }
            Some(f @ (TaskFunction::ClearTaskSet | TaskFunction::LogicalUnitReset)) => {
                self.abort_lun(c, t.lun);
                for index in 0..self.connections.len() {
                    if let Some(mut other) = self.connections[index].take() {
                        let same = other.session.is_some_and(|tsih| {
                            self.sessions
                                .iter()
                                .any(|s| s.tsih == tsih && s.node == node)
                        });
                        if same {
                            self.abort_lun(&mut other, t.lun);
                        }
                        self.connections[index] = Some(other);
                    }
                }
                if f == TaskFunction::LogicalUnitReset {
                    self.tell(node, lun, None, asc::DEVICE_RESET);
                } else {
                    self.tell(node, lun, Some(session), asc::COMMANDS_CLEARED);
                }
                TaskResult::Complete
            }
            Some(TaskFunction::TaskReassign) => TaskResult::ReassignNotSupported,
            _ => TaskResult::NotSupported,
        };
        c.tasks.push((t.itt, result as u8));
        self.finish_tasks(c);
    }

    fn abort_lun(&mut self, c: &mut Connection, lun: u64) {
        for slot in c.conn.unanswered() {
            if c.conn.command(slot).lun == lun {
                self.abort(c, slot);
            }
        }
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
        let own = c
            .session
            .and_then(|tsih| self.sessions.iter().find(|s| s.tsih == tsih))
            .map(|s| s.node);
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

    pub(super) fn logout(&mut self, c: &mut Connection, l: &LogoutRequest) {
        let result = match l.reason {
            LogoutReason::CloseSession => LogoutResult::Closed,
            LogoutReason::CloseConnection if l.cid == c.cid => LogoutResult::Closed,
            LogoutReason::CloseConnection => LogoutResult::NoCid,
            _ => LogoutResult::RecoveryNotSupported,
        };
        c.conn.logout_response(l.itt, result as u8);
        if result == LogoutResult::Closed {
            c.leaving = true;
        }
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
