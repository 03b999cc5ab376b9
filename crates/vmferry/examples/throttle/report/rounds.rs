//! A move round by round, as Algorithm 1 of `jin2011` sees it: why its caps came out as they did.

use crate::page::Page;
use crate::record::Record;

/// Rounds that are shown.
const SHOWN: usize = 14;

/// What a controller may measure in a round of pre-copy.
struct Round {
    at_s: f64,
    length_s: f64,
    /// Mbit/s sent, of stream.
    sent_mbit: f64,
    /// Mbit/s dirtied: what the look at its end found to send.
    dirty_mbit: f64,
    /// Share of its CPU that the guest had at the end.
    share: f64,
}

/// The rounds that ended before the guest was stopped.
fn rounds(run: &Record) -> Vec<Round> {
    let Some(outcome) = &run.outcome else {
        return Vec::new();
    };
    let forced_ms = run.forced_at_ms.map_or(f64::INFINITY, |at| at.0);
    let shares = run.shares();
    let passes = outcome.pass_list.windows(2);
    let round = |pair: &[vmferry::core::PassRecord]| {
        let (from, to) = (&pair[0], &pair[1]);
        let length_s = (to.at_ms.0 - from.at_ms.0) / 1e3;
        if length_s <= 0.0 || to.at_ms.0 > forced_ms {
            return None;
        }
        let mbit = |bytes: u64| bytes as f64 * 8.0 / 1e6 / length_s;
        let sent = to
            .transferred_bytes?
            .saturating_sub(from.transferred_bytes?);
        let held = shares.iter().take_while(|(at, _)| *at <= to.at_ms.0).last();
        Some(Round {
            at_s: from.at_ms.0 / 1e3,
            length_s,
            sent_mbit: mbit(sent.0),
            dirty_mbit: mbit(to.remaining_bytes?.0),
            share: held.map_or(1.0, |(_, share)| *share),
        })
    };
    passes.filter_map(round).collect()
}

/// Writes a move round by round, where it had rounds.
pub(super) fn tell(page: &mut Page, run: &Record) {
    let rounds = rounds(run);
    if rounds.len() < 2 {
        return;
    }
    page.say(&format!(
        "### `{}` at {:.0} Mbit/s, round by round\n\n\
         P is what the look at the end of a round found dirty, over its length; a page written twice counts once, so P \
         cannot exceed the set over the length, however much more is written ({:.0} Mbit/s unmoved). The next cap is C B / P \
         of the cap before.",
        run.cell.steering,
        run.cell.dirty_mbit.unwrap_or(0.0),
        run.written_mbit().unwrap_or(f64::NAN),
    ));
    let line = |round: &Round| {
        vec![
            format!("{:.1}", round.at_s),
            format!("{:.1}", round.length_s),
            format!("{:.0}", round.sent_mbit),
            format!("{:.0}", round.dirty_mbit),
            format!("{:.2}", round.dirty_mbit / round.sent_mbit),
            format!("{:.0} %", round.share * 100.0),
        ]
    };
    let lines: Vec<Vec<String>> = rounds.iter().take(SHOWN).map(line).collect();
    let head = [
        "began s",
        "length s",
        "B, Mbit/s",
        "P, Mbit/s",
        "P / B",
        "CPU at its end",
    ];
    page.table(&head, &lines);
    if rounds.len() > SHOWN {
        page.say(&format!("And {} more rounds.", rounds.len() - SHOWN));
    }
}
