//! What is wrong with a config file: the line, the key, what is allowed there.

use std::fmt;

/// One thing that is wrong with a config.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ConfigError {
    /// The file, or what else the text was read from.
    pub file: String,
    /// Counted from 1; 0 when no line is to blame.
    pub line: usize,
    /// As `lun[0].policy`; empty when the text is no TOML there.
    pub key: String,
    /// What is wrong, with what was given.
    pub what: String,
    /// What may stand there instead.
    pub allowed: Option<String>,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.file)?;
        if self.line > 0 {
            write!(f, ":{}", self.line)?;
        }
        if !self.key.is_empty() {
            write!(f, ": {}", self.key)?;
        }
        write!(f, ": {}", self.what)?;
        if let Some(allowed) = &self.allowed {
            write!(f, " (allowed: {allowed})")?;
        }
        Ok(())
    }
}

impl std::error::Error for ConfigError {}
