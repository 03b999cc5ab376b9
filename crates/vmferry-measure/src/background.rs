//! Blocking work on a thread of its own, which stops when nobody waits for it any more.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use tokio::sync::oneshot;

use crate::MeasureError;

/// Set when the waiting future is dropped.
struct CancelOnDrop(Arc<AtomicBool>);

impl Drop for CancelOnDrop {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Runs `work` on a thread called `name`. Not tokio's blocking pool: sampling keeps a pace, and
/// must not queue behind others. Dropping the future sets the flag given to `work`.
pub(crate) async fn run<T: Send + 'static>(
    name: &str,
    work: impl FnOnce(&AtomicBool) -> Result<T, MeasureError> + Send + 'static,
) -> Result<T, MeasureError> {
    let cancel = CancelOnDrop(Arc::new(AtomicBool::new(false)));
    let flag = Arc::clone(&cancel.0);
    let (answer, result) = oneshot::channel();
    thread::Builder::new()
        .name(format!("measure-{name}"))
        .spawn(move || {
            // Nobody waits for the answer of cancelled work.
            let _ = answer.send(work(&flag));
        })
        .map_err(|source| MeasureError::Thread { source })?;
    result.await.unwrap_or_else(|_| {
        Err(MeasureError::Thread {
            source: io::Error::other("it died"),
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn dropping_the_future_cancels_the_work() {
        let (seen, ended) = oneshot::channel();
        let (started, begun) = oneshot::channel();
        let waiting = run("test", move |cancel| {
            let _ = started.send(());
            while !cancel.load(Ordering::Relaxed) {
                thread::yield_now();
            }
            let _ = seen.send(());
            Ok(())
        });
        tokio::select! {
            _ = waiting => panic!("the work cannot end by itself"),
            begun = begun => begun.unwrap(),
        }
        ended.await.unwrap();
    }

    #[tokio::test]
    async fn a_panic_is_an_error() {
        let result = run::<()>("test", |_| panic!("on purpose")).await;
        assert!(matches!(result, Err(MeasureError::Thread { .. })));
    }
}
