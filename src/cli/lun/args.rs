//! Arguments of `umpio lun`.

use clap::{Args, Subcommand};

use crate::cli::client::SocketArg;

const EXAMPLES: &str = "\
Examples:
  umpio lun list
  umpio lun show a --json
  umpio lun create a --path nvme-tcp://10.0.0.1/nqn.2024-01.com.example:array --policy LQD
  umpio lun close a";

/// Look at the daemon's LUNs, open and close them
#[derive(Clone, Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct LunArgs {
    #[command(subcommand)]
    pub command: LunCommand,
    #[command(flatten)]
    pub socket: SocketArg,
    /// Print one JSON object on stdout
    #[arg(long, global = true)]
    pub json: bool,
}

#[derive(Clone, Debug, Subcommand)]
pub enum LunCommand {
    /// All LUNs
    #[command(after_help = "Example: umpio lun list --json")]
    List,
    /// One LUN with its paths
    #[command(after_help = "Example: umpio lun show a")]
    Show { name: String },
    /// Open a LUN over its paths; it is there again after a restart
    #[command(after_help = "Example: umpio lun create a --path mem:64M --policy failover")]
    Create {
        name: String,
        /// A path; repeat it for each further one
        #[arg(long = "path", value_name = "URL", required = true)]
        paths: Vec<String>,
        #[arg(long)]
        policy: Option<String>,
    },
    /// Close a LUN: its paths log out
    #[command(after_help = "Example: umpio lun close a")]
    Close { name: String },
}
