//! Which path is picked: one test per rule of `docs/policies.md`, under equal and unequal paths.

mod kit;

use kit::*;
use umpio::lun::policy::defaults::{Scope, Setting, Source};
use umpio::lun::policy::*;

// FAILOVER

#[test]
fn failover_uses_the_first_path_and_keeps_the_others_as_standby() {
    let mut lun = equal(Policy::Failover, 3);
    assert_eq!(lun.picks(3), [1, 1, 1]);
    assert_eq!(lun.shown(), ["AO", "SB", "SB"]);
}

#[test]
fn failover_masks_optimized_paths_of_unequal_groups_as_unoptimized() {
    let lun = grouped(
        Alua::Implicit,
        Some(Policy::Failover),
        &[AO, SB],
        &[(1, 1), (2, 1), (3, 2)],
    );
    assert_eq!(lun.shown(), ["AO", "AU", "SB"]);
}

#[test]
fn failover_moves_to_the_first_standby_and_stays_when_the_lost_path_returns() {
    let mut lun = equal(Policy::Failover, 3);
    lun.down(1);
    assert_eq!(lun.picks(2), [2, 2]);
    lun.up(1);
    assert_eq!(lun.picks(2), [2, 2]);
    assert_eq!(lun.shown(), ["SB", "AO", "SB"]);
}

#[test]
fn failover_returns_to_the_preferred_path_only() {
    let mut lun = equal(Policy::Failover, 3);
    let paths = [standby(1), preferred(active(2)), standby(3)];
    assert_eq!(lun.set(Policy::Failover, &paths), NtStatus::SUCCESS);
    lun.down(2);
    assert_eq!(lun.pick(), Some(1));
    lun.down(1);
    assert_eq!(lun.pick(), Some(3));
    lun.up(1);
    assert_eq!(lun.pick(), Some(3), "nobody asked for 1");
    lun.up(2);
    assert_eq!(lun.pick(), Some(2));
}

#[test]
fn failover_returns_to_a_wished_path_while_the_preferred_one_does_not_run() {
    let mut lun = equal(Policy::Failover, 3);
    assert_eq!(
        lun.set(Policy::Failover, &[standby(1), standby(2), active(3)]),
        NtStatus::SUCCESS
    );
    lun.down(3);
    assert_eq!(lun.pick(), Some(1));
    lun.up(3);
    assert_eq!(lun.pick(), Some(3));

    let paths = [preferred(standby(1)), standby(2), active(3)];
    assert_eq!(lun.set(Policy::Failover, &paths), NtStatus::SUCCESS);
    lun.down(3);
    assert_eq!(lun.pick(), Some(1), "first standby");
    lun.up(3);
    assert_eq!(lun.pick(), Some(1), "the preferred path runs");
}

#[test]
fn failover_on_equal_paths_takes_a_preferred_group_before_an_earlier_standby() {
    let mut lun = grouped(
        Alua::Implicit,
        Some(Policy::Failover),
        &[AO, AO],
        &[(1, 1), (2, 1), (3, 2)],
    );
    lun.selector.set_group_access(2, AO, true);
    lun.down(1);
    assert_eq!(lun.pick(), Some(3));
}

#[test]
fn a_failover_asks_paths_wished_unoptimized_or_unavailable_after_all_standbys() {
    for policy in [Policy::Failover, Policy::RoundRobinWithSubset] {
        let mut lun = equal(policy, 4);
        let [gone, slow] = [PathState::Unavailable, PathState::NonOptimized];
        let paths = [active(1), wish(2, gone), wish(3, slow), standby(4)];
        assert_eq!(lun.set(policy, &paths), NtStatus::SUCCESS);
        for (lost, next) in [(1, 4), (4, 3), (3, 2)] {
            lun.down(lost);
            assert_eq!(lun.pick(), Some(next), "{policy}");
        }
    }
}

#[test]
fn failover_on_unequal_paths_takes_an_optimized_group_outright() {
    let groups = [AO, AU, AO];
    let mut lun = grouped(
        Alua::Implicit,
        Some(Policy::Failover),
        &groups,
        &[(1, 1), (2, 2), (3, 3)],
    );
    lun.down(1);
    assert_eq!(lun.pick(), Some(3));
}

#[test]
fn failover_lets_the_better_state_win_over_a_wish() {
    let mut lun = grouped(
        Alua::Explicit,
        Some(Policy::Failover),
        &[AO, SB, AU],
        &[(1, 1), (2, 2), (3, 3)],
    );
    lun.selector
        .set_desired(lun.ix(2), Some(PathState::Optimized));
    assert_eq!(lun.stpg(), None);
    lun.down(1);
    assert_eq!(
        lun.stpg(),
        Some(vec![3]),
        "unoptimized beats standby, wished or not"
    );
}

#[test]
fn failover_lets_a_preferred_group_shield_only_a_wished_candidate() {
    let paths = [(1, 1), (2, 2), (3, 3)];
    for (wished_2, shielded, want) in [(true, true, 2), (true, false, 3), (false, true, 3)] {
        let mut lun = grouped(
            Alua::Explicit,
            Some(Policy::Failover),
            &[AO, SB, SB],
            &paths,
        );
        lun.selector.set_group_access(2, SB, shielded);
        if wished_2 {
            lun.selector
                .set_desired(lun.ix(2), Some(PathState::Optimized));
        }
        lun.selector
            .set_desired(lun.ix(3), Some(PathState::Optimized));
        lun.down(1);
        assert_eq!(lun.stpg(), Some(vec![want]), "{wished_2} {shielded}");
    }
}

#[test]
fn failover_by_explicit_alua_runs_on_the_group_that_the_target_raised() {
    let mut lun = grouped(
        Alua::Explicit,
        Some(Policy::Failover),
        &[AO, SB],
        &[(1, 1), (2, 2)],
    );
    lun.down(1);
    assert_eq!(lun.pick(), None, "standby carries nothing");
    assert_eq!(lun.selector.prospects(), Prospects::MayComeBack);
    assert_eq!(lun.stpg(), Some(vec![2]));
    assert_eq!(lun.stpg(), None, "asked once");
    lun.granted(&[(1, AU), (2, AO)]);
    assert_eq!(lun.pick(), Some(2));
}

#[test]
fn failover_by_explicit_alua_fetches_the_preferred_path_back() {
    let mut lun = grouped(Alua::Explicit, None, &[AO, SB], &[(1, 1), (2, 2)]);
    assert_eq!(
        lun.set(Policy::Failover, &[preferred(active(1)), standby(2)]),
        NtStatus::SUCCESS
    );
    lun.down(1);
    assert_eq!(lun.stpg(), Some(vec![2]));
    lun.granted(&[(1, AU), (2, AO)]);
    lun.up(1);
    assert_eq!(lun.pick(), Some(2), "until the target agrees");
    assert_eq!(lun.stpg(), Some(vec![1]));
    lun.granted(&[(1, AO), (2, AU)]);
    assert_eq!(lun.pick(), Some(1));
}

#[test]
fn a_target_that_refuses_is_asked_again_only_after_another_event() {
    let mut lun = grouped(
        Alua::Explicit,
        Some(Policy::Failover),
        &[AO, SB],
        &[(1, 1), (2, 2)],
    );
    lun.down(1);
    assert_eq!(lun.stpg(), Some(vec![2]));
    lun.selector.stpg_done(&[]);
    assert_eq!(lun.stpg(), None);
    lun.group(1, AU);
    assert_eq!(lun.stpg(), Some(vec![2]));
}

// ROUND_ROBIN

#[test]
fn round_robin_advances_on_every_request_in_list_order() {
    let mut lun = equal(Policy::RoundRobin, 3);
    assert_eq!(
        lun.pick_io(IoShape::other()),
        Some(1),
        "requests of every kind"
    );
    assert_eq!(lun.picks(4), [2, 3, 1, 2]);
}

#[test]
fn round_robin_starts_over_at_every_arrival_loss_and_granted_set() {
    let mut lun = equal(Policy::RoundRobin, 3);
    assert_eq!(lun.picks(1), [1]);
    lun.down(3);
    assert_eq!(lun.picks(3), [1, 2, 1]);
    lun.up(3);
    assert_eq!(lun.picks(2), [1, 2]);
    lun.add(4, 0);
    assert_eq!(lun.picks(2), [1, 2]);
    assert_eq!(
        lun.set(
            Policy::RoundRobin,
            &[active(1), active(2), active(3), active(4)]
        ),
        NtStatus::SUCCESS
    );
    assert_eq!(lun.picks(5), [1, 2, 3, 4, 1]);
}

#[test]
fn a_refused_set_leaves_the_cursor() {
    let mut lun = equal(Policy::RoundRobin, 3);
    assert_eq!(lun.picks(1), [1]);
    assert_eq!(
        lun.set(Policy::RoundRobin, &[active(1)]),
        NtStatus::INVALID_PARAMETER
    );
    assert_eq!(lun.picks(1), [2]);
}

#[test]
fn round_robin_skips_a_path_that_became_unoptimized_and_finds_it_again() {
    let mut lun = grouped(
        Alua::Implicit,
        Some(Policy::RoundRobin),
        &[AO, AO, AO],
        &[(1, 1), (2, 2), (3, 3)],
    );
    assert_eq!(lun.picks(1), [1]);
    lun.group(2, AU);
    lun.group(2, AO);
    assert_eq!(lun.picks(1), [2], "the cursor still names it");
    lun.group(3, SB);
    assert_eq!(lun.picks(3), [1, 2, 1]);
}

#[test]
fn a_path_wished_unoptimized_without_alua_stays_out_of_the_rotation() {
    let mut lun = equal(Policy::RoundRobin, 3);
    let paths = [active(1), wish(2, PathState::NonOptimized), active(3)];
    assert_eq!(lun.set(Policy::RoundRobin, &paths), NtStatus::SUCCESS);
    assert_eq!(lun.picks(3), [1, 3, 1]);
    lun.down(1);
    lun.down(3);
    assert_eq!(lun.picks(2), [2, 2], "but no I/O fails while it works");
}

// ROUND_ROBIN_WITH_SUBSET

#[test]
fn subset_rotates_over_optimized_paths_only() {
    let mut lun = grouped(Alua::Implicit, None, &[AO, AU], &[(1, 1), (2, 2), (3, 1)]);
    assert_eq!(lun.selector.policy().policy(), Policy::RoundRobinWithSubset);
    assert_eq!(lun.picks(3), [1, 3, 1]);
}

#[test]
fn subset_promotes_one_standby_and_lets_it_rest_again() {
    let mut lun = equal(Policy::RoundRobinWithSubset, 4);
    let paths = [active(1), active(2), standby(3), standby(4)];
    assert_eq!(
        lun.set(Policy::RoundRobinWithSubset, &paths),
        NtStatus::SUCCESS
    );
    lun.down(1);
    assert_eq!(lun.picks(2), [2, 2]);
    lun.down(2);
    assert_eq!(lun.picks(2), [3, 3]);
    assert_eq!(lun.shown(), ["failed", "failed", "AO", "SB"]);
    lun.up(2);
    assert_eq!(lun.picks(2), [2, 2]);
    assert_eq!(lun.shown(), ["failed", "AO", "SB", "SB"]);
}

#[test]
fn a_stand_in_wished_unavailable_stays() {
    let mut lun = equal(Policy::RoundRobinWithSubset, 2);
    let paths = [active(1), wish(2, PathState::Unavailable)];
    assert_eq!(
        lun.set(Policy::RoundRobinWithSubset, &paths),
        NtStatus::SUCCESS
    );
    lun.down(1);
    assert_eq!(lun.pick(), Some(2));
    lun.up(1);
    assert_eq!(lun.picks(3), [1, 2, 1]);
    lun.down(2);
    lun.up(2);
    assert_eq!(
        lun.picks(2),
        [1, 1],
        "a path that returns enters as its wish says"
    );
}

#[test]
fn subset_promotes_a_preferred_group_first() {
    let mut lun = grouped(Alua::Implicit, None, &[AO, AO], &[(1, 1), (2, 1), (3, 2)]);
    let paths = [active(1), standby(2), standby(3)];
    assert_eq!(
        lun.set(Policy::RoundRobinWithSubset, &paths),
        NtStatus::SUCCESS
    );
    lun.selector.set_group_access(2, AO, true);
    lun.down(1);
    assert_eq!(lun.pick(), Some(3));
}

#[test]
fn subset_by_explicit_alua_raises_a_whole_group_but_for_paths_wished_otherwise() {
    let paths = [(1, 1), (2, 2), (3, 2), (4, 2)];
    let mut lun = grouped(Alua::Explicit, None, &[AO, AU], &paths);
    lun.selector
        .set_desired(lun.ix(3), Some(PathState::Standby));
    lun.down(1);
    assert_eq!(lun.stpg(), Some(vec![2]));
    lun.granted(&[(1, AU), (2, AO)]);
    assert_eq!(lun.picks(3), [2, 4, 2]);
    assert_eq!(lun.shown(), ["failed", "AO", "SB", "AO"]);
}

#[test]
fn subset_by_explicit_alua_fetches_a_wished_path_back() {
    let mut lun = grouped(Alua::Explicit, None, &[AO, SB], &[(1, 1), (2, 2)]);
    assert_eq!(
        lun.set(Policy::RoundRobinWithSubset, &[active(1), standby(2)]),
        NtStatus::SUCCESS
    );
    lun.down(1);
    assert_eq!(lun.stpg(), Some(vec![2]));
    lun.granted(&[(1, AU), (2, AO)]);
    assert_eq!(lun.pick(), Some(2));
    lun.up(1);
    assert_eq!(lun.stpg(), Some(vec![1]));
    lun.granted(&[(1, AO), (2, AU)]);
    assert_eq!(lun.pick(), Some(1));
    assert_eq!(lun.shown(), ["AO", "AU"]);
}

// DYN_LEAST_QUEUE_DEPTH

#[test]
fn least_queue_depth_takes_the_first_of_the_shortest_queues() {
    let mut lun = equal(Policy::LeastQueueDepth, 3);
    let order: Vec<u64> = (0..4).map(|_| lun.dispatch(IoShape::other())).collect();
    assert_eq!(order, [1, 2, 3, 1]);
    lun.load(3).on_drop(&IoShape::other());
    assert_eq!(lun.pick(), Some(3));
}

#[test]
fn least_queue_depth_counts_other_luns_and_other_reactors_on_the_nexus() {
    let mut lun = equal(Policy::LeastQueueDepth, 3);
    lun.load(1).on_dispatch(&IoShape::other(), 0);
    lun.load(2).remote_in_flight = 3;
    assert_eq!(lun.pick(), Some(3));
}

// WEIGHTED_PATHS

#[test]
fn weighted_paths_gives_everything_to_the_first_of_the_lightest() {
    let mut lun = equal(Policy::WeightedPaths, 3);
    let paths = [weighing(1, 7), weighing(2, 5), weighing(3, 5)];
    assert_eq!(lun.set(Policy::WeightedPaths, &paths), NtStatus::SUCCESS);
    assert_eq!(lun.picks(3), [2, 2, 2]);
    lun.down(2);
    assert_eq!(lun.pick(), Some(3));
    lun.down(3);
    assert_eq!(lun.pick(), Some(1));
    lun.up(3);
    assert_eq!(lun.pick(), Some(3));
}

#[test]
fn the_largest_weight_is_usable() {
    let mut lun = equal(Policy::WeightedPaths, 1);
    assert_eq!(
        lun.set(Policy::WeightedPaths, &[weighing(1, u32::MAX)]),
        NtStatus::SUCCESS
    );
    assert_eq!(lun.pick(), Some(1));
}

// LEAST_BLOCKS

#[test]
fn least_blocks_takes_the_first_of_those_with_fewest_bytes_when_the_run_breaks() {
    let mut lun = equal(Policy::LeastBlocks, 3);
    assert_eq!(lun.dispatch(IoShape::read(1000, 8, 512)), 1);
    assert_eq!(lun.dispatch(IoShape::read(500, 16, 512)), 2);
    assert_eq!(lun.dispatch(IoShape::read(100, 8, 512)), 3);
    assert_eq!(
        lun.dispatch(IoShape::read(50, 8, 512)),
        1,
        "4096, 8192, 4096"
    );
}

#[test]
fn least_blocks_keeps_a_sequential_read_on_the_previous_path_however_far_it_jumps() {
    let mut lun = equal(Policy::LeastBlocks, 2);
    assert_eq!(lun.dispatch(IoShape::read(0, 8, 512)), 1);
    assert_eq!(
        lun.dispatch(IoShape::read(7, 8, 512)),
        1,
        "the last block itself counts"
    );
    assert_eq!(lun.dispatch(IoShape::read(1 << 40, 8, 512)), 1);
    assert_eq!(lun.dispatch(IoShape::read(0, 8, 512)), 2);
}

#[test]
fn least_blocks_keeps_a_sequential_write_while_it_fits_the_cache() {
    let mut lun = equal(Policy::LeastBlocks, 2);
    assert_eq!(lun.dispatch(IoShape::write(0, 1024, 512)), 1);
    assert_eq!(
        lun.dispatch(IoShape::write(1024, 1024, 512)),
        1,
        "1 MiB exactly"
    );
    assert_eq!(lun.dispatch(IoShape::write(2048, 1, 512)), 2);
}

#[test]
fn least_blocks_without_the_cache_option_balances_sequential_runs() {
    let mut lun = unsettled(
        Options {
            cache_bytes: None,
            ..Options::default()
        },
        Some(Policy::LeastBlocks),
    );
    lun.add(1, 0);
    lun.add(2, 0);
    assert_eq!(lun.dispatch(IoShape::read(0, 8, 512)), 1);
    assert_eq!(lun.dispatch(IoShape::read(8, 8, 512)), 2);
}

#[test]
fn least_blocks_lets_other_requests_follow_the_previous_path_uncounted() {
    let mut lun = equal(Policy::LeastBlocks, 2);
    assert_eq!(lun.dispatch(IoShape::read(1000, 8, 512)), 1);
    assert_eq!(lun.dispatch(IoShape::other()), 1);
    assert_eq!(lun.load(1).outstanding_bytes, 4096);
    assert_eq!(lun.dispatch(IoShape::read(0, 8, 512)), 2);
}

#[test]
fn least_blocks_shares_the_last_block_of_a_nexus_among_luns() {
    let mut lun = equal(Policy::LeastBlocks, 2);
    assert_eq!(lun.dispatch(IoShape::read(0, 8, 512)), 1);
    // Another LUN reads far ahead on the same nexus.
    lun.load(1).on_dispatch(&IoShape::read(5000, 8, 512), 0);
    assert_eq!(lun.dispatch(IoShape::read(8, 8, 512)), 2);
}

// No optimized path

#[test]
fn without_optimized_paths_the_previous_one_is_used_again() {
    for policy in [
        Policy::RoundRobinWithSubset,
        Policy::LeastQueueDepth,
        Policy::WeightedPaths,
        Policy::LeastBlocks,
    ] {
        let mut lun = grouped(
            Alua::Implicit,
            Some(policy),
            &[AO, SB],
            &[(1, 2), (2, 1), (3, 1)],
        );
        lun.load(2).on_dispatch(&IoShape::read(9000, 8, 512), 0);
        lun.selector.set_weight(lun.ix(2), 9);
        let previous = lun.picks(2)[1];
        lun.group(1, AU);
        assert_eq!(lun.picks(2), [previous, previous], "{policy}");
        lun.down(previous);
        assert_eq!(
            lun.pick(),
            Some(5 - previous),
            "{policy}: the other one that works"
        );
        lun.down(5 - previous);
        assert_eq!(lun.pick(), None, "{policy}: standby carries nothing");
    }
}

#[test]
fn without_optimized_paths_all_unoptimized_ones_are_used_where_that_is_switched_on() {
    let options = Options {
        alua: Alua::Implicit,
        spread_non_optimized: true,
        ..Options::default()
    };
    let mut lun = unsettled(options, None);
    lun.selector.set_groups(&report(&[(1, AU), (2, SB)]));
    for (id, tpg) in [(1, 1), (2, 2), (3, 1)] {
        lun.add(id, tpg);
    }
    assert_eq!(lun.picks(3), [1, 3, 1]);
}

#[test]
fn a_path_that_can_not_carry_io_is_never_picked() {
    for access in [SB, UA, TR] {
        for policy in [
            Policy::Failover,
            Policy::LeastQueueDepth,
            Policy::RoundRobinWithSubset,
        ] {
            let mut lun = grouped(Alua::Implicit, Some(policy), &[access], &[(1, 1), (2, 1)]);
            assert_eq!(lun.pick(), None);
            assert_eq!(lun.selector.prospects(), Prospects::MayComeBack);
            lun.group(1, AO);
            assert_eq!(lun.pick(), Some(1));
        }
    }
}

// Symmetry and defaults

#[test]
fn symmetry_is_found_and_lost_as_states_change() {
    let mut lun = grouped(Alua::Implicit, None, &[AO, AO], &[(1, 1), (2, 2)]);
    assert_eq!(lun.selector.policy().policy(), Policy::RoundRobin);
    lun.group(2, AU);
    assert!(!lun.selector.symmetric());
    assert_eq!(lun.selector.policy().policy(), Policy::RoundRobinWithSubset);
    assert!(!lun.selector.supported().contains(&Policy::RoundRobin));
    lun.group(1, AU);
    assert_eq!(lun.selector.policy().policy(), Policy::RoundRobin);
    let explicit = grouped(Alua::Explicit, None, &[AO, AO], &[(1, 1), (2, 2)]);
    assert!(!explicit.selector.symmetric(), "explicit ALUA never is");
}

#[test]
fn a_changed_default_finds_the_next_path_at_once_where_it_governs() {
    let mut lun = plain(3);
    assert_eq!(lun.picks(2), [1, 2]);
    let failover = Setting {
        preferred: Some(3),
        ..Setting::new(Policy::Failover.into())
    };
    lun.selector.set_default(Scope::Engine, Some(failover));
    assert_eq!(lun.picks(2), [3, 3]);
    lun.selector
        .set_default(Scope::Target, Some(Setting::new(Policy::RoundRobin.into())));
    assert_eq!(lun.picks(2), [1, 2]);
    lun.selector.set_default(Scope::Engine, None);
    assert_eq!(
        lun.picks(1),
        [3],
        "the target's default governs, so nothing moved"
    );
    assert_eq!(lun.selector.policy_source(), Source::Target);
}

#[test]
fn clearing_keeps_wishes_and_weights() {
    let mut lun = equal(Policy::RoundRobin, 2);
    let paths = [
        SetPath {
            weight: 4,
            ..active(1)
        },
        SetPath {
            weight: 6,
            ..standby(2)
        },
    ];
    assert_eq!(
        lun.set(Policy::RoundRobinWithSubset, &paths),
        NtStatus::SUCCESS
    );
    assert_eq!(
        lun.request(SetRequest::new(SetMethod::Alua, 0, vec![])),
        NtStatus::SUCCESS
    );
    assert_eq!(lun.selector.policy_source(), Source::Capability);
    let weights: Vec<u32> = lun
        .selector
        .query()
        .paths
        .iter()
        .map(|p| p.weight)
        .collect();
    assert_eq!(weights, [4, 6]);
    lun.selector.set_default(
        Scope::Engine,
        Some(Setting::new(Policy::RoundRobinWithSubset.into())),
    );
    assert_eq!(lun.picks(2), [1, 1], "2 is still wished standby");
}

// Paths

#[test]
fn a_path_to_avoid_is_passed_over_while_the_policy_has_another() {
    for policy in [
        Policy::RoundRobin,
        Policy::LeastQueueDepth,
        Policy::WeightedPaths,
        Policy::LeastBlocks,
    ] {
        let mut lun = equal(policy, 3);
        assert_eq!(lun.pick_avoiding(1), Some(2), "{policy}");
        lun.down(2);
        lun.down(3);
        assert_eq!(lun.pick_avoiding(1), Some(1), "{policy}");
    }
    assert_eq!(
        equal(Policy::Failover, 2).pick_avoiding(1),
        Some(1),
        "failover has one path"
    );
}

#[test]
fn paths_are_refused_with_a_reason() {
    let mut lun = plain(2);
    let init = |id| PathInit {
        id,
        nexus: 0,
        tpg: 0,
        weight: 0,
    };
    assert_eq!(lun.selector.add_path(init(0)), Err(AddPathError::ZeroId));
    assert_eq!(
        lun.selector.add_path(init(2)),
        Err(AddPathError::DuplicateId)
    );
    for id in 3..=topology::PATHS_MAX as u64 {
        assert!(lun.selector.add_path(init(id)).is_ok());
    }
    assert_eq!(
        lun.selector.add_path(init(1000)),
        Err(AddPathError::TooMany)
    );
}

#[test]
fn a_removed_path_leaves_and_its_place_may_be_taken() {
    let mut lun = equal(Policy::Failover, 2);
    lun.selector.remove_path(lun.ix(1));
    assert_eq!(lun.pick(), Some(2));
    lun.add(3, 0);
    assert_eq!(lun.pick(), Some(2), "arrivals go to the end of the list");
    lun.selector.remove_path(lun.ix(2));
    lun.selector.remove_path(lun.ix(3));
    assert_eq!(lun.pick(), None);
    assert_eq!(lun.selector.prospects(), Prospects::Never);
}

#[test]
fn a_lost_nexus_may_come_back_and_a_lost_group_may_not() {
    let mut lun = plain(1);
    lun.down(1);
    assert_eq!(
        (lun.pick(), lun.selector.prospects()),
        (None, Prospects::MayComeBack)
    );
    lun.up(1);
    lun.selector
        .set_access(lun.ix(1), umpio::lun::access::AccessState::Lost);
    assert_eq!(
        (lun.pick(), lun.selector.prospects()),
        (None, Prospects::Never)
    );
}
