//! The command numbers of one session, over all its connections (RFC 7143, 4.2.2.1).
//!
//! Its owner is the session; a connection that is being worked on has it on loan
//! ([`super::TargetConn::lend`]), since every PDU it sends carries ExpCmdSN and MaxCmdSN.
//!
//! A request that comes early, because its predecessors are on other connections, stays with the
//! connection that received it until its turn. A number that never comes, because its connection is
//! gone, is plugged: by ABORT TASK with its RefCmdSN, or because it was held by a connection that
//! ended.

use crate::proto::iscsi::serial::CmdWindow;

/// Commands of a session in execution at most: the width of the command window.
pub const WINDOW: u32 = 128;

/// What has become of a number behind the next one.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
enum Early {
    NotHere,
    /// A connection holds its request.
    Held {
        by: u32,
    },
    /// There will be no request.
    Plugged,
}

/// What is to be done with a request.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum Arrival {
    Now,
    /// It is to be held until it is [`CommandOrder::due`].
    Early,
    /// Outside the window, or it was here before: passed over without an answer.
    Ignored,
}

/// See the module's description.
#[derive(Clone, Debug)]
pub struct CommandOrder {
    exp_cmd_sn: u32,
    /// Commands delivered and not answered, each of which takes room in the window.
    unanswered: u32,
    /// By number modulo the window's width.
    early: [Early; WINDOW as usize],
}

impl CommandOrder {
    pub const fn new(exp_cmd_sn: u32) -> Self {
        Self {
            exp_cmd_sn,
            unanswered: 0,
            early: [Early::NotHere; WINDOW as usize],
        }
    }

    /// The number that is delivered next.
    pub const fn exp_cmd_sn(&self) -> u32 {
        self.exp_cmd_sn
    }

    /// Numbers from the next one on that may come.
    const fn room(&self) -> u32 {
        WINDOW.saturating_sub(self.unanswered)
    }

    pub const fn window(&self) -> CmdWindow {
        CmdWindow {
            exp_cmd_sn: self.exp_cmd_sn,
            max_cmd_sn: self.exp_cmd_sn.wrapping_add(self.room()).wrapping_sub(1),
        }
    }

    fn entry(&mut self, cmd_sn: u32) -> &mut Early {
        &mut self.early[(cmd_sn % WINDOW) as usize]
    }

    /// A numbered request came in on the connection called `by`.
    pub fn arrive(&mut self, cmd_sn: u32, by: u32) -> Arrival {
        let ahead = cmd_sn.wrapping_sub(self.exp_cmd_sn);
        if ahead >= self.room() || *self.entry(cmd_sn) != Early::NotHere {
            return Arrival::Ignored;
        }
        if ahead == 0 {
            self.next();
            return Arrival::Now;
        }
        *self.entry(cmd_sn) = Early::Held { by };
        Arrival::Early
    }

    /// Goes on to the next number, over those that are plugged.
    fn next(&mut self) {
        loop {
            self.exp_cmd_sn = self.exp_cmd_sn.wrapping_add(1);
            let at = self.exp_cmd_sn;
            if *self.entry(at) != Early::Plugged {
                return;
            }
            *self.entry(at) = Early::NotHere;
        }
    }

    /// The connection that holds the next request, where it is here already.
    pub fn due(&self) -> Option<u32> {
        match self.early[(self.exp_cmd_sn % WINDOW) as usize] {
            Early::Held { by } => Some(by),
            _ => None,
        }
    }

    /// The next request, which was held, is delivered.
    pub(super) fn deliver(&mut self) {
        debug_assert!(self.due().is_some(), "what is delivered was held");
        let at = self.exp_cmd_sn;
        *self.entry(at) = Early::NotHere;
        self.next();
    }

    /// Counts a number as received whose request will not come. False where it is held by a
    /// connection, or is outside of what may come.
    pub fn plug(&mut self, cmd_sn: u32) -> bool {
        let ahead = cmd_sn.wrapping_sub(self.exp_cmd_sn);
        if ahead >= self.room() || matches!(self.entry(cmd_sn), Early::Held { .. }) {
            return false;
        }
        if ahead == 0 {
            self.next();
        } else {
            *self.entry(cmd_sn) = Early::Plugged;
        }
        true
    }

    /// The request that was held under this number is gone.
    pub(super) fn forget(&mut self, cmd_sn: u32) {
        if matches!(self.entry(cmd_sn), Early::Held { .. }) {
            *self.entry(cmd_sn) = Early::NotHere;
            self.plug(cmd_sn);
        }
    }

    pub(super) fn enter(&mut self) {
        self.unanswered += 1;
    }

    pub(super) fn leave(&mut self) {
        self.unanswered -= 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn early_requests_wait_for_their_turn_and_plugs_close_gaps() {
        let mut o = CommandOrder::new(u32::MAX);
        assert_eq!(o.arrive(1, 7), Arrival::Early);
        assert_eq!(o.arrive(1, 8), Arrival::Ignored, "it is here");
        assert_eq!(o.due(), None);
        assert!(o.plug(0) && !o.plug(1));
        assert_eq!(o.arrive(0, 8), Arrival::Ignored, "it is plugged");
        assert_eq!(o.arrive(u32::MAX, 8), Arrival::Now);
        assert_eq!((o.exp_cmd_sn(), o.due()), (1, Some(7)));
        o.deliver();
        assert_eq!((o.exp_cmd_sn(), o.due()), (2, None));
        assert_eq!(o.arrive(1, 8), Arrival::Ignored);
        assert!(!o.plug(1));
    }

    #[test]
    fn the_window_never_goes_back_and_bounds_what_is_held() {
        let mut o = CommandOrder::new(1);
        assert_eq!(o.window().max_cmd_sn, WINDOW);
        assert_eq!(o.arrive(WINDOW + 1, 0), Arrival::Ignored);
        assert_eq!(o.arrive(1, 0), Arrival::Now);
        o.enter();
        assert_eq!(o.window().max_cmd_sn, WINDOW);
        assert!(!o.plug(WINDOW + 1));
        o.leave();
        assert_eq!(o.window().max_cmd_sn, WINDOW + 1);
    }

    #[test]
    fn what_a_lost_connection_held_counts_as_received() {
        let mut o = CommandOrder::new(1);
        assert_eq!(o.arrive(2, 5), Arrival::Early);
        o.forget(2);
        assert_eq!(o.arrive(1, 6), Arrival::Now);
        assert_eq!(o.exp_cmd_sn(), 3);
    }
}
