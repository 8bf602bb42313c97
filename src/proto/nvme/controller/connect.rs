//! Fabrics Connect: what it asks for, and how it is refused (base specification, section 6.3).

use super::wire::status;
use crate::proto::nvme::fabrics::{self, ConnectData, InvalidParameter};
use crate::proto::nvme::{CodecError, Sqe};

pub use crate::proto::nvme::fabrics::{
    CNTLID_DYNAMIC, CNTLID_MAX, CNTLID_STATIC, CONNECT_DATA_LEN,
};

/// Offset of RECFMT, told by Connect Incompatible Format.
const RECFMT: u32 = 40;

/// A Connect command with its data, read and checked as far as it goes without the target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Connect {
    pub qid: u16,
    /// Entries of the queue, counted from 1.
    pub entries: u16,
    pub flow_control: bool,
    pub kato_ms: u32,
    pub host_id: [u8; 16],
    pub cntlid: u16,
    pub subnqn: String,
    pub hostnqn: String,
}

/// A refused Connect: the status, and dword 0 of the answer, which says where the fault lies.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    pub status: u16,
    pub result: u32,
}

impl Refusal {
    const fn plain(status: u16) -> Self {
        Self { status, result: 0 }
    }

    const fn at(parameter: InvalidParameter) -> Self {
        Self {
            status: status::CONNECT_PARAMETERS,
            result: parameter.to_dw0(),
        }
    }

    pub const SUBSYSTEM: Self = Self::at(InvalidParameter::SUBNQN);
    pub const CONTROLLER: Self = Self::at(InvalidParameter::CNTLID);
    pub const HOST: Self = Self::at(InvalidParameter::HOSTNQN);
    pub const HOST_ID: Self = Self::at(InvalidParameter::HOSTID);
    pub const QUEUE: Self = Self::at(InvalidParameter::QID);
    pub const SIZE: Self = Self::at(InvalidParameter::SQSIZE);
    /// The host may not use this subsystem.
    pub const NOT_ALLOWED: Self = Self::plain(status::CONNECT_HOST);
    /// The controller asked for is in use, or there is no room for another one.
    pub const BUSY: Self = Self::plain(status::CONNECT_BUSY);
    /// Already connected, or the controller is not enabled.
    pub const SEQUENCE: Self = Self::plain(status::COMMAND_SEQUENCE);
    pub const LENGTH: Self = Self::plain(status::DATA_SGL_LENGTH);
}

impl Connect {
    /// Reads command and data; `entries_max` is the largest queue offered.
    pub fn parse(sqe: &Sqe, data: &[u8], entries_max: u16) -> Result<Self, Refusal> {
        // RECFMT comes first: with another format nothing else is where it is looked for.
        let Ok(command) = fabrics::Connect::parse(sqe) else {
            return Err(Refusal {
                status: status::CONNECT_FORMAT,
                result: RECFMT,
            });
        };
        // SQSIZE is zero-based, and a queue has two entries at least.
        if command.sqsize0 == 0 || command.sqsize0 >= entries_max {
            return Err(Refusal::SIZE);
        }
        let data = ConnectData::parse(data).map_err(|e| match e {
            CodecError::Truncated { .. } => Refusal::LENGTH,
            CodecError::BadValue { field, .. } | CodecError::TooLong { field, .. } => {
                if field == "SUBNQN" {
                    Refusal::SUBSYSTEM
                } else {
                    Refusal::HOST
                }
            }
        })?;
        Ok(Self {
            qid: command.qid,
            entries: command.sqsize0 + 1,
            flow_control: !command.disables_sqflow(),
            kato_ms: command.kato_ms,
            host_id: data.hostid,
            cntlid: data.cntlid,
            subnqn: data.subnqn.as_str().to_owned(),
            hostnqn: data.hostnqn.as_str().to_owned(),
        })
    }
}
