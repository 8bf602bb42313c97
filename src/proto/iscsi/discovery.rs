//! SendTargets (RFC 7143, appendix C): what an initiator asks, what a target tells.

use super::text::{self, TextError};
use crate::base::authority;
use std::fmt::Write as _;

/// What SendTargets asks about.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Ask {
    /// All targets; in a discovery session only.
    All,
    /// One by name.
    One(String),
    /// The target of this session.
    Own,
}

impl Ask {
    /// From the value of SendTargets.
    pub fn from_value(value: &str) -> Self {
        match value {
            "All" => Self::All,
            "" => Self::Own,
            name => Self::One(name.to_owned()),
        }
    }

    pub fn value(&self) -> &str {
        match self {
            Self::All => "All",
            Self::One(name) => name,
            Self::Own => "",
        }
    }
}

/// A portal of a target: address, port and portal group tag.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Portal {
    /// A name or an address, an IPv6 address without brackets.
    pub host: String,
    pub port: u16,
    pub group: u16,
}

/// A target with its portals.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Target {
    pub name: String,
    pub alias: Option<String>,
    pub portals: Vec<Portal>,
}

/// A TargetAddress that cannot be read.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum DiscoveryError {
    Text(TextError),
    /// `host[:port][,group]` is wanted.
    Address(String),
    /// A TargetAddress or alias before any TargetName.
    NoTarget,
}

impl std::fmt::Display for DiscoveryError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Text(e) => write!(f, "the answer to SendTargets has {e}"),
            Self::Address(a) => write!(f, "TargetAddress={a} is not host[:port][,group]"),
            Self::NoTarget => f.write_str("the answer to SendTargets begins with no TargetName"),
        }
    }
}

impl std::error::Error for DiscoveryError {}

impl Portal {
    /// `host[:port][,group]`, IPv6 in brackets (RFC 7143, 13.8). Port 3260 and group 1 when not said.
    pub fn from_value(value: &str) -> Option<Self> {
        let (place, group) = match value.split_once(',') {
            Some((place, group)) => (place, u16::try_from(text::number(group)?).ok()?),
            None => (value, 1),
        };
        let (host, port) = authority::remote(place).ok()?;
        Some(Self {
            host: host.to_owned(),
            port: port.unwrap_or(3260),
            group,
        })
    }

    pub fn value(&self) -> String {
        format!("{},{}", authority::join(&self.host, self.port), self.group)
    }
}

/// The text that tells about targets. Empty when there is none, which is the answer then.
pub fn emit(targets: &[Target]) -> Vec<u8> {
    let mut out = Vec::new();
    for t in targets {
        text::push(&mut out, "TargetName", &t.name);
        if let Some(alias) = &t.alias {
            text::push(&mut out, "TargetAlias", alias);
        }
        let mut address = String::new();
        for p in &t.portals {
            address.clear();
            let _ = write!(address, "{}", p.value());
            text::push(&mut out, "TargetAddress", &address);
        }
    }
    out
}

/// Reads such a text. Keys that nobody knows are passed over.
///
/// # Errors
/// What cannot be read.
pub fn parse(bytes: &[u8]) -> Result<Vec<Target>, DiscoveryError> {
    let mut out: Vec<Target> = Vec::new();
    for (key, value) in text::pairs(bytes).map_err(DiscoveryError::Text)? {
        if key == "TargetName" {
            out.push(Target {
                name: value.to_owned(),
                ..Target::default()
            });
            continue;
        }
        let last = out.last_mut();
        match key {
            "TargetAlias" => {
                last.ok_or(DiscoveryError::NoTarget)?.alias = Some(value.to_owned());
            }
            "TargetAddress" => {
                let portal = Portal::from_value(value)
                    .ok_or_else(|| DiscoveryError::Address(value.chars().take(80).collect()))?;
                last.ok_or(DiscoveryError::NoTarget)?.portals.push(portal);
            }
            _ => {}
        }
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn portals_read_and_written() {
        for (value, host, port, group) in [
            ("10.1.0.45:3000,2", "10.1.0.45", 3000, 2),
            ("[fe80::1%eth0]:3260,65535", "fe80::1%eth0", 3260, 65535),
            ("disk.example.com:860,0", "disk.example.com", 860, 0),
        ] {
            let p = Portal::from_value(value).expect(value);
            assert_eq!((&p.host[..], p.port, p.group), (host, port, group));
            assert_eq!(p.value(), value);
        }
        assert_eq!(
            Portal::from_value("h").map(|p| p.value()).as_deref(),
            Some("h:3260,1")
        );
        for wrong in [
            "",
            ":1,1",
            "h:x,1",
            "h:1,",
            "h:1,65536",
            "[::1",
            "[::1]1",
            "a b:1,1",
        ] {
            assert_eq!(Portal::from_value(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn targets_read_and_written() {
        let all = vec![
            Target {
                name: "iqn.2026-01.net.example:a".into(),
                alias: Some("first".into()),
                portals: ["127.0.0.1:3260,1", "[::1]:3261,2"]
                    .iter()
                    .filter_map(|v| Portal::from_value(v))
                    .collect(),
            },
            Target {
                name: "iqn.2026-01.net.example:b".into(),
                ..Target::default()
            },
        ];
        let bytes = emit(&all);
        assert!(bytes.starts_with(b"TargetName=iqn.2026-01.net.example:a\0TargetAlias=first\0"));
        assert_eq!(parse(&bytes), Ok(all));
        assert_eq!(parse(b""), Ok(vec![]));
        assert_eq!(
            parse(b"TargetAddress=h:1,1\0"),
            Err(DiscoveryError::NoTarget)
        );
        assert!(parse(b"TargetName=a\0TargetAddress=???\0").is_err());
    }

    #[test]
    fn asks() {
        for ask in [Ask::All, Ask::Own, Ask::One("iqn.a".into())] {
            assert_eq!(Ask::from_value(ask.value()), ask);
        }
    }
}
