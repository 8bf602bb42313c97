//! Arguments of `umpio target`.

use std::path::PathBuf;
use std::str::FromStr;

use clap::Args;

use crate::base::authority;
use crate::cli::bench::args::parse_policy;
use crate::cli::error::CliError;
use crate::control::config::listen::connections;
use crate::control::target::{Chap, PortalSpec};
use crate::engine::reactor::LunSpec;
use crate::lun::policy::PolicySpec;
use crate::path::access::AccessState;
use crate::path::iscsi_url::ISCSI_PORT;
use crate::path::local::{LocalSpec, SpecError};
use crate::path::url::NVME_TCP_PORT;
use crate::proto::iscsi::chap::{Credentials, Secret};
use crate::proto::iscsi::discovery::Portal;
use crate::transport::Driver;

const EXAMPLES: &str = "\
Examples:
  umpio target --listen nvme-tcp://127.0.0.1:4420/nqn.2024-01.io.umpio:a --backing mem:1G
  umpio target --backing file:/var/lib/disk.img \\
    --listen 'nvme-tcp://10.0.0.1/nqn.2024-01.io.umpio:a?group=1&access=optimized' \\
    --listen 'nvme-tcp://10.0.1.1/nqn.2024-01.io.umpio:a?group=2&access=non-optimized'
  umpio target --backing lun:array --policy least-queue-depth \\
    --path nvme-tcp://10.0.0.1/nqn.2024-01.com.example:array \\
    --path nvme-tcp://10.0.1.1/nqn.2024-01.com.example:array \\
    --listen nvme-tcp://192.168.0.1/nqn.2024-01.io.umpio:gateway --rpc /run/umpio.sock
  umpio target --backing mem:1G --listen nvme-tcp://127.0.0.1/nqn.2024-01.io.umpio:a \\
    --listen 'iscsi://127.0.0.1/iqn.2024-01.io.umpio:a/0?group=2&access=standby'

Portals with the same NQN serve one subsystem; portals with the same group change their access
state together. An iSCSI portal with moved=HOST:PORT or moved_for_good=HOST:PORT sends logins on
to that portal. cc=NAME sets their congestion control. Port 0 takes a free port; the URLs to connect to are printed once the target
listens. Runs until interrupted.

A null: device leaves in a buffer what was there, which over the network would be what others
have read or written. So zero=1 is added to a null: that is served and does not say zero=0.

--rpc is JSON-RPC 2.0, for the owner of the socket only (mode 0600). Methods:
  target_status
  target_set_access {group, state}: optimized, non_optimized, standby (NVMe: inaccessible),
                    inaccessible, persistent_loss or change
  target_set_fault  {portal, fault, ms}: none (all off), drop, delay (by ms), hold, reset (once)
                    or refuse; over iSCSI also busy_groups (REPORT and SET TARGET PORT GROUPS are
                    answered with BUSY), hold_groups (they wait until it is switched off) and
                    refuse_groups (SET TARGET PORT GROUPS fails);
                    portals of both protocols count from 0, as they were given
  target_add_portal {address, group, state}: over NVMe/TCP
  rpc_get_methods
For example:
  echo '{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"target_status\"}' | nc -N -U /run/umpio.sock";

/// Serve a LUN over NVMe/TCP and iSCSI
#[derive(Clone, Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct TargetArgs {
    /// Where to listen, and as what; repeat it for each further portal
    #[arg(long = "listen", value_name = "URL", required = true)]
    pub listen: Vec<Listen>,

    /// What is served: mem:SIZE, null:SIZE (keeps nothing, reads as zeroes unless it says zero=0),
    /// file:PATH, or lun:NAME, a LUN over the paths given by --path
    #[arg(long, value_name = "BACKING", value_parser = parse_backing)]
    pub backing: Backing,

    /// A path of lun:NAME; repeat it for each further path. Serving begins with the first that is
    /// there
    #[arg(long = "path", value_name = "URL")]
    pub paths: Vec<String>,

    /// Load-balance policy of lun:NAME: a name, a Windows abbreviation (RR, LQD...) or a number
    #[arg(long, value_parser = parse_policy)]
    pub policy: Option<PolicySpec>,

    /// iSCSI: only a host that proves by CHAP to know this may log in; repeat it for each further
    /// user. USER%SECRET as in a path's URL, or a file with one of them a line
    #[arg(long, value_name = "USER%SECRET|@FILE", value_parser = parse_chap)]
    pub chap: Vec<Users>,

    /// iSCSI: what the target proves to hosts that ask (mutual CHAP)
    #[arg(long, value_name = "USER%SECRET|@FILE", value_parser = parse_chap)]
    pub target_chap: Option<Users>,

    /// Take commands on this Unix socket
    #[arg(long, value_name = "SOCKET")]
    pub rpc: Option<PathBuf>,

    /// Pin the target to this CPU
    #[arg(long, value_name = "N")]
    pub cpu: Option<usize>,

    /// Print one JSON object on stdout once it listens
    #[arg(long)]
    pub json: bool,
}

pub use crate::control::target::Protocol;

/// A portal: `nvme-tcp://HOST[:PORT]/NQN` or `iscsi://HOST[:PORT]/IQN/LUN`, each with
/// `[?group=N&access=STATE&cc=NAME&transport=tcp|uring]`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Listen {
    /// Host and port as they go to the resolver; IPv6 in brackets.
    pub host: String,
    pub port: u16,
    pub protocol: Protocol,
    /// NQN of the subsystem, or iSCSI name of the target.
    pub nqn: String,
    /// ANA group, or target port group: 1 and up.
    pub group: u32,
    pub access: AccessState,
    /// Congestion control of its connections; the system's default without.
    pub congestion: Option<String>,
    /// How its connections are driven.
    pub driver: Option<Driver>,
    /// iSCSI: where logins are sent on to, and whether for good.
    pub moved: Option<(String, bool)>,
    /// Connections of a session, over iSCSI.
    pub connections: Option<u16>,
}

impl Listen {
    /// What is served there.
    pub fn spec(&self) -> PortalSpec {
        PortalSpec {
            protocol: self.protocol,
            name: self.nqn.clone(),
            group: self.group,
            access: self.access,
            moved: self.moved.clone(),
            connections: self.connections,
        }
    }
}

impl FromStr for Listen {
    type Err = String;

    fn from_str(url: &str) -> Result<Self, String> {
        let (rest, iscsi) = match (
            url.strip_prefix("nvme-tcp://"),
            url.strip_prefix("iscsi://"),
        ) {
            (Some(rest), _) => (rest, false),
            (None, Some(rest)) => (rest, true),
            (None, None) => {
                return Err("write a portal as nvme-tcp://HOST[:PORT]/NQN or \
                     iscsi://HOST[:PORT]/IQN/LUN, each with [?group=N&access=STATE&cc=NAME]"
                    .to_owned());
            }
        };
        let (place, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (authority, name) = place.split_once('/').ok_or(if iscsi {
            "the target's iSCSI name is missing after the host"
        } else {
            "the subsystem NQN is missing after the host"
        })?;
        let (nqn, protocol) = if iscsi {
            let (name, lun) = name
                .split_once('/')
                .ok_or("the LUN is missing after the target's name: iscsi://HOST/IQN/0")?;
            let lun = lun.parse().ok().filter(|lun| *lun < 256);
            let lun = lun.ok_or("a LUN is a number from 0 to 255")?;
            (name, Protocol::Iscsi(lun))
        } else {
            (name, Protocol::NvmeTcp)
        };
        if nqn.is_empty() || nqn.len() > 223 {
            let what = if iscsi { "iSCSI name" } else { "subsystem NQN" };
            return Err(format!("the {what} must have 1 to 223 bytes"));
        }
        let (host, port) = authority::split(authority)?;
        let port = port.unwrap_or(if iscsi { ISCSI_PORT } else { NVME_TCP_PORT });
        let mut listen = Self {
            host: host.to_owned(),
            port,
            protocol,
            nqn: nqn.to_owned(),
            group: 1,
            access: AccessState::Optimized,
            congestion: None,
            driver: None,
            moved: None,
            connections: None,
        };
        for item in query.split('&').filter(|i| !i.is_empty()) {
            match item.split_once('=').unwrap_or((item, "")) {
                ("group", n) => {
                    listen.group = n
                        .parse()
                        .ok()
                        .filter(|&n| n > 0 && (!iscsi || n <= u32::from(u16::MAX)))
                        .ok_or_else(|| format!("group={n}: a group is a number from 1 up"))?;
                }
                ("access", name) if iscsi && name.eq_ignore_ascii_case("standby") => {
                    listen.access = AccessState::Standby;
                }
                ("access", name) => listen.access = parse_access(name)?,
                ("cc", "") => return Err("cc= wants a name, such as cubic".to_owned()),
                ("cc", name) => listen.congestion = Some(name.to_owned()),
                ("connections", n) if iscsi => listen.connections = Some(connections(n)?),
                ("transport", name) => {
                    let driver = Driver::parse(name)
                        .ok_or_else(|| format!("transport={name}: known are tcp, uring"))?;
                    listen.driver = Some(driver);
                }
                ("moved" | "moved_for_good", to) if iscsi => {
                    let portal = Portal::from_value(to).filter(|_| !to.contains(','));
                    if portal.is_none() {
                        return Err(format!("{item}: HOST[:PORT] is wanted"));
                    }
                    listen.moved = Some((to.to_owned(), item.starts_with("moved_for_good")));
                }
                (key, _) => {
                    return Err(format!(
                        "unknown option '{key}'; known are group, access, cc, transport, and for iSCSI connections, \
                         moved and moved_for_good"
                    ));
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

/// What is served.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Backing {
    /// A local path, by its URL.
    Local(String),
    /// A LUN over paths, by its name.
    Lun(String),
}

/// For clap: a backing, with what is added to it when it is served.
fn parse_backing(text: &str) -> Result<Backing, String> {
    if let Some(name) = text.strip_prefix("lun:") {
        let good = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
        if name.is_empty() || name.len() > 64 || !name.chars().all(good) {
            return Err("a LUN's name has 1 to 64 letters, digits, '-', '_' or '.'".to_owned());
        }
        return Ok(Backing::Lun(name.to_owned()));
    }
    match text.parse::<LocalSpec>() {
        Ok(_) => Ok(Backing::Local(served(text))),
        Err(SpecError::Scheme(_)) => Err(format!(
            "'{text}' cannot be served; mem:SIZE, null:SIZE, file:PATH and lun:NAME can"
        )),
        Err(e) => Err(e.to_string()),
    }
}

/// A path as it is when others read what it gives: a `null:` that does not say otherwise is made
/// to give zeroes, and not what some buffer held before.
fn served(url: &str) -> String {
    let options = url.split_once('?').map_or("", |(_, options)| options);
    let says = options.split('&').any(|o| o.starts_with("zero="));
    match url.parse() {
        Ok(LocalSpec::Null { bytes, uuid, .. }) if !says => LocalSpec::Null {
            bytes,
            uuid,
            zero: true,
        }
        .to_string(),
        _ => url.to_owned(),
    }
}

/// One user, or those of a file.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Users(pub Vec<Credentials>);

/// For clap. A file keeps secrets out of the list of processes.
fn parse_chap(text: &str) -> Result<Users, String> {
    let Some(file) = text.strip_prefix('@') else {
        return Ok(Users(vec![parse_user(text)?]));
    };
    let text = std::fs::read_to_string(file).map_err(|e| format!("{file}: {e}"))?;
    let lines = text.lines().map(str::trim);
    let lines = lines.filter(|l| !l.is_empty() && !l.starts_with('#'));
    let users: Vec<_> = lines.map(parse_user).collect::<Result<_, _>>()?;
    if users.is_empty() {
        return Err(format!("{file} names no user"));
    }
    Ok(Users(users))
}

fn parse_user(text: &str) -> Result<Credentials, String> {
    let (name, secret) = text
        .split_once('%')
        .filter(|(name, _)| !name.is_empty())
        .ok_or("a user is written USER%SECRET")?;
    let secret = Secret::new(secret).ok_or("a CHAP secret has 1 to 255 bytes")?;
    Ok(Credentials {
        name: name.to_owned(),
        secret,
    })
}

impl TargetArgs {
    /// Who may log in over iSCSI.
    ///
    /// # Errors
    /// Arguments that do not go together.
    pub fn chap(&self) -> Result<Chap, CliError> {
        let hosts = self.chap.iter().flat_map(|u| u.0.clone()).collect();
        let ours = match &self.target_chap {
            None => None,
            Some(Users(all)) if all.len() == 1 => all.first().cloned(),
            Some(_) => return Err(CliError::usage("--target-chap names more than one user")),
        };
        let chap = Chap { hosts, ours };
        if chap == Chap::default() {
            return Ok(chap);
        }
        if !self
            .listen
            .iter()
            .any(|l| matches!(l.protocol, Protocol::Iscsi(_)))
        {
            return Err(CliError::usage(
                "--chap is for iSCSI portals, and there is none",
            ));
        }
        if chap.hosts.is_empty() {
            return Err(CliError::usage("--target-chap without --chap").advice(
                "a target proves itself to hosts that have proved themselves: add --chap",
            ));
        }
        Ok(chap)
    }

    /// The LUN to open.
    ///
    /// # Errors
    /// Arguments that do not go together.
    pub fn lun(&self) -> Result<LunSpec, CliError> {
        let (name, urls) = match &self.backing {
            Backing::Local(_) if !self.paths.is_empty() || self.policy.is_some() => {
                return Err(
                    CliError::usage("--path and --policy are for a lun: backing")
                        .advice("use --backing lun:NAME with them"),
                );
            }
            Backing::Local(url) => ("backing", vec![url.clone()]),
            Backing::Lun(name) if self.paths.is_empty() => {
                return Err(CliError::usage(format!("lun:{name} has no path"))
                    .advice("name each way to it with --path URL"));
            }
            Backing::Lun(name) => {
                let urls = self.paths.iter().map(|url| served(url));
                (name.as_str(), urls.collect())
            }
        };
        Ok(LunSpec {
            name: name.to_owned(),
            urls,
            policy: self.policy,
            ..LunSpec::default()
        })
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
        let l: Listen = "nvme-tcp://h/nqn.x?cc=cubic".parse().expect("valid");
        assert_eq!(l.congestion.as_deref(), Some("cubic"));
        let l: Listen = "iscsi://h/iqn.x/7?access=standby".parse().expect("valid");
        assert_eq!((l.port, l.protocol), (3260, Protocol::Iscsi(7)));
        assert_eq!((l.nqn.as_str(), l.access), ("iqn.x", AccessState::Standby));
        let l: Listen = "iscsi://h/iqn.x/7?moved_for_good=[::1]:3261"
            .parse()
            .expect("valid");
        assert_eq!(l.moved, Some(("[::1]:3261".to_owned(), true)));
        let l: Listen = "nvme-tcp://host/nqn.x".parse().expect("valid");
        assert_eq!(
            (l.port, l.group, l.access),
            (4420, 1, AccessState::Optimized)
        );
    }

    #[test]
    fn a_portal_that_is_wrong_says_what_is_wrong() {
        let bad = |text: &str| text.parse::<Listen>().expect_err(text);
        assert!(bad("scsi://h/x").contains("nvme-tcp://"));
        assert!(bad("iscsi://h/iqn.x").contains("LUN"));
        assert!(bad("iscsi://h/iqn.x/256").contains("255"));
        assert!(bad("iscsi://h/iqn.x/0?group=65536").contains("group"));
        assert!(bad("nvme-tcp://h").contains("NQN"));
        assert!(bad("nvme-tcp://:1/nqn").contains("host"));
        assert!(bad("nvme-tcp://::1/nqn").contains("brackets"));
        assert!(bad("nvme-tcp://h/n?access=standby").contains("non-optimized"));
        assert!(bad("nvme-tcp://h/n?transport=rdma").contains("uring"));
        assert!(bad("nvme-tcp://h/n?groop=1").contains("groop"));
        assert!(bad("nvme-tcp://h/n?cc=").contains("cubic"));
        assert!(bad("nvme-tcp://h/n?moved=h").contains("moved"));
        assert!(bad("iscsi://h/iqn.x/0?moved=:1").contains("HOST"));
    }

    #[test]
    fn users_come_one_by_one_or_from_a_file() {
        let one = parse_chap("me%a%b").expect("a user");
        assert_eq!(one.0[0].name, "me");
        assert_eq!(Some(&one.0[0].secret), Secret::new("a%b").as_ref());
        for bad in ["me", "%a", "me%", "@/no/such/file"] {
            assert!(parse_chap(bad).is_err(), "{bad}");
        }
        let name = format!("umpio-users-{}", std::process::id());
        let file = std::env::temp_dir().join(name);
        std::fs::write(&file, "# hosts\na%one\n\n b%two \n").expect("written");
        let users = parse_chap(&format!("@{}", file.display())).expect("two users");
        let names: Vec<_> = users.0.iter().map(|u| u.name.as_str()).collect();
        assert_eq!(names, ["a", "b"]);
        std::fs::write(&file, "# nobody\n").expect("written");
        assert!(parse_chap(&format!("@{}", file.display())).is_err());
        std::fs::remove_file(file).expect("removed");
    }

    #[test]
    fn a_backing_is_memory_nothing_a_file_or_a_lun() {
        for good in ["mem:64M", "null:1T?zero=1", "null:1T?zero=0", "file:/a:b"] {
            assert_eq!(parse_backing(good), Ok(Backing::Local(good.to_owned())));
        }
        assert_eq!(
            parse_backing("lun:a-1.x"),
            Ok(Backing::Lun("a-1.x".to_owned()))
        );
        for bad in ["mem:0", "disk", "file:", "mem:1M?size=2", "lun:", "lun:a b"] {
            assert!(parse_backing(bad).is_err(), "{bad}");
        }
        assert!(parse_backing("disk").expect_err("no").contains("lun:NAME"));
    }

    #[test]
    fn a_null_device_that_is_served_gives_zeroes_unless_told_otherwise() {
        let id = "uuid=67e55044-10b1-426f-9247-bb680e5fe0c8";
        assert_eq!(served("null:1G"), "null:1G?zero=1");
        assert_eq!(
            served(&format!("null:1G?{id}")),
            format!("null:1G?zero=1&{id}")
        );
        for kept in ["null:1G?zero=0", "mem:1M", "file:null:?", "nvme-tcp://h/n"] {
            assert_eq!(served(kept), kept);
        }
    }
}
