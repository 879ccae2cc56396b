//! The work to do: keys that wait, each worked on by one worker at a time.
//!
//! **Guarantees.** A key that is added while it is worked on runs once more afterwards: no event is lost, and many
//! events are one run. A key has at most one appointment; a later one replaces it, but whoever works on a key cannot put off
//! what others have asked for meanwhile.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::sync::Mutex;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

use super::Key;

/// Keys that wait for a worker.
#[derive(Default)]
pub struct Queue {
    state: Mutex<State>,
    changed: Notify,
}

#[derive(Default)]
struct State {
    ready: VecDeque<Key>,
    /// Since when each waits, and was asked for last.
    waiting: HashMap<Key, Instant>,
    running: HashMap<Key, Instant>,
    again: HashMap<Key, Instant>,
    appointments: BTreeSet<(Instant, Key)>,
    appointed: HashMap<Key, Instant>,
    /// Appointments of others for what is being worked on.
    promised: HashMap<Key, Instant>,
    closed: bool,
}

impl State {
    fn add(&mut self, key: Key) {
        self.add_since(key, Instant::now());
    }

    fn add_since(&mut self, key: Key, since: Instant) {
        if self.running.contains_key(&key) {
            self.again.insert(key, since);
        } else if self.waiting.insert(key.clone(), since).is_none() {
            self.ready.push_back(key);
        }
    }

    fn cancel(&mut self, key: &Key) {
        if let Some((key, at)) = self.appointed.remove_entry(key) {
            self.appointments.remove(&(at, key));
        }
    }

    fn appoint(&mut self, key: Key, at: Instant) {
        self.cancel(&key);
        self.appointed.insert(key.clone(), at);
        self.appointments.insert((at, key));
    }

    /// What others were promised while the key was worked on holds.
    fn keep_promise(&mut self, key: &Key) {
        let Some(at) = self.promised.remove(key) else { return };
        if self.appointed.get(key).is_none_or(|appointed| *appointed > at) {
            self.appoint(key.clone(), at);
        }
    }

    fn take_due(&mut self, now: Instant) {
        while self.appointments.first().is_some_and(|(at, _)| *at <= now) {
            let Some((_, key)) = self.appointments.pop_first() else { return };
            self.appointed.remove(&key);
            self.promised.remove(&key);
            self.add(key);
        }
    }

    fn take(&mut self) -> Option<Key> {
        let key = self.ready.pop_front()?;
        let since = self.waiting.remove(&key).unwrap_or_else(Instant::now);
        self.running.insert(key.clone(), since);
        Some(key)
    }
}

impl Queue {
    /// Adds a key to be worked on now.
    pub fn add(&self, key: Key) {
        self.with(|state| state.add(key));
        self.changed.notify_one();
    }

    /// Adds a key to be worked on now. What is there already counts: nothing newer is wanted than before.
    pub fn wake(&self, key: Key) {
        self.with(|state| {
            let wanted = state.waiting.get(&key).or_else(|| state.running.get(&key)).copied();
            state.add_since(key, wanted.unwrap_or_else(Instant::now));
        });
        self.changed.notify_one();
    }

    /// Adds a key to be worked on after `delay`, instead of when it was appointed before.
    pub fn add_after(&self, key: Key, delay: Duration) {
        let at = moment(delay);
        self.with(|state| {
            if state.running.contains_key(&key) {
                let promised = state.promised.entry(key.clone()).or_insert(at);
                *promised = at.min(*promised);
            }
            state.appoint(key, at);
        });
        self.changed.notify_one();
    }

    /// When the one who works on a key wants to come back to it, if nobody has asked for it sooner meanwhile.
    pub fn come_back(&self, key: Key, delay: Duration) {
        self.with(|state| state.appoint(key, moment(delay)));
        self.changed.notify_one();
    }

    /// Forgets the appointment of a key whose object is gone.
    pub fn forget(&self, key: &Key) {
        self.with(|state| state.cancel(key));
    }

    /// The next key; `None` when the queue is closed. [`Queue::done`] must follow.
    pub async fn next(&self) -> Option<Key> {
        loop {
            let changed = self.changed.notified();
            let (key, closed, due) = self.with(|state| {
                state.take_due(Instant::now());
                let key = if state.closed { None } else { state.take() };
                (key, state.closed, state.appointments.first().map(|(at, _)| *at))
            });
            match (key, closed, due) {
                (_, true, _) => return None,
                (Some(key), ..) => {
                    // There may be more for another worker.
                    self.changed.notify_one();
                    return Some(key);
                }
                (None, _, Some(due)) => {
                    let _ = tokio::time::timeout_at(due, changed).await;
                }
                (None, _, None) => changed.await,
            }
        }
    }

    /// Gives a key back; it runs once more if it was added meanwhile.
    pub fn done(&self, key: &Key) {
        self.with(|state| {
            state.running.remove(key);
            state.keep_promise(key);
            if let Some(since) = state.again.remove(key) {
                state.add_since(key.clone(), since);
            }
        });
        self.changed.notify_one();
    }

    /// Whether a key is worked on now.
    pub fn is_running(&self, key: &Key) -> bool {
        self.with(|state| state.running.contains_key(key))
    }

    /// Since when the present work on a key was wanted: whoever asked for it last has asked no later.
    pub fn since(&self, key: &Key) -> Instant {
        self.with(|state| state.running.get(key).copied()).unwrap_or_else(Instant::now)
    }

    /// Whether a key is worked on, or will be next.
    pub fn is_under_way(&self, key: &Key) -> bool {
        self.with(|state| state.running.contains_key(key) || state.waiting.contains_key(key))
    }

    /// Lets every worker end after its present key.
    pub fn close(&self) {
        self.with(|state| state.closed = true);
        self.changed.notify_waiters();
        self.changed.notify_one();
    }

    /// Whether nothing waits, runs or is due.
    pub fn is_idle(&self) -> bool {
        self.with(|state| state.ready.is_empty() && state.running.is_empty())
    }

    fn with<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        // A worker that panicked holds no half-done change: every change above is complete.
        change(&mut self.state.lock().unwrap_or_else(std::sync::PoisonError::into_inner))
    }
}

/// A delay from now. What is only looked at when somebody asks comes back after longer than any clock counts.
fn moment(delay: Duration) -> Instant {
    const NEVER: Duration = Duration::from_secs(10 * 365 * 24 * 3600);
    Instant::now() + delay.min(NEVER)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(name: &str) -> Key {
        Key { kind: super::super::Kind::Kustomization, namespace: "n".into(), name: name.into() }
    }

    #[tokio::test(start_paused = true)]
    async fn a_key_added_while_it_runs_runs_once_more() {
        let queue = Queue::default();
        queue.add(key("a"));
        queue.add(key("a"));
        assert_eq!(queue.next().await, Some(key("a")));
        queue.add(key("a"));
        queue.add(key("a"));
        let second = tokio::time::timeout(Duration::from_secs(1), queue.next()).await;
        assert!(second.is_err(), "one worker at a time");
        queue.done(&key("a"));
        assert_eq!(queue.next().await, Some(key("a")));
        queue.done(&key("a"));
        assert!(queue.is_idle());
    }

    #[tokio::test(start_paused = true)]
    async fn what_has_no_interval_comes_back_when_somebody_asks_alone() {
        let queue = Queue::default();
        queue.come_back(key("a"), Duration::MAX);
        queue.add_after(key("b"), Duration::MAX);
        let none = tokio::time::timeout(Duration::from_secs(365 * 24 * 3600), queue.next()).await;
        assert!(none.is_err(), "not within a year");
        queue.add(key("a"));
        assert_eq!(queue.next().await, Some(key("a")));
    }

    #[tokio::test(start_paused = true)]
    async fn who_is_woken_wants_nothing_newer_than_before() {
        let (queue, began) = (Queue::default(), Instant::now());
        queue.add(key("a"));
        tokio::time::advance(Duration::from_secs(1)).await;
        queue.wake(key("a"));
        assert_eq!(queue.next().await, Some(key("a")));
        assert_eq!(queue.since(&key("a")), began);
        tokio::time::advance(Duration::from_secs(1)).await;
        queue.wake(key("a"));
        queue.done(&key("a"));
        assert_eq!(queue.next().await, Some(key("a")));
        assert_eq!(queue.since(&key("a")), began, "while it is worked on, too");
        queue.add(key("a"));
        queue.done(&key("a"));
        assert_eq!(queue.next().await, Some(key("a")));
        assert!(queue.since(&key("a")) > began);
    }

    #[tokio::test(start_paused = true)]
    async fn a_later_appointment_replaces_the_earlier_one() {
        let queue = Queue::default();
        queue.add_after(key("a"), Duration::from_secs(1));
        queue.add_after(key("a"), Duration::from_secs(60));
        let began = Instant::now();
        assert_eq!(queue.next().await, Some(key("a")));
        assert_eq!(began.elapsed(), Duration::from_secs(60));
    }

    #[tokio::test(start_paused = true)]
    async fn who_works_on_a_key_does_not_put_off_what_others_asked_for_meanwhile() {
        let (queue, began) = (Queue::default(), Instant::now());
        queue.add(key("a"));
        assert_eq!(queue.next().await, Some(key("a")));
        queue.add_after(key("a"), Duration::from_secs(1));
        queue.come_back(key("a"), Duration::from_secs(600));
        queue.done(&key("a"));
        assert_eq!(queue.next().await, Some(key("a")));
        assert_eq!(began.elapsed(), Duration::from_secs(1));
        queue.come_back(key("a"), Duration::from_secs(600));
        queue.done(&key("a"));
        assert_eq!(queue.next().await, Some(key("a")));
        assert_eq!(began.elapsed(), Duration::from_secs(601), "it was answered: nothing is promised any more");
    }

    #[tokio::test(start_paused = true)]
    async fn a_closed_queue_lets_its_workers_go() {
        let queue = std::sync::Arc::new(Queue::default());
        let worker = tokio::spawn({
            let queue = queue.clone();
            async move { queue.next().await }
        });
        tokio::task::yield_now().await;
        queue.close();
        assert_eq!(worker.await.unwrap(), None);
    }
}
