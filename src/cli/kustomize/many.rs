//! Many folders at once.

use std::io::{self, IsTerminal as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

/// What `make` makes of each folder, in the order of the folders; as many at a time as there are processors.
pub(super) fn each<T: Send + Sync>(folders: &[PathBuf], make: impl Fn(&Path) -> T + Sync) -> Vec<T> {
    let made: Vec<OnceLock<T>> = folders.iter().map(|_| OnceLock::new()).collect();
    let (next, progress) = (AtomicUsize::new(0), Progress::of(folders.len()));
    let work = || {
        let open = || {
            let at = next.fetch_add(1, Ordering::Relaxed);
            folders.get(at).zip(made.get(at))
        };
        while let Some((folder, place)) = open() {
            place.get_or_init(|| make(folder));
            progress.step();
        }
    };
    let others = thread::available_parallelism().map_or(1, usize::from).min(folders.len()).saturating_sub(1);
    thread::scope(|scope| {
        for _ in 0..others {
            scope.spawn(work);
        }
        work();
    });
    progress.end();
    made.into_iter().filter_map(OnceLock::into_inner).collect()
}

/// How many folders are done, for whoever watches a terminal.
struct Progress {
    all: usize,
    done: AtomicUsize,
    is_shown: bool,
}

impl Progress {
    fn of(all: usize) -> Self {
        Self { all, done: AtomicUsize::new(0), is_shown: all > 1 && io::stderr().is_terminal() }
    }

    fn step(&self) {
        let done = self.done.fetch_add(1, Ordering::Relaxed) + 1;
        if self.is_shown {
            // Whoever does not see it misses nothing.
            let _ = write!(io::stderr(), "\r{done} of {} folders built", self.all);
        }
    }

    /// Clears the line.
    fn end(&self) {
        if self.is_shown {
            let _ = write!(io::stderr(), "\r\x1b[K");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_made_stands_in_the_order_of_the_folders() {
        let folders: Vec<PathBuf> = (0..100).map(|number| PathBuf::from(number.to_string())).collect();
        assert_eq!(each(&folders, |folder| folder.to_path_buf()), folders);
        assert_eq!(each(&[], |folder| folder.to_path_buf()), Vec::<PathBuf>::new());
    }
}
