//! A small disk in a mount namespace of its own: it goes away with the
//! process that holds it, however the test ends.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// A tmpfs that only programs started [`through`](Disk::through) it see.
pub(crate) struct Disk {
    holder: Child,
    at: PathBuf,
}

impl Disk {
    /// A disk of that many bytes, mounted over the directory `at`.
    pub(crate) fn mount(at: &Path, bytes: u32) -> Self {
        std::fs::create_dir_all(at).expect("a directory to mount over");
        let script = "mount -t tmpfs -o size=$1 tmpfs \"$0\" && echo mounted && exec cat";
        let mut holder = Command::new("unshare")
            .args(["--mount", "--propagation", "private", "sh", "-c", script])
            .arg(at)
            .arg(bytes.to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("unshare (util-linux) starts");
        let mut answer = String::new();
        BufReader::new(holder.stdout.take().expect("piped"))
            .read_line(&mut answer)
            .expect("an answer");
        assert_eq!(answer, "mounted\n");
        Self {
            holder,
            at: at.to_owned(),
        }
    }

    /// The words before a command that shall see the disk.
    pub(crate) fn through(&self) -> [String; 2] {
        [
            "nsenter".to_owned(),
            format!("--mount=/proc/{}/ns/mnt", self.holder.id()),
        ]
    }

    /// The disk as seen from outside of its namespace.
    pub(crate) fn path(&self) -> PathBuf {
        let inside = self.at.strip_prefix("/").expect("an absolute path");
        Path::new(&format!("/proc/{}/root", self.holder.id())).join(inside)
    }

    /// Writes until no byte is left.
    pub(crate) fn fill(&self) {
        let file = std::fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(self.path().join("filler"));
        let mut file = file.expect("a file that fills the disk");
        let block = [0u8; 4096];
        let error = loop {
            if let Err(error) = std::io::Write::write_all(&mut file, &block) {
                break error;
            }
        };
        assert_eq!(error.kind(), std::io::ErrorKind::StorageFull);
    }

    /// Makes room again.
    pub(crate) fn clear(&self) {
        std::fs::remove_file(self.path().join("filler")).expect("a filled disk");
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // Its end of file ends it; waiting leaves no zombie.
        drop(self.holder.stdin.take());
        let _ = self.holder.wait();
    }
}
