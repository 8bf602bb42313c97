//! What follows the loss of one connection of several (RFC 7143, 7.1.4 at recovery level 0 within the
//! session): its CID is logged out on another, which ends its tasks at the target; then the command
//! numbers that the target never received are plugged, since everything behind them waits.
//!
//! A gap is plugged by ABORT TASK with the number as RefCmdSN (RFC 7143, 11.5.1). Targets are known that
//! acknowledge that and go on waiting; for them a NOP-Out takes the number.

use super::info::SessionFailure;
use super::member::MemberState;
use super::session::Session;
use crate::base::clock::Time;
use crate::proto::iscsi::serial;
use std::collections::VecDeque;

/// How far a number that the target may never have received has come.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
enum Plug {
    Open,
    Asked,
    Answered,
    /// A NOP-Out was sent under this number.
    Filled,
}

#[derive(Copy, Clone, Debug)]
struct Hole {
    cmd_sn: u32,
    itt: u32,
    lun: u64,
    plug: Plug,
}

/// One lost connection.
#[derive(Debug)]
pub(super) struct Recovery {
    pub(super) cid: u16,
    /// The member that the logout was sent on.
    on: Option<usize>,
    is_logged_out: bool,
    /// Commands that were under way, in order of their numbers.
    holes: VecDeque<Hole>,
    pub(super) until: Time,
}

impl Recovery {
    pub(super) fn new(cid: u16, commands: Vec<(u32, u32, u64)>, until: Time) -> Self {
        let hole = |(cmd_sn, itt, lun)| Hole {
            cmd_sn,
            itt,
            lun,
            plug: Plug::Open,
        };
        Self {
            cid,
            on: None,
            is_logged_out: false,
            holes: commands.into_iter().map(hole).collect(),
            until,
        }
    }

    /// The member that was to help is lost itself.
    pub(super) fn helper_lost(&mut self, ix: usize) {
        if self.on == Some(ix) {
            self.on = None;
            for h in &mut self.holes {
                h.plug = Plug::Open;
            }
        }
    }

    /// The target has ended the connection; `exp_cmd_sn` is what it waits for.
    pub(super) fn logged_out(&mut self, exp_cmd_sn: u32) {
        self.is_logged_out = true;
        self.received(exp_cmd_sn);
    }

    /// All numbers before this one were received.
    fn received(&mut self, exp_cmd_sn: u32) {
        while self
            .holes
            .front()
            .is_some_and(|h| serial::lt(h.cmd_sn, exp_cmd_sn))
        {
            self.holes.pop_front();
        }
    }

    fn is_over(&self) -> bool {
        self.is_logged_out && self.holes.is_empty()
    }

    pub(super) fn aborted(&mut self, cmd_sn: u32) {
        let mut all = self.holes.iter_mut();
        if let Some(h) = all.find(|h| h.cmd_sn == cmd_sn && h.plug == Plug::Asked) {
            h.plug = Plug::Answered;
        }
    }
}

impl Session {
    /// Takes all recoveries as far as they go now.
    pub(super) fn recover(&mut self, now: Time) {
        if self.recoveries.is_empty() {
            return;
        }
        let exp = self.window().exp_cmd_sn;
        let cmd_sn = self.numbers.cmd_sn;
        let timeout = self.config.answer_timeout;
        for r in &mut self.recoveries {
            r.received(exp);
            let helps = |ix: &usize| {
                let m = self.members.get(*ix);
                m.is_some_and(|m| m.state == MemberState::Up)
            };
            let had = r.on;
            let on = r.on.filter(helps);
            let Some(on) = on.or_else(|| (0..self.members.len()).find(|ix| helps(ix))) else {
                continue;
            };
            let m = &mut self.members[on];
            if had != Some(on) {
                r.on = None;
            }
            if !r.is_logged_out {
                if r.on.is_none() && m.conn.logout(Some(r.cid), cmd_sn) {
                    r.on = Some(on);
                    r.until = now + timeout;
                }
                continue;
            }
            r.on = Some(on);
            for h in &mut r.holes {
                match h.plug {
                    Plug::Open => {
                        if !m.conn.abort_task(h.lun, (h.itt, h.cmd_sn), cmd_sn) {
                            break;
                        }
                        h.plug = Plug::Asked;
                        r.until = now + timeout;
                    }
                    // It was acknowledged, and is what the target waits for all the same.
                    Plug::Answered if h.cmd_sn == exp => {
                        if !m.conn.fill(h.cmd_sn) {
                            break;
                        }
                        h.plug = Plug::Filled;
                        r.until = now + timeout;
                    }
                    Plug::Asked | Plug::Answered | Plug::Filled => {}
                }
            }
        }
        self.recoveries.retain(|r| !r.is_over());
        if self.recoveries.iter().any(|r| r.until <= now) {
            self.fail(SessionFailure::NoAnswer {
                what: "the logout of a lost connection, or what closes the gap that it left",
                after_ms: timeout.as_millis() as u64,
            });
        }
    }

    pub(super) fn recoveries_due(&self) -> Time {
        let all = self.recoveries.iter().map(|r| r.until);
        all.min().unwrap_or(Time::NEVER)
    }
}

#[cfg(test)]
mod tests {
    use super::super::connection::Numbers;
    use super::super::info::{SessionConfig, SessionEvent};
    use super::super::session::Life;
    use super::super::wire::{BHS, be16, be32};
    use super::*;
    use crate::base::iovecs::SendVec;
    use crate::proto::iscsi::serial::CmdWindow;
    use crate::transport::Source;

    /// A session with three connections that are up, whose target waits for number 5 of 5 to 9.
    fn session() -> Session {
        let config = SessionConfig::new("iqn.i".to_owned(), "iqn.t".to_owned(), [0x80; 6]);
        let mut s = Session::new(config);
        for _ in 1..3 {
            s.add_connection(0, false).unwrap();
        }
        s.life = Life::Up;
        s.numbers = Numbers {
            cmd_sn: 10,
            window: CmdWindow {
                exp_cmd_sn: 5,
                max_cmd_sn: 100,
            },
        };
        let numbers = s.numbers;
        for m in &mut s.members {
            m.state = MemberState::Up;
            let params = *m.conn.params();
            m.conn.enter_full(params, 1, &numbers);
        }
        s
    }

    /// Opcode, and three words: bytes 20, 24 and 32, of every PDU that a connection sends.
    fn sent(s: &mut Session, ix: usize) -> Vec<(u8, u32, u32, u32)> {
        let conn = s.connection_at_mut(ix);
        let mut out = Vec::new();
        while conn.has_output() {
            let mut v = SendVec::new();
            conn.send_slices(&mut v);
            let at = out.len();
            v.iter().for_each(|part| out.extend_from_slice(part));
            drop(v);
            let n = out.len() - at;
            conn.sent(n, Time::ZERO);
        }
        let pdus = out.chunks(BHS);
        pdus.map(|b| (b[0], be32(b, 20), be32(b, 24), be32(b, 32)))
            .collect()
    }

    fn lose(s: &mut Session, ix: usize, numbers: &[u32]) {
        s.members[ix].state = MemberState::Waiting;
        let commands = numbers.iter().map(|n| (*n, 0x10_0000 + n, 0)).collect();
        s.recoveries
            .push(Recovery::new(ix as u16, commands, Time::from_nanos(1000)));
        s.recover(Time::ZERO);
    }

    #[test]
    fn the_logout_comes_first_then_each_number_is_plugged_whichever_way_the_target_knows() {
        let mut s = session();
        lose(&mut s, 1, &[5, 6]);
        let cid = 1 << 16;
        assert_eq!(sent(&mut s, 0), [(0x46, cid, 10, 0)]);
        s.recover(Time::ZERO);
        assert_eq!(sent(&mut s, 0), [], "nothing before the answer");
        s.connection_logged_out(0, 1, 0);
        assert_eq!(
            s.poll_event(),
            Some(SessionEvent::ConnectionLoggedOut { cid: 1 })
        );
        s.recover(Time::ZERO);
        let aborts = [(0x42, 0x10_0005, 10, 5), (0x42, 0x10_0006, 10, 6)];
        assert_eq!(sent(&mut s, 0), aborts);
        // It acknowledges, and goes on waiting for 5.
        s.recoveries[0].aborted(5);
        s.recoveries[0].aborted(6);
        s.recover(Time::ZERO);
        let fill = |n| (0x00, u32::MAX, n, 0);
        assert_eq!(sent(&mut s, 0), [fill(5)]);
        s.members[2].conn.window.update(6, 100);
        s.recover(Time::ZERO);
        assert_eq!(sent(&mut s, 0), [fill(6)]);
        s.members[0].conn.window.update(10, 100);
        s.recover(Time::ZERO);
        assert!(s.recoveries.is_empty());
    }

    #[test]
    fn another_helps_when_the_helper_is_lost_too() {
        let mut s = session();
        lose(&mut s, 1, &[7]);
        assert_eq!(sent(&mut s, 0).len(), 1);
        s.recoveries[0].helper_lost(0);
        lose(&mut s, 0, &[5]);
        let cids: Vec<u16> = sent(&mut s, 2)
            .iter()
            .map(|(_, cid, ..)| be16(&cid.to_be_bytes(), 0))
            .collect();
        assert_eq!(cids, [1, 0]);
    }

    #[test]
    fn a_refused_logout_ends_the_session() {
        let mut s = session();
        lose(&mut s, 1, &[5]);
        s.connection_logged_out(0, 1, 1);
        let event = s.poll_event();
        let refused = SessionFailure::LogoutRefused { response: 1 };
        assert_eq!(event, Some(SessionEvent::Failed(refused)));
    }
}
