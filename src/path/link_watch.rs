//! Tells when a network link changes, so that nexuses waiting to retry do so at once (I9).

use nix::sys::socket::{
    AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, bind, recv, socket,
};
use std::os::fd::{AsRawFd, OwnedFd, RawFd};

/// Multicast group of link changes (RTMGRP_LINK of rtnetlink).
const GROUP_LINK: u32 = 1;
/// Multicast groups of IPv4 and IPv6 address changes (RTMGRP_IPV4_IFADDR, RTMGRP_IPV6_IFADDR).
const GROUP_ADDRESSES: u32 = 0x10 | 0x100;

/// A listener to the kernel's link and address notices. Needs no privilege.
#[derive(Debug)]
pub struct LinkWatch {
    socket: OwnedFd,
}

impl LinkWatch {
    /// `None` where netlink is not to be had; retries then come by their timers alone.
    pub fn open() -> Option<Self> {
        let flags = SockFlag::SOCK_NONBLOCK | SockFlag::SOCK_CLOEXEC;
        let kind = SockType::Raw;
        let opened = socket(
            AddressFamily::Netlink,
            kind,
            flags,
            SockProtocol::NetlinkRoute,
        );
        let groups = GROUP_LINK | GROUP_ADDRESSES;
        let bound = opened.and_then(|s| {
            bind(s.as_raw_fd(), &NetlinkAddr::new(0, groups))?;
            Ok(s)
        });
        match bound {
            Ok(socket) => Some(Self { socket }),
            Err(e) => {
                tracing::info!("link changes cannot be watched ({e}); lost paths retry by timer");
                None
            }
        }
    }

    /// Whether anything changed since the last call. What it was does not matter: a retry that
    /// comes too early costs one connect.
    pub fn changed(&self) -> bool {
        let mut notice = [0; 4096];
        let mut any = false;
        // Bounded, in case somebody floods the group.
        for _ in 0..64 {
            match recv(self.socket.as_raw_fd(), &mut notice, MsgFlags::MSG_DONTWAIT) {
                Ok(0) => break,
                // Notices that were dropped for want of room are a change as well.
                Ok(_) | Err(nix::errno::Errno::ENOBUFS) => any = true,
                Err(_) => break,
            }
        }
        any
    }

    pub fn fd(&self) -> RawFd {
        self.socket.as_raw_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quiet_machine_reports_no_change_and_nobody_waits() {
        let Some(watch) = LinkWatch::open() else {
            eprintln!("SKIPPED: netlink is not to be had here");
            return;
        };
        // Whatever came meanwhile is taken by the first look; the second returns at once as well.
        let _ = watch.changed();
        let _ = watch.changed();
        assert!(watch.fd() >= 0);
    }
}
