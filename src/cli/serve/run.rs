//! The daemon from its start to its end.

use std::process::ExitCode;

use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use serde_json::json;
use tracing_subscriber::EnvFilter;

use super::args::ServeArgs;
use crate::cli::error::{CliError, Exit};
use crate::cli::json;
use crate::control::config::{Config, LogConfig, Pinned};
use crate::control::daemon::notify::{notify, reloading};
use crate::control::daemon::{Control, Wish};
use crate::control::jsonrpc::{Server, ServerConfig};
use crate::control::metrics::MetricsServer;
use crate::control::registry::{Registry, StartError};
use crate::control::rpc::DaemonRpc;
use crate::control::state::StateError;

pub fn run(args: &ServeArgs) -> Result<ExitCode, CliError> {
    let mut config = match &args.config {
        None => Config::default(),
        Some(path) => Config::load(path).map_err(|e| {
            CliError::new("the config is wrong")
                .tried(path.display().to_string())
                .got(e)
        })?,
    };
    config.pin(Pinned {
        socket: args.socket.clone(),
        state_dir: args.state_dir.clone(),
    });
    if args.check {
        return Ok(checked(args, &config));
    }
    // Threads inherit the mask, so this comes first.
    let signals = catch().map_err(|e| CliError::new("cannot catch signals").got(e))?;
    log_as(&config.log);
    serve(args, config, &signals)
}

fn checked(args: &ServeArgs, config: &Config) -> ExitCode {
    if args.json {
        json::print(&json!({
            "valid": true,
            "luns": config.luns.len(),
            "served": config.serves.len(),
        }));
    } else {
        println!(
            "the config is valid: {} LUNs, {} of them served",
            config.luns.len(),
            config.serves.len()
        );
    }
    Exit::Ok.into()
}

fn serve(args: &ServeArgs, config: Config, signals: &SignalFd) -> Result<ExitCode, CliError> {
    let (socket, metrics) = (config.socket.clone(), config.metrics);
    let rpc = ServerConfig {
        connections: config.connections,
        calls_per_second: config.calls_per_second,
        ..ServerConfig::new(&socket)
    };
    let registry = Registry::start(config).map_err(not_started)?;
    let mut control = Control::new(registry);
    let started = Server::start(&rpc, Box::new(DaemonRpc::new(control.handle()))).map_err(|e| {
        CliError::new("cannot serve the control socket")
            .tried(socket.display().to_string())
            .got(e)
            .advice("end the other daemon, or name another socket: --socket, or [rpc] socket")
    });
    let server = match started {
        Ok(server) => server,
        Err(e) => {
            control.stop();
            return Err(e);
        }
    };
    let metrics = match metrics {
        None => None,
        Some(at) => match MetricsServer::start(at, control.handle()) {
            Ok(server) => Some(server),
            Err(e) => {
                control.refuse();
                drop(server);
                control.stop();
                return Err(CliError::new("cannot serve metrics")
                    .tried(at.to_string())
                    .got(e)
                    .advice("name a free address under [metrics] listen"));
            }
        },
    };
    if args.json {
        json::print(&json!({
            "socket": socket.display().to_string(),
            "metrics": metrics.as_ref().map(|m| m.address().to_string()),
            "pid": std::process::id(),
        }));
    }
    notify("READY=1");
    let wish = || match signals.read_signal() {
        Ok(Some(s)) if s.ssi_signo == Signal::SIGHUP as u32 => Some(Wish::Reload),
        Ok(Some(_)) => Some(Wish::Stop),
        _ => None,
    };
    control.run(wish, |begins| match begins {
        true => notify(&reloading()),
        false => notify("READY=1"),
    });
    notify("STOPPING=1");
    // Whoever gives commands goes first.
    drop(server);
    drop(metrics);
    control.stop();
    Ok(Exit::Ok.into())
}

fn not_started(e: StartError) -> CliError {
    let advice = match &e {
        StartError::State(StateError::InUse { .. }) => {
            "end that daemon, or name another --state-dir"
        }
        StartError::State(StateError::Io { .. }) => {
            "name a directory that can be written: --state-dir, or [state] dir"
        }
        StartError::State(_) => "",
        StartError::Reactor(_) => "are there descriptors and threads left for this user?",
    };
    let error = CliError::new("cannot start the daemon").got(&e);
    match advice {
        "" => error,
        advice => error.advice(advice),
    }
}

fn catch() -> std::io::Result<SignalFd> {
    let mut set = SigSet::empty();
    for signal in [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP] {
        set.add(signal);
    }
    set.thread_block()?;
    Ok(SignalFd::with_flags(
        &set,
        SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC,
    )?)
}

fn log_as(config: &LogConfig) {
    let filter =
        EnvFilter::try_from_env("UMPIO_LOG").unwrap_or_else(|_| EnvFilter::new(&config.level));
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_target(false);
    // A logger that is there already (a test's) stays.
    let _ = match config.json {
        true => builder.json().flatten_event(true).try_init(),
        false => builder.with_ansi(false).try_init(),
    };
}
