//! The daemon: a control thread that owns the [`Registry`], and handles for whoever has commands.
//!
//! ```text
//!   RPC thread ─┐
//!   metrics  ───┼─► ControlHandle ─► control thread: Registry ─► mailboxes ─► reactors
//!   signals  ───┘                    one command at a time; a look at the reactors between
//! ```
//!
//! Commands are short: what a reactor does within a turn, and one write to disk where something is
//! kept. Those that take a target's answer begin, and end when that has come; others are carried out
//! meanwhile. Reactors never wait for any of it.

pub mod notify;
mod surface;

use super::command::{Answer, Command, CommandError};
use super::registry::{Registry, Reply};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::Duration;

/// How often the reactors are looked at.
const LOOK: Duration = Duration::from_millis(50);
/// The same while a call waits for a target.
const ATTEND: Duration = Duration::from_millis(2);

struct Order {
    command: Command,
    answer: Reply,
}

/// How other threads give commands.
#[derive(Clone)]
pub struct ControlHandle(Sender<Order>);

impl std::fmt::Debug for ControlHandle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ControlHandle")
    }
}

impl ControlHandle {
    /// Has a command carried out, and waits for what comes of it.
    ///
    /// # Errors
    /// The command's, or that the daemon is stopping.
    pub fn run(&self, command: Command) -> Result<Answer, CommandError> {
        let (answer, answered) = channel();
        let order = Order { command, answer };
        self.0.send(order).map_err(|_| CommandError::Stopping)?;
        answered.recv().unwrap_or(Err(CommandError::Stopping))
    }
}

/// The control thread's end.
#[derive(Debug)]
pub struct Control {
    registry: Registry,
    orders: Receiver<Order>,
    handle: ControlHandle,
}

impl std::fmt::Debug for Order {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.command.fmt(f)
    }
}

/// What a signal means.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum Wish {
    Stop,
    Reload,
}

impl Control {
    pub fn new(registry: Registry) -> Self {
        let (sender, orders) = channel();
        Self {
            registry,
            orders,
            handle: ControlHandle(sender),
        }
    }

    pub fn handle(&self) -> ControlHandle {
        self.handle.clone()
    }

    pub fn registry(&self) -> &Registry {
        &self.registry
    }

    /// Carries out commands on the calling thread until somebody wants the daemon to stop. `wish`
    /// is asked between commands: signals.
    pub fn run(&mut self, mut wish: impl FnMut() -> Option<Wish>, mut on_reload: impl FnMut(bool)) {
        self.registry.tick();
        let clock = crate::base::clock::Clock::monotonic();
        let mut next = clock.now() + LOOK;
        while !self.registry.is_stopping() {
            let mut wait = next.since(clock.now());
            if self.registry.is_waiting() {
                wait = wait.min(ATTEND);
            }
            match self.orders.recv_timeout(wait) {
                Ok(order) => {
                    let reload = matches!(order.command, Command::Reload);
                    if reload {
                        on_reload(true);
                    }
                    self.registry.begin(order.command, order.answer);
                    if reload {
                        on_reload(false);
                    }
                }
                // This thread has a handle itself.
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {}
            }
            if self.registry.is_waiting() {
                self.registry.attend();
            }
            if clock.now() < next {
                continue;
            }
            next = clock.now() + LOOK;
            self.registry.tick();
            match wish() {
                None => {}
                Some(Wish::Stop) => self.registry.begin_stop("a signal"),
                Some(Wish::Reload) => {
                    on_reload(true);
                    // A wrong file is an event and a line in the log; nothing has changed.
                    let _ = self.registry.reload();
                    on_reload(false);
                }
            }
        }
        self.refuse();
    }

    /// From now on every command is answered with "stopping", those that wait as well: whoever gives
    /// commands can be ended without waiting for one.
    pub fn refuse(&mut self) {
        // A channel that nobody reads: what is in the old one is dropped with it, and with that answered.
        self.orders = channel().1;
        self.registry.give_up();
    }

    /// Ends everything in order. Close what takes commands before this.
    pub fn stop(self) {
        self.registry.stop();
    }
}
