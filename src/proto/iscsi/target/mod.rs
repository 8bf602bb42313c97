//! One iSCSI connection, target side, without I/O: PDUs in, SCSI commands with their data out, and
//! answers back.
//!
//! Data of a command is received straight into the buffer that the owner gives for it, and
//! data of an answer is sent from where it lies. The owner is whoever knows logical units,
//! sessions and portal groups; login requests and text are its business as well.
//!
//! ErrorRecoveryLevel 0: what cannot be repaired within a command ends the connection. One R2T per
//! command is outstanding at a time.
//!
//! Connections of one session share their command numbers: [`CommandOrder`]. Its parts:
//!
//! - `order`: the command numbers of a session
//! - `rx`, `fetch`, `early`: PDUs, data of commands, requests that came before their turn
//! - `answer`, `tx`: what is sent

mod answer;
mod early;
mod fetch;
mod order;
mod rx;
#[cfg(test)]
mod tests;
mod tx;

use crate::base::clock::Time;
use crate::base::crc::crc32c_append;
use crate::base::iovecs::{RecvVec, SendVec};
use crate::base::sg::SgList;
use crate::proto::iscsi::pdu::{
    BHS_LEN, Digests, LogoutRequest, NO_TAG, PduError, ScsiCommand, TaskRequest, TextRequest,
};
use crate::transport::{Sink, Source};
use early::Numbered;
pub use order::{Arrival, CommandOrder, WINDOW};
use rx::Rx;
use std::collections::VecDeque;
use tx::Tx;

/// Immediate commands beyond the window, and answers that have not left yet.
const SLOTS: usize = 2 * WINDOW as usize + 32;
/// The largest Data-In segment that is sent, whatever the initiator would take.
const SEGMENT_MAX: u32 = 256 * 1024;

/// What login agreed on.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Params {
    pub digests: Digests,
    pub initial_r2t: bool,
    pub immediate_data: bool,
    /// What the initiator takes in one data segment.
    pub send_max: u32,
    /// What we take.
    pub receive_max: u32,
    pub max_burst: u32,
    pub first_burst: u32,
    /// MaxOutstandingR2T: sequences of one command that may be asked for at a time.
    pub max_r2t: u16,
}

impl Default for Params {
    fn default() -> Self {
        Self {
            digests: Digests::NONE,
            initial_r2t: true,
            immediate_data: true,
            send_max: 8192,
            receive_max: 8192,
            max_burst: 262_144,
            first_burst: 65536,
            max_r2t: 1,
        }
    }
}

/// Why a connection cannot go on.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum ConnError {
    Pdu(PduError),
    /// A PDU that does not belong in this phase.
    Phase,
    /// A data digest that was wrong where nothing can be asked for again.
    DataDigest,
    /// More unsolicited data than was agreed on.
    TooMuchData,
}

impl std::fmt::Display for ConnError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Pdu(e) => e.fmt(f),
            Self::Phase => f.write_str("a PDU that does not belong in this phase"),
            Self::DataDigest => f.write_str("data digest error"),
            Self::TooMuchData => f.write_str("more unsolicited data than agreed on"),
        }
    }
}

/// What the owner must act on.
#[derive(Debug)]
pub enum Event {
    /// A login request with its text; nothing further is received until it is taken.
    Login {
        bhs: [u8; BHS_LEN],
        data: Vec<u8>,
    },
    /// A command, in the order of CmdSN. Until one with data that comes unasked gets a buffer or is
    /// answered, nothing further is received.
    Command {
        slot: u16,
    },
    /// A command that came early needs room ([`TargetConn::give_early`]); until it gets some,
    /// nothing further is received.
    Room {
        slot: u16,
    },
    /// All data of a command is there, or what came of it is damaged (`intact` false).
    DataReady {
        slot: u16,
        intact: bool,
    },
    Task(TaskRequest),
    Text(TextRequest, Vec<u8>),
    Logout(LogoutRequest),
    /// Payload of an answer has left.
    Released {
        data: SgList,
    },
}

/// Counters of one connection.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
pub struct ConnCounters {
    pub commands: u64,
    pub responses: u64,
    pub r2ts: u64,
    pub bytes_in: u64,
    pub bytes_out: u64,
    pub copied_bytes_small: u64,
    pub copied_bytes_large: u64,
    pub digest_errors: u64,
    /// Commands outside the window, and data of nobody: passed over.
    pub ignored: u64,
    /// Requests that came before their turn.
    pub early: u64,
    pub rejects: u64,
}

#[derive(Copy, Clone, PartialEq, Eq, Debug)]
enum State {
    Free,
    /// It waits for its turn.
    Early,
    /// The owner's.
    Owned,
    /// Its data is on the way in.
    Fetching,
    /// Its answer is on the way out.
    Sending,
}

#[derive(Debug)]
struct Slot {
    state: State,
    cmd: ScsiCommand,
    generation: u16,
    data: SgList,
    received: u32,
    /// `data` is room that it got before its turn.
    early: bool,
    /// The initiator may still send unsolicited data.
    unsolicited: bool,
    /// Offset and length of the sequence that is being filled: the first of those asked for, since they
    /// come in order (DataSequenceInOrder).
    r2t: Option<(u32, u32)>,
    /// Its R2TSN.
    filling: u32,
    /// Where the last sequence that was asked for ends.
    asked: u32,
    next_data_sn: u32,
    /// R2TSN of the next R2T.
    r2t_sn: u32,
    intact: bool,
}

impl Slot {
    /// Its command is not answered.
    const fn waits(&self) -> bool {
        matches!(self.state, State::Early | State::Owned | State::Fetching)
    }
}

const NO_COMMAND: ScsiCommand = ScsiCommand {
    immediate: false,
    is_final: true,
    read: false,
    write: false,
    attr: crate::proto::iscsi::pdu::TaskAttr::Simple,
    lun: 0,
    itt: NO_TAG,
    expected: 0,
    sn: crate::proto::iscsi::pdu::InitiatorSn {
        cmd_sn: 0,
        exp_stat_sn: 0,
    },
    cdb: [0; 16],
};

/// One connection. See the module's description.
#[derive(Debug)]
pub struct TargetConn {
    params: Params,
    full_feature: bool,
    slots: Vec<Slot>,
    free: Vec<u16>,
    /// The command numbers of the session, while this connection is worked on.
    order: Option<Box<CommandOrder>>,
    /// What the session calls this connection.
    who: u32,
    /// Requests that wait for their turn, by CmdSN; the window bounds them.
    held: Vec<(u32, Numbered)>,
    stat_sn: u32,
    events: VecDeque<Event>,
    failure: Option<ConnError>,
    counters: ConnCounters,
    tx: Tx,
    rx: Rx,
    stage: Box<[u8]>,
    head: usize,
    tail: usize,
    need: usize,
    resume: bool,
    /// Commands with large payload whose data is on the way in.
    large_fetches: u32,
}

impl TargetConn {
    pub fn new() -> Self {
        let slot = || Slot {
            state: State::Free,
            cmd: NO_COMMAND,
            generation: 0,
            data: SgList::new(),
            received: 0,
            early: false,
            unsolicited: false,
            r2t: None,
            filling: 0,
            asked: 0,
            next_data_sn: 0,
            r2t_sn: 0,
            intact: true,
        };
        Self {
            params: Params::default(),
            full_feature: false,
            slots: (0..SLOTS).map(|_| slot()).collect(),
            free: (0..SLOTS as u16).rev().collect(),
            order: None,
            who: 0,
            held: Vec::new(),
            stat_sn: 1,
            events: VecDeque::with_capacity(64),
            failure: None,
            counters: ConnCounters::default(),
            tx: Tx::new(),
            rx: Rx::Head,
            stage: rx::staging(),
            head: 0,
            tail: 0,
            need: BHS_LEN,
            resume: false,
            large_fetches: 0,
        }
    }

    /// Slots there are: each names a command.
    pub fn slots(&self) -> usize {
        self.slots.len()
    }

    pub fn failure(&self) -> Option<ConnError> {
        self.failure
    }

    pub fn counters(&self) -> &ConnCounters {
        &self.counters
    }

    pub fn params(&self) -> &Params {
        &self.params
    }

    /// The next thing to act on.
    pub fn next_event(&mut self) -> Option<Event> {
        if let Some(event) = self.events.pop_front() {
            return Some(event);
        }
        if !self.resume {
            return None;
        }
        self.resume = false;
        self.parse();
        self.events.pop_front()
    }

    /// Received bytes wait for the owner's decision.
    pub fn is_stalled(&self) -> bool {
        matches!(self.rx, Rx::Wait { .. })
    }

    pub fn command(&self, slot: u16) -> &ScsiCommand {
        &self.slots[usize::from(slot)].cmd
    }

    /// The unanswered command of this tag.
    pub fn slot_of(&self, itt: u32) -> Option<u16> {
        self.slots
            .iter()
            .position(|s| s.waits() && s.cmd.itt == itt)
            .map(|at| at as u16)
    }

    /// Slots of all unanswered commands.
    pub fn unanswered(&self) -> Vec<u16> {
        (0..self.slots.len() as u16)
            .filter(|at| self.slots[usize::from(*at)].waits())
            .collect()
    }

    /// The command is the owner's to act on: a request before it may have ended it since the event
    /// was made.
    #[inline]
    pub fn is_owned(&self, slot: u16) -> bool {
        self.slots[usize::from(slot)].state == State::Owned
    }

    /// The data of a command is still on the way in.
    pub fn is_fetching(&self, slot: u16) -> bool {
        self.slots[usize::from(slot)].state == State::Fetching
    }

    /// Queues a PDU that is whole already, as the login writes them.
    pub fn raw(&mut self, pdu: &[u8]) {
        if !pdu.is_empty() {
            self.tx.bytes(pdu);
        }
    }

    /// The login is over: what was agreed on counts from the next PDU on.
    pub fn enter_full_feature(&mut self, params: Params) {
        self.params = params;
        self.full_feature = true;
        self.resume = true;
    }

    /// Begins a session of one connection: its first CmdSN, and the first StatSN of the connection.
    pub fn begin(&mut self, cmd_sn: u32, stat_sn: u32) {
        self.join(Box::new(CommandOrder::new(cmd_sn)), 0, stat_sn);
    }

    /// Becomes a connection of a session, which calls it `who`. The loan goes back by
    /// [`Self::hand_back`].
    pub fn join(&mut self, order: Box<CommandOrder>, who: u32, stat_sn: u32) {
        self.order = Some(order);
        self.who = who;
        self.stat_sn = stat_sn;
    }

    /// Lends it the command numbers of its session: without them it takes nothing in and answers
    /// nothing.
    #[inline]
    pub fn lend(&mut self, order: Box<CommandOrder>) {
        self.order = Some(order);
    }

    /// Gives back what was lent.
    #[inline]
    pub fn hand_back(&mut self) -> Option<Box<CommandOrder>> {
        self.order.take()
    }

    #[inline]
    fn order_mut(&mut self) -> &mut CommandOrder {
        self.order
            .as_mut()
            .expect("the session lends its command numbers to whom it works on")
    }

    /// What is lent to it.
    pub fn order(&self) -> Option<&CommandOrder> {
        self.order.as_deref()
    }

    /// Counts a number as received whose request will not come (RFC 7143, 11.5.1).
    pub fn plug(&mut self, cmd_sn: u32) -> bool {
        self.order_mut().plug(cmd_sn)
    }

    fn fail(&mut self, reason: ConnError) {
        if self.failure.is_none() {
            self.failure = Some(reason);
        }
        self.rx = Rx::Failed;
    }

    /// The connection is over: hands out every buffer it still holds. Its commands leave the window,
    /// and what it held for later counts as received.
    pub fn drain_buffers(&mut self, out: &mut Vec<SgList>) {
        self.leave_order();
        for s in &mut self.slots {
            if !s.data.is_empty() {
                out.push(std::mem::take(&mut s.data));
            }
        }
        for e in self.events.drain(..) {
            if let Event::Released { data } = e {
                out.push(data);
            }
        }
        self.tx = Tx::new();
        self.rx = Rx::Failed;
    }
}

impl Default for TargetConn {
    fn default() -> Self {
        Self::new()
    }
}

/// Bits of a Target Transfer Tag that name the slot.
const TTT_SLOT: u32 = 12;
const _: () = assert!(SLOTS < (1 << TTT_SLOT) - 1);

/// A Target Transfer Tag: slot, R2TSN, and how often the slot was used. Each R2T has its own
/// (RFC 7143, 11.8.5).
const fn ttt(slot: u16, generation: u16, r2t_sn: u32) -> u32 {
    (generation as u32 & 0xfff) << 20 | (r2t_sn & 0xff) << TTT_SLOT | slot as u32
}

/// The slot that such a tag names.
const fn slot_of_ttt(ttt: u32) -> u16 {
    (ttt & ((1 << TTT_SLOT) - 1)) as u16
}

fn range_crc(data: &SgList, offset: u32, len: u32) -> u32 {
    let mut crc = 0;
    data.for_each(offset as usize, len as usize, |part| {
        crc = crc32c_append(crc, part);
    });
    crc
}

impl Sink for TargetConn {
    fn recv_places<'a>(&'a mut self, out: &mut RecvVec<'a>) {
        self.places(out);
    }

    fn received(&mut self, n: usize, _now: Time) {
        self.landed(n);
    }
}

impl Source for TargetConn {
    fn send_slices<'a>(&'a self, out: &mut SendVec<'a>) {
        self.tx
            .slices(|slot| &self.slots[usize::from(slot)].data, out);
    }

    fn sent(&mut self, n: usize, _now: Time) {
        let mut done = std::mem::take(&mut self.tx.done);
        self.tx.sent(n, |slot| done.push(slot));
        for slot in done.drain(..) {
            self.release(slot);
        }
        self.tx.done = done;
    }

    fn has_output(&self) -> bool {
        !self.tx.is_empty()
    }
}
