//! What a LUN is, however it is reached (invariant I7: nothing joins by guess).

use std::fmt;

/// The identifiers one path reports for its logical unit.
///
/// Only equal things are compared: NVMe UUID with SCSI designator type Ah (SPC, UUID), NVMe
/// EUI-64 and NGUID with designator type 2 (8 and 16 bytes), NAA with NAA. An NAA never equals
/// an NGUID, whatever the bytes say.
#[derive(Clone, PartialEq, Eq, Default, Hash)]
pub struct Identity {
    /// NVMe namespace UUID, or SCSI designator type Ah; RFC 4122 byte order.
    pub uuid: Option<[u8; 16]>,
    /// NVMe NGUID, or the 16-byte form of SCSI designator type 2.
    pub nguid: Option<[u8; 16]>,
    /// NVMe EUI-64, or the 8-byte form of SCSI designator type 2.
    pub eui64: Option<[u8; 8]>,
    /// SCSI designator type 3 (NAA), 8 or 16 bytes.
    pub naa: Option<Vec<u8>>,
}

/// How two identities compare.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum Match {
    /// At least one identifier both have is equal, and none differs.
    Same,
    /// An identifier both have differs.
    Different,
    /// They have no kind of identifier in common.
    Unknown,
}

impl Identity {
    pub fn is_empty(&self) -> bool {
        self.uuid.is_none() && self.nguid.is_none() && self.eui64.is_none() && self.naa.is_none()
    }

    pub fn compare(&self, other: &Self) -> Match {
        fn one<T: PartialEq>(a: Option<&T>, b: Option<&T>) -> Option<bool> {
            Some(a? == b?)
        }
        let found = [
            one(self.uuid.as_ref(), other.uuid.as_ref()),
            one(self.nguid.as_ref(), other.nguid.as_ref()),
            one(self.eui64.as_ref(), other.eui64.as_ref()),
            one(self.naa.as_ref(), other.naa.as_ref()),
        ];
        if found.contains(&Some(false)) {
            Match::Different
        } else if found.contains(&Some(true)) {
            Match::Same
        } else {
            Match::Unknown
        }
    }

    /// Adds what `other` knows and we do not; called only after `compare` said `Same`.
    pub fn learn(&mut self, other: &Self) {
        assert!(
            self.compare(other) != Match::Different,
            "identities that differ never merge"
        );
        self.uuid = self.uuid.or(other.uuid);
        self.nguid = self.nguid.or(other.nguid);
        self.eui64 = self.eui64.or(other.eui64);
        if self.naa.is_none() {
            self.naa.clone_from(&other.naa);
        }
    }
}

struct Hex<'a>(&'a [u8]);

impl fmt::Display for Hex<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|b| write!(f, "{b:02x}"))
    }
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut put = false;
        let mut item = |f: &mut fmt::Formatter<'_>, name: &str, text: String| {
            let sep = if put { " " } else { "" };
            put = true;
            write!(f, "{sep}{name}.{text}")
        };
        if let Some(u) = &self.uuid {
            item(f, "uuid", uuid::Uuid::from_bytes(*u).to_string())?;
        }
        if let Some(n) = &self.nguid {
            item(f, "nguid", Hex(n).to_string())?;
        }
        if let Some(e) = &self.eui64 {
            item(f, "eui", Hex(e).to_string())?;
        }
        if let Some(n) = &self.naa {
            item(f, "naa", Hex(n).to_string())?;
        }
        if self.is_empty() {
            f.write_str("(no identity)")
        } else {
            Ok(())
        }
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn uuid(b: u8) -> Identity {
        Identity {
            uuid: Some([b; 16]),
            ..Identity::default()
        }
    }

    #[test]
    fn naa_never_equals_an_nguid_by_value() {
        let a = Identity {
            nguid: Some([6; 16]),
            ..Identity::default()
        };
        let b = Identity {
            naa: Some(vec![6; 16]),
            ..Identity::default()
        };
        assert_eq!(a.compare(&b), Match::Unknown);
    }

    #[test]
    fn one_difference_outweighs_any_number_of_equals() {
        let mut a = uuid(1);
        let mut b = uuid(1);
        assert_eq!(a.compare(&b), Match::Same);
        a.eui64 = Some([1; 8]);
        b.eui64 = Some([2; 8]);
        assert_eq!(a.compare(&b), Match::Different);
    }

    #[test]
    fn nothing_in_common_is_unknown_not_same() {
        assert_eq!(
            Identity::default().compare(&Identity::default()),
            Match::Unknown
        );
        assert_eq!(uuid(1).compare(&Identity::default()), Match::Unknown);
    }
}
