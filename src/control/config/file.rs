//! The config file as it is written.

use super::timers::Timers;
use serde::Deserialize;
use std::path::PathBuf;
use toml::Spanned;

pub(super) type Text = Spanned<String>;

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
pub(super) struct File {
    pub rpc: Rpc,
    pub state: StateTable,
    pub host: Host,
    pub reactors: Reactors,
    pub timers: TimersTable,
    pub defaults: Defaults,
    pub metrics: Metrics,
    pub log: Log,
    pub lun: Vec<Spanned<Lun>>,
    pub serve: Vec<Spanned<Serve>>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Rpc {
    pub socket: Option<PathBuf>,
    pub connections: Option<Spanned<u64>>,
    pub calls_per_second: Option<Spanned<u64>>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
pub(super) struct StateTable {
    pub dir: Option<PathBuf>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Host {
    pub nqn: Option<Text>,
    pub id: Option<Text>,
    pub initiator_name: Option<Text>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Reactors {
    pub count: Option<Spanned<u64>>,
    pub cpus: Option<Spanned<Vec<usize>>>,
    pub spin_us: Option<u32>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Defaults {
    pub policy: Option<Text>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Metrics {
    pub listen: Option<Text>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Log {
    pub level: Option<Text>,
    pub format: Option<Text>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Lun {
    pub name: Text,
    pub policy: Option<Text>,
    pub vendor_policy: Option<Text>,
    pub paths: Spanned<Vec<Text>>,
    pub weights: Option<Spanned<Vec<u32>>>,
    #[serde(default)]
    pub trust_paths: bool,
    #[serde(default)]
    pub explicit_alua: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Serve {
    pub lun: Text,
    pub listen: Spanned<Vec<Text>>,
    pub reactor: Option<Spanned<u64>>,
    #[serde(default)]
    pub chap: Vec<User>,
    pub target_chap: Option<User>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct User {
    pub user: Text,
    pub secret: Text,
}

/// Every timer may be left out; truth values may be written as such or as 0 and 1.
#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
pub(super) struct TimersTable {
    #[serde(rename = "PathVerifyEnabled")]
    verify: Option<Spanned<Number>>,
    #[serde(rename = "PathVerificationPeriod")]
    verification: Option<Spanned<Number>>,
    #[serde(rename = "PDORemovePeriod")]
    pdo: Option<Spanned<Number>>,
    #[serde(rename = "RetryCount")]
    count: Option<Spanned<Number>>,
    #[serde(rename = "RetryInterval")]
    interval: Option<Spanned<Number>>,
    #[serde(rename = "UseCustomPathRecoveryInterval")]
    custom: Option<Spanned<Number>>,
    #[serde(rename = "PathRecoveryInterval")]
    recovery: Option<Spanned<Number>>,
    #[serde(rename = "DiskTimeoutValue")]
    disk: Option<Spanned<Number>>,
}

#[derive(Deserialize, Clone, Copy)]
#[serde(
    untagged,
    expecting = "a number of seconds, or true or false for a switch"
)]
pub(super) enum Number {
    Flag(bool),
    Number(u32),
}

impl TimersTable {
    /// Those given, by name.
    pub(super) fn given(&self) -> Vec<(&'static str, &Spanned<Number>)> {
        let all = [
            &self.verify,
            &self.verification,
            &self.pdo,
            &self.count,
            &self.interval,
            &self.custom,
            &self.recovery,
            &self.disk,
        ];
        let pairs = Timers::NAMES.into_iter().zip(all);
        pairs
            .filter_map(|(name, v)| Some((name, v.as_ref()?)))
            .collect()
    }
}

impl Number {
    pub(super) fn value(self) -> u32 {
        match self {
            Self::Flag(b) => u32::from(b),
            Self::Number(n) => n,
        }
    }
}
