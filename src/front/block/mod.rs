//! The in-process block API.
//!
//! - [`engine`]: an [`Engine`] and the [`Lun`]s opened on it, polled by the caller's thread;
//! - [`channel`]: a [`BlockChannel`]: I/O in, completions out in batches;
//! - [`io`]: one [`Io`], how it comes back, and why one is refused;
//! - [`async_block`]: the same as futures, for any executor; a thread of ours polls.
//!
//! Nothing in here starts a thread but `async_block`. An engine belongs to one thread at a time and
//! may be moved to another between calls.
//!
//! ```
//! use std::time::Duration;
//! use umpio::base::sg::SgList;
//! use umpio::front::block::{Engine, Io, LunSpec};
//!
//! let mut engine = Engine::new(Default::default())?;
//! let lun = engine.open_lun(&LunSpec { urls: vec!["mem:1M".into()], ..Default::default() })?;
//! engine.await_lun(lun, Duration::from_secs(5))?;
//! let mut channel = engine.open_channel(lun)?;
//! channel.submit(&mut engine, Io::write(0, SgList::zeroed(4096)))?;
//! let mut done = Vec::new();
//! while done.is_empty() {
//!     channel.poll_completions(&mut engine, &mut done);
//! }
//! assert_eq!(done[0].result, Ok(()));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

pub mod async_block;
mod async_service;
mod async_slots;
pub mod channel;
pub mod engine;
pub mod io;
mod oneshot;
#[cfg(test)]
mod tests;

pub use crate::engine::reactor::{LunSpec, NotReady, OpenError, ReactorConfig};
pub use channel::{BlockChannel, ChannelOptions};
pub use engine::{ClosedLun, Engine, Lun};
pub use io::{Completion, Io, Refusal, SubmitError};
