//! What a policy knows of a nexus.
//!
//! Counts belong to the nexus and not to the LUN: two LUNs that share a wire share its queue, and a
//! policy that looked only at its own LUN would send both down the same one.

/// What a policy needs to know of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IoShape {
    /// Kind of request.
    pub class: IoClass,
    /// First block.
    pub lba: u64,
    /// Number of blocks.
    pub blocks: u32,
    /// Length of the payload.
    pub bytes: u32,
}

/// Kinds of requests that policies tell apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IoClass {
    /// READ (10/16), NVMe Read.
    Read,
    /// WRITE (10/16), NVMe Write.
    Write,
    /// Everything else: counted as a request, never as bytes.
    Other,
}

impl IoShape {
    /// A read of `blocks` blocks of `block_bytes` each.
    #[must_use]
    pub const fn read(lba: u64, blocks: u32, block_bytes: u32) -> Self {
        Self {
            class: IoClass::Read,
            lba,
            blocks,
            bytes: blocks.saturating_mul(block_bytes),
        }
    }

    /// A write of `blocks` blocks of `block_bytes` each.
    #[must_use]
    pub const fn write(lba: u64, blocks: u32, block_bytes: u32) -> Self {
        Self {
            class: IoClass::Write,
            lba,
            blocks,
            bytes: blocks.saturating_mul(block_bytes),
        }
    }

    /// Anything that is neither.
    #[must_use]
    pub const fn other() -> Self {
        Self {
            class: IoClass::Other,
            lba: 0,
            blocks: 0,
            bytes: 0,
        }
    }

    /// Bytes that count as outstanding while this request is in flight.
    #[inline]
    #[must_use]
    pub const fn counted_bytes(&self) -> u64 {
        match self.class {
            IoClass::Read | IoClass::Write => self.bytes as u64,
            IoClass::Other => 0,
        }
    }

    /// Last block touched (the first, for a request without blocks).
    #[inline]
    #[must_use]
    pub const fn last_block(&self) -> u64 {
        self.lba
            .saturating_add(self.blocks.saturating_sub(1) as u64)
    }
}

/// A service-time sample after so long a silence replaces what was known instead of blending with it.
pub const STALE_NS: u64 = 10_000_000;
/// Service time assumed of a nexus that has not completed anything.
pub const UNKNOWN_NS: u64 = 50_000;
/// Dispatch time of the oldest request when there is none: its age is 0 at any time.
pub const IDLE: u64 = u64::MAX;

/// Load of one nexus as one reactor sees it: its own part exactly, the other reactors' part as of
/// the last tick.
///
/// Written by the reactor that owns it and by nobody else; `remote_*` are copied in once per tick.
/// They may be a tick old, which can only make two reactors lean the same way for that long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(align(64))]
pub struct NexusLoad {
    /// Requests dispatched by this reactor and not completed, over all LUNs.
    pub in_flight: u32,
    /// The same of all other reactors, as of the last tick.
    pub remote_in_flight: u32,
    /// Bytes of reads and writes among them.
    pub outstanding_bytes: u64,
    /// The same of all other reactors, as of the last tick.
    pub remote_bytes: u64,
    /// Last block of the read or write dispatched last, over all LUNs (0 before the first: Windows
    /// shares this one value among LUNs too, imprecise as that is).
    pub last_lba: u64,
    /// Smoothed time from dispatch to completion, [`UNKNOWN_NS`] while nothing has completed.
    pub service_ns: u64,
    /// When `service_ns` was last fed, 0 for never.
    pub sampled_at_ns: u64,
    /// Dispatch time of the oldest request in flight, [`IDLE`] without one. Kept here by a bound
    /// that is exact for completions in order; a caller that knows better may overwrite it.
    pub oldest_dispatch_ns: u64,
}

impl Default for NexusLoad {
    fn default() -> Self {
        Self {
            in_flight: 0,
            remote_in_flight: 0,
            outstanding_bytes: 0,
            remote_bytes: 0,
            last_lba: 0,
            service_ns: UNKNOWN_NS,
            sampled_at_ns: 0,
            oldest_dispatch_ns: IDLE,
        }
    }
}

impl NexusLoad {
    /// Requests in flight, everyone's.
    #[inline]
    #[must_use]
    pub const fn queue_depth(&self) -> u64 {
        self.in_flight as u64 + self.remote_in_flight as u64
    }

    /// Bytes in flight, everyone's.
    #[inline]
    #[must_use]
    pub const fn bytes(&self) -> u64 {
        self.outstanding_bytes + self.remote_bytes
    }

    /// A request leaves on this nexus.
    #[inline]
    pub fn on_dispatch(&mut self, io: &IoShape, now_ns: u64) {
        if self.in_flight == 0 {
            self.oldest_dispatch_ns = now_ns;
        }
        self.in_flight += 1;
        self.outstanding_bytes += io.counted_bytes();
        if io.class != IoClass::Other {
            self.last_lba = io.last_block();
        }
    }

    /// A request came back, `service_ns` after its dispatch.
    #[inline]
    pub fn on_complete(&mut self, io: &IoShape, service_ns: u64, now_ns: u64) {
        self.on_drop(io);
        let silent = now_ns.saturating_sub(self.sampled_at_ns) >= STALE_NS;
        self.service_ns = if silent || self.sampled_at_ns == 0 {
            service_ns
        } else {
            self.service_ns - self.service_ns / 8 + service_ns / 8
        };
        self.sampled_at_ns = now_ns;
        // Whoever is left was dispatched after this one, if completions are in order. (Idle stays idle.)
        self.oldest_dispatch_ns = self
            .oldest_dispatch_ns
            .max(now_ns.saturating_sub(service_ns));
    }

    /// A request left this nexus without an answer: taken over by another path, or failed.
    #[inline]
    pub fn on_drop(&mut self, io: &IoShape) {
        assert!(self.in_flight > 0, "a request ends that never began");
        assert!(
            self.outstanding_bytes >= io.counted_bytes(),
            "more bytes end than began"
        );
        self.in_flight -= 1;
        self.outstanding_bytes -= io.counted_bytes();
        if self.in_flight == 0 {
            self.oldest_dispatch_ns = IDLE;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_requests_count_as_requests_and_not_as_bytes() {
        let mut load = NexusLoad::default();
        load.on_dispatch(&IoShape::other(), 5);
        load.on_dispatch(&IoShape::write(100, 8, 512), 6);
        assert_eq!(
            (load.in_flight, load.outstanding_bytes, load.last_lba),
            (2, 4096, 107)
        );
        load.on_dispatch(&IoShape::other(), 7);
        assert_eq!(load.last_lba, 107, "only reads and writes move it");
        load.on_complete(&IoShape::write(100, 8, 512), 10, 16);
        assert_eq!(
            (load.in_flight, load.outstanding_bytes, load.service_ns),
            (2, 0, 10)
        );
    }

    #[test]
    fn a_sample_after_silence_replaces_the_old_value() {
        let mut load = NexusLoad {
            service_ns: 30_000_000,
            sampled_at_ns: 1,
            ..NexusLoad::default()
        };
        load.on_dispatch(&IoShape::other(), STALE_NS);
        load.on_complete(&IoShape::other(), 100, STALE_NS + 100);
        assert_eq!(load.service_ns, 100);
    }

    #[test]
    fn the_oldest_request_is_bounded_by_completions_in_order() {
        let mut load = NexusLoad::default();
        load.on_dispatch(&IoShape::other(), 10);
        load.on_dispatch(&IoShape::other(), 20);
        assert_eq!(load.oldest_dispatch_ns, 10);
        load.on_complete(&IoShape::other(), 40, 50);
        assert_eq!(
            load.oldest_dispatch_ns, 10,
            "at least as young as the completed one"
        );
        load.on_complete(&IoShape::other(), 45, 65);
        assert_eq!(load.oldest_dispatch_ns, IDLE);
        load.on_dispatch(&IoShape::other(), 99);
        assert_eq!(load.oldest_dispatch_ns, 99);
    }

    #[test]
    fn a_load_fills_one_cache_line() {
        assert_eq!(size_of::<NexusLoad>(), 64);
        assert_eq!(IoShape::read(0, 0, 512).last_block(), 0);
    }

    #[test]
    #[should_panic(expected = "never began")]
    fn a_completion_too_many_is_caught() {
        NexusLoad::default().on_drop(&IoShape::other());
    }
}
