//! Units tell that they are at work once somebody may wonder, and take turns at it: where hundreds land at once, a status
//! each would be a tenth of all requests, for something that is over when it is read.

use std::future::Future;
use std::pin::pin;
use std::time::Duration;

use apply::ClusterError;
use futures::future::{BoxFuture, FutureExt as _};
use tokio::sync::{Mutex, watch};
use tokio::time::Instant;

use crate::status::kustomization::Work;

/// Who is done before it says nothing of having begun.
const NOTICEABLE: Duration = Duration::from_secs(3);

/// One unit tells, and then the next.
const PACE: Duration = Duration::from_millis(250);

/// Whose turn it is.
#[derive(Default)]
pub(super) struct Notices {
    /// When the next one may tell.
    next: Mutex<Option<Instant>>,
}

impl Notices {
    /// Does some work, and tells meanwhile how far it has come, where it takes long enough for a turn to come.
    pub(super) async fn while_at<'f, T>(
        &self,
        work: impl Future<Output = T>,
        mut at: watch::Receiver<Work>,
        tell: impl Fn(Work) -> BoxFuture<'f, Result<(), ClusterError>>,
    ) -> T {
        let mut work = pin!(work);
        loop {
            tokio::select! {
                done = &mut work => return done,
                () = self.turn() => {}
            }
            let stage = *at.borrow_and_update();
            // What is being told is told to its end: what comes of the work is told after it.
            let mut is_told = pin!(tell(stage).fuse());
            let told = tokio::select! {
                done = &mut work => {
                    note(is_told.await);
                    return done;
                }
                told = &mut is_told => told,
            };
            note(told);
            tokio::select! {
                done = &mut work => return done,
                Ok(_) = at.wait_for(|now| *now != stage) => {}
            }
        }
    }

    async fn turn(&self) {
        tokio::time::sleep(NOTICEABLE).await;
        let mut next = self.next.lock().await;
        if let Some(next) = *next {
            tokio::time::sleep_until(next).await;
        }
        *next = Some(Instant::now() + PACE);
    }
}

fn note(told: Result<(), ClusterError>) {
    if let Err(error) = told {
        tracing::warn!(%error, "a status could not be written");
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use tokio::task::JoinSet;

    use super::*;

    /// How many of 300 tell that they have begun, if all begin at once and take so long.
    async fn told(takes: Duration) -> usize {
        let (notices, told) = (Arc::new(Notices::default()), Arc::new(AtomicUsize::default()));
        let mut tasks = JoinSet::new();
        for _ in 0..300 {
            let (notices, told) = (notices.clone(), told.clone());
            tasks.spawn(async move {
                let tell = |_| {
                    told.fetch_add(1, Ordering::Relaxed);
                    std::future::ready(Ok(())).boxed()
                };
                let at = watch::Sender::new(Work::Building);
                notices.while_at(tokio::time::sleep(takes), at.subscribe(), tell).await;
            });
        }
        tasks.join_all().await;
        told.load(Ordering::Relaxed)
    }

    #[tokio::test(start_paused = true)]
    async fn how_far_it_came_is_told_once_it_has_stayed_there() {
        let (at, began, told) = (watch::Sender::new(Work::Building), Instant::now(), Mutex::new(Vec::new()));
        let work = async {
            tokio::time::sleep(Duration::from_secs(4)).await;
            at.send_replace(Work::Checking);
            tokio::time::sleep(Duration::from_secs(60)).await;
        };
        let noted = &told;
        let tell = |work| {
            async move {
                noted.lock().await.push((work, began.elapsed().as_secs()));
                Ok(())
            }
            .boxed()
        };
        Notices::default().while_at(work, at.subscribe(), tell).await;
        assert_eq!(told.into_inner(), [(Work::Building, 3), (Work::Checking, 7)]);
    }

    #[tokio::test(start_paused = true)]
    async fn who_is_quick_says_nothing_and_of_many_some_tell_each_second() {
        assert_eq!(told(Duration::from_millis(2_900)).await, 0);
        assert_eq!(told(Duration::from_millis(5_100)).await, 9, "one at once, and four a second for 2.1 s");
        assert_eq!(told(Duration::from_mins(5)).await, 300);
    }
}
