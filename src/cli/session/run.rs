//! What `umpio session` asks and prints.

use std::process::ExitCode;

use serde_json::{Value, json};

use super::args::{SessionArgs, SessionCommand};
use crate::cli::error::{CliError, Exit};
use crate::cli::json;
use crate::cli::tables::{Table, text};
use crate::control::state::parse_id;

/// Policies by number, as they are written here.
const POLICIES: [&str; 6] = [
    "failover",
    "round-robin",
    "round-robin-with-subset",
    "least-queue-depth",
    "weighted-paths",
    "vendor-specific",
];

pub fn run(args: &SessionArgs) -> Result<ExitCode, CliError> {
    let list = || args.socket.call("msiscsi_query_lb_policy", json!({}));
    match &args.command {
        SessionCommand::List => {
            let all = list()?;
            match args.json {
                true => json::print(&json!({ "sessions": all["sessions"] })),
                false => print!("{}", show(&all["sessions"])),
            }
            Ok(Exit::Ok.into())
        }
        SessionCommand::Policy {
            session,
            policy,
            connections,
        } => {
            let all = list()?;
            let paths = wanted(&all["sessions"], session, connections)?;
            let params =
                json!({ "session_id": session, "policy": number(policy)?, "paths": paths });
            ask(
                args,
                "msiscsi_lb_operations_set_load_balance_policy",
                params,
            )
        }
        SessionCommand::Add {
            session,
            portal,
            source,
            weight,
            standby,
        } => {
            let params = json!({
                "session_id": session, "portal": portal, "source": source,
                "weight": weight, "primary": !standby,
            });
            ask(args, "msiscsi_add_connection", params)
        }
        SessionCommand::Remove {
            session,
            connection,
        } => {
            let params = json!({ "session_id": session, "connection_id": connection });
            ask(args, "msiscsi_remove_connection", params)
        }
    }
}

/// Asks for a change; a status that is not success is a failure.
fn ask(args: &SessionArgs, method: &str, params: Value) -> Result<ExitCode, CliError> {
    let done = args.socket.call(method, params)?;
    if done["status"] != 0 {
        let status = text(&done["name"]);
        return Err(CliError::new(format!("the daemon refuses it: {status}"))
            .advice("umpio session list shows sessions and connections"));
    }
    match args.json {
        true => json::print(&done),
        false => match done["connection_id"].as_str() {
            Some(id) => println!("added: connection {id}"),
            None => println!("done"),
        },
    }
    Ok(Exit::Ok.into())
}

fn number(policy: &str) -> Result<u32, CliError> {
    let named = POLICIES.iter().position(|p| *p == policy);
    let number = policy.parse().ok().filter(|n| (1..=6).contains(n));
    number.or(named.map(|at| at as u32 + 1)).ok_or_else(|| {
        CliError::usage("no policy of connections")
            .tried(policy)
            .advice(POLICIES.join(", "))
    })
}

/// Ids are numbers: leading zeros and the case of their digits do not matter.
fn same_id(told: &Value, asked: &str) -> bool {
    let told = told.as_str().and_then(parse_id);
    told.is_some() && told == parse_id(asked)
}

/// Every connection of a session, as it is or as it is to be.
fn wanted(all: &Value, session: &str, changes: &[String]) -> Result<Vec<Value>, CliError> {
    let same = |s: &&Value| same_id(&s["session_id"], session);
    let found = all.as_array().and_then(|l| l.iter().find(same));
    let found = found.ok_or_else(|| {
        CliError::usage("there is no such session")
            .tried(session)
            .advice("umpio session list")
    })?;
    let mut paths: Vec<Value> = found["paths"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|p| {
            json!({ "connection_id": p["connection_id"], "primary": p["primary"], "weight": p["weight"] })
        })
        .collect();
    for change in changes {
        let wrong = || {
            CliError::usage("a connection goes with a weight, primary or standby")
                .tried(change.clone())
                .advice("--connection 0x00a1b2c3d4e5f607=10")
        };
        let (id, value) = change.split_once('=').ok_or_else(wrong)?;
        let path = paths.iter_mut().find(|p| same_id(&p["connection_id"], id));
        let path = path.ok_or_else(|| {
            CliError::usage("the session has no such connection")
                .tried(id)
                .advice("umpio session list")
        })?;
        match (value, value.parse::<u32>()) {
            ("primary", _) => path["primary"] = json!(true),
            ("standby", _) => path["primary"] = json!(false),
            (_, Ok(weight)) => path["weight"] = json!(weight),
            _ => return Err(wrong()),
        }
    }
    Ok(paths)
}

/// Sessions as a table, a line for each connection.
fn show(sessions: &Value) -> String {
    let head = [
        "SESSION",
        "TARGET",
        "POLICY",
        "CONNECTION",
        "STATE",
        "PRIMARY",
        "WEIGHT",
        "PORTAL",
    ];
    let mut table = Table::new(&head);
    for s in sessions.as_array().into_iter().flatten() {
        let number = s["policy"].as_u64().unwrap_or(0) as usize;
        let policy = POLICIES.get(number.wrapping_sub(1)).unwrap_or(&"unknown");
        for c in s["paths"].as_array().into_iter().flatten() {
            let state = match c["connection_status"].as_u64() {
                Some(1) => "connected",
                Some(2) => "disconnected",
                _ => "reconnecting",
            };
            table.row(vec![
                text(&s["session_id"]),
                text(&s["target_name"]),
                (*policy).to_owned(),
                text(&c["connection_id"]),
                state.to_owned(),
                text(&c["primary"]),
                text(&c["weight"]),
                text(&c["portal"]),
            ]);
        }
    }
    table.to_string()
}
