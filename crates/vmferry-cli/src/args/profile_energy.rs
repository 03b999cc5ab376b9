//! Arguments of `profile energy`.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use vmferry::core::GuestUri;
use vmferry::energy::MeterSpec;

/// Arguments of `profile energy`.
#[derive(Debug, Args)]
#[command(
    after_help = "Meters: rapl, rapl+dram, hwmon:PATH (this host); ipmi, ipmi:USER@HOST (password in IPMI_PASSWORD);\n\
    redfish:URL of a Chassis, its Power or EnvironmentMetrics (password in VMFERRY_REDFISH_PASSWORD),\n\
    redfish+insecure:URL where its certificate is of its own making;\n\
    prometheus:http://HOST:9090?query=EXPRESSION in watts; csv:FILE, rows of a time and watts.\n\n\
    First meter some moves of guests of different sizes, one by one:\n  \
    vmferry profile energy --meter rapl --watch qmp:/run/web.qmp   (and then migrate it elsewhere)\n\
    or all moves of the history that the log of an external meter covers (--moves), then fit (--fit).\n\
    With meters alone it reads them and says what the hosts draw; with nothing, what is known.\n\n\
    The power just before a move has to be stable: observing a guest takes power too, so migrate it\n\
    with `vmferry migrate --no-forecast` or --profile while you meter."
)]
pub(crate) struct ProfileEnergy {
    /// The meter of the source host
    #[arg(long, value_name = "METER")]
    pub(crate) meter: Option<MeterSpec>,
    /// The meter of the destination host
    #[arg(long, value_name = "METER")]
    pub(crate) destination_meter: Option<MeterSpec>,
    /// Meter the next migration of this guest, whoever starts it
    #[arg(long, value_name = "GUEST", conflicts_with_all = ["moves", "fit"])]
    pub(crate) watch: Option<GuestUri>,
    /// Measure the history's moves by the logs of meters (csv:FILE)
    #[arg(long, conflicts_with = "fit")]
    pub(crate) moves: bool,
    /// Fit a line to what was measured, for forecasts
    #[arg(long, conflicts_with_all = ["meter", "destination_meter"])]
    pub(crate) fit: bool,
    /// Fit to this CSV instead: transferred_bytes or transferred_mb, and
    /// energy_j (of both hosts), source_energy_j or destination_energy_j
    #[arg(long, value_name = "FILE", requires = "fit")]
    pub(crate) measurements: Option<PathBuf>,
    /// Name of the source host, as `history list` has it
    #[arg(long, value_name = "NAME")]
    pub(crate) source_host: Option<String>,
    /// Name of the destination host
    #[arg(long, value_name = "NAME")]
    pub(crate) destination_host: Option<String>,
    /// Time before a move that tells what the host draws anyway
    #[arg(long, value_parser = parse_background, value_name = "TIME", default_value = "20s")]
    pub(crate) background: Duration,
    /// Time from reading to reading
    #[arg(long, value_parser = parse_pace, value_name = "TIME", default_value = "1s")]
    pub(crate) interval: Duration,
    /// Draw the profiles into this file: measured moves, line, and where 90 %
    /// of single moves lie
    #[arg(long, value_name = "FILE", conflicts_with_all = ["meter", "destination_meter"])]
    pub(crate) svg: Option<PathBuf>,
}

/// Less than ten seconds tell no background.
fn parse_background(text: &str) -> Result<Duration, String> {
    super::within(text, Duration::from_secs(10), Duration::from_secs(3600))
}

/// Controllers answer no faster, and silence of 6 s is not bridged.
fn parse_pace(text: &str) -> Result<Duration, String> {
    super::within(text, Duration::from_millis(10), Duration::from_secs(5))
}
