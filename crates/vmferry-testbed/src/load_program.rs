//! Finding the program that runs inside guests.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};

use crate::error::TestbedError;

/// Finds the static `vmferry-load`: `VMFERRY_LOAD`, or one next to the running program, or
/// `target/guest/vmferry-load` up the tree from the running program or the working directory.
///
/// # Errors
/// When there is none, or the one of `VMFERRY_LOAD` is not static.
pub fn find() -> Result<PathBuf, TestbedError> {
    if let Some(path) = env::var_os("VMFERRY_LOAD").filter(|path| !path.is_empty()) {
        let path = PathBuf::from(path);
        return match is_static(&path) {
            Some(true) => Ok(path),
            Some(false) => Err(TestbedError::LoadProgramNotStatic { path }),
            None => Err(TestbedError::LoadProgramMissing {
                tried: format!("VMFERRY_LOAD is {}, which is no program", path.display()),
            }),
        };
    }
    let running = env::current_exe().ok();
    let working = env::current_dir().ok();
    let beside = running
        .iter()
        .filter_map(|exe| Some(exe.parent()?.join("vmferry-load")));
    let built = running
        .iter()
        .chain(&working)
        .flat_map(|path| path.ancestors())
        .map(|folder| folder.join("target/guest/vmferry-load"));
    beside
        .chain(built)
        .find(|path| is_static(path) == Some(true))
        .ok_or_else(|| TestbedError::LoadProgramMissing {
            tried:
                "neither beside the running program nor as target/guest/vmferry-load up the tree"
                    .to_owned(),
        })
}

/// Whether a file is a static x86-64 program; `None` when it is no such program at all.
fn is_static(path: &Path) -> Option<bool> {
    has_no_loader(&fs::read(path).ok()?)
}

/// Looks for a program header of type `PT_INTERP`, which names a dynamic loader.
fn has_no_loader(elf: &[u8]) -> Option<bool> {
    const PT_INTERP: u32 = 3;
    // Magic, class 2 (64-bit), data 1 (little-endian); machine 62 (x86-64).
    if elf.get(..6)? != b"\x7fELF\x02\x01" || u16::from_le_bytes(at(elf, 18)?) != 62 {
        return None;
    }
    let table = usize::try_from(u64::from_le_bytes(at(elf, 0x20)?)).ok()?;
    let size = usize::from(u16::from_le_bytes(at(elf, 0x36)?));
    let count = usize::from(u16::from_le_bytes(at(elf, 0x38)?));
    for index in 0..count {
        let offset = table.checked_add(index.checked_mul(size)?)?;
        if u32::from_le_bytes(at(elf, offset)?) == PT_INTERP {
            return Some(false);
        }
    }
    Some(true)
}

fn at<const N: usize>(bytes: &[u8], offset: usize) -> Option<[u8; N]> {
    bytes.get(offset..offset.checked_add(N)?)?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dynamic_programs_and_other_files_are_refused() {
        let own = env::current_exe().expect("our path");
        assert_eq!(is_static(&own), Some(false));
        assert_eq!(has_no_loader(b"#!/bin/sh\n"), None);
        assert_eq!(is_static(Path::new("/no/such/file")), None);
    }

    #[test]
    fn a_program_without_loader_is_static_and_a_cut_one_is_none() {
        let mut elf = vec![0; 64 + 56];
        elf[..6].copy_from_slice(b"\x7fELF\x02\x01");
        elf[18] = 62;
        elf[0x20] = 64;
        elf[0x36] = 56;
        elf[0x38] = 1;
        elf[64] = 1;
        assert_eq!(has_no_loader(&elf), Some(true));
        elf[64] = 3;
        assert_eq!(has_no_loader(&elf), Some(false));
        elf.truncate(64);
        assert_eq!(has_no_loader(&elf), None);
    }
}
