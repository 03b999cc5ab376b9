//! What a trace holds, for people.

use vmferry::core::PAGE_SIZE;
use vmferry::document::TraceReport;
use vmferry::recording::{EndReason, TraceEnd};

use super::or_dash;

/// The answer of `trace info` and `record`.
pub(crate) fn table(report: &TraceReport) -> String {
    let seen = &report.summary;
    let (header, unknown) = (&seen.header, "-".to_owned());
    let pages = if header.whole_guest {
        format!("{} (the whole guest)", seen.pages.0)
    } else {
        format!(
            "{} (a random subset, each stands for {})",
            seen.pages.0,
            seen.mean_weight
                .map_or(unknown, |weight| format!("{weight:.1}"))
        )
    };
    let exact = seen.working_set_standard_error_bytes.0 == 0;
    let mut lines = vec![
        (
            "guest",
            format!(
                "{} ({})",
                header.guest.label(),
                or_dash(header.guest.accelerator.as_ref())
            ),
        ),
        ("UUID", or_dash(header.guest.uuid.as_ref())),
        (
            "host",
            format!(
                "{}, {} {}",
                or_dash(header.host.hostname.as_ref()),
                header.host.hypervisor,
                or_dash(header.host.hypervisor_version.as_ref())
            ),
        ),
        (
            "recorded",
            format!(
                "{} by vmferry {} (trace format {}), from {}",
                header.started_at.strftime("%Y-%m-%d %H:%M:%S"),
                seen.recorded_by,
                seen.format_version,
                header.source
            ),
        ),
        ("length", seen.length_ms.to_string()),
        (
            "intervals",
            format!(
                "{} of {} on average, the longest {}; {} were asked for, {} are longer by half",
                seen.intervals,
                or_dash(seen.mean_interval_ms),
                or_dash(seen.longest_interval_ms),
                header.interval_ms,
                seen.long_intervals
            ),
        ),
        ("pages", pages),
        (
            "stand for",
            format!(
                "{:.0} pages, {:.0} MiB",
                seen.represented_pages,
                seen.represented_pages * PAGE_SIZE.0 as f64 / 1_048_576.0
            ),
        ),
        (
            "dirty rate",
            or_dash(
                seen.dirty_rate_bytes_per_s
                    .map(|rate| format!("{:.2} MiB/s", rate.0 / 1_048_576.0)),
            ),
        ),
        (
            "working set",
            if exact {
                format!("{} over this length", seen.working_set_bytes)
            } else {
                format!(
                    "{} +- {} over this length",
                    seen.working_set_bytes, seen.working_set_standard_error_bytes
                )
            },
        ),
        ("file", seen.file_bytes.to_string()),
    ];
    let (end, notes) = match &seen.end {
        TraceEnd::Ended { footer } => {
            let reason = match footer.reason {
                EndReason::Complete => "whole",
                EndReason::Stopped => "whole; ended early on request",
                EndReason::GuestExited => "whole; the guest exited",
                EndReason::Failed => "whole; reading the guest failed",
            };
            let end = format!("{reason}; recording took {} of a core", footer.cpu);
            (end, footer.notes.as_slice())
        }
        TraceEnd::CutOff {
            at_byte,
            whole_bytes,
        } => (
            format!("cut off at byte {at_byte}; whole up to byte {whole_bytes}"),
            [].as_slice(),
        ),
        TraceEnd::Damaged { problem, .. } => (problem.clone(), [].as_slice()),
    };
    lines.push(("end", end));
    lines.extend(notes.iter().map(|note| ("note", note.clone())));
    lines
        .iter()
        .map(|(name, text)| format!("{name:<12} {text}"))
        .collect::<Vec<_>>()
        .join("\n")
}
