//! A guest's memory, read from outside with `process_vm_readv`: the guest does not take part, and
//! nothing in it changes.

use std::io::{self, IoSliceMut};

use nix::errno::Errno;
use nix::sys::uio::{RemoteIoVec, process_vm_readv};
use nix::unistd::Pid;
use vmferry_core::{Bytes, PAGE_SIZE, RamBlock};

use crate::MeasureError;
use crate::process::Process;

/// Bytes in a page.
pub(crate) const PAGE: usize = PAGE_SIZE.0 as usize;

/// Pages read by one system call: 1 MiB stays in the processor's cache until it is hashed, and
/// one call takes at most 1024 addresses.
pub(crate) const BATCH: usize = 256;

/// What a migration of one guest sends, as addresses in its process.
#[derive(Debug)]
pub struct GuestMemory {
    process: Process,
    blocks: Vec<MemoryBlock>,
    all_pages: u64,
}

/// One RAM block and where it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct MemoryBlock {
    pub(crate) name: String,
    pub(crate) address: u64,
    pub(crate) pages: u64,
    /// Position of its first page in sending order.
    pub(crate) first_page: u64,
}

impl GuestMemory {
    /// The memory in `blocks`, in sending order, of the process `pid`; messages call it `guest`.
    /// QEMU before 6.1 tells the address of the largest block only: the others, a few MiB, then
    /// count for the size but are not seen.
    ///
    /// # Errors
    /// [`MeasureError::NotReadable`] where less than half of the memory has a known address,
    /// [`MeasureError::GuestExited`], and [`MeasureError::PermissionDenied`] from a first read.
    pub fn open(pid: u32, guest: &str, blocks: &[RamBlock]) -> Result<Self, MeasureError> {
        let unknown = |reason| MeasureError::NotReadable {
            guest: guest.to_owned(),
            reason,
        };
        let process = Process::open(pid, guest)?;
        let mut first_page = 0;
        let mut known = Vec::with_capacity(blocks.len());
        for block in blocks {
            let pages = block.used_bytes.0.div_ceil(PAGE_SIZE.0);
            if pages == 0 {
                continue;
            }
            if let Some(address) = block.host_address {
                known.push(MemoryBlock {
                    name: block.name.clone(),
                    address,
                    pages,
                    first_page,
                });
            }
            first_page += pages;
        }
        let known_pages: u64 = known.iter().map(|b| b.pages).sum();
        if known_pages == 0 || known_pages < first_page / 2 {
            return Err(unknown(
                "this QEMU does not say where its memory is (info ramblock)",
            ));
        }
        let memory = Self {
            process,
            blocks: known,
            all_pages: first_page,
        };
        let mut page = PageBuffer::new(1);
        memory.read(&[memory.blocks[0].address], &mut page)?;
        Ok(memory)
    }

    /// The process.
    #[must_use]
    pub fn process(&self) -> &Process {
        &self.process
    }

    /// Everything a migration sends in its first pass.
    #[must_use]
    pub fn size(&self) -> Bytes {
        Bytes(self.all_pages * PAGE_SIZE.0)
    }

    /// Whether some of it has no known address and is not seen.
    #[must_use]
    pub fn is_partial(&self) -> bool {
        self.pages() < self.all_pages
    }

    pub(crate) fn pages(&self) -> u64 {
        self.blocks.iter().map(|b| b.pages).sum()
    }

    pub(crate) fn blocks(&self) -> &[MemoryBlock] {
        &self.blocks
    }

    /// Reads the pages at `addresses` (at most [`BATCH`]) into `buffer`, in that order.
    pub(crate) fn read(
        &self,
        addresses: &[u64],
        buffer: &mut PageBuffer,
    ) -> Result<(), MeasureError> {
        debug_assert!(addresses.len() <= BATCH, "too many pages for one call");
        let wanted = addresses.len() * PAGE;
        let remote: Vec<RemoteIoVec> = addresses
            .iter()
            .map(|address| RemoteIoVec {
                base: *address as usize,
                len: PAGE,
            })
            .collect();
        let pid = Pid::from_raw(self.process.pid().cast_signed());
        let mut done = 0;
        while done < wanted {
            let local = &mut buffer.bytes_mut()[done..wanted];
            // A short read stops at a page boundary, before the page that cannot be read.
            match process_vm_readv(pid, &mut [IoSliceMut::new(local)], &remote[done / PAGE..]) {
                Ok(read) if read > 0 => done += read,
                Ok(_) => return Err(self.failure(addresses[done / PAGE], Errno::EFAULT)),
                Err(Errno::EINTR) => {}
                Err(errno) => return Err(self.failure(addresses[done / PAGE], errno)),
            }
        }
        Ok(())
    }

    fn failure(&self, address: u64, errno: Errno) -> MeasureError {
        let source = io::Error::from(errno);
        if errno == Errno::ESRCH || !self.process.is_alive() {
            return self.process.exited();
        }
        if errno == Errno::EPERM {
            return MeasureError::PermissionDenied {
                guest: self.process.guest().to_owned(),
                pid: self.process.pid(),
                source,
            };
        }
        // A process on its way out loses its memory before its descriptor says so.
        if errno == Errno::EFAULT
            && self
                .process
                .exits_within(std::time::Duration::from_millis(200))
        {
            return self.process.exited();
        }
        let block = self
            .blocks
            .iter()
            .find(|b| (b.address..b.address + b.pages * PAGE_SIZE.0).contains(&address));
        MeasureError::Memory {
            guest: self.process.guest().to_owned(),
            block: block.map_or_else(|| "its memory".to_owned(), |b| b.name.clone()),
            address,
            source,
        }
    }
}

/// Room for pages, aligned to pages so that copies take the fast path.
#[derive(Debug)]
pub(crate) struct PageBuffer {
    bytes: Vec<u8>,
    start: usize,
    pages: usize,
}

impl PageBuffer {
    pub(crate) fn new(pages: usize) -> Self {
        let bytes = vec![0; (pages + 1) * PAGE];
        let start = bytes.as_ptr().align_offset(PAGE);
        // align_offset may decline to answer; unaligned is slower, not wrong.
        let start = if start < PAGE { start } else { 0 };
        Self {
            bytes,
            start,
            pages,
        }
    }

    fn bytes_mut(&mut self) -> &mut [u8] {
        &mut self.bytes[self.start..self.start + self.pages * PAGE]
    }

    /// The pages last read, in order.
    pub(crate) fn pages(&self) -> &[[u8; PAGE]] {
        self.bytes[self.start..self.start + self.pages * PAGE]
            .as_chunks::<PAGE>()
            .0
    }
}

/// Whether every byte is zero; most other pages show it within their first bytes.
pub(crate) fn is_zero(page: &[u8; PAGE]) -> bool {
    let (chunks, _) = page.as_chunks::<256>();
    chunks.iter().all(|chunk| {
        let (words, _) = chunk.as_chunks::<8>();
        words
            .iter()
            .fold(0, |any, word| any | u64::from_ne_bytes(*word))
            == 0
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_single_bit_makes_a_page_nonzero() {
        let mut page = [0; PAGE];
        assert!(is_zero(&page));
        for at in [0, 255, 256, 2048, PAGE - 1] {
            page[at] = 0x80;
            assert!(!is_zero(&page), "{at}");
            page[at] = 0;
        }
    }

    #[test]
    fn own_memory_can_be_read_and_addresses_fail_by_name() {
        let mut here = PageBuffer::new(2);
        here.bytes_mut()[PAGE] = 7;
        let address = here.pages()[0].as_ptr() as u64;
        let block = |host_address| RamBlock {
            name: "pc.ram".into(),
            used_bytes: Bytes(2 * PAGE_SIZE.0),
            offset_bytes: Bytes(0),
            host_address,
        };
        let own = std::process::id();
        let memory = GuestMemory::open(own, "self", &[block(Some(address))]).unwrap();
        let mut copy = PageBuffer::new(BATCH);
        memory
            .read(&[address + PAGE_SIZE.0, address], &mut copy)
            .unwrap();
        assert_eq!((copy.pages()[0][0], copy.pages()[1][0]), (7, 0));

        let text = GuestMemory::open(own, "self", &[block(Some(PAGE_SIZE.0))])
            .unwrap_err()
            .to_string();
        assert!(
            text.contains("self: pc.ram cannot be read at 0x1000"),
            "{text}"
        );
        assert!(
            GuestMemory::open(own, "self", &[block(None)])
                .unwrap_err()
                .is_unreadable()
        );
    }
}
