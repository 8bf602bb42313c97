//! What should be: the file's word and the run-time settings that win over it.

use crate::control::config::{Config, LunFlags, Timers};
use crate::control::state::{Override, Presence, SettingState, State, WishState, id};
use crate::lun::policy::defaults::Setting;
use crate::path::url::PathSpec;
use std::collections::BTreeMap;

/// A LUN as it should be.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Desired {
    pub name: String,
    pub paths: Vec<String>,
    pub weights: Vec<u32>,
    pub policy: Option<Setting>,
    /// By nexus id as text.
    pub wishes: BTreeMap<String, WishState>,
    pub flags: LunFlags,
}

/// What the file says about the keys of a LUN, as text to compare later.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct FileKeys {
    pub presence: String,
    pub paths: String,
    pub policy: String,
    pub weights: String,
}

/// What the file says about a LUN of that name.
pub(super) fn file_keys(config: &Config, name: &str) -> FileKeys {
    let Some(lun) = config.luns.iter().find(|l| l.name == name) else {
        return FileKeys::default();
    };
    FileKeys {
        presence: "present".to_owned(),
        paths: lun.paths.join(" "),
        policy: lun.policy.map_or_else(String::new, |p| p.to_string()),
        weights: format!("{:?}", lun.weights),
    }
}

/// What the file says about the timers.
pub(super) fn timers_key(config: &Config) -> String {
    format!("{:?}", config.timers.values())
}

/// What the file says about the DSM-wide default.
pub(super) fn default_key(config: &Config) -> String {
    config
        .default_policy
        .map_or_else(String::new, |p| p.to_string())
}

/// Takes out the run-time settings of keys that the file has changed since. Returns their names.
pub(super) fn prune(state: &mut State, config: &Config) -> Vec<String> {
    let mut dropped = Vec::new();
    let mut check = |gone: bool, key: String| {
        if gone {
            dropped.push(key);
        }
    };
    for (name, lun) in &mut state.luns {
        let file = file_keys(config, name);
        check(
            expire(&mut lun.presence, &file.presence),
            format!("lun.{name}"),
        );
        check(
            expire(&mut lun.paths, &file.paths),
            format!("lun.{name}.paths"),
        );
        check(
            expire(&mut lun.policy, &file.policy),
            format!("lun.{name}.policy"),
        );
        check(
            expire(&mut lun.wishes, &file.weights),
            format!("lun.{name}.weights"),
        );
    }
    check(
        expire(&mut state.timers, &timers_key(config)),
        "timers".to_owned(),
    );
    let configured = luns(config, state).into_iter().flat_map(|l| l.paths);
    let configured: Vec<PathSpec> = configured
        .filter_map(|p| PathSpec::parse(&p).ok())
        .collect();
    state.sessions.retain(|key, kept| {
        let of = |s: &&PathSpec| key.starts_with(&id(s.nexus.id()));
        // LUNs of one target share the session: any of their URLs may be the one it was set for.
        let mut urls = configured.iter().filter(of).peekable();
        let holds = urls.peek().is_none() || urls.any(|s| kept.holds(&s.url));
        check(!holds, format!("session.{key}"));
        holds
    });
    let key = default_key(config);
    check(
        expire(&mut state.default_policy, &key),
        "defaults.policy".to_owned(),
    );
    // A LUN that nobody wants any more keeps nothing but its name to Windows tools, and that only
    // while the file may bring it back: one that was created at run time is forgotten.
    dropped
}

fn expire<T>(setting: &mut Option<Override<T>>, file: &str) -> bool {
    let gone = setting.as_ref().is_some_and(|o| !o.holds(file));
    if gone {
        *setting = None;
    }
    gone
}

/// Keys where a run-time setting wins.
pub(super) fn overridden(state: &State) -> Vec<String> {
    let mut keys = Vec::new();
    for (name, lun) in &state.luns {
        let set = [
            (lun.presence.is_some(), ""),
            (lun.paths.is_some(), ".paths"),
            (lun.policy.is_some(), ".policy"),
            (lun.wishes.is_some(), ".weights"),
        ];
        let set = set.iter().filter(|(set, _)| *set);
        keys.extend(set.map(|(_, key)| format!("lun.{name}{key}")));
    }
    keys.extend(state.timers.as_ref().map(|_| "timers".to_owned()));
    keys.extend(state.sessions.keys().map(|key| format!("session.{key}")));
    let default = state.default_policy.as_ref();
    keys.extend(default.map(|_| "defaults.policy".to_owned()));
    keys
}

/// The LUNs that should be open, those of the file first.
pub(super) fn luns(config: &Config, state: &State) -> Vec<Desired> {
    let mut out = Vec::new();
    for lun in &config.luns {
        let kept = state.luns.get(&lun.name);
        let closed = kept.and_then(|k| k.presence.as_ref());
        if closed.is_some_and(|p| p.value == Presence::Closed) {
            continue;
        }
        out.push(Desired {
            name: lun.name.clone(),
            paths: lun.paths.clone(),
            weights: lun.weights.clone(),
            policy: lun.policy.map(Setting::new),
            wishes: BTreeMap::new(),
            flags: lun.flags,
        });
    }
    for (name, kept) in &state.luns {
        let created = kept
            .presence
            .as_ref()
            .is_some_and(|p| p.value == Presence::Created);
        if created && !out.iter().any(|d| d.name == *name) {
            out.push(Desired {
                name: name.clone(),
                paths: Vec::new(),
                weights: Vec::new(),
                policy: None,
                wishes: BTreeMap::new(),
                flags: LunFlags::default(),
            });
        }
    }
    for desired in &mut out {
        let Some(kept) = state.luns.get(&desired.name) else {
            continue;
        };
        if let Some(paths) = &kept.paths {
            desired.paths.clone_from(&paths.value);
            desired.weights.clear();
        }
        if let Some(policy) = &kept.policy {
            desired.policy = policy.value.map(|SettingState(s)| s);
        }
        if let Some(wishes) = &kept.wishes {
            desired.wishes.clone_from(&wishes.value);
        }
    }
    out
}

/// The timers in force.
pub(super) fn timers(config: &Config, state: &State) -> Timers {
    state.timers.as_ref().map_or(config.timers, |o| o.value)
}

/// The DSM-wide default in force.
pub(super) fn default_policy(config: &Config, state: &State) -> Option<Setting> {
    match &state.default_policy {
        Some(o) => o.value.map(|SettingState(s)| s),
        None => config.default_policy.map(Setting::new),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lun::policy::Policy;

    fn config(text: &str) -> Config {
        Config::parse(text, "t").expect(text)
    }

    const LUN: &str = "[[lun]]\nname = \"a\"\npaths = [\"mem:1M\"]\npolicy = \"LQD\"\n";

    #[test]
    fn a_run_time_setting_wins_until_the_file_says_something_else() {
        let file = config(LUN);
        let mut state = State::fresh();
        state.lun("a").policy = Some(Override {
            value: Some(SettingState(Setting::new(Policy::WeightedPaths.into()))),
            file: file_keys(&file, "a").policy,
        });
        let policy = |c: &Config, s: &State| luns(c, s)[0].policy.map(|s| s.spec.policy());
        assert_eq!(policy(&file, &state), Some(Policy::WeightedPaths));
        // Another key of the file changes: it still wins.
        let other = config(&LUN.replace("1M", "2M"));
        assert!(prune(&mut state, &other).is_empty());
        assert_eq!(policy(&other, &state), Some(Policy::WeightedPaths));
        // That key changes: it is gone for good.
        let changed = config(&LUN.replace("LQD", "LB"));
        assert_eq!(prune(&mut state, &changed), ["lun.a.policy"]);
        assert_eq!(policy(&changed, &state), Some(Policy::LeastBlocks));
        prune(&mut state, &file);
        assert_eq!(policy(&file, &state), Some(Policy::LeastQueueDepth));
    }

    #[test]
    fn luns_come_and_go_at_run_time_and_the_file_has_the_last_word() {
        let file = config(LUN);
        let mut state = State::fresh();
        state.lun("a").presence = Some(Override {
            value: Presence::Closed,
            file: "present".to_owned(),
        });
        let b = state.lun("b");
        b.presence = Some(Override {
            value: Presence::Created,
            file: String::new(),
        });
        b.paths = Some(Override {
            value: vec!["mem:1M".to_owned()],
            file: String::new(),
        });
        let names =
            |c: &Config, s: &State| luns(c, s).into_iter().map(|d| d.name).collect::<Vec<_>>();
        prune(&mut state, &file);
        assert_eq!(names(&file, &state), ["b"]);
        assert_eq!(overridden(&state), ["lun.a", "lun.b", "lun.b.paths"]);
        // The user takes a out of the file, and puts it back: it is there again.
        prune(&mut state, &Config::default());
        assert_eq!(names(&Config::default(), &state), ["b"]);
        assert_eq!(names(&file, &state), ["a", "b"]);
    }
}
