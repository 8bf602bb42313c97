//! Asks, and prints what was told.

use std::process::ExitCode;

use serde_json::{Value, json};

use super::args::DiscoverArgs;
use super::ask;
use crate::cli::error::{CliError, Exit};
use crate::cli::json;
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
    config.chap.clone_from(&args.url.chap);
    let portal = &args.url.portal;
    let found = ask::targets(portal, &config, entropy, args.timeout).map_err(|e| {
        CliError::new("cannot discover the targets of the portal")
            .tried(format!("SendTargets=All at {}", portal.value()))
            .got(e)
            .advice("check address and port, and with CHAP the user and the secret: iscsi://USER%SECRET@HOST:PORT")
    })?;
    if args.json {
        json::print(&json!({ "targets": found.iter().map(value).collect::<Vec<_>>() }));
    } else {
        print!("{}", table(&found));
    }
    Ok(Exit::Ok.into())
}

fn value(t: &Target) -> Value {
    let portals: Vec<Value> = t
        .portals
        .iter()
        .map(|p| json!({ "host": p.host, "port": p.port, "group": p.group }))
        .collect();
    json!({ "name": t.name, "alias": t.alias, "portals": portals })
}

/// What a peer says goes to a terminal without what could steer it.
fn plain(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).collect()
}

fn table(found: &[Target]) -> String {
    if found.is_empty() {
        return "no targets for this initiator\n".to_owned();
    }
    let mut out = String::new();
    for t in found {
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
    }
    out
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
        assert_eq!(table(&[t]), "iqn.a[2J  (first)\n  [::1]:3261  group 2\n");
        assert!(table(&[]).contains("no targets"));
    }
}
