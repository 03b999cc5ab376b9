//! How long clients waited for answers before, during and after a move.

use crate::record::{ProbeKind, ProbeTrace};

use super::frame::Frame;
use super::legend::{Swatch, legend};
use super::scale::Scale;
use super::{Drawing, Paint, Stroke};

/// Columns along the time axis: about one for every unit of width.
const COLUMNS: usize = 370;
const MOVE: (Paint, f64) = (Paint::Faint, 0.16);
const SILENCE: (Paint, f64) = (Paint::Silent, 0.30);

/// What was seen in a column of the drawing.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Column {
    least: f64,
    most: f64,
    unanswered: u32,
}

/// The drawing: `traces` of one migration, which took `total_time_s` where that is known.
pub(crate) fn svg(title: &str, traces: &[&ProbeTrace], total_time_s: Option<f64>) -> String {
    let mut drawing = Drawing::default();
    drawing.title(title);
    let mut names = vec![];
    for trace in traces {
        names.push((Swatch::Box(paint(trace.kind), 1.0), name(trace.kind)));
    }
    names.push((Swatch::Box(MOVE.0, 0.35), "the move"));
    names.push((Swatch::Box(SILENCE.0, 0.6), "no answer"));
    let top = legend(&mut drawing, 28.0, &names);
    let asked = || {
        traces
            .iter()
            .flat_map(|trace| trace.asked_ms.iter())
            .map(|ms| ms / 1e3)
    };
    let finite = || asked().filter(|at| at.is_finite());
    let (from, to) = (finite().fold(0.0, f64::min), finite().fold(0.0, f64::max));
    let to = if to > from { to } else { from + 1.0 };
    let answers = traces.iter().flat_map(|trace| trace.latency_ms.iter());
    let x = Scale::Linear { from, to };
    let y = Scale::decades(answers.copied().flatten());
    let x_title = "seconds since the command";
    let y_title = "latency, ms (each step ten times)";
    let frame = Frame::drawn(&mut drawing, top, (x, x_title), (y, y_title));
    let height = frame.bottom() - frame.top();
    if let Some(total) = total_time_s {
        let wide = frame.x(total.min(to)) - frame.x(0.0);
        drawing.rectangle((frame.x(0.0), frame.top()), (wide, height), MOVE.0, MOVE.1);
    }
    let wide = (frame.x(to) - frame.x(from)) / COLUMNS as f64;
    let seen: Vec<_> = traces
        .iter()
        .map(|trace| columns(trace, from, to))
        .collect();
    // Drawn below what was answered, and once however many probes were silent.
    let silent = |at: usize| seen.iter().any(|columns| columns[at].unanswered > 0);
    let mut at = 0;
    while at < COLUMNS {
        let begin = at;
        while at < COLUMNS && silent(at) {
            at += 1;
        }
        if at > begin {
            let place = (frame.x(from) + begin as f64 * wide, frame.top());
            let size = (((at - begin) as f64 * wide).max(1.5), height);
            drawing.rectangle(place, size, SILENCE.0, SILENCE.1);
        }
        at += 1;
    }
    for (trace, columns) in traces.iter().zip(&seen) {
        let ranges = columns
            .iter()
            .enumerate()
            .filter(|(_, column)| column.most > 0.0);
        let ranges = ranges.map(|(at, column)| {
            let x = frame.x(from) + (at as f64 + 0.5) * wide;
            // A single answer is a dot, not nothing.
            (x, frame.y(column.least) + 0.8, frame.y(column.most) - 0.8)
        });
        let stroke = Stroke {
            paint: paint(trace.kind),
            width: 1.5,
            opacity: 0.85,
        };
        drawing.ranges(ranges, stroke);
    }
    let said = "Latency of answers over time on a logarithmic axis; the move is shaded, and times \
                without answers are marked";
    drawing.finished(frame.height(), title, said)
}

fn columns(trace: &ProbeTrace, from: f64, to: f64) -> Vec<Column> {
    let none = Column {
        least: f64::INFINITY,
        most: 0.0,
        unanswered: 0,
    };
    let mut columns = vec![none; COLUMNS];
    for (asked, latency) in trace.asked_ms.iter().zip(&trace.latency_ms) {
        let share = (asked / 1e3 - from) / (to - from);
        if !(0.0..=1.0).contains(&share) {
            continue;
        }
        let column = &mut columns[((share * COLUMNS as f64) as usize).min(COLUMNS - 1)];
        match latency {
            Some(ms) if ms.is_finite() => {
                column.least = column.least.min(*ms);
                column.most = column.most.max(*ms);
            }
            _ => column.unanswered += 1,
        }
    }
    columns
}

fn paint(kind: ProbeKind) -> Paint {
    Paint::Series(match kind {
        ProbeKind::Icmp => 0,
        ProbeKind::Tcp => 2,
        ProbeKind::Service => 1,
    })
}

/// What a probe is called.
pub(crate) const fn name(kind: ProbeKind) -> &'static str {
    match kind {
        ProbeKind::Icmp => "ICMP echo",
        ProbeKind::Tcp => "TCP",
        ProbeKind::Service => "request",
    }
}
