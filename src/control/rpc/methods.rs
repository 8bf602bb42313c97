//! The table of methods. What is read here is what is documented: a test calls each method with
//! the parameters that its row names, and with one that it does not.

use crate::control::command::{Command, NewLun, NewPath, NewPolicy};
use crate::control::config::{Timers, policy_names};
use crate::control::events::EVENTS_MAX;
use crate::control::jsonrpc::{Params, RpcError};
use crate::control::objects;
use crate::control::registry::answer::PLACED;
use crate::control::state::parse_id;
use crate::lun::policy::{PolicySpec, VendorPolicy};
use serde_json::Value;

/// A method.
#[derive(Debug)]
pub struct Method {
    pub name: &'static str,
    /// One sentence.
    pub summary: &'static str,
    pub params: &'static [Param],
    /// What is answered.
    pub result: &'static str,
    pub(super) means: Means,
}

/// A parameter as it is documented.
#[derive(Copy, Clone, Debug)]
pub struct Param {
    pub name: &'static str,
    pub kind: Kind,
    pub required: bool,
    pub text: &'static str,
}

/// What a parameter may be.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum Kind {
    Text,
    /// `0x` and up to 16 hex digits.
    Id,
    Number,
    Flag,
    TextList,
    NumberList,
    /// Objects with path, weight, state.
    PathList,
}

/// What a method does.
#[derive(Copy, Clone)]
pub(super) enum Means {
    Discover,
    GetMethods,
    Command(fn(&mut Params) -> Result<Command, RpcError>),
}

impl std::fmt::Debug for Means {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Discover => "Discover",
            Self::GetMethods => "GetMethods",
            Self::Command(_) => "Command",
        })
    }
}

const fn must(name: &'static str, kind: Kind, text: &'static str) -> Param {
    Param {
        name,
        kind,
        required: true,
        text,
    }
}

const fn may(name: &'static str, kind: Kind, text: &'static str) -> Param {
    Param {
        name,
        kind,
        required: false,
        text,
    }
}

const LUN: Param = must("lun", Kind::Text, "name of the LUN");
const DONE: &str = "true";

/// The daemon's own methods, by name.
pub const METHODS: &[Method] = &[
    Method {
        name: "config_get",
        summary: "The config in force, and the keys where a run-time setting wins over the file.",
        params: &[],
        result: "file, socket, state_dir, host, timers, overridden",
        means: Means::Command(|_| Ok(Command::Config)),
    },
    Method {
        name: "config_reload",
        summary: "Reads the config file again and changes what differs; a wrong file changes nothing.",
        params: &[],
        result: "changed, restart_needed and failed: lists of lines",
        means: Means::Command(|_| Ok(Command::Reload)),
    },
    Method {
        name: "daemon_shutdown",
        summary: "Ends the daemon in order: hosts are let go, paths log out.",
        params: &[],
        result: DONE,
        means: Means::Command(|_| Ok(Command::Shutdown)),
    },
    Method {
        name: "daemon_status",
        summary: "The daemon as a whole: host identity, reactors, how many paths are up.",
        params: &[],
        result: "version, pid, uptime_ns, host_nqn, reactors, luns, paths, paths_up, last_event",
        means: Means::Command(|_| Ok(Command::Status)),
    },
    Method {
        name: "defaults_get",
        summary: "The DSM-wide default policy.",
        params: &[],
        result: "policy, null when there is none",
        means: Means::Command(|_| Ok(Command::DefaultsGet)),
    },
    Method {
        name: "defaults_set",
        summary: "Sets the DSM-wide default policy, or removes it; LUNs with a policy of their own keep it.",
        params: &[may("policy", Kind::Text, "a policy; without: removed")],
        result: "as defaults_get",
        means: Means::Command(|p| {
            let policy = policy(p)?;
            Ok(Command::DefaultsSet { policy })
        }),
    },
    Method {
        name: "events_get",
        summary: "What has happened, oldest first, out of a ring of the last 4096.",
        params: &[
            may(
                "after",
                Kind::Number,
                "only events with a higher seq; 0 or without: the newest",
            ),
            may(
                "max",
                Kind::Number,
                "how many at most, 1 to 4096; 100 without",
            ),
        ],
        result: "events: seq, time_ns since 1970, kind, lun, nexus_id, text; last: the newest seq",
        means: Means::Command(|p| {
            Ok(Command::Events {
                after: p.optional_number("after", 0..=u64::MAX)?.unwrap_or(0),
                max: p
                    .optional_number("max", 1..=EVENTS_MAX as u64)?
                    .unwrap_or(100) as usize,
            })
        }),
    },
    Method {
        name: "lun_close",
        summary: "Closes a LUN: its paths log out. It stays closed over restarts, until the file changes.",
        params: &[LUN],
        result: DONE,
        means: Means::Command(|p| Ok(Command::LunClose { lun: lun(p)? })),
    },
    Method {
        name: "lun_create",
        summary: "Opens a LUN over its paths. It is there again after a restart.",
        params: &[
            must("name", Kind::Text, "1 to 63 letters, digits, '-', '_', '.'"),
            must(
                "paths",
                Kind::TextList,
                "URLs in list order, 0 to 32, no two over one nexus",
            ),
            may(
                "weights",
                Kind::NumberList,
                "by place in paths; 0 where missing",
            ),
            may("policy", Kind::Text, "a policy; without: the default"),
        ],
        result: "as lun_get",
        means: Means::Command(|p| {
            Ok(Command::LunCreate(NewLun {
                name: p.text("name", "a text")?,
                paths: texts(p, "paths")?,
                weights: weights(p)?,
                policy: policy(p)?,
            }))
        }),
    },
    Method {
        name: "lun_get",
        summary: "One LUN with its paths.",
        params: &[LUN],
        result: "as in lun_list, and paths as in path_list",
        means: Means::Command(|p| Ok(Command::LunGet { lun: lun(p)? })),
    },
    Method {
        name: "lun_list",
        summary: "All LUNs.",
        params: &[],
        result: "a list: name, guid, disk, state (new, ok, degraded, lost), policy, size, identity, counters",
        means: Means::Command(|_| Ok(Command::LunList)),
    },
    Method {
        name: "metrics_get",
        summary: "All metrics as OpenMetrics text.",
        params: &[],
        result: "a text",
        means: Means::Command(|_| Ok(Command::Metrics)),
    },
    Method {
        name: "nexus_list",
        summary: "All nexuses, each once, with the LUNs on them.",
        params: &[],
        result: "a list: nexus_id, target, state, reason, addresses, attempts, logins, losses, luns",
        means: Means::Command(|_| Ok(Command::NexusList)),
    },
    Method {
        name: "nexus_reset",
        summary: "Takes a nexus down as if it had been lost; it comes back by itself.",
        params: &[must("nexus", Kind::Id, "nexus id")],
        result: DONE,
        means: Means::Command(|p| {
            Ok(Command::NexusReset {
                nexus: id(p, "nexus")?,
            })
        }),
    },
    Method {
        name: "path_add",
        summary: "Adds a path to a LUN, at the end of its list.",
        params: &[
            LUN,
            must(
                "url",
                Kind::Text,
                "URL of the path, over a nexus that is new to the LUN",
            ),
            may("weight", Kind::Number, "its weight; 0 without"),
        ],
        result: DONE,
        means: Means::Command(|p| {
            Ok(Command::PathAdd {
                lun: lun(p)?,
                url: p.text("url", "the URL of a path")?,
                weight: p.optional_number("weight", WEIGHTS)?.unwrap_or(0) as u32,
            })
        }),
    },
    Method {
        name: "path_list",
        summary: "The paths of one LUN, or of all.",
        params: &[may("lun", Kind::Text, "name of the LUN")],
        result: "a list: lun, url, nexus_id, state, joined, reason, access, placed, weight, counters",
        means: Means::Command(|p| {
            Ok(Command::PathList {
                lun: optional_text(p, "lun")?,
            })
        }),
    },
    Method {
        name: "path_remove",
        summary: "Takes a path out of a LUN: nothing new goes there, what is on it ends, then it logs out.",
        params: &[LUN, must("path", Kind::Id, "nexus id of the path")],
        result: DONE,
        means: Means::Command(|p| {
            Ok(Command::PathRemove {
                lun: lun(p)?,
                path: id(p, "path")?,
            })
        }),
    },
    Method {
        name: "policy_get",
        summary: "The policy of a LUN, and what it makes of the paths.",
        params: &[LUN],
        result: "policy, policy_number, source, supported, symmetric, paths (placed, wished, preferred, weight)",
        means: Means::Command(|p| Ok(Command::PolicyGet { lun: lun(p)? })),
    },
    Method {
        name: "policy_set",
        summary: "Sets the policy of a LUN, from the next request on; vendor policies included.",
        params: &[
            LUN,
            may(
                "policy",
                Kind::Text,
                "a name, a Windows abbreviation or a number; \"none\" or without: the LUN's own is removed",
            ),
            may(
                "vendor_policy",
                Kind::Text,
                "latency or share, with policy vendor-specific",
            ),
            may(
                "preferred",
                Kind::Id,
                "nexus id of the preferred path, with failover",
            ),
            may(
                "paths",
                Kind::PathList,
                "path (nexus id), and weight or state or both",
            ),
        ],
        result: "as policy_get",
        means: Means::Command(|p| {
            Ok(Command::PolicySet(NewPolicy {
                lun: lun(p)?,
                policy: policy(p)?,
                preferred: optional_id(p, "preferred")?,
                paths: new_paths(p)?,
            }))
        }),
    },
    Method {
        name: "rpc.discover",
        summary: "This table as an OpenRPC document.",
        params: &[],
        result: "an OpenRPC document",
        means: Means::Discover,
    },
    Method {
        name: "rpc_get_methods",
        summary: "The names of all methods.",
        params: &[
            may("current", Kind::Flag, "ignored; SPDK's clients send it"),
            may(
                "include_aliases",
                Kind::Flag,
                "ignored; SPDK's clients send it",
            ),
        ],
        result: "a list of names",
        means: Means::GetMethods,
    },
    Method {
        name: "rpc_nothing",
        summary: "Does nothing, for measuring what a call costs.",
        params: &[],
        result: DONE,
        means: Means::Command(|_| Ok(Command::Nothing)),
    },
    Method {
        name: "serve_list",
        summary: "LUNs that are served on, and where.",
        params: &[],
        result: "a list: lun, reactor, state (waiting, serving, failed), reason, urls",
        means: Means::Command(|_| Ok(Command::ServeList)),
    },
    Method {
        name: "timers_get",
        summary: "The timers of MPIO under their Windows names; periods in seconds.",
        params: &[],
        result: "all timers",
        means: Means::Command(|_| Ok(Command::TimersGet)),
    },
    Method {
        name: "timers_set",
        summary: "Sets timers; those not named keep their value. All but DiskTimeoutValue have an effect; see operating.md.",
        params: &[
            may("PathVerifyEnabled", Kind::Number, "0 or 1"),
            may("PathVerificationPeriod", Kind::Number, "seconds"),
            may(
                "PDORemovePeriod",
                Kind::Number,
                "seconds that I/O waits for a path",
            ),
            may("RetryCount", Kind::Number, "counted retries, 0 to 255"),
            may("RetryInterval", Kind::Number, "seconds"),
            may("UseCustomPathRecoveryInterval", Kind::Number, "0 or 1"),
            may("PathRecoveryInterval", Kind::Number, "seconds"),
            may("DiskTimeoutValue", Kind::Number, "seconds"),
        ],
        result: "as timers_get",
        means: Means::Command(|p| {
            let mut values = Vec::new();
            for name in Timers::NAMES {
                let value = p.optional_number(name, 0..=u64::from(u32::MAX))?;
                values.extend(value.map(|v| (name, v as u32)));
            }
            Ok(Command::TimersSet(values))
        }),
    },
    Method {
        name: "version_get",
        summary: "Name and version.",
        params: &[],
        result: "name, version, rpc_version",
        means: Means::Command(|_| Ok(Command::Version)),
    },
];

/// A method of the daemon's own by its name.
pub(super) fn find(name: &str) -> Option<&'static Method> {
    METHODS.iter().find(|m| m.name == name)
}

/// Reads a call of a method, and carries nothing out.
///
/// # Errors
/// There is no such method, or a parameter is wrong.
pub fn parse(method: &str, mut params: Params) -> Result<(), RpcError> {
    let Some(found) = find(method) else {
        let object = objects::find(method).ok_or_else(|| RpcError::no_method(method))?;
        return params.only(object.params.iter().map(|p| p.name));
    };
    match found.means {
        Means::Command(read) => {
            read(&mut params)?;
            params.finish()
        }
        Means::Discover | Means::GetMethods => Ok(()),
    }
}

/// The names of all methods: the daemon's own, then those of the Windows-shaped objects.
pub fn names() -> impl Iterator<Item = &'static str> {
    let own = METHODS.iter().map(|m| m.name);
    own.chain(objects::methods().map(|m| m.name))
}

const WEIGHTS: std::ops::RangeInclusive<u64> = 0..=u32::MAX as u64;

fn lun(p: &mut Params) -> Result<String, RpcError> {
    p.text("lun", "the name of a LUN")
}

fn optional_text(p: &mut Params, field: &str) -> Result<Option<String>, RpcError> {
    match p.optional(field) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(_) => Err(RpcError::field(field, "must be a text")),
    }
}

fn texts(p: &mut Params, field: &str) -> Result<Vec<String>, RpcError> {
    let wrong = || RpcError::field(field, "must be a list of texts");
    let Some(Value::Array(list)) = p.optional(field) else {
        return Err(wrong());
    };
    let text = |v: Value| match v {
        Value::String(text) => Ok(text),
        _ => Err(wrong()),
    };
    list.into_iter().map(text).collect()
}

fn weights(p: &mut Params) -> Result<Vec<u32>, RpcError> {
    let wrong = || {
        RpcError::field(
            "weights",
            "must be a list of whole numbers from 0 to 4294967295",
        )
    };
    match p.optional("weights") {
        None | Some(Value::Null) => Ok(Vec::new()),
        Some(Value::Array(list)) => list
            .iter()
            .map(|v| {
                v.as_u64()
                    .and_then(|n| u32::try_from(n).ok())
                    .ok_or_else(wrong)
            })
            .collect(),
        Some(_) => Err(wrong()),
    }
}

fn policy(p: &mut Params) -> Result<Option<PolicySpec>, RpcError> {
    let field = "policy";
    let text = match p.optional(field) {
        None | Some(Value::Null) => None,
        Some(Value::String(text)) => Some(text),
        Some(Value::Number(n)) => Some(n.to_string()),
        Some(_) => return Err(RpcError::field(field, "must be a name or a number")),
    };
    let none = |t: &String| t == "none" || t == "0";
    let spec = match text.filter(|t| !none(t)) {
        None => None,
        Some(text) => Some(PolicySpec::parse(&text).ok_or_else(|| {
            RpcError::field(
                field,
                format!("'{text}' is no policy; known are {}", policy_names(true)),
            )
        })?),
    };
    let Some(vendor) = optional_text(p, "vendor_policy")? else {
        return Ok(spec);
    };
    let named = VendorPolicy::parse(&vendor)
        .ok_or_else(|| RpcError::field("vendor_policy", "must be latency or share"))?;
    match spec {
        Some(s) if s.vendor_policy().is_none() => Err(RpcError::field(
            "vendor_policy",
            "goes with policy vendor-specific only",
        )),
        _ => Ok(Some(PolicySpec::vendor(named))),
    }
}

fn read_id(value: &Value) -> Option<u64> {
    value.as_str().and_then(parse_id)
}

const ID_WANTED: &str = "must be an id: a text of 0x and up to 16 hex digits";

fn optional_id(p: &mut Params, field: &str) -> Result<Option<u64>, RpcError> {
    match p.optional(field) {
        None | Some(Value::Null) => Ok(None),
        Some(v) => read_id(&v)
            .map(Some)
            .ok_or_else(|| RpcError::field(field, ID_WANTED)),
    }
}

fn id(p: &mut Params, field: &str) -> Result<u64, RpcError> {
    optional_id(p, field)?.ok_or_else(|| RpcError::field(field, format!("missing; {ID_WANTED}")))
}

fn new_paths(p: &mut Params) -> Result<Vec<NewPath>, RpcError> {
    let list = match p.optional("paths") {
        None | Some(Value::Null) => return Ok(Vec::new()),
        Some(Value::Array(list)) => list,
        Some(_) => return Err(RpcError::field("paths", "must be a list of objects")),
    };
    let mut out: Vec<NewPath> = Vec::with_capacity(list.len());
    for (n, item) in list.into_iter().enumerate() {
        let field = |name: &str| format!("paths[{n}].{name}");
        let wrong = |name: &str, what: &str| Err(RpcError::field(&field(name), what));
        let Value::Object(mut item) = item else {
            return Err(RpcError::field(&format!("paths[{n}]"), "must be an object"));
        };
        let Some(path) = item.remove("path").as_ref().and_then(read_id) else {
            return wrong("path", ID_WANTED);
        };
        if out.iter().any(|p| p.path == path) {
            return wrong("path", "is named twice");
        }
        let weight = match item.remove("weight") {
            None => None,
            Some(v) => match v.as_u64().and_then(|n| u32::try_from(n).ok()) {
                Some(w) => Some(w),
                None => return wrong("weight", "must be a whole number from 0 to 4294967295"),
            },
        };
        let state = match item.remove("state") {
            None => None,
            Some(v) => match PLACED.iter().find(|(name, _)| v == *name) {
                Some((_, state)) => Some(*state),
                None => {
                    let names: Vec<&str> = PLACED.iter().map(|(n, _)| *n).collect();
                    return wrong("state", &format!("must be one of {}", names.join(", ")));
                }
            },
        };
        if let Some(other) = item.keys().next() {
            return wrong(other, "a path has no such member");
        }
        out.push(NewPath {
            path,
            weight,
            state,
        });
    }
    Ok(out)
}
