//! CPU caps as limits inside the replays.

mod guest;

use guest::{PAGES, writer};
use vmferry_core::plan::MoveLimits;
use vmferry_core::{ByteRate, Bytes, Forecast, LinkSpeed, Millis, Observation, Ratio};
use vmferry_model::cpu_profile::{CapPoint, Caps, CpuProfile, GuestProfile, Intensive, Throughput};
use vmferry_model::{Assumptions, forecast};

/// Hosts on which a CPU sends 1 GB/s and loads 500 MB/s, over a link of 400 MB/s
/// of stream, as profiling a gibibyte shows it.
fn profile() -> GuestProfile {
    let bytes = Bytes::from_mib(1024);
    let point = |caps: Caps| {
        let share = |cap: Option<Ratio>| cap.map_or(1.0, |cap| cap.0);
        let rate = (share(caps.source) * 1e9)
            .min(share(caps.destination) * 5e8)
            .min(4e8);
        CapPoint {
            guest: Intensive::Cpu,
            intensity: Ratio(1.0),
            caps,
            capped_after_ms: None,
            total_time_ms: Some(Millis(bytes.0 as f64 / rate * 1e3)),
            downtime_ms: None,
            transferred_bytes: Some(bytes),
            source_use: None,
            destination_use: None,
        }
    };
    let shares = [0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 0.7, 0.8, 0.9, 1.0].map(Ratio);
    let mut points: Vec<CapPoint> = shares.iter().map(|s| point(Caps::at_source(*s))).collect();
    points.extend(shares.iter().map(|s| point(Caps::at_destination(*s))));
    let mut profile = CpuProfile::fit(&points);
    profile.guests.remove(0)
}

/// Stream of 400 MB/s.
fn link() -> LinkSpeed {
    LinkSpeed::given(ByteRate(4e8 / LinkSpeed::TCP_OVER_ETHERNET.0))
}

fn under(observation: &Observation, caps: Caps) -> Forecast {
    let mut assumptions = Assumptions::tcg();
    assumptions.rules.max_bandwidth = None;
    let limits = MoveLimits::default();
    let hosts = Throughput::under(&profile(), caps).expect("both ends were profiled");
    let (assumptions, limits) = (hosts.limit(&assumptions), hosts.limit_plan(&limits));
    forecast(observation, &link(), &limits, &assumptions, 1).expect("a forecast")
}

fn seconds(forecast: &Forecast) -> f64 {
    forecast.total_time_ms.expect("it converges").p50.0 / 1e3
}

#[test]
fn a_quiet_guest_takes_its_memory_over_what_the_hosts_manage() {
    let quiet = writer(0.0, 0.0);
    let zero = quiet.page_mix.zero.expect("counted").0;
    let stream = PAGES as f64 * (1.0 - zero) * 4104.0;
    // Zero pages are looked for at 10 GB/s by a whole CPU.
    let scan = |caps: Caps| PAGES as f64 * zero * 4096.0 / 1e10 / caps.source.map_or(1.0, |s| s.0);
    for (caps, rate) in [
        (Caps::at_source(Ratio(0.05)), 5e7),
        (Caps::at_destination(Ratio(0.2)), 1e8),
        (Caps::at_both(Ratio(0.05), Ratio(0.2)), 5e7),
        (Caps::at_both(Ratio(0.5), Ratio(0.05)), 2.5e7),
    ] {
        let found = seconds(&under(&quiet, caps));
        let wanted = stream / rate + scan(caps);
        assert!(
            found > wanted * 0.9 && found < wanted * 1.1 + 0.2,
            "{caps}: {found} s for {wanted} s"
        );
    }
}

/// Above the knee nothing changes, and no cap is as good as none.
#[test]
fn above_the_knee_more_cpu_changes_nothing() {
    let guest = writer(20e6, 10e6);
    let open = seconds(&under(&guest, Caps::default()));
    let high = seconds(&under(&guest, Caps::at_source(Ratio(0.8))));
    assert!((high / open - 1.0).abs() < 0.1, "{high} s for {open} s");
    let mut before = open;
    for share in [0.2, 0.1, 0.05] {
        let slower = seconds(&under(&guest, Caps::at_source(Ratio(share))));
        assert!(
            slower > before * 1.2,
            "{share}: {slower} s after {before} s"
        );
        before = slower;
    }
}

/// A multiplier at the end would give it twenty times its time: the replay
/// knows that it never ends.
#[test]
fn a_writer_that_outruns_the_capped_stream_does_not_converge() {
    let busy = writer(100e6, 60e6);
    assert!(under(&busy, Caps::default()).converges_probability > 0.95);
    let capped = under(&busy, Caps::at_destination(Ratio(0.04)));
    assert!(capped.converges_probability < 0.05, "{capped:?}");
}
