//! `Plan -> CheckedPlan -> RunningMigration`: a move cannot start unchecked.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use serde_json::{Map, json};
use vmferry_core::{ByteRate, Millis, Plan, Throttle};
use vmferry_hypervisor::HypervisorError;
use vmferry_hypervisor::qmp::{MigrationAddress, TLS_OBJECT};

use crate::change::Changer;
use crate::ends::Ends;
use crate::error::{End, MigrateError, PreflightFailure};
use crate::facts;
use crate::journal::{Journal, UndoAction};
use crate::meters::Baseline;
use crate::place;
use crate::postcopy;
use crate::preflight::{self, Check, EndFacts};
use crate::running::RunningMigration;

/// A plan whose pre-flight checks have all passed.
#[derive(Debug)]
pub struct CheckedPlan {
    plan: Plan,
    ends: Ends,
    source: EndFacts,
    destination: EndFacts,
    checks: Vec<Check>,
    beginning: Beginning,
}

/// What is set before the migration command beside the plan's limits, where
/// the move is steered: it may be over before anybody steers.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Beginning {
    /// `downtime-limit`, instead of the plan's.
    pub downtime_limit: Option<Duration>,
    /// `avail-switchover-bandwidth`: what the switchover is known to get,
    /// however slowly memory is sent before. Not known to QEMU before 8.2.
    pub switchover_bandwidth: Option<ByteRate>,
}

impl CheckedPlan {
    /// Asks both ends and runs every check. Changes nothing.
    ///
    /// # Errors
    /// [`MigrateError::Preflight`] with every check when one failed.
    pub async fn check(plan: Plan, ends: Ends) -> Result<Self, MigrateError> {
        let (source, destination) = tokio::join!(
            facts::gather(&ends.source, End::Source, &plan),
            facts::gather(&ends.destination, End::Destination, &plan),
        );
        let (source, destination) = (source?, destination?);
        let checks = preflight::check(&plan, &source, &destination);
        if checks.iter().all(|check| check.passed) {
            Ok(Self {
                plan,
                ends,
                source,
                destination,
                checks,
                beginning: Beginning::default(),
            })
        } else {
            let failure = PreflightFailure {
                guest: plan.source,
                destination: plan.destination,
                checks,
            };
            Err(MigrateError::Preflight(Box::new(failure)))
        }
    }

    /// The same, begun otherwise.
    #[must_use]
    pub fn begun_with(self, beginning: Beginning) -> Self {
        Self { beginning, ..self }
    }

    /// What was checked.
    pub fn checks(&self) -> &[Check] {
        &self.checks
    }

    /// The plan.
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// What the source said.
    pub fn source(&self) -> &EndFacts {
        &self.source
    }

    /// What the destination said.
    pub fn destination(&self) -> &EndFacts {
        &self.destination
    }

    /// Both ends.
    pub fn ends(&self) -> &Ends {
        &self.ends
    }

    /// Sets the limits, lets the destination listen and gives the command.
    /// Every change is in the journal before it is made. `keep` is called
    /// with the baseline right before the command: whoever takes over needs it.
    ///
    /// # Errors
    /// When an end refuses; the caller undoes the journal.
    pub async fn start(
        self,
        journal: &mut Journal,
        baseline: Baseline,
        stall_timeout: Duration,
        keep: impl FnOnce(&Baseline) -> Result<(), MigrateError>,
    ) -> Result<RunningMigration, MigrateError> {
        let Self {
            plan,
            ends,
            beginning,
            ..
        } = self;
        // Minutes may have passed since the checks: somebody was asked.
        Self::check(plan.clone(), ends.clone()).await?;
        let streams = (ends.source.events(), ends.destination.events());
        let address = MigrationAddress::from(&plan.via);
        // Before the destination listens: a disk that is full now leaves no listener.
        let baseline = baseline.begin();
        keep(&baseline)?;
        let begun = match make_ready(&plan, &beginning, &ends, &address, journal).await {
            Ok(()) => {
                let baseline = baseline.begin();
                let began = Instant::now();
                match ends.source.migrate(&address).await {
                    Ok(()) => Ok((baseline, began, false)),
                    // Whether QEMU has begun is not known: it is followed, and tells.
                    Err(HypervisorError::Timeout { .. } | HypervisorError::Closed { .. }) => {
                        Ok((baseline, began, true))
                    }
                    Err(refused) => Err(MigrateError::at(End::Source)(refused)),
                }
            }
            Err(error) => Err(error),
        };
        match begun {
            Ok((baseline, began, unsure)) => {
                let running =
                    RunningMigration::attach(ends, plan, baseline, began, streams, stall_timeout);
                Ok(if unsure {
                    running.joined_late()
                } else {
                    running
                })
            }
            Err(MigrateError::End { source, .. }) => {
                let check = place::find(
                    (&plan.source, Some(&ends.source)),
                    (&plan.destination, Some(&ends.destination)),
                    Duration::from_secs(5),
                )
                .await;
                Err(MigrateError::NotStarted {
                    guest: Box::new(plan.source),
                    place: check.place(),
                    source,
                })
            }
            Err(other) => Err(other),
        }
    }
}

/// Everything that must be set before the command.
async fn make_ready(
    plan: &Plan,
    beginning: &Beginning,
    ends: &Ends,
    address: &MigrationAddress,
    journal: &mut Journal,
) -> Result<(), MigrateError> {
    for (end, guest) in [
        (End::Source, &ends.source),
        (End::Destination, &ends.destination),
    ] {
        let mut changer = Changer {
            end,
            guest,
            journal,
        };
        changer.enable("events").await?;
        // With it the source learns whether the destination has loaded the
        // guest, and keeps it otherwise.
        changer.enable("return-path").await?;
        if end == End::Source
            && let Some(capability) = plan.promise.and_then(|p| throttled_by(p.throttle))
        {
            if capability == DIRTY_LIMIT {
                changer
                    .journal
                    .about_to_change(guest.uri(), UndoAction::CancelDirtyLimit)?;
            }
            changer.enable(capability).await?;
        }
        if postcopy::allowed(plan) {
            // Refused where its host cannot tell QEMU of missing pages.
            let enabled = changer.enable(postcopy::CAPABILITY).await;
            enabled.map_err(|error| match error {
                MigrateError::End { end, source } if source.is_refused() => {
                    MigrateError::NoPostCopy { end, source }
                }
                other => other,
            })?;
        }
        let mut wanted = parameters(plan, beginning, end);
        if wanted.contains_key(SWITCHOVER_BANDWIDTH)
            && !changer.knows_parameter(SWITCHOVER_BANDWIDTH).await?
        {
            wanted.remove(SWITCHOVER_BANDWIDTH);
        }
        changer.set_parameters(wanted).await?;
        if let Some(dir) = &plan.tls_dir {
            add_tls(&mut changer, dir, plan).await?;
        }
    }
    // A cancel may forbid the destination to start the guest: whoever takes
    // over must know to let it go.
    journal.about_to_change(
        &plan.destination,
        UndoAction::SettleFence {
            source: plan.source.clone(),
        },
    )?;
    let listening = ends.destination.migrate_incoming(address).await;
    listening
        .map(drop)
        .map_err(MigrateError::at(End::Destination))
}

const DIRTY_LIMIT: &str = "dirty-limit";
/// Not known to QEMU before 8.2: the switchover is then planned with the rate
/// that memory was sent at.
const SWITCHOVER_BANDWIDTH: &str = "avail-switchover-bandwidth";

/// The capability with which the hypervisor throttles the guest by itself.
fn throttled_by(throttle: Throttle) -> Option<&'static str> {
    match throttle {
        Throttle::Qemu => Some("auto-converge"),
        Throttle::DirtyLimit => Some(DIRTY_LIMIT),
        _ => None,
    }
}

fn parameters(plan: &Plan, beginning: &Beginning, end: End) -> Map<String, serde_json::Value> {
    let mut wanted = Map::new();
    if end == End::Source {
        let limit = beginning.downtime_limit.map(Millis::from);
        if let Some(limit) = limit.or(plan.limits.max_downtime_ms) {
            wanted.insert("downtime-limit".into(), json!(limit.0.round() as u64));
        }
        if let Some(rate) = beginning.switchover_bandwidth {
            let rate = rate.0.round() as u64;
            wanted.insert(SWITCHOVER_BANDWIDTH.into(), json!(rate));
        }
        if let Some(rate) = plan.limits.max_bandwidth {
            wanted.insert("max-bandwidth".into(), json!(rate.0.round() as u64));
        }
    }
    wanted
}

async fn add_tls(changer: &mut Changer<'_>, dir: &str, plan: &Plan) -> Result<(), MigrateError> {
    let role = if changer.end == End::Source {
        "client"
    } else {
        "server"
    };
    let dir = PathBuf::from(dir);
    let object = json!({
        "qom-type": "tls-creds-x509",
        "id": TLS_OBJECT,
        "dir": dir,
        "endpoint": role,
        "verify-peer": true,
    });
    changer.add_object(TLS_OBJECT, object).await?;
    let mut wanted = Map::from_iter([("tls-creds".to_owned(), json!(TLS_OBJECT))]);
    if changer.end == End::Source {
        wanted.insert("tls-hostname".into(), json!(plan.via.host));
    }
    changer.set_parameters(wanted).await
}
