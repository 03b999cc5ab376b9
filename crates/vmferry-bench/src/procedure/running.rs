//! A service over its running time, without and with migrations.

use std::time::Duration;

use tokio::time::Instant;

use super::{BenchEvent, Stopped, Watch, failed};
use crate::plan::BenchPlan;
use crate::platform::{ClientRecord, Service, Work};
use crate::record::{PointRecord, PointStatus, SectorWork, ServiceRun, WorkSample};

/// Length of a sector.
pub(super) fn sector(plan: &BenchPlan) -> Duration {
    Duration::from_secs_f64(plan.sector_s)
}

/// What the clients have done so far.
pub(super) async fn work<S: Service>(service: &mut S) -> Result<Work, Stopped> {
    let work = service.work().await;
    work.map_err(|fault| failed("the service", &fault))
}

/// Starts the clients and lets them run in; returns who they are and since when they run.
pub(super) async fn warm_up<S: Service>(
    service: &mut S,
    watch: &Watch<'_>,
) -> Result<(ClientRecord, Instant), Stopped> {
    let client = service.begin_load().await;
    let client = client.map_err(|fault| failed("the clients", &fault))?;
    let since = Instant::now();
    watch
        .until(since + Duration::from_secs_f64(watch.plan.warm_up_s))
        .await?;
    Ok((client, since))
}

/// The service without migrations.
pub(super) async fn reference<S: Service>(
    service: &mut S,
    watch: &mut Watch<'_>,
) -> Result<ServiceRun, Stopped> {
    let mut running = Running::begin(service, watch).await?;
    for _ in 0..=watch.plan.points {
        watch.until(running.sector.at + sector(watch.plan)).await?;
        running.end_sector(service).await?;
    }
    Ok(running.run())
}

/// The service with a migration after every sector but the last. What is known of the points stays
/// in `points`, also where the run does not get to its end.
pub(super) async fn migrated<S: Service>(
    service: &mut S,
    watch: &mut Watch<'_>,
    points: &mut Vec<PointRecord>,
) -> Result<ServiceRun, Stopped> {
    let mut running = Running::begin(service, watch).await?;
    watch.until(running.sector.at + sector(watch.plan)).await?;
    running.end_sector(service).await?;
    for number in 1..=watch.plan.points {
        let called = running.begin.at.elapsed();
        let moved = service.migrate().await;
        let mut point = moved.map_err(|fault| failed(&format!("point {number}"), &fault))?;
        point.point = number;
        point.at_s += called.as_secs_f64();
        let completed = point.status == PointStatus::Completed;
        points.push(point);
        let back = running.way_back(service, number).await?;
        if let Some(point) = points.last_mut() {
            point.back = completed.then_some(back);
            tell(watch, point);
        }
        if !back.checked {
            return Err(Stopped::Failed(format!(
                "after the way back of point {number} the service does not go on where it was"
            )));
        }
        let planned = running.sector.at + running.aside + sector(watch.plan);
        watch.until(planned).await?;
        running.end_sector(service).await?;
    }
    Ok(running.run())
}

fn tell(watch: &mut Watch<'_>, point: &PointRecord) {
    (watch.tell)(BenchEvent::Point {
        key: watch.key.clone(),
        point: point.point,
        of: watch.plan.points,
        status: point.status,
        total_time_ms: point.total_time_ms,
        downtime_ms: point.downtime.icmp_ms,
        failure: point.failure.clone(),
    });
}

/// A moment, and what was done by then.
#[derive(Clone, Debug)]
struct Moment {
    at: Instant,
    operations: u64,
    errors: u64,
}

impl Moment {
    fn of(work: &Work) -> Self {
        Self {
            at: Instant::now(),
            operations: work.operations,
            errors: work.errors,
        }
    }
}

/// A running time under way.
struct Running {
    client: ClientRecord,
    /// Since when the clients run.
    since: Instant,
    /// Begin of the running time.
    begin: Moment,
    /// Begin of the sector under way.
    sector: Moment,
    /// Of the sector under way, what does not count: the way back.
    aside: Duration,
    operations_aside: u64,
    errors_aside: u64,
    errors: u64,
    sectors: Vec<SectorWork>,
    /// What the clients said last.
    last: Work,
}

impl Running {
    async fn begin<S: Service>(service: &mut S, watch: &Watch<'_>) -> Result<Self, Stopped> {
        let (client, since) = warm_up(service, watch).await?;
        let last = work(service).await?;
        let begin = Moment::of(&last);
        Ok(Self {
            client,
            since,
            sector: begin.clone(),
            begin,
            aside: Duration::ZERO,
            operations_aside: 0,
            errors_aside: 0,
            errors: 0,
            sectors: Vec::new(),
            last,
        })
    }

    /// Ends the sector, and begins the next.
    async fn end_sector<S: Service>(&mut self, service: &mut S) -> Result<(), Stopped> {
        self.last = work(service).await?;
        let end = Moment::of(&self.last);
        let (begin, aside) = (&self.sector, self.aside);
        let operations = end.operations.saturating_sub(begin.operations);
        let errors = end.errors.saturating_sub(begin.errors);
        self.sectors.push(SectorWork {
            seconds: (end.at - begin.at).saturating_sub(aside).as_secs_f64(),
            operations: operations.saturating_sub(self.operations_aside),
        });
        self.errors += errors.saturating_sub(self.errors_aside);
        self.sector = end;
        self.aside = Duration::ZERO;
        self.operations_aside = 0;
        self.errors_aside = 0;
        Ok(())
    }

    /// Brings the guest back, and sets time and work of that aside.
    async fn way_back<S: Service>(
        &mut self,
        service: &mut S,
        number: u32,
    ) -> Result<crate::record::WayBack, Stopped> {
        let before = Moment::of(&work(service).await?);
        let back = service.bring_back().await;
        let back =
            back.map_err(|fault| failed(&format!("the way back of point {number}"), &fault))?;
        let after = Moment::of(&work(service).await?);
        self.aside = after.at - before.at;
        self.operations_aside = after.operations.saturating_sub(before.operations);
        self.errors_aside = after.errors.saturating_sub(before.errors);
        Ok(back)
    }

    /// The running time as a whole.
    fn run(self) -> ServiceRun {
        let before_s = (self.begin.at - self.since).as_secs_f64();
        let series = self.last.series.iter();
        ServiceRun {
            unit: self.client.unit,
            client: self.client.client,
            seconds: self.sectors.iter().map(|sector| sector.seconds).sum(),
            operations: self.sectors.iter().map(|sector| sector.operations).sum(),
            errors: self.errors,
            sectors: self.sectors,
            series: series
                .filter(|sample| sample.at_s >= before_s)
                .map(|sample| WorkSample {
                    at_s: sample.at_s - before_s,
                    operations: sample.operations.saturating_sub(self.begin.operations),
                })
                .collect(),
        }
    }
}
