//! Prometheus itself, scraping an exporter of ours, and its answers as its
//! documentation has them.

use std::fs;
use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::json;
use vmferry_core::Watts;
use vmferry_measure::power::{Prometheus, Trust, parse_instant_query};

use crate::watts;
use crate::web::Web;

/// Far longer than Prometheus takes to start and scrape, on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

#[test]
fn answers() {
    let answer = |data| json!({ "status": "success", "data": data });
    let series = |value: &str| json!({ "metric": { "instance": "a" }, "value": [1.5, value] });
    let vector = |all| answer(json!({ "resultType": "vector", "result": all }));
    assert_eq!(
        parse_instant_query(&vector(json!([series("183.25")]))),
        Ok(Watts(183.25))
    );
    let scalar = answer(json!({ "resultType": "scalar", "result": [1.5, "7e1"] }));
    assert_eq!(parse_instant_query(&scalar), Ok(Watts(70.0)));
    // A number all the same: who samples refuses it.
    let nothing = parse_instant_query(&vector(json!([series("NaN")])));
    assert!(nothing.unwrap().0.is_nan());
    for (document, words) in [
        (vector(json!([])), "the query has no data"),
        (
            vector(json!([series("1"), series("2")])),
            "2 series; narrow it",
        ),
        (vector(json!([series("much")])), "`\"much\"` is no number"),
        (
            answer(json!({ "resultType": "matrix", "result": [] })),
            "gives a matrix",
        ),
        (
            json!({ "status": "error", "errorType": "bad_data", "error": "parse error: unclosed" }),
            "refuses the query: parse error",
        ),
        (json!({ "hello": 1 }), "none of Prometheus"),
    ] {
        let error = parse_instant_query(&document).unwrap_err();
        assert!(error.contains(words), "{error}");
    }
}

/// A Prometheus with a directory of its own; stopped when dropped.
struct Running {
    child: Child,
    address: String,
    _dir: tempfile::TempDir,
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Running {
    /// `None` where it is not installed.
    #[expect(clippy::print_stderr, reason = "a test says that it skips")]
    fn start(target: &str) -> Option<Self> {
        let dir = tempfile::tempdir().expect("a directory");
        let config = dir.path().join("prometheus.yml");
        let text = format!(
            "global:\n  scrape_interval: 1s\nscrape_configs:\n  - job_name: power\n    static_configs:\n      - targets: ['{target}']\n"
        );
        fs::write(&config, text).expect("written");
        // Free now; whoever takes it before Prometheus does fails this test loudly.
        let free = TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr());
        let address = free.expect("a port").to_string();
        let log = fs::File::create(dir.path().join("log")).expect("a file");
        let started = Command::new("prometheus")
            .arg(format!("--config.file={}", config.display()))
            .arg(format!(
                "--storage.tsdb.path={}",
                dir.path().join("data").display()
            ))
            .arg(format!("--web.listen-address={address}"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn();
        match started {
            Ok(child) => Some(Self {
                child,
                address,
                _dir: dir,
            }),
            Err(error) => {
                crate::may_skip("prometheus");
                eprintln!(
                    "skipped: prometheus does not start here: {error} (apt-get install prometheus)"
                );
                None
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn prometheus_itself() {
    let web = Web::start(None);
    // What Kepler and Scaphandre export, in their own units.
    web.set(
        "/metrics",
        "# TYPE kepler_node_platform_joules_total counter\n\
         kepler_node_platform_joules_total{mode=\"dynamic\"} 81250.5\n\
         kepler_node_platform_joules_total{mode=\"idle\"} 902.25\n\
         # TYPE scaph_host_power_microwatts gauge\n\
         scaph_host_power_microwatts 183250000\n",
    );
    let Some(prometheus) = Running::start(&web.host()) else {
        return;
    };
    let query = |expression: &str| {
        let url = format!("http://{}?query={expression}", prometheus.address);
        Prometheus::new(&url, &Trust::System).unwrap()
    };
    let mut scaphandre = query("scaph_host_power_microwatts{job=\"power\"} / 1e6");
    let began = Instant::now();
    let mut pace = tokio::time::interval(Duration::from_millis(200));
    let found = loop {
        pace.tick().await;
        match watts(&mut scaphandre).await {
            Ok(found) => break found,
            Err(error) => assert!(began.elapsed() < PATIENCE, "{error}"),
        }
    };
    assert_eq!(found, 183.25);
    let refused =
        async |expression: &str| watts(&mut query(expression)).await.unwrap_err().to_string();
    let counter = "kepler_node_platform_joules_total";
    let error = refused(counter).await;
    assert!(
        error.contains("2 series; narrow it to one, or sum() them"),
        "{error}"
    );
    // The counters stand still: a rate of two scrapes or more is zero.
    let mut kepler = query(&format!("sum(rate({counter}[5s]))"));
    let found = loop {
        pace.tick().await;
        match watts(&mut kepler).await {
            Ok(found) => break found,
            Err(error) => assert!(began.elapsed() < PATIENCE, "{error}"),
        }
    };
    assert_eq!(found, 0.0);
    let error = refused("no_such_metric").await;
    assert!(error.contains("the query has no data"), "{error}");
    let error = refused("sum(rate(").await;
    assert!(
        error.contains("status 400") && error.contains("unclosed"),
        "{error}"
    );
}
