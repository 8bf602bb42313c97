//! Socket options that neither socket2 nor nix offers.
#![allow(unsafe_code)]

use std::io;
use std::os::fd::RawFd;

fn set_int(fd: RawFd, level: i32, name: i32, value: i32) -> io::Result<()> {
    // SAFETY: the kernel reads exactly `size_of::<i32>()` bytes from a live local.
    let rc = unsafe {
        libc::setsockopt(
            fd,
            level,
            name,
            (&raw const value).cast(),
            size_of::<i32>() as libc::socklen_t,
        )
    };
    if rc == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

/// SO_BUSY_POLL: microseconds the kernel may spin in a receive on this socket.
pub fn busy_poll(fd: RawFd, microseconds: u32) -> io::Result<()> {
    set_int(
        fd,
        libc::SOL_SOCKET,
        libc::SO_BUSY_POLL,
        i32::try_from(microseconds).unwrap_or(i32::MAX),
    )
}
