//! Both halves against each other, and each against a peer that errs.

mod model;

use super::super::chap::{Algorithm, Credentials, Secret};
use super::super::pdu::{Header, LoginRequest, LoginResponse};
use super::super::text;
use super::*;
use proptest::prelude::*;

const ISID: [u8; 6] = [0x80, 1, 2, 3, 4, 5];
const INITIATOR: &str = "iqn.2026-01.net.example:host";
const TARGET: &str = "iqn.2026-01.net.example:disk";

#[derive(Default)]
struct Shelf {
    access: Access,
    refuse: Option<LoginStatus>,
    moved: Option<(String, bool)>,
    full: bool,
    asked: Vec<SessionRequest>,
}

impl Directory for Shelf {
    fn access(&self, target: Option<&str>, initiator: &str) -> Result<Access, LoginStatus> {
        assert_eq!(initiator, INITIATOR);
        match (target, self.refuse) {
            (_, Some(status)) => Err(status),
            (None | Some(TARGET), None) => Ok(self.access.clone()),
            _ => Err(LoginStatus::NotFound),
        }
    }

    fn moved(&self, _: &str, _: &str) -> Option<(String, bool)> {
        self.moved.clone()
    }

    fn open(&mut self, request: &SessionRequest) -> Result<Opened, LoginStatus> {
        self.asked.push(request.clone());
        if self.full {
            return Err(LoginStatus::OutOfResources);
        }
        Ok(Opened {
            tsih: if request.tsih == 0 { 7 } else { request.tsih },
            window: None,
        })
    }
}

fn split(pdu: &[u8]) -> (&[u8; BHS_LEN], &[u8]) {
    let bhs = pdu.first_chunk().expect("a header");
    let n = Header::parse(bhs).expect("a known opcode").data_len;
    assert_eq!(pdu.len(), BHS_LEN + n + pad(n));
    (bhs, &pdu[BHS_LEN..BHS_LEN + n])
}

/// Runs a login to its end on both sides.
fn run(config: InitiatorConfig, target: TargetConfig, shelf: &mut Shelf) -> (Step, Step) {
    let (mut i, mut pdu) = InitiatorLogin::start(config, [1; 32]);
    let mut t = TargetLogin::new(target, [2; 32]);
    for _ in 0..100 {
        let (bhs, data) = split(&pdu);
        let there = t.receive(bhs, data, shelf);
        let last = match &there {
            Step::Send(pdu) => pdu.clone(),
            Step::Done { last, .. } | Step::Failed { last, .. } => {
                last.clone().expect("a target answers")
            }
            Step::Redirect { .. } => panic!("a target is not redirected"),
        };
        let (bhs, data) = split(&last);
        match (i.receive(bhs, data), there) {
            (Step::Send(next), Step::Send(_)) => pdu = next,
            (here, there) => return (here, there),
        }
    }
    panic!("the login comes to no end");
}

fn config() -> InitiatorConfig {
    InitiatorConfig::new(INITIATOR, Some(TARGET), ISID)
}

fn credentials(name: &str, secret: &str) -> Credentials {
    Credentials {
        name: name.to_owned(),
        secret: Secret::new(secret).expect("not empty"),
    }
}

fn done(step: Step) -> Negotiated {
    match step {
        Step::Done { negotiated, .. } => *negotiated,
        other => panic!("{other:?}"),
    }
}

fn failure(step: Step) -> LoginFailure {
    match step {
        Step::Failed { failure, .. } => failure,
        other => panic!("{other:?}"),
    }
}

/// Both sides hold the same, seen from their ends.
fn agreed(i: &Negotiated, t: &Negotiated) {
    let mut mirrored = t.clone();
    mirrored.params.max_send = t.params.max_recv;
    mirrored.params.max_recv = t.params.max_send;
    if i.discovery {
        mirrored.portal_group = i.portal_group;
    }
    assert_eq!(*i, mirrored);
}

#[test]
fn plain_login() {
    let mut shelf = Shelf::default();
    shelf.access.alias = Some("a disk".to_owned());
    let (i, t) = run(config(), TargetConfig::default(), &mut shelf);
    let (i, t) = (done(i), done(t));
    agreed(&i, &t);
    assert_eq!((i.tsih, i.portal_group, i.cmd_sn), (7, Some(1), 1));
    assert_eq!(i.target_alias.as_deref(), Some("a disk"));
    assert_eq!((i.window.exp_cmd_sn, i.window.max_cmd_sn), (1, 128));
    assert!(!i.params.initial_r2t && i.params.immediate_data);
    assert_eq!(i.authenticated, None);
    assert_eq!(shelf.asked.len(), 1);
}

#[test]
fn discovery_login() {
    let config = InitiatorConfig::new(INITIATOR, None, ISID);
    let (i, t) = run(config, TargetConfig::default(), &mut Shelf::default());
    let (i, t) = (done(i), done(t));
    agreed(&i, &t);
    assert!(i.discovery);
    assert_eq!(i.params.max_burst, Operational::default().max_burst);
}

fn chap_shelf(mutual: bool) -> Shelf {
    let mut shelf = Shelf::default();
    shelf.access.chap = vec![
        credentials("other", "another secret 1"),
        credentials("host", "initiator secret"),
    ];
    if mutual {
        shelf.access.ours = Some(credentials("disk", "target secret 12"));
    }
    shelf
}

#[test]
fn chap_one_way_and_mutual_with_every_algorithm() {
    for algorithm in Algorithm::ALL {
        for mutual in [false, true] {
            let mut c = config();
            c.algorithms = vec![algorithm];
            c.chap = Some(credentials("host", "initiator secret"));
            c.target_chap = mutual.then(|| credentials("disk", "target secret 12"));
            let (i, t) = run(c, TargetConfig::default(), &mut chap_shelf(mutual));
            let (i, t) = (done(i), done(t));
            agreed(&i, &t);
            assert_eq!(t.authenticated.as_deref(), Some("host"));
        }
    }
}

#[test]
fn wrong_chap_says_so_on_both_sides() {
    for (name, secret) in [("host", "wrong secret 123"), ("nobody", "initiator secret")] {
        let mut c = config();
        c.chap = Some(credentials(name, secret));
        let mut shelf = chap_shelf(false);
        let (i, t) = run(c, TargetConfig::default(), &mut shelf);
        let (i, t) = (failure(i), failure(t));
        assert!(i.is_authentication() && t.is_authentication());
        let words = i.to_string();
        assert!(
            words.contains("CHAP name") && words.contains(name),
            "{words}"
        );
        let words = t.to_string();
        assert!(
            words.contains("wrong CHAP name or response") && words.contains(name),
            "{words}"
        );
        assert!(shelf.asked.is_empty());
    }
}

#[test]
fn a_target_that_does_not_know_its_secret_is_left() {
    let mut c = config();
    c.chap = Some(credentials("host", "initiator secret"));
    c.target_chap = Some(credentials("disk", "what it should be"));
    let (i, _) = run(c, TargetConfig::default(), &mut chap_shelf(true));
    let f = failure(i);
    assert!(
        matches!(&f, LoginFailure::ChapWrong { who: "target", .. }),
        "{f}"
    );
}

#[test]
fn no_chap_where_it_is_wanted() {
    let (i, t) = run(config(), TargetConfig::default(), &mut chap_shelf(false));
    assert!(failure(i).to_string().contains("the target wants CHAP"));
    assert!(failure(t).to_string().contains("CHAP is wanted"));
    // One-way credentials do for a target that wants none.
    let mut c = config();
    c.chap = Some(credentials("host", "initiator secret"));
    let (i, _) = run(c.clone(), TargetConfig::default(), &mut Shelf::default());
    assert_eq!(done(i).authenticated, None);
    // Mutual ones do not: the target must prove itself.
    c.target_chap = Some(credentials("disk", "target secret 12"));
    let (i, t) = run(c.clone(), TargetConfig::default(), &mut Shelf::default());
    assert!(failure(i).is_authentication() && failure(t).is_authentication());
    // One secret for both ways proves nothing.
    c.target_chap = Some(credentials("disk", "initiator secret"));
    let mut t = TargetLogin::new(TargetConfig::default(), [2; 32]);
    let (mut i, first) = InitiatorLogin::start(c, [1; 32]);
    let mut shelf = chap_shelf(true);
    let mut pdu = first;
    let words = loop {
        let (bhs, data) = split(&pdu);
        let Step::Send(answer) = t.receive(bhs, data, &mut shelf) else {
            panic!("the target has nothing against it yet")
        };
        let (bhs, data) = split(&answer);
        match i.receive(bhs, data) {
            Step::Send(next) => pdu = next,
            Step::Failed { failure, .. } => break failure.to_string(),
            other => panic!("{other:?}"),
        }
    };
    assert!(words.contains("same secret"), "{words}");
}

#[test]
fn our_own_challenge_sent_back_is_seen() {
    // The same entropy on both sides: the same challenge.
    let mut c = config();
    c.chap = Some(credentials("host", "initiator secret"));
    let mut shelf = chap_shelf(false);
    let (mut i, mut pdu) = InitiatorLogin::start(c, [2; 32]);
    let mut t = TargetLogin::new(TargetConfig::default(), [2; 32]);
    loop {
        let (bhs, data) = split(&pdu);
        let Step::Send(answer) = t.receive(bhs, data, &mut shelf) else {
            panic!("the target goes on")
        };
        let (bhs, data) = split(&answer);
        match i.receive(bhs, data) {
            Step::Send(next) => pdu = next,
            step => return assert_eq!(failure(step), LoginFailure::ChapReflected),
        }
    }
}

#[test]
fn refusals_and_redirections() {
    let mut shelf = Shelf {
        refuse: Some(LoginStatus::AuthorizationFailure),
        ..Shelf::default()
    };
    let (i, _) = run(config(), TargetConfig::default(), &mut shelf);
    assert!(failure(i).to_string().contains("0202h"));
    let mut c = config();
    c.target_name = Some("iqn.2026-01.net.example:other".to_owned());
    let (i, _) = run(c, TargetConfig::default(), &mut Shelf::default());
    assert!(failure(i).to_string().contains("no such target"));
    let mut shelf = Shelf {
        moved: Some(("10.0.0.2:3260,1".to_owned(), true)),
        ..Shelf::default()
    };
    let (i, _) = run(config(), TargetConfig::default(), &mut shelf);
    assert_eq!(
        i,
        Step::Redirect {
            address: "10.0.0.2:3260,1".to_owned(),
            permanent: true
        }
    );
    let mut shelf = Shelf {
        full: true,
        ..Shelf::default()
    };
    let (i, t) = run(config(), TargetConfig::default(), &mut shelf);
    assert!(failure(i).to_string().contains("out of resources"));
    assert_eq!(
        failure(t),
        LoginFailure::Status(LoginStatus::OutOfResources)
    );
}

#[test]
fn a_digest_that_was_asked_for_does_not_get_lost() {
    let mut c = config();
    c.offer.header_digest = DigestOffer::Crc32c;
    let (_, t) = run(c.clone(), TargetConfig::default(), &mut Shelf::default());
    // The target rejects the offer, the initiator does not go on without.
    assert!(matches!(
        t,
        Step::Done { .. } | Step::Failed { .. } | Step::Send(_)
    ));
    let (i, _) = run(c.clone(), TargetConfig::default(), &mut Shelf::default());
    assert!(matches!(failure(i), LoginFailure::Value { key, .. } if key == "HeaderDigest"));
    let mut target = TargetConfig::default();
    target.offer.header_digest = DigestOffer::PreferNone;
    target.offer.data_digest = DigestOffer::Crc32c;
    c.offer.data_digest = DigestOffer::PreferCrc32c;
    let (i, t) = run(c, target, &mut Shelf::default());
    let (i, t) = (done(i), done(t));
    agreed(&i, &t);
    assert!(i.params.digests.header && i.params.digests.data);
}

fn request(csg: u8, transit: Option<u8>, cont: bool, tsih: u16, text: &[u8]) -> Vec<u8> {
    let r = LoginRequest {
        transit: transit.is_some(),
        cont,
        csg,
        nsg: transit.unwrap_or(0),
        version_max: 0,
        version_min: 0,
        isid: ISID,
        tsih,
        itt: 3,
        cid: 0,
        sn: super::super::pdu::InitiatorSn::default(),
    };
    pdu(text, |len, out| r.emit(len, out))
}

fn text(pairs: &[(&str, &str)]) -> Vec<u8> {
    let mut out = Vec::new();
    for (k, v) in pairs {
        text::push(&mut out, k, v);
    }
    out
}

/// One request to a new target login.
fn first(pdu: &[u8]) -> (TargetLogin, Step) {
    let mut t = TargetLogin::new(TargetConfig::default(), [2; 32]);
    let (bhs, data) = split(pdu);
    let step = t.receive(bhs, data, &mut Shelf::default());
    (t, step)
}

const NAMES: [(&str, &str); 2] = [("InitiatorName", INITIATOR), ("TargetName", TARGET)];

fn sent(step: &Step) -> (LoginResponse, Vec<(String, String)>) {
    let pdu = match step {
        Step::Send(pdu) => pdu,
        Step::Done { last: Some(p), .. } | Step::Failed { last: Some(p), .. } => p,
        other => panic!("{other:?}"),
    };
    let (bhs, data) = split(pdu);
    let pairs = text::pairs(data).expect("pairs");
    let own = |(k, v): (&str, &str)| (k.to_owned(), v.to_owned());
    (
        LoginResponse::parse(bhs).expect("a login response"),
        pairs.into_iter().map(own).collect(),
    )
}

#[test]
fn what_is_missing_is_named() {
    let (_, step) = first(&request(1, Some(3), false, 0, &text(&NAMES[1..])));
    assert_eq!(failure(step), LoginFailure::Missing("InitiatorName"));
    let (_, step) = first(&request(1, Some(3), false, 0, &text(&NAMES[..1])));
    assert_eq!(sent(&step).0.status_detail, 7);
    let bad = text(&[NAMES[0], ("SessionType", "Chat")]);
    let (_, step) = first(&request(1, None, false, 0, &bad));
    assert_eq!(sent(&step).0.status_detail, 9);
}

#[test]
fn a_login_in_one_exchange_gets_the_defaults_and_our_limits() {
    // Straight to the operational stage, as the simplest initiators do. Our MaxBurstLength and so on
    // are beyond the defaults, InitialR2T=Yes stands: nothing is left to be said but what we take.
    let (_, step) = first(&request(1, Some(3), false, 0, &text(&NAMES)));
    let (r, pairs) = sent(&step);
    assert!(
        !r.transit,
        "DefaultTime2Retain is to be answered: {pairs:?}"
    );
    assert!(pairs.contains(&("DefaultTime2Retain".into(), "0".into())));
    assert!(pairs.contains(&("TargetPortalGroupTag".into(), "1".into())));
    assert!(pairs.contains(&("MaxRecvDataSegmentLength".into(), "262144".into())));
}

#[test]
fn unknown_keys_rejects_and_irrelevance() {
    let keys = text(&[
        NAMES[0],
        ("SessionType", "Discovery"),
        ("X-net.example.speed", "fast"),
        ("MaxBurstLength", "1"),
        ("HeaderDigest", "CRC32C"),
        ("OFMarker", "Yes"),
        ("DefaultTime2Wait", "9999"),
        ("ErrorRecoveryLevel", "2"),
    ]);
    let (_, step) = first(&request(1, None, false, 0, &keys));
    let (_, pairs) = sent(&step);
    let get = |k: &str| pairs.iter().find(|(n, _)| n == k).map(|(_, v)| &v[..]);
    assert_eq!(get("X-net.example.speed"), Some("NotUnderstood"));
    assert_eq!(get("MaxBurstLength"), Some("Irrelevant"));
    assert_eq!(get("HeaderDigest"), Some("Reject"));
    assert_eq!(get("OFMarker"), Some("No"));
    assert_eq!(get("DefaultTime2Wait"), Some("Reject"));
    assert_eq!(get("ErrorRecoveryLevel"), Some("0"));
}

#[test]
fn text_over_several_pdus_and_what_must_not_change() {
    let whole = text(&NAMES);
    let (a, b) = whole.split_at(20);
    let (mut t, step) = first(&request(0, None, true, 0, a));
    let (r, pairs) = sent(&step);
    assert!(!r.transit && !r.cont && pairs.is_empty());
    let pdu = request(0, Some(1), false, 0, b);
    let (bhs, data) = split(&pdu);
    let step = t.receive(bhs, data, &mut Shelf::default());
    assert!(sent(&step).0.transit);
    // Another TSIH in the next request.
    let pdu = request(1, Some(3), false, 9, &[]);
    let (bhs, data) = split(&pdu);
    let step = t.receive(bhs, data, &mut Shelf::default());
    assert_eq!(sent(&step).0.status_class, 2);
    assert!(matches!(failure(step), LoginFailure::Protocol(_)));
    // Nothing goes on after the end.
    assert!(matches!(
        t.receive(bhs, data, &mut Shelf::default()),
        Step::Failed { .. }
    ));
}

#[test]
fn a_key_twice_ends_the_login() {
    let keys = text(&[NAMES[0], NAMES[1], ("MaxConnections", "1")]);
    let (mut t, step) = first(&request(1, None, false, 0, &keys));
    assert!(matches!(step, Step::Send(_)));
    let pdu = request(1, None, false, 0, &text(&[("MaxConnections", "2")]));
    let (bhs, data) = split(&pdu);
    let step = t.receive(bhs, data, &mut Shelf::default());
    assert!(matches!(failure(step), LoginFailure::Value { key, .. } if key == "MaxConnections"));
}

#[test]
fn many_unknown_keys_are_answered_in_pieces() {
    let mut keys = text(&NAMES);
    for n in 0..600 {
        text::push(
            &mut keys,
            &format!("X-net.example.a-long-name-of-key-{n}"),
            "1",
        );
    }
    let mut t = TargetLogin::new(TargetConfig::default(), [2; 32]);
    let mut step = None;
    let pieces: Vec<&[u8]> = keys.chunks(8192).collect();
    for (n, piece) in pieces.iter().enumerate() {
        let pdu = request(1, None, n + 1 < pieces.len(), 0, piece);
        let (bhs, data) = split(&pdu);
        step = Some(t.receive(bhs, data, &mut Shelf::default()));
    }
    let mut got = 0;
    loop {
        let Step::Send(pdu) = step.take().expect("an answer") else {
            panic!("not sent")
        };
        let (bhs, data) = split(&pdu);
        got += data.windows(14).filter(|w| *w == b"=NotUnderstood").count();
        if !LoginResponse::parse(bhs).unwrap().cont {
            break;
        }
        let pdu = request(1, None, false, 0, &[]);
        let (bhs, data) = split(&pdu);
        step = Some(t.receive(bhs, data, &mut Shelf::default()));
    }
    // Each is answered; a value may lie across two pieces.
    assert!((590..=600).contains(&got), "{got}");
}

#[test]
fn admissions() {
    let request = |tsih, cid| SessionRequest {
        initiator_name: INITIATOR.to_owned(),
        target_name: Some(TARGET.to_owned()),
        isid: ISID,
        tsih,
        cid,
        max_connections: 1,
    };
    let up = |cid_used| [(INITIATOR, ISID, 5, cid_used), ("iqn.b", ISID, 6, false)];
    assert_eq!(request(0, 0).admission([]), Admission::New);
    assert_eq!(
        request(0, 0).admission(up(true)),
        Admission::Reinstate { old: 5 }
    );
    assert_eq!(
        request(5, 1).admission(up(false)),
        Admission::Join { tsih: 5 }
    );
    assert_eq!(
        request(5, 0).admission(up(true)),
        Admission::Replace { tsih: 5 }
    );
    assert_eq!(request(6, 0).admission(up(true)), Admission::NoSession);
    assert_eq!(request(5, 0).admission([]), Admission::NoSession);
}

fn offers() -> impl Strategy<Value = Offer> {
    (
        (0_u8..4, 0_u8..4, 1_u16.., any::<bool>(), any::<bool>()),
        (512_u32..1 << 24, 512_u32..1 << 24, 512_u32..1 << 24),
        (0_u16..=3600, 0_u16..=3600, 1_u16..),
    )
        .prop_map(
            |((h, d, conns, r2t, immediate), (recv, burst, first), (wait, retain, r2ts))| {
                // No digest is insisted on: every pair comes to a result.
                let digest = |n| match n {
                    0 => DigestOffer::None,
                    1 | 2 => DigestOffer::PreferCrc32c,
                    _ => DigestOffer::PreferNone,
                };
                Offer {
                    header_digest: digest(h),
                    data_digest: digest(d),
                    max_connections: conns,
                    initial_r2t: r2t,
                    immediate_data: immediate,
                    max_recv: recv,
                    max_burst: burst,
                    first_burst: first,
                    time2wait: wait,
                    time2retain: retain,
                    max_outstanding_r2t: r2ts,
                }
            },
        )
}

/// The result functions of RFC 7143, clause 13, written plainly.
fn model(a: &Offer, b: &Offer) -> Operational {
    let digest = |x: DigestOffer, y: DigestOffer| match (x, y) {
        (DigestOffer::None, _) | (_, DigestOffer::None) => false,
        // The initiator's order decides.
        (x, _) => x == DigestOffer::PreferCrc32c,
    };
    let max_burst = a.max_burst.min(b.max_burst);
    Operational {
        digests: super::super::pdu::Digests {
            header: digest(a.header_digest, b.header_digest),
            data: digest(a.data_digest, b.data_digest),
        },
        max_connections: a.max_connections.min(b.max_connections),
        initial_r2t: a.initial_r2t || b.initial_r2t,
        immediate_data: a.immediate_data && b.immediate_data,
        max_recv: a.max_recv,
        max_send: b.max_recv,
        max_burst,
        first_burst: a.first_burst.min(b.first_burst).min(max_burst),
        time2wait: a.time2wait.max(b.time2wait),
        time2retain: a.time2retain.min(b.time2retain),
        max_outstanding_r2t: a.max_outstanding_r2t.min(b.max_outstanding_r2t),
        data_pdu_in_order: true,
        data_sequence_in_order: true,
        error_recovery_level: 0,
    }
}

proptest! {
    #[test]
    fn every_pair_of_offers_comes_to_what_the_model_says(a in offers(), b in offers()) {
        let mut c = config();
        c.offer = a;
        let target = TargetConfig { offer: b, ..TargetConfig::default() };
        let (i, t) = run(c, target, &mut Shelf::default());
        let (i, t) = (done(i), done(t));
        agreed(&i, &t);
        prop_assert_eq!(i.params, model(&a, &b));
    }
}
