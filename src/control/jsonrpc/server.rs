//! The server: one thread for all clients.
//!
//! One thread with poll(2), and not one a client: a client costs a descriptor and a few buffers
//! and no thread, so hundreds of idle ones are nothing; commands are carried out one after the
//! other, so that no more than one order of ours is in a reactor's mailbox at a time, however many
//! clients there are; and ending it is one wake-up. The price is that a command must be short: it
//! is what a reactor does within a turn. No socket is ever waited for, and no client, nor all of them
//! together, gets more than a `budget` allows.

use super::budget::Budget;
use super::connection::{Connection, PIECE};
use super::error::{RpcError, code};
use super::message;
use super::socket::SocketFile;
use super::{Methods, Params};
use crate::base::clock::Clock;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::eventfd::{EfdFlags, EventFd};
use serde_json::Value;
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

/// What bounds a server.
#[derive(Clone, Debug)]
pub struct ServerConfig {
    pub socket: PathBuf,
    /// Clients at a time; a further one is told so and closed.
    pub connections: usize,
    /// Bytes of one message.
    pub message_bytes: usize,
    /// Calls of all clients together; those beyond wait.
    pub calls_per_second: u64,
}

/// Calls a second where nothing else is said.
pub const CALLS_PER_SECOND: u64 = 2000;

impl ServerConfig {
    pub fn new(socket: &Path) -> Self {
        Self {
            socket: socket.to_owned(),
            connections: 64,
            message_bytes: 1 << 20,
            calls_per_second: CALLS_PER_SECOND,
        }
    }
}

/// A server that serves. Dropping it ends it and takes its socket away.
#[derive(Debug)]
pub struct Server {
    stop: Arc<EventFd>,
    thread: Option<JoinHandle<()>>,
    /// Removed when the thread has ended.
    _file: SocketFile,
}

impl Server {
    /// Listens, and serves from then on.
    ///
    /// # Errors
    /// The socket's path cannot be had, or there is no thread.
    pub fn start(config: &ServerConfig, methods: Box<dyn Methods>) -> io::Result<Self> {
        let (file, listener) = SocketFile::listen(&config.socket)?;
        let stop = Arc::new(EventFd::from_flags(
            EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK,
        )?);
        let mut serving = Serving {
            listener,
            stop: stop.clone(),
            connections: Vec::new(),
            connections_max: config.connections,
            message_max: config.message_bytes,
            methods: Counted { methods, calls: 0 },
            accepting: true,
            budget: Budget::new(Clock::monotonic(), config.calls_per_second),
            first: 0,
        };
        let thread = std::thread::Builder::new()
            .name("umpio-rpc".to_owned())
            .spawn(move || serving.run())?;
        Ok(Self {
            stop,
            thread: Some(thread),
            _file: file,
        })
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // The counter of an event can only be full when it is signalled already.
        let _ = self.stop.write(1);
        if self.thread.take().is_some_and(|t| t.join().is_err()) {
            tracing::error!("the thread of the control socket panicked");
        }
    }
}

/// After an accept that failed for want of descriptors: how long until the next.
const ACCEPT_PAUSE_MS: u8 = 100;

struct Serving {
    listener: UnixListener,
    stop: Arc<EventFd>,
    connections: Vec<Connection>,
    connections_max: usize,
    message_max: usize,
    methods: Counted,
    /// Off for a moment after an accept that failed.
    accepting: bool,
    budget: Budget,
    /// The connection that is looked at first: another one each time.
    first: usize,
}

/// Methods, and how often they were called.
#[derive(Debug)]
struct Counted {
    methods: Box<dyn Methods>,
    calls: u64,
}

impl Methods for Counted {
    fn call(&mut self, method: &str, params: Params) -> Result<Value, RpcError> {
        self.calls += 1;
        self.methods.call(method, params)
    }
}

impl Serving {
    fn run(&mut self) {
        let mut piece = Box::new([0; PIECE]);
        let mut ready = Vec::new();
        loop {
            if let Some(pause) = self.budget.wait() {
                if !self.pause(pause) {
                    return;
                }
                continue;
            }
            if !self.wait(&mut ready) {
                return;
            }
            self.first = self.first.wrapping_add(1);
            for n in 0..ready.len() {
                let at = self.first.wrapping_add(n) % ready.len();
                let may_act = !self.budget.is_spent();
                let connection = &mut self.connections[at];
                let read = connection.turn(ready[at], &mut piece, &mut self.methods, may_act);
                self.budget.take_bytes(read);
                // What is no call at all has cost something too.
                let messages = u64::from(read > 0);
                let calls = std::mem::take(&mut self.methods.calls);
                self.budget.take_calls(calls.max(messages));
            }
            self.connections.retain(|c| !c.is_over());
            self.accept();
        }
    }

    /// Does nothing for a while. False: the end.
    fn pause(&self, time: Duration) -> bool {
        let mut fds = [PollFd::new(self.stop.as_fd(), PollFlags::POLLIN)];
        // Rounded up: to come too early would be to look for nothing.
        let ms = time.as_micros().div_ceil(1000).max(1);
        let time = PollTimeout::from(u8::try_from(ms).unwrap_or(u8::MAX));
        !matches!(poll(&mut fds, time), Ok(n) if n > 0)
    }

    /// Waits until there is something to do, and says what is ready by connection. False: the end.
    fn wait(&mut self, ready: &mut Vec<PollFlags>) -> bool {
        let mut fds = Vec::with_capacity(self.connections.len() + 2);
        fds.push(PollFd::new(self.stop.as_fd(), PollFlags::POLLIN));
        let accept = if self.accepting {
            PollFlags::POLLIN
        } else {
            PollFlags::empty()
        };
        fds.push(PollFd::new(self.listener.as_fd(), accept));
        let clients = self.connections.iter();
        fds.extend(clients.map(|c| PollFd::new(c.fd(), c.wants())));
        let time = if self.connections.iter().any(Connection::has_work) {
            PollTimeout::ZERO
        } else if self.accepting {
            PollTimeout::NONE
        } else {
            PollTimeout::from(ACCEPT_PAUSE_MS)
        };
        // What fails is a signal in between, or memory that is short for a moment.
        let polled = poll(&mut fds, time).is_ok();
        self.accepting = true;
        let revents = |fd: &PollFd<'_>| match polled {
            true => fd.revents().unwrap_or(PollFlags::empty()),
            false => PollFlags::empty(),
        };
        ready.clear();
        ready.extend(fds[2..].iter().map(revents));
        revents(&fds[0]).is_empty()
    }

    fn accept(&mut self) {
        // As many as can be had in a turn, so that clients are not kept waiting by newcomers.
        for _ in 0..self.connections_max {
            if self.budget.is_spent() {
                return;
            }
            match self.listener.accept() {
                Ok((mut stream, _)) if self.connections.len() >= self.connections_max => {
                    let text = format!(
                        "there are {} connections, and no more at a time",
                        self.connections_max
                    );
                    let text = message::refuse(&RpcError::new(code::TOO_MUCH, text));
                    // A socket that nothing was sent to yet takes this at once.
                    let _ = stream.write_all(text.as_bytes());
                    self.budget.take_calls(1);
                }
                Ok((stream, _)) => {
                    if stream.set_nonblocking(true).is_ok() {
                        let connection = Connection::new(stream, self.message_max);
                        self.connections.push(connection);
                    }
                    self.budget.take_calls(1);
                }
                Err(e) => {
                    let passes = matches!(
                        e.kind(),
                        io::ErrorKind::WouldBlock
                            | io::ErrorKind::Interrupted
                            | io::ErrorKind::ConnectionAborted
                    );
                    self.accepting = passes;
                    return;
                }
            }
        }
    }
}
