//! A discovery session from the initiator's side (RFC 7143, 4.3 and appendix C), sans-IO: log in,
//! ask SendTargets, log out. Bytes of the stream go in and come out in pieces of any size.
//!
//! ```text
//! Login ── text exchange, as many PDUs as it takes ── logout ── Over
//! ```

use super::discovery::{self, Ask, DiscoveryError, Target};
use super::login::{InitiatorConfig, InitiatorLogin, LoginFailure, Step};
use super::pdu::{
    BHS_LEN, Header, InitiatorSn, LogoutReason, LogoutRequest, NO_TAG, NopIn, NopOut, Opcode,
    PduError, Reject, RejectReason, TextRequest, TextResponse, pad,
};
use super::text::{self, Gather, TextError};
use std::fmt;

/// Longest data segment taken: more than a target sends unless it is told a higher limit.
const SEGMENT_MAX: usize = 256 * 1024;
/// PDUs of one exchange at most.
const PDUS_MAX: u32 = 256;
const TEXT_TAG: u32 = 1;
const LOGOUT_TAG: u32 = 2;

/// Why a discovery failed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum DiscoverFailure {
    Login(LoginFailure),
    /// The portal sends us elsewhere: TargetAddress.
    Redirected(String),
    Pdu(PduError),
    Text(TextError),
    Answer(DiscoveryError),
    /// A PDU that does not belong here.
    Unexpected(Opcode),
    Rejected(u8),
    /// The answer belongs to no question, or never ends.
    Protocol(&'static str),
    /// The connection ended before the answer was there.
    Closed,
}

impl fmt::Display for DiscoverFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Login(e) => e.fmt(f),
            Self::Redirected(to) => write!(f, "the portal sends discovery to {to}"),
            Self::Pdu(e) => e.fmt(f),
            Self::Text(e) => write!(f, "the answer to SendTargets has {e}"),
            Self::Answer(e) => e.fmt(f),
            Self::Unexpected(op) => write!(f, "{op} in answer to SendTargets"),
            Self::Rejected(reason) => {
                write!(
                    f,
                    "SendTargets was rejected: {}",
                    RejectReason::name(*reason)
                )
            }
            Self::Protocol(what) => f.write_str(what),
            Self::Closed => f.write_str("the target closed the connection before it had answered"),
        }
    }
}

impl std::error::Error for DiscoverFailure {}

#[derive(Debug)]
enum State {
    Login(Box<InitiatorLogin>),
    Asked,
    LoggingOut,
    Over,
}

/// A discovery under way. See the module.
#[derive(Debug)]
pub struct SendTargets {
    state: State,
    ask: Ask,
    received: Vec<u8>,
    out: Vec<u8>,
    gather: Gather,
    cmd_sn: u32,
    exp_stat_sn: u32,
    pdus: u32,
    result: Option<Result<Vec<Target>, DiscoverFailure>>,
}

impl SendTargets {
    /// Begins; there is output at once. A configuration that names a target makes a normal session,
    /// in which only [`Ask::Own`] and that target may be asked for.
    pub fn start(config: InitiatorConfig, ask: Ask, entropy: [u8; 32]) -> Self {
        let cmd_sn = config.cmd_sn;
        let (login, out) = InitiatorLogin::start(config, entropy);
        Self {
            state: State::Login(Box::new(login)),
            ask,
            received: Vec::new(),
            out,
            gather: Gather::default(),
            cmd_sn,
            exp_stat_sn: 0,
            pdus: 0,
            result: None,
        }
    }

    /// Bytes to send now.
    pub fn output(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.out)
    }

    /// The conversation is at its end; the connection may be closed once the output is sent.
    pub const fn is_over(&self) -> bool {
        matches!(self.state, State::Over)
    }

    /// What came of it, once it is over.
    pub fn result(self) -> Result<Vec<Target>, DiscoverFailure> {
        self.result.unwrap_or(Err(DiscoverFailure::Closed))
    }

    /// The connection ended. With the answer there, a missing logout response harms nobody.
    pub fn closed(&mut self) {
        self.state = State::Over;
    }

    /// Takes bytes of the stream.
    pub fn receive(&mut self, bytes: &[u8]) {
        self.received.extend_from_slice(bytes);
        while !self.is_over() {
            match self.next_pdu() {
                Ok(true) => {}
                Ok(false) => return,
                Err(failure) => {
                    self.result = Some(Err(failure));
                    self.state = State::Over;
                }
            }
        }
    }

    /// Takes one PDU if all of it is there.
    fn next_pdu(&mut self) -> Result<bool, DiscoverFailure> {
        let Some(bhs) = self.received.first_chunk::<BHS_LEN>().copied() else {
            return Ok(false);
        };
        let header = Header::parse(&bhs).map_err(DiscoverFailure::Pdu)?;
        // Digests are not offered, so there are none.
        let layout = header
            .layout(super::pdu::Digests::NONE, SEGMENT_MAX)
            .map_err(DiscoverFailure::Pdu)?;
        if self.received.len() < layout.total {
            return Ok(false);
        }
        let rest = self.received.split_off(layout.total);
        let pdu = std::mem::replace(&mut self.received, rest);
        self.pdus += 1;
        if self.pdus > PDUS_MAX {
            return Err(DiscoverFailure::Protocol(
                "the answer does not come to an end",
            ));
        }
        let data = &pdu[layout.header..layout.header + layout.data_len];
        self.pdu(header.opcode, &bhs, data)?;
        Ok(true)
    }

    fn pdu(
        &mut self,
        opcode: Opcode,
        bhs: &[u8; BHS_LEN],
        data: &[u8],
    ) -> Result<(), DiscoverFailure> {
        if let State::Login(login) = &mut self.state {
            match login.receive(bhs, data) {
                Step::Send(pdu) => self.out.extend_from_slice(&pdu),
                Step::Redirect { address, .. } => return Err(DiscoverFailure::Redirected(address)),
                Step::Failed { failure, .. } => return Err(DiscoverFailure::Login(failure)),
                Step::Done { negotiated, .. } => {
                    self.cmd_sn = negotiated.cmd_sn;
                    self.exp_stat_sn = negotiated.stat_sn;
                    self.state = State::Asked;
                    let mut text = Vec::new();
                    text::push(&mut text, "SendTargets", self.ask.value());
                    self.request(NO_TAG, &text);
                }
            }
            return Ok(());
        }
        match (opcode, &self.state) {
            (Opcode::TextResponse, State::Asked) => self.answer(bhs, data),
            (Opcode::LogoutResponse, State::LoggingOut) => {
                self.state = State::Over;
                Ok(())
            }
            (Opcode::NopIn, _) => {
                let nop = NopIn::parse(bhs);
                if nop.ttt != NO_TAG {
                    let pong = NopOut {
                        immediate: true,
                        lun: nop.lun,
                        itt: NO_TAG,
                        ttt: nop.ttt,
                        sn: self.sn(),
                    };
                    push(&mut self.out, &[], |len, out| pong.emit(len, out));
                }
                Ok(())
            }
            // The target wants us gone, which we shall be.
            (Opcode::Async, _) => {
                self.exp_stat_sn = self.exp_stat_sn.wrapping_add(1);
                Ok(())
            }
            (Opcode::Reject, _) => Err(DiscoverFailure::Rejected(Reject::parse(bhs).reason)),
            (other, _) => Err(DiscoverFailure::Unexpected(other)),
        }
    }

    const fn sn(&self) -> InitiatorSn {
        InitiatorSn {
            cmd_sn: self.cmd_sn,
            exp_stat_sn: self.exp_stat_sn,
        }
    }

    fn request(&mut self, ttt: u32, text: &[u8]) {
        let request = TextRequest {
            immediate: false,
            is_final: true,
            cont: false,
            lun: 0,
            itt: TEXT_TAG,
            ttt,
            sn: self.sn(),
        };
        self.cmd_sn = self.cmd_sn.wrapping_add(1);
        push(&mut self.out, text, |len, out| request.emit(len, out));
    }

    fn answer(&mut self, bhs: &[u8; BHS_LEN], data: &[u8]) -> Result<(), DiscoverFailure> {
        let r = TextResponse::parse(bhs).map_err(DiscoverFailure::Pdu)?;
        if r.itt != TEXT_TAG {
            return Err(DiscoverFailure::Protocol(
                "an answer to a question that was not asked",
            ));
        }
        self.exp_stat_sn = r.sn.stat_sn.wrapping_add(1);
        let goes_on = r.cont || !r.is_final;
        let Some(text) = self
            .gather
            .take(data, goes_on)
            .map_err(DiscoverFailure::Text)?
        else {
            // The next piece is asked for with an empty request (RFC 7143, 11.10.4).
            if r.ttt == NO_TAG {
                return Err(DiscoverFailure::Protocol(
                    "the answer goes on, but no tag says how to ask for the rest",
                ));
            }
            self.request(r.ttt, &[]);
            return Ok(());
        };
        self.result = Some(discovery::parse(&text).map_err(DiscoverFailure::Answer));
        let logout = LogoutRequest {
            immediate: true,
            reason: LogoutReason::CloseSession,
            itt: LOGOUT_TAG,
            cid: 0,
            sn: self.sn(),
        };
        push(&mut self.out, &[], |_, out| logout.emit(out));
        self.state = State::LoggingOut;
        Ok(())
    }
}

fn push(out: &mut Vec<u8>, text: &[u8], emit: impl FnOnce(usize, &mut [u8])) {
    let mut bhs = [0; BHS_LEN];
    emit(text.len(), &mut bhs);
    out.extend_from_slice(&bhs);
    out.extend_from_slice(text);
    out.resize(out.len() + pad(text.len()), 0);
}

#[cfg(test)]
mod tests {
    use super::super::discovery::Portal;
    use super::super::login::{
        Access, Directory, LoginStatus, Opened, SessionRequest, TargetConfig, TargetLogin,
    };
    use super::super::pdu::{LogoutResponse, TargetSn};
    use super::*;

    struct Shelf;

    impl Directory for Shelf {
        fn access(&self, target: Option<&str>, _: &str) -> Result<Access, LoginStatus> {
            assert_eq!(target, None);
            Ok(Access::default())
        }

        fn open(&mut self, _: &SessionRequest) -> Result<Opened, LoginStatus> {
            Ok(Opened {
                tsih: 1,
                window: None,
            })
        }
    }

    fn targets() -> Vec<Target> {
        (0..40)
            .map(|n| Target {
                name: format!("iqn.2026-01.net.example:disk{n}"),
                alias: None,
                portals: vec![Portal {
                    host: "10.0.0.1".to_owned(),
                    port: 3260,
                    group: n,
                }],
            })
            .collect()
    }

    /// A target that answers in pieces of `piece` bytes, pinging in between.
    struct Peer {
        login: Option<TargetLogin>,
        rest: Vec<u8>,
        piece: usize,
        stat_sn: u32,
        requests: u32,
    }

    impl Peer {
        fn sn(&mut self, take: bool) -> TargetSn {
            let stat_sn = self.stat_sn;
            self.stat_sn = self.stat_sn.wrapping_add(u32::from(take));
            TargetSn {
                stat_sn,
                exp_cmd_sn: 0,
                max_cmd_sn: 0,
            }
        }

        fn answer(&mut self, pdu: &[u8]) -> Vec<u8> {
            let bhs = pdu.first_chunk::<BHS_LEN>().expect("a header");
            let header = Header::parse(bhs).expect("known");
            let data = &pdu[BHS_LEN..BHS_LEN + header.data_len];
            let mut out = Vec::new();
            match header.opcode {
                Opcode::LoginRequest => {
                    let login = self.login.as_mut().expect("during login");
                    match login.receive(bhs, data, &mut Shelf) {
                        Step::Send(pdu) => return pdu,
                        Step::Done { last, negotiated } => {
                            self.stat_sn = negotiated.stat_sn;
                            return last.expect("an answer");
                        }
                        other => panic!("{other:?}"),
                    }
                }
                Opcode::TextRequest => {
                    let r = TextRequest::parse(bhs).expect("right");
                    assert_eq!(r.sn.exp_stat_sn, self.stat_sn);
                    if self.requests == 0 {
                        assert_eq!(data, b"SendTargets=All\0");
                    } else {
                        assert_eq!((r.ttt, data.len()), (9, 0));
                    }
                    self.requests += 1;
                    let ping = NopIn {
                        lun: 0,
                        itt: NO_TAG,
                        ttt: 5,
                        sn: self.sn(false),
                    };
                    push(&mut out, &[], |len, out| ping.emit(len, out));
                    let more = self.rest.split_off(self.piece.min(self.rest.len()));
                    let piece = std::mem::replace(&mut self.rest, more);
                    let last = self.rest.is_empty();
                    let response = TextResponse {
                        is_final: last,
                        cont: !last,
                        lun: 0,
                        itt: r.itt,
                        ttt: if last { NO_TAG } else { 9 },
                        sn: self.sn(true),
                    };
                    push(&mut out, &piece, |len, out| response.emit(len, out));
                }
                Opcode::NopOut => assert_eq!(NopOut::parse(bhs).ttt, 5),
                Opcode::LogoutRequest => {
                    let r = LogoutRequest::parse(bhs).expect("right");
                    assert_eq!(r.reason, LogoutReason::CloseSession);
                    let response = LogoutResponse {
                        response: 0,
                        itt: r.itt,
                        sn: self.sn(true),
                        time2wait: 0,
                        time2retain: 0,
                    };
                    push(&mut out, &[], |_, out| response.emit(out));
                }
                other => panic!("{other}"),
            }
            out
        }
    }

    fn discover(piece: usize, chunk: usize) -> Result<Vec<Target>, DiscoverFailure> {
        let config = InitiatorConfig::new("iqn.host", None, [0x80, 0, 0, 0, 0, 1]);
        let mut client = SendTargets::start(config, Ask::All, [1; 32]);
        let mut peer = Peer {
            login: Some(TargetLogin::new(TargetConfig::default(), [2; 32])),
            rest: discovery::emit(&targets()),
            piece,
            stat_sn: 0,
            requests: 0,
        };
        for _ in 0..1000 {
            let mut sent = client.output();
            while !sent.is_empty() {
                let bhs = sent.first_chunk().expect("whole PDUs");
                let n = Header::parse(bhs).expect("known").data_len;
                let rest = sent.split_off(BHS_LEN + n + pad(n));
                let answer = peer.answer(&sent);
                sent = rest;
                answer.chunks(chunk).for_each(|c| client.receive(c));
            }
            if client.is_over() {
                return client.result();
            }
        }
        panic!("no end")
    }

    #[test]
    fn targets_are_found_whatever_the_pieces() {
        for (piece, chunk) in [(8192, 100_000), (8192, 1), (100, 7), (333, 48)] {
            assert_eq!(discover(piece, chunk), Ok(targets()));
        }
    }

    #[test]
    fn what_goes_wrong_is_named() {
        let start = || {
            let config = InitiatorConfig::new("iqn.host", None, [0x80, 0, 0, 0, 0, 1]);
            SendTargets::start(config, Ask::All, [1; 32])
        };
        let mut client = start();
        client.closed();
        assert_eq!(client.result(), Err(DiscoverFailure::Closed));
        let mut client = start();
        client.receive(&[0x3e; 48]);
        assert!(client.is_over());
        assert_eq!(
            client.result(),
            Err(DiscoverFailure::Pdu(PduError::UnknownOpcode(0x3e)))
        );
    }
}
