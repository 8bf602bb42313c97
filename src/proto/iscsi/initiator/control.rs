//! Requests outside of the tasks' slots: pings, task management, logout. They are immediate, but for
//! what fills a gap in the command numbers.

use super::connection::{Connection, ConnectionState, Event};
use super::failure::Failure;
use super::tx::CONTROLS_MAX;
use super::wire::{self, BHS, FINAL, IMMEDIATE, NO_TAG, op};

/// A request outside of the slots that waits for its answer.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(super) enum Control {
    Ping,
    Task {
        tag: u32,
    },
    /// The abort of a task whose connection is gone, by its command number.
    Abort {
        cmd_sn: u32,
    },
    /// A NOP-Out in the place of a command that was never received.
    Fill,
    /// None: the logout of the session.
    Logout {
        cid: Option<u16>,
    },
}

impl Connection {
    /// A tag outside of the slots.
    fn control(&mut self, control: Control) -> Option<u32> {
        if self.state != ConnectionState::Full
            || self.controls.len() == CONTROLS_MAX
            || !self.tx.has_room_for_control()
        {
            return None;
        }
        // Never FFFFh in the upper half together with FFFFh below: the index stays under FF00h.
        self.control_uses = (self.control_uses + 1) % 0xff00;
        let itt = u32::from(self.control_uses) << 16 | 0x8000 | u32::from(self.place);
        self.controls.push((itt, control));
        Some(itt)
    }

    /// Sends a NOP-Out that asks for an answer. One at a time. `cmd_sn` is the session's next
    /// number, here and below: immediate requests carry it and do not use it up.
    pub fn ping(&mut self, cmd_sn: u32) -> bool {
        if self.controls.iter().any(|(_, c)| *c == Control::Ping) {
            return false;
        }
        self.nop_out(Control::Ping, IMMEDIATE, cmd_sn)
    }

    /// Sends a NOP-Out under the number of a command that the target has never received.
    pub fn fill(&mut self, cmd_sn: u32) -> bool {
        self.nop_out(Control::Fill, 0, cmd_sn)
    }

    fn nop_out(&mut self, control: Control, immediate: u8, cmd_sn: u32) -> bool {
        let Some(itt) = self.control(control) else {
            return false;
        };
        self.tx.plain(|b| {
            wire::header(b, op::NOP_OUT | immediate, FINAL, 0, itt);
            wire::put32(b, 20, NO_TAG);
            wire::put32(b, 24, cmd_sn);
        })
    }

    /// Sends a task management request that names no task (RFC 7143, 11.5.1): 5 LOGICAL UNIT RESET.
    pub fn task_management(&mut self, function: u8, lun: u64, tag: u32, cmd_sn: u32) -> bool {
        let control = Control::Task { tag };
        self.task_request(control, function, lun, (NO_TAG, 0), cmd_sn)
    }

    /// ABORT TASK of a task that another connection had, by its tag and command number: where the
    /// target has not received the command, it counts the number as received (RFC 7143, 11.5.1).
    pub fn abort_task(&mut self, lun: u64, task: (u32, u32), cmd_sn: u32) -> bool {
        let control = Control::Abort { cmd_sn: task.1 };
        self.task_request(control, 1, lun, task, cmd_sn)
    }

    fn task_request(
        &mut self,
        control: Control,
        function: u8,
        lun: u64,
        (ref_itt, ref_cmd_sn): (u32, u32),
        cmd_sn: u32,
    ) -> bool {
        let Some(itt) = self.control(control) else {
            return false;
        };
        self.tx.plain(|b| {
            wire::header(b, op::TASK_REQUEST | IMMEDIATE, FINAL | function, lun, itt);
            wire::put32(b, 20, ref_itt);
            wire::put32(b, 24, cmd_sn);
            wire::put32(b, 32, ref_cmd_sn);
        })
    }

    /// Asks the target to end the session, or one connection of it (reasons 0 and 1, RFC 7143,
    /// 11.14.1).
    pub fn logout(&mut self, cid: Option<u16>, cmd_sn: u32) -> bool {
        let Some(itt) = self.control(Control::Logout { cid }) else {
            return false;
        };
        let reason = u8::from(cid.is_some());
        self.tx.plain(|b| {
            wire::header(b, op::LOGOUT_REQUEST | IMMEDIATE, FINAL | reason, 0, itt);
            wire::put16(b, 20, cid.unwrap_or(0));
            wire::put32(b, 24, cmd_sn);
        })
    }

    /// The answer to a request outside of the slots.
    pub(super) fn control_answered(
        &mut self,
        opcode: u8,
        itt: u32,
        response: u8,
    ) -> Result<(), Failure> {
        let unknown = Err(Failure::UnknownTask { opcode, itt });
        let Some(at) = self.controls.iter().position(|(t, _)| *t == itt) else {
            return unknown;
        };
        let event = match (self.controls[at].1, opcode) {
            (Control::Ping, op::NOP_IN) => Some(Event::Pong),
            (Control::Fill, op::NOP_IN) => None,
            (Control::Task { tag }, op::TASK_RESPONSE) => Some(Event::Task { tag, response }),
            (Control::Abort { cmd_sn }, op::TASK_RESPONSE) => Some(Event::Aborted { cmd_sn }),
            (Control::Logout { cid }, op::LOGOUT_RESPONSE) => Some(Event::Logout { cid, response }),
            _ => return unknown,
        };
        self.controls.swap_remove(at);
        self.events.extend(event);
        Ok(())
    }

    pub(super) fn nop_in(&mut self, b: &[u8; BHS], itt: u32) -> Result<(), Failure> {
        if itt != NO_TAG {
            self.stat_sn(b)?;
            return self.control_answered(op::NOP_IN, itt, 0);
        }
        // A ping of the target; its StatSN is the next one and is not used up (RFC 7143, 11.19.3).
        let ttt = wire::be32(b, 20);
        if ttt == NO_TAG {
            return Ok(());
        }
        if !self.tx.has_room_for_control() {
            return Err(Failure::TooManyPings);
        }
        let mut lun = [0; 8];
        lun.copy_from_slice(&b[8..16]);
        let (lun, cmd_sn) = (u64::from_be_bytes(lun), self.cmd_sn);
        self.tx.plain(|o| {
            wire::header(o, op::NOP_OUT | IMMEDIATE, FINAL, lun, NO_TAG);
            wire::put32(o, 20, ttt);
            wire::put32(o, 24, cmd_sn);
        });
        Ok(())
    }

    pub(super) fn rejected(&mut self, reason: u8, header: &[u8]) -> Result<(), Failure> {
        let opcode = header.first().map_or(0xff, |b| b & 0x3f);
        // A ping that was one too many is no loss: the next one will be answered.
        if reason == 0x06 && header.len() >= BHS && opcode == op::NOP_OUT {
            let itt = wire::be32(header, 16);
            self.controls.retain(|(t, _)| *t != itt);
            return Ok(());
        }
        Err(Failure::Rejected { reason, opcode })
    }
}
