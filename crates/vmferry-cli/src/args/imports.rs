//! Arguments that take other people's migrations into the history.

use std::path::PathBuf;

use clap::Args;

/// Arguments of `history import`.
#[derive(Debug, Args)]
#[command(
    after_help = "A unit is part of its field's name. Every map names memory_mib (_kib, _gib, _mb, _gb, _bytes, _pages),\n\
    dirty_pages_per_s (dirty_bytes_per_s, _kib_, _mib_, _mb_, _mbit_), bandwidth_mbit_per_s (_bit_, _kbit_, _gbit_,\n\
    _bytes_, _kib_, _mib_, _mb_), technique and total_time_ms (_s, _us, _min); it may add workload, downtime_ms\n\
    (_s, _us), transferred_kib (_bytes, _mib, _gib, _kb, _mb, _gb, _pages), guest, run, converged, downtime_limit_ms (_s)\n\
    and started_at (RFC 3339; or started_at_unix_s, _ms). FIELD:=VALUE gives one value to every row.\n\n\
    Techniques: pre-copy, auto-converge, xbzrle, compression, post-copy, stop-and-copy.\n\
    A row is taken whole or not at all; every one that is not is said with its line and reason. What the history knows\n\
    already is not taken again."
)]
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
