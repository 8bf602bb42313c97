//! The fuzz targets, fed by a seeded generator: their seeds, damaged seeds, and noise. Bounded in
//! time, so a slow machine tries less of the same sequence; a failing input is printed whole.
//!
//! `UMPIO_FUZZ_SECONDS=60 cargo test --test fuzz_seeds` goes on longer. For libFuzzer,
//! `cargo test --test fuzz_seeds -- --ignored` writes the seeds to `fuzz/corpus`, from where
//! `cargo fuzz run NAME` takes them.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use umpio::base::rng::{Rng, derive};
use umpio::fuzzing::{TARGETS, Target};

/// For all targets together.
const SECONDS: f64 = 5.0;
const LEN_MAX: u64 = 4200;

fn budget() -> Duration {
    let asked = std::env::var("UMPIO_FUZZ_SECONDS")
        .ok()
        .and_then(|s| s.parse().ok());
    Duration::from_secs_f64(asked.unwrap_or(SECONDS) / TARGETS.len() as f64)
}

/// Changes a few places the way that finds most: bits, edges of ranges, repeats, cuts.
fn damage(bytes: &mut Vec<u8>, rng: &mut Rng) {
    for _ in 0..rng.below(6) {
        if bytes.is_empty() {
            return;
        }
        let near = if rng.chance(1, 2) {
            bytes.len().min(64)
        } else {
            bytes.len()
        };
        let at = rng.below(near as u64) as usize;
        match rng.below(8) {
            0 => bytes[at] = 0xff,
            1 => bytes[at] = 0,
            2 => bytes[at] = bytes[at].wrapping_add(1),
            3 => bytes[at] ^= 1 << rng.below(8),
            4 => bytes.truncate(at),
            5 => {
                let piece = bytes[at..bytes.len().min(at + 40)].to_vec();
                bytes.splice(at..at, piece);
            }
            6 => drop(bytes.drain(at..bytes.len().min(at + 1 + rng.below(8) as usize))),
            _ => bytes[at] = rng.next_u64() as u8,
        }
    }
}

fn input(target: &Target, round: u64, seeds: &[Vec<u8>], rng: &mut Rng) -> Vec<u8> {
    if let Some(seed) = seeds.get(round as usize) {
        return seed.clone();
    }
    if rng.chance(1, 4) {
        let short = if rng.chance(2, 3) { 140 } else { LEN_MAX };
        let mut noise = vec![0; rng.below(short) as usize];
        rng.fill(&mut noise);
        return noise;
    }
    assert!(!seeds.is_empty(), "{} has no seeds", target.name);
    let mut bytes = seeds[rng.below(seeds.len() as u64) as usize].clone();
    damage(&mut bytes, rng);
    bytes
}

/// How many inputs were tried; an error when one of them panicked, after printing it.
fn hunt(target: &Target) -> Result<u64, ()> {
    let until = Instant::now() + budget();
    let seeds = (target.seeds)();
    let mut rounds = 0;
    // All seeds as they are, whatever the time.
    while rounds < seeds.len() as u64 || Instant::now() < until {
        let mut rng = Rng::new(derive(0x756d_7069, rounds));
        let bytes = input(target, rounds, &seeds, &mut rng);
        if catch_unwind(AssertUnwindSafe(|| (target.run)(&bytes))).is_err() {
            let hex: String = bytes.iter().map(|b| format!("{b:02x}")).collect();
            eprintln!(
                "target {}, round {rounds}, input of {} bytes:\n{hex}",
                target.name,
                bytes.len()
            );
            return Err(());
        }
        rounds += 1;
    }
    Ok(rounds)
}

#[test]
fn no_target_finds_anything() {
    let mut found = Vec::new();
    for target in TARGETS {
        match hunt(target) {
            Ok(rounds) => println!("{:18} {rounds} inputs", target.name),
            Err(()) => found.push(target.name),
        }
    }
    assert!(found.is_empty(), "findings in {found:?}");
}

#[test]
fn every_target_has_a_binary_for_libfuzzer() {
    let dir = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz");
    let manifest = std::fs::read_to_string(dir.join("Cargo.toml")).expect("fuzz/Cargo.toml");
    for Target { name, .. } in TARGETS {
        assert!(
            dir.join(format!("fuzz_targets/{name}.rs")).exists(),
            "{name}"
        );
        assert!(manifest.contains(&format!("name = \"{name}\"")), "{name}");
    }
}

#[test]
#[ignore = "writes files: start corpora for cargo fuzz"]
fn seeds_become_corpora() {
    let corpus = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus");
    for target in TARGETS {
        let dir = corpus.join(target.name);
        std::fs::create_dir_all(&dir).expect("a directory in fuzz/corpus");
        for (n, seed) in (target.seeds)().iter().enumerate() {
            std::fs::write(dir.join(format!("seed-{n:02}")), seed).expect("a file there");
        }
    }
}
