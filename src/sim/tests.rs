//! Seeds.

use super::*;

#[test]
fn the_same_seed_gives_the_same_trace_and_another_seed_another() {
    let run = |seed| run_seed(seed, &SimOptions::default()).hash;
    assert_eq!(run(3), run(3));
    assert_ne!(run(3), run(4));
}

/// `UMPIO_SIM_SEEDS=1000 cargo test --lib seeds_are_clean` goes on longer.
#[test]
fn seeds_are_clean() {
    let asked = std::env::var("UMPIO_SIM_SEEDS").ok();
    let seeds = asked.and_then(|s| s.parse().ok()).unwrap_or(60);
    let bad: Vec<String> = (1..=seeds)
        .map(|seed| run_seed(seed, &SimOptions::default()))
        .filter_map(|r| Some(format!("umpio sim --seed {}: {}", r.seed, r.failure?)))
        .collect();
    assert!(bad.is_empty(), "{}", bad.join("\n"));
}

#[test]
fn without_the_fence_corruption_is_found_within_200_seeds() {
    let options = SimOptions {
        fence: false,
        ..SimOptions::default()
    };
    let bad = run_seeds(1..=200, &options, |_| {}).expect("a ghost write within 200 seeds");
    assert!(
        matches!(
            bad.failure,
            Some(Failure::Memory(_) | Failure::Caller { .. })
        ),
        "{:?}",
        bad.failure
    );
}
