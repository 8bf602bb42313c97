//! The same exchanges over plain sockets, over plain sockets behind the gate, and over io_uring (with
//! staged sends, and as it decides by itself), on either end.

use super::uring::{self, available};
use super::{begin_turn, end_turn, gate};
use crate::base::clock::{Clock, Time};
use crate::base::iovecs::{RecvVec, SendVec};
use crate::transport::listener::Listener;
use crate::transport::tcp::{TcpConn, TcpOptions};
use crate::transport::{Conn, Driver, Sink, Source};
use std::io::{self, IoSlice, IoSliceMut};
use std::time::Duration;

/// Drivers of either end, and whether receives go through the gate, and sends of io_uring through
/// the ring, however few they are.
type Ways = (Driver, Driver, bool);

/// What to test; without io_uring where that is refused, and says so.
fn ways() -> Vec<Ways> {
    let mut all = vec![
        (Driver::Tcp, Driver::Tcp, false),
        (Driver::Tcp, Driver::Tcp, true),
    ];
    if available() {
        all.push((Driver::Uring, Driver::Uring, false));
        all.push((Driver::Uring, Driver::Uring, true));
        all.push((Driver::Uring, Driver::Tcp, true));
        all.push((Driver::Tcp, Driver::Uring, true));
    } else {
        eprintln!("SKIPPED: io_uring is refused here; only plain sockets were tested");
    }
    all
}

#[derive(Default)]
struct End {
    out: Vec<u8>,
    /// Slices of this size are offered.
    slice: usize,
    got: Vec<u8>,
    window: Vec<u8>,
    /// Takes no more than this in all.
    limit: usize,
}

impl Sink for End {
    fn recv_places<'a>(&'a mut self, out: &mut RecvVec<'a>) {
        let n = self.limit.saturating_sub(self.got.len()).min(5000);
        self.window.resize(n, 0);
        if n > 0 {
            out.push(IoSliceMut::new(&mut self.window));
        }
    }
    fn received(&mut self, n: usize, _: Time) {
        self.got.extend_from_slice(&self.window[..n]);
    }
}

impl Source for End {
    fn send_slices<'a>(&'a self, out: &mut SendVec<'a>) {
        for part in self.out.chunks(self.slice).take(64) {
            out.push(IoSlice::new(part));
        }
    }
    fn sent(&mut self, n: usize, _: Time) {
        self.out.drain(..n);
    }
    fn has_output(&self) -> bool {
        !self.out.is_empty()
    }
}

fn end(bytes: usize, slice: usize) -> End {
    End {
        out: (0..bytes).map(|i| (i * 7 + i / 251) as u8).collect(),
        slice,
        limit: usize::MAX,
        ..End::default()
    }
}

/// Two connected ends. The listener lives no longer than this.
fn connect(drivers: Ways) -> (Conn, Conn) {
    gate::force(drivers.2);
    uring::force(drivers.2);
    let options = TcpOptions {
        driver: Some(drivers.1),
        ..TcpOptions::default()
    };
    let at = "127.0.0.1:0".parse().unwrap();
    let mut listener = Listener::tcp(at, options).unwrap();
    let to = listener.socket_addr().unwrap();
    let tcp = TcpConn::connect(to, &TcpOptions::default()).unwrap();
    let mut a = Conn::over(tcp, drivers.0);
    let mut b = None;
    patiently(|| {
        if b.is_none() {
            b = listener.accept().unwrap();
        }
        a.poll_connect(Time::ZERO).unwrap() && b.is_some()
    });
    let b = b.unwrap();
    let name = |d| match d {
        Driver::Tcp => "tcp",
        Driver::Uring => "uring",
    };
    assert_eq!((a.driver(), b.driver()), (name(drivers.0), name(drivers.1)));
    (a, b)
}

fn turn() {
    begin_turn();
    end_turn();
}

/// Turns until `done`; gives up after a time that only a hang takes.
fn patiently(mut done: impl FnMut() -> bool) {
    let clock = Clock::monotonic();
    let until = clock.now() + Duration::from_secs(30);
    while !done() {
        turn();
        assert!(clock.now() < until, "nothing moves any more");
        std::thread::yield_now();
    }
}

#[test]
fn bytes_arrive_whole_and_in_order_whatever_their_size() {
    for drivers in ways() {
        for (bytes, slice) in [
            (1, 1),
            (72, 72),
            (20_000, 100),
            (300_000, 4168),
            (8 << 20, 131_072),
        ] {
            let (mut a, mut b) = connect(drivers);
            let (mut left, mut right) = (end(bytes, slice), end(bytes / 2, slice));
            let (from_a, from_b) = (left.out.clone(), right.out.clone());
            let now = Time::ZERO;
            patiently(|| {
                a.send(&mut left, now).unwrap();
                b.send(&mut right, now).unwrap();
                a.recv(&mut left, now).unwrap();
                b.recv(&mut right, now).unwrap();
                left.got.len() == from_b.len() && right.got.len() == from_a.len()
            });
            assert!(
                right.got == from_a && left.got == from_b,
                "{drivers:?} {bytes}"
            );
        }
    }
}

#[test]
fn small_messages_and_large_ones_keep_their_order_behind_a_full_socket() {
    for drivers in ways() {
        let (mut a, mut b) = connect(drivers);
        let (mut left, mut right) = (end(0, 1), end(0, 1));
        right.limit = 0;
        let mut all = Vec::new();
        let mut offer = |left: &mut End, n: usize| {
            let more: Vec<u8> = (0..n).map(|i| (all.len() + i * 13) as u8).collect();
            left.out.extend_from_slice(&more);
            left.slice = 70_000;
            all.extend_from_slice(&more);
            all.len()
        };
        let mut total = 0;
        // Far more than both socket buffers hold, in turns of both sorts.
        for round in 0..2000 {
            total = offer(&mut left, if round % 3 == 0 { 9000 } else { 24 });
            a.send(&mut left, Time::ZERO).unwrap();
            turn();
        }
        right.limit = usize::MAX;
        patiently(|| {
            a.send(&mut left, Time::ZERO).unwrap();
            b.recv(&mut right, Time::ZERO).unwrap();
            right.got.len() == total
        });
        assert!(right.got == all, "{drivers:?}");
    }
}

#[test]
fn the_end_of_a_stream_is_seen_after_its_last_bytes() {
    for drivers in ways() {
        let (mut a, mut b) = connect(drivers);
        let (mut left, mut right) = (end(100, 100), end(0, 1));
        let mut eof = false;
        a.send(&mut left, Time::ZERO).unwrap();
        drop(a);
        patiently(|| {
            eof |= b.recv(&mut right, Time::ZERO).unwrap().eof;
            eof
        });
        assert_eq!(right.got.len(), 100, "{drivers:?}");
    }
}

#[test]
fn an_abort_resets_and_what_was_under_way_does_not_hold_the_socket() {
    for drivers in ways() {
        let (mut a, mut b) = connect(drivers);
        let (mut left, mut right) = (end(10, 10), end(0, 1));
        patiently(|| {
            a.send(&mut left, Time::ZERO).unwrap();
            b.recv(&mut right, Time::ZERO).unwrap();
            right.got.len() == 10
        });
        a.abort();
        let mut error = None;
        patiently(|| {
            error = b.recv(&mut right, Time::ZERO).err();
            error.is_some()
        });
        let kind = error.map(|e| e.kind());
        assert_eq!(kind, Some(io::ErrorKind::ConnectionReset), "{drivers:?}");
    }
}

#[test]
fn a_send_to_a_peer_that_is_gone_is_an_error() {
    for drivers in ways() {
        let (mut a, b) = connect(drivers);
        b.abort();
        let mut left = end(0, 10);
        patiently(|| {
            left.out = vec![1; 10];
            let sent = a.send(&mut left, Time::ZERO);
            let received = a.recv(&mut left, Time::ZERO);
            sent.is_err() || received.is_err()
        });
    }
}

#[test]
fn places_in_the_ring_are_used_again_and_its_overflow_goes_by_plain_calls() {
    for drivers in ways() {
        for _ in 0..3 {
            let mut ends: Vec<_> = (0..140).map(|_| (connect(drivers), end(50, 50))).collect();
            for ((a, b), bytes) in &mut ends {
                let mut got = end(0, 1);
                patiently(|| {
                    a.send(bytes, Time::ZERO).unwrap();
                    b.recv(&mut got, Time::ZERO).unwrap();
                    got.got.len() == 50
                });
            }
        }
    }
}

#[test]
fn a_connection_follows_its_user_from_thread_to_thread() {
    for drivers in ways() {
        let (mut a, mut b) = connect(drivers);
        let (mut left, mut right) = (end(0, 100), end(0, 100));
        for round in 1..=4 {
            left.out = vec![round as u8; 100];
            (a, left) = std::thread::spawn(move || {
                gate::force(drivers.2);
                uring::force(drivers.2);
                a.send(&mut left, Time::ZERO).unwrap();
                turn();
                patiently(|| {
                    a.recv(&mut left, Time::ZERO).unwrap();
                    left.out.is_empty() && left.got.len() == 10 * (round - 1)
                });
                (a, left)
            })
            .join()
            .unwrap();
            patiently(|| {
                b.recv(&mut right, Time::ZERO).unwrap();
                right.got.len() == 100 * round
            });
            right.out = vec![1; 10];
            b.send(&mut right, Time::ZERO).unwrap();
            turn();
        }
        drop(b);
        let mut eof = false;
        patiently(|| {
            eof |= a.recv(&mut left, Time::ZERO).unwrap().eof;
            eof
        });
        assert_eq!(left.got.len(), 40, "{drivers:?}");
    }
}

/// Fills the socket behind `a` until bytes wait in the ring.
fn clog(a: &mut Conn) -> usize {
    let mut left = end(0, 24);
    let mut taken = 0;
    patiently(|| {
        if left.out.is_empty() {
            left.out = vec![7; 1000];
        }
        taken += a.send(&mut left, Time::ZERO).unwrap().bytes;
        turn();
        a.is_clogged()
    });
    taken
}

#[test]
fn a_full_socket_is_waited_for_and_not_asked_again_and_again() {
    if !available() {
        eprintln!("SKIPPED: io_uring is refused here");
        return;
    }
    let (mut a, mut b) = connect((Driver::Uring, Driver::Tcp, true));
    let taken = clog(&mut a);
    let busy = (0..100).filter(|_| begin_turn() | end_turn()).count();
    assert!(busy <= 2, "{busy} of 100 turns found something to do");
    let mut right = end(0, 1);
    patiently(|| {
        b.recv(&mut right, Time::ZERO).unwrap();
        right.got.len() == taken
    });
    assert!(!a.is_clogged());
}

#[test]
fn bytes_that_wait_for_a_full_socket_do_not_follow_to_another_thread_and_that_is_an_error() {
    if !available() {
        eprintln!("SKIPPED: io_uring is refused here");
        return;
    }
    let (mut a, mut b) = connect((Driver::Uring, Driver::Tcp, true));
    clog(&mut a);
    let moved = std::thread::spawn(move || {
        let mut sink = end(0, 1);
        a.recv(&mut sink, Time::ZERO).unwrap_err().to_string()
    });
    assert!(moved.join().unwrap().contains("another thread"));
    let mut right = end(0, 1);
    patiently(|| b.recv(&mut right, Time::ZERO).map_or(true, |t| t.eof));
}

#[test]
fn nothing_that_was_staged_leaves_after_an_abort() {
    if !available() {
        eprintln!("SKIPPED: io_uring is refused here");
        return;
    }
    for at_once in [true, false] {
        let (mut a, mut b) = connect((Driver::Uring, Driver::Tcp, true));
        let (mut left, mut right) = (end(0, 100), end(0, 1));
        left.out = vec![9; 100];
        if !at_once {
            clog(&mut a);
        }
        a.send(&mut left, Time::ZERO).unwrap();
        a.abort();
        patiently(|| b.recv(&mut right, Time::ZERO).map_or(true, |t| t.eof));
        assert!(!right.got.contains(&9), "nothing of it");
        assert!(!at_once || right.got.is_empty());
    }
}

/// Sockets of which none has anything to receive, as a thread sees them turn after turn.
fn quiet_turns(turns: usize, conns: &mut [(Conn, Conn)]) {
    let mut sink = end(0, 1);
    for _ in 0..turns {
        turn();
        for (a, _) in conns.iter_mut() {
            assert_eq!(a.recv(&mut sink, Time::ZERO).unwrap().bytes, 0);
        }
    }
}

#[test]
fn the_gate_is_asked_once_many_receives_find_nothing_and_no_longer_when_few_do() {
    let plain = (Driver::Tcp, Driver::Tcp, false);
    let mut conns: Vec<_> = (0..40).map(|_| connect(plain)).collect();
    quiet_turns(1000, &mut conns[..1]);
    assert!(!gate::is_on(), "one connection is quicker without");
    quiet_turns(1000, &mut conns);
    assert!(gate::is_on());
    // Each byte is found, in whatever order they come.
    let mut sinks: Vec<_> = (0..40).map(|_| end(0, 1)).collect();
    for round in 0..30 {
        for (n, (_, b)) in conns.iter_mut().enumerate() {
            if (n * 7 + round) % 3 == 0 {
                b.send(&mut end(round + 1, 100), Time::ZERO).unwrap();
            }
        }
        patiently(|| {
            let mut behind = 0;
            for (n, ((a, _), sink)) in conns.iter_mut().zip(&mut sinks).enumerate() {
                a.recv(sink, Time::ZERO).unwrap();
                let sent = (0..=round).filter(|r| (n * 7 + r) % 3 == 0);
                behind += sent.map(|r| r + 1).sum::<usize>() - sink.got.len();
            }
            behind == 0
        });
    }
    quiet_turns(1000, &mut conns[..1]);
    assert!(!gate::is_on());
    // What arrived while it was off is found when it is on again.
    conns[20].1.send(&mut end(3, 3), Time::ZERO).unwrap();
    quiet_turns(1000, &mut conns[..20]);
    assert!(gate::is_on());
    let before = sinks[20].got.len();
    patiently(|| {
        conns[20].0.recv(&mut sinks[20], Time::ZERO).unwrap();
        sinks[20].got.len() == before + 3
    });
}

#[test]
fn a_gated_connection_moves_to_the_gate_of_another_thread() {
    let (mut a, mut b) = connect((Driver::Tcp, Driver::Tcp, true));
    let mut sink = end(0, 1);
    for _ in 0..3 {
        turn();
        a.recv(&mut sink, Time::ZERO).unwrap();
    }
    for round in 1..=3 {
        b.send(&mut end(10, 10), Time::ZERO).unwrap();
        (a, sink) = std::thread::spawn(move || {
            gate::force(true);
            patiently(|| {
                a.recv(&mut sink, Time::ZERO).unwrap();
                sink.got.len() == 10 * round
            });
            (a, sink)
        })
        .join()
        .unwrap();
    }
    b.send(&mut end(10, 10), Time::ZERO).unwrap();
    drop(b);
    let mut eof = false;
    patiently(|| {
        eof |= a.recv(&mut sink, Time::ZERO).unwrap().eof;
        eof
    });
    assert_eq!(sink.got.len(), 40);
}

#[test]
fn few_senders_send_by_themselves_and_many_together() {
    if !available() {
        eprintln!("SKIPPED: io_uring is refused here");
        return;
    }
    let mut conns: Vec<_> = (0..12)
        .map(|_| connect((Driver::Uring, Driver::Tcp, false)))
        .collect();
    let mut got: Vec<_> = (0..12).map(|_| end(0, 1)).collect();
    let mut sent = [0; 12];
    for (senders, together) in [(1, false), (12, true), (2, false)] {
        for _ in 0..200 {
            begin_turn();
            for (n, (a, _)) in conns[..senders].iter_mut().enumerate() {
                sent[n] += a.send(&mut end(10, 10), Time::ZERO).unwrap().bytes;
            }
            let staged = conns[0].0.is_clogged();
            end_turn();
            assert!(!conns[0].0.is_clogged(), "a turn sends all that is staged");
            if staged == together {
                break;
            }
        }
        begin_turn();
        conns[0].0.send(&mut end(10, 10), Time::ZERO).unwrap();
        sent[0] += 10;
        assert_eq!(conns[0].0.is_clogged(), together, "{senders} senders");
        end_turn();
    }
    patiently(|| {
        for ((_, b), got) in conns.iter_mut().zip(&mut got) {
            b.recv(got, Time::ZERO).unwrap();
        }
        got.iter().zip(sent).all(|(g, n)| g.got.len() == n)
    });
}
