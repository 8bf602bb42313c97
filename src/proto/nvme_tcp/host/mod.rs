//! The host half of NVMe/TCP: [`queue`] is one connection, [`association`] all connections to one
//! controller with everything that has to be said before and beside I/O.

pub mod association;
pub mod failure;
pub mod queue;
mod rx;
mod slots;
mod tx;

#[cfg(test)]
mod tests;

pub use association::{
    Association, AssociationConfig, AssociationEvent, AssociationFailure, CcrResult,
    ConnectRefusal, ControllerInfo, NamespaceInfo,
};
pub use failure::Failure;
pub use queue::{AdminData, Counters, Event, HostQueue, Pending, QueueConfig, QueueState};
