use super::*;
use sample::{SHARE, move_of, plain, route};
use vmferry_core::Outcome;

/// Made-up guests and what their moves cost.
pub(crate) mod sample {
    use vmferry_core::plan::MoveLimits;
    use vmferry_core::{
        ByteRate, Bytes, CurvePoint, DirtyCurve, Forecast, GuestInfo, GuestUri, HostInfo,
        LinkSpeed, Millis, MoveRecord, Observation, ObservationCost, ObservationMethod, Outcome,
        OutcomeStatus, PageHistory, PageMix, Pages, PassRecord, Place, Plan, Ratio, SampledPage,
    };
    use vmferry_history::Route;
    use vmferry_model::Assumptions;

    const PAGES: u64 = 32_768;
    const SAMPLED: u64 = 512;
    const HOT: u64 = 32;
    const LOOK_US: u64 = 50_000;
    const LOOKS: u64 = 120;

    /// Share of its hot pages that the guest writes from look to look.
    pub(crate) const SHARE: f64 = 0.05;

    pub(crate) fn guest(name: &str) -> GuestInfo {
        GuestInfo {
            uri: GuestUri::local("/run/a.qmp"),
            name: Some(name.into()),
            uuid: Some(format!("uuid-of-{name}")),
            memory_bytes: Some(Pages(PAGES).bytes()),
            ram_blocks: Vec::new(),
            vcpus: Some(1),
            machine: None,
            accelerator: Some("tcg".into()),
        }
    }

    fn host(name: &str) -> HostInfo {
        HostInfo {
            hostname: Some(name.into()),
            ..HostInfo::default()
        }
    }

    /// 128 MiB, of which 8 are written, `share` of these every 50 ms.
    pub(crate) fn observed(name: &str, share: f64) -> Observation {
        let pages: Vec<SampledPage> = (0..SAMPLED)
            .map(|i| SampledPage {
                index: Pages(i * PAGES / SAMPLED),
                weight: (PAGES / SAMPLED) as f64,
                zero: i >= HOT && i % 2 == 0,
            })
            .collect();
        let zero = pages.iter().filter(|page| page.zero).count() as f64 / SAMPLED as f64;
        let mut history = PageHistory::new(pages);
        let mut draws = Draws(1);
        for look in 1..=LOOKS {
            let dirty: Vec<usize> = (0..HOT as usize).filter(|_| draws.next() < share).collect();
            history.push(look * LOOK_US, dirty);
        }
        let hot = (HOT * PAGES / SAMPLED * 4096) as f64;
        let window_ms = (LOOKS * LOOK_US) as f64 / 1e3;
        let points = [50.0, 200.0, 1000.0, window_ms].map(|ms| CurvePoint {
            window_ms: Millis(ms),
            dirtied_bytes: Bytes((hot * (1.0 - (1.0 - share).powf(ms / 50.0))) as u64),
            standard_error_bytes: Bytes(0),
        });
        Observation {
            started_at: jiff::Timestamp::UNIX_EPOCH,
            method: ObservationMethod::PageHash,
            guest: guest(name),
            host: host("a"),
            window_ms: Millis(window_ms),
            window_ended_at: None,
            dirty_curve: DirtyCurve {
                points: points.to_vec(),
            },
            page_mix: PageMix {
                total_pages: Pages(PAGES),
                zero: Some(Ratio(zero)),
                duplicate: None,
                compressed: None,
                zero_standard_error: Some(Ratio(0.0)),
                exact: true,
            },
            page_history: Some(history),
            slow_page_history: None,
            vcpu_use: None,
            cost: ObservationCost::default(),
            notes: Vec::new(),
        }
    }

    pub(crate) fn link() -> LinkSpeed {
        LinkSpeed::given(ByteRate::from_mbit_per_s(400.0))
    }

    pub(crate) fn limits() -> MoveLimits {
        MoveLimits {
            max_bandwidth: Some(ByteRate(1e9)),
            ..MoveLimits::default()
        }
    }

    pub(crate) fn route() -> Route {
        Route::of(&move_of("db", 0, None, None))
    }

    /// The `n`-th move of a guest, an hour after the one before.
    pub(crate) fn move_of(
        name: &str,
        n: u64,
        forecast: Option<Forecast>,
        outcome: Option<Outcome>,
    ) -> MoveRecord {
        let source = GuestUri::local("/run/a.qmp");
        MoveRecord {
            schema_version: vmferry_core::SCHEMA_VERSION,
            tool_version: "0".into(),
            move_id: uuid::Uuid::from_u128(
                (u128::from(n) << 96) | (7 << 76) | (2 << 62) | name.len() as u128,
            ),
            started_at: jiff::Timestamp::from_second(n as i64 * 3600).unwrap(),
            plan: Plan {
                source: source.clone(),
                destination: GuestUri::local("/run/b.qmp"),
                via: "tcp:10.0.0.2:4444".parse().unwrap(),
                limits: limits(),
                tls_dir: None,
                promise: None,
            },
            guest: guest(name),
            source_host: host("a"),
            destination_host: host("b"),
            link: Some(link()),
            forecast,
            outcome,
            raw_statistics: None,
        }
    }

    /// What a move truly costs, over what was forecast of it by itself.
    #[derive(Clone, Copy, Debug)]
    pub(crate) struct Truth {
        /// Of the link's rate.
        pub(crate) slower: f64,
        /// Of traffic.
        pub(crate) more: f64,
        /// Standard deviation of both from move to move.
        pub(crate) noise: f64,
    }

    /// What is forecast where nothing was learned yet.
    pub(crate) fn plain(observation: &Observation) -> Forecast {
        let assumptions = Assumptions::tcg();
        vmferry_model::forecast(observation, &link(), &limits(), &assumptions, 1).unwrap()
    }

    impl Truth {
        pub(crate) fn outcome(&self, plain: &Forecast, draws: &mut Draws) -> Outcome {
            let mut noisy = |value: f64| value * (self.noise * draws.normal()).exp();
            let sent = plain.transferred_bytes.unwrap().p50.0 as f64;
            let total = plain.total_time_ms.unwrap().p50.0;
            let downtime = plain.downtime_ms.unwrap().p50.0;
            let total = noisy(total * self.slower * self.more);
            let now = jiff::Timestamp::UNIX_EPOCH;
            let pass = |pass, at_ms| PassRecord {
                pass,
                at_ms: Millis(at_ms),
                remaining_bytes: None,
                transferred_bytes: None,
                dirty_pages_per_s: Some(500),
                expected_downtime_ms: None,
            };
            Outcome {
                total_time_ms: Some(Millis(total)),
                downtime_ms: Some(Millis(downtime)),
                qemu_downtime_ms: Some(Millis(downtime - 43.0)),
                transferred_bytes: Some(Bytes(noisy(sent * self.more) as u64)),
                passes: Some(4),
                pass_list: vec![pass(1, 100.0), pass(2, 0.8 * total), pass(3, 0.9 * total)],
                error: None,
                ..Outcome::unseen(
                    OutcomeStatus::Completed,
                    Place::RunningAtDestination,
                    String::new(),
                    now,
                    now,
                )
            }
        }
    }

    /// The same draws every time.
    pub(crate) struct Draws(pub(crate) u64);

    impl Draws {
        /// 0..1.
        pub(crate) fn next(&mut self) -> f64 {
            self.0 = self
                .0
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            (self.0 >> 11) as f64 / (1u64 << 53) as f64
        }

        /// Mean 0, standard deviation 1.
        pub(crate) fn normal(&mut self) -> f64 {
            (0..12).map(|_| self.next()).sum::<f64>() - 6.0
        }
    }
}

fn ended(name: &str, n: u64) -> MoveRecord {
    let forecast = plain(&sample::observed(name, SHARE));
    let truth = sample::Truth {
        slower: 1.0,
        more: 1.0,
        noise: 0.0,
    };
    let outcome = truth.outcome(&forecast, &mut sample::Draws(1));
    move_of(name, n, Some(forecast), Some(outcome))
}

async fn write(history: &History, record: &MoveRecord) {
    history.open_move(record).await.unwrap();
    if let Some(outcome) = &record.outcome {
        let (id, outcome): (_, &Outcome) = (record.move_id, outcome);
        history.close_move(id, outcome, None).await.unwrap();
    }
}

#[tokio::test]
async fn moves_of_the_guest_and_over_the_route_are_found_oldest_first() {
    let dir = tempfile::tempdir().unwrap();
    let history = History::open(&dir.path().join("history.db")).await.unwrap();
    let mut elsewhere = ended("db", 1);
    elsewhere.destination_host.hostname = Some("c".into());
    let mut stranger = ended("mail", 2);
    stranger.destination_host.hostname = Some("c".into());
    let under_way = MoveRecord {
        outcome: None,
        ..ended("db", 5)
    };
    let (other, own) = (ended("web", 3), ended("db", 4));
    for record in [&own, &stranger, &other, &under_way, &elsewhere] {
        write(&history, record).await;
    }
    let guest = sample::guest("db");
    let started = |records: Vec<MoveRecord>| -> Vec<i64> {
        let hour = |record: &MoveRecord| record.started_at.as_second() / 3600;
        records.iter().map(hour).collect()
    };
    let found = records(&history, &guest, Some(&route())).await.unwrap();
    assert_eq!(started(found.clone()), [1, 3, 4]);
    assert_eq!(
        started(records(&history, &guest, None).await.unwrap()),
        [1, 4]
    );

    let earlier = Earlier::new(found, &guest, Some(route()));
    assert_eq!(earlier.experience().moves, 2, "two went over the route");
    let guests = earlier.with_pasts(|pasts| {
        let guest = |past: &Past<'_>| past.case.guest.map(str::to_owned);
        pasts.iter().filter_map(guest).collect::<Vec<_>>()
    });
    assert_eq!(guests, ["uuid-of-db", "uuid-of-web", "uuid-of-db"]);
    // Under another accelerator nothing of it holds.
    let kvm = GuestInfo {
        accelerator: Some("kvm".into()),
        ..guest
    };
    let earlier = Earlier::new(earlier.records, &kvm, Some(route()));
    assert_eq!(earlier.experience().moves, 0);
    assert_eq!(earlier.with_pasts(|pasts| pasts.len()), 0);
}
