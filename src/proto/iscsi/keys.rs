//! The text keys of RFC 7143, clause 13: who may send them when, what values they take, and how an
//! offer and an answer become a result.

use super::text::number;

/// How two sides come to a value (RFC 7143, 6.2.1 and 6.2.2).
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum Rule {
    /// Yes when both say Yes.
    And,
    /// Yes when one says Yes.
    Or,
    /// The lower number.
    Min,
    /// The higher number.
    Max,
    /// The first of the offered list that the other side takes.
    List,
    /// One side says it, no answer is made.
    Declare,
}

/// What a value looks like.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum Kind {
    /// Yes or No.
    Bool,
    Number {
        low: u32,
        high: u32,
    },
    /// One of these, or an offer of several.
    Words(&'static [&'static str]),
    Text,
}

/// When a key may be sent (RFC 7143, 13).
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum Use {
    /// In the login of any connection.
    Login,
    /// In the login of the first connection of a session.
    Leading,
    /// In full feature phase only.
    FullFeature,
    /// Any time.
    Any,
}

/// Who may send it first.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum Sender {
    Initiator,
    Target,
    Both,
}

macro_rules! keys {
    ($($name:ident = $text:literal, $rule:expr, $kind:expr, $default:literal, $when:expr, $sender:expr, $discovery:literal;)*) => {
        /// A key of RFC 7143 (and RFC 7144). Security keys of CHAP are in `chap`.
        #[derive(Copy, Clone, PartialEq, Eq, Debug, Hash)]
        #[allow(missing_docs)]
        pub enum Key { $($name),* }

        impl Key {
            pub const ALL: &'static [Self] = &[$(Self::$name),*];

            pub const fn name(self) -> &'static str {
                match self { $(Self::$name => $text),* }
            }

            pub fn from_name(name: &str) -> Option<Self> {
                match name { $($text => Some(Self::$name),)* _ => None }
            }

            pub const fn rule(self) -> Rule {
                match self { $(Self::$name => $rule),* }
            }

            pub const fn kind(self) -> Kind {
                match self { $(Self::$name => $kind),* }
            }

            /// The value when nobody says anything; empty where there is none.
            pub const fn default(self) -> &'static str {
                match self { $(Self::$name => $default),* }
            }

            pub const fn when(self) -> Use {
                match self { $(Self::$name => $when),* }
            }

            pub const fn sender(self) -> Sender {
                match self { $(Self::$name => $sender),* }
            }

            /// It has a meaning in a discovery session too; else it is answered Irrelevant there.
            pub const fn in_discovery(self) -> bool {
                match self { $(Self::$name => $discovery),* }
            }
        }
    };
}

const SEGMENT: Kind = Kind::Number {
    low: 512,
    high: (1 << 24) - 1,
};
const SECONDS: Kind = Kind::Number { low: 0, high: 3600 };
const COUNT: Kind = Kind::Number {
    low: 1,
    high: 65535,
};
const DIGEST: Kind = Kind::Words(&["None", "CRC32C"]);

use Sender::{Both, Initiator, Target};
use Use::{Any, FullFeature, Leading, Login};

keys! {
    HeaderDigest = "HeaderDigest", Rule::List, DIGEST, "None", Login, Both, true;
    DataDigest = "DataDigest", Rule::List, DIGEST, "None", Login, Both, true;
    MaxConnections = "MaxConnections", Rule::Min, COUNT, "1", Leading, Both, false;
    SendTargets = "SendTargets", Rule::Declare, Kind::Text, "", FullFeature, Initiator, true;
    TargetName = "TargetName", Rule::Declare, Kind::Text, "", Any, Both, true;
    InitiatorName = "InitiatorName", Rule::Declare, Kind::Text, "", Login, Initiator, true;
    TargetAlias = "TargetAlias", Rule::Declare, Kind::Text, "", Any, Target, true;
    InitiatorAlias = "InitiatorAlias", Rule::Declare, Kind::Text, "", Any, Initiator, true;
    TargetAddress = "TargetAddress", Rule::Declare, Kind::Text, "", Any, Target, true;
    TargetPortalGroupTag = "TargetPortalGroupTag", Rule::Declare, Kind::Number { low: 0, high: 65535 }, "", Login, Target, true;
    InitialR2t = "InitialR2T", Rule::Or, Kind::Bool, "Yes", Leading, Both, false;
    ImmediateData = "ImmediateData", Rule::And, Kind::Bool, "Yes", Leading, Both, false;
    MaxRecvDataSegmentLength = "MaxRecvDataSegmentLength", Rule::Declare, SEGMENT, "8192", Any, Both, true;
    MaxBurstLength = "MaxBurstLength", Rule::Min, SEGMENT, "262144", Leading, Both, false;
    FirstBurstLength = "FirstBurstLength", Rule::Min, SEGMENT, "65536", Leading, Both, false;
    DefaultTime2Wait = "DefaultTime2Wait", Rule::Max, SECONDS, "2", Leading, Both, true;
    DefaultTime2Retain = "DefaultTime2Retain", Rule::Min, SECONDS, "20", Leading, Both, true;
    MaxOutstandingR2t = "MaxOutstandingR2T", Rule::Min, COUNT, "1", Leading, Both, false;
    DataPduInOrder = "DataPDUInOrder", Rule::Or, Kind::Bool, "Yes", Leading, Both, false;
    DataSequenceInOrder = "DataSequenceInOrder", Rule::Or, Kind::Bool, "Yes", Leading, Both, false;
    ErrorRecoveryLevel = "ErrorRecoveryLevel", Rule::Min, Kind::Number { low: 0, high: 2 }, "0", Leading, Both, true;
    SessionType = "SessionType", Rule::Declare, Kind::Words(&["Discovery", "Normal"]), "Normal", Leading, Initiator, true;
    TaskReporting = "TaskReporting", Rule::List, Kind::Words(&["RFC3720", "ResponseFence", "FastAbort"]), "RFC3720", Leading, Both, false;
    ProtocolLevel = "iSCSIProtocolLevel", Rule::Min, Kind::Number { low: 0, high: 31 }, "1", Leading, Both, true;
    AuthMethod = "AuthMethod", Rule::List, Kind::Words(&["CHAP", "SRP", "KRB5", "None"]), "None", Login, Both, true;
    // Markers of RFC 3720, which RFC 7143 took out: the answer that every older peer understands.
    OfMarker = "OFMarker", Rule::And, Kind::Bool, "No", Login, Both, true;
    IfMarker = "IFMarker", Rule::And, Kind::Bool, "No", Login, Both, true;
    OfMarkInt = "OFMarkInt", Rule::Min, Kind::Text, "", Login, Both, false;
    IfMarkInt = "IFMarkInt", Rule::Min, Kind::Text, "", Login, Both, false;
}

/// "The offer is out of range or nothing of it is taken."
pub const REJECT: &str = "Reject";
/// "The key has no meaning with what was agreed on."
pub const IRRELEVANT: &str = "Irrelevant";
/// "Never heard of that key."
pub const NOT_UNDERSTOOD: &str = "NotUnderstood";

fn yes(value: &str) -> Option<bool> {
    match value {
        "Yes" => Some(true),
        "No" => Some(false),
        _ => None,
    }
}

/// A number within the range of its key.
pub fn ranged(key: Key, value: &str) -> Option<u32> {
    let Kind::Number { low, high } = key.kind() else {
        return None;
    };
    let n = u32::try_from(number(value)?).ok()?;
    (low..=high).contains(&n).then_some(n)
}

/// The result of an offer by the other side, where we want or allow `ours` (a list in order of
/// preference for [`Rule::List`]). None: the offer is to be rejected.
pub fn answer(key: Key, offer: &str, ours: &str) -> Option<String> {
    let word = |b| if b { "Yes" } else { "No" }.to_owned();
    match key.rule() {
        Rule::And => Some(word(yes(offer)? && yes(ours)?)),
        Rule::Or => Some(word(yes(offer)? || yes(ours)?)),
        Rule::Min => Some(ranged(key, offer)?.min(ranged(key, ours)?).to_string()),
        Rule::Max => Some(ranged(key, offer)?.max(ranged(key, ours)?).to_string()),
        Rule::List => offer
            .split(',')
            .find(|o| ours.split(',').any(|w| w == *o))
            .map(str::to_owned),
        Rule::Declare => match key.kind() {
            Kind::Number { .. } => ranged(key, offer).map(|n| n.to_string()),
            Kind::Words(words) => words.contains(&offer).then(|| offer.to_owned()),
            Kind::Bool | Kind::Text => Some(offer.to_owned()),
        },
    }
}

/// The result of an answer by the other side to our offer. None: the rule of the key does not allow
/// that answer, so the two sides would disagree.
pub fn accept(key: Key, offer: &str, reply: &str) -> Option<String> {
    let fits = match key.rule() {
        // What the rule makes of offer and answer must be the answer: a result cannot be less strict.
        Rule::And | Rule::Or => {
            yes(reply)?;
            answer(key, offer, reply)? == reply
        }
        Rule::Min | Rule::Max => answer(key, offer, reply)? == ranged(key, reply)?.to_string(),
        Rule::List => offer.split(',').any(|o| o == reply),
        Rule::Declare => false,
    };
    // Numbers in the notation that everything else here uses.
    fits.then(|| ranged(key, reply).map_or_else(|| reply.to_owned(), |n| n.to_string()))
}

/// The result of an offer that stays without an answer: a boolean that is settled by itself, else
/// the default (RFC 7143, 6.2.2).
pub fn unanswered(key: Key, offer: &str) -> &str {
    match (key.rule(), offer) {
        (Rule::And, "No") | (Rule::Or, "Yes") => offer,
        _ => key.default(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn table_is_consistent() {
        for key in Key::ALL {
            assert_eq!(Key::from_name(key.name()), Some(*key));
            let d = key.default();
            match key.kind() {
                Kind::Number { .. } if !d.is_empty() => assert!(ranged(*key, d).is_some()),
                Kind::Bool => assert!(yes(d).is_some()),
                Kind::Words(w) => assert!(w.contains(&d), "{}", key.name()),
                _ => {}
            }
        }
    }

    #[test]
    fn lists_take_the_first_common_word_of_the_offer() {
        let f = |o, w| answer(Key::HeaderDigest, o, w);
        assert_eq!(f("CRC32C,None", "None,CRC32C").as_deref(), Some("CRC32C"));
        assert_eq!(f("X-new,None", "CRC32C,None").as_deref(), Some("None"));
        assert_eq!(f("X-new", "CRC32C,None"), None);
        assert_eq!(accept(Key::HeaderDigest, "None", "CRC32C"), None);
    }

    /// The rule as RFC 7143 words it, written a second time on numbers.
    fn model(key: Key, a: u32, b: u32) -> u32 {
        if key == Key::DefaultTime2Wait {
            if a > b { a } else { b }
        } else if a < b {
            a
        } else {
            b
        }
    }

    proptest! {
        #[test]
        fn numbers_as_the_model_says(pick in 0_usize..7, a in 0_u32..1 << 25, b in 0_u32..1 << 25, hex: bool) {
            let key = [
                Key::MaxConnections, Key::MaxBurstLength, Key::FirstBurstLength, Key::DefaultTime2Wait,
                Key::DefaultTime2Retain, Key::MaxOutstandingR2t, Key::ErrorRecoveryLevel,
            ][pick];
            let Kind::Number { low, high } = key.kind() else { unreachable!() };
            let b = low + b % (high - low + 1);
            let offer = if hex { format!("{a:#x}") } else { a.to_string() };
            let got = answer(key, &offer, &b.to_string());
            if (low..=high).contains(&a) {
                let want = model(key, a, b).to_string();
                prop_assert_eq!(got.as_deref(), Some(&want[..]));
                // Whoever made the offer comes to the same result, and to no other one.
                prop_assert_eq!(accept(key, &offer, &want), Some(want));
                let beyond = if key == Key::DefaultTime2Wait { a.checked_sub(1) } else { Some(a + 1) };
                if let Some(beyond) = beyond {
                    prop_assert_eq!(accept(key, &offer, &beyond.to_string()), None);
                }
            } else {
                prop_assert_eq!(got, None);
            }
        }

        #[test]
        fn booleans_as_the_model_says(a: bool, b: bool, or: bool) {
            let w = |x| if x { "Yes" } else { "No" };
            let key = if or { Key::InitialR2t } else { Key::ImmediateData };
            let want = if or { a | b } else { a & b };
            prop_assert_eq!(answer(key, w(a), w(b)), Some(w(want).to_owned()));
            prop_assert_eq!(accept(key, w(a), w(want)), Some(w(want).to_owned()));
            // An answer against the rule is seen: Yes to an AND with No, No to an OR with Yes.
            let forced = if or { a } else { !a };
            prop_assert_eq!(accept(key, w(a), w(!want)).is_none(), forced);
        }
    }
}
