//! What was set at run time, and what has to be the same after a restart.
//!
//! The user's config file is never written. A setting made at run time is kept here together with
//! what the file said about that key at the time; it holds until the file says something else.
//!
//! - `file`: the state as a whole, replaced by renaming
//! - `journal`: the changes since then, appended; what a kill leaves behind
//!
//! A change is answered once it is in the journal: a process that is killed loses none. Against the
//! loss of the machine changes become durable together, some 20 ms after they were written plus
//! what the disk takes; with a disk that needs longer, further changes wait.

mod file;
mod journal;

pub use file::{StateError, open};
pub use journal::{Replayed, replay};

use crate::lun::policy::defaults::Setting;
use crate::lun::policy::{PathState, PolicySpec};
use journal::Journal;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use uuid::Uuid;

/// Everything that is kept.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct State {
    /// Counts the changes.
    #[serde(default)]
    pub generation: u64,
    pub host: HostState,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub luns: BTreeMap<String, LunState>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timers: Option<Override<crate::control::config::Timers>>,
    /// DSM-wide default policy; an inner `None` is one that was cleared.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default_policy: Option<Override<Option<SettingState>>>,
    /// Default policies by vendor and product (8 + 16 characters).
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub target_defaults: BTreeMap<String, SettingState>,
    /// Connections of iSCSI sessions, by nexus id and reactor (`0x…/0`).
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub sessions: BTreeMap<String, Override<SessionState>>,
}

/// What was set of a session and its connections.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SessionState {
    /// MSiSCSI_LB_*.
    pub policy: u32,
    /// The first makes the session.
    pub connections: Vec<ConnectionState>,
}

/// One connection of a session.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ConnectionState {
    /// The target's end; a host as it was written.
    pub host: String,
    pub port: u16,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<std::net::IpAddr>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interface: Option<String>,
    pub weight: u32,
    pub primary: bool,
}

/// Identity that is made once.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HostState {
    /// Host id; the NQN that is not configured is made of it.
    pub id: Uuid,
    pub initiator_name: String,
    /// What ISIDs are derived from.
    pub seed: u64,
}

/// What is kept of one LUN.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LunState {
    /// Its number as an MPIO disk.
    pub disk: u32,
    /// Created or closed at run time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub presence: Option<Override<Presence>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub paths: Option<Override<Vec<String>>>,
    /// An inner `None` is a policy that was cleared.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy: Option<Override<Option<SettingState>>>,
    /// States wished and weights, by nexus id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wishes: Option<Override<BTreeMap<String, WishState>>>,
}

/// Whether a LUN is there against what the file says.
#[derive(Copy, Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Presence {
    Created,
    Closed,
}

/// A policy with the preferred path that goes with it.
#[derive(Copy, Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(try_from = "SettingText", into = "SettingText")]
pub struct SettingState(pub Setting);

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct SettingText {
    policy: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    preferred: Option<String>,
}

impl From<SettingState> for SettingText {
    fn from(s: SettingState) -> Self {
        Self {
            policy: s.0.spec.to_string(),
            preferred: s.0.preferred.map(id),
        }
    }
}

impl TryFrom<SettingText> for SettingState {
    type Error = String;

    fn try_from(text: SettingText) -> Result<Self, String> {
        let spec = PolicySpec::parse(&text.policy);
        let spec = spec.ok_or_else(|| format!("unknown policy '{}'", text.policy))?;
        let preferred = match text.preferred {
            None => None,
            Some(hex) => Some(parse_id(&hex).ok_or_else(|| format!("'{hex}' is no id"))?),
        };
        Ok(Self(Setting { spec, preferred }))
    }
}

/// What was wished of one path.
#[derive(Copy, Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WishState {
    pub weight: u32,
    /// The two flags of MPIO_DSM_Path_V2; without: nothing was wished.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub primary_optimized: Option<(bool, bool)>,
}

impl WishState {
    pub fn state(self) -> Option<PathState> {
        self.primary_optimized
            .map(|(p, o)| PathState::from_flags(p, o))
    }
}

/// A value set at run time, with what the file said at the time.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Override<T> {
    pub value: T,
    /// The key in the user's file, as text.
    pub file: String,
}

impl<T> Override<T> {
    /// It holds as long as the file says what it said then.
    pub fn holds(&self, file: &str) -> bool {
        self.file == file
    }
}

/// A 64-bit id as text: `0x` and 16 digits.
pub fn id(n: u64) -> String {
    format!("{n:#018x}")
}

/// Reads such an id.
pub fn parse_id(text: &str) -> Option<u64> {
    let digits = text.strip_prefix("0x")?;
    let fine = (1..=16).contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_hexdigit());
    fine.then(|| u64::from_str_radix(digits, 16).ok())?
}

impl State {
    /// The state of a host that was never here.
    pub fn fresh() -> Self {
        let id = Uuid::new_v4();
        Self {
            generation: 0,
            host: HostState {
                id,
                initiator_name: format!("iqn.2026-01.io.umpio:{}", id.simple()),
                seed: Uuid::new_v4().as_u64_pair().0,
            },
            luns: BTreeMap::new(),
            timers: None,
            default_policy: None,
            target_defaults: BTreeMap::new(),
            sessions: BTreeMap::new(),
        }
    }

    /// What is kept of a LUN, made when it is new: with the lowest disk number that is free.
    pub fn lun(&mut self, name: &str) -> &mut LunState {
        if !self.luns.contains_key(name) {
            let used: Vec<u32> = self.luns.values().map(|l| l.disk).collect();
            let disk = (0..).find(|d| !used.contains(d)).unwrap_or(0);
            let lun = LunState {
                disk,
                presence: None,
                paths: None,
                policy: None,
                wishes: None,
            };
            self.luns.insert(name.to_owned(), lun);
        }
        self.luns.get_mut(name).expect("it was just put there")
    }
}

/// The state's directory. Held by one daemon at a time.
#[derive(Debug)]
pub struct Store {
    path: PathBuf,
    journal_path: PathBuf,
    /// Locked while this lives.
    _lock: File,
    /// What file and journal hold.
    written: State,
    /// Nothing after a failure; then the file is written with each change, until that goes well.
    journal: Option<Journal>,
    /// The file as it was when it was written or read.
    file: Option<Stamp>,
}

/// Tells a file from another, and from itself after somebody has written it: device, inode, length,
/// time of the last change.
type Stamp = (u64, u64, u64, i64, i64);

fn stamp(path: &Path) -> io::Result<Stamp> {
    let m = fs::metadata(path)?;
    Ok((m.dev(), m.ino(), m.len(), m.mtime(), m.mtime_nsec()))
}

impl Store {
    /// Takes the directory, and reads what is kept there.
    ///
    /// # Errors
    /// It cannot be used, another daemon has it, or what is there is damaged.
    pub fn open(dir: &Path) -> Result<(Self, State), StateError> {
        let io = |source| StateError::Io {
            path: dir.display().to_string(),
            source,
        };
        fs::create_dir_all(dir).map_err(io)?;
        let lock = File::create(dir.join("lock")).map_err(io)?;
        lock.try_lock().map_err(|e| match e {
            fs::TryLockError::WouldBlock => StateError::InUse {
                path: dir.display().to_string(),
            },
            fs::TryLockError::Error(e) => io(e),
        })?;
        let (path, journal_path) = (dir.join("state"), dir.join("journal"));
        let (mut state, fresh) = match file::read(&path)? {
            None => (State::fresh(), true),
            Some(body) => {
                let state = serde_json::from_str(&body);
                let damaged = |e: serde_json::Error| StateError::Damaged {
                    path: path.display().to_string(),
                    what: e.to_string(),
                };
                (state.map_err(damaged)?, false)
            }
        };
        let changes = journal::load(&journal_path).map_err(io)?;
        // A journal without its file follows nothing: the user has begun with an empty state.
        if !fresh {
            let found = replay(&mut state, &changes);
            if found.left > 0 {
                let path = journal_path.display();
                tracing::warn!(
                    "{path}: the last {} bytes are no complete change, and left out",
                    found.left
                );
            }
        }
        let mut store = Self {
            path,
            journal_path,
            _lock: lock,
            written: state.clone(),
            journal: None,
            file: None,
        };
        if fresh || !changes.is_empty() {
            store.save_whole(&state)?;
        } else {
            store.file = stamp(&store.path).ok();
            store.begin_journal();
        }
        Ok((store, state))
    }

    /// Keeps a state: from now on it survives the process, and soon the machine. Nothing is written
    /// when nothing has changed.
    ///
    /// # Errors
    /// The old state is still what a restart would find.
    pub fn save(&mut self, state: &State) -> Result<(), StateError> {
        if self.written == *state {
            return Ok(());
        }
        // A journal is read one generation after the other.
        let follows = Some(state.generation) == self.written.generation.checked_add(1);
        if let Some(journal) = self.journal.as_mut().filter(|j| follows && !j.is_full()) {
            match journal.append(&mut self.written, state) {
                Ok(()) => return Ok(()),
                Err(e) => self.give_up_journal(&e),
            }
        }
        self.save_whole(state)
    }

    /// Writes everything into the file; durable when this returns.
    ///
    /// # Errors
    /// As [`save`](Self::save).
    pub fn save_whole(&mut self, state: &State) -> Result<(), StateError> {
        let body = serde_json::to_string(state).map_err(|e| StateError::Io {
            path: self.path.display().to_string(),
            source: io::Error::other(e),
        })?;
        file::replace(&self.path, &body)?;
        self.file = stamp(&self.path).ok();
        self.written = state.clone();
        self.begin_journal();
        Ok(())
    }

    /// Why what was saved is not durable, if that has turned out. [`save_whole`](Self::save_whole)
    /// tries again.
    pub fn trouble(&mut self) -> Option<StateError> {
        let source = self.journal.as_ref()?.trouble()?;
        self.give_up_journal(&source);
        let path = self.journal_path.display().to_string();
        Some(StateError::Io { path, source })
    }

    /// What somebody else has done to what is kept; a restart would not find what was saved.
    /// [`save_anew`](Self::save_anew) mends it.
    pub fn damage(&self) -> Option<String> {
        let of = |path: &Path, what: String| Some(format!("{}: {what}", path.display()));
        // Without a journal the file is written with each change anyway.
        if let Some(what) = self.journal.as_ref()?.damage(&self.journal_path) {
            return of(&self.journal_path, what);
        }
        match (&self.file, stamp(&self.path)) {
            (Some(ours), Ok(found)) if *ours != found => {
                of(&self.path, "somebody else has written it".to_owned())
            }
            (_, Ok(_)) => None,
            (_, Err(e)) => of(&self.path, e.to_string()),
        }
    }

    /// Writes everything, into a new file and with a new journal.
    ///
    /// # Errors
    /// As [`save`](Self::save).
    pub fn save_anew(&mut self, state: &State) -> Result<(), StateError> {
        self.journal = None;
        self.save_whole(state)
    }

    /// Nothing is saved any more after this.
    ///
    /// # Errors
    /// As [`save`](Self::save).
    pub fn close(mut self, state: &State) -> Result<(), StateError> {
        let all_there = self.journal.as_ref().is_some_and(Journal::is_empty);
        if all_there && self.written == *state {
            return Ok(());
        }
        self.save_whole(state)
    }

    fn give_up_journal(&mut self, e: &io::Error) {
        tracing::warn!("{}: {e}", self.journal_path.display());
        self.journal = None;
    }

    /// The file has everything.
    fn begin_journal(&mut self) {
        let begun = match &mut self.journal {
            Some(journal) => journal.clear(),
            None => Journal::create(&self.journal_path).map(|j| self.journal = Some(j)),
        };
        if let Err(e) = begun {
            self.give_up_journal(&e);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lun::policy::Policy;

    fn dir(name: &str) -> PathBuf {
        let dir = std::env::temp_dir().join(format!("umpio-{name}-{}", Uuid::new_v4()));
        fs::create_dir_all(&dir).expect("a directory");
        dir
    }

    pub(super) fn full() -> State {
        let mut state = State::fresh();
        let lun = state.lun("a");
        lun.presence = Some(Override {
            value: Presence::Created,
            file: String::new(),
        });
        lun.policy = Some(Override {
            value: Some(SettingState(Setting {
                spec: Policy::Failover.into(),
                preferred: Some(u64::MAX),
            })),
            file: "least-blocks".to_owned(),
        });
        let wish = WishState {
            weight: u32::MAX,
            primary_optimized: Some((true, false)),
        };
        lun.wishes = Some(Override {
            value: BTreeMap::from([(id(7), wish)]),
            file: "[]".to_owned(),
        });
        let connection = ConnectionState {
            host: "array.example".to_owned(),
            port: 3260,
            source: Some(std::net::Ipv6Addr::LOCALHOST.into()),
            interface: None,
            weight: 3,
            primary: true,
        };
        let session = Override {
            value: SessionState {
                policy: 6,
                connections: vec![connection],
            },
            file: "iscsi://array.example/iqn.t/0".to_owned(),
        };
        state.sessions.insert("0x7/0".to_owned(), session);
        state.timers = Some(Override {
            value: crate::control::config::Timers::default(),
            file: "{}".to_owned(),
        });
        state
    }

    #[test]
    fn what_is_saved_is_found_again() {
        let dir = dir("state");
        let state = full();
        let (mut store, fresh) = Store::open(&dir).expect("empty");
        store.save(&state).expect("saved");
        drop(store);
        let (store, found) = Store::open(&dir).expect("there");
        assert_eq!(found, state);
        assert_ne!(found.host, fresh.host);
        let second = Store::open(&dir).expect_err("one daemon at a time");
        assert!(matches!(second, StateError::InUse { .. }), "{second}");
        drop(store);
        fs::remove_dir_all(dir).expect("removed");
    }

    #[test]
    fn a_thousand_changes_are_a_journal_and_now_and_then_a_new_file() {
        let dir = dir("journal");
        let (mut store, mut state) = Store::open(&dir).expect("empty");
        for n in 0..20_000 {
            state.generation += 1;
            state.lun(&format!("lun-{}", n % 7)).disk = n;
            store.save(&state).expect("saved");
            let journal = fs::metadata(dir.join("journal")).expect("there").len();
            assert!(journal < journal::BYTES_MAX + 1000, "{journal}");
        }
        let file = file::read(&dir.join("state"))
            .expect("read")
            .expect("there");
        let file: State = serde_json::from_str(&file).expect("JSON");
        assert!(
            file.generation > 0,
            "a full journal is followed by a new file"
        );
        assert!(
            file.generation < state.generation,
            "most changes are in the journal only"
        );
        drop(store);
        let (store, found) = Store::open(&dir).expect("there");
        assert_eq!(found, state);
        store.close(&found).expect("closed");
        let journal = fs::metadata(dir.join("journal")).expect("there").len();
        assert_eq!(journal, 0);
        fs::remove_dir_all(dir).expect("removed");
    }

    #[test]
    fn a_state_that_was_moved_away_does_not_come_back_out_of_the_journal() {
        let dir = dir("moved");
        let (mut store, mut state) = Store::open(&dir).expect("empty");
        state.generation += 1;
        state.lun("a");
        store.save(&state).expect("saved");
        drop(store);
        fs::rename(dir.join("state"), dir.join("away")).expect("moved");
        let (_store, found) = Store::open(&dir).expect("empty");
        assert_ne!(found.host, state.host);
        assert!(found.luns.is_empty());
        fs::remove_dir_all(&dir).expect("removed");
    }

    #[test]
    fn what_others_do_to_the_files_is_noticed_and_mended_by_writing_anew() {
        let dir = dir("damage");
        let (mut store, mut state) = Store::open(&dir).expect("empty");
        state.generation += 1;
        state.lun("a");
        store.save(&state).expect("saved");
        assert_eq!(store.damage(), None);
        let (file, journal) = (dir.join("state"), dir.join("journal"));
        let garbage = || fs::write(&journal, "garbage").expect("written");
        let gone = |path: &Path| fs::remove_file(path).expect("removed");
        let other = || {
            gone(&journal);
            fs::write(&journal, "").expect("written");
        };
        let cases: [(&dyn Fn(), &str); 5] = [
            (&garbage, "7 bytes"),
            (&|| gone(&journal), "No such file"),
            (&other, "another file"),
            (&|| gone(&file), "No such file"),
            (
                &|| fs::write(&file, "something else").expect("written"),
                "somebody else",
            ),
        ];
        for (damage, what) in cases {
            damage();
            let why = store.damage().expect("noticed");
            assert!(why.contains(what), "{why}");
            store.save_anew(&state).expect("saved");
            assert_eq!(store.damage(), None, "mended after {what}");
            state.generation += 1;
            state.lun("a").disk += 1;
            store.save(&state).expect("saved");
            assert_eq!(store.damage(), None);
        }
        drop(store);
        let (_store, found) = Store::open(&dir).expect("there");
        assert_eq!(found, state);
        fs::remove_dir_all(&dir).expect("removed");
    }

    #[test]
    fn a_first_start_makes_an_identity_that_stays() {
        let dir = dir("fresh");
        let (store, first) = Store::open(&dir).expect("empty");
        drop(store);
        let (_store, second) = Store::open(&dir).expect("there");
        assert_eq!(first, second);
        fs::remove_dir_all(&dir).expect("removed");
    }

    #[test]
    fn a_damaged_state_is_refused_with_words_that_help() {
        let dir = dir("damaged");
        fs::write(
            dir.join("state"),
            "umpio-state 1 crc32c=00000000 bytes=2\n{}",
        )
        .expect("written");
        let e = Store::open(&dir).expect_err("damaged").to_string();
        assert!(e.contains("checksum") && e.contains("move it away"), "{e}");
        fs::remove_dir_all(&dir).expect("removed");
    }

    #[test]
    fn disk_numbers_are_kept_and_filled_up() {
        let mut state = State::fresh();
        assert_eq!(state.lun("b").disk, 0);
        assert_eq!(state.lun("a").disk, 1);
        state.luns.remove("b");
        assert_eq!(state.lun("c").disk, 0);
        assert_eq!(state.lun("a").disk, 1);
    }

    #[test]
    fn ids_are_sixteen_digits_and_read_back() {
        assert_eq!(parse_id(&id(0x1F)), Some(0x1F));
        for bad in ["", "0x", "1f", "0x+1", "0x11112222333344445"] {
            assert_eq!(parse_id(bad), None, "{bad}");
        }
    }
}
