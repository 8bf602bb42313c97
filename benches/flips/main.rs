//! What changing the policy a thousand times a second costs the I/O that goes on meanwhile.
//!
//! A target with two portals on CPU 0, an initiator over both on CPU 1 with 4 KiB random reads at
//! queue depth 32, and a thread that sends the reactor one order a millisecond: in turn nothing at
//! all, an empty order, or a change to another policy. The figure is the throughput under changes
//! against that under empty orders, medians over interleaved windows of 300 ms. One JSON object.
//!
//! Fails when an I/O or a change fails. Arguments: `--rounds N`, `--depth N`.

#[path = "../kit/mod.rs"]
mod kit;

use kit::{Load, argument, rate, spread};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;
use umpio::cli::target::serve::{ServeSpec, Served};
use umpio::engine::driver::pin_to;
use umpio::engine::reactor::{LunSpec, Reactor, ReactorConfig};
use umpio::lun::policy::{Policy, PolicySpec, VendorPolicy};

const WINDOW: Duration = Duration::from_millis(300);
const PERIOD: Duration = Duration::from_millis(1);

const NOTHING: usize = 0;
const EMPTY: usize = 1;
const CHANGE: usize = 2;
const OVER: usize = 3;

fn main() -> ExitCode {
    match run() {
        Ok(0) => ExitCode::SUCCESS,
        Ok(failed) => {
            eprintln!("{failed} I/Os or changes failed");
            ExitCode::FAILURE
        }
        Err(e) => {
            eprintln!("flips: {e}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<u64, Box<dyn std::error::Error>> {
    let (rounds, depth) = (argument("--rounds", 15), argument("--depth", 32));
    let listen = || "nvme-tcp://127.0.0.1:0/nqn.2026-01.dev.umpio:flips?cc=cubic".parse();
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
    let config = ReactorConfig::default();
    let mut load = Load::new(config.clock.clone());
    let mut r = Reactor::new(config)?;
    let lun = r.open_lun(&LunSpec {
        name: "flips".to_owned(),
        urls: served
            .urls
            .iter()
            .map(|u| format!("{u}?cc=cubic"))
            .collect(),
        ..LunSpec::default()
    })?;
    r.await_paths(lun, Duration::from_secs(5))?;
    let port = r.open_port(lun);

    let mode = Arc::new(AtomicUsize::new(NOTHING));
    let (sent, refused) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    let sender = {
        let (mode, sent, refused) = (mode.clone(), sent.clone(), refused.clone());
        let handle = r.handle();
        let policies = [
            PolicySpec::new(Policy::RoundRobin),
            PolicySpec::new(Policy::LeastQueueDepth),
            PolicySpec::new(Policy::RoundRobinWithSubset),
            PolicySpec::new(Policy::LeastBlocks),
            PolicySpec::vendor(VendorPolicy::Latency),
        ];
        std::thread::spawn(move || {
            pin_to(0);
            let mut n = 0;
            loop {
                std::thread::sleep(PERIOD);
                let failed = refused.clone();
                let result = match mode.load(Ordering::Relaxed) {
                    OVER => return,
                    EMPTY => handle.send(|_| {}),
                    CHANGE => {
                        n += 1;
                        let policy = policies[n % policies.len()];
                        handle.send(move |r| {
                            if r.set_policy(lun, policy).is_err() {
                                failed.fetch_add(1, Ordering::Relaxed);
                            }
                        })
                    }
                    _ => continue,
                };
                sent.fetch_add(1, Ordering::Relaxed);
                refused.fetch_add(u64::from(result.is_err()), Ordering::Relaxed);
            }
        })
    };
    pin_to(1);
    load.begin(&mut r, port, depth);
    load.run(&mut r, &[port], WINDOW);
    let mut figures = [vec![], vec![], vec![]];
    let mut changes = 0;
    for _ in 0..rounds {
        for (kind, into) in figures.iter_mut().enumerate() {
            mode.store(kind, Ordering::Relaxed);
            let before = sent.load(Ordering::Relaxed);
            into.push(rate(load.run(&mut r, &[port], WINDOW)));
            if kind == CHANGE {
                changes += sent.load(Ordering::Relaxed) - before;
            }
        }
    }
    mode.store(OVER, Ordering::Relaxed);
    sender.join().map_err(|_| "the sender panicked")?;
    load.end(&mut r, port, depth);
    // Neighbouring windows against each other: what drifts, drifts for both.
    let against = |a: &[f64], b: &[f64]| -> (f64, f64, f64) {
        let mut ratios: Vec<f64> = a.iter().zip(b).map(|(a, b)| a / b).collect();
        spread(&mut ratios)
    };
    let (median, least, most) = against(&figures[CHANGE], &figures[EMPTY]);
    let (empty, ..) = against(&figures[EMPTY], &figures[NOTHING]);
    let per_second = changes as f64 / (rounds as f64 * WINDOW.as_secs_f64());
    println!(
        "{{\"rounds\":{rounds},\"depth\":{depth},\"changes_per_second\":{per_second:.0},\
         \"changes_to_empty\":{median:.4},\"min\":{least:.4},\"max\":{most:.4},\
         \"empty_to_none\":{empty:.4},\"failed\":{},\"refused\":{}}}",
        load.failed,
        refused.load(Ordering::Relaxed)
    );
    served.stop();
    Ok(load.failed + refused.load(Ordering::Relaxed))
}
