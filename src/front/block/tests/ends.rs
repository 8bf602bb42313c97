//! Ends of channels, LUNs and paths: every request comes back once.

use super::*;
use crate::base::clock::Clock;
use crate::path::reason::DownReason;
use std::collections::HashSet;

#[test]
fn closing_a_channel_gives_everything_back_once() {
    let mut engine = engine();
    let lun = open(&mut engine, &["mem:1M"]);
    let mut channel = engine.open_channel(lun).expect("open");
    for user in 0..500 {
        channel
            .submit(
                &mut engine,
                Io::write(user, SgList::zeroed(1024)).user(user),
            )
            .expect("taken");
    }
    let mut done = Vec::new();
    channel
        .close(&mut engine, &mut done, LONG)
        .expect("all of it ends");
    let users: HashSet<u64> = done.iter().map(|d| d.io.user).collect();
    assert_eq!((done.len(), users.len()), (500, 500));
    assert!(
        done.iter()
            .all(|d| d.result.is_ok() && d.io.data.len() == 1024)
    );
}

#[test]
fn closing_a_lun_fails_what_waits_and_gives_its_buffers_back_once() {
    let mut engine = engine();
    let lun = open(&mut engine, &["mem:1M"]);
    let mut channel = engine.open_channel(lun).expect("open");
    channel
        .submit(&mut engine, Io::write(0, SgList::zeroed(512)).user(0))
        .expect("taken");
    // The path goes: what is on it ends, what comes now waits for it.
    let plane = engine.reactor().plane();
    plane.take_down(0, DownReason::PeerClosed);
    for user in 1..=20 {
        channel
            .submit(&mut engine, Io::write(user, SgList::zeroed(512)).user(user))
            .expect("taken");
    }
    engine.close_lun(lun);
    let late = channel.submit(&mut engine, Io::read(0, SgList::zeroed(512)).user(21));
    let mut done = Vec::new();
    channel
        .close(&mut engine, &mut done, LONG)
        .expect("all of it ends");
    done.sort_by_key(|d| d.io.user);
    assert_eq!(
        done.iter().map(|d| d.io.user).collect::<Vec<_>>(),
        (0..=20).collect::<Vec<_>>()
    );
    assert_eq!(done[0].result, Ok(()));
    let aborted = |d: &Completion| d.result.map_err(|e| e.kind) == Err(ErrorKind::Aborted);
    assert!(done[1..].iter().all(aborted), "{:?}", done[1].result);
    assert!(done.iter().all(|d| d.io.data.len() == 512));
    assert_eq!(late.map_err(|e| e.why), Err(Refusal::Closed));
    assert_eq!(engine.open_channel(lun).map(|_| ()), Err(ClosedLun));
    engine.shut_down(LONG);
}

#[test]
fn a_path_that_comes_back_takes_what_waited() {
    let mut engine = engine();
    let lun = open(&mut engine, &["mem:1M"]);
    let mut channel = engine.open_channel(lun).expect("open");
    engine
        .reactor()
        .plane()
        .take_down(0, DownReason::PeerClosed);
    assert_eq!(
        run(&mut engine, &mut channel, Io::write(1, pattern(&[512]))).result,
        Ok(())
    );
    assert!(engine.status(lun).routes.parked.iter().sum::<u64>() > 0);
}

#[test]
fn a_closed_lun_may_be_opened_again_and_starts_anew() {
    let mut engine = engine();
    for _ in 0..3 {
        let lun = open(&mut engine, &["mem:1M"]);
        let mut channel = engine.open_channel(lun).expect("open");
        let empty = run(
            &mut engine,
            &mut channel,
            Io::compare(0, SgList::zeroed(512)),
        );
        assert_eq!(empty.result, Ok(()), "the memory of the closed one is gone");
        run(&mut engine, &mut channel, Io::write(0, pattern(&[512])));
        channel
            .close(&mut engine, &mut Vec::new(), LONG)
            .expect("nothing outstanding");
        engine.close_lun(lun);
        while engine.poll() {}
    }
    assert_eq!(engine.reactor().links_up(), 0);
}

#[test]
fn waiting_does_not_sleep_over_a_completion() {
    let mut engine = engine();
    let lun = open(&mut engine, &["mem:1M"]);
    let mut channel = engine.open_channel(lun).expect("open");
    let clock = Clock::monotonic();
    let began = clock.now();
    for _ in 0..20 {
        channel
            .submit(&mut engine, Io::read(0, SgList::zeroed(512)))
            .expect("taken");
        engine.wait(LONG);
        let mut done = Vec::new();
        assert_eq!(channel.poll_completions(&mut engine, &mut done), 1);
        channel
            .submit(&mut engine, Io::read(0, SgList::zeroed(512)))
            .expect("taken");
        engine.poll();
        engine.wait(LONG);
        assert_eq!(channel.take_completions(&mut engine, &mut done), 1);
    }
    assert!(clock.now().since(began) < LONG, "each wait ended at once");
}
