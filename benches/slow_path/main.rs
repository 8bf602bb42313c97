//! One of two paths turns slow: what is left of the throughput, by policy.
//!
//! A target with two portals runs on CPU 0, an initiator on CPU 1 with 4 KiB random reads at queue
//! depth 32. Each round measures, one after the other: the fast path alone (a LUN over that path
//! only, on the same association), both paths, and both after every answer of the second portal
//! began to come 30 ms late. The figure is the last against the first, from 100 ms after the onset
//! on; and, in steps of 10 ms, how long it took from the onset until 95 % were reached and kept up for
//! five steps. Rounds are interleaved over the policies. One JSON object a policy.
//!
//! Fails when an I/O fails. Arguments: `--rounds N`, `--depth N`, `--delay MS`.

#[path = "../kit/mod.rs"]
mod kit;

use kit::{Load, argument, rate, spread};
use std::process::ExitCode;
use std::time::Duration;
use umpio::cli::target::serve::{ServeSpec, Served};
use umpio::engine::driver::pin_to;
use umpio::engine::reactor::{LunSpec, Reactor, ReactorConfig};
use umpio::front::nvme_tcp::Fault;
use umpio::lun::policy::PolicySpec;

const POLICIES: [&str; 8] = [
    "latency",
    "least-queue-depth",
    "least-blocks",
    "round-robin",
    "round-robin-with-subset",
    "share",
    "weighted-paths",
    "failover",
];
/// What is watched after the onset.
const STEP: Duration = Duration::from_millis(10);
const STEPS: usize = 100;
/// Counts from here on.
const SETTLED: usize = 10;
const KEPT: usize = 5;

#[derive(Default)]
struct Figures {
    healthy: Vec<f64>,
    slow: Vec<f64>,
    reached_ms: Vec<f64>,
}

fn main() -> ExitCode {
    match run() {
        Ok(0) => ExitCode::SUCCESS,
        Ok(failed) => {
            eprintln!("{failed} I/Os failed");
            ExitCode::FAILURE
        }
        Err(e) => {
            eprintln!("slow_path: {e}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<u64, Box<dyn std::error::Error>> {
    let (rounds, depth) = (argument("--rounds", 5), argument("--depth", 32));
    let delay = Duration::from_millis(argument("--delay", 30) as u64);
    let listen = || "nvme-tcp://127.0.0.1:0/nqn.2026-01.dev.umpio:slow?cc=cubic".parse();
    let served = Served::start(&ServeSpec {
        portals: vec![listen()?, listen()?],
        lun: LunSpec {
            name: "backing".to_owned(),
            urls: vec!["mem:64M".to_owned()],
            ..LunSpec::default()
        },
        cpu: Some(0),
    })
    .map_err(|e| e.to_string())?;
    pin_to(1);
    let config = ReactorConfig::default();
    let mut load = Load::new(config.clock.clone());
    let mut r = Reactor::new(config)?;
    let urls: Vec<String> = served
        .urls
        .iter()
        .map(|u| format!("{u}?cc=cubic"))
        .collect();
    let open = |r: &mut Reactor, name: &str, urls: &[String]| {
        let lun = r.open_lun(&LunSpec {
            name: name.to_owned(),
            urls: urls.to_vec(),
            ..LunSpec::default()
        });
        lun.map_err(|e| e.to_string())
    };
    let both = open(&mut r, "both", &urls)?;
    let fast = open(&mut r, "fast", &urls[..1])?;
    r.await_paths(both, Duration::from_secs(5))?;
    r.await_paths(fast, Duration::from_secs(5))?;
    let (both_port, fast_port) = (r.open_port(both), r.open_port(fast));

    let mut figures: Vec<Figures> = POLICIES.iter().map(|_| Figures::default()).collect();
    for _ in 0..rounds {
        for (name, into) in POLICIES.iter().zip(&mut figures) {
            let policy = PolicySpec::parse(name).ok_or("a policy")?;
            r.set_policy(both, policy)
                .map_err(|e| format!("{name}: {e:?}"))?;
            load.begin(&mut r, fast_port, depth);
            load.run(&mut r, &[fast_port], Duration::from_millis(50));
            let alone = rate(load.run(&mut r, &[fast_port], Duration::from_millis(400)));
            load.end(&mut r, fast_port, depth);

            load.begin(&mut r, both_port, depth);
            load.run(&mut r, &[both_port], Duration::from_millis(50));
            let healthy = rate(load.run(&mut r, &[both_port], Duration::from_millis(400)));
            served.set_fault(1, Fault::Delay(delay));
            let steps: Vec<f64> = (0..STEPS)
                .map(|_| rate(load.run(&mut r, &[both_port], STEP)) / alone)
                .collect();
            load.end(&mut r, both_port, depth);
            served.set_fault(1, Fault::None);

            into.healthy.push(healthy / alone);
            let settled = &steps[SETTLED..];
            into.slow
                .push(settled.iter().sum::<f64>() / settled.len() as f64);
            let reached = steps
                .windows(KEPT)
                .position(|w| w.iter().sum::<f64>() / KEPT as f64 >= 0.95);
            into.reached_ms.extend(reached.map(|n| (n as f64) * 10.0));
        }
    }
    for (name, f) in POLICIES.iter().zip(&mut figures) {
        let (healthy, ..) = spread(&mut f.healthy);
        let (slow, least, most) = spread(&mut f.slow);
        let reached = f.reached_ms.len();
        let after = if f.reached_ms.is_empty() {
            "null".to_owned()
        } else {
            format!("{}", spread(&mut f.reached_ms).0)
        };
        println!(
            "{{\"policy\":\"{name}\",\"rounds\":{rounds},\"healthy\":{healthy:.3},\"slow\":{slow:.3},\
             \"slow_min\":{least:.3},\"slow_max\":{most:.3},\"reached_95\":{reached},\"reached_after_ms\":{after}}}"
        );
    }
    served.stop();
    Ok(load.failed)
}
