//! What has happened, newest last: a bounded ring with time stamps, for whoever asks later.

use std::collections::VecDeque;

/// Events that are kept.
pub const EVENTS_MAX: usize = 4096;

/// What an event is about.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum EventKind {
    DaemonStarted,
    DaemonStopping,
    ConfigReloaded,
    ConfigRefused,
    LunOpened,
    LunClosed,
    PathAdded,
    PathRemoved,
    PathUp,
    PathDown,
    AccessChanged,
    PolicyChanged,
    DefaultChanged,
    TimersChanged,
    SessionChanged,
    Serving,
    ServingFailed,
    StateFailed,
}

impl EventKind {
    /// As RPC and logs spell it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::DaemonStarted => "daemon_started",
            Self::DaemonStopping => "daemon_stopping",
            Self::ConfigReloaded => "config_reloaded",
            Self::ConfigRefused => "config_refused",
            Self::LunOpened => "lun_opened",
            Self::LunClosed => "lun_closed",
            Self::PathAdded => "path_added",
            Self::PathRemoved => "path_removed",
            Self::PathUp => "path_up",
            Self::PathDown => "path_down",
            Self::AccessChanged => "access_changed",
            Self::PolicyChanged => "policy_changed",
            Self::DefaultChanged => "default_changed",
            Self::TimersChanged => "timers_changed",
            Self::SessionChanged => "session_changed",
            Self::Serving => "serving",
            Self::ServingFailed => "serving_failed",
            Self::StateFailed => "state_failed",
        }
    }

    const fn is_bad(self) -> bool {
        matches!(
            self,
            Self::PathDown | Self::ConfigRefused | Self::ServingFailed | Self::StateFailed
        )
    }
}

/// One thing that happened.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Event {
    /// Counts up from 1, without gaps.
    pub seq: u64,
    /// Nanoseconds since 1970.
    pub wall_ns: u64,
    pub kind: EventKind,
    /// The LUN it is about, or nothing.
    pub lun: String,
    /// The nexus it is about.
    pub nexus: Option<u64>,
    pub text: String,
}

/// The ring.
#[derive(Debug, Default)]
pub struct Events {
    ring: VecDeque<Event>,
    next: u64,
}

impl Events {
    /// Notes and logs an event.
    pub fn note(
        &mut self,
        wall_ns: u64,
        kind: EventKind,
        lun: &str,
        nexus: Option<u64>,
        text: impl Into<String>,
    ) {
        let text = text.into();
        let id = nexus.map_or_else(String::new, |n| format!("{n:#018x}"));
        if kind.is_bad() {
            tracing::warn!(event = kind.name(), lun, nexus = id, "{text}");
        } else {
            tracing::info!(event = kind.name(), lun, nexus = id, "{text}");
        }
        self.next += 1;
        if self.ring.len() >= EVENTS_MAX {
            self.ring.pop_front();
        }
        self.ring.push_back(Event {
            seq: self.next,
            wall_ns,
            kind,
            lun: lun.to_owned(),
            nexus,
            text,
        });
    }

    /// Those after `seq`, the oldest first, `max` at most: the newest when `seq` is 0.
    pub fn after(&self, seq: u64, max: usize) -> Vec<Event> {
        let later = self.ring.iter().filter(|e| e.seq > seq);
        let skip = match seq {
            0 => self.ring.len().saturating_sub(max),
            _ => 0,
        };
        later.skip(skip).take(max).cloned().collect()
    }

    /// Number of the last one.
    pub fn last(&self) -> u64 {
        self.next
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ring_keeps_the_newest_and_says_which_they_are() {
        let mut events = Events::default();
        for i in 0..EVENTS_MAX as u64 + 10 {
            events.note(i, EventKind::PathUp, "a", Some(i), "up");
        }
        let all = events.after(1, usize::MAX);
        assert_eq!(all.len(), EVENTS_MAX);
        assert_eq!(all[0].seq, 11);
        let newest = events.after(0, 2);
        assert_eq!(newest[1].seq, events.last());
        assert_eq!(newest.len(), 2);
        assert_eq!(events.after(20, 3)[0].seq, 21);
        assert!(events.after(events.last(), 9).is_empty());
    }
}
