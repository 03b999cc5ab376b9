//! What the windows say, beside what was promised.

use std::fmt::Write as _;

use serde::Serialize;
use serde_json::json;
use vmferry::core::{Bytes, SCHEMA_VERSION};
use vmferry::measure::BACKGROUND_BUDGET;

use crate::observer::Cost;
use crate::schedule::Kind;
use crate::series::{Series, Window};

/// Most that the guest's own rate may fall under background observation.
const MOST_FALL: f64 = 0.01;
/// Most memory of the observing process.
const MOST_MEMORY: Bytes = Bytes::from_mib(64);

pub(crate) struct Report<'a> {
    series: &'a Series,
}

/// Several values of one quantity.
#[derive(Clone, Copy, Debug, Serialize)]
struct Values {
    median: f64,
    least: f64,
    greatest: f64,
    n: usize,
}

impl Values {
    /// `None` of none.
    fn of(values: impl IntoIterator<Item = f64>) -> Option<Self> {
        let mut sorted: Vec<f64> = values.into_iter().collect();
        sorted.sort_by(f64::total_cmp);
        let (least, greatest) = (*sorted.first()?, *sorted.last()?);
        let n = sorted.len();
        Some(Self {
            median: f64::midpoint(sorted[(n - 1) / 2], sorted[n / 2]),
            least,
            greatest,
            n,
        })
    }

    fn line(self, digits: usize, unit: &str) -> String {
        format!(
            "{:.digits$} {unit} | {:.digits$} .. {:.digits$} {unit}",
            self.median, self.least, self.greatest
        )
    }
}

/// One row of the table.
#[derive(Clone, Debug, Serialize)]
struct Row {
    what: String,
    unit: &'static str,
    #[serde(skip)]
    digits: usize,
    target: Option<String>,
    values: Option<Values>,
    meets: Option<bool>,
}

impl Row {
    fn told(what: impl Into<String>, unit: &'static str, digits: usize, v: Option<Values>) -> Self {
        Self {
            what: what.into(),
            unit,
            digits,
            target: None,
            values: v,
            meets: None,
        }
    }

    fn judged(self, target: &str, meets: impl Fn(Values) -> bool) -> Self {
        Self {
            target: Some(target.to_owned()),
            meets: self.values.map(meets),
            ..self
        }
    }

    fn line(&self) -> String {
        let values = self.values.map_or_else(
            || "- | -".to_owned(),
            |values| values.line(self.digits, self.unit),
        );
        let verdict = match self.meets {
            Some(true) => "meets",
            Some(false) => "misses",
            None => "",
        };
        let target = self.target.as_deref().unwrap_or("");
        format!("| {} | {target} | {values} | {verdict} |", self.what)
    }
}

impl<'a> Report<'a> {
    pub(crate) fn of(series: &'a Series) -> Self {
        Self { series }
    }

    fn rows(&self) -> Vec<Row> {
        let series = self.series;
        let rates = |kind| {
            let windows = series.of(kind);
            Values::of(windows.map(|w| w.rate_bytes_per_s / f64::from(1 << 20)))
        };
        let falls = |kind| Values::of(series.ratios(kind).into_iter().map(|r| (1.0 - r) * 100.0));
        let costs = |kind, of: fn(&Cost) -> f64| {
            Values::of(series.of(kind).filter_map(|w| w.cost.as_ref()).map(of))
        };
        let own = |cost: &Cost| cost.own_account_core_share.percent();
        let all = |cost: &Cost| cost.share() * 100.0;
        let observing = |cost: &Cost| cost.observing_share() * 100.0;
        let peak = |cost: &Cost| cost.resident_peak.as_mib();
        let growth = |cost: &Cost| cost.growth().as_mib();
        let budget = BACKGROUND_BUDGET.percent();
        let within = move |v: Values| v.greatest <= budget;
        let core = format!("<= {budget} % of a core");
        let fits = |v: Values| v.greatest <= MOST_MEMORY.as_mib();
        let memory = format!("<= {MOST_MEMORY}");

        let mut rows = vec![
            Row::told(
                "guest's own rate, not observed",
                "MiB/s",
                1,
                rates(Kind::Alone),
            ),
            Row::told(
                "the same, observed in the background",
                "MiB/s",
                1,
                rates(Kind::Background),
            ),
            Row::told(
                "fall of the guest's rate (median)",
                "%",
                2,
                falls(Kind::Background),
            )
            .judged("< 1 %", |v| v.median < MOST_FALL * 100.0),
            Row::told(
                "the same between windows without observation: the noise",
                "%",
                2,
                falls(Kind::Alone),
            ),
            Row::told(
                "processor time by the observation's own account (greatest)",
                "%",
                2,
                costs(Kind::Background, own),
            )
            .judged(&core, within),
            Row::told(
                "processor time of the observing process by /proc (greatest)",
                "%",
                2,
                costs(Kind::Background, all),
            )
            .judged(&core, within),
            Row::told(
                "the same without reading the observation at the end",
                "%",
                2,
                costs(Kind::Background, observing),
            ),
            Row::told(
                "most resident memory of the observing process (greatest)",
                "MiB",
                1,
                costs(Kind::Background, peak),
            )
            .judged(&memory, fits),
            Row::told(
                "of it added by the observation",
                "MiB",
                1,
                costs(Kind::Background, growth),
            ),
        ];
        let burst = |what: &str| format!("burst of 20 %: {what}");
        rows.extend([
            Row::told(
                burst("fall of the guest's rate"),
                "%",
                2,
                falls(Kind::Burst),
            ),
            Row::told(
                burst("processor time by its own account"),
                "%",
                2,
                costs(Kind::Burst, own),
            ),
            Row::told(
                burst("processor time of the process while it observed, by /proc"),
                "%",
                2,
                costs(Kind::Burst, observing),
            ),
            Row::told(
                burst("most resident memory of the process"),
                "MiB",
                1,
                costs(Kind::Burst, peak),
            ),
        ]);
        rows
    }

    pub(crate) fn markdown(&self) -> String {
        let series = self.series;
        let first = series.windows.iter().find_map(|w| w.cost.as_ref());
        let qemu = first
            .and_then(|cost| cost.hypervisor_version.as_deref())
            .unwrap_or("of unknown version");
        let mut out = String::from("# What observing costs\n\n");
        let _ = writeln!(
            out,
            "Made and reported by `cargo xtask bench overhead`: a guest of {} (`{}`) on QEMU {qemu} \
             under {}, on {} cores with a load average of {} as it began. Windows without \
             observation and with one take turns; a rate is compared with the mean of the two \
             windows without observation around it. Each observation is a process of its own, from \
             its start to its end with the reading of what was seen.\n",
            series.memory_bytes,
            series.load,
            series.accelerator,
            series.cores,
            series
                .load_average
                .split(' ')
                .next()
                .unwrap_or("unknown height"),
        );
        out.push_str("| | target | median | range | |\n|---|---|---|---|---|\n");
        for row in self.rows() {
            let _ = writeln!(out, "{}", row.line());
        }
        out.push_str("\n## Every window\n\n");
        out.push_str("| | s | guest MiB/s | own % | /proc % | MiB | pages | looks |\n|---|---|---|---|---|---|---|---|\n");
        for window in &series.windows {
            let _ = writeln!(out, "{}", line(window));
        }
        let notes = [Kind::Background, Kind::Burst].map(|kind| {
            let cost = series.of(kind).find_map(|w| w.cost.as_ref());
            (kind, cost.map_or(&[][..], |cost| &cost.notes))
        });
        for (kind, notes) in notes {
            for note in notes {
                let _ = write!(out, "\n{kind:?}: {note}.");
            }
        }
        out.push('\n');
        out
    }

    pub(crate) fn json(&self) -> Result<String, serde_json::Error> {
        serde_json::to_string_pretty(&json!({
            "schema_version": SCHEMA_VERSION,
            "tool_version": vmferry::TOOL_VERSION,
            "summary": self.rows(),
            "series": self.series,
        }))
    }
}

fn line(window: &Window) -> String {
    let rate = window.rate_bytes_per_s / f64::from(1 << 20);
    let cost = window.cost.as_ref().map_or_else(
        || " | | | | |".to_owned(),
        |cost| {
            format!(
                "{:.2} | {:.2} | {:.1} | {} | {} |",
                cost.own_account_core_share.percent(),
                cost.share() * 100.0,
                cost.resident_peak.as_mib(),
                cost.pages,
                cost.looks,
            )
        },
    );
    format!(
        "| {:?} | {:.1} | {rate:.1} | {cost}",
        window.kind, window.seconds
    )
}
