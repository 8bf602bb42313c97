//! Steady state allocates nothing per I/O (invariant I3): a binary of its own, for its allocator.
#![allow(unsafe_code)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use umpio::base::sg::SgList;
use umpio::front::block::{BlockChannel, Completion, Engine, Io, LunSpec, ReactorConfig};
use umpio::front::{iscsi, nvme_tcp};
use umpio::lun::port::PortId;
use umpio::path::access::AccessState;
use umpio::path::identity::Identity;
use umpio::sys::iobuf::IoBuf;
use umpio::transport::listener::Listener;
use umpio::transport::tcp::TcpOptions;

struct Counting;

static CALLS: AtomicU64 = AtomicU64::new(0);

// SAFETY: every call is passed on unchanged to the system's allocator.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        CALLS.fetch_add(1, Ordering::Relaxed);
        // SAFETY: the caller's promise, passed on.
        unsafe { System.alloc(layout) }
    }
    unsafe fn dealloc(&self, ptr: *mut u8, layout: Layout) {
        CALLS.fetch_add(1, Ordering::Relaxed);
        // SAFETY: the caller's promise, passed on.
        unsafe { System.dealloc(ptr, layout) }
    }
    unsafe fn realloc(&self, ptr: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        CALLS.fetch_add(1, Ordering::Relaxed);
        // SAFETY: the caller's promise, passed on.
        unsafe { System.realloc(ptr, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// A closed loop: each completion's buffers go straight into the next I/O.
struct Load {
    engine: Engine,
    channel: BlockChannel,
    done: Vec<Completion>,
    blocks: u64,
    ios: u64,
}

/// Requests in flight.
const DEPTH: u64 = 64;

impl Load {
    fn new(mut engine: Engine, urls: &[String]) -> Self {
        let spec = LunSpec {
            urls: urls.to_vec(),
            ..LunSpec::default()
        };
        let lun = engine.open_lun(&spec).expect("opens");
        engine
            .await_lun(lun, Duration::from_secs(10))
            .expect("ready");
        let blocks = engine.geometry(lun).expect("ready").blocks;
        // The longest requests of the load go out in several commands.
        engine.reactor().plane().limit_transfer(lun.id(), 100);
        let channel = engine.open_channel(lun).expect("open");
        Self {
            engine,
            channel,
            done: Vec::with_capacity(1024),
            blocks,
            ios: 0,
        }
    }

    /// Sizes from one block to beyond one command, in one piece and in three.
    fn prime(&mut self) {
        for n in 0..DEPTH {
            let len = [512, 4096, 16_384, 128 << 10][n as usize % 4];
            let mut data = SgList::zeroed(len);
            if n % 3 == 0 && len > 512 {
                data = IoBuf::zeroed(len - 300).into();
                data.push(IoBuf::zeroed(100));
                data.push(IoBuf::zeroed(200));
            }
            self.submit(Io {
                user: n,
                ..Io::read(0, data)
            });
        }
    }

    fn submit(&mut self, mut io: Io) {
        self.ios += 1;
        io.op = if self.ios.is_multiple_of(3) {
            umpio::base::request::Op::Write
        } else {
            umpio::base::request::Op::Read
        };
        io.blocks = 0;
        io.lba = self.ios * 7919 % (self.blocks - 4096);
        self.channel.submit(&mut self.engine, io).expect("taken");
    }

    fn run(&mut self, ios: u64) {
        let until = self.ios + ios;
        let mut done = std::mem::take(&mut self.done);
        while self.ios < until {
            self.channel.poll_completions(&mut self.engine, &mut done);
            for completion in done.drain(..) {
                assert_eq!(completion.result, Ok(()));
                self.submit(completion.io);
            }
        }
        self.done = done;
    }
}

fn engine() -> Engine {
    Engine::new(ReactorConfig::default()).expect("descriptors")
}

/// A LUN of the engine's own, to be served from it: its port and its identity.
fn backing(engine: &mut Engine) -> (PortId, Identity) {
    let spec = LunSpec {
        urls: vec!["mem:64M".to_owned()],
        ..LunSpec::default()
    };
    let lun = engine.open_lun(&spec).expect("opens");
    engine
        .await_lun(lun, Duration::from_secs(1))
        .expect("ready");
    let identity = engine.geometry(lun).expect("ready").identity;
    (engine.reactor().open_port(lun.id()), identity)
}

fn listener() -> Listener {
    let at = "127.0.0.1:0".parse().expect("an address");
    Listener::tcp(at, TcpOptions::default()).expect("a free port")
}

/// Serves a LUN at two portals over NVMe/TCP; the URLs that reach it.
fn serve_nvme(engine: &mut Engine) -> Vec<String> {
    const NQN: &str = "nqn.2026-01.org.example:no-alloc";
    let (port, identity) = backing(engine);
    let mut target = nvme_tcp::Target::new(nvme_tcp::TargetConfig::default());
    target
        .add_subsystem(nvme_tcp::SubsystemConfig::new(NQN))
        .expect("a name");
    target
        .add_namespace(NQN, 1, port, &identity, engine.reactor().plane())
        .expect("a namespace");
    let url = |_| {
        let portal = target.add_portal(nvme_tcp::PortalConfig::new(listener()));
        // Keep alive is not I/O, and may allocate now and then.
        format!(
            "nvme-tcp://{}/{NQN}?kato=0",
            target.portal_address(portal).expect("just added")
        )
    };
    let urls = (0..2).map(url).collect();
    engine.reactor().add_service(Box::new(target));
    urls
}

/// The same over iSCSI.
fn serve_iscsi(engine: &mut Engine) -> Vec<String> {
    const IQN: &str = "iqn.2026-01.org.example:no-alloc";
    let (port, identity) = backing(engine);
    let mut target = iscsi::Target::new(iscsi::TargetConfig::default());
    target
        .add_lun(IQN, 0, port, &identity, engine.reactor().plane())
        .expect("a unit");
    let url = |group| {
        let portal = iscsi::PortalConfig {
            listener: listener(),
            target: IQN.to_owned(),
            group,
            access: AccessState::Optimized,
        };
        format!(
            "iscsi://{}/{IQN}/0",
            target.add_portal(portal).expect("a portal")
        )
    };
    let urls = (1..=2).map(url).collect();
    engine.reactor().add_service(Box::new(target));
    urls
}

fn steady_state_is_free(name: &str, engine: Engine, urls: &[String], ios: u64) {
    let mut load = Load::new(engine, urls);
    load.prime();
    // Vectors, pools and staging buffers find their sizes: how many requests are in flight below
    // differs from turn to turn, so the last of them may take a while.
    load.run(ios);
    let mut rounds = Vec::new();
    for _ in 0..10 {
        let before = CALLS.load(Ordering::Relaxed);
        load.run(ios);
        rounds.push(CALLS.load(Ordering::Relaxed) - before);
        if rounds.ends_with(&[0, 0]) {
            // Nor is a large payload copied in user space on its way (invariant I11).
            let copied = load.engine.reactor().plane().paths.copied_bytes_large();
            assert_eq!(copied, 0, "{name}: bytes of large payloads copied");
            return;
        }
        // Nothing that comes with an I/O would be this rare.
        assert!(
            rounds[rounds.len() - 1] < ios / 1000,
            "{name}: allocator calls for each {ios} I/Os: {rounds:?}"
        );
    }
    panic!("{name}: allocator calls for each {ios} I/Os: {rounds:?}");
}

// One test: the counter is the process's, and tests of one binary run side by side.
#[test]
fn no_io_allocates_in_steady_state() {
    steady_state_is_free("null", engine(), &["null:64M".to_owned()], 20_000);
    steady_state_is_free("mem", engine(), &["mem:64M".to_owned()], 20_000);
    // Over loopback, the target's half included.
    let mut engine = engine();
    let urls = serve_nvme(&mut engine);
    steady_state_is_free("nvme-tcp", engine, &urls, 20_000);
    let mut engine = self::engine();
    let urls = serve_iscsi(&mut engine);
    steady_state_is_free("iscsi", engine, &urls, 20_000);
}
