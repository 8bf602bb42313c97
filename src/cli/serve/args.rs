//! Arguments of `umpio serve`.

use std::path::PathBuf;

use clap::Args;

const EXAMPLES: &str = "\
Examples:
  umpio serve                                   # without LUNs; create them over RPC
  umpio serve --config /etc/umpio.toml
  umpio serve --config /etc/umpio.toml --check  # says what is wrong, and starts nothing

A config:
  [state]
  dir = \"/var/lib/umpio\"
  [[lun]]
  name = \"a\"
  policy = \"least-queue-depth\"
  paths = [\"nvme-tcp://10.0.0.1/nqn.2024-01.com.example:array\",
           \"nvme-tcp://10.0.1.1/nqn.2024-01.com.example:array\"]
  [[serve]]
  lun = \"a\"
  listen = [\"nvme-tcp://192.168.0.1/nqn.2024-01.io.umpio:gateway\"]

SIGHUP, or umpio rpc config_reload, reads the file again and changes only what differs. All keys:
docs/operating.md";

/// Run the daemon
#[derive(Clone, Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct ServeArgs {
    /// What should be; without: nothing but a control socket
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,

    /// Read the config, say what is wrong with it, and end
    #[arg(long)]
    pub check: bool,

    /// Control socket, instead of the config's
    #[arg(long, value_name = "PATH")]
    pub socket: Option<PathBuf>,

    /// Where run-time settings are kept, instead of the config's
    #[arg(long, value_name = "DIR")]
    pub state_dir: Option<PathBuf>,

    /// Print one JSON object on stdout once it runs (with --check: once it is read)
    #[arg(long)]
    pub json: bool,
}
