//! One real migration under caps on the threads that carry its stream.

use std::convert::Infallible;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use tokio::sync::watch;
use tokio::time::interval;
use uuid::Uuid;
use vmferry_core::{Outcome, Plan};
use vmferry_hypervisor::qmp::EventStream;
use vmferry_migrate::guard::{self, GuardHandle};
use vmferry_migrate::identity::Identity;
use vmferry_migrate::migration_threads::{StreamCap, StreamThreads, StreamUse};
use vmferry_migrate::state_dir::Lock;
use vmferry_migrate::undo::{self, Connections, UndoWhen};
use vmferry_migrate::{
    Baseline, CheckedPlan, DEFAULT_STALL_TIMEOUT, Ends, Journal, MigrateError, MoveDir, StateDir,
    finish,
};
use vmferry_model::cpu_profile::Caps;

use crate::Error;

/// Pause between two readings of the meters. The source's threads end with the
/// migration, and what they used after the last reading is not known.
const READING: Duration = Duration::from_millis(10);

/// What was measured of it.
#[derive(Clone, Debug)]
pub(crate) struct CappedMove {
    /// The move's outcome.
    pub(crate) outcome: Outcome,
    /// From the command until the source's cap held.
    pub(crate) uncapped: Option<Duration>,
    /// CPU that the source's threads used, from then on.
    pub(crate) source: Option<StreamUse>,
    /// CPU that the destination's thread used, up to the guest's stop.
    pub(crate) destination: Option<StreamUse>,
}

/// Makes a move under caps, and gives it up after `limit`. The caps, and all
/// else, are in the undo journal of the move before they are made, and a guard
/// stands by: nothing stays capped, whatever ends this program.
///
/// # Errors
/// When the move cannot start, or a cap cannot be put on: the move is cancelled
/// then. A move that starts under its caps always gives what was measured.
pub(crate) async fn run(
    plan: Plan,
    caps: Caps,
    limit: Duration,
    guard: impl FnOnce(&MoveDir) -> Command,
) -> Result<CappedMove, Error> {
    let ends = Ends::connect(&plan).await?;
    let checked = CheckedPlan::check(plan, ends.clone()).await?;
    let move_id = Uuid::now_v7();
    let mut site = Site::open(&ends, move_id, guard).await?;
    let moved = site.go(checked, &ends, caps, limit).await;
    let closed = site.close(&ends).await;
    let moved = moved?;
    closed?;
    Ok(moved)
}

/// What stands around the move.
struct Site {
    move_id: Uuid,
    dir: MoveDir,
    _owner: Lock,
    journal: Journal,
    guard: GuardHandle,
}

impl Site {
    async fn open(
        ends: &Ends,
        move_id: Uuid,
        guard: impl FnOnce(&MoveDir) -> Command,
    ) -> Result<Self, Error> {
        let (dir, owner) = StateDir::from_env()?.create_move(move_id)?;
        let open = async {
            let mut journal = Journal::create(&dir.journal_path())?;
            for end in [&ends.source, &ends.destination] {
                journal.belongs_to(end.uri(), Identity::of(end).await)?;
            }
            let guard = guard::spawn(guard(&dir), &dir).await?;
            Ok::<_, MigrateError>((journal, guard))
        };
        match open.await {
            Ok((journal, guard)) => Ok(Self {
                move_id,
                dir,
                _owner: owner,
                journal,
                guard,
            }),
            Err(error) => {
                // Nothing was changed on any host yet.
                let _ = dir.remove();
                Err(error.into())
            }
        }
    }

    async fn go(
        &mut self,
        checked: CheckedPlan,
        ends: &Ends,
        caps: Caps,
        limit: Duration,
    ) -> Result<CappedMove, Error> {
        let plan = checked.plan().clone();
        let mut steering = Steering {
            ends,
            move_id: self.move_id,
            caps,
            began: Instant::now(),
            source: None,
            destination: None,
            failed: None,
        };
        let events = ends.source.events();
        // From the first byte on: it is there before the stream.
        let threads = StreamThreads::loading(&ends.destination)?;
        steering.destination = Some(StreamCap::install(
            &mut self.journal,
            ends.destination.uri(),
            self.move_id,
            &threads,
            caps.destination,
        )?);
        let baseline = Baseline::bare(Timestamp::now());
        let running = checked
            .start(&mut self.journal, baseline, DEFAULT_STALL_TIMEOUT, |_| {
                Ok(())
            })
            .await?;
        steering.began = Instant::now();
        let cancel = watch::Sender::new(false);
        let asked = cancel.subscribe();
        let ended = tokio::select! {
            ended = running.supervise(asked, Arc::new(|_| ())) => ended,
            never = steering.steer(events, &mut self.journal, &cancel, limit) => match never {},
        };
        if let Some(error) = steering.failed {
            return Err(error);
        }
        Ok(CappedMove {
            outcome: finish::outcome(&ended, &plan),
            uncapped: steering
                .source
                .as_ref()
                .map(|source| source.since().duration_since(steering.began)),
            source: steering.source.as_ref().and_then(StreamCap::used),
            destination: steering.destination.as_ref().and_then(StreamCap::used),
        })
    }

    /// Undoes everything and sends the guard away.
    async fn close(mut self, ends: &Ends) -> Result<(), Error> {
        let mut connections = Connections::from([
            (ends.source.uri().clone(), ends.source.clone()),
            (ends.destination.uri().clone(), ends.destination.clone()),
        ]);
        let report = undo::undo(
            &mut self.journal,
            &mut connections,
            UndoWhen::AfterMigration,
        )
        .await;
        if !report.failed.is_empty() {
            // The guard is not dismissed: it takes over, and goes on trying.
            return Err(Error::Profiling(format!(
                "not everything could be put back after a profiling migration: {}; its guard goes on trying for a minute, then run `vmferry recover`",
                report.failed.join("; ")
            )));
        }
        self.guard.dismiss().await;
        self.dir.remove()?;
        Ok(())
    }
}

/// Puts the caps on, reads the meters and takes the destination's cap off.
struct Steering<'a> {
    ends: &'a Ends,
    move_id: Uuid,
    caps: Caps,
    began: Instant,
    source: Option<StreamCap>,
    destination: Option<StreamCap>,
    failed: Option<Error>,
}

impl Steering<'_> {
    async fn steer(
        &mut self,
        mut events: EventStream,
        journal: &mut Journal,
        cancel: &watch::Sender<bool>,
        limit: Duration,
    ) -> Infallible {
        if let Err(error) = self.cap_source(journal).await {
            self.failed = Some(error);
            cancel.send_replace(true);
        }
        let mut readings = interval(READING);
        let mut running = true;
        loop {
            tokio::select! {
                _ = readings.tick() => {
                    self.source.as_mut().map(StreamCap::read);
                    if running {
                        self.destination.as_mut().map(StreamCap::read);
                    }
                    if self.began.elapsed() > limit {
                        cancel.send_replace(true);
                    }
                }
                event = events.next() => match event {
                    // All that is left to load fits into the downtime: the thread that does it
                    // then starts the guest, and must not wait for its quota any more.
                    Some(event) if event.name == "STOP" => {
                        running = false;
                        self.source.as_mut().map(StreamCap::read);
                        if let Err(error) = self.lift_destination(journal) {
                            self.failed = Some(error);
                        }
                    }
                    Some(_) => {}
                    None => std::future::pending().await,
                },
            }
        }
    }

    async fn cap_source(&mut self, journal: &mut Journal) -> Result<(), Error> {
        let source = &self.ends.source;
        let threads = StreamThreads::sending(source).await?;
        let share = self.caps.source;
        let cap = StreamCap::install(journal, source.uri(), self.move_id, &threads, share)?;
        self.source = Some(cap);
        Ok(())
    }

    fn lift_destination(&mut self, journal: &mut Journal) -> Result<(), Error> {
        if let Some(destination) = &mut self.destination {
            destination.lift(journal)?;
        }
        Ok(())
    }
}
