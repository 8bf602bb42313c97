//! The ordered checks of a set request, by number, and what a granted one leaves behind.

mod kit;

use kit::*;
use umpio::lun::policy::defaults::Source;
use umpio::lun::policy::validate::{Verdict, validate};
use umpio::lun::policy::*;

const INVALID: NtStatus = NtStatus::INVALID_PARAMETER;
const SMALL: NtStatus = NtStatus::BUFFER_TOO_SMALL;

fn request(policy: Policy, paths: &[SetPath]) -> SetRequest {
    SetRequest::new(SetMethod::Alua, policy.number(), paths.to_vec())
}

fn verdict(lun: &Bench, request: &SetRequest) -> Result<Verdict, NtStatus> {
    validate(&lun.selector.set_view(), request)
}

fn status(lun: &Bench, policy: Policy, paths: &[SetPath]) -> NtStatus {
    verdict(lun, &request(policy, paths))
        .err()
        .unwrap_or(NtStatus::SUCCESS)
}

#[test]
fn check_1_a_lun_without_paths_has_no_policy_to_set() {
    let mut wrong = request(Policy::RoundRobin, &[]);
    wrong.out_size = 0;
    assert_eq!(verdict(&plain(0), &wrong), Err(INVALID), "before check 2");
}

#[test]
fn check_2_the_answer_needs_four_bytes() {
    let mut wrong = SetRequest::new(SetMethod::Alua, 0, vec![]);
    wrong.out_size = 3;
    assert_eq!(verdict(&plain(1), &wrong), Err(SMALL), "before check 3");
}

#[test]
fn check_3_policy_0_clears_whatever_else_the_request_holds() {
    let mut clear = SetRequest::new(SetMethod::Plain, 0, vec![active(77)]);
    (clear.version, clear.in_size) = (9, 8);
    assert_eq!(verdict(&plain(2), &clear), Ok(Verdict::Clear));
}

#[test]
fn check_4_the_in_buffer_holds_header_and_paths_of_the_method_used() {
    for (method, size) in [(SetMethod::Plain, 16 + 24), (SetMethod::Alua, 16 + 64)] {
        let mut request = SetRequest::new(method, 2, vec![active(1)]);
        assert_eq!(request.in_size, size);
        assert!(verdict(&plain(1), &request).is_ok());
        request.in_size -= 1;
        request.version = 9;
        assert_eq!(verdict(&plain(1), &request), Err(SMALL), "before check 5");
    }
}

#[test]
fn checks_4_and_7_a_count_beyond_the_buffer_is_too_small_a_buffer() {
    let mut request = request(Policy::RoundRobin, &[active(1)]);
    for count in [2, u32::MAX] {
        request.count = count;
        assert_eq!(verdict(&plain(1), &request), Err(SMALL));
    }
}

#[test]
fn check_5_versions_to_2_are_understood() {
    let mut request = SetRequest::new(SetMethod::Alua, 7, vec![active(1)]);
    request.version = 3;
    assert_eq!(
        verdict(&plain(1), &request),
        Err(NtStatus::NOT_SUPPORTED),
        "before check 6"
    );
    for version in [0, 1, 2] {
        request.version = version;
        assert_eq!(verdict(&plain(1), &request), Err(INVALID));
    }
}

#[test]
fn check_6_vendor_policies_and_unknown_numbers_are_refused() {
    for policy in [7, 8, u32::MAX] {
        let request = SetRequest::new(SetMethod::Alua, policy, vec![active(1)]);
        assert_eq!(verdict(&plain(1), &request), Err(INVALID));
    }
}

#[test]
fn check_7_every_path_is_counted() {
    assert_eq!(status(&plain(2), Policy::RoundRobin, &[active(1)]), INVALID);
    assert_eq!(
        status(&plain(1), Policy::RoundRobin, &[active(1), active(2)]),
        INVALID
    );
    let mut request = request(Policy::RoundRobin, &[active(1), active(2)]);
    request.count = 1;
    assert!(
        verdict(&plain(1), &request).is_ok(),
        "entries behind the count are not read"
    );
}

#[test]
fn check_8_ids_are_unique_and_complete() {
    let lun = plain(2);
    assert_eq!(
        status(&lun, Policy::RoundRobin, &[active(1), active(1)]),
        INVALID
    );
    assert_eq!(
        status(&lun, Policy::RoundRobin, &[active(1), active(3)]),
        INVALID
    );
    assert_eq!(
        status(&lun, Policy::RoundRobin, &[active(1), active(0)]),
        INVALID
    );
    assert_eq!(
        status(&lun, Policy::RoundRobin, &[active(2), active(1)]),
        NtStatus::SUCCESS,
        "in any order"
    );
}

#[test]
fn check_8_a_failed_path_is_listed_by_its_real_id_and_otherwise_left_alone() {
    let mut lun = plain(2);
    lun.down(2);
    assert_eq!(
        status(&lun, Policy::RoundRobin, &[active(1), active(0)]),
        INVALID
    );
    assert_eq!(
        status(&lun, Policy::RoundRobin, &[active(1), standby(2)]),
        NtStatus::SUCCESS
    );
    assert_eq!(
        status(&lun, Policy::Failover, &[active(1), active(2)]),
        NtStatus::SUCCESS
    );
    let both = [preferred(active(1)), preferred(standby(2))];
    assert_eq!(status(&lun, Policy::Failover, &both), NtStatus::SUCCESS);
    assert_eq!(
        status(&lun, Policy::Failover, &[standby(1), active(2)]),
        INVALID,
        "its wish does not count for 14"
    );
}

#[test]
fn check_9_round_robin_needs_equal_paths() {
    let lun = grouped(Alua::Implicit, None, &[AO, AU], &[(1, 1), (2, 2)]);
    let real = [active(1), wish(2, PathState::NonOptimized)];
    assert_eq!(status(&lun, Policy::RoundRobin, &real), INVALID);
    assert_eq!(
        status(&lun, Policy::RoundRobinWithSubset, &real),
        NtStatus::SUCCESS
    );
    let explicit = grouped(Alua::Explicit, None, &[AO], &[(1, 1)]);
    assert_eq!(status(&explicit, Policy::RoundRobin, &[active(1)]), INVALID);
}

#[test]
fn check_10_failover_has_one_active_and_one_preferred_path() {
    let lun = plain(2);
    assert_eq!(
        status(&lun, Policy::Failover, &[active(1), active(2)]),
        INVALID
    );
    let both = [preferred(active(1)), preferred(standby(2))];
    assert_eq!(status(&lun, Policy::Failover, &both), INVALID);
    assert_eq!(
        status(
            &lun,
            Policy::RoundRobin,
            &[preferred(active(1)), preferred(active(2))]
        ),
        NtStatus::SUCCESS
    );
}

#[test]
fn check_11_implicit_targets_are_not_told_what_is_optimized() {
    let groups = [AO, AU];
    let lun = grouped(Alua::Implicit, None, &groups, &[(1, 1), (2, 2)]);
    for policy in [
        Policy::Failover,
        Policy::RoundRobinWithSubset,
        Policy::LeastQueueDepth,
    ] {
        assert_eq!(
            status(&lun, policy, &[standby(1), active(2)]),
            INVALID,
            "{policy}"
        );
    }
    let both = grouped(Alua::Both, None, &groups, &[(1, 1), (2, 2)]);
    let wanted = both.selector.set_view();
    let grant = validate(
        &wanted,
        &request(Policy::Failover, &[standby(1), active(2)]),
    );
    assert!(matches!(grant, Ok(Verdict::Grant(g)) if g.stpg == Some(vec![2])));
}

#[test]
fn check_12_balancing_policies_keep_nobody_in_reserve() {
    let resting = [PathState::Standby, PathState::Unavailable];
    for policy in [
        Policy::RoundRobin,
        Policy::WeightedPaths,
        Policy::LeastQueueDepth,
        Policy::LeastBlocks,
    ] {
        let lun = plain(2);
        for state in resting {
            assert_eq!(
                status(&lun, policy, &[active(1), wish(2, state)]),
                INVALID,
                "{policy}"
            );
        }
        let unoptimized = [active(1), wish(2, PathState::NonOptimized)];
        assert_eq!(
            status(&lun, policy, &unoptimized),
            NtStatus::SUCCESS,
            "no ALUA"
        );
    }
    let lun = grouped(
        Alua::Implicit,
        None,
        &[AO, SB, AU],
        &[(1, 1), (2, 2), (3, 3)],
    );
    let [unoptimized, unavailable] = [PathState::NonOptimized, PathState::Unavailable];
    for (two, three, want) in [
        (PathState::Standby, unoptimized, NtStatus::SUCCESS),
        (unavailable, unoptimized, INVALID),
        (unoptimized, unoptimized, INVALID),
        (PathState::Standby, PathState::Standby, INVALID),
    ] {
        let paths = [active(1), wish(2, two), wish(3, three)];
        assert_eq!(
            status(&lun, Policy::LeastQueueDepth, &paths),
            want,
            "{two:?} {three:?}"
        );
    }
}

#[test]
fn check_13_subset_lets_paths_rest_that_could_work_or_rest_already() {
    let [rest, gone] = [PathState::Standby, PathState::Unavailable];
    assert_eq!(
        status(
            &plain(2),
            Policy::RoundRobinWithSubset,
            &[active(1), wish(2, gone)]
        ),
        NtStatus::SUCCESS
    );
    let lun = grouped(
        Alua::Implicit,
        None,
        &[AO, AO, SB, AU],
        &[(1, 1), (2, 2), (3, 3), (4, 4)],
    );
    let unoptimized = wish(4, PathState::NonOptimized);
    for (two, three, want) in [
        (rest, rest, NtStatus::SUCCESS),
        (gone, rest, NtStatus::SUCCESS),
        (rest, gone, INVALID),
    ] {
        let paths = [active(1), wish(2, two), wish(3, three), unoptimized];
        assert_eq!(
            status(&lun, Policy::RoundRobinWithSubset, &paths),
            want,
            "{two:?} {three:?}"
        );
    }
    let paths = [active(1), active(2), wish(3, rest), wish(4, rest)];
    assert_eq!(
        status(&lun, Policy::RoundRobinWithSubset, &paths),
        INVALID,
        "4 is unoptimized"
    );
}

#[test]
fn check_14_somebody_is_active_unless_the_target_has_no_optimized_group() {
    assert_eq!(status(&plain(1), Policy::Failover, &[standby(1)]), INVALID);
    let lun = grouped(Alua::Implicit, None, &[AU, SB], &[(1, 1), (2, 2)]);
    let real = [wish(1, PathState::NonOptimized), standby(2)];
    assert_eq!(status(&lun, Policy::Failover, &real), NtStatus::SUCCESS);
    let lun = grouped(Alua::Implicit, None, &[AO, SB], &[(1, 1), (2, 2)]);
    assert_eq!(
        status(&lun, Policy::Failover, &[standby(1), standby(2)]),
        INVALID
    );
}

#[test]
fn check_15_all_wished_groups_are_raised_together_and_a_refusal_changes_nothing() {
    let paths = [(1, 1), (2, 2), (3, 3)];
    let mut lun = grouped(Alua::Explicit, None, &[AO, SB, AU], &paths);
    let wanted = [
        SetPath {
            weight: 9,
            ..active(1)
        },
        active(2),
        wish(3, PathState::NonOptimized),
    ];
    let before = (lun.shown(), lun.selector.query());
    for _ in 0..2 {
        let step = lun
            .selector
            .begin_set(&request(Policy::LeastQueueDepth, &wanted));
        assert_eq!(step, SetStep::SendStpg(StpgRequest { tpgs: vec![1, 2] }));
        assert_eq!(
            (lun.shown(), lun.selector.query()),
            before,
            "nothing before the target agreed"
        );
        assert_eq!(lun.selector.finish_set(None), NtStatus::IO_DEVICE_ERROR);
        assert_eq!((lun.shown(), lun.selector.query()), before);
    }
    let step = lun
        .selector
        .begin_set(&request(Policy::LeastQueueDepth, &wanted));
    assert!(matches!(step, SetStep::SendStpg(_)));
    let groups = report(&[(1, AO), (2, AU), (3, AU)]);
    assert_eq!(lun.selector.finish_set(Some(&groups)), NtStatus::SUCCESS);
    assert_eq!(
        lun.shown(),
        ["AO", "AU", "AU"],
        "a group that did not get there keeps its state"
    );
    assert_eq!(lun.stpg(), None, "and is not asked again");
}

#[test]
fn check_16_a_granted_request_is_explicit_and_stored() {
    let mut lun = plain(3);
    let paths = [
        standby(1),
        preferred(SetPath {
            weight: 3,
            ..active(2)
        }),
        wish(3, PathState::Unavailable),
    ];
    assert_eq!(lun.set(Policy::Failover, &paths), NtStatus::SUCCESS);
    let answer = lun.selector.query();
    assert_eq!(
        (answer.spec.policy(), answer.source),
        (Policy::Failover, Source::Explicit)
    );
    let flags: Vec<_> = answer
        .paths
        .iter()
        .map(|p| (p.id, p.weight, p.preferred))
        .collect();
    assert_eq!(flags, [(1, 0, false), (2, 3, true), (3, 0, false)]);
    assert_eq!(lun.shown(), ["SB", "AO", "UA"]);
    lun.down(2);
    let failed = lun.selector.query().paths[1];
    assert_eq!(
        (failed.id, failed.failed, failed.preferred),
        (0, true, true)
    );
}

#[test]
fn the_plain_method_knows_primary_and_weight_only() {
    let mut lun = plain(2);
    let paths = vec![
        preferred(wish(1, PathState::Unavailable)),
        SetPath {
            weight: 2,
            ..wish(2, PathState::NonOptimized)
        },
    ];
    assert_eq!(
        lun.request(SetRequest::new(SetMethod::Plain, 1, paths)),
        NtStatus::SUCCESS
    );
    assert_eq!(lun.shown(), ["SB", "AO"]);
    assert!(lun.selector.query().paths.iter().all(|p| !p.preferred));
}

#[test]
fn a_second_request_replaces_one_that_waits_for_the_target() {
    let mut lun = grouped(Alua::Explicit, None, &[AO, SB], &[(1, 1), (2, 2)]);
    let step = lun
        .selector
        .begin_set(&request(Policy::Failover, &[standby(1), active(2)]));
    assert!(matches!(step, SetStep::SendStpg(_)));
    assert_eq!(
        lun.set(Policy::Failover, &[active(1), standby(2)]),
        NtStatus::SUCCESS
    );
    assert_eq!(lun.selector.finish_set(Some(&report(&[(2, AO)]))), INVALID);
    assert_eq!(lun.pick(), Some(1));
}

#[test]
fn an_explicit_policy_by_config_is_refused_where_a_set_would_be() {
    use umpio::lun::policy::defaults::Setting;
    let mut lun = grouped(Alua::Implicit, None, &[AO, AU], &[(1, 1), (2, 2)]);
    assert_eq!(
        lun.selector
            .set_explicit(Some(Setting::new(Policy::RoundRobin.into()))),
        Err(INVALID)
    );
    let share = Setting::new(PolicySpec::vendor(VendorPolicy::Share));
    assert_eq!(lun.selector.set_explicit(Some(share)), Ok(()));
    assert_eq!(lun.selector.policy().policy(), Policy::VendorSpecific);
}
