//! A child process with memory that the test controls: this test program started again.

use std::io::{BufRead, BufReader, Write, stdin, stdout};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use vmferry_core::{Bytes, PAGE_SIZE, RamBlock};

const SWITCH: &str = "VMFERRY_TEST_CHILD_PAGES";
const PAGE: usize = PAGE_SIZE.0 as usize;

/// The child; ends with this value.
pub(crate) struct Memory {
    child: Child,
    commands: ChildStdin,
    answers: BufReader<ChildStdout>,
    address: u64,
    pages: u64,
}

impl Memory {
    pub(crate) fn start(pages: u64) -> Self {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "child::memory_of_a_child", "--nocapture"])
            .env(SWITCH, pages.to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut memory = Self {
            commands: child.stdin.take().unwrap(),
            answers: BufReader::new(child.stdout.take().unwrap()),
            child,
            address: 0,
            pages,
        };
        let address = memory.answer("memory@");
        memory.address = address.trim().parse().unwrap();
        memory
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The memory as two blocks, one page between them left out, as if one of 5 pages followed a
    /// large one in a guest.
    pub(crate) fn blocks(&self) -> Vec<RamBlock> {
        let block = |name: &str, first: u64, pages: u64| RamBlock {
            name: name.to_owned(),
            used_bytes: Bytes(pages * PAGE_SIZE.0),
            offset_bytes: Bytes(first * PAGE_SIZE.0),
            host_address: Some(self.address + first * PAGE_SIZE.0),
        };
        vec![
            block("ram", 0, self.pages - 6),
            block("rom", self.pages - 5, 5),
        ]
    }

    /// Writes the value into the last word of each page, and waits until that is done.
    pub(crate) fn write(&mut self, value: u64, pages: &[u64]) {
        let pages: Vec<String> = pages.iter().map(u64::to_string).collect();
        writeln!(self.commands, "{value} {}", pages.join(" ")).unwrap();
        self.answer("done");
    }

    /// Memory behind the child's pages.
    pub(crate) fn resident_pages(&self) -> u64 {
        let statm = std::fs::read_to_string(format!("/proc/{}/statm", self.pid())).unwrap();
        statm.split(' ').nth(1).unwrap().parse().unwrap()
    }

    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// What follows the word in the next line that holds it; the test harness writes lines too.
    fn answer(&mut self, word: &str) -> String {
        loop {
            let mut line = String::new();
            assert_ne!(self.answers.read_line(&mut line).unwrap(), 0, "child ended");
            if let Some((_, rest)) = line.split_once(word) {
                return rest.to_owned();
            }
        }
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        // Already gone where a test killed it.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The child's side; does nothing in the test program itself.
#[test]
fn memory_of_a_child() {
    let Ok(pages) = std::env::var(SWITCH) else {
        return;
    };
    let mut memory = vec![0u8; (pages.parse::<usize>().unwrap() + 1) * PAGE];
    let start = memory.as_ptr().align_offset(PAGE);
    writeln!(stdout(), "memory@{}", memory.as_ptr() as usize + start).unwrap();
    for line in stdin().lock().lines() {
        let line = line.unwrap();
        let mut numbers = line.split(' ').map(|n| n.parse::<usize>().unwrap());
        let value = numbers.next().unwrap();
        for page in numbers {
            let last = start + (page + 1) * PAGE - 8;
            memory[last..last + 8].copy_from_slice(&value.to_ne_bytes());
        }
        std::hint::black_box(&mut memory);
        writeln!(stdout(), "done").unwrap();
    }
}
