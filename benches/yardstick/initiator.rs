//! The asking end: keeps `qd` requests outstanding and times their answers.

use std::collections::VecDeque;
use std::io::{self, Error, ErrorKind, IoSlice, Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;

use super::{Args, prepare};

/// Bytes asked for in one receive. Small enough to stay in the second-level cache, which is the most
/// favourable place that payload can be put; large enough for a batch.
const RECEIVE: usize = 256 << 10;

pub(super) struct Figures {
    pub(super) elapsed: Duration,
    pub(super) latency: Histogram<u64>,
}

/// Requests that left together: when, and how many are still without an answer. TCP keeps their
/// order, so answers need no tags.
struct Batch {
    left: Duration,
    count: u64,
}

struct Connection {
    stream: TcpStream,
    batches: VecDeque<Batch>,
    /// Bytes of requests not yet taken by the socket.
    to_send: usize,
    /// Place in `payload` of the next byte to send: requests differ in nothing, so they are sent
    /// from a circle.
    at: usize,
    /// Bytes of the answer that has begun to arrive.
    begun: usize,
}

impl Connection {
    fn send(&mut self, circle: &[u8]) -> io::Result<()> {
        while self.to_send > 0 {
            let first = &circle[self.at..circle.len().min(self.at + self.to_send)];
            let second = &circle[..(self.to_send - first.len()).min(self.at)];
            let n = match self
                .stream
                .write_vectored(&[IoSlice::new(first), IoSlice::new(second)])
            {
                Ok(n) => n,
                Err(e) if e.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(e) => return Err(e),
            };
            self.at = (self.at + n) % circle.len();
            self.to_send -= n;
        }
        Ok(())
    }

    /// Answers that have become whole.
    fn receive(&mut self, buffer: &mut [u8], answer: usize) -> io::Result<u64> {
        let n = match self.stream.read(buffer) {
            Ok(0) => return Err(Error::new(ErrorKind::UnexpectedEof, "the target has gone")),
            Ok(n) => n,
            Err(e) if e.kind() == ErrorKind::WouldBlock => return Ok(0),
            Err(e) => return Err(e),
        };
        self.begun += n;
        let whole = self.begun / answer;
        self.begun %= answer;
        Ok(whole as u64)
    }

    fn settle(&mut self, mut answers: u64, now: Duration, latency: &mut Histogram<u64>) {
        while answers > 0 {
            let batch = self
                .batches
                .front_mut()
                .expect("an answer nobody asked for");
            let n = answers.min(batch.count);
            latency.saturating_record_n((now - batch.left).as_nanos() as u64, n);
            batch.count -= n;
            answers -= n;
            if batch.count == 0 {
                self.batches.pop_front();
            }
        }
    }
}

fn connect(args: &Args, ports: &[u16]) -> io::Result<Vec<Connection>> {
    let one = |i: usize| {
        let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, ports[i % ports.len()]))?;
        prepare(&stream, &args.cc)?;
        Ok(Connection {
            stream,
            batches: VecDeque::with_capacity(args.qd),
            to_send: 0,
            at: 0,
            begun: 0,
        })
    };
    (0..args.conns).map(one).collect()
}

pub(super) fn run(args: &Args, ports: &[u16]) -> io::Result<Figures> {
    let mut connections = connect(args, ports)?;
    let mut buffer = vec![0u8; RECEIVE];
    // As many requests as can be outstanding, so that payload comes from as much memory as the
    // buffers of a real front end.
    let circle = vec![0x5Au8; args.request() * args.qd];
    // Three digits to a minute; the counters touched fit the cache.
    let mut latency = Histogram::new_with_bounds(1, 60_000_000_000, 3).expect("valid bounds");
    let warm_up = Duration::from_secs_f64(args.seconds / 10.0);
    let length = Duration::from_secs_f64(args.seconds);
    let (mut free, mut turn) = (args.qd, 0);
    let clock = Instant::now();
    let mut began: Option<Duration> = None;
    loop {
        let now = clock.elapsed();
        match began {
            None if now >= warm_up => {
                latency.reset();
                began = Some(now);
            }
            Some(t) if now - t >= length => {
                return Ok(Figures {
                    elapsed: now - t,
                    latency,
                });
            }
            _ => {}
        }
        // One request to each connection in turn, as round robin does; then one send for all of a
        // connection's.
        let count = connections.len();
        for (i, c) in connections.iter_mut().enumerate() {
            let place = (i + count - turn) % count;
            let share = free / count + usize::from(place < free % count);
            if share > 0 {
                c.batches.push_back(Batch {
                    left: now,
                    count: share as u64,
                });
                c.to_send += share * args.request();
            }
            if c.to_send > 0 {
                c.send(&circle)?;
            }
        }
        turn = (turn + free) % count;
        free = 0;
        for c in &mut connections {
            if c.batches.is_empty() {
                continue;
            }
            let answers = c.receive(&mut buffer, args.answer())?;
            if answers > 0 {
                c.settle(answers, clock.elapsed(), &mut latency);
                free += answers as usize;
            }
        }
    }
}
