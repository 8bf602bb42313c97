//! Path URLs: `nvme-tcp://HOST[:4420]/SUBSYSTEM-NQN[?options]`, `iscsi://HOST[:3260]/TARGET-IQN/LUN[?options]`,
//! `mem:SIZE`, `null:SIZE`, `file:PATH`.

use super::dialer::Endpoint;
use super::iscsi_url::{self, IscsiSpec};
use crate::base::{authority, limits};
use crate::transport::Driver;
use crate::transport::tcp::TcpOptions;
use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

/// The default NVMe/TCP port (IANA, NVMe over TCP transport spec).
pub const NVME_TCP_PORT: u16 = 4420;

/// A URL that does not say what it should.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum UrlError {
    #[error(
        "'{url}': unknown scheme; known are nvme-tcp://HOST[:PORT]/NQN, iscsi://HOST[:PORT]/TARGET-IQN/LUN, mem:SIZE, null:SIZE and file:PATH"
    )]
    Scheme { url: String },
    #[error("'{url}': {what}")]
    Malformed { url: String, what: String },
    #[error("'{url}': unknown option '{option}'; known are {known}")]
    Option {
        url: String,
        option: String,
        known: &'static str,
    },
    #[error("'{url}': {option}={value} is not valid: {allowed}")]
    Value {
        url: String,
        option: String,
        value: String,
        allowed: &'static str,
    },
}

/// Where and how an NVMe/TCP subsystem is reached: everything that tells one nexus from another,
/// and the settings of its associations.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NvmeTcpSpec {
    pub host: String,
    pub port: u16,
    pub subsystem_nqn: String,
    pub header_digest: bool,
    pub data_digest: bool,
    /// Keep-alive timeout asked for.
    pub kato: Duration,
    /// I/O queues of one association.
    pub io_queues: u16,
    /// Commands outstanding on one I/O queue.
    pub depth: u16,
    /// Whether SQ flow control stays on (off saves the target the SQHD bookkeeping).
    pub sq_flow_control: bool,
    pub tcp: TcpOptions,
}

/// How a path's nexus is reached.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum NexusSpec {
    NvmeTcp(NvmeTcpSpec),
    Iscsi(Box<IscsiSpec>),
    /// `mem:`, `null:` or `file:`, kept as written; `path::local` reads the rest.
    Local(String),
}

/// One path as configured.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PathSpec {
    /// As configured, without secrets.
    pub url: String,
    pub nexus: NexusSpec,
    /// NVMe namespace, or `None`: the only one there is. iSCSI: the logical unit number.
    pub nsid: Option<u32>,
}

const OPTIONS: &str = "nsid, src, iface, hdgst, ddgst, cc, kato, queues, depth, sqfc, sndbuf, rcvbuf, busy_poll, user_timeout, transport";

impl PathSpec {
    /// # Errors
    /// Says which part is wrong and what is allowed there.
    pub fn parse(url: &str) -> Result<Self, UrlError> {
        if let Some(rest) = url.strip_prefix("nvme-tcp://") {
            return parse_nvme(url, rest);
        }
        if let Some(rest) = url.strip_prefix("iscsi://") {
            return iscsi_url::parse(url, rest);
        }
        if url.starts_with("mem:") || url.starts_with("null:") || url.starts_with("file:") {
            return Ok(Self {
                url: url.to_owned(),
                nexus: NexusSpec::Local(url.to_owned()),
                nsid: None,
            });
        }
        Err(UrlError::Scheme {
            url: url.to_owned(),
        })
    }
}

fn parse_nvme(url: &str, rest: &str) -> Result<PathSpec, UrlError> {
    let malformed = |what: &str| UrlError::Malformed {
        url: url.to_owned(),
        what: what.to_owned(),
    };
    let (place, query) = rest.split_once('?').unwrap_or((rest, ""));
    let (authority, nqn) = place
        .split_once('/')
        .ok_or_else(|| malformed("the subsystem NQN is missing after the host"))?;
    if nqn.is_empty() || nqn.len() > 223 {
        return Err(malformed("the subsystem NQN must have 1 to 223 bytes"));
    }
    let (host, port) = authority::remote(authority).map_err(|what| malformed(&what))?;
    let mut spec = NvmeTcpSpec {
        host: host.to_owned(),
        port: port.unwrap_or(NVME_TCP_PORT),
        subsystem_nqn: nqn.to_owned(),
        header_digest: false,
        data_digest: false,
        kato: Duration::from_secs(5),
        io_queues: 1,
        depth: limits::NVME_QUEUE_DEPTH,
        sq_flow_control: false,
        tcp: TcpOptions::default(),
    };
    let mut nsid = None;
    for item in query.split('&').filter(|i| !i.is_empty()) {
        let (key, value) = item.split_once('=').unwrap_or((item, "1"));
        let bad = |allowed: &'static str| UrlError::Value {
            url: url.to_owned(),
            option: key.to_owned(),
            value: value.to_owned(),
            allowed,
        };
        match key {
            "nsid" => {
                let n = value
                    .parse::<u32>()
                    .ok()
                    .filter(|n| (1..0xFFFF_FFFF).contains(n));
                nsid = Some(n.ok_or_else(|| bad("a namespace id from 1 to 4294967294"))?);
            }
            "src" => {
                spec.tcp.source = Some(value.parse::<IpAddr>().map_err(|_| bad("an IP address"))?)
            }
            "iface" => spec.tcp.interface = Some(value.to_owned()),
            "hdgst" => spec.header_digest = flag(value).ok_or_else(|| bad("0 or 1"))?,
            "ddgst" => spec.data_digest = flag(value).ok_or_else(|| bad("0 or 1"))?,
            "sqfc" => spec.sq_flow_control = flag(value).ok_or_else(|| bad("0 or 1"))?,
            "transport" => {
                let driver = Driver::parse(value).ok_or_else(|| bad("tcp or uring"))?;
                spec.tcp.driver = Some(driver);
            }
            "cc" => spec.tcp.congestion = Some(value.to_owned()),
            "kato" => {
                let ms = value
                    .parse::<u32>()
                    .map_err(|_| bad("milliseconds; 0 switches keep-alive off"))?;
                spec.kato = Duration::from_millis(u64::from(ms));
            }
            "queues" => {
                spec.io_queues = value
                    .parse()
                    .ok()
                    .filter(|n| (1..=64).contains(n))
                    .ok_or_else(|| bad("1 to 64 I/O queues"))?;
            }
            "depth" => {
                spec.depth = value
                    .parse()
                    .ok()
                    .filter(|n| (2..=1024).contains(n))
                    .ok_or_else(|| bad("2 to 1024 commands"))?;
            }
            "sndbuf" => spec.tcp.send_buffer = Some(value.parse().map_err(|_| bad("bytes"))?),
            "rcvbuf" => spec.tcp.receive_buffer = Some(value.parse().map_err(|_| bad("bytes"))?),
            "busy_poll" => {
                spec.tcp.busy_poll_us = Some(value.parse().map_err(|_| bad("microseconds"))?)
            }
            "user_timeout" => {
                spec.tcp.user_timeout_ms = Some(value.parse().map_err(|_| bad("milliseconds"))?)
            }
            _ => {
                return Err(UrlError::Option {
                    url: url.to_owned(),
                    option: key.to_owned(),
                    known: OPTIONS,
                });
            }
        }
    }
    Ok(PathSpec {
        url: url.to_owned(),
        nexus: NexusSpec::NvmeTcp(spec),
        nsid,
    })
}

pub(super) fn flag(value: &str) -> Option<bool> {
    match value {
        "1" => Some(true),
        "0" => Some(false),
        _ => None,
    }
}

impl NvmeTcpSpec {
    pub fn endpoint(&self) -> Endpoint {
        Endpoint {
            host: self.host.clone(),
            port: self.port,
            tcp: self.tcp.clone(),
        }
    }

    /// `HOST:PORT`, with brackets where needed: the name of the portal.
    pub fn portal(&self) -> String {
        self.endpoint().portal()
    }
}

impl NexusSpec {
    /// What makes this nexus itself: two paths with an equal key share the nexus.
    pub fn key(&self) -> String {
        match self {
            Self::Local(url) => url.clone(),
            Self::NvmeTcp(s) => network_key("nvme-tcp", &s.endpoint(), &s.subsystem_nqn),
            Self::Iscsi(s) => network_key("iscsi", &s.endpoint(), &s.target_name),
        }
    }

    /// The stable 64-bit id of the nexus (DsmPathId): FNV-1a of its key, never 0.
    pub fn id(&self) -> u64 {
        number_of(&self.key())
    }
}

/// A number for a name, the same in every run (FNV-1a); never 0.
pub(super) fn number_of(name: &str) -> u64 {
    let hash = name.bytes().fold(0xCBF2_9CE4_8422_2325_u64, |h, b| {
        (h ^ u64::from(b)).wrapping_mul(0x0100_0000_01B3)
    });
    if hash == 0 { 1 } else { hash }
}

fn network_key(protocol: &str, at: &Endpoint, name: &str) -> String {
    format!(
        "{protocol}|{}|{}|{}|{name}",
        at.tcp.source.map_or_else(String::new, |ip| ip.to_string()),
        at.tcp.interface.as_deref().unwrap_or(""),
        at.portal(),
    )
}

impl fmt::Display for PathSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.url)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nvme(url: &str) -> (NvmeTcpSpec, Option<u32>) {
        let p = PathSpec::parse(url).unwrap();
        let NexusSpec::NvmeTcp(s) = p.nexus else {
            panic!("not nvme: {url}")
        };
        (s, p.nsid)
    }

    #[test]
    fn full_url() {
        let (s, nsid) = nvme(
            "nvme-tcp://10.0.0.1:4421/nqn.2026-01.x:s?nsid=3&src=10.0.0.9&iface=eth1&hdgst=1&ddgst=1&cc=cubic",
        );
        assert_eq!((s.host.as_str(), s.port, nsid), ("10.0.0.1", 4421, Some(3)));
        assert_eq!(s.subsystem_nqn, "nqn.2026-01.x:s");
        assert!(s.header_digest && s.data_digest);
        assert_eq!(s.tcp.interface.as_deref(), Some("eth1"));
        assert_eq!(s.tcp.congestion.as_deref(), Some("cubic"));
    }

    #[test]
    fn the_transport_is_a_setting_and_no_part_of_the_nexus() {
        let (s, _) = nvme("nvme-tcp://h/n?transport=uring");
        assert_eq!(s.tcp.driver, Some(Driver::Uring));
        assert_eq!(nvme("nvme-tcp://h/n").0.tcp.driver, None);
        let id = |u: &str| PathSpec::parse(u).unwrap().nexus.id();
        assert_eq!(id("nvme-tcp://h/n"), id("nvme-tcp://h/n?transport=tcp"));
        let bad = PathSpec::parse("nvme-tcp://h/n?transport=rdma").unwrap_err();
        assert!(bad.to_string().contains("tcp or uring"));
    }

    #[test]
    fn ipv6_in_brackets_and_the_default_port() {
        let (s, _) = nvme("nvme-tcp://[fd00::1]/nqn.a");
        assert_eq!((s.host.as_str(), s.port), ("fd00::1", 4420));
        assert_eq!(s.portal(), "[fd00::1]:4420");
        assert!(PathSpec::parse("nvme-tcp://fd00::1:4420/nqn.a").is_err());
    }

    #[test]
    fn the_id_depends_on_what_makes_the_nexus_and_on_nothing_else() {
        let id = |u: &str| PathSpec::parse(u).unwrap().nexus.id();
        assert_eq!(
            id("nvme-tcp://h:1/n?nsid=1"),
            id("nvme-tcp://h:1/n?nsid=2&hdgst=1")
        );
        assert_ne!(id("nvme-tcp://h:1/n"), id("nvme-tcp://h:2/n"));
        assert_ne!(id("nvme-tcp://h:1/n"), id("nvme-tcp://h:1/n?src=1.2.3.4"));
    }

    #[test]
    fn errors_name_what_is_wrong() {
        let text = |u: &str| PathSpec::parse(u).unwrap_err().to_string();
        assert!(text("http://x").contains("unknown scheme"));
        assert!(text("nvme-tcp://h").contains("NQN is missing"));
        assert!(text("nvme-tcp://h:99999/n").contains("not a port"));
        assert!(text("nvme-tcp://h/n?nsid=0").contains("namespace id from 1"));
        assert!(text("nvme-tcp://h/n?foo=1").contains("unknown option 'foo'"));
    }
}
