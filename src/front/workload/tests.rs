//! The workload against a LUN in memory, in virtual time: it must find every fault, and nothing
//! where there is none.

use std::time::Duration;

use super::mock::{Fault, MockLun};
use super::spec::{Pattern, Rules, SeriesSpec, Sizes, Spec};
use super::verify::Why;
use super::{Phase, Workload};
use crate::base::clock::Time;
use crate::lun::port::PortId;

const PORT: PortId = PortId(0);
const TICK_NS: u64 = 5_000;

fn verified(seed: u64) -> Spec {
    Spec {
        pattern: Pattern::RandRw,
        read_percent: 50,
        sizes: Sizes::Range(512, 16_384),
        depth: 16,
        seed,
        run: seed ^ 0xABCD,
        verify: Some(Rules {
            failures_settle: true,
            ..Rules::default()
        }),
        limit: Some(8_000),
        ..Spec::default()
    }
}

/// Runs to the end, sweep included. Panics when it does not end.
fn run(workload: &mut Workload, lun: &mut MockLun) -> Time {
    let mut now = Time::ZERO;
    for _ in 0..20_000_000 {
        lun.advance(now);
        workload.step(lun, PORT, now);
        if workload.is_finished() {
            return now;
        }
        now += Duration::from_nanos(TICK_NS);
    }
    panic!("the workload does not end: {:?}", workload.phase());
}

fn run_with(spec: &Spec, fault: Option<(Fault, u64)>) -> (Workload, MockLun) {
    let mut lun = MockLun::new(512, 2048, spec.seed);
    lun.fault = fault;
    let mut w = Workload::new(spec, lun.shape()).expect("fits");
    run(&mut w, &mut lun);
    (w, lun)
}

#[test]
fn an_honest_lun_never_miscompares_whatever_the_order_of_completions() {
    for seed in 0..20 {
        let (w, _) = run_with(&verified(seed), None);
        assert_eq!(w.miscompares(), 0, "{:?}", w.verifier().unwrap().details());
        assert_eq!(w.stats().ios(), 8_000);
        assert!(w.verifier().unwrap().checked() > 2048, "the sweep read all");
    }
}

#[test]
fn writes_of_unknown_outcome_allow_both_contents_until_overwritten() {
    for seed in 0..20 {
        let mut lun = MockLun::new(512, 2048, seed);
        lun.failures_per_mille = 100;
        let mut w = Workload::new(&verified(seed), lun.shape()).expect("fits");
        run(&mut w, &mut lun);
        assert_eq!(w.miscompares(), 0, "{:?}", w.verifier().unwrap().details());
        assert!(w.stats().errors.total() > 200);
    }
}

fn caught(fault: Fault, every: u64) -> Vec<Why> {
    let mut whys = Vec::new();
    for seed in 0..5 {
        let (w, lun) = run_with(&verified(seed), Some((fault, every)));
        assert!(lun.struck.get() > 0, "{fault:?} struck in seed {seed}");
        assert!(w.miscompares() > 0, "{fault:?} was missed in seed {seed}");
        whys.extend(w.verifier().unwrap().details().iter().map(|m| m.why));
    }
    whys
}

#[test]
fn a_lost_write_is_caught() {
    assert!(caught(Fault::LostWrite, 200).contains(&Why::Stale));
}

#[test]
fn half_a_write_is_caught() {
    assert!(caught(Fault::HalfWrite, 200).contains(&Why::Stale));
}

#[test]
fn a_stale_read_is_caught() {
    assert!(caught(Fault::StaleRead, 200).contains(&Why::Stale));
}

#[test]
fn a_torn_unit_is_caught() {
    assert!(caught(Fault::TornUnit, 200).contains(&Why::Damaged));
}

#[test]
fn swapped_units_are_caught() {
    assert!(caught(Fault::SwappedUnits, 200).contains(&Why::Misplaced));
}

#[test]
fn a_misplaced_write_is_caught() {
    assert!(caught(Fault::MisplacedWrite, 200).contains(&Why::Misplaced));
}

#[test]
fn a_resurrected_old_version_is_caught() {
    assert!(caught(Fault::Resurrected, 50).contains(&Why::Stale));
}

#[test]
fn a_flipped_bit_is_caught() {
    let whys = caught(Fault::FlippedBit, 200);
    assert!(whys.iter().any(|w| *w != Why::Stale));
}

#[test]
fn zeroes_in_place_of_data_are_caught() {
    assert!(caught(Fault::ZeroRead, 200).contains(&Why::Stale));
}

#[test]
fn one_lost_write_nobody_reads_again_is_found_by_the_sweep() {
    let spec = Spec {
        pattern: Pattern::Write,
        sizes: Sizes::one(4096),
        limit: Some(100),
        ..verified(1)
    };
    let (w, lun) = run_with(&spec, Some((Fault::LostWrite, 50)));
    assert_eq!(w.miscompares(), lun.struck.get() * 8);
    assert_eq!(w.stats().read.ios, 0, "the sweep is not measured");
    let told = w.verifier().unwrap().details()[0].to_string();
    assert!(told.contains("expected version 1, found zeroes"), "{told}");
    assert!(told.contains("8 units of this read"), "{told}");
}

#[test]
fn a_write_that_failed_and_settled_may_not_be_done_later() {
    let settle = |failures_settle| {
        let mut lun = MockLun::new(512, 2048, 3);
        lun.failures_per_mille = 100;
        lun.fault = Some((Fault::GhostAfterFailure, 1));
        let spec = Spec {
            pattern: Pattern::Write,
            sizes: Sizes::one(512),
            limit: Some(2_048),
            verify: Some(Rules {
                failures_settle,
                ..Rules::default()
            }),
            ..verified(3)
        };
        let mut w = Workload::new(&spec, lun.shape()).expect("fits");
        run(&mut w, &mut lun);
        assert_eq!(w.miscompares(), 0);
        // The sweep has read every block; now the failed writes come to life.
        assert!(lun.ghosts() > 20);
        w.sweep_again();
        run(&mut w, &mut lun);
        w.miscompares()
    };
    assert_eq!(
        settle(false),
        0,
        "without proof both outcomes stay possible"
    );
    assert!(settle(true) > 20);
}

#[test]
fn a_lun_with_foreign_content_is_taken_as_it_is_until_written() {
    let mut spec = verified(5);
    spec.verify = Some(Rules {
        fresh: false,
        ..Rules::default()
    });
    spec.limit = Some(500);
    let mut lun = MockLun::new(4096, 512, 5);
    lun.data.fill(0x5A);
    spec.sizes = Sizes::List(vec![4096, 8192]);
    let mut w = Workload::new(&spec, lun.shape()).expect("fits");
    run(&mut w, &mut lun);
    assert_eq!(w.miscompares(), 0, "{:?}", w.verifier().unwrap().details());

    spec.verify = Some(Rules::default());
    spec.run += 1;
    let mut w = Workload::new(&spec, lun.shape()).expect("fits");
    run(&mut w, &mut lun);
    assert!(w.miscompares() > 0, "stamps of another run are foreign");
}

#[test]
fn a_set_rate_counts_latency_from_the_intended_start() {
    // 100,000 I/Os a second, 10 us each; the LUN freezes for 100 ms in the middle of 1 s.
    let spec = Spec {
        rate: Some(100_000),
        depth: 4,
        limit: Some(100_000),
        ..Spec::default()
    };
    let mut lun = MockLun::new(512, 2048, 1);
    lun.latency_ns = 10_000;
    let mut w = Workload::new(&spec, lun.shape()).expect("fits");
    let mut now = Time::ZERO;
    while !w.is_finished() {
        let ms = now.as_nanos() / 1_000_000;
        if ms == 500 && lun.frozen_until == 0 {
            lun.frozen_until = now.as_nanos() + 100_000_000;
        }
        lun.advance(now);
        w.step(&mut lun, PORT, now);
        now += Duration::from_nanos(1_000);
    }
    let latency = w.stats().latency();
    // A closed loop would have seen 4 slow I/Os. 10,000 were due during the freeze; the wait
    // of those falls evenly from 100 ms, and the backlog takes a while to work off.
    let slow = latency.count_between(1_000_000, u64::MAX);
    assert!((10_000..40_000).contains(&slow), "{slow}");
    assert!(latency.max() >= 100_000_000);
    assert!(latency.value_at_quantile(0.5) < 20_000);
    assert!(w.stats().late_starts >= slow / 2);
    assert!(w.longest_stall_ns() >= 100_000_000);
}

#[test]
fn a_rate_that_can_be_met_is_met_exactly() {
    let spec = Spec {
        rate: Some(10_000),
        limit: Some(1_000),
        ..Spec::default()
    };
    let mut lun = MockLun::new(512, 2048, 1);
    let mut w = Workload::new(&spec, lun.shape()).expect("fits");
    let end = run(&mut w, &mut lun);
    let ms = end.as_nanos() / 1_000_000;
    assert!((99..=101).contains(&ms), "1,000 at 10,000/s took {ms} ms");
    assert_eq!(w.stats().late_starts, 0);
}

#[test]
fn stopping_drains_and_leaves_late_completions_out_of_the_throughput() {
    let spec = Spec {
        series: Some(SeriesSpec {
            interval: Duration::from_millis(1),
            count: 5,
            digits: 2,
        }),
        ..Spec::default()
    };
    let mut lun = MockLun::new(512, 2048, 1);
    let mut w = Workload::new(&spec, lun.shape()).expect("fits");
    let mut now = Time::ZERO;
    while now.as_nanos() < 10_000_000 {
        lun.advance(now);
        w.step(&mut lun, PORT, now);
        now += Duration::from_nanos(TICK_NS);
    }
    w.stop(now);
    assert_eq!(w.phase(), Phase::Draining);
    let in_time = w.stats().ios_in_time;
    lun.advance(now + Duration::from_millis(1));
    w.step(&mut lun, PORT, now + Duration::from_millis(1));
    w.step(&mut lun, PORT, now + Duration::from_millis(1));
    assert!(w.is_finished());
    assert_eq!(w.stats().ios_in_time, in_time);
    assert_eq!(w.stats().ios(), in_time + 32);
    assert_eq!(w.stats().elapsed_ns(now), 10_000_000);
    let series = w.stats().series.as_ref().expect("asked for");
    let sum: u64 = series.intervals.iter().map(|i| i.ios).sum();
    assert_eq!(sum, w.stats().ios(), "the last interval takes what is late");
}

#[test]
fn the_same_seed_submits_the_same_ios() {
    let trace = |seed| {
        let (_, lun) = run_with(&verified(seed), None);
        lun.data
    };
    assert!(trace(9) == trace(9));
    assert!(trace(9) != trace(10));
}

#[test]
fn a_spec_that_does_not_fit_is_refused_with_its_numbers() {
    let lun = MockLun::new(4096, 16, 1);
    let refuse = |spec: Spec| {
        Workload::new(&spec, lun.shape())
            .expect_err("does not fit")
            .to_string()
    };
    let small = refuse(Spec {
        sizes: Sizes::one(512),
        ..Spec::default()
    });
    assert!(small.contains("512") && small.contains("4096"), "{small}");
    let large = refuse(Spec {
        sizes: Sizes::one(1 << 20),
        ..Spec::default()
    });
    assert!(large.contains("65536"), "{large}");
    let end = refuse(Spec {
        offset: 61_440,
        length: 8192,
        ..Spec::default()
    });
    assert!(end.contains("69632"), "{end}");
}
