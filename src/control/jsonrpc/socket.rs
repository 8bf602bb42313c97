//! The socket's file: for its owner only, and never somebody else's.

use socket2::{Domain, SockAddr, Socket, Type};
use std::fs::{self, File, Permissions};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

/// Connections that may wait to be accepted.
const BACKLOG: i32 = 64;

/// A socket that listens, and the file it is reached by, which goes with it.
#[derive(Debug)]
pub(super) struct SocketFile {
    path: PathBuf,
    /// Device and inode: whether the file there is still this one.
    identity: (u64, u64),
}

impl SocketFile {
    /// Listens, without blocking. A socket that nobody listens on any more is replaced.
    ///
    /// # Errors
    /// Somebody listens there, or there is a file that is no socket, or the system says no.
    pub(super) fn listen(path: &Path) -> io::Result<(Self, UnixListener)> {
        clear(path)?;
        let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
        // The mode of the socket is what bind gives to the file: it is closed from its birth.
        let handle = File::from(OwnedFd::from(socket.try_clone()?));
        handle.set_permissions(Permissions::from_mode(0o600))?;
        socket.bind(&SockAddr::unix(path)?)?;
        socket.listen(BACKLOG)?;
        socket.set_nonblocking(true)?;
        let file = Self {
            path: path.to_owned(),
            identity: identity(path)?,
        };
        Ok((file, UnixListener::from(OwnedFd::from(socket))))
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        // Whoever has put another file there keeps it.
        if identity(&self.path).is_ok_and(|i| i == self.identity) {
            let _ = fs::remove_file(&self.path);
        }
    }
}

fn identity(path: &Path) -> io::Result<(u64, u64)> {
    let meta = fs::symlink_metadata(path)?;
    Ok((meta.dev(), meta.ino()))
}

/// Takes away what an ended process has left.
fn clear(path: &Path) -> io::Result<()> {
    let in_the_way = |text| Err(io::Error::new(io::ErrorKind::AddrInUse, text));
    match fs::symlink_metadata(path) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(e) => return Err(e),
        Ok(meta) if !meta.file_type().is_socket() => {
            return in_the_way("a file is there that is no socket");
        }
        Ok(_) => {}
    }
    match UnixStream::connect(path) {
        Err(e) if e.kind() == io::ErrorKind::ConnectionRefused => fs::remove_file(path),
        Err(e) => Err(e),
        Ok(_) => in_the_way("another process listens there"),
    }
}
