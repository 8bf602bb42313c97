//! The states of an association: one table, one checked setter.
//!
//! ```text
//!              ┌───────────────────────────────┐
//!              ▼                               │
//!   Idle ─► Connecting ─► LoggingIn ─► Up ─► Draining ─► Stopped
//!              │              │        │                   ▲
//!              └──────┬───────┴────────┘                   │
//!                     ▼                                    │
//!                  Backoff ────────────────────────────────┘
//!                     │
//!                     └────► Connecting
//! ```

use std::fmt;

/// Where an association stands.
#[derive(Copy, Clone, PartialEq, Eq, Debug, Hash)]
pub enum State {
    /// Configured, not tried yet.
    Idle,
    /// The first connection is being made (name lookup included).
    Connecting,
    /// The protocol's bring-up is under way.
    LoggingIn,
    /// Carries I/O.
    Up,
    /// Orderly teardown: no new I/O, waiting for the target's acknowledgement.
    Draining,
    /// Lost or refused; will be tried again.
    Backoff,
    /// Taken out of use; never tried again.
    Stopped,
}

impl State {
    pub const ALL: [Self; 7] = [
        Self::Idle,
        Self::Connecting,
        Self::LoggingIn,
        Self::Up,
        Self::Draining,
        Self::Backoff,
        Self::Stopped,
    ];

    pub const fn name(self) -> &'static str {
        match self {
            Self::Idle => "idle",
            Self::Connecting => "connecting",
            Self::LoggingIn => "logging in",
            Self::Up => "up",
            Self::Draining => "draining",
            Self::Backoff => "backoff",
            Self::Stopped => "stopped",
        }
    }

    /// The table of transitions.
    pub const fn may_become(self, next: Self) -> bool {
        match self {
            Self::Idle => matches!(
                next,
                Self::Connecting | Self::Up | Self::Backoff | Self::Stopped
            ),
            Self::Connecting => matches!(next, Self::LoggingIn | Self::Backoff | Self::Stopped),
            Self::LoggingIn => matches!(next, Self::Up | Self::Backoff | Self::Stopped),
            Self::Up => matches!(next, Self::Draining | Self::Backoff | Self::Stopped),
            // The target may break the connection while we say goodbye.
            Self::Draining => matches!(next, Self::Stopped | Self::Backoff),
            // A local device comes back without connecting.
            Self::Backoff => matches!(next, Self::Connecting | Self::Up | Self::Stopped),
            Self::Stopped => false,
        }
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_whole_matrix() {
        let mut rows = String::new();
        for from in State::ALL {
            let to: Vec<_> = State::ALL
                .iter()
                .filter(|t| from.may_become(**t))
                .map(|t| t.name())
                .collect();
            rows.push_str(&format!("{from}: {}\n", to.join(", ")));
        }
        assert_eq!(
            rows,
            "idle: connecting, up, backoff, stopped\n\
             connecting: logging in, backoff, stopped\n\
             logging in: up, backoff, stopped\n\
             up: draining, backoff, stopped\n\
             draining: backoff, stopped\n\
             backoff: connecting, up, stopped\n\
             stopped: \n"
        );
    }
}
