//! The textbook rules against the 48 published cells of Gudkov's
//! `predict_migration` (qemu-devel, April 2023): 8 bandwidths by 6 downtime
//! limits for one 32 GiB guest, in whole seconds rounded up.

use std::path::PathBuf;
use std::time::Duration;

use serde_json::Value;
use vmferry_core::{ByteRate, Bytes, CurvePoint, DirtyCurve, Millis, Pages, Ratio};
use vmferry_precopy::dirt::CurveAmount;
use vmferry_precopy::textbook::{Rules, replay};

fn data() -> PathBuf {
    std::env::var_os("VMFERRY_SHARED_DATA").map_or_else(
        || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data"),
        PathBuf::from,
    )
}

fn numbers(value: &Value) -> Vec<f64> {
    let list = value.as_array().expect("a list");
    list.iter().map(|v| v.as_f64().expect("a number")).collect()
}

#[test]
#[expect(clippy::print_stderr, reason = "a skipped test has to say so")]
fn agrees_with_every_published_cell() {
    let path = data().join("vectors/qemu_predict_migration.json");
    let Ok(text) = std::fs::read_to_string(&path) else {
        eprintln!("skipped: test data missing at {}", path.display());
        return;
    };
    let document: Value = serde_json::from_str(&text).expect("JSON");
    let input = &document["input"];
    let number = |key: &str| input[key].as_f64().expect("a number");
    let (sampled, total) = (number("n-sampled-pages"), number("n-total-pages"));
    let curve = DirtyCurve {
        points: numbers(&input["periods"])
            .into_iter()
            .zip(numbers(&input["n-dirty-pages"]))
            .map(|(period, pages)| CurvePoint {
                window_ms: Millis(period),
                dirtied_bytes: Bytes((pages / sampled * total * 4096.0).round() as u64),
                standard_error_bytes: Bytes(0),
            })
            .collect(),
    };
    let zero = Ratio(number("n-zero-pages") / sampled);
    let guest = CurveAmount::new(curve, Pages(total as u64), zero);

    let expected = &document["expected_time_s"];
    let limits = expected["downtimes_ms"].as_array().expect("a list");
    let mut cells = 0;
    for (name, row) in expected.as_object().expect("an object") {
        let mbit = match name.split_once(['M', 'G']) {
            Some((n, "bps")) if name.contains('M') => n.parse::<f64>().expect("a number"),
            Some((n, "bps")) => n.parse::<f64>().expect("a number") * 1024.0,
            _ => continue,
        };
        // 1 Gbps is 2^30 bit/s there.
        let rate = ByteRate::from_bits_per_s(mbit * 1_048_576.0);
        for (limit, seconds) in limits.iter().zip(row.as_array().expect("a row")) {
            let rules = Rules {
                downtime_limit: limit.as_u64().map(Duration::from_millis),
                ..Rules::default()
            };
            let result = replay(&guest, &rules, rate, Duration::from_secs(10_000));
            let found = result
                .switchover
                .map(|_| result.total_time.as_secs_f64().ceil() as u64);
            assert_eq!(found, seconds.as_u64(), "{name}, limit {limit} ms");
            cells += 1;
        }
    }
    assert_eq!(cells, 48);
}
