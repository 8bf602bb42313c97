//! An initiator's session against a target that sends anything: right answers first, by a real login
//! and a real device server, then answers with wrong fields, answers nobody asked for, noise.

use super::Input;
use super::input::noise;
use super::iscsi_login::shelf_with_session;
use super::scsi::{unit, view};
use super::wire::{feed, pull_all, put_iscsi};
use crate::base::clock::Time;
use crate::base::request::{Op, Request, Token};
use crate::front::scsi::{LogicalUnit, Plan, View};
use crate::path::access::AccessState;
use crate::proto::iscsi::initiator::{Session, SessionConfig, SessionEvent};
use crate::proto::iscsi::login::{DigestOffer, Offer, Step, TargetConfig, TargetLogin};
use crate::proto::iscsi::pdu::{
    Async, AsyncEvent, BHS_LEN, DataIn, Digests, Header, LogoutReason, LogoutResponse, NO_TAG,
    NopIn, R2t, Reject, Repr, Residual, ScsiCommand, ScsiResponse, TargetSn, TaskFunction,
    TaskResponse,
};
use crate::proto::iscsi::serial::CmdWindow;
use crate::proto::scsi::{Command, Key, Sense, asc};
use crate::sys::iobuf::IoBuf;
use std::cell::RefCell;
use std::collections::BTreeSet;
use std::rc::Rc;
use std::time::Duration;

const OPERATIONS: usize = 600;
/// Rounds of right answers until a session must be up.
const BRING_UP: usize = 200;

#[derive(Debug)]
struct Task {
    cmd: ScsiCommand,
    /// Bytes that have come from the initiator, or gone to it.
    moved: u32,
    data_sn: u32,
    /// More is on its way unasked, or was asked for.
    awaited: bool,
}

/// The command numbers of a session, whichever connections they came by.
#[derive(Debug, Default)]
pub(super) struct Order {
    exp_cmd_sn: u32,
    /// Numbers that have come before their turn.
    early: BTreeSet<u32>,
    /// A number counts as received when the abort of its command is.
    pub(super) abort_plugs: bool,
    /// CIDs whose logout was asked for on another connection.
    pub(super) logouts: Vec<u16>,
}

impl Order {
    fn take(&mut self, cmd_sn: u32) {
        self.early.insert(cmd_sn);
        while self.early.remove(&self.exp_cmd_sn) {
            self.exp_cmd_sn = self.exp_cmd_sn.wrapping_add(1);
        }
    }

    fn window(&self) -> CmdWindow {
        CmdWindow {
            exp_cmd_sn: self.exp_cmd_sn,
            max_cmd_sn: self.exp_cmd_sn.wrapping_add(31),
        }
    }
}

/// The target's side of one connection, as far as it has to know what it breaks.
#[derive(Debug)]
pub(super) struct Peer {
    login: Option<TargetLogin>,
    digests: Digests,
    max_burst: u32,
    unit: LogicalUnit,
    view: View<'static>,
    stat_sn: u32,
    order: Rc<RefCell<Order>>,
    cid: u16,
    inbox: Vec<u8>,
    pub(super) out: Vec<u8>,
    tasks: Vec<Task>,
    /// Tags of pings, logouts and task management requests, and which of these they are.
    others: Vec<(u32, u8)>,
}

impl Peer {
    pub(super) fn new(
        digests: bool,
        connections: u16,
        cid: u16,
        order: Rc<RefCell<Order>>,
    ) -> Self {
        let digest = if digests {
            DigestOffer::PreferCrc32c
        } else {
            DigestOffer::PreferNone
        };
        let config = TargetConfig {
            offer: Offer {
                header_digest: digest,
                data_digest: digest,
                max_recv: 8192,
                max_connections: connections,
                ..Offer::default()
            },
            depth: 32,
            ..TargetConfig::default()
        };
        Self {
            login: Some(TargetLogin::new(config, [3; 32])),
            digests: Digests::NONE,
            max_burst: 0,
            unit: unit(),
            view: view(AccessState::Optimized),
            stat_sn: 0,
            order,
            cid,
            inbox: Vec::new(),
            out: Vec::new(),
            tasks: Vec::new(),
            others: Vec::new(),
        }
    }

    fn sn(&mut self, take: bool) -> TargetSn {
        let stat_sn = self.stat_sn;
        self.stat_sn = stat_sn.wrapping_add(u32::from(take));
        let window = self.order.borrow().window();
        TargetSn {
            stat_sn,
            exp_cmd_sn: window.exp_cmd_sn,
            max_cmd_sn: window.max_cmd_sn,
        }
    }

    fn pdu(&mut self, data: &[u8], emit: impl FnOnce(usize, &mut [u8])) {
        put_iscsi(&mut self.out, self.digests, data, emit);
    }

    /// Takes in what the initiator has sent, which is right.
    pub(super) fn absorb(&mut self, bytes: &[u8]) {
        self.inbox.extend_from_slice(bytes);
        loop {
            let Some(bhs) = self.inbox.first_chunk::<BHS_LEN>().copied() else {
                return;
            };
            let digests = if self.login.is_some() {
                Digests::NONE
            } else {
                self.digests
            };
            let header = Header::parse(&bhs).expect("an initiator sends what it knows");
            let layout = header.layout(digests, 1 << 20).expect("short enough");
            if self.inbox.len() < layout.total {
                return;
            }
            let pdu: Vec<u8> = self.inbox.drain(..layout.total).collect();
            let data = &pdu[layout.header..layout.header + layout.data_len];
            self.take(&bhs, data);
        }
    }

    fn take(&mut self, bhs: &[u8; BHS_LEN], data: &[u8]) {
        match Repr::parse(bhs).expect("an initiator sends what is right") {
            Repr::LoginRequest(_) => {
                let Some(login) = &mut self.login else { return };
                let mut shelf = shelf_with_session(self.order.borrow().window());
                match login.receive(bhs, data, &mut shelf) {
                    Step::Send(pdu) => self.out.extend_from_slice(&pdu),
                    Step::Done { last, negotiated } => {
                        self.out.extend_from_slice(&last.unwrap_or_default());
                        self.stat_sn = negotiated.stat_sn;
                        self.order.borrow_mut().exp_cmd_sn = negotiated.window.exp_cmd_sn;
                        self.digests = negotiated.params.digests;
                        self.max_burst = negotiated.params.max_burst;
                        self.login = None;
                    }
                    // After wrong answers even a right initiator says what does not fit.
                    _ => self.login = None,
                }
            }
            Repr::ScsiCommand(cmd) => {
                if !cmd.immediate {
                    self.order.borrow_mut().take(cmd.sn.cmd_sn);
                }
                self.tasks.push(Task {
                    cmd,
                    moved: data.len() as u32,
                    data_sn: 0,
                    awaited: !cmd.is_final,
                });
            }
            Repr::DataOut(d) => {
                if let Some(t) = self.tasks.iter_mut().find(|t| t.cmd.itt == d.itt) {
                    t.moved = t.moved.saturating_add(data.len() as u32);
                    t.awaited &= !d.is_final;
                }
            }
            Repr::NopOut(n) => {
                if !n.immediate {
                    self.order.borrow_mut().take(n.sn.cmd_sn);
                }
                if n.itt != NO_TAG {
                    self.others.push((n.itt, 0));
                }
            }
            Repr::LogoutRequest(l) => {
                if l.reason == LogoutReason::CloseConnection && l.cid != self.cid {
                    self.order.borrow_mut().logouts.push(l.cid);
                }
                self.others.push((l.itt, 1));
            }
            Repr::TaskRequest(t) => {
                let mut order = self.order.borrow_mut();
                if order.abort_plugs && t.function == TaskFunction::AbortTask as u8 {
                    order.take(t.ref_cmd_sn);
                }
                self.others.push((t.itt, 2));
            }
            _ => {}
        }
    }

    fn respond(&mut self, itt: u32, status: u8, sense: Option<Sense>, take: bool) {
        let mut data = Vec::new();
        if let Some(sense) = sense {
            let mut room = [0; Sense::MAX];
            let n = sense.emit(self.unit.descriptor_sense, &mut room);
            data.extend_from_slice(&[0, n as u8]);
            data.extend_from_slice(&room[..n]);
        }
        let response = ScsiResponse {
            response: 0,
            status,
            itt,
            snack_tag: 0,
            sn: self.sn(take),
            exp_data_sn: 0,
            residual: Residual::None,
            bidi_residual: Residual::None,
        };
        self.pdu(&data, |n, out| response.emit(n, out));
    }

    fn data_in(&mut self, itt: u32, data: &[u8], at: u32, data_sn: u32, status: Option<u8>) {
        let header = DataIn {
            is_final: status.is_some(),
            ack: false,
            status,
            residual: Residual::None,
            lun: 0,
            itt,
            ttt: NO_TAG,
            sn: self.sn(status.is_some()),
            data_sn,
            offset: at,
        };
        self.pdu(data, |n, out| header.emit(n, out));
    }

    /// Answers everything as it should be.
    pub(super) fn honest(&mut self) {
        for (itt, what) in std::mem::take(&mut self.others) {
            self.other(itt, what);
        }
        let mut i = 0;
        while i < self.tasks.len() {
            let t = &mut self.tasks[i];
            let (cmd, moved) = (t.cmd, t.moved);
            if cmd.write && moved < cmd.expected {
                if !t.awaited {
                    t.awaited = true;
                    let r2t_sn = t.data_sn;
                    t.data_sn += 1;
                    self.r2t(cmd.itt, r2t_sn, moved, cmd.expected - moved);
                }
                i += 1;
                continue;
            }
            self.tasks.remove(i);
            if cmd.write {
                self.respond(cmd.itt, 0, None, true);
                continue;
            }
            let mut page = Vec::new();
            let plan = match Command::parse(&cmd.cdb) {
                Ok(c) => self.unit.plan(&c, &self.view, &mut page),
                Err(sense) => Plan::Refused(sense),
            };
            match plan {
                Plan::Refused(sense) => self.respond(cmd.itt, 2, Some(sense), true),
                Plan::Data => {
                    page.truncate(cmd.expected as usize);
                    self.data_in(cmd.itt, &page, 0, 0, Some(0));
                }
                Plan::Io(io) if io.op == Op::Read => {
                    let all = vec![0x5a; io.bytes as usize];
                    let pieces = all.len().div_ceil(8192);
                    for (n, piece) in all.chunks(8192).enumerate() {
                        let status = (n + 1 == pieces).then_some(0);
                        self.data_in(cmd.itt, piece, n as u32 * 8192, n as u32, status);
                    }
                }
                _ => self.respond(cmd.itt, 0, None, true),
            }
        }
    }

    fn r2t(&mut self, itt: u32, r2t_sn: u32, offset: u32, len: u32) {
        let r2t = R2t {
            lun: 0,
            itt,
            ttt: r2t_sn,
            sn: self.sn(false),
            r2t_sn,
            offset,
            desired: len.min(self.max_burst),
        };
        self.pdu(&[], |_, out| r2t.emit(out));
    }

    fn other(&mut self, itt: u32, what: u8) {
        let sn = self.sn(true);
        match what {
            0 => {
                let nop = NopIn {
                    lun: 0,
                    itt,
                    ttt: NO_TAG,
                    sn,
                };
                self.pdu(&[], |n, out| nop.emit(n, out));
            }
            1 => {
                let logout = LogoutResponse {
                    response: 0,
                    itt,
                    sn,
                    time2wait: 0,
                    time2retain: 0,
                };
                self.pdu(&[], |_, out| logout.emit(out));
            }
            _ => {
                let response = 0;
                self.pdu(&[], |_, out| TaskResponse { response, itt, sn }.emit(out));
            }
        }
    }

    /// Answers as the input says: fields that are nearly right.
    pub(super) fn wrong(&mut self, input: &mut Input<'_>) {
        let what = input.byte();
        let which = usize::from(input.byte()) % self.tasks.len().max(1);
        let (itt, expected, data_sn) = match self.tasks.get_mut(which) {
            Some(t) if what & 0x80 == 0 => {
                t.data_sn += 1;
                (t.cmd.itt, t.cmd.expected, t.data_sn - 1)
            }
            _ => (input.dword(), 4096, u32::from(input.byte() % 3)),
        };
        let at = u32::from(input.byte() % 20) * 512;
        match what % 10 {
            0 => {
                let status = [0, 2, 2, 8, 0x18, 0x28, 0x40, input.byte()];
                let codes = [
                    asc::ACCESS_STATE_CHANGED,
                    asc::CAPACITY_CHANGED,
                    asc::LUNS_CHANGED,
                    asc::DEVICE_RESET,
                    input.word(),
                ];
                let key = Key::from_bits(input.byte() & 0x0f);
                let sense = Sense::new(key, codes[usize::from(what) / 10 % 5]);
                let status = status[usize::from(what) / 16 % 8];
                self.respond(itt, status, (status == 2).then_some(sense), true);
                self.tasks.retain(|t| t.cmd.itt != itt);
            }
            1 | 2 => {
                let len = expected.min(512 << (what >> 5)) as usize;
                let status = (what & 0x10 != 0).then_some(0);
                let offset = if what & 0x08 == 0 { 0 } else { at };
                self.data_in(itt, &vec![0x5a; len], offset, data_sn, status);
            }
            3 => self.r2t(itt, data_sn, at, input.dword() % 20_000),
            4 => {
                let sn = self.sn(false);
                let nop = NopIn {
                    lun: 0,
                    itt: NO_TAG,
                    ttt: at,
                    sn,
                };
                self.pdu(&[1; 7], |n, out| nop.emit(n, out));
            }
            5 => {
                let event = match input.byte() % 6 {
                    0 => AsyncEvent::Scsi,
                    1 => AsyncEvent::LogoutRequest { seconds: 1 },
                    2 => AsyncEvent::SessionDrop {
                        time2wait: 0,
                        time2retain: 0,
                    },
                    3 => AsyncEvent::Negotiate { seconds: 1 },
                    4 => AsyncEvent::TasksTerminated,
                    _ => AsyncEvent::Other {
                        event: input.byte(),
                        code: 0,
                    },
                };
                let message = Async {
                    lun: 0,
                    sn: self.sn(true),
                    event,
                };
                self.pdu(&[], |n, out| message.emit(n, out));
            }
            6 => {
                let reject = Reject {
                    reason: input.byte() % 12,
                    sn: self.sn(true),
                    data_sn: 0,
                };
                let mut header = [0; BHS_LEN];
                header[0] = input.byte();
                self.pdu(&header, |n, out| reject.emit(n, out));
            }
            7 => {
                if let Some((itt, what)) = self.others.pop() {
                    self.other(itt, what);
                }
            }
            8 => self.other(itt, input.byte() % 3),
            _ => {
                let n = usize::from(input.byte());
                self.out.extend_from_slice(input.bytes(n));
            }
        }
    }
}

pub(super) fn request(n: u8, number: u64) -> Token {
    let mut t = Request::new();
    t.op = [
        Op::Read,
        Op::Write,
        Op::Flush,
        Op::Compare,
        Op::Write,
        Op::Discard,
        Op::WriteZeroes,
        Op::CompareAndWrite,
    ][usize::from(n) % 8];
    t.user = number;
    t.blocks = [1, 8, 32, 40, 128][usize::from(n) / 8 % 5];
    let mut left = match t.op {
        Op::Flush | Op::WriteZeroes | Op::Discard => 0,
        Op::CompareAndWrite => 2 * 512 * t.blocks as usize,
        _ => 512 * t.blocks as usize,
    };
    while left > 0 {
        let part = left.min(9000);
        t.data.push(IoBuf::zeroed(part));
        left -= part;
    }
    t
}

pub(super) fn run(bytes: &[u8]) {
    let mut input = Input::new(bytes);
    let choice = input.byte();
    let mut now = Time::from_nanos(1_000_000);
    let mut session = Session::new(SessionConfig {
        header_digest: choice & 1 != 0,
        data_digest: choice & 1 != 0,
        immediate_data: choice & 2 != 0,
        initial_r2t: choice & 4 != 0,
        first_burst: 4096,
        max_burst: 16_384,
        max_recv: 65_536,
        depth: 2 + u16::from(choice >> 4),
        ..SessionConfig::new(
            "iqn.i".to_owned(),
            "iqn.t".to_owned(),
            [0x80, 0, 0, 0, 0, 1],
        )
    });
    let mut peer = Peer::new(choice & 1 != 0, 1, 0, Rc::default());
    session.connected(now);
    if choice & 8 == 0 {
        // Else what is wrong begins with the login.
        for _ in 0..BRING_UP {
            peer.absorb(&pull_all(session.connection_mut(), now));
            peer.honest();
            let out = std::mem::take(&mut peer.out);
            if out.is_empty() {
                break;
            }
            feed(session.connection_mut(), &out, usize::MAX, now);
            session.poll(now);
        }
        assert!(session.is_up(), "right answers bring a session up");
        assert_eq!(session.units().len(), 3);
    }
    let mut back: Vec<u8> = Vec::new();
    for _ in 0..OPERATIONS {
        if input.is_empty() || session.connection().failure().is_some() {
            break;
        }
        match input.byte() % 8 {
            0 | 1 => {
                let t = request(input.byte(), back.len() as u64);
                if session.submit(0, t, now).is_ok() {
                    back.push(0);
                }
            }
            2 => {
                peer.absorb(&pull_all(session.connection_mut(), now));
                peer.honest();
            }
            3 => {
                now += Duration::from_millis(u64::from(input.byte()) * 20);
                session.poll(now);
            }
            4 if input.byte() > 250 => session.shutdown(now),
            _ => {
                peer.absorb(&pull_all(session.connection_mut(), now));
                peer.wrong(&mut input);
                let (flip, n) = (input.byte(), peer.out.len());
                if flip > 240 && n > 0 {
                    peer.out[usize::from(input.word()) % n] ^= 1 << (flip & 7);
                }
            }
        }
        let chunk = 1 + usize::from(input.byte()) * 40;
        let out = std::mem::take(&mut peer.out);
        feed(session.connection_mut(), &out, chunk, now);
        session.drain_io(|t, _| back[t.user as usize] += 1);
        session.poll(now);
        while let Some(event) = session.poll_event() {
            if let SessionEvent::Failed(failure) = event {
                assert!(!failure.to_string().is_empty());
            }
        }
    }
    session.drain(|t| back[t.user as usize] += 1);
    // What had been answered and was not handed over comes now.
    session.drain_io(|t, _| back[t.user as usize] += 1);
    assert!(
        back.iter().all(|n| *n == 1),
        "every request comes back once: {back:?}"
    );
}

pub(super) fn seeds() -> Vec<Vec<u8>> {
    let seed = |n: u8| {
        let mut s = noise(500 + u64::from(n), 1500);
        s[0] = n << 4 | n & 7 | if n == 15 { 8 } else { 0 };
        s
    };
    (0..16).map(seed).collect()
}
