//! The memory of a `mem:` device.
//!
//! One anonymous mapping, shared by the reactors of a process. It is treated as the medium of a
//! disk: nobody ever holds a reference into it, bytes are only copied in, copied out, zeroed and
//! compared. Two reactors that touch the same block at once get unspecified *data*, as on a disk,
//! and never undefined behaviour, because every access is atomic in units of a byte or larger:
//!
//! - x86-64: `rep movsb` / `rep stosb` in inline assembly, which the compiler must take for a
//!   series of relaxed byte accesses. Measured on an AMD EPYC with FSRM against `memcpy`: 4 KiB
//!   74 ns to 73 ns, 128 KiB 3.1 µs to 3.1 µs, 512 B 62 ns to 15 ns (the start-up cost of `rep`).
//!   What goes into a store larger than the caches is written past them: the line that a plain store
//!   would first fetch is overwritten whole. 4 KiB into a random place of 64 MiB 907 ns to 592 ns, of
//!   512 MiB 1360 ns to 898 ns, of 16 MiB 434 ns to 544 ns (medians of 7, busy machine).
//! - elsewhere: relaxed atomic words. They were not taken for x86-64 since the compiler does not
//!   vectorise atomics: 4 KiB took 153 ns.
#![allow(unsafe_code)]

use super::iobuf::IoBuf;
use std::io;
use std::ptr::NonNull;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Zeroing this much or more gives pages back to the system instead of writing to them, so that
/// discarding a terabyte that was never written costs nothing.
const RELEASE_MIN: usize = 64 * 1024;
/// Size of the pages the release is aligned to. Larger system pages only make `madvise` refuse,
/// after which zeros are written.
const PAGE: usize = 4096;
/// Stores up to this size ask for huge pages: one fault and one TLB entry then stand for 2 MiB, but
/// a single block that is written takes as much. A larger store is likely to be thin on purpose.
const HUGE_MAX: usize = 1 << 30;
/// From this size on a store does not fit into the caches of common processors, and what is written
/// goes past them.
const STREAM_MIN: usize = 32 << 20;
/// Bytes compared at a time.
const COMPARE_STEP: usize = 512;

/// Zero-filled memory that costs nothing until it is touched.
///
/// Threads: any thread may call anything at any time. Overlapping calls leave some mix of their
/// bytes; callers that need more (COMPARE AND WRITE) hold [`Store::exclusive`].
pub struct Store {
    base: NonNull<u8>,
    len: usize,
    exclusive: Mutex<()>,
}

// SAFETY: the mapping belongs to the Store until it is dropped, is valid from any thread, and is
// only accessed byte-atomically (see the module's head).
unsafe impl Send for Store {}
// SAFETY: as above; overlapping accesses are atomic and so are no data race.
unsafe impl Sync for Store {}

impl Store {
    /// Maps `bytes` of zeros. Memory is taken when it is first written, not now.
    pub fn new(bytes: u64) -> io::Result<Arc<Self>> {
        let len = usize::try_from(bytes)
            .ok()
            .filter(|&n| n > 0 && n <= isize::MAX as usize)
            .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "not a mappable size"))?;
        // SAFETY: a fresh anonymous mapping at an address of the kernel's choice touches no
        // memory that exists.
        let raw = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                len,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE,
                -1,
                0,
            )
        };
        if raw == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let base = NonNull::new(raw.cast::<u8>()).expect("mmap gives no null without MAP_FIXED");
        if len <= HUGE_MAX {
            // SAFETY: advice about the whole of the mapping just made; that it is refused (no huge
            // pages in this kernel) changes nothing.
            unsafe { libc::madvise(raw, len, libc::MADV_HUGEPAGE) };
        }
        Ok(Arc::new(Self {
            base,
            len,
            exclusive: Mutex::new(()),
        }))
    }

    /// Bytes in the store.
    pub fn len(&self) -> u64 {
        self.len as u64
    }

    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Address of `offset`, once `len` bytes from there are known to lie inside.
    fn at(&self, offset: u64, len: usize) -> *mut u8 {
        let start = usize::try_from(offset).expect("offset beyond the address space");
        let end = start.checked_add(len).expect("range overflows");
        assert!(end <= self.len, "range beyond the store");
        // SAFETY: `start <= end <= self.len`, which is the size of the mapping.
        unsafe { self.base.as_ptr().add(start) }
    }

    /// Copies `out.len()` bytes out from `offset`. The caller has checked the range; a wrong one
    /// panics.
    pub fn read(&self, offset: u64, out: &mut [u8]) {
        let from = self.at(offset, out.len());
        // SAFETY: both sides are valid for `out.len()` bytes; `out` is exclusive and cannot lie
        // in the mapping, of which no reference exists but lent ranges, whose lender vouches.
        unsafe { raw::copy_out(from, out.as_mut_ptr(), out.len()) };
    }

    /// Copies `data` in at `offset`.
    pub fn write(&self, offset: u64, data: &[u8]) {
        let to = self.at(offset, data.len());
        // SAFETY: as in `read`, the other way round.
        unsafe {
            if self.len >= STREAM_MIN {
                raw::stream_in(data.as_ptr(), to, data.len());
            } else {
                raw::copy_in(data.as_ptr(), to, data.len());
            }
        }
    }

    /// Makes `len` bytes from `offset` read as zeros. Whole pages of a large range go back to the
    /// system.
    pub fn zero(&self, offset: u64, len: u64) {
        let len = usize::try_from(len).expect("length beyond the address space");
        let to = self.at(offset, len);
        if len >= RELEASE_MIN {
            // The mapping starts on a page, so alignment of the address is what counts.
            let head = to.align_offset(PAGE).min(len);
            let body = (len - head) / PAGE * PAGE;
            // SAFETY: head + body <= len, inside the range checked above.
            let start = unsafe { to.add(head) };
            if self.release(start, body) {
                // SAFETY: head lies inside the range.
                unsafe { raw::fill_zero(to, head) };
                // SAFETY: the rest after head and body lies inside the range.
                unsafe { raw::fill_zero(start.add(body), len - head - body) };
                return;
            }
        }
        // SAFETY: `at` has checked the range.
        unsafe { raw::fill_zero(to, len) };
    }

    /// Gives whole pages back; private anonymous memory reads as zeros afterwards.
    fn release(&self, start: *mut u8, len: usize) -> bool {
        // SAFETY: the pages lie inside our own mapping, and contents of a concurrent access to
        // them are unspecified by contract.
        len > 0 && unsafe { libc::madvise(start.cast(), len, libc::MADV_DONTNEED) } == 0
    }

    /// Whether the bytes from `offset` are those of `data`.
    pub fn equals(&self, offset: u64, data: &[u8]) -> bool {
        let mut seen = [0; COMPARE_STEP];
        let mut at = offset;
        data.chunks(COMPARE_STEP).all(|want| {
            let seen = &mut seen[..want.len()];
            self.read(at, seen);
            at += want.len() as u64;
            seen == want
        })
    }

    /// Held over the compare and the write of COMPARE AND WRITE, so that two of them on different
    /// reactors do not both win. Plain writes do not take it.
    pub fn exclusive(&self) -> MutexGuard<'_, ()> {
        // A panic while it was held cannot have left anything half done that a lock guards.
        self.exclusive
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Lends a range as payload memory, for reads that hand out the store itself.
    ///
    /// # Safety
    /// The store must outlive the `IoBuf`, and until that is dropped nobody may read or write
    /// the range through the store or another lent buffer: the `IoBuf` gives out plain slices.
    pub unsafe fn lend(&self, offset: u64, len: usize) -> IoBuf {
        let ptr = self.at(offset, len);
        // SAFETY: valid for `len` bytes; that nobody else touches them is the caller's promise.
        unsafe { IoBuf::foreign(ptr, len) }
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        // SAFETY: mapped in `new` with this length and unmapped once; lent ranges are gone by
        // their contract.
        unsafe { libc::munmap(self.base.as_ptr().cast(), self.len) };
    }
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Store")
            .field("len", &self.len)
            .finish_non_exhaustive()
    }
}

/// Copies through the processor's string instructions.
///
/// All functions: the store's side is valid for `n` bytes, the other side too and exclusive.
#[cfg(all(target_arch = "x86_64", not(miri)))]
mod raw {
    use std::arch::asm;

    pub(super) unsafe fn copy_out(from: *const u8, to: *mut u8, n: usize) {
        // SAFETY: reads `n` bytes at `from`, writes as many at `to`, both valid; the direction
        // flag is clear by the ABI.
        unsafe {
            asm!("rep movsb", inout("rcx") n => _, inout("rsi") from => _, inout("rdi") to => _,
                options(nostack, preserves_flags));
        }
    }

    pub(super) unsafe fn copy_in(from: *const u8, to: *mut u8, n: usize) {
        // SAFETY: the same instruction with the same promise; the assembly is opaque, so which
        // side is shared makes no difference.
        unsafe { copy_out(from, to, n) };
    }

    /// As `copy_in`, past the caches. Seen by others when it returns, as any store.
    pub(super) unsafe fn stream_in(from: *const u8, to: *mut u8, n: usize) {
        const STEP: usize = 64;
        // Blocks of a unit are whole lines; anything else is not worth a second way.
        if n == 0 || !n.is_multiple_of(STEP) || to.align_offset(16) != 0 {
            // SAFETY: the caller's promise.
            return unsafe { copy_in(from, to, n) };
        }
        // SAFETY: reads and writes `n` valid bytes, a multiple of what a round takes, of which there
        // is one at least; `movntps` has its alignment. The fence orders these stores before later ones.
        unsafe {
            asm!(
                "2:",
                "movups {a}, [{from}]",
                "movups {b}, [{from} + 16]",
                "movups {c}, [{from} + 32]",
                "movups {d}, [{from} + 48]",
                "movntps [{to}], {a}",
                "movntps [{to} + 16], {b}",
                "movntps [{to} + 32], {c}",
                "movntps [{to} + 48], {d}",
                "add {from}, 64",
                "add {to}, 64",
                "sub {left}, 64",
                "jnz 2b",
                "sfence",
                from = inout(reg) from => _,
                to = inout(reg) to => _,
                left = inout(reg) n => _,
                a = out(xmm_reg) _,
                b = out(xmm_reg) _,
                c = out(xmm_reg) _,
                d = out(xmm_reg) _,
                options(nostack),
            );
        }
    }

    pub(super) unsafe fn fill_zero(to: *mut u8, n: usize) {
        // SAFETY: writes `n` valid bytes at `to`.
        unsafe {
            asm!("rep stosb", inout("rcx") n => _, inout("rdi") to => _, in("al") 0u8,
                options(nostack, preserves_flags));
        }
    }
}

/// Copies by relaxed atomic words, single bytes at ragged ends.
#[cfg(not(all(target_arch = "x86_64", not(miri))))]
mod raw {
    use std::sync::atomic::{AtomicU8, AtomicU64, Ordering::Relaxed};

    /// Calls `byte(i)` or `word(i)` for offsets that cover `0..n`, words where `at + i` is
    /// aligned for them.
    fn cover(at: *const u8, n: usize, mut byte: impl FnMut(usize), mut word: impl FnMut(usize)) {
        let head = at.align_offset(8).min(n);
        let words = (n - head) / 8;
        (0..head).for_each(&mut byte);
        (0..words).for_each(|i| word(head + i * 8));
        (head + words * 8..n).for_each(byte);
    }

    pub(super) unsafe fn copy_out(from: *const u8, to: *mut u8, n: usize) {
        cover(
            from,
            n,
            // SAFETY: inside both valid ranges.
            |i| unsafe { *to.add(i) = AtomicU8::from_ptr(from.add(i).cast_mut()).load(Relaxed) },
            // SAFETY: as above, and `from + i` is aligned for a word.
            |i| unsafe {
                let v = AtomicU64::from_ptr(from.add(i).cast_mut().cast()).load(Relaxed);
                to.add(i).cast::<u64>().write_unaligned(v);
            },
        );
    }

    pub(super) unsafe fn copy_in(from: *const u8, to: *mut u8, n: usize) {
        cover(
            to,
            n,
            // SAFETY: inside both valid ranges.
            |i| unsafe { AtomicU8::from_ptr(to.add(i)).store(*from.add(i), Relaxed) },
            // SAFETY: as above, and `to + i` is aligned for a word.
            |i| unsafe {
                let v = from.add(i).cast::<u64>().read_unaligned();
                AtomicU64::from_ptr(to.add(i).cast()).store(v, Relaxed);
            },
        );
    }

    pub(super) unsafe fn stream_in(from: *const u8, to: *mut u8, n: usize) {
        // SAFETY: the caller's promise; this processor has no portable way past its caches.
        unsafe { copy_in(from, to, n) };
    }

    pub(super) unsafe fn fill_zero(to: *mut u8, n: usize) {
        cover(
            to,
            n,
            // SAFETY: inside the valid range.
            |i| unsafe { AtomicU8::from_ptr(to.add(i)).store(0, Relaxed) },
            // SAFETY: as above, aligned.
            |i| unsafe { AtomicU64::from_ptr(to.add(i).cast()).store(0, Relaxed) },
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_terabyte_costs_nothing_until_touched_and_reads_as_zeros() {
        let s = Store::new(1 << 40).expect("a lazily backed mapping");
        let mut b = [1u8; 1024];
        s.read((1 << 40) - 1024, &mut b);
        assert_eq!(b, [0; 1024]);
        s.zero(0, 1 << 40);
    }

    #[test]
    fn odd_ranges_are_copied_exactly() {
        for size in [8192, STREAM_MIN as u64] {
            odd_ranges(&Store::new(size).expect("mapping"));
        }
    }

    fn odd_ranges(s: &Store) {
        let block: Vec<u8> = (0..1024u32).map(|n| n as u8).collect();
        let mut back = vec![0; 1026];
        for (at, from, len) in [
            (512, 0, 512),
            (512, 1, 1022),
            (1024, 3, 64),
            (16, 5, 128),
            (8, 0, 64),
        ] {
            s.zero(0, 2048);
            s.write(at, &block[from..from + len]);
            s.read(at - 1, &mut back[..len + 2]);
            assert_eq!((back[0], back[len + 1]), (0, 0), "{len} bytes at {at}");
            assert_eq!(
                back[1..=len],
                block[from..from + len],
                "{len} bytes at {at}"
            );
        }
        let data: Vec<u8> = (1..=97).collect();
        s.write(4093, &data);
        let mut back = vec![0xEE; 101];
        s.read(4091, &mut back);
        assert_eq!(&back[..2], [0, 0]);
        assert_eq!(&back[2..99], data);
        assert_eq!(&back[99..], [0, 0]);
        assert!(s.equals(4093, &data));
        assert!(!s.equals(4092, &data));
    }

    #[test]
    fn zeroing_a_large_range_spares_its_neighbours() {
        let s = Store::new(1 << 20).expect("mapping");
        s.write(0, &vec![7; 1 << 20]);
        let (start, len) = (5000, 200_001);
        s.zero(start, len);
        let mut all = vec![0; 1 << 20];
        s.read(0, &mut all);
        for (i, b) in all.iter().enumerate() {
            let inside = (start..start + len).contains(&(i as u64));
            assert_eq!(*b, if inside { 0 } else { 7 }, "byte {i}");
        }
    }

    #[test]
    #[should_panic(expected = "range beyond the store")]
    fn a_range_outside_is_refused() {
        Store::new(4096).expect("mapping").write(4095, &[1, 2]);
    }

    #[test]
    fn two_threads_may_touch_the_same_bytes() {
        let s = Store::new(1 << 16).expect("mapping");
        std::thread::scope(|scope| {
            for value in [1u8, 2] {
                let s = &s;
                scope.spawn(move || {
                    let mut back = [0; 4096];
                    for _ in 0..200 {
                        s.write(0, &[value; 4096]);
                        s.read(0, &mut back);
                        assert!(back.iter().all(|b| [1, 2].contains(b)));
                    }
                });
            }
        });
    }
}
