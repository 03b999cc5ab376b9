//! `dom0cpu`: memory writers of growing intensity.

use vmferry_core::Bytes;
use vmferry_precopy::dirt::Writes;
use vmferry_precopy::xen_legacy::Rules;

use crate::figure::{Axis, Figure, Panel, Series};
use crate::page::{Page, deviation, seconds};
use crate::writer::{Move, Writer, of_memory};

/// "The migrated VM has 1GB of Memory."
const MEMORY: Bytes = Bytes::from_mib(1024);
/// Section 4B: time of a reader "at about 20 seconds", s.
const READER: f64 = 20.0;
/// Section 4B: CPU cap of the guest from which on a writer's time "stays almost the same".
const FLAT_FROM: f64 = 0.3;
/// Figure 7: exponent of the fitted power law of a memory reader.
const EXPONENT: f64 = -0.984;

pub(crate) fn section() -> Page {
    let mut page = Page::default();
    // The link that carries the guest once in the reader's time, and the rate of an uncapped
    // writer whose dirt reaches that link at the cap from which on nothing changes.
    let link = MEMORY.0 as f64 * 8.0 / 1e6 / READER;
    let full = link / FLAT_FROM;
    let moved = |cap: f64, link: f64, writes: bool| {
        let guest = Writer {
            memory: MEMORY,
            set: MEMORY,
            mbit: if writes { cap * full } else { 0.0 },
            writes: Writes::Sequential,
        };
        Move::by_pages(&guest.dirt(), &Rules::default(), of_memory(link), 0.0).total_s
    };
    page.say(
        "## dom0cpu: migration time against the CPU given to the migration\n\n\
         Xen 3.2, guests of 1 GB. We have its text; its charts are not readable.\n\n\
         **Claims.** Migration time over the CPU cap of Dom0 is a power law a x^b (R^2 0.94 to 0.98), flat above 50 to \
         60 %. A guest\nthat reads memory moves in the same time at every intensity; one that writes takes longer up \
         to a cap of about 30 %, and from\nthere on the same, because Xen gives up and stops it.\n\n\
         ### Section 4B: intensity of a reader and of a writer\n\n",
    );
    page.say(&format!(
        "Fitted: a link of {link:.0} Mbit/s, on the reader's 20 s; the dirty rate of a writer without cap ({full:.0} \
         Mbit/s), on the cap of 30 %\nfrom which on nothing changes. That the writer's time grows before and is flat \
         after, and by how much, is prediction under\n`xen_legacy`; the measured times of the writer are drawn, not \
         printed."
    ));
    let caps = [0.1, 0.2, 0.25, 0.3, 0.4, 0.6, 0.8, 1.0];
    let rows: Vec<Vec<String>> = caps
        .iter()
        .map(|cap| {
            let printed = match *cap {
                cap if cap < FLAT_FROM => "about 20 s; grows",
                _ => "about 20 s; stays",
            };
            vec![
                format!("{:.0} %", cap * 100.0),
                printed.into(),
                seconds(moved(*cap, link, false)),
                seconds(moved(*cap, link, true)),
            ]
        })
        .collect();
    page.table(
        &[
            "CPU cap of the guest",
            "printed: reader; writer",
            "reader",
            "writer",
        ],
        &rows,
    );
    let line = |writes| {
        let at = (1..=100).map(|i| f64::from(i) / 100.0);
        Series::Line(
            at.map(|cap| (cap * 100.0, moved(cap, link, writes)))
                .collect(),
        )
    };
    page.figure(Figure {
        name: "dom0cpu-figure-5",
        title: "dom0cpu, figure 5: migration time over the guest's CPU cap",
        columns: 1,
        panels: vec![Panel {
            caption: "1 GiB under xen_legacy".into(),
            x: Axis::linear("CPU cap of the guest, %"),
            y: Axis::linear("migration time, s"),
            series: vec![
                ("ours: memory writer".into(), line(true)),
                ("ours: memory reader".into(), line(false)),
                ("printed: about 20 s (reader)".into(), Series::Level(READER)),
                (
                    "printed: flat from about 30 % on".into(),
                    Series::Place(FLAT_FROM * 100.0),
                ),
            ],
        }],
    });
    // "We can infer the appropriate network bandwidth cap": time over a cap of the link.
    let (tenth, whole) = (moved(0.0, link / 10.0, false), moved(0.0, link, false));
    let exponent = (whole / tenth).ln() / 10f64.ln();
    page.say("### Section 5: a CPU cap is a bandwidth cap");
    page.table(
        &["check", "printed", "ours", "deviation"],
        &[vec![
            "exponent of time over the cap, memory reader (figure 7); ours over a cap of the link"
                .into(),
            format!("{EXPONENT}"),
            format!("{exponent:.3}"),
            deviation(exponent, EXPONENT),
        ]],
    );
    page.say(
        "**Not here yet:** the power regressions themselves, the plateau and their inversion (the least CPU that meets \
         a time): vmferry has\nno model of CPU caps yet, and of the data only the fitted line of figure 7 is printed.",
    );
    page
}
