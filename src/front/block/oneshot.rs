//! One value from one place to a future, without an executor of any kind.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

#[derive(Debug)]
struct State<T> {
    value: Option<T>,
    waker: Option<Waker>,
    /// The other end is gone.
    alone: bool,
}

type Shared<T> = Arc<Mutex<State<T>>>;

fn lock<T>(shared: &Shared<T>) -> MutexGuard<'_, State<T>> {
    // A state is whole between any two statements that hold the lock.
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The end that gives.
#[derive(Debug)]
pub(super) struct Giver<T>(Shared<T>);

/// The end that waits; resolves to `None` when the giver went away with nothing given.
#[derive(Debug)]
pub(super) struct Taker<T>(Shared<T>);

pub(super) fn oneshot<T>() -> (Giver<T>, Taker<T>) {
    let shared = Arc::new(Mutex::new(State {
        value: None,
        waker: None,
        alone: false,
    }));
    (Giver(shared.clone()), Taker(shared))
}

impl<T> Giver<T> {
    /// Gives the value; it is dropped when nobody waits any more.
    pub(super) fn give(self, value: T) {
        let refused = {
            let mut state = lock(&self.0);
            if state.alone {
                Some(value)
            } else {
                state.value = Some(value);
                None
            }
        };
        // Outside the lock: dropping a value may do anything.
        drop(refused);
    }
}

impl<T> Drop for Giver<T> {
    fn drop(&mut self) {
        let waker = {
            let mut state = lock(&self.0);
            state.alone = true;
            state.waker.take()
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

impl<T> Drop for Taker<T> {
    fn drop(&mut self) {
        let value = {
            let mut state = lock(&self.0);
            state.alone = true;
            state.value.take()
        };
        drop(value);
    }
}

impl<T> Future for Taker<T> {
    type Output = Option<T>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<T>> {
        let mut state = lock(&self.0);
        if let Some(value) = state.value.take() {
            return Poll::Ready(Some(value));
        }
        if state.alone {
            return Poll::Ready(None);
        }
        state.waker = Some(cx.waker().clone());
        Poll::Pending
    }
}
