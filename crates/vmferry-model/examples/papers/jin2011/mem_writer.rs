//! Figures 5 and 6: downtime and total time of memWriter.

use vmferry_core::{ByteRate, Bytes, Ratio};
use vmferry_precopy::dirt::Writes;
use vmferry_precopy::tuning::{AdaptiveRate, CpuCap};
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

    /// The same guest under Algorithm 1, without the early stop: it would stop a guest that outruns
    /// the link before the first cap.
    fn throttled(self, mbit: f64, link_mbit: f64, expectant: f64) -> Move {
        let guest = Writer {
            memory: Bytes::from_mib(1024),
            set: Bytes(800_000_000),
            mbit,
            writes: self.writes,
        };
        let rules = Rules {
            max_sent: self.max_sent,
            early_stop: EarlyStop::Never,
            ..Rules::default()
        };
        let mut cap = CpuCap::new(Ratio(expectant));
        let link = ByteRate::from_mbit_per_s(link_mbit);
        Move::tuned(&guest.dirt(), &rules, link, RESUME, &mut cap)
    }

    /// The first dirty rate, in hundredths of the link, whose downtime reaches 1 s.
    fn barrier(self, link: f64) -> f64 {
        (1..=200)
            .map(|step| f64::from(step) * link / 100.0)
            .find(|mbit| self.moved(*mbit, link).downtime_s >= 1.0)
            .unwrap_or(f64::NAN)
    }
}

/// C of Algorithm 1 in the figures.
const EXPECTANTS: [f64; 4] = [0.6, 0.7, 0.8, 0.9];

/// The first dirty rate under the throttle, in twentieths of the link, whose downtime reaches 1 s;
/// `None` where none up to the greatest of the paper does.
fn throttled_barrier(setting: Setting, link: f64, expectant: f64) -> Option<f64> {
    (1..)
        .map(|step| f64::from(step) * link / 20.0)
        .take_while(|mbit| *mbit <= RATES.1)
        .find(|mbit| setting.throttled(*mbit, link, expectant).downtime_s >= 1.0)
}

/// Figures 5 and 6 with the throttle on.
fn throttle(page: &mut Page) {
    page.say(
        "### Figures 5 and 6 with the throttle, C = 0.6 to 0.9\n\n\
         The same guest under Algorithm 1 (`vmferry_precopy::tuning::CpuCap`): after every round the cap becomes \
         C B E / P, never below 20 %, and what the guest writes shrinks with its cap (eq. 8). The early stop is off \
         here: with it a guest that outruns the link is stopped after the first round, before any cap, and the printed \
         values show that it was not. Nothing is fitted.",
    );
    let setting = Setting {
        max_sent: None,
        ..ASSUMED
    };
    let printed = |expectant: f64| match expectant {
        0.6 => ("26 ms", "-"),
        0.9 => ("-", "about 1200 Mbit/s"),
        _ => ("-", "-"),
    };
    let rows: Vec<Vec<String>> = EXPECTANTS
        .into_iter()
        .map(|expectant| {
            let moved = setting.throttled(FAILED.0, 1000.0, expectant);
            let limited = ASSUMED.throttled(FAILED.0, 1000.0, expectant);
            let (downtime, barrier) = printed(expectant);
            let found = |setting| {
                throttled_barrier(setting, 1000.0, expectant).map_or_else(
                    || format!("none up to {} Mbit/s", RATES.1),
                    |b| format!("{b:.0} Mbit/s"),
                )
            };
            vec![
                expectant.to_string(),
                downtime.into(),
                seconds(moved.downtime_s),
                seconds(limited.downtime_s),
                barrier.into(),
                found(setting),
                found(ASSUMED),
            ]
        })
        .collect();
    page.table(
        &[
            "C",
            "downtime at 1943 over 1000 Mbit/s: printed",
            "ours",
            "ours, stopped at three times the memory",
            "barrier over 1000 Mbit/s: printed",
            "ours",
            "ours, stopped at three times the memory",
        ],
        &rows,
    );
    let found = setting.throttled(FAILED.0, 1000.0, 0.6).downtime_s * 1e3;
    let moved =
        throttled_barrier(setting, 1000.0, 0.6).unwrap_or(RATES.1) / setting.barrier(1000.0);
    page.say(&format!(
        "At C = 0.6 ours is {found:.0} ms where 26 ms are printed ({}); 20 ms of it are the assumed resume. The barrier \
         moves by {moved:.1} times, more than the 4 times claimed: from five times the link on the floor of 20 % no \
         longer holds the guest back. At C = 0.9 the rounds shrink so slowly that the stop at three times the memory \
         decides; the printed 1200 Mbit/s lies between ours with it and without it.",
        deviation(found, 26.0)
    ));
    page.figure(throttled_sweep(setting));
}

fn throttled_sweep(setting: Setting) -> Figure {
    let steps = 60;
    let rates: Vec<f64> = (0..=steps)
        .map(|i| RATES.0 * (RATES.1 / RATES.0).powf(f64::from(i) / f64::from(steps)))
        .collect();
    let lines = |of: fn(&Move) -> f64| {
        let rates = &rates;
        EXPECTANTS.into_iter().map(move |expectant| {
            let moved = |p: &f64| (*p, of(&setting.throttled(*p, 1000.0, expectant)));
            (
                format!("ours, C = {expectant}"),
                Series::Line(rates.iter().map(moved).collect()),
            )
        })
    };
    let printed = [(
        "printed: 26 ms at 1943 Mbit/s, C = 0.6".to_owned(),
        Series::Dots(vec![(FAILED.0, 0.026)]),
    )];
    Figure {
        name: "jin2011-figures-5-6-throttled",
        title: "jin2011, figures 5 and 6 with the throttle: 800 MB written in a guest of 1 GiB, 1000 Mbit/s",
        columns: 1,
        panels: vec![
            Panel {
                caption: "Figure 5: downtime".into(),
                x: Axis::log("dirty rate, Mbit/s", RATES.0),
                y: Axis::log("downtime, s", 0.01),
                series: lines(|moved| moved.downtime_s).chain(printed).collect(),
                legend: Legend::UpperLeft,
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
    throttle(page);
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
