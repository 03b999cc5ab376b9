//! The arguments of the bench.

use std::path::PathBuf;

use crate::steering::Steering;

/// What is to be done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Work {
    /// Guests under controllers.
    #[default]
    Guests,
    /// The memory writer of `jin2011`.
    Sweep,
    /// Moves that have to end at a time.
    Deadline,
    /// Promises that a search over the recorded dirt finds feasible.
    Feasible,
    /// Reports only.
    Report,
    /// Names of moves only.
    List,
}

/// The arguments, read.
#[derive(Clone, Debug, Default)]
pub(crate) struct Options {
    pub(crate) work: Work,
    /// Names of guests; empty for all.
    pub(crate) only: Vec<String>,
    /// Whether records that exist are made anew.
    pub(crate) again: bool,
    pub(crate) steerings: Option<Vec<Steering>>,
    pub(crate) repeats: Option<u32>,
    pub(crate) out: Option<PathBuf>,
    /// Where the pages are written.
    pub(crate) docs: Option<PathBuf>,
    /// Mbit/s written.
    pub(crate) rates: Option<Vec<f64>>,
    /// Mbit/s of links.
    pub(crate) links: Option<Vec<f64>>,
    pub(crate) quick: bool,
    /// Cap on the time of moves of the sweep, s.
    pub(crate) cap_s: Option<f64>,
    /// Number of moves with a deadline.
    pub(crate) runs: Option<usize>,
}

impl Options {
    pub(crate) fn read(args: &[String]) -> Result<Self, String> {
        let mut options = Self::default();
        let mut args = args.iter().map(String::as_str);
        while let Some(arg) = args.next() {
            let mut value = || args.next().ok_or_else(|| format!("{arg} needs a value"));
            match arg {
                "--sweep" => options.work = Work::Sweep,
                "--deadline" => options.work = Work::Deadline,
                "--feasible" => options.work = Work::Feasible,
                "--report" => options.work = Work::Report,
                "--list" => options.work = Work::List,
                "--again" => options.again = true,
                "--quick" => options.quick = true,
                "--only" => options.only = value()?.split(',').map(str::to_owned).collect(),
                "--controllers" => options.steerings = Some(list(value()?)?),
                "--repeats" => options.repeats = Some(number(value()?)?),
                "--out" => options.out = Some(value()?.into()),
                "--docs" => options.docs = Some(value()?.into()),
                "--rates" => options.rates = Some(list(value()?)?),
                "--links" => options.links = Some(list(value()?)?),
                "--cap" => options.cap_s = Some(number(value()?)?),
                "--runs" => options.runs = Some(number(value()?)?),
                other => {
                    return Err(format!(
                        "unknown argument `{other}`; see the head of examples/throttle/main.rs"
                    ));
                }
            }
        }
        Ok(options)
    }
}

fn number<T: std::str::FromStr>(text: &str) -> Result<T, String> {
    text.parse().map_err(|_| format!("`{text}` is no number"))
}

fn list<T: std::str::FromStr>(text: &str) -> Result<Vec<T>, String>
where
    T::Err: std::fmt::Display,
{
    let one = |word: &str| word.parse().map_err(|error| format!("`{word}`: {error}"));
    text.split(',').map(one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(args: &str) -> Result<Options, String> {
        let args: Vec<String> = args.split_whitespace().map(str::to_owned).collect();
        Options::read(&args)
    }

    #[test]
    fn arguments_are_read() {
        let options = read("--sweep --rates 41,200 --controllers off,jin-0.8 --cap 30").unwrap();
        assert_eq!(options.work, Work::Sweep);
        assert_eq!(options.rates, Some(vec![41.0, 200.0]));
        let names = options.steerings.map(|all| all.len());
        assert_eq!((names, options.cap_s), (Some(2), Some(30.0)));
        for wrong in ["--only", "--rates a", "--controllers jin", "--fast"] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
    }
}
