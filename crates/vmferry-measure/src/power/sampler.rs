//! Readings at a pace, as spans of power.

use std::time::{Duration, Instant};

use jiff::Timestamp;
use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval, timeout};
use vmferry_core::{PowerSample, Watts};

use super::{PowerError, PowerMeter, Reading, Value};

/// How long one reading may take. `ipmitool` over a network takes up to 2 s.
pub const READ_TIMEOUT: Duration = Duration::from_secs(5);

/// How long a meter may tell nothing new before it counts as stalled.
pub const STALL: Duration = Duration::from_secs(15);

/// How a meter is sampled.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SampleOptions {
    /// From reading to reading: 1 s as in `liu2011`.
    pub interval: Duration,
    /// How long one reading may take.
    pub timeout: Duration,
    /// How long the meter may tell nothing new.
    pub stall: Duration,
}

impl Default for SampleOptions {
    fn default() -> Self {
        Self {
            interval: Duration::from_secs(1),
            timeout: READ_TIMEOUT,
            stall: STALL,
        }
    }
}

/// What a meter told in a row.
#[derive(Clone, Debug)]
pub struct PowerSeries {
    /// Name of the meter.
    pub meter: String,
    /// When times in the samples count from.
    pub began: Instant,
    /// The same by the clock on the wall.
    pub began_at: Timestamp,
    /// Power from reading to reading, in order.
    pub samples: Vec<PowerSample>,
    /// Readings that were refused, or did not come.
    pub refused: usize,
}

impl PowerSeries {
    /// The time of an instant within the series.
    pub fn at(&self, instant: Instant) -> Duration {
        instant.saturating_duration_since(self.began)
    }
}

/// Reads a meter until `stop` turns true (or its sender is gone), and once
/// more, so that the samples span that moment.
///
/// A reading that fails or makes no sense is left out, and the next one spans
/// its time too; [`PowerSeries::refused`] counts them.
///
/// # Errors
/// When the first reading fails, or the meter tells nothing new for
/// [`SampleOptions::stall`].
pub async fn sample(
    mut meter: Box<dyn PowerMeter>,
    options: &SampleOptions,
    mut stop: watch::Receiver<bool>,
) -> Result<PowerSeries, PowerError> {
    let mut sampler = Sampler::start(meter.as_mut(), options).await?;
    let mut ticks = interval(options.interval);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    // The first tick comes at once, and the first reading is made.
    ticks.tick().await;
    let mut stopped_at = None;
    loop {
        tokio::select! {
            // The end before one more reading that would not know of it.
            biased;
            _ = stop.wait_for(|stop| *stop), if stopped_at.is_none() => {
                stopped_at = Some(Instant::now());
            }
            _ = ticks.tick() => {}
        }
        sampler.read(meter.as_mut(), options).await?;
        // A log tells of that moment only later.
        if stopped_at.is_some_and(|at| sampler.last.at >= at) {
            return Ok(sampler.series);
        }
    }
}

struct Sampler {
    series: PowerSeries,
    last: Reading,
    /// When something new was told last.
    new_at: Instant,
    /// What the last reading failed with.
    fault: Option<String>,
}

impl Sampler {
    async fn start(
        meter: &mut dyn PowerMeter,
        options: &SampleOptions,
    ) -> Result<Self, PowerError> {
        let first = read_within(meter, options.timeout).await?;
        if let Value::Power(power) = first.value {
            check(meter.name(), power)?;
        }
        let began_at = Timestamp::now();
        let sampler = Self {
            series: PowerSeries {
                meter: meter.name().to_owned(),
                began: first.at,
                began_at: began_at.checked_sub(first.at.elapsed()).unwrap_or(began_at),
                samples: Vec::new(),
                refused: 0,
            },
            last: first,
            new_at: first.at,
            fault: None,
        };
        // A log that ended long ago is known by its age.
        sampler.watch_for_stall(options)?;
        Ok(sampler)
    }

    async fn read(
        &mut self,
        meter: &mut dyn PowerMeter,
        options: &SampleOptions,
    ) -> Result<(), PowerError> {
        let taken = match read_within(meter, options.timeout).await {
            Ok(reading) => self.take(meter.name(), reading),
            Err(error) => Err(error),
        };
        match taken {
            Ok(true) => {
                self.new_at = self.last.at;
                self.fault = None;
            }
            Ok(false) => {}
            Err(error) => {
                tracing::warn!(%error, "a power reading is left out");
                self.series.refused += 1;
                self.fault = Some(error.to_string());
            }
        }
        self.watch_for_stall(options)
    }

    /// Adds the span from the last reading; says whether there is one.
    fn take(&mut self, name: &str, reading: Reading) -> Result<bool, PowerError> {
        let span = reading.at.saturating_duration_since(self.last.at);
        if span.is_zero() {
            // The same row of a log.
            return Ok(false);
        }
        let power = match (self.last.value, reading.value) {
            (Value::Energy(before), Value::Energy(now)) => {
                // Not a microjoule within an interval: the counter stands still.
                if now == before {
                    return Ok(false);
                }
                Watts((now.0 - before.0) / span.as_secs_f64())
            }
            (_, Value::Power(power)) => power,
            // A meter is one or the other.
            (Value::Power(_), Value::Energy(_)) => return Ok(false),
        };
        if let Err(error) = check(name, power) {
            // What a counter says after a jump counts from there on.
            if matches!(reading.value, Value::Energy(_)) {
                self.last = reading;
            }
            return Err(error);
        }
        let series = &mut self.series;
        series.samples.push(PowerSample {
            from: self.last.at.saturating_duration_since(series.began),
            until: reading.at.saturating_duration_since(series.began),
            power,
        });
        self.last = reading;
        Ok(true)
    }

    fn watch_for_stall(&self, options: &SampleOptions) -> Result<(), PowerError> {
        let silent = self.new_at.elapsed();
        if silent <= options.stall {
            return Ok(());
        }
        Err(PowerError::Stalled {
            meter: self.series.meter.clone(),
            silent,
            last: self.fault.clone(),
        })
    }
}

async fn read_within(meter: &mut dyn PowerMeter, longest: Duration) -> Result<Reading, PowerError> {
    let name = meter.name().to_owned();
    timeout(longest, meter.read())
        .await
        .unwrap_or(Err(PowerError::Timeout {
            meter: name,
            waited: longest,
        }))
}

/// Many a controller without a sensor says 0 W, and that it is well.
fn check(meter: &str, power: Watts) -> Result<(), PowerError> {
    if power.is_of_a_host() {
        return Ok(());
    }
    Err(PowerError::Nonsense {
        meter: meter.to_owned(),
        watts: power.0,
    })
}
