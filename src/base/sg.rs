//! Scatter-gather list: the payload of one request.

use super::iovecs::{RecvVec, SendVec};
use crate::sys::iobuf::{IoBuf, push_parts};
use std::io::{IoSlice, IoSliceMut};

/// The payload of one request, in order. Its vector keeps its room when emptied, so that a
/// recycled request does not allocate.
#[derive(Debug, Default)]
pub struct SgList {
    segs: Vec<IoBuf>,
    len: usize,
}

impl SgList {
    pub const fn new() -> Self {
        Self {
            segs: Vec::new(),
            len: 0,
        }
    }

    /// An empty list with room for `segments`.
    pub fn with_room(segments: usize) -> Self {
        Self {
            segs: Vec::with_capacity(segments),
            len: 0,
        }
    }

    /// One zeroed buffer of `len` bytes of our own.
    pub fn zeroed(len: usize) -> Self {
        let mut s = Self::new();
        if len > 0 {
            s.push(IoBuf::zeroed(len));
        }
        s
    }

    pub fn push(&mut self, buf: IoBuf) {
        self.len += buf.len();
        self.segs.push(buf);
    }

    /// Takes the last segment out (a single-buffer request gives its buffer back this way).
    pub fn pop(&mut self) -> Option<IoBuf> {
        let b = self.segs.pop()?;
        self.len -= b.len();
        Some(b)
    }

    pub fn clear(&mut self) {
        self.segs.clear();
        self.len = 0;
    }

    /// Bytes in all segments.
    pub fn len(&self) -> usize {
        self.len
    }

    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    pub fn segments(&self) -> &[IoBuf] {
        &self.segs
    }

    pub fn segments_mut(&mut self) -> &mut [IoBuf] {
        &mut self.segs
    }

    /// Copies `bytes` in at `offset`. The caller has checked the range; beyond the end panics.
    pub fn write_at(&mut self, mut offset: usize, mut bytes: &[u8]) {
        assert!(offset + bytes.len() <= self.len, "write beyond the payload");
        for seg in &mut self.segs {
            if bytes.is_empty() {
                return;
            }
            if offset >= seg.len() {
                offset -= seg.len();
                continue;
            }
            let n = (seg.len() - offset).min(bytes.len());
            seg.as_mut_slice()[offset..offset + n].copy_from_slice(&bytes[..n]);
            bytes = &bytes[n..];
            offset = 0;
        }
    }

    /// Copies `out.len()` bytes out from `offset`.
    pub fn read_at(&self, offset: usize, out: &mut [u8]) {
        let mut done = 0;
        self.for_each(offset, out.len(), |part| {
            out[done..done + part.len()].copy_from_slice(part);
            done += part.len();
        });
    }

    /// Calls `f` with each contiguous part of `len` bytes from `offset`.
    pub fn for_each(&self, mut offset: usize, mut len: usize, mut f: impl FnMut(&[u8])) {
        assert!(offset + len <= self.len, "range beyond the payload");
        for seg in &self.segs {
            if len == 0 {
                return;
            }
            if offset >= seg.len() {
                offset -= seg.len();
                continue;
            }
            let n = (seg.len() - offset).min(len);
            f(&seg.as_slice()[offset..offset + n]);
            len -= n;
            offset = 0;
        }
    }

    /// As `for_each`, for writing.
    pub fn for_each_mut(
        &mut self,
        mut offset: usize,
        mut len: usize,
        mut f: impl FnMut(&mut [u8]),
    ) {
        assert!(offset + len <= self.len, "range beyond the payload");
        for seg in &mut self.segs {
            if len == 0 {
                return;
            }
            if offset >= seg.len() {
                offset -= seg.len();
                continue;
            }
            let n = (seg.len() - offset).min(len);
            f(&mut seg.as_mut_slice()[offset..offset + n]);
            len -= n;
            offset = 0;
        }
    }

    /// Appends slices for up to `len` bytes from `offset`; returns the bytes appended, fewer
    /// when `out` is full.
    pub fn gather<'a>(&'a self, mut offset: usize, mut len: usize, out: &mut SendVec<'a>) -> usize {
        let mut put = 0;
        for seg in &self.segs {
            if len == 0 || out.is_full() {
                break;
            }
            if offset >= seg.len() {
                offset -= seg.len();
                continue;
            }
            let n = (seg.len() - offset).min(len);
            out.push(IoSlice::new(&seg.as_slice()[offset..offset + n]));
            put += n;
            len -= n;
            offset = 0;
        }
        put
    }

    /// As `gather`, for receiving.
    pub fn scatter<'a>(
        &'a mut self,
        mut offset: usize,
        mut len: usize,
        out: &mut RecvVec<'a>,
    ) -> usize {
        let mut put = 0;
        for seg in &mut self.segs {
            if len == 0 || out.is_full() {
                break;
            }
            if offset >= seg.len() {
                offset -= seg.len();
                continue;
            }
            let n = (seg.len() - offset).min(len);
            out.push(IoSliceMut::new(&mut seg.as_mut_slice()[offset..offset + n]));
            put += n;
            len -= n;
            offset = 0;
        }
        put
    }

    /// Makes this list (emptied first) a view of `len` bytes of `parent` from `offset`.
    ///
    /// # Safety
    /// `parent` must outlive this list's contents and must not be touched while they live, and
    /// views handed out together must not overlap.
    #[allow(unsafe_code)]
    pub(crate) unsafe fn view_of(&mut self, parent: &Self, offset: usize, len: usize) {
        self.clear();
        // SAFETY: forwarded from the caller's promise.
        unsafe { push_parts(&parent.segs, offset, len, &mut self.segs) };
        self.len = len;
    }
}

impl From<IoBuf> for SgList {
    fn from(buf: IoBuf) -> Self {
        let mut s = Self::new();
        s.push(buf);
        s
    }
}
