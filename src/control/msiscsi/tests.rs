//! Every status of the set method, each provoked.

use super::*;
use crate::control::layout::msiscsi::decode_query;
use crate::control::view::ChangeError;
use crate::control::view::kit::Kit;

type S = IscsiStatus;

fn connection(id: u64) -> ConnectionView {
    ConnectionView {
        id,
        cid: id as u16,
        source: None,
        portal: None,
        state: ConnectionState::Connected,
        link_mbit: 10_000,
        weight: 0,
        primary: true,
    }
}

fn kit() -> Kit {
    let kit = Kit::empty();
    let session = |id, connections| SessionView {
        id,
        nexus_id: 1,
        target_name: "iqn.2024-01.test:array".into(),
        policy: McsPolicy::RoundRobin,
        supported: McsPolicy::ALL[..5].to_vec(),
        max_connections: 4,
        connections,
    };
    kit.base(|v| {
        v.sessions = vec![
            session(1, vec![connection(11), connection(12), connection(13)]),
            session(2, vec![]),
            SessionView {
                supported: vec![McsPolicy::VendorSpecific],
                ..session(3, vec![connection(31)])
            },
        ];
    });
    kit
}

fn paths(list: &[(u64, bool)]) -> Vec<SessionPath> {
    let path = |&(connection, primary): &(u64, bool)| SessionPath {
        connection,
        primary,
        weight: connection as u32,
    };
    list.iter().map(path).collect()
}

const ALL: [(u64, bool); 3] = [(11, true), (12, true), (13, true)];
const ONE: [(u64, bool); 3] = [(13, false), (11, false), (12, true)];
const NONE: [(u64, bool); 3] = [(11, false), (12, false), (13, false)];

/// As a client does it: through the buffers.
fn set(kit: &Kit, request: &SetRequest) -> S {
    let status = set_load_balance_policy(kit, &SetRequest::parse(&request.encode()));
    let out = encode_out(status);
    assert_eq!(decode_out(&out), Ok(status));
    status
}

#[test]
fn the_policies_of_all_sessions_are_told() {
    let kit = kit();
    let answer = query_lb_policy(&kit);
    let (adapter, sessions) = decode_query(&answer.encode()).expect("whole");
    assert_eq!((adapter, &sessions), (answer.adapter, &answer.sessions));
    assert_ne!(adapter, 0);
    let counts: Vec<_> = sessions.iter().map(|s| s.paths.len()).collect();
    assert_eq!(counts, [3, 0, 1]);
    assert_eq!(sessions[0].paths[0].connection_status, 1);
}

#[test]
fn each_cause_of_refusal_has_its_qualifier_and_changes_nothing() {
    let kit = kit();
    let before = query_lb_policy(&kit);
    let twice = [(11, true), (12, false), (11, false)];
    let strange = [(11, true), (12, false), (99, false)];
    let request = |session, policy, list: &[_]| SetRequest::new(session, policy, paths(list));
    for (request, want) in [
        (request(1, 0, &ALL), S::INVALID_LOAD_BALANCE_POLICY),
        (request(1, 7, &ALL), S::INVALID_LOAD_BALANCE_POLICY),
        (request(1, u32::MAX, &ALL), S::INVALID_LOAD_BALANCE_POLICY),
        (request(1, 6, &ALL), S::LB_POLICY_NOT_SUPPORTED),
        (request(3, 1, &[(31, true)]), S::LB_POLICY_NOT_SUPPORTED),
        (request(1, 2, &ALL[..2]), S::PATH_COUNT_MISMATCH),
        (request(1, 2, &[]), S::PATH_COUNT_MISMATCH),
        (request(1, 2, &twice), S::DUPLICATE_PATH_SPECIFIED),
        (request(1, 2, &strange), S::INVALID_PATH_ID),
        (request(1, 1, &ALL), S::MULTIPLE_PRIMARY_PATHS_SPECIFIED),
        (request(1, 1, &NONE), S::NO_PRIMARY_PATH_SPECIFIED),
        (request(1, 3, &NONE), S::NO_PRIMARY_PATH_SPECIFIED),
        (request(9, 2, &ALL), S::INVALID_SESSION_ID),
        (request(2, 2, &[]), S::NO_CONNECTION_AVAILABLE),
    ] {
        assert_eq!(set(&kit, &request), want, "{request:?}");
    }
    let mut odd = request(1, 2, &ALL).encode();
    odd[16 + 20] = 2;
    let status = set_load_balance_policy(&kit, &SetRequest::parse(&odd));
    assert_eq!(status, S::INVALID_PARAMETER, "a primary flag of 2");
    let values = [
        (S::INVALID_LOAD_BALANCE_POLICY, 0xefff_0055),
        (S::INVALID_PARAMETER, 0xefff_0056),
        (S::DUPLICATE_PATH_SPECIFIED, 0xefff_0057),
        (S::PATH_COUNT_MISMATCH, 0xefff_0058),
        (S::INVALID_PATH_ID, 0xefff_0059),
        (S::MULTIPLE_PRIMARY_PATHS_SPECIFIED, 0xefff_005a),
        (S::NO_PRIMARY_PATH_SPECIFIED, 0xefff_005b),
        (S::LB_POLICY_NOT_SUPPORTED, 0xefff_0061),
    ];
    assert!(values.iter().all(|(status, value)| status.0 == *value));
    assert_eq!(query_lb_policy(&kit), before);
}

#[test]
fn a_buffer_that_ends_early_is_too_small_whatever_it_asks_for() {
    let kit = kit();
    let whole = SetRequest::new(1, 2, paths(&ALL)).encode();
    for len in [0, 15, 16, whole.len() - 1] {
        let status = set_load_balance_policy(&kit, &SetRequest::parse(&whole[..len]));
        assert_eq!(status, S::BUFFER_TOO_SMALL, "{len} bytes");
    }
    let mut many = whole;
    many[12..16].fill(0xff);
    let status = set_load_balance_policy(&kit, &SetRequest::parse(&many));
    assert_eq!(status, S::BUFFER_TOO_SMALL);
}

#[test]
fn what_is_granted_is_in_force() {
    let kit = kit();
    for policy in [1, 3, 4, 5, 2] {
        let request = SetRequest::new(1, policy, paths(&ONE));
        assert_eq!(set(&kit, &request), S::SUCCESS, "{policy}");
        let session = &query_lb_policy(&kit).sessions[0];
        assert_eq!(session.header.load_balance_policy, policy);
        let primary: Vec<_> = session.paths.iter().map(|p| p.primary_path).collect();
        assert_eq!(primary, [0, 1, 0]);
        let weight: Vec<_> = session.paths.iter().map(|p| p.path_weight).collect();
        assert_eq!(weight, [11, 12, 13]);
    }
    // With the vendor value, nothing after the policy counts.
    assert_eq!(set(&kit, &SetRequest::new(3, 6, vec![])), S::SUCCESS);
}

#[test]
fn connections_come_and_go_within_what_the_session_takes() {
    let kit = kit();
    let new = NewConnection {
        host: "10.0.0.1".into(),
        port: 3260,
        source: None,
        weight: 7,
        primary: true,
    };
    assert_eq!(add_connection(&kit, 9, &new), Err(S::INVALID_SESSION_ID));
    assert_eq!(
        add_connection(&kit, 2, &new),
        Err(S::NO_CONNECTION_AVAILABLE)
    );
    let id = add_connection(&kit, 1, &new).expect("there is room");
    assert_eq!(add_connection(&kit, 1, &new), Err(S::TOO_MANY_CONNECTIONS));
    assert_eq!(query_lb_policy(&kit).sessions[0].paths[3].path_weight, 7);
    assert_eq!(remove_connection(&kit, 9, id), S::INVALID_SESSION_ID);
    assert_eq!(remove_connection(&kit, 1, 99), S::INVALID_CONNECTION_ID);
    assert_eq!(
        remove_connection(&kit, 3, 31),
        S::CANT_REMOVE_LAST_CONNECTION
    );
    for id in [id, 12, 11] {
        assert_eq!(remove_connection(&kit, 1, id), S::SUCCESS);
    }
    assert_eq!(
        remove_connection(&kit, 1, 13),
        S::CANT_REMOVE_LAST_CONNECTION
    );
    kit.fail_with(Some(ChangeError::Busy("a login".into())));
    assert_eq!(add_connection(&kit, 1, &new), Err(S::SESSION_BUSY));
}

#[test]
fn a_session_without_a_connection_that_is_up_has_none() {
    let kit = kit();
    kit.base(|v| {
        for c in &mut v.sessions[0].connections {
            c.state = ConnectionState::Reconnecting;
        }
    });
    let status = set(&kit, &SetRequest::new(1, 2, paths(&ALL)));
    assert_eq!(status, S::NO_CONNECTION_AVAILABLE);
}

#[test]
fn each_way_a_change_can_fail_has_its_qualifier() {
    let kit = kit();
    for (error, want) in [
        (ChangeError::Busy("a login".into()), S::SESSION_BUSY),
        (ChangeError::Gone, S::INVALID_SESSION_ID),
        (
            ChangeError::NotSupported("no".into()),
            S::LB_POLICY_NOT_SUPPORTED,
        ),
        (
            ChangeError::Invalid("a weight".into()),
            S::INVALID_PARAMETER,
        ),
        (ChangeError::Failed("no".into()), S::NON_SPECIFIC_ERROR),
        (
            ChangeError::Timeout(std::time::Duration::ZERO),
            S::SERVICE_DID_NOT_RESPOND,
        ),
        (ChangeError::Stopping, S::SERVICE_NOT_RUNNING),
    ] {
        kit.fail_with(Some(error));
        assert_eq!(set(&kit, &SetRequest::new(1, 2, paths(&ALL))), want);
    }
}
