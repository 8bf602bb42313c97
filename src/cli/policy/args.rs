//! Arguments of `umpio policy`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use crate::cli::client::SocketArg;

const EXAMPLES: &str = "\
Examples:
  umpio policy replay trace.jsonl           # umpio's own answers put into every line
  umpio policy replay --check windows.jsonl # stops where umpio answers otherwise

The trace is one JSON event a line (init, submit, complete, fail, return, tpg, set, query...).
The real selection and validation code answers; there are no sockets and there is no time.
Exit status: 0 replayed (with --check: and agreed), 1 the trace could not be read, 2 wrong
usage, 3 an answer differs.";

const SET_EXAMPLES: &str = "\
Examples:
  umpio policy set a least-queue-depth
  umpio policy set a FOO --preferred 0x00a1b2c3d4e5f607
  umpio policy set a weighted-paths --path 0x00a1b2c3d4e5f607=10 --path 0x1122334455667788=20
  umpio policy set a failover --path 0x00a1b2c3d4e5f607=active_optimized --path 0x11=standby
  umpio policy set a none       # removes the LUN's own policy; the default governs";

/// Look at the load-balance policies of the daemon's LUNs, set them, replay traces
#[derive(Clone, Debug, Args)]
#[command(
    after_help = "Examples:\n  umpio policy get a\n  umpio policy set a LQD\n  umpio policy replay --check trace.jsonl"
)]
pub struct PolicyArgs {
    #[command(subcommand)]
    pub command: PolicyCommand,
}

#[derive(Clone, Debug, Subcommand)]
pub enum PolicyCommand {
    Get(GetArgs),
    Set(SetArgs),
    Replay(ReplayArgs),
}

/// The policy of a LUN, and what it makes of the paths
#[derive(Clone, Debug, Args)]
#[command(after_help = "Example: umpio policy get a --json")]
pub struct GetArgs {
    pub lun: String,
    #[command(flatten)]
    pub socket: SocketArg,
    /// Print one JSON object on stdout
    #[arg(long)]
    pub json: bool,
}

/// Set the policy of a LUN, from its next request on
#[derive(Clone, Debug, Args)]
#[command(after_help = SET_EXAMPLES)]
pub struct SetArgs {
    pub lun: String,
    /// A name, a Windows abbreviation, a number, or none
    pub policy: String,
    /// Nexus id of the preferred path, with failover
    #[arg(long, value_name = "NEXUS")]
    pub preferred: Option<String>,
    /// A path with its weight (a number) or its state; repeat it for further ones
    #[arg(long = "path", value_name = "NEXUS=VALUE")]
    pub paths: Vec<String>,
    #[command(flatten)]
    pub socket: SocketArg,
    /// Print one JSON object on stdout
    #[arg(long)]
    pub json: bool,
}

/// Replay a trace of choices through the policy code
#[derive(Clone, Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct ReplayArgs {
    /// The trace; - is standard input
    #[arg(value_name = "FILE")]
    pub file: PathBuf,

    /// Take the answers in the trace as expectations, and stop at the first that differs
    #[arg(long)]
    pub check: bool,
}
