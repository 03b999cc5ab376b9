//! From values to places along an axis, and the values written beside it.

/// An axis.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Scale {
    /// Even steps.
    Linear {
        /// Its begin.
        from: f64,
        /// Its end, greater.
        to: f64,
    },
    /// The whole numbers from 1 on, each in the middle of an equal part.
    Whole {
        /// The last, 1 or more.
        last: u32,
    },
    /// Even factors.
    Log {
        /// Its begin, a power of ten.
        from: f64,
        /// Its end, a greater power of ten.
        to: f64,
    },
}

impl Scale {
    /// From zero to a round number at or above all values.
    pub(crate) fn from_zero(values: impl IntoIterator<Item = f64>) -> Self {
        let most = values
            .into_iter()
            .filter(|v| v.is_finite())
            .fold(0.0, f64::max);
        if most <= 0.0 {
            return Self::Linear { from: 0.0, to: 1.0 };
        }
        let step = step(most);
        Self::Linear {
            from: 0.0,
            // A whole number of steps is not one more for the rounding of numbers.
            to: (most / step - 1e-9).ceil() * step,
        }
    }

    /// The same for values of which some may be negative: it begins at a round number at or below
    /// all of them, and at zero where none is.
    pub(crate) fn with_zero(values: impl IntoIterator<Item = f64>) -> Self {
        let finite: Vec<f64> = values.into_iter().filter(|v| v.is_finite()).collect();
        let (least, most) = finite
            .iter()
            .fold((0.0_f64, 0.0_f64), |(least, most), value| {
                (least.min(*value), most.max(*value))
            });
        if least >= 0.0 {
            return Self::from_zero(finite);
        }
        let step = step(most - least);
        Self::Linear {
            from: (least / step + 1e-9).floor() * step,
            to: (most / step - 1e-9).ceil().max(0.0) * step,
        }
    }

    /// Whole decades about all positive values; two of them at least.
    pub(crate) fn decades(values: impl IntoIterator<Item = f64>) -> Self {
        let positive = values.into_iter().filter(|v| v.is_finite() && *v > 0.0);
        let (least, most) = positive.fold((f64::INFINITY, 0.0_f64), |(least, most), value| {
            (least.min(value), most.max(value))
        });
        if most <= 0.0 {
            return Self::Log {
                from: 1.0,
                to: 100.0,
            };
        }
        let low = least.log10().floor();
        let high = most.log10().ceil().max(low + 2.0);
        Self::Log {
            from: 10f64.powf(low),
            to: 10f64.powf(high),
        }
    }

    /// Where a value is, 0 at the begin and 1 at the end. Values of a logarithmic axis are not
    /// below its begin.
    pub(crate) fn share(self, value: f64) -> f64 {
        match self {
            Self::Linear { from, to } => (value - from) / (to - from),
            Self::Whole { last } => (value - 0.5) / f64::from(last.max(1)),
            Self::Log { from, to } => (value.max(from) / from).log10() / (to / from).log10(),
        }
    }

    /// Values to write beside the axis.
    pub(crate) fn ticks(self) -> Vec<f64> {
        match self {
            Self::Linear { from, to } => {
                let step = step(to - from);
                let first = (from / step).ceil();
                let count = ((to / step + 1e-9).floor() - first).max(0.0) as u32;
                (0..=count)
                    .map(|tick| (first + f64::from(tick)) * step)
                    .collect()
            }
            Self::Whole { last } => {
                let every = last.div_ceil(12).max(1) as usize;
                (1..=last.max(1)).step_by(every).map(f64::from).collect()
            }
            Self::Log { from, to } => {
                let decades = (to / from).log10().round() as i32;
                let every = usize::try_from((decades + 4) / 5).unwrap_or(1).max(1);
                let powers = (0..=decades).step_by(every);
                powers.map(|power| from * 10f64.powi(power)).collect()
            }
        }
    }
}

/// The round step, 1, 2 or 5 times a power of ten, that makes four to eight of a span.
fn step(span: f64) -> f64 {
    let raw = span / 5.0;
    let power = 10f64.powf(raw.log10().floor());
    let round = match raw / power {
        ..1.5 => 1.0,
        ..3.5 => 2.0,
        ..7.5 => 5.0,
        _ => 10.0,
    };
    round * power
}

/// A value beside an axis, without needless digits.
pub(crate) fn label(value: f64) -> String {
    if value.abs() >= 100_000.0 {
        return format!("{}k", (value / 1000.0).round());
    }
    let text = format!("{value:.3}");
    let text = text.trim_end_matches('0').trim_end_matches('.');
    if text == "-0" { "0" } else { text }.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(scale: Scale) -> String {
        let labels: Vec<String> = scale.ticks().into_iter().map(label).collect();
        labels.join(" ")
    }

    #[test]
    fn axes_end_at_round_numbers() {
        assert_eq!(
            labels(Scale::from_zero([3.0, 437.0])),
            "0 100 200 300 400 500"
        );
        assert_eq!(
            labels(Scale::from_zero([0.07])),
            "0 0.01 0.02 0.03 0.04 0.05 0.06 0.07"
        );
        assert_eq!(labels(Scale::from_zero([f64::NAN])), "0 0.2 0.4 0.6 0.8 1");
        assert_eq!(labels(Scale::decades([0.3, 812.0])), "0.1 1 10 100 1000");
        assert_eq!(
            labels(Scale::with_zero([3.0, 437.0])),
            "0 100 200 300 400 500"
        );
        assert_eq!(
            labels(Scale::with_zero([-2327.0, 1000.0])),
            "-2500 -2000 -1500 -1000 -500 0 500 1000"
        );
        assert_eq!(
            labels(Scale::with_zero([-3.0])),
            "-3 -2.5 -2 -1.5 -1 -0.5 0"
        );
        assert_eq!(labels(Scale::Whole { last: 3 }), "1 2 3");
        assert_eq!(labels(Scale::decades([])), "1 10 100");
    }

    #[test]
    fn places_are_shares() {
        let log = Scale::decades([1.0, 100.0]);
        assert!((log.share(10.0) - 0.5).abs() < 1e-12);
        assert_eq!(log.share(0.0), 0.0);
        assert_eq!(Scale::from_zero([10.0]).share(5.0), 0.5);
    }
}
