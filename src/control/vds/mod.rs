//! The VDS object model: service → hardware provider → subsystem → LUNs → paths, with the target
//! portals and the initiator adapter that VDS_PATH_INFO names. Knows nothing of JSON or of sockets.
//!
//! - [`object`]: ids, and which objects there are
//! - [`interface`]: IIDs and QueryInterface
//! - [`service`]: IVdsService, IVdsServiceIscsi, IVdsHwProvider, the subsystem
//! - [`lun`]: IVdsLun; what state a LUN must be in to be asked
//! - [`mpio`]: paths and policy, IVdsLunMpio
//! - [`iscsi`]: targets, portals, the initiator's side
//! - [`hresult`], [`types`]: codes, enumerations, property structures
//!
//! Objects are ids; a call takes a fresh view from its `Surface` and looks the id up there, so an
//! object whose LUN was taken away answers VDS_E_OBJECT_DELETED from then on.
//!
//! Where this differs from Windows, and why: `docs/vds.md`.

pub mod hresult;
pub mod interface;
pub mod iscsi;
pub mod lun;
pub mod mpio;
pub mod object;
pub mod service;
#[cfg(test)]
mod tests;
pub mod types;

pub use hresult::{Failure, HResult, Result};
pub use interface::{Interface, query_interface};
pub use mpio::{GetLoadBalancePolicy, SetPaths};
pub use object::Object;
