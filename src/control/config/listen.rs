//! Portal URLs of served LUNs: `nvme-tcp://HOST[:PORT]/NQN` and `iscsi://HOST[:PORT]/IQN/LUN`, with
//! `[?group=N&access=STATE]`.

use crate::base::authority;
use crate::control::target::{PortalSpec, Protocol};
use crate::path::access::AccessState;
use crate::path::iscsi_url::ISCSI_PORT;
use crate::path::url::NVME_TCP_PORT;

/// Where a served LUN listens, and as what.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Portal {
    pub url: String,
    /// As the resolver takes it: without brackets.
    pub host: String,
    pub port: u16,
    pub spec: PortalSpec,
}

/// What may be written.
pub const ALLOWED: &str = "nvme-tcp://HOST[:PORT]/NQN or iscsi://HOST[:PORT]/IQN/LUN, each with [?group=N&access=optimized|non-optimized|standby (iSCSI)|inaccessible&connections=N (iSCSI)]";

impl Portal {
    /// # Errors
    /// What is wrong with it.
    pub fn parse(url: &str) -> Result<Self, String> {
        let (rest, iscsi) = match (
            url.strip_prefix("nvme-tcp://"),
            url.strip_prefix("iscsi://"),
        ) {
            (Some(rest), _) => (rest, false),
            (_, Some(rest)) => (rest, true),
            _ => return Err(format!("'{url}' is no portal that can be served")),
        };
        let (place, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (authority, name) = place.split_once('/').ok_or(match iscsi {
            true => "the target's name is missing",
            false => "the NQN is missing",
        })?;
        let (name, protocol) = match iscsi {
            true => iscsi_place(name)?,
            false => (name, Protocol::NvmeTcp),
        };
        if !iscsi && (!name.starts_with("nqn.") || name.len() > 223) {
            return Err(format!("'{name}' is no NQN: nqn.…, 223 bytes at most"));
        }
        let (host, port) = authority::split(authority)?;
        let port = port.unwrap_or(match iscsi {
            true => ISCSI_PORT,
            false => NVME_TCP_PORT,
        });
        let mut spec = PortalSpec {
            protocol,
            name: name.to_owned(),
            group: 1,
            access: AccessState::Optimized,
            moved: None,
            connections: None,
        };
        let groups = if iscsi { u32::from(u16::MAX) } else { u32::MAX };
        for item in query.split('&').filter(|i| !i.is_empty()) {
            let (key, value) = item.split_once('=').unwrap_or((item, ""));
            match (key, value) {
                ("group", n) => {
                    let n = n.parse().ok().filter(|n| (1..=groups).contains(n));
                    spec.group =
                        n.ok_or_else(|| format!("group is a number from 1 to {groups}"))?;
                }
                ("connections", n) if iscsi => spec.connections = Some(connections(n)?),
                ("access", "optimized") => spec.access = AccessState::Optimized,
                ("access", "non-optimized") => spec.access = AccessState::NonOptimized,
                ("access", "standby") if iscsi => spec.access = AccessState::Standby,
                ("access", "inaccessible") => spec.access = AccessState::Unavailable,
                _ => return Err(format!("'{item}' means nothing here")),
            }
        }
        Ok(Self {
            url: url.to_owned(),
            host: host.to_owned(),
            port,
            spec,
        })
    }
}

/// Connections of a session.
///
/// # Errors
/// It is no such number.
pub fn connections(text: &str) -> Result<u16, String> {
    let max = crate::front::iscsi::SESSION_CONNECTIONS;
    let n = text.parse().ok().filter(|n| (1..=max).contains(n));
    n.ok_or_else(|| format!("connections is a number from 1 to {max}"))
}

/// `IQN/LUN`.
fn iscsi_place(text: &str) -> Result<(&str, Protocol), String> {
    let (name, unit) = text
        .split_once('/')
        .ok_or("the LUN is missing after the target's name, as in iscsi://HOST/IQN/0")?;
    let known = ["iqn.", "eui.", "naa."].iter().any(|p| name.starts_with(p));
    if !known || name.len() > 223 || !name.is_ascii() {
        return Err(format!(
            "'{name}' is no iSCSI name: iqn.…, eui.… or naa.…, 223 bytes at most"
        ));
    }
    let unit = unit.parse().ok().filter(|n| *n < 256);
    Ok((
        name,
        Protocol::Iscsi(unit.ok_or("a LUN is a number from 0 to 255")?),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn portals_are_read_with_their_defaults() {
        let p = Portal::parse("nvme-tcp://[::1]:0/nqn.x:a?group=2&access=non-optimized").unwrap();
        assert_eq!((p.host.as_str(), p.port, p.spec.group), ("::1", 0, 2));
        assert_eq!(p.spec.access, AccessState::NonOptimized);
        let p = Portal::parse("nvme-tcp://h/nqn.x:a").unwrap();
        assert_eq!(
            (p.port, p.spec.group, p.spec.access),
            (4420, 1, AccessState::Optimized)
        );
        let p = Portal::parse("iscsi://h/iqn.x:a/7?connections=1").unwrap();
        assert_eq!(p.spec.connections, Some(1));
        let p = Portal::parse("iscsi://h/iqn.x:a/7?access=standby").unwrap();
        assert_eq!((p.port, p.spec.protocol), (3260, Protocol::Iscsi(7)));
        assert_eq!(p.spec.name, "iqn.x:a");
        assert_eq!(p.spec.access, AccessState::Standby);
        for bad in [
            "tcp://h/nqn.x",
            "nvme-tcp://h",
            "nvme-tcp:///nqn.x",
            "nvme-tcp://h/x",
            "nvme-tcp://h:x/nqn.x",
            "nvme-tcp://h/nqn.x?group=0",
            "nvme-tcp://h/nqn.x?a=b",
            "nvme-tcp://h/nqn.x?access=standby",
            "iscsi://h",
            "iscsi://h/iqn.x",
            "iscsi://h/nqn.x/0",
            "iscsi://h/iqn.x/256",
            "iscsi://h/iqn.x/0?group=65536",
            "iscsi://h/iqn.x/0?connections=0",
            "iscsi://h/iqn.x/0?connections=9",
            "nvme-tcp://h/nqn.x?connections=1",
        ] {
            assert!(Portal::parse(bad).is_err(), "{bad}");
        }
    }
}
