//! Arguments of `umpio policy`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

const EXAMPLES: &str = "\
Examples:
  umpio policy replay trace.jsonl           # umpio's own answers put into every line
  umpio policy replay --check windows.jsonl # stops where umpio answers otherwise

The trace is one JSON event a line (init, submit, complete, fail, return, tpg, set, query...).
The real selection and validation code answers; there are no sockets and there is no time.
Exit status: 0 replayed (with --check: and agreed), 1 the trace could not be read, 2 wrong
usage, 3 an answer differs.";

/// Look into the load-balance policies
#[derive(Clone, Debug, Args)]
#[command(after_help = "Example: umpio policy replay --check trace.jsonl")]
pub struct PolicyArgs {
    #[command(subcommand)]
    pub command: PolicyCommand,
}

#[derive(Clone, Debug, Subcommand)]
pub enum PolicyCommand {
    Replay(ReplayArgs),
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
