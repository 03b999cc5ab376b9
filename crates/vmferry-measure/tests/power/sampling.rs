//! Meters that stall and tell nonsense.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use tokio::sync::watch;
use vmferry_core::{Joules, Watts};
use vmferry_measure::power::{
    PowerError, PowerMeter, PowerSeries, ReadFuture, Reading, SampleOptions, Value, sample,
};

/// What a made-up meter does at a reading.
#[derive(Clone, Copy, Debug)]
enum Turn {
    Says(Value),
    Hangs,
    Fails,
}

/// Goes through its turns, one a reading, then stops the sampling. Its
/// readings are a second apart, however fast they are taken.
struct MadeUp {
    turns: VecDeque<Turn>,
    at: Instant,
    stop: watch::Sender<bool>,
}

impl PowerMeter for MadeUp {
    fn name(&self) -> &str {
        "made up"
    }

    fn read(&mut self) -> ReadFuture<'_> {
        Box::pin(async {
            self.at += Duration::from_secs(1);
            let turn = self.turns.pop_front().expect("sampled beyond its end");
            if self.turns.len() <= 1 {
                self.stop.send_replace(true);
            }
            match turn {
                Turn::Says(value) => Ok(Reading { at: self.at, value }),
                Turn::Hangs => std::future::pending().await,
                Turn::Fails => Err(PowerError::Absent {
                    meter: "made up".to_owned(),
                    problem: "unplugged".to_owned(),
                }),
            }
        })
    }
}

async fn sampled(turns: &[Turn]) -> Result<PowerSeries, PowerError> {
    let (stop, stopped) = watch::channel(false);
    let meter = MadeUp {
        turns: turns.iter().copied().collect(),
        at: Instant::now(),
        stop,
    };
    let options = SampleOptions {
        interval: Duration::from_millis(1),
        timeout: Duration::from_millis(20),
        stall: Duration::from_secs(5),
    };
    sample(Box::new(meter), &options, stopped).await
}

fn powers(watts: &[f64]) -> Vec<Turn> {
    let says = |watts: &f64| Turn::Says(Value::Power(Watts(*watts)));
    watts.iter().map(says).collect()
}

fn energies(joules: &[f64]) -> Vec<Turn> {
    let says = |joules: &f64| Turn::Says(Value::Energy(Joules(*joules)));
    joules.iter().map(says).collect()
}

fn seen(series: &PowerSeries) -> Vec<(u64, u64, f64)> {
    let seconds = |d: Duration| d.as_secs();
    let samples = series.samples.iter();
    samples
        .map(|s| (seconds(s.from), seconds(s.until), s.power.0))
        .collect()
}

#[tokio::test]
async fn powers_and_counters_become_spans() {
    let series = sampled(&powers(&[100.0, 110.0, 120.0])).await.unwrap();
    assert_eq!(seen(&series), [(0, 1, 110.0), (1, 2, 120.0)]);
    assert_eq!((series.meter.as_str(), series.refused), ("made up", 0));
    let series = sampled(&energies(&[5.0, 55.0, 205.0])).await.unwrap();
    assert_eq!(seen(&series), [(0, 1, 50.0), (1, 2, 150.0)]);
}

#[tokio::test]
async fn what_makes_no_sense_is_left_out_and_counted() {
    for wrong in [f64::NAN, f64::INFINITY, 0.0, -3.0, 1e9] {
        let series = sampled(&powers(&[100.0, wrong, 120.0, 130.0]))
            .await
            .unwrap();
        // The next one spans its time too.
        assert_eq!(seen(&series), [(0, 2, 120.0), (2, 3, 130.0)]);
        assert_eq!(series.refused, 1);
    }
    // A counter that was reset, which looks like a huge range gone round.
    let series = sampled(&energies(&[0.0, 50.0, 262_143.0, 262_243.0])).await;
    let series = series.unwrap();
    assert_eq!(seen(&series), [(0, 1, 50.0), (2, 3, 100.0)]);
    let first = sampled(&powers(&[1e9, 1.0])).await.unwrap_err();
    assert!(matches!(first, PowerError::Nonsense { .. }), "{first}");
    assert!(
        first
            .to_string()
            .contains("1000000000 W, which no host draws"),
        "{first}"
    );
}

#[tokio::test]
async fn a_reading_that_hangs_or_fails_is_waited_out() {
    let mut turns = powers(&[100.0, 110.0, 120.0, 130.0]);
    turns.insert(2, Turn::Hangs);
    turns.insert(2, Turn::Fails);
    let series = sampled(&turns).await.unwrap();
    assert_eq!(seen(&series), [(0, 1, 110.0), (1, 4, 120.0), (4, 5, 130.0)]);
    assert_eq!(series.refused, 2);
    let first = sampled(&[Turn::Hangs, Turn::Hangs]).await.unwrap_err();
    assert!(
        first.to_string().contains("did not answer within 0.02 s"),
        "{first}"
    );
}

/// Says the same for ever, at the same instant.
struct StandsStill(Reading);

impl PowerMeter for StandsStill {
    fn name(&self) -> &str {
        "stopped"
    }

    fn read(&mut self) -> ReadFuture<'_> {
        Box::pin(async { Ok(self.0) })
    }
}

#[tokio::test]
async fn a_meter_that_tells_nothing_new_has_stalled() {
    let options = SampleOptions {
        interval: Duration::from_millis(1),
        timeout: Duration::from_secs(1),
        stall: Duration::from_millis(100),
    };
    let stalled = async |value, age: u64| {
        // Nobody stops it: what ends is the sampling's patience.
        let (_stop, stopped) = watch::channel(false);
        let at = Instant::now() - Duration::from_secs(age);
        let meter = StandsStill(Reading { at, value });
        sample(Box::new(meter), &options, stopped)
            .await
            .unwrap_err()
    };
    for (value, age) in [
        (Value::Energy(Joules(7.0)), 0),
        (Value::Power(Watts(100.0)), 0),
        // A log that ended a minute ago.
        (Value::Power(Watts(100.0)), 60),
    ] {
        let error = stalled(value, age).await;
        assert!(matches!(error, PowerError::Stalled { .. }), "{error}");
        assert!(
            error.to_string().contains("stopped stalled: nothing new"),
            "{error}"
        );
    }
}
