//! Guests made up for tests: what was recorded of them, and what an
//! observation of them says.

use vmferry_core::{
    Bytes, CurvePoint, DirtyCurve, GuestInfo, GuestUri, HostInfo, Millis, Observation,
    ObservationCost, ObservationMethod, PageHistory, PageMix, Pages, Ratio, SampledPage,
};

/// Pages of the guest's 512 MiB.
pub(crate) const PAGES: u64 = 131_072;
const SAMPLED: u64 = 2048;
const LOOK_US: u64 = 25_000;
const LOOKS: u64 = 800;

/// A set of pages written at random.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Set {
    /// Its size, bytes.
    pub(crate) size: f64,
    /// What is written to it, bytes per second with repetition.
    pub(crate) rate: f64,
    /// Seconds of a whole in which it is written, from its beginning on.
    pub(crate) on: f64,
    /// The whole, seconds.
    pub(crate) of: f64,
}

impl Set {
    /// Written all the time.
    pub(crate) const fn steady(size: f64, rate: f64) -> Self {
        Self {
            size,
            rate,
            on: 1.0,
            of: 1.0,
        }
    }
}

/// A guest recorded for twenty seconds, no page of it zero.
pub(crate) fn recorded(sets: &[Set]) -> PageHistory {
    let mut state = 7u64;
    let mut random = move || {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (state >> 11) as f64 / (1u64 << 53) as f64
    };
    let page = |i: u64| SampledPage {
        index: Pages(i * PAGES / SAMPLED),
        weight: (PAGES / SAMPLED) as f64,
        zero: false,
    };
    let mut history = PageHistory::new((0..SAMPLED).map(page).collect());
    for look in 1..=LOOKS {
        let at = (look - 1) as f64 * LOOK_US as f64 / 1e6;
        let mut dirty = Vec::new();
        let mut first = 100;
        for set in sets {
            let pages = (set.size / 4096.0 / PAGES as f64 * SAMPLED as f64).round() as u64;
            let on = at.rem_euclid(set.of) < set.on;
            let chance = -(-set.rate / set.size * LOOK_US as f64 / 1e6).exp_m1();
            for page in first..first + pages {
                if on && random() < chance {
                    dirty.push(page as usize);
                }
            }
            first += pages;
        }
        history.push(look * LOOK_US, dirty);
    }
    history
}

/// What was observed of it: the curve, from every place in the window, and
/// nothing else.
pub(crate) fn observed(history: &PageHistory) -> Observation {
    let looks = history.intervals();
    let windows = [1usize, 2, 4, 8, 16, 32, 64, 128, 200, 320, 480, 640];
    let points = windows.map(|length| {
        let (mut sum, mut count) = (0.0, 0.0);
        for begin in (0..=looks - length).step_by((length / 4).max(1)) {
            let mut any = vec![0u64; history.row(0).len()];
            for interval in begin..begin + length {
                for (all, word) in any.iter_mut().zip(history.row(interval)) {
                    *all |= word;
                }
            }
            sum += any.iter().map(|w| f64::from(w.count_ones())).sum::<f64>();
            count += 1.0;
        }
        CurvePoint {
            window_ms: Millis(length as f64 * LOOK_US as f64 / 1e3),
            dirtied_bytes: Bytes((sum / count * (PAGES / SAMPLED) as f64 * 4096.0) as u64),
            standard_error_bytes: Bytes(0),
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
        window_ms: Millis(history.window_us() as f64 / 1e3),
        window_ended_at: None,
        dirty_curve: DirtyCurve {
            points: points.to_vec(),
        },
        page_mix: PageMix {
            total_pages: Pages(PAGES),
            zero: Some(Ratio(0.0)),
            zero_standard_error: Some(Ratio(0.0)),
            duplicate: None,
            compressed: None,
            exact: true,
        },
        page_history: None,
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
