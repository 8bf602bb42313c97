//! `umpio demo`: the whole of it on one machine.

use std::process::ExitCode;
use std::time::Duration;

use super::args::DemoArgs;
use super::story::DemoStory;
use crate::base::clock::wall_nanos;
use crate::cli::bench::run::{Finished, check_outputs, finish, misfit, snapshot};
use crate::cli::drive::{Engine, Run};
use crate::cli::error::CliError;
use crate::cli::facts;
use crate::cli::report::{RunReport, table};
use crate::cli::stop::Stop;
use crate::cli::target::args::{Listen, Protocol};
use crate::cli::target::serve::{ServeSpec, Served};
use crate::cli::units::{count, nanos};
use crate::engine::reactor::LunSpec;
use crate::front::workload::{Pattern, Rules, SeriesSpec, Sizes, Spec, Workload};
use crate::lun::policy::{Policy, PolicySpec};
use crate::path::access::AccessState;
use crate::transport::Driver;

const NQN: &str = "nqn.2024-01.io.umpio:demo";
const IQN: &str = "iqn.2024-01.io.umpio:demo";

/// Addresses of the two portals of each protocol: two networks, as far as loopback goes.
const HOSTS: [&str; 2] = ["127.0.0.1", "127.0.0.2"];

/// Runs the story, and tells how it ended.
pub fn run(args: &DemoArgs) -> Result<ExitCode, CliError> {
    check_outputs(&[args.report.as_deref()])?;
    let mut stop = Stop::catch().map_err(|e| CliError::new("cannot catch signals").got(e))?;
    let driver = Driver::from(args.transport);
    let target = Served::start(&ServeSpec {
        portals: portals(driver),
        lun: LunSpec {
            name: "memory".to_owned(),
            urls: vec!["mem:64M".to_owned()],
            ..LunSpec::default()
        },
        cpu: None,
    })?;
    eprintln!("target: 64 MiB of memory, served at");
    for url in &target.urls {
        eprintln!("  {url}");
    }
    let policy = args
        .policy
        .unwrap_or_else(|| PolicySpec::new(Policy::RoundRobinWithSubset));
    let mut engine = Engine::open(
        &LunSpec {
            name: "demo".to_owned(),
            urls: target.urls.clone(),
            policy: Some(policy),
            ..LunSpec::default()
        },
        driver,
    )?;
    let (geometry, missing) = engine.await_paths(&mut stop)?;
    if !missing.is_empty() {
        return Err(
            CliError::new("the demo's own target cannot be reached over all its portals")
                .got(missing.join("\n"))
                .advice("is loopback up, and 127.0.0.2 not filtered?"),
        );
    }
    eprintln!(
        "LUN: one, over {} nexuses, policy {policy}\n",
        target.urls.len()
    );
    let spec = workload(args);
    let workload = Workload::new(&spec, &geometry).map_err(|e| misfit(&e))?;
    let mut run = Run::new(&mut engine, workload, args.seconds, false);
    let mut story = DemoStory::new(&target, args.seconds, policy);
    let before = snapshot(&mut engine);
    let started_ns = wall_nanos();
    run.measure(&mut engine, &mut stop, &mut story);
    let after = snapshot(&mut engine);
    run.sweep(&mut engine, &mut stop);
    let facts = facts::between(&before, &after, run.workload.longest_stall_ns());
    let now = engine.clock.now();
    let events = std::mem::take(&mut run.events);
    let mut report = RunReport::new("demo", &spec, &run.workload, facts, events, now);
    report.demo = Some(story.counts);
    report.ended(run.interrupted(), run.given_up());
    engine.reactor.shut_down(Duration::from_millis(500));
    target.stop();
    let exit = finish(&Finished {
        report: &report,
        run: &run,
        started_ns,
        json: args.json,
        hdr: None,
        html: args.report.as_deref(),
    });
    if !args.json {
        println!("{}", closing(&report));
    }
    Ok(exit)
}

/// Two portals of NVMe/TCP, then two of iSCSI (`story::ISCSI`).
fn portals(driver: Driver) -> Vec<Listen> {
    let protocols = [(Protocol::NvmeTcp, NQN), (Protocol::Iscsi(0), IQN)];
    let all = protocols.into_iter().flat_map(|(protocol, name)| {
        HOSTS.iter().zip(1..).map(move |(host, group)| Listen {
            moved: None,
            host: (*host).to_owned(),
            port: 0,
            protocol,
            nqn: name.to_owned(),
            group,
            access: AccessState::Optimized,
            congestion: None,
            driver: Some(driver),
            connections: None,
        })
    });
    all.collect()
}

/// All sizes up to 128 KiB at any block, so that capsules, direct receives and splits all occur.
fn workload(args: &DemoArgs) -> Spec {
    Spec {
        pattern: Pattern::RandRw,
        read_percent: 60,
        sizes: Sizes::Range(512, 128 << 10),
        depth: 32,
        seed: args.seed,
        run: wall_nanos(),
        // The target is made for this run: its memory is zeroes, and its fence rests on proof.
        verify: Some(Rules::default()),
        series: Some(SeriesSpec::for_runtime(args.seconds)),
        ..Spec::default()
    }
}

/// What was to be seen, in sentences.
fn closing(r: &RunReport) -> String {
    let total: u64 = r.paths.iter().map(|p| p.ios).sum();
    let shares: Vec<_> = r.paths.iter().map(|p| table::share(p.ios, total)).collect();
    let counts = r.demo.unwrap_or_default();
    let fenced = match r.fenced.count {
        0 => "No write had to wait for proof that a lost nexus would not do it late.".to_owned(),
        n => format!(
            "{} writes of lost nexuses, and what came after them to the same blocks, waited at \
             most {} for proof that they would not be done late.",
            count(n),
            nanos(r.fenced.longest_ns)
        ),
    };
    let end = if r.ok && !r.interrupted {
        "Nothing was lost, nothing was stale."
    } else if r.ok {
        "Until the interruption nothing was lost and nothing was stale."
    } else {
        "This should not have happened; please report it with the lines above."
    };
    let text = format!(
        "{} cuts under load: {} requests were sent again on another path, and the longest time \
         without any completion was {}. {fenced} {} policy changes under load. The paths carried \
         {} of the I/O. {end}",
        counts.cuts,
        count(r.rerouted),
        nanos(r.longest_stall_ns),
        counts.policy_changes,
        listed(&shares),
    );
    wrap(&text, 78)
}

/// `a, b and c`.
fn listed(parts: &[String]) -> String {
    match parts {
        [all @ .., last] if !all.is_empty() => format!("{} and {last}", all.join(", ")),
        _ => parts.concat(),
    }
}

/// Text in lines of at most `width` characters, indented like the report above it.
fn wrap(text: &str, width: usize) -> String {
    let mut lines = vec![String::from(" ")];
    for word in text.split_whitespace() {
        let line = lines.last().expect("begins with one");
        if line.len() + 1 + word.len() > width {
            lines.push(String::from(" "));
        }
        let line = lines.last_mut().expect("begins with one");
        line.push(' ');
        line.push_str(word);
    }
    lines.join("\n")
}
