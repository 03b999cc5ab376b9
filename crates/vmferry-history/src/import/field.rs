//! The fields that a column map may name, with their units.

/// What a cell says, whatever its unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Field {
    Run,
    Guest,
    Workload,
    StartedAt,
    Technique,
    Memory,
    DirtyRate,
    Bandwidth,
    DowntimeLimit,
    Converged,
    TotalTime,
    Downtime,
    Transferred,
}

/// A field in one unit.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Unit {
    /// As a column map writes it.
    pub(super) name: &'static str,
    pub(super) field: Field,
    /// The base unit (bytes, bytes per second, milliseconds) over this one; 1
    /// where there is none.
    pub(super) factor: f64,
}

/// What every map has to name, each as an example.
pub(super) const REQUIRED: [(Field, &str); 5] = [
    (Field::Memory, "memory_mib"),
    (Field::DirtyRate, "dirty_pages_per_s"),
    (Field::Bandwidth, "bandwidth_mbit_per_s"),
    (Field::Technique, "technique"),
    (Field::TotalTime, "total_time_ms"),
];

const KIB: f64 = 1024.0;
const MIB: f64 = 1024.0 * KIB;
const GIB: f64 = 1024.0 * MIB;
const PAGE: f64 = 4096.0;

const fn unit(name: &'static str, field: Field, factor: f64) -> Unit {
    Unit {
        name,
        field,
        factor,
    }
}

/// Every field in every unit. `k`, `M` and `G` are powers of 1000, pages are
/// of 4 KiB.
pub(super) const UNITS: &[Unit] = &[
    unit("memory_mib", Field::Memory, MIB),
    unit("memory_bytes", Field::Memory, 1.0),
    unit("memory_kib", Field::Memory, KIB),
    unit("memory_gib", Field::Memory, GIB),
    unit("memory_mb", Field::Memory, 1e6),
    unit("memory_gb", Field::Memory, 1e9),
    unit("memory_pages", Field::Memory, PAGE),
    unit("dirty_pages_per_s", Field::DirtyRate, PAGE),
    unit("dirty_bytes_per_s", Field::DirtyRate, 1.0),
    unit("dirty_kib_per_s", Field::DirtyRate, KIB),
    unit("dirty_mib_per_s", Field::DirtyRate, MIB),
    unit("dirty_mb_per_s", Field::DirtyRate, 1e6),
    unit("dirty_mbit_per_s", Field::DirtyRate, 1e6 / 8.0),
    unit("bandwidth_mbit_per_s", Field::Bandwidth, 1e6 / 8.0),
    unit("bandwidth_bit_per_s", Field::Bandwidth, 1.0 / 8.0),
    unit("bandwidth_kbit_per_s", Field::Bandwidth, 1e3 / 8.0),
    unit("bandwidth_gbit_per_s", Field::Bandwidth, 1e9 / 8.0),
    unit("bandwidth_bytes_per_s", Field::Bandwidth, 1.0),
    unit("bandwidth_kib_per_s", Field::Bandwidth, KIB),
    unit("bandwidth_mib_per_s", Field::Bandwidth, MIB),
    unit("bandwidth_mb_per_s", Field::Bandwidth, 1e6),
    unit("technique", Field::Technique, 1.0),
    unit("workload", Field::Workload, 1.0),
    unit("total_time_ms", Field::TotalTime, 1.0),
    unit("total_time_s", Field::TotalTime, 1e3),
    unit("total_time_us", Field::TotalTime, 1e-3),
    unit("total_time_min", Field::TotalTime, 6e4),
    unit("downtime_ms", Field::Downtime, 1.0),
    unit("downtime_s", Field::Downtime, 1e3),
    unit("downtime_us", Field::Downtime, 1e-3),
    unit("transferred_kib", Field::Transferred, KIB),
    unit("transferred_bytes", Field::Transferred, 1.0),
    unit("transferred_mib", Field::Transferred, MIB),
    unit("transferred_gib", Field::Transferred, GIB),
    unit("transferred_kb", Field::Transferred, 1e3),
    unit("transferred_mb", Field::Transferred, 1e6),
    unit("transferred_gb", Field::Transferred, 1e9),
    unit("transferred_pages", Field::Transferred, PAGE),
    unit("downtime_limit_ms", Field::DowntimeLimit, 1.0),
    unit("downtime_limit_s", Field::DowntimeLimit, 1e3),
    unit("converged", Field::Converged, 1.0),
    unit("guest", Field::Guest, 1.0),
    unit("run", Field::Run, 1.0),
    unit("started_at", Field::StartedAt, 0.0),
    unit("started_at_unix_s", Field::StartedAt, 1e3),
    unit("started_at_unix_ms", Field::StartedAt, 1.0),
];

const DAYS_30: f64 = 30.0 * 86_400_000.0;

impl Field {
    /// Least and greatest value that is believed, in the base unit, and how
    /// to say so.
    pub(super) const fn believed(self) -> (f64, f64, &'static str) {
        match self {
            Self::Memory => (MIB, 1024.0 * 1024.0 * GIB, "1 MiB to 1 PiB"),
            Self::DirtyRate => (0.0, 1e13, "0 to 10 TB/s"),
            Self::Bandwidth => (125.0, 1.25e13, "1 kbit/s to 100 Tbit/s"),
            Self::TotalTime => (1e-3, DAYS_30, "1 us to 30 days"),
            Self::Downtime | Self::DowntimeLimit => (0.0, DAYS_30, "0 to 30 days"),
            Self::Transferred => (1.0, 1e18, "1 byte to 1 EB"),
            // The years 1990 to 2200, in milliseconds.
            Self::StartedAt => (631_152_000_000.0, 7_258_118_400_000.0, "1990 to 2200"),
            Self::Run | Self::Guest | Self::Workload | Self::Technique | Self::Converged => {
                (f64::NEG_INFINITY, f64::INFINITY, "anything")
            }
        }
    }
}
