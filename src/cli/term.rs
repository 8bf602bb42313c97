//! The terminal: colour and redrawing only where there is one.

use std::io::{self, IsTerminal, Write};

use crate::sys::tty;

/// Colour, or none.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct Paint(bool);

impl Paint {
    pub const OFF: Self = Self(false);

    fn on(terminal: bool) -> Self {
        let allowed = std::env::var_os("NO_COLOR").is_none_or(|v| v.is_empty());
        let dumb = std::env::var_os("TERM").is_some_and(|t| t == "dumb");
        Self(terminal && allowed && !dumb)
    }

    pub fn stdout() -> Self {
        Self::on(io::stdout().is_terminal())
    }

    pub fn stderr() -> Self {
        Self::on(io::stderr().is_terminal())
    }

    fn code(self, code: &str, text: &str) -> String {
        if self.0 {
            format!("\x1b[{code}m{text}\x1b[0m")
        } else {
            text.to_owned()
        }
    }

    pub fn bold(self, text: &str) -> String {
        self.code("1", text)
    }

    pub fn dim(self, text: &str) -> String {
        self.code("2", text)
    }

    pub fn good(self, text: &str) -> String {
        self.code("32", text)
    }

    pub fn warn(self, text: &str) -> String {
        self.code("33", text)
    }

    pub fn bad(self, text: &str) -> String {
        self.code("1;31", text)
    }
}

/// A block of lines on stderr that is drawn over again; where stderr is no terminal, only lines
/// meant to stay are printed.
#[derive(Debug)]
pub struct Block {
    terminal: bool,
    drawn: usize,
}

impl Block {
    pub fn stderr() -> Self {
        Self {
            terminal: io::stderr().is_terminal(),
            drawn: 0,
        }
    }

    pub fn is_live(&self) -> bool {
        self.terminal
    }

    /// Columns to draw in.
    pub fn columns() -> usize {
        tty::columns(libc::STDERR_FILENO).map_or(100, usize::from)
    }

    /// Draws `lines` in place of the last block. Does nothing without a terminal.
    pub fn draw(&mut self, lines: &[String]) {
        if !self.terminal {
            return;
        }
        let mut out = self.rewind();
        for line in lines {
            out.push_str(line);
            out.push_str("\x1b[K\n");
        }
        self.drawn = lines.len();
        put(&out);
    }

    /// Prints a line that stays, above the block.
    pub fn say(&mut self, line: &str) {
        let out = format!("{}{line}\n", self.rewind());
        put(&out);
    }

    /// Takes the block away.
    pub fn clear(&mut self) {
        let out = self.rewind();
        put(&out);
    }

    fn rewind(&mut self) -> String {
        match std::mem::take(&mut self.drawn) {
            0 => String::new(),
            n => format!("\x1b[{n}A\r\x1b[J"),
        }
    }
}

/// A closed stderr must not end a measurement.
fn put(text: &str) {
    let mut err = io::stderr().lock();
    let _ = err.write_all(text.as_bytes());
    let _ = err.flush();
}

/// `text` in at most `width` columns; the middle goes first, for both ends of a URL tell more.
pub fn fit(text: &str, width: usize) -> String {
    let len = text.chars().count();
    if len <= width {
        return text.to_owned();
    }
    if width < 5 {
        return text.chars().take(width).collect();
    }
    let head = (width - 2) * 3 / 5;
    let tail = width - 2 - head;
    let start: String = text.chars().take(head).collect();
    let end: String = text.chars().skip(len - tail).collect();
    format!("{start}..{end}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_url_loses_its_middle() {
        let url = "nvme-tcp://127.0.0.1:4420/nqn.2024-01.io.umpio:demo";
        let short = fit(url, 30);
        assert_eq!(short.len(), 30);
        assert!(short.starts_with("nvme-tcp://127") && short.ends_with("umpio:demo"));
        assert_eq!(fit("mem:64M", 30), "mem:64M");
    }
}
