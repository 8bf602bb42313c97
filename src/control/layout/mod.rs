//! The C structures of VDS, DSM, MPIO and MSiSCSI, byte for byte as on x86-64 Windows.
//!
//! - `field`: numbers, GUIDs, counted strings; the macro whose sizes and offsets the compiler checks
//! - [`buffer`]: headers with arrays, and what stands behind pointers
//! - [`vds`]: the structures VDS_*
//! - [`dsm`]: DSM_* and MSDSM_*, the policies of a LUN's paths
//! - [`mpio`]: MPIO_*, disks, paths, health
//! - [`msiscsi`]: ISCSI_* and MSiSCSI_*, the connections of a session
//!
//! Decoding never panics and allocates no more than the bytes given allow.

pub mod buffer;
pub mod dsm;
mod field;
pub mod mpio;
pub mod msiscsi;
pub mod vds;

pub use buffer::LayoutError;
pub(crate) use field::c_struct;
pub use field::{Field, Guid, WmiText, WmiText32, from_wmi_text, wmi_text};
