//! What an I/O costs as reactors, LUNs and paths grow in number.
//!
//! - *LUNs*: 1 to 1,000 LUNs over the same two nexuses of a target on CPU 0, queue depth 32 in all,
//!   spread over them in turn; an initiator on CPU 1.
//! - *paths*: 2 to 32 portals of that target under one LUN, round robin and least queue depth.
//! - *reactors*: 1 and 2, each with a `null:` LUN of its own on a CPU of its own, so that no target
//!   competes with them for two CPUs.
//!
//! The figure is `busy_ns`, the time of those turns that did something per I/O (what the kernel
//! spends in their calls included), and for reactors the I/Os a second of each. Five rounds,
//! interleaved; median, least and largest. One JSON object a line.

#[path = "../kit/mod.rs"]
mod kit;

use kit::{Load, argument, rate, spread};
use std::process::ExitCode;
use std::sync::{Arc, Barrier};
use std::time::Duration;
use umpio::cli::target::serve::{ServeSpec, Served};
use umpio::engine::driver::pin_to;
use umpio::engine::reactor::{LunSpec, Reactor, ReactorConfig};
use umpio::lun::policy::PolicySpec;
use umpio::lun::port::PortId;

const LUNS: [usize; 4] = [1, 10, 100, 1000];
const PATHS: [usize; 5] = [2, 4, 8, 16, 32];
const DEPTH: usize = 32;
const WINDOW: Duration = Duration::from_millis(400);
const WARM: Duration = Duration::from_millis(100);

type Failure = Box<dyn std::error::Error>;

fn main() -> ExitCode {
    match run(argument("--rounds", 5)) {
        Ok(0) => ExitCode::SUCCESS,
        Ok(failed) => {
            eprintln!("{failed} I/Os failed");
            ExitCode::FAILURE
        }
        Err(e) => {
            eprintln!("scale: {e}");
            ExitCode::FAILURE
        }
    }
}

/// A reactor with as many LUNs over as many paths, ready for I/O.
struct Set {
    reactor: Reactor,
    ports: Vec<PortId>,
    load: Load,
}

impl Set {
    fn open(urls: &[String], luns: usize, policy: &str) -> Result<Self, Failure> {
        let config = ReactorConfig::default();
        let load = Load::new(config.clock.clone());
        let mut reactor = Reactor::new(config)?;
        let mut ports = Vec::with_capacity(luns);
        for n in 0..luns {
            let lun = reactor.open_lun(&LunSpec {
                name: format!("lun{n}"),
                urls: urls.to_vec(),
                policy: PolicySpec::parse(policy),
                ..LunSpec::default()
            })?;
            reactor.await_paths(lun, Duration::from_secs(10))?;
            ports.push(reactor.open_port(lun));
        }
        Ok(Self {
            reactor,
            ports,
            load,
        })
    }

    /// Busy nanoseconds per I/O, and I/Os a second. The depth is spread over the LUNs; where there
    /// are more LUNs than that, over as many of them at a time, in turn from round to round.
    fn measure(&mut self, round: usize) -> (f64, f64) {
        let used = self.ports.len().min(DEPTH);
        let ports: Vec<PortId> = (0..used)
            .map(|n| self.ports[(round * used + n) % self.ports.len()])
            .collect();
        let share = DEPTH / used;
        for port in &ports {
            self.load.begin(&mut self.reactor, *port, share);
        }
        self.load.run(&mut self.reactor, &ports, WARM);
        let before = self.reactor.busy_ns();
        let moved = self.load.run(&mut self.reactor, &ports, WINDOW);
        let busy = self.reactor.busy_ns() - before;
        for port in &ports {
            self.load.end(&mut self.reactor, *port, share);
        }
        (busy as f64 / moved.0 as f64, rate(moved))
    }
}

fn line(what: &str, n: usize, busy: &mut [f64], rates: &mut [f64]) {
    let (median, least, most) = spread(busy);
    let (iops, ..) = spread(rates);
    println!(
        "{{\"what\":\"{what}\",\"n\":{n},\"busy_ns_per_io\":{median:.0},\"min\":{least:.0},\"max\":{most:.0},\"iops\":{iops:.0}}}"
    );
}

/// The members of a family, measured in turn.
fn family(what: &str, rounds: usize, sets: &mut [(usize, Set)]) -> u64 {
    let mut figures: Vec<(Vec<f64>, Vec<f64>)> = sets.iter().map(|_| Default::default()).collect();
    for round in 0..rounds {
        for ((_, set), into) in sets.iter_mut().zip(&mut figures) {
            let (busy, rate) = set.measure(round);
            into.0.push(busy);
            into.1.push(rate);
        }
    }
    for ((n, _), (busy, rates)) in sets.iter().zip(&mut figures) {
        line(what, *n, busy, rates);
    }
    sets.iter().map(|(_, s)| s.load.failed).sum()
}

fn run(rounds: usize) -> Result<u64, Failure> {
    let listen = || "nvme-tcp://127.0.0.1:0/nqn.2026-01.dev.umpio:scale?cc=cubic".parse();
    let most = PATHS.iter().copied().max().unwrap_or(1);
    let served = Served::start(&ServeSpec {
        portals: (0..most).map(|_| listen()).collect::<Result<_, _>>()?,
        lun: LunSpec {
            name: "backing".to_owned(),
            urls: vec!["null:1G".to_owned()],
            ..LunSpec::default()
        },
        cpu: Some(0),
    })
    .map_err(|e| e.to_string())?;
    pin_to(1);
    let urls: Vec<String> = served
        .urls
        .iter()
        .map(|u| format!("{u}?cc=cubic"))
        .collect();
    let mut failed = 0;
    let mut sets = Vec::new();
    for n in LUNS {
        sets.push((n, Set::open(&urls[..2], n, "round-robin")?));
    }
    failed += family("luns", rounds, &mut sets);
    for policy in ["round-robin", "least-queue-depth"] {
        let mut sets = Vec::new();
        for n in PATHS {
            sets.push((n, Set::open(&urls[..n], 1, policy)?));
        }
        failed += family(&format!("paths, {policy}"), rounds, &mut sets);
    }
    served.stop();
    for n in [1, 2] {
        failed += reactors(n, rounds)?;
    }
    Ok(failed)
}

fn reactors(n: usize, rounds: usize) -> Result<u64, Failure> {
    let together = Arc::new(Barrier::new(n));
    let threads: Vec<_> = (0..n)
        .map(|cpu| {
            let together = together.clone();
            std::thread::spawn(move || {
                pin_to(cpu);
                let set = Set::open(&["null:1G".to_owned()], 1, "failover");
                together.wait();
                let mut set = set.map_err(|e| e.to_string())?;
                let (mut busy, mut rates) = (vec![], vec![]);
                for round in 0..rounds {
                    let (b, r) = set.measure(round);
                    busy.push(b);
                    rates.push(r);
                }
                Ok::<_, String>((busy, rates, set.load.failed))
            })
        })
        .collect();
    let (mut busy, mut rates, mut failed) = (vec![], vec![], 0);
    for thread in threads {
        let (b, r, f) = thread.join().map_err(|_| "a reactor panicked")??;
        busy.extend(b);
        rates.extend(r);
        failed += f;
    }
    line("reactors, null:, each", n, &mut busy, &mut rates);
    Ok(failed)
}
