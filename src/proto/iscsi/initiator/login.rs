//! The login of a session as far as the session is concerned: bytes out, answers in, and at the end
//! what was agreed on.

use super::super::chap::Algorithm;
use super::super::login::{DigestOffer, InitiatorConfig, InitiatorLogin, Negotiated, Offer, Step};
use super::super::serial::CmdWindow;
use super::connection::Params;
use super::info::SessionConfig;
use super::member::CONNECTIONS_MAX;
use super::wire::BHS;

/// R2Ts outstanding per task that are offered.
const MAX_R2T: u16 = 8;

/// CHAP algorithms as they are offered. SHA-256 comes last, since Debian's tgt takes its number (7)
/// for SHA-1 and picks the first that it believes to know.
const ALGORITHMS: [Algorithm; 4] = [
    Algorithm::Sha3_256,
    Algorithm::Sha1,
    Algorithm::Md5,
    Algorithm::Sha256,
];

/// What follows an answer.
#[derive(Debug)]
pub(super) enum LoginStep {
    Send(Vec<u8>),
    Refused(String),
    /// The target is elsewhere (RFC 7143, 11.13.5): TargetAddress.
    Moved {
        address: String,
        permanent: bool,
    },
    Done(Done),
}

/// What a login leads to.
#[derive(Debug)]
pub(super) struct Done {
    pub(super) params: Params,
    pub(super) cmd_sn: u32,
    pub(super) exp_stat_sn: u32,
    pub(super) window: CmdWindow,
    pub(super) tsih: u16,
    pub(super) max_connections: u16,
    pub(super) target_portal_group: Option<u16>,
}

/// Which connection of which session logs in.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(super) struct Identity {
    /// Zero: it makes the session.
    pub(super) tsih: u16,
    pub(super) cid: u16,
    /// The session's next command number.
    pub(super) cmd_sn: u32,
}

/// One login under way.
#[derive(Debug)]
pub(super) struct Login(InitiatorLogin);

impl Login {
    /// Starts a login; the bytes are its first request.
    pub(super) fn start(c: &SessionConfig, of: Identity) -> (Self, Vec<u8>) {
        // Somebody configured them: going on without would be a silent loss of protection, so that
        // nothing else is offered.
        let digest = |on| {
            if on {
                DigestOffer::Crc32c
            } else {
                DigestOffer::None
            }
        };
        let config = InitiatorConfig {
            tsih: of.tsih,
            cid: of.cid,
            cmd_sn: of.cmd_sn,
            chap: c.chap.clone(),
            target_chap: c.target_chap.clone(),
            algorithms: ALGORITHMS.to_vec(),
            offer: Offer {
                header_digest: digest(c.header_digest),
                data_digest: digest(c.data_digest),
                initial_r2t: c.initial_r2t,
                immediate_data: c.immediate_data,
                max_recv: c.max_recv,
                max_burst: c.max_burst,
                first_burst: c.first_burst,
                max_outstanding_r2t: MAX_R2T,
                max_connections: CONNECTIONS_MAX as u16,
                ..Offer::default()
            },
            ..InitiatorConfig::new(&c.initiator_name, Some(&c.target_name), c.isid)
        };
        let (login, bytes) = InitiatorLogin::start(config, c.entropy);
        (Self(login), bytes)
    }

    /// Takes an answer: header and data.
    pub(super) fn answer(&mut self, pdu: &[u8]) -> LoginStep {
        let Some((bhs, data)) = pdu.split_first_chunk::<BHS>() else {
            return LoginStep::Refused("the answer to the login is too short".to_owned());
        };
        match self.0.receive(bhs, data) {
            Step::Send(bytes) => LoginStep::Send(bytes),
            Step::Done { negotiated, .. } => LoginStep::Done(done(&negotiated)),
            Step::Redirect { address, permanent } => LoginStep::Moved { address, permanent },
            Step::Failed { failure, .. } => LoginStep::Refused(failure.to_string()),
        }
    }
}

fn done(n: &Negotiated) -> Done {
    let p = &n.params;
    Done {
        params: Params {
            header_digest: p.digests.header,
            data_digest: p.digests.data,
            immediate_data: p.immediate_data,
            initial_r2t: p.initial_r2t,
            first_burst: p.first_burst,
            max_burst: p.max_burst,
            max_send: p.max_send,
            max_recv: p.max_recv,
            max_r2t: u32::from(p.max_outstanding_r2t),
        },
        cmd_sn: n.cmd_sn,
        exp_stat_sn: n.stat_sn,
        window: n.window,
        tsih: n.tsih,
        max_connections: p.max_connections,
        target_portal_group: n.portal_group,
    }
}
