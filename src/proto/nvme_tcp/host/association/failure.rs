//! Why an association ended or never came up, by name.

use crate::proto::nvme::fabrics::InvalidParameter;
use crate::proto::nvme::{CodecError, Status, StatusCode};
use crate::proto::nvme_tcp::host::Failure;
use std::fmt;

/// What a Connect was refused for, in words that help whoever configured it.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum ConnectRefusal {
    /// Connect Invalid Host: the subsystem does not let this host NQN in.
    HostNotAllowed,
    /// SUBNQN: no such subsystem at this portal.
    SubsystemUnknown,
    HostNqnInvalid,
    HostIdInvalid,
    /// CNTLID: that controller does not exist, or is not ours.
    ControllerUnknown,
    QueueIdInvalid,
    QueueSizeInvalid,
    KeepAliveInvalid,
    /// Another parameter, at this offset of the command or of its data.
    Parameter {
        offset: u16,
        in_data: bool,
    },
    IncompatibleFormat,
    /// The controller is in use, or there are no controllers left.
    Busy,
    RestartDiscovery,
    AuthenticationRequired,
    Other,
}

impl ConnectRefusal {
    pub(super) fn of(status: Status, dw0: u32) -> Self {
        match status.code() {
            StatusCode::CONNECT_INVALID_HOST => Self::HostNotAllowed,
            StatusCode::CONNECT_INCOMPATIBLE_FORMAT => Self::IncompatibleFormat,
            StatusCode::CONNECT_CONTROLLER_BUSY => Self::Busy,
            StatusCode::CONNECT_RESTART_DISCOVERY => Self::RestartDiscovery,
            StatusCode::AUTHENTICATION_REQUIRED => Self::AuthenticationRequired,
            StatusCode::CONNECT_INVALID_PARAMETERS => match InvalidParameter::from_dw0(dw0) {
                InvalidParameter::SUBNQN => Self::SubsystemUnknown,
                InvalidParameter::HOSTNQN => Self::HostNqnInvalid,
                InvalidParameter::HOSTID => Self::HostIdInvalid,
                InvalidParameter::CNTLID => Self::ControllerUnknown,
                InvalidParameter::QID => Self::QueueIdInvalid,
                InvalidParameter::SQSIZE => Self::QueueSizeInvalid,
                InvalidParameter::KATO => Self::KeepAliveInvalid,
                InvalidParameter { offset, in_data } => Self::Parameter { offset, in_data },
            },
            _ => Self::Other,
        }
    }

    /// Whether trying again without a change of configuration can help.
    pub const fn may_pass(self) -> bool {
        matches!(
            self,
            Self::Busy | Self::Other | Self::RestartDiscovery | Self::ControllerUnknown
        )
    }
}

impl fmt::Display for ConnectRefusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::HostNotAllowed => "host NQN not allowed by the subsystem",
            Self::SubsystemUnknown => "subsystem NQN unknown at this portal",
            Self::HostNqnInvalid => "host NQN not accepted",
            Self::HostIdInvalid => "host ID not accepted",
            Self::ControllerUnknown => "controller ID not available",
            Self::QueueIdInvalid => "queue ID not accepted",
            Self::QueueSizeInvalid => "queue size not accepted",
            Self::KeepAliveInvalid => "keep-alive timeout not accepted",
            Self::IncompatibleFormat => "record format not supported",
            Self::Busy => "no controller free",
            Self::RestartDiscovery => "discovery must be restarted",
            Self::AuthenticationRequired => "authentication required, which is not supported",
            Self::Other => "refused",
            Self::Parameter { offset, in_data } => {
                let place = if *in_data { "data" } else { "command" };
                return write!(f, "parameter at offset {offset} of the Connect {place}");
            }
        })
    }
}

/// The named reason that an association failed for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum AssociationFailure {
    /// A connection broke a rule of the transport (digest errors of headers among them).
    Queue { queue: u16, failure: Failure },
    /// Connect was refused.
    Connect {
        queue: u16,
        refusal: ConnectRefusal,
        status: Status,
    },
    /// Connect succeeded on condition of authentication.
    AuthenticationRequired,
    /// ICResp did not come in time.
    InitTimeout { queue: u16, after_ms: u64 },
    /// An admin command of the login or of upkeep was refused.
    Command { what: &'static str, status: Status },
    /// An admin command was not answered in time.
    CommandTimeout { what: &'static str, after_ms: u64 },
    /// CSTS.RDY did not come within CAP.TO.
    ReadyTimeout { cap_to_ms: u64 },
    /// CSTS.CFS is set.
    ControllerFatal,
    /// No answer to Keep Alive for a whole KATO.
    KeepAliveExpired { kato_ms: u32 },
    /// A data structure that makes no sense.
    Malformed {
        what: &'static str,
        error: CodecError,
    },
    /// Connect and Identify, or two connections, name different controllers.
    ControllerMismatch { connected: u16, identified: u16 },
    /// The namespace asked for is not active on this controller.
    NoSuchNamespace { nsid: u32 },
    /// No namespace is active at all.
    NoNamespaces,
    /// More namespaces than umpio takes in.
    TooManyNamespaces { max: usize },
    /// A block size or metadata that umpio cannot serve.
    NamespaceFormat {
        nsid: u32,
        block_shift: u8,
        metadata: u16,
    },
    /// The ANA log kept changing while it was read.
    AnaLogUnstable { tries: u32 },
    /// The ANA log does not name a group that a namespace says it is in.
    AnaGroupMissing { nsid: u32, group: u32 },
    /// The controller did not finish its shutdown in time.
    ShutdownTimeout { after_ms: u64 },
}

impl AssociationFailure {
    /// Whether trying again as configured can help.
    pub const fn may_pass(&self) -> bool {
        match self {
            Self::Connect { refusal, .. } => refusal.may_pass(),
            Self::AuthenticationRequired | Self::NamespaceFormat { .. } => false,
            _ => true,
        }
    }
}

impl fmt::Display for AssociationFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Queue { queue, failure } => write!(f, "queue {queue}: {failure}"),
            Self::Connect {
                queue,
                refusal,
                status,
            } => {
                let name = status.code().fabrics_name().unwrap_or("unknown status");
                write!(
                    f,
                    "Connect of queue {queue}: {refusal} ({name}, status {:#05x})",
                    status.code().0
                )
            }
            Self::AuthenticationRequired => {
                f.write_str("the controller requires authentication, which is not supported")
            }
            Self::InitTimeout { queue, after_ms } => {
                write!(f, "queue {queue}: no ICResp within {after_ms} ms")
            }
            Self::Command { what, status } => write!(f, "{what}: {status}"),
            Self::CommandTimeout { what, after_ms } => {
                write!(f, "{what}: no answer within {after_ms} ms")
            }
            Self::ReadyTimeout { cap_to_ms } => {
                write!(f, "CSTS.RDY not set within CAP.TO, {cap_to_ms} ms")
            }
            Self::ControllerFatal => f.write_str("CSTS.CFS: controller fatal status"),
            Self::KeepAliveExpired { kato_ms } => {
                write!(f, "Keep Alive not answered within KATO, {kato_ms} ms")
            }
            Self::Malformed { what, error } => write!(f, "{what}: {error}"),
            Self::ControllerMismatch {
                connected,
                identified,
            } => write!(
                f,
                "CNTLID {identified} where the association is with {connected}"
            ),
            Self::NoSuchNamespace { nsid } => {
                write!(f, "namespace {nsid} is not active on this controller")
            }
            Self::NoNamespaces => f.write_str("no namespace is active on this controller"),
            Self::TooManyNamespaces { max } => write!(f, "more than {max} namespaces"),
            Self::NamespaceFormat {
                nsid,
                block_shift,
                metadata,
            } => write!(
                f,
                "namespace {nsid}: LBADS {block_shift} with {metadata} bytes of metadata is not \
                 supported"
            ),
            Self::AnaLogUnstable { tries } => {
                write!(f, "the ANA log changed in each of {tries} readings")
            }
            Self::AnaGroupMissing { nsid, group } => {
                write!(
                    f,
                    "namespace {nsid}: ANAGRPID {group} is not in the ANA log"
                )
            }
            Self::ShutdownTimeout { after_ms } => {
                write!(f, "CSTS.SHST: shutdown not complete within {after_ms} ms")
            }
        }
    }
}

impl std::error::Error for AssociationFailure {}
