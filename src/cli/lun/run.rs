//! What `umpio lun` asks and prints.

use std::process::ExitCode;

use serde_json::{Value, json};

use super::args::{LunArgs, LunCommand};
use crate::cli::error::{CliError, Exit};
use crate::cli::json;
use crate::cli::tables::{Table, text};
use crate::cli::units;

pub fn run(args: &LunArgs) -> Result<ExitCode, CliError> {
    let call = |method: &str, params: Value| args.socket.call(method, params);
    match &args.command {
        LunCommand::List => {
            let luns = call("lun_list", json!({}))?;
            match args.json {
                true => json::print(&json!({ "luns": luns })),
                false => print!("{}", list(&luns)),
            }
        }
        LunCommand::Show { name } => {
            let lun = call("lun_get", json!({ "lun": name }))?;
            match args.json {
                true => json::print(&lun),
                false => print!("{}", show(&lun)),
            }
        }
        LunCommand::Create {
            name,
            paths,
            policy,
        } => {
            let params = json!({ "name": name, "paths": paths, "policy": policy });
            let lun = call("lun_create", params)?;
            match args.json {
                true => json::print(&lun),
                false => println!("LUN {name} is open over {} paths", paths.len()),
            }
        }
        LunCommand::Close { name } => {
            call("lun_close", json!({ "lun": name }))?;
            match args.json {
                true => json::print(&json!({ "closed": name })),
                false => println!("LUN {name} is closed"),
            }
        }
    }
    Ok(Exit::Ok.into())
}

fn size(lun: &Value) -> String {
    lun["bytes"]
        .as_u64()
        .map_or_else(|| "-".to_owned(), units::short)
}

fn list(luns: &Value) -> String {
    let mut table = Table::new(&[
        "NAME", "DISK", "STATE", "SIZE", "POLICY", "PATHS", "IOS", "FAILED",
    ]);
    for lun in luns.as_array().into_iter().flatten() {
        table.row(vec![
            text(&lun["name"]),
            text(&lun["disk"]),
            text(&lun["state"]),
            size(lun),
            text(&lun["policy"]),
            format!("{}/{}", text(&lun["paths_up"]), text(&lun["paths_total"])),
            text(&lun["ios"]),
            text(&lun["failed"]),
        ]);
    }
    table.to_string()
}

fn show(lun: &Value) -> String {
    let mut out = String::new();
    let identity: Vec<String> = lun["identity"]
        .as_array()
        .into_iter()
        .flatten()
        .map(text)
        .collect();
    for (label, value) in [
        ("name", text(&lun["name"])),
        ("guid", text(&lun["guid"])),
        ("disk", text(&lun["disk"])),
        ("state", text(&lun["state"])),
        ("size", size(lun)),
        ("block size", text(&lun["block_size"])),
        ("identity", identity.join(" ")),
        (
            "policy",
            format!("{} ({})", text(&lun["policy"]), text(&lun["policy_source"])),
        ),
        ("requests", text(&lun["ios"])),
        ("failed", text(&lun["failed"])),
        ("retries", text(&lun["retries"])),
        ("parked", text(&lun["parked"])),
        ("fenced", text(&lun["fenced"])),
    ] {
        out.push_str(&format!("{label:<11} {value}\n"));
    }
    out.push('\n');
    out + &crate::cli::path::run::list(&lun["paths"])
}
