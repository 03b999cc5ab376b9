//! Processor time of the threads that send a migration: they end with it, so they are looked at
//! while they run.

use std::collections::BTreeMap;
use std::fs;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio::time::sleep;

/// How often. What a thread does after the last look, at most so long, is not counted.
const EVERY: Duration = Duration::from_millis(20);

/// Begins of the names of sending threads: QEMU 10 and 9, multifd's before, the main one's before.
const NAMES: [&str; 3] = ["mig/src", "multifdsend", "live_migration"];

/// Follows the sending threads of a QEMU until it is dropped.
pub(super) struct SendingThreads {
    used: Arc<Mutex<BTreeMap<u32, Duration>>>,
    task: JoinHandle<()>,
}

impl SendingThreads {
    pub(super) fn follow(pid: u32) -> Self {
        let used: Arc<Mutex<BTreeMap<u32, Duration>>> = Arc::default();
        let told = Arc::clone(&used);
        let task = tokio::spawn(async move {
            loop {
                let seen = look(pid);
                told.lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .extend(seen);
                sleep(EVERY).await;
            }
        });
        Self { used, task }
    }

    /// What all of them have used, seconds; `None` where none was seen.
    pub(super) fn used_s(&self) -> Option<f64> {
        let used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        (!used.is_empty()).then(|| used.values().map(Duration::as_secs_f64).sum())
    }
}

impl Drop for SendingThreads {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// The sending threads there are, and what each has used.
fn look(pid: u32) -> Vec<(u32, Duration)> {
    let tasks = fs::read_dir(format!("/proc/{pid}/task"));
    let tasks = tasks.into_iter().flatten().flatten();
    tasks
        .filter_map(|task| {
            let name = fs::read_to_string(task.path().join("comm")).ok()?;
            let sends = NAMES.iter().any(|begin| name.starts_with(begin));
            let tid = task.file_name().to_str()?.parse().ok()?;
            let used = fs::read_to_string(task.path().join("schedstat")).ok()?;
            sends.then_some((tid, on_cpu(&used)?))
        })
        .collect()
}

/// The first field of `schedstat`: nanoseconds on a processor.
fn on_cpu(schedstat: &str) -> Option<Duration> {
    let nanos = schedstat.split_whitespace().next()?.parse().ok()?;
    Some(Duration::from_nanos(nanos))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn schedstat_begins_with_time_on_a_processor() {
        assert_eq!(on_cpu("2500000 17 3\n"), Some(Duration::from_micros(2500)));
        assert_eq!(on_cpu(""), None);
    }

    #[test]
    fn threads_are_found_by_their_names() {
        let (end, ended) = std::sync::mpsc::channel::<()>();
        let (begin, begun) = std::sync::mpsc::channel();
        let thread = std::thread::Builder::new().name("mig/src/main".to_owned());
        let thread = thread
            .spawn(move || {
                begin.send(()).expect("a listener");
                // Until the test has looked.
                let _ = ended.recv();
            })
            .expect("a thread");
        begun.recv().expect("the thread");
        let seen = look(std::process::id());
        drop(end);
        thread.join().expect("no panic");
        assert_eq!(seen.len(), 1, "{seen:?}");
    }
}
