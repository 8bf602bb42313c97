//! The block API over local paths.

mod awaited;
mod ends;

use super::*;
use crate::base::error::ErrorKind;
use crate::base::request::Op;
use crate::base::sg::SgList;
use crate::sys::iobuf::IoBuf;
use std::time::Duration;

const LONG: Duration = Duration::from_secs(5);

fn engine() -> Engine {
    Engine::new(ReactorConfig::default()).expect("descriptors")
}

fn open(engine: &mut Engine, urls: &[&str]) -> Lun {
    let urls = urls.iter().map(|u| (*u).to_owned()).collect();
    let lun = engine
        .open_lun(&LunSpec {
            urls,
            ..LunSpec::default()
        })
        .expect("opens");
    engine
        .await_lun(lun, LONG)
        .expect("local paths are there at once");
    lun
}

fn run(engine: &mut Engine, channel: &mut BlockChannel, io: Io) -> Completion {
    channel.submit(engine, io).expect("taken");
    let mut done = Vec::new();
    while done.is_empty() {
        channel.poll_completions(engine, &mut done);
    }
    assert_eq!(done.len(), 1);
    done.remove(0)
}

/// A payload in segments of these lengths, filled with a pattern that tells every byte's place.
fn pattern(lens: &[usize]) -> SgList {
    let mut at = 0;
    let mut list = SgList::new();
    for &len in lens {
        let mut buf = IoBuf::zeroed(len);
        for byte in buf.as_mut_slice() {
            *byte = (at % 251) as u8;
            at += 1;
        }
        list.push(buf);
    }
    list
}

fn bytes(list: &SgList) -> Vec<u8> {
    let mut out = vec![0; list.len()];
    list.read_at(0, &mut out);
    out
}

fn refused(engine: &mut Engine, channel: &mut BlockChannel, io: Io) -> Refusal {
    let (payload, user) = (io.data.len(), io.user);
    let error = channel.submit(engine, io).expect_err("refused");
    assert_eq!(
        (error.io.data.len(), error.io.user),
        (payload, user),
        "it comes back whole"
    );
    assert_eq!(channel.outstanding(), 0, "and counts for nothing");
    error.why
}

#[test]
fn an_engine_with_its_channels_moves_between_threads() {
    fn is_send<T: Send>(_: &T) {}
    let mut engine = engine();
    let lun = open(&mut engine, &["mem:1M"]);
    let mut channel = engine.open_channel(lun).expect("open");
    is_send(&channel);
    channel
        .submit(&mut engine, Io::write(8, pattern(&[4096])))
        .expect("taken");
    let written = std::thread::spawn(move || {
        let mut done = Vec::new();
        while done.is_empty() {
            channel.poll_completions(&mut engine, &mut done);
        }
        (engine, channel, done)
    });
    let (mut engine, mut channel, done) = written.join().expect("joins");
    assert_eq!(done[0].result, Ok(()));
    let read = run(&mut engine, &mut channel, Io::read(8, SgList::zeroed(4096)));
    assert_eq!(bytes(&read.io.data), bytes(&pattern(&[4096])));
}

#[test]
fn every_operation_does_what_it_says_and_gives_back_what_it_took() {
    let mut engine = engine();
    let lun = open(&mut engine, &["mem:1M"]);
    let mut channel = engine.open_channel(lun).expect("open");
    let done = run(
        &mut engine,
        &mut channel,
        Io::write(0, pattern(&[8192])).user(7).fua(),
    );
    assert_eq!(
        (done.io.user, done.io.op, done.io.fua, done.io.blocks),
        (7, Op::Write, true, 16)
    );
    assert_eq!(run(&mut engine, &mut channel, Io::flush()).result, Ok(()));
    assert_eq!(
        run(&mut engine, &mut channel, Io::compare(0, pattern(&[8192]))).result,
        Ok(())
    );
    let miss = run(&mut engine, &mut channel, Io::compare(1, pattern(&[512])));
    assert_eq!(miss.result.map_err(|e| e.kind), Err(ErrorKind::Miscompare));
    assert_eq!(
        run(&mut engine, &mut channel, Io::write_zeroes(0, 8)).result,
        Ok(())
    );
    assert_eq!(
        run(&mut engine, &mut channel, Io::discard(8, 8)).result,
        Ok(())
    );
    assert_eq!(
        run(
            &mut engine,
            &mut channel,
            Io::compare(0, SgList::zeroed(8192))
        )
        .result,
        Ok(())
    );
    let mut halves = SgList::zeroed(512);
    halves.push(pattern(&[512]).pop().expect("one segment"));
    assert_eq!(
        run(&mut engine, &mut channel, Io::compare_and_write(3, halves)).result,
        Ok(())
    );
    assert_eq!(
        run(&mut engine, &mut channel, Io::compare(3, pattern(&[512]))).result,
        Ok(())
    );
}

#[test]
fn misuse_is_refused_with_a_reason_and_the_request_comes_back() {
    let mut engine = engine();
    let spec = LunSpec {
        urls: vec!["null:1M".into()],
        ..LunSpec::default()
    };
    let lun = engine.open_lun(&spec).expect("opens");
    let mut early = engine.open_channel(lun).expect("open");
    assert_eq!(
        refused(
            &mut engine,
            &mut early,
            Io::read(0, SgList::zeroed(512)).user(1)
        ),
        Refusal::NotReady
    );
    engine.await_lun(lun, LONG).expect("ready");
    let c = &mut engine.open_channel(lun).expect("open");
    let e = &mut engine;
    assert_eq!(refused(e, c, Io::read(0, SgList::new())), Refusal::Empty);
    assert_eq!(refused(e, c, Io::discard(0, 0)), Refusal::Empty);
    let misfit = refused(e, c, Io::write(0, pattern(&[500, 13])));
    assert_eq!(
        misfit,
        Refusal::Misfit {
            bytes: 513,
            blocks: 0,
            block_size: 512
        }
    );
    assert_eq!(
        misfit.to_string(),
        "a payload of 513 bytes does not make whole blocks of 512 bytes"
    );
    let io = Io {
        blocks: 2,
        ..Io::write(0, pattern(&[512]))
    };
    assert!(matches!(
        refused(e, c, io),
        Refusal::Misfit { blocks: 2, .. }
    ));
    assert!(matches!(
        refused(e, c, Io::read(2048, SgList::zeroed(512))),
        Refusal::OutOfRange { capacity: 2048, .. }
    ));
    assert!(matches!(
        refused(e, c, Io::read(2047, SgList::zeroed(1024))),
        Refusal::OutOfRange { .. }
    ));
    assert!(matches!(
        refused(e, c, Io::discard(u64::MAX, 8)),
        Refusal::OutOfRange { .. }
    ));
    assert!(matches!(
        refused(e, c, Io::read(0, SgList::zeroed(33 << 20))),
        Refusal::TooLong { .. }
    ));
    assert_eq!(
        refused(e, c, Io::compare(0, pattern(&[512]))),
        Refusal::Unsupported { op: Op::Compare }
    );
    let io = Io {
        data: pattern(&[512]),
        ..Io::flush()
    };
    assert_eq!(refused(e, c, io), Refusal::Stray { op: Op::Flush });
    let io = Io {
        data: pattern(&[512]),
        ..Io::write_zeroes(0, 1)
    };
    assert_eq!(
        refused(e, c, io),
        Refusal::Stray {
            op: Op::WriteZeroes
        }
    );
}

#[test]
fn a_compare_and_write_has_two_halves_and_is_never_split() {
    let mut engine = engine();
    let lun = open(&mut engine, &["mem:1M"]);
    engine.reactor().plane().limit_transfer(lun.0, 4);
    let c = &mut engine.open_channel(lun).expect("open");
    assert!(matches!(
        refused(&mut engine, c, Io::compare_and_write(0, pattern(&[512]))),
        Refusal::Misfit { .. }
    ));
    let whole = refused(
        &mut engine,
        c,
        Io::compare_and_write(0, pattern(&[5 * 1024])),
    );
    assert_eq!(
        whole,
        Refusal::TooLong {
            bytes: 5120,
            max: 4096
        }
    );
}

#[test]
fn the_depth_of_a_channel_is_a_bound_and_room_comes_with_completions() {
    let mut engine = engine();
    let lun = open(&mut engine, &["null:1M"]);
    let mut channel = engine
        .open_channel_with(lun, ChannelOptions { depth: 2 })
        .expect("open");
    for user in 0..2 {
        channel
            .submit(&mut engine, Io::read(0, SgList::zeroed(512)).user(user))
            .expect("room");
    }
    let error = channel
        .submit(&mut engine, Io::read(0, SgList::zeroed(512)))
        .expect_err("full");
    assert_eq!(error.why, Refusal::Full { depth: 2 });
    let mut done = Vec::new();
    while done.len() < 2 {
        channel.poll_completions(&mut engine, &mut done);
    }
    channel.submit(&mut engine, error.io).expect("room again");
}

#[test]
fn a_large_request_in_odd_pieces_is_split_and_put_together_again() {
    let mut engine = engine();
    let lun = open(&mut engine, &["mem:4M"]);
    engine.reactor().plane().limit_transfer(lun.0, 24);
    let mut channel = engine.open_channel(lun).expect("open");
    let pieces = [1, 511, 12_288, 70_000, 3, 48_269];
    let total: usize = pieces.iter().sum();
    assert_eq!(total % 512, 0);
    assert_eq!(
        run(&mut engine, &mut channel, Io::write(5, pattern(&pieces))).result,
        Ok(())
    );
    let parts = engine.status(lun).routes.submitted;
    assert_eq!(
        parts,
        (total as u64 / 512).div_ceil(24),
        "in commands of 24 blocks"
    );
    let read = run(
        &mut engine,
        &mut channel,
        Io::read(5, SgList::zeroed(total)),
    );
    assert_eq!(bytes(&read.io.data), bytes(&pattern(&[total])));
    let same = run(
        &mut engine,
        &mut channel,
        Io::compare(5, pattern(&[total - 512, 512])),
    );
    assert_eq!(same.result, Ok(()));
    assert_eq!(
        same.io.data.segments().len(),
        2,
        "the caller's own segments"
    );
    let miss = run(&mut engine, &mut channel, Io::compare(4, pattern(&[total])));
    assert_eq!(miss.result.map_err(|e| e.kind), Err(ErrorKind::Miscompare));
}

#[test]
fn channels_of_several_luns_see_their_own_completions() {
    let mut engine = engine();
    let luns = [
        open(&mut engine, &["mem:1M"]),
        open(&mut engine, &["mem:2M"]),
    ];
    assert_eq!(engine.geometry(luns[1]).map(|g| g.blocks), Some(4096));
    let mut channels: Vec<_> = [0, 0, 1]
        .iter()
        .map(|&l| engine.open_channel(luns[l]).expect("open"))
        .collect();
    for (n, channel) in channels.iter_mut().enumerate() {
        for k in 0..10 {
            let user = (n * 100 + k) as u64;
            channel
                .submit(
                    &mut engine,
                    Io::write(k as u64, SgList::zeroed(512)).user(user),
                )
                .expect("taken");
        }
    }
    while engine.poll() {}
    for (n, channel) in channels.iter_mut().enumerate() {
        let mut done = Vec::new();
        assert_eq!(channel.take_completions(&mut engine, &mut done), 10);
        assert!(
            done.iter()
                .all(|d| d.io.user / 100 == n as u64 && d.result.is_ok())
        );
    }
}
