//! The answering end.

use std::io::{self, ErrorKind, IoSlice, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

use arrayvec::ArrayVec;

use super::{ANSWER, Args, PORTS, Rw, pin, prepare};

/// Bytes asked for in one receive.
const RECEIVE: usize = 256 << 10;
/// Pieces in one send: header and payload of half as many answers.
const PIECES: usize = 128;
/// How long to wait for the initiator to connect.
const PATIENCE: Duration = Duration::from_secs(5);

struct Connection {
    stream: TcpStream,
    /// Bytes of the request that has begun to arrive.
    begun: usize,
    /// Answers owed.
    owed: usize,
    /// Bytes of the first of them that have left.
    left: usize,
    /// Where in the store the payload of each answer owed comes from, the first one's first; kept
    /// until it has left, since a send may stop in the middle.
    places: std::collections::VecDeque<usize>,
}

/// Places in the store by xorshift: cheap, and spread well enough to defeat the caches.
struct Places {
    state: u64,
    slots: u64,
    bs: usize,
}

impl Places {
    fn next(&mut self) -> usize {
        self.state ^= self.state << 13;
        self.state ^= self.state >> 7;
        self.state ^= self.state << 17;
        // Multiply and shift in place of a division.
        let slot = (u128::from(self.state) * u128::from(self.slots)) >> 64;
        slot as usize * self.bs
    }
}

impl Connection {
    /// Takes in what has arrived; false when the initiator has closed.
    fn receive(&mut self, buffer: &mut [u8], args: &Args, places: &mut Places) -> io::Result<bool> {
        let n = match self.stream.read(buffer) {
            Ok(0) => return Ok(false),
            Ok(n) => n,
            Err(e) if e.kind() == ErrorKind::WouldBlock => return Ok(true),
            Err(e) if e.kind() == ErrorKind::ConnectionReset => return Ok(false),
            Err(e) => return Err(e),
        };
        self.begun += n;
        let whole = self.begun / args.request();
        self.begun %= args.request();
        self.owed += whole;
        if args.rw == Rw::Read {
            self.places.extend((0..whole).map(|_| places.next()));
        }
        Ok(true)
    }

    /// Sends what is owed, straight from the store.
    fn send(&mut self, args: &Args, store: &[u8]) -> io::Result<()> {
        const HEADER: [u8; ANSWER] = [0; ANSWER];
        while self.owed > 0 {
            let mut pieces = ArrayVec::<IoSlice<'_>, PIECES>::new();
            let mut skip = self.left;
            for i in 0..self.owed.min(PIECES / 2) {
                if skip < ANSWER {
                    pieces.push(IoSlice::new(&HEADER[skip..]));
                }
                if let Some(&place) = self.places.get(i) {
                    let from = skip.saturating_sub(ANSWER);
                    pieces.push(IoSlice::new(&store[place + from..place + args.bs]));
                }
                skip = 0;
            }
            let n = match self.stream.write_vectored(&pieces) {
                Ok(n) => n,
                Err(e) if e.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(e) => return Err(e),
            };
            self.left += n;
            let whole = self.left / args.answer();
            self.left %= args.answer();
            self.owed -= whole;
            self.places.drain(..whole.min(self.places.len()));
        }
        Ok(())
    }
}

/// Takes `args.conns` connections, in the order in which the initiator makes them.
fn accept(args: &Args, listeners: &[TcpListener]) -> io::Result<Vec<Connection>> {
    let began = Instant::now();
    let mut taken = Vec::with_capacity(args.conns);
    while taken.len() < args.conns {
        match listeners[taken.len() % PORTS].accept() {
            Ok((stream, _)) => {
                prepare(&stream, &args.cc)?;
                taken.push(Connection {
                    stream,
                    begun: 0,
                    owed: 0,
                    left: 0,
                    places: Default::default(),
                });
            }
            Err(e) if e.kind() == ErrorKind::WouldBlock && began.elapsed() < PATIENCE => {
                std::thread::sleep(Duration::from_millis(1));
            }
            Err(e) => return Err(e),
        }
    }
    Ok(taken)
}

pub(super) fn run(args: &Args) -> io::Result<()> {
    pin(args.cpu[0])?;
    // Written to, so that every page is one of its own and not the kernel's page of zeroes.
    let store = if args.rw == Rw::Read {
        vec![0xA5u8; args.store_mib << 20]
    } else {
        Vec::new()
    };
    let mut buffer = vec![0u8; RECEIVE];
    let mut places = Places {
        state: 0x9E37_79B9_7F4A_7C15,
        slots: ((args.store_mib << 20) / args.bs) as u64,
        bs: args.bs,
    };
    let listen = |_| {
        let l = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        l.set_nonblocking(true)?;
        Ok(l)
    };
    let listeners = (0..PORTS).map(listen).collect::<io::Result<Vec<_>>>()?;
    let ports = listeners
        .iter()
        .map(|l| Ok(l.local_addr()?.port().to_string()))
        .collect::<io::Result<Vec<_>>>()?;
    println!("{}", ports.join(" "));
    let mut connections = accept(args, &listeners)?;
    loop {
        for c in &mut connections {
            if !c.receive(&mut buffer, args, &mut places)? {
                return Ok(());
            }
            if let Err(e) = c.send(args, &store) {
                // The initiator leaves as soon as its time is up, with answers under way.
                return if matches!(e.kind(), ErrorKind::BrokenPipe | ErrorKind::ConnectionReset) {
                    Ok(())
                } else {
                    Err(e)
                };
            }
        }
    }
}
