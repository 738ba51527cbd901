//! Thread pool of a fleet.

use std::sync::OnceLock;

/// Minimum number of rows per task.
const MIN_GRAIN: usize = 16;

/// A thread pool that starts its threads on first use.
///
/// Threads do not survive a `fork`: in a child process the pool uses only the calling thread.
pub struct Pool {
    threads: usize,
    rows: usize,
    started: OnceLock<Started>,
}

struct Started {
    process: u32,
    pool: Option<rayon::ThreadPool>,
}

impl Pool {
    /// Creates a pool of `threads` threads for `rows` rows.
    pub fn new(threads: usize, rows: usize) -> Self {
        Self { threads: threads.max(1), rows, started: OnceLock::new() }
    }

    /// Runs `work` with the maximum number of rows of a task.
    pub(super) fn run<T: Send>(&self, work: impl FnOnce(usize) -> T + Send) -> T {
        let grain = self.rows.div_ceil(self.threads * 4).max(MIN_GRAIN);
        if self.threads == 1 || self.rows <= grain {
            return work(self.rows);
        }
        let started = self.started.get_or_init(|| Started {
            process: std::process::id(),
            pool: rayon::ThreadPoolBuilder::new().num_threads(self.threads).build().ok(),
        });
        match &started.pool {
            Some(pool) if started.process == std::process::id() => pool.install(|| work(grain)),
            _ => work(self.rows),
        }
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        // After a fork, joining the threads of the parent would block forever.
        if let Some(started) = self.started.take()
            && started.process != std::process::id()
        {
            std::mem::forget(started.pool);
        }
    }
}
