//! Tests of the host half against a scripted controller, in virtual time.

mod association;
mod association_failures;
mod fake;
mod peer;
mod queue;
mod queue_data;
mod queue_failures;
mod queue_random;
mod world;
