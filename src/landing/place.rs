//! How many objects are worked on side by side. Who only waits for health gives its place to another meanwhile, so that
//! pods that start slowly, or never, delay no unit that has nothing to do with them.
//!
//! Told to end, who works goes on, and who waits waits no longer: the journal is open, and the next process takes the wait up.
//!
//! **Guarantee.** Never more objects are worked on than there are places; [`WAITING`] times as many wait without one.

use std::future::Future;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::JoinSet;

/// So many wait for each that is worked on; what waits beyond keeps its place, since each holds a landing in memory.
const WAITING: usize = 10;

tokio::task_local! {
    /// Where the present task works.
    static PLACE: Arc<Place>;
}

/// The places of one agent.
#[derive(Clone)]
pub struct Places {
    working: Arc<Semaphore>,
    waiting: Arc<Semaphore>,
    /// How many places were given up since the end was told.
    given_up: Arc<watch::Sender<Option<usize>>>,
}

/// One of them, free again when it is dropped.
pub struct Place {
    places: Places,
    /// None while its holder waits.
    permit: Mutex<Option<OwnedSemaphorePermit>>,
    /// Whether its holder only waited when the end was told.
    given_up: AtomicBool,
}

impl Places {
    /// So many, at least one.
    pub fn new(count: usize) -> Self {
        let count = count.max(1);
        let (working, waiting) = (Semaphore::new(count), Semaphore::new(count * WAITING));
        Self { working: Arc::new(working), waiting: Arc::new(waiting), given_up: Arc::default() }
    }

    /// The next one that is free.
    pub async fn take(&self) -> Place {
        // Nobody closes it.
        let permit = self.working.clone().acquire_owned().await.ok();
        Place { places: self.clone(), permit: Mutex::new(permit), given_up: AtomicBool::default() }
    }

    /// Ends the work of some tasks, of which each works in a place of its own: those that only wait end at once.
    pub async fn end(&self, tasks: &mut JoinSet<()>) {
        let mut given_up = self.given_up.subscribe();
        self.given_up.send_replace(Some(0));
        while tasks.len() > given_up.borrow_and_update().unwrap_or_default() {
            tokio::select! {
                _ = tasks.join_next() => {}
                // This holds the sender.
                _ = given_up.changed() => {}
            }
        }
        tasks.shutdown().await;
    }
}

impl Place {
    /// Does something there.
    pub async fn work<T>(self, work: impl Future<Output = T>) -> T {
        PLACE.scope(Arc::new(self), work).await
    }

    async fn leave<T>(&self, wait: impl Future<Output = T>) -> T {
        let wait = self.until(wait);
        // Of several waits of one task, the first leaves.
        let Some(permit) = self.permit().take() else { return wait.await };
        let Ok(waiting) = self.places.waiting.clone().try_acquire_owned() else {
            *self.permit() = Some(permit);
            return wait.await;
        };
        drop(permit);
        let waited = wait.await;
        drop(waiting);
        let permit = self.places.working.clone().acquire_owned().await.ok();
        *self.permit() = permit;
        waited
    }

    /// Waits until that is over, or for ever once the end was told.
    async fn until<T>(&self, wait: impl Future<Output = T>) -> T {
        let mut ends = self.places.given_up.subscribe();
        tokio::select! {
            waited = wait => return waited,
            _ = ends.wait_for(Option::is_some) => {}
        }
        // A task may wait for several things.
        if !self.given_up.swap(true, Ordering::Relaxed) {
            self.places.given_up.send_modify(|count| *count = count.map(|count| count + 1));
        }
        std::future::pending().await
    }

    fn permit(&self) -> std::sync::MutexGuard<'_, Option<OwnedSemaphorePermit>> {
        self.permit.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Waits without the place of the present task, which has one again afterwards.
pub(super) async fn aside<T>(wait: impl Future<Output = T>) -> T {
    match PLACE.try_with(Arc::clone) {
        Ok(place) => place.leave(wait).await,
        // A program that lands one thing alone.
        Err(_) => wait.await,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;
    use std::time::Duration;

    use tokio::task::JoinSet;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn who_waits_makes_room_and_no_more_work_than_there_are_places() {
        let (places, working, most) = (Places::new(2), Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let mut tasks = JoinSet::new();
        for _ in 0..50 {
            let (places, working, most) = (places.clone(), working.clone(), most.clone());
            tasks.spawn(async move {
                let step = || async {
                    most.fetch_max(working.fetch_add(1, Ordering::Relaxed) + 1, Ordering::Relaxed);
                    tokio::time::sleep(Duration::from_millis(1)).await;
                    working.fetch_sub(1, Ordering::Relaxed);
                };
                let work = async {
                    step().await;
                    aside(tokio::time::sleep(Duration::from_secs(60))).await;
                    step().await;
                };
                places.take().await.work(work).await;
            });
        }
        let began = tokio::time::Instant::now();
        while tasks.join_next().await.is_some() {}
        assert_eq!(most.load(Ordering::Relaxed), 2);
        // Twenty wait at once, and two more in their places.
        let rounds = began.elapsed().as_secs() / 60;
        assert!((2..=3).contains(&rounds), "{rounds}");
        assert_eq!(places.working.available_permits(), 2);
        assert_eq!(places.waiting.available_permits(), 2 * WAITING);
    }

    #[tokio::test(start_paused = true)]
    async fn told_to_end_who_works_ends_well_and_who_waits_at_once() {
        let (places, ended) = (Places::new(1), Arc::new(AtomicUsize::new(0)));
        let mut tasks = JoinSet::new();
        for waits in [true, true, false] {
            let (place, ended) = (places.take().await, ended.clone());
            tasks.spawn(place.work(async move {
                if waits {
                    // In two parts at once.
                    let wait = || aside(tokio::time::sleep(Duration::from_hours(1)));
                    tokio::join!(wait(), wait());
                } else {
                    tokio::time::sleep(Duration::from_secs(5)).await;
                }
                ended.fetch_add(1, Ordering::Relaxed);
            }));
            tokio::task::yield_now().await;
        }
        let began = tokio::time::Instant::now();
        places.end(&mut tasks).await;
        assert_eq!((ended.load(Ordering::Relaxed), began.elapsed().as_secs()), (1, 5));
    }
}
