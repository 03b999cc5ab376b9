//! `jin2011`: the model of section 3; the memory writer of section 5.

mod mem_writer;

use std::time::Duration;

use vmferry_core::{ByteRate, Bytes, Ratio};
use vmferry_model::predictor::rounds::{Method, PreCopy, efficiency_loss_s};
use vmferry_precopy::xen_legacy::Rules;

use crate::figure::{Axis, Figure, Legend, Panel, Series};
use crate::page::{Page, deviation, seconds};
use crate::writer::{Move, Writer, of_memory};

/// Figure 2: memory, MiB, and bandwidth, Mbit/s.
const FIGURE_2: (u64, f64) = (800, 200.0);
/// "When p reaches 151.4 Mbit/s": dirty rate at the migration barrier.
const BARRIER_MBIT: f64 = 151.4;

pub(crate) fn section() -> Page {
    let mut page = Page::default();
    page.say(
        "## jin2011: Optimizing the live migration of virtual machine by CPU scheduling\n\n\
         Jin, Gao, Wu, Shi, Wu, Zhou; Journal of Network and Computer Applications, 2011; Xen 3.1.\n\n\
         **Claims.** Pre-copy sends memory in rounds, and each round sends what was dirtied in the one before. It \
         works up to a dirty rate somewhat below the bandwidth, the *migration barrier*; from there on the downtime \
         explodes. Slowing the guest's CPU down round by round moves the barrier by up to 4 times, for 6 % more work \
         lost.",
    );
    equations(&mut page);
    boundary(&mut page);
    barrier(&mut page);
    mem_writer::figures(&mut page);
    page.say(
        "### What is not here\n\n\
         - **Figures 7 to 10** (Tomcat, credit scheduler weights): the dirty rate of the guest is printed for two \
         rounds only, so 2491 ms brought down to 288 ms cannot be replayed. `vmferry-control` has Algorithm 1 and eq. 10 \
         for moves on QEMU; no command uses them yet.\n\
         - **Tomcat without the throttle** (42.968 s, 2491 ms): the dirty rate is printed for two rounds only. What is \
         printed of the first two rounds, 38 s at 104 Mbit/s, does not carry the guest's 512 MiB either (41.3 s): \
         some of its memory was not sent, and how much is not said.\n\
         - **The other points of figures 5 and 6**: they are drawn, not printed.",
    );
    page
}

fn precopy() -> PreCopy {
    let (mib, mbit) = FIGURE_2;
    PreCopy::xen(Bytes::from_mib(mib), ByteRate::from_mbit_per_s(mbit))
}

/// Equations 1 to 7 where numbers are printed.
fn equations(page: &mut Page) {
    let barrier = precopy().barrier().mbit_per_s();
    let all = precopy().rounds(|_| precopy().bandwidth);
    let method = |used, s| Method {
        used: Ratio(used),
        time: Duration::from_secs_f64(s),
    };
    let lost = efficiency_loss_s(method(0.99, 42.968), method(0.94, 43.986), Ratio(0.99));
    page.say("### Equations 1 to 7");
    let (mib, mbit) = FIGURE_2;
    // "Causes downtime equal to the time that transfers all the memory."
    let whole = mib as f64 * 1_048_576.0 * 8.0 / (mbit * 1e6);
    page.table(
        &["check", "printed", "ours", "deviation"],
        &[
            vec![
                "eq. 5: barrier of 800 MiB over 200 Mbit/s".into(),
                format!("{BARRIER_MBIT} Mbit/s"),
                format!("{barrier:.2} Mbit/s"),
                deviation(barrier, BARRIER_MBIT),
            ],
            vec![
                "eq. 1-2: downtime there when p = B: all memory, M/B".into(),
                format!("{whole:.2} s"),
                format!("{:.2} s", all.downtime_s()),
                deviation(all.downtime_s(), whole),
            ],
            vec![
                "eq. 3-4: redundancy ratio R there: every one of N rounds sends M".into(),
                "30".into(),
                format!("{:.2}", all.redundancy),
                deviation(all.redundancy, 30.0),
            ],
            vec![
                "eq. 6-7: work lost by throttling Tomcat, I_L".into(),
                "2.2 F".into(),
                format!("{lost:.3} F"),
                deviation(lost, 2.2),
            ],
            vec![
                "the same as time at the destination, I_L / (0.99 F)".into(),
                "2.22 s".into(),
                format!("{:.3} s", lost / 0.99),
                deviation(lost / 0.99, 2.22),
            ],
        ],
    );
}

/// The greatest dirty rate with which a replay of the formula's rules ends below the threshold.
fn replayed_barrier(memory: Bytes, mbit: f64) -> f64 {
    let threshold = 262_144.0 * 8.0 / (mbit * 1e6);
    let (mut good, mut bad) = (0.0, mbit);
    for _ in 0..30 {
        let middle = 0.5 * (good + bad);
        let dirt = Writer::all(memory, middle).dirt();
        let found = Move::by_amount(&dirt, &Rules::jin2011_model(), of_memory(mbit), 0.0);
        if found.downtime_s <= threshold * 1.000_001 {
            good = middle;
        } else {
            bad = middle;
        }
    }
    good
}

/// Figure 1.
fn boundary(page: &mut Page) {
    let (mib, mbit) = FIGURE_2;
    let ratio = |mib: u64| {
        let precopy = PreCopy::xen(Bytes::from_mib(mib), ByteRate::from_mbit_per_s(mbit));
        precopy.barrier().mbit_per_s() / mbit
    };
    let sizes = [64, 128, 256, 512, 800, 1024, 2048, 4096, 8192];
    let replayed: Vec<(f64, f64)> = sizes
        .iter()
        .map(|size| {
            let barrier = replayed_barrier(Bytes::from_mib(*size), mbit);
            (*size as f64, barrier / mbit)
        })
        .collect();
    page.say(
        "### Figure 1: the boundary of p/B\n\n\
         The greatest ratio of dirty rate p to bandwidth B with which N = 30 rounds reach the threshold h = 256 KiB. \
         Printed are one point (151.4 of 200 Mbit/s at 800 MiB) and \"in most of the circumstances, p should be less \
         than 80 % of B\". The replay is `xen_legacy` with the formula's rules: it searches the rate, and knows \
         nothing of equation 5.",
    );
    let printed = |size: u64| {
        if size == mib {
            format!("{:.3}", BARRIER_MBIT / mbit)
        } else {
            String::new()
        }
    };
    let rows: Vec<Vec<String>> = sizes
        .iter()
        .zip(&replayed)
        .map(|(size, (_, found))| {
            vec![
                format!("{size} MiB"),
                printed(*size),
                format!("{:.3}", ratio(*size)),
                format!("{found:.3}"),
            ]
        })
        .collect();
    page.table(&["memory M", "printed", "eq. 5", "replay"], &rows);
    page.figure(Figure {
        name: "jin2011-figure-1",
        title: "jin2011, figure 1: effective boundary of p/B over memory",
        columns: 1,
        panels: vec![Panel {
            caption: "N = 30 rounds, h = 256 KiB".into(),
            x: Axis::log("memory M, MiB", 64.0),
            y: Axis::linear("p / B"),
            series: vec![
                ("ours: replay of xen_legacy".into(), Series::Line(replayed)),
                (
                    "printed: 151.4 of 200 Mbit/s".into(),
                    Series::Dots(vec![(mib as f64, BARRIER_MBIT / mbit)]),
                ),
                ("printed: below 80 %".into(), Series::Level(0.8)),
            ],
            legend: Legend::LowerLeft,
        }],
    });
}

/// Figure 2.
fn barrier(page: &mut Page) {
    let (mib, mbit) = FIGURE_2;
    let by_formula = |p: f64| {
        let found = precopy().rounds(|_| ByteRate::from_mbit_per_s(p));
        (found.downtime_s(), found.count())
    };
    let by_replay = |p: f64| {
        let dirt = Writer::all(Bytes::from_mib(mib), p).dirt();
        Move::by_amount(&dirt, &Rules::jin2011_model(), of_memory(mbit), 0.0)
    };
    let whole = mib as f64 * 1_048_576.0 * 8.0 / (mbit * 1e6);
    page.say(
        "### Figure 2: downtime over the dirty rate\n\n\
         800 MiB over 200 Mbit/s. Printed are where the rise begins (151.4 Mbit/s) and where it ends (all memory, \
         M/B, at p = B); the points between are drawn, not printed.",
    );
    let rows: Vec<Vec<String>> = [
        40.0, 100.0, 140.0, 151.4, 155.0, 160.0, 170.0, 180.0, 190.0, 200.0, 300.0,
    ]
    .iter()
    .map(|p| {
        let ((formula, rounds), replay) = (by_formula(*p), by_replay(*p));
        let printed = match *p {
            p if p == BARRIER_MBIT => "the rise begins".to_owned(),
            p if p == mbit => format!("{whole:.2} s (M/B)"),
            _ => String::new(),
        };
        vec![
            format!("{p} Mbit/s"),
            printed,
            seconds(formula),
            format!("{rounds}"),
            seconds(replay.downtime_s),
            format!("{}", replay.rounds + 1),
        ]
    })
    .collect();
    page.table(
        &[
            "dirty rate p",
            "printed",
            "eq. 1-2: t_n",
            "n",
            "replay: downtime",
            "rounds",
        ],
        &rows,
    );
    let line = (0..=220).map(|i| {
        let p = f64::from(i);
        (p, by_replay(p).downtime_s)
    });
    page.figure(Figure {
        name: "jin2011-figure-2",
        title: "jin2011, figure 2: downtime over the dirty rate, 800 MiB over 200 Mbit/s",
        columns: 1,
        panels: vec![Panel {
            caption: "xen_legacy with the rules of the formula".into(),
            x: Axis::linear("dirty rate p, Mbit/s"),
            y: Axis::linear("downtime, s"),
            series: vec![
                (
                    "ours: replay of xen_legacy".into(),
                    Series::Line(line.collect()),
                ),
                (
                    "printed: M/B at p = B".into(),
                    Series::Dots(vec![(mbit, whole)]),
                ),
                (
                    "printed: barrier at 151.4 Mbit/s".into(),
                    Series::Place(BARRIER_MBIT),
                ),
            ],
            legend: Legend::UpperLeft,
        }],
    });
}
