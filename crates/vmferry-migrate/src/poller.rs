//! Asks the source how far it is, in a task of its own: an answer that QEMU
//! delays must not delay the events.

use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::{MissedTickBehavior, interval};
use vmferry_hypervisor::qmp::{Guest, MigrationInfo};

/// How often the source is asked; events come in between.
pub(crate) const POLL: Duration = Duration::from_millis(200);

/// Answers until it is dropped.
pub(crate) struct Poller {
    task: JoinHandle<()>,
    wake: mpsc::Sender<()>,
}

impl Poller {
    /// Begins to ask, so often. An answer of `None` is the last: the connection broke.
    pub(crate) fn start(
        guest: Guest,
        every: Duration,
    ) -> (Self, mpsc::Receiver<Option<MigrationInfo>>) {
        let (wake, mut woken) = mpsc::channel(1);
        let (sender, receiver) = mpsc::channel(4);
        let task = tokio::spawn(async move {
            let mut ticks = interval(every);
            ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            loop {
                tokio::select! {
                    _ = ticks.tick() => {}
                    Some(()) = woken.recv() => {}
                }
                let answer = match guest.migration().await {
                    Ok(info) => Some(info),
                    Err(error) if error.is_closed() => None,
                    Err(error) => {
                        tracing::warn!(%error, "query-migrate");
                        continue;
                    }
                };
                let closed = answer.is_none();
                if sender.send(answer).await.is_err() || closed {
                    return;
                }
            }
        });
        (Self { task, wake }, receiver)
    }

    /// Asks at once.
    pub(crate) fn now(&self) {
        // Full means that an answer is on its way already.
        let _ = self.wake.try_send(());
    }
}

impl Drop for Poller {
    fn drop(&mut self) {
        self.task.abort();
    }
}
