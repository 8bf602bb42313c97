//! Arguments of `umpio bench`.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};

use crate::cli::error::CliError;
use crate::cli::units::{parse_duration, parse_runtime, parse_size, parse_sizes};
use crate::front::workload::{Pattern, Rules, SeriesSpec, Sizes, Spec};
use crate::lun::policy::PolicySpec;
use crate::transport::Driver;

/// Names of `--rw`, as fio has them.
#[derive(Copy, Clone, PartialEq, Eq, Debug, ValueEnum)]
pub enum Rw {
    #[value(name = "randread")]
    RandRead,
    #[value(name = "randwrite")]
    RandWrite,
    #[value(name = "randrw")]
    RandRw,
    #[value(name = "read")]
    Read,
    #[value(name = "write")]
    Write,
}

impl From<Rw> for Pattern {
    fn from(rw: Rw) -> Self {
        match rw {
            Rw::RandRead => Self::RandRead,
            Rw::RandWrite => Self::RandWrite,
            Rw::RandRw => Self::RandRw,
            Rw::Read => Self::Read,
            Rw::Write => Self::Write,
        }
    }
}

/// How connections are driven.
#[derive(Copy, Clone, PartialEq, Eq, Debug, ValueEnum)]
pub enum TransportArg {
    /// Plain non-blocking sockets.
    Tcp,
    /// One io_uring for all connections; plain sockets where it is refused.
    Uring,
}

impl From<TransportArg> for Driver {
    fn from(arg: TransportArg) -> Self {
        match arg {
            TransportArg::Tcp => Self::Tcp,
            TransportArg::Uring => Self::Uring,
        }
    }
}

const EXAMPLES: &str = "\
Examples:
  umpio bench --path mem:256M --rw randrw --bs 4k --iodepth 32 --runtime 5 --destroy
  umpio bench --path nvme-tcp://10.0.0.1/nqn.2024-01.com.example:array \\
              --path nvme-tcp://10.0.1.1/nqn.2024-01.com.example:array \\
              --policy round-robin --rw randread --iodepth 64 --report run.html
  umpio bench --path nvme-tcp://10.0.0.1/nqn.x --rw randrw --bs 512..1M --verify --destroy

Exit status: 0 all I/O succeeded, 1 could not run, 2 wrong usage, 3 I/O errors, miscompares or
I/O that never came back, 130 interrupted (what was measured until then is reported).
At the end what is outstanding is waited for as long as some of it comes back every minute (after
a signal: every five seconds); then it is given up and named.

busy_ns_per_io is the time of reactor turns that moved something (received, completed,
submitted or sent), divided by the I/Os completed. Turns of a polling loop that found nothing
to do are not counted, so the figure is the cost of an I/O and not of waiting for it.";

/// Measure (and check) I/O over one or more paths
#[derive(Clone, Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct BenchArgs {
    /// A path of the LUN; repeat it for each further path
    #[arg(long = "path", value_name = "URL", required = true)]
    pub paths: Vec<String>,

    /// Load-balance policy: a name, a Windows abbreviation (RR, LQD...) or a number 1 to 7
    #[arg(long, value_parser = parse_policy)]
    pub policy: Option<PolicySpec>,

    /// Access pattern
    #[arg(long, value_enum, default_value = "randread")]
    pub rw: Rw,

    /// Reads in a hundred I/Os of randrw
    #[arg(long, value_name = "PERCENT", default_value_t = 70,
          value_parser = clap::value_parser!(u8).range(0..=100))]
    pub rwmixread: u8,

    /// I/O size: one (4k), a list (4k,64k) or a range (512..1M)
    #[arg(long, value_name = "SIZE", default_value = "4k", value_parser = parse_sizes)]
    pub bs: Sizes,

    /// I/Os outstanding at most
    #[arg(long, value_name = "N", default_value_t = 32,
          value_parser = clap::value_parser!(u32).range(1..=65_536))]
    pub iodepth: u32,

    /// How long to measure: 10 (seconds), 500ms, 2m
    #[arg(long, value_name = "TIME", default_value = "10", value_parser = parse_runtime)]
    pub runtime: Duration,

    /// How long to run before measuring
    #[arg(long, value_name = "TIME", default_value = "0", value_parser = parse_duration)]
    pub warmup: Duration,

    /// Start N I/Os a second on schedule; latency counts from the intended start, so a stall is
    /// seen by every I/O it delays (no coordinated omission)
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=100_000_000))]
    pub rate: Option<u64>,

    /// First byte of the LUN to use
    #[arg(long, value_name = "SIZE", default_value = "0", value_parser = parse_size)]
    pub offset: u64,

    /// Bytes of the LUN to use; 0 means up to its end
    #[arg(long, value_name = "SIZE", default_value = "0", value_parser = parse_size)]
    pub size: u64,

    /// Pin the reactor to this CPU
    #[arg(long, value_name = "N")]
    pub cpu: Option<usize>,

    /// How connections are driven; `transport=` in a path URL wins
    #[arg(long, value_enum, default_value = "tcp")]
    pub transport: TransportArg,

    /// Stamp every block written, check every block read, and read all of it again at the end
    #[arg(long)]
    pub verify: bool,

    /// Allow writing: what is on the LUN is overwritten
    #[arg(long)]
    pub destroy: bool,

    /// The same seed gives the same I/Os
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub seed: u64,

    /// Print one JSON object on stdout; progress goes to stderr
    #[arg(long)]
    pub json: bool,

    /// Write latencies: an HdrHistogram interval log, or a percentile table if FILE ends in .hgrm
    #[arg(long, value_name = "FILE")]
    pub hdr: Option<PathBuf>,

    /// Write a self-contained HTML page with percentile curve and latency over time
    #[arg(long, value_name = "FILE.html")]
    pub report: Option<PathBuf>,
}

/// For clap: a policy by any of its names.
pub fn parse_policy(text: &str) -> Result<PolicySpec, String> {
    PolicySpec::parse(text).ok_or_else(|| {
        format!(
            "'{text}' is no policy; known are {}",
            policy_names().join(", ")
        )
    })
}

/// Names a policy can be given by on the command line.
fn policy_names() -> Vec<&'static str> {
    use crate::lun::policy::{Policy, VendorPolicy};
    let windows = Policy::ALL
        .into_iter()
        .filter(|p| *p != Policy::VendorSpecific)
        .map(Policy::name);
    windows
        .chain(VendorPolicy::ALL.into_iter().map(VendorPolicy::name))
        .collect()
}

impl BenchArgs {
    /// Checks what clap cannot: arguments that do not go together.
    pub fn check(&self) -> Result<(), CliError> {
        let local = |url: &String| url.starts_with("mem:") || url.starts_with("null:");
        let rw = Pattern::from(self.rw);
        if rw.writes() && !self.destroy && !self.paths.iter().all(local) {
            return Err(CliError::usage(format!(
                "--rw {} overwrites the LUN, and --destroy was not given",
                rw.name()
            ))
            .advice("add --destroy if nothing on that LUN is needed, or use --rw randread"));
        }
        if self.verify && !rw.writes() {
            return Err(CliError::usage(format!(
                "--verify checks what the run has written, and --rw {} writes nothing",
                rw.name()
            ))
            .advice("use --verify with --rw randrw, randwrite or write"));
        }
        if self.verify && self.paths.iter().any(|u| u.starts_with("null:")) {
            return Err(CliError::usage(
                "--verify cannot work on a null: path, which keeps nothing",
            ));
        }
        Ok(())
    }

    /// The workload asked for. `run` tells this run's stamps from earlier ones.
    pub fn spec(&self, run: u64) -> Spec {
        let series = if self.hdr.is_some() {
            // A log is for later analysis: full precision, fewer intervals.
            let interval = Duration::from_millis(500).max(self.runtime / 120);
            SeriesSpec {
                interval,
                count: (self.runtime.as_nanos() / interval.as_nanos()) as usize + 2,
                digits: 3,
            }
        } else {
            SeriesSpec::for_runtime(self.runtime)
        };
        // Only memory that this very process has just made is known to be all zeroes.
        let fresh = self.paths.len() == 1 && self.paths[0].starts_with("mem:");
        // NVMe promises whole blocks; SBC does not, nor do memory and files that two write and read at once.
        let nvme = |url: &String| url.starts_with("nvme-tcp:");
        let tears_beside_writes = !self.paths.iter().all(nvme);
        Spec {
            pattern: self.rw.into(),
            read_percent: self.rwmixread,
            sizes: self.bs.clone(),
            depth: self.iodepth,
            rate: self.rate,
            seed: self.seed,
            run,
            verify: self.verify.then(|| Rules {
                fresh,
                tears_beside_writes,
                ..Rules::default()
            }),
            offset: self.offset,
            length: self.size,
            limit: None,
            series: Some(series),
        }
    }
}
