//! A platform without guests, on paused time.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, sleep};
use vmferry_core::{Bytes, HostInfo, Millis};

use crate::plan::{BenchPlan, Subject};
use crate::platform::{ClientRecord, Fault, Platform, Service, Setup, Work};
use crate::record::{
    Downtimes, ImageRecord, MachineRecord, PointRecord, PointStatus, SubjectRecord, WayBack,
    WorkSample,
};

/// Operations per second of a guest alone.
pub(super) const RATE: f64 = 100.0;

/// What shall happen.
#[derive(Clone, Debug)]
pub(super) struct Rules {
    /// Guests that the machine bears at full speed.
    pub(super) capacity: f64,
    /// Guests beside the first that it has room for.
    pub(super) most: u32,
    /// Calls that fail: text of the call, and which of those that contain it, from 1 on.
    pub(super) fail: Vec<(&'static str, usize)>,
    /// The call at which the operator presses Ctrl-C.
    pub(super) cancel_at: Option<usize>,
    /// Whether the clients die of that Ctrl-C.
    pub(super) clients_die: bool,
    /// Whether the service goes on after ways back.
    pub(super) checked: bool,
    /// How migrations end.
    pub(super) status: PointStatus,
    /// Version of the hypervisor.
    pub(super) version: &'static str,
    /// How often clients say what they have done; zero: whenever they are asked.
    pub(super) speaks_each: Duration,
    /// Whether clients count what they do.
    pub(super) counts: bool,
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            capacity: 2.0,
            most: 8,
            fail: Vec::new(),
            cancel_at: None,
            clients_die: false,
            checked: true,
            status: PointStatus::Completed,
            version: "10.0",
            speaks_each: Duration::ZERO,
            counts: true,
        }
    }
}

#[derive(Debug, Default)]
struct Seen {
    calls: Vec<String>,
    running: usize,
}

/// The platform.
#[derive(Clone, Debug)]
pub(super) struct Fake {
    rules: Rules,
    seen: Arc<Mutex<Seen>>,
    cancel: watch::Sender<bool>,
}

impl Fake {
    pub(super) fn new(rules: Rules) -> Self {
        Self {
            rules,
            seen: Arc::default(),
            cancel: watch::Sender::new(false),
        }
    }

    pub(super) fn cancel(&self) -> watch::Receiver<bool> {
        self.cancel.subscribe()
    }

    /// Every call so far.
    pub(super) fn calls(&self) -> Vec<String> {
        self.seen(|seen| seen.calls.clone())
    }

    /// Services that were started and not stopped.
    pub(super) fn running(&self) -> usize {
        self.seen(|seen| seen.running)
    }

    fn seen<T>(&self, look: impl FnOnce(&mut Seen) -> T) -> T {
        look(&mut self.seen.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn call(&self, call: &str) -> Result<(), Fault> {
        let calls = self.seen(|seen| {
            seen.calls.push(call.to_owned());
            seen.calls.clone()
        });
        if self.rules.cancel_at == Some(calls.len()) {
            self.cancel.send_replace(true);
        }
        let of_clients = ["begin", "work", "rates", "back"].contains(&call);
        if self.rules.clients_die && of_clients && *self.cancel.borrow() {
            return Err("the clients ended".into());
        }
        for (text, which) in &self.rules.fail {
            let alike = calls.iter().filter(|one| one.contains(text)).count();
            if call.contains(text) && alike == *which {
                return Err(format!("`{call}` was made to fail").into());
            }
        }
        Ok(())
    }
}

impl Platform for Fake {
    type Service = FakeService;

    fn workloads(&self) -> Vec<String> {
        ["web", "postgres", "standby"].map(Into::into).into()
    }

    async fn machine(&mut self) -> Result<MachineRecord, Fault> {
        self.call("machine")?;
        Ok(MachineRecord {
            cpu: "made up".into(),
            cpus: 2,
            memory_bytes: Bytes::from_mib(4096),
            kernel: "6.1".into(),
            accelerator: "none".into(),
            note: "no guests at all".into(),
        })
    }

    fn most_background_guests(&self, _: &BenchPlan, _: &str) -> Result<u32, Fault> {
        Ok(self.rules.most)
    }

    async fn check(&mut self, _: &BenchPlan, subject: &Subject) -> Result<SubjectRecord, Fault> {
        self.call(&format!("check {}", subject.name))?;
        Ok(SubjectRecord {
            name: subject.name.clone(),
            host: HostInfo {
                hypervisor: "qemu".into(),
                hypervisor_version: Some(self.rules.version.into()),
                ..HostInfo::default()
            },
        })
    }

    async fn prepare(&mut self, workload: &str) -> Result<Vec<ImageRecord>, Fault> {
        self.call(&format!("prepare {workload}"))?;
        let image = |name: &str| ImageRecord {
            name: name.into(),
            packages: vec![("a-package".into(), "1.0".into())],
        };
        Ok(vec![image(workload), image("clients")])
    }

    async fn start(&mut self, setup: &Setup<'_>) -> Result<FakeService, Fault> {
        let name = format!(
            "start {} {} {} {}",
            setup.subject.name, setup.workload, setup.load, setup.background_guests
        );
        let started = self.call(&name);
        sleep(Duration::from_secs(30)).await;
        started?;
        self.seen(|seen| seen.running += 1);
        let share = self.rules.capacity / f64::from(1 + setup.background_guests);
        Ok(FakeService {
            platform: self.clone(),
            background_guests: setup.background_guests,
            rate: RATE * share.min(1.0),
            since: Instant::now(),
            pauses: Vec::new(),
        })
    }
}

/// A guest that works evenly whenever it runs.
#[derive(Debug)]
pub(super) struct FakeService {
    platform: Fake,
    background_guests: u32,
    rate: f64,
    since: Instant,
    /// When the guest did not run, seconds since the begin of the load: from when, how long.
    pauses: Vec<(f64, f64)>,
}

impl FakeService {
    fn now_s(&self) -> f64 {
        self.since.elapsed().as_secs_f64()
    }

    /// When the clients spoke last.
    fn said_s(&self) -> f64 {
        let each = self.platform.rules.speaks_each.as_secs_f64();
        if each > 0.0 {
            (self.now_s() / each).floor() * each
        } else {
            self.now_s()
        }
    }

    fn done_by(&self, at_s: f64) -> u64 {
        if !self.platform.rules.counts {
            return 0;
        }
        let paused = |(from, long): &(f64, f64)| (at_s - from).clamp(0.0, *long);
        let paused: f64 = self.pauses.iter().map(paused).sum();
        (self.rate * (at_s - paused)).round() as u64
    }
}

impl Service for FakeService {
    async fn begin_load(&mut self) -> Result<ClientRecord, Fault> {
        self.platform.call("begin")?;
        self.since = Instant::now();
        Ok(ClientRecord {
            client: "nobody 1.0".into(),
            unit: self.platform.rules.counts.then(|| "requests".into()),
        })
    }

    async fn work(&mut self) -> Result<Work, Fault> {
        self.platform.call("work")?;
        let at_s = self.said_s();
        let operations = self.done_by(at_s);
        Ok(Work {
            operations,
            errors: operations / 100,
            series: vec![
                WorkSample {
                    at_s: 0.0,
                    operations: 0,
                },
                WorkSample { at_s, operations },
            ],
        })
    }

    async fn background_rates(&mut self) -> Result<Vec<f64>, Fault> {
        self.platform.call("rates")?;
        Ok(vec![self.rate; self.background_guests as usize])
    }

    /// Two seconds of observation, seven of migration with 300 ms of downtime, one after.
    async fn migrate(&mut self) -> Result<PointRecord, Fault> {
        let moved = self.platform.call("migrate");
        sleep(Duration::from_secs(10)).await;
        self.pauses.push((self.now_s() - 1.3, 0.3));
        moved?;
        Ok(PointRecord {
            at_s: 2.0,
            total_time_ms: Some(Millis(7000.0)),
            downtime: Downtimes {
                icmp_ms: Some(Millis(300.0)),
                ..Downtimes::default()
            },
            migrated_bytes: Some(Bytes::from_mib(300)),
            ..PointRecord::unmeasured(self.platform.rules.status)
        })
    }

    async fn bring_back(&mut self) -> Result<WayBack, Fault> {
        self.platform.call("back")?;
        self.pauses.push((self.now_s(), 3.0));
        sleep(Duration::from_secs(3)).await;
        // Until the clients say that they go on.
        let said_s = self.said_s();
        while self.said_s() <= said_s && !self.platform.rules.speaks_each.is_zero() {
            sleep(Duration::from_millis(50)).await;
        }
        Ok(WayBack {
            stopped_ms: Millis(3000.0),
            checked: self.platform.rules.checked,
        })
    }

    async fn stop(self) -> Result<(), Fault> {
        self.platform.seen(|seen| seen.running -= 1);
        self.platform.call("stop")
    }
}
