//! Virtual time, and the one thread on which everything takes turns.

use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use futures::future::{BoxFuture, FutureExt as _};

/// Time that passes only when nobody has anything to do.
#[derive(Default)]
pub(crate) struct Time {
    now: Mutex<Duration>,
    timers: Mutex<Vec<(Duration, Waker)>>,
}

impl Time {
    pub(crate) fn now(&self) -> Duration {
        *self.now.lock().unwrap()
    }

    pub(crate) fn sleep(self: &Arc<Self>, duration: Duration) -> BoxFuture<'static, ()> {
        let (time, due) = (self.clone(), self.now() + duration);
        futures::future::poll_fn(move |context| {
            if time.now() >= due {
                return Poll::Ready(());
            }
            time.timers.lock().unwrap().push((due, context.waker().clone()));
            Poll::Pending
        })
        .boxed()
    }

    /// Goes on to the next moment that somebody waits for; by how much, or `None` when nobody does.
    pub(crate) fn pass(&self) -> Option<Duration> {
        let mut timers = self.timers.lock().unwrap();
        let next = timers.iter().map(|(due, _)| *due).min()?;
        let mut now = self.now.lock().unwrap();
        let passed = next.saturating_sub(*now);
        *now = next.max(*now);
        timers.retain(|(due, waker)| {
            if *due <= *now {
                waker.wake_by_ref();
            }
            *due > *now
        });
        Some(passed)
    }
}

/// Lets others have a turn.
pub(crate) async fn turn() {
    let mut waited = false;
    futures::future::poll_fn(|context| {
        if std::mem::replace(&mut waited, true) {
            return Poll::Ready(());
        }
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

struct Flag(AtomicBool);

impl Wake for Flag {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Something that goes on by itself.
pub(crate) struct Task {
    future: Pin<Box<dyn Future<Output = ()> + Send>>,
    flag: Arc<Flag>,
    /// Whose it is.
    pub(crate) epoch: u64,
}

impl Task {
    pub(crate) fn new(epoch: u64, future: impl Future<Output = ()> + Send + 'static) -> Self {
        Self { future: Box::pin(future), flag: Arc::new(Flag(AtomicBool::new(true))), epoch }
    }

    pub(crate) fn is_ready(&self) -> bool {
        self.flag.0.load(Ordering::Relaxed)
    }

    /// Lets it go on until it waits; whether it has ended.
    pub(crate) fn go_on(&mut self) -> bool {
        self.flag.0.store(false, Ordering::Relaxed);
        let waker = Waker::from(self.flag.clone());
        self.future.as_mut().poll(&mut Context::from_waker(&waker)).is_ready()
    }
}
