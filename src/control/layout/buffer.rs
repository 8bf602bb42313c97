//! Buffers of several structures: a header and an array, strings and structures behind pointers.
//!
//! A pointer in a buffer that leaves the process can not be an address. In its place stands the
//! offset of what it points to from the beginning of the buffer, and 0 for NULL: nothing that is
//! pointed to is at the beginning. Everything pointed to follows the fixed part, aligned to 8.

use super::Field;

/// Why bytes were not what they should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LayoutError {
    /// Shorter than what it must hold.
    #[error("{have} bytes, {need} are needed")]
    Short {
        /// Bytes given.
        have: usize,
        /// Bytes needed.
        need: u64,
    },
    /// A pointer that leads out of the buffer, or to a structure that would reach out of it.
    #[error("pointer at {at} leads to {to}, out of the buffer")]
    Pointer {
        /// Offset of the pointer.
        at: usize,
        /// Where it leads.
        to: u64,
    },
    /// A string that is no UTF-16, does not end, or says a wrong length.
    #[error("string at {at} is no valid UTF-16 text")]
    Text {
        /// Its offset.
        at: usize,
    },
    /// A value out of its range.
    #[error("{field} is {value}, which is not allowed")]
    Value {
        /// The field, as Windows names it.
        field: &'static str,
        /// Its value.
        value: u64,
    },
}

/// The structure at an offset.
///
/// # Errors
/// The buffer ends before it does.
pub fn read<T: Field>(bytes: &[u8], at: usize) -> Result<T, LayoutError> {
    let end = at.checked_add(T::BYTES);
    match end.and_then(|end| bytes.get(at..end)) {
        Some(place) => Ok(T::get(place)),
        None => Err(LayoutError::Short {
            have: bytes.len(),
            need: (at as u64).saturating_add(T::BYTES as u64),
        }),
    }
}

/// `count` structures from an offset on. The buffer is looked at before room is made for them, so a
/// wrong count costs nothing.
///
/// # Errors
/// The buffer ends before they do.
pub fn read_array<T: Field>(bytes: &[u8], at: usize, count: u32) -> Result<Vec<T>, LayoutError> {
    let need = (at as u64).saturating_add(u64::from(count) * T::BYTES as u64);
    if (bytes.len() as u64) < need {
        return Err(LayoutError::Short {
            have: bytes.len(),
            need,
        });
    }
    let all = bytes[at..need as usize].chunks_exact(T::BYTES);
    Ok(all.map(T::get).collect())
}

/// Whole structures that follow an offset, `count` of them at most: what a set request holds that
/// promises more than it brings.
pub fn read_whole<T: Field>(bytes: &[u8], at: usize, count: u32) -> Vec<T> {
    let rest = bytes.get(at..).unwrap_or_default();
    let count = usize::try_from(count).unwrap_or(usize::MAX);
    let all = rest.chunks_exact(T::BYTES).take(count);
    all.map(T::get).collect()
}

/// What a pointer leads to; `None` for NULL.
///
/// # Errors
/// It leads out of the buffer.
pub fn follow<T: Field>(bytes: &[u8], at: usize) -> Result<Option<T>, LayoutError> {
    let to: u64 = read(bytes, at)?;
    if to == 0 {
        return Ok(None);
    }
    let out = LayoutError::Pointer { at, to };
    let place = usize::try_from(to).map_err(|_| out)?;
    read(bytes, place).map(Some).map_err(|_| out)
}

/// The NUL-terminated UTF-16 text that a pointer leads to; `None` for NULL.
///
/// # Errors
/// It leads out of the buffer, does not end, or is no UTF-16.
pub fn follow_text(bytes: &[u8], at: usize) -> Result<Option<String>, LayoutError> {
    let to: u64 = read(bytes, at)?;
    if to == 0 {
        return Ok(None);
    }
    let out = LayoutError::Pointer { at, to };
    let place = usize::try_from(to).map_err(|_| out)?;
    let rest = bytes.get(place..).ok_or(out)?;
    let bad = LayoutError::Text { at: place };
    let units: Vec<u16> = rest.chunks_exact(2).map(u16::get).collect();
    let len = units.iter().position(|&u| u == 0).ok_or(bad)?;
    String::from_utf16(&units[..len]).map(Some).map_err(|_| bad)
}

/// A buffer being written.
#[derive(Clone, Debug, Default)]
pub struct Buffer(Vec<u8>);

impl Buffer {
    /// An empty one.
    pub fn new() -> Self {
        Self::default()
    }

    /// Appends a structure; returns its offset.
    pub fn push<T: Field>(&mut self, value: &T) -> usize {
        let at = self.0.len();
        self.0.resize(at + T::BYTES, 0);
        value.put(&mut self.0[at..]);
        at
    }

    /// Overwrites a structure.
    pub fn set<T: Field>(&mut self, at: usize, value: &T) {
        value.put(&mut self.0[at..at + T::BYTES]);
    }

    /// Zeroes up to a multiple of `to`.
    pub fn align(&mut self, to: usize) {
        self.0.resize(self.0.len().next_multiple_of(to), 0);
    }

    /// Appends a structure at the end and makes the pointer at `at` lead to it.
    pub fn point_to<T: Field>(&mut self, at: usize, value: &T) {
        self.align(8);
        let to = self.push(value) as u64;
        self.set(at, &to);
    }

    /// The same with a NUL-terminated UTF-16 text. A NUL within it ends it.
    pub fn point_to_text(&mut self, at: usize, text: &str) {
        self.align(8);
        let to = self.0.len() as u64;
        for unit in text.encode_utf16().take_while(|&u| u != 0).chain([0]) {
            self.push(&unit);
        }
        self.set(at, &to);
    }

    /// Its bytes.
    pub fn into_bytes(self) -> Vec<u8> {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_pointed_to_reads_back_and_null_is_nothing() {
        let mut b = Buffer::new();
        let first = b.push(&0_u64);
        let second = b.push(&0_u64);
        b.push(&7_u8);
        b.point_to_text(first, "größer");
        let bytes = b.clone().into_bytes();
        assert_eq!(follow_text(&bytes, first), Ok(Some("größer".to_owned())));
        assert_eq!(follow_text(&bytes, second), Ok(None));
        assert_eq!(follow::<u32>(&bytes, second), Ok(None));
        b.point_to(second, &0xdead_beef_u32);
        let bytes = b.into_bytes();
        assert_eq!(follow(&bytes, second), Ok(Some(0xdead_beef_u32)));
        let to: u64 = read(&bytes, second).expect("in it");
        assert_eq!(to % 8, 0);
    }

    #[test]
    fn pointers_out_of_the_buffer_and_texts_without_end_are_errors() {
        for to in [17_u64, u64::MAX, 13] {
            let mut b = Buffer::new();
            b.push(&to);
            b.push(&u64::MAX);
            let bytes = b.into_bytes();
            assert!(follow::<u32>(&bytes, 0).is_err(), "{to}");
            assert!(follow_text(&bytes, 0).is_err(), "{to}");
        }
    }

    #[test]
    fn a_count_is_believed_only_as_far_as_there_are_bytes() {
        let bytes = [1_u8; 20];
        let short = read_array::<u64>(&bytes, 4, u32::MAX);
        assert_eq!(
            short,
            Err(LayoutError::Short {
                have: 20,
                need: 4 + 8 * u64::from(u32::MAX)
            })
        );
        assert_eq!(read_array::<u64>(&bytes, 4, 2).map(|a| a.len()), Ok(2));
        assert_eq!(read_whole::<u64>(&bytes, 4, u32::MAX).len(), 2);
        assert_eq!(read_whole::<u64>(&bytes, 99, 1).len(), 0);
        assert_eq!(read_whole::<u64>(&bytes, 5, 9).len(), 1);
    }
}
