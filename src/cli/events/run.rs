//! What `umpio events` asks and prints.

use std::process::ExitCode;
use std::time::Duration;

use serde_json::{Value, json};

use super::args::EventsArgs;
use crate::cli::error::{CliError, Exit};
use crate::cli::json;
use crate::cli::stop::Stop;
use crate::cli::tables::text;

/// How often it is asked for more.
const LOOK: Duration = Duration::from_millis(200);

pub fn run(args: &EventsArgs) -> Result<ExitCode, CliError> {
    let mut stop = match args.follow {
        true => Some(Stop::catch().map_err(|e| CliError::new("cannot catch signals").got(e))?),
        false => None,
    };
    let mut after = args.after;
    loop {
        let params = json!({ "after": after, "max": args.max });
        let got = args.socket.call("events_get", params)?;
        let events = got["events"].as_array().cloned().unwrap_or_default();
        if args.json && !args.follow {
            json::print(&got);
        }
        for e in &events {
            match (args.json, args.follow) {
                (true, true) => json::print(e),
                (true, false) => {}
                (false, _) => println!("{}", line(e)),
            }
        }
        let Some(stop) = &mut stop else { break };
        after = events
            .last()
            .and_then(|e| e["seq"].as_u64())
            .unwrap_or(after);
        if events.is_empty() && after == 0 {
            after = got["last"].as_u64().unwrap_or(0);
        }
        std::thread::sleep(LOOK);
        if stop.asked() {
            break;
        }
    }
    Ok(Exit::Ok.into())
}

fn line(e: &Value) -> String {
    let ns = e["time_ns"].as_u64().unwrap_or(0);
    let of_day = ns / 1_000_000 % 86_400_000;
    let (h, m, s, ms) = (
        of_day / 3_600_000,
        of_day / 60_000 % 60,
        of_day / 1_000 % 60,
        of_day % 1_000,
    );
    let lun = e["lun"]
        .as_str()
        .map_or_else(String::new, |l| format!(" LUN {l}"));
    let nexus = e["nexus_id"]
        .as_str()
        .map_or_else(String::new, |n| format!(" {n}"));
    format!(
        "{:>6} {h:02}:{m:02}:{s:02}.{ms:03}Z {}{lun}{nexus}: {}",
        text(&e["seq"]),
        text(&e["kind"]),
        text(&e["text"])
    )
}
