//! Fixed-size lists of slices for one vectored system call: no allocation per call.

use arrayvec::ArrayVec;
use std::io::{IoSlice, IoSliceMut};

/// Slices in one vectored send or receive at most.
pub const MAX_SLICES: usize = 128;

/// What one send call takes, in wire order.
pub type SendVec<'a> = ArrayVec<IoSlice<'a>, MAX_SLICES>;

/// Where one receive call puts bytes, in wire order.
pub type RecvVec<'a> = ArrayVec<IoSliceMut<'a>, MAX_SLICES>;
