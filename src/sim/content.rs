//! What the simulated workload writes into a block, so that a read tells which write it saw.

use crate::base::rng::mix64;

/// Bytes of a block of a simulated LUN.
pub const BLOCK: usize = 512;

/// Bytes at the front of a block that name its write.
pub const HEAD: usize = 8;

/// Names one write of a run; counts from 1. 0 stands for zeroes.
pub type WriteId = u64;

/// What a block turned out to hold.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum Content {
    Zeroes,
    /// All of what that write puts here.
    Written(WriteId),
    /// Nothing that any write puts here: torn, misplaced, or a buffer that changed hands too soon.
    /// The first eight bytes.
    Damaged(u64),
}

fn word(x: &mut u64) -> u64 {
    *x = x.wrapping_add(0x9E37_79B9_7F4A_7C15);
    (*x ^ (*x >> 29)).wrapping_mul(0xD6E8_FEB8_6659_FD93)
}

const fn key(lun: usize, lba: u64, write: WriteId) -> u64 {
    mix64(write ^ mix64(lba ^ ((lun as u64) << 48)))
}

/// Fills a block with what `write` puts at `lba` of a LUN.
pub fn put(block: &mut [u8], lun: usize, lba: u64, write: WriteId) {
    assert!(
        block.len() == BLOCK && write != 0,
        "a block at a time, by a named write"
    );
    let (head, body) = block.split_at_mut(HEAD);
    head.copy_from_slice(&write.to_le_bytes());
    let mut x = key(lun, lba, write);
    for part in body.chunks_exact_mut(8) {
        part.copy_from_slice(&word(&mut x).to_le_bytes());
    }
}

/// The write that the first bytes of a block claim: cheap, for looking at a whole LUN often.
pub fn claim(block: &[u8]) -> WriteId {
    let mut head = [0; HEAD];
    head.copy_from_slice(&block[..HEAD]);
    u64::from_le_bytes(head)
}

/// Reads a block of a LUN in full.
pub fn content(block: &[u8], lun: usize, lba: u64) -> Content {
    assert!(block.len() == BLOCK, "a block at a time");
    let write = claim(block);
    if write == 0 {
        return if block.iter().all(|&b| b == 0) {
            Content::Zeroes
        } else {
            Content::Damaged(0)
        };
    }
    let mut x = key(lun, lba, write);
    let sound = block[HEAD..]
        .chunks_exact(8)
        .all(|part| part == word(&mut x).to_le_bytes());
    if sound {
        Content::Written(write)
    } else {
        Content::Damaged(write)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_tells_its_write_and_any_damage_or_other_place_is_seen() {
        let mut b = [0; BLOCK];
        assert_eq!(content(&b, 0, 7), Content::Zeroes);
        put(&mut b, 1, 7, 42);
        assert_eq!(content(&b, 1, 7), Content::Written(42));
        assert_eq!(content(&b, 0, 7), Content::Damaged(42));
        assert_eq!(content(&b, 1, 8), Content::Damaged(42));
        b[511] ^= 1;
        assert_eq!(content(&b, 1, 7), Content::Damaged(42));
    }
}
