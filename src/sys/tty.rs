//! The size of a terminal.
#![allow(unsafe_code)]

use std::os::fd::RawFd;

/// Columns of the terminal behind `fd`; `None` where there is no terminal, or it does not say.
pub fn columns(fd: RawFd) -> Option<u16> {
    let mut size = libc::winsize {
        ws_row: 0,
        ws_col: 0,
        ws_xpixel: 0,
        ws_ypixel: 0,
    };
    // SAFETY: TIOCGWINSZ writes one `winsize` through the pointer, which is valid for that; a
    // descriptor that is no terminal gives an error.
    let result = unsafe { libc::ioctl(fd, libc::TIOCGWINSZ, &raw mut size) };
    (result == 0 && size.ws_col > 0).then_some(size.ws_col)
}
