//! Two hosts with the eight guests, as `choose` sees them: a directory of
//! monitors each.

use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::json;
use tokio::sync::watch;
use vmferry::HistoryPlace;
use vmferry::choosing::report::ChooseReport;
use vmferry::choosing::{self, ChooseOptions, DestinationHost, HOST_BUDGET, HostUri};
use vmferry::core::plan::MoveLimits;
use vmferry::core::{ByteRate, Millis, MoveEvent, OutcomeStatus, Plan, StreamUri};
use vmferry::guard_command;
use vmferry::measure::{ObserveOptions, PageOptions};
use vmferry::migrate::{DEFAULT_STALL_TIMEOUT, EventSink};
use vmferry::model::choice::{Demand, Preset};
use vmferry::moving::{self, MoveOptions};
use vmferry::testbed::{Side, TestGuest, Testbed};

use crate::record::Moved;
use crate::{Fault, guests};

/// Rate of the link.
pub(crate) const LINK: ByteRate = ByteRate::from_mbit_per_s(400.0);
/// The downtime that an operator allows.
pub(crate) const LIMIT: Duration = Duration::from_millis(300);
/// A move that has not converged by then is made to: an operator raises the
/// limit step by step, Xen stops the guest in the end.
pub(crate) const RAISED_AFTER: Duration = Duration::from_secs(15);
/// More than any of the guests needs.
const RAISED_TO: Duration = Duration::from_secs(20);
/// Nothing takes longer.
const GIVEN_UP_AFTER: Duration = Duration::from_secs(120);
/// For the load of a guest that has booted to get into its stride.
const SETTLING: Duration = Duration::from_secs(5);
/// How long `choose` looks at the guests.
pub(crate) const WINDOW: Duration = Duration::from_secs(30);

pub(crate) struct Site {
    testbed: Testbed,
    guests: Vec<TestGuest>,
    /// The directories of monitors.
    directory: tempfile::TempDir,
    /// Where the destinations listen, as the source reaches them.
    via: StreamUri,
}

impl Site {
    pub(crate) async fn start() -> Result<Self, Fault> {
        let directory = tempfile::tempdir()?;
        for side in Side::BOTH {
            std::fs::create_dir(directory.path().join(side.name()))?;
        }
        let testbed = Testbed::builder().rate(LINK).build().await?;
        let mut guests = Vec::new();
        for spec in guests::specs() {
            println!("starting {}: {}", spec.name, spec.load);
            let guest = testbed.start_guest(spec).await?;
            for side in Side::BOTH {
                // A link stays good when the socket is made anew.
                let link = directory.path().join(side.name()).join(guest.name());
                symlink(guest.uri(side).path(), link)?;
            }
            guests.push(guest);
        }
        let via = guests.first().ok_or("no guests")?.via();
        tokio::time::sleep(SETTLING).await;
        Ok(Self {
            testbed,
            guests,
            directory,
            via,
        })
    }

    pub(crate) fn names(&self) -> Vec<String> {
        self.guests.iter().map(TestGuest::name).collect()
    }

    pub(crate) async fn close(self) -> Result<(), Fault> {
        Ok(self.testbed.close().await?)
    }

    fn host(&self, side: Side) -> HostUri {
        let path: PathBuf = self.directory.path().join(side.name());
        HostUri::Directory(path)
    }

    /// What `choose` says of one guest to move.
    pub(crate) async fn choose(&self) -> Result<ChooseReport, Fault> {
        self.choose_telling(|_| ()).await
    }

    /// The same; `tell` hears what goes on.
    pub(crate) async fn choose_telling(&self, tell: impl Fn(&str)) -> Result<ChooseReport, Fault> {
        let options = ChooseOptions {
            from: self.host(Side::Source),
            to: vec![DestinationHost {
                host: self.host(Side::Destination),
                via: self.via.clone(),
            }],
            demand: Demand::Count(1),
            weights: Preset::Balanced.weights(),
            worth: None,
            // As it is by itself: what is judged must not depend on a history.
            model: "pages".to_owned(),
            limits: limits(),
            rate: None,
            bandwidth: Some(LINK),
            observe: ObserveOptions {
                pages: PageOptions {
                    window: WINDOW,
                    budget: HOST_BUDGET,
                    ..PageOptions::default()
                },
                ..ObserveOptions::default()
            },
        };
        Ok(choosing::choose(&options, tell).await?.report)
    }

    /// Moves a guest, and starts it again at the source: by the same image, load
    /// and sizes it becomes the guest that it was.
    pub(crate) async fn move_and_restart(&self, name: &str) -> Result<Moved, Fault> {
        let guest = self.guests.iter().find(|guest| guest.name() == name);
        let guest = guest.ok_or_else(|| format!("there is no guest {name}"))?;
        let moved = self.move_one(guest).await?;
        guest.reset().await?;
        tokio::time::sleep(SETTLING).await;
        Ok(moved)
    }

    async fn move_one(&self, guest: &TestGuest) -> Result<Moved, Fault> {
        let plan = Plan {
            source: guest.source_uri(),
            destination: guest.destination_uri(),
            via: guest.via(),
            limits: limits(),
            tls_dir: None,
            promise: None,
        };
        let options = MoveOptions {
            history: HistoryPlace::Usual,
            model: "pages".to_owned(),
            bandwidth: Some(LINK),
            observe: ObserveOptions::default(),
            profile: None,
            // It was chosen; what a forecast would say of it now changes nothing.
            forecast: false,
            at_once: true,
            stall_timeout: DEFAULT_STALL_TIMEOUT,
        };
        let quiet: EventSink = Arc::new(|_: &MoveEvent| ());
        let prepared = moving::prepare(plan, &options, &quiet).await?;
        let monitor = guest.watch(Side::Source).await?;
        let (started, mut begins) = watch::channel(false);
        let sink: EventSink = Arc::new(move |event: &MoveEvent| {
            if matches!(event, MoveEvent::Started { .. }) {
                started.send_replace(true);
            }
        });
        let raised = Arc::new(AtomicBool::new(false));
        let flag = Arc::clone(&raised);
        let raising = tokio::spawn(async move {
            if begins.wait_for(|begun| *begun).await.is_err() {
                return Ok(());
            }
            tokio::time::sleep(RAISED_AFTER).await;
            flag.store(true, Ordering::Relaxed);
            let limit = json!({ "downtime-limit": RAISED_TO.as_millis() as u64 });
            monitor
                .request("migrate-set-parameters", Some(limit))
                .await
                .map(drop)
        });
        let (give_up, cancel) = watch::channel(false);
        let deadline = tokio::spawn(async move {
            tokio::time::sleep(GIVEN_UP_AFTER).await;
            give_up.send(true)
        });
        let report = prepared.go(guard_command, cancel, sink).await;
        deadline.abort();
        raising.abort();
        let outcome = report?.outcome.ok_or("no outcome")?;
        if outcome.status != OutcomeStatus::Completed {
            return Err(format!("{} did not move: {:?}", guest.name(), outcome.error).into());
        }
        Ok(Moved {
            guest: guest.name(),
            total_time_ms: outcome.total_time_ms.ok_or("no total time")?,
            downtime_ms: outcome.downtime_ms.ok_or("no downtime")?,
            transferred_bytes: outcome.transferred_bytes.ok_or("no traffic")?,
            passes: outcome.passes,
            raised: raised.load(Ordering::Relaxed),
        })
    }
}

const fn limits() -> MoveLimits {
    MoveLimits {
        max_downtime_ms: Some(Millis(LIMIT.as_millis() as f64)),
        max_bandwidth: Some(ByteRate(1e9)),
        deadline_ms: Millis(60_000.0),
    }
}
