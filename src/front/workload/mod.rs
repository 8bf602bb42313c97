//! A load generator that can check what it reads: the engine of `umpio bench`, of `umpio demo`
//! and of the simulator.
//!
//! It is a front end like any other: it hands requests to a [`Ports`] and takes them back. Time
//! is handed in, so the same workload runs against sockets and in virtual time. [`Workload`] has
//! the life of a run; [`spec`] says what to do, [`generate`] draws the I/Os, [`verify`] judges
//! reads, [`stats`] and [`stall`] measure.
//!
//! [`Ports`]: crate::lun::port::Ports

pub mod generate;
#[cfg(test)]
pub(crate) mod mock;
mod run;
pub mod spec;
pub mod stall;
pub mod stats;
#[cfg(test)]
mod tests;
pub mod verify;

pub use run::{Outstanding, Phase, Workload};
pub use spec::{Pattern, Rules, SeriesSpec, Sizes, Spec, SpecError};
