//! A remedy for people.

use vmferry::core::{Remedy, RemedyKind};

use super::or_dash;

/// One line: the change, and what it leads to.
pub(crate) fn line(remedy: &Remedy) -> String {
    let change = match remedy.kind {
        RemedyKind::Bandwidth { bandwidth } => format!("a link of {bandwidth}"),
        RemedyKind::MaxDowntime { limit } => format!("--max-downtime {:.0}ms", limit.0),
        RemedyKind::Slowdown { slowdown } => format!("the guest slowed down by {slowdown}"),
        RemedyKind::PostCopy { .. } => "post-copy".to_owned(),
    };
    let more = match remedy.kind {
        RemedyKind::PostCopy { stall } => format!(
            "; the guest then waits for pages {stall} of the time or more; allow it with --allow-postcopy"
        ),
        _ => String::new(),
    };
    format!(
        "{change}: total {}, downtime {}, converges {:.0} %{more}",
        or_dash(remedy.total_time_ms),
        or_dash(remedy.downtime_ms),
        remedy.converges_probability * 100.0
    )
}
