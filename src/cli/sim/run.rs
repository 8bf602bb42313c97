//! Runs seeds and tells what came of them.

use super::args::{SimArgs, Switch};
use crate::base::clock::{Clock, Time};
use crate::cli::error::{CliError, Exit};
use crate::cli::json;
use crate::path::loss::Fencing;
use crate::sim::{SimOptions, SimReport, run_seed};
use serde_json::{Value, json};
use std::io::{self, Write};
use std::process::ExitCode;
use std::time::Duration;

/// How often progress is shown.
const SHOW_EVERY: Duration = Duration::from_secs(1);

/// What all seeds of a command add up to.
#[derive(Default)]
struct Totals {
    seeds: u64,
    requests: u64,
    failed: u64,
    unknown: u64,
    no_path: u64,
    faults: u64,
    held: u64,
    checked: u64,
    virtual_time: Duration,
    proofs: Vec<(&'static str, u64)>,
}

impl Totals {
    fn add(&mut self, r: &SimReport) {
        self.seeds += 1;
        self.requests += r.requests.submitted;
        self.failed += r.requests.failed;
        self.unknown += r.requests.unknown;
        self.no_path += r.requests.no_path;
        self.faults += r.faults;
        self.held += r.fenced.0;
        self.checked += r.checked;
        self.virtual_time += r.virtual_time;
        for (name, n) in &r.proofs {
            match self.proofs.iter_mut().find(|(known, _)| known == name) {
                Some((_, sum)) => *sum += n,
                None => self.proofs.push((name, *n)),
            }
        }
    }
}

/// How a seed is run again.
fn replay(args: &SimArgs, seed: u64) -> String {
    let fence = if args.fence == Switch::Off {
        " --fence off"
    } else {
        ""
    };
    format!("umpio sim --seed {seed}{fence}")
}

/// # Errors
/// None; a failing seed is an exit status.
pub fn run(args: &SimArgs) -> Result<ExitCode, CliError> {
    let clock = Clock::monotonic();
    let start = clock.now();
    let alone = args.seeds == 1;
    let options = SimOptions {
        fence: match args.fence {
            Switch::On => Fencing::Whole,
            Switch::Off => Fencing::Off,
        },
        trace: alone && !args.json,
    };
    let mut totals = Totals::default();
    let mut bad = None;
    let mut shown = start;
    for seed in args.seed..args.seed.saturating_add(args.seeds) {
        let report = run_seed(seed, &options);
        totals.add(&report);
        if alone && !args.json {
            story(&report);
        }
        if !report.is_clean() {
            bad = Some(report);
            break;
        }
        let now = clock.now();
        if !alone && now.since(shown) >= SHOW_EVERY {
            shown = now;
            eprintln!(
                "{} of {} seeds clean, {:.1} seeds/s",
                totals.seeds,
                args.seeds,
                rate(&totals, start, now)
            );
        }
    }
    let now = clock.now();
    if args.json {
        json::print(&as_json(
            args,
            &totals,
            bad.as_ref(),
            rate(&totals, start, now),
        ));
    } else {
        close(args, &totals, bad.as_ref(), rate(&totals, start, now));
    }
    Ok(if bad.is_some() {
        Exit::BadData
    } else {
        Exit::Ok
    }
    .into())
}

fn rate(totals: &Totals, start: Time, now: Time) -> f64 {
    totals.seeds as f64 / now.since(start).as_secs_f64().max(1e-9)
}

/// The trace of one seed. A reader that stops reading early is no error.
fn story(report: &SimReport) {
    let mut out = io::stdout().lock();
    let _ = writeln!(out, "{:#?}", report.setup);
    for line in &report.trace {
        if writeln!(out, "{line}").is_err() {
            return;
        }
    }
}

fn close(args: &SimArgs, totals: &Totals, bad: Option<&SimReport>, rate: f64) {
    println!(
        "{} seeds, {rate:.1} seeds/s, {:.0} s of virtual time; {} requests, {} failed \
         for an allowed reason ({} no path, {} outcome unknown), {} faults, {} requests fenced, {} blocks checked",
        totals.seeds,
        totals.virtual_time.as_secs_f64(),
        totals.requests,
        totals.failed,
        totals.no_path,
        totals.unknown,
        totals.faults,
        totals.held,
        totals.checked
    );
    for (name, n) in &totals.proofs {
        println!("  {n} fences opened by {name}");
    }
    match bad.and_then(|r| Some((r, r.failure.as_ref()?))) {
        Some((r, failure)) => {
            println!("FAILED at seed {}: {failure}", r.seed);
            println!("replay: {}", replay(args, r.seed));
        }
        None => println!("all clean"),
    }
}

fn as_json(args: &SimArgs, totals: &Totals, bad: Option<&SimReport>, rate: f64) -> Value {
    let failure = bad.map(|r| {
        json!({
            "seed": r.seed,
            "what": r.failure.as_ref().map(ToString::to_string),
            "trace_hash": json::id(r.hash),
            "replay": replay(args, r.seed),
        })
    });
    let proofs: serde_json::Map<_, _> = totals
        .proofs
        .iter()
        .map(|(name, n)| ((*name).to_owned(), json!(n)))
        .collect();
    json!({
        "seeds": totals.seeds,
        "clean": bad.is_none(),
        "seeds_per_s": rate,
        "virtual_s": totals.virtual_time.as_secs_f64(),
        "requests": totals.requests,
        "failed": totals.failed,
        "failed_no_path": totals.no_path,
        "failed_outcome_unknown": totals.unknown,
        "faults": totals.faults,
        "fenced": totals.held,
        "proofs": proofs,
        "blocks_checked": totals.checked,
        "failure": failure,
    })
}
