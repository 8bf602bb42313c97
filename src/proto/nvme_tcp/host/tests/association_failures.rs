//! One test for each named reason that an association fails for.

use super::fake::{Fake, namespace};
use super::peer::next;
use super::world::{World, config};
use crate::proto::nvme::ana::AnaState;
use crate::proto::nvme::fabrics::InvalidParameter;
use crate::proto::nvme::id_ns::LbaFormat;
use crate::proto::nvme::property::Csts;
use crate::proto::nvme::{AdminOpcode, AsyncEvent, Status, StatusCode};
use crate::proto::nvme_tcp::host::{
    AssociationConfig, AssociationFailure, ConnectRefusal, Failure,
};
use crate::proto::nvme_tcp::pdu::{PduError, PduType};
use proptest::prelude::*;
use std::time::Duration;

#[track_caller]
fn fails(config: AssociationConfig, fake: Fake, words: &str) -> AssociationFailure {
    let mut w = World::new(config, fake);
    let failure = w.failure();
    assert_eq!(failure.to_string(), words);
    failure
}

fn with(change: impl FnOnce(&mut Fake)) -> Fake {
    let mut fake = Fake::new();
    change(&mut fake);
    fake
}

#[test]
fn connect_refusals_say_what_to_look_at() {
    let invalid = StatusCode::CONNECT_INVALID_PARAMETERS;
    let ipo = |p: InvalidParameter| (invalid, p.to_dw0());
    let cases = [
        (
            ipo(InvalidParameter::SUBNQN),
            ConnectRefusal::SubsystemUnknown,
        ),
        (
            ipo(InvalidParameter::HOSTNQN),
            ConnectRefusal::HostNqnInvalid,
        ),
        (ipo(InvalidParameter::HOSTID), ConnectRefusal::HostIdInvalid),
        (
            ipo(InvalidParameter::CNTLID),
            ConnectRefusal::ControllerUnknown,
        ),
        (ipo(InvalidParameter::QID), ConnectRefusal::QueueIdInvalid),
        (
            ipo(InvalidParameter::SQSIZE),
            ConnectRefusal::QueueSizeInvalid,
        ),
        (
            ipo(InvalidParameter::KATO),
            ConnectRefusal::KeepAliveInvalid,
        ),
        (
            (invalid, 300 | 1 << 16),
            ConnectRefusal::Parameter {
                offset: 300,
                in_data: true,
            },
        ),
        (
            (StatusCode::CONNECT_INVALID_HOST, 0),
            ConnectRefusal::HostNotAllowed,
        ),
        (
            (StatusCode::CONNECT_CONTROLLER_BUSY, 0),
            ConnectRefusal::Busy,
        ),
        (
            (StatusCode::CONNECT_INCOMPATIBLE_FORMAT, 0),
            ConnectRefusal::IncompatibleFormat,
        ),
        (
            (StatusCode::CONNECT_RESTART_DISCOVERY, 0),
            ConnectRefusal::RestartDiscovery,
        ),
        (
            (StatusCode::AUTHENTICATION_REQUIRED, 0),
            ConnectRefusal::AuthenticationRequired,
        ),
        ((StatusCode::INTERNAL_ERROR, 0), ConnectRefusal::Other),
    ];
    for ((code, dw0), refusal) in cases {
        for queue in [0, 2] {
            let status = Status::dnr(code);
            let mut w = World::new(
                config(),
                with(|f| f.refuse_connect = Some((queue, status, dw0))),
            );
            assert_eq!(
                w.failure(),
                AssociationFailure::Connect {
                    queue,
                    refusal,
                    status
                }
            );
        }
    }
    let status = Status::dnr(StatusCode::CONNECT_INVALID_HOST);
    fails(
        config(),
        with(|f| f.refuse_connect = Some((0, status, 0))),
        "Connect of queue 0: host NQN not allowed by the subsystem (Connect Invalid Host, status \
         0x184)",
    );
}

#[test]
fn authentication_is_not_supported() {
    let words = "the controller requires authentication, which is not supported";
    let f = fails(config(), with(|f| f.authentication = true), words);
    assert!(!f.may_pass());
}

#[test]
fn no_icresp() {
    let words = "queue 0: no ICResp within 10000 ms";
    fails(config(), with(|f| f.mute = true), words);
}

#[test]
fn no_answer_to_connect_and_to_an_admin_command() {
    let quiet = |op: AdminOpcode| with(|f| f.silent = Some(op.0));
    fails(
        config(),
        quiet(AdminOpcode::FABRICS),
        "Connect: no answer within 10000 ms",
    );
    let c = AssociationConfig {
        kato: Duration::ZERO,
        ..config()
    };
    fails(
        c,
        quiet(AdminOpcode::IDENTIFY),
        "Identify Controller: no answer within 10000 ms",
    );
}

#[test]
fn a_refused_admin_command() {
    let status = Status::new(StatusCode::INTERNAL_ERROR);
    fails(
        config(),
        with(|f| f.fail = Some((AdminOpcode::GET_LOG_PAGE.0, status))),
        "Get Log Page ANA: Internal Error (SCT 0h SC 06h)",
    );
}

#[test]
fn never_ready() {
    let words = "CSTS.RDY not set within CAP.TO, 1000 ms";
    fails(config(), with(|f| f.ready_after = u32::MAX), words);
}

#[test]
fn controller_fatal_status() {
    let words = "CSTS.CFS: controller fatal status";
    let fake = with(|f| f.csts = Csts::default().with_cfs());
    fails(config(), fake, words);
}

#[test]
fn keep_alive_expires_after_a_whole_timeout() {
    let mut w = World::new(config(), Fake::new());
    w.come_up();
    w.fake.silent = Some(AdminOpcode::KEEP_ALIVE.0);
    let at = w.now;
    let failure = w.failure();
    assert_eq!(
        failure,
        AssociationFailure::KeepAliveExpired { kato_ms: 2000 }
    );
    assert!(w.now.since(at) <= Duration::from_secs(3));
    assert_eq!(
        failure.to_string(),
        "Keep Alive not answered within KATO, 2000 ms"
    );
}

#[test]
fn keep_alive_refused() {
    let mut w = World::new(config(), Fake::new());
    w.come_up();
    let status = Status::new(StatusCode::KEEP_ALIVE_EXPIRED);
    w.fake.fail = Some((AdminOpcode::KEEP_ALIVE.0, status));
    let what = "Keep Alive";
    assert_eq!(w.failure(), AssociationFailure::Command { what, status });
}

#[test]
fn identify_that_makes_no_sense() {
    fails(
        config(),
        with(|f| f.identify.ioccsz = 3),
        "Identify Controller: bad value 0x3 in IOCCSZ",
    );
    fails(
        config(),
        with(|f| f.identify.icdoff = 1),
        "Identify Controller: bad value 0x1 in ICDOFF",
    );
}

#[test]
fn another_controller_than_the_one_connected_to() {
    let words = "CNTLID 9 where the association is with 7";
    fails(config(), with(|f| f.io_cntlid = Some(9)), words);
}

#[test]
fn namespaces_that_are_not_there() {
    let one = |nsid| AssociationConfig {
        nsid: Some(nsid),
        ..config()
    };
    let words = "namespace 2 is not active on this controller";
    fails(one(2), Fake::new(), words);
    let words = "namespace 99 is not active on this controller";
    fails(one(99), Fake::new(), words);
    let words = "no namespace is active on this controller";
    fails(config(), with(|f| f.namespaces.clear()), words);
}

#[test]
fn a_format_that_cannot_be_served() {
    let odd = || {
        let mut ns = namespace(100, 1);
        ns.lbaf[0] = LbaFormat {
            ms: 8,
            lbads: 12,
            rp: 0,
        };
        with(|f| f.namespaces.push((4, ns)))
    };
    let c = AssociationConfig {
        nsid: Some(4),
        ..config()
    };
    let words = "namespace 4: LBADS 12 with 8 bytes of metadata is not supported";
    let f = fails(c, odd(), words);
    assert!(!f.may_pass());
    // Among others it is left out.
    let mut w = World::new(config(), odd());
    w.come_up();
    assert_eq!(w.host.namespaces().len(), 2);
}

#[test]
fn more_namespaces_than_fit() {
    let fake = with(|f| f.namespaces = (1..1100).map(|n| (n, namespace(8, 1))).collect());
    fails(config(), fake, "more than 1024 namespaces");
}

#[test]
fn an_ana_log_that_never_rests() {
    let fake = with(|f| {
        f.identify.mdts = 1;
        f.identify.nanagrpid = 1000;
        f.identify.anagrpmax = 1000;
        f.groups = (1..=1000).map(|g| (g, AnaState::Optimized)).collect();
        f.ana_restless = u32::MAX;
    });
    fails(config(), fake, "the ANA log changed in each of 16 readings");
}

#[test]
fn an_ana_log_without_our_group() {
    let fake = with(|f| {
        f.groups.remove(1);
    });
    fails(
        config(),
        fake,
        "namespace 3: ANAGRPID 2 is not in the ANA log",
    );
}

#[test]
fn an_ana_log_that_is_malformed() {
    let fake = with(|f| f.groups[0].0 = 9);
    fails(
        config(),
        fake,
        "Get Log Page ANA: bad value 0x9 in ANA group",
    );
}

#[test]
fn a_broken_transport_rule_names_the_queue() {
    let mut w = World::new(config(), Fake::new());
    w.come_up();
    w.inject(2, &[0x55; 24]);
    assert_eq!(
        w.failure(),
        AssociationFailure::Queue {
            queue: 2,
            failure: Failure::Pdu(PduError::UnknownType(0x55))
        }
    );
}

#[test]
fn a_header_digest_error_ends_the_association() {
    let c = AssociationConfig {
        header_digest: true,
        ..config()
    };
    let mut w = World::new(c, Fake::new());
    w.come_up();
    let mut b = w.fake.ends[1].peer.resp(0, 0);
    b[25] ^= 4;
    w.inject(1, &b);
    assert!(matches!(
        w.failure(),
        AssociationFailure::Queue {
            queue: 1,
            failure: Failure::Pdu(PduError::HeaderDigest {
                kind: PduType::CapsuleResp,
                ..
            })
        }
    ));
}

#[test]
fn a_shutdown_that_does_not_end() {
    let mut w = World::new(config(), Fake::new());
    w.come_up();
    w.fake.shutdown_after = u32::MAX;
    w.host.shutdown(w.now);
    let words = "CSTS.SHST: shutdown not complete within 10000 ms";
    assert_eq!(w.failure().to_string(), words);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]
    /// Whatever bits are wrong in what the controller says, the association comes up, goes on or
    /// fails; it never panics.
    #[test]
    fn flipped_bits_never_panic(seed in 1u64.., each in 200u64..20_000) {
        let mut fake = Fake::new();
        fake.flip = Some((seed, each));
        let mut seed = seed;
        let mut w = World::new(config(), fake);
        let mut events = 0;
        w.run_until(Duration::from_secs(20), |w| {
            events += 1;
            if events % 7 == 0 && !w.fake.events.is_empty() {
                let e = [AsyncEvent::ANA_CHANGE, AsyncEvent::NAMESPACE_ATTRIBUTE, AsyncEvent::CCR_COMPLETED];
                w.fake.event(e[next(&mut seed) as usize % 3]);
                w.host.start_ccr(1, 2, 3, 4, w.now);
                w.host.abort(1, 2, 3, w.now);
            }
            events > 3000
        });
        w.host.drain(|_| {});
    }
}
