//! `umpio target`: serve until interrupted.

use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use serde_json::json;

use super::args::{Backing, TargetArgs};
use super::serve::{ServeSpec, Served};
use crate::cli::error::{CliError, Exit};
use crate::cli::json;
use crate::cli::stop::Stop;
use crate::control::jsonrpc::{Server, ServerConfig};
use crate::control::target::TargetRpc;

/// How often it is looked whether a signal has come.
const LOOK: Duration = Duration::from_millis(50);

/// Serves. A signal is how a target ends, so that is success.
pub fn run(args: &TargetArgs) -> Result<ExitCode, CliError> {
    let mut stop = Stop::catch().map_err(|e| CliError::new("cannot catch signals").got(e))?;
    let lun = args.lun()?;
    let backing = match &args.backing {
        Backing::Local(url) => url.clone(),
        Backing::Lun(name) => format!("lun:{name}"),
    };
    let spec = ServeSpec {
        portals: args.listen.clone(),
        lun,
        cpu: args.cpu,
    };
    let served = Served::start_for(&spec, &args.chap()?)?;
    let rpc = match &args.rpc {
        Some(socket) => Some(serve_rpc(socket, &served)?),
        None => None,
    };
    if args.json {
        json::print(&json!({
            "listening": served.urls,
            "backing": backing,
            "rpc": args.rpc.as_ref().map(|p| p.display().to_string()),
        }));
    } else {
        for url in &served.urls {
            println!("{url}");
        }
        eprintln!("serving {backing}; stop with Ctrl-C");
    }
    while !stop.asked() {
        std::thread::sleep(LOOK);
    }
    // Whoever controls it goes first.
    drop(rpc);
    served.stop();
    Ok(Exit::Ok.into())
}

fn serve_rpc(socket: &Path, served: &Served) -> Result<Server, CliError> {
    let methods = Box::new(TargetRpc::new(served.handle().clone()));
    Server::start(&ServerConfig::new(socket), methods).map_err(|e| {
        CliError::new("cannot serve the control socket")
            .tried(socket.display().to_string())
            .got(e)
            .advice("name a file that does not exist yet, in a directory that can be written")
    })
}
