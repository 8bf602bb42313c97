//! Ctrl-C and SIGTERM as something a polling loop looks at: a run that is interrupted still
//! reports what it has measured.

use std::io;

use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};

/// Takes SIGINT and SIGTERM from now on, for this thread and those it starts.
#[derive(Debug)]
pub struct Stop {
    fd: SignalFd,
    stopped: bool,
}

impl Stop {
    /// Call it before threads are started: they inherit the mask.
    pub fn catch() -> io::Result<Self> {
        let mut set = SigSet::empty();
        set.add(Signal::SIGINT);
        set.add(Signal::SIGTERM);
        set.thread_block()?;
        let flags = SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC;
        let fd = SignalFd::with_flags(&set, flags)?;
        Ok(Self { fd, stopped: false })
    }

    /// Whether a signal has come. A system call: ask every few milliseconds, not every turn.
    pub fn asked(&mut self) -> bool {
        if !self.stopped && matches!(self.fd.read_signal(), Ok(Some(_))) {
            self.stopped = true;
        }
        self.stopped
    }
}
