//! Payload memory: owned by us, or lent by a caller for as long as a request is in flight.
#![allow(unsafe_code)]

use std::alloc::{Layout, alloc_zeroed, dealloc, handle_alloc_error};
use std::ptr::NonNull;

/// Alignment in bytes of the buffers that umpio allocates: fits O_DIRECT and page-wise DMA.
pub const ALIGN: usize = 4096;

/// A contiguous piece of payload memory. While it stands in a request nobody but the holder of
/// that request reads or writes it, which is why safe slices can be given out.
pub struct IoBuf {
    ptr: NonNull<u8>,
    len: usize,
    /// Bytes to give back to the allocator; 0 when the memory is a caller's.
    owned: usize,
}

// SAFETY: an IoBuf is the only handle to its memory (owned: by construction; foreign: by the
// contract of `foreign`), so moving it to another thread moves the right to touch it.
unsafe impl Send for IoBuf {}

impl IoBuf {
    /// A zeroed buffer of `len` bytes, aligned to [`ALIGN`].
    pub fn zeroed(len: usize) -> Self {
        if len == 0 {
            return Self {
                ptr: NonNull::dangling(),
                len: 0,
                owned: 0,
            };
        }
        let layout = Layout::from_size_align(len, ALIGN).expect("payload length overflows");
        // SAFETY: the layout has a non-zero size.
        let raw = unsafe { alloc_zeroed(layout) };
        let Some(ptr) = NonNull::new(raw) else {
            handle_alloc_error(layout)
        };
        Self {
            ptr,
            len,
            owned: len,
        }
    }

    /// Wraps memory that belongs to somebody else: a fio job's buffer, an SPDK iovec, guest
    /// memory, or a part of a parent request's payload.
    ///
    /// # Safety
    /// `ptr..ptr + len` must be valid for reads and writes, and must not be touched by anyone
    /// else, from now until this `IoBuf` is dropped or taken out of its completed request.
    pub unsafe fn foreign(ptr: *mut u8, len: usize) -> Self {
        let ptr = NonNull::new(ptr).unwrap_or(NonNull::dangling());
        Self { ptr, len, owned: 0 }
    }

    pub fn len(&self) -> usize {
        self.len
    }

    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Whether the memory is ours, and may be kept for another request.
    pub fn is_owned(&self) -> bool {
        self.owned != 0
    }

    /// The first `len` bytes as the whole buffer from now on (its allocation stays as it is).
    pub fn truncate(&mut self, len: usize) {
        self.len = self.len.min(len);
    }

    /// Undoes `truncate` on a buffer of ours.
    pub fn restore(&mut self) {
        if self.owned != 0 {
            self.len = self.owned;
        }
    }

    pub fn as_slice(&self) -> &[u8] {
        // SAFETY: valid for `len` bytes and ours alone while we hold the IoBuf (see `foreign`).
        unsafe { std::slice::from_raw_parts(self.ptr.as_ptr(), self.len) }
    }

    pub fn as_mut_slice(&mut self) -> &mut [u8] {
        // SAFETY: as in `as_slice`; `&mut self` makes it exclusive.
        unsafe { std::slice::from_raw_parts_mut(self.ptr.as_ptr(), self.len) }
    }

    /// A second handle to `len` bytes from `offset`, for a child of a split request.
    ///
    /// # Safety
    /// The parent buffer must outlive the part and must not be touched while the part lives,
    /// and parts handed out together must not overlap.
    pub(crate) unsafe fn part(&self, offset: usize, len: usize) -> Self {
        assert!(
            offset.checked_add(len).is_some_and(|end| end <= self.len),
            "part outside its buffer"
        );
        // SAFETY: the range was just checked to lie inside this buffer's own allocation.
        let ptr = unsafe { self.ptr.add(offset) };
        Self { ptr, len, owned: 0 }
    }
}

impl Drop for IoBuf {
    fn drop(&mut self) {
        if self.owned != 0 {
            let layout = Layout::from_size_align(self.owned, ALIGN).expect("checked at allocation");
            // SAFETY: allocated in `zeroed` with exactly this layout, and dropped once.
            unsafe { dealloc(self.ptr.as_ptr(), layout) };
        }
    }
}

impl std::fmt::Debug for IoBuf {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("IoBuf")
            .field("len", &self.len)
            .field("owned", &(self.owned != 0))
            .finish()
    }
}

impl From<&[u8]> for IoBuf {
    fn from(bytes: &[u8]) -> Self {
        let mut b = Self::zeroed(bytes.len());
        b.as_mut_slice().copy_from_slice(bytes);
        b
    }
}

/// The parts of `parent` that make up `len` bytes from `offset`, pushed on `out`.
///
/// # Safety
/// As for `IoBuf::part`: `parent` outlives the parts and rests until they are gone.
pub(crate) unsafe fn push_parts(
    parent: &[IoBuf],
    mut offset: usize,
    mut len: usize,
    out: &mut Vec<IoBuf>,
) {
    for seg in parent {
        if len == 0 {
            break;
        }
        if offset >= seg.len() {
            offset -= seg.len();
            continue;
        }
        let n = (seg.len() - offset).min(len);
        // SAFETY: forwarded from the caller's promise.
        out.push(unsafe { seg.part(offset, n) });
        offset = 0;
        len -= n;
    }
    assert!(len == 0, "parts asked for beyond the parent's payload");
}
