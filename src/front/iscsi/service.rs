//! The target as a service of a reactor.

use super::Target;
use crate::base::clock::Time;
use crate::engine::reactor::Service;
use crate::lun::plane::Plane;
use std::os::fd::RawFd;

impl Service for Target {
    fn poll(&mut self, plane: &mut Plane, now: Time) -> bool {
        Self::poll(self, plane, now)
    }

    fn next_deadline(&self) -> Time {
        Self::next_deadline(self).unwrap_or(Time::NEVER)
    }

    fn fds(&self, out: &mut Vec<(RawFd, bool)>) {
        Self::fds(self, out);
    }
}
