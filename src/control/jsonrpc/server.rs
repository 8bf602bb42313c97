//! The server: one thread for all clients.
//!
//! One thread with poll(2), and not one a client: a client costs a descriptor and a few buffers
//! and no thread, so hundreds of idle ones are nothing; commands are carried out one after the
//! other, so that no more than one order of ours is in a reactor's mailbox at a time, however many
//! clients there are; and ending it is one wake-up. The price is that a command must be short: it
//! is what a reactor does within a turn. No socket is ever waited for.

use super::Methods;
use super::connection::{Connection, PIECE};
use super::error::{RpcError, code};
use super::message;
use super::socket::SocketFile;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::eventfd::{EfdFlags, EventFd};
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
}

impl ServerConfig {
    pub fn new(socket: &Path) -> Self {
        Self {
            socket: socket.to_owned(),
            connections: 64,
            message_bytes: 1 << 20,
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
            methods,
            accepting: true,
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
    methods: Box<dyn Methods>,
    /// Off for a moment after an accept that failed.
    accepting: bool,
}

impl Serving {
    fn run(&mut self) {
        let mut piece = Box::new([0; PIECE]);
        let mut ready = Vec::new();
        while self.wait(&mut ready) {
            for (connection, ready) in self.connections.iter_mut().zip(&ready) {
                connection.turn(*ready, &mut piece, self.methods.as_mut());
            }
            self.connections.retain(|c| !c.is_over());
            self.accept();
        }
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
            match self.listener.accept() {
                Ok((mut stream, _)) if self.connections.len() >= self.connections_max => {
                    let text = format!(
                        "there are {} connections, and no more at a time",
                        self.connections_max
                    );
                    let text = message::refuse(&RpcError::new(code::TOO_MUCH, text));
                    // A socket that nothing was sent to yet takes this at once.
                    let _ = stream.write_all(text.as_bytes());
                }
                Ok((stream, _)) => {
                    if stream.set_nonblocking(true).is_ok() {
                        let connection = Connection::new(stream, self.message_max);
                        self.connections.push(connection);
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
