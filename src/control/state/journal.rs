//! The changes since the state file was last written as a whole: a line each, appended.
//!
//! A line is written before the change is answered, so whatever becomes of the process, an answered
//! change is there. A thread of its own makes the lines durable behind that, all that wait with one
//! fdatasync(2): a thousand changes a second cost some fifty of them.
//!
//! ```text
//! 1a2b3c4d {"generation":8,"luns":{"a":{…}}}
//! ```
//!
//! The first word is the CRC-32C of the rest. Generations follow each other without a gap; reading
//! ends with the first line that is torn, damaged or out of turn. Lines that the state file knows
//! already are passed over: they are there when the process ended between writing that and
//! clearing this.

use super::{LunState, State};
use crate::base::clock::{Clock, Time};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

/// Bytes of a journal: with more, the state file is written anew.
pub(super) const BYTES_MAX: u64 = 1 << 20;

/// Pause between two syncs, for changes to gather in.
const GATHER: Duration = Duration::from_millis(20);

/// Once the oldest change that is not durable is as old as this, further ones wait for the disk.
const BEHIND_MAX: Duration = Duration::from_millis(60);

/// What is different from one state to the next.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Delta {
    generation: u64,
    /// LUNs that are new or changed; nothing for one that is gone.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    luns: BTreeMap<String, Option<LunState>>,
    /// All but the LUNs, where any of it differs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    rest: Option<Box<State>>,
}

impl Delta {
    fn between(old: &State, new: &State) -> Self {
        let changed = new.luns.iter().filter(|(k, v)| old.luns.get(*k) != Some(v));
        let changed = changed.map(|(k, v)| (k.clone(), Some(v.clone())));
        let gone = old.luns.keys().filter(|k| !new.luns.contains_key(*k));
        let luns = changed.chain(gone.map(|k| (k.clone(), None))).collect();
        let same = old.host == new.host
            && old.timers == new.timers
            && old.default_policy == new.default_policy
            && old.target_defaults == new.target_defaults
            && old.sessions == new.sessions;
        let rest = || {
            Box::new(State {
                luns: BTreeMap::new(),
                ..new.clone()
            })
        };
        Self {
            generation: new.generation,
            luns,
            rest: (!same).then(rest),
        }
    }

    fn apply(self, state: &mut State) {
        if let Some(rest) = self.rest {
            let luns = std::mem::take(&mut state.luns);
            *state = State { luns, ..*rest };
        }
        for (name, lun) in self.luns {
            match lun {
                Some(lun) => drop(state.luns.insert(name, lun)),
                None => drop(state.luns.remove(&name)),
            }
        }
        state.generation = self.generation;
    }
}

/// What a journal held.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct Replayed {
    /// Changes that were taken over.
    pub changes: u64,
    /// Bytes at the end that are of no use: a change that was never answered, or damage.
    pub left: usize,
}

/// Takes the changes of a journal over into the state that it follows.
pub fn replay(state: &mut State, bytes: &[u8]) -> Replayed {
    let mut changes = 0;
    let mut rest = bytes;
    while let Some(end) = rest.iter().position(|b| *b == b'\n') {
        let Some(delta) = read(&rest[..end]) else {
            break;
        };
        if delta.generation > state.generation {
            if Some(delta.generation) != state.generation.checked_add(1) {
                break;
            }
            delta.apply(state);
            changes += 1;
        }
        rest = &rest[end + 1..];
    }
    Replayed {
        changes,
        left: rest.len(),
    }
}

fn read(line: &[u8]) -> Option<Delta> {
    let (crc, body) = line.split_at_checked(9)?;
    let crc = str::from_utf8(crc.strip_suffix(b" ")?).ok()?;
    if u32::from_str_radix(crc, 16) != Ok(crc32c::crc32c(body)) {
        return None;
    }
    serde_json::from_slice(body).ok()
}

fn line(delta: &Delta) -> io::Result<Vec<u8>> {
    let body = serde_json::to_string(delta).map_err(io::Error::other)?;
    let crc = crc32c::crc32c(body.as_bytes());
    Ok(format!("{crc:08x} {body}\n").into_bytes())
}

/// The bytes of a journal; none when there is no file.
pub(super) fn load(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    match File::open(path) {
        // A journal is a little longer than its bound at most.
        Ok(file) => drop(file.take(64 * BYTES_MAX).read_to_end(&mut bytes)?),
        Err(e) if e.kind() == io::ErrorKind::NotFound => {}
        Err(e) => return Err(e),
    }
    Ok(bytes)
}

/// A journal that is written.
#[derive(Debug)]
pub(super) struct Journal {
    file: Arc<File>,
    bytes: u64,
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
    clock: Clock,
}

#[derive(Debug, Default)]
struct Shared {
    at: Mutex<Progress>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Progress {
    /// When the oldest change was written that no sync has begun for.
    waiting: Option<Time>,
    /// The same for the sync under way.
    syncing: Option<Time>,
    failed: Option<io::Error>,
    over: bool,
}

impl Progress {
    fn oldest(&self) -> Option<Time> {
        self.syncing.or(self.waiting)
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Progress> {
        self.at.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Journal {
    /// An empty one.
    pub(super) fn create(path: &Path) -> io::Result<Self> {
        let file = OpenOptions::new()
            .append(true)
            .create(true)
            .mode(0o600)
            .open(path)?;
        file.set_len(0)?;
        let (file, shared) = (Arc::new(file), Arc::new(Shared::default()));
        let theirs = (file.clone(), shared.clone());
        let thread = std::thread::Builder::new()
            .name("umpio-state".to_owned())
            .spawn(move || sync(&theirs.0, &theirs.1))?;
        Ok(Self {
            file,
            bytes: 0,
            shared,
            thread: Some(thread),
            clock: Clock::monotonic(),
        })
    }

    /// The name does not lead to what was written: what is there instead.
    pub(super) fn damage(&self, path: &Path) -> Option<String> {
        let ours = self.file.metadata();
        let found = std::fs::metadata(path);
        match (ours, found) {
            (Ok(ours), Ok(found)) if (ours.dev(), ours.ino()) != (found.dev(), found.ino()) => {
                Some("another file is in its place".to_owned())
            }
            (Ok(_), Ok(found)) if found.len() != self.bytes => Some(format!(
                "it has {} bytes, {} of which are this daemon's",
                found.len(),
                self.bytes
            )),
            (Ok(_), Ok(_)) => None,
            (Err(e), _) | (_, Err(e)) => Some(e.to_string()),
        }
    }

    pub(super) fn is_full(&self) -> bool {
        self.bytes >= BYTES_MAX
    }

    pub(super) fn is_empty(&self) -> bool {
        self.bytes == 0
    }

    /// Writes a change down. When this returns it survives the process; a moment later, the machine.
    /// `old` is what is written already, and becomes as `new`.
    pub(super) fn append(&mut self, old: &mut State, new: &State) -> io::Result<()> {
        let delta = Delta::between(old, new);
        let line = line(&delta)?;
        self.keep_up()?;
        if let Err(e) = (&*self.file).write_all(&line) {
            // What follows half a line would be lost with it.
            self.file.set_len(self.bytes)?;
            return Err(e);
        }
        self.bytes += line.len() as u64;
        delta.apply(old);
        self.shared.lock().waiting.get_or_insert(self.clock.now());
        self.shared.changed.notify_all();
        Ok(())
    }

    /// Waits for the disk if it is too far behind.
    fn keep_up(&self) -> io::Result<()> {
        let late = |p: &mut Progress| {
            let age = |t: Time| self.clock.now().since(t) > BEHIND_MAX;
            p.failed.is_none() && p.oldest().is_some_and(age)
        };
        let at = self.shared.lock();
        let at = self.shared.changed.wait_while(at, late);
        let mut at = at.unwrap_or_else(PoisonError::into_inner);
        at.failed.take().map_or(Ok(()), Err)
    }

    /// Whether a sync has failed since this was asked last.
    pub(super) fn trouble(&self) -> Option<io::Error> {
        self.shared.lock().failed.take()
    }

    /// The state file has everything: begins anew.
    pub(super) fn clear(&mut self) -> io::Result<()> {
        self.file.set_len(0)?;
        self.bytes = 0;
        Ok(())
    }
}

impl Drop for Journal {
    fn drop(&mut self) {
        self.shared.lock().over = true;
        self.shared.changed.notify_all();
        if self.thread.take().is_some_and(|t| t.join().is_err()) {
            tracing::error!("the thread that makes the state durable panicked");
        }
    }
}

/// The thread: as long as something waits, one sync after the other.
fn sync(file: &File, shared: &Shared) {
    loop {
        let at = shared.lock();
        let idle = |p: &mut Progress| p.waiting.is_none() && !p.over;
        let at = shared.changed.wait_while(at, idle);
        let mut at = at.unwrap_or_else(PoisonError::into_inner);
        if at.waiting.is_none() {
            return;
        }
        at.syncing = at.waiting.take();
        let over = at.over;
        drop(at);
        let done = file.sync_data();
        let mut at = shared.lock();
        at.syncing = None;
        at.failed = done.err();
        drop(at);
        shared.changed.notify_all();
        if !over {
            std::thread::sleep(GATHER);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Override, Presence, tests::full};
    use super::*;

    /// Some changes one after the other, and the state after each.
    fn story() -> (State, Vec<State>) {
        let start = full();
        let mut states = Vec::new();
        let mut state = start.clone();
        let mut next = |change: &dyn Fn(&mut State)| {
            change(&mut state);
            state.generation += 1;
            states.push(state.clone());
        };
        next(&|s| s.lun("b").disk = 7);
        next(&|s| {
            s.lun("a").presence = Some(Override {
                value: Presence::Closed,
                file: "present".to_owned(),
            });
        });
        next(&|_| {});
        next(&|s| s.timers = None);
        next(&|s| drop(s.luns.remove("b")));
        next(&|s| s.sessions.clear());
        next(&|s| s.host.seed ^= 1);
        (start, states)
    }

    fn lines(start: &State, states: &[State]) -> Vec<Vec<u8>> {
        let before = std::iter::once(start).chain(states);
        let pairs = before.zip(states);
        let line = |(old, new)| line(&Delta::between(old, new)).expect("JSON");
        pairs.map(line).collect()
    }

    #[test]
    fn changes_are_taken_over_up_to_where_the_journal_was_cut() {
        let (start, states) = story();
        let lines = lines(&start, &states);
        let whole = lines.concat();
        let mut ends = vec![0];
        for l in &lines {
            ends.push(ends[ends.len() - 1] + l.len());
        }
        for cut in 0..=whole.len() {
            let mut state = start.clone();
            let got = replay(&mut state, &whole[..cut]);
            let complete = ends.iter().filter(|e| **e <= cut).count() - 1;
            assert_eq!(got.changes, complete as u64, "cut at {cut}");
            assert_eq!(got.left, cut - ends[complete]);
            let want = complete.checked_sub(1).map_or(&start, |n| &states[n]);
            assert_eq!(&state, want);
        }
    }

    #[test]
    fn a_damaged_line_ends_the_story_and_what_is_known_is_passed_over() {
        let (start, states) = story();
        let lines = lines(&start, &states);
        let whole = lines.concat();
        for at in 0..whole.len() {
            let mut bad = whole.clone();
            bad[at] ^= 0x04;
            let mut state = start.clone();
            replay(&mut state, &bad);
            let known = std::iter::once(&start).chain(&states);
            assert!(known.into_iter().any(|s| *s == state), "flipped at {at}");
        }
        // The state file was written after the third change, and the journal not yet cleared.
        let mut state = states[2].clone();
        assert_eq!(replay(&mut state, &whole).changes, 4);
        assert_eq!(state, states[6]);
        // A line is missing: none behind it counts.
        let mut state = start.clone();
        let gap = [&lines[0][..], &lines[2]].concat();
        let got = replay(&mut state, &gap);
        assert_eq!((got.changes, got.left), (1, lines[2].len()));
        assert_eq!(state, states[0]);
    }
}
