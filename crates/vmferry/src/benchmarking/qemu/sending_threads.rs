//! Processor time of the threads that send a migration: they end with it, so they are looked at
//! while they run.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio::time::sleep;
use vmferry_migrate::migration_threads::sends;

/// How often. What a thread does after the last look, at most so long, is not counted.
const EVERY: Duration = Duration::from_millis(20);
/// New threads are looked for at one look of so many: that costs ten times as much, and what a
/// thread did before it was found is not lost.
const NEW_AT: u32 = 5;
/// Room for three numbers.
const ROOM: usize = 128;

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
            let mut threads = BTreeMap::new();
            for look in 0u32.. {
                if look % NEW_AT == 0 {
                    find(pid, &mut threads);
                }
                told.lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .extend(look_at(&threads));
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

/// Adds sending threads that are new: their numbers, and where the kernel tells what each used.
fn find(pid: u32, threads: &mut BTreeMap<u32, File>) {
    let tasks = fs::read_dir(format!("/proc/{pid}/task"));
    for task in tasks.into_iter().flatten().flatten() {
        let number = task.file_name().to_str().and_then(|name| name.parse().ok());
        let Some(number) = number.filter(|number| !threads.contains_key(number)) else {
            continue;
        };
        let sending = fs::read_to_string(task.path().join("comm")).is_ok_and(|name| sends(&name));
        if sending && let Ok(file) = File::open(task.path().join("schedstat")) {
            threads.insert(number, file);
        }
    }
}

/// What each that still runs has used.
fn look_at(threads: &BTreeMap<u32, File>) -> Vec<(u32, Duration)> {
    let used = |(number, file): (&u32, &File)| {
        let mut room = [0; ROOM];
        let length = file.read_at(&mut room, 0).ok()?;
        let text = str::from_utf8(&room[..length]).ok()?;
        Some((*number, on_cpu(text)?))
    };
    threads.iter().filter_map(used).collect()
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
        let mut threads = BTreeMap::new();
        find(std::process::id(), &mut threads);
        let seen = look_at(&threads);
        drop(end);
        thread.join().expect("no panic");
        assert_eq!(seen.len(), 1, "{seen:?}");
        assert_eq!(look_at(&threads), [], "it has ended");
    }
}
