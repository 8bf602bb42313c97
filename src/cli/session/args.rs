//! Arguments of `umpio session`.

use clap::{Args, Subcommand};

use crate::cli::client::SocketArg;

const EXAMPLES: &str = "\
Examples:
  umpio session list
  umpio session policy 0x00a1b2c3d4e5f607 weighted-paths --connection 0x11=10 --connection 0x12=20
  umpio session policy 0x00a1b2c3d4e5f607 failover --connection 0x12=primary
  umpio session add 0x00a1b2c3d4e5f607 10.0.1.1 --source 10.0.1.9
  umpio session remove 0x00a1b2c3d4e5f607 0x12

What is set is kept over restarts, until the path's URL in the config file changes.";

/// Look at the connections of the daemon's iSCSI sessions (MC/S), set their policy, add and remove them
#[derive(Clone, Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct SessionArgs {
    #[command(subcommand)]
    pub command: SessionCommand,
    #[command(flatten)]
    pub socket: SocketArg,
    /// Print one JSON object on stdout
    #[arg(long, global = true)]
    pub json: bool,
}

#[derive(Clone, Debug, Subcommand)]
pub enum SessionCommand {
    /// All sessions with their connections
    #[command(after_help = "Example: umpio session list --json")]
    List,
    /// How commands are spread over the connections of a session
    #[command(after_help = "Example: umpio session policy 0x00a1b2c3d4e5f607 round-robin")]
    Policy {
        session: String,
        /// failover, round-robin, round-robin-with-subset, least-queue-depth, weighted-paths,
        /// vendor-specific; or its number, 1 to 6
        policy: String,
        /// A connection with its weight (a number), or primary or standby; those not named keep
        /// what they have
        #[arg(long = "connection", value_name = "ID=VALUE")]
        connections: Vec<String>,
    },
    /// Add a connection to a session
    #[command(after_help = "Example: umpio session add 0x00a1b2c3d4e5f607 10.0.1.1:3260")]
    Add {
        session: String,
        /// Where the target listens: HOST, or HOST:PORT where that is not 3260
        portal: String,
        /// IP address of our end
        #[arg(long)]
        source: Option<String>,
        #[arg(long, default_value_t = 0)]
        weight: u32,
        /// It only stands by under the policies that tell primary connections from others
        #[arg(long)]
        standby: bool,
    },
    /// Take a connection out of a session
    #[command(after_help = "Example: umpio session remove 0x00a1b2c3d4e5f607 0x12")]
    Remove { session: String, connection: String },
}
