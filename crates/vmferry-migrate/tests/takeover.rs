//! Orphaned moves brought to their end, on monitors that only pretend.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Map, Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::task::JoinHandle;
use uuid::Uuid;
use vmferry_core::{
    GuestInfo, GuestUri, HostInfo, MoveRecord, OutcomeStatus, Place, Plan, SCHEMA_VERSION,
};
use vmferry_migrate::identity::Identity;
use vmferry_migrate::journal::UndoAction;
use vmferry_migrate::state_dir::Lock;
use vmferry_migrate::takeover::{BASELINE_FILE, RECORD_FILE, TakenOver, take_over};
use vmferry_migrate::{Baseline, Journal, MoveDir, StateDir};

/// What was asked of a monitor, and how its migration stands.
#[derive(Default)]
struct Qemu {
    asked: Vec<String>,
    status: &'static str,
    running: bool,
    uuid: &'static str,
}

impl Qemu {
    fn answer(&mut self, command: &str) -> Value {
        self.asked.push(command.to_owned());
        match command {
            "query-migrate" if self.status.is_empty() => json!({}),
            "query-migrate" => json!({ "status": self.status, "ram": { "transferred": 1 } }),
            "query-status" => json!({ "running": self.running, "status": "postmigrate" }),
            "query-uuid" => json!({ "UUID": self.uuid }),
            _ => json!({}),
        }
    }
}

type Shared = Arc<Mutex<Qemu>>;

/// A monitor that serves one client at a time, as QEMU's does.
fn serve(path: &Path, qemu: &Shared) -> JoinHandle<()> {
    let listener = UnixListener::bind(path).unwrap();
    let qemu = Arc::clone(qemu);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            talk(stream, &qemu).await;
        }
    })
}

async fn talk(stream: UnixStream, qemu: &Shared) {
    let (reader, mut writer) = stream.into_split();
    let greeting = json!({ "QMP": { "version": { "qemu": { "major": 10, "minor": 0, "micro": 2 }, "package": "" }, "capabilities": [] } });
    let _ = writer.write_all(format!("{greeting}\r\n").as_bytes()).await;
    let mut lines = BufReader::new(reader).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        let request: Value = serde_json::from_str(&line).unwrap();
        let answer = qemu
            .lock()
            .unwrap()
            .answer(request["execute"].as_str().unwrap());
        let reply = json!({ "return": answer, "id": request["id"] });
        if writer
            .write_all(format!("{reply}\r\n").as_bytes())
            .await
            .is_err()
        {
            return;
        }
    }
}

/// A move that nobody supervises: a parameter of the source was changed.
struct Orphan {
    home: tempfile::TempDir,
    dir: MoveDir,
    _owner: Lock,
}

impl Orphan {
    fn new(source: Identity, baseline: Option<Baseline>) -> Self {
        let home = tempfile::tempdir().unwrap();
        let (dir, _owner) = StateDir::at(home.path())
            .create_move(Uuid::now_v7())
            .unwrap();
        let orphan = Self { home, dir, _owner };
        let (at_source, uri) = (orphan.uri("a"), orphan.uri("a"));
        let host = HostInfo {
            hostname: None,
            hypervisor: "qemu".into(),
            hypervisor_version: None,
            package: None,
        };
        let record = MoveRecord {
            schema_version: SCHEMA_VERSION,
            tool_version: "0".into(),
            move_id: orphan.dir.move_id(),
            started_at: jiff::Timestamp::now(),
            plan: Plan {
                source: uri.clone(),
                destination: orphan.uri("b"),
                via: "tcp:127.0.0.1:4444".parse().unwrap(),
                limits: Default::default(),
                tls_dir: None,
                promise: None,
            },
            guest: GuestInfo {
                uri,
                name: None,
                uuid: None,
                memory_bytes: None,
                ram_blocks: Vec::new(),
                vcpus: None,
                machine: None,
                accelerator: None,
            },
            source_host: host.clone(),
            destination_host: host,
            link: None,
            forecast: None,
            outcome: None,
            raw_statistics: None,
        };
        orphan.dir.write_json(RECORD_FILE, &record).unwrap();
        if let Some(baseline) = baseline {
            orphan.dir.write_json(BASELINE_FILE, &baseline).unwrap();
        }
        let mut journal = Journal::create(&orphan.dir.journal_path()).unwrap();
        journal.belongs_to(&at_source, source).unwrap();
        let parameters = Map::from_iter([("downtime-limit".to_owned(), json!(300))]);
        journal
            .about_to_change(&at_source, UndoAction::SetParameters { parameters })
            .unwrap();
        orphan
    }

    fn path(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }

    fn uri(&self, name: &str) -> GuestUri {
        GuestUri::local(self.path(name))
    }

    async fn take_over(&self) -> TakenOver {
        take_over(&self.dir, Duration::from_secs(30), Arc::new(|_| {})).await
    }

    fn pending(&self) -> usize {
        Journal::open(&self.dir.journal_path())
            .unwrap()
            .pending()
            .len()
    }
}

fn began() -> Option<Baseline> {
    Some(Baseline::bare(jiff::Timestamp::now()).begin())
}

fn anybody() -> Identity {
    Identity {
        uuid: None,
        process: None,
    }
}

fn ended(taken: &TakenOver) -> (OutcomeStatus, Place) {
    let outcome = taken.record.as_ref().unwrap().outcome.as_ref().unwrap();
    (outcome.status, outcome.place)
}

#[tokio::test(flavor = "multi_thread")]
async fn another_qemu_at_the_same_path_is_left_alone() {
    let ours = Identity {
        uuid: Some("11111111-1111-1111-1111-111111111111".into()),
        process: None,
    };
    let orphan = Orphan::new(ours, began());
    let qemu = Shared::default();
    *qemu.lock().unwrap() = Qemu {
        running: true,
        uuid: "22222222-2222-2222-2222-222222222222",
        ..Qemu::default()
    };
    let server = serve(&orphan.path("a"), &qemu);
    let taken = orphan.take_over().await;
    server.abort();
    assert_eq!(taken.failed, [""; 0]);
    assert_eq!(
        (taken.undone, orphan.pending()),
        (0, 0),
        "gone with its process"
    );
    assert_eq!(
        ended(&taken),
        (OutcomeStatus::Unknown, Place::Uncertain),
        "the other one's guest is not ours"
    );
    let asked = qemu.lock().unwrap().asked.clone();
    assert!(
        asked
            .iter()
            .all(|command| ["qmp_capabilities", "query-uuid"].contains(&command.as_str())),
        "{asked:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_busy_monitor_is_waited_for_and_the_source_followed_alone() {
    let orphan = Orphan::new(anybody(), began());
    let qemu = Shared::default();
    qemu.lock().unwrap().status = "active";
    let server = serve(&orphan.path("a"), &qemu);
    // Somebody else holds the monitor for a while.
    let other = UnixStream::connect(orphan.path("a")).await.unwrap();
    let (taken, ()) = tokio::join!(orphan.take_over(), async {
        tokio::time::sleep(Duration::from_millis(300)).await;
        drop(other);
        // Put back while the migration runs, without a destination.
        while orphan.pending() > 0 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        assert!(
            qemu.lock()
                .unwrap()
                .asked
                .contains(&"migrate-set-parameters".to_owned())
        );
        qemu.lock().unwrap().status = "failed";
        qemu.lock().unwrap().running = true;
    });
    server.abort();
    assert_eq!((taken.failed.len(), taken.undone), (0, 1));
    assert_eq!(
        ended(&taken),
        (OutcomeStatus::Failed, Place::RunningAtSource)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_old_status_is_no_end_of_this_move() {
    for status in ["", "completed"] {
        let orphan = Orphan::new(anybody(), began());
        let qemu = Shared::default();
        *qemu.lock().unwrap() = Qemu {
            running: true,
            status,
            ..Qemu::default()
        };
        let server = serve(&orphan.path("a"), &qemu);
        let taken = orphan.take_over().await;
        server.abort();
        assert_eq!(
            ended(&taken),
            (OutcomeStatus::Cancelled, Place::RunningAtSource),
            "{status}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_end_that_nobody_saw_is_looked_for_again() {
    let orphan = Orphan::new(anybody(), began());
    // Nobody is there.
    let taken = orphan.take_over().await;
    assert_eq!(ended(&taken), (OutcomeStatus::Unknown, Place::Uncertain));
    orphan.dir.write_json(RECORD_FILE, &taken.record).unwrap();

    let (source, destination) = (Shared::default(), Shared::default());
    source.lock().unwrap().status = "completed";
    destination.lock().unwrap().running = true;
    let servers = [
        serve(&orphan.path("a"), &source),
        serve(&orphan.path("b"), &destination),
    ];
    let taken = orphan.take_over().await;
    let seen = (OutcomeStatus::Completed, Place::RunningAtDestination);
    assert_eq!(ended(&taken), seen);
    orphan.dir.write_json(RECORD_FILE, &taken.record).unwrap();
    for server in servers {
        server.abort();
    }

    // What was seen stays.
    assert_eq!(ended(&orphan.take_over().await), seen);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_journal_does_not_hide_the_outcome() {
    let orphan = Orphan::new(anybody(), None);
    std::fs::write(orphan.dir.journal_path(), "{}\n{}\n").unwrap();
    let qemu = Shared::default();
    qemu.lock().unwrap().running = true;
    let server = serve(&orphan.path("a"), &qemu);
    let taken = orphan.take_over().await;
    server.abort();
    assert_eq!(taken.failed.len(), 1);
    assert!(
        taken.failed[0].contains("line 1 cannot be read"),
        "{:?}",
        taken.failed
    );
    assert_eq!(
        ended(&taken),
        (OutcomeStatus::Cancelled, Place::RunningAtSource)
    );
}
