//! Calls that take longer than other clients should wait: those that wait for a target, say.
//!
//! They are made on a few threads of their own, begun when the first of them comes. A client whose
//! call is there is not listened to meanwhile, so that its answers stay in order and there is no
//! more than one message of each client here.

use super::Methods;
use super::message::Parsed;
use nix::sys::eventfd::EventFd;
use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

/// Threads at most; more calls than that wait for one of them to end.
const THREADS_MAX: usize = 16;

/// The threads. Dropping it waits for the calls that are being made.
#[derive(Debug)]
pub(super) struct Away {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

#[derive(Debug)]
struct Shared {
    at: Mutex<Work>,
    changed: Condvar,
    /// Wakes the server when something has returned.
    returned: EventFd,
}

#[derive(Debug, Default)]
struct Work {
    /// By connection.
    waiting: VecDeque<(u64, Parsed)>,
    done: Vec<(u64, Option<String>)>,
    idle: usize,
    over: bool,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Work> {
        self.at.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Away {
    /// Without a thread yet; `returned` is signalled whenever an answer can be fetched.
    pub(super) fn new(returned: EventFd) -> Self {
        let shared = Shared {
            at: Mutex::default(),
            changed: Condvar::new(),
            returned,
        };
        Self {
            shared: Arc::new(shared),
            threads: Vec::new(),
        }
    }

    pub(super) fn returned(&self) -> &EventFd {
        &self.shared.returned
    }

    /// Has a message of a connection answered.
    ///
    /// # Errors
    /// There is no thread, and none to be had.
    pub(super) fn send(
        &mut self,
        connection: u64,
        message: Parsed,
        methods: &dyn Methods,
    ) -> io::Result<()> {
        let mut at = self.shared.lock();
        at.waiting.push_back((connection, message));
        let short = at.idle < at.waiting.len();
        drop(at);
        self.shared.changed.notify_one();
        if !short || self.threads.len() >= THREADS_MAX {
            return Ok(());
        }
        let begun = methods.fork().ok_or(io::ErrorKind::Unsupported.into());
        match begun.and_then(|m| self.begin(m)) {
            // One that is busy takes it later.
            Err(_) if !self.threads.is_empty() => Ok(()),
            Err(e) => {
                self.shared.lock().waiting.clear();
                Err(e)
            }
            Ok(()) => Ok(()),
        }
    }

    fn begin(&mut self, mut methods: Box<dyn Methods>) -> io::Result<()> {
        let shared = self.shared.clone();
        let name = format!("umpio-rpc-{}", self.threads.len());
        let thread = std::thread::Builder::new().name(name);
        let thread = thread.spawn(move || work(&shared, methods.as_mut()))?;
        self.threads.push(thread);
        Ok(())
    }

    /// What has returned since this was asked last.
    pub(super) fn take(&self) -> Vec<(u64, Option<String>)> {
        // Nothing to read is as good.
        let _ = self.shared.returned.read();
        std::mem::take(&mut self.shared.lock().done)
    }
}

fn work(shared: &Shared, methods: &mut dyn Methods) {
    let mut at = shared.lock();
    loop {
        if at.over {
            return;
        }
        let Some((connection, message)) = at.waiting.pop_front() else {
            at.idle += 1;
            at = shared
                .changed
                .wait(at)
                .unwrap_or_else(PoisonError::into_inner);
            at.idle -= 1;
            continue;
        };
        drop(at);
        let answer = message.answer(methods);
        at = shared.lock();
        at.done.push((connection, answer));
        // The counter of an event can only be full when it is signalled already.
        let _ = shared.returned.write(1);
    }
}

impl Drop for Away {
    fn drop(&mut self) {
        self.shared.lock().over = true;
        self.shared.changed.notify_all();
        for thread in self.threads.drain(..) {
            if thread.join().is_err() {
                tracing::error!("a thread of the control socket panicked");
            }
        }
    }
}
