//! How virtual CPUs run: on KVM where guests really boot with it, else emulated.

use std::fmt;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use vmferry_load::report::Message;

use crate::command::{detach, not_started};
use crate::console::Console;
use crate::error::TestbedError;
use crate::image::{GuestImage, cache_directory};
use crate::process::Process;
use crate::qemu;

/// How long a guest may take to boot with KVM; a second is usual.
const PATIENCE: Duration = Duration::from_secs(8);

/// How virtual CPUs run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Accelerator {
    /// Emulated by QEMU.
    Tcg,
    /// By the processor.
    Kvm,
}

impl fmt::Display for Accelerator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tcg => "tcg",
            Self::Kvm => "kvm",
        })
    }
}

impl Accelerator {
    /// The best one with which a guest really boots here; `VMFERRY_ACCEL` (`tcg` or `kvm`) decides
    /// without trying. `/dev/kvm` alone says little: within virtual machines it is often there and
    /// guests hang. So one guest is booted once, and the answer kept until this machine boots again.
    ///
    /// # Errors
    /// When the answer cannot be kept, or QEMU cannot be started.
    pub fn best(image: &GuestImage) -> Result<Self, TestbedError> {
        match std::env::var("VMFERRY_ACCEL").as_deref() {
            Ok("kvm") => return Ok(Self::Kvm),
            Ok("tcg") => return Ok(Self::Tcg),
            _ => {}
        }
        if fs::OpenOptions::new()
            .read(true)
            .write(true)
            .open("/dev/kvm")
            .is_err()
        {
            return Ok(Self::Tcg);
        }
        let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
        let cache = cache_directory();
        let answer = cache.join(format!("kvm-{}", boot.trim()));
        match fs::read_to_string(&answer).as_deref() {
            Ok("kvm") => return Ok(Self::Kvm),
            Ok("tcg") => return Ok(Self::Tcg),
            _ => {}
        }
        let best = if boots_with_kvm(image)? {
            Self::Kvm
        } else {
            Self::Tcg
        };
        tracing::info!(accelerator = %best, "tried to boot a guest with KVM");
        // Two programs that try at once get the same answer, so the last may write.
        fs::create_dir_all(&cache)
            .and_then(|()| fs::write(&answer, best.to_string()))
            .map_err(TestbedError::io(format!("write {}", answer.display())))?;
        Ok(best)
    }
}

fn boots_with_kvm(image: &GuestImage) -> Result<bool, TestbedError> {
    let scratch = tempfile::tempdir().map_err(TestbedError::io("make a scratch directory"))?;
    let console = scratch.path().join("console");
    let mut command = Command::new(qemu::program());
    command
        .args([
            "-machine", "q35", "-accel", "kvm", "-m", "128M", "-display", "none",
        ])
        .args(["-nodefaults", "-no-user-config", "-no-reboot", "-kernel"])
        .arg(&image.kernel)
        .arg("-initrd")
        .arg(&image.initrd)
        .args(["-append", &qemu::command_line("idle", None)])
        .args(["-serial", &format!("file:{}", console.display())])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    detach(&mut command);
    let mut child = command
        .spawn()
        .map_err(|error| not_started(&command, error))?;
    let process = Process::of(child.id());
    let booted = reports(&console, process);
    if let Some(process) = process {
        process.kill_and_wait(PATIENCE);
    }
    // Reaped already, or ended by itself.
    let _ = child.wait();
    Ok(booted)
}

/// Whether a guest's program speaks up before its QEMU ends and patience does.
fn reports(console: &Path, process: Option<Process>) -> bool {
    let mut console = Console::at(console);
    let deadline = Instant::now() + PATIENCE;
    while Instant::now() < deadline && process.is_some_and(Process::is_alive) {
        let messages = console.read_new().unwrap_or_default();
        if messages
            .iter()
            .any(|message| matches!(message, Message::Up(_) | Message::Progress(_)))
        {
            return true;
        }
        sleep(Duration::from_millis(20));
    }
    false
}
