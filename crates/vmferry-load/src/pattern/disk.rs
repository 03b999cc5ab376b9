//! Reads a disk from begin to end, past the page cache, again and again.

use std::fs::{File, OpenOptions};
use std::io::{self, Seek, SeekFrom};
use std::os::fd::AsRawFd;
use std::os::unix::fs::OpenOptionsExt;

use vmferry_load::spec::{PAGE, Rate};

use super::Run;
use crate::clock::{self, Nanos, SECOND};
use crate::pace::Pacer;
use crate::tally::Tally;

/// An open disk and where the next read begins.
pub(crate) struct Disk {
    file: File,
    size: u64,
    at: u64,
    // Direct reads need a buffer that begins on a page.
    buffer: Box<[Page]>,
    pacer: Pacer,
}

#[derive(Clone, Copy)]
#[repr(C, align(4096))]
struct Page([u8; PAGE as usize]);

impl Disk {
    pub(crate) fn open(device: &str, rate: Rate, block: u64) -> Result<Self, String> {
        let path = format!("/dev/{device}");
        let told = |error: io::Error| {
            format!(
                "disk: cannot read {path}: {error}; give the guest a virtio disk, or name another with dev="
            )
        };
        let mut file = OpenOptions::new()
            .read(true)
            .custom_flags(libc::O_DIRECT)
            .open(&path)
            .map_err(told)?;
        let size = file.seek(SeekFrom::End(0)).map_err(told)?;
        if size < block {
            return Err(format!(
                "disk: {path} has {size} bytes, less than one block of {block}"
            ));
        }
        let buffer = vec![Page([0; PAGE as usize]); (block / PAGE) as usize].into_boxed_slice();
        Ok(Self {
            file,
            size,
            at: 0,
            buffer,
            pacer: Pacer::new(rate, block),
        })
    }

    /// Reads the next block; returns its bytes.
    fn read(&mut self) -> io::Result<u64> {
        let length = size_of_val(&*self.buffer);
        if self.at + length as u64 > self.size {
            self.at = 0;
        }
        // SAFETY: `buffer` is a valid place for `length` bytes, any of which may be anything.
        let count = unsafe {
            libc::pread(
                self.file.as_raw_fd(),
                self.buffer.as_mut_ptr().cast(),
                length,
                self.at as libc::off_t,
            )
        };
        if count < 0 {
            return Err(io::Error::last_os_error());
        }
        self.at += count as u64;
        Ok(count as u64)
    }
}

impl Run for Disk {
    fn run(&mut self, until: Option<Nanos>, tally: &Tally) {
        tally.set_aim(self.pacer.limit());
        self.pacer.restart();
        loop {
            let now = clock::now();
            if until.is_some_and(|until| now >= until) {
                return;
            }
            let due = self.pacer.due(now);
            if due > now {
                clock::sleep_until(until.map_or(due, |until| due.min(until)));
                continue;
            }
            match self.read() {
                Ok(count) => {
                    self.pacer.did(1);
                    tally.add(count, count);
                }
                // A disk that fails shows as no progress; trying again at full speed would show as CPU load.
                Err(_) => clock::sleep_until(now + SECOND / 10),
            }
        }
    }
}
