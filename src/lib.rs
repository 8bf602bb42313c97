//! umpio: user-space MPIO for Linux.
//!
//! One LUN is opened over several paths and every I/O is sent down one of them by a
//! Windows load-balance policy. The layers, top first, each importing only what is below it:
//!
//! - [`control`]: the control plane, never in the way of an I/O.
//! - [`engine`]: the reactor that turns the crank of everything below.
//! - [`front`]: whoever hands I/O in: the block API and the served targets.
//! - [`lun`]: requests, routes, policies, retry, the fence. Knows no protocol.
//! - [`path`]: nexuses and associations: login, loss, reconnect, health, local paths.
//! - [`proto`]: codecs and state machines that do no I/O.
//! - [`transport`]: bytes in and out.
//! - [`sys`] and [`base`]: raw memory and system calls; clock, ids, buffers, limits.
//!
//! [`sim`] runs the same code in virtual time under seeded faults.

pub mod base;
pub mod cli;
pub mod control;
pub mod engine;
pub mod front;
#[doc(hidden)]
pub mod fuzzing;
pub mod lun;
pub mod path;
pub mod proto;
pub mod sim;
pub mod sys;
pub mod transport;
