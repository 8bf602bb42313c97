//! What `umpio path` asks and prints.

use std::process::ExitCode;

use serde_json::{Value, json};

use super::args::{PathArgs, PathCommand};
use crate::cli::error::{CliError, Exit};
use crate::cli::json;
use crate::cli::tables::{Table, text};

pub fn run(args: &PathArgs) -> Result<ExitCode, CliError> {
    let call = |method: &str, params: Value| args.socket.call(method, params);
    match &args.command {
        PathCommand::List { lun } => {
            let paths = call("path_list", json!({ "lun": lun }))?;
            match args.json {
                true => json::print(&json!({ "paths": paths })),
                false => print!("{}", list(&paths)),
            }
        }
        PathCommand::Add { lun, url, weight } => {
            call(
                "path_add",
                json!({ "lun": lun, "url": url, "weight": weight }),
            )?;
            match args.json {
                true => json::print(&json!({ "lun": lun, "added": url })),
                false => println!("added to LUN {lun}: {url}"),
            }
        }
        PathCommand::Remove { lun, path } => {
            call("path_remove", json!({ "lun": lun, "path": path }))?;
            match args.json {
                true => json::print(&json!({ "lun": lun, "removed": path })),
                false => println!("taken out of LUN {lun}: {path}"),
            }
        }
    }
    Ok(Exit::Ok.into())
}

/// Paths as a table, with the reasons of those that are not there.
pub fn list(paths: &Value) -> String {
    let head = [
        "LUN", "NEXUS", "STATE", "ACCESS", "PLACED", "WEIGHT", "IOS", "ERRORS", "URL",
    ];
    let mut table = Table::new(&head);
    let mut reasons = String::new();
    for p in paths.as_array().into_iter().flatten() {
        let preferred = if p["preferred"] == true { "*" } else { "" };
        table.row(vec![
            text(&p["lun"]),
            text(&p["nexus_id"]),
            text(&p["state"]),
            text(&p["access"]),
            format!("{}{preferred}", text(&p["placed"])),
            text(&p["weight"]),
            text(&p["ios"]),
            text(&p["errors"]),
            text(&p["url"]),
        ]);
        if let Some(why) = p["reason"].as_str() {
            reasons.push_str(&format!("{}: {why}\n", text(&p["nexus_id"])));
        }
    }
    format!("{table}{reasons}")
}
