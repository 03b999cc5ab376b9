//! The guest's memory: its size, its blocks, and where they lie in the QEMU process.

use serde_json::Value;
use vmferry_core::{Bytes, RamBlock};

use super::field;
use super::guest::Guest;
use crate::HypervisorError;

/// One block of memory as `info ramblock` prints it. A migration sends the used part of every
/// block: RAM, video memory, ROMs and tables.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemoryBlock {
    /// QEMU's name, for example `pc.ram`.
    pub name: String,
    /// The size of the host pages behind it.
    pub page_size_bytes: Option<u64>,
    /// Where it begins in QEMU's RAM address space.
    pub offset_bytes: u64,
    /// The part in use, which is what a migration sends.
    pub used_bytes: u64,
    /// What was reserved.
    pub total_bytes: u64,
    /// Where it begins in the QEMU process; printed by QEMU 10.0 and 11.1, not by 7.2 and 5.2.
    pub host_address: Option<u64>,
}

impl From<MemoryBlock> for RamBlock {
    fn from(block: MemoryBlock) -> Self {
        Self {
            name: block.name,
            used_bytes: Bytes(block.used_bytes),
            offset_bytes: Bytes(block.offset_bytes),
            host_address: block.host_address,
        }
    }
}

impl MemoryBlock {
    /// Reads what `info ramblock` prints. Lines of another form, such as the heading, are passed
    /// over.
    #[must_use]
    pub fn parse_all(text: &str) -> Vec<Self> {
        text.lines().filter_map(Self::parse).collect()
    }

    /// `NAME  4 KiB  0xOFFSET 0xUSED 0xTOTAL [0xADDRESS [rw]]`; the name may hold spaces.
    fn parse(line: &str) -> Option<Self> {
        let words: Vec<&str> = line.split_whitespace().collect();
        let numbers = words.iter().position(|word| hex(word).is_some())?;
        let name = words.get(..numbers.checked_sub(2)?)?.join(" ");
        let unit = match words[numbers - 1] {
            "B" => 1,
            "KiB" => 1 << 10,
            "MiB" => 1 << 20,
            "GiB" => 1 << 30,
            _ => 0,
        };
        let page_size = words[numbers - 2].parse::<u64>().ok();
        let number = |at: usize| words.get(numbers + at).and_then(|word| hex(word));
        (!name.is_empty()).then_some(Self {
            name,
            page_size_bytes: page_size
                .and_then(|size| size.checked_mul(unit))
                .filter(|size| *size > 0),
            offset_bytes: number(0)?,
            used_bytes: number(1)?,
            total_bytes: number(2)?,
            host_address: number(3).filter(|address| *address > 0),
        })
    }
}

fn hex(word: &str) -> Option<u64> {
    u64::from_str_radix(word.strip_prefix("0x")?, 16).ok()
}

/// Reads `Host virtual address for 0x0 (pc.ram) is 0x7f...`: the block and the address.
fn parse_host_address(text: &str) -> Option<(&str, u64)> {
    let (_, rest) = text.split_once('(')?;
    let (block, rest) = rest.split_once(')')?;
    Some((block, hex(rest.trim().strip_prefix("is ")?.trim())?))
}

impl Guest {
    /// The memory the guest sees, plugged memory included (`query-memory-size-summary`).
    ///
    /// # Errors
    /// As [`Guest::request`].
    pub async fn memory_bytes(&self) -> Result<Option<u64>, HypervisorError> {
        let answer = self.request("query-memory-size-summary", None).await?;
        Ok(memory_size(&answer))
    }

    /// The blocks that a migration sends, in QEMU's order (`info ramblock`). Where an older QEMU
    /// does not print addresses, the block at guest address 0 gets its own from `gpa2hva`.
    ///
    /// # Errors
    /// As [`Guest::request`].
    pub async fn ram_blocks(&self) -> Result<Vec<MemoryBlock>, HypervisorError> {
        let mut blocks = MemoryBlock::parse_all(&self.monitor_command("info ramblock").await?);
        if blocks.iter().all(|block| block.host_address.is_none())
            && let Some((name, address)) = self.host_address(0).await?
            && let Some(block) = blocks.iter_mut().find(|block| block.name == name)
        {
            block.host_address = Some(address);
        }
        Ok(blocks)
    }

    /// Where a guest-physical address lies in the QEMU process, and in which block (`gpa2hva`);
    /// `None` for an address without memory.
    ///
    /// # Errors
    /// As [`Guest::request`].
    pub async fn host_address(
        &self,
        guest_address: u64,
    ) -> Result<Option<(String, u64)>, HypervisorError> {
        let text = self
            .monitor_command(&format!("gpa2hva {guest_address:#x}"))
            .await?;
        Ok(parse_host_address(&text).map(|(block, address)| (block.to_owned(), address)))
    }
}

fn memory_size(answer: &Value) -> Option<u64> {
    let plugged = field::number(answer, &["plugged-memory"]).unwrap_or(0);
    field::number(answer, &["base-memory"])?.checked_add(plugged)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn blocks_are_read_with_and_without_addresses() {
        let text = "              Block Name    PSize              Offset               Used              Total                HVA  RO\r\n\
                    my ram (node 0)    2 MiB  0x0000000000000000 0x0000000004000000 0x0000000004000000 0x00007fbe97e00000  rw\r\n\
                    /rom@etc/acpi/tables    4 KiB  0x0000000005100000 0x0000000000020000 0x0000000000200000\r\n";
        let blocks = MemoryBlock::parse_all(text);
        assert_eq!(
            blocks,
            [
                MemoryBlock {
                    name: "my ram (node 0)".into(),
                    page_size_bytes: Some(2 << 20),
                    offset_bytes: 0,
                    used_bytes: 64 << 20,
                    total_bytes: 64 << 20,
                    host_address: Some(0x7fbe_97e0_0000),
                },
                MemoryBlock {
                    name: "/rom@etc/acpi/tables".into(),
                    page_size_bytes: Some(4096),
                    offset_bytes: 0x510_0000,
                    used_bytes: 0x2_0000,
                    total_bytes: 0x20_0000,
                    host_address: None,
                },
            ]
        );
    }

    #[test]
    fn addresses_are_read_with_their_block() {
        let told = "Host virtual address for 0x1000 (pc.ram) is 0x7fbe97e01000\r\n";
        assert_eq!(parse_host_address(told), Some(("pc.ram", 0x7fbe_97e0_1000)));
        assert_eq!(
            parse_host_address("No memory is mapped at address 0x1"),
            None
        );
    }

    proptest! {
        #[test]
        fn any_text_is_read_without_panic(text in "\\PC*", words in "([a-z]{0,3} ?(0x[0-9a-f]{0,20} ?)?){0,8}") {
            let _ = MemoryBlock::parse_all(&text);
            let _ = MemoryBlock::parse_all(&words);
            let _ = parse_host_address(&text);
        }
    }
}
