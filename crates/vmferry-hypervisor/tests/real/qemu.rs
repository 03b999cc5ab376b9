//! A QEMU of our own for one test.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;
use vmferry_core::GuestUri;
use vmferry_hypervisor::qmp::{ConnectOptions, Guest};

/// Longer than any start of QEMU.
const PATIENCE: Duration = Duration::from_secs(60);

const POLL: Duration = Duration::from_millis(5);

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
        // Should the test be killed, QEMU goes with it.
        let child = Command::new("setpriv")
            .args(["--pdeathsig", "KILL", "qemu-system-x86_64"])
            .args(["-accel", "tcg", "-display", "none", "-nodefaults", "-qmp"])
            .arg(format!("unix:{},server=on,wait=off", socket.display()))
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(File::create(&log).unwrap())
            .spawn()
            .expect("cannot start setpriv of util-linux");
        let mut qemu = Self { child, directory };
        let deadline = Instant::now() + PATIENCE;
        while !is_listening(&socket) {
            let ended = qemu.child.try_wait().unwrap();
            let log = std::fs::read_to_string(&log).unwrap();
            assert!(
                ended.is_none(),
                "qemu-system-x86_64 has exited; if it is missing, run `cargo xtask test`, which installs it: {log}"
            );
            assert!(Instant::now() < deadline, "QEMU made no socket: {log}");
            std::thread::sleep(POLL);
        }
        qemu
    }

    /// A machine whose guest stands still from the start.
    pub(crate) fn paused() -> Self {
        Self::start(&["-machine", "q35", "-m", "64", "-S"])
    }

    /// In a network namespace of its own; its only monitor is at a path given from `directory`.
    pub(crate) fn in_own_network(directory: TempDir, name: &str) -> Self {
        let child = Command::new("setpriv")
            .args(["--pdeathsig", "KILL", "unshare", "--net"])
            .args(["qemu-system-x86_64", "-machine", "none", "-S"])
            .args(["-display", "none", "-nodefaults", "-qmp"])
            .arg(format!("unix:{name},server=on,wait=off"))
            .current_dir(directory.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .expect("cannot start setpriv of util-linux");
        let deadline = Instant::now() + PATIENCE;
        let table = format!("/proc/{}/net/unix", child.id());
        while !std::fs::read_to_string(&table).is_ok_and(|table| table.contains(name)) {
            assert!(Instant::now() < deadline, "QEMU made no socket {name}");
            std::thread::sleep(POLL);
        }
        Self { child, directory }
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

/// Waits until somebody listens on the socket, without connecting to it.
pub(crate) fn wait_until_listening(socket: &Path) {
    let deadline = Instant::now() + PATIENCE;
    while !is_listening(socket) {
        assert!(Instant::now() < deadline, "nobody listens on {socket:?}");
        std::thread::sleep(POLL);
    }
}

/// A socket's path is there before it listens; the kernel's table tells the difference.
fn is_listening(socket: &Path) -> bool {
    const ACCEPTS_CONNECTIONS: &str = "00010000";
    let table = std::fs::read_to_string("/proc/net/unix").unwrap();
    table.lines().any(|line| {
        let mut words = line.split_whitespace();
        let flags = words.nth(3);
        flags == Some(ACCEPTS_CONNECTIONS) && words.nth(3).map(Path::new) == Some(socket)
    })
}
