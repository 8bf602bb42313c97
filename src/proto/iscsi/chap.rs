//! CHAP (RFC 1994) as iSCSI uses it (RFC 7143, 12.1.3), with MD5, SHA-1, SHA-256 and SHA3-256
//! (algorithms 5 to 8 of the IANA registry).

use super::text;
use md5::{Digest, Md5};
use sha1::Sha1;
use sha2::Sha256;
use sha3::Sha3_256;
use std::fmt;

/// Bytes of a challenge that is accepted (RFC 7143, 12.1.3).
pub const CHALLENGE_MAX: usize = 1024;
/// Bytes of a challenge of ours.
pub const CHALLENGE_LEN: usize = 16;
/// Bytes below which a secret can be guessed from one recorded login (RFC 7143, 9.2.1: 96 bits).
pub const SECRET_STRONG: usize = 12;
/// Bytes of a secret at most; 16 are what every implementation takes.
pub const SECRET_MAX: usize = 255;

/// A hash function by its number.
#[derive(Copy, Clone, PartialEq, Eq, Debug, Hash)]
#[repr(u8)]
pub enum Algorithm {
    Md5 = 5,
    Sha1 = 6,
    Sha256 = 7,
    Sha3_256 = 8,
}

impl Algorithm {
    /// The strongest first.
    pub const ALL: [Self; 4] = [Self::Sha3_256, Self::Sha256, Self::Sha1, Self::Md5];

    /// What an initiator offers, in this order. SHA-256 comes last although it is strong: tgt, and
    /// whoever followed it, gave the number 7 to SHA-1 before it was registered for SHA-256, takes it
    /// when it comes before 5, and then finds every response wrong.
    pub const OFFERED: [Self; 4] = [Self::Sha3_256, Self::Sha1, Self::Md5, Self::Sha256];

    pub const fn from_number(n: u64) -> Option<Self> {
        Some(match n {
            5 => Self::Md5,
            6 => Self::Sha1,
            7 => Self::Sha256,
            8 => Self::Sha3_256,
            _ => return None,
        })
    }

    /// A list as the value of CHAP_A.
    pub fn list(all: &[Self]) -> String {
        let numbers: Vec<String> = all.iter().map(|a| (*a as u8).to_string()).collect();
        numbers.join(",")
    }

    /// The first of the offered list that is allowed.
    pub fn choose(offer: &str, allowed: &[Self]) -> Option<Self> {
        let known = |n: &str| Self::from_number(text::number(n)?);
        offer
            .split(',')
            .filter_map(known)
            .find(|a| allowed.contains(a))
    }

    /// The response to a challenge: hash of identifier, secret, challenge (RFC 1994, 4.1).
    pub fn response(self, id: u8, secret: &Secret, challenge: &[u8]) -> Vec<u8> {
        fn hash<D: Digest>(id: u8, secret: &[u8], challenge: &[u8]) -> Vec<u8> {
            let mut d = D::new();
            d.update([id]);
            d.update(secret);
            d.update(challenge);
            d.finalize().to_vec()
        }
        let f = match self {
            Self::Md5 => hash::<Md5>,
            Self::Sha1 => hash::<Sha1>,
            Self::Sha256 => hash::<Sha256>,
            Self::Sha3_256 => hash::<Sha3_256>,
        };
        f(id, &secret.0, challenge)
    }
}

/// Bytes that nobody may see: `Debug` does not show them, `==` takes the same time for all.
#[derive(Clone)]
pub struct Secret(Vec<u8>);

impl Secret {
    /// Takes the bytes, or what follows `0x` or `0b` of a binary value. None: empty or longer than
    /// [`SECRET_MAX`].
    pub fn new(text: &str) -> Option<Self> {
        let bytes = text::binary(text, SECRET_MAX).unwrap_or_else(|| text.as_bytes().to_vec());
        (!bytes.is_empty() && bytes.len() <= SECRET_MAX).then_some(Self(bytes))
    }

    /// Shorter than [`SECRET_STRONG`]: worth a warning where the network is not protected.
    pub const fn is_weak(&self) -> bool {
        self.0.len() < SECRET_STRONG
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(***)")
    }
}

impl PartialEq for Secret {
    fn eq(&self, other: &Self) -> bool {
        same(&self.0, &other.0)
    }
}

impl Eq for Secret {}

/// A name with its secret.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Credentials {
    pub name: String,
    pub secret: Secret,
}

/// Equality in a time that depends on the lengths only.
pub fn same(a: &[u8], b: &[u8]) -> bool {
    let differ = a.iter().zip(b).fold(0, |d, (x, y)| d | (x ^ y));
    a.len() == b.len() && std::hint::black_box(differ) == 0
}

/// A challenge that was sent.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Challenge {
    pub id: u8,
    pub bytes: [u8; CHALLENGE_LEN],
}

impl Challenge {
    /// From bytes that nobody can foretell.
    pub fn new(entropy: &[u8; 32]) -> Self {
        let mut bytes = [0; CHALLENGE_LEN];
        bytes.copy_from_slice(&entropy[..CHALLENGE_LEN]);
        Self {
            id: entropy[CHALLENGE_LEN],
            bytes,
        }
    }

    /// The value of CHAP_R answers this challenge.
    pub fn answered(&self, algorithm: Algorithm, secret: &Secret, response: &str) -> bool {
        text::binary(response, 64)
            .is_some_and(|r| same(&r, &algorithm.response(self.id, secret, &self.bytes)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secret() -> Secret {
        Secret::new("0123456789abcdef").expect("not empty")
    }

    /// Computed with another implementation: hash of 0x07, the secret, 00..0f.
    #[test]
    fn responses_known() {
        let challenge: [u8; 16] = std::array::from_fn(|i| i as u8);
        for (algorithm, want) in [
            (Algorithm::Md5, MD5),
            (Algorithm::Sha1, SHA1),
            (Algorithm::Sha256, SHA256),
            (Algorithm::Sha3_256, SHA3_256),
        ] {
            let r = algorithm.response(7, &secret(), &challenge);
            assert_eq!(text::hex(&r), want, "{algorithm:?}");
        }
    }

    const MD5: &str = "0x86bb99a6fb1680ed708b78e577a63162";
    const SHA1: &str = "0x8adb46a9b7af7293e891975924251f79c64286f8";
    const SHA256: &str = "0x07e16dfab3d4277cb48c0349712e8646f259b11a427a3ad9d782b50aeefbda4c";
    const SHA3_256: &str = "0xb2b7777e300d74bd9c2fab7413b9cfa9407e5a242f79b55e716bfbc2a9dabb05";

    #[test]
    fn answers_right_and_wrong() {
        let c = Challenge::new(&[9; 32]);
        let right = text::hex(&Algorithm::Md5.response(c.id, &secret(), &c.bytes));
        assert!(c.answered(Algorithm::Md5, &secret(), &right));
        assert!(!c.answered(Algorithm::Sha1, &secret(), &right));
        assert!(!c.answered(Algorithm::Md5, &Secret::new("other").unwrap(), &right));
        for wrong in ["", "0x", "0x00", "junk", &right[..right.len() - 2]] {
            assert!(!c.answered(Algorithm::Md5, &secret(), wrong), "{wrong}");
        }
    }

    #[test]
    fn secrets_and_choices() {
        assert_eq!(Secret::new(""), None);
        assert_eq!(Secret::new("0x414243"), Secret::new("ABC"));
        assert!(Secret::new("elevenchars").unwrap().is_weak());
        assert!(!secret().is_weak());
        assert_eq!(format!("{:?}", secret()), "Secret(***)");
        assert_eq!(
            Algorithm::choose("9,6,5", &Algorithm::ALL),
            Some(Algorithm::Sha1)
        );
        assert_eq!(Algorithm::choose("5", &[Algorithm::Sha256]), None);
        assert_eq!(Algorithm::list(&Algorithm::ALL), "8,7,6,5");
    }
}
