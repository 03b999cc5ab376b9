//! Arguments that take other people's migrations into the history.

use std::path::PathBuf;

use clap::Args;

/// Arguments of `history import`.
#[derive(Debug, Args)]
#[command(after_help = "A unit is part of its field's name. Every map names:\n\
    \x20 memory_mib (or _bytes, _kib, _gib, _mb, _gb, _pages)\n\
    \x20 dirty_pages_per_s (or dirty_bytes_per_s, _kib_, _mib_, _mb_, _mbit_)\n\
    \x20 bandwidth_mbit_per_s (or _bit_, _kbit_, _gbit_, _bytes_, _kib_, _mib_, _mb_)\n\
    \x20 technique: pre-copy, auto-converge, xbzrle, compression, post-copy, stop-and-copy\n\
    \x20 total_time_ms (or _s, _us, _min)\n\
    and may add:\n\
    \x20 workload, guest, run, converged (yes or no)\n\
    \x20 downtime_ms, downtime_limit_ms (or _s; downtime_us)\n\
    \x20 transferred_kib (or _bytes, _mib, _gib, _kb, _mb, _gb, _pages)\n\
    \x20 started_at (RFC 3339; or started_at_unix_s, started_at_unix_ms)\n\
    FIELD:=VALUE gives one value to every row.\n\n\
    A row is taken whole or not at all; every one that is not is said with its line and reason. \
    What the history knows already is not taken again.")]
pub(crate) struct HistoryImport {
    /// A CSV with a header; `-` is standard input
    pub(crate) file: PathBuf,
    /// Which column says what: FIELD=COLUMN,... may be given several times
    #[arg(
        long,
        required = true,
        value_name = "FIELD=COLUMN,...",
        allow_hyphen_values = true
    )]
    pub(crate) map: Vec<String>,
    /// What to call this source [default: the file's name]
    #[arg(long, value_name = "NAME")]
    pub(crate) source: Option<String>,
    /// Read and report only
    #[arg(long)]
    pub(crate) dry_run: bool,
}
