//! Several values of the same thing, told in one cell of a table.

/// What several values are between.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Spread {
    pub(super) count: usize,
    pub(super) least: f64,
    pub(super) median: f64,
    pub(super) most: f64,
}

/// What stands for a value that is not known.
pub(super) const UNKNOWN: &str = "–";

impl Spread {
    /// Of the values that are known; `None` where none is.
    pub(super) fn of(values: impl IntoIterator<Item = Option<f64>>) -> Option<Self> {
        let known = values.into_iter().flatten();
        let mut values: Vec<f64> = known.filter(|value| value.is_finite()).collect();
        values.sort_by(f64::total_cmp);
        let last = values.len().checked_sub(1)?;
        Some(Self {
            count: values.len(),
            least: values[0],
            median: f64::midpoint(values[last / 2], values[last.div_ceil(2)]),
            most: values[last],
        })
    }

    /// Median and, where they differ, least and most.
    fn told_as(self, say: fn(f64) -> String) -> String {
        let (least, median, most) = (say(self.least), say(self.median), say(self.most));
        match least == most {
            true => median,
            false => format!("{median} ({least}–{most})"),
        }
    }
}

/// What is known of values of which there should be as many: told with how many there are where
/// some are missing.
pub(super) fn told(values: impl IntoIterator<Item = Option<f64>>) -> String {
    told_as(values, number)
}

/// The same of what is counted: whole numbers stand without a fraction.
pub(super) fn counted(values: impl IntoIterator<Item = Option<f64>>) -> String {
    told_as(values, |value| match value.fract() == 0.0 {
        true => format!("{value:.0}"),
        false => number(value),
    })
}

fn told_as(values: impl IntoIterator<Item = Option<f64>>, say: fn(f64) -> String) -> String {
    let values: Vec<Option<f64>> = values.into_iter().collect();
    match Spread::of(values.iter().copied()) {
        None => UNKNOWN.to_owned(),
        Some(spread) if spread.count < values.len() => {
            format!(
                "{}, {} of {}",
                spread.told_as(say),
                spread.count,
                values.len()
            )
        }
        Some(spread) => spread.told_as(say),
    }
}

/// A number with about three digits that count.
pub(super) fn number(value: f64) -> String {
    if !value.is_finite() {
        return UNKNOWN.to_owned();
    }
    let text = match value.abs() {
        100.0.. => format!("{value:.0}"),
        10.0.. => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    };
    match text.trim_start_matches('-').trim_matches(['0', '.']) {
        "" => "0".to_owned(),
        _ => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_say_what_is_missing() {
        assert_eq!(told([]), "–");
        assert_eq!(told([None, Some(f64::NAN)]), "–");
        assert_eq!(told([Some(437.4)]), "437");
        assert_eq!(counted([Some(2.0), Some(3.0)]), "2.50 (2–3)");
        assert_eq!(told([Some(0.0), Some(0.0)]), "0");
        assert_eq!(
            told([Some(1.0), None, Some(4.0)]),
            "2.50 (1.00–4.00), 2 of 3"
        );
        assert_eq!(
            told([Some(12.34), Some(11.0), Some(1234.5)]),
            "12.3 (11.0–1234)"
        );
    }

    #[test]
    fn nothing_is_negative_zero() {
        assert_eq!(number(-0.001), "0");
        assert_eq!(number(0.0), "0");
        assert_eq!(number(-0.5), "-0.50");
        assert_eq!(number(100.0), "100");
    }
}
