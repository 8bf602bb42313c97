//! Serial number arithmetic (RFC 1982 with 32 bits), which every iSCSI sequence number uses
//! (RFC 7143, 4.2.2), and the command window that ExpCmdSN and MaxCmdSN make.

/// `a` comes before `b`. For numbers half the circle apart RFC 1982 defines neither order; here the
/// answer is then no both ways.
#[inline]
pub const fn lt(a: u32, b: u32) -> bool {
    let ahead = b.wrapping_sub(a);
    ahead != 0 && ahead < 1 << 31
}

/// `a` comes before `b` or is `b`.
#[inline]
pub const fn le(a: u32, b: u32) -> bool {
    a == b || lt(a, b)
}

/// Signed distance from `a` to `b`: positive when `b` comes later.
#[inline]
pub const fn distance(a: u32, b: u32) -> i32 {
    b.wrapping_sub(a) as i32
}

/// The CmdSNs a target accepts: ExpCmdSN up to MaxCmdSN (RFC 7143, 4.2.2.1).
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct CmdWindow {
    pub exp_cmd_sn: u32,
    pub max_cmd_sn: u32,
}

impl CmdWindow {
    /// Closed at `exp_cmd_sn`: nothing may be sent until the target opens it.
    pub const fn closed(exp_cmd_sn: u32) -> Self {
        Self {
            exp_cmd_sn,
            max_cmd_sn: exp_cmd_sn.wrapping_sub(1),
        }
    }

    /// Takes in what a target's PDU carries. PDUs overtake each other on several connections, so
    /// neither number ever goes back, and a pair with MaxCmdSN below ExpCmdSN-1 is ignored whole
    /// (RFC 7143, 4.2.2.1).
    #[inline]
    pub const fn update(&mut self, exp_cmd_sn: u32, max_cmd_sn: u32) {
        if lt(max_cmd_sn, exp_cmd_sn.wrapping_sub(1)) {
            return;
        }
        if lt(self.exp_cmd_sn, exp_cmd_sn) {
            self.exp_cmd_sn = exp_cmd_sn;
        }
        if lt(self.max_cmd_sn, max_cmd_sn) {
            self.max_cmd_sn = max_cmd_sn;
        }
    }

    /// A non-immediate command of this number may be sent, respectively taken.
    #[inline]
    pub const fn contains(&self, cmd_sn: u32) -> bool {
        le(self.exp_cmd_sn, cmd_sn) && le(cmd_sn, self.max_cmd_sn)
    }

    /// How many further commands may be sent when the next one has the number `cmd_sn`.
    #[inline]
    pub const fn room(&self, cmd_sn: u32) -> u32 {
        if le(cmd_sn, self.max_cmd_sn) {
            self.max_cmd_sn.wrapping_sub(cmd_sn).wrapping_add(1)
        } else {
            0
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn order_wraps_around() {
        assert!(lt(0xffff_ffff, 0));
        assert!(lt(0xffff_fff0, 5));
        assert!(!lt(0, 0xffff_ffff));
        assert!(lt(0, 0x7fff_ffff));
        // Undefined by RFC 1982; neither way here.
        assert!(!lt(0, 0x8000_0000));
        assert!(!lt(0x8000_0000, 0));
        assert!(le(7, 7));
        assert_eq!(distance(0xffff_ffff, 1), 2);
        assert_eq!(distance(1, 0xffff_ffff), -2);
    }

    #[test]
    fn window_opens_and_never_goes_back() {
        let mut w = CmdWindow::closed(0xffff_fffe);
        assert_eq!(w.room(0xffff_fffe), 0);
        assert!(!w.contains(0xffff_fffe));
        w.update(0xffff_fffe, 1);
        assert_eq!(w.room(0xffff_fffe), 4);
        assert!(w.contains(0xffff_ffff));
        assert!(w.contains(1));
        assert!(!w.contains(2));
        // An older PDU that was overtaken.
        w.update(0xffff_fffd, 0);
        assert_eq!(
            w,
            CmdWindow {
                exp_cmd_sn: 0xffff_fffe,
                max_cmd_sn: 1
            }
        );
        // MaxCmdSN below ExpCmdSN-1: ignored whole.
        w.update(5, 3);
        assert_eq!(w.exp_cmd_sn, 0xffff_fffe);
        // ExpCmdSN-1 is a closed window, which is allowed.
        w.update(2, 1);
        assert_eq!(w.room(2), 0);
    }
}
