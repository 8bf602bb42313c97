//! The yardstick: what this kernel's loopback allows two pinned processes that move the bytes of
//! NVMe/TCP and do nothing else. No protocol, no digests, no memory of what was asked: the ceiling
//! that an initiator and a target on the same two cores are measured against.
//!
//! A read is 72 bytes out (header and command) and 24 + payload in (C2HData with SUCCESS); a write is
//! 72 + payload out and 24 in. Requests are dealt round robin over the connections. Payload of reads
//! is taken at random from a store as large as the LUN it stands for, so that the cache misses of a
//! real backing are paid; payload of writes is received and forgotten.
//!
//! `cargo bench --bench yardstick -- --rw read --bs 4096 --qd 32 --conns 1 --seconds 2 --cpu 0,1`
//! prints one JSON object. The first CPU of `--cpu` is the target's, the second the initiator's.

mod initiator;
mod target;

use std::io::{self, BufRead, BufReader, Error};
use std::net::TcpStream;
use std::process::{Command, ExitCode, Stdio};

use clap::{Parser, ValueEnum};
use nix::sched::{CpuSet, sched_setaffinity};
use nix::unistd::Pid;

/// Bytes of a command capsule without payload: common header and submission queue entry.
const COMMAND: usize = 8 + 64;
/// Bytes of a C2HData header, and of a response capsule.
const ANSWER: usize = 24;
/// Ports of the target, as a LUN over two portals has them.
const PORTS: usize = 2;

#[derive(Copy, Clone, PartialEq, Eq, Debug, ValueEnum)]
enum Rw {
    Read,
    Write,
}

/// Bare-socket ceiling of NVMe/TCP on this machine
#[derive(Clone, Debug, Parser)]
#[command(name = "yardstick")]
struct Args {
    /// Which way the payload goes
    #[arg(long, value_enum, default_value = "read")]
    rw: Rw,
    /// Payload bytes of an I/O
    #[arg(long, default_value_t = 4096)]
    bs: usize,
    /// I/Os outstanding, over all connections
    #[arg(long, default_value_t = 32)]
    qd: usize,
    /// Connections, spread over two ports
    #[arg(long, default_value_t = 1)]
    conns: usize,
    /// Seconds to measure, after a tenth of that as a warm-up
    #[arg(long, default_value_t = 1.0)]
    seconds: f64,
    /// CPUs of the target and of the initiator
    #[arg(long, default_value = "0,1", value_delimiter = ',', num_args = 1)]
    cpu: Vec<usize>,
    /// Congestion control of every socket; "" leaves the system's default
    #[arg(long, default_value = "cubic")]
    cc: String,
    /// MiB of the store that payload of reads is taken from
    #[arg(long, default_value_t = 64)]
    store_mib: usize,
    /// What cargo bench appends
    #[arg(long, hide = true)]
    bench: bool,
    /// Be the target
    #[arg(long, hide = true)]
    serve: bool,
}

impl Args {
    /// Bytes of a request on the wire.
    fn request(&self) -> usize {
        COMMAND + if self.rw == Rw::Write { self.bs } else { 0 }
    }

    /// Bytes of an answer on the wire.
    fn answer(&self) -> usize {
        ANSWER + if self.rw == Rw::Read { self.bs } else { 0 }
    }

    fn check(&self) -> Result<(), String> {
        if self.cpu.len() != 2 {
            return Err("--cpu takes two numbers: the target's and the initiator's".to_owned());
        }
        if self.bs == 0 || self.qd == 0 || self.conns == 0 || self.store_mib == 0 {
            return Err("--bs, --qd, --conns and --store-mib are 1 at least".to_owned());
        }
        if self.bs > self.store_mib << 20 {
            return Err("--bs is larger than the store".to_owned());
        }
        if !(self.seconds > 0.0 && self.seconds.is_finite()) {
            return Err("--seconds is a positive number".to_owned());
        }
        Ok(())
    }
}

/// A measurement on the wrong CPU is worse than none, so failing to pin is an error.
fn pin(cpu: usize) -> io::Result<()> {
    let mut set = CpuSet::new();
    set.set(cpu)?;
    sched_setaffinity(Pid::from_raw(0), &set)?;
    Ok(())
}

/// What both ends set on a connection.
fn prepare(stream: &TcpStream, cc: &str) -> io::Result<()> {
    if !cc.is_empty() {
        socket2::SockRef::from(stream).set_tcp_congestion(cc.as_bytes())?;
    }
    stream.set_nodelay(true)?;
    stream.set_nonblocking(true)
}

/// Nanoseconds that this process was ready to run and did not: noise of others, by the scheduler.
fn run_queue_wait() -> u64 {
    let text = std::fs::read_to_string("/proc/self/schedstat").unwrap_or_default();
    text.split_whitespace()
        .nth(1)
        .and_then(|n| n.parse().ok())
        .unwrap_or(0)
}

fn measure(args: &Args) -> io::Result<serde_json::Value> {
    let own = std::env::args_os().skip(1);
    let mut child = Command::new(std::env::current_exe()?)
        .args(own)
        .arg("--serve")
        .stdout(Stdio::piped())
        .spawn()?;
    let said = child
        .stdout
        .take()
        .ok_or_else(|| Error::other("the target has no output"))?;
    let result = (|| {
        let mut line = String::new();
        BufReader::new(said).read_line(&mut line)?;
        let ports: Vec<u16> = line
            .split_whitespace()
            .filter_map(|p| p.parse().ok())
            .collect();
        if ports.len() != PORTS {
            return Err(Error::other("the target did not start"));
        }
        pin(args.cpu[1])?;
        let before = run_queue_wait();
        let figures = initiator::run(args, &ports)?;
        Ok((figures, run_queue_wait() - before))
    })();
    if result.is_err() {
        // It may wait for connections that never come. One that has ended already needs no killing.
        let _ = child.kill();
    }
    child.wait()?;
    let (figures, waited) = result?;
    let seconds = figures.elapsed.as_secs_f64();
    let iops = figures.latency.len() as f64 / seconds;
    Ok(serde_json::json!({
        "tool": "yardstick",
        "rw": if args.rw == Rw::Read { "read" } else { "write" },
        "bs": args.bs, "qd": args.qd, "conns": args.conns, "cc": args.cc, "seconds": seconds,
        "iops": iops,
        "bandwidth_bytes_per_s": iops * args.bs as f64,
        "mean_ns": figures.latency.mean(),
        "p50_ns": figures.latency.value_at_quantile(0.5),
        "p99_ns": figures.latency.value_at_quantile(0.99),
        "run_queue_wait_ns": waited,
    }))
}

fn main() -> ExitCode {
    let mut args = Args::parse();
    if std::env::args_os().len() == 1 {
        // `cargo test --all-targets` starts benches bare: show that it runs, and be quick.
        args.seconds = 0.05;
    }
    if let Err(why) = args.check() {
        eprintln!("yardstick: {why}");
        return ExitCode::from(2);
    }
    let done = if args.serve {
        target::run(&args)
    } else {
        measure(&args).map(|figures| println!("{figures}"))
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("yardstick: {e}");
            ExitCode::FAILURE
        }
    }
}
