//! Which pages of a guest have memory behind them: the others are zero, and are not read, since
//! reading them would give them some.

use std::fs::{self, File};
use std::os::fd::AsFd;
use std::os::unix::fs::FileExt;

use nix::unistd::{Whence, lseek};
use vmferry_core::PAGE_SIZE;

use crate::MeasureError;
use crate::process::Process;

const PRESENT: u64 = 1 << 63;
const SWAPPED: u64 = 1 << 62;

/// What is known of a page without reading it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Backing {
    /// Nothing behind it: a zero page.
    Absent,
    /// To be read.
    Present,
    /// Swapped out: not zero as far as anybody can tell without bringing it back.
    Swapped,
}

/// The page tables of a guest's process, and the files behind them.
#[derive(Debug)]
pub(crate) struct PageTables {
    pagemap: Option<File>,
    files: Vec<FileMapping>,
}

/// A range that is backed by a file or shared memory, where a page missing from the process's
/// page tables may still hold data.
#[derive(Debug)]
struct FileMapping {
    start: u64,
    end: u64,
    offset: u64,
    /// `None` where the file may not be opened: then every page counts as present.
    file: Option<File>,
}

impl PageTables {
    /// Those of a process. Without the right to see its page tables, every page is taken for
    /// present.
    pub(crate) fn open(process: &Process) -> Result<Self, MeasureError> {
        let pid = process.pid();
        let path = format!("/proc/{pid}/maps");
        let maps = fs::read_to_string(&path).map_err(|source| {
            if process.is_alive() {
                MeasureError::Kernel { path, source }
            } else {
                process.exited()
            }
        })?;
        let files = maps
            .lines()
            .filter_map(|line| {
                let (start, end, offset) = file_mapping(line)?;
                let file = File::open(format!("/proc/{pid}/map_files/{start:x}-{end:x}")).ok();
                Some(FileMapping {
                    start,
                    end,
                    offset,
                    file,
                })
            })
            .collect();
        Ok(Self {
            pagemap: File::open(format!("/proc/{pid}/pagemap")).ok(),
            files,
        })
    }

    /// The backing of `pages` pages from `address`.
    pub(crate) fn backing(&self, address: u64, pages: usize) -> Vec<Backing> {
        let mut found = self
            .page_tables(address, pages)
            .unwrap_or_else(|| vec![Backing::Present; pages]);
        let end = address + pages as u64 * PAGE_SIZE.0;
        for mapping in &self.files {
            let (from, to) = (mapping.start.max(address), mapping.end.min(end));
            if from < to {
                mapping.mark_data(from, to, |at| {
                    let page = &mut found[((at - address) / PAGE_SIZE.0) as usize];
                    if *page == Backing::Absent {
                        *page = Backing::Present;
                    }
                });
            }
        }
        found
    }

    fn page_tables(&self, address: u64, pages: usize) -> Option<Vec<Backing>> {
        let mut raw = vec![0; pages * 8];
        let at = address / PAGE_SIZE.0 * 8;
        self.pagemap.as_ref()?.read_exact_at(&mut raw, at).ok()?;
        let entries = raw.as_chunks::<8>().0.iter();
        Some(
            entries
                .map(|entry| match u64::from_ne_bytes(*entry) {
                    entry if entry & PRESENT != 0 => Backing::Present,
                    entry if entry & SWAPPED != 0 => Backing::Swapped,
                    _ => Backing::Absent,
                })
                .collect(),
        )
    }
}

impl FileMapping {
    /// Calls `data` with the address of every page in `from..to` whose file has data there.
    fn mark_data(&self, from: u64, to: u64, mut data: impl FnMut(u64)) {
        let mut at = from;
        while at < to {
            let (start, end) = self.next_data(at).unwrap_or((at, to));
            let page_start = start / PAGE_SIZE.0 * PAGE_SIZE.0;
            (page_start.max(at)..end.min(to))
                .step_by(PAGE_SIZE.0 as usize)
                .for_each(&mut data);
            at = end.max(at + PAGE_SIZE.0);
        }
    }

    /// The next range of addresses with data at or after `at`; `None` where the file cannot tell.
    fn next_data(&self, at: u64) -> Option<(u64, u64)> {
        let file = self.file.as_ref()?;
        let address = |offset: i64| Some(u64::try_from(offset).ok()? - self.offset + self.start);
        let offset = i64::try_from(at - self.start + self.offset).ok()?;
        match lseek(file.as_fd(), offset, Whence::SeekData) {
            Ok(data) => {
                let hole = lseek(file.as_fd(), data, Whence::SeekHole).ok()?;
                Some((address(data)?, address(hole)?))
            }
            // No more data up to the end of the file.
            Err(nix::errno::Errno::ENXIO) => Some((self.end, self.end)),
            Err(_) => None,
        }
    }
}

/// Start, end and file offset of a line of `/proc/PID/maps` that has a file behind it.
fn file_mapping(line: &str) -> Option<(u64, u64, u64)> {
    let mut fields = line.split_ascii_whitespace();
    let (start, end) = fields.next()?.split_once('-')?;
    let offset = fields.nth(1)?;
    let inode = fields.nth(1)?;
    let hex = |text| u64::from_str_radix(text, 16).ok();
    (inode != "0").then_some((hex(start)?, hex(end)?, hex(offset)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tells_files_from_anonymous_memory() {
        assert_eq!(
            file_mapping("7f00-7fff rw-s 00002000 00:01 9 /memfd:ram (deleted)"),
            Some((0x7f00, 0x7fff, 0x2000))
        );
        assert_eq!(file_mapping("7f00-7fff rw-p 00000000 00:00 0 [heap]"), None);
        assert_eq!(file_mapping("nonsense"), None);
    }

    #[test]
    fn untouched_memory_is_absent() {
        let process = Process::open(std::process::id(), "self").unwrap();
        let mut memory = vec![0u8; 16 << 20];
        let start = memory.as_ptr().align_offset(PAGE_SIZE.0 as usize);
        let address = memory.as_ptr() as u64 + start as u64;
        memory[start + 3 * PAGE_SIZE.0 as usize] = 1;
        std::hint::black_box(&mut memory);
        let found = PageTables::open(&process).unwrap().backing(address, 4000);
        assert_eq!(found[3], Backing::Present);
        assert_eq!(found[3999], Backing::Absent);
    }

    #[test]
    fn holes_of_shared_memory_are_absent_and_its_data_is_not() {
        use std::io::Write;
        let mut file = tempfile::tempfile().unwrap();
        file.set_len(64 * PAGE_SIZE.0).unwrap();
        file.write_all_at(b"x", 20 * PAGE_SIZE.0).unwrap();
        file.flush().unwrap();
        let mapping = FileMapping {
            start: 1 << 40,
            end: (1 << 40) + 60 * PAGE_SIZE.0,
            offset: 4 * PAGE_SIZE.0,
            file: Some(file),
        };
        let mut pages = Vec::new();
        mapping.mark_data(mapping.start, mapping.end, |at| {
            pages.push((at - (1 << 40)) / PAGE_SIZE.0);
        });
        assert_eq!(pages, [16]);
    }
}
