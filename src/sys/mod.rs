//! The home of raw memory and of `unsafe`. Everything here gives a safe interface, but for the
//! one constructor of foreign buffers, whose contract the caller signs.

pub mod blockfile;
pub mod iobuf;
pub mod sleep;
pub mod sockopt;
pub mod store;
pub mod tty;
pub mod uring_file;
