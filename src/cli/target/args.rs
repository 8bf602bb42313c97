//! Arguments of `umpio target`.

use std::str::FromStr;

use clap::Args;

use crate::path::access::AccessState;
use crate::path::local::LocalSpec;

const EXAMPLES: &str = "\
Examples:
  umpio target --listen nvme-tcp://127.0.0.1:4420/nqn.2024-01.io.umpio:a --backing mem:1G
  umpio target --backing file:/var/lib/disk.img \\
    --listen 'nvme-tcp://10.0.0.1/nqn.2024-01.io.umpio:a?group=1&access=optimized' \\
    --listen 'nvme-tcp://10.0.1.1/nqn.2024-01.io.umpio:a?group=2&access=non-optimized'

Portals with the same NQN serve one subsystem; portals with the same group change their access
state together. Port 0 takes a free port; the URLs to connect to are printed once the target
listens. Runs until interrupted.";

/// Serve a LUN over NVMe/TCP
#[derive(Clone, Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct TargetArgs {
    /// Where to listen, and as what; repeat it for each further portal
    #[arg(long = "listen", value_name = "URL", required = true)]
    pub listen: Vec<Listen>,

    /// What is served: mem:SIZE, null:SIZE (keeps nothing; add ?zero=1 where a reader must not
    /// see old buffer contents) or file:PATH
    #[arg(long, value_name = "BACKING", value_parser = parse_backing)]
    pub backing: String,

    /// Pin the target to this CPU
    #[arg(long, value_name = "N")]
    pub cpu: Option<usize>,

    /// Print one JSON object on stdout once it listens
    #[arg(long)]
    pub json: bool,
}

/// A portal: `nvme-tcp://HOST[:PORT]/NQN[?group=N&access=STATE]`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Listen {
    /// Host and port as they go to the resolver; IPv6 in brackets.
    pub host: String,
    pub port: u16,
    pub nqn: String,
    /// ANA group, 1 and up.
    pub group: u32,
    pub access: AccessState,
}

impl FromStr for Listen {
    type Err = String;

    fn from_str(url: &str) -> Result<Self, String> {
        let rest = url
            .strip_prefix("nvme-tcp://")
            .ok_or("write a portal as nvme-tcp://HOST[:PORT]/NQN[?group=N&access=STATE]")?;
        let (place, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (authority, nqn) = place
            .split_once('/')
            .ok_or("the subsystem NQN is missing after the host")?;
        if nqn.is_empty() || nqn.len() > 223 {
            return Err("the subsystem NQN must have 1 to 223 bytes".to_owned());
        }
        let (host, port) = split_authority(authority)?;
        let mut listen = Self {
            host,
            port,
            nqn: nqn.to_owned(),
            group: 1,
            access: AccessState::Optimized,
        };
        for item in query.split('&').filter(|i| !i.is_empty()) {
            match item.split_once('=').unwrap_or((item, "")) {
                ("group", n) => {
                    listen.group = n
                        .parse()
                        .ok()
                        .filter(|&n| n > 0)
                        .ok_or_else(|| format!("group={n}: a group is a number from 1 up"))?;
                }
                ("access", name) => listen.access = parse_access(name)?,
                (key, _) => {
                    return Err(format!("unknown option '{key}'; known are group, access"));
                }
            }
        }
        Ok(listen)
    }
}

/// States an ANA group can be given (standby is SCSI's only).
const ACCESS: [(&str, AccessState); 5] = [
    ("optimized", AccessState::Optimized),
    ("non-optimized", AccessState::NonOptimized),
    ("unavailable", AccessState::Unavailable),
    ("transitioning", AccessState::Transitioning),
    ("lost", AccessState::Lost),
];

fn parse_access(name: &str) -> Result<AccessState, String> {
    let found = ACCESS.iter().find(|(n, _)| n.eq_ignore_ascii_case(name));
    found.map(|(_, state)| *state).ok_or_else(|| {
        let names: Vec<_> = ACCESS.iter().map(|(n, _)| *n).collect();
        format!("access={name}: known are {}", names.join(", "))
    })
}

fn split_authority(text: &str) -> Result<(String, u16), String> {
    let (host, port) = if let Some(rest) = text.strip_prefix('[') {
        let (host, rest) = rest
            .split_once(']')
            .ok_or("the ']' of an IPv6 address is missing")?;
        (host, rest.strip_prefix(':'))
    } else if text.matches(':').count() > 1 {
        return Err(format!("'{text}': an IPv6 address stands in brackets"));
    } else {
        match text.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (text, None),
        }
    };
    if host.is_empty() {
        return Err("the host is missing".to_owned());
    }
    let port = match port {
        None => 4420,
        Some(p) => p.parse().map_err(|_| format!("'{p}' is no port"))?,
    };
    Ok((host.to_owned(), port))
}

/// For clap: a backing, checked but kept as it was written.
fn parse_backing(text: &str) -> Result<String, String> {
    match text.parse::<LocalSpec>() {
        Ok(_) => Ok(text.to_owned()),
        Err(e) => Err(e.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_portal_is_read_with_its_group_and_state() {
        let l: Listen = "nvme-tcp://[::1]:0/nqn.x?group=3&access=non-optimized"
            .parse()
            .expect("valid");
        assert_eq!((l.host.as_str(), l.port, l.group), ("::1", 0, 3));
        assert_eq!(l.access, AccessState::NonOptimized);
        let l: Listen = "nvme-tcp://host/nqn.x".parse().expect("valid");
        assert_eq!(
            (l.port, l.group, l.access),
            (4420, 1, AccessState::Optimized)
        );
    }

    #[test]
    fn a_portal_that_is_wrong_says_what_is_wrong() {
        let bad = |text: &str| text.parse::<Listen>().expect_err(text);
        assert!(bad("iscsi://h/x").contains("nvme-tcp://"));
        assert!(bad("nvme-tcp://h").contains("NQN"));
        assert!(bad("nvme-tcp://:1/nqn").contains("host"));
        assert!(bad("nvme-tcp://::1/nqn").contains("brackets"));
        assert!(bad("nvme-tcp://h/n?access=standby").contains("non-optimized"));
        assert!(bad("nvme-tcp://h/n?groop=1").contains("groop"));
    }

    #[test]
    fn a_backing_is_memory_nothing_or_a_file() {
        for good in ["mem:64M", "null:1T?zero=1", "file:/a:b"] {
            assert_eq!(parse_backing(good).as_deref(), Ok(good));
        }
        for bad in ["mem:0", "disk", "file:", "mem:1M?size=2"] {
            assert!(parse_backing(bad).is_err(), "{bad}");
        }
    }
}
