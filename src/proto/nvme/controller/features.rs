//! Features: the few that fabrics hosts set, and the plain values that specification asks for.

use super::view::View;
use super::wire::status;
use crate::proto::nvme::Sqe;
use crate::proto::nvme::features::{
    Fid, GetFeatures, HOST_BEHAVIOR_LEN, HostBehavior, NumberOfQueues, Select, SetFeatures,
};
use std::time::Duration;

/// Features that the specification wants every controller to have, and nobody sets over fabrics.
const ARBITRATION: Fid = Fid(0x01);
const POWER: Fid = Fid(0x02);
const TEMPERATURE: Fid = Fid(0x04);
const ERROR_RECOVERY: Fid = Fid(0x05);
const WRITE_ATOMICITY: Fid = Fid(0x0a);

/// Values of one controller.
#[derive(Debug, Default)]
pub(super) struct Features {
    arbitration: u32,
    temperature: u32,
    error_recovery: u32,
    write_atomicity: u32,
    write_cache_off: bool,
    host_behavior: HostBehavior,
    /// I/O queues granted; 0 until the host has asked.
    pub(super) queues: u16,
    pub(super) kato: Duration,
}

/// What setting a feature does beyond keeping its value.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(super) enum Effect {
    None(u32),
    AsyncEvents(u32),
    KeepAlive(u32),
}

impl Features {
    /// A controller reset: all but the keep alive timeout, which came with Connect.
    pub(super) fn reset(&mut self) {
        *self = Self {
            kato: self.kato,
            ..Self::default()
        };
    }

    /// Rounds a keep alive timeout up to what the controller can keep (KAS, 100 ms units).
    pub(super) fn rounded_kato(ms: u32, kas: u16) -> Duration {
        let unit = u64::from(kas.max(1)) * 100;
        Duration::from_millis(u64::from(ms).div_ceil(unit) * unit)
    }

    pub(super) fn set(
        &mut self,
        sqe: &Sqe,
        data: &[u8],
        view: &View<'_>,
        io_queues_in_use: bool,
    ) -> Result<Effect, u16> {
        let command = SetFeatures::parse(sqe).map_err(|_| status::INVALID_FIELD)?;
        if command.save {
            return Err(status::NOT_SAVEABLE);
        }
        let value = command.cdw11;
        match command.fid {
            ARBITRATION => self.arbitration = value,
            POWER if value & 0x1f == 0 => {}
            TEMPERATURE => self.temperature = value,
            ERROR_RECOVERY => self.error_recovery = value,
            WRITE_ATOMICITY => self.write_atomicity = value,
            Fid::VOLATILE_WRITE_CACHE if has_cache(view) => {
                self.write_cache_off = value & 1 == 0;
            }
            Fid::NUMBER_OF_QUEUES => {
                // FFFFh is not a count; after the first I/O queue the number stands.
                if value & 0xffff == 0xffff || value >> 16 == 0xffff {
                    return Err(status::INVALID_FIELD);
                }
                if io_queues_in_use {
                    return Err(status::COMMAND_SEQUENCE);
                }
                let asked = NumberOfQueues::from_raw(value).usable();
                self.queues = asked.min(view.limits.io_queues.into()) as u16;
                return Ok(Effect::None(
                    NumberOfQueues::pairs(self.queues.into()).to_raw(),
                ));
            }
            Fid::ASYNC_EVENT_CONFIG => return Ok(Effect::AsyncEvents(value)),
            Fid::KEEP_ALIVE_TIMER => {
                self.kato = Self::rounded_kato(value, view.limits.kas);
                return Ok(Effect::KeepAlive(self.kato.as_millis() as u32));
            }
            Fid::HOST_BEHAVIOR_SUPPORT => {
                if data.len() < HOST_BEHAVIOR_LEN {
                    return Err(status::DATA_SGL_LENGTH);
                }
                self.host_behavior =
                    HostBehavior::parse(data).map_err(|_| status::INVALID_FIELD)?;
            }
            // The host identifier came with Connect and cannot change.
            Fid::HOST_IDENTIFIER => return Err(status::COMMAND_SEQUENCE),
            _ => return Err(status::INVALID_FIELD),
        }
        Ok(Effect::None(0))
    }

    /// The value, with data for those features that have some.
    pub(super) fn get(
        &self,
        sqe: &Sqe,
        view: &View<'_>,
        event_config: u32,
        host_id: &[u8; 16],
        out: &mut Vec<u8>,
    ) -> Result<u32, u16> {
        let command = GetFeatures::parse(sqe).map_err(|_| status::INVALID_FIELD)?;
        match command.select {
            Select::Current | Select::Default => {}
            // Bit 2: changeable. Nothing is saveable.
            Select::Capabilities => {
                return Ok(if command.fid == Fid::HOST_IDENTIFIER {
                    0
                } else {
                    4
                });
            }
            Select::Saved => return Err(status::INVALID_FIELD),
        }
        Ok(match command.fid {
            ARBITRATION => self.arbitration,
            POWER => 0,
            TEMPERATURE => self.temperature,
            ERROR_RECOVERY => self.error_recovery,
            WRITE_ATOMICITY => self.write_atomicity,
            Fid::VOLATILE_WRITE_CACHE if has_cache(view) => u32::from(!self.write_cache_off),
            Fid::NUMBER_OF_QUEUES => {
                let count = match self.queues {
                    0 => view.limits.io_queues,
                    n => n,
                };
                NumberOfQueues::pairs(count.into()).to_raw()
            }
            Fid::ASYNC_EVENT_CONFIG => event_config,
            Fid::KEEP_ALIVE_TIMER => self.kato.as_millis() as u32,
            Fid::HOST_BEHAVIOR_SUPPORT => {
                out.resize(HOST_BEHAVIOR_LEN, 0);
                self.host_behavior.emit(out).map_err(|_| status::INTERNAL)?;
                0
            }
            Fid::HOST_IDENTIFIER => {
                // EXHID: only the 128-bit form exists over fabrics.
                if command.cdw11 & 1 == 0 {
                    return Err(status::INVALID_FIELD);
                }
                out.extend_from_slice(host_id);
                0
            }
            _ => return Err(status::INVALID_FIELD),
        })
    }

    /// The host takes Command Retry Delay into account (ACRE).
    pub(super) fn retry_delays(&self) -> bool {
        self.host_behavior.acre
    }
}

fn has_cache(view: &View<'_>) -> bool {
    view.namespaces.iter().any(|n| n.volatile_cache)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keep_alive_is_rounded_up() {
        assert_eq!(Features::rounded_kato(5001, 10), Duration::from_secs(6));
        assert_eq!(Features::rounded_kato(0, 10), Duration::ZERO);
        assert_eq!(Features::rounded_kato(1, 1), Duration::from_millis(100));
    }
}
