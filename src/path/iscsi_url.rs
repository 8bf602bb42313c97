//! `iscsi://[USER[%PASS]@]HOST[:3260]/TARGET-IQN/LUN[?options]`, libiscsi's form.

use super::dialer::Endpoint;
use super::url::{NexusSpec, PathSpec, UrlError, flag};
use crate::base::{authority, limits};
use crate::proto::iscsi::initiator::{CONNECTIONS_MAX, ConnectionPolicy};
use crate::transport::tcp::TcpOptions;
use std::fmt;
use std::net::IpAddr;
use std::ops::RangeInclusive;
use std::time::Duration;

/// The default iSCSI port (RFC 7143, 4.1).
pub const ISCSI_PORT: u16 = 3260;
/// Logical unit numbers that the flat space addressing method can carry (SAM, 4.7).
pub const LUN_MAX: u32 = 0x3fff;

/// A CHAP name and secret. Never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret {
    pub name: String,
    pub secret: String,
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Secret({}, ***)", self.name)
    }
}

/// One connection of a session: its portal and our end, and what the session's policy makes of it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ConnectionSpec {
    pub host: String,
    pub port: u16,
    pub source: Option<IpAddr>,
    pub interface: Option<String>,
    pub weight: u32,
    pub primary: bool,
}

/// Where and how an iSCSI target is reached: everything that tells one nexus from another, and the
/// settings of its sessions.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct IscsiSpec {
    pub host: String,
    pub port: u16,
    pub target_name: String,
    /// Who we are to the target (one-way CHAP).
    pub chap: Option<Secret>,
    /// Who the target must be to us (mutual CHAP).
    pub target_chap: Option<Secret>,
    pub header_digest: bool,
    pub data_digest: bool,
    /// Time without any answer after which a session counts as lost; zero: never.
    pub nop_timeout: Duration,
    /// Time for the login, and for each answer of the target about its units and groups.
    pub answer_timeout: Duration,
    /// Commands outstanding in one session.
    pub depth: u16,
    /// What is offered in the login.
    pub immediate_data: bool,
    pub initial_r2t: bool,
    pub first_burst: u32,
    pub max_burst: u32,
    pub max_recv: u32,
    /// After a loss without proof: how long a target is assumed to go on with what it was given.
    /// `None`: no such assumption.
    pub fence_assume: Option<Duration>,
    pub tcp: TcpOptions,
    /// Connections of the session, the first one included. They do not tell one nexus from another.
    pub connections: Vec<ConnectionSpec>,
    /// How commands are spread over them.
    pub policy: ConnectionPolicy,
}

const OPTIONS: &str = "src, iface, conn, conn_policy, header_digest, data_digest, target_user, target_password, nop_timeout, answer_timeout, depth, \
                       immediate_data, initial_r2t, first_burst, max_burst, max_recv, fence_assume, cc, sndbuf, \
                       rcvbuf, busy_poll, user_timeout";

const ANSWER_TIMEOUTS: RangeInclusive<Duration> =
    Duration::from_millis(100)..=Duration::from_secs(3600);

impl IscsiSpec {
    fn new(host: String, port: u16, target_name: String) -> Self {
        Self {
            host,
            port,
            target_name,
            chap: None,
            target_chap: None,
            header_digest: false,
            data_digest: false,
            nop_timeout: limits::ISCSI_NOP_TIMEOUT,
            answer_timeout: limits::ISCSI_ANSWER_TIMEOUT,
            depth: limits::ISCSI_DEPTH,
            immediate_data: true,
            initial_r2t: false,
            first_burst: 256 * 1024,
            max_burst: 1024 * 1024,
            max_recv: 1024 * 1024,
            fence_assume: Some(limits::ISCSI_FENCE_ASSUME),
            tcp: TcpOptions::default(),
            connections: Vec::new(),
            policy: ConnectionPolicy::default(),
        }
    }

    pub fn endpoint(&self) -> Endpoint {
        Endpoint {
            host: self.host.clone(),
            port: self.port,
            tcp: self.tcp.clone(),
        }
    }

    /// Where a connection of the session goes: with the socket options of the session, from its own
    /// end.
    pub fn endpoint_of(&self, c: &ConnectionSpec) -> Endpoint {
        let mut tcp = self.tcp.clone();
        tcp.source = c.source;
        tcp.interface = c.interface.clone();
        Endpoint {
            host: c.host.clone(),
            port: c.port,
            tcp,
        }
    }
}

/// Reads what follows `iscsi://`.
///
/// # Errors
/// Says which part is wrong and what is allowed there. A secret is never repeated.
pub(super) fn parse(url: &str, rest: &str) -> Result<PathSpec, UrlError> {
    let shown = redacted(url);
    let malformed = |what: &str| UrlError::Malformed {
        url: shown.clone(),
        what: what.to_owned(),
    };
    let (place, query) = rest.split_once('?').unwrap_or((rest, ""));
    let (authority, path) = place
        .split_once('/')
        .ok_or_else(|| malformed("the target name is missing after the host"))?;
    // The secret may contain '@'; a host may not.
    let (credentials, authority) = match authority.rsplit_once('@') {
        Some((c, a)) => (Some(c), a),
        None => (None, authority),
    };
    let (host, port) = authority::remote(authority).map_err(|what| malformed(&what))?;
    let (target, lun) = path.rsplit_once('/').ok_or_else(|| {
        malformed("the LUN is missing after the target name: iscsi://HOST/TARGET-IQN/LUN")
    })?;
    if target.is_empty() || target.len() > 223 || target.contains(['/', '@']) {
        return Err(malformed(
            "the target name must have 1 to 223 bytes and no '/' or '@'",
        ));
    }
    let lun = lun
        .parse::<u32>()
        .ok()
        .filter(|n| *n <= LUN_MAX)
        .ok_or_else(|| malformed("the LUN must be a number from 0 to 16383"))?;
    let mut spec = IscsiSpec::new(
        host.to_owned(),
        port.unwrap_or(ISCSI_PORT),
        target.to_owned(),
    );
    if let Some(c) = credentials {
        let (name, secret) = c.split_once('%').ok_or_else(|| {
            malformed("the CHAP secret is missing after the user: iscsi://USER%SECRET@HOST/...")
        })?;
        if name.is_empty() || secret.is_empty() {
            return Err(malformed("the CHAP user and its secret must not be empty"));
        }
        spec.chap = Some(Secret {
            name: name.to_owned(),
            secret: secret.to_owned(),
        });
    }
    let mut target_user = None;
    let mut target_password = None;
    for item in query.split('&').filter(|i| !i.is_empty()) {
        let (key, value) = item.split_once('=').unwrap_or((item, "1"));
        let bad = |allowed: &'static str| UrlError::Value {
            url: shown.clone(),
            option: key.to_owned(),
            value: if key == "target_password" {
                "***"
            } else {
                value
            }
            .to_owned(),
            allowed,
        };
        let size = |low: u32| {
            value
                .parse::<u32>()
                .ok()
                .filter(|n| (low..=0xff_ffff).contains(n))
                .ok_or_else(|| bad("512 to 16777215 bytes"))
        };
        let millis = || {
            let ms = value.parse::<u32>();
            ms.map(|n| Duration::from_millis(u64::from(n)))
        };
        match key {
            "src" => {
                spec.tcp.source = Some(value.parse::<IpAddr>().map_err(|_| bad("an IP address"))?)
            }
            "iface" => spec.tcp.interface = Some(value.to_owned()),
            "header_digest" => {
                spec.header_digest = digest(value).ok_or_else(|| bad("crc32c or none"))?
            }
            "data_digest" => {
                spec.data_digest = digest(value).ok_or_else(|| bad("crc32c or none"))?
            }
            "target_user" => target_user = Some(value.to_owned()),
            "target_password" => target_password = Some(value.to_owned()),
            "nop_timeout" => {
                spec.nop_timeout =
                    millis().map_err(|_| bad("milliseconds; 0 switches keep-alive off"))?;
            }
            "answer_timeout" => {
                let ms = millis().ok().filter(|t| ANSWER_TIMEOUTS.contains(t));
                spec.answer_timeout = ms.ok_or_else(|| bad("100 to 3600000 milliseconds"))?;
            }
            "depth" => {
                spec.depth = value
                    .parse()
                    .ok()
                    .filter(|n| (2..=1024).contains(n))
                    .ok_or_else(|| bad("2 to 1024 commands"))?;
            }
            "immediate_data" => spec.immediate_data = flag(value).ok_or_else(|| bad("0 or 1"))?,
            "initial_r2t" => spec.initial_r2t = flag(value).ok_or_else(|| bad("0 or 1"))?,
            "first_burst" => spec.first_burst = size(512)?,
            "max_burst" => spec.max_burst = size(512)?,
            "max_recv" => spec.max_recv = size(512)?,
            "fence_assume" => {
                spec.fence_assume = match value {
                    "never" => None,
                    _ => Some(millis().map_err(|_| bad("milliseconds, or never"))?),
                };
            }
            "cc" => spec.tcp.congestion = Some(value.to_owned()),
            "sndbuf" => spec.tcp.send_buffer = Some(value.parse().map_err(|_| bad("bytes"))?),
            "rcvbuf" => spec.tcp.receive_buffer = Some(value.parse().map_err(|_| bad("bytes"))?),
            "busy_poll" => {
                spec.tcp.busy_poll_us = Some(value.parse().map_err(|_| bad("microseconds"))?)
            }
            "user_timeout" => {
                spec.tcp.user_timeout_ms = Some(value.parse().map_err(|_| bad("milliseconds"))?)
            }
            "conn" => {
                let c = connection(value).ok_or_else(|| bad("HOST[:PORT][@SOURCE-IP]"))?;
                spec.connections.push(c);
            }
            "conn_policy" => {
                spec.policy = value
                    .parse()
                    .ok()
                    .and_then(ConnectionPolicy::from_number)
                    .ok_or_else(|| {
                        bad("1 failover, 2 round robin, 3 round robin with subset, 4 least queue depth, \
                             5 weighted paths, 6 least bytes")
                    })?;
            }
            _ => {
                return Err(UrlError::Option {
                    url: shown,
                    option: key.to_owned(),
                    known: OPTIONS,
                });
            }
        }
    }
    let first = ConnectionSpec {
        host: spec.host.clone(),
        port: spec.port,
        source: spec.tcp.source,
        interface: spec.tcp.interface.clone(),
        weight: 0,
        primary: true,
    };
    spec.connections.insert(0, first);
    if spec.connections.len() > CONNECTIONS_MAX {
        return Err(malformed(
            "a session has 8 connections at most: conn= seven times",
        ));
    }
    if spec.first_burst > spec.max_burst {
        return Err(malformed(
            "first_burst must not be larger than max_burst (RFC 7143, 13.14)",
        ));
    }
    spec.target_chap = match (target_user, target_password) {
        (Some(name), Some(secret)) => Some(Secret { name, secret }),
        (None, None) => None,
        _ => {
            return Err(malformed(
                "target_user and target_password come together (mutual CHAP)",
            ));
        }
    };
    if spec.target_chap.is_some() && spec.chap.is_none() {
        return Err(malformed(
            "mutual CHAP needs USER%SECRET@ before the host as well",
        ));
    }
    Ok(PathSpec {
        url: shown,
        nexus: NexusSpec::Iscsi(Box::new(spec)),
        nsid: Some(lun),
    })
}

/// `HOST[:PORT][@SOURCE-IP]`, IPv6 in brackets where a port follows or not.
fn connection(value: &str) -> Option<ConnectionSpec> {
    let (place, source) = match value.rsplit_once('@') {
        Some((place, source)) => {
            let source = source.trim_start_matches('[').trim_end_matches(']');
            (place, Some(source.parse().ok()?))
        }
        None => (value, None),
    };
    let (host, port) = authority::remote(place).ok()?;
    Some(ConnectionSpec {
        host: host.to_owned(),
        port: port.unwrap_or(ISCSI_PORT),
        source,
        interface: None,
        weight: 0,
        primary: false,
    })
}

fn digest(value: &str) -> Option<bool> {
    match value.to_ascii_lowercase().as_str() {
        "crc32c" | "1" => Some(true),
        "none" | "0" => Some(false),
        _ => None,
    }
}

/// The URL without its secrets, as everything shows it.
fn redacted(url: &str) -> String {
    let (place, query) = url.split_once('?').unwrap_or((url, ""));
    let mut out = String::new();
    // Up to the last '@', wherever it is: a URL that is wrong is shown too.
    match place.rsplit_once('@') {
        Some((before, after)) => {
            let (user, secret) = before.split_once('%').unwrap_or((before, ""));
            out.push_str(user);
            out.push_str(if secret.is_empty() { "@" } else { "%***@" });
            out.push_str(after);
        }
        None => out.push_str(place),
    }
    for (i, item) in query.split('&').filter(|q| !q.is_empty()).enumerate() {
        out.push(if i == 0 { '?' } else { '&' });
        match item.split_once('=') {
            Some(("target_password", _)) => out.push_str("target_password=***"),
            _ => out.push_str(item),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(url: &str) -> (IscsiSpec, u32) {
        let p = PathSpec::parse(url).unwrap();
        let NexusSpec::Iscsi(s) = p.nexus else {
            panic!("not iscsi: {url}")
        };
        (*s, p.nsid.unwrap())
    }

    #[test]
    fn full_url() {
        let (s, lun) = spec(
            "iscsi://me%p@ss@10.0.0.1:3261/iqn.2026-01.x:t/3?src=10.0.0.9&iface=eth1&header_digest=crc32c&\
             data_digest=crc32c&immediate_data=0&initial_r2t=1&max_burst=65536&first_burst=8192&fence_assume=never&answer_timeout=60000",
        );
        assert_eq!((s.host.as_str(), s.port, lun), ("10.0.0.1", 3261, 3));
        assert_eq!(s.target_name, "iqn.2026-01.x:t");
        let chap = s.chap.unwrap();
        assert_eq!((chap.name.as_str(), chap.secret.as_str()), ("me", "p@ss"));
        assert!(s.header_digest && s.data_digest && !s.immediate_data && s.initial_r2t);
        assert_eq!((s.max_burst, s.first_burst), (65_536, 8192));
        assert_eq!(s.fence_assume, None);
        assert_eq!(s.answer_timeout, Duration::from_secs(60));
    }

    #[test]
    fn the_default_port_and_ipv6() {
        let (s, lun) = spec("iscsi://[fd00::1]/iqn.2026-01.x:t/0");
        assert_eq!((s.host.as_str(), s.port, lun), ("fd00::1", 3260, 0));
    }

    #[test]
    fn secrets_are_never_shown() {
        let url = "iscsi://me%hush@h/iqn.a/0?target_user=t&target_password=hush&depth=4";
        let p = PathSpec::parse(url).unwrap();
        assert_eq!(
            p.url,
            "iscsi://me%***@h/iqn.a/0?target_user=t&target_password=***&depth=4"
        );
        assert!(!format!("{p:?}").contains("hush"));
        for bad in [
            "iscsi://me%hush@h/iqn.a/x",
            "iscsi://me%hush@h/iqn.a/0?nope=1",
            "iscsi://me%hush@h:0/iqn.a/0",
            "iscsi://me%hush@h",
            "iscsi://me%hush/hush@h/iqn.a/0",
        ] {
            let e = PathSpec::parse(bad).unwrap_err().to_string();
            assert!(!e.contains("hush"), "{e}");
        }
    }

    #[test]
    fn errors_name_what_is_wrong() {
        let text = |u: &str| PathSpec::parse(u).unwrap_err().to_string();
        assert!(text("iscsi://h").contains("target name is missing"));
        for wrong in ["99", "3600001", "x"] {
            let url = format!("iscsi://h/iqn.a/0?answer_timeout={wrong}");
            assert!(
                text(&url).contains("100 to 3600000 milliseconds"),
                "{wrong}"
            );
        }
        assert!(text("iscsi://h/iqn.a").contains("LUN is missing"));
        assert!(text("iscsi://h/iqn.a/99999").contains("0 to 16383"));
        assert!(text("iscsi://u@h/iqn.a/0").contains("CHAP secret is missing"));
        assert!(text("iscsi://h/iqn.a/0?first_burst=65536&max_burst=512").contains("first_burst"));
        assert!(text("iscsi://h/iqn.a/0?target_user=x").contains("come together"));
    }

    #[test]
    fn further_connections_of_a_session() {
        let url = "iscsi://h/iqn.a/0?src=10.0.0.9&conn=10.0.1.1:3261@10.0.1.9&conn=[fd00::1]&conn_policy=4";
        let (s, _) = spec(url);
        let ends: Vec<_> = s
            .connections
            .iter()
            .map(|c| (c.host.as_str(), c.port, c.source.map(|s| s.to_string())))
            .collect();
        let of = |s: &str| Some(s.to_owned());
        assert_eq!(
            ends,
            [
                ("h", 3260, of("10.0.0.9")),
                ("10.0.1.1", 3261, of("10.0.1.9")),
                ("fd00::1", 3260, None)
            ]
        );
        assert_eq!(s.policy, ConnectionPolicy::LeastQueueDepth);
        let tcp = s.endpoint_of(&s.connections[2]).tcp;
        assert_eq!(tcp.source, None, "another NIC has another address");
        for bad in [
            "conn=",
            "conn=h:x",
            "conn=h@eth1",
            "conn_policy=7",
            "conn_policy=rr",
        ] {
            let e = PathSpec::parse(&format!("iscsi://h/iqn.a/0?{bad}"));
            assert!(e.unwrap_err().to_string().contains("conn"), "{bad}");
        }
        let many = "iscsi://h/iqn.a/0?".to_owned() + &"conn=a&".repeat(8);
        let e = PathSpec::parse(&many).unwrap_err().to_string();
        assert!(e.contains("8 connections"), "{e}");
        let id = |u: &str| PathSpec::parse(u).unwrap().nexus.id();
        assert_eq!(id("iscsi://h/iqn.a/0"), id("iscsi://h/iqn.a/0?conn=b"));
    }

    #[test]
    fn luns_of_one_target_share_the_nexus() {
        let id = |u: &str| PathSpec::parse(u).unwrap().nexus.id();
        assert_eq!(id("iscsi://h/iqn.a/0"), id("iscsi://u%p@h/iqn.a/1?depth=8"));
        assert_ne!(id("iscsi://h/iqn.a/0"), id("iscsi://h/iqn.b/0"));
        assert_ne!(id("iscsi://h/iqn.a/0"), id("iscsi://h/iqn.a/0?src=1.2.3.4"));
    }
}
