//! Asks, and prints what was told.

use std::process::ExitCode;

use serde_json::{Value, json};

use super::args::DiscoverArgs;
use super::ask;
use super::luns::{self, Asker, Group};
use super::patience::Patience;
use crate::cli::error::{CliError, Exit};
use crate::cli::json;
use crate::cli::units;
use crate::path::nvme_link::HostIdentity;
use crate::path::unit::Unit;
use crate::proto::iscsi::discovery::Target;
use crate::proto::iscsi::login::InitiatorConfig;

/// Bytes nobody can foretell, for CHAP.
fn entropy() -> [u8; 32] {
    let mut out = [0; 32];
    for half in out.chunks_mut(16) {
        half.copy_from_slice(uuid::Uuid::new_v4().as_bytes());
    }
    out
}

pub fn run(args: &DiscoverArgs) -> Result<ExitCode, CliError> {
    let random = entropy();
    // A random ISID (RFC 7143, 11.12.5, type 10b): no session of anybody is replaced by a look.
    let isid = [0x80, random[0], random[1], random[2], random[3], random[4]];
    let mut config = InitiatorConfig::new(&args.initiator_name, None, isid);
    config.chap = args.url.credentials();
    let portal = &args.url.portal;
    let patience = Patience::new(args.timeout, args.deadline);
    let found = ask::targets(portal, &config, entropy, &patience).map_err(|e| {
        CliError::new("cannot discover the targets of the portal")
            .tried(format!("SendTargets=All at {}", portal.value()))
            .got(e)
            .advice("check address and port, and with CHAP the user and the secret: iscsi://USER%SECRET@HOST:PORT")
    })?;
    let asker = Asker {
        host: HostIdentity {
            nqn: String::new(),
            id: [0; 16],
            initiator_name: args.initiator_name.clone(),
            reactor: 0,
        },
        chap: args.url.chap.clone(),
        random: u64::from_be_bytes(random[8..16].try_into().unwrap_or_default()),
        patience,
    };
    let found: Vec<Found> = found
        .into_iter()
        .map(|target| Found {
            groups: (!args.no_luns).then(|| luns::groups(&target, &asker)),
            target,
        })
        .collect();
    if args.json {
        json::print(&json!({ "targets": found.iter().map(value).collect::<Vec<_>>() }));
    } else {
        print!("{}", table(&found));
    }
    let told = |f: &Found| {
        let mut all = f.groups.iter().flatten();
        f.groups.is_none() || all.any(|g| g.units.is_ok())
    };
    if found.iter().all(told) {
        Ok(Exit::Ok.into())
    } else {
        Ok(Exit::Failed.into())
    }
}

/// A target, and what its portal groups lead to where that was asked.
struct Found {
    target: Target,
    groups: Option<Vec<Group>>,
}

fn value(found: &Found) -> Value {
    let t = &found.target;
    let portals: Vec<Value> = t
        .portals
        .iter()
        .map(|p| json!({ "host": p.host, "port": p.port, "group": p.group }))
        .collect();
    let mut out = json!({ "name": t.name, "alias": t.alias, "portals": portals });
    if let Some(groups) = &found.groups {
        out["groups"] = groups.iter().map(group).collect();
    }
    out
}

fn group(g: &Group) -> Value {
    let via = json!({ "host": g.portal.host, "port": g.portal.port });
    match &g.units {
        Ok(units) => json!({
            "group": g.group, "portal": via, "luns": units.iter().map(lun).collect::<Vec<_>>(), "error": null,
        }),
        Err(why) => json!({ "group": g.group, "portal": via, "luns": null, "error": why }),
    }
}

fn lun(u: &Unit) -> Value {
    json!({
        "lun": u.nsid,
        "identity": u.identity.to_string(),
        "block_size": u.block_size,
        "blocks": u.blocks,
        "bytes": u.blocks.saturating_mul(u64::from(u.block_size)),
        "asymmetric": u.asymmetric,
        "access": u.access.name(),
        "vendor": u.hardware.vendor,
        "product": u.hardware.product,
        "revision": u.hardware.revision,
    })
}

/// What a peer says goes to a terminal without what could steer it.
fn plain(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).collect()
}

fn table(found: &[Found]) -> String {
    if found.is_empty() {
        return "no targets for this initiator\n".to_owned();
    }
    let mut out = String::new();
    for f in found {
        let t = &f.target;
        out.push_str(&plain(&t.name));
        if let Some(alias) = &t.alias {
            out.push_str(&format!("  ({})", plain(alias)));
        }
        out.push('\n');
        for p in &t.portals {
            let value = p.value();
            let place = value
                .rsplit_once(',')
                .map_or(&value[..], |(place, _)| place);
            out.push_str(&format!("  {place}  group {}\n", p.group));
        }
        for g in f.groups.iter().flatten() {
            match &g.units {
                Ok(units) if units.is_empty() => {
                    out.push_str(&format!("  group {}: no LUNs\n", g.group));
                }
                Ok(units) => {
                    for u in units {
                        out.push_str(&line(g.group, u));
                    }
                }
                Err(why) => out.push_str(&format!(
                    "  group {}: LUNs not known: {}\n",
                    g.group,
                    plain(why)
                )),
            }
        }
    }
    out
}

fn line(group: u16, u: &Unit) -> String {
    // A path at rest does not tell.
    let size = match u.block_size {
        0 => "size not told".to_owned(),
        n => {
            let bytes = u.blocks.saturating_mul(u64::from(n));
            format!("{}  {n} B blocks", units::short(bytes))
        }
    };
    let access = if u.asymmetric {
        u.access.name()
    } else {
        "symmetric"
    };
    let h = &u.hardware;
    let device = plain(&format!("{} {} {}", h.vendor, h.product, h.revision));
    format!(
        "  group {group}: LUN {}  {size}  {access}  {}  {device}\n",
        u.nsid, u.identity
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::iscsi::discovery::Portal;

    #[test]
    fn the_table_names_portals_and_groups() {
        let t = Target {
            name: "iqn.a\u{1b}[2J".to_owned(),
            alias: Some("first".to_owned()),
            portals: vec![Portal::from_value("[::1]:3261,2").expect("valid")],
        };
        let f = Found {
            groups: Some(vec![Group {
                group: 2,
                portal: t.portals[0].clone(),
                units: Err("no\u{7}".to_owned()),
            }]),
            target: t,
        };
        assert_eq!(
            table(&[f]),
            "iqn.a[2J  (first)\n  [::1]:3261  group 2\n  group 2: LUNs not known: no\n"
        );
        assert!(table(&[]).contains("no targets"));
    }
}
