//! A target in virtual time, and a scripted initiator that sends exactly what a test wants.

mod ports;
mod scsi;
mod sessions;
mod tasks;

use super::*;
use crate::proto::iscsi::login::{InitiatorConfig, InitiatorLogin, Step};
use crate::proto::iscsi::pdu::{
    BHS_LEN, DataOut, Header, InitiatorSn, LogoutReason, LogoutRequest, Repr, Residual,
    ScsiCommand, TaskAttr, TaskFunction, TaskRequest, pad,
};
use crate::proto::scsi::Sense;
use crate::transport::pipe::{PipeConn, PipeNet};
use crate::transport::raw::Raw;
use ports::MemPorts;
use std::collections::HashMap;

const TARGET: &str = "iqn.2026-01.io.umpio:test";

/// An answer as an initiator sees it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Answer {
    status: u8,
    sense: Option<Sense>,
    /// The first byte of the sense data.
    format: u8,
    data: Vec<u8>,
    residual: Option<Residual>,
}

impl Answer {
    /// Key, ASC and ASCQ of a CHECK CONDITION.
    fn check(&self) -> (Key, u16) {
        let s = self
            .sense
            .unwrap_or_else(|| panic!("no CHECK CONDITION: {self:?}"));
        assert_eq!(self.status, status::CHECK_CONDITION);
        (s.key, s.code)
    }

    fn good(&self) {
        assert_eq!(self.status, status::GOOD, "{self:?}");
    }
}

use crate::proto::scsi::{Key, status};

/// A scripted initiator's connection.
#[derive(Debug)]
struct Host {
    conn: Option<PipeConn>,
    raw: Raw,
    login: Option<InitiatorLogin>,
    logged_in: bool,
    cmd_sn: u32,
    next_itt: u32,
    /// What is to be sent when it is asked for.
    writes: HashMap<u32, Vec<u8>>,
    partial: HashMap<u32, Vec<u8>>,
    answers: HashMap<u32, Answer>,
    /// Answers to task management, by tag.
    tasks: HashMap<u32, u8>,
    logged_out: bool,
    gone: bool,
}

impl Host {
    fn pdu(&mut self, data: &[u8], emit: impl FnOnce(usize, &mut [u8])) {
        let mut head = [0; BHS_LEN];
        emit(data.len(), &mut head);
        self.raw.tx.extend_from_slice(&head);
        self.raw.tx.extend_from_slice(data);
        let end = self.raw.tx.len() + pad(data.len());
        self.raw.tx.resize(end, 0);
    }

    fn turn(&mut self, now: Time) {
        let Some(conn) = &mut self.conn else { return };
        if !conn.poll_connect(now).unwrap_or(false) {
            return;
        }
        let _ = conn.send(&mut self.raw, now);
        match conn.recv(&mut self.raw, now) {
            Ok(turn) if !turn.eof => {}
            _ => {
                self.conn = None;
                self.gone = true;
            }
        }
        while let Some(bhs) = self.raw.rx.first_chunk::<BHS_LEN>().copied() {
            let len = Header::parse(&bhs).expect("a known opcode").data_len;
            let whole = BHS_LEN + len + pad(len);
            if self.raw.rx.len() < whole {
                return;
            }
            let pdu: Vec<u8> = self.raw.rx.drain(..whole).collect();
            self.take(&bhs, &pdu[BHS_LEN..BHS_LEN + len]);
        }
    }

    fn take(&mut self, bhs: &[u8; BHS_LEN], data: &[u8]) {
        match Repr::parse(bhs).expect("a target sends what is right") {
            Repr::LoginResponse(_) => {
                let login = self.login.as_mut().expect("during login");
                match login.receive(bhs, data) {
                    Step::Send(pdu) => self.raw.tx.extend_from_slice(&pdu),
                    Step::Done { .. } => {
                        self.logged_in = true;
                        self.login = None;
                    }
                    other => panic!("{other:?}"),
                }
            }
            Repr::DataIn(d) => {
                let part = self.partial.entry(d.itt).or_default();
                assert_eq!(part.len(), d.offset as usize, "data in order");
                part.extend_from_slice(data);
                if let Some(status) = d.status {
                    let answer = Answer {
                        status,
                        data: self.partial.remove(&d.itt).unwrap_or_default(),
                        residual: Some(d.residual),
                        ..Answer::default()
                    };
                    self.answers.insert(d.itt, answer);
                }
            }
            Repr::ScsiResponse(r) => {
                let sense = data.get(2..).unwrap_or_default();
                let answer = Answer {
                    status: r.status,
                    sense: Sense::parse(sense),
                    format: sense.first().copied().unwrap_or(0),
                    data: self.partial.remove(&r.itt).unwrap_or_default(),
                    residual: Some(r.residual),
                };
                assert!(self.answers.insert(r.itt, answer).is_none(), "one answer");
            }
            Repr::R2t(r) => {
                let all = self.writes.get(&r.itt).expect("of a write").clone();
                let at = r.offset as usize;
                let part = &all[at..at + r.desired as usize];
                let out = DataOut {
                    is_final: true,
                    lun: r.lun,
                    itt: r.itt,
                    ttt: r.ttt,
                    exp_stat_sn: 0,
                    data_sn: 0,
                    offset: r.offset,
                };
                self.pdu(part, |n, b| out.emit(n, b));
            }
            Repr::TaskResponse(t) => {
                self.tasks.insert(t.itt, t.response);
            }
            Repr::LogoutResponse(l) => self.logged_out = l.response == 0,
            other => panic!("{other:?}"),
        }
    }
}

/// A target with portals "a" in group 1 and "b" in group 2 over one LUN, 0.
struct World {
    target: Target,
    ports: MemPorts,
    net: PipeNet,
    now: Time,
    hosts: Vec<Host>,
}

impl World {
    fn new() -> Self {
        let net = PipeNet::new();
        let ports = MemPorts::new();
        let mut target = Target::new(TargetConfig::default());
        for (name, group) in [("a", 1), ("b", 2)] {
            let config = PortalConfig {
                listener: Listener::pipe(&net, name),
                target: TARGET.to_owned(),
                group,
                access: AccessState::Optimized,
            };
            target.add_portal(config).unwrap();
        }
        let identity = Identity {
            uuid: Some([7; 16]),
            ..Identity::default()
        };
        target
            .add_lun(TARGET, 0, PortId(0), &identity, &ports)
            .unwrap();
        Self {
            target,
            ports,
            net,
            now: Time::from_nanos(1_000_000),
            hosts: Vec::new(),
        }
    }

    /// Lets milliseconds pass.
    fn run(&mut self, ms: u64) {
        for _ in 0..ms * 20 {
            self.now += Duration::from_micros(50);
            while self.target.poll(&mut self.ports, self.now) {}
            for h in &mut self.hosts {
                h.turn(self.now);
            }
        }
    }

    /// A connection that logs in, with an ISID that ends in `qualifier`.
    fn begin(&mut self, portal: &str, qualifier: u8) -> usize {
        let config = InitiatorConfig::new(
            "iqn.2026-01.io.umpio:host",
            Some(TARGET),
            [0x80, 0, 0, 0, 0, qualifier],
        );
        let cmd_sn = config.cmd_sn;
        let (login, first) = InitiatorLogin::start(config, [1; 32]);
        self.hosts.push(Host {
            conn: Some(self.net.connect(portal, self.now).unwrap()),
            raw: Raw::sending(first),
            login: Some(login),
            logged_in: false,
            cmd_sn,
            next_itt: 1,
            writes: HashMap::new(),
            partial: HashMap::new(),
            answers: HashMap::new(),
            tasks: HashMap::new(),
            logged_out: false,
            gone: false,
        });
        self.run(5);
        self.hosts.len() - 1
    }

    /// The same, which must succeed.
    fn login(&mut self, portal: &str, qualifier: u8) -> usize {
        let h = self.begin(portal, qualifier);
        assert!(self.hosts[h].logged_in);
        h
    }

    /// Sends a command to LUN `lun`: `room` bytes are expected to come, `data` goes.
    fn send_to(&mut self, host: usize, lun: u16, cdb: &[u8], room: u32, data: &[u8]) -> u32 {
        self.send_as(host, lun, cdb, room, data, data.len() as u32)
    }

    /// The same with an expected length of the test's choice for `data`.
    fn send_as(
        &mut self,
        host: usize,
        lun: u16,
        cdb: &[u8],
        room: u32,
        data: &[u8],
        expected: u32,
    ) -> u32 {
        let h = &mut self.hosts[host];
        let itt = h.next_itt;
        h.next_itt += 1;
        let mut block = [0; 16];
        block[..cdb.len()].copy_from_slice(cdb);
        let cmd = ScsiCommand {
            immediate: false,
            is_final: true,
            read: room > 0,
            write: expected > 0,
            attr: TaskAttr::Simple,
            lun: crate::proto::scsi::lun_to_wire(lun),
            itt,
            expected: if expected > 0 { expected } else { room },
            sn: InitiatorSn {
                cmd_sn: h.cmd_sn,
                exp_stat_sn: 0,
            },
            cdb: block,
        };
        h.cmd_sn = h.cmd_sn.wrapping_add(1);
        let mut all = data.to_vec();
        all.resize(expected as usize, 0);
        h.writes.insert(itt, all);
        h.pdu(&[], |n, b| cmd.emit(0, n, b));
        h.turn(self.now);
        itt
    }

    fn send(&mut self, host: usize, cdb: &[u8], room: u32, data: &[u8]) -> u32 {
        self.send_to(host, 0, cdb, room, data)
    }

    /// The answer to a command, when it is there.
    fn answer(&mut self, host: usize, itt: u32) -> Option<Answer> {
        self.hosts[host].answers.remove(&itt)
    }

    /// Sends a command and waits for its answer.
    fn call(&mut self, host: usize, cdb: &[u8], room: u32, data: &[u8]) -> Answer {
        let itt = self.send(host, cdb, room, data);
        self.run(5);
        self.answer(host, itt)
            .unwrap_or_else(|| panic!("no answer to {cdb:02x?}"))
    }

    /// TEST UNIT READY.
    fn ready(&mut self, host: usize) -> Answer {
        self.call(host, &[0; 6], 0, &[])
    }

    fn write(&mut self, host: usize, lba: u8, blocks: u8, fill: u8) -> Answer {
        let data = vec![fill; usize::from(blocks) * 512];
        self.call(host, &write_cdb(lba, blocks), 0, &data)
    }

    fn read(&mut self, host: usize, lba: u8, blocks: u8) -> Answer {
        let cdb = [0x28, 0, 0, 0, 0, lba, 0, 0, blocks, 0];
        self.call(host, &cdb, u32::from(blocks) * 512, &[])
    }

    /// Sends a task management request; its answer comes in `tasks`.
    fn task(&mut self, host: usize, function: TaskFunction, ref_itt: u32) -> u32 {
        let h = &mut self.hosts[host];
        let itt = h.next_itt;
        h.next_itt += 1;
        let t = TaskRequest {
            immediate: true,
            function: function as u8,
            lun: 0,
            itt,
            ref_itt,
            sn: InitiatorSn {
                cmd_sn: h.cmd_sn,
                exp_stat_sn: 0,
            },
            ref_cmd_sn: 0,
            exp_data_sn: 0,
        };
        h.pdu(&[], |_, b| t.emit(b));
        self.run(5);
        itt
    }

    fn logout(&mut self, host: usize) {
        let h = &mut self.hosts[host];
        let l = LogoutRequest {
            immediate: true,
            reason: LogoutReason::CloseSession,
            itt: h.next_itt,
            cid: 0,
            sn: InitiatorSn {
                cmd_sn: h.cmd_sn,
                exp_stat_sn: 0,
            },
        };
        h.next_itt += 1;
        h.pdu(&[], |_, b| l.emit(b));
        self.run(5);
    }

    /// The host's process dies: its connection is reset.
    fn kill(&mut self, host: usize) {
        self.hosts[host].conn = None;
        self.hosts[host].gone = true;
        self.run(5);
    }
}

fn write_cdb(lba: u8, blocks: u8) -> [u8; 10] {
    [0x2a, 0, 0, 0, 0, lba, 0, 0, blocks, 0]
}
