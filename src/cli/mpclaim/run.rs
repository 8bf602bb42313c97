//! What `umpio mpclaim` asks and prints.

use std::process::ExitCode;

use serde_json::{Value, json};

use super::args::{MpclaimArgs, Wanted};
use crate::cli::error::{CliError, Exit};
use crate::cli::json;
use crate::cli::tables::text;
use crate::lun::policy::Policy;

const RULE: &str =
    "-------------------------------------------------------------------------------";

pub fn run(args: &MpclaimArgs) -> Result<ExitCode, CliError> {
    let wanted = Wanted::parse(&args.words).map_err(|e| {
        CliError::usage("mpclaim does not know these arguments")
            .tried(args.words.join(" "))
            .got(e)
    })?;
    let call = |method: &str, params: Value| args.socket.call(method, params);
    let answer = match wanted {
        Wanted::ShowDisks => {
            let luns = call("lun_list", json!({}))?;
            if !args.json {
                print!("{}", disks(&luns));
            }
            json!({ "disks": luns })
        }
        Wanted::ShowDisk(disk) => {
            let lun = find(&call("lun_list", json!({}))?, disk)?;
            let lun = call("lun_get", json!({ "lun": lun }))?;
            if !args.json {
                print!("{}", one_disk(&lun));
            }
            lun
        }
        Wanted::ShowDefault => {
            let defaults = call("defaults_get", json!({}))?;
            if !args.json {
                println!("{}", default_line(&defaults));
            }
            defaults
        }
        Wanted::SetDisk {
            disk,
            policy,
            paths,
        } => {
            let lun = find(&call("lun_list", json!({}))?, disk)?;
            let set = call("policy_set", set_params(args, &lun, policy, &paths)?)?;
            if !args.json {
                println!("MPIO Disk{disk}: {}", text(&set["display_name"]));
            }
            set
        }
        Wanted::SetDefault(policy) => {
            let set = call("defaults_set", json!({ "policy": policy }))?;
            if !args.json {
                println!("{}", default_line(&set));
            }
            set
        }
    };
    if args.json {
        json::print(&answer);
    }
    Ok(Exit::Ok.into())
}

/// With paths named: those are active, the others wait.
fn set_params(
    args: &MpclaimArgs,
    lun: &str,
    policy: u64,
    paths: &[u64],
) -> Result<Value, CliError> {
    let mut params = json!({ "lun": lun, "policy": policy });
    if !paths.is_empty() {
        let all = args.socket.call("path_list", json!({ "lun": lun }))?;
        let ids: Vec<String> = paths.iter().map(|p| json::id(*p)).collect();
        let known: Vec<String> = all
            .as_array()
            .into_iter()
            .flatten()
            .map(|p| text(&p["nexus_id"]))
            .collect();
        if let Some(strange) = ids.iter().find(|id| !known.contains(id)) {
            return Err(CliError::new("the disk has no such path")
                .tried(strange.clone())
                .got(format!("its paths are {}", known.join(", "))));
        }
        let state = |id: &String| match ids.contains(id) {
            true => "active_optimized",
            false => "standby",
        };
        let wishes: Vec<Value> = known
            .iter()
            .map(|id| json!({ "path": id, "state": state(id) }))
            .collect();
        params["paths"] = json!(wishes);
    }
    Ok(params)
}

/// Name of the LUN of a disk number.
fn find(luns: &Value, disk: u64) -> Result<String, CliError> {
    let hit = luns
        .as_array()
        .into_iter()
        .flatten()
        .find(|l| l["disk"] == disk);
    hit.map(|l| text(&l["name"])).ok_or_else(|| {
        CliError::new(format!("there is no MPIO Disk{disk}"))
            .advice("umpio mpclaim -s -d lists them")
    })
}

fn short(policy: &Value) -> &'static str {
    let n = policy.as_u64().and_then(|n| u32::try_from(n).ok());
    n.and_then(Policy::from_number)
        .map_or("?", Policy::abbreviation)
}

fn long(policy: &Value) -> &'static str {
    let n = policy.as_u64().and_then(|n| u32::try_from(n).ok());
    n.and_then(Policy::from_number)
        .map_or("Unknown", Policy::display_name)
}

fn disks(luns: &Value) -> String {
    let mut out = format!("MPIO Disk    System Disk  LB Policy    DSM Name\n{RULE}\n");
    for lun in luns.as_array().into_iter().flatten() {
        let disk = format!("MPIO Disk{}", text(&lun["disk"]));
        let policy = short(&lun["policy_number"]);
        out.push_str(&format!(
            "{disk:<12} {:<12} {policy:<12} umpio DSM\n",
            text(&lun["name"])
        ));
    }
    out
}

fn one_disk(lun: &Value) -> String {
    let paths = lun["paths"].as_array().cloned().unwrap_or_default();
    let access = match (lun["symmetric"] == true, lun["alua"].as_str()) {
        (true, _) => "Symmetric Access",
        (false, Some("implicit")) => "Implicit Only",
        (false, Some("explicit")) => "Explicit Only",
        (false, _) => "Implicit and Explicit",
    };
    let supported: Vec<&str> = lun["supported_policies"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|p| Policy::parse(p.as_str()?))
        .map(Policy::abbreviation)
        .collect();
    let identity = lun["identity"][0].as_str().unwrap_or("-");
    let serial = identity.split_once(':').map_or(identity, |(_, id)| id);
    let mut out = format!(
        "MPIO Disk{}: {:02} Paths, {}, {access}\n    Controlling DSM: umpio DSM\n    SN: {}\n    \
         Supported Load Balance Policies: {}\n\n    Path ID          State              SCSI Address      Weight\n    {}\n",
        text(&lun["disk"]),
        paths.len(),
        long(&lun["policy_number"]),
        serial.replace('-', "").to_ascii_uppercase(),
        supported.join(" "),
        &RULE[..75],
    );
    for (n, p) in paths.iter().enumerate() {
        let id = text(&p["nexus_id"]);
        let id = id.trim_start_matches("0x").to_ascii_uppercase();
        let state = match p["joined"] == true {
            true => spaced(&text(&p["placed"])),
            false => "Failed".to_owned(),
        };
        let preferred = if p["preferred"] == true {
            "  Preferred"
        } else {
            ""
        };
        out.push_str(&format!(
            "    {id:<16} {state:<18} {n:03}|000|000|000   {}{preferred}\n",
            text(&p["weight"])
        ));
        if lun["alua"] != "none" {
            out.push_str(&format!(
                "    * TPG_State : {}  , TPG_Id: {}\n",
                spaced(&text(&p["access"])),
                text(&p["tpg"]),
            ));
        }
    }
    out
}

/// States as Windows writes them.
fn spaced(state: &str) -> String {
    match state {
        "active_optimized" | "optimized" => "Active/Optimized",
        "active_unoptimized" | "non-optimized" | "non_optimized" => "Active/Unoptimized",
        "standby" => "Standby",
        "unavailable" => "Unavailable",
        "transitioning" => "Transitioning",
        other => other,
    }
    .to_owned()
}

fn default_line(defaults: &Value) -> String {
    let name = defaults["policy"].as_str().and_then(Policy::parse);
    let name = name.map_or("N/A", Policy::display_name);
    format!("MSDSM-wide Load Balance Policy: {name}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_disk_is_shown_as_windows_shows_it() {
        let lun = json!({
            "disk": 0, "policy_number": 2, "symmetric": true, "alua": "none",
            "supported_policies": ["failover", "round-robin"],
            "identity": ["uuid:67e55044-10b1-426f-9247-bb680e5fe0c8"],
            "paths": [{ "nexus_id": "0x0000000077050007", "joined": true,
                        "placed": "active_optimized", "weight": 0 }],
        });
        let want = "\
MPIO Disk0: 01 Paths, Round Robin, Symmetric Access
    Controlling DSM: umpio DSM
    SN: 67E5504410B1426F9247BB680E5FE0C8
    Supported Load Balance Policies: FOO RR

    Path ID          State              SCSI Address      Weight
    ---------------------------------------------------------------------------
    0000000077050007 Active/Optimized   000|000|000|000   0
";
        assert_eq!(one_disk(&lun), want);
        let list = disks(&json!([{ "disk": 0, "name": "a", "policy_number": 4 }]));
        assert!(
            list.contains("MPIO Disk0   a            LQD          umpio DSM"),
            "{list}"
        );
        assert_eq!(
            default_line(&json!({ "policy": "failover" })),
            "MSDSM-wide Load Balance Policy: Fail Over Only"
        );
    }
}
