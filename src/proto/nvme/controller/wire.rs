//! The statuses a controller of ours answers with, ready for the completion queue entry.

use crate::proto::nvme::StatusCode;

/// Status fields without the phase bit: code in bits 0 to 7, type in 8 to 10, CRD in 11 and 12,
/// DNR in 14 (base specification, figure "Completion Queue Entry: Status Field").
pub mod status {
    use super::{StatusCode, dnr};

    /// Do Not Retry.
    pub const DNR: u16 = 1 << 14;
    /// Command Retry Delay index 1 (CRDT1 of Identify Controller).
    pub const CRD1: u16 = 1 << 11;

    pub const SUCCESS: u16 = StatusCode::SUCCESS.0;
    pub const INVALID_OPCODE: u16 = dnr(StatusCode::INVALID_OPCODE);
    pub const INVALID_FIELD: u16 = dnr(StatusCode::INVALID_FIELD);
    pub const INTERNAL: u16 = StatusCode::INTERNAL_ERROR.0;
    pub const ABORT_REQUESTED: u16 = StatusCode::ABORT_REQUESTED.0;
    pub const INVALID_NAMESPACE: u16 = dnr(StatusCode::INVALID_NAMESPACE);
    pub const COMMAND_SEQUENCE: u16 = dnr(StatusCode::COMMAND_SEQUENCE_ERROR);
    pub const DATA_SGL_LENGTH: u16 = dnr(StatusCode::SGL_INVALID_DATA_LENGTH);
    pub const SGL_TYPE: u16 = dnr(StatusCode::SGL_INVALID_TYPE);
    pub const SGL_OFFSET: u16 = dnr(StatusCode::SGL_INVALID_OFFSET);
    pub const WRITE_PROTECTED: u16 = dnr(StatusCode::NAMESPACE_WRITE_PROTECTED);
    pub const TRANSIENT_TRANSPORT: u16 = StatusCode::TRANSIENT_TRANSPORT_ERROR.0;
    pub const LBA_RANGE: u16 = dnr(StatusCode::LBA_OUT_OF_RANGE);
    pub const CAPACITY: u16 = dnr(StatusCode::CAPACITY_EXCEEDED);
    pub const NAMESPACE_NOT_READY: u16 = StatusCode::NAMESPACE_NOT_READY.0;
    pub const RESERVATION_CONFLICT: u16 = dnr(StatusCode::RESERVATION_CONFLICT);
    pub const INVALID_LOG_PAGE: u16 = dnr(StatusCode::INVALID_LOG_PAGE);
    pub const NOT_SAVEABLE: u16 = dnr(StatusCode::FEATURE_NOT_SAVEABLE);
    pub const AER_LIMIT: u16 = dnr(StatusCode::AER_LIMIT_EXCEEDED);
    pub const CCR_IN_PROGRESS: u16 = StatusCode::CCR_IN_PROGRESS.0;
    pub const CCR_LOG_FULL: u16 = StatusCode::CCR_LOG_PAGE_FULL.0;
    pub const CCR_LIMIT: u16 = StatusCode::CCR_LIMIT_EXCEEDED.0;
    pub const CONNECT_FORMAT: u16 = dnr(StatusCode::CONNECT_INCOMPATIBLE_FORMAT);
    pub const CONNECT_BUSY: u16 = StatusCode::CONNECT_CONTROLLER_BUSY.0;
    pub const CONNECT_PARAMETERS: u16 = dnr(StatusCode::CONNECT_INVALID_PARAMETERS);
    pub const CONNECT_HOST: u16 = dnr(StatusCode::CONNECT_INVALID_HOST);
    pub const DISCONNECT_QUEUE_TYPE: u16 = dnr(StatusCode::DISCONNECT_INVALID_QUEUE_TYPE);
    pub const WRITE_FAULT: u16 = StatusCode::WRITE_FAULT.0;
    pub const UNRECOVERED_READ: u16 = StatusCode::UNRECOVERED_READ_ERROR.0;
    pub const COMPARE_FAILURE: u16 = dnr(StatusCode::COMPARE_FAILURE);
    pub const INTERNAL_PATH: u16 = StatusCode::INTERNAL_PATH_ERROR.0;
    pub const ANA_PERSISTENT_LOSS: u16 = StatusCode::ANA_PERSISTENT_LOSS.0;
    pub const ANA_INACCESSIBLE: u16 = StatusCode::ANA_INACCESSIBLE.0;
    pub const ANA_TRANSITION: u16 = StatusCode::ANA_TRANSITION.0;
}

/// A code with Do Not Retry: the same command would fail again.
const fn dnr(code: StatusCode) -> u16 {
    code.0 | status::DNR
}
