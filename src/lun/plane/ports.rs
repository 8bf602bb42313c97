//! The side of the plane that front ends see: requests in, completions out.

use super::Plane;
use crate::base::clock::Time;
use crate::base::error::{ErrorKind, IoError};
use crate::base::request::{NONE, Op, Token};
use crate::lun::port::{Geometry, PortId, Ports};

impl Ports for Plane {
    fn geometry(&self, port: PortId) -> Option<Geometry> {
        let channel = self.ports.get(port.0 as usize)?.channel;
        self.channels[channel as usize].geometry.clone()
    }

    fn take(&mut self) -> Token {
        self.pool.get()
    }

    fn recycle(&mut self, token: Token) {
        self.pool.put(token);
    }

    #[inline]
    fn submit(&mut self, port: PortId, mut token: Token) {
        let c = self.ports[port.0 as usize].channel;
        token.port = port.0;
        token.channel = c;
        token.parent = NONE;
        token.retries = 0;
        token.give_up = Time::NEVER;
        token.submitted = self.now;
        let channel = &mut self.channels[c as usize];
        channel.begins(self.now);
        // A LUN that has never been seen has nothing to check against: the request waits.
        if channel.geometry.is_none() {
            return self.dispatch(token, None);
        }
        if let Err(error) = channel.check(&token) {
            return self.finish(token, Err(error));
        }
        let max = channel
            .geometry
            .as_ref()
            .map_or(u32::MAX, |g| g.max_transfer_blocks);
        if token.blocks > max && token.op.has_range() {
            // Atomic means one command.
            if token.op == Op::CompareAndWrite {
                return self.finish(token, Err(IoError::new(ErrorKind::Invalid)));
            }
            return self.split(token, max);
        }
        self.dispatch(token, None);
    }

    fn completions(&mut self, port: PortId, out: &mut Vec<Token>) {
        out.append(&mut self.ports[port.0 as usize].done);
    }
}
