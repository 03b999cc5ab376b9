//! Energy of migrations, by the power meters that a plan names.
//!
//! They are read from the begin of a run's load on. What the hosts draw until the first migration,
//! under the same load, is the background (P_0 of `liu2011` eq. 16) of all migrations of the run:
//! the time between two is too short to tell one before each, and begins with a guest that was just
//! brought back.

use std::time::Instant;

use tokio::sync::watch;
use tokio::task::JoinHandle;
use vmferry_bench::plan::BenchPlan;
use vmferry_bench::record::{HostEnergy, MeteredHost};
use vmferry_measure::power::{PowerError, PowerSeries};
use vmferry_model::energy::{Background, energy_above};

use crate::Error;
use crate::energy::{MeterOptions, MeterPair, Series};

/// The meters of a run.
pub(super) struct Power {
    meters: MeterPair,
    options: MeterOptions,
    watch: Watch,
    /// Of source and destination, once a migration asked for them.
    backgrounds: Option<[Option<Background>; 2]>,
}

/// Meters that are being read.
struct Watch {
    stop: watch::Sender<bool>,
    task: JoinHandle<Result<Series, Error>>,
}

/// A migration by the clock: when it was asked for, commanded, and ended.
#[derive(Clone, Copy, Debug)]
pub(super) struct Moments {
    pub(super) asked: Instant,
    pub(super) began: Instant,
    pub(super) ended: Instant,
}

/// The meters that a plan names; `None` where it names none.
pub(super) fn meters(plan: &BenchPlan) -> Result<Option<MeterPair>, PowerError> {
    let read = |name: &Option<String>| name.as_ref().map(|name| name.parse()).transpose();
    let meters = MeterPair {
        source: read(&plan.meter)?,
        destination: read(&plan.destination_meter)?,
    };
    Ok((meters != MeterPair::default()).then_some(meters))
}

/// Whether each of them is there, before anything is measured.
pub(super) fn check(plan: &BenchPlan) -> Result<(), PowerError> {
    if let Some(meters) = meters(plan)? {
        for meter in [meters.source, meters.destination].into_iter().flatten() {
            meter.open()?;
        }
    }
    Ok(())
}

impl Watch {
    fn begin(meters: &MeterPair, options: &MeterOptions) -> Self {
        let (stop, stopped) = watch::channel(false);
        let (meters, sampling) = (meters.clone(), options.sampling);
        let task = tokio::spawn(async move { meters.sampled(&sampling, &stopped).await });
        Self { stop, task }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Power {
    /// Begins to read.
    pub(super) fn begin(meters: MeterPair, options: MeterOptions) -> Self {
        Self {
            watch: Watch::begin(&meters, &options),
            meters,
            options,
            backgrounds: None,
        }
    }

    /// A migration has ended: one more reading, which is taken beside all else, and no more.
    pub(super) fn end(&self) {
        self.watch.stop.send_replace(true);
    }

    /// What it cost the hosts. Meters are read on for the next one, whatever became of this.
    ///
    /// # Errors
    /// When a meter failed, or does not tell it.
    pub(super) async fn energy(&mut self, moments: &Moments) -> Result<Vec<HostEnergy>, Error> {
        self.end();
        let read = (&mut self.watch.task).await;
        self.watch = Watch::begin(&self.meters, &self.options);
        let died = |error| Error::NothingMeasured(format!("reading the meters ended: {error}"));
        let (source, destination) = read.map_err(died)??;
        let series = [source, destination];
        let backgrounds = match self.backgrounds {
            Some(backgrounds) => backgrounds,
            None => *self.backgrounds.insert([
                self.background(series[0].as_ref(), moments.asked)?,
                self.background(series[1].as_ref(), moments.asked)?,
            ]),
        };
        let hosts = [MeteredHost::Source, MeteredHost::Destination];
        let mut found = Vec::new();
        for ((host, series), background) in hosts.into_iter().zip(series).zip(backgrounds) {
            let (Some(series), Some(background)) = (series, background) else {
                continue;
            };
            let (began, ended) = (series.at(moments.began), series.at(moments.ended));
            found.push(HostEnergy {
                host,
                energy: energy_above(&background, &series.samples, began, ended)?,
                meter: series.meter,
                refused_readings: series.refused,
            });
        }
        Ok(found)
    }

    /// What a host drew before a migration was asked for.
    fn background(
        &self,
        series: Option<&PowerSeries>,
        asked: Instant,
    ) -> Result<Option<Background>, Error> {
        let Some(series) = series else {
            return Ok(None);
        };
        let wanted = &self.options.stability;
        let until = series.at(asked);
        let from = until.saturating_sub(wanted.window);
        let samples = &series.samples;
        let before = samples.partition_point(|one| one.until <= from);
        let behind = samples.partition_point(|one| one.until <= until);
        Ok(Some(Background::of(&samples[before..behind], wanted)?))
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;
    use std::time::Duration;

    use vmferry_measure::power::SampleOptions;
    use vmferry_model::energy::Stability;

    use super::*;

    fn plan(meter: &str) -> BenchPlan {
        BenchPlan {
            meter: Some(meter.to_owned()),
            ..BenchPlan::quick()
        }
    }

    /// A sensor that shows this power, one watt up and down, for a time.
    async fn draws(sensor: &Path, watts: u64, lasting: Duration) {
        let begin = Instant::now();
        let mut up = 0;
        while begin.elapsed() < lasting {
            up = 1 - up;
            fs::write(sensor, format!("{}\n", (watts + up) * 1_000_000)).expect("written");
            tokio::time::sleep(Duration::from_millis(15)).await;
        }
    }

    #[tokio::test]
    async fn migrations_are_metered_above_the_time_before_the_first() {
        let dir = tempfile::tempdir().expect("a directory");
        let sensor = dir.path().join("power1_average");
        fs::write(&sensor, "100000000\n").expect("written");
        let plan = plan(&format!("hwmon:{}", sensor.display()));
        let meters = meters(&plan).expect("a sensor").expect("one is named");
        let options = MeterOptions {
            stability: Stability {
                least_time: Duration::from_millis(500),
                ..Stability::default()
            },
            sampling: SampleOptions {
                interval: Duration::from_millis(20),
                ..SampleOptions::default()
            },
        };
        let mut power = Power::begin(meters, options);
        draws(&sensor, 100, Duration::from_secs(1)).await;
        for watts in [150, 130] {
            let asked = Instant::now();
            draws(&sensor, 100, Duration::from_millis(100)).await;
            let began = Instant::now();
            draws(&sensor, watts, Duration::from_millis(400)).await;
            let moments = Moments {
                asked,
                began,
                ended: Instant::now(),
            };
            let found = power.energy(&moments).await.expect("an energy");
            let [host] = found.as_slice() else {
                panic!("{found:?}")
            };
            assert_eq!(host.host, MeteredHost::Source);
            let background = host.energy.background.power_w.0;
            assert!((100.0..101.5).contains(&background), "{background}");
            let span_s = host.energy.span_ms.0 / 1e3;
            let above = host.energy.energy_j.0 / span_s;
            let expected = (watts - 100) as f64;
            // The first and the last reading lie across the ends.
            assert!(
                (above / expected - 1.0).abs() < 0.3,
                "{above} of {expected} W"
            );
        }
    }

    #[tokio::test]
    async fn a_meter_that_fails_is_said_and_read_again() {
        let dir = tempfile::tempdir().expect("a directory");
        let sensor = dir.path().join("power1_average");
        fs::write(&sensor, "100000000\n").expect("written");
        let plan = plan(&format!("hwmon:{}", sensor.display()));
        let meters = meters(&plan).expect("a sensor").expect("one is named");
        let mut power = Power::begin(meters, MeterOptions::default());
        let now = Instant::now();
        let moments = Moments {
            asked: now,
            began: now,
            ended: now,
        };
        let short = power.energy(&moments).await.unwrap_err().to_string();
        assert!(short.contains("begin to meter earlier"), "{short}");
        fs::remove_file(&sensor).expect("removed");
        power.energy(&moments).await.unwrap_err();
    }

    #[test]
    fn wrong_meters_are_refused_before_anything_is_measured() {
        assert_eq!(meters(&BenchPlan::quick()).expect("none"), None);
        let unknown = meters(&plan("wattmeter")).unwrap_err().to_string();
        assert!(unknown.contains("its kind is unknown"), "{unknown}");
        let absent = check(&plan("csv:/nowhere/power.csv")).unwrap_err();
        assert!(absent.to_string().contains("/nowhere"), "{absent}");
    }
}
