//! Arguments of `umpio events`.

use clap::Args;

use crate::cli::client::SocketArg;

const EXAMPLES: &str = "\
Examples:
  umpio events                 # the last 20
  umpio events --max 100 --json
  umpio events --after 512     # those after number 512
  umpio events --follow        # and what comes, until Ctrl-C";

/// What has happened: paths lost and back, policies changed, config read again
#[derive(Clone, Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct EventsArgs {
    /// Only events with a higher number
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub after: u64,
    /// How many at most
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u64).range(1..=4096))]
    pub max: u64,
    /// Go on until interrupted; with --json one object a line
    #[arg(long)]
    pub follow: bool,
    #[command(flatten)]
    pub socket: SocketArg,
    /// Print one JSON object on stdout
    #[arg(long)]
    pub json: bool,
}
