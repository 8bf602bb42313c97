//! Awaited I/O under an executor of a dozen lines.

use crate::base::error::ErrorKind;
use crate::base::sg::SgList;
use crate::engine::reactor::Reactor;
use crate::front::block::async_block::{
    AsyncEngine, AsyncLun, AsyncOpenError, BlockError, IoFuture,
};
use crate::front::block::{LunSpec, Refusal};
use crate::lun::plane::ChannelId;
use crate::path::reason::DownReason;
use crate::sys::iobuf::IoBuf;
use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

const LONG: Duration = Duration::from_secs(10);

/// Unparks the thread that polls.
struct Unpark(std::thread::Thread, AtomicUsize);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.1.fetch_add(1, Ordering::SeqCst);
        self.0.unpark();
    }
}

fn block_on<F: Future>(future: F) -> F::Output {
    let mut future = pin!(future);
    let waker = Waker::from(Arc::new(Unpark(
        std::thread::current(),
        AtomicUsize::new(0),
    )));
    let mut cx = Context::from_waker(&waker);
    loop {
        match future.as_mut().poll(&mut cx) {
            Poll::Ready(out) => return out,
            Poll::Pending => std::thread::park(),
        }
    }
}

/// All of them at once, in the order in which they were given.
fn join_all(futures: Vec<IoFuture>) -> Vec<crate::front::block::async_block::Outcome> {
    let mut futures: Vec<_> = futures
        .into_iter()
        .map(|f| (Some(Box::pin(f)), None))
        .collect();
    block_on(std::future::poll_fn(|cx| {
        for (future, out) in &mut futures {
            if let Some(f) = future
                && let Poll::Ready(outcome) = f.as_mut().poll(cx)
            {
                (*future, *out) = (None, Some(outcome));
            }
        }
        if futures.iter().all(|(f, _)| f.is_none()) {
            Poll::Ready(())
        } else {
            Poll::Pending
        }
    }));
    futures.into_iter().filter_map(|(_, out)| out).collect()
}

fn poll_once(future: &mut Pin<Box<IoFuture>>) -> bool {
    future
        .as_mut()
        .poll(&mut Context::from_waker(Waker::noop()))
        .is_ready()
}

fn engine() -> AsyncEngine {
    AsyncEngine::start(Default::default(), Default::default()).expect("a thread")
}

fn open(engine: &AsyncEngine, url: &str) -> AsyncLun {
    let spec = LunSpec {
        urls: vec![url.to_owned()],
        ..LunSpec::default()
    };
    block_on(AsyncLun::open(engine, spec, LONG)).expect("opens")
}

fn filled(byte: u8, len: usize) -> SgList {
    let mut buf = IoBuf::zeroed(len);
    buf.as_mut_slice().fill(byte);
    buf.into()
}

/// Takes the first path down for good, so that I/O waits.
fn cut(engine: &AsyncEngine) {
    engine
        .handle()
        .ask(|r| r.plane().take_down(0, DownReason::Administrative))
        .expect("runs");
}

#[test]
fn an_io_is_awaited_and_gives_its_buffer_back() {
    let engine = engine();
    let lun = open(&engine, "mem:1M");
    block_on(async {
        let (result, data) = lun.write(3, filled(0x5A, 4096)).await;
        assert_eq!((result, data.len()), (Ok(()), 4096));
        let (result, data) = lun.read(3, data).await;
        assert_eq!(result, Ok(()));
        assert!(data.segments()[0].as_slice().iter().all(|b| *b == 0x5A));
        assert_eq!(lun.flush().await.0, Ok(()));
        assert_eq!(lun.write_zeroes(3, 8).await.0, Ok(()));
        assert_eq!(lun.discard(11, 8).await.0, Ok(()));
        let (result, _) = lun.compare(3, filled(0x5A, 512)).await;
        assert!(matches!(result, Err(BlockError::Failed(e)) if e.kind == ErrorKind::Miscompare));
    });
    engine.shut_down(LONG);
}

#[test]
fn what_is_wrong_comes_back_with_its_buffer() {
    let engine = engine();
    let lun = open(&engine, "null:1M");
    let (result, data) = block_on(lun.read(2048, SgList::zeroed(512)));
    assert!(matches!(
        result,
        Err(BlockError::Refused(Refusal::OutOfRange { .. }))
    ));
    assert_eq!(data.len(), 512);
    let spec = LunSpec {
        urls: vec!["nonsense".to_owned()],
        ..LunSpec::default()
    };
    assert!(matches!(
        block_on(AsyncLun::open(&engine, spec, LONG)),
        Err(AsyncOpenError::Open(_))
    ));
    // Nobody listens there: the answer comes when the time is up, and says why.
    let spec = LunSpec {
        urls: vec!["nvme-tcp://127.0.0.1:1/nqn.x".to_owned()],
        ..LunSpec::default()
    };
    let error = block_on(AsyncLun::open(&engine, spec, Duration::from_millis(50)))
        .expect_err("nobody there");
    assert!(error.to_string().contains("127.0.0.1:1"), "{error}");
}

#[test]
fn more_ios_than_there_is_room_for_all_end() {
    let engine = engine();
    let lun = open(&engine, "mem:4M");
    let outcomes = join_all(
        (0..5000)
            .map(|n| lun.write(n % 8000, filled(n as u8, 512)))
            .collect(),
    );
    assert_eq!(outcomes.len(), 5000);
    for (n, (result, data)) in outcomes.into_iter().enumerate() {
        assert_eq!(result, Ok(()));
        assert_eq!(data.segments()[0].as_slice()[0], n as u8, "its own buffer");
    }
}

#[test]
fn several_threads_share_a_lun() {
    let engine = engine();
    let lun = open(&engine, "mem:1M");
    std::thread::scope(|s| {
        for t in 0..4_u8 {
            let lun = lun.clone();
            s.spawn(move || {
                block_on(async {
                    for n in 0..200_u64 {
                        let lba = u64::from(t) * 400 + n;
                        assert_eq!(lun.write(lba, filled(t, 512)).await.0, Ok(()));
                        let (result, data) = lun.read(lba, SgList::zeroed(512)).await;
                        assert_eq!(result, Ok(()));
                        assert_eq!(data.segments()[0].as_slice()[511], t);
                    }
                });
            });
        }
    });
}

#[test]
fn an_unpolled_future_does_nothing_and_a_dropped_one_keeps_its_buffer_until_the_end() {
    let engine = engine();
    let lun = open(&engine, "mem:1M");
    drop(lun.write(0, filled(1, 512)));
    assert_eq!(
        block_on(lun.compare(0, SgList::zeroed(512))).0,
        Ok(()),
        "it never started"
    );

    // With its path away the write has to wait in the engine, and its buffer with it.
    cut(&engine);
    let mut write = Box::pin(lun.write(5, filled(2, 512)));
    assert!(!poll_once(&mut write));
    let waiting = || {
        let look = |r: &mut Reactor| {
            let parked = r.plane().channels().flat_map(|(_, c)| c.parked.iter());
            parked
                .map(|t| (t.lba, t.data.segments()[0].as_slice() == [2; 512]))
                .collect::<Vec<_>>()
        };
        engine.handle().ask(look).expect("runs")
    };
    while waiting().is_empty() {
        std::thread::sleep(Duration::from_millis(1));
    }
    drop(write);
    assert_eq!(
        waiting(),
        [(5, true)],
        "the future is gone, the buffer is not"
    );
    // It goes when the I/O ends.
    engine
        .handle()
        .ask(|r| r.plane().close(ChannelId(0)))
        .expect("runs");
    assert_eq!(waiting(), []);
    engine.shut_down(LONG);
}

#[test]
fn futures_dropped_around_their_hand_over_leave_nothing_behind() {
    let engine = engine();
    let lun = open(&engine, "mem:1M");
    let (hold, held) = std::sync::mpsc::channel::<()>();
    engine
        .handle()
        .send(move |_| assert!(held.recv().is_err()))
        .expect("room");
    let mut futures: Vec<_> = (0..64)
        .map(|n| Box::pin(lun.write(n, filled(9, 512))))
        .collect();
    for future in &mut futures {
        assert!(!poll_once(future));
    }
    drop(hold);
    // Some are taken by the reactor by now, some not, and each is dropped once either way.
    drop(futures);
    let (result, _) = block_on(lun.read(0, SgList::zeroed(64 * 512)));
    assert_eq!(result, Ok(()));
    let under_way = || {
        engine.handle().ask(|r| {
            r.plane()
                .channels()
                .map(|(_, c)| c.outstanding())
                .sum::<u64>()
        })
    };
    assert_eq!(under_way(), Ok(0));
}

#[test]
fn dropping_the_last_handle_closes_the_lun_after_its_io() {
    let engine = engine();
    let lun = open(&engine, "mem:1M");
    let mut write = Box::pin(lun.write(0, filled(7, 4096)));
    assert!(!poll_once(&mut write));
    let late = lun.read(0, SgList::zeroed(512));
    drop(lun);
    let (result, data) = block_on(write);
    assert_eq!((result, data.len()), (Ok(()), 4096));
    let (result, data) = block_on(late);
    assert_eq!(result, Err(BlockError::Refused(Refusal::Closed)));
    assert_eq!(data.len(), 512);
    let up = || engine.handle().ask(|r| r.links_up()).expect("runs");
    let mut tries = 0;
    while up() > 0 {
        tries += 1;
        assert!(tries < 1000, "the path is given up");
        std::thread::sleep(Duration::from_millis(1));
    }
}

#[test]
fn stopping_resolves_every_future() {
    let engine = engine();
    let lun = open(&engine, "mem:1M");
    cut(&engine);
    let waiting: Vec<_> = (0..10).map(|n| lun.write(n, filled(1, 512))).collect();
    let joiner = std::thread::spawn(move || join_all(waiting));
    while engine.handle().ask(|r| {
        r.plane()
            .channels()
            .map(|(_, c)| c.outstanding())
            .sum::<u64>()
    }) != Ok(10)
    {
        std::thread::sleep(Duration::from_millis(1));
    }
    drop(engine);
    for (result, _) in joiner.join().expect("all resolved") {
        let failed =
            matches!(result, Err(BlockError::Failed(e)) if e.kind == ErrorKind::OutcomeUnknown);
        assert!(failed, "{result:?}");
    }
    assert_eq!(
        block_on(lun.flush()).0,
        Err(BlockError::Refused(Refusal::Stopped))
    );
    let engine = AsyncEngine::start(Default::default(), Default::default()).expect("a thread");
    engine.shut_down(LONG);
}
