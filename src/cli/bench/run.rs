//! `umpio bench`: open, measure, report.

use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use super::args::BenchArgs;
use crate::base::clock::wall_nanos;
use crate::cli::drive::{Engine, NoStory, Run};
use crate::cli::error::{CliError, Exit};
use crate::cli::facts::{self, Snapshot};
use crate::cli::report::html::{self, Page};
use crate::cli::report::{RunReport, hdr, table};
use crate::cli::stop::Stop;
use crate::cli::term::{Block, Paint};
use crate::cli::{json, units};
use crate::engine::driver::pin_to;
use crate::engine::reactor::LunSpec;
use crate::front::workload::{SpecError, Workload};

/// Runs it, and prints what came of it.
pub fn run(args: &BenchArgs) -> Result<ExitCode, CliError> {
    args.check()?;
    check_outputs(&[args.hdr.as_deref(), args.report.as_deref()])?;
    let mut stop = Stop::catch().map_err(|e| CliError::new("cannot catch signals").got(e))?;
    if let Some(cpu) = args.cpu {
        pin_to(cpu);
    }
    let lun = LunSpec {
        name: "bench".to_owned(),
        urls: args.paths.clone(),
        policy: args.policy,
        ..LunSpec::default()
    };
    let mut engine = Engine::open(&lun, args.transport.into())?;
    let (geometry, missing) = engine.await_paths(&mut stop)?;
    if let Some(policy) = args.policy {
        // Asked for again now that it is known whether the paths are equal.
        engine.reactor.set_policy(engine.lun, policy).map_err(|e| {
            CliError::new(format!("policy {policy} was refused"))
                .got(e)
                .advice("round-robin needs paths that are all equal; try round-robin-with-subset")
        })?;
    }
    for line in &missing {
        eprintln!("starting without {line}");
    }
    let spec = args.spec(wall_nanos());
    let workload = Workload::new(&spec, &geometry).map_err(|e| misfit(&e))?;
    let mut run = Run::new(&mut engine, workload, args.runtime, false);
    if !args.warmup.is_zero() {
        eprintln!("warming up for {:?}", args.warmup);
        run.warm_up(&mut engine, &mut stop, args.warmup);
    }
    let before = snapshot(&mut engine);
    let started_ns = wall_nanos();
    run.measure(&mut engine, &mut stop, &mut NoStory);
    let after = snapshot(&mut engine);
    run.sweep(&mut engine, &mut stop);
    let facts = facts::between(&before, &after, run.workload.longest_stall_ns());
    let now = engine.clock.now();
    let events = std::mem::take(&mut run.events);
    let mut report = RunReport::new("bench", &spec, &run.workload, facts, events, now);
    report.ended(run.interrupted(), run.given_up());
    engine.reactor.shut_down(Duration::from_millis(500));
    Ok(finish(&Finished {
        report: &report,
        run: &run,
        started_ns,
        json: args.json,
        hdr: args.hdr.as_deref(),
        html: args.report.as_deref(),
    }))
}

/// The LUN as of now.
pub fn snapshot(engine: &mut Engine) -> Snapshot {
    Snapshot {
        status: engine.reactor.status(engine.lun),
        busy_ns: engine.reactor.busy_ns(),
        driver: engine.driver,
    }
}

/// A workload that does not fit the LUN, told in arguments.
pub fn misfit(e: &SpecError) -> CliError {
    let advice = match e {
        SpecError::Unaligned { block_size, .. } => {
            format!(
                "use sizes that are multiples of {}",
                units::short(u64::from(*block_size))
            )
        }
        SpecError::TooLarge { limit, .. } => {
            format!("use --bs {} or less", units::short(*limit))
        }
        SpecError::BeyondEnd { .. } => "use a smaller --offset or --size".to_owned(),
        SpecError::TooMuchToVerify { limit, .. } => {
            format!("use a part of it: --size {}", units::short(*limit))
        }
        SpecError::EmptySize | SpecError::Zero(_) => "see umpio bench --help".to_owned(),
    };
    CliError::usage("the workload does not fit the LUN")
        .got(e)
        .advice(advice)
}

/// A run that is over, and where its results go.
#[derive(Debug)]
pub struct Finished<'a> {
    pub report: &'a RunReport,
    pub run: &'a Run,
    pub started_ns: u64,
    pub json: bool,
    pub hdr: Option<&'a Path>,
    pub html: Option<&'a Path>,
}

/// Makes the files a run will write, so that a bad name costs no run.
pub fn check_outputs(paths: &[Option<&Path>]) -> Result<(), CliError> {
    for path in paths.iter().flatten() {
        std::fs::File::create(path).map_err(|e| {
            CliError::new(format!("cannot write {}", path.display()))
                .got(e)
                .advice("name a file in a directory that exists and can be written")
        })?;
    }
    Ok(())
}

/// Prints the report and writes the files; gives the exit status.
pub fn finish(f: &Finished<'_>) -> ExitCode {
    let stats = f.run.workload.stats();
    if f.json {
        json::print(f.report);
    } else {
        println!(
            "{}",
            table::render(f.report, Paint::stdout(), Block::columns())
        );
    }
    let mut written = true;
    let mut write = |path: &Path, result: std::io::Result<()>| match result {
        Ok(()) => eprintln!("wrote {}", path.display()),
        Err(e) => {
            eprintln!("umpio: cannot write {}: {e}", path.display());
            written = false;
        }
    };
    if let Some(path) = f.hdr {
        write(path, hdr::write_file(path, stats, f.started_ns));
    }
    if let Some(path) = f.html {
        let page = html::render(&Page {
            report: f.report,
            stats,
            split: &f.run.split,
            started_ns: f.started_ns,
        });
        write(path, std::fs::write(path, page));
    }
    let exit = match (f.report.interrupted, f.report.ok) {
        (_, false) => Exit::BadData,
        (true, true) => Exit::Interrupted,
        (false, true) if written => Exit::Ok,
        (false, true) => Exit::Failed,
    };
    exit.into()
}
