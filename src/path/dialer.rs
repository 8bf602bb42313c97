//! Makes connections: over TCP, or in a network in memory.

use crate::base::authority;
use crate::base::clock::Time;
use crate::transport::pipe::PipeNet;
use crate::transport::tcp::{TcpConn, TcpOptions, paces};
use crate::transport::{Conn, Driver};
use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::sync::mpsc::{Receiver, TryRecvError, channel};

/// A portal, and how to connect to it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Endpoint {
    pub host: String,
    pub port: u16,
    pub tcp: TcpOptions,
}

impl Endpoint {
    /// The socket address, asked of the resolver where the host is a name.
    ///
    /// # Errors
    /// The resolver's, with the name that was looked up.
    pub fn resolve(&self) -> io::Result<SocketAddr> {
        if let Ok(ip) = self.host.parse::<std::net::IpAddr>() {
            return Ok(SocketAddr::new(ip, self.port));
        }
        let none = || {
            io::Error::new(
                io::ErrorKind::NotFound,
                format!("'{}' has no address", self.host),
            )
        };
        (self.host.as_str(), self.port)
            .to_socket_addrs()?
            .next()
            .ok_or_else(none)
    }

    /// `HOST:PORT`, with brackets where needed: the name of the portal.
    pub fn portal(&self) -> String {
        authority::join(&self.host, self.port)
    }
}

/// How this reactor reaches portals.
#[derive(Clone, Debug)]
pub enum Dialer {
    /// Plain sockets, where a URL does not say otherwise.
    Tcp,
    /// io_uring, where a URL does not say otherwise.
    Uring,
    /// Portal names are looked up in a simulated network.
    Pipe(PipeNet),
}

/// A name lookup or connection under way. The first connection of an association resolves the
/// host; its further ones go to the same address.
#[derive(Debug)]
pub enum Dialing {
    /// A name is being looked up, on a thread of its own because resolvers block.
    Resolving(Receiver<io::Result<SocketAddr>>),
    Connecting(Conn),
}

impl Dialer {
    pub fn start(&self, spec: &Endpoint, now: Time) -> io::Result<Dialing> {
        match self {
            Self::Pipe(net) => Ok(Dialing::Connecting(Conn::Pipe(
                net.connect(&spec.portal(), now)?,
            ))),
            Self::Tcp | Self::Uring if spec.host.parse::<std::net::IpAddr>().is_ok() => {
                self.connect(spec, spec.resolve()?, now)
            }
            Self::Tcp | Self::Uring => {
                let (tx, rx) = channel();
                let spec = spec.clone();
                std::thread::Builder::new()
                    .name("umpio-resolve".to_owned())
                    .spawn(move || {
                        // Nobody listens any more when the attempt was given up meanwhile.
                        let _ = tx.send(spec.resolve());
                    })?;
                Ok(Dialing::Resolving(rx))
            }
        }
    }

    fn connect(&self, spec: &Endpoint, to: SocketAddr, _now: Time) -> io::Result<Dialing> {
        let conn = TcpConn::connect(to, &spec.tcp)?;
        if let Some(cc) = conn
            .congestion()
            .filter(|cc| paces(cc) && spec.tcp.congestion.is_none())
        {
            warn_once(&cc);
        }
        let default = match self {
            Self::Uring => Driver::Uring,
            Self::Tcp | Self::Pipe(_) => Driver::Tcp,
        };
        let driver = spec.tcp.driver.unwrap_or(default);
        Ok(Dialing::Connecting(Conn::over(conn, driver)))
    }

    /// Advances a dial; the connection when it is established.
    pub fn poll(
        &self,
        dialing: &mut Option<Dialing>,
        spec: &Endpoint,
        now: Time,
    ) -> io::Result<Option<Conn>> {
        match dialing {
            None => Ok(None),
            Some(Dialing::Resolving(rx)) => {
                match rx.try_recv() {
                    Ok(found) => *dialing = Some(self.connect(spec, found?, now)?),
                    Err(TryRecvError::Empty) => {}
                    Err(TryRecvError::Disconnected) => {
                        return Err(io::Error::other("the name lookup ended without an answer"));
                    }
                }
                Ok(None)
            }
            Some(Dialing::Connecting(conn)) => {
                if !conn.poll_connect(now)? {
                    return Ok(None);
                }
                match dialing.take() {
                    Some(Dialing::Connecting(conn)) => Ok(Some(conn)),
                    _ => unreachable!("matched above"),
                }
            }
        }
    }
}

/// Begins a turn of this thread's connections ([`crate::transport::begin_turn`]).
pub fn begin_turn() -> bool {
    crate::transport::begin_turn()
}

/// Ends it ([`crate::transport::end_turn`]).
pub fn end_turn() -> bool {
    crate::transport::end_turn()
}

fn warn_once(cc: &str) {
    static ONCE: std::sync::Once = std::sync::Once::new();
    ONCE.call_once(|| {
        tracing::warn!(
            "the system's default congestion control '{cc}' paces its packets, which costs throughput on short \
             paths; add cc=cubic to the path URLs (or change net.ipv4.tcp_congestion_control) unless that is wanted"
        );
    });
}
