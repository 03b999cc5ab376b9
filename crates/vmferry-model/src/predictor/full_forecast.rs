//! What a predictor says, as it is shown and recorded.

use vmferry_core::{Bytes, Forecast, Interval, Millis, ModelInfo, Uncorrected};

use super::pages::observed;
use super::{CannotForecast, Case, Predicted, Predictor};
use crate::conformal::{half_widths, scaled};
use crate::forecast::MODEL_VERSION;
use crate::remedies::SUFFICIENT_PROBABILITY;

/// The forecast of a model that says no more than a [`Predicted`].
pub(crate) fn of(
    predictor: &(impl Predictor + ?Sized),
    case: &Case<'_>,
    seed: u64,
) -> Result<Forecast, CannotForecast> {
    let model = predictor.name();
    let seen = observed(case, model)?;
    let said = predictor.forecast(case, seed)?;
    let Some(converges_probability) = said.converges_probability else {
        return Err(CannotForecast::NoVerdict { model });
    };
    let mut notes = said.notes;
    if converges_probability < SUFFICIENT_PROBABILITY {
        notes.push(format!(
            "The model `{model}` looks for no remedies: --model auto does."
        ));
    }
    // Formulas know nothing of what routes taught.
    let assumed = (said.draws > 0).then_some(&case.assumptions);
    let on_wire = |sent: Bytes| Bytes((sent.0 as f64 / case.link.efficiency.0).round() as u64);
    let forecast = Forecast {
        converges_probability,
        deadline_ms: case.limits.deadline_ms,
        total_time_ms: said.total_time_ms,
        downtime_ms: said.downtime_ms,
        qemu_downtime_ms: None,
        transferred_bytes: said.transferred_bytes,
        wire_bytes: said.transferred_bytes.map(|sent| sent.map(on_wire)),
        slowdown: None,
        passes: None,
        remedies: Vec::new(),
        observation: seen.summary(),
        model: ModelInfo {
            name: model.to_owned(),
            version: MODEL_VERSION,
            rules: predictor.rules().name().to_owned(),
            samples: said.draws,
            wire_rate_bytes_per_s: case.link.wire_rate.0,
            max_downtime_ms: case.downtime_limit().into(),
            dirt_factor: assumed.map_or(1.0, |assumed| assumed.dirt.median),
            uncorrected: None,
            notes,
        },
    };
    with_unlearned(predictor, case, seed, forecast)
}

/// A forecast with what its model says where earlier moves over the route
/// taught nothing, if they did teach something that it assumes.
pub(crate) fn with_unlearned(
    predictor: &(impl Predictor + ?Sized),
    case: &Case<'_>,
    seed: u64,
    mut forecast: Forecast,
) -> Result<Forecast, CannotForecast> {
    let seen = observed(case, predictor.name())?;
    let unlearned = case.assumptions.unlearned(&seen.guest);
    if let Some(assumptions) = unlearned.filter(|_| forecast.model.samples > 0) {
        let case = Case {
            assumptions,
            ..case.clone()
        };
        let said = predictor.forecast(&case, seed)?;
        forecast.model.uncorrected = Some(Uncorrected {
            total_time_ms: said.total_time_ms,
            downtime_ms: said.downtime_ms,
            transferred_bytes: said.transferred_bytes,
            dirt_factor: assumptions.dirt.median,
        });
    }
    Ok(forecast)
}

/// A forecast with total time, downtime and traffic corrected, and what is a
/// part of them in proportion: QEMU's own downtime, bytes on the wire. What the
/// model said by itself is kept beside. The rest stays: the probability, the
/// remedies, slowdown and passes are the model's own.
///
/// `correct` is given what was forecast, and what the model says by itself.
pub(crate) fn corrected(
    forecast: Forecast,
    correct: impl FnOnce(Predicted, Predicted) -> Predicted,
) -> Forecast {
    let by_itself = forecast.uncorrected();
    let said = correct(
        Predicted::from(forecast.clone()),
        Predicted::uncorrected(&forecast),
    );
    let before = forecast.clone();
    let mut after = forecast;
    // Where too few replays converge nothing is said, whatever the model says by
    // itself.
    for (told, said) in [
        (&mut after.total_time_ms, said.total_time_ms),
        (&mut after.downtime_ms, said.downtime_ms),
    ] {
        *told = told.map(|told| said.unwrap_or(told));
    }
    let sent = after.transferred_bytes;
    after.transferred_bytes = sent.map(|told| said.transferred_bytes.unwrap_or(told));
    after.model.notes = said.notes;
    let is_same = after.total_time_ms == before.total_time_ms
        && after.downtime_ms == before.downtime_ms
        && after.transferred_bytes == before.transferred_bytes;
    if is_same {
        return after;
    }
    after.model.uncorrected = Some(by_itself);
    let ms = |i: Interval<Millis>| i.map(|ms| ms.0);
    let bytes = |i: Interval<Bytes>| i.map(|bytes| bytes.0 as f64);
    let downtime = (before.downtime_ms.map(ms), after.downtime_ms.map(ms));
    after.qemu_downtime_ms = after
        .qemu_downtime_ms
        .map(|own| in_proportion(own.map(|ms| ms.0), downtime).map(Millis));
    let sent = (
        before.transferred_bytes.map(bytes),
        after.transferred_bytes.map(bytes),
    );
    after.wire_bytes = after
        .wire_bytes
        .map(|wire| in_proportion(bytes(wire), sent).map(|b| Bytes(b.round() as u64)));
    if let Some(total) = after.total_time_ms
        && total.p50.0 > after.deadline_ms.0
    {
        after.model.notes.push(format!(
            "Corrected, the median total time exceeds the deadline of {}: the probability of converging within it is not corrected.",
            after.deadline_ms
        ));
    }
    after
}

/// A part of a quantity that went from one interval to another.
fn in_proportion(
    part: Interval<f64>,
    whole: (Option<Interval<f64>>, Option<Interval<f64>>),
) -> Interval<f64> {
    let (Some(before), Some(after)) = whole else {
        return part;
    };
    let factor = after.p50 / before.p50;
    if !factor.is_finite() {
        return part;
    }
    let wider = half_widths(after).1 / half_widths(before).1;
    scaled(part.map(|value| value * factor), wider)
}
