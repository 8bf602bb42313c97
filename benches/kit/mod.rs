//! What the benches that drive a reactor share: a load of fixed depth, and medians.

use std::time::Duration;
use umpio::base::clock::Clock;
use umpio::base::request::{Op, Token};
use umpio::base::rng::Rng;
use umpio::base::sg::SgList;
use umpio::engine::reactor::Reactor;
use umpio::lun::port::{PortId, Ports};

/// Bytes of one I/O.
pub(crate) const IO: usize = 4096;
/// Completions of one turn that are taken without growing.
const BATCH: usize = 256;

/// Random 4 KiB reads at a fixed depth over some ports of one reactor.
#[derive(Debug)]
pub(crate) struct Load {
    clock: Clock,
    rng: Rng,
    done: Vec<Token>,
    /// I/Os that ended, and those of them that failed.
    pub(crate) ios: u64,
    pub(crate) failed: u64,
}

impl Load {
    pub(crate) fn new(clock: Clock) -> Self {
        Self {
            clock,
            rng: Rng::new(1),
            done: Vec::with_capacity(BATCH),
            ios: 0,
            failed: 0,
        }
    }

    /// Hands `depth` reads in to a port. They are handed in again as they come back, by `run`.
    pub(crate) fn begin(&mut self, r: &mut Reactor, port: PortId, depth: usize) {
        for _ in 0..depth {
            self.submit(r, port, SgList::zeroed(IO));
        }
    }

    fn submit(&mut self, r: &mut Reactor, port: PortId, data: SgList) {
        let plane = r.plane();
        let geometry = plane.geometry(port).expect("the LUN is ready");
        let blocks = IO as u32 / geometry.block_size;
        let mut t = plane.take();
        t.op = Op::Read;
        t.blocks = blocks;
        t.lba = self.rng.below(geometry.blocks / u64::from(blocks)) * u64::from(blocks);
        t.data = data;
        plane.submit(port, t);
    }

    /// One turn of the reactor; what came back on the ports goes out again.
    pub(crate) fn turn(&mut self, r: &mut Reactor, ports: &[PortId]) {
        r.poll();
        for &port in ports {
            let mut done = std::mem::take(&mut self.done);
            r.plane().completions(port, &mut done);
            for mut t in done.drain(..) {
                self.ios += 1;
                self.failed += u64::from(t.result.is_err());
                let data = std::mem::take(&mut t.data);
                r.plane().recycle(t);
                self.submit(r, port, data);
            }
            self.done = done;
        }
    }

    /// Keeps the load up for a while. Gives I/Os and the nanoseconds they took.
    pub(crate) fn run(&mut self, r: &mut Reactor, ports: &[PortId], time: Duration) -> (u64, u64) {
        let (began, before) = (self.clock.now(), self.ios);
        loop {
            self.turn(r, ports);
            let now = self.clock.now();
            if now >= began + time {
                return (self.ios - before, now.nanos_since(began));
            }
        }
    }

    /// Waits for what is outstanding on a port, and hands nothing in again.
    pub(crate) fn end(&mut self, r: &mut Reactor, port: PortId, depth: usize) {
        let mut left = depth;
        while left > 0 {
            r.poll();
            let mut done = std::mem::take(&mut self.done);
            r.plane().completions(port, &mut done);
            left -= done.len();
            for t in done.drain(..) {
                self.failed += u64::from(t.result.is_err());
                r.plane().recycle(t);
            }
            self.done = done;
        }
    }
}

/// I/Os a second.
pub(crate) fn rate((ios, nanos): (u64, u64)) -> f64 {
    ios as f64 * 1e9 / nanos as f64
}

/// Median, least and largest.
pub(crate) fn spread(values: &mut [f64]) -> (f64, f64, f64) {
    values.sort_by(f64::total_cmp);
    (
        values[values.len() / 2],
        values[0],
        values[values.len() - 1],
    )
}

/// The number behind `name` in the arguments, or what stands for it.
pub(crate) fn argument(name: &str, otherwise: usize) -> usize {
    let mut args = std::env::args().skip_while(|a| a != name);
    args.nth(1)
        .map_or(otherwise, |n| n.parse().expect("a number"))
}
