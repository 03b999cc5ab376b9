//! The page of the memory writer: our moves on QEMU beside what `jin2011` prints of Xen.

use super::rounds;
use super::rows::Row;
use super::targets::Target;
use super::{percent, text};
use crate::figure::{Axis, Figure, Legend, Panel, Series};
use crate::page::Page;
use crate::record::Record;
use crate::steering::Steering;

/// The barrier is the first dirty rate whose downtime reaches this, ms.
const BARRIER_MS: f64 = 1000.0;
/// What the paper prints, for its link of 1000 Mbit/s: downtimes at a dirty rate, in Mbit/s and s.
const PRINTED_LINK: f64 = 1000.0;
const PRINTED_OFF: (f64, f64) = (1943.0, 6.435);
const PRINTED_JIN_06: (f64, f64) = (1943.0, 0.026);
/// Barriers there, Mbit/s: without the throttle "nearly 600", with C = 0.9 "about 1200".
const PRINTED_BARRIER: f64 = 600.0;
const PRINTED_BARRIER_09: f64 = 1200.0;
/// "The barrier moves up to four times."
const PRINTED_TIMES: f64 = 4.0;

/// Moves over one link under one controller, by growing dirty rate.
struct Line<'r, 'a> {
    by: Steering,
    rows: Vec<&'r Row<'a>>,
}

/// Where the barrier of a controller lies.
#[derive(Clone, Copy)]
enum Barrier {
    /// At this dirty rate, Mbit/s.
    At(f64),
    /// Above the greatest that was written.
    Above(f64),
}

impl Barrier {
    const fn rate(self) -> f64 {
        match self {
            Self::At(rate) | Self::Above(rate) => rate,
        }
    }

    fn text(self) -> String {
        match self {
            Self::At(rate) => format!("{rate:.0} Mbit/s"),
            Self::Above(rate) => format!("above {rate:.0} Mbit/s"),
        }
    }
}

fn asked(row: &Row<'_>) -> f64 {
    let cell = row.runs.first().map(|run| &run.cell);
    cell.and_then(|cell| cell.dirty_mbit).unwrap_or(0.0)
}

fn link(row: &Row<'_>) -> f64 {
    row.runs.first().map_or(0.0, |run| run.cell.link_mbit)
}

/// What was written, as the guest got to it.
fn written(row: &Row<'_>) -> f64 {
    row.median(Record::written_mbit).unwrap_or(asked(row))
}

/// Links, by growing rate.
fn links(rows: &[Row<'_>]) -> Vec<f64> {
    let mut links: Vec<f64> = rows.iter().map(link).collect();
    links.sort_by(f64::total_cmp);
    links.dedup();
    links
}

fn lines<'r, 'a>(rows: &'r [Row<'a>], over: f64) -> Vec<Line<'r, 'a>> {
    let mut lines: Vec<Line<'r, 'a>> = Vec::new();
    for row in rows.iter().filter(|row| link(row) == over) {
        match lines.iter_mut().find(|line| line.by == row.by) {
            Some(line) => line.rows.push(row),
            None => lines.push(Line {
                by: row.by,
                rows: vec![row],
            }),
        }
    }
    for line in &mut lines {
        line.rows.sort_by(|a, b| asked(a).total_cmp(&asked(b)));
    }
    let place = |by: Steering| Steering::all().iter().position(|usual| *usual == by);
    lines.sort_by_key(|line| (place(line.by).unwrap_or(usize::MAX), line.by.to_string()));
    lines
}

impl Line<'_, '_> {
    fn points(&self, of: impl Fn(&Row<'_>) -> Option<f64>) -> Vec<(f64, f64)> {
        let point = |row: &&Row<'_>| Some((written(row), of(row)?));
        self.rows.iter().filter_map(point).collect()
    }

    fn barrier(&self) -> Option<Barrier> {
        match self.rows.iter().find(|row| is_long(row)) {
            Some(row) => Some(Barrier::At(written(row))),
            None => self.rows.last().map(|row| Barrier::Above(written(row))),
        }
    }
}

pub(super) fn page(rows: &[Row<'_>]) -> (String, Vec<Figure>) {
    let mut page = Page::default();
    page.say(
        "# The memory writer of `jin2011`, on QEMU\n\n\
         Written by `cargo xtask bench throttle -- --report` from the moves of `cargo xtask bench throttle -- --sweep`. A \
         guest of 1 GiB writes a set of 800 MB page after page at a rate, and is moved over links of several rates; the \
         pause aimed at is 300 ms. The paper's guests ran on Xen, which ends pre-copy after 29 rounds or three times the \
         memory; QEMU goes on for ever, so a move that has not ended at the cap on time is made to stop there, under \
         every controller. Rates are what the guest wrote in 10 s before the move: TCG may write less than asked for. A \
         barrier is the first rate at which the downtime is 1 s or more, or the move is given up. Of \
         the paper's figures only what is printed in its text is drawn (`docs/papers.md`).",
    );
    let mut figures = Vec::new();
    for over in links(rows) {
        let lines = lines(rows, over);
        page.say(&format!("## Over {over} Mbit/s"));
        barriers(&mut page, &lines, over);
        table(&mut page, &lines);
        let figure = figure(&lines, over);
        page.text += &format!("![{}]({}.svg)\n\n", figure.title, figure.name);
        figures.push(figure);
        if let Some(run) = beyond(&lines) {
            rounds::tell(&mut page, run);
        }
    }
    (page.text, figures)
}

/// A move under Algorithm 1 at its barrier, with the least C there is: where its effect ends.
fn beyond<'r>(lines: &'r [Line<'r, '_>]) -> Option<&'r Record> {
    let jin = lines.iter().find(|line| line.by.expectant.is_some())?;
    let row = jin.rows.iter().find(|row| is_long(row))?;
    row.runs.first().copied()
}

/// Whether the barrier is reached; a guest that was not moved waits for ever.
fn is_long(row: &Row<'_>) -> bool {
    row.downtime_ms().is_none_or(|ms| ms >= BARRIER_MS)
}

fn barriers(page: &mut Page, lines: &[Line<'_, '_>], over: f64) {
    let off = of(lines, Steering::OFF).and_then(Line::barrier);
    let printed = |by: Steering| match by {
        _ if over != PRINTED_LINK => "",
        Steering::OFF => "nearly 600 Mbit/s",
        by if by == Steering::jin(0.9) => "about 1200 Mbit/s",
        by if by == Steering::jin(0.6) => "up to 4 times",
        _ => "",
    };
    let lines: Vec<Vec<String>> = lines
        .iter()
        .filter_map(|line| {
            let barrier = line.barrier()?;
            let times = off.map(|off| barrier.rate() / off.rate());
            Some(vec![
                line.by.to_string(),
                barrier.text(),
                text(times, 1),
                printed(line.by).to_owned(),
            ])
        })
        .collect();
    let head = ["controller", "barrier", "over that of off", "printed"];
    page.table(&head, &lines);
}

fn table(page: &mut Page, lines: &[Line<'_, '_>]) {
    let rows: Vec<Vec<String>> = lines
        .iter()
        .flat_map(|line| &line.rows)
        .map(|row| {
            vec![
                row.by.to_string(),
                format!("{:.0}", asked(row)),
                format!("{:.0}", written(row)),
                row.ends(),
                text(row.downtime_ms(), 0),
                text(row.total_s(), 1),
                text(row.median(Record::sent_mb), 0),
                percent(row.median(Record::mean_share)),
                percent(row.median(|run| Some(run.least_share()))),
                text(row.lost_s(), 2),
            ]
        })
        .collect();
    let head = [
        "controller",
        "asked for, Mbit/s",
        "written",
        "ended",
        "downtime ms",
        "total s",
        "sent MB",
        "mean CPU",
        "least CPU",
        "work lost s",
    ];
    page.table(&head, &rows);
}

fn figure(lines: &[Line<'_, '_>], over: f64) -> Figure {
    let ours = |of: fn(&Row<'_>) -> Option<f64>| -> Vec<(String, Series)> {
        let series = |line: &Line<'_, '_>| (line.by.to_string(), Series::Line(line.points(of)));
        lines.iter().map(series).collect()
    };
    let mut downtime = ours(|row| row.downtime_ms().map(|ms| ms / 1e3));
    if over == PRINTED_LINK {
        let dots = |name: &str, at| (name.to_owned(), Series::Dots(vec![at]));
        downtime.push(dots("printed, off: 6.435 s", PRINTED_OFF));
        downtime.push(dots("printed, C = 0.6: 26 ms", PRINTED_JIN_06));
        let place = |name: &str, at| (name.to_owned(), Series::Place(at));
        downtime.push(place("printed barrier, off", PRINTED_BARRIER));
        downtime.push(place("printed barrier, C = 0.9", PRINTED_BARRIER_09));
    }
    let x = Axis::log("written, Mbit/s", 40.0);
    let panel = |caption: &str, y, series, legend| Panel {
        caption: caption.to_owned(),
        x,
        y,
        series,
        legend,
    };
    let (name, title) = named(over);
    Figure {
        name,
        title,
        columns: 1,
        panels: vec![
            panel(
                "downtime",
                Axis::log("s", 0.01),
                downtime,
                Legend::UpperLeft,
            ),
            panel(
                "total time",
                Axis::linear("s"),
                ours(|row| row.total_s()),
                Legend::UpperLeft,
            ),
            panel(
                "CPU used while the guest ran, of what it uses unmoved",
                Axis::linear("share"),
                ours(|row| row.median(Record::mean_share)),
                Legend::LowerLeft,
            ),
        ],
    }
}

/// The figures have fixed names: one for each link of the paper, one for any other.
fn named(over: f64) -> (&'static str, &'static str) {
    match over {
        200.0 => (
            "sweep-200",
            "800 MB written in a guest of 1 GiB, moved over 200 Mbit/s",
        ),
        500.0 => (
            "sweep-500",
            "800 MB written in a guest of 1 GiB, moved over 500 Mbit/s",
        ),
        1000.0 => (
            "sweep-1000",
            "800 MB written in a guest of 1 GiB, moved over 1000 Mbit/s",
        ),
        _ => (
            "sweep-other",
            "800 MB written in a guest of 1 GiB, moved over another link",
        ),
    }
}

fn of<'l, 'r, 'a>(lines: &'l [Line<'r, 'a>], by: Steering) -> Option<&'l Line<'r, 'a>> {
    lines.iter().find(|line| line.by == by)
}

/// The barrier of `jin` at C = 0.6 moves as far as printed, and that of `curve` further.
pub(super) fn targets(rows: &[Row<'_>], targets: &mut Vec<Target>) {
    for over in links(rows) {
        let lines = lines(rows, over);
        let at = |by: Steering| of(&lines, by).and_then(Line::barrier);
        let Some(off) = at(Steering::OFF) else {
            continue;
        };
        let times = |by: Steering| at(by).map(|barrier| barrier.rate() / off.rate());
        let basis = |by: Steering| {
            let ours = at(by).map_or_else(String::new, Barrier::text);
            format!("{ours} after {}", off.text())
        };
        let jin = Steering::jin(0.6);
        targets.push(Target::barrier(
            &format!("barrier over {over} Mbit/s under `jin`, C = 0.6, over that of `off`"),
            PRINTED_TIMES,
            times(jin),
            &basis(jin),
        ));
        let least = times(jin).unwrap_or(PRINTED_TIMES);
        targets.push(Target::barrier(
            &format!("barrier over {over} Mbit/s under `curve`: at least that of `jin`"),
            least,
            times(Steering::CURVE),
            &basis(Steering::CURVE),
        ));
    }
}
