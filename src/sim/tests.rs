//! Seeds.

use super::*;

#[test]
fn the_same_seed_gives_the_same_trace_and_another_seed_another() {
    let run = |seed| run_seed(seed, &SimOptions::default()).hash;
    assert_eq!(run(3), run(3));
    assert_ne!(run(3), run(4));
}

#[test]
fn seeds_are_clean() {
    let bad = run_seeds(1..=60, &SimOptions::default(), |_| {});
    assert!(
        bad.is_none(),
        "{}",
        bad.map_or_else(String::new, |r| format!(
            "umpio sim --seed {}: {}",
            r.seed,
            r.failure.expect("it failed")
        ))
    );
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
