//! iSCSI text, SendTargets, CHAP values, and both halves of a login.

use super::Input;
use crate::proto::iscsi::chap::{Algorithm, Challenge, Credentials, Secret};
use crate::proto::iscsi::discovery::{self, Ask, Portal};
use crate::proto::iscsi::keys::{self, Key};
use crate::proto::iscsi::login::{
    Access, Directory, InitiatorConfig, InitiatorLogin, LoginStatus, Opened, SessionRequest, Step,
    TargetConfig, TargetLogin,
};
use crate::proto::iscsi::pdu::{BHS_LEN, Header, NO_TAG, Repr, TargetSn, TextResponse, pad};
use crate::proto::iscsi::send_targets::SendTargets;
use crate::proto::iscsi::serial::CmdWindow;
use crate::proto::iscsi::text;

const ISID: [u8; 6] = [0x80, 0, 0, 0, 0, 1];
const INITIATOR: &str = "iqn.i";
const TARGET: &str = "iqn.t";

/// A text: its pairs, written again, read again; each key's rule; numbers and binaries.
pub(super) fn run_text(bytes: &[u8]) {
    let Ok(pairs) = text::pairs(bytes).map_err(|e| e.to_string()) else {
        return;
    };
    let mut again = Vec::new();
    for (key, value) in &pairs {
        text::push(&mut again, key, value);
        if let Some(b) = text::binary(value, 1024) {
            assert_eq!(text::binary(&text::hex(&b), 1024), Some(b.clone()));
            assert_eq!(text::binary(&text::base64(&b), 1024), Some(b));
        }
        if let Some(portal) = Portal::from_value(value) {
            assert_eq!(Portal::from_value(&portal.value()), Some(portal));
        }
        let _ = Algorithm::choose(value, &Algorithm::ALL);
        let _ = Secret::new(value);
        let challenge = Challenge::new(&[7; 32]);
        let secret = Secret::new("a secret").expect("not empty");
        assert!(!challenge.answered(Algorithm::Md5, &secret, value));
        if let Some(key) = Key::from_name(key) {
            // Who answers and who offered come to the same result.
            if let Some(result) = keys::answer(key, value, key.default())
                && key.rule() != keys::Rule::Declare
            {
                assert!(
                    keys::accept(key, value, &result).is_some(),
                    "{key:?} {value}"
                );
            }
            let _ = keys::accept(key, key.default(), value);
        }
    }
    assert_eq!(text::pairs(&again), Ok(pairs));
    if let Ok(targets) = discovery::parse(bytes) {
        assert_eq!(discovery::parse(&discovery::emit(&targets)), Ok(targets));
    }
}

#[derive(Debug)]
struct Shelf {
    access: Access,
    /// Of the session that further connections may join.
    window: Option<CmdWindow>,
}

impl Directory for Shelf {
    fn access(&self, target: Option<&str>, initiator: &str) -> Result<Access, LoginStatus> {
        assert!(!initiator.is_empty());
        match target {
            Some(t) if t != TARGET => Err(LoginStatus::NotFound),
            _ => Ok(self.access.clone()),
        }
    }

    fn moved(&self, target: &str, _: &str) -> Option<(String, bool)> {
        (target == "iqn.moved").then(|| ("h:1,1".to_owned(), true))
    }

    fn open(&mut self, request: &SessionRequest) -> Result<Opened, LoginStatus> {
        match (request.tsih, self.window) {
            (0, _) => Ok(Opened {
                tsih: 1,
                window: None,
            }),
            (1, Some(window)) => Ok(Opened {
                tsih: 1,
                window: Some(window),
            }),
            _ => Err(LoginStatus::SessionDoesNotExist),
        }
    }
}

/// A target that lets in whoever proves to be who he says, or anybody.
pub(super) fn shelf(chap: bool) -> impl Directory {
    Shelf {
        access: Access {
            alias: None,
            chap: if chap { vec![credentials("i")] } else { vec![] },
            ours: chap.then(|| credentials("t")),
        },
        window: None,
    }
}

/// A target with a session that further connections may join.
pub(super) fn shelf_with_session(window: CmdWindow) -> impl Directory {
    Shelf {
        access: Access::default(),
        window: Some(window),
    }
}

fn credentials(name: &str) -> Credentials {
    Credentials {
        name: name.to_owned(),
        secret: Secret::new(&format!("the secret of {name}")).expect("not empty"),
    }
}

/// A PDU of the stream with its data segment; the rest of the stream.
type Piece<'a> = (&'a [u8; BHS_LEN], &'a [u8], &'a [u8]);

fn piece(rest: &[u8]) -> Option<Piece<'_>> {
    let bhs = rest.first_chunk::<BHS_LEN>()?;
    let n = usize::from(u16::from_be_bytes([bhs[6], bhs[7]]) & 0x3fff);
    let data = &rest[BHS_LEN..(BHS_LEN + n).min(rest.len())];
    Some((bhs, data, &rest[(BHS_LEN + n + pad(n)).min(rest.len())..]))
}

/// What is sent is a whole PDU with a known header.
fn whole(pdu: &[u8]) {
    let bhs = pdu.first_chunk().expect("a header");
    let n = Header::parse(bhs).expect("a known opcode").data_len;
    assert!(n <= text::SEGMENT_MAX);
    assert_eq!(pdu.len(), BHS_LEN + n + pad(n));
}

/// True while the login goes on.
fn checked(step: &Step) -> bool {
    match step {
        Step::Send(pdu) => {
            whole(pdu);
            return true;
        }
        Step::Done { last, negotiated } => {
            last.iter().for_each(|pdu| whole(pdu));
            assert!(negotiated.tsih != 0);
            assert!(negotiated.params.first_burst <= negotiated.params.max_burst);
            assert!(negotiated.params.max_send >= 512);
        }
        Step::Failed { last, failure } => {
            last.iter().for_each(|pdu| whole(pdu));
            assert!(!failure.to_string().is_empty());
        }
        Step::Redirect { .. } => {}
    }
    false
}

/// A target login fed with any requests. Nobody gets in without the secret.
pub(super) fn run_target(bytes: &[u8]) {
    let mut input = Input::new(bytes);
    let chap = input.bit();
    let mut shelf = shelf(chap);
    let mut login = TargetLogin::new(TargetConfig::default(), [3; 32]);
    let mut rest = input.rest();
    while let Some((bhs, data, more)) = piece(rest) {
        let step = login.receive(bhs, data, &mut shelf);
        if let Step::Done { negotiated, .. } = &step {
            assert!(!chap || negotiated.authenticated.is_some());
        }
        if !checked(&step) {
            return;
        }
        rest = more;
    }
}

fn config(chap: bool) -> InitiatorConfig {
    let mut config = InitiatorConfig::new(INITIATOR, Some(TARGET), ISID);
    if chap {
        config.chap = Some(credentials("i"));
        config.target_chap = Some(credentials("t"));
    }
    config
}

/// An initiator login fed with any answers. A target that must prove itself does not get by without.
pub(super) fn run_initiator(bytes: &[u8]) {
    let mut input = Input::new(bytes);
    let chap = input.bit();
    let (mut login, first) = InitiatorLogin::start(config(chap), [4; 32]);
    whole(&first);
    let mut rest = input.rest();
    while let Some((bhs, data, more)) = piece(rest) {
        let step = login.receive(bhs, data);
        if let Step::Done { negotiated, .. } = &step {
            assert!(!chap || negotiated.authenticated.is_some());
        }
        if !checked(&step) {
            return;
        }
        rest = more;
    }
}

/// A discovery fed with any answers, after a login that succeeds or with whatever comes first.
pub(super) fn run_send_targets(bytes: &[u8]) {
    let mut input = Input::new(bytes);
    let choice = input.byte();
    let config = InitiatorConfig::new(INITIATOR, None, ISID);
    let mut client = SendTargets::start(config, Ask::All, [4; 32]);
    let mut login = TargetLogin::new(TargetConfig::default(), [3; 32]);
    let mut asked = None;
    let mut stat_sn = 0_u32;
    for _ in 0..64 {
        let sent = client.output();
        let mut rest = &sent[..];
        while let Some((bhs, data, more)) = piece(rest) {
            rest = more;
            match Repr::parse(bhs).expect("a client sends what is right") {
                Repr::LoginRequest(_) if choice & 1 == 0 => {
                    let answer = match login.receive(bhs, data, &mut shelf(false)) {
                        Step::Send(pdu) => pdu,
                        Step::Done { last, negotiated } => {
                            stat_sn = negotiated.stat_sn;
                            last.unwrap_or_default()
                        }
                        other => unreachable!("a login that succeeds: {other:?}"),
                    };
                    client.receive(&answer);
                }
                Repr::TextRequest(t) => asked = Some(t.itt),
                _ => {}
            }
        }
        if client.is_over() || input.is_empty() {
            break;
        }
        let flags = input.byte();
        if let (Some(itt), true) = (asked, flags & 3 != 0) {
            let n = usize::from(input.byte());
            let text = input.bytes(n);
            let response = TextResponse {
                is_final: flags & 4 == 0,
                cont: flags & 4 != 0,
                lun: 0,
                itt,
                ttt: if flags & 4 == 0 { NO_TAG } else { 9 },
                sn: TargetSn {
                    stat_sn,
                    exp_cmd_sn: 0,
                    max_cmd_sn: 0,
                },
            };
            stat_sn = stat_sn.wrapping_add(1);
            let mut pdu = vec![0; BHS_LEN];
            response.emit(n.min(text.len()), &mut pdu);
            pdu.extend_from_slice(text);
            pdu.resize(pdu.len() + pad(text.len()), 0);
            client.receive(&pdu);
        } else {
            let n = usize::from(input.byte());
            client.receive(input.bytes(n));
        }
    }
    client.closed();
    match client.result() {
        Ok(targets) => assert_eq!(discovery::parse(&discovery::emit(&targets)), Ok(targets)),
        Err(failure) => assert!(!failure.to_string().is_empty()),
    }
}

pub(super) fn send_targets_seeds() -> Vec<Vec<u8>> {
    let answer = |flags: u8, text: &[u8]| [&[flags, text.len() as u8], text].concat();
    let whole = answer(1, b"TargetName=iqn.a\0TargetAddress=h:3260,1\0");
    let first = answer(5, b"TargetName=iqn.a\0TargetAdd");
    let second = answer(1, b"ress=[::1],2\0TargetName=iqn.b\0");
    vec![
        [&[0], &whole[..]].concat(),
        [&[0], &first[..], &second[..]].concat(),
        // The answers of a target that is none, to the login.
        [&[1, 0, 200], &recorded(false).1[1..]].concat(),
    ]
}

/// Everything each side sends in a login that succeeds: requests, answers.
fn recorded(chap: bool) -> (Vec<u8>, Vec<u8>) {
    let (mut i, mut request) = InitiatorLogin::start(config(chap), [4; 32]);
    let mut t = TargetLogin::new(TargetConfig::default(), [3; 32]);
    let mut shelf = Shelf {
        access: Access {
            alias: Some("alias".to_owned()),
            chap: if chap { vec![credentials("i")] } else { vec![] },
            ours: chap.then(|| credentials("t")),
        },
        window: None,
    };
    let (mut requests, mut answers) = (vec![u8::from(chap)], vec![u8::from(chap)]);
    loop {
        requests.extend_from_slice(&request);
        let (bhs, data, _) = piece(&request).expect("a request");
        let answer = match t.receive(bhs, data, &mut shelf) {
            Step::Send(pdu) => pdu,
            Step::Done {
                last: Some(pdu), ..
            } => pdu,
            other => unreachable!("a login that succeeds: {other:?}"),
        };
        answers.extend_from_slice(&answer);
        let (bhs, data, _) = piece(&answer).expect("an answer");
        match i.receive(bhs, data) {
            Step::Send(next) => request = next,
            Step::Done { .. } => return (requests, answers),
            other => unreachable!("a login that succeeds: {other:?}"),
        }
    }
}

pub(super) fn target_seeds() -> Vec<Vec<u8>> {
    vec![recorded(false).0, recorded(true).0]
}

pub(super) fn initiator_seeds() -> Vec<Vec<u8>> {
    vec![recorded(false).1, recorded(true).1]
}

pub(super) fn text_seeds() -> Vec<Vec<u8>> {
    let mut all: Vec<Vec<u8>> = [
        &b"TargetName=iqn.a\0TargetAlias=x\0TargetAddress=[::1]:3260,1\0TargetAddress=h,2\0"[..],
        b"CHAP_A=7,5\0CHAP_I=0x1F\0CHAP_C=0bAAECAwQ=\0CHAP_R=0x00112233\0",
        b"X-com.example=NotUnderstood\0SendTargets=All\0\0",
    ]
    .iter()
    .map(|b| b.to_vec())
    .collect();
    let mut keys = Vec::new();
    for key in Key::ALL {
        text::push(&mut keys, key.name(), key.default());
    }
    all.push(keys);
    all
}
