//! Faults that can be switched at a portal of a served target, whatever its protocol.

use std::time::Duration;

/// A fault to switch on or off at a portal.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum Fault {
    /// All faults off; what was held is executed.
    None,
    /// Nothing is read, answered or accepted, and nothing is closed: the network is gone.
    Drop(bool),
    /// Answers go out this much later; over iSCSI those to commands that move data.
    Delay(Duration),
    /// I/O commands are received and executed only when this is switched off again, even if
    /// their connection is gone by then. Over NVMe some must be discarded before: when a
    /// cross-controller reset ends their controller, or its keep alive timer expires. Over iSCSI
    /// a login that takes the place of their session waits for them.
    Hold(bool),
    /// Every connection is reset, once.
    Reset,
    /// The listener is closed: connects are refused.
    Refuse(bool),
    /// iSCSI alone: REPORT and SET TARGET PORT GROUPS are answered with BUSY.
    BusyGroups(bool),
    /// iSCSI alone: SET TARGET PORT GROUPS fails.
    RefuseGroups(bool),
    /// iSCSI alone: REPORT and SET TARGET PORT GROUPS are carried out only when this is switched off
    /// again; those of a connection that is gone by then, never.
    HoldGroups(bool),
}

/// The faults in force at a portal.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
pub struct Faults {
    pub drop: bool,
    pub hold: bool,
    pub refuse: bool,
    pub busy_groups: bool,
    pub refuse_groups: bool,
    pub hold_groups: bool,
    pub delay: Duration,
}
