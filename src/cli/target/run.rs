//! `umpio target`: serve until interrupted.

use std::process::ExitCode;
use std::time::Duration;

use serde_json::json;

use super::args::TargetArgs;
use super::serve::{ServeSpec, Served};
use crate::cli::error::{CliError, Exit};
use crate::cli::json;
use crate::cli::stop::Stop;

/// How often it is looked whether a signal has come.
const LOOK: Duration = Duration::from_millis(50);

/// Serves. A signal is how a target ends, so that is success.
pub fn run(args: &TargetArgs) -> Result<ExitCode, CliError> {
    let mut stop = Stop::catch().map_err(|e| CliError::new("cannot catch signals").got(e))?;
    let served = Served::start(&ServeSpec {
        portals: args.listen.clone(),
        backing: args.backing.clone(),
        cpu: args.cpu,
    })?;
    if args.json {
        json::print(&json!({ "listening": served.urls, "backing": args.backing }));
    } else {
        for url in &served.urls {
            println!("{url}");
        }
        eprintln!("serving {}; stop with Ctrl-C", args.backing);
    }
    while !stop.asked() {
        std::thread::sleep(LOOK);
    }
    served.stop();
    Ok(Exit::Ok.into())
}
