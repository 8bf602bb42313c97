//! Operational parameters: what one side offers, and what both come to (RFC 7143, 6.2 and 13). The
//! same engine serves both halves, since either side may offer and must answer.

use super::super::keys::{self, IRRELEVANT, Key, NOT_UNDERSTOOD, REJECT, Rule, Use};
use super::super::pdu::Digests;
use super::super::text::Outbox;
use super::LoginFailure;

/// A digest as one side wants it, in order of preference.
#[derive(Copy, Clone, PartialEq, Eq, Debug, Default)]
pub enum DigestOffer {
    #[default]
    None,
    Crc32c,
    PreferNone,
    PreferCrc32c,
}

impl DigestOffer {
    const fn list(self) -> &'static str {
        match self {
            Self::None => "None",
            Self::Crc32c => "CRC32C",
            Self::PreferNone => "None,CRC32C",
            Self::PreferCrc32c => "CRC32C,None",
        }
    }
}

/// What one side offers as initiator, or allows as target. Lengths in bytes, times in seconds.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct Offer {
    pub header_digest: DigestOffer,
    pub data_digest: DigestOffer,
    pub max_connections: u16,
    pub initial_r2t: bool,
    pub immediate_data: bool,
    /// MaxRecvDataSegmentLength: the longest data segment this side takes.
    pub max_recv: u32,
    pub max_burst: u32,
    pub first_burst: u32,
    pub time2wait: u16,
    pub time2retain: u16,
    pub max_outstanding_r2t: u16,
}

impl Default for Offer {
    fn default() -> Self {
        Self {
            header_digest: DigestOffer::None,
            data_digest: DigestOffer::None,
            max_connections: 1,
            initial_r2t: false,
            immediate_data: true,
            max_recv: 256 * 1024,
            max_burst: 1024 * 1024,
            first_burst: 256 * 1024,
            time2wait: 0,
            time2retain: 0,
            max_outstanding_r2t: 8,
        }
    }
}

/// Keys that are negotiated in the operational stage, in the order they are offered.
const OFFERED: [Key; 14] = [
    Key::HeaderDigest,
    Key::DataDigest,
    Key::MaxConnections,
    Key::InitialR2t,
    Key::ImmediateData,
    Key::MaxRecvDataSegmentLength,
    Key::MaxBurstLength,
    Key::FirstBurstLength,
    Key::DefaultTime2Wait,
    Key::DefaultTime2Retain,
    Key::MaxOutstandingR2t,
    Key::DataPduInOrder,
    Key::DataSequenceInOrder,
    Key::ErrorRecoveryLevel,
];

impl Offer {
    /// Ours for a key, as [`keys::answer`] wants it; None for a key that this side has no view on.
    fn value(&self, key: Key) -> Option<String> {
        let word = |b| if b { "Yes" } else { "No" }.to_owned();
        Some(match key {
            Key::HeaderDigest => self.header_digest.list().to_owned(),
            Key::DataDigest => self.data_digest.list().to_owned(),
            Key::MaxConnections => self.max_connections.to_string(),
            Key::InitialR2t => word(self.initial_r2t),
            Key::ImmediateData => word(self.immediate_data),
            Key::MaxRecvDataSegmentLength => self.max_recv.to_string(),
            Key::MaxBurstLength => self.max_burst.to_string(),
            Key::FirstBurstLength => self.first_burst.to_string(),
            Key::DefaultTime2Wait => self.time2wait.to_string(),
            Key::DefaultTime2Retain => self.time2retain.to_string(),
            Key::MaxOutstandingR2t => self.max_outstanding_r2t.to_string(),
            // Order is kept and nothing is recovered within a session: ErrorRecoveryLevel 0.
            Key::DataPduInOrder | Key::DataSequenceInOrder => word(true),
            Key::ErrorRecoveryLevel => "0".to_owned(),
            Key::TaskReporting => "RFC3720".to_owned(),
            Key::ProtocolLevel => "1".to_owned(),
            Key::OfMarker | Key::IfMarker => word(false),
            _ => return None,
        })
    }
}

/// The parameters of a session and connection in full feature phase.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct Operational {
    pub digests: Digests,
    pub max_connections: u16,
    pub initial_r2t: bool,
    pub immediate_data: bool,
    /// Longest data segment that this side takes.
    pub max_recv: u32,
    /// Longest data segment that the other side takes.
    pub max_send: u32,
    pub max_burst: u32,
    /// Not above `max_burst`.
    pub first_burst: u32,
    pub time2wait: u16,
    pub time2retain: u16,
    pub max_outstanding_r2t: u16,
    pub data_pdu_in_order: bool,
    pub data_sequence_in_order: bool,
    pub error_recovery_level: u8,
}

impl Default for Operational {
    /// What holds when nobody says anything (RFC 7143, 13).
    fn default() -> Self {
        Self {
            digests: Digests::NONE,
            max_connections: 1,
            initial_r2t: true,
            immediate_data: true,
            max_recv: 8192,
            max_send: 8192,
            max_burst: 262_144,
            first_burst: 65_536,
            time2wait: 2,
            time2retain: 20,
            max_outstanding_r2t: 1,
            data_pdu_in_order: true,
            data_sequence_in_order: true,
            error_recovery_level: 0,
        }
    }
}

impl Operational {
    fn set(&mut self, key: Key, value: &str) {
        let number = || keys::ranged(key, value).unwrap_or(0);
        let yes = value == "Yes";
        match key {
            Key::HeaderDigest => self.digests.header = value == "CRC32C",
            Key::DataDigest => self.digests.data = value == "CRC32C",
            Key::MaxConnections => self.max_connections = number() as u16,
            Key::InitialR2t => self.initial_r2t = yes,
            Key::ImmediateData => self.immediate_data = yes,
            Key::MaxBurstLength => self.max_burst = number(),
            Key::FirstBurstLength => self.first_burst = number(),
            Key::DefaultTime2Wait => self.time2wait = number() as u16,
            Key::DefaultTime2Retain => self.time2retain = number() as u16,
            Key::MaxOutstandingR2t => self.max_outstanding_r2t = number() as u16,
            Key::DataPduInOrder => self.data_pdu_in_order = yes,
            Key::DataSequenceInOrder => self.data_sequence_in_order = yes,
            Key::ErrorRecoveryLevel => self.error_recovery_level = number() as u8,
            _ => {}
        }
    }
}

#[derive(Copy, Clone, PartialEq, Eq, Debug)]
enum Mark {
    Open,
    /// We have offered it and wait for the answer.
    Offered,
    Settled,
}

/// One side of the negotiation.
#[derive(Clone, Debug)]
pub(super) struct Negotiation {
    offer: Offer,
    discovery: bool,
    /// The leading connection of its session: session-wide keys are open.
    leading: bool,
    result: Operational,
    marks: [Mark; Key::ALL.len()],
}

impl Negotiation {
    pub(super) fn new(offer: Offer, discovery: bool, leading: bool) -> Self {
        Self {
            offer,
            discovery,
            leading,
            result: Operational::default(),
            marks: [Mark::Open; Key::ALL.len()],
        }
    }

    const fn open_here(&self, key: Key) -> bool {
        (key.in_discovery() || !self.discovery)
            && (self.leading || !matches!(key.when(), Use::Leading))
    }

    fn offer_one(&mut self, key: Key, out: &mut Outbox) {
        let Some(value) = self.offer.value(key) else {
            return;
        };
        out.push(key.name(), &value);
        if key == Key::MaxRecvDataSegmentLength {
            self.result.max_recv = self.offer.max_recv;
            self.marks[key as usize] = Mark::Settled;
        } else {
            self.marks[key as usize] = Mark::Offered;
        }
    }

    /// Offers everything, so that nothing depends on anybody's defaults.
    pub(super) fn offer_all(&mut self, out: &mut Outbox) {
        for key in OFFERED {
            if self.open_here(key) {
                self.offer_one(key, out);
            }
        }
    }

    /// Says what data segments we take, once.
    pub(super) fn declare(&mut self, out: &mut Outbox) {
        if !self.declared() {
            self.offer_one(Key::MaxRecvDataSegmentLength, out);
        }
    }

    fn declared(&self) -> bool {
        // `max_recv` differs from what was said only before it was said.
        self.result.max_recv == self.offer.max_recv
    }

    /// Offers keys that the other side has not mentioned and whose default is more than we allow.
    /// True when there were some: then an answer must be waited for.
    pub(super) fn offer_limits(&mut self, out: &mut Outbox) -> bool {
        let mut any = false;
        for key in OFFERED {
            let Some(ours) = self.offer.value(key) else {
                continue;
            };
            let limits = self.open_here(key)
                && self.marks[key as usize] == Mark::Open
                && key.rule() != Rule::Declare
                && keys::answer(key, key.default(), &ours).as_deref() != Some(key.default());
            if limits {
                self.offer_one(key, out);
                any = true;
            }
        }
        any
    }

    /// Takes a pair of the other side: an answer to our offer, or an offer that gets its answer into
    /// `out`.
    pub(super) fn take(
        &mut self,
        name: &str,
        value: &str,
        out: &mut Outbox,
    ) -> Result<(), LoginFailure> {
        let bad = || LoginFailure::Value {
            key: name.chars().take(63).collect(),
            value: value.chars().take(80).collect(),
        };
        let Some(key) = Key::from_name(name) else {
            if value != NOT_UNDERSTOOD && value != REJECT && value != IRRELEVANT {
                out.push(name, NOT_UNDERSTOOD);
            }
            return Ok(());
        };
        if key == Key::MaxRecvDataSegmentLength {
            // Declared by each side for itself; the last one said holds.
            self.result.max_send = keys::ranged(key, value).ok_or_else(bad)?;
            return Ok(());
        }
        match self.marks[key as usize] {
            Mark::Offered => self.take_answer(key, value).ok_or_else(bad),
            // Negotiated twice (RFC 7143, 6.2).
            Mark::Settled if key.rule() != Rule::Declare => Err(bad()),
            Mark::Settled | Mark::Open => {
                self.take_offer(key, value, out);
                Ok(())
            }
        }
    }

    fn take_answer(&mut self, key: Key, value: &str) -> Option<()> {
        self.marks[key as usize] = Mark::Settled;
        let ours = self.offer.value(key)?;
        let result = match value {
            IRRELEVANT | NOT_UNDERSTOOD => keys::unanswered(key, &ours).to_owned(),
            // Told by targets that do not deal with these; a default loses nothing.
            REJECT if matches!(key, Key::DefaultTime2Wait | Key::DefaultTime2Retain) => {
                key.default().to_owned()
            }
            _ => keys::accept(key, &ours, value)?,
        };
        self.result.set(key, &result);
        Some(())
    }

    fn take_offer(&mut self, key: Key, value: &str, out: &mut Outbox) {
        self.marks[key as usize] = Mark::Settled;
        if key.rule() == Rule::Declare {
            return;
        }
        if matches!(value, IRRELEVANT | NOT_UNDERSTOOD | REJECT) {
            // Nobody asked.
            return;
        }
        let Some(ours) = self.offer.value(key) else {
            out.push(key.name(), IRRELEVANT);
            return;
        };
        if !self.open_here(key) {
            let word = if key.in_discovery() || !self.discovery {
                REJECT
            } else {
                IRRELEVANT
            };
            out.push(key.name(), word);
            return;
        }
        match keys::answer(key, value, &ours) {
            Some(result) => {
                out.push(key.name(), &result);
                self.result.set(key, &result);
            }
            None => out.push(key.name(), REJECT),
        }
    }

    /// The end of the negotiation: what it came to.
    pub(super) fn finish(&mut self) -> Result<Operational, LoginFailure> {
        for key in OFFERED {
            if self.marks[key as usize] == Mark::Offered
                && let Some(ours) = self.offer.value(key)
            {
                self.result.set(key, keys::unanswered(key, &ours));
            }
        }
        let not = |key: &'static str, got: bool| LoginFailure::NotAgreed {
            key,
            got: if got { "CRC32C" } else { "None" }.to_owned(),
        };
        // A digest that was asked for is a protection that must not get lost in silence.
        let (r, o) = (&mut self.result, &self.offer);
        if o.header_digest == DigestOffer::Crc32c && !r.digests.header {
            return Err(not("HeaderDigest", false));
        }
        if o.data_digest == DigestOffer::Crc32c && !r.digests.data {
            return Err(not("DataDigest", false));
        }
        r.first_burst = r.first_burst.min(r.max_burst);
        Ok(*r)
    }
}
