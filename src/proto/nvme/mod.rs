//! NVMe 2.x wire formats: commands, completions and the data structures they move.
//!
//! Pure: no I/O, no clock, no allocation. The contract, once for all types here: `parse` takes any
//! bytes of any length and answers with a value or a [`CodecError`], it never panics and never
//! reads beyond what it checked; bytes after the structure are ignored, unknown and reserved
//! fields too. `emit` writes the structure's own length (reserved fields zero) into the front of a
//! buffer and answers `Truncated` where that is too small. Numbers are little-endian, offsets and
//! lengths are bytes unless a doc comment says dwords or blocks; "0-based" means one less than
//! the count.
//!
//! Clause and figure numbers are of NVM Express Base 2.3 unless another document is named.

mod bytes;
mod codes;

pub mod aer;
pub mod ana;
pub mod ccr;
pub mod controller;
pub mod cqe;
pub mod dsm;
pub mod error;
pub mod fabrics;
pub mod features;
pub mod id_ctrl;
pub mod id_ns;
pub mod identify;
pub mod io;
pub mod log;
pub mod nqn;
pub mod ns_desc;
pub mod opcode;
pub mod property;
pub mod sqe;
pub mod status;

pub use aer::AsyncEvent;
pub use ana::{AnaItem, AnaLimits, AnaLogParser, AnaLogWriter, AnaState};
pub use ccr::CrossControllerReset;
pub use cqe::{CQE_LEN, Cqe};
pub use dsm::DsmRange;
pub use error::CodecError;
pub use identify::{Cns, Identify, IdentifyController, IdentifyNamespace};
pub use log::{GetLogPage, Lid};
pub use nqn::Nqn;
pub use opcode::{AdminOpcode, Direction, FabricsType, NvmOpcode};
pub use sqe::{NSID_ALL, SQE_LEN, Sgl, SglType, Sqe};
pub use status::{Status, StatusCode};

#[cfg(test)]
mod tests;
