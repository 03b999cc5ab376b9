//! A service in a guest of the testbed, with guests of the same kind beside it.

use std::time::{Duration, Instant};

use tokio::time::sleep;
use vmferry_bench::plan::{BenchPlan, Subject};
use vmferry_bench::platform::{ClientRecord, Fault, Service as BenchService, Setup, Work};
use vmferry_bench::record::{PointRecord, WayBack};
use vmferry_core::{Millis, Place};
use vmferry_measure::outage::{ProbeTarget, monotonic_ns};
use vmferry_testbed::{GuestSpec, Service, Side, TestGuest, Testbed, TestbedError};

use super::clients::{Client, Tools};
use super::looking::Looking;
use super::migration::Migration;
use super::power::{self, Power};
use super::{as_subject, testbed, with_left};
use crate::HistoryPlace;
use crate::energy::MeterOptions;

/// How long clients may take to go on: a lost segment is sent again within seconds, the tools report
/// once a second.
const GOES_ON_WITHIN: Duration = Duration::from_secs(20);
/// How long a service that is ready may take for its first answer, which may start a process of it:
/// 4 s were seen without KVM.
const ANSWERS_WITHIN: Duration = Duration::from_secs(60);
/// As long as the guest was not migrated no segment is lost: a client stalls that does nothing for
/// so long.
const STALLED: Duration = Duration::from_secs(10);

/// A service in a guest, clients outside, other guests of the same kind beside it.
pub struct QemuService {
    testbed: Testbed,
    plan: BenchPlan,
    subject: Subject,
    service: Service,
    tools: Tools,
    /// The one that is migrated, then those beside it.
    guests: Vec<TestGuest>,
    clients: Vec<Client>,
    /// Operations of the guests at the last question, and by when, seconds since the begin of the
    /// load.
    asked: Vec<(f64, u64)>,
    /// Where the guest is after a migration, however that ended; `None` once it was brought back.
    moved: Option<Place>,
    /// Since the begin of the load.
    migrated: bool,
    /// Probes ask from the begin of the load on, also where nothing is migrated: what they cost
    /// the service is no overhead of migrations.
    looking: Option<Looking>,
    /// From the begin of the load on, where the plan names meters.
    power: Option<Power>,
    /// Where moves are kept and learned from.
    history: HistoryPlace,
}

impl QemuService {
    pub(super) async fn start(
        setup: &Setup<'_>,
        history: HistoryPlace,
        tools: Tools,
    ) -> Result<Self, Fault> {
        let service: Service = setup.workload.parse()?;
        let mut this = Self {
            testbed: testbed(setup.plan).await?,
            plan: setup.plan.clone(),
            subject: setup.subject.clone(),
            service,
            tools,
            guests: Vec::new(),
            clients: Vec::new(),
            asked: Vec::new(),
            moved: None,
            migrated: false,
            history,
            looking: None,
            power: None,
        };
        for number in 0..=setup.background_guests {
            let name = match number {
                0 => service.name().to_owned(),
                _ => format!("{}-{number}", service.name()),
            };
            let spec = as_subject(GuestSpec::service(service, name), setup.subject);
            if let Err(fault) = this.add_guest(spec).await {
                return Err(with_left(fault, this.stop().await));
            }
        }
        Ok(this)
    }

    /// Starts a guest and waits until it answers clients: it says itself that it is ready, which
    /// is no answer over the network.
    async fn add_guest(&mut self, spec: GuestSpec) -> Result<(), Fault> {
        let look = format!(
            "look at it with `vmferry testbed up --memory {}MiB --load {}`",
            spec.memory.as_mib(),
            spec.load
        );
        let guest = self.testbed.start_guest(spec).await;
        let guest = guest.map_err(|error| match error {
            // Other errors say themselves what to do next.
            TestbedError::Load { .. } | TestbedError::NotReady { .. } => {
                format!("{error}; {look}").into()
            }
            error => Fault::from(error),
        })?;
        let looking = self.look_at(&guest)?;
        let patience = Instant::now() + ANSWERS_WITHIN;
        while looking.last_answered_ns().is_none() {
            if Instant::now() > patience {
                return Err(format!(
                    "guest {}: {} says that it is ready, but {} gave no answer by {} within {} s; {look}",
                    guest.name(),
                    self.service,
                    guest.record().ip,
                    looking.unanswered().join(", "),
                    ANSWERS_WITHIN.as_secs(),
                )
                .into());
            }
            sleep(Duration::from_millis(20)).await;
        }
        self.guests.push(guest);
        Ok(())
    }

    fn guest(&self) -> &TestGuest {
        &self.guests[0]
    }

    /// Starts to ask a guest.
    fn look_at(&self, guest: &TestGuest) -> Result<Looking, Fault> {
        let target = ProbeTarget {
            namespace: Some(self.testbed.client().path()),
            ..ProbeTarget::new(guest.record().ip)
        };
        Ok(Looking::start(self.service, &target)?)
    }

    /// Starts to ask the guest that is migrated.
    fn look(&mut self) -> Result<(), Fault> {
        self.looking = Some(self.look_at(self.guest())?);
        Ok(())
    }

    /// Waits until the guest, which is at the source again, answers, and its service goes on with
    /// its clients; fails with what does not.
    async fn goes_on(&self) -> Result<(), Fault> {
        let name = self.guest().name();
        let state = self.guest().watch(Side::Source).await?.run_state().await?;
        if state.running != Some(true) {
            let is = state.status.unwrap_or_else(|| "unknown".to_owned());
            return Err(format!("guest {name} does not run at the source: it is `{is}`").into());
        }
        let done = |client: &Client| client.work().map(|work| work.operations);
        let Some(client) = self.clients.first() else {
            return Ok(());
        };
        let (before, since) = (done(client)?, monotonic_ns());
        let looking = self.looking.as_ref().ok_or("the load has not begun")?;
        let patience = Instant::now() + GOES_ON_WITHIN;
        let (mut works, mut answers) = (false, false);
        while !(works && answers) && Instant::now() < patience {
            sleep(Duration::from_millis(50)).await;
            works = !client.counts() || done(client)? > before;
            answers = looking.answered_since(since);
        }
        match (answers, works) {
            (true, true) => Ok(()),
            (true, false) => Err(client.stalled(GOES_ON_WITHIN.into())),
            (false, _) => {
                // What asks since the migration may have been answered before the way back.
                let silent = match looking.unanswered().as_slice() {
                    [] => "one of ICMP echo, TCP and the service's own requests".to_owned(),
                    silent => silent.join(", "),
                };
                let clients = if works { "go on" } else { "have done nothing" };
                Err(format!(
                    "guest {name} runs at the source again, but gave no answer by {silent} within \
                     {} s; its clients {clients}",
                    GOES_ON_WITHIN.as_secs(),
                )
                .into())
            }
        }
    }
}

impl BenchService for QemuService {
    async fn begin_load(&mut self) -> Result<ClientRecord, Fault> {
        for guest in &self.guests {
            self.clients
                .push(self.tools.start(&self.testbed, guest, self.service)?);
        }
        self.asked = vec![(0.0, 0); self.guests.len()];
        self.look()?;
        self.power =
            power::meters(&self.plan)?.map(|meters| Power::begin(meters, MeterOptions::default()));
        // The load has begun once we return.
        let (zero_ns, zero) = (monotonic_ns(), Instant::now());
        for client in &mut self.clients {
            client.count_from(zero_ns, zero);
        }
        Ok(self.clients[0].record())
    }

    async fn work(&mut self) -> Result<Work, Fault> {
        let client = self.clients.first().ok_or("the load has not begun")?;
        // Where the guest has moved, whether it goes on is looked at on the way back.
        if let (Some(looking), None) = (&self.looking, self.moved) {
            let limit = if self.migrated {
                GOES_ON_WITHIN
            } else {
                STALLED
            };
            client.check(looking.last_answered_ns(), limit)?;
        }
        client.work()
    }

    async fn background_rates(&mut self) -> Result<Vec<f64>, Fault> {
        let mut rates = Vec::new();
        for (client, asked) in self.clients.iter().zip(&mut self.asked).skip(1) {
            let (at_s, operations) = client.said()?;
            let seconds = (at_s - asked.0).max(1e-3);
            rates.push(operations.saturating_sub(asked.1) as f64 / seconds);
            *asked = (at_s, operations);
        }
        Ok(rates)
    }

    async fn migrate(&mut self) -> Result<PointRecord, Fault> {
        let looking = self.looking.take().ok_or("the load has not begun")?;
        let mut power = self.power.take();
        let migration = Migration {
            guest: self.guest(),
            plan: &self.plan,
            subject: &self.subject,
            history: &self.history,
        };
        let record = migration.run(looking, power.as_mut()).await?;
        self.power = power;
        self.look()?;
        let outcome = record.outcome.as_ref();
        // Without an outcome the migration did not begin.
        self.moved = Some(outcome.map_or(Place::RunningAtSource, |outcome| outcome.place));
        self.migrated = true;
        Ok(record)
    }

    async fn bring_back(&mut self) -> Result<WayBack, Fault> {
        let guest = self.guest();
        let stopped_ms = match self.moved {
            // It refuses where the guest may be at the source.
            Some(Place::RunningAtDestination | Place::Uncertain) => {
                Millis::from(guest.move_back_stopped().await?.stopped)
            }
            // A destination that awaited it has ended, or has its settings still.
            Some(Place::RunningAtSource) => {
                guest.restart_destination().await?;
                Millis(0.0)
            }
            None => Millis(0.0),
        };
        self.moved = None;
        self.goes_on().await?;
        Ok(WayBack {
            stopped_ms,
            checked: true,
        })
    }

    async fn stop(mut self) -> Result<(), Fault> {
        drop(self.looking.take());
        drop(self.power.take());
        let clients = std::mem::take(&mut self.clients);
        // Tools take some seconds for their last words.
        tokio::task::spawn_blocking(|| clients.into_iter().for_each(Client::stop)).await?;
        Ok(self.testbed.close().await?)
    }
}
