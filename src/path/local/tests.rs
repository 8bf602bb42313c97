//! All local devices against one model, and what only one of them can get wrong.

use super::*;
use crate::sys::iobuf::IoBuf;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use proptest::prelude::*;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

const SIZE: usize = 512;
const BLOCKS: u64 = 1024;

/// A directory that goes with its owner.
struct Dir(PathBuf);

impl Dir {
    fn new() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let n = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("umpio-local-{}-{n}", std::process::id());
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir(&path).expect("temporary directory");
        Self(path)
    }

    fn file(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.0.join(name);
        std::fs::write(&path, bytes).expect("temporary file");
        path
    }
}

impl Drop for Dir {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn open(path: &Path, engine: FileEngine) -> io::Result<LocalDevice> {
    LocalDevice::open(&LocalSpec::File {
        path: path.to_owned(),
        direct: false,
        engine,
        uuid: None,
    })
}

/// The engines that exist here: a machine that forbids io_uring tests the other, and says so.
fn engines() -> &'static [FileEngine] {
    static ENGINES: OnceLock<Vec<FileEngine>> = OnceLock::new();
    ENGINES.get_or_init(|| {
        let dir = Dir::new();
        let mut engines = vec![FileEngine::Thread];
        match open(&dir.file("probe", &[0; SIZE]), FileEngine::Uring) {
            Ok(_) => engines.push(FileEngine::Uring),
            Err(e) => eprintln!("SKIPPED: everything about io_uring, which is not to be had: {e}"),
        }
        engines
    })
}

/// Every device that holds data, all zeros, with the directory its file is in.
fn devices() -> Vec<(Dir, LocalDevice)> {
    let mem = LocalSpec::mem(BLOCKS * SIZE as u64);
    let mut all = vec![(Dir::new(), LocalDevice::open(&mem).expect("mem"))];
    for &engine in engines() {
        let dir = Dir::new();
        let path = dir.file("disk", &vec![0; BLOCKS as usize * SIZE]);
        let device = open(&path, engine).expect("file");
        all.push((dir, device));
    }
    all
}

fn request(op: Op, lba: u64, blocks: u32, parts: &[&[u8]]) -> Token {
    let mut t = Request::new();
    (t.op, t.lba, t.blocks) = (op, lba, blocks);
    for part in parts {
        t.data.push(IoBuf::from(*part));
    }
    t
}

/// Polls until nothing is in flight, asleep in between as a reactor would be.
fn drain(device: &mut LocalDevice) -> Vec<Done> {
    let mut done = Vec::new();
    loop {
        device.poll(&mut done, Time::ZERO);
        if device.in_flight() == 0 {
            return done;
        }
        if let (Some(fd), false) = (device.as_fd(), device.must_poll()) {
            wait(fd);
        }
    }
}

fn wait(fd: BorrowedFd<'_>) {
    let mut fds = [PollFd::new(fd, PollFlags::POLLIN)];
    let minute = PollTimeout::from(60_000u16);
    assert!(poll(&mut fds, minute).expect("poll") > 0, "never woken");
}

fn run(device: &mut LocalDevice, token: Token) -> Done {
    device.submit(token, Time::ZERO).expect("room for one");
    let mut done = drain(device);
    assert_eq!(done.len(), 1, "one request, one completion");
    done.remove(0)
}

fn bytes(token: &Token) -> Vec<u8> {
    let mut out = vec![0; token.data.len()];
    token.data.read_at(0, &mut out);
    out
}

fn kind(done: &Done) -> Result<(), ErrorKind> {
    done.1.map_err(|e| e.kind)
}

#[derive(Clone, Debug)]
struct Io {
    op: Op,
    lba: u64,
    blocks: u32,
    /// The byte written.
    fill: u8,
    /// Where the payload is cut in two.
    cut: usize,
    fua: bool,
    /// Whether a compare is given the right data.
    right: bool,
}

fn io() -> impl Strategy<Value = Io> {
    let op = prop_oneof![
        3 => Just(Op::Read),
        4 => Just(Op::Write),
        1 => Just(Op::Flush),
        1 => Just(Op::WriteZeroes),
        1 => Just(Op::Discard),
        1 => Just(Op::Compare),
        2 => Just(Op::CompareAndWrite),
    ];
    let blocks = prop_oneof![0u32..9, 120u32..400];
    let rest = (any::<u8>(), any::<usize>(), any::<bool>(), any::<bool>());
    (op, 0..BLOCKS + 8, blocks, rest).prop_map(|(op, lba, blocks, (fill, cut, fua, right))| Io {
        op,
        lba,
        blocks,
        fill,
        cut,
        fua,
        right,
    })
}

/// What the model says to an I/O, and the payload that goes with it.
fn model(disk: &mut [u8], io: &Io) -> (Vec<u8>, Result<Vec<u8>, ErrorKind>) {
    let (at, len) = (io.lba as usize * SIZE, io.blocks as usize * SIZE);
    let inside = at + len <= disk.len();
    let old = if inside {
        &mut disk[at..at + len]
    } else {
        &mut []
    };
    let mut given = vec![io.fill; len];
    match io.op {
        Op::Flush => return (Vec::new(), Ok(Vec::new())),
        Op::WriteZeroes | Op::Discard => given.clear(),
        Op::Compare | Op::CompareAndWrite if inside => {
            given.copy_from_slice(old);
            if !io.right && len > 0 {
                given[io.cut % len] ^= 1;
            }
        }
        _ => {}
    }
    if io.op == Op::CompareAndWrite {
        given.extend(vec![io.fill; len]);
    }
    if !inside {
        return (given, Err(ErrorKind::OutOfRange));
    }
    let mismatch = !io.right && len > 0;
    match io.op {
        Op::Read => return (given, Ok(old.to_vec())),
        Op::Compare | Op::CompareAndWrite if mismatch => {
            return (given, Err(ErrorKind::Miscompare));
        }
        Op::Write | Op::CompareAndWrite => old.fill(io.fill),
        Op::WriteZeroes | Op::Discard => old.fill(0),
        Op::Compare | Op::Flush => {}
    }
    let after = given.clone();
    (given, Ok(after))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn every_device_does_what_a_plain_array_does(ios in prop::collection::vec(io(), 1..40)) {
        for (_dir, mut device) in devices() {
            let mut disk = vec![0u8; BLOCKS as usize * SIZE];
            for io in &ios {
                let (given, want) = model(&mut disk, io);
                let (head, tail) = given.split_at(io.cut % (given.len() + 1));
                let mut token = request(io.op, io.lba, io.blocks, &[head, &[], tail]);
                token.fua = io.fua;
                let done = run(&mut device, token);
                prop_assert_eq!(kind(&done), want.as_ref().map(|_| ()).map_err(|e| *e));
                if let Ok(want) = want {
                    prop_assert!(bytes(&done.0) == want, "{:?} gives other data", io);
                }
            }
            let all = request(Op::Read, 0, BLOCKS as u32, &[&vec![1; disk.len()]]);
            let done = run(&mut device, all);
            prop_assert!(bytes(&done.0) == disk, "the device ends with other data");
        }
    }
}

#[test]
fn a_full_device_hands_the_request_back_and_loses_none() {
    for (_dir, mut device) in devices() {
        for i in 0..DEPTH as u64 {
            let data = [i as u8; SIZE];
            let mut token = request(Op::Write, i, 1, &[&data]);
            token.user = i;
            device.submit(token, Time::ZERO).expect("below the depth");
        }
        assert_eq!(device.in_flight(), DEPTH);
        let flush = request(Op::Flush, 0, 0, &[]);
        let back = device.submit(flush, Time::ZERO).expect_err("full");
        assert_eq!(back.op, Op::Flush);
        let mut users: Vec<u64> = drain(&mut device).iter().map(|d| d.0.user).collect();
        users.sort_unstable();
        assert!(users.iter().copied().eq(0..DEPTH as u64));
        device.submit(back, Time::ZERO).expect("room again");
        assert_eq!(drain(&mut device).len(), 1);
    }
}

#[test]
fn a_payload_of_the_wrong_length_is_invalid() {
    for (_dir, mut device) in devices() {
        for (op, len) in [
            (Op::Read, 511),
            (Op::Write, 1024),
            (Op::Compare, 0),
            (Op::CompareAndWrite, 512),
        ] {
            let done = run(&mut device, request(op, 0, 1, &[&vec![0; len]]));
            assert_eq!(kind(&done), Err(ErrorKind::Invalid), "{op:?}");
        }
        let end = request(Op::Discard, u64::MAX, u32::MAX, &[]);
        assert_eq!(kind(&run(&mut device, end)), Err(ErrorKind::OutOfRange));
    }
}

#[test]
fn more_segments_than_one_call_takes() {
    for (_dir, mut device) in devices() {
        // 128 blocks in pieces of 64 bytes: 1024 slices.
        let data: Vec<u8> = (0..128 * SIZE).map(|i| (i / 64) as u8).collect();
        let parts: Vec<&[u8]> = data.chunks(64).collect();
        let done = run(&mut device, request(Op::Write, 5, 128, &parts));
        assert_eq!(done.1, Ok(()));
        let blank = vec![0xEE; data.len()];
        let parts: Vec<&[u8]> = blank.chunks(64).collect();
        let done = run(&mut device, request(Op::Read, 5, 128, &parts));
        assert_eq!(done.1, Ok(()));
        assert!(bytes(&done.0) == data);
    }
}

/// Adds one to the number in block 3 by COMPARE AND WRITE, as often as it takes.
fn increment(device: &mut LocalDevice) {
    loop {
        let (seen, _) = run(device, request(Op::Read, 3, 1, &[&[0; SIZE]]));
        let old = bytes(&seen);
        let n = u64::from_le_bytes(old[..8].try_into().expect("eight bytes"));
        let mut new = old.clone();
        new[..8].copy_from_slice(&(n + 1).to_le_bytes());
        let swap = request(Op::CompareAndWrite, 3, 1, &[&old, &new]);
        match kind(&run(device, swap)) {
            Ok(()) => return,
            Err(e) => assert_eq!(e, ErrorKind::Miscompare),
        }
    }
}

#[test]
fn compare_and_write_is_atomic_across_shared_devices() {
    for (_dir, mut device) in devices() {
        // Memory is so fast that two threads rarely meet.
        let each = match device {
            LocalDevice::Mem(_) => 20_000,
            _ => 100,
        };
        let mut other = device.share().expect("shared");
        assert_eq!(other.unit(), device.unit());
        std::thread::scope(|scope| {
            scope.spawn(|| (0..each).for_each(|_| increment(&mut other)));
            (0..each).for_each(|_| increment(&mut device));
        });
        let (seen, _) = run(&mut other, request(Op::Read, 3, 1, &[&[0; SIZE]]));
        assert_eq!(bytes(&seen)[..8], (2u64 * each).to_le_bytes());
    }
}

#[test]
fn nothing_overtakes_a_compare_and_write_on_its_device() {
    for (_dir, mut device) in devices() {
        let (zeros, ones, twos) = ([0; SIZE], [1; SIZE], [2; SIZE]);
        for token in [
            request(Op::Write, 0, 1, &[&ones]),
            request(Op::CompareAndWrite, 0, 1, &[&ones, &twos]),
            request(Op::Compare, 0, 1, &[&twos]),
            request(Op::CompareAndWrite, 0, 1, &[&twos, &zeros]),
            request(Op::Compare, 0, 1, &[&zeros]),
        ] {
            device.submit(token, Time::ZERO).expect("room");
        }
        let done = drain(&mut device);
        assert_eq!(done.len(), 5);
        assert!(done.iter().all(|d| d.1.is_ok()), "{done:?}");
    }
}

#[test]
fn dropping_a_file_waits_for_what_is_in_flight() {
    for &engine in engines() {
        let dir = Dir::new();
        let path = dir.file("disk", &vec![0; 64 * SIZE * 8]);
        let mut device = open(&path, engine).expect("file");
        for i in 0..64 {
            let data = [i as u8 + 1; SIZE * 8];
            let token = request(Op::Write, i * 8, 8, &[&data]);
            device.submit(token, Time::ZERO).expect("room");
        }
        let swap = [[1; SIZE], [9; SIZE]];
        let swap = request(Op::CompareAndWrite, 0, 1, &[&swap[0], &swap[1]]);
        device.submit(swap, Time::ZERO).expect("room");
        drop(device);
        let disk = std::fs::read(&path).expect("file");
        for (i, part) in disk.chunks(SIZE * 8).enumerate() {
            assert!(part.iter().all(|b| *b == i as u8 + 1), "write {i}");
        }
    }
}

#[test]
fn a_file_cut_short_reads_as_zeros_beyond_its_end() {
    for &engine in engines() {
        let dir = Dir::new();
        // A ragged end is no block.
        let path = dir.file("disk", &[7; 4 * SIZE + 100]);
        let mut device = open(&path, engine).expect("file");
        assert_eq!(device.unit().blocks, 4);
        let file = std::fs::OpenOptions::new().write(true).open(&path);
        file.and_then(|f| f.set_len(700)).expect("cut");
        let done = run(&mut device, request(Op::Read, 0, 4, &[&[1; 4 * SIZE]]));
        assert_eq!(done.1, Ok(()));
        let got = bytes(&done.0);
        assert!(got[..700].iter().all(|b| *b == 7));
        assert!(got[700..].iter().all(|b| *b == 0));
    }
}

#[test]
fn a_file_past_the_page_cache() {
    let dir = Dir::new();
    for &engine in engines() {
        let path = dir.file("disk", &[0; 1 << 20]);
        let spec = LocalSpec::File {
            path,
            direct: true,
            engine,
            uuid: None,
        };
        let mut device = match LocalDevice::open(&spec) {
            Ok(d) => d,
            Err(e) => {
                eprintln!("SKIPPED: O_DIRECT, which the temporary directory does not take: {e}");
                return;
            }
        };
        let size = device.unit().block_size as usize;
        let data = vec![5; size * 16];
        let done = run(&mut device, request(Op::Write, 1, 16, &[&data]));
        assert_eq!(done.1, Ok(()));
        let zeros = run(&mut device, request(Op::WriteZeroes, 2, 1, &[]));
        assert_eq!(zeros.1, Ok(()));
        let done = run(
            &mut device,
            request(Op::Read, 1, 16, &[&vec![1; data.len()]]),
        );
        assert_eq!(done.1, Ok(()));
        let got = bytes(&done.0);
        assert!(got[size..2 * size].iter().all(|b| *b == 0));
        assert!(got[2 * size..].iter().all(|b| *b == 5));
    }
}

#[test]
fn a_file_keeps_its_identity_and_memory_gets_a_new_one() {
    let dir = Dir::new();
    let (a, b) = (dir.file("a", &[0; SIZE]), dir.file("b", &[0; SIZE]));
    let link = dir.0.join("link");
    std::os::unix::fs::symlink(&a, &link).expect("link");
    let id = |p: &Path| {
        let device = open(p, FileEngine::Auto).expect("file");
        device.unit().identity.clone()
    };
    assert_eq!(id(&a), id(&a));
    assert_eq!(id(&a), id(&link));
    assert_ne!(id(&a), id(&b));
    let mem = || LocalDevice::open(&LocalSpec::mem(4096)).expect("mem");
    assert_ne!(mem().unit().identity, mem().unit().identity);
    let spec = "null:1T?uuid=67e55044-10b1-426f-9247-bb680e5fe0c8";
    let null = LocalDevice::open(&spec.parse().expect("spec")).expect("null");
    assert_eq!(
        null.unit().identity.to_string(),
        "uuid.67e55044-10b1-426f-9247-bb680e5fe0c8"
    );
}

#[test]
fn null_leaves_the_buffer_alone_unless_told_to_zero_it() {
    for (zero, want) in [(false, 7), (true, 0)] {
        let spec = LocalSpec::Null {
            bytes: 1 << 40,
            zero,
            uuid: None,
        };
        let mut device = LocalDevice::open(&spec).expect("null");
        let done = run(&mut device, request(Op::Read, 1 << 30, 1, &[&[7; SIZE]]));
        assert_eq!(done.1, Ok(()));
        assert_eq!(bytes(&done.0), [want; SIZE]);
        let done = run(
            &mut device,
            request(Op::Write, (1 << 31) - 1, 1, &[&[7; SIZE]]),
        );
        assert_eq!(done.1, Ok(()));
        let done = run(&mut device, request(Op::Read, 1 << 31, 1, &[&[7; SIZE]]));
        assert_eq!(kind(&done), Err(ErrorKind::OutOfRange));
        let done = run(&mut device, request(Op::Compare, 0, 1, &[&[0; SIZE]]));
        assert_eq!(kind(&done), Err(ErrorKind::Unsupported));
    }
}

#[test]
fn a_file_that_cannot_be_a_unit_is_refused_by_name() {
    let dir = Dir::new();
    let gone = dir.0.join("gone");
    let small = dir.file("small", &[0; 100]);
    for (path, words) in [
        (gone.as_path(), "No such file"),
        (dir.0.as_path(), "directory"),
        (small.as_path(), "holds 100 bytes"),
        (Path::new("/dev/zero"), "neither a regular file"),
    ] {
        let error = open(path, FileEngine::Thread)
            .expect_err("no unit")
            .to_string();
        assert!(error.contains(words), "{error}");
        assert!(error.contains(&*path.to_string_lossy()), "{error}");
    }
    let disk = dir.file("disk", &[0; SIZE]);
    let device = open(&disk, FileEngine::Thread).expect("file");
    std::fs::rename(dir.file("other", &[0; SIZE]), &disk).expect("rename");
    let error = device.share().expect_err("another file").to_string();
    assert!(error.contains("another file"), "{error}");
}
