//! Arguments of `umpio path`.

use clap::{Args, Subcommand};

use crate::cli::client::SocketArg;

const EXAMPLES: &str = "\
Examples:
  umpio path list
  umpio path list a --json
  umpio path add a nvme-tcp://10.0.1.1/nqn.2024-01.com.example:array
  umpio path remove a 0x00a1b2c3d4e5f607";

/// Look at the paths of the daemon's LUNs, add and remove them
#[derive(Clone, Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct PathArgs {
    #[command(subcommand)]
    pub command: PathCommand,
    #[command(flatten)]
    pub socket: SocketArg,
    /// Print one JSON object on stdout
    #[arg(long, global = true)]
    pub json: bool,
}

#[derive(Clone, Debug, Subcommand)]
pub enum PathCommand {
    /// The paths of one LUN, or of all
    #[command(after_help = "Example: umpio path list a")]
    List { lun: Option<String> },
    /// Add a path to a LUN
    #[command(after_help = "Example: umpio path add a nvme-tcp://10.0.1.1/nqn.x:array")]
    Add {
        lun: String,
        url: String,
        #[arg(long, default_value_t = 0)]
        weight: u32,
    },
    /// Take a path out of a LUN
    #[command(after_help = "Example: umpio path remove a 0x00a1b2c3d4e5f607")]
    Remove {
        lun: String,
        /// Nexus id, as path list shows it
        path: String,
    },
}
