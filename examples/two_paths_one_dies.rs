//! A LUN over two paths, one of which is cut again and again under load: nothing fails.
//!
//! Everything is in this process and this thread: a target with two portals over a LUN in memory,
//! and an initiator that reaches it through both by TCP on loopback.
//!
//! ```text
//! cargo run --release --example two_paths_one_dies
//! ```

use std::error::Error;
use std::os::fd::RawFd;
use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use umpio::base::clock::Time;
use umpio::engine::reactor::Service;
use umpio::front::block::{Completion, Engine, Io, LunSpec};
use umpio::front::nvme_tcp::{
    Fault, PortalConfig, PortalId, SubsystemConfig, Target, TargetConfig,
};
use umpio::lun::plane::Plane;
use umpio::lun::policy::{Policy, PolicySpec};
use umpio::sys::iobuf::IoBuf;
use umpio::transport::listener::Listener;
use umpio::transport::tcp::TcpOptions;

const NQN: &str = "nqn.2026-01.org.example:two-paths";
const DEPTH: u64 = 32;
const BLOCKS: u64 = 64 << 11;
const CUTS: u32 = 5;

/// A target that turns with the engine and whose fault switches can be reached meanwhile.
#[derive(Clone, Debug)]
struct Shared(Arc<Mutex<Target>>);

impl Shared {
    fn with<T>(&self, f: impl FnOnce(&mut Target) -> T) -> T {
        f(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Service for Shared {
    fn poll(&mut self, plane: &mut Plane, now: Time) -> bool {
        self.with(|t| t.poll(plane, now))
    }
    fn next_deadline(&self) -> Time {
        self.with(|t| t.next_deadline().unwrap_or(Time::NEVER))
    }
    fn fds(&self, out: &mut Vec<(RawFd, bool)>) {
        self.with(|t| Service::fds(t, out));
    }
}

fn main() -> ExitCode {
    match example() {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("two_paths_one_dies: {e}");
            ExitCode::FAILURE
        }
    }
}

fn example() -> Result<(), Box<dyn Error>> {
    let mut engine = Engine::new(Default::default())?;

    // The target: a LUN in memory, served at two portals.
    let backing = engine.open_lun(&LunSpec {
        urls: vec!["mem:64M".to_owned()],
        ..Default::default()
    })?;
    engine.await_lun(backing, Duration::from_secs(1))?;
    let identity = engine.geometry(backing).ok_or("ready")?.identity;
    let port = engine.reactor().open_port(backing.id());
    let mut target = Target::new(TargetConfig::default());
    target.add_subsystem(SubsystemConfig::new(NQN))?;
    target.add_namespace(NQN, 1, port, &identity, engine.reactor().plane())?;
    let mut urls = Vec::new();
    for _ in 0..2 {
        let listener = Listener::tcp("127.0.0.1:0".parse()?, TcpOptions::default())?;
        let portal = target.add_portal(PortalConfig::new(listener));
        let address = target.portal_address(portal).ok_or("it was just added")?;
        urls.push(format!("nvme-tcp://{address}/{NQN}"));
    }
    let target = Shared(Arc::new(Mutex::new(target)));
    engine.reactor().add_service(Box::new(target.clone()));

    // The initiator: the same LUN over both, in turn.
    let policy = Some(PolicySpec::new(Policy::RoundRobin));
    let lun = engine.open_lun(&LunSpec {
        name: "two paths".to_owned(),
        urls,
        policy,
        ..Default::default()
    })?;
    engine.await_lun(lun, Duration::from_secs(5))?;
    let mut channel = engine.open_channel(lun)?;

    // Each of DEPTH writers owns every DEPTH-th block, and checks what it wrote last.
    for n in 0..DEPTH {
        channel.submit(&mut engine, step(n, 0, IoBuf::zeroed(512)))?;
    }
    let (mut done, mut ios, mut cuts, mut wrong) = (Vec::new(), 0_u64, 0, 0_u64);
    let mut next_cut = engine.reactor().now() + Duration::from_millis(200);
    while cuts <= CUTS {
        channel.poll_completions(&mut engine, &mut done);
        for Completion { mut io, result } in done.drain(..) {
            result.map_err(|e| format!("{} at {} failed: {e}", io.op.name(), io.lba))?;
            ios += 1;
            let (writer, round) = (io.user % DEPTH, io.user / DEPTH);
            let buf = io.data.pop().ok_or("the buffer comes back")?;
            if round % 2 == 1 {
                wrong += u64::from(buf.as_slice()[..8] != (round / 2).to_le_bytes());
            }
            channel.submit(&mut engine, step(writer, round + 1, buf))?;
        }
        if engine.reactor().now() >= next_cut {
            cuts += 1;
            next_cut = engine.reactor().now() + Duration::from_millis(200);
            if cuts <= CUTS {
                let (portal, now) = (PortalId(cuts as usize % 2), engine.reactor().now());
                println!(
                    "after {ios:>7} I/Os: every connection of portal {} is reset",
                    portal.0
                );
                target.with(|t| t.set_fault(portal, Fault::Reset, now))?;
            }
        }
    }
    channel
        .close(&mut engine, &mut done, Duration::from_secs(30))
        .map_err(|_| "I/O is stuck")?;
    wrong += done.iter().filter(|c| c.result.is_err()).count() as u64;

    let status = engine.status(lun);
    for path in &status.paths {
        println!(
            "{}: {}, {} I/Os, {} logins, lost with {} in flight",
            path.url, path.state, path.stats.ios, path.logins, path.stats.lost
        );
    }
    let (stats, fence) = (&status.stats, &status.fence);
    println!(
        "{ios} I/Os, {} failed, {wrong} wrong, {} sent again",
        stats.failed, stats.rerouted
    );
    let proofs: Vec<_> = status
        .proofs
        .iter()
        .map(|(name, n)| format!("{n} by {name}"))
        .collect();
    println!(
        "{} writes waited for proof that none of them can come late; proven: {}",
        fence.held,
        proofs.join(", ")
    );
    println!(
        "longest gap without a completion: {} ms",
        stats.longest_stall_ns / 1_000_000
    );
    if wrong == 0 && stats.failed == 0 {
        Ok(())
    } else {
        Err("something was lost".into())
    }
}

/// A writer's next I/O: in even rounds it writes the round's number, in odd ones it reads it back.
fn step(writer: u64, round: u64, mut buf: IoBuf) -> Io {
    let turn = round / 2;
    let lba = (turn * 7919 % (BLOCKS / DEPTH)) * DEPTH + writer;
    let user = round * DEPTH + writer;
    if round.is_multiple_of(2) {
        buf.as_mut_slice()[..8].copy_from_slice(&turn.to_le_bytes());
        Io::write(lba, buf).user(user)
    } else {
        buf.as_mut_slice()[..8].fill(0xFF);
        Io::read(lba, buf).user(user)
    }
}
