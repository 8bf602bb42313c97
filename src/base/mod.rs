//! Small things everyone may import, and which import nobody but `sys`.

pub mod ascii_json;
pub mod authority;
pub mod clock;
pub mod crc;
pub mod error;
pub mod iovecs;
pub mod limits;
pub mod mailbox;
pub mod pool;
pub mod request;
pub mod rng;
pub mod sg;
pub mod wheel;
