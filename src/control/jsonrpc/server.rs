//! The server: one thread for all clients.
//!
//! One thread with poll(2), and not one a client: a client costs a descriptor and a few buffers
//! and no thread, so hundreds of idle ones are nothing; commands are carried out one after the
//! other, so that no more than one order of ours is in a reactor's mailbox at a time, however many
//! clients there are; and ending it is one wake-up. The price is that a command must be short: it
//! is what a reactor does within a turn; those that wait for a target are made `away`. No socket is ever
//! waited for, and no client, nor all of them together, gets more than a `budget` allows.

use super::away::Away;
use super::budget::{Budget, Usage};
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
        let returned = EventFd::from_flags(EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK)?;
        let mut serving = Serving {
            away: Away::new(returned),
            next_number: 0,
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
    /// Of those that had as much the one that is looked at first: another one each time.
    first: usize,
    away: Away,
    /// Number of the next connection.
    next_number: u64,
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

    fn waits(&self, method: &str) -> bool {
        self.methods.waits(method)
    }

    fn fork(&self) -> Option<Box<dyn Methods>> {
        self.methods.fork()
    }
}

impl Serving {
    fn run(&mut self) {
        let mut piece = Box::new([0; PIECE]);
        let mut ready = Vec::new();
        let mut order = Vec::new();
        loop {
            self.budget.look();
            if !self.wait(&mut ready) {
                return;
            }
            self.budget.look();
            self.take_back();
            self.first = self.first.wrapping_add(1);
            self.put_in_order(ready.len(), &mut order);
            for &at in &order {
                self.turn(at, ready[at], &mut piece);
            }
            self.connections.retain(|c| !c.is_over());
            self.accept();
        }
    }

    /// Who had least goes first.
    fn put_in_order(&self, count: usize, order: &mut Vec<usize>) {
        order.clear();
        order.extend((0..count).map(|n| self.first.wrapping_add(n) % count));
        let rank = |&at: &usize| self.budget.rank(&self.connections[at].usage);
        order.sort_by_key(rank);
    }

    fn turn(&mut self, at: usize, ready: PollFlags, piece: &mut [u8; PIECE]) {
        let c = &mut self.connections[at];
        let may_act = self.budget.allows(&mut c.usage);
        let turn = c.turn(ready, piece, &mut self.methods, may_act);
        if let Some(bytes) = turn.read {
            self.budget.take_read(&mut c.usage, bytes);
        }
        // What is carried out elsewhere is paid for here, before it goes.
        let away = turn.away.as_ref().map_or(0, |m| m.calls() as u64);
        let calls = std::mem::take(&mut self.methods.calls) + away;
        if turn.answered || turn.refused || away > 0 {
            // What is no call at all has cost something too.
            self.budget
                .take_calls(&mut c.usage, calls.max(1), turn.answered);
        }
        let Some(message) = turn.away else { return };
        if let Err(e) = self.away.send(c.number, message, &self.methods) {
            let text = format!("there is no thread to carry it out: {e}");
            let text = message::refuse(&RpcError::new(code::TOO_MUCH, text));
            c.returned(Some(text));
        }
    }

    /// Answers of calls that were made elsewhere.
    fn take_back(&mut self) {
        for (number, answer) in self.away.take() {
            // Whoever has gone misses nothing.
            if let Some(c) = self.connections.iter_mut().find(|c| c.number == number) {
                c.returned(answer);
            }
        }
    }

    /// Waits until there is something to do, and says what is ready by connection. False: the end.
    fn wait(&mut self, ready: &mut Vec<PollFlags>) -> bool {
        let mut held = self.budget.is_spent();
        let mut working = false;
        let mut wants = Vec::with_capacity(self.connections.len());
        for c in &mut self.connections {
            let may_act = self.budget.allows(&mut c.usage);
            held |= !may_act;
            working |= may_act && c.has_work();
            wants.push(c.wants(may_act));
        }
        let mut fds = Vec::with_capacity(self.connections.len() + 3);
        fds.push(PollFd::new(self.stop.as_fd(), PollFlags::POLLIN));
        fds.push(PollFd::new(self.away.returned().as_fd(), PollFlags::POLLIN));
        let may_accept = self.budget.may_accept();
        held |= !may_accept;
        let accept = if self.accepting && may_accept {
            PollFlags::POLLIN
        } else {
            PollFlags::empty()
        };
        fds.push(PollFd::new(self.listener.as_fd(), accept));
        // Who may not act is left out: poll(2) tells of a hang-up whether it is asked for or not.
        let clients = self.connections.iter().zip(&wants);
        let clients = clients.filter(|(_, wants)| !wants.is_empty());
        fds.extend(clients.map(|(c, wants)| PollFd::new(c.fd(), *wants)));
        let time = if working {
            PollTimeout::ZERO
        } else if held {
            // Rounded up: to come too early would be to look for nothing.
            let ms = self.budget.wait().as_micros().div_ceil(1000).max(1);
            PollTimeout::from(u8::try_from(ms).unwrap_or(u8::MAX))
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
        let mut asked = fds[3..].iter();
        let of = |wants: &PollFlags| match wants.is_empty() {
            true => PollFlags::empty(),
            false => asked.next().map_or(PollFlags::empty(), revents),
        };
        ready.clear();
        ready.extend(wants.iter().map(of));
        revents(&fds[0]).is_empty()
    }

    fn accept(&mut self) {
        // As many as can be had in a turn, so that clients are not kept waiting by newcomers.
        for _ in 0..self.connections_max {
            if !self.budget.may_accept() {
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
                    self.budget.take_accept();
                }
                Ok((stream, _)) => {
                    self.budget.take_accept();
                    let usage = Usage::new(&self.budget);
                    if stream.set_nonblocking(true).is_ok() {
                        self.next_number += 1;
                        let number = self.next_number;
                        let new = Connection::new(stream, self.message_max, number, usage);
                        self.connections.push(new);
                    }
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
