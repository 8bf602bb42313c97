//! Why a login fails, in the words of both sides.

use super::super::pdu::PduError;
use super::super::text::TextError;
use std::fmt;

/// Status of a login response: class and detail (RFC 7143, 11.13.5).
#[derive(Copy, Clone, PartialEq, Eq, Debug, Hash)]
#[repr(u16)]
pub enum LoginStatus {
    Success = 0x0000,
    MovedTemporarily = 0x0101,
    MovedPermanently = 0x0102,
    InitiatorError = 0x0200,
    AuthenticationFailure = 0x0201,
    AuthorizationFailure = 0x0202,
    NotFound = 0x0203,
    TargetRemoved = 0x0204,
    UnsupportedVersion = 0x0205,
    TooManyConnections = 0x0206,
    MissingParameter = 0x0207,
    CannotInclude = 0x0208,
    SessionTypeNotSupported = 0x0209,
    SessionDoesNotExist = 0x020a,
    InvalidDuringLogin = 0x020b,
    TargetError = 0x0300,
    ServiceUnavailable = 0x0301,
    OutOfResources = 0x0302,
}

impl LoginStatus {
    const ALL: [Self; 18] = [
        Self::Success,
        Self::MovedTemporarily,
        Self::MovedPermanently,
        Self::InitiatorError,
        Self::AuthenticationFailure,
        Self::AuthorizationFailure,
        Self::NotFound,
        Self::TargetRemoved,
        Self::UnsupportedVersion,
        Self::TooManyConnections,
        Self::MissingParameter,
        Self::CannotInclude,
        Self::SessionTypeNotSupported,
        Self::SessionDoesNotExist,
        Self::InvalidDuringLogin,
        Self::TargetError,
        Self::ServiceUnavailable,
        Self::OutOfResources,
    ];

    pub const fn class(self) -> u8 {
        (self as u16 >> 8) as u8
    }

    pub const fn detail(self) -> u8 {
        self as u16 as u8
    }

    pub fn from_raw(class: u8, detail: u8) -> Option<Self> {
        let is = |s: &&Self| (s.class(), s.detail()) == (class, detail);
        Self::ALL.iter().find(is).copied()
    }

    /// The words for a raw status; for an unknown detail those of its class.
    pub fn name(class: u8, detail: u8) -> &'static str {
        match Self::from_raw(class, detail) {
            Some(Self::Success) => "success",
            Some(Self::MovedTemporarily) => "target moved temporarily",
            Some(Self::MovedPermanently) => "target moved permanently",
            Some(Self::AuthenticationFailure) => "authentication failure",
            Some(Self::AuthorizationFailure) => {
                "not authorized: the target does not let this initiator in"
            }
            Some(Self::NotFound) => "no such target: check the target name",
            Some(Self::TargetRemoved) => "the target has been removed",
            Some(Self::UnsupportedVersion) => "unsupported version",
            Some(Self::TooManyConnections) => "too many connections",
            Some(Self::MissingParameter) => "missing parameter",
            Some(Self::CannotInclude) => "the connection cannot be included in the session",
            Some(Self::SessionTypeNotSupported) => "session type not supported",
            Some(Self::SessionDoesNotExist) => "session does not exist",
            Some(Self::InvalidDuringLogin) => "invalid request during login",
            Some(Self::ServiceUnavailable) => "service unavailable",
            Some(Self::OutOfResources) => "out of resources",
            Some(Self::InitiatorError) => "initiator error",
            Some(Self::TargetError) => "target error",
            None if class == 1 => "redirected",
            None if class == 2 => "initiator error",
            None if class == 3 => "target error",
            None => "unknown status",
        }
    }
}

/// Why a login failed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum LoginFailure {
    /// A login PDU that cannot be.
    Pdu(PduError),
    Text(TextError),
    /// Something else than what the stage allows.
    Protocol(String),
    /// The target's answer, seen by the initiator.
    Refused {
        class: u8,
        detail: u8,
        /// The CHAP name that was given, where CHAP was used.
        chap_name: Option<String>,
        /// CHAP credentials were configured.
        chap: bool,
    },
    /// No common AuthMethod or CHAP algorithm.
    NoCommonMethod {
        offered: String,
        wanted: String,
    },
    /// The other side's CHAP name or response is wrong, so it does not know the secret.
    ChapWrong {
        name: String,
        who: &'static str,
    },
    /// The other side gave back our own challenge (RFC 7143, 12.1.3).
    ChapReflected,
    /// An answer that the rule of the key does not allow, or a value out of range.
    Value {
        key: String,
        value: String,
    },
    /// The peer did not take what had to be agreed on.
    NotAgreed {
        key: &'static str,
        got: String,
    },
    /// A status that the target gives, by its own decision.
    Status(LoginStatus),
    /// The target lacks a key it needs.
    Missing(&'static str),
    NoEnd,
}

impl LoginFailure {
    /// The status a target answers with.
    pub const fn status(&self) -> LoginStatus {
        match self {
            Self::Status(s) => *s,
            Self::ChapWrong { .. } | Self::ChapReflected | Self::NoCommonMethod { .. } => {
                LoginStatus::AuthenticationFailure
            }
            Self::Missing(_) => LoginStatus::MissingParameter,
            Self::Pdu(_) => LoginStatus::InvalidDuringLogin,
            _ => LoginStatus::InitiatorError,
        }
    }

    /// Another try with the same configuration would end the same way.
    pub const fn is_authentication(&self) -> bool {
        match self {
            Self::Refused { class, detail, .. } => *class == 2 && *detail == 1,
            other => matches!(other.status(), LoginStatus::AuthenticationFailure),
        }
    }
}

impl fmt::Display for LoginFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pdu(e) => write!(f, "login: {e}"),
            Self::Text(e) => write!(f, "login: {e}"),
            Self::Protocol(what) => write!(f, "login: {what}"),
            Self::Refused {
                class: 2,
                detail: 1,
                chap_name: Some(name),
                ..
            } => write!(
                f,
                "login refused with status 0201h: authentication failed, the CHAP name {name} or its secret is wrong"
            ),
            Self::Refused {
                class: 2,
                detail: 1,
                chap,
                ..
            } => write!(
                f,
                "login refused with status 0201h: authentication failed, {}",
                if *chap {
                    "the target did not accept CHAP as it was offered"
                } else {
                    "the target wants CHAP: give a name and a secret"
                }
            ),
            // SPDK's target says so where it wants CHAP and none is offered.
            Self::Refused {
                class: 2,
                detail: 0,
                chap: false,
                ..
            } => f.write_str(
                "login refused with status 0200h: initiator error; if the target wants CHAP, give a name and a secret",
            ),
            Self::Refused { class, detail, .. } => write!(
                f,
                "login refused with status {class:02x}{detail:02x}h: {}",
                LoginStatus::name(*class, *detail)
            ),
            Self::NoCommonMethod { offered, wanted } => write!(
                f,
                "authentication failed: {offered} was offered, {wanted} is wanted"
            ),
            Self::ChapWrong { name, who } => write!(
                f,
                "authentication failed: the {who} that calls itself {name} gave a wrong CHAP name or response; \
                 check name and secret on both sides"
            ),
            Self::ChapReflected => f.write_str(
                "authentication failed: the peer sent our own CHAP challenge back, as an attacker would",
            ),
            Self::Value { key, value } => {
                write!(f, "login: {key}={value} is out of range or against its rule")
            }
            Self::NotAgreed { key, got } => write!(
                f,
                "login: the peer answered {key}={got}, which the configuration does not allow"
            ),
            Self::Status(s) => write!(
                f,
                "login refused with status {:04x}h: {}",
                *s as u16,
                LoginStatus::name(s.class(), s.detail())
            ),
            Self::Missing(key) => write!(f, "login: {key} is missing"),
            Self::NoEnd => f.write_str("login: the negotiation does not come to an end"),
        }
    }
}

impl std::error::Error for LoginFailure {}

impl From<TextError> for LoginFailure {
    fn from(e: TextError) -> Self {
        Self::Text(e)
    }
}
