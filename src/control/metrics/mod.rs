//! OpenMetrics: per LUN, and per path of each LUN on each reactor.

mod http;
mod text;

pub use http::MetricsServer;
pub use text::text;
