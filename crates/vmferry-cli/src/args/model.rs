//! Which model forecasts.

use clap::{Args, ValueEnum};

/// Which model forecasts.
#[derive(Clone, Copy, Debug, Args)]
pub(crate) struct Forecasting {
    /// Model that makes the forecast
    #[arg(long, value_enum, value_name = "MODEL", default_value_t = Model::Auto)]
    pub(crate) model: Model,
}

/// The models, by the names that records use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Model {
    /// Picks by what is known of the guest, says why, corrected by what earlier
    /// moves of the guest and over the route did cost
    Auto,
    /// QEMU's loop page by page over the pages seen (ours), uncorrected
    Pages,
    /// The same over the dirty curve alone, without knowing which pages
    Curve,
    /// HIST: the pages seen, replayed from every offset (akoush2010)
    Hist,
    /// AVG: a constant dirty rate, replayed (akoush2010)
    Avg,
    /// Algorithm 1: pages dirty again are left for the end (liu2011)
    Base,
    /// The same at a dirty rate learned from the guest's moves (liu2011)
    Refined,
    /// Send everything, then look, over the dirty curve
    Textbook,
    /// The formula for a constant dirty rate below the link's (liu2011)
    ClosedForm,
    /// Another technique: the guest moves first, its memory follows (predict only)
    PostCopy,
    /// Learned from eight or more moves by size, dirty rate and link alone
    Learned,
}

impl Model {
    /// Its name in the library and in records.
    pub(crate) fn name(self) -> String {
        self.to_possible_value()
            .map_or_else(String::new, |value| value.get_name().to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_default_are_the_librarys() {
        let names: Vec<String> = Model::value_variants().iter().map(|m| m.name()).collect();
        assert_eq!(names, vmferry::models::NAMES);
        assert_eq!(Model::Auto.name(), vmferry::models::DEFAULT);
    }
}
