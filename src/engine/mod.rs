//! The reactor: one `poll` that drives channels, associations, served targets and timers.
//!
//! - [`reactor`]: the thing itself, polled by whoever owns a thread;
//! - [`board`]: what reactors know of each other's load;
//! - [`driver`]: a pinned thread of ours that polls one, adaptively.

pub mod board;
pub mod driver;
pub mod reactor;
