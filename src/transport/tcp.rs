//! A TCP connection on a non-blocking socket, driven by plain vectored send and receive.

use super::gate::{self, Seat};
use super::{Driver, Sink, Source, Turn};
use crate::base::clock::Time;
use crate::base::iovecs::{RecvVec, SendVec};
use socket2::{Domain, Protocol, SockAddr, Socket, Type};
use std::io::{self, Read};
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsFd, AsRawFd, RawFd};
use std::time::Duration;

/// Receive calls of one connection in one tick at most, so that one busy connection cannot
/// starve the others.
const RECV_CALLS_MAX: usize = 8;
/// Send calls of one connection in one tick at most.
const SEND_CALLS_MAX: usize = 8;

/// Socket options of one path, from its URL.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TcpOptions {
    /// Local address to bind to (`src=`).
    pub source: Option<IpAddr>,
    /// Interface to bind to (`iface=`, SO_BINDTODEVICE).
    pub interface: Option<String>,
    /// Congestion control (`cc=`, TCP_CONGESTION).
    pub congestion: Option<String>,
    /// SO_SNDBUF in bytes (`sndbuf=`).
    pub send_buffer: Option<usize>,
    /// SO_RCVBUF in bytes (`rcvbuf=`).
    pub receive_buffer: Option<usize>,
    /// SO_BUSY_POLL in microseconds (`busy_poll=`).
    pub busy_poll_us: Option<u32>,
    /// TCP_USER_TIMEOUT in milliseconds (`user_timeout=`).
    pub user_timeout_ms: Option<u32>,
    /// How the socket is driven (`transport=`); None: as the reactor has it.
    pub driver: Option<Driver>,
}

impl TcpOptions {
    fn apply(&self, socket: &Socket) -> io::Result<()> {
        socket.set_nonblocking(true)?;
        socket.set_tcp_nodelay(true)?;
        if let Some(cc) = &self.congestion {
            socket
                .set_tcp_congestion(cc.as_bytes())
                .map_err(|e| named(&e, &format!("congestion control '{cc}'")))?;
        }
        if let Some(n) = self.send_buffer {
            socket.set_send_buffer_size(n)?;
        }
        if let Some(n) = self.receive_buffer {
            socket.set_recv_buffer_size(n)?;
        }
        if let Some(us) = self.busy_poll_us {
            crate::sys::sockopt::busy_poll(socket.as_raw_fd(), us)
                .map_err(|e| named(&e, "SO_BUSY_POLL"))?;
        }
        if let Some(ms) = self.user_timeout_ms {
            socket.set_tcp_user_timeout(Some(Duration::from_millis(u64::from(ms))))?;
        }
        if let Some(name) = &self.interface {
            socket
                .bind_device(Some(name.as_bytes()))
                .map_err(|e| named(&e, &format!("binding to interface '{name}'")))?;
        }
        if let Some(ip) = self.source {
            socket
                .bind(&SockAddr::from(SocketAddr::new(ip, 0)))
                .map_err(|e| named(&e, &format!("binding to source address {ip}")))?;
        }
        Ok(())
    }
}

fn named(e: &io::Error, what: &str) -> io::Error {
    io::Error::new(e.kind(), format!("{what}: {e}"))
}

/// One TCP connection.
#[derive(Debug)]
pub struct TcpConn {
    socket: Socket,
    connected: bool,
    seat: Seat,
}

impl TcpConn {
    /// Starts to connect; `poll_connect` tells how it went.
    pub fn connect(to: SocketAddr, options: &TcpOptions) -> io::Result<Self> {
        let socket = Socket::new(Domain::for_address(to), Type::STREAM, Some(Protocol::TCP))?;
        options.apply(&socket)?;
        match socket.connect(&SockAddr::from(to)) {
            Ok(()) => Ok(Self {
                socket,
                connected: true,
                seat: Seat::default(),
            }),
            Err(e) if e.raw_os_error() == Some(libc::EINPROGRESS) => Ok(Self {
                socket,
                connected: false,
                seat: Seat::default(),
            }),
            Err(e) => Err(e),
        }
    }

    /// A connection that a listener accepted.
    pub fn accepted(socket: Socket, options: &TcpOptions) -> io::Result<Self> {
        let per_connection = TcpOptions {
            source: None,
            interface: None,
            ..options.clone()
        };
        per_connection.apply(&socket)?;
        Ok(Self {
            socket,
            connected: true,
            seat: Seat::default(),
        })
    }

    pub fn poll_connect(&mut self) -> io::Result<bool> {
        if self.connected {
            return Ok(true);
        }
        if let Some(e) = self.socket.take_error()? {
            return Err(e);
        }
        // Writable without an error pending means that the handshake is over.
        let mut fds = [nix::poll::PollFd::new(
            self.socket_fd(),
            nix::poll::PollFlags::POLLOUT,
        )];
        nix::poll::poll(&mut fds, nix::poll::PollTimeout::ZERO)?;
        let events = fds[0].revents().unwrap_or(nix::poll::PollFlags::empty());
        if events.is_empty() {
            return Ok(false);
        }
        if let Some(e) = self.socket.take_error()? {
            return Err(e);
        }
        self.connected = events.contains(nix::poll::PollFlags::POLLOUT);
        Ok(self.connected)
    }

    fn socket_fd(&self) -> std::os::fd::BorrowedFd<'_> {
        self.socket.as_fd()
    }

    pub fn recv<S: Sink>(&mut self, sink: &mut S, now: Time) -> io::Result<Turn> {
        if !gate::is_ready(&mut self.seat, self.socket.as_fd()) {
            return Ok(Turn {
                dry: true,
                ..Turn::default()
            });
        }
        let (turn, emptied) = self.recv_some(sink, now)?;
        if emptied {
            gate::emptied(&self.seat);
            if turn.bytes == 0 {
                gate::found_nothing();
            }
        }
        Ok(turn)
    }

    /// As `recv`; also whether the socket was empty at the end.
    pub(super) fn recv_some<S: Sink>(
        &mut self,
        sink: &mut S,
        now: Time,
    ) -> io::Result<(Turn, bool)> {
        let mut turn = Turn::default();
        for _ in 0..RECV_CALLS_MAX {
            let (asked, result) = {
                let mut places = RecvVec::new();
                sink.recv_places(&mut places);
                let asked: usize = places.iter().map(|p| p.len()).sum();
                if asked == 0 {
                    break;
                }
                let result = match places.as_mut_slice() {
                    [one] => (&self.socket).read(one),
                    many => (&self.socket).read_vectored(many),
                };
                (asked, result)
            };
            match result {
                Ok(0) => {
                    turn.eof = true;
                    break;
                }
                Ok(n) => {
                    turn.bytes += n;
                    sink.received(n, now);
                    // A short read means that the socket is empty: save the call that says so.
                    if n < asked {
                        turn.dry = true;
                        return Ok((turn, true));
                    }
                }
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => {
                    turn.dry = true;
                    return Ok((turn, true));
                }
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        }
        Ok((turn, false))
    }

    pub fn send<S: Source>(&mut self, source: &mut S, now: Time) -> io::Result<Turn> {
        let mut turn = Turn::default();
        for _ in 0..SEND_CALLS_MAX {
            let (offered, result) = {
                let mut slices = SendVec::new();
                source.send_slices(&mut slices);
                let offered: usize = slices.iter().map(|s| s.len()).sum();
                if offered == 0 {
                    break;
                }
                let result = match slices.as_slice() {
                    [one] => self.socket.send_with_flags(one, libc::MSG_NOSIGNAL),
                    many => self
                        .socket
                        .send_vectored_with_flags(many, libc::MSG_NOSIGNAL),
                };
                (offered, result)
            };
            match result {
                Ok(n) => {
                    turn.bytes += n;
                    source.sent(n, now);
                    if n < offered {
                        break;
                    }
                    if !source.has_output() {
                        break;
                    }
                }
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => break,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        }
        Ok(turn)
    }

    /// Closes with RST, so that nothing still queued here reaches the peer later.
    pub fn abort(self) {
        // A failure leaves an ordinary close: the fence does not rely on the RST arriving.
        let _ = self.socket.set_linger(Some(Duration::ZERO));
    }

    /// Ends both directions in order, whoever else still refers to the socket.
    pub(super) fn shut_down(&self) {
        // Fails where the connection has ended already.
        let _ = self.socket.shutdown(std::net::Shutdown::Both);
    }

    pub fn fd(&self) -> RawFd {
        self.socket.as_raw_fd()
    }

    /// The congestion control in force on this socket.
    pub fn congestion(&self) -> Option<String> {
        let raw = self.socket.tcp_congestion().ok()?;
        Some(
            String::from_utf8_lossy(&raw)
                .trim_end_matches('\0')
                .to_owned(),
        )
    }

    pub fn addrs(&self) -> (String, String) {
        let show = |a: io::Result<SockAddr>| {
            a.ok()
                .and_then(|a| a.as_socket())
                .map_or_else(|| "?".to_owned(), |a| a.to_string())
        };
        (
            show(self.socket.local_addr()),
            show(self.socket.peer_addr()),
        )
    }
}

/// A listening TCP socket.
#[derive(Debug)]
pub struct TcpListener {
    socket: Socket,
    options: TcpOptions,
}

/// Connections waiting to be accepted at most.
const BACKLOG: i32 = 128;

impl TcpListener {
    pub fn bind(at: SocketAddr, options: TcpOptions) -> io::Result<Self> {
        let socket = Socket::new(Domain::for_address(at), Type::STREAM, Some(Protocol::TCP))?;
        socket.set_reuse_address(true)?;
        socket.set_nonblocking(true)?;
        if let Some(cc) = &options.congestion {
            socket
                .set_tcp_congestion(cc.as_bytes())
                .map_err(|e| named(&e, &format!("congestion control '{cc}'")))?;
        }
        socket
            .bind(&SockAddr::from(at))
            .map_err(|e| named(&e, &format!("listening on {at}")))?;
        socket.listen(BACKLOG)?;
        Ok(Self { socket, options })
    }

    /// The next waiting connection, if any.
    pub fn accept(&mut self) -> io::Result<Option<TcpConn>> {
        match self.socket.accept() {
            Ok((socket, _)) => Ok(Some(TcpConn::accepted(socket, &self.options)?)),
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => Ok(None),
            Err(e) => Err(e),
        }
    }

    pub(super) fn as_fd(&self) -> std::os::fd::BorrowedFd<'_> {
        self.socket.as_fd()
    }

    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.socket
            .local_addr()?
            .as_socket()
            .ok_or_else(|| io::Error::other("not an IP socket"))
    }

    pub fn fd(&self) -> RawFd {
        self.socket.as_raw_fd()
    }
}

/// Congestion controls that pace their packets, which halves loopback and short paths.
pub fn paces(congestion: &str) -> bool {
    congestion.starts_with("bbr")
}
