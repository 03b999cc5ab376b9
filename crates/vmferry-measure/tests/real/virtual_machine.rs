//! Small real guests: SeaBIOS, and where wanted a boot sector that dirties a known range.

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;
use vmferry_core::GuestUri;
use vmferry_hypervisor::qmp::{ConnectOptions, Guest};

/// First page that the boot sector writes to.
pub(crate) const FIRST_PAGE: u64 = 256;

/// A running QEMU; ends with this value.
pub(crate) struct VirtualMachine {
    qemu: Child,
    place: TempDir,
}

impl VirtualMachine {
    /// A guest of `mib` MiB that goes on writing one word into each of `dirty_pages` pages from
    /// 1 MiB on, with interrupts off so that nothing else is written.
    pub(crate) fn start(mib: u32, dirty_pages: u32) -> Self {
        Self::start_with(mib, dirty_pages, &[])
    }

    /// As [`Self::start`], with more arguments for QEMU.
    pub(crate) fn start_with(mib: u32, dirty_pages: u32, more: &[&str]) -> Self {
        let place = tempfile::tempdir().unwrap();
        let disk = place.path().join("boot.img");
        let mut image = boot_sector(dirty_pages);
        image.resize(1 << 20, 0);
        std::fs::write(&disk, image).unwrap();
        let socket = place.path().join("qmp");
        let qemu = Command::new("qemu-system-x86_64")
            .args(["-name", "writer", "-accel", "tcg", "-display", "none"])
            .args(["-nodefaults", "-no-user-config", "-m", &mib.to_string()])
            .args(more)
            .arg("-drive")
            .arg(format!("file={},format=raw,if=ide", disk.display()))
            .arg("-qmp")
            .arg(format!("unix:{},server=on,wait=off", socket.display()))
            .stdin(Stdio::null())
            .spawn()
            .unwrap();
        Self { qemu, place }
    }

    fn socket(&self) -> PathBuf {
        self.place.path().join("qmp")
    }

    pub(crate) async fn connect(&self) -> Guest {
        let uri = GuestUri::local(self.socket());
        let start = Instant::now();
        loop {
            match Guest::connect(&uri, ConnectOptions::default()).await {
                Ok(guest) => return guest,
                Err(error) if start.elapsed() > Duration::from_secs(30) => panic!("{error}"),
                Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
            }
        }
    }

    /// Connects once the boot sector writes.
    pub(crate) async fn connect_when_writing(&self) -> Guest {
        let guest = self.connect().await;
        let start = Instant::now();
        loop {
            let word = guest.monitor_command("xp /1wx 0x100000").await.unwrap();
            let value = word.trim().rsplit(' ').next().unwrap_or_default();
            if value.starts_with("0x") && value != "0x00000000" {
                return guest;
            }
            assert!(start.elapsed() < Duration::from_secs(60), "no boot: {word}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    pub(crate) fn kill(&mut self) {
        self.qemu.kill().unwrap();
        self.qemu.wait().unwrap();
    }
}

impl Drop for VirtualMachine {
    fn drop(&mut self) {
        // Already gone where a test killed it.
        let _ = self.qemu.kill();
        let _ = self.qemu.wait();
    }
}

fn boot_sector(pages: u32) -> Vec<u8> {
    let end = (0x10_0000 + pages * 4096).to_le_bytes();
    let mut sector = vec![
        0xfa, // cli
        0x31, 0xc0, // xor ax, ax
        0x8e, 0xd8, // mov ds, ax
        0x0f, 0x01, 0x16, 0x38, 0x7c, // lgdt [0x7c38]
        0x0f, 0x20, 0xc0, // mov eax, cr0
        0x0c, 0x01, // or al, 1
        0x0f, 0x22, 0xc0, // mov cr0, eax
        0xea, 0x17, 0x7c, 0x08, 0x00, // jmp 8:0x7c17
        0x66, 0xb8, 0x10, 0x00, // mov ax, 16
        0x8e, 0xd8, // mov ds, ax
        0x31, 0xdb, // xor ebx, ebx
        0x43, // round: inc ebx
        0xb8, 0x00, 0x00, 0x10, 0x00, // mov eax, 0x100000
        0x89, 0x18, // page: mov [eax], ebx
        0x05, 0x00, 0x10, 0x00, 0x00, // add eax, 4096
        0x3d, end[0], end[1], end[2], end[3], // cmp eax, END
        0x75, 0xf2, // jne page
        0xeb, 0xea, // jmp round
    ];
    sector.resize(0x38, 0);
    sector.extend([0x17, 0, 0x40, 0x7c, 0, 0]); // limit and address of the descriptors
    sector.resize(0x48, 0);
    sector.extend([0xff, 0xff, 0, 0, 0, 0x9a, 0xcf, 0]); // code: all 4 GiB
    sector.extend([0xff, 0xff, 0, 0, 0, 0x92, 0xcf, 0]); // data: all 4 GiB
    sector.resize(510, 0);
    sector.extend([0x55, 0xaa]);
    sector
}
