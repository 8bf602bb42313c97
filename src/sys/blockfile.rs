//! Questions and orders to regular files and block devices that std has no words for.
#![allow(unsafe_code)]

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;

/// How `fallocate` makes a range read as zeros.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum Zeroing {
    /// Gives the space back (discard).
    Punch,
    /// Keeps the space (write zeroes).
    Keep,
}

impl Zeroing {
    /// The mode bits of `fallocate`. The size of the file never changes.
    pub(super) const fn mode(self) -> i32 {
        libc::FALLOC_FL_KEEP_SIZE
            | match self {
                Self::Punch => libc::FALLOC_FL_PUNCH_HOLE,
                Self::Keep => libc::FALLOC_FL_ZERO_RANGE,
            }
    }
}

/// Makes `len` bytes from `at` read as zeros, without writing them where that is known.
pub fn zero_range(file: &File, how: Zeroing, at: u64, len: u64) -> io::Result<()> {
    let (Ok(at), Ok(len)) = (libc::off64_t::try_from(at), libc::off64_t::try_from(len)) else {
        return Err(io::Error::from_raw_os_error(libc::EFBIG));
    };
    // SAFETY: no memory is passed, and the descriptor is open while `file` is borrowed.
    let rc = unsafe { libc::fallocate64(file.as_raw_fd(), how.mode(), at, len) };
    if rc == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

/// Logical block size of a block device, in bytes.
pub fn logical_block_size(file: &File) -> io::Result<u32> {
    let mut size: libc::c_int = 0;
    // SAFETY: BLKSSZGET writes one int, to a live local.
    let rc = unsafe { libc::ioctl(file.as_raw_fd(), libc::BLKSSZGET as _, &raw mut size) };
    if rc < 0 {
        return Err(io::Error::last_os_error());
    }
    u32::try_from(size).map_err(|_| io::ErrorKind::InvalidData.into())
}

/// What O_DIRECT wants file offsets and lengths to be a multiple of, where the kernel tells.
pub fn direct_align(file: &File) -> Option<u32> {
    // SAFETY: statx is plain integers, for which zero is a value.
    let mut st: libc::statx = unsafe { std::mem::zeroed() };
    // SAFETY: the path is a NUL-terminated literal, the result goes to a live local.
    let rc = unsafe {
        libc::statx(
            file.as_raw_fd(),
            c"".as_ptr(),
            libc::AT_EMPTY_PATH,
            libc::STATX_DIOALIGN,
            &raw mut st,
        )
    };
    (rc == 0 && st.stx_mask & libc::STATX_DIOALIGN != 0 && st.stx_dio_offset_align != 0)
        .then_some(st.stx_dio_offset_align)
}
