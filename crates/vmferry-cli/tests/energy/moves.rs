//! Moves in the history, and logs of what their hosts drew.

use jiff::Timestamp;
use vmferry::core::plan::MoveLimits;
use vmferry::core::{
    Bytes, GuestInfo, GuestUri, HostInfo, MoveRecord, Outcome, OutcomeStatus, Place as GuestPlace,
    Plan, SCHEMA_VERSION,
};
use vmferry::history::{History, Store as _};

use crate::place::Place;

/// When the log begins, in seconds since 1970.
pub(crate) const MORNING: i64 = 1_769_860_800;
/// From move to move.
const APART: i64 = 120;
/// Sizes of the moves, in MB, at 50 MB/s.
pub(crate) const SIZES: [i64; 6] = [400, 1000, 600, 1600, 2000, 1200];

fn guest() -> GuestInfo {
    GuestInfo {
        uri: GuestUri::local("/run/a.qmp"),
        name: Some("web".into()),
        uuid: None,
        memory_bytes: Some(Bytes::from_mib(2048)),
        ram_blocks: Vec::new(),
        vcpus: Some(1),
        machine: None,
        accelerator: None,
    }
}

/// The `n`-th move, which began a minute after the one before had its turn.
pub(crate) fn moved(n: usize, source: &str) -> MoveRecord {
    let host = |name: &str| HostInfo {
        hostname: Some(name.into()),
        ..HostInfo::default()
    };
    let began = MORNING + 60 + APART * n as i64;
    let at = |second: i64| Timestamp::from_second(second).expect("a time");
    let place = GuestPlace::RunningAtDestination;
    let ended = at(began + SIZES[n] / 50);
    let mut outcome = Outcome::unseen(
        OutcomeStatus::Completed,
        place,
        String::new(),
        at(began),
        ended,
    );
    outcome.error = None;
    outcome.transferred_bytes = Some(Bytes(SIZES[n] as u64 * 1_000_000));
    let id = format!("{n:08x}-0000-7000-8000-000000000000");
    MoveRecord {
        schema_version: SCHEMA_VERSION,
        tool_version: "0.1.0".into(),
        move_id: id.parse().expect("an identifier"),
        started_at: at(began),
        plan: Plan {
            source: guest().uri,
            destination: GuestUri::local("/run/b.qmp"),
            via: "tcp:10.0.0.2:4444".parse().expect("an address"),
            limits: MoveLimits::default(),
            tls_dir: None,
            promise: None,
        },
        guest: guest(),
        source_host: host(source),
        destination_host: host("beta"),
        link: None,
        forecast: None,
        outcome: Some(outcome),
        raw_statistics: None,
    }
}

pub(crate) fn keep(place: &Place, records: &[MoveRecord]) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    runtime.block_on(async {
        let history = History::open(&place.history()).await.expect("a history");
        for record in records {
            history.open_move(record).await.expect("written");
            let outcome = record.outcome.as_ref().expect("an outcome");
            let closed = history.close_move(record.move_id, outcome, None).await;
            closed.expect("written");
        }
        history.close().await.expect("closed");
    });
}

/// A second's power: `E = alpha V + beta` over each move, above 180 W that
/// waver by a third of a watt.
pub(crate) fn log(alpha: f64, beta: f64) -> String {
    let mut text = "time,power_w\n".to_owned();
    for second in 0..=60 + APART * SIZES.len() as i64 {
        let quiet = 180.0 + (second % 3 - 1) as f64 / 3.0;
        let turn = (second - 60).div_euclid(APART);
        let within = (second - 60).rem_euclid(APART);
        let size = usize::try_from(turn).ok().and_then(|n| SIZES.get(n));
        let above = match size {
            // The reading at the end of each of its seconds.
            Some(size) if (1..=size / 50).contains(&within) => {
                (alpha * *size as f64 + beta) / (*size as f64 / 50.0)
            }
            _ => 0.0,
        };
        text.push_str(&format!("{},{}\n", MORNING + second, quiet + above));
    }
    text
}
