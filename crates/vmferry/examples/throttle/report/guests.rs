//! The page of guests: aims first, then comparisons, then every move.

use super::rows::{self, Row};
use super::targets::Target;
use super::{Report, percent, text};
use crate::cells::{CAP_S, GUESTS, MAX_DOWNTIME_MS};
use crate::feasible::CurveEnd;
use crate::page::Page;
use crate::record::{Cost, Record};
use crate::steering::Steering;

/// Changes of the cap that a table shows; the rest is in `results.json`.
const CAPS_SHOWN: usize = 6;

impl Report<'_> {
    pub(super) fn readme(&self, targets: &[Target]) -> String {
        let mut page = Page::default();
        page.say(&format!(
            "# Promises kept, and what they cost\n\n\
             Written by `cargo xtask bench throttle -- --report` from {} real moves on QEMU under TCG; all numbers, \
             commands and events are in [results.json](results.json). Every guest of 512 MiB is started anew for each move, \
             metered unmoved for 10 s, observed for 15 s where a controller needs it, and moved over 400 Mbit/s (50 MB/s). \
             Promised are a pause of {MAX_DOWNTIME_MS:.0} ms and an end within {CAP_S:.0} s. A guest that still moves then \
             is made to stop, whatever remains: that is the reference of `off`.\n\n\
             - *work lost* is what the load did not do from the command to the end, pause included, by its own count \
             against the same guest unmoved: in time at full speed, and as a share of that time\n\
             - *by CPU* is the same by equation 7 of `jin2011`, with the processor time of the virtual CPUs: below 0 \
             where the dirty log makes the same work take more of it\n\
             - *freeze* is the longest time in which the load reported nothing; it reports every 100 ms\n\
             - *CPU* is what the virtual CPUs used while the guest ran, of what they use unmoved\n\
             - *kept*: ended by itself within both promises; *pause too long* and *late*: by itself, against one; \
             *forced*: by the bench at the cap on time; *given up*: by the controller, the guest stays; \
             *refused*: before the move, which was made all the same to see whether that was right",
            self.records.len()
        ));
        let disturbed = self.records.iter().filter(|run| run.disturbed()).count();
        if disturbed > 0 {
            page.say(&format!(
                "Of these moves {disturbed} were of guests that did not get to their work even unmoved, because the machine was \
                 busy with something else; what they cost means little, and their controllers are marked with a star."
            ));
        }
        self.aims(&mut page, targets);
        self.controllers(&mut page);
        self.auto_converge(&mut page);
        self.jin(&mut page);
        self.off(&mut page);
        self.feasible(&mut page);
        self.by_deadline(&mut page);
        page.say("## Every guest");
        for guest in rows::guests(&self.guests) {
            self.guest(&mut page, guest);
        }
        page.text
    }

    fn aims(&self, page: &mut Page, targets: &[Target]) {
        page.say("## Aims");
        let row = |target: &Target| {
            let met = match target.met {
                None => "-",
                Some(true) => "yes",
                Some(false) => "no",
            };
            [&target.what, &target.aim, &target.measured, met]
                .map(str::to_owned)
                .to_vec()
        };
        let lines: Vec<Vec<String>> = targets.iter().map(row).collect();
        page.table(&["what", "aim", "measured", "met"], &lines);
    }

    fn auto_converge(&self, page: &mut Page) {
        page.say("## Beside QEMU's auto-converge");
        let ratio = |a: Option<f64>, b: Option<f64>| percent(a.zip(b).map(|(a, b)| a / b));
        let lines: Vec<Vec<String>> = self
            .both(Steering::CURVE, Steering::QEMU)
            .iter()
            .map(|(curve, qemu)| {
                vec![
                    curve.guest.to_owned(),
                    format!("{} / {}", text(curve.total_s(), 1), text(qemu.total_s(), 1)),
                    ratio(curve.total_s(), qemu.total_s()),
                    format!("{} / {}", text(curve.lost_s(), 2), text(qemu.lost_s(), 2)),
                    ratio(curve.lost_s(), qemu.lost_s()),
                    percent(qemu.median(|run| Some(run.least_share()))),
                ]
            })
            .collect();
        let head = [
            "guest",
            "total s, curve / qemu",
            "ratio",
            "work lost s, curve / qemu",
            "ratio",
            "least CPU under qemu",
        ];
        page.table(&head, &lines);
        let mut only = Vec::new();
        for guest in rows::guests(&self.guests) {
            let ended = |by| rows::of(&self.guests, guest, by).map(Row::finished);
            match (ended(Steering::CURVE), ended(Steering::QEMU)) {
                (Some(true), Some(false)) => only.push(format!("- {guest}: only `curve`")),
                (Some(false), Some(true)) => only.push(format!("- {guest}: only `qemu`")),
                (Some(false), Some(false)) => only.push(format!("- {guest}: neither")),
                _ => {}
            }
        }
        if !only.is_empty() {
            page.say(&format!(
                "Guests that not both end within the cap on time:\n\n{}",
                only.join("\n")
            ));
        }
    }

    fn jin(&self, page: &mut Page) {
        let beside = self.beside_jin();
        if beside.is_empty() {
            return;
        }
        page.say(
            "## Beside `jin2011`\n\nWhere both end in time and the pause under `jin` is no shorter: work lost.",
        );
        let line = |(guest, by, ours, theirs): &(&str, Steering, f64, f64)| {
            vec![
                (*guest).to_owned(),
                by.to_string(),
                format!("{theirs:.2} s"),
                format!("{ours:.2} s"),
                format!("{:+.2} s", ours - theirs),
            ]
        };
        let lines: Vec<Vec<String>> = beside.iter().map(line).collect();
        page.table(&["guest", "jin", "lost by jin", "by curve", "more"], &lines);
    }

    fn off(&self, page: &mut Page) {
        let beside = self.beside_off();
        if beside.is_empty() {
            return;
        }
        page.say("## Where nothing but a forced stop ends an unthrottled move");
        let line = |(guest, off, curve): &(&str, f64, Option<f64>)| {
            vec![
                (*guest).to_owned(),
                format!("{off:.0} ms"),
                curve.map_or_else(
                    || "not moved in time".to_owned(),
                    |ms| format!("{ms:.0} ms"),
                ),
                percent(curve.map(|ms| 1.0 - ms / off)),
            ]
        };
        let lines: Vec<Vec<String>> = beside.iter().map(line).collect();
        page.table(&["guest", "downtime, off", "curve", "fall"], &lines);
    }

    fn feasible(&self, page: &mut Page) {
        if self.verdicts.is_empty() {
            return;
        }
        page.say(
            "## What can be promised at all\n\nThe dirt recorded before a move of each guest, replayed page by page by \
             QEMU's rules: the constant cap, from the command or from 3 to 30 s on and not below 20 %, that keeps the \
             promise for the least work; whether `--throttle curve` would take the promise on, and what it does over the same \
             dirt. Dirt is taken to follow the CPU.",
        );
        let line = |v: &crate::feasible::Verdict| {
            let cap = v.cap.map_or_else(
                || "none".to_owned(),
                |cap| match cap.share {
                    1.0 => "no cap needed".to_owned(),
                    share => format!("{:.0} % from {:.0} s", share * 100.0, cap.since_s),
                },
            );
            vec![
                v.guest.clone(),
                format!("{:.0} ms", v.max_downtime_ms),
                format!("{:.0} s", v.within_s),
                cap,
                text(v.cap.map(|cap| cap.lost_s), 1),
                if v.accepted { "accepts" } else { "refuses" }.to_owned(),
                match v.curve {
                    CurveEnd::Kept => "kept",
                    CurveEnd::Missed => "missed",
                    CurveEnd::GaveUp => "given up",
                }
                .to_owned(),
            ]
        };
        let lines: Vec<Vec<String>> = self.verdicts.iter().map(line).collect();
        let head = [
            "guest",
            "pause",
            "within",
            "least cap",
            "lost s",
            "`curve`",
            "its move",
        ];
        page.table(&head, &lines);
    }

    fn by_deadline(&self, page: &mut Page) {
        if self.deadlines.is_empty() {
            return;
        }
        page.say(
            "## Moves that have to end at a time\n\nUnder `--throttle deadline`, asked for 1.3 to 4 times the time that \
             `curve` needs for the same guest.",
        );
        let line = |run: &&Record| {
            let off = run.total_s().map(|s| s / run.cell.within_s - 1.0);
            vec![
                run.cell.guest.clone(),
                text(run.cell.factor, 2),
                format!("{:.1}", run.cell.within_s),
                text(run.total_s(), 1),
                off.map_or_else(
                    || run.end().to_owned(),
                    |off| format!("{:+.1} %", off * 100.0),
                ),
                text(run.downtime_ms(), 0),
                text(run.lost_s(), 2),
                percent(Some(run.least_share())),
            ]
        };
        let lines: Vec<Vec<String>> = self.deadlines.iter().map(line).collect();
        let head = [
            "guest",
            "of curve's time",
            "asked for s",
            "ended s",
            "off by",
            "downtime ms",
            "work lost s",
            "least CPU",
        ];
        page.table(&head, &lines);
    }

    fn guest(&self, page: &mut Page, guest: &str) {
        let rows = self.guests.iter().filter(|row| row.guest == guest);
        let what = GUESTS.iter().find(|kind| kind.name == guest);
        let load = rows.clone().find_map(|row| row.runs.first());
        page.say(&format!(
            "### {guest}\n\n{}: `{}`",
            what.map_or("", |kind| kind.what),
            load.map_or("", |run| &run.cell.load)
        ));
        let lines: Vec<Vec<String>> = rows.map(line).collect();
        let head = [
            "controller",
            "ended",
            "total s",
            "downtime ms",
            "sent MB",
            "work lost s",
            "share",
            "by CPU s",
            "freeze ms",
            "CPU",
            "share of its CPU over time",
        ];
        page.table(&head, &lines);
    }
}

fn line(row: &Row<'_>) -> Vec<String> {
    let cost = |of: fn(&Cost) -> Option<f64>| row.median(|run| of(run.cost.as_ref()?));
    let star = if row.runs.iter().any(|run| run.disturbed()) {
        "*"
    } else {
        ""
    };
    vec![
        format!("{}{star}", row.by),
        row.ends(),
        text(row.total_s(), 1),
        text(row.downtime_ms(), 0),
        text(row.median(Record::sent_mb), 0),
        text(row.lost_s(), 2),
        percent(cost(|cost| cost.lost.map(|lost| lost.0))),
        text(cost(Cost::vcpu_lost_s), 2),
        text(cost(|cost| cost.freeze_ms.map(|ms| ms.0)), 0),
        percent(row.median(Record::mean_share)),
        row.runs.first().map_or_else(String::new, |run| caps(run)),
    ]
}

/// When the cap changed, and to what.
fn caps(run: &Record) -> String {
    let mut changes: Vec<(f64, f64)> = Vec::new();
    let mut held = 1.0;
    for (at_ms, share) in run.shares() {
        if (share - held).abs() >= 0.005 {
            changes.push((at_ms, share));
            held = share;
        }
    }
    let told = |(at_ms, share): &(f64, f64)| format!("{:.1} s {:.0} %", at_ms / 1e3, share * 100.0);
    let mut shown: Vec<String> = changes.iter().take(CAPS_SHOWN).map(told).collect();
    if changes.len() > CAPS_SHOWN {
        shown.push(format!("and {} more", changes.len() - CAPS_SHOWN));
    }
    shown.join(", ")
}
