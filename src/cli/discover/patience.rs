//! How long a discovery waits: for each answer, and for all of it.

use std::time::Duration;

use crate::base::clock::{Clock, Time};

/// Time limits. A peer that keeps saying a little is never silent, hence the second one.
#[derive(Clone, Debug)]
pub struct Patience {
    clock: Clock,
    /// Silence after which a portal is given up on.
    pub answer: Duration,
    all: Duration,
    until: Time,
}

impl Patience {
    /// `all` counts from now.
    pub fn new(answer: Duration, all: Duration) -> Self {
        let clock = Clock::monotonic();
        let until = clock.now() + all;
        Self {
            clock,
            answer,
            all,
            until,
        }
    }

    pub fn now(&self) -> Time {
        self.clock.now()
    }

    pub fn is_over(&self) -> bool {
        self.now() >= self.until
    }

    /// How long the next answer may take; why it is not waited for where all time is up.
    ///
    /// # Errors
    /// All time is up.
    pub fn next(&self) -> Result<Duration, String> {
        let now = self.now();
        if now >= self.until {
            return Err(self.used_up());
        }
        Ok(self.answer.min(self.until.since(now)))
    }

    /// What to say when all time is up.
    pub fn used_up(&self) -> String {
        format!(
            "not done after {} s, the time for all of the discovery (--deadline)",
            self.all.as_secs_f64()
        )
    }

    /// What to say when no answer came: which of the two limits it was.
    pub fn why(&self) -> String {
        if self.is_over() {
            self.used_up()
        } else {
            format!("no answer within {} s", self.answer.as_secs_f64())
        }
    }
}
