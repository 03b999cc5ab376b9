//! A QEMU of our own for one test.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;
use vmferry_core::GuestUri;
use vmferry_hypervisor::qmp::{ConnectOptions, Guest};

/// A running QEMU with one QMP socket. Ends with the test, however that ends.
pub(crate) struct Qemu {
    child: Child,
    directory: TempDir,
}

impl Qemu {
    /// Starts QEMU without a guest's disk; `arguments` come on top.
    pub(crate) fn start(arguments: &[&str]) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let log = directory.path().join("qemu.log");
        let socket = directory.path().join("a.qmp");
        let child = Command::new("qemu-system-x86_64")
            .args(["-accel", "tcg", "-display", "none", "-nodefaults", "-qmp"])
            .arg(format!("unix:{},server=on,wait=off", socket.display()))
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(File::create(&log).unwrap())
            .spawn()
            .expect("cannot start qemu-system-x86_64: run `cargo xtask test`, which installs it");
        let mut qemu = Self { child, directory };
        let deadline = Instant::now() + Duration::from_secs(20);
        while !socket.exists() {
            let ended = qemu.child.try_wait().unwrap();
            let log = std::fs::read_to_string(&log).unwrap();
            assert!(ended.is_none(), "QEMU has exited: {log}");
            assert!(Instant::now() < deadline, "QEMU made no socket: {log}");
            std::thread::sleep(Duration::from_millis(5));
        }
        qemu
    }

    /// A machine whose guest stands still from the start.
    pub(crate) fn paused() -> Self {
        Self::start(&["-machine", "q35", "-m", "64", "-S"])
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.directory.path().join("a.qmp")
    }

    pub(crate) fn directory(&self) -> &Path {
        self.directory.path()
    }

    pub(crate) fn uri(&self) -> GuestUri {
        GuestUri::local(self.socket())
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    pub(crate) async fn connect(&self) -> Guest {
        Guest::connect(&self.uri(), ConnectOptions::default())
            .await
            .unwrap()
    }

    /// Ends QEMU as a crash would.
    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Qemu {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
