//! Threads for a fleet.

use std::sync::OnceLock;

/// Fewest rows worth handing to another thread.
const MIN_GRAIN: usize = 16;

/// A thread pool that starts its threads when they are first needed.
///
/// Threads do not survive a `fork`; a pool that finds itself in a child process works on the
/// calling thread alone.
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
    /// A pool of `threads` threads for `rows` rows.
    #[must_use]
    pub fn new(threads: usize, rows: usize) -> Self {
        Self { threads: threads.max(1), rows, started: OnceLock::new() }
    }

    /// Runs `work` with the number of rows that it should not split any further.
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
        // Ending threads that a fork has left behind would wait for them forever.
        if let Some(started) = self.started.take()
            && started.process != std::process::id()
        {
            std::mem::forget(started.pool);
        }
    }
}
