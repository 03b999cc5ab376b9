//! When to move: a guest that is busy by day, what is not known, and what
//! holds for any record.

use std::time::Duration;

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use proptest::prelude::*;
use vmferry_core::plan::MoveLimits;
use vmferry_core::{
    ByteRate, Bytes, LinkSpeed, Millis, Outcome, OutcomeStatus, PageHistory, Pages, Place,
    SampledPage,
};
use vmferry_model::Assumptions;
use vmferry_model::predictor::{Case, Ended, Measured, Technique};
use vmferry_model::schedule::{
    Advice, DayClock, Origin, Preference, Profile, TimedMove, choose, replayed, start_times,
};

const PAGES: u64 = 65_536;
const SAMPLED: u64 = 256;

/// Half a minute of a guest of 256 MiB that writes `hot` of its sampled pages
/// in every interval of 100 ms.
fn history(hot: u64) -> PageHistory {
    let pages = (0..SAMPLED).map(|i| SampledPage {
        index: Pages(i * PAGES / SAMPLED),
        weight: (PAGES / SAMPLED) as f64,
        zero: false,
    });
    let mut history = PageHistory::new(pages.collect());
    for look in 1..=300u64 {
        // Another piece of the hot set in every look.
        let written = (0..hot).map(|i| ((i * 7 + look * 13) % (hot * 4).max(1)) as usize);
        let mut written: Vec<usize> = written.collect();
        written.sort_unstable();
        written.dedup();
        history.push(look * 100_000, written);
    }
    history
}

fn case() -> Case<'static> {
    Case {
        memory: Pages(PAGES).bytes(),
        zero: None,
        dirty_rate: None,
        observation: None,
        link: LinkSpeed::given(ByteRate::from_mbit_per_s(400.0)),
        limits: MoveLimits {
            max_downtime_ms: Some(Millis(500.0)),
            max_bandwidth: None,
            deadline_ms: Millis(60_000.0),
        },
        assumptions: Assumptions::tcg(),
        technique: Technique::PreCopy,
        workload: None,
        guest: Some("web"),
        route: None,
        at: None,
    }
}

fn hours(zone: TimeZone) -> DayClock {
    DayClock::new(zone, Duration::from_secs(3600)).unwrap()
}

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

/// Four days of a guest that writes much from 08:00 to 20:00 UTC, and a little
/// otherwise, but for 12:00, of which nothing is known.
fn busy_by_day() -> Vec<TimedMove> {
    let (busy, quiet) = (history(60), history(1));
    let case = case();
    let mut moves = Vec::new();
    for day in 0..4 {
        for hour in (0..24).filter(|hour| *hour != 12) {
            let seen = if (8..20).contains(&hour) {
                &busy
            } else {
                &quiet
            };
            let began = at("2026-03-02T00:10:00Z") + SignedDuration::from_hours(day * 24 + hour);
            let starts = Duration::ZERO..Duration::from_secs(30);
            moves.extend(replayed(&case, seen, began, starts, 4, 1).unwrap());
        }
    }
    moves
}

#[test]
fn a_guest_busy_by_day_moves_by_night() {
    let moves = busy_by_day();
    assert_eq!(moves.len(), 4 * 23 * 4);
    let profile = Profile::of(&moves, &hours(TimeZone::UTC), Duration::from_secs(60));
    assert_eq!((profile.days(), profile.known()), (4, 23));
    let part = |hour: usize| profile.parts()[hour].as_ref();
    assert!(part(12).is_none(), "nothing was recorded at noon");
    let (night, day) = (part(3).unwrap(), part(15).unwrap());
    assert_eq!((night.days, night.replays, night.moves), (4, 16, 0));
    assert_eq!(night.converges_probability.p50, 1.0);
    assert!(night.converges_probability.p5 > 0.7);
    assert_eq!(day.converges_probability.p50, 0.0);
    assert_eq!(day.total_time_ms, None, "what never ends takes no time");
    let total = night.total_time_ms.unwrap();
    // 256 MiB at 400 Mbit/s less headers take 5.6 s.
    assert!((5_500.0..8_000.0).contains(&total.expected.0), "{total:?}");

    let afternoon = at("2026-03-06T14:20:00Z");
    let starts = start_times(&profile, afternoon, Duration::from_secs(24 * 3600));
    assert_eq!(starts.len(), 25);
    assert_eq!(starts[0].at, afternoon);
    assert_eq!(starts[1].local, "2026-03-06 15:00");
    let choice = choose(&starts, Preference::InOrder, Some(Millis(500.0))).unwrap();
    assert_eq!(choice.advice, Advice::Wait);
    let best: usize = starts[choice.best].local[11..13].parse().unwrap();
    assert!(!(8..20).contains(&best), "{best}");
    // Every night hour is as good, and no other.
    assert_eq!(choice.as_good.len(), 12);
    let saving = choice.saving.unwrap();
    assert!(saving.converges_probability.p5 > 0.0);
    assert_eq!(saving.total_time_ms, None);

    // By night there is nothing to wait for.
    let starts = start_times(
        &profile,
        at("2026-03-06T22:20:00Z"),
        Duration::from_secs(3600 * 8),
    );
    let choice = choose(&starts, Preference::Time, None).unwrap();
    assert!(matches!(
        choice.advice,
        Advice::MoveNow | Advice::NoDifference
    ));
    // At noon one does not know.
    let starts = start_times(
        &profile,
        at("2026-03-06T12:20:00Z"),
        Duration::from_secs(3600 * 8),
    );
    let choice = choose(&starts, Preference::Time, None).unwrap();
    assert_eq!((choice.advice, choice.saving), (Advice::NowUnknown, None));
}

#[test]
fn hours_are_those_of_the_zone() {
    let moves = busy_by_day();
    let tokyo = hours(TimeZone::get("Asia/Tokyo").unwrap());
    let profile = Profile::of(&moves, &tokyo, Duration::from_secs(60));
    // Noon in Greenwich is 21:00 in Tokyo.
    let unknown = |hour: usize| profile.parts()[hour].is_none();
    assert!(unknown(21) && !unknown(12));
    assert_eq!(profile.days(), 5);
}

#[test]
fn what_no_part_of_the_horizon_knows_is_no_choice() {
    let clock = hours(TimeZone::UTC);
    let profile = Profile::of(&[], &clock, Duration::from_secs(60));
    assert_eq!((profile.days(), profile.known()), (0, 0));
    let starts = start_times(
        &profile,
        at("2026-03-06T12:20:00Z"),
        Duration::from_secs(7200),
    );
    assert!(starts.iter().all(|start| start.cost.is_none()));
    assert_eq!(choose(&starts, Preference::InOrder, None), None);
}

#[test]
fn recorded_moves_count_as_they_ended() {
    let mut outcome = Outcome::unseen(
        OutcomeStatus::Completed,
        Place::RunningAtDestination,
        String::new(),
        at("2026-03-02T03:00:00Z"),
        at("2026-03-02T03:00:20Z"),
    );
    let timed = |outcome: &Outcome| {
        let measured = Measured::of_outcome(outcome, Millis(60_000.0));
        TimedMove::recorded(outcome.started_at, &measured)
    };
    assert_eq!(timed(&outcome), None, "nothing was measured");
    outcome.total_time_ms = Some(Millis(20_000.0));
    outcome.downtime_ms = Some(Millis(250.0));
    outcome.transferred_bytes = Some(Bytes(500_000_000));
    let made = timed(&outcome).unwrap();
    assert_eq!(made.origin, Origin::Recorded);
    assert_eq!(made.ended.unwrap().downtime_s, 0.25);
    // One that was given up after the deadline did not converge.
    outcome.status = OutcomeStatus::Cancelled;
    outcome.ended_at = at("2026-03-02T03:02:00Z");
    assert_eq!(timed(&outcome).unwrap().ended, None);
}

#[test]
fn days_that_differ_much_tell_nothing_for_sure() {
    let clock = hours(TimeZone::UTC);
    let made = |day: i64, hour: i64, total_s: f64| TimedMove {
        at: at("2026-03-02T00:10:00Z") + SignedDuration::from_hours(24 * day + hour),
        ended: Some(Ended {
            total_s,
            downtime_s: 0.3,
            transferred: 1e9,
        }),
        origin: Origin::Recorded,
    };
    let advice = |moves: &[TimedMove]| {
        let profile = Profile::of(moves, &clock, Duration::from_secs(60));
        let starts = start_times(
            &profile,
            at("2026-03-20T14:00:00Z"),
            Duration::from_secs(86_400),
        );
        choose(&starts, Preference::Time, None).unwrap().advice
    };
    let steady: Vec<TimedMove> = (0..5)
        .flat_map(|d| {
            [
                made(d, 14, 20.0 + d as f64),
                made(d, 3, 10.0 + 0.5 * d as f64),
            ]
        })
        .collect();
    assert_eq!(advice(&steady), Advice::Wait);
    let wild: Vec<TimedMove> = (0..5)
        .flat_map(|d| {
            let factor = if d % 2 == 0 { 0.3 } else { 3.0 };
            [made(d, 14, 12.0 * factor), made(d, 3, 4.0 / factor)]
        })
        .collect();
    assert_eq!(advice(&wild), Advice::NoDifference);
    // One move of each is no ground for waiting either.
    assert_eq!(
        advice(&[made(0, 14, 20.0), made(0, 3, 10.0)]),
        Advice::NoDifference
    );
}

fn any_move() -> impl Strategy<Value = TimedMove> {
    let ended = (1.0f64..50.0, 0.01f64..5.0, 1e6f64..1e10);
    (0i64..7 * 96, prop::option::weighted(0.95, ended)).prop_map(|(quarter, ended)| TimedMove {
        at: at("2026-03-02T00:05:00Z") + SignedDuration::from_mins(quarter * 15),
        ended: ended.map(|(total_s, downtime_s, transferred)| Ended {
            total_s,
            downtime_s,
            transferred,
        }),
        origin: Origin::Replayed,
    })
}

proptest! {
    #[test]
    fn the_best_costs_no_more_than_any_other(
        moves in prop::collection::vec(any_move(), 1..200),
        minute in 0i64..1440,
        limit in prop::option::of(10.0f64..5000.0),
    ) {
        let clock = DayClock::new(TimeZone::UTC, Duration::from_secs(900)).unwrap();
        let profile = Profile::of(&moves, &clock, Duration::from_secs(60));
        let now = at("2026-03-20T00:00:00Z") + SignedDuration::from_mins(minute);
        let starts = start_times(&profile, now, Duration::from_secs(86_400));
        for preference in [Preference::InOrder, Preference::Time, Preference::Downtime, Preference::Traffic] {
            let Some(choice) = choose(&starts, preference, limit.map(Millis)) else {
                prop_assert!(starts.iter().all(|start| start.cost.is_none()));
                continue;
            };
            let best = starts[choice.best].cost.as_ref().unwrap();
            prop_assert!(choice.as_good.contains(&choice.best));
            for other in starts.iter().filter_map(|start| start.cost.as_ref()) {
                let sure = |cost: &vmferry_model::schedule::TimeCost| cost.converges_probability.p50 >= 0.95;
                if !sure(best) {
                    prop_assert!(other.converges_probability.p50 <= best.converges_probability.p50);
                    continue;
                }
                if !sure(other) {
                    continue;
                }
                let keeps = |cost: &vmferry_model::schedule::TimeCost| {
                    limit.is_none_or(|limit| cost.downtime_ms.unwrap().one_move.p50.0 <= limit)
                };
                let total = |cost: &vmferry_model::schedule::TimeCost| cost.total_time_ms.unwrap().expected;
                match preference {
                    Preference::InOrder if keeps(best) == keeps(other) => prop_assert!(total(best) <= total(other)),
                    Preference::InOrder => prop_assert!(keeps(best)),
                    Preference::Time => prop_assert!(total(best) <= total(other)),
                    Preference::Downtime => prop_assert!(
                        best.downtime_ms.unwrap().expected <= other.downtime_ms.unwrap().expected
                    ),
                    Preference::Traffic => prop_assert!(
                        best.transferred_bytes.unwrap().expected <= other.transferred_bytes.unwrap().expected
                    ),
                }
            }
        }
    }

    #[test]
    fn only_recorded_times_are_known(moves in prop::collection::vec(any_move(), 0..40)) {
        let clock = DayClock::new(TimeZone::UTC, Duration::from_secs(900)).unwrap();
        let profile = Profile::of(&moves, &clock, Duration::from_secs(60));
        for (part, cost) in profile.parts().iter().enumerate() {
            let seen = moves.iter().filter(|timed| clock.part(timed.at) == part).count();
            prop_assert_eq!(cost.as_ref().map_or(0, |cost| cost.replays as usize), seen);
        }
    }
}
