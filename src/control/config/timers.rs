//! Timers and counters under their Windows names, with their Windows defaults
//! (MPIO_TIMERS_COUNTERS; registry values of Services\mpio\Parameters).

use crate::lun::channel::LunSettings;
use std::time::Duration;

/// One set of them. Periods in seconds, as Windows has them.
#[derive(Copy, Clone, PartialEq, Eq, Debug, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub struct Timers {
    pub path_verify_enabled: bool,
    pub path_verification_period: u32,
    /// How long I/O waits for a path before it fails.
    #[serde(rename = "PDORemovePeriod")]
    pub pdo_remove_period: u32,
    /// Counted retries of a failed I/O.
    pub retry_count: u32,
    pub retry_interval: u32,
    pub use_custom_path_recovery_interval: bool,
    pub path_recovery_interval: u32,
    pub disk_timeout_value: u32,
}

impl Default for Timers {
    fn default() -> Self {
        Self {
            path_verify_enabled: false,
            path_verification_period: 30,
            pdo_remove_period: 20,
            retry_count: 3,
            retry_interval: 1,
            use_custom_path_recovery_interval: false,
            path_recovery_interval: 40,
            disk_timeout_value: 120,
        }
    }
}

impl Timers {
    /// Names of all, as config and RPC spell them.
    pub const NAMES: [&'static str; 8] = [
        "PathVerifyEnabled",
        "PathVerificationPeriod",
        "PDORemovePeriod",
        "RetryCount",
        "RetryInterval",
        "UseCustomPathRecoveryInterval",
        "PathRecoveryInterval",
        "DiskTimeoutValue",
    ];

    /// Those that the engine does not go by, kept and shown for Windows tools. DiskTimeoutValue is
    /// that of Windows' disk driver, above MPIO: whoever hands I/O in here has a time limit of its own.
    pub const IDLE: [&'static str; 1] = ["DiskTimeoutValue"];

    /// RetryInterval where nobody has set one: retries go to another path at once.
    const RETRY_AT_ONCE: u32 = 1;

    /// The values in the order of [`Self::NAMES`]; truth values as 0 and 1.
    pub fn values(&self) -> [u32; 8] {
        [
            u32::from(self.path_verify_enabled),
            self.path_verification_period,
            self.pdo_remove_period,
            self.retry_count,
            self.retry_interval,
            u32::from(self.use_custom_path_recovery_interval),
            self.path_recovery_interval,
            self.disk_timeout_value,
        ]
    }

    /// Sets one by its name.
    ///
    /// # Errors
    /// What is allowed there.
    pub fn set(&mut self, name: &str, value: u32) -> Result<(), &'static str> {
        let flag = || match value {
            0 | 1 => Ok(value == 1),
            _ => Err("0 or 1"),
        };
        match name {
            "PathVerifyEnabled" => self.path_verify_enabled = flag()?,
            "PathVerificationPeriod" => self.path_verification_period = value,
            "PDORemovePeriod" => self.pdo_remove_period = value,
            "RetryCount" if value > 255 => return Err("0 to 255"),
            "RetryCount" => self.retry_count = value,
            "RetryInterval" => self.retry_interval = value,
            "UseCustomPathRecoveryInterval" => self.use_custom_path_recovery_interval = flag()?,
            "PathRecoveryInterval" => self.path_recovery_interval = value,
            "DiskTimeoutValue" => self.disk_timeout_value = value,
            _ => return Err("a name that Timers::NAMES holds"),
        }
        Ok(())
    }

    /// Those set to something else than the default that have no effect on the engine.
    pub fn without_effect(&self) -> Vec<&'static str> {
        let (mine, default) = (self.values(), Self::default().values());
        (0..mine.len())
            .filter(|&i| mine[i] != default[i])
            .map(|i| Self::NAMES[i])
            .filter(|name| Self::IDLE.contains(name))
            .collect()
    }

    /// What a LUN works by.
    pub fn settings(&self) -> LunSettings {
        LunSettings {
            park_max: Duration::from_secs(u64::from(self.pdo_remove_period)),
            retry_max: self.retry_count.min(255) as u8,
            retry_after: match self.retry_interval {
                Self::RETRY_AT_ONCE => Duration::ZERO,
                seconds => Duration::from_secs(u64::from(seconds)),
            },
            ..LunSettings::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_are_those_of_windows_and_of_the_engine() {
        let t = Timers::default();
        assert_eq!(t.values(), [0, 30, 20, 3, 1, 0, 40, 120]);
        assert_eq!(t.settings(), LunSettings::default());
        assert!(t.without_effect().is_empty());
    }

    #[test]
    fn each_is_set_by_its_name_and_read_in_its_place() {
        for (i, name) in Timers::NAMES.iter().enumerate() {
            let mut t = Timers::default();
            let new = 1 - t.values()[i].min(1);
            t.set(name, new).expect(name);
            assert_eq!(t.values()[i], new, "{name}");
            assert_eq!(t.without_effect().is_empty(), !Timers::IDLE.contains(name));
        }
        let mut t = Timers::default();
        t.set("RetryInterval", 2).expect("a number");
        assert_eq!(t.settings().retry_after, Duration::from_secs(2));
        assert!(t.set("RetryCount", 256).is_err());
        assert!(t.set("PathVerifyEnabled", 2).is_err());
        assert!(t.set("NoSuchTimer", 2).is_err());
    }
}
