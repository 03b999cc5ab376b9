//! What the bench sees and does of a move over the second monitor: QEMU's own throttle, and the
//! end that is forced at the cap on time.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde_json::{Map, Value, json};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use vmferry::core::{Millis, Ratio};
use vmferry::hypervisor::qmp::Guest;

/// How often QEMU is asked.
const LOOK_EVERY: Duration = Duration::from_millis(200);
/// The longest `downtime-limit` that QEMU takes, ms: whatever remains fits.
const ANY_DOWNTIME_MS: u64 = 2_000_000;

/// What was seen.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sight {
    /// Share of its CPU that QEMU's own throttle left the guest, from each change on.
    pub(crate) shares: Vec<(Millis, Ratio)>,
    /// When the guest was made to stop.
    pub(crate) forced_at: Option<Millis>,
    /// Why it could not be.
    pub(crate) trouble: Option<String>,
}

/// Looks at one move from its command on.
pub(crate) struct Onlooker {
    sight: Arc<Mutex<Sight>>,
    looking: JoinHandle<()>,
}

impl Onlooker {
    /// Waits for the command, whose instant `began` tells.
    pub(crate) fn start(
        monitor: Guest,
        began: watch::Receiver<Option<Instant>>,
        force_after: Duration,
    ) -> Self {
        let sight = Arc::<Mutex<Sight>>::default();
        let looking = tokio::spawn(look(monitor, began, force_after, Arc::clone(&sight)));
        Self { sight, looking }
    }

    /// Ends looking, and frees the monitor.
    pub(crate) fn end(self) -> Sight {
        self.looking.abort();
        lock(&self.sight).clone()
    }
}

async fn look(
    monitor: Guest,
    mut began: watch::Receiver<Option<Instant>>,
    force_after: Duration,
    sight: Arc<Mutex<Sight>>,
) {
    let began = match began.wait_for(Option::is_some).await {
        Ok(instant) => *instant,
        Err(_) => return,
    };
    let Some(began) = began else { return };
    let mut ticks = tokio::time::interval(LOOK_EVERY);
    loop {
        ticks.tick().await;
        let Ok(info) = monitor.migration().await else {
            return;
        };
        let now = Millis::from(began.elapsed());
        let left = info
            .cpu_throttle_percent
            .map(|percent| Ratio(1.0 - percent as f64 / 100.0));
        let due = {
            let mut sight = lock(&sight);
            if let Some(left) = left
                && sight.shares.last().is_none_or(|(_, share)| *share != left)
            {
                sight.shares.push((now, left));
            }
            // Again and again: a controller may set its own limit after ours.
            now.duration() >= force_after
        };
        if due {
            let limit = Map::from_iter([("downtime-limit".to_owned(), json!(ANY_DOWNTIME_MS))]);
            force(&monitor, limit, now, &sight).await;
        }
    }
}

async fn force(monitor: &Guest, limit: Map<String, Value>, now: Millis, sight: &Mutex<Sight>) {
    let set = monitor.set_parameters(limit).await;
    let mut sight = lock(sight);
    match set {
        Ok(()) => sight.forced_at = sight.forced_at.or(Some(now)),
        // Once the guest is stopped nothing need be set.
        Err(error) if sight.forced_at.is_none() => sight.trouble = Some(error.to_string()),
        Err(_) => {}
    }
}

fn lock(sight: &Mutex<Sight>) -> std::sync::MutexGuard<'_, Sight> {
    sight.lock().unwrap_or_else(PoisonError::into_inner)
}
