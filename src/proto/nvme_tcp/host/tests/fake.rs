//! A minimal controller for the tests of the association: answers what it is asked, with a switch
//! for each thing that can go wrong. It runs over the network in memory, in virtual time.

use super::peer::{Pdu, Peer, next, pattern};
use crate::base::clock::Time;
use crate::base::iovecs::{RecvVec, SendVec};
use crate::proto::nvme::ana::{AnaLogWriter, AnaState};
use crate::proto::nvme::ccr::{CcrLogEntry, emit_ccr_log};
use crate::proto::nvme::fabrics::{
    Connect, ConnectData, ConnectResponse, PropertyGet, PropertySet, fabrics_type,
};
use crate::proto::nvme::features::{Fid, GetFeatures, NumberOfQueues, SetFeatures};
use crate::proto::nvme::id_ctrl::{cmic, ctratt, oaes, sgls};
use crate::proto::nvme::id_ns::LbaFormat;
use crate::proto::nvme::identify::NsDescriptor;
use crate::proto::nvme::identify::emit_ns_list;
use crate::proto::nvme::ns_desc::emit_ns_descriptors;
use crate::proto::nvme::property::{Cap, Cc, Csts, ShutdownStatus, Version, offset};
use crate::proto::nvme::{
    AdminOpcode, AsyncEvent, Cns, FabricsType, GetLogPage, Identify, IdentifyController,
    IdentifyNamespace, Lid, NvmOpcode, Sqe, Status, StatusCode,
};
use crate::proto::nvme_tcp::pdu::*;
use crate::transport::{Sink, Source};
use std::io::{IoSlice, IoSliceMut};

/// One end of a connection that only moves bytes.
#[derive(Debug)]
pub(super) struct End {
    scratch: Vec<u8>,
    pub(super) peer: Peer,
    pub(super) outbox: Vec<u8>,
}

impl Sink for End {
    fn recv_places<'a>(&'a mut self, out: &mut RecvVec<'a>) {
        out.push(IoSliceMut::new(&mut self.scratch));
    }
    fn received(&mut self, n: usize, _now: Time) {
        self.peer.push(&self.scratch[..n]);
    }
}

impl Source for End {
    fn send_slices<'a>(&'a self, out: &mut SendVec<'a>) {
        out.push(IoSlice::new(&self.outbox));
    }
    fn sent(&mut self, n: usize, _now: Time) {
        self.outbox.drain(..n);
    }
    fn has_output(&self) -> bool {
        !self.outbox.is_empty()
    }
}

impl End {
    pub(super) fn new(digests: Digests) -> Self {
        Self {
            scratch: vec![0; 4096],
            peer: Peer::new(digests),
            outbox: Vec::new(),
        }
    }
}

/// What the controller is like, and what it does wrong.
#[derive(Debug)]
pub(super) struct Fake {
    pub(super) ends: Vec<End>,
    pub(super) cap: Cap,
    pub(super) identify: IdentifyController,
    pub(super) namespaces: Vec<(u32, IdentifyNamespace)>,
    /// (group, state)
    pub(super) groups: Vec<(u32, AnaState)>,
    pub(super) ana_changes: u64,
    /// The change count moves with each piece of the log that is read.
    pub(super) ana_restless: u32,
    pub(super) queues_granted: u32,
    pub(super) kato_granted: Option<u32>,
    /// Looks at CSTS until RDY is set.
    pub(super) ready_after: u32,
    /// Looks at CSTS after CC.SHN until SHST is complete.
    pub(super) shutdown_after: u32,
    pub(super) csts: Csts,
    /// Connect of this queue is answered with this status and DW0.
    pub(super) refuse_connect: Option<(u16, Status, u32)>,
    pub(super) authentication: bool,
    /// The CNTLID that I/O queues are answered with, when not the right one.
    pub(super) io_cntlid: Option<u16>,
    /// Says nothing at all.
    pub(super) mute: bool,
    /// Says nothing to this opcode.
    pub(super) silent: Option<u8>,
    /// Answers this opcode with this status.
    pub(super) fail: Option<(u8, Status)>,
    pub(super) mute_io: bool,
    pub(super) ccr_answer: Result<u32, Status>,
    pub(super) ccr_log: Vec<CcrLogEntry>,
    /// CIDs of event requests that wait.
    pub(super) events: Vec<u16>,
    /// Every opcode seen on the admin queue.
    pub(super) seen: Vec<u8>,
    pub(super) connects: Vec<(Connect, ConnectData)>,
    /// Seed, and one bit in how many bytes is wrong.
    pub(super) flip: Option<(u64, u64)>,
    cc: Cc,
}

pub(super) fn namespace(blocks: u64, group: u32) -> IdentifyNamespace {
    let mut ns = IdentifyNamespace {
        nsze: blocks,
        ncap: blocks,
        anagrpid: group,
        ..IdentifyNamespace::default()
    };
    ns.lbaf[0] = LbaFormat {
        ms: 0,
        lbads: 9,
        rp: 0,
    };
    ns
}

impl Fake {
    pub(super) fn new() -> Self {
        let mut identify = IdentifyController {
            cntlid: 7,
            ciu: 3,
            cirn: 0x1122_3344_5566_7788,
            ccrl: 2,
            cqt: 1500,
            aerl: 3,
            acl: 2,
            mdts: 5,
            ioccsz: 4 + 8192 / 16,
            iorcsz: 1,
            sgls: sgls::SUPPORTED | sgls::OFFSET | sgls::TRANSPORT,
            cntrltype: 1,
            nn: 16,
            maxcmd: 64,
            cmic: cmic::ANA | cmic::MULTI_CONTROLLER,
            anagrpmax: 8,
            nanagrpid: 8,
            anatt: 4,
            oaes: oaes::ANA_CHANGE | oaes::NAMESPACE_ATTRIBUTE | oaes::CCR_COMPLETED,
            kas: 1,
            vwc: 1,
            crdt: [1, 2, 3],
            ..IdentifyController::default()
        };
        identify.sn[..6].copy_from_slice(b"SERIAL");
        identify.mn[..5].copy_from_slice(b"MODEL");
        Self {
            ends: Vec::new(),
            cap: Cap::new(127, 2),
            identify,
            namespaces: vec![(1, namespace(1000, 1)), (3, namespace(3000, 2))],
            groups: vec![(1, AnaState::Optimized), (2, AnaState::NonOptimized)],
            ana_changes: 1,
            ana_restless: 0,
            queues_granted: 64,
            kato_granted: None,
            ready_after: 2,
            shutdown_after: 2,
            csts: Csts::default(),
            refuse_connect: None,
            authentication: false,
            io_cntlid: None,
            mute: false,
            silent: None,
            fail: None,
            mute_io: false,
            ccr_answer: Ok(1),
            ccr_log: Vec::new(),
            events: Vec::new(),
            seen: Vec::new(),
            connects: Vec::new(),
            flip: None,
            cc: Cc::default(),
        }
    }

    /// Answers what has come in on all connections.
    pub(super) fn turn(&mut self) {
        for q in 0..self.ends.len() {
            while let Some(pdu) = self.ends[q].peer.pdu() {
                if !self.mute {
                    self.pdu(q, &pdu);
                }
            }
        }
    }

    pub(super) fn send(&mut self, q: usize, bytes: &[u8]) {
        let out = &mut self.ends[q].outbox;
        let at = out.len();
        out.extend_from_slice(bytes);
        if let Some((seed, each)) = &mut self.flip {
            for b in &mut out[at..] {
                if next(seed).is_multiple_of(*each) {
                    *b ^= 1 << (next(seed) & 7);
                }
            }
        }
    }

    /// Sends an event on one of the waiting requests.
    pub(super) fn event(&mut self, event: AsyncEvent) {
        let cid = self.events.remove(0);
        self.respond(0, cid, Status::SUCCESS, u64::from(event.to_dw0()));
    }

    fn respond(&mut self, q: usize, cid: u16, status: Status, result: u64) {
        let bytes = self.ends[q]
            .peer
            .resp_full(cid, status.to_raw() >> 1, result, 0);
        self.send(q, &bytes);
    }

    fn answer(&mut self, q: usize, cid: u16, data: &[u8], len: u32) {
        let mut page = data.to_vec();
        page.resize(len as usize, 0);
        let bytes = self.ends[q].peer.data(cid, 0, &page, FLAG_LAST);
        self.send(q, &bytes);
        self.respond(q, cid, Status::SUCCESS, 0);
    }

    fn pdu(&mut self, q: usize, pdu: &Pdu) {
        match pdu.repr {
            Repr::IcReq(_) => {
                let b = self.ends[q].peer.icresp();
                self.send(q, &b);
            }
            Repr::CapsuleCmd(c) => {
                let sqe = Sqe::from(c.sqe);
                if sqe.opcode() == AdminOpcode::FABRICS.0 {
                    self.fabrics(q, &sqe, &pdu.data);
                } else if q == 0 {
                    self.admin(&sqe);
                } else {
                    self.io(q, &sqe);
                }
            }
            _ => {}
        }
    }

    fn io(&mut self, q: usize, sqe: &Sqe) {
        if self.mute_io {
            return;
        }
        let cid = sqe.cid();
        if sqe.opcode() == NvmOpcode::READ.0 {
            let len = sqe.blocks() as usize * 512;
            let data = pattern(len, sqe.slba() as u8);
            let b = self.ends[q]
                .peer
                .data(cid, 0, &data, FLAG_LAST | FLAG_SUCCESS);
            self.send(q, &b);
        } else {
            self.respond(q, cid, Status::SUCCESS, 0);
        }
    }

    fn fabrics(&mut self, q: usize, sqe: &Sqe, data: &[u8]) {
        let cid = sqe.cid();
        if self.silent == Some(AdminOpcode::FABRICS.0) {
            return;
        }
        match fabrics_type(sqe) {
            Some(FabricsType::CONNECT) => {
                let connect = Connect::parse(sqe).unwrap();
                let body = ConnectData::parse(data).unwrap();
                assert_eq!(usize::from(connect.qid), q);
                self.connects.push((connect, body));
                if let Some((at, status, dw0)) = self.refuse_connect
                    && at == connect.qid
                {
                    return self.respond(q, cid, status, u64::from(dw0));
                }
                let mut cntlid = self.identify.cntlid;
                if q > 0 {
                    cntlid = self.io_cntlid.unwrap_or(cntlid);
                }
                let answer = ConnectResponse {
                    cntlid,
                    authentication_required: self.authentication,
                    secure_channel_required: false,
                };
                self.respond(q, cid, Status::SUCCESS, u64::from(answer.to_dw0()));
            }
            Some(FabricsType::PROPERTY_SET) => {
                let set = PropertySet::parse(sqe).unwrap();
                assert_eq!(set.offset, offset::CC);
                self.cc = Cc(set.value as u32);
                self.respond(q, cid, Status::SUCCESS, 0);
            }
            Some(FabricsType::PROPERTY_GET) => {
                let value = match PropertyGet::parse(sqe).unwrap().offset {
                    offset::CAP => self.cap.0,
                    offset::VS => u64::from(Version::new(2, 1, 0).0),
                    offset::CSTS => u64::from(self.status().0),
                    _ => 0,
                };
                self.respond(q, cid, Status::SUCCESS, value);
            }
            _ => self.respond(q, cid, StatusCode::INVALID_OPCODE.into(), 0),
        }
    }

    fn status(&mut self) -> Csts {
        if self.cc.shn() != 0 {
            if self.shutdown_after > 0 {
                self.shutdown_after -= 1;
                return self.csts.with_shst(ShutdownStatus::Occurring);
            }
            return self.csts.with_shst(ShutdownStatus::Complete);
        }
        if self.cc.en() {
            if self.ready_after == 0 {
                self.csts = self.csts.with_rdy(true);
            } else {
                self.ready_after -= 1;
            }
        }
        self.csts
    }

    fn admin(&mut self, sqe: &Sqe) {
        let cid = sqe.cid();
        let opcode = sqe.opcode();
        self.seen.push(opcode);
        if self.silent == Some(opcode) {
            return;
        }
        if let Some((op, status)) = self.fail
            && op == opcode
        {
            return self.respond(0, cid, status, 0);
        }
        let len = sqe.sgl().length;
        match AdminOpcode(opcode) {
            AdminOpcode::IDENTIFY => self.identify(cid, &Identify::parse(sqe).unwrap(), len),
            AdminOpcode::SET_FEATURES => {
                let set = SetFeatures::parse(sqe).unwrap();
                let result = match set.fid {
                    Fid::NUMBER_OF_QUEUES => NumberOfQueues::pairs(self.queues_granted).to_raw(),
                    _ => 0,
                };
                self.respond(0, cid, Status::SUCCESS, u64::from(result));
            }
            AdminOpcode::GET_FEATURES => {
                assert_eq!(GetFeatures::parse(sqe).unwrap().fid, Fid::KEEP_ALIVE_TIMER);
                match self.kato_granted {
                    Some(ms) => self.respond(0, cid, Status::SUCCESS, u64::from(ms)),
                    None => self.respond(0, cid, StatusCode::INVALID_FIELD.into(), 0),
                }
            }
            AdminOpcode::GET_LOG_PAGE => self.log(cid, &GetLogPage::parse(sqe).unwrap()),
            AdminOpcode::ASYNC_EVENT_REQUEST => {
                if self.events.len() > usize::from(self.identify.aerl) {
                    return self.respond(0, cid, StatusCode::AER_LIMIT_EXCEEDED.into(), 0);
                }
                self.events.push(cid);
            }
            AdminOpcode::KEEP_ALIVE => self.respond(0, cid, Status::SUCCESS, 0),
            AdminOpcode::ABORT => self.respond(0, cid, Status::SUCCESS, 1),
            AdminOpcode::CROSS_CONTROLLER_RESET => match self.ccr_answer {
                Ok(dw0) => self.respond(0, cid, Status::SUCCESS, u64::from(dw0)),
                Err(status) => self.respond(0, cid, status, 0),
            },
            _ => self.respond(0, cid, StatusCode::INVALID_OPCODE.into(), 0),
        }
    }

    fn identify(&mut self, cid: u16, what: &Identify, len: u32) {
        let mut b = vec![0; 4096];
        match what.cns {
            Cns::CONTROLLER => self.identify.emit(&mut b).unwrap(),
            Cns::ACTIVE_NAMESPACES => {
                let ids = self.namespaces.iter().map(|n| n.0);
                emit_ns_list(&mut b, ids.filter(|n| *n > what.nsid)).unwrap();
            }
            Cns::NAMESPACE => {
                if let Some((_, ns)) = self.namespaces.iter().find(|n| n.0 == what.nsid) {
                    ns.emit(&mut b).unwrap();
                } else if what.nsid > self.identify.nn {
                    return self.respond(0, cid, StatusCode::INVALID_NAMESPACE.into(), 0);
                }
            }
            Cns::NAMESPACE_DESCRIPTORS => {
                let uuid = NsDescriptor::Uuid([what.nsid as u8; 16]);
                let eui = NsDescriptor::Eui64([0xe0 | what.nsid as u8; 8]);
                emit_ns_descriptors(&mut b, &[eui, uuid, NsDescriptor::Csi(0)]).unwrap();
            }
            _ => return self.respond(0, cid, StatusCode::INVALID_FIELD.into(), 0),
        }
        self.answer(0, cid, &b, len);
    }

    fn log(&mut self, cid: u16, page: &GetLogPage) {
        let mut b = vec![0; 1 << 20];
        let len = match page.lid {
            Lid::ANA => {
                if self.ana_restless > 0 {
                    self.ana_restless -= 1;
                    self.ana_changes += 1;
                }
                let mut w = AnaLogWriter::new(&mut b, self.ana_changes).unwrap();
                for (group, state) in &self.groups {
                    let ids = self.namespaces.iter();
                    let ids = ids.filter(|n| n.1.anagrpid == *group).map(|n| n.0);
                    w.group(*group, 1, *state, ids).unwrap();
                }
                w.finish()
            }
            Lid::CHANGED_NAMESPACES => 4096,
            Lid::CROSS_CONTROLLER_RESET => emit_ccr_log(&mut b, &self.ccr_log).unwrap(),
            _ => return self.respond(0, cid, StatusCode::INVALID_LOG_PAGE.into(), 0),
        };
        let at = (page.offset as usize).min(len);
        let end = (at + page.len_bytes() as usize).min(len);
        let piece = b[at..end].to_vec();
        self.answer(0, cid, &piece, page.len_bytes() as u32);
    }

    /// The same with Traffic Based Keep Alive.
    pub(super) fn traffic_based(mut self) -> Self {
        self.identify.ctratt |= ctratt::TBKAS;
        self
    }
}
