//! Sessions of several connections: a target in virtual time and a host that says, PDU by PDU and
//! connection by connection, what a test wants.

mod endings;
mod order;
mod pair;

use super::*;
use crate::base::error::{ErrorKind, IoError};
use crate::base::request::{Op, RequestPool};
use crate::base::rng::Rng;
use crate::lun::port::Geometry;
use crate::proto::iscsi::login::{InitiatorConfig, InitiatorLogin, LoginFailure, Offer, Step};
use crate::proto::iscsi::pdu::{
    BHS_LEN, DataOut, InitiatorSn, LogoutReason, LogoutRequest, NO_TAG, NopOut, ScsiCommand,
    TaskAttr, TaskFunction, TaskRequest, pad,
};
use crate::transport::pipe::{PipeConn, PipeNet};
use crate::transport::raw::Raw;

const TARGET: &str = "iqn.2026-01.io.umpio:test";
const INITIATOR: &str = "iqn.2026-01.io.umpio:host";
const ISID: [u8; 6] = [0x80, 1, 2, 3, 4, 5];
const BLOCKS: u64 = 4096;
const STEP: Duration = Duration::from_micros(200);

/// A LUN in memory that can be made to sit on what it was given.
#[derive(Debug)]
struct MemPorts {
    data: Vec<u8>,
    pool: RequestPool,
    /// Not before that many calls.
    queued: Vec<(u64, Token)>,
    calls: u64,
    stuck: bool,
    /// First blocks of the requests handed in, in order.
    handed_in: Vec<u64>,
    /// Of those carried out.
    carried_out: Vec<u64>,
    /// What the first eight bytes of each write were, in the order of being carried out.
    written: Vec<(u64, u64)>,
    /// Carries out what it was given whenever it likes, in any order.
    lazy: Option<Rng>,
    identity: Identity,
}

impl MemPorts {
    fn new(identity: Identity) -> Self {
        Self {
            data: vec![0; BLOCKS as usize * 512],
            pool: RequestPool::default(),
            queued: Vec::new(),
            calls: 0,
            stuck: false,
            handed_in: Vec::new(),
            carried_out: Vec::new(),
            written: Vec::new(),
            lazy: None,
            identity,
        }
    }
}

impl Ports for MemPorts {
    fn geometry(&self, _: PortId) -> Option<Geometry> {
        Some(Geometry {
            block_size: 512,
            blocks: BLOCKS,
            max_transfer_blocks: 2048,
            volatile_cache: true,
            discard: true,
            write_zeroes: true,
            compare: true,
            compare_and_write: true,
            identity: self.identity.clone(),
        })
    }

    fn take(&mut self) -> Token {
        self.pool.get()
    }

    fn recycle(&mut self, token: Token) {
        self.pool.put(token);
    }

    fn submit(&mut self, _: PortId, token: Token) {
        self.handed_in.push(token.lba);
        // Most take a moment, some their time.
        let delay = self.lazy.as_mut().map_or(0, |rng| match rng.below(8) {
            0 => rng.below(500),
            _ => rng.below(8),
        });
        self.queued.push((self.calls + delay, token));
    }

    fn completions(&mut self, _: PortId, out: &mut Vec<Token>) {
        self.calls += 1;
        if self.stuck {
            return;
        }
        let mut at = 0;
        while at < self.queued.len() {
            if self.queued[at].0 > self.calls {
                at += 1;
                continue;
            }
            let (_, mut t) = self.queued.remove(at);
            self.carry_out(&mut t);
            out.push(t);
        }
    }
}

impl MemPorts {
    fn carry_out(&mut self, t: &mut Token) {
        let at = t.lba as usize * 512;
        let len = t.blocks as usize * 512;
        t.result = Ok(());
        self.carried_out.push(t.lba);
        match t.op {
            Op::Read => t.data.write_at(0, &self.data[at..at + len]),
            Op::Write => {
                t.data.read_at(0, &mut self.data[at..at + len]);
                let mut first = [0; 8];
                first.copy_from_slice(&self.data[at..at + 8]);
                self.written.push((t.lba, u64::from_be_bytes(first)));
            }
            Op::Flush => {}
            _ => t.result = Err(IoError::new(ErrorKind::Invalid)),
        }
    }
}

/// An answer of the target.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
struct Answer {
    opcode: u8,
    itt: u32,
    response: u8,
    status: u8,
    stat_sn: u32,
    exp_cmd_sn: u32,
}

#[derive(Debug)]
struct Line {
    pipe: Option<PipeConn>,
    raw: Raw,
    answers: Vec<Answer>,
    /// The next StatSN of this connection.
    stat_sn: Option<u32>,
    gone: bool,
}

#[derive(Debug)]
struct Bench {
    target: Target,
    ports: MemPorts,
    net: PipeNet,
    now: Time,
    lines: Vec<Line>,
    tsih: u16,
}

impl Bench {
    fn new() -> Self {
        let net = PipeNet::new();
        let mut target = Target::new(TargetConfig::default());
        let ports = MemPorts::new(Identity::default());
        let id = Identity::default();
        target.add_lun(TARGET, 0, PortId(1), &id, &ports).unwrap();
        for n in 0..2 {
            target
                .add_portal(PortalConfig {
                    listener: Listener::pipe(&net, &format!("p{n}:3260")),
                    target: TARGET.to_owned(),
                    group: 1,
                    access: AccessState::Optimized,
                })
                .unwrap();
        }
        Self {
            target,
            ports,
            net,
            now: Time::ZERO,
            lines: Vec::new(),
            tsih: 0,
        }
    }

    fn step(&mut self) {
        self.now += STEP;
        for l in &mut self.lines {
            let Some(pipe) = &mut l.pipe else { continue };
            if !l.raw.tx.is_empty() {
                l.gone |= pipe.send(&mut l.raw, self.now).is_err();
            }
        }
        self.target.poll(&mut self.ports, self.now);
        for l in &mut self.lines {
            let Some(pipe) = &mut l.pipe else { continue };
            match pipe.recv(&mut l.raw, self.now) {
                Ok(turn) => l.gone |= turn.eof,
                Err(_) => l.gone = true,
            }
        }
    }

    fn run(&mut self) {
        for _ in 0..20 {
            self.step();
        }
        for line in 0..self.lines.len() {
            if self.lines[line].stat_sn.is_some() {
                self.sort_answers(line);
            }
        }
    }

    /// Takes apart what came in; StatSN must go up by one with each status.
    fn sort_answers(&mut self, line: usize) {
        let l = &mut self.lines[line];
        while let Some((b, _)) = take_pdu(&mut l.raw.rx) {
            let be = |at: usize| u32::from_be_bytes([b[at], b[at + 1], b[at + 2], b[at + 3]]);
            let opcode = b[0] & 0x3f;
            let counts = opcode != 0x31 && (opcode != 0x25 || b[1] & 1 != 0);
            if counts {
                assert_eq!(
                    Some(be(24)),
                    l.stat_sn,
                    "each connection counts its own answers"
                );
                l.stat_sn = Some(be(24).wrapping_add(1));
            }
            l.answers.push(Answer {
                opcode,
                itt: be(16),
                response: b[2],
                status: b[3],
                stat_sn: be(24),
                exp_cmd_sn: be(28),
            });
        }
    }

    /// Begins a login; the line, and the login to go on with.
    fn begin_login(&mut self, tsih: u16, cid: u16, cmd_sn: u32) -> (usize, InitiatorLogin) {
        let portal = format!("p{}:3260", cid % 2);
        let mut pipe = self.net.connect(&portal, self.now).unwrap();
        while !pipe.poll_connect(self.now).unwrap() {
            self.now += STEP;
        }
        let config = InitiatorConfig {
            tsih,
            cid,
            cmd_sn,
            offer: Offer {
                max_connections: 4,
                initial_r2t: false,
                max_recv: 65536,
                first_burst: 16384,
                ..Offer::default()
            },
            ..InitiatorConfig::new(INITIATOR, Some(TARGET), ISID)
        };
        let (login, first) = InitiatorLogin::start(config, [cid as u8; 32]);
        self.lines.push(Line {
            pipe: Some(pipe),
            raw: Raw::sending(first),
            answers: Vec::new(),
            stat_sn: None,
            gone: false,
        });
        (self.lines.len() - 1, login)
    }

    /// Goes on with a login; None while the target takes its time.
    fn go_on(
        &mut self,
        line: usize,
        login: &mut InitiatorLogin,
    ) -> Option<Result<(), LoginFailure>> {
        for _ in 0..100 {
            self.step();
            let Some((bhs, data)) = take_pdu(&mut self.lines[line].raw.rx) else {
                continue;
            };
            match login.receive(&bhs, &data) {
                Step::Send(bytes) => self.lines[line].raw.tx.extend_from_slice(&bytes),
                Step::Done { negotiated, .. } => {
                    self.tsih = negotiated.tsih;
                    self.lines[line].stat_sn = Some(negotiated.stat_sn);
                    return Some(Ok(()));
                }
                Step::Failed { failure, .. } => return Some(Err(failure)),
                Step::Redirect { .. } => panic!("nothing has moved"),
            }
        }
        None
    }

    fn login(&mut self, tsih: u16, cid: u16, cmd_sn: u32) -> usize {
        let (line, mut login) = self.begin_login(tsih, cid, cmd_sn);
        self.go_on(line, &mut login)
            .expect("an answer")
            .expect("a login");
        line
    }

    /// A session with `n` connections, CIDs from 1 on, whose first command has CmdSN 1.
    fn session(n: u16) -> Self {
        let mut b = Self::new();
        b.login(0, 1, 1);
        for cid in 2..=n {
            b.login(b.tsih, cid, 1);
        }
        b
    }

    fn say(&mut self, line: usize, bytes: &[u8]) {
        self.lines[line].raw.tx.extend_from_slice(bytes);
    }

    /// Ends a connection as a network does: with a reset, or without a word.
    fn lose(&mut self, line: usize) {
        self.lines[line].pipe = None;
    }

    fn answers_to(&self, line: usize, itt: u32) -> Vec<Answer> {
        let all = self.lines[line].answers.iter();
        all.filter(|a| a.itt == itt).copied().collect()
    }

    /// The one answer to a request.
    fn answer(&self, line: usize, itt: u32) -> Answer {
        let all = self.answers_to(line, itt);
        assert_eq!(all.len(), 1, "answers to {itt} on line {line}: {all:?}");
        all[0]
    }
}

fn take_pdu(rx: &mut Vec<u8>) -> Option<([u8; BHS_LEN], Vec<u8>)> {
    let bhs = *rx.first_chunk::<BHS_LEN>()?;
    let n = u32::from_be_bytes([0, bhs[5], bhs[6], bhs[7]]) as usize;
    let whole = BHS_LEN + n + pad(n);
    if rx.len() < whole {
        return None;
    }
    let data = rx[BHS_LEN..BHS_LEN + n].to_vec();
    rx.drain(..whole);
    Some((bhs, data))
}

const fn sn(cmd_sn: u32) -> InitiatorSn {
    InitiatorSn {
        cmd_sn,
        exp_stat_sn: 0,
    }
}

fn pdu(data: &[u8], emit: impl FnOnce(usize, &mut [u8])) -> Vec<u8> {
    let mut out = vec![0; BHS_LEN];
    emit(data.len(), &mut out);
    out.extend_from_slice(data);
    out.resize(out.len() + pad(data.len()), 0);
    out
}

/// WRITE(10) of whole blocks: `immediate` bytes in the command, the rest in unsolicited Data-Out.
fn write(cmd_sn: u32, lba: u32, data: &[u8], immediate: usize) -> Vec<u8> {
    let mut cdb = [0; 16];
    cdb[0] = 0x2a;
    cdb[2..6].copy_from_slice(&lba.to_be_bytes());
    cdb[7..9].copy_from_slice(&((data.len() / 512) as u16).to_be_bytes());
    let burst = data.len().min(16384);
    let command = ScsiCommand {
        immediate: false,
        is_final: immediate == burst,
        read: false,
        write: true,
        attr: TaskAttr::Simple,
        lun: 0,
        itt: cmd_sn,
        expected: data.len() as u32,
        sn: sn(cmd_sn),
        cdb,
    };
    let mut out = pdu(&data[..immediate], |n, b| command.emit(0, n, b));
    if immediate < burst {
        let rest = DataOut {
            is_final: true,
            lun: 0,
            itt: cmd_sn,
            ttt: NO_TAG,
            exp_stat_sn: 0,
            data_sn: 0,
            offset: immediate as u32,
        };
        out.extend(pdu(&data[immediate..burst], |n, b| rest.emit(n, b)));
    }
    out
}

/// READ(10) of one block.
fn read(cmd_sn: u32, lba: u32) -> Vec<u8> {
    let mut cdb = [0; 16];
    cdb[0] = 0x28;
    cdb[2..6].copy_from_slice(&lba.to_be_bytes());
    cdb[8] = 1;
    let command = ScsiCommand {
        immediate: false,
        is_final: true,
        read: true,
        write: false,
        attr: TaskAttr::Simple,
        lun: 0,
        itt: cmd_sn,
        expected: 512,
        sn: sn(cmd_sn),
        cdb,
    };
    pdu(&[], |n, b| command.emit(0, n, b))
}

fn task(function: TaskFunction, cmd_sn: u32, itt: u32, ref_itt: u32, ref_cmd_sn: u32) -> Vec<u8> {
    let request = TaskRequest {
        immediate: true,
        function: function as u8,
        lun: 0,
        itt,
        ref_itt,
        sn: sn(cmd_sn),
        ref_cmd_sn,
        exp_data_sn: 0,
    };
    pdu(&[], |_, b| request.emit(b))
}

fn logout(reason: LogoutReason, cid: u16, cmd_sn: u32, itt: u32) -> Vec<u8> {
    let request = LogoutRequest {
        immediate: true,
        reason,
        itt,
        cid,
        sn: sn(cmd_sn),
    };
    pdu(&[], |_, b| request.emit(b))
}
