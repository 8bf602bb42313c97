//! A thread of ours that polls a reactor: spinning while there is work, asleep when there is none.

use super::reactor::{Handle, HandleError, Reactor, ReactorConfig};
use nix::sched::{CpuSet, sched_setaffinity};
use nix::unistd::Pid;
use std::io;
use std::thread::JoinHandle;
use std::time::Duration;

/// How a driver spends its time.
#[derive(Clone, Debug)]
pub struct DriverConfig {
    pub name: String,
    /// CPU to pin the thread to.
    pub cpu: Option<usize>,
    /// How long to go on polling after the last work before sleeping; `None`: never sleep.
    pub spin: Option<Duration>,
}

impl Default for DriverConfig {
    fn default() -> Self {
        Self {
            name: "umpio-reactor".to_owned(),
            cpu: None,
            spin: Some(Duration::from_micros(50)),
        }
    }
}

/// Longest sleep without looking up.
const SLEEP_MAX: Duration = Duration::from_millis(100);

/// A reactor on a thread of its own. Dropping it stops the thread.
#[derive(Debug)]
pub struct Driver {
    handle: Handle,
    thread: Option<JoinHandle<()>>,
}

impl Driver {
    /// Starts the thread; `set_up` runs on it before the first turn.
    ///
    /// # Errors
    /// No thread, or no descriptors for the reactor.
    pub fn start(
        reactor: ReactorConfig,
        config: DriverConfig,
        set_up: impl FnOnce(&mut Reactor) + Send + 'static,
    ) -> io::Result<Self> {
        let (tx, rx) = std::sync::mpsc::channel();
        let thread = std::thread::Builder::new()
            .name(config.name.clone())
            .spawn(move || {
                if let Some(cpu) = config.cpu {
                    pin_to(cpu);
                }
                match Reactor::new(reactor) {
                    Ok(mut r) => {
                        set_up(&mut r);
                        if tx.send(Ok(r.handle())).is_ok() {
                            run(&mut r, config.spin);
                        }
                    }
                    // The starter waits for this message, so it cannot be gone.
                    Err(e) => drop(tx.send(Err(e))),
                }
            })?;
        let handle = rx
            .recv()
            .map_err(|_| io::Error::other("the reactor's thread ended while it was set up"))??;
        Ok(Self {
            handle,
            thread: Some(thread),
        })
    }

    pub fn handle(&self) -> &Handle {
        &self.handle
    }

    /// Runs `f` on the reactor and waits for its answer.
    ///
    /// # Errors
    /// The reactor is gone or overwhelmed with orders.
    pub fn ask<T: Send + 'static>(
        &self,
        f: impl FnOnce(&mut Reactor) -> T + Send + 'static,
    ) -> Result<T, HandleError> {
        self.handle.ask(f)
    }

    /// Stops the thread and waits for it.
    pub fn stop(mut self) {
        self.halt();
    }

    fn halt(&mut self) {
        let Some(thread) = self.thread.take() else {
            return;
        };
        while self.handle.send(Reactor::stop) == Err(HandleError::Full) {
            std::thread::yield_now();
        }
        if thread.join().is_err() {
            tracing::error!("a reactor's thread panicked");
        }
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        self.halt();
    }
}

fn run(r: &mut Reactor, spin: Option<Duration>) {
    let mut idle_since = r.now();
    while !r.is_stopping() {
        if r.poll() {
            idle_since = r.now();
            continue;
        }
        match spin {
            Some(spin) if r.now().since(idle_since) >= spin => r.wait(SLEEP_MAX),
            _ => std::hint::spin_loop(),
        }
    }
    r.shut_down(Duration::from_secs(1));
}

/// Pins the calling thread to a CPU; says so when that fails, and goes on unpinned.
pub fn pin_to(cpu: usize) {
    let mut set = CpuSet::new();
    if let Err(e) = set
        .set(cpu)
        .and_then(|()| sched_setaffinity(Pid::from_raw(0), &set))
    {
        tracing::warn!("cannot pin the reactor's thread to CPU {cpu}: {e}");
    }
}
