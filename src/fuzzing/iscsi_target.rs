//! The target's half of a connection against an initiator that sends anything, under an owner that
//! answers at any time and in any way that it may.

use super::Input;
use super::input::noise;
use super::wire::{feed, pull_all, put_iscsi};
use crate::base::clock::Time;
use crate::base::sg::SgList;
use crate::proto::iscsi::pdu::{
    BHS_LEN, DataOut, Digests, Header, InitiatorSn, LogoutReason, LogoutRequest, NO_TAG, NopOut,
    R2t, Repr, ScsiCommand, TaskAttr, TaskRequest, TextRequest,
};
use crate::proto::iscsi::target::{CommandOrder, Event, Params, TargetConn};

const NOW: Time = Time::from_nanos(1_000);
const OPERATIONS: usize = 1000;
const SEGMENT: usize = 8192;
/// What the connection is called in its session.
const WHO: u32 = 3;

/// Where a command is with its owner.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
enum Phase {
    /// It waits for a buffer or an answer.
    New,
    Fetching,
    Ready,
}

#[derive(Debug)]
struct Owner {
    conn: TargetConn,
    pending: Vec<(u16, Phase)>,
    /// Bytes of the buffers that it has lent and not got back.
    lent: i64,
}

impl Owner {
    fn lend(&mut self, len: usize) -> SgList {
        self.lent += len as i64;
        SgList::zeroed(len)
    }

    /// Acts on all that has come, that which came early in its turn.
    fn events(&mut self, input: &mut Input<'_>) {
        loop {
            self.take_events(input);
            let due = self.conn.order().and_then(|o| o.due()) == Some(WHO);
            if !due || !self.conn.bring_forward() {
                return;
            }
        }
    }

    fn take_events(&mut self, input: &mut Input<'_>) {
        while let Some(event) = self.conn.next_event() {
            match event {
                Event::Room { slot } => {
                    let need = self.conn.early_need(slot);
                    let whole = (self.conn.command(slot).expected as usize).min(65_536);
                    let data = self.lend(if input.bit() { whole.max(need) } else { need });
                    self.conn.give_early(slot, data);
                }
                Event::Command { slot } => {
                    assert!(self.pending.iter().all(|(s, _)| *s != slot));
                    self.pending.push((slot, Phase::New));
                    if input.bit() {
                        self.act(self.pending.len() - 1, input.byte());
                    }
                }
                Event::DataReady { slot, .. } => {
                    let at = self.pending.iter().position(|(s, _)| *s == slot);
                    let p = &mut self.pending[at.expect("data of a command that is known")];
                    assert_eq!(p.1, Phase::Fetching);
                    p.1 = Phase::Ready;
                }
                Event::Released { data } => self.lent -= data.len() as i64,
                Event::Task(t) => self.conn.task_response(t.itt, 0),
                Event::Text(t, _) => self.conn.text_response(t.itt, NO_TAG, b"a=b\0", false),
                Event::Logout(l) => self.conn.logout_response(l.itt, 0),
                Event::Login { .. } => {}
            }
        }
    }

    /// Does something about a command.
    fn act(&mut self, at: usize, how: u8) {
        let (slot, phase) = self.pending[at];
        let cmd = *self.conn.command(slot);
        if how % 16 == 15 {
            self.pending.remove(at);
            return self.conn.abort(slot);
        }
        match phase {
            Phase::Fetching => {}
            Phase::New if cmd.write && cmd.expected > 0 && !how.is_multiple_of(4) => {
                let len = cmd.expected.min(65_536 >> (how >> 6)) as usize;
                self.pending[at].1 = Phase::Fetching;
                if how & 0x20 == 0 || !self.conn.keep_early(slot, len) {
                    let data = self.lend(len);
                    self.conn.give_buffer(slot, data);
                }
            }
            Phase::Ready => {
                self.pending.remove(at);
                let data = self.conn.take_data(slot);
                self.lent -= data.len() as i64;
                self.conn.respond(slot, 0, &[], data.len() as u64);
            }
            Phase::New => {
                self.pending.remove(at);
                match how / 4 % 4 {
                    0 => self.conn.respond(slot, 2, &[0x70; 18], 0),
                    1 => self
                        .conn
                        .respond_bytes(slot, &vec![7; usize::from(how) * 9]),
                    _ => {
                        let data = self.lend(1 + usize::from(how) * 257);
                        self.conn.respond_data(slot, data);
                    }
                }
            }
        }
    }
}

/// The initiator, as far as it has to know what it breaks.
#[derive(Debug)]
struct Peer {
    digests: Digests,
    cmd_sn: u32,
    inbox: Vec<u8>,
    r2ts: Vec<R2t>,
    out: Vec<u8>,
}

impl Peer {
    fn pdu(&mut self, data: &[u8], emit: impl FnOnce(usize, &mut [u8])) {
        put_iscsi(&mut self.out, self.digests, data, emit);
    }

    /// Looks at what the target has sent, which is right.
    fn absorb(&mut self, bytes: &[u8]) {
        self.inbox.extend_from_slice(bytes);
        while let Some(bhs) = self.inbox.first_chunk::<BHS_LEN>().copied() {
            let header = Header::parse(&bhs).expect("a target sends what it knows");
            let layout = header.layout(self.digests, 1 << 20).expect("short enough");
            if self.inbox.len() < layout.total {
                return;
            }
            self.inbox.drain(..layout.total);
            match Repr::parse(&bhs).expect("a target sends what is right") {
                Repr::R2t(r2t) => {
                    assert!(r2t.desired > 0 && r2t.desired <= 16_384);
                    self.r2ts.push(r2t);
                }
                Repr::DataIn(_) => assert!(layout.data_len <= SEGMENT),
                _ => {}
            }
        }
    }

    fn sn(&mut self, input: &mut Input<'_>, immediate: bool) -> InitiatorSn {
        let cmd_sn = match input.byte() {
            0..=3 => self.cmd_sn.wrapping_add(input.dword() % 4),
            _ => self.cmd_sn,
        };
        if !immediate && cmd_sn == self.cmd_sn {
            self.cmd_sn = cmd_sn.wrapping_add(1);
        }
        InitiatorSn {
            cmd_sn,
            exp_stat_sn: 1,
        }
    }

    fn command(&mut self, input: &mut Input<'_>) {
        let flags = input.byte();
        let immediate = flags & 0x80 != 0;
        let (read, write) = (flags & 1 != 0, flags & 2 != 0);
        let expected = [0, 512, 700, 4096, 16_384, 40_000][usize::from(input.byte()) % 6];
        let data = if write && flags & 4 != 0 {
            vec![1; (expected as usize).min(usize::from(input.word()) % 4096)]
        } else {
            Vec::new()
        };
        let sn = self.sn(input, immediate);
        let cmd = ScsiCommand {
            immediate,
            is_final: !write || flags & 8 != 0,
            read,
            write,
            attr: TaskAttr::Simple,
            lun: 0,
            itt: u32::from(input.byte() % 40),
            expected,
            sn,
            cdb: [0x2a; 16],
        };
        self.pdu(&data, |n, out| cmd.emit(0, n, out));
    }

    /// Data that an R2T asked for, or that nobody did, nearly right.
    fn data_out(&mut self, input: &mut Input<'_>) {
        let choice = input.byte();
        let asked = (!self.r2ts.is_empty() && choice & 1 != 0).then(|| self.r2ts.remove(0));
        let mut d = DataOut {
            is_final: choice & 2 != 0,
            lun: 0,
            itt: u32::from(input.byte() % 40),
            ttt: NO_TAG,
            exp_stat_sn: 1,
            data_sn: u32::from(choice >> 6),
            offset: u32::from(input.byte() % 8) * 512,
        };
        let mut left = usize::from(input.word()) % SEGMENT;
        if let Some(r) = asked {
            (d.itt, d.ttt, d.offset, d.data_sn) = (r.itt, r.ttt, r.offset, 0);
            left = r.desired as usize;
        }
        // A whole sequence, which goes wrong somewhere or not.
        while left > 0 {
            let n = left.min(if choice & 4 == 0 { 4096 } else { 1000 });
            left -= n;
            d.is_final = left == 0;
            let flaw = input.byte();
            let sent = DataOut {
                data_sn: d.data_sn + u32::from(flaw == 1),
                offset: d.offset + 512 * u32::from(flaw == 2),
                ..d
            };
            self.pdu(&vec![2; n], |n, out| sent.emit(n, out));
            d.data_sn += 1;
            d.offset += n as u32;
        }
    }

    fn other(&mut self, input: &mut Input<'_>) {
        let what = input.byte();
        let immediate = what & 0x80 != 0;
        let sn = self.sn(input, immediate);
        let itt = 100 + u32::from(input.byte());
        match what % 4 {
            0 => {
                let nop = NopOut {
                    immediate,
                    lun: 0,
                    itt: if what & 0x40 == 0 { itt } else { NO_TAG },
                    ttt: NO_TAG,
                    sn,
                };
                self.pdu(&[3; 5], |n, out| nop.emit(n, out));
            }
            1 => {
                let text = TextRequest {
                    immediate,
                    is_final: true,
                    cont: false,
                    lun: 0,
                    itt,
                    ttt: NO_TAG,
                    sn,
                };
                self.pdu(b"SendTargets=All\0", |n, out| text.emit(n, out));
            }
            2 => {
                let task = TaskRequest {
                    immediate,
                    function: input.byte() & 0x0f,
                    lun: 0,
                    itt,
                    ref_itt: u32::from(input.byte() % 40),
                    sn,
                    ref_cmd_sn: 0,
                    exp_data_sn: 0,
                };
                self.pdu(&[], |_, out| task.emit(out));
            }
            _ => {
                let logout = LogoutRequest {
                    immediate,
                    reason: LogoutReason::CloseSession,
                    itt,
                    cid: 0,
                    sn,
                };
                self.pdu(&[], |_, out| logout.emit(out));
            }
        }
    }
}

pub(super) fn run(bytes: &[u8]) {
    let mut input = Input::new(bytes);
    let choice = input.byte();
    let digests = Digests {
        header: choice & 1 != 0,
        data: choice & 2 != 0,
    };
    let mut conn = TargetConn::new();
    conn.join(Box::new(CommandOrder::new(1)), WHO, 1);
    if choice & 0x80 == 0 {
        // Else it is still in its login.
        conn.enter_full_feature(Params {
            digests,
            initial_r2t: choice & 4 != 0,
            immediate_data: choice & 8 != 0,
            send_max: SEGMENT as u32,
            receive_max: SEGMENT as u32,
            max_burst: 16_384,
            first_burst: 4096,
            max_r2t: u16::from(choice >> 4 & 3) + 1,
        });
    }
    let mut owner = Owner {
        conn,
        pending: Vec::new(),
        lent: 0,
    };
    let mut peer = Peer {
        digests,
        cmd_sn: 1,
        inbox: Vec::new(),
        r2ts: Vec::new(),
        out: Vec::new(),
    };
    for _ in 0..OPERATIONS {
        if input.is_empty() || owner.conn.failure().is_some() {
            break;
        }
        match input.byte() % 10 {
            0..=2 => peer.command(&mut input),
            3 | 4 => peer.data_out(&mut input),
            5 => peer.other(&mut input),
            6 | 7 if !owner.pending.is_empty() => {
                let at = usize::from(input.byte()) % owner.pending.len();
                owner.act(at, input.byte());
            }
            8 => {
                let n = usize::from(input.byte());
                if input.byte() > 200 {
                    peer.out.extend_from_slice(input.bytes(n));
                }
            }
            _ => peer.absorb(&pull_all(&mut owner.conn, NOW)),
        }
        let (flip, n) = (input.byte(), peer.out.len());
        if flip > 248 && n > 0 {
            peer.out[usize::from(input.word()) % n] ^= 1 << (flip & 7);
        }
        let chunk = 1 + usize::from(input.byte()) * 100;
        let taken = feed(&mut owner.conn, &peer.out, chunk, NOW);
        peer.out.drain(..taken);
        owner.events(&mut input);
        // What waits for a decision of the owner waits with it; it must not grow for ever.
        if peer.out.len() > 1 << 20 {
            break;
        }
    }
    let mut left = Vec::new();
    owner.conn.drain_buffers(&mut left);
    let left: usize = left.iter().map(SgList::len).sum();
    assert_eq!(owner.lent, left as i64, "every buffer is given back once");
}

pub(super) fn seeds() -> Vec<Vec<u8>> {
    let seed = |n: u8| {
        let mut s = noise(700 + u64::from(n), 2000);
        s[0] = n & 15 | if n == 16 { 0x80 } else { 0 };
        s
    };
    (0..=16).map(seed).collect()
}
