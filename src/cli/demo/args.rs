//! Arguments of `umpio demo`.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use crate::cli::bench::args::{TransportArg, parse_policy};
use crate::cli::units::parse_duration;
use crate::lun::policy::PolicySpec;

const EXAMPLES: &str = "\
Examples:
  umpio demo
  umpio demo --seconds 30 --policy least-queue-depth --report demo.html
  umpio demo --json | jq .miscompares

Needs nothing but loopback: it starts its own target on free ports, two of NVMe/TCP and two of
iSCSI, opens one LUN over all of them, runs a verified mixed workload, cuts a nexus of each
protocol and then all of one, brings them back, and changes the policy while I/O runs. Exit status: 0 nothing was lost and nothing was stale, 1 could not run,
3 I/O errors or miscompares, 130 interrupted.";

/// Shortest demo in which every part of the story has its time.
const SECONDS_MIN: Duration = Duration::from_secs(2);

/// Show it all on this machine: target, paths, a cut, a policy change, nothing lost
#[derive(Clone, Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct DemoArgs {
    /// How long to run
    #[arg(long, value_name = "N", default_value = "10", value_parser = parse_seconds)]
    pub seconds: Duration,

    /// Policy to begin with: a name, a Windows abbreviation (RR, LQD...) or a number 1 to 7
    #[arg(long, value_parser = parse_policy)]
    pub policy: Option<PolicySpec>,

    /// How connections are driven, on both ends
    #[arg(long, value_enum, default_value = "tcp")]
    pub transport: TransportArg,

    /// The same seed gives the same I/Os
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub seed: u64,

    /// Print one JSON object on stdout; progress goes to stderr
    #[arg(long)]
    pub json: bool,

    /// Write a self-contained HTML page with percentile curve, latency over time and the split
    /// over the paths
    #[arg(long, value_name = "FILE.html")]
    pub report: Option<PathBuf>,
}

fn parse_seconds(text: &str) -> Result<Duration, String> {
    let d = parse_duration(text)?;
    if d < SECONDS_MIN {
        return Err("the story needs at least 2 seconds".to_owned());
    }
    Ok(d)
}
