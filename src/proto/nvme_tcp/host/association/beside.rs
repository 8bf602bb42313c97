//! What runs beside the conversation: Keep Alive, event requests, aborts, Cross-Controller Resets.

use super::*;
use crate::proto::nvme::aer::{Notice, keep_alive};
use crate::proto::nvme::ccr::{CcrCompletion, CcrStatus, parse_ccr_log};
use crate::proto::nvme::id_ctrl::oaes;
use crate::proto::nvme::{AdminOpcode, AsyncEvent, CrossControllerReset};
use std::time::Duration;

/// Cross-Controller Resets that may be under way at most, whatever the controller allows.
const CCRS_MAX: usize = 8;
/// Aborts under way at most.
const ABORTS_MAX: usize = 4;
/// How often the log is looked at while a reset is under way: often when no event will come.
const CCR_POLL: Duration = Duration::from_millis(50);
const CCR_POLL_WITH_EVENT: Duration = Duration::from_secs(1);

#[derive(Debug)]
pub(super) struct KeepAlive {
    /// When the next one is sent, or traffic is looked at.
    next: Time,
    /// When the one was sent that is not answered yet.
    sent: Option<Time>,
    /// Commands completed when traffic was last looked at.
    seen: u64,
}

impl KeepAlive {
    pub(super) const fn new() -> Self {
        Self {
            next: Time::NEVER,
            sent: None,
            seen: 0,
        }
    }
}

/// A Cross-Controller Reset under way.
#[derive(Debug)]
pub(super) struct Ccr {
    sequence: u32,
    tag: u32,
    command: CrossControllerReset,
    accepted: bool,
}

impl Association {
    fn kato(&self) -> (u32, Duration) {
        let ms = match &self.info {
            Some(i) => i.kato_ms,
            None => self.config.kato_ms(),
        };
        (ms, Duration::from_millis(u64::from(ms)))
    }

    /// When Keep Alive has something to do.
    pub(super) fn keep_alive_due(&self) -> Time {
        let (ms, kato) = self.kato();
        match self.keep_alive.sent {
            _ if ms == 0 => Time::NEVER,
            Some(sent) => sent + kato,
            None => self.keep_alive.next,
        }
    }

    /// The controller is enabled, or has said which KATO is in force.
    pub(super) fn keep_alive_start(&mut self, now: Time) {
        let (_, kato) = self.kato();
        self.keep_alive.next = self.keep_alive.next.min(now + kato / 2);
    }

    pub(super) fn keep_alive_timer(&mut self, now: Time) {
        let (kato_ms, kato) = self.kato();
        if kato_ms == 0 {
            return;
        }
        if let Some(sent) = self.keep_alive.sent {
            if sent + kato <= now {
                self.fail(AssociationFailure::KeepAliveExpired { kato_ms });
            }
            return;
        }
        if self.keep_alive.next > now {
            return;
        }
        // Base clause 3.9.3: with TBKAS any command in the interval counts. Looked at twice as
        // often, because a command right after a look may be nearly two intervals old at the next.
        let traffic = self.info.as_ref().is_some_and(|i| i.tbkas);
        self.keep_alive.next = now + kato / if traffic { 4 } else { 2 };
        let completed: u64 = self.queues.iter().map(|q| q.counters().completed).sum();
        let busy = completed != self.keep_alive.seen;
        self.keep_alive.seen = completed;
        if traffic && busy {
            return;
        }
        if self.admin(keep_alive(), tag::KEEP_ALIVE, AdminData::None, now) {
            self.keep_alive.sent = Some(now);
        }
    }

    pub(super) fn keep_alive_answered(&mut self, cqe: Cqe, _now: Time) {
        self.keep_alive.sent = None;
        // The answer itself is not traffic.
        self.keep_alive.seen += 1;
        if !cqe.status.is_success() {
            let (what, status) = ("Keep Alive", cqe.status);
            self.fail(AssociationFailure::Command { what, status });
        }
    }

    /// An event has come (Base clause 5.2.2); the request goes out again at once.
    pub(super) fn event_answered(&mut self, cqe: Cqe, now: Time) {
        // Refused (too many) or ended by a shutdown: one less from now on.
        if !cqe.status.is_success() {
            return;
        }
        match AsyncEvent::from_dw0(cqe.dw0()).as_notice() {
            Some(Notice::ANA_CHANGE) => self.want_access = true,
            Some(Notice::NAMESPACE_ATTRIBUTE) => self.want_scan = true,
            Some(Notice::CCR_COMPLETED) => self.want_ccr_log = true,
            // Masked by the controller until its log is read, which nobody needs.
            _ => {}
        }
        if matches!(self.life, Life::ComingUp | Life::Up) {
            self.request_event(now);
        }
    }

    fn next_sequence(&mut self) -> u32 {
        self.sequence = (self.sequence + 1) & tag::SEQUENCE;
        self.sequence
    }

    /// Asks the controller to abort command `cid` of I/O queue `queue`; `tag` comes back with the
    /// answer. False when it cannot be asked now.
    pub fn abort(&mut self, queue: usize, cid: u16, tag: u32, now: Time) -> bool {
        let limit = self.info.as_ref().map_or(0, |i| usize::from(i.abort_limit));
        if self.life != Life::Up || self.aborts.len() >= limit.min(ABORTS_MAX) {
            return false;
        }
        let mut sqe = Sqe::new(AdminOpcode::ABORT.0);
        sqe.set_cdw10(queue as u32 & 0xffff | u32::from(cid) << 16);
        let sequence = self.next_sequence();
        if !self.admin(sqe, tag::ABORT | sequence, AdminData::None, now) {
            return false;
        }
        self.aborts.push((sequence, tag));
        true
    }

    pub(super) fn abort_answered(&mut self, sequence: u32, cqe: Cqe) {
        let Some(at) = self.aborts.iter().position(|a| a.0 == sequence) else {
            return;
        };
        let (_, tag) = self.aborts.swap_remove(at);
        // DW0 bit 0: not aborted.
        let aborted = cqe.status.is_success() && cqe.dw0() & 1 == 0;
        self.events
            .push_back(AssociationEvent::AbortAnswered { tag, aborted });
    }

    /// Asks this controller to reset another one of its subsystem (TP8028). False when it cannot
    /// be asked: not supported, not up, or too many under way.
    pub fn start_ccr(&mut self, cntlid: u16, ciu: u8, cirn: u64, tag: u32, now: Time) -> bool {
        let limit = self.info.as_ref().map_or(0, |i| usize::from(i.ccrl));
        if self.life != Life::Up || self.ccrs.len() >= limit.min(CCRS_MAX) {
            return false;
        }
        let command = CrossControllerReset {
            icid: cntlid,
            ciu,
            cirn,
        };
        let sequence = self.next_sequence();
        if !self.admin(command.to_sqe(), tag::CCR | sequence, AdminData::None, now) {
            return false;
        }
        self.ccrs.push(Ccr {
            sequence,
            tag,
            command,
            accepted: false,
        });
        true
    }

    pub(super) fn ccr_answered(&mut self, sequence: u32, cqe: Cqe, now: Time) {
        let Some(at) = self.ccrs.iter().position(|c| c.sequence == sequence) else {
            return;
        };
        let tag = self.ccrs[at].tag;
        let result = if !cqe.status.is_success() {
            CcrResult::Refused(cqe.status)
        } else if CcrCompletion::from_dw0(cqe.dw0()).immediate {
            CcrResult::Done
        } else {
            CcrResult::Pending
        };
        if result == CcrResult::Pending {
            self.ccrs[at].accepted = true;
            self.schedule_ccr_poll(now);
        } else {
            self.ccrs.swap_remove(at);
        }
        self.events
            .push_back(AssociationEvent::CcrAnswered { tag, result });
    }

    fn schedule_ccr_poll(&mut self, now: Time) {
        let event = self
            .info
            .as_ref()
            .is_some_and(|i| i.oaes & oaes::CCR_COMPLETED != 0);
        let pause = if event { CCR_POLL_WITH_EVENT } else { CCR_POLL };
        self.ccr_poll = now + pause;
    }

    pub(super) fn ccr_log_read(&mut self, ok: bool, data: &SgList, now: Time) {
        if ok {
            let entries = match parse_ccr_log(bytes_of(data)) {
                Ok(e) => e,
                Err(error) => {
                    let what = "Get Log Page Cross-Controller Reset";
                    self.fail(AssociationFailure::Malformed { what, error });
                    return;
                }
            };
            for entry in entries {
                let result = match entry.status {
                    CcrStatus::Successful => CcrResult::Done,
                    CcrStatus::Failed => CcrResult::Failed,
                    CcrStatus::InProgress | CcrStatus::Other(_) => continue,
                };
                // An entry of an older reset of the same instance proves as much.
                while let Some(at) = self
                    .ccrs
                    .iter()
                    .position(|c| c.accepted && entry.answers(&c.command))
                {
                    let tag = self.ccrs.swap_remove(at).tag;
                    self.events
                        .push_back(AssociationEvent::CcrAnswered { tag, result });
                }
            }
        }
        if self.ccrs.iter().any(|c| c.accepted) {
            self.schedule_ccr_poll(now);
        }
    }
}
