//! A migration under a meter, from a guest's monitor of ours: no hypervisor,
//! and no power sensor.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{UnixListener, UnixStream};
use vmferry::Error;
use vmferry::core::{Bytes, ExitCode, GuestUri};
use vmferry::energy::{
    EnergyError, EnergyMeasurement, HostFilter, MeterOptions, MeterPair, MeterSpec, SampleOptions,
    Stability, meter_next_move,
};

/// Looks at the guest before its migration begins.
const QUIET_LOOKS: usize = 10;
/// Looks at it while it migrates.
const MOVING_LOOKS: usize = 8;
const SENT: u64 = 400_000_000;

/// A host whose guest migrates after so many looks at it, with a power sensor.
struct Host {
    dir: tempfile::TempDir,
    state: Arc<Mutex<State>>,
}

struct State {
    sensor: PathBuf,
    looks: usize,
    /// What the host draws, one look after the other, in watts.
    background: &'static [u64],
    /// Looks before the migration.
    quiet: usize,
    /// How it ends.
    end: &'static str,
    began: Option<Instant>,
    took: Option<Duration>,
}

impl State {
    fn draws(&self, watts: u64) {
        fs::write(&self.sensor, format!("{}\n", watts * 1_000_000)).expect("written");
    }

    fn migration(&mut self) -> Value {
        self.looks += 1;
        let now = self.background[self.looks % self.background.len()];
        if self.looks <= self.quiet {
            self.draws(now);
            return json!({});
        }
        let began = *self.began.get_or_insert_with(Instant::now);
        if self.looks <= self.quiet + MOVING_LOOKS {
            self.draws(now + 50);
            return json!({ "status": "active", "ram": { "transferred": 1 } });
        }
        let took = *self.took.get_or_insert(began.elapsed());
        self.draws(now);
        json!({
            "status": self.end,
            "total-time": took.as_millis() as u64,
            "ram": { "transferred": SENT }
        })
    }
}

impl Host {
    fn start(background: &'static [u64], quiet: usize, end: &'static str) -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let listener = UnixListener::bind(dir.path().join("qmp")).expect("a socket");
        let state = State {
            sensor: dir.path().join("power1_average"),
            looks: 0,
            background,
            quiet,
            end,
            began: None,
            took: None,
        };
        state.draws(background[0]);
        let state = Arc::new(Mutex::new(state));
        let served = Arc::clone(&state);
        tokio::spawn(async move {
            // One client at a time, as QEMU does.
            while let Ok((stream, _)) = listener.accept().await {
                serve(stream, &served).await;
            }
        });
        Self { dir, state }
    }

    async fn meter(&self, meters: &MeterPair) -> Result<EnergyMeasurement, Error> {
        let guest = GuestUri::local(self.dir.path().join("qmp"));
        let options = MeterOptions {
            stability: Stability {
                window: Duration::from_secs(2),
                least_time: Duration::from_secs(1),
                ..Stability::default()
            },
            sampling: SampleOptions {
                interval: Duration::from_millis(50),
                ..SampleOptions::default()
            },
        };
        let hosts = HostFilter {
            source: Some("alpha".to_owned()),
            destination: Some("beta".to_owned()),
        };
        meter_next_move(&guest, meters, &hosts, &options, |_| {}).await
    }

    fn sensor(&self) -> MeterSpec {
        MeterSpec::Hwmon(self.dir.path().join("power1_average"))
    }

    async fn meter_both(&self) -> Result<EnergyMeasurement, Error> {
        let meters = MeterPair {
            source: Some(self.sensor()),
            destination: Some(self.sensor()),
        };
        self.meter(&meters).await
    }
}

async fn serve(stream: UnixStream, state: &Mutex<State>) {
    let (read, mut write) = stream.into_split();
    let greeting = json!({ "QMP": {
        "version": { "qemu": { "major": 10, "minor": 0, "micro": 2 }, "package": "" },
        "capabilities": []
    } });
    let mut lines = BufReader::new(read).lines();
    let mut reply = greeting;
    loop {
        if write
            .write_all(format!("{reply}\r\n").as_bytes())
            .await
            .is_err()
        {
            return;
        }
        let Ok(Some(line)) = lines.next_line().await else {
            return;
        };
        let request: Value = serde_json::from_str(&line).expect("a request");
        let command = request["execute"].as_str().unwrap_or_default();
        let result = match command {
            "qmp_capabilities" => Ok(json!({})),
            "query-name" => Ok(json!({ "name": "web" })),
            "query-migrate" => Ok(state.lock().expect("the state").migration()),
            "query-qmp-schema" | "query-cpus-fast" => Ok(json!([])),
            "human-monitor-command" => Ok(json!("")),
            other => Err(json!({ "class": "CommandNotFound", "desc": format!("no {other}") })),
        };
        reply = match result {
            Ok(value) => json!({ "return": value, "id": request["id"] }),
            Err(error) => json!({ "error": error, "id": request["id"] }),
        };
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_migration_is_metered_at_both_ends() {
    let host = Host::start(&[100], QUIET_LOOKS, "completed");
    let measured = host.meter_both().await.unwrap();
    assert_eq!(measured.guest, "web");
    assert_eq!(measured.source_host, "alpha");
    assert_eq!(measured.destination_host.as_deref(), Some("beta"));
    assert_eq!(measured.transferred_bytes, Bytes(SENT));
    assert_eq!(measured.move_id, None);
    let took = host.state.lock().unwrap().took.unwrap().as_secs_f64();
    for found in [measured.source, measured.destination] {
        let found = found.unwrap();
        assert!(found.meter.ends_with("power1_average"), "{}", found.meter);
        assert!((found.energy.background.power_w.0 - 100.0).abs() < 1e-6);
        // 50 W above it, but for the time until the end was noticed.
        let share = found.energy.energy_j.0 / (50.0 * took);
        assert!(
            (0.5..1.2).contains(&share),
            "{share} of {took} s: {found:?}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_tells_nothing_is_refused() {
    let restless = Host::start(&[100, 100, 160], QUIET_LOOKS, "completed");
    let error = restless.meter_both().await.unwrap_err();
    assert!(
        matches!(
            error,
            Error::Energy(EnergyError::Scattered { .. } | EnergyError::Drifting { .. })
        ),
        "{error}"
    );
    assert_eq!(error.exit_code(), ExitCode::TooLittleData);
    let failed = Host::start(&[100], QUIET_LOOKS, "failed");
    let error = failed.meter_both().await.unwrap_err().to_string();
    assert!(error.contains("did not complete"), "{error}");
    let early = Host::start(&[100], 0, "completed");
    let error = early.meter_both().await.unwrap_err().to_string();
    assert!(error.contains("web is being migrated already"), "{error}");
    let hasty = Host::start(&[100], 3, "completed");
    let error = hasty.meter_both().await.unwrap_err();
    assert!(
        matches!(error, Error::Energy(EnergyError::ShortBackground { .. })),
        "{error}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_meter_that_is_not_there_is_told_at_once() {
    let host = Host::start(&[100], QUIET_LOOKS, "completed");
    let meters = MeterPair {
        source: Some(MeterSpec::Hwmon(Path::new("/nowhere/power1_input").into())),
        destination: None,
    };
    let error = host.meter(&meters).await.unwrap_err();
    assert!(
        error.to_string().contains("/nowhere/power1_input"),
        "{error}"
    );
    assert_eq!(error.exit_code(), ExitCode::Hypervisor);
    assert!(host.state.lock().unwrap().looks < QUIET_LOOKS);
}
