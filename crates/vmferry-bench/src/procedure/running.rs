//! A service over its running time, without and with migrations.

use std::time::Duration;

use tokio::time::Instant;

use super::{BenchEvent, Stopped, Watch, failed};
use crate::error::words;
use crate::plan::BenchPlan;
use crate::platform::{ClientRecord, Fault, Service, Work};
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
        watch.until(running.planned(watch.plan)).await?;
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
    watch.until(running.planned(watch.plan)).await?;
    running.end_sector(service).await?;
    for number in 1..=watch.plan.points {
        let called_s = running.begin.at.elapsed().as_secs_f64();
        let mut point = match service.migrate().await {
            Ok(point) => point,
            Err(fault) => {
                // A guest that is lost must not count for less than one that stayed.
                let lost = lost(number, called_s, &fault);
                tell(watch, &lost);
                points.push(lost);
                return Err(failed(&format!("point {number}"), &fault));
            }
        };
        point.point = number;
        point.at_s += called_s;
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
        watch.until(running.planned(watch.plan)).await?;
        running.end_sector(service).await?;
    }
    Ok(running.run())
}

/// The point at which the guest was lost.
fn lost(number: u32, called_s: f64, fault: &Fault) -> PointRecord {
    PointRecord {
        point: number,
        at_s: called_s,
        failure: Some(words(fault.as_ref())),
        ..PointRecord::unmeasured(PointStatus::Failed)
    }
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

/// Tools say once a second what they have done. Silence of longer than that is a service that does
/// nothing.
const SILENCE: Duration = Duration::from_secs(2);

/// A moment, and what was done by then.
#[derive(Clone, Debug)]
pub(super) struct Moment {
    /// When the clients were asked.
    pub(super) at: Instant,
    /// When they had done so much: what was done since their last word is not in it.
    counted: Instant,
    operations: u64,
    errors: u64,
}

impl Moment {
    /// Now; the times of `work` count from `since` on.
    pub(super) fn of(work: &Work, since: Instant) -> Self {
        let at = Instant::now();
        let said = work.series.last().and_then(|last| {
            let said = since + Duration::try_from_secs_f64(last.at_s).ok()?;
            (last.operations == work.operations && at.saturating_duration_since(said) <= SILENCE)
                .then_some(said.min(at))
        });
        Self {
            at,
            counted: said.unwrap_or(at),
            operations: work.operations,
            errors: work.errors,
        }
    }

    /// What was done from an earlier moment to this one, and in what time.
    pub(super) fn since(&self, earlier: &Self) -> Done {
        Done {
            time: self.counted.saturating_duration_since(earlier.counted),
            operations: self.operations.saturating_sub(earlier.operations),
            errors: self.errors.saturating_sub(earlier.errors),
        }
    }
}

/// What was done between two moments.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Done {
    pub(super) time: Duration,
    pub(super) operations: u64,
    errors: u64,
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
    aside: Done,
    errors: u64,
    sectors: Vec<SectorWork>,
    /// What the clients said last.
    last: Work,
}

impl Running {
    async fn begin<S: Service>(service: &mut S, watch: &Watch<'_>) -> Result<Self, Stopped> {
        let (client, since) = warm_up(service, watch).await?;
        let last = work(service).await?;
        let begin = Moment::of(&last, since);
        Ok(Self {
            client,
            since,
            sector: begin.clone(),
            begin,
            aside: Done::default(),
            errors: 0,
            sectors: Vec::new(),
            last,
        })
    }

    /// Until when the sector under way lasts.
    fn planned(&self, plan: &BenchPlan) -> Instant {
        self.sector.at + self.aside.time + sector(plan)
    }

    /// Ends the sector, and begins the next.
    async fn end_sector<S: Service>(&mut self, service: &mut S) -> Result<(), Stopped> {
        self.last = work(service).await?;
        let end = Moment::of(&self.last, self.since);
        let done = end.since(&self.sector);
        let aside = std::mem::take(&mut self.aside);
        self.sectors.push(SectorWork {
            seconds: done.time.saturating_sub(aside.time).as_secs_f64(),
            operations: done.operations.saturating_sub(aside.operations),
        });
        self.errors += done.errors.saturating_sub(aside.errors);
        self.sector = end;
        Ok(())
    }

    /// Brings the guest back, and sets time and work of that aside.
    async fn way_back<S: Service>(
        &mut self,
        service: &mut S,
        number: u32,
    ) -> Result<crate::record::WayBack, Stopped> {
        let before = Moment::of(&work(service).await?, self.since);
        let back = service.bring_back().await;
        let back =
            back.map_err(|fault| failed(&format!("the way back of point {number}"), &fault))?;
        let after = Moment::of(&work(service).await?, self.since);
        self.aside = after.since(&before);
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
