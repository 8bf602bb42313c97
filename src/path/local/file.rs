//! `file:PATH`: a regular file or a block device.

use super::job::{self, Job, Lacks, Next, Plan};
use super::spec::{FileEngine, SECTOR};
use super::worker::Worker;
use super::{DEPTH, Done, LocalUnit, Span, check};
use crate::base::clock::Time;
use crate::base::pool::BufPool;
use crate::base::request::{Op, Token};
use crate::path::identity::Identity;
use crate::sys::blockfile;
use crate::sys::uring_file::{Call, FileRing, Outcome};
use std::collections::VecDeque;
use std::fs::{File, OpenOptions};
use std::io::{self, Seek, SeekFrom};
use std::os::fd::BorrowedFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::Once;
use std::sync::atomic::{AtomicBool, Ordering};
use uuid::Uuid;

/// A file device of one reactor.
///
/// Requests run side by side and in no order, but for COMPARE AND WRITE: it waits until nothing
/// else is in flight here, and what comes after waits for it. Dropping the device waits for the
/// system calls under way; requests that were not given back yet go with it.
#[derive(Debug)]
pub struct FileDevice {
    engine: Engine,
    unit: LocalUnit,
    opened: Opened,
    /// Held, over all devices shared from one, while a COMPARE AND WRITE runs.
    gate: Arc<AtomicBool>,
    /// A COMPARE AND WRITE of ours runs, and holds the gate.
    alone: bool,
    /// Behind a COMPARE AND WRITE, in order; empty otherwise.
    waiting: VecDeque<(Token, Span)>,
    /// Done without a system call.
    done: Vec<Done>,
    lacks: Lacks,
    pool: BufPool,
    /// io_uring has refused a submission, which was said once.
    stuck: bool,
}

/// How the file was opened, to open it again for another reactor.
#[derive(Clone, Debug)]
struct Opened {
    /// Without symbolic links, so that it does not change when they do.
    path: PathBuf,
    direct: bool,
    engine: FileEngine,
    /// Device and inode.
    inode: (u64, u64),
}

// Not boxed: the device that holds it is.
#[allow(clippy::large_enum_variant)]
#[derive(Debug)]
enum Engine {
    Ring(FileRing<Plan>),
    Worker(Worker),
}

impl FileDevice {
    pub fn open(
        path: &Path,
        direct: bool,
        engine: FileEngine,
        uuid: Option<Uuid>,
    ) -> io::Result<Self> {
        Self::open_file(path, direct, engine, uuid)
            .map_err(|e| io::Error::new(e.kind(), format!("file:{}: {e}", path.display())))
    }

    fn open_file(
        path: &Path,
        direct: bool,
        engine: FileEngine,
        uuid: Option<Uuid>,
    ) -> io::Result<Self> {
        let path = path.canonicalize()?;
        let (file, inode) = open(&path, direct)?;
        let (block_size, blocks) = geometry(&file, direct)?;
        let uuid = uuid.unwrap_or_else(|| path_uuid(&path));
        let unit = LocalUnit {
            block_size,
            blocks,
            identity: Identity {
                uuid: Some(uuid.into_bytes()),
                ..Identity::default()
            },
            volatile_cache: true,
            discard: true,
            write_zeroes: true,
            compare: true,
        };
        let opened = Opened {
            path,
            direct,
            engine,
            inode,
        };
        let gate = Arc::new(AtomicBool::new(false));
        Ok(Self::with(Engine::new(file, engine)?, unit, opened, gate))
    }

    fn with(engine: Engine, unit: LocalUnit, opened: Opened, gate: Arc<AtomicBool>) -> Self {
        Self {
            engine,
            unit,
            opened,
            gate,
            alone: false,
            waiting: VecDeque::with_capacity(DEPTH),
            done: Vec::with_capacity(DEPTH),
            lacks: Lacks::default(),
            pool: BufPool::default(),
            stuck: false,
        }
    }

    pub(super) fn share(&self) -> io::Result<Self> {
        let Opened { path, inode, .. } = &self.opened;
        let named =
            |e: io::Error| io::Error::new(e.kind(), format!("file:{}: {e}", path.display()));
        let (file, found) = open(path, self.opened.direct).map_err(named)?;
        if found != *inode {
            let text = "is another file now than when it was first opened";
            return Err(named(io::Error::new(
                io::ErrorKind::StaleNetworkFileHandle,
                text,
            )));
        }
        let engine = Engine::new(file, self.opened.engine).map_err(named)?;
        let (unit, opened) = (self.unit.clone(), self.opened.clone());
        Ok(Self::with(engine, unit, opened, self.gate.clone()))
    }

    pub(super) fn unit(&self) -> &LocalUnit {
        &self.unit
    }

    /// `io_uring` or `thread`, for status.
    pub fn engine(&self) -> &'static str {
        match self.engine {
            Engine::Ring(_) => "io_uring",
            Engine::Worker(_) => "thread",
        }
    }

    pub(super) fn in_flight(&self) -> usize {
        self.engine.in_flight() + self.waiting.len() + self.done.len()
    }

    pub(super) fn fd(&self) -> BorrowedFd<'_> {
        match &self.engine {
            Engine::Ring(r) => r.fd(),
            Engine::Worker(w) => w.fd(),
        }
    }

    pub(super) fn must_poll(&self) -> bool {
        let queued = matches!(&self.engine, Engine::Ring(r) if r.has_queued());
        // With nothing of ours in flight it is another reactor's gate that is waited for.
        let at_gate = !self.waiting.is_empty() && self.engine.in_flight() == 0;
        queued || at_gate || !self.done.is_empty()
    }

    pub(super) fn submit(&mut self, token: Token, _now: Time) {
        let span = match check(&self.unit, &token) {
            Ok(span) if span.len == 0 && token.op != Op::Flush => {
                self.done.push((token, Ok(())));
                return;
            }
            Ok(span) => span,
            Err(e) => {
                self.done.push((token, Err(e)));
                return;
            }
        };
        if self.alone || !self.waiting.is_empty() || token.op == Op::CompareAndWrite {
            self.waiting.push_back((token, span));
            self.advance();
        } else {
            self.begin(token, span);
        }
    }

    pub(super) fn poll(&mut self, done: &mut Vec<Done>, _now: Time) {
        done.append(&mut self.done);
        self.advance();
        self.turn();
        while let Some((mut job, outcome)) = self.engine.next_done() {
            match job::step(&mut job, outcome, &mut self.lacks) {
                Next::Call => {
                    let call = job.state.call();
                    self.engine.start(job, call);
                }
                Next::Done(result) => {
                    if let Some(scratch) = job.scratch.pop() {
                        self.pool.put(scratch);
                    }
                    done.push((job.token, result));
                }
            }
        }
        if self.alone && self.engine.in_flight() == 0 {
            self.leave();
            self.advance();
        }
        // What was started meanwhile has to be under way before anybody sleeps.
        self.turn();
    }

    fn turn(&mut self) {
        let Engine::Ring(ring) = &mut self.engine else {
            return;
        };
        if let Err(e) = ring.turn()
            && !std::mem::replace(&mut self.stuck, true)
        {
            tracing::error!("file:{}: io_uring: {e}", self.opened.path.display());
        }
    }

    /// Starts what waits, as far as it may.
    fn advance(&mut self) {
        while !self.alone
            && let Some((token, _)) = self.waiting.front()
        {
            if token.op == Op::CompareAndWrite {
                if self.engine.in_flight() > 0 || self.gate.swap(true, Ordering::Acquire) {
                    return;
                }
                self.alone = true;
            }
            let (token, span) = self.waiting.pop_front().expect("just looked at");
            self.begin(token, span);
        }
    }

    fn begin(&mut self, token: Token, span: Span) {
        let job = job::begin(token, span, self.lacks, &mut self.pool);
        let call = job.state.call();
        self.engine.start(job, call);
    }

    fn leave(&mut self) {
        assert!(self.alone, "only its holder opens the gate");
        self.alone = false;
        self.gate.store(false, Ordering::Release);
    }
}

impl Drop for FileDevice {
    fn drop(&mut self) {
        // The next holder of the gate must not run beside a write of ours. All else is waited for
        // when the engine is dropped, which also frees the buffers.
        self.waiting.clear();
        if self.alone {
            let mut done = Vec::new();
            while self.engine.in_flight() > 0 && !self.stuck {
                self.poll(&mut done, Time::ZERO);
                std::thread::yield_now();
            }
            if self.alone {
                self.leave();
            }
        }
    }
}

impl Engine {
    fn new(file: File, which: FileEngine) -> io::Result<Self> {
        let depth = DEPTH as u32;
        match which {
            FileEngine::Thread => Worker::new(file).map(Self::Worker),
            FileEngine::Uring => FileRing::new(file, depth)
                .map(Self::Ring)
                .map_err(|e| io::Error::new(e.kind(), format!("io_uring: {e}"))),
            FileEngine::Auto => match FileRing::new(file.try_clone()?, depth) {
                Ok(ring) => Ok(Self::Ring(ring)),
                Err(e) => {
                    static SAID: Once = Once::new();
                    SAID.call_once(|| {
                        tracing::warn!("no io_uring here ({e}): files are driven by a thread each");
                    });
                    Worker::new(file).map(Self::Worker)
                }
            },
        }
    }

    fn in_flight(&self) -> usize {
        match self {
            Self::Ring(r) => r.in_flight(),
            Self::Worker(w) => w.in_flight(),
        }
    }

    fn start(&mut self, job: Job, call: Call) {
        match self {
            Self::Ring(r) => r.start(job, call),
            Self::Worker(w) => w.start(job, call),
        }
    }

    fn next_done(&mut self) -> Option<(Job, Outcome)> {
        match self {
            Self::Ring(r) => r.next_done(),
            Self::Worker(w) => w.next_done(),
        }
    }
}

fn open(path: &Path, direct: bool) -> io::Result<(File, (u64, u64))> {
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .custom_flags(if direct { libc::O_DIRECT } else { 0 })
        .open(path)?;
    let meta = file.metadata()?;
    if !meta.is_file() && !meta.file_type().is_block_device() {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            "neither a regular file nor a block device",
        ));
    }
    Ok((file, (meta.dev(), meta.ino())))
}

/// Block size and number of blocks. A ragged end of a regular file is left alone: rounding up
/// would make writes change the size of the file.
fn geometry(file: &File, direct: bool) -> io::Result<(u32, u64)> {
    let block_size = if file.metadata()?.file_type().is_block_device() {
        blockfile::logical_block_size(file)?
    } else if direct {
        blockfile::direct_align(file).map_or(SECTOR, |n| n.max(SECTOR))
    } else {
        SECTOR
    };
    if !block_size.is_power_of_two() || block_size < SECTOR {
        let text = format!("its logical block size is {block_size} bytes");
        return Err(io::Error::new(io::ErrorKind::Unsupported, text));
    }
    let mut file = file;
    let bytes = file.seek(SeekFrom::End(0))?;
    match bytes / u64::from(block_size) {
        0 => Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            format!("holds {bytes} bytes, less than one block of {block_size}"),
        )),
        blocks => Ok((block_size, blocks)),
    }
}

/// The identity of a path on this machine. The machine's id is part of it: files of one name on
/// two machines are two units, which must never join to one LUN.
fn path_uuid(path: &Path) -> Uuid {
    let machine = ["/etc/machine-id", "/proc/sys/kernel/hostname"]
        .iter()
        .find_map(|p| std::fs::read_to_string(p).ok())
        .unwrap_or_default();
    let mut name = format!("file://{}", machine.trim()).into_bytes();
    name.extend_from_slice(path.as_os_str().as_bytes());
    Uuid::new_v5(&Uuid::NAMESPACE_URL, &name)
}
