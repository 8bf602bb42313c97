//! How a command fails: what was tried, what came back, what to do about it.

use std::fmt;
use std::process::ExitCode;

use serde_json::json;

use super::json;
use super::term::Paint;

/// Exit codes that scripts rely on. 2 is a usage error, which clap reports itself.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum Exit {
    Ok = 0,
    /// The command could not do what was asked.
    Failed = 1,
    /// Arguments that do not go together, as clap's own usage errors.
    Usage = 2,
    /// It ran to its end, but I/O failed or data was wrong.
    BadData = 3,
    /// Stopped by Ctrl-C or a signal; what was measured until then has been reported.
    Interrupted = 130,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// A command's failure, told so that the reader can act on it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CliError {
    pub exit: Exit,
    /// One line: what could not be done.
    pub what: String,
    /// What was tried, where that is not plain from `what`.
    pub tried: Option<String>,
    /// What came back: the peer's or the system's words.
    pub got: Option<String>,
    /// What to do about it.
    pub advice: Option<String>,
}

impl CliError {
    pub fn new(what: impl Into<String>) -> Self {
        Self {
            exit: Exit::Failed,
            what: what.into(),
            tried: None,
            got: None,
            advice: None,
        }
    }

    /// Arguments that do not go together.
    pub fn usage(what: impl Into<String>) -> Self {
        Self {
            exit: Exit::Usage,
            ..Self::new(what)
        }
    }

    /// A signal came before there was anything to report.
    pub fn interrupted() -> Self {
        Self {
            exit: Exit::Interrupted,
            ..Self::new("interrupted")
        }
    }

    #[must_use]
    pub fn tried(mut self, text: impl Into<String>) -> Self {
        self.tried = Some(text.into());
        self
    }

    #[must_use]
    pub fn got(mut self, text: impl fmt::Display) -> Self {
        self.got = Some(text.to_string());
        self
    }

    #[must_use]
    pub fn advice(mut self, text: impl Into<String>) -> Self {
        self.advice = Some(text.into());
        self
    }

    /// Tells the reader on stderr; with `--json` a script on stdout as well.
    pub fn report(&self, json: bool) -> ExitCode {
        eprint!("{}", self.render(Paint::stderr()));
        if json {
            json::print(&json!({ "error": {
                "what": self.what,
                "tried": self.tried,
                "got": self.got,
                "advice": self.advice,
            }}));
        }
        self.exit.into()
    }

    fn render(&self, paint: Paint) -> String {
        let mut out = format!("{} {}\n", paint.bad("umpio:"), self.what);
        let lines = [
            ("tried", &self.tried),
            ("got", &self.got),
            ("try", &self.advice),
        ];
        for (label, text) in lines {
            let Some(text) = text else { continue };
            for (i, line) in text.lines().enumerate() {
                let label = if i == 0 { label } else { "" };
                out.push_str(&format!("  {} {line}\n", paint.dim(&format!("{label:>5}"))));
            }
        }
        out
    }
}

impl fmt::Display for CliError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.render(Paint::OFF).trim_end())
    }
}

impl std::error::Error for CliError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_names_what_was_tried_what_came_back_and_what_to_do() {
        let e = CliError::new("cannot open the LUN")
            .tried("nvme-tcp://127.0.0.1:1/nqn.x")
            .got("connection refused\n(3 attempts)")
            .advice("start a target there");
        assert_eq!(
            e.to_string(),
            "umpio: cannot open the LUN\n\
             \x20 tried nvme-tcp://127.0.0.1:1/nqn.x\n\
             \x20   got connection refused\n\
             \x20       (3 attempts)\n\
             \x20   try start a target there"
        );
    }
}
