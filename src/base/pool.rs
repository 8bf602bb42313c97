//! Payload buffers kept for reuse, in power-of-two size classes.

use crate::sys::iobuf::IoBuf;

/// Smallest class: one page.
const MIN_SHIFT: u32 = 12;
/// Largest class: 32 MiB, the largest request.
const CLASSES: usize = 14;
/// Bytes kept for reuse at most; beyond that buffers are freed.
const KEEP_BYTES: usize = 128 << 20;

/// A pool of buffers of one reactor.
#[derive(Debug, Default)]
pub struct BufPool {
    classes: [Vec<IoBuf>; CLASSES],
    kept: usize,
}

impl BufPool {
    fn class(len: usize) -> usize {
        (len.max(1)
            .next_power_of_two()
            .trailing_zeros()
            .max(MIN_SHIFT)
            - MIN_SHIFT) as usize
    }

    /// A buffer of exactly `len` bytes; its contents are whatever was there.
    pub fn get(&mut self, len: usize) -> IoBuf {
        let class = Self::class(len);
        let mut buf = match self.classes.get_mut(class).and_then(Vec::pop) {
            Some(b) => {
                self.kept -= b.len();
                b
            }
            None => IoBuf::zeroed(1 << (class as u32 + MIN_SHIFT)),
        };
        buf.truncate(len);
        buf
    }

    /// Takes a buffer back. Foreign or odd-sized ones are simply dropped.
    pub fn put(&mut self, mut buf: IoBuf) {
        buf.restore();
        let class = Self::class(buf.len());
        if class < CLASSES
            && buf.is_owned()
            && buf.len() == 1 << (class as u32 + MIN_SHIFT)
            && self.kept + buf.len() <= KEEP_BYTES
        {
            self.kept += buf.len();
            self.classes[class].push(buf);
        }
    }
}
