//! Guests made up for tests, observed as the page sampler would.

use vmferry_core::{
    Bytes, CurvePoint, DirtyCurve, GuestInfo, GuestUri, HostInfo, Millis, Observation,
    ObservationCost, ObservationMethod, PageHistory, PageMix, Pages, Ratio, SampledPage,
};

/// Pages of the guest's 512 MiB.
pub(crate) const PAGES: u64 = 131_072;
const SAMPLED: u64 = 4096;
const LOOK_US: u64 = 25_000;
const LOOKS: u64 = 480;

/// A guest that writes `hot` bytes of its memory at random, `rate` bytes per
/// second with repetition; 60 % of its other pages are zero.
pub(crate) fn writer(hot: f64, rate: f64) -> Observation {
    let hot_pages = ((hot / 4096.0 / PAGES as f64) * SAMPLED as f64).round() as u64;
    let mut state = 1u64;
    let mut random = move || {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (state >> 11) as f64 / (1u64 << 53) as f64
    };
    // The hot set lies in one piece from the middle of memory on.
    let first = SAMPLED / 2;
    let last = first + hot_pages;
    let zero = |i: u64| !(first..last).contains(&i) && i % 5 < 3;
    let pages: Vec<SampledPage> = (0..SAMPLED)
        .map(|i| SampledPage {
            index: Pages(i * PAGES / SAMPLED),
            weight: (PAGES / SAMPLED) as f64,
            zero: zero(i),
        })
        .collect();
    let zeros = pages.iter().filter(|p| p.zero).count() as f64 / SAMPLED as f64;
    let mut history = PageHistory::new(pages);
    let chance = if hot > 0.0 {
        1.0 - (-rate / hot * LOOK_US as f64 / 1e6).exp()
    } else {
        0.0
    };
    for look in 1..=LOOKS {
        let dirty: Vec<usize> = (first..last)
            .filter(|_| random() < chance)
            .map(|i| i as usize)
            .collect();
        history.push(look * LOOK_US, dirty);
    }
    let window_ms = (LOOKS * LOOK_US) as f64 / 1e3;
    let points = [
        25.0, 50.0, 100.0, 250.0, 500.0, 1e3, 2e3, 4e3, 8e3, window_ms,
    ]
    .map(|ms| {
        let dirtied = if hot > 0.0 {
            hot * (1.0 - (-rate / hot * ms / 1e3).exp())
        } else {
            0.0
        };
        CurvePoint {
            window_ms: Millis(ms),
            dirtied_bytes: Bytes(dirtied as u64),
            standard_error_bytes: Bytes((dirtied * 0.02) as u64),
        }
    });
    Observation {
        started_at: jiff::Timestamp::UNIX_EPOCH,
        method: ObservationMethod::PageHash,
        guest: GuestInfo {
            uri: GuestUri::local("/run/a.qmp"),
            name: Some("a".into()),
            uuid: None,
            memory_bytes: Some(Bytes(PAGES * 4096)),
            ram_blocks: Vec::new(),
            vcpus: Some(1),
            machine: None,
            accelerator: Some("tcg".into()),
        },
        host: HostInfo::default(),
        window_ms: Millis(window_ms),
        window_ended_at: None,
        dirty_curve: DirtyCurve {
            points: points.to_vec(),
        },
        page_mix: PageMix {
            total_pages: Pages(PAGES),
            zero: Some(Ratio(zeros)),
            zero_standard_error: Some(Ratio(0.0)),
            duplicate: None,
            compressed: None,
            exact: true,
        },
        page_history: Some(history),
        slow_page_history: None,
        vcpu_use: Some(Ratio(1.0)),
        cost: ObservationCost {
            pages: Pages(SAMPLED),
            looks: LOOKS + 1,
            cpu: Ratio(0.05),
        },
        notes: Vec::new(),
    }
}
