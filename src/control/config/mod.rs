//! The config file: what should be.
//!
//! - `file`: the TOML, as it is written
//! - [`timers`]: the Windows timers
//! - [`listen`]: portals of served LUNs
//! - [`ConfigError`]: the line, the key, what is allowed
//!
//! A [`Config`] that exists is valid by itself: URLs parse, names are unique, policies are known.
//! Whether a path can be reached, or a policy suits its target, is not a matter of config: the engine
//! keeps trying, and says why it is not there yet.

mod error;
mod file;
pub mod listen;
#[cfg(test)]
mod tests;
pub mod timers;

pub use error::ConfigError;
pub use listen::Portal;
pub use timers::Timers;

use crate::base::limits;
use crate::control::jsonrpc::CALLS_PER_SECOND;
use crate::control::target::{Chap, Protocol};
use crate::lun::policy::{Policy, PolicySpec, VendorPolicy};
use crate::path::local::LocalSpec;
use crate::path::url::{NexusSpec, PathSpec};
use crate::proto::iscsi::chap::{Credentials, Secret};
use std::net::SocketAddr;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;
use uuid::Uuid;

/// LUNs of one daemon at most.
pub const LUNS_MAX: usize = 1024;
/// Reactors of one daemon at most.
pub const REACTORS_MAX: u64 = 64;
/// A config file in bytes at most.
const FILE_MAX: u64 = 4 << 20;

/// What should be.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Config {
    /// Where it was read from; nothing for the defaults.
    pub file: Option<PathBuf>,
    pub socket: PathBuf,
    /// RPC clients at a time.
    pub connections: usize,
    /// Calls that all of them together get done in a second.
    pub calls_per_second: u64,
    pub state_dir: PathBuf,
    pub host: HostConfig,
    pub reactors: ReactorsConfig,
    pub timers: Timers,
    /// DSM-wide default policy.
    pub default_policy: Option<PolicySpec>,
    /// Where metrics are served; off without.
    pub metrics: Option<SocketAddr>,
    pub log: LogConfig,
    pub luns: Vec<LunConfig>,
    pub serves: Vec<ServeConfig>,
    /// What the command line says instead of the file.
    pub pinned: Pinned,
}

/// Keys that the command line has the last word on, over reloads too.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Pinned {
    pub socket: Option<PathBuf>,
    pub state_dir: Option<PathBuf>,
}

/// Who this host is to targets. What is not given is made once and kept in the state.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct HostConfig {
    pub nqn: Option<String>,
    pub id: Option<Uuid>,
    pub initiator_name: Option<String>,
}

/// The polling threads.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ReactorsConfig {
    pub count: usize,
    /// CPU of each, in order; fewer than reactors leave the rest unpinned.
    pub cpus: Vec<usize>,
    /// How long a reactor polls on after its last work.
    pub spin: Duration,
}

/// How the daemon logs.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LogConfig {
    pub level: String,
    /// One JSON object a line.
    pub json: bool,
}

/// A LUN that should be open.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LunConfig {
    pub name: String,
    pub policy: Option<PolicySpec>,
    /// URLs, in list order.
    pub paths: Vec<String>,
    /// By place in `paths`; 0 where missing.
    pub weights: Vec<u32>,
    pub flags: LunFlags,
}

/// What a LUN is allowed.
#[derive(Copy, Clone, PartialEq, Eq, Debug, Default)]
pub struct LunFlags {
    /// Paths join whose identity has nothing in common with the LUN's.
    pub trust_paths: bool,
    /// Targets are told which access states to have (SET TARGET PORT GROUPS).
    pub explicit_alua: bool,
}

/// A LUN that should be served on.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ServeConfig {
    pub lun: String,
    pub portals: Vec<Portal>,
    pub reactor: usize,
    /// Who may log in over iSCSI.
    pub chap: Chap,
}

impl Config {
    /// Reads a file.
    ///
    /// # Errors
    /// It cannot be read, or something in it is wrong.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        let fail = |what: String| ConfigError {
            file: path.display().to_string(),
            line: 0,
            key: String::new(),
            what,
            allowed: None,
        };
        let meta = std::fs::metadata(path).map_err(|e| fail(format!("cannot be read: {e}")))?;
        if meta.len() > FILE_MAX {
            return Err(fail(format!(
                "has {} bytes; {FILE_MAX} at most",
                meta.len()
            )));
        }
        let text =
            std::fs::read_to_string(path).map_err(|e| fail(format!("cannot be read: {e}")))?;
        let mut config = Self::parse(&text, &path.display().to_string())?;
        config.file = Some(path.to_owned());
        Ok(config)
    }

    /// Puts what the command line says in the place of what the file says.
    pub fn pin(&mut self, pinned: Pinned) {
        if let Some(socket) = &pinned.socket {
            self.socket.clone_from(socket);
        }
        if let Some(dir) = &pinned.state_dir {
            self.state_dir.clone_from(dir);
        }
        self.pinned = pinned;
    }

    /// Reads the text of a file; `name` is for complaints.
    ///
    /// # Errors
    /// Something in it is wrong.
    pub fn parse(text: &str, name: &str) -> Result<Self, ConfigError> {
        let raw: file::File = toml::from_str(text).map_err(|e| syntax(text, name, &e))?;
        Reader { text, name }.config(raw)
    }
}

impl Default for Config {
    /// What a daemon without a file does.
    fn default() -> Self {
        Self::parse("", "defaults").expect("an empty config is valid")
    }
}

/// What the parser says, with its line and key.
fn syntax(text: &str, name: &str, e: &toml::de::Error) -> ConfigError {
    let at = e.span().map_or(0, |s| s.start);
    let line = line_of(text, at);
    let source = text.lines().nth(line - 1).unwrap_or("");
    let key = source.split_once('=').map_or_else(String::new, |(k, _)| {
        let table = text[..at.min(text.len())]
            .lines()
            .rev()
            .find(|l| l.trim_start().starts_with('['))
            .map(|l| l.trim().trim_matches(['[', ']']).to_owned());
        match table {
            Some(table) => format!("{table}.{}", k.trim()),
            None => k.trim().to_owned(),
        }
    });
    let message = e.message().trim().to_owned();
    let (what, allowed) = match message.split_once(", expected ") {
        Some((what, allowed)) => (what.to_owned(), Some(allowed.replace('`', ""))),
        None => (message, None),
    };
    ConfigError {
        file: name.to_owned(),
        line,
        key,
        what,
        allowed,
    }
}

fn line_of(text: &str, at: usize) -> usize {
    let at = at.min(text.len());
    text.as_bytes()[..at]
        .iter()
        .filter(|b| **b == b'\n')
        .count()
        + 1
}

/// Reads values whose place in the text is known.
struct Reader<'a> {
    text: &'a str,
    name: &'a str,
}

impl Reader<'_> {
    fn wrong(
        &self,
        span: Range<usize>,
        key: impl Into<String>,
        what: impl Into<String>,
        allowed: impl Into<String>,
    ) -> ConfigError {
        ConfigError {
            file: self.name.to_owned(),
            line: line_of(self.text, span.start),
            key: key.into(),
            what: what.into(),
            allowed: Some(allowed.into()),
        }
    }

    fn config(&self, raw: file::File) -> Result<Config, ConfigError> {
        let host = self.host(&raw.host)?;
        let reactors = self.reactors(&raw.reactors)?;
        let mut timers = Timers::default();
        for (name, number) in raw.timers.given() {
            let value = number.get_ref().value();
            timers.set(name, value).map_err(|allowed| {
                let key = format!("timers.{name}");
                self.wrong(number.span(), key, format!("is {value}"), allowed)
            })?;
        }
        let default_policy = match &raw.defaults.policy {
            Some(text) => Some(self.default_policy(text)?),
            None => None,
        };
        let metrics = match &raw.metrics.listen {
            None => None,
            Some(text) => Some(text.get_ref().parse().map_err(|_| {
                let what = format!("'{}' is no address", text.get_ref());
                self.wrong(
                    text.span(),
                    "metrics.listen",
                    what,
                    "an IP address and a port, as in 127.0.0.1:9464",
                )
            })?),
        };
        let connections = match &raw.rpc.connections {
            None => 512,
            Some(n) => self.number(n, "rpc.connections", 1..=4096)? as usize,
        };
        let calls_per_second = match &raw.rpc.calls_per_second {
            None => CALLS_PER_SECOND,
            Some(n) => self.number(n, "rpc.calls_per_second", 10..=1_000_000)?,
        };
        let luns = self.luns(&raw.lun)?;
        let serves = self.serves(&raw.serve, &luns, reactors.count)?;
        Ok(Config {
            file: None,
            socket: raw.rpc.socket.unwrap_or_else(default_socket),
            connections,
            calls_per_second,
            state_dir: raw.state.dir.unwrap_or_else(default_state_dir),
            host,
            reactors,
            timers,
            default_policy,
            metrics,
            log: self.log(&raw.log)?,
            luns,
            serves,
            pinned: Pinned::default(),
        })
    }

    fn number(
        &self,
        n: &toml::Spanned<u64>,
        key: &str,
        range: std::ops::RangeInclusive<u64>,
    ) -> Result<u64, ConfigError> {
        let value = *n.get_ref();
        if range.contains(&value) {
            return Ok(value);
        }
        let allowed = format!("{} to {}", range.start(), range.end());
        Err(self.wrong(n.span(), key, format!("is {value}"), allowed))
    }

    fn host(&self, raw: &file::Host) -> Result<HostConfig, ConfigError> {
        let mut host = HostConfig::default();
        if let Some(nqn) = &raw.nqn {
            let text = nqn.get_ref();
            if !text.starts_with("nqn.") || text.len() > 223 {
                let what = format!("'{text}' is no NQN");
                return Err(self.wrong(nqn.span(), "host.nqn", what, "nqn.…, 223 bytes at most"));
            }
            host.nqn = Some(text.clone());
        }
        if let Some(id) = &raw.id {
            host.id = Some(Uuid::parse_str(id.get_ref()).map_err(|_| {
                let what = format!("'{}' is no UUID", id.get_ref());
                self.wrong(id.span(), "host.id", what, "a UUID")
            })?);
        }
        if let Some(name) = &raw.initiator_name {
            let text = name.get_ref();
            let known = ["iqn.", "eui.", "naa."].iter().any(|p| text.starts_with(p));
            if !known || text.len() > 223 {
                let what = format!("'{text}' is no iSCSI name");
                let allowed = "iqn.…, eui.… or naa.…, 223 bytes at most";
                return Err(self.wrong(name.span(), "host.initiator_name", what, allowed));
            }
            host.initiator_name = Some(text.clone());
        }
        Ok(host)
    }

    fn reactors(&self, raw: &file::Reactors) -> Result<ReactorsConfig, ConfigError> {
        let count = match &raw.count {
            None => 1,
            Some(n) => self.number(n, "reactors.count", 1..=REACTORS_MAX)? as usize,
        };
        let cpus = raw
            .cpus
            .as_ref()
            .map_or(Vec::new(), |c| c.get_ref().clone());
        if cpus.len() > count {
            let span = raw.cpus.as_ref().map_or(0..0, toml::Spanned::span);
            let what = format!("names {} CPUs for {count} reactors", cpus.len());
            return Err(self.wrong(
                span,
                "reactors.cpus",
                what,
                "one CPU for each reactor at most",
            ));
        }
        Ok(ReactorsConfig {
            count,
            cpus,
            spin: Duration::from_micros(u64::from(raw.spin_us.unwrap_or(50))),
        })
    }

    fn log(&self, raw: &file::Log) -> Result<LogConfig, ConfigError> {
        let levels = ["error", "warn", "info", "debug", "trace"];
        let level = match &raw.level {
            None => "info",
            Some(text) if levels.contains(&text.get_ref().as_str()) => text.get_ref(),
            Some(text) => {
                let what = format!("'{}' is no level", text.get_ref());
                return Err(self.wrong(text.span(), "log.level", what, levels.join(", ")));
            }
        };
        let json = match raw.format.as_ref().map(|t| (t, t.get_ref().as_str())) {
            None | Some((_, "text")) => false,
            Some((_, "json")) => true,
            Some((text, other)) => {
                let what = format!("'{other}' is no format");
                return Err(self.wrong(text.span(), "log.format", what, "text, json"));
            }
        };
        Ok(LogConfig {
            level: level.to_owned(),
            json,
        })
    }

    fn default_policy(&self, text: &file::Text) -> Result<PolicySpec, ConfigError> {
        let spec = self.policy(text, "defaults.policy")?;
        if spec.policy() == Policy::VendorSpecific {
            let what = "a vendor policy is no DSM-wide default";
            return Err(self.wrong(text.span(), "defaults.policy", what, policy_names(false)));
        }
        Ok(spec)
    }

    fn policy(&self, text: &file::Text, key: &str) -> Result<PolicySpec, ConfigError> {
        PolicySpec::parse(text.get_ref()).ok_or_else(|| {
            let what = format!("'{}' is no policy", text.get_ref());
            self.wrong(text.span(), key, what, policy_names(true))
        })
    }

    fn luns(&self, raw: &[toml::Spanned<file::Lun>]) -> Result<Vec<LunConfig>, ConfigError> {
        let mut luns: Vec<LunConfig> = Vec::with_capacity(raw.len());
        for (i, lun) in raw.iter().enumerate() {
            if i >= LUNS_MAX {
                let what = format!("{} LUNs are configured", raw.len());
                return Err(self.wrong(lun.span(), "lun", what, format!("{LUNS_MAX} at most")));
            }
            let lun = lun.get_ref();
            let name = lun.name.get_ref();
            let key = |k: &str| format!("lun[{i}].{k}");
            check_name(name)
                .map_err(|what| self.wrong(lun.name.span(), key("name"), what, NAME_ALLOWED))?;
            if luns.iter().any(|l| l.name == *name) {
                let what = format!("'{name}' is the name of an earlier LUN");
                return Err(self.wrong(lun.name.span(), key("name"), what, "names that differ"));
            }
            let policy = self.lun_policy(lun, &key)?;
            let paths: Vec<&str> = lun
                .paths
                .get_ref()
                .iter()
                .map(|p| p.get_ref().as_str())
                .collect();
            if let Err((n, what)) = check_paths(&paths) {
                let span = lun
                    .paths
                    .get_ref()
                    .get(n)
                    .map_or(lun.paths.span(), toml::Spanned::span);
                return Err(self.wrong(span, key(&format!("paths[{n}]")), what, PATHS_ALLOWED));
            }
            let weights = lun
                .weights
                .as_ref()
                .map_or(Vec::new(), |w| w.get_ref().clone());
            if weights.len() > paths.len() {
                let span = lun.weights.as_ref().map_or(0..0, toml::Spanned::span);
                let what = format!("{} weights for {} paths", weights.len(), paths.len());
                return Err(self.wrong(
                    span,
                    key("weights"),
                    what,
                    "one weight for each path at most",
                ));
            }
            luns.push(LunConfig {
                name: name.clone(),
                policy,
                paths: paths.into_iter().map(str::to_owned).collect(),
                weights,
                flags: LunFlags {
                    trust_paths: lun.trust_paths,
                    explicit_alua: lun.explicit_alua,
                },
            });
        }
        Ok(luns)
    }

    fn lun_policy(
        &self,
        lun: &file::Lun,
        key: &dyn Fn(&str) -> String,
    ) -> Result<Option<PolicySpec>, ConfigError> {
        let policy = match &lun.policy {
            Some(text) => Some(self.policy(text, &key("policy"))?),
            None => None,
        };
        let Some(text) = &lun.vendor_policy else {
            return Ok(policy);
        };
        let vendor = VendorPolicy::parse(text.get_ref()).ok_or_else(|| {
            let what = format!("'{}' is no vendor policy", text.get_ref());
            self.wrong(text.span(), key("vendor_policy"), what, "latency, share")
        })?;
        match policy {
            None => Ok(Some(PolicySpec::vendor(vendor))),
            Some(p) if p.policy() == Policy::VendorSpecific => Ok(Some(PolicySpec::vendor(vendor))),
            Some(p) => Err(self.wrong(
                text.span(),
                key("vendor_policy"),
                format!("policy is {p}, so this has no meaning"),
                "policy = \"vendor-specific\" beside it, or no policy at all",
            )),
        }
    }

    fn serves(
        &self,
        raw: &[toml::Spanned<file::Serve>],
        luns: &[LunConfig],
        reactors: usize,
    ) -> Result<Vec<ServeConfig>, ConfigError> {
        let mut serves: Vec<ServeConfig> = Vec::with_capacity(raw.len());
        for (i, serve) in raw.iter().enumerate() {
            let serve = serve.get_ref();
            let key = |k: &str| format!("serve[{i}].{k}");
            let lun = serve.lun.get_ref();
            if !luns.iter().any(|l| l.name == *lun) {
                let names: Vec<&str> = luns.iter().map(|l| l.name.as_str()).collect();
                let what = format!("there is no LUN '{lun}'");
                return Err(self.wrong(
                    serve.lun.span(),
                    key("lun"),
                    what,
                    format!("a [[lun]] of this file: {}", names.join(", ")),
                ));
            }
            if serves.iter().any(|s| s.lun == *lun) {
                let what = format!("LUN '{lun}' is served by an earlier entry");
                return Err(self.wrong(
                    serve.lun.span(),
                    key("lun"),
                    what,
                    "one entry with several portals",
                ));
            }
            let mut portals = Vec::new();
            for (n, url) in serve.listen.get_ref().iter().enumerate() {
                let portal = Portal::parse(url.get_ref()).map_err(|what| {
                    self.wrong(
                        url.span(),
                        key(&format!("listen[{n}]")),
                        what,
                        listen::ALLOWED,
                    )
                })?;
                portals.push(portal);
            }
            if portals.is_empty() {
                let what = "names no portal";
                return Err(self.wrong(serve.listen.span(), key("listen"), what, listen::ALLOWED));
            }
            let reactor = match &serve.reactor {
                None => 0,
                Some(n) => self.number(n, &key("reactor"), 0..=reactors as u64 - 1)? as usize,
            };
            serves.push(ServeConfig {
                lun: lun.clone(),
                chap: self.chap(serve, &portals, &key)?,
                portals,
                reactor,
            });
        }
        Ok(serves)
    }

    fn chap(
        &self,
        serve: &file::Serve,
        portals: &[Portal],
        key: &dyn Fn(&str) -> String,
    ) -> Result<Chap, ConfigError> {
        let user = |u: &file::User, place: String| {
            if u.user.get_ref().is_empty() {
                let what = "is empty";
                return Err(self.wrong(u.user.span(), place + ".user", what, "a name"));
            }
            let secret = Secret::new(u.secret.get_ref()).ok_or_else(|| {
                let what = "cannot be used";
                self.wrong(u.secret.span(), place + ".secret", what, "1 to 255 bytes")
            })?;
            Ok(Credentials {
                name: u.user.get_ref().clone(),
                secret,
            })
        };
        let mut chap = Chap::default();
        for (n, u) in serve.chap.iter().enumerate() {
            chap.hosts.push(user(u, key(&format!("chap[{n}]")))?);
        }
        if let Some(u) = &serve.target_chap {
            chap.ours = Some(user(u, key("target_chap"))?);
        }
        let first = serve.chap.first().or(serve.target_chap.as_ref());
        let Some(first) = first else { return Ok(chap) };
        let iscsi = |p: &Portal| matches!(p.spec.protocol, Protocol::Iscsi(_));
        if !portals.iter().any(iscsi) {
            let what = "no portal of this entry is iSCSI";
            return Err(self.wrong(first.user.span(), key("chap"), what, "iscsi://… in listen"));
        }
        if chap.hosts.is_empty() {
            let what = "a target proves itself to hosts that have proved themselves";
            let allowed = "chap = [{ user = \"…\", secret = \"…\" }] beside it";
            return Err(self.wrong(first.user.span(), key("target_chap"), what, allowed));
        }
        Ok(chap)
    }
}

/// Policies as they are spelled.
pub fn policy_names(vendor: bool) -> String {
    let mut names: Vec<&str> = Policy::ALL.iter().map(|p| p.name()).collect();
    if vendor {
        names.extend(VendorPolicy::ALL.iter().map(|v| v.name()));
    } else {
        names.pop();
    }
    names.join(", ")
}

/// What a name may be.
pub const NAME_ALLOWED: &str = "1 to 63 letters, digits, '-', '_', '.'";

/// # Errors
/// Why it is no name of a LUN.
pub fn check_name(name: &str) -> Result<(), String> {
    let fine = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    if name.is_empty() || name.len() > 63 || !name.chars().all(fine) {
        return Err(format!("'{name}' is no name"));
    }
    Ok(())
}

/// What paths may be.
pub const PATHS_ALLOWED: &str = "0 to 32 of nvme-tcp://HOST[:PORT]/NQN[?options], iscsi://HOST[:PORT]/IQN/LUN[?options], mem:SIZE, null:SIZE, file:PATH, no two over one nexus";

/// The paths of a LUN, by themselves and together.
///
/// # Errors
/// The place of the path that is wrong, and in what way.
pub fn check_paths(urls: &[&str]) -> Result<(), (usize, String)> {
    let max = limits::PATHS_PER_LUN;
    if urls.len() > max {
        return Err((max, format!("{} paths given", urls.len())));
    }
    let mut seen = Vec::with_capacity(urls.len());
    for (n, url) in urls.iter().enumerate() {
        let path = PathSpec::parse(url).map_err(|e| (n, e.to_string()))?;
        if let NexusSpec::Local(text) = &path.nexus {
            LocalSpec::from_str(text).map_err(|e| (n, e.to_string()))?;
        }
        let id = path.nexus.id();
        if seen.contains(&id) {
            return Err((
                n,
                format!("'{url}' leads over the same nexus as an earlier path"),
            ));
        }
        seen.push(id);
    }
    Ok(())
}

fn root() -> bool {
    nix::unistd::geteuid().is_root()
}

/// The socket that daemon and CLI use when none is named.
pub fn default_socket() -> PathBuf {
    let of = |name: &str| {
        std::env::var_os(name)
            .filter(|v| !v.is_empty())
            .map(PathBuf::from)
    };
    if let Some(path) = of("UMPIO_SOCKET") {
        return path;
    }
    if root() {
        return PathBuf::from("/run/umpio.sock");
    }
    match of("XDG_RUNTIME_DIR") {
        Some(dir) => dir.join("umpio.sock"),
        None => PathBuf::from(format!("/tmp/umpio-{}.sock", nix::unistd::geteuid())),
    }
}

fn default_state_dir() -> PathBuf {
    let of = |name: &str| {
        std::env::var_os(name)
            .filter(|v| !v.is_empty())
            .map(PathBuf::from)
    };
    if let Some(dir) = of("STATE_DIRECTORY") {
        return dir;
    }
    if root() {
        return PathBuf::from("/var/lib/umpio");
    }
    match (of("XDG_STATE_HOME"), of("HOME")) {
        (Some(dir), _) => dir.join("umpio"),
        (None, Some(home)) => home.join(".local/state/umpio"),
        (None, None) => PathBuf::from(format!("/tmp/umpio-state-{}", nix::unistd::geteuid())),
    }
}
