//! Access states, as `path` reports them.

pub use crate::path::access::AccessState;
