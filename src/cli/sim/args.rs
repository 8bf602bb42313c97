//! Arguments of `umpio sim`.

use clap::{Args, ValueEnum};

const EXAMPLES: &str = "\
Examples:
  umpio sim --seeds 1000          # seeds 1 to 1000, stops at the first that fails
  umpio sim --seed 4711           # that one again, with its story

The simulator runs the real data path in virtual time under seeded faults. A seed decides
everything, so a failing one is a complete bug report. Exit status: 0 all seeds clean,
1 could not run, 3 a seed failed.";

/// A switch.
#[derive(Copy, Clone, PartialEq, Eq, Debug, ValueEnum)]
pub enum Switch {
    On,
    Off,
}

/// Hunt for lost, stale or ghost writes in virtual time
#[derive(Clone, Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct SimArgs {
    /// First (or only) seed
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub seed: u64,

    /// How many seeds to run, counting up from --seed
    #[arg(long, value_name = "M", default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..))]
    pub seeds: u64,

    /// Test of the test: with the fence off, corruption must be found
    #[arg(
        long,
        value_enum,
        value_name = "SWITCH",
        default_value = "on",
        hide = true
    )]
    pub fence: Switch,

    /// Print one JSON object on stdout; progress goes to stderr
    #[arg(long)]
    pub json: bool,
}
