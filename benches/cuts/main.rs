//! What a lost nexus does to I/O in flight: resets under queue depth 32, a hundred times.
//!
//! A target with two portals runs on CPU 0, an initiator over both on CPU 1, with a random mix of
//! reads and writes. Every period all connections of one portal are reset, in turn; the portal is
//! refused for an outage and then given back. The same number of periods without a cut is the
//! control. Printed as JSON, times in nanoseconds:
//!
//! - `stall`: the longest gap between completions in each period while I/O that is not fenced was
//!   outstanding, after a cut, and `control` without one;
//! - `fenced`: from a loss to its fence opening;
//! - `back`: from the portal being given back to the first I/O on the returned path.
//!
//! Fails when an I/O fails. Arguments: `--cuts N`, `--depth N`.

use std::process::ExitCode;
use std::time::Duration;
use umpio::base::clock::{Clock, Time};
use umpio::base::request::Op;
use umpio::base::rng::Rng;
use umpio::base::sg::SgList;
use umpio::cli::target::serve::{ServeSpec, Served};
use umpio::engine::driver::pin_to;
use umpio::engine::reactor::{LunSpec, Reactor, ReactorConfig};
use umpio::front::nvme_tcp::Fault;
use umpio::lun::plane::ChannelId;
use umpio::lun::policy::{Policy, PolicySpec};
use umpio::lun::port::{PortId, Ports};

/// From one cut to the next.
const PERIOD: Duration = Duration::from_millis(400);
/// How long the portal stays away.
const OUTAGE: Duration = Duration::from_millis(150);
const BLOCK: u32 = 8;

fn main() -> ExitCode {
    let (mut cuts, mut depth) = (100, 32);
    let mut args = std::env::args().skip(1);
    while let Some(arg) = args.next() {
        let mut number = || args.next().and_then(|n| n.parse().ok());
        match arg.as_str() {
            "--cuts" => cuts = number().unwrap_or(cuts),
            "--depth" => depth = number().unwrap_or(depth),
            // What cargo bench passes along.
            _ => {}
        }
    }
    match run(cuts, depth) {
        Ok(0) => ExitCode::SUCCESS,
        Ok(failed) => {
            eprintln!("{failed} I/Os failed");
            ExitCode::FAILURE
        }
        Err(e) => {
            eprintln!("cuts: {e}");
            ExitCode::FAILURE
        }
    }
}

struct Load {
    reactor: Reactor,
    clock: Clock,
    lun: ChannelId,
    port: PortId,
    rng: Rng,
    blocks: u64,
    failed: u64,
    last: Time,
    longest: u64,
}

impl Load {
    fn submit(&mut self, data: SgList) {
        let mut t = self.reactor.plane().take();
        t.op = if self.rng.chance(1, 2) {
            Op::Write
        } else {
            Op::Read
        };
        t.lba = self.rng.below(self.blocks / u64::from(BLOCK)) * u64::from(BLOCK);
        t.blocks = BLOCK;
        t.data = data;
        self.reactor.plane().submit(self.port, t);
    }

    /// One turn. A gap counts only while something is outstanding that is not fenced.
    fn turn(&mut self, done: &mut Vec<umpio::base::request::Token>) {
        self.reactor.poll();
        self.reactor.plane().completions(self.port, done);
        let now = self.clock.now();
        if done.is_empty() {
            let channel = self.reactor.plane().channel(self.lun);
            let (held, waiting) = channel.fence.occupants();
            if channel.outstanding() == (held + waiting) as u64 {
                self.last = now;
            }
            return;
        }
        self.longest = self.longest.max(now.nanos_since(self.last));
        self.last = now;
        for mut t in done.drain(..) {
            self.failed += u64::from(t.result.is_err());
            let data = std::mem::take(&mut t.data);
            self.reactor.plane().recycle(t);
            self.submit(data);
        }
    }

    fn ios(&mut self, path: usize) -> u64 {
        self.reactor.plane().channel(self.lun).slots[path].stats.ios
    }
}

fn run(cuts: usize, depth: usize) -> Result<u64, Box<dyn std::error::Error>> {
    let listen =
        |host: &str| format!("nvme-tcp://{host}:0/nqn.2026-01.dev.umpio:cuts?cc=cubic").parse();
    let spec = ServeSpec {
        portals: vec![listen("127.0.0.1")?, listen("127.0.0.1")?],
        lun: LunSpec {
            name: "backing".to_owned(),
            urls: vec!["mem:64M".to_owned()],
            ..LunSpec::default()
        },
        cpu: Some(0),
    };
    let served = Served::start(&spec).map_err(|e| e.to_string())?;
    pin_to(1);
    let config = ReactorConfig::default();
    let clock = config.clock.clone();
    let mut reactor = Reactor::new(config)?;
    let lun = reactor.open_lun(&LunSpec {
        name: "cuts".to_owned(),
        urls: served
            .urls
            .iter()
            .map(|u| format!("{u}?cc=cubic"))
            .collect(),
        policy: Some(PolicySpec::new(Policy::RoundRobin)),
        ..LunSpec::default()
    })?;
    reactor.await_paths(lun, Duration::from_secs(5))?;
    let port = reactor.open_port(lun);
    let blocks = reactor
        .plane()
        .geometry(port)
        .ok_or("the LUN is ready")?
        .blocks;
    let last = clock.now();
    let mut load = Load {
        reactor,
        clock,
        lun,
        port,
        rng: Rng::new(1),
        blocks,
        failed: 0,
        last,
        longest: 0,
    };
    for _ in 0..depth {
        load.submit(SgList::zeroed(BLOCK as usize * 512));
    }
    let mut done = Vec::new();
    let (mut stall, mut control, mut fenced, mut back) = (vec![], vec![], vec![], vec![]);
    // A warm-up period that counts for nothing, then control and cut in turn.
    for n in 0..=2 * cuts {
        let (cut, portal) = (n > 0 && n % 2 == 0, n / 2 % 2);
        let began = load.clock.now();
        load.longest = 0;
        load.last = began;
        load.reactor.plane().reset_longest_fence(lun);
        let (mut gone, mut given, mut before) = (false, None, 0);
        if cut {
            served.set_fault(portal, Fault::Refuse(true));
            served.set_fault(portal, Fault::Reset);
            gone = true;
        }
        loop {
            load.turn(&mut done);
            let now = load.clock.now();
            if gone && now >= began + OUTAGE {
                served.set_fault(portal, Fault::Refuse(false));
                given = Some(now);
                before = load.ios(portal);
                gone = false;
            }
            if let Some(at) = given
                && load.ios(portal) > before
            {
                back.push(now.nanos_since(at));
                given = None;
            }
            let over = now >= began + PERIOD;
            if over && (given.is_none() || now >= began + PERIOD * 5) {
                break;
            }
        }
        match (n, cut) {
            (0, _) => {}
            (_, true) => {
                stall.push(load.longest);
                let longest = load.reactor.plane().channel(lun).fence.counters.longest_ns;
                fenced.extend((longest > 0).then_some(longest));
            }
            (_, false) => control.push(load.longest),
        }
        if given.is_some() {
            return Err(
                format!("portal {portal} was given back and its path never used again").into(),
            );
        }
    }
    let proofs = load.reactor.status(lun).proofs;
    println!(
        "{{\"cuts\":{cuts},\"depth\":{depth},\"failed\":{},\"stall\":{},\"control\":{},\"fenced\":{},\"back\":{},\"proofs\":{proofs:?}}}",
        load.failed,
        summary(&mut stall),
        summary(&mut control),
        summary(&mut fenced),
        summary(&mut back),
    );
    served.stop();
    Ok(load.failed)
}

/// Median, p99 and largest of what was measured.
fn summary(values: &mut [u64]) -> String {
    values.sort_unstable();
    let at = |q: f64| {
        let last = values.len().saturating_sub(1);
        values
            .get((last as f64 * q).ceil() as usize)
            .copied()
            .unwrap_or(0)
    };
    format!(
        "{{\"count\":{},\"p50\":{},\"p99\":{},\"max\":{}}}",
        values.len(),
        at(0.5),
        at(0.99),
        at(1.0)
    )
}
