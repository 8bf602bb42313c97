//! Login by a written model: which requests a target may go along with, which answers an initiator
//! may believe, and that pieces and order of a text mean nothing.

use super::*;

/// A request, as far as the model looks at it.
#[derive(Clone, Debug)]
struct Ask {
    csg: u8,
    transit: Option<u8>,
    cont: bool,
    /// A field that must stay as it was (RFC 7143, 11.12): 0 none of them is changed.
    changed: u8,
    names: bool,
    /// One more pair: an index of `EXTRA`, or none.
    extra: usize,
}

const EXTRA: [(&str, &str); 4] = [
    ("AuthMethod", "None"),
    ("MaxConnections", "1"),
    ("ErrorRecoveryLevel", "0"),
    ("X-net.example.key", "1"),
];

fn asks() -> impl Strategy<Value = Vec<Ask>> {
    let csg = prop_oneof![8 => 0_u8..2, 1 => 2_u8..4];
    let transit = prop_oneof![
        3 => Just(None),
        2 => Just(Some(1_u8)),
        4 => Just(Some(3)),
        1 => (0_u8..4).prop_map(Some)
    ];
    let rest = (
        prop::bool::weighted(0.2),
        prop_oneof![12 => Just(0_u8), 1 => 1_u8..5],
        prop::bool::weighted(0.7),
        0_usize..8,
    );
    let ask = (csg, transit, rest).prop_map(|(csg, transit, (cont, changed, names, extra))| Ask {
        csg,
        transit,
        cont,
        changed,
        names,
        extra,
    });
    prop::collection::vec(ask, 1..7)
}

/// A target of anybody (RFC 7143, 6.3 and 11.12): where the login stands, and what was said.
#[derive(Debug, Default)]
struct Model {
    stage: Option<u8>,
    named: bool,
    /// Keys of the text that goes on.
    pending: Vec<&'static str>,
    /// Keys that were negotiated.
    settled: Vec<&'static str>,
    over: bool,
}

impl Model {
    /// Whether a target may go along with a request.
    fn allows(&mut self, a: &Ask, keys: &[&'static str]) -> bool {
        let first = self.stage.is_none();
        // Stages there are; no transition back, to the same, or while the text goes on.
        let stages = a.csg <= 1
            && a.transit
                .is_none_or(|nsg| !a.cont && matches!(nsg, 1 | 3) && nsg > a.csg);
        let stage = *self.stage.get_or_insert(a.csg);
        if self.over || !stages || a.csg != stage || (!first && a.changed != 0) {
            return false;
        }
        self.pending.extend_from_slice(keys);
        if a.cont {
            return true;
        }
        let text = std::mem::take(&mut self.pending);
        let twice = |k: &&'static str| text.iter().filter(|o| o == &k).count() > 1;
        if text.iter().any(twice) {
            return false;
        }
        if !self.named && !text.contains(&"InitiatorName") {
            return false;
        }
        self.named = true;
        for key in text {
            let extra = EXTRA.iter().any(|(k, _)| *k == key);
            // What is negotiated is negotiated once, in its stage.
            let operational = stage == 1 && extra;
            if operational && (key == "AuthMethod" || self.settled.contains(&key)) {
                return false;
            }
            if operational && !key.starts_with("X-") {
                self.settled.push(key);
            }
        }
        true
    }
}

fn ask(a: &Ask, first: bool, pairs: &[(&str, &str)]) -> Vec<u8> {
    let other = |which: u8| u8::from(!first && a.changed == which);
    let r = LoginRequest {
        transit: a.transit.is_some(),
        cont: a.cont,
        csg: a.csg,
        nsg: a.transit.unwrap_or(0),
        version_max: 0,
        version_min: 0,
        isid: [0x80, 1, 2, 3, 4, 5 + other(1)],
        tsih: u16::from(other(2)),
        itt: 3 + u32::from(other(3)),
        cid: u16::from(other(4)),
        sn: crate::proto::iscsi::pdu::InitiatorSn::default(),
    };
    pdu(&text(pairs), |len, out| r.emit(len, out))
}

proptest! {
    #[test]
    fn a_target_goes_along_with_what_the_model_allows_and_with_nothing_else(asks in asks()) {
        let mut t = TargetLogin::new(TargetConfig::default(), [2; 32]);
        let mut model = Model::default();
        let mut stat_sn = None;
        let mut last = None;
        for (n, a) in asks.iter().enumerate() {
            let mut pairs = Vec::new();
            if a.names && !model.named && !model.pending.contains(&"InitiatorName") {
                pairs.extend_from_slice(&NAMES);
            }
            pairs.extend(EXTRA.get(a.extra));
            let keys: Vec<&'static str> = pairs.iter().map(|(k, _)| *k).collect();
            let allowed = model.allows(a, &keys);
            let pdu = ask(a, n == 0, &pairs);
            let (bhs, data) = split(&pdu);
            let step = t.receive(bhs, data, &mut Shelf::default());
            prop_assert_eq!(allowed, !matches!(step, Step::Failed { .. }), "{:?}: {:?}", a, step);
            if !allowed {
                // The answer says so, and there is no way back.
                prop_assert_ne!(sent(&step).0.status_class, 0);
                model.over = true;
                continue;
            }
            let (r, answers) = sent(&step);
            prop_assert_eq!((r.status_class, r.csg, r.itt), (0, a.csg, 3));
            prop_assert!(stat_sn.is_none_or(|sn: u32| sn.wrapping_add(1) == r.sn.stat_sn));
            stat_sn = Some(r.sn.stat_sn);
            if a.cont {
                prop_assert!(!r.transit && answers.is_empty());
            }
            if r.transit {
                prop_assert_eq!(Some(r.nsg), a.transit);
                model.stage = Some(r.nsg);
            }
            let done = matches!(step, Step::Done { .. });
            prop_assert_eq!(done, r.transit && r.nsg == 3);
            prop_assert_eq!(done, r.tsih != 0);
            model.over = done;
            last = Some(a.clone());
        }
        // Whoever keeps asking gets to the end: nobody waits for the other.
        let Some(last) = last.filter(|_| !model.over) else { return Ok(()) };
        for _ in 0..4 {
            let a = Ask {
                csg: model.stage.unwrap_or(0),
                transit: Some(3),
                cont: false,
                changed: 0,
                names: true,
                extra: EXTRA.len(),
            };
            let said = model.named || model.pending.contains(&"InitiatorName");
            let pairs = if said { &[][..] } else { &NAMES };
            let keys: Vec<&'static str> = pairs.iter().map(|(k, _)| *k).collect();
            if !model.allows(&a, &keys) {
                // What was pending cannot be taken back.
                return Ok(());
            }
            let pdu = ask(&a, false, pairs);
            let (bhs, data) = split(&pdu);
            match t.receive(bhs, data, &mut Shelf::default()) {
                Step::Done { .. } => return Ok(()),
                Step::Send(_) => {}
                other => prop_assert!(false, "after {:?}: {:?}", last, other),
            }
        }
        prop_assert!(false, "no end after {:?}", last);
    }

    #[test]
    fn pieces_and_order_of_a_text_mean_nothing(
        a in offers(), b in offers(), cuts in prop::collection::vec(1_usize..60, 0..8), turn in 0_usize..12,
    ) {
        let mut c = config();
        c.offer = a;
        let (mut i, mut request) = InitiatorLogin::start(c, [1; 32]);
        let mut t = TargetLogin::new(TargetConfig { offer: b, ..TargetConfig::default() }, [2; 32]);
        let mut shelf = Shelf::default();
        let mut extra = 0_u32;
        let mut of_target = None;
        for _ in 0..20 {
            let (bhs, data) = split(&request);
            let r = LoginRequest::parse(bhs).expect("an initiator sends what is right");
            // The same pairs, begun somewhere else.
            let mut pairs = text::pairs(data).expect("pairs");
            let n = pairs.len();
            if n > 0 && r.csg == 1 {
                pairs.rotate_left(turn % n);
            }
            let mut whole = Vec::new();
            pairs.iter().for_each(|(k, v)| text::push(&mut whole, k, v));
            let mut rest = &whole[..];
            let mut answer = Vec::new();
            for cut in cuts.iter().filter(|_| !r.cont) {
                if *cut >= rest.len() {
                    break;
                }
                let (piece, more) = rest.split_at(*cut);
                rest = more;
                let part = LoginRequest { transit: false, nsg: 0, cont: true, ..r };
                let part = pdu(piece, |len, out| part.emit(len, out));
                let (bhs, data) = split(&part);
                let Step::Send(empty) = t.receive(bhs, data, &mut shelf) else {
                    return Err(TestCaseError::fail("more was to come"));
                };
                prop_assert!(split(&empty).1.is_empty());
                extra += 1;
            }
            let part = pdu(rest, |len, out| r.emit(len, out));
            let (bhs, data) = split(&part);
            match t.receive(bhs, data, &mut shelf) {
                Step::Send(pdu) => answer.extend_from_slice(&pdu),
                Step::Done { last, negotiated } => {
                    answer.extend_from_slice(&last.expect("an answer"));
                    of_target = Some(*negotiated);
                }
                other => return Err(TestCaseError::fail(format!("{other:?}"))),
            }
            // The initiator has not seen the answers to pieces.
            let sn = u32::from_be_bytes([answer[24], answer[25], answer[26], answer[27]]);
            answer[24..28].copy_from_slice(&sn.wrapping_sub(extra).to_be_bytes());
            let (bhs, data) = split(&answer);
            match i.receive(bhs, data) {
                Step::Send(next) => request = next,
                Step::Done { negotiated, .. } => {
                    prop_assert_eq!(negotiated.params, model(&a, &b));
                    let t = of_target.expect("both are done");
                    prop_assert_eq!(t.params.max_burst, negotiated.params.max_burst);
                    prop_assert_eq!(t.params.first_burst, negotiated.params.first_burst);
                    return Ok(());
                }
                other => return Err(TestCaseError::fail(format!("{other:?}"))),
            }
        }
        prop_assert!(false, "no end");
    }
}

/// What is wrong with an answer, at any point of the login.
const WRONG: [&str; 9] = [
    "task tag",
    "ISID",
    "version",
    "stage",
    "next stage",
    "goes on with text and stage",
    "StatSN",
    "status",
    "no TSIH",
];

/// The answer with a fault; none where the fault is none at this point.
fn spoilt(what: &str, mut r: LoginResponse, round: usize) -> Option<LoginResponse> {
    match what {
        "task tag" => r.itt ^= 1,
        "ISID" => r.isid[5] ^= 1,
        "version" => r.version_active = 1,
        "stage" => r.csg ^= 1,
        "next stage" if r.transit => r.nsg ^= 2,
        "goes on with text and stage" if r.transit => r.cont = true,
        // The first answer sets it.
        "StatSN" if round > 0 => r.sn.stat_sn ^= 0x100,
        "status" => (r.status_class, r.status_detail) = (3, 1),
        "no TSIH" if r.transit && r.nsg == 3 => r.tsih = 0,
        _ => return None,
    }
    Some(r)
}

#[test]
fn an_initiator_believes_no_answer_that_is_wrong_in_a_field() {
    for what in WRONG {
        let mut seen = 0;
        for bad_round in 0..4 {
            let (mut i, mut request) = InitiatorLogin::start(config(), [1; 32]);
            let mut t = TargetLogin::new(TargetConfig::default(), [2; 32]);
            for round in 0..=bad_round {
                let (bhs, data) = split(&request);
                let answer = match t.receive(bhs, data, &mut Shelf::default()) {
                    Step::Send(pdu) => pdu,
                    Step::Done { last, .. } => last.expect("an answer"),
                    other => panic!("{other:?}"),
                };
                let (bhs, data) = split(&answer);
                let r = LoginResponse::parse(bhs).expect("right");
                if round == bad_round
                    && let Some(r) = spoilt(what, r, round)
                {
                    seen += 1;
                    let bad = pdu(data, |len, out| r.emit(len, out));
                    let (bhs, data) = split(&bad);
                    let step = i.receive(bhs, data);
                    assert!(matches!(step, Step::Failed { .. }), "{what}: {step:?}");
                    // And nothing after it.
                    let (bhs, data) = split(&answer);
                    assert!(matches!(i.receive(bhs, data), Step::Failed { .. }));
                    break;
                }
                match i.receive(bhs, data) {
                    Step::Send(next) => request = next,
                    Step::Done { .. } => break,
                    other => panic!("{other:?}"),
                }
            }
        }
        assert!(seen > 0, "{what} was never tried");
    }
}
