//! What a verified write puts into every 512 bytes.

use std::fmt;
use std::ops::RangeInclusive;

use crate::base::crc::crc32c;
use crate::base::rng::mix64;

/// Bytes under one stamp. The smallest logical block there is, so that one table serves LUNs of
/// any block size, and a device that tears a larger block is caught.
pub const UNIT: usize = 512;

/// "umpioVB1", read as a little-endian number.
const MAGIC: u64 = u64::from_le_bytes(*b"umpioVB1");

/// Where the checksum stands.
const CRC_AT: usize = UNIT - 4;
/// Where noise begins.
const BODY_AT: usize = 40;

/// Who wrote a unit, and when.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct Stamp {
    /// The run (and LUN) that wrote it.
    pub run: u64,
    /// The unit's number on the LUN: its byte offset by 512.
    pub unit: u64,
    /// Which write of this unit it was; counts from 1.
    pub version: u32,
    /// Where in that write the unit stood.
    pub offset: u32,
    /// Which write of the whole run it was: names the same I/O in all its units.
    pub write: u64,
}

/// What 512 bytes turned out to be.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum Content {
    Zeroes,
    /// Stamped, and its checksum is right.
    Stamped(Stamp),
    /// It begins like a stamp, but the checksum is wrong: torn or damaged.
    Torn(Stamp),
    /// Not ours: the first 8 bytes.
    Foreign(u64),
}

impl fmt::Display for Content {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let stamp = |f: &mut fmt::Formatter<'_>, s: &Stamp| {
            write!(
                f,
                "version {} of unit {:#x} (write #{}, its unit {})",
                s.version, s.unit, s.write, s.offset
            )
        };
        match self {
            Self::Zeroes => f.write_str("zeroes"),
            Self::Stamped(s) => stamp(f, s),
            Self::Torn(s) => {
                f.write_str("damaged: checksum wrong on ")?;
                stamp(f, s)
            }
            Self::Foreign(head) => write!(f, "data that nobody stamped ({head:#018x}...)"),
        }
    }
}

fn get64(unit: &[u8], at: usize) -> u64 {
    let mut b = [0; 8];
    b.copy_from_slice(&unit[at..at + 8]);
    u64::from_le_bytes(b)
}

/// The body of a unit, 8 bytes at a time. It follows from run, unit and version alone, so that the
/// checker can tell which version a part of a torn unit comes from.
fn noise(run: u64, unit: u64, version: u32) -> impl Iterator<Item = [u8; 8]> {
    // Counter mode: no word waits for the one before it.
    let mut x = mix64(run ^ mix64(unit) ^ (u64::from(version) << 32));
    std::iter::repeat_with(move || {
        x = x.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let noise = (x ^ (x >> 32)).wrapping_mul(0xD6E8_FEB8_6659_FD93);
        (noise ^ (noise >> 32)).to_le_bytes()
    })
}

fn get32(unit: &[u8], at: usize) -> u32 {
    let mut b = [0; 4];
    b.copy_from_slice(&unit[at..at + 4]);
    u32::from_le_bytes(b)
}

impl Stamp {
    /// Fills one unit. Every byte depends on the version, so that a mixture of two versions
    /// never passes for either.
    pub fn put(&self, unit: &mut [u8]) {
        assert!(unit.len() == UNIT, "a stamp fills exactly one unit");
        unit[..8].copy_from_slice(&MAGIC.to_le_bytes());
        unit[8..16].copy_from_slice(&self.run.to_le_bytes());
        unit[16..24].copy_from_slice(&self.unit.to_le_bytes());
        unit[24..28].copy_from_slice(&self.version.to_le_bytes());
        unit[28..32].copy_from_slice(&self.offset.to_le_bytes());
        unit[32..40].copy_from_slice(&self.write.to_le_bytes());
        let words = unit[BODY_AT..].chunks_mut(8);
        for (word, noise) in words.zip(noise(self.run, self.unit, self.version)) {
            word.copy_from_slice(&noise[..word.len()]);
        }
        let crc = crc32c(&unit[..CRC_AT]);
        unit[CRC_AT..].copy_from_slice(&crc.to_le_bytes());
    }

    fn get(unit: &[u8]) -> Self {
        Self {
            run: get64(unit, 8),
            unit: get64(unit, 16),
            version: get32(unit, 24),
            offset: get32(unit, 28),
            write: get64(unit, 32),
        }
    }
}

/// Whether a unit whose checksum is wrong is a mixture of the versions `oldest` to `newest` of this
/// unit: its head of one of them, and every byte of its body from one at the same place. Version 0
/// is the initial content: zeroes, or (`initial_known` not set) anything. The checksum's own 4 bytes are not looked at: those of
/// another version than the head's cannot be known.
pub(super) fn is_mixture(
    unit: &[u8],
    run: u64,
    at: u64,
    versions: RangeInclusive<u32>,
    initial_known: bool,
) -> bool {
    let (oldest, newest) = (*versions.start(), *versions.end());
    // More versions than this were never outstanding between a read and its return: not worth
    // the time, and a chance hit grows likelier.
    const VERSIONS_MAX: u32 = 16;
    if newest < oldest || newest - oldest >= VERSIONS_MAX {
        return false;
    }
    // What does not tell versions apart is as stamped, or still zero.
    let head = [(0, MAGIC), (8, run), (16, at)];
    let initial = |word: u64| oldest == 0 && word == 0;
    if !head
        .iter()
        .all(|&(i, want)| get64(unit, i) == want || initial(get64(unit, i)))
        || !(oldest..=newest).contains(&Stamp::get(unit).version)
    {
        return false;
    }
    if oldest == 0 && !initial_known {
        return true;
    }
    let body = &unit[BODY_AT..CRC_AT];
    let mut from = [false; UNIT];
    for version in oldest..=newest {
        let zeroes = version == 0;
        let words = body.chunks(8).zip(noise(run, at, version));
        for (at, (word, noise)) in words.enumerate() {
            for (i, &byte) in word.iter().enumerate() {
                from[at * 8 + i] |= byte == if zeroes { 0 } else { noise[i] };
            }
        }
    }
    from[..body.len()].iter().all(|&known| known)
}

impl Content {
    pub fn of(unit: &[u8]) -> Self {
        assert!(unit.len() == UNIT, "content is told a unit at a time");
        let head = get64(unit, 0);
        if head == MAGIC {
            let stamp = Stamp::get(unit);
            return if crc32c(&unit[..CRC_AT]) == get32(unit, CRC_AT) {
                Self::Stamped(stamp)
            } else {
                Self::Torn(stamp)
            };
        }
        if head == 0 && unit.iter().all(|&b| b == 0) {
            return Self::Zeroes;
        }
        Self::Foreign(head)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STAMP: Stamp = Stamp {
        run: 3,
        unit: 77,
        version: 5,
        offset: 2,
        write: 99,
    };

    #[test]
    fn a_stamp_reads_back_and_any_flipped_bit_is_seen() {
        let mut unit = [0u8; UNIT];
        STAMP.put(&mut unit);
        assert_eq!(Content::of(&unit), Content::Stamped(STAMP));
        for byte in 0..UNIT {
            unit[byte] ^= 1 << (byte % 8);
            assert_ne!(Content::of(&unit), Content::Stamped(STAMP), "byte {byte}");
            unit[byte] ^= 1 << (byte % 8);
        }
    }

    #[test]
    fn two_versions_of_a_unit_share_no_run_of_bytes_in_their_bodies() {
        let (mut a, mut b) = ([0u8; UNIT], [0u8; UNIT]);
        STAMP.put(&mut a);
        Stamp {
            version: 6,
            ..STAMP
        }
        .put(&mut b);
        let same = a[BODY_AT..]
            .chunks(8)
            .zip(b[BODY_AT..].chunks(8))
            .filter(|(x, y)| x == y);
        assert_eq!(same.count(), 0);
    }

    fn unit(version: u32) -> [u8; UNIT] {
        let mut b = [0; UNIT];
        if version > 0 {
            Stamp { version, ..STAMP }.put(&mut b);
        }
        b
    }

    #[test]
    fn a_mixture_of_versions_is_told_from_damage_wherever_the_seam_lies() {
        for (a, b) in [(5, 6), (6, 5), (0, 1), (1, 0)] {
            let (oldest, newest) = (a.min(b), a.max(b));
            for seam in (BODY_AT..CRC_AT).step_by(8) {
                let mut torn = unit(a);
                torn[seam..].copy_from_slice(&unit(b)[seam..]);
                let is = |u: &[u8], oldest, newest| is_mixture(u, 3, 77, oldest..=newest, true);
                assert!(is(&torn, oldest, newest), "{a} to {b} at {seam}");
                let versions = oldest..=newest;
                assert!(
                    !is_mixture(&torn, 3, 78, versions.clone(), true),
                    "another unit"
                );
                assert!(!is_mixture(&torn, 4, 77, versions, true), "another run");
                if seam + 16 < CRC_AT && seam > BODY_AT {
                    assert!(!is(&torn, newest, newest), "the old one may not be there");
                    assert!(!is(&torn, oldest, oldest), "nor the new one");
                    torn[seam] ^= 0x10;
                    assert!(!is(&torn, oldest, newest), "a flipped bit");
                }
            }
        }
    }

    #[test]
    fn zeroes_and_foreign_data_are_told_apart() {
        assert_eq!(Content::of(&[0; UNIT]), Content::Zeroes);
        let mut unit = [0; UNIT];
        unit[511] = 1;
        assert_eq!(Content::of(&unit), Content::Foreign(0));
    }
}
