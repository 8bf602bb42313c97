//! Where connections come in: a TCP socket, or an address in a network in memory. A door can be
//! shut, so that connects are refused, and opened again at the same address.

use super::Conn;
use super::pipe::{PipeListener, PipeNet};
use super::tcp::{TcpListener, TcpOptions};
use arrayvec::ArrayVec;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use std::io;
use std::net::SocketAddr;
use std::os::fd::RawFd;

/// A listening address.
#[derive(Debug)]
pub enum Listener {
    Tcp(Box<TcpDoor>),
    Pipe(PipeDoor),
}

/// A TCP address to listen on.
#[derive(Debug)]
pub struct TcpDoor {
    at: SocketAddr,
    options: TcpOptions,
    open: Option<TcpListener>,
}

/// An address in a network in memory to listen on.
#[derive(Debug)]
pub struct PipeDoor {
    net: PipeNet,
    address: String,
    open: Option<PipeListener>,
}

/// Listeners asked about in one call.
const ASKED: usize = 64;

/// Whether any of these may have a connection waiting: one system call for many of them. To accept
/// where nobody waits costs far more, since the kernel makes a socket first.
pub fn any_waiting<'a>(listeners: impl Iterator<Item = &'a Listener>) -> bool {
    let mut polled: ArrayVec<PollFd<'_>, ASKED> = ArrayVec::new();
    for listener in listeners {
        let Listener::Tcp(door) = listener else {
            // In a network in memory to ask is to accept.
            return true;
        };
        let Some(open) = &door.open else { continue };
        if polled.is_full() {
            return true;
        }
        polled.push(PollFd::new(open.as_fd(), PollFlags::POLLIN));
    }
    // Where there is no telling, whoever accepts finds out.
    !polled.is_empty() && poll(&mut polled, PollTimeout::ZERO) != Ok(0)
}

impl Listener {
    /// Listens on a TCP address; port 0 takes a free one, which is then kept.
    pub fn tcp(at: SocketAddr, options: TcpOptions) -> io::Result<Self> {
        let socket = TcpListener::bind(at, options.clone())?;
        let at = socket.local_addr()?;
        Ok(Self::Tcp(Box::new(TcpDoor {
            at,
            options,
            open: Some(socket),
        })))
    }

    /// Listens in a network in memory.
    pub fn pipe(net: &PipeNet, address: &str) -> Self {
        Self::Pipe(PipeDoor {
            net: net.clone(),
            address: address.to_owned(),
            open: Some(net.listen(address)),
        })
    }

    /// The next waiting connection, if any.
    pub fn accept(&mut self) -> io::Result<Option<Conn>> {
        match self {
            Self::Tcp(d) => match &mut d.open {
                Some(l) => {
                    let driver = d.options.driver.unwrap_or_default();
                    Ok(l.accept()?.map(|tcp| Conn::over(tcp, driver)))
                }
                None => Ok(None),
            },
            Self::Pipe(d) => match &mut d.open {
                Some(l) => Ok(l.accept()?.map(Conn::Pipe)),
                None => Ok(None),
            },
        }
    }

    /// Stops listening: connects are refused from now on.
    pub fn shut(&mut self) {
        match self {
            Self::Tcp(d) => d.open = None,
            Self::Pipe(d) => d.open = None,
        }
    }

    /// Listens again after `shut`, at the same address.
    pub fn reopen(&mut self) -> io::Result<()> {
        match self {
            Self::Tcp(d) if d.open.is_none() => {
                d.open = Some(TcpListener::bind(d.at, d.options.clone())?);
            }
            Self::Pipe(d) if d.open.is_none() => d.open = Some(d.net.listen(&d.address)),
            _ => {}
        }
        Ok(())
    }

    pub fn is_open(&self) -> bool {
        match self {
            Self::Tcp(d) => d.open.is_some(),
            Self::Pipe(d) => d.open.is_some(),
        }
    }

    /// File descriptor to sleep on; none while shut, and none for a pipe.
    pub fn fd(&self) -> Option<RawFd> {
        match self {
            Self::Tcp(d) => d.open.as_ref().map(TcpListener::fd),
            Self::Pipe(_) => None,
        }
    }

    /// The address, as shown in status.
    pub fn address(&self) -> String {
        match self {
            Self::Tcp(d) => d.at.to_string(),
            Self::Pipe(d) => d.address.clone(),
        }
    }

    /// The TCP address, where it is one.
    pub fn socket_addr(&self) -> Option<SocketAddr> {
        match self {
            Self::Tcp(d) => Some(d.at),
            Self::Pipe(_) => None,
        }
    }
}
