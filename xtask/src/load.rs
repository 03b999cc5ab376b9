//! `cargo xtask load`: the static program that test guests run.

use std::fs;
use std::path::{Path, PathBuf};

use crate::command::{cargo, root, run};
use crate::{Outcome, fail};

const TARGET: &str = "x86_64-unknown-linux-gnu";

/// Where the guest program lies once it is built; the tests and the testbed look here.
pub(crate) fn path() -> PathBuf {
    root().join("target/guest/vmferry-load")
}

/// Builds the guest program, checks that it needs no loader, and says where it is.
pub(crate) fn build() -> Outcome<String> {
    let folder = root().join("target/guest");
    let mut command = cargo([
        "build",
        "--quiet",
        "-p",
        "vmferry-load",
        "--profile",
        "guest",
    ]);
    command
        .args(["--target", TARGET, "--config"])
        .arg(format!(
            "target.{TARGET}.rustflags=[\"-Ctarget-feature=+crt-static\"]"
        ))
        .arg("--target-dir")
        .arg(&folder);
    // These win over `target.*.rustflags`, and the program would silently be dynamic.
    for flags in [
        "RUSTFLAGS",
        "CARGO_ENCODED_RUSTFLAGS",
        "CARGO_BUILD_RUSTFLAGS",
    ] {
        command.env_remove(flags);
    }
    run(&mut command)?;

    let built = folder.join(TARGET).join("guest/vmferry-load");
    let program = fs::read(&built)
        .or_else(|error| fail(format!("cannot read {}: {error}", built.display())))?;
    match wants_loader(&program) {
        Some(false) => {}
        Some(true) => {
            return fail(format!(
                "{} is not static: it asks for a dynamic loader, which guests lack",
                built.display()
            ));
        }
        None => {
            return fail(format!(
                "{} is not a 64-bit little-endian ELF file",
                built.display()
            ));
        }
    }
    place(&program, &path())?;
    Ok(format!(
        "{}: static, {} KiB",
        path().display(),
        program.len() / 1024
    ))
}

/// Puts the program in place in one go, so that a testbed started meanwhile never packs half
/// of it; an unchanged program is left alone.
fn place(program: &[u8], to: &Path) -> Outcome {
    if fs::read(to).is_ok_and(|old| old == program) {
        return Ok(());
    }
    let fresh = to.with_extension("new");
    fs::write(&fresh, program)
        .and_then(|()| executable(&fresh))
        .and_then(|()| fs::rename(&fresh, to))
        .or_else(|error| fail(format!("cannot write {}: {error}", to.display())))
}

fn executable(file: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(file, fs::Permissions::from_mode(0o755))
}

/// Whether an ELF program asks for a dynamic loader (has a `PT_INTERP` header); `None` when it
/// is not a 64-bit little-endian ELF file.
fn wants_loader(elf: &[u8]) -> Option<bool> {
    const PT_INTERP: u32 = 3;
    // Magic, then class 2 (64-bit) and data 1 (little-endian).
    if elf.get(..6)? != b"\x7fELF\x02\x01" {
        return None;
    }
    let table = usize::try_from(u64::from_le_bytes(bytes(elf, 0x20)?)).ok()?;
    let entry = usize::from(u16::from_le_bytes(bytes(elf, 0x36)?));
    let count = usize::from(u16::from_le_bytes(bytes(elf, 0x38)?));
    for index in 0..count {
        let at = table.checked_add(index.checked_mul(entry)?)?;
        if u32::from_le_bytes(bytes(elf, at)?) == PT_INTERP {
            return Some(true);
        }
    }
    Some(false)
}

fn bytes<const N: usize>(from: &[u8], at: usize) -> Option<[u8; N]> {
    from.get(at..at.checked_add(N)?)?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An ELF header followed by program headers of the given types.
    fn elf(types: &[u32]) -> Vec<u8> {
        let mut file = vec![0; 64];
        file[..6].copy_from_slice(b"\x7fELF\x02\x01");
        file[0x20..0x28].copy_from_slice(&64u64.to_le_bytes());
        file[0x36..0x38].copy_from_slice(&56u16.to_le_bytes());
        file[0x38..0x3a].copy_from_slice(&u16::try_from(types.len()).expect("few").to_le_bytes());
        for kind in types {
            file.extend(kind.to_le_bytes());
            file.extend([0; 52]);
        }
        file
    }

    #[test]
    fn a_program_with_an_interpreter_is_not_static() {
        assert_eq!(wants_loader(&elf(&[1, 1, 2])), Some(false));
        assert_eq!(wants_loader(&elf(&[6, 3, 1])), Some(true));
    }

    #[test]
    fn what_is_no_elf_file_is_not_judged() {
        assert_eq!(wants_loader(b""), None);
        assert_eq!(wants_loader(b"#!/bin/sh\nexit 0\n"), None);
        let mut cut = elf(&[1, 3]);
        cut.truncate(70);
        assert_eq!(wants_loader(&cut), None);
    }

    #[test]
    fn our_own_test_program_wants_a_loader() {
        let own = std::env::current_exe()
            .and_then(fs::read)
            .expect("readable");
        assert_eq!(wants_loader(&own), Some(true));
    }

    #[test]
    fn a_placed_program_is_whole_and_executable() {
        use std::os::unix::fs::PermissionsExt;
        let folder = std::env::temp_dir().join(format!("xtask-place-{}", std::process::id()));
        fs::create_dir_all(&folder).expect("scratch folder");
        let to = folder.join("program");
        let placed = place(b"one", &to).and_then(|()| place(b"three", &to));
        let (content, mode) = (
            fs::read(&to),
            fs::metadata(&to).map(|m| m.permissions().mode()),
        );
        let files = fs::read_dir(&folder).map(Iterator::count);
        fs::remove_dir_all(&folder).expect("scratch folder removed");
        placed.expect("placed");
        assert_eq!(content.expect("readable"), b"three");
        assert_eq!(mode.expect("metadata") & 0o777, 0o755);
        assert_eq!(files.expect("listed"), 1, "no temporary file stays");
    }
}
