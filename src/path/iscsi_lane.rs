//! The transport of one connection of a session: dialled, there, lost, dialled again.

use super::dialer::{Dialer, Dialing, Endpoint};
use super::reason::DownReason;
use crate::base::clock::Time;
use crate::base::limits;
use crate::proto::iscsi::discovery::Portal;
use crate::transport::Conn;
use std::time::Duration;

/// Portals that may send one login on, one after the other.
const MOVES_MAX: usize = 4;
/// Time the connection may take to come up.
const CONNECT_MAX: Duration = Duration::from_secs(5);

#[derive(Debug)]
pub(super) struct Lane {
    /// Where it goes now.
    pub(super) endpoint: Endpoint,
    /// Where it goes unless a portal sends it on.
    home: Endpoint,
    /// Portals that have sent this login on.
    moved: Vec<String>,
    pub(super) conn: Option<Conn>,
    pub(super) dialing: Option<Dialing>,
    dial_deadline: Time,
    /// No further try before.
    retry_at: Time,
    failures: u32,
    /// Why it is not there.
    pub(super) reason: Option<DownReason>,
    /// It broke, which has not been acted on yet.
    pub(super) broken: Option<DownReason>,
}

impl Lane {
    pub(super) fn new(endpoint: Endpoint, now: Time) -> Self {
        Self {
            home: endpoint.clone(),
            endpoint,
            moved: Vec::new(),
            conn: None,
            dialing: None,
            dial_deadline: Time::NEVER,
            retry_at: now,
            failures: 0,
            reason: Some(DownReason::NotTriedYet),
            broken: None,
        }
    }

    pub(super) fn dial(&mut self, dialer: &Dialer, now: Time) -> std::io::Result<()> {
        // A redirection is for one login (RFC 7143, 11.13.5): the next one asks again.
        self.endpoint.clone_from(&self.home);
        self.moved.clear();
        self.begin(dialer, now)
    }

    fn begin(&mut self, dialer: &Dialer, now: Time) -> std::io::Result<()> {
        self.dialing = Some(dialer.start(&self.endpoint, now)?);
        self.dial_deadline = now + CONNECT_MAX;
        Ok(())
    }

    /// The portal has sent the login on to `address`, as in TargetAddress: goes there.
    ///
    /// # Errors
    /// It leads nowhere, in a circle, or too far.
    pub(super) fn follow(
        &mut self,
        address: &str,
        permanent: bool,
        dialer: &Dialer,
        now: Time,
    ) -> Result<(), DownReason> {
        self.abort();
        let here = self.endpoint.portal();
        let end = |what: String| Err(DownReason::Login(what));
        let Some(to) = Portal::from_value(address) else {
            return end(format!(
                "{here} sends the login on to '{address}', which is no address"
            ));
        };
        self.moved.push(here.clone());
        self.endpoint.host = to.host;
        self.endpoint.port = to.port;
        let next = self.endpoint.portal();
        if self.moved.contains(&next) {
            return end(format!(
                "sent on in a circle: {} -> {next}",
                self.moved.join(" -> ")
            ));
        }
        if self.moved.len() > MOVES_MAX {
            return end(format!(
                "sent on more than {MOVES_MAX} times: {} -> {next}",
                self.moved.join(" -> ")
            ));
        }
        if permanent {
            tracing::warn!(
                portal = here,
                to = next,
                "the target has moved for good: name the new portal in the path's URL"
            );
        } else {
            tracing::info!(portal = here, to = next, "the login was sent on");
        }
        self.begin(dialer, now)
            .map_err(|e| DownReason::Connect(format!("{next}: {e}")))
    }

    /// Where the login was sent on to, if it was.
    pub(super) fn moved_to(&self) -> Option<String> {
        (!self.moved.is_empty()).then(|| self.endpoint.portal())
    }

    #[inline]
    pub(super) const fn is_dialing(&self) -> bool {
        self.dialing.is_some()
    }

    pub(super) fn may_dial(&self, now: Time) -> bool {
        self.conn.is_none() && self.dialing.is_none() && now >= self.retry_at
    }

    /// True once the connection is there.
    pub(super) fn poll_dial(&mut self, dialer: &Dialer, now: Time) -> Result<bool, DownReason> {
        let resolving = matches!(self.dialing, Some(Dialing::Resolving(_)));
        match dialer.poll(&mut self.dialing, &self.endpoint, now) {
            Ok(Some(conn)) => {
                self.conn = Some(conn);
                Ok(true)
            }
            Ok(None) if now >= self.dial_deadline => Err(DownReason::ConnectTimeout),
            Ok(None) => Ok(false),
            Err(e) if resolving => Err(DownReason::Resolve(e.to_string())),
            Err(e) => {
                let portal = self.endpoint.portal();
                Err(DownReason::Connect(format!("{portal}: {e}")))
            }
        }
    }

    /// Ends the transport with a reset.
    pub(super) fn abort(&mut self) {
        self.dialing = None;
        self.broken = None;
        if let Some(conn) = self.conn.take() {
            conn.abort();
        }
    }

    /// It is not there, for that reason; the next try waits longer each time, as with associations
    /// whose siblings carry the I/O (I9).
    pub(super) fn failed(&mut self, reason: DownReason, now: Time) {
        self.dialing = None;
        self.reason = Some(reason);
        let full = limits::RECONNECT_FIRST * 2_u32.pow(self.failures.min(6));
        self.retry_at = now + full.min(limits::RECONNECT_CAP_SIBLING);
        self.failures += 1;
    }

    pub(super) fn is_up(&mut self) {
        self.failures = 0;
        self.reason = None;
    }

    /// The connection was logged out: it is closed, and made again not before `retry_at`.
    pub(super) fn left(&mut self, retry_at: Time) {
        self.abort();
        self.reason = Some(DownReason::Administrative);
        self.retry_at = retry_at;
    }

    pub(super) fn addrs(&self) -> Option<(String, String)> {
        self.conn.as_ref().map(Conn::addrs)
    }

    /// When it has to be looked at; `wanted`: a transport is to be made.
    pub(super) fn due(&self, wanted: bool) -> Time {
        if self.dialing.is_some() {
            self.dial_deadline
        } else if wanted && self.conn.is_none() {
            self.retry_at
        } else {
            Time::NEVER
        }
    }
}
