//! Controller properties: capabilities, the enable and shutdown handshakes.

use super::view::Limits;
use super::wire::status;
use crate::base::clock::Time;
use crate::proto::nvme::property::{
    Cap, Cc, Csts, PropertyGet, PropertySet, PropertySize, ShutdownStatus, Version, offset,
};

/// Version reported: NVM Express 2.1.
pub const VERSION: Version = Version::new(2, 1, 0);

/// What setting CC asks the owner to do.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum Change {
    None,
    /// CC.EN went to 1, after a reset: another instance begins.
    Enabled,
    /// CC.EN went to 0: every I/O queue ends. `Registers::quiet` when that is so.
    Reset,
    /// Shutdown was asked for: I/O in execution ends. `Registers::quiet` when that is so.
    Shutdown,
}

/// CC and CSTS of one controller.
#[derive(Copy, Clone, Debug)]
pub(super) struct Registers {
    cc: Cc,
    /// CSTS without RDY, which follows from `ready_at`.
    csts: Csts,
    ready_at: Time,
    /// CSTS.RDY still shows what was before CC.EN went to 0.
    resetting: bool,
}

impl Default for Registers {
    fn default() -> Self {
        Self {
            cc: Cc::default(),
            csts: Csts::default(),
            ready_at: Time::NEVER,
            resetting: false,
        }
    }
}

impl Registers {
    /// Property Get.
    pub(super) fn get(&self, p: &PropertyGet, limits: &Limits, now: Time) -> Result<u64, u16> {
        match (p.offset, p.size) {
            (offset::CAP, PropertySize::Qword) => {
                Ok(Cap::new(limits.queue_entries - 1, limits.ready_timeout).0)
            }
            (offset::VS, PropertySize::Dword) => Ok(VERSION.0.into()),
            (offset::CC, PropertySize::Dword) => Ok(self.cc.0.into()),
            (offset::CSTS, PropertySize::Dword) => Ok(self.status(now).0.into()),
            _ => Err(status::INVALID_FIELD),
        }
    }

    /// Property Set: CC is the only one that can be written.
    pub(super) fn set(
        &mut self,
        p: &PropertySet,
        limits: &Limits,
        now: Time,
    ) -> Result<Change, u16> {
        if p.offset != offset::CC || p.size != PropertySize::Dword {
            return Err(status::INVALID_FIELD);
        }
        let (old, new) = (self.cc, Cc(p.value as u32));
        self.cc = new;
        if new.en() && !old.en() {
            self.csts = Csts::default();
            self.resetting = false;
            // MPS, AMS and CSS: only the least of each; entry sizes 64 and 16 bytes or not set.
            let sizes = (new.iosqes(), new.iocqes());
            let known = matches!(new.css(), 0 | 6)
                && new.mps() == 0
                && new.ams() == 0
                && matches!(sizes, (6, 4) | (0, 0));
            if known {
                self.ready_at = now + limits.ready_delay;
            } else {
                self.csts = self.csts.with_cfs();
                self.ready_at = Time::NEVER;
            }
            return Ok(Change::Enabled);
        }
        if !new.en() && old.en() {
            self.resetting = true;
            return Ok(Change::Reset);
        }
        if new.shn() != 0 && old.shn() == 0 {
            self.csts = self.csts.with_shst(ShutdownStatus::Occurring);
            return Ok(Change::Shutdown);
        }
        Ok(Change::None)
    }

    fn shutting_down(&self) -> bool {
        self.csts.shst() == ShutdownStatus::Occurring
    }

    /// No I/O can be executed any more: ends what `Change` began.
    pub(super) fn quiet(&mut self) {
        if self.resetting {
            self.resetting = false;
            self.ready_at = Time::NEVER;
            self.csts = Csts::default();
        }
        if self.shutting_down() {
            self.csts = self.csts.with_shst(ShutdownStatus::Complete);
        }
    }

    /// Something waits for I/O to end.
    pub(super) fn wants_quiet(&self) -> bool {
        self.resetting || self.shutting_down()
    }

    /// CSTS.
    fn status(&self, now: Time) -> Csts {
        let ready = now >= self.ready_at && self.ready_at != Time::NEVER;
        self.csts.with_rdy(ready)
    }

    /// Commands other than Fabrics ones may be executed.
    #[inline]
    pub(super) fn is_ready(&self, now: Time) -> bool {
        self.cc.en() && now >= self.ready_at && !self.csts.cfs()
    }

    /// I/O commands may be executed: ready, and no shutdown asked for.
    #[inline]
    pub(super) fn accepts_io(&self, now: Time) -> bool {
        self.is_ready(now) && self.cc.shn() == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn write(r: &mut Registers, value: Cc, limits: &Limits) -> Result<Change, u16> {
        let p = PropertySet {
            size: PropertySize::Dword,
            offset: offset::CC,
            value: value.0.into(),
        };
        r.set(&p, limits, Time::ZERO)
    }

    #[test]
    fn ready_follows_enable_after_the_delay() {
        let limits = Limits {
            ready_delay: Duration::from_millis(5),
            ..Limits::default()
        };
        let mut r = Registers::default();
        assert!(!r.is_ready(Time::ZERO));
        write(&mut r, Cc::ENABLE, &limits).unwrap();
        assert!(!r.status(Time::from_nanos(4_000_000)).rdy());
        assert!(r.status(Time::from_nanos(5_000_000)).rdy());
    }

    #[test]
    fn shutdown_completes_when_io_has_ended() {
        let limits = Limits::default();
        let mut r = Registers::default();
        write(&mut r, Cc::ENABLE, &limits).unwrap();
        let c = write(&mut r, Cc::ENABLE.with_shn(Cc::SHN_NORMAL), &limits);
        assert_eq!(c, Ok(Change::Shutdown));
        assert!(!r.accepts_io(Time::ZERO) && r.is_ready(Time::ZERO));
        assert_eq!(r.status(Time::ZERO).shst(), ShutdownStatus::Occurring);
        r.quiet();
        assert_eq!(r.status(Time::ZERO).shst(), ShutdownStatus::Complete);
    }

    #[test]
    fn a_page_size_we_do_not_have_is_a_fatal_status() {
        let mut r = Registers::default();
        write(&mut r, Cc(0x0046_0081), &Limits::default()).unwrap();
        assert!(r.status(Time::ZERO).cfs());
        assert!(!r.status(Time::ZERO).rdy());
    }
}
