//! `umpio policy replay`: a trace in, the same trace with umpio's answers out.

use std::fs::File;
use std::io::{self, BufRead, BufReader, BufWriter, Write};
use std::path::Path;
use std::process::ExitCode;

use serde_json::{Map, Value, json};

use super::args::{GetArgs, PolicyArgs, PolicyCommand, ReplayArgs, SetArgs};
use crate::cli::error::{CliError, Exit};
use crate::cli::json;
use crate::cli::tables::{Table, text};
use crate::cli::units::count;
use crate::lun::policy::replay::{ReplayError, replay};

pub fn run(args: &PolicyArgs) -> Result<ExitCode, CliError> {
    match &args.command {
        PolicyCommand::Get(args) => get(args),
        PolicyCommand::Set(args) => set(args),
        PolicyCommand::Replay(args) => replay_file(args),
    }
}

/// Whether failures are told as JSON as well.
pub fn is_json(args: &PolicyArgs) -> bool {
    match &args.command {
        PolicyCommand::Get(args) => args.json,
        PolicyCommand::Set(args) => args.json,
        PolicyCommand::Replay(_) => false,
    }
}

fn get(args: &GetArgs) -> Result<ExitCode, CliError> {
    let policy = args.socket.call("policy_get", json!({ "lun": args.lun }))?;
    match args.json {
        true => json::print(&policy),
        false => print!("{}", show(&policy)),
    }
    Ok(Exit::Ok.into())
}

fn set(args: &SetArgs) -> Result<ExitCode, CliError> {
    let mut paths = Vec::new();
    for item in &args.paths {
        let Some((id, value)) = item.split_once('=') else {
            return Err(CliError::usage("a path goes with a weight or a state")
                .tried(item.clone())
                .advice("--path 0x00a1b2c3d4e5f607=10"));
        };
        let mut path = Map::new();
        path.insert("path".to_owned(), json!(id));
        match value.parse::<u32>() {
            Ok(weight) => path.insert("weight".to_owned(), json!(weight)),
            Err(_) => path.insert("state".to_owned(), json!(value)),
        };
        paths.push(path);
    }
    let mut params = json!({ "lun": args.lun, "policy": args.policy, "paths": paths });
    if let Some(preferred) = &args.preferred {
        params["preferred"] = json!(preferred);
    }
    let policy = args.socket.call("policy_set", params)?;
    match args.json {
        true => json::print(&policy),
        false => print!("{}", show(&policy)),
    }
    Ok(Exit::Ok.into())
}

fn show(policy: &Value) -> String {
    let supported = policy["supported"]
        .as_array()
        .into_iter()
        .flatten()
        .map(text);
    let supported: Vec<String> = supported.collect();
    let mut table = Table::new(&["NEXUS", "PLACED", "WISHED", "WEIGHT", "ACCESS", "URL"]);
    for p in policy["paths"].as_array().into_iter().flatten() {
        let preferred = if p["preferred"] == true { "*" } else { "" };
        table.row(vec![
            text(&p["nexus_id"]),
            format!("{}{preferred}", text(&p["placed"])),
            text(&p["wished"]),
            text(&p["weight"]),
            text(&p["access"]),
            text(&p["url"]),
        ]);
    }
    format!(
        "{} ({}), {}\nsupported: {}\n{table}",
        text(&policy["policy"]),
        text(&policy["display_name"]),
        text(&policy["source"]),
        supported.join(" ")
    )
}

fn replay_file(args: &ReplayArgs) -> Result<ExitCode, CliError> {
    let name = args.file.display().to_string();
    let cannot = |e: &dyn std::fmt::Display| {
        CliError::new("cannot replay the trace")
            .tried(name.clone())
            .got(e)
    };
    let input: Box<dyn BufRead> = if args.file == Path::new("-") {
        Box::new(io::stdin().lock())
    } else {
        let file = File::open(&args.file).map_err(|e| cannot(&e))?;
        Box::new(BufReader::new(file))
    };
    let mut out = BufWriter::new(io::stdout().lock());
    let result = replay(input.lines(), &mut out, args.check);
    // What was answered before the end is worth seeing, whatever the end was.
    let flushed = out.flush();
    match result.and_then(|s| flushed.map(|()| s).map_err(ReplayError::from)) {
        Ok(summary) => {
            let checked = match args.check {
                true => format!(", {} answers agree", count(summary.checked)),
                false => String::new(),
            };
            eprintln!("{} events replayed{checked}", count(summary.events));
            Ok(Exit::Ok.into())
        }
        Err(e @ ReplayError::Mismatch { .. }) => {
            let mut error = CliError::new("umpio answers otherwise than the trace")
                .tried(name)
                .got(e)
                .advice("everything behind the first difference is about another state of affairs");
            error.exit = Exit::BadData;
            Err(error)
        }
        // Whoever read the answers has seen enough.
        Err(ReplayError::Io(e)) if e.kind() == io::ErrorKind::BrokenPipe => Ok(Exit::Ok.into()),
        Err(e) => Err(cannot(&e)),
    }
}
