//! Telling the service manager (sd_notify(3)): one datagram to the socket it names.

use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};

/// Sends a state such as `READY=1` to `$NOTIFY_SOCKET`. Nothing happens where nobody listens.
pub fn notify(state: &str) {
    let Some(name) = std::env::var_os("NOTIFY_SOCKET") else {
        return;
    };
    if let Err(e) = send(name.as_encoded_bytes(), state) {
        tracing::warn!("cannot tell the service manager '{state}': {e}");
    }
}

/// Sends to a socket by its name; one that begins with `@` is in the abstract name space.
pub fn send(name: &[u8], state: &str) -> io::Result<()> {
    let address = match name.strip_prefix(b"@") {
        Some(name) => SocketAddr::from_abstract_name(name)?,
        None => {
            let path = str::from_utf8(name)
                .map_err(|_| io::Error::new(io::ErrorKind::InvalidInput, "no path"))?;
            SocketAddr::from_pathname(path)?
        }
    };
    let socket = UnixDatagram::unbound()?;
    socket.send_to_addr(state.as_bytes(), &address)?;
    Ok(())
}

/// For a reload: systemd wants the time of its beginning, in microseconds of the monotonic clock.
pub fn reloading() -> String {
    let now = nix::time::clock_gettime(nix::time::ClockId::CLOCK_MONOTONIC);
    let us = now.map_or(0, |t| t.tv_sec() * 1_000_000 + t.tv_nsec() / 1_000);
    format!("RELOADING=1\nMONOTONIC_USEC={us}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_kinds_of_socket_are_told() {
        let name = format!("umpio-notify-{}", std::process::id());
        let abstract_one =
            UnixDatagram::bind_addr(&SocketAddr::from_abstract_name(&name).expect("a name"))
                .expect("bound");
        send(format!("@{name}").as_bytes(), "READY=1").expect("sent");
        let mut buf = [0; 16];
        let n = abstract_one.recv(&mut buf).expect("received");
        assert_eq!(&buf[..n], b"READY=1");
        let path = std::env::temp_dir().join(&name);
        let at_path = UnixDatagram::bind(&path).expect("bound");
        send(path.as_os_str().as_encoded_bytes(), "STOPPING=1").expect("sent");
        let n = at_path.recv(&mut buf).expect("received");
        assert_eq!(&buf[..n], b"STOPPING=1");
        std::fs::remove_file(path).expect("removed");
        assert!(reloading().starts_with("RELOADING=1\nMONOTONIC_USEC="));
    }
}
