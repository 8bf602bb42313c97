//! Seeds.

use super::*;
use crate::path::loss::{Fencing, Proof};

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
    let mut bad = Vec::new();
    let mut proofs = Vec::new();
    for r in (1..=seeds).map(|seed| run_seed(seed, &SimOptions::default())) {
        proofs.extend(r.proofs);
        if let Some(failure) = r.failure {
            bad.push(format!("umpio sim --seed {}: {failure}", r.seed));
        }
    }
    assert!(bad.is_empty(), "{}", bad.join("\n"));
    for proof in [
        Proof::CrossControllerReset,
        Proof::TimeBound,
        Proof::SessionReinstatement,
        Proof::ConnectionLogout,
    ] {
        let seen = proofs.iter().any(|(name, _)| *name == proof.name());
        assert!(seen || seeds < 60, "no seed had a loss proven by {proof:?}");
    }
}

/// What a lost connection of several leaves is only harmless once the target has answered the logout.
#[test]
fn without_the_answer_to_the_logout_corruption_is_found_within_300_seeds() {
    let options = SimOptions {
        fence: Fencing::LogoutTakenForGranted,
        ..SimOptions::default()
    };
    let bad = run_seeds(1..=300, &options, |_| {}).expect("a ghost write within 300 seeds");
    assert!(bad.setup.iscsi.connections > 1, "{:?}", bad.setup);
    assert!(
        matches!(
            bad.failure,
            Some(Failure::Memory(_) | Failure::Caller { .. })
        ),
        "{:?}",
        bad.failure
    );
}

#[test]
fn without_the_fence_corruption_is_found_within_200_seeds() {
    let options = SimOptions {
        fence: Fencing::Off,
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
