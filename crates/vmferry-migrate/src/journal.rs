//! The undo journal: before anything is changed on a host, how to undo it is
//! written down and synced. Whoever finds the journal later can put the host
//! back: vmferry itself, its guard, or `vmferry recover`.

use std::collections::HashMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use vmferry_core::GuestUri;

use crate::cpu_cap::CpuUndo;
use crate::error::MigrateError;
use crate::identity::Identity;

/// How to undo one change.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "action", rename_all = "kebab-case")]
pub enum UndoAction {
    /// `migrate-set-parameters` with the values from before.
    SetParameters {
        /// Parameter to value.
        parameters: Map<String, Value>,
    },
    /// `migrate-set-capabilities` with the value from before. The hypervisor
    /// refuses this while a migration runs, so it waits for the end.
    SetCapability {
        /// Name of the capability.
        name: String,
        /// Whether it was on.
        enabled: bool,
    },
    /// Lets the destination start the guest, where it was kept from that for a
    /// cancel and the source has handed the guest over all the same.
    SettleFence {
        /// The source, which knows whether it has.
        source: GuestUri,
    },
    /// `object-del` of an object we added; waits for the end of the move.
    DeleteObject {
        /// Its id.
        id: String,
    },
    /// `cancel-vcpu-dirty-limit`: the hypervisor cancels its own limit where the
    /// migration was cancelled, not where it failed.
    CancelDirtyLimit,
    /// Undoes a part of a CPU cap, on this machine.
    CpuCap(CpuUndo),
}

impl UndoAction {
    /// Whether this can be undone while the migration still runs.
    pub fn possible_during_migration(&self) -> bool {
        match self {
            Self::SetParameters { parameters } => !parameters.keys().any(|k| k.starts_with("tls-")),
            Self::SetCapability { .. }
            | Self::SettleFence { .. }
            | Self::CancelDirtyLimit
            | Self::DeleteObject { .. } => false,
            // A cap that nobody steers any more must not stay on.
            Self::CpuCap(_) => true,
        }
    }

    /// Whether it is undone through the hypervisor's monitor, and not on this
    /// machine itself.
    pub fn needs_monitor(&self) -> bool {
        !matches!(self, Self::CpuCap(_))
    }
}

/// One change made on one end of a move.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Change {
    /// Number of the change within the journal, from 1.
    pub seq: u64,
    /// The monitor through which it was made and is undone.
    pub uri: GuestUri,
    /// How to undo it.
    pub undo: UndoAction,
}

#[derive(Serialize, Deserialize)]
#[serde(tag = "entry", rename_all = "kebab-case")]
enum Entry {
    Opened { version: u32 },
    End { uri: GuestUri, identity: Identity },
    Change(Change),
    Undone { seq: u64 },
}

/// 2: changes of this machine beside those of hypervisors. Journals of version
/// 1 are read as they are.
const VERSION: u32 = 2;

/// An open journal.
#[derive(Debug)]
pub struct Journal {
    path: PathBuf,
    /// Opened for the first write: undoing needs no more than to read.
    file: Option<File>,
    /// Length up to the end of the last whole line.
    length: u64,
    ends: HashMap<GuestUri, Identity>,
    pending: Vec<Change>,
    next_seq: u64,
}

impl Journal {
    /// Starts the journal of a new move.
    ///
    /// # Errors
    /// When the file exists or cannot be written.
    pub fn create(path: &Path) -> Result<Self, MigrateError> {
        let fail = |source| MigrateError::State {
            path: path.to_owned(),
            source,
        };
        let file = OpenOptions::new()
            .append(true)
            .create_new(true)
            .mode(0o600)
            .open(path)
            .map_err(fail)?;
        let mut journal = Self {
            path: path.to_owned(),
            file: Some(file),
            length: 0,
            ends: HashMap::new(),
            pending: Vec::new(),
            next_seq: 1,
        };
        journal.append(&Entry::Opened { version: VERSION })?;
        Ok(journal)
    }

    /// Opens the journal of a move that somebody else began; only reads. A last
    /// line cut off by a crash is ignored: its change had not been made yet.
    ///
    /// # Errors
    /// When it cannot be read, was written by a newer vmferry, or is damaged:
    /// the message names the line.
    pub fn open(path: &Path) -> Result<Self, MigrateError> {
        let fail = |source| MigrateError::State {
            path: path.to_owned(),
            source,
        };
        let damage = |text| fail(io::Error::new(io::ErrorKind::InvalidData, text));
        let bytes = fs::read(path).map_err(fail)?;
        let mut journal = Self {
            path: path.to_owned(),
            file: None,
            length: 0,
            ends: HashMap::new(),
            pending: Vec::new(),
            next_seq: 1,
        };
        for (number, line) in (1..).zip(bytes.split_inclusive(|byte| *byte == b'\n')) {
            if !line.ends_with(b"\n") {
                break;
            }
            journal.length += line.len() as u64;
            if line == b"\n" {
                continue;
            }
            let entry = serde_json::from_slice(line).map_err(|error| {
                damage(format!(
                    "line {number} cannot be read ({error}); repair or remove it, then run `vmferry recover` again"
                ))
            })?;
            match entry {
                Entry::Opened { version } if version > VERSION => {
                    return Err(damage(format!(
                        "written by a newer vmferry (version {version}, this one reads {VERSION})"
                    )));
                }
                Entry::Opened { .. } => {}
                Entry::End { uri, identity } => {
                    journal.ends.insert(uri, identity);
                }
                Entry::Change(change) => {
                    journal.next_seq = change.seq + 1;
                    journal.pending.push(change);
                }
                Entry::Undone { seq } => journal.pending.retain(|c| c.seq != seq),
            }
        }
        Ok(journal)
    }

    /// Writes down which QEMU listens at a path, before anything is changed there.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn belongs_to(&mut self, uri: &GuestUri, identity: Identity) -> Result<(), MigrateError> {
        self.append(&Entry::End {
            uri: uri.clone(),
            identity: identity.clone(),
        })?;
        self.ends.insert(uri.clone(), identity);
        Ok(())
    }

    /// Which QEMU the changes were made on; `None` where that is not known.
    pub fn identity(&self, uri: &GuestUri) -> Option<&Identity> {
        self.ends.get(uri)
    }

    /// Writes down a change that is about to be made; returns once it is on disk.
    ///
    /// # Errors
    /// When it cannot be written: the change must then not be made.
    pub fn about_to_change(
        &mut self,
        uri: &GuestUri,
        undo: UndoAction,
    ) -> Result<(), MigrateError> {
        let change = Change {
            seq: self.next_seq,
            uri: uri.clone(),
            undo,
        };
        self.append(&Entry::Change(change.clone()))?;
        self.next_seq += 1;
        self.pending.push(change);
        Ok(())
    }

    /// Notes that a change was undone, or is gone with its process.
    ///
    /// # Errors
    /// When it cannot be written. Undoing twice is harmless.
    pub fn undone(&mut self, seq: u64) -> Result<(), MigrateError> {
        self.append(&Entry::Undone { seq })?;
        self.pending.retain(|c| c.seq != seq);
        Ok(())
    }

    /// What is still to be undone, latest change first.
    pub fn pending(&self) -> Vec<Change> {
        self.pending.iter().rev().cloned().collect()
    }

    fn append(&mut self, entry: &Entry) -> Result<(), MigrateError> {
        self.write(entry).map_err(|source| MigrateError::State {
            path: self.path.clone(),
            source,
        })
    }

    fn write(&mut self, entry: &Entry) -> io::Result<()> {
        let mut line = serde_json::to_vec(entry)?;
        line.push(b'\n');
        let file = match &mut self.file {
            Some(file) => file,
            none => none.insert(OpenOptions::new().append(true).open(&self.path)?),
        };
        // Half a line, of a crash or a full disk, must not stay in the middle.
        if file.metadata()?.len() > self.length {
            file.set_len(self.length)?;
        }
        file.write_all(&line)?;
        self.length += line.len() as u64;
        file.sync_data()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cpu_cap::{CgroupVersion, ThreadMark};

    fn uri() -> GuestUri {
        "qmp:/run/a.qmp".parse().unwrap()
    }

    fn delete(id: &str) -> UndoAction {
        UndoAction::DeleteObject { id: id.into() }
    }

    #[test]
    fn undoes_in_reverse_and_survives_a_torn_line() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("journal.jsonl");
        let mut journal = Journal::create(&path).unwrap();
        for id in ["one", "two", "three"] {
            journal.about_to_change(&uri(), delete(id)).unwrap();
        }
        journal.undone(2).unwrap();
        drop(journal);
        OpenOptions::new()
            .append(true)
            .open(&path)
            .unwrap()
            .write_all(b"{\"entry\":\"change\",\"se")
            .unwrap();

        let mut journal = Journal::open(&path).unwrap();
        assert_eq!(
            journal.pending().iter().map(|c| c.seq).collect::<Vec<_>>(),
            [3, 1]
        );
        journal.about_to_change(&uri(), delete("four")).unwrap();
        let journal = Journal::open(&path).unwrap();
        assert_eq!(
            journal.pending().iter().map(|c| c.seq).collect::<Vec<_>>(),
            [4, 3, 1]
        );
    }

    #[test]
    fn damage_in_the_middle_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("journal.jsonl");
        let mut journal = Journal::create(&path).unwrap();
        for id in ["one", "two"] {
            journal.about_to_change(&uri(), delete(id)).unwrap();
        }
        let whole = fs::read_to_string(&path).unwrap();
        let mut lines: Vec<_> = whole.lines().collect();
        lines[1] = "{\"entry\":\"change\",\"se";
        fs::write(&path, lines.join("\n") + "\n").unwrap();
        let error = Journal::open(&path).unwrap_err().to_string();
        assert!(error.contains("line 2 cannot be read"), "{error}");
    }

    #[test]
    fn opening_only_reads() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("journal.jsonl");
        let mut journal = Journal::create(&path).unwrap();
        let identity = Identity {
            uuid: Some("a".into()),
            process: None,
        };
        journal.belongs_to(&uri(), identity.clone()).unwrap();
        journal.about_to_change(&uri(), delete("one")).unwrap();
        let before = fs::read(&path).unwrap();
        let opened = Journal::open(&path).unwrap();
        assert_eq!(opened.pending(), journal.pending());
        assert_eq!(opened.identity(&uri()), Some(&identity));
        assert_eq!(fs::read(&path).unwrap(), before);
    }

    #[test]
    fn a_newer_journal_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("journal.jsonl");
        std::fs::write(&path, "{\"entry\":\"opened\",\"version\":99}\n").unwrap();
        assert!(
            Journal::open(&path)
                .unwrap_err()
                .to_string()
                .contains("newer vmferry")
        );
    }

    #[test]
    fn a_journal_of_the_first_version_is_read() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("journal.jsonl");
        let old = concat!(
            r#"{"entry":"opened","version":1}"#,
            "\n",
            r#"{"entry":"end","uri":"qmp:/run/a.qmp","identity":{"uuid":null,"process":{"pid":7,"start_time":9,"boot":"b"}}}"#,
            "\n",
            r#"{"entry":"change","seq":1,"uri":"qmp:/run/a.qmp","undo":{"action":"set-parameters","parameters":{"downtime-limit":300}}}"#,
            "\n",
            r#"{"entry":"change","seq":2,"uri":"qmp:/run/a.qmp","undo":{"action":"delete-object","id":"tls"}}"#,
            "\n",
            r#"{"entry":"undone","seq":2}"#,
            "\n",
        );
        fs::write(&path, old).unwrap();
        let journal = Journal::open(&path).unwrap();
        let pending = journal.pending();
        assert_eq!(pending.len(), 1);
        assert!(pending[0].undo.possible_during_migration() && pending[0].undo.needs_monitor());
        assert_eq!(
            journal
                .identity(&uri())
                .unwrap()
                .process
                .as_ref()
                .unwrap()
                .pid,
            7
        );
    }

    #[test]
    fn caps_are_written_so_that_anybody_can_read_them() {
        let undo = UndoAction::CpuCap(CpuUndo::MoveThreads {
            version: CgroupVersion::V1,
            group: "/sys/fs/cgroup/cpu/vm/vmferry-1".into(),
            home: "/sys/fs/cgroup/cpu/vm".into(),
            threads: vec![ThreadMark {
                tid: 7,
                start_time: 99,
            }],
        });
        let text = serde_json::to_string(&undo).unwrap();
        insta::assert_snapshot!(text, @r#"{"action":"cpu-cap","change":"move-threads","version":"v1","group":"/sys/fs/cgroup/cpu/vm/vmferry-1","home":"/sys/fs/cgroup/cpu/vm","threads":[{"tid":7,"start_time":99}]}"#);
        assert_eq!(serde_json::from_str::<UndoAction>(&text).unwrap(), undo);
        assert!(undo.possible_during_migration() && !undo.needs_monitor());
    }

    #[test]
    fn capabilities_wait_for_the_end() {
        let parameters = |name: &str| UndoAction::SetParameters {
            parameters: Map::from_iter([(name.to_owned(), Value::from(1))]),
        };
        assert!(parameters("downtime-limit").possible_during_migration());
        assert!(!parameters("tls-creds").possible_during_migration());
        assert!(!delete("x").possible_during_migration());
    }
}
