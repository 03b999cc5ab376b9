//! An axis with marks where people expect them, logarithmic where values differ
//! by much.

use std::ops::Range;

use plotters::coord::ranged1d::{DefaultFormatting, KeyPointHint, Ranged};

/// Values that differ by more are drawn on a logarithmic axis.
const WIDE: f64 = 20.0;
/// Most marks.
const MARKS: usize = 10;

/// Where values stand along an axis.
#[derive(Clone, Copy, Debug)]
pub(super) struct Scale {
    least: f64,
    most: f64,
    logarithmic: bool,
}

impl Scale {
    /// An axis for some values. A swept one is logarithmic unless it begins at 0,
    /// since ranges are geometric; others where they are wide, else they begin
    /// at 0.
    pub(super) fn of(values: impl Iterator<Item = f64>, swept: bool) -> Self {
        let (least, most) = values
            .filter(|value| value.is_finite())
            .fold((f64::INFINITY, 0f64), |(least, most), value| {
                (least.min(value), most.max(value))
            });
        let (least, most) = if most > 0.0 {
            (least, most)
        } else {
            (0.0, 1.0)
        };
        let logarithmic = least > 0.0 && (swept || most > WIDE * least);
        let (least, most) = match (logarithmic, swept) {
            (true, true) if most == least => (least / 2.0, most * 2.0),
            (true, true) => (least, most),
            (true, false) => (least / 1.15, most * 1.15),
            (false, true) => (0.0, most),
            (false, false) => (0.0, most * 1.08),
        };
        Self {
            least,
            most,
            logarithmic,
        }
    }

    /// Distance of a value along the axis, in any unit.
    fn place(&self, value: f64) -> f64 {
        if self.logarithmic {
            value.max(self.least / 2.0).log10()
        } else {
            value
        }
    }

    /// Both ends.
    pub(super) fn ends(&self) -> (f64, f64) {
        (self.least, self.most)
    }

    /// The value that stands at a share of the axis.
    pub(super) fn at_share(&self, share: f64) -> f64 {
        if self.logarithmic {
            self.least * (self.most / self.least).powf(share)
        } else {
            self.least + (self.most - self.least) * share
        }
    }

    /// The text of a mark: two digits that count.
    pub(super) fn label(value: f64) -> String {
        let decimals = (1.0 - value.abs().max(1e-9).log10().floor()).clamp(0.0, 6.0) as usize;
        let text = format!("{value:.decimals$}");
        match text.contains('.') {
            true => text.trim_end_matches('0').trim_end_matches('.').to_owned(),
            false => text,
        }
    }

    /// Round values within the ends.
    fn marks(&self) -> Vec<f64> {
        if !self.logarithmic {
            let rough = self.most / MARKS as f64;
            let power = 10f64.powf(rough.log10().floor());
            let step = [1.0, 2.0, 5.0, 10.0]
                .into_iter()
                .find(|s| s * power >= rough);
            let step = step.unwrap_or(10.0) * power;
            let count = (self.most / step + 1e-9) as u32;
            return (0..=count).map(|mark| f64::from(mark) * step).collect();
        }
        let within = |digits: &[f64]| -> Vec<f64> {
            let powers = self.least.log10().floor() as i32..=self.most.log10().ceil() as i32;
            let all = powers.flat_map(|power| digits.iter().map(move |d| d * 10f64.powi(power)));
            let inside = (self.least * (1.0 - 1e-9))..=(self.most * (1.0 + 1e-9));
            all.filter(|mark| inside.contains(mark)).collect()
        };
        let fine: &[&[f64]] = &[
            &[1.0, 1.5, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0],
            &[1.0, 2.0, 3.0, 5.0, 7.0],
            &[1.0, 2.0, 5.0],
        ];
        let fits = fine
            .iter()
            .map(|digits| within(digits))
            .find(|m| m.len() <= MARKS);
        fits.unwrap_or_else(|| within(&[1.0]))
    }
}

impl Ranged for Scale {
    type FormatOption = DefaultFormatting;
    type ValueType = f64;

    fn map(&self, value: &f64, limit: (i32, i32)) -> i32 {
        let (from, to) = (self.place(self.least), self.place(self.most));
        let share = (self.place(*value) - from) / (to - from);
        limit.0 + (share * f64::from(limit.1 - limit.0)).round() as i32
    }

    fn key_points<Hint: KeyPointHint>(&self, hint: Hint) -> Vec<f64> {
        match hint.weight().allow_light_points() {
            true => Vec::new(),
            false => self.marks(),
        }
    }

    fn range(&self) -> Range<f64> {
        self.least..self.most
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(values: &[f64], swept: bool) -> Vec<String> {
        let scale = Scale::of(values.iter().copied(), swept);
        let marks = scale.marks();
        marks.iter().map(|mark| Scale::label(*mark)).collect()
    }

    #[test]
    fn marks_are_round() {
        assert_eq!(
            labels(&[200.0, 1000.0], true).join(" "),
            "200 300 400 500 600 700 800 900 1000"
        );
        assert_eq!(
            labels(&[100.0, 10_000.0], true).join(" "),
            "100 200 500 1000 2000 5000 10000"
        );
        assert_eq!(
            labels(&[0.0, 2.0], true).join(" "),
            "0 0.2 0.4 0.6 0.8 1 1.2 1.4 1.6 1.8 2"
        );
        assert_eq!(labels(&[3.0, 9.0], false).join(" "), "0 1 2 3 4 5 6 7 8 9");
        assert_eq!(
            labels(&[0.02, 9.0], false).join(" "),
            "0.02 0.05 0.1 0.2 0.5 1 2 5 10"
        );
        assert_eq!(labels(&[], false).join(" "), "0 0.2 0.4 0.6 0.8 1");
    }
}
