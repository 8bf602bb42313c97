//! Portal URLs of served LUNs: `nvme-tcp://HOST[:PORT]/NQN[?group=N&access=STATE]`.

use crate::path::access::AccessState;
use crate::path::url::NVME_TCP_PORT;

/// Where a served LUN listens, and as what.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Portal {
    pub url: String,
    /// As the resolver takes it: without brackets.
    pub host: String,
    pub port: u16,
    pub nqn: String,
    /// Access group, 1 and up.
    pub group: u32,
    pub access: AccessState,
}

/// What may be written.
pub const ALLOWED: &str =
    "nvme-tcp://HOST[:PORT]/NQN[?group=N&access=optimized|non-optimized|inaccessible]";

impl Portal {
    /// # Errors
    /// What is wrong with it.
    pub fn parse(url: &str) -> Result<Self, String> {
        let rest = url
            .strip_prefix("nvme-tcp://")
            .ok_or_else(|| format!("'{url}' is no portal that can be served"))?;
        let (place, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (authority, nqn) = place.split_once('/').ok_or("the NQN is missing")?;
        if !nqn.starts_with("nqn.") || nqn.len() > 223 {
            return Err(format!("'{nqn}' is no NQN: nqn.…, 223 bytes at most"));
        }
        let (host, port) = match authority.strip_prefix('[') {
            Some(v6) => {
                let (host, after) = v6.split_once(']').ok_or("'[' without ']'")?;
                (host, after.strip_prefix(':'))
            }
            None => match authority.split_once(':') {
                Some((host, port)) => (host, Some(port)),
                None => (authority, None),
            },
        };
        let port = match port {
            None => NVME_TCP_PORT,
            Some(p) => p.parse().map_err(|_| format!("'{p}' is no port"))?,
        };
        if host.is_empty() {
            return Err("the host is missing".to_owned());
        }
        let mut portal = Self {
            url: url.to_owned(),
            host: host.to_owned(),
            port,
            nqn: nqn.to_owned(),
            group: 1,
            access: AccessState::Optimized,
        };
        for item in query.split('&').filter(|i| !i.is_empty()) {
            let (key, value) = item.split_once('=').unwrap_or((item, ""));
            match (key, value) {
                ("group", n) => {
                    let n = n.parse().ok().filter(|n| *n > 0);
                    portal.group = n.ok_or("group is a number from 1 up")?;
                }
                ("access", "optimized") => portal.access = AccessState::Optimized,
                ("access", "non-optimized") => portal.access = AccessState::NonOptimized,
                ("access", "inaccessible") => portal.access = AccessState::Unavailable,
                _ => return Err(format!("'{item}' means nothing here")),
            }
        }
        Ok(portal)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn portals_are_read_with_their_defaults() {
        let p = Portal::parse("nvme-tcp://[::1]:0/nqn.x:a?group=2&access=non-optimized").unwrap();
        assert_eq!((p.host.as_str(), p.port, p.group), ("::1", 0, 2));
        assert_eq!(p.access, AccessState::NonOptimized);
        let p = Portal::parse("nvme-tcp://h/nqn.x:a").unwrap();
        assert_eq!(
            (p.port, p.group, p.access),
            (4420, 1, AccessState::Optimized)
        );
        for bad in [
            "tcp://h/nqn.x",
            "nvme-tcp://h",
            "nvme-tcp:///nqn.x",
            "nvme-tcp://h/x",
            "nvme-tcp://h:x/nqn.x",
            "nvme-tcp://h/nqn.x?group=0",
            "nvme-tcp://h/nqn.x?a=b",
        ] {
            assert!(Portal::parse(bad).is_err(), "{bad}");
        }
    }
}
