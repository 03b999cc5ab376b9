//! Clients of a service on the testbed, counted the same for every service.

use std::time::{Duration, Instant};

use vmferry_bench::platform::{ClientRecord, Fault, Work};
use vmferry_bench::record::{ImageRecord, WorkSample};
use vmferry_core::{Bytes, Millis};
use vmferry_measure::outage::monotonic_ns;
use vmferry_testbed::client::{ClientLoad, ClientTools, ServiceClient};
use vmferry_testbed::{ConsoleWatch, Package, Service, TestGuest, Testbed, TimedReport};

/// Connections of every client: enough to keep one virtual CPU busy.
const CONNECTIONS: u16 = 4;

/// Tools that say nothing for longer than this do nothing.
const SILENCE: Duration = Duration::from_secs(2);

/// The tools of all clients.
#[derive(Clone, Debug)]
pub(super) struct Tools(ClientTools);

/// The clients of one guest.
pub(super) struct Client {
    service: Service,
    counted: Counted,
    start_ns: u64,
    start: Instant,
}

/// Who counts operations.
enum Counted {
    /// A tool outside the guest.
    Outside(ServiceClient),
    /// The guest itself, on its console.
    Inside(ConsoleWatch),
    /// Nobody: the guest does nothing.
    Nothing,
}

impl Tools {
    /// Fetches them where they are not cached.
    pub(super) async fn prepare() -> Result<Self, Fault> {
        Ok(Self(
            tokio::task::spawn_blocking(ClientTools::prepare).await??,
        ))
    }

    pub(super) fn record(&self) -> ImageRecord {
        ImageRecord {
            name: "clients".to_owned(),
            packages: versions(&self.0.manifest().packages),
        }
    }

    /// Starts the clients of a guest's service.
    pub(super) fn start(
        &self,
        testbed: &Testbed,
        guest: &TestGuest,
        service: Service,
    ) -> Result<Client, Fault> {
        let usual = ClientLoad::default();
        let load = ClientLoad {
            connections: CONNECTIONS,
            rate_per_s: None,
            set: service.usual_set().map_or(usual.set, Bytes),
        };
        let start_ns = monotonic_ns();
        let outside = self
            .0
            .start(testbed.client(), service, guest.record().ip, &load)?;
        let counted = match (outside, service) {
            (Some(client), _) => Counted::Outside(client),
            (None, Service::File) => Counted::Inside(guest.console_watch()),
            (None, _) => Counted::Nothing,
        };
        Ok(Client {
            service,
            counted,
            start_ns,
            start: Instant::now(),
        })
    }
}

/// Names and versions.
pub(super) fn versions(packages: &[Package]) -> Vec<(String, String)> {
    let pair = |package: &Package| (package.name.clone(), package.version.clone());
    packages.iter().map(pair).collect()
}

impl Client {
    pub(super) fn record(&self) -> ClientRecord {
        let (client, unit) = match self.service {
            Service::Web | Service::Application => ("wrk", "requests"),
            Service::Postgres => ("pgbench", "transactions"),
            Service::Mariadb => ("sysbench oltp_read_write", "transactions"),
            Service::Cache => ("redis-benchmark", "commands"),
            Service::Mail => (
                "smtp-source and one IMAP client",
                "letters and visits to the mailbox",
            ),
            Service::File => ("dbench", "operations"),
            Service::Standby => ("none", ""),
        };
        let client = match self.service {
            Service::File => format!("{client}, 2 clients in the guest"),
            Service::Standby => client.to_owned(),
            _ => format!("{client}, {CONNECTIONS} connections"),
        };
        ClientRecord {
            client,
            unit: self.counts().then(|| unit.to_owned()),
        }
    }

    /// Counts times from this moment on, the same for all clients of a load.
    pub(super) fn count_from(&mut self, zero_ns: u64, zero: Instant) {
        (self.start_ns, self.start) = (zero_ns, zero);
    }

    /// What was done by when, in seconds since the begin of the load: at the clients' last word, or
    /// now where they have said nothing for long.
    pub(super) fn said(&self) -> Result<(f64, u64), Fault> {
        let (work, now) = (self.work()?, self.start.elapsed());
        Ok((last_said_s(&work, now), work.operations))
    }

    /// Whether anybody counts operations.
    pub(super) fn counts(&self) -> bool {
        !matches!(self.counted, Counted::Nothing)
    }

    /// What was done so far.
    pub(super) fn work(&self) -> Result<Work, Fault> {
        let since = |at_ns: u64| at_ns.saturating_sub(self.start_ns) as f64 / 1e9;
        match &self.counted {
            Counted::Outside(client) => {
                let progress = client.progress();
                if let Some(fault) = progress.fault {
                    return Err(format!("the clients of {} ended: {fault}", self.service).into());
                }
                let sample = |point: &vmferry_testbed::client::ClientPoint| WorkSample {
                    at_s: since(point.at_ns),
                    operations: point.operations,
                };
                Ok(Work {
                    operations: progress.operations,
                    errors: progress.errors,
                    series: progress.series.iter().map(sample).collect(),
                })
            }
            Counted::Inside(console) => {
                let told = |report: &TimedReport| {
                    let at = report.at.saturating_duration_since(self.start);
                    (at.as_secs_f64(), report.progress.work.iter().sum::<u64>())
                };
                Ok(told_by_guest(console.reports().iter().map(told)))
            }
            Counted::Nothing => Ok(Work {
                operations: 0,
                errors: 0,
                series: Vec::new(),
            }),
        }
    }

    /// Fails where some client has done nothing for so long although the service answers, which it
    /// did last at `answered_ns`.
    pub(super) fn check(&self, answered_ns: Option<u64>, limit: Duration) -> Result<(), Fault> {
        let Counted::Outside(client) = &self.counted else {
            return Ok(());
        };
        match client.stall(answered_ns, limit) {
            None => Ok(()),
            Some(stall) => Err(self.stalled(stall.lasting_ms)),
        }
    }

    /// That nothing is done although the service answers.
    pub(super) fn stalled(&self, lasting: Millis) -> Fault {
        format!(
            "the clients of {} ({}) have done nothing for {:.0} s although it answers: they were \
             stopped, or get too little of this machine; `vmferry bench resume --retry-failed` makes the \
             run again",
            self.service,
            self.record().client,
            lasting.0 / 1e3
        )
        .into()
    }

    pub(super) fn stop(self) {
        if let Counted::Outside(client) = self.counted {
            drop(client.stop());
        }
    }
}

/// As the procedure counts: tools say once a second what they have done.
fn last_said_s(work: &Work, now: Duration) -> f64 {
    let now_s = now.as_secs_f64();
    let last = work.series.last().filter(|last| {
        last.operations == work.operations && now_s - last.at_s <= SILENCE.as_secs_f64()
    });
    last.map_or(now_s, |last| last.at_s)
}

/// What a guest counts itself. It reports every 100 ms what its program said last, which is once a
/// second: a number holds from its first report on, and not at the later ones.
fn told_by_guest(reports: impl Iterator<Item = (f64, u64)>) -> Work {
    let mut first = None;
    let mut series: Vec<WorkSample> = Vec::new();
    for (at_s, done) in reports {
        let operations = done.saturating_sub(*first.get_or_insert(done));
        let last = series.last();
        if last.is_none_or(|last| last.operations != operations) {
            series.push(WorkSample { at_s, operations });
        }
    }
    Work {
        operations: series.last().map_or(0, |last| last.operations),
        errors: 0,
        series,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_done_is_as_old_as_the_last_word() {
        let at_s = 9.0;
        let mut work = Work {
            operations: 70,
            errors: 0,
            series: vec![WorkSample {
                at_s,
                operations: 70,
            }],
        };
        let said = |work: &Work, now_ms| last_said_s(work, Duration::from_millis(now_ms));
        assert_eq!(said(&work, 9900), 9.0);
        assert_eq!(said(&work, 12_000), 12.0, "nothing was done since");
        work.operations = 80;
        assert_eq!(said(&work, 9900), 9.9, "the last word is of fewer");
        work.series.clear();
        assert_eq!(said(&work, 9900), 9.9);
    }

    #[test]
    fn a_count_of_the_guest_is_as_old_as_its_first_report() {
        // dbench speaks at 0.3 s and once a second from then on.
        let said = |tenth: u64| (tenth as f64 / 10.0, 500 + 700 * ((tenth + 7) / 10));
        let work = told_by_guest((0..40).map(said));
        let points = work.series.iter();
        let points: Vec<(f64, u64)> = points.map(|one| (one.at_s, one.operations)).collect();
        assert_eq!(
            points,
            [(0.0, 0), (0.3, 700), (1.3, 1400), (2.3, 2100), (3.3, 2800)]
        );
        assert_eq!(work.operations, 2800);
        assert_eq!(told_by_guest(std::iter::empty()).operations, 0);
    }
}
