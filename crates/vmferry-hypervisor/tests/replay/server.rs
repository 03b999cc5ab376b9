//! A monitor that says what it is told to.

use std::collections::HashMap;
use std::path::Path;

use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::UnixListener;
use tokio::task::JoinHandle;
use vmferry_core::GuestUri;
use vmferry_hypervisor::qmp::{ConnectOptions, Guest};

/// One step of a session.
#[derive(Debug, Clone)]
pub(crate) enum Step {
    /// The client must send this command now.
    Expect(Value),
    /// The monitor says this line.
    Say(String),
}

/// A fake monitor that goes through a session once.
pub(crate) struct Server {
    directory: TempDir,
    session: JoinHandle<()>,
}

impl Server {
    pub(crate) fn start(steps: Vec<Step>) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let listener = UnixListener::bind(directory.path().join("a.qmp")).unwrap();
        let session = tokio::spawn(serve(listener, steps));
        Self { directory, session }
    }

    /// A session recorded from a real QEMU.
    pub(crate) fn recorded(version: &str, name: &str) -> Self {
        let path = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("tests/fixtures")
            .join(version)
            .join(name);
        let text = std::fs::read_to_string(&path).unwrap();
        let steps = text.lines().map(|line| {
            let entry: Value = serde_json::from_str(line).unwrap();
            match entry.get("sent") {
                Some(sent) => Step::Expect(sent.clone()),
                None => Step::Say(entry["received"].to_string()),
            }
        });
        Self::start(steps.collect())
    }

    pub(crate) fn uri(&self) -> GuestUri {
        GuestUri::local(self.directory.path().join("a.qmp"))
    }

    pub(crate) async fn connect(&self) -> Guest {
        Guest::connect(&self.uri(), ConnectOptions::default())
            .await
            .unwrap()
    }

    /// Waits until the whole session was gone through.
    pub(crate) async fn finished(self) {
        self.session.await.unwrap();
    }
}

async fn serve(listener: UnixListener, steps: Vec<Step>) {
    let (client, _) = listener.accept().await.unwrap();
    let (reader, mut writer) = client.into_split();
    let mut requests = BufReader::new(reader).lines();
    // The client's ids by the recorded ones.
    let mut ids = HashMap::new();
    for step in steps {
        match step {
            Step::Expect(recorded) => {
                let Some(line) = requests.next_line().await.unwrap() else {
                    panic!("the client has left before {recorded}");
                };
                let request: Value = serde_json::from_str(&line).unwrap();
                assert_eq!(request["execute"], recorded["execute"]);
                let names = |message: &Value| {
                    let arguments = message["arguments"].as_object();
                    arguments.map(|a| a.keys().cloned().collect::<Vec<_>>())
                };
                // Which capabilities of the protocol are turned on is no matter of the recording.
                if recorded["execute"] != "qmp_capabilities" {
                    assert_eq!(names(&request), names(&recorded), "{line}");
                }
                ids.insert(recorded["id"].to_string(), request["id"].clone());
            }
            Step::Say(line) => {
                let line = match serde_json::from_str::<Value>(&line) {
                    Ok(mut message) => {
                        if let Some(id) = ids.get(&message["id"].to_string()) {
                            message["id"] = id.clone();
                        }
                        message.to_string()
                    }
                    Err(_) => line,
                };
                writer.write_all(line.as_bytes()).await.unwrap();
                writer.write_all(b"\r\n").await.unwrap();
            }
        }
    }
}

/// A session by hand: greeted and ready for commands.
pub(crate) fn greeted() -> Vec<Step> {
    vec![
        say(json!({ "QMP": { "version": { "qemu": { "major": 99, "minor": 0 } } } })),
        expect("qmp_capabilities", 1),
        answer(1, json!({})),
    ]
}

/// The client must send this command without arguments.
pub(crate) fn expect(command: &str, id: u64) -> Step {
    Step::Expect(json!({ "execute": command, "id": id }))
}

/// The monitor answers that command.
pub(crate) fn answer(id: u64, with: Value) -> Step {
    say(json!({ "id": id, "return": with }))
}

/// The monitor says this.
pub(crate) fn say(message: Value) -> Step {
    Step::Say(message.to_string())
}
