//! Arguments of `umpio rpc`.

use clap::Args;

use crate::cli::client::SocketArg;

const EXAMPLES: &str = "\
Examples:
  umpio rpc lun_list
  umpio rpc policy_set '{\"lun\": \"a\", \"policy\": \"failover\"}'
  umpio rpc rpc.discover            # all methods, as an OpenRPC document
  umpio rpc target_status --socket /run/target.sock";

/// Call a method of the control socket and print what it answers
#[derive(Clone, Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct RpcArgs {
    pub method: String,
    /// Parameters, as a JSON object
    #[arg(value_name = "JSON")]
    pub params: Option<String>,
    /// Print rpc.discover as the page docs/rpc.md, from this program's own table
    #[arg(long)]
    pub markdown: bool,
    #[command(flatten)]
    pub socket: SocketArg,
    /// Print one JSON object on stdout: the answer as `result`
    #[arg(long)]
    pub json: bool,
}
