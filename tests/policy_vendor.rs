//! The two policies of ours: `share` against a naive model, `latency` in a small world of its own.

mod kit;

use kit::*;
use proptest::prelude::*;
use std::collections::BTreeMap;
use umpio::lun::policy::defaults::Setting;
use umpio::lun::policy::*;

fn vendor(policy: VendorPolicy, weights: &[u32]) -> Bench {
    let mut lun = plain(weights.len() as u64);
    lun.selector
        .set_explicit(Some(Setting::new(PolicySpec::vendor(policy))))
        .expect("accepted");
    for (id, &weight) in (1..).zip(weights) {
        lun.selector.set_weight(lun.ix(id), weight);
    }
    lun
}

#[test]
fn share_interleaves_as_evenly_as_the_proportion_allows() {
    let mut lun = vendor(VendorPolicy::Share, &[5, 1, 1]);
    assert_eq!(lun.picks(14), [1, 1, 2, 1, 3, 1, 1, 1, 1, 2, 1, 3, 1, 1]);
}

#[test]
fn share_without_weights_is_round_robin_and_weight_0_beside_others_is_nothing() {
    assert_eq!(
        vendor(VendorPolicy::Share, &[0, 0, 0]).picks(4),
        [1, 2, 3, 1]
    );
    assert_eq!(vendor(VendorPolicy::Share, &[0, 3]).picks(3), [2, 2, 2]);
}

#[test]
fn vendor_policies_use_all_unoptimized_paths_when_nothing_better_is_there() {
    let mut lun = grouped(Alua::Implicit, None, &[AU, SB], &[(1, 1), (2, 1), (3, 2)]);
    let share = PolicySpec::vendor(VendorPolicy::Share);
    lun.selector
        .set_explicit(Some(Setting::new(share)))
        .expect("accepted");
    assert_eq!(lun.picks(4), [1, 2, 1, 2]);
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn share_is_the_naive_smooth_rotation(
        weights in prop::collection::vec(prop_oneof![0_u32..5, Just(u32::MAX)], 2..6),
        rounds in 1_usize..200,
    ) {
        let mut lun = vendor(VendorPolicy::Share, &weights);
        let all_zero = weights.iter().all(|&w| w == 0);
        let gains: Vec<(u64, i128)> =
            (1..).zip(weights.iter().map(|&w| if all_zero { 1 } else { i128::from(w) })).collect();
        let sum: i128 = gains.iter().map(|g| g.1).sum();
        let mut purse: BTreeMap<u64, i128> = BTreeMap::new();
        for _ in 0..rounds {
            for (id, gain) in &gains {
                *purse.entry(*id).or_default() += gain;
            }
            let takers: Vec<u64> = gains.iter().filter(|g| g.1 > 0).map(|g| g.0).collect();
            let richest = takers.iter().map(|id| purse[id]).max();
            let expected = takers.iter().copied().find(|id| Some(purse[id]) == richest);
            prop_assert_eq!(lun.pick(), expected);
            if let Some(id) = expected {
                *purse.entry(id).or_default() -= sum;
            }
        }
    }

    #[test]
    fn latency_between_probes_is_the_least_expected_time(
        loads in prop::collection::vec((0_u32..40, 0_u32..40, 1_u64..3_000_000, 0_u64..3_000_000), 2..6),
    ) {
        let mut lun = vendor(VendorPolicy::Latency, &vec![0; loads.len()]);
        lun.now_ns = 1_000_000_000;
        for (id, &(own, remote, service_ns, age)) in (1..).zip(&loads) {
            *lun.load(id) = NexusLoad {
                in_flight: own,
                remote_in_flight: remote,
                service_ns,
                sampled_at_ns: 999_999_999,
                oldest_dispatch_ns: if own == 0 { load::IDLE } else { 1_000_000_000 - age },
                ..NexusLoad::default()
            };
        }
        let cost = |l: &(u32, u32, u64, u64)| {
            let oldest = if l.0 == 0 { 0 } else { l.3 };
            l.2.max(oldest) * u64::from(l.0 + l.1 + 1)
        };
        let least = loads.iter().map(cost).min();
        let expected = (1..).zip(&loads).find(|(_, l)| Some(cost(l)) == least).map(|(id, _)| id);
        prop_assert_eq!(lun.pick(), expected);
    }
}

/// Two paths, each with its own fixed service time, a number of requests kept in flight.
struct Track {
    lun: Bench,
    service_ns: [u64; 2],
    /// Done at, dispatched at, path.
    flying: Vec<(u64, u64, u64)>,
    done: [u64; 2],
}

impl Track {
    fn new(depth: usize) -> Self {
        let lun = vendor(VendorPolicy::Latency, &[0, 0]);
        let mut track = Self {
            lun,
            service_ns: [100_000; 2],
            flying: Vec::new(),
            done: [0; 2],
        };
        (0..depth).for_each(|_| track.launch());
        track
    }

    fn launch(&mut self) {
        let now = self.lun.now_ns;
        let id = self.lun.dispatch(IoShape::read(0, 8, 512));
        let takes = self.service_ns[usize::try_from(id - 1).expect("small")];
        self.flying.push((now + takes, now, id));
    }

    /// Requests completed within the next `span_ns`, per path.
    fn run(&mut self, span_ns: u64) -> [u64; 2] {
        let end = self.lun.now_ns + span_ns;
        self.done = [0; 2];
        loop {
            let (place, &(at, since, id)) = self
                .flying
                .iter()
                .enumerate()
                .min_by_key(|(_, f)| f.0)
                .expect("kept in flight");
            if at > end {
                self.lun.now_ns = end;
                return self.done;
            }
            self.lun.now_ns = at;
            self.flying.swap_remove(place);
            self.lun
                .load(id)
                .on_complete(&IoShape::read(0, 8, 512), at - since, at);
            self.done[usize::try_from(id - 1).expect("small")] += 1;
            self.launch();
        }
    }
}

const MS: u64 = 1_000_000;

#[test]
fn latency_leaves_a_slow_path_and_keeps_its_throughput() {
    for depth in [1, 4, 32] {
        let mut track = Track::new(depth);
        let even = track.run(100 * MS);
        track.service_ns[0] += 30 * MS;
        track.run(100 * MS);
        let slow = track.run(1000 * MS);
        let (before, after) = (even[0] + even[1], slow[0] + slow[1]);
        assert!(
            after * 100 >= before * 10 * 95,
            "depth {depth}: {before} in 100 ms, then {after} in 1 s"
        );
        assert!(slow[0] <= 3, "depth {depth}: probes only, not {}", slow[0]);
    }
}

#[test]
fn latency_leaves_a_slow_path_within_milliseconds() {
    let mut track = Track::new(32);
    track.run(100 * MS);
    track.service_ns[0] += 30 * MS;
    let mut trapped = 0;
    for _ in 0..5 {
        track.run(MS);
        trapped = track.flying.iter().filter(|f| f.2 == 1).count();
    }
    assert!(trapped <= 24, "{trapped} of 32 wait on the slow path");
}

#[test]
fn latency_finds_a_recovered_path_again() {
    let mut track = Track::new(32);
    track.service_ns[0] += 30 * MS;
    track.run(300 * MS);
    track.service_ns[0] -= 30 * MS;
    track.run(1100 * MS);
    let [first, second] = track.run(100 * MS);
    assert!(first * 3 > second && second * 3 > first, "{first} {second}");
}

#[test]
fn latency_probes_an_idle_path_at_a_bounded_rate() {
    let mut track = Track::new(1);
    track.service_ns = [100_000, 200_000];
    track.run(20 * MS);
    let [fast, slow] = track.run(1000 * MS);
    assert!(slow <= 101, "at most one in 10 ms: {slow}");
    assert!(slow >= 50, "and not much fewer: {slow}");
    assert!(fast > 9000);
}
