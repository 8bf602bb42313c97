//! Sleeping on many descriptors at once.
#![allow(unsafe_code)]

use std::os::fd::RawFd;
use std::time::Duration;

/// Sleeps until one of the descriptors is readable (or writable, where asked), or the time is up.
/// An interrupted sleep is over.
pub fn until_ready(fds: &[(RawFd, bool)], at_most: Duration) {
    let mut polled: Vec<libc::pollfd> = fds
        .iter()
        .map(|(fd, write)| libc::pollfd {
            fd: *fd,
            events: if *write {
                libc::POLLIN | libc::POLLOUT
            } else {
                libc::POLLIN
            },
            revents: 0,
        })
        .collect();
    let time = libc::timespec {
        tv_sec: i64::try_from(at_most.as_secs()).unwrap_or(i64::MAX),
        tv_nsec: i64::from(at_most.subsec_nanos()),
    };
    // SAFETY: the array and the timespec are live locals, and the count is the array's length.
    // A descriptor that was closed meanwhile makes its entry report POLLNVAL, nothing worse.
    let _ = unsafe {
        libc::ppoll(
            polled.as_mut_ptr(),
            polled.len() as libc::nfds_t,
            &raw const time,
            std::ptr::null(),
        )
    };
}
