//! Arguments of `simulate`.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use vmferry::core::quantity::{parse_rate, parse_size, parse_span};
use vmferry::core::{ByteRate, Millis};
use vmferry::simulating::{Model, Rules, geometric};

/// Arguments of `simulate`.
#[derive(Debug, Args)]
#[command(
    after_help = "Values: 1Gbit/s, a list 1Gbit/s,10Gbit/s or a range 200Mbit/s..1Gbit/s of --steps values, or of\n\
    as many as stand behind it (200Mbit/s..1Gbit/s/5). Ranges are geometric: each value is the same\n\
    multiple of the one before. At most two things have several values, beside the rules.\n\n\
    Memory: what a first pass goes over. What the guest wrote while observed stays as it is; memory\n\
    that it never wrote shrinks or grows, with its share of zero pages.\n\
    Dirt: the guest's time runs so many times as fast; 0 is a guest that writes nothing.\n\
    Models: auto, pages, hist, curve, avg; textbook and closed-form, which are rules of their own."
)]
pub(crate) struct Simulate {
    /// An observation (`measure -o json`) or a trace (`record`)
    pub(crate) file: PathBuf,
    /// Rates of the link as the link counts them (frames included)
    #[arg(long, value_parser = rates, value_name = "RATES")]
    pub(crate) bandwidth: Values,
    /// Downtime limits [default: 300ms]
    #[arg(long, value_parser = limits, value_name = "TIMES")]
    pub(crate) max_downtime: Option<Values>,
    /// Sizes of the guest's memory [default: as observed]
    #[arg(long, value_parser = sizes, value_name = "SIZES")]
    pub(crate) memory: Option<Values>,
    /// How many times as fast the guest writes
    #[arg(long, value_parser = factors, value_name = "FACTORS", default_value = "1")]
    pub(crate) dirt: Values,
    /// Values of a range that does not say
    #[arg(long, value_name = "N", default_value_t = 9, value_parser = clap::value_parser!(u32).range(2..=10_000))]
    pub(crate) steps: u32,
    /// By whose rules: qemu, xen, xen-legacy, textbook, post-copy; several with
    /// commas [default: qemu]
    #[arg(long, value_name = "RULES", value_delimiter = ',')]
    pub(crate) rules: Vec<Rules>,
    /// The model; auto picks by what the file holds
    #[arg(long, value_name = "MODEL", default_value_t = Model::Auto)]
    pub(crate) model: Model,
    /// Most the migration may send [default: unlimited]
    #[arg(long, value_parser = parse_rate, value_name = "RATE")]
    pub(crate) max_bandwidth: Option<ByteRate>,
    /// Time within which a move should converge
    #[arg(long, value_parser = parse_span, value_name = "TIME", default_value = "120s")]
    pub(crate) deadline: Duration,
    /// Draws behind every point
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub(crate) samples: u32,
    /// Seed of the draws: the same seed gives the same answer
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub(crate) seed: u64,
    /// Draw total time, downtime and traffic into this file
    #[arg(long, value_name = "FILE")]
    pub(crate) svg: Option<PathBuf>,
}

/// Values as written: single ones, lists and ranges, in base units.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Values(Vec<Part>);

#[derive(Clone, Copy, Debug, PartialEq)]
enum Part {
    One(f64),
    Range {
        from: f64,
        to: f64,
        steps: Option<u32>,
    },
}

impl Values {
    /// All of them; a range that does not say how many it has takes `steps`.
    pub(crate) fn all(&self, steps: u32) -> Vec<f64> {
        let values = self.0.iter().map(|part| match part {
            Part::One(value) => vec![*value],
            Part::Range {
                from,
                to,
                steps: own,
            } => geometric(*from, *to, own.unwrap_or(steps)),
        });
        values.flatten().collect()
    }

    fn read(text: &str, one: impl Fn(&str) -> Result<f64, String>) -> Result<Self, String> {
        let part = |text: &str| {
            let Some((from, rest)) = text.split_once("..") else {
                return one(text).map(Part::One);
            };
            // `1Gbit/s/9`: what follows the last stroke is a number only if it counts.
            let counted = rest
                .rsplit_once('/')
                .filter(|(_, count)| count.bytes().all(|byte| byte.is_ascii_digit()));
            let (to, steps) = match counted {
                Some((to, count)) => (to, Some(steps_of(count)?)),
                None => (rest, None),
            };
            let (from, to) = (one(from)?, one(to)?);
            if from == 0.0 {
                return Err(format!(
                    "`{text}`: a geometric range cannot begin at 0; write 0 as a value of its own: 0,0.5..2"
                ));
            }
            if from >= to {
                return Err(format!(
                    "`{text}` is an empty range: write it from the smaller to the greater value"
                ));
            }
            Ok(Part::Range { from, to, steps })
        };
        text.split(',')
            .map(|text| part(text.trim()))
            .collect::<Result<_, _>>()
            .map(Self)
    }
}

fn steps_of(count: &str) -> Result<u32, String> {
    match count.parse() {
        Ok(steps @ 2..=10_000) => Ok(steps),
        _ => Err(format!("a range has 2 to 10000 values, not `{count}`")),
    }
}

fn rates(text: &str) -> Result<Values, String> {
    Values::read(text, |text| match parse_rate(text) {
        Ok(rate) => Ok(rate.0),
        Err(error) => Err(error.to_string()),
    })
}

fn limits(text: &str) -> Result<Values, String> {
    Values::read(text, |text| {
        super::parse_downtime(text).map(|limit| Millis::from(limit).0)
    })
}

fn sizes(text: &str) -> Result<Values, String> {
    Values::read(text, |text| match parse_size(text) {
        Ok(size) => Ok(size.0 as f64),
        Err(error) => Err(error.to_string()),
    })
}

fn factors(text: &str) -> Result<Values, String> {
    Values::read(text, |text| match text.parse::<f64>() {
        Ok(factor) if (0.0..=1e6).contains(&factor) => Ok(factor),
        _ => Err(format!(
            "`{text}` is no factor; write for example 0.5, 1 or 2"
        )),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_lists_and_ranges() {
        let mbit = |text: &str| -> Vec<f64> {
            let values = rates(text).expect("rates").all(3);
            values
                .iter()
                .map(|rate| (ByteRate(*rate).mbit_per_s() * 1e3).round() / 1e3)
                .collect()
        };
        assert_eq!(mbit("1Gbit/s"), [1000.0]);
        assert_eq!(mbit("100Mbit/s, 1Gbit/s"), [100.0, 1000.0]);
        assert_eq!(mbit("100Mbit/s..400Mbit/s"), [100.0, 200.0, 400.0]);
        assert_eq!(
            mbit("50Mbit/s,100Mbit/s..800Mbit/s/4"),
            [50.0, 100.0, 200.0, 400.0, 800.0]
        );
        assert_eq!(
            limits("30ms..3s/3").expect("limits").all(9),
            [30.0, 300.0, 3000.0]
        );
        assert_eq!(
            factors("0,0.5..2").expect("factors").all(3),
            [0.0, 0.5, 1.0, 2.0]
        );
        assert_eq!(sizes("1GiB").expect("sizes").all(2), [f64::from(1 << 30)]);
    }

    #[test]
    fn what_makes_no_sense_is_told() {
        for (read, text, part) in [
            (rates as fn(&str) -> _, "0", "it is zero"),
            (rates, "1Gbit/s..100Mbit/s", "empty range"),
            (rates, "1Gbit/s..1Gbit/s", "empty range"),
            (rates, "1Gbit/s..", "does not start with a number"),
            (rates, "1Gbit/s,,2Gbit/s", "does not start with a number"),
            (rates, "1Gbit/s..2Gbit/s/1", "2 to 10000 values, not `1`"),
            (limits, "300ms..3h", "at most 2000 s"),
            (factors, "fast", "`fast` is no factor"),
            (factors, "-1", "`-1` is no factor"),
            (factors, "0..2", "cannot begin at 0"),
        ] {
            let message: String = read(text).expect_err(text);
            assert!(message.contains(part), "{text}: {message}");
        }
    }
}
