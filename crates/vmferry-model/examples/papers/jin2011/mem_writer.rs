//! Figures 5 and 6: downtime and total time of memWriter.

use vmferry_core::{ByteRate, Bytes, Ratio};
use vmferry_precopy::dirt::Writes;
use vmferry_precopy::tuning::AdaptiveRate;
use vmferry_precopy::xen_legacy::{EarlyStop, Rules};

use crate::figure::{Axis, Figure, Legend, Panel, Series};
use crate::page::{Page, deviation, seconds};
use crate::writer::{Move, Writer};

/// Bandwidths given to the migration, Mbit/s.
const LINKS: [f64; 3] = [1000.0, 500.0, 200.0];
/// Dirty rate of a point of figure 5, Mbit/s, and its downtime over 1 Gbit/s unthrottled, s.
const FAILED: (f64, f64) = (1943.0, 6.435);
/// "The first dirty rate that makes downtime reach 1 s" over 1 Gbit/s, "nearly 600", Mbit/s.
const BARRIER: f64 = 600.0;
/// "Most of the downtimes are kept in 0.1 s" below the link's rate, s.
const SHORT: f64 = 0.1;
/// Dirty rates of memWriter, Mbit/s, from the naked guest on.
const RATES: (f64, f64) = (41.0, 4798.0);
/// What a guest takes to resume (`liu2011` section 3.1), s.
const RESUME: f64 = 0.020;

/// What the paper leaves open.
#[derive(Clone, Copy)]
struct Setting {
    name: &'static str,
    writes: Writes,
    /// Whether the rate follows the dirt as in Xen 3's own code, up to the bandwidth given.
    adaptive: bool,
    /// The stop at a multiple of the memory.
    max_sent: Option<Ratio>,
}

/// What is assumed of figures 5 and 6.
const ASSUMED: Setting = Setting {
    name: "as assumed: page after page, the whole link at once",
    writes: Writes::Sequential,
    adaptive: false,
    max_sent: Some(Ratio(3.0)),
};
const OTHERS: [Setting; 3] = [
    Setting {
        name: "pages written at random",
        writes: Writes::Random,
        ..ASSUMED
    },
    Setting {
        name: "rate adapted to the dirt",
        adaptive: true,
        ..ASSUMED
    },
    Setting {
        name: "rate adapted, no stop at three times the memory",
        adaptive: true,
        max_sent: None,
        ..ASSUMED
    },
];

impl Setting {
    /// A set of 800 MB in a guest of 1 GiB.
    fn moved(self, mbit: f64, link_mbit: f64) -> Move {
        let guest = Writer {
            memory: Bytes::from_mib(1024),
            set: Bytes(800_000_000),
            mbit,
            writes: self.writes,
        };
        let (dirt, link) = (guest.dirt(), ByteRate::from_mbit_per_s(link_mbit));
        let rules = Rules {
            max_sent: self.max_sent,
            ..Rules::default()
        };
        if !self.adaptive {
            return Move::by_pages(&dirt, &rules, link, RESUME);
        }
        // Code that adapts the rate brings its own reading of dirt that outruns the link.
        let rules = Rules {
            early_stop: EarlyStop::GrowingRounds,
            ..rules
        };
        let mut rate = AdaptiveRate::xen3();
        rate.most = link;
        Move::tuned(&dirt, &rules, link, RESUME, &mut rate)
    }

    /// The first dirty rate, in hundredths of the link, whose downtime reaches 1 s.
    fn barrier(self, link: f64) -> f64 {
        (1..=200)
            .map(|step| f64::from(step) * link / 100.0)
            .find(|mbit| self.moved(*mbit, link).downtime_s >= 1.0)
            .unwrap_or(f64::NAN)
    }
}

pub(super) fn figures(page: &mut Page) {
    page.say(
        "### Figures 5 and 6: downtime and total time of memWriter, without the throttle\n\n\
         A guest of 1 GiB writes a set of 800 MB at 41 to 4798 Mbit/s, over 1000, 500 and 200 Mbit/s. Ours is \
         `xen_legacy` page by page: 29 rounds, 50 pages, three times the memory, the skip of pages written again, \
         and the stop when dirt outruns the link.\n\n\
         Fitted: the reading of \"MB\" as 10^6 bytes, on the one printed downtime (6.435 s; 2^20 bytes would give \
         6.74 s). Taken from elsewhere: 20 ms to resume (liu2011 section 3.1). Assumed: the set is written page \
         after page, and the move has its whole bandwidth from the first round on. All other values below are \
         predictions.",
    );
    page.table(&["check", "printed", "ours", "deviation"], &checks());
    page.figure(sweep());
    page.say(
        "As the text says, downtimes below the barrier are short, the longest grow as the link gets slower, and total \
         time falls beyond the barrier, where the guest is stopped after the first rounds. Total times are drawn, \
         not printed.",
    );
    why(page);
}

fn checks() -> Vec<Vec<String>> {
    let failed = ASSUMED.moved(FAILED.0, 1000.0).downtime_s;
    let mut rows = vec![vec![
        "downtime at 1943 Mbit/s over 1000 Mbit/s".to_owned(),
        format!("{} s", FAILED.1),
        format!("{failed:.3} s"),
        deviation(failed, FAILED.1),
    ]];
    for link in LINKS {
        let found = ASSUMED.barrier(link);
        let (printed, off) = if link == 1000.0 {
            ("nearly 600 Mbit/s", deviation(found, BARRIER))
        } else {
            ("\"correspondingly shrank\"", String::new())
        };
        rows.push(vec![
            format!("barrier (downtime reaches 1 s) over {link} Mbit/s"),
            printed.into(),
            format!("{found:.0} Mbit/s"),
            off,
        ]);
    }
    for link in LINKS {
        let mbit = 0.4 * link;
        rows.push(vec![
            format!("downtime well below the link: {mbit:.0} over {link} Mbit/s"),
            format!("mostly within {}", seconds(SHORT)),
            seconds(ASSUMED.moved(mbit, link).downtime_s),
            String::new(),
        ]);
    }
    for link in LINKS {
        rows.push(vec![
            format!("rounds before the stop at twice the link, {link} Mbit/s"),
            "\"skipping early iterations\"".into(),
            format!("{}", ASSUMED.moved(2.0 * link, link).rounds),
            String::new(),
        ]);
    }
    rows
}

/// The barrier under what else may have been.
fn why(page: &mut Page) {
    page.say("#### Why the barrier lies higher than printed");
    let rows: Vec<Vec<String>> = [ASSUMED]
        .into_iter()
        .chain(OTHERS)
        .map(|setting| {
            let mut cells = vec![setting.name.to_owned()];
            cells.extend(LINKS.map(|link| format!("{:.0} Mbit/s", setting.barrier(link))));
            let failed = setting.moved(FAILED.0, 1000.0);
            cells.push(seconds(failed.downtime_s));
            cells.push(seconds(setting.moved(RATES.0, 1000.0).total_s));
            cells
        })
        .collect();
    page.table(
        &[
            "setting",
            "barrier over 1000 Mbit/s (printed: nearly 600)",
            "500",
            "200",
            "downtime at 1943 over 1000 (printed: 6.435 s)",
            "total time at 41 over 1000",
        ],
        &rows,
    );
    let assumed = ASSUMED.barrier(1000.0);
    let slower = 1000.0 * BARRIER / assumed;
    let [limited, unlimited] = [OTHERS[1], OTHERS[2]].map(|setting| setting.barrier(1000.0));
    page.say(&format!(
        "Section 5.3 prints 104 Mbit/s for the first rounds and 209 Mbit/s for later ones of a move that was given \
         200: that is the rate adaptation of Xen 3's own code, 100 Mbit/s at first and then the dirt of the last \
         round plus 50. Whether it was on in figures 5 and 6 is not printed. With it the barrier over 1 Gbit/s lies \
         at {limited:.0} or {unlimited:.0} Mbit/s, by whether the stop at three times the memory cuts the slow rounds \
         off; the printed 600 lies between. A slower link alone does not explain it: {slower:.0} Mbit/s would put the \
         barrier at 600, and the downtime at 1943 Mbit/s at {} instead of 6.435 s. What is printed does not choose, \
         so nothing is fitted here: the assumed setting stays, and its barrier is too high.",
        seconds(ASSUMED.moved(FAILED.0, slower).downtime_s),
    ));
}

fn sweep() -> Figure {
    let steps = 120;
    let rates: Vec<f64> = (0..=steps)
        .map(|i| RATES.0 * (RATES.1 / RATES.0).powf(f64::from(i) / f64::from(steps)))
        .collect();
    let moves: Vec<(f64, Vec<(f64, Move)>)> = LINKS
        .iter()
        .map(|link| {
            let found = rates.iter().map(|p| (*p, ASSUMED.moved(*p, *link)));
            (*link, found.collect())
        })
        .collect();
    let lines = |of: fn(&Move) -> f64| {
        moves.iter().map(move |(link, found)| {
            let line = found.iter().map(|(p, moved)| (*p, of(moved))).collect();
            (format!("ours over {link} Mbit/s"), Series::Line(line))
        })
    };
    let downtime = lines(|moved| moved.downtime_s).chain([
        (
            "printed: 6.435 s over 1000 Mbit/s".to_owned(),
            Series::Dots(vec![FAILED]),
        ),
        (
            "printed: 1 s at nearly 600 over 1000 Mbit/s".to_owned(),
            Series::Dots(vec![(BARRIER, 1.0)]),
        ),
    ]);
    Figure {
        name: "jin2011-figures-5-6",
        title: "jin2011, figures 5 and 6 without throttle: 800 MB written in a guest of 1 GiB",
        columns: 1,
        panels: vec![
            Panel {
                caption: "Figure 5: downtime".into(),
                x: Axis::log("dirty rate, Mbit/s", RATES.0),
                y: Axis::log("downtime, s", 0.01),
                series: downtime.collect(),
                legend: Legend::LowerRight,
            },
            Panel {
                caption: "Figure 6: total time (no value is printed)".into(),
                x: Axis::log("dirty rate, Mbit/s", RATES.0),
                y: Axis::linear("total time, s"),
                series: lines(|moved| moved.total_s).collect(),
                legend: Legend::UpperLeft,
            },
        ],
    }
}
