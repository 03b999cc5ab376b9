//! The kernel's files, as far as control groups need them. Tests put a model
//! of the kernel in their place.

use std::fmt::Debug;
use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

/// What is done with files of `/proc` and of a control group hierarchy.
pub(crate) trait Files: Debug + Send + Sync {
    /// The whole text.
    fn read(&self, file: &Path) -> io::Result<String>;
    /// One write to a file that exists.
    fn write(&self, file: &Path, text: &str) -> io::Result<()>;
    fn make_dir(&self, dir: &Path) -> io::Result<()>;
    fn remove_dir(&self, dir: &Path) -> io::Result<()>;
    /// The directories in a directory.
    fn folders(&self, dir: &Path) -> io::Result<Vec<PathBuf>>;
}

/// The real ones.
#[derive(Clone, Copy, Debug)]
pub(crate) struct KernelFiles;

impl Files for KernelFiles {
    fn read(&self, file: &Path) -> io::Result<String> {
        fs::read_to_string(file)
    }

    fn write(&self, file: &Path, text: &str) -> io::Result<()> {
        // Not `fs::write`: asked to create a file that is missing, the kernel
        // says "permission denied" instead of "not found".
        let mut file = fs::OpenOptions::new().write(true).open(file)?;
        file.write_all(text.as_bytes())
    }

    fn make_dir(&self, dir: &Path) -> io::Result<()> {
        fs::create_dir(dir)
    }

    fn remove_dir(&self, dir: &Path) -> io::Result<()> {
        fs::remove_dir(dir)
    }

    fn folders(&self, dir: &Path) -> io::Result<Vec<PathBuf>> {
        let mut folders = Vec::new();
        for entry in fs::read_dir(dir)? {
            let entry = entry?;
            // One that is removed meanwhile is none.
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                folders.push(entry.path());
            }
        }
        folders.sort();
        Ok(folders)
    }
}

/// Whether the error says that a file, group or process is not there any more.
pub(crate) fn is_missing(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::NotFound
        || [Some(libc_errno::ENODEV), Some(libc_errno::ESRCH)].contains(&error.raw_os_error())
}

/// Numbers of the kernel's answers.
pub(crate) mod libc_errno {
    use nix::errno::Errno;

    pub(crate) const ENODEV: i32 = Errno::ENODEV as i32;
    pub(crate) const ESRCH: i32 = Errno::ESRCH as i32;
    pub(crate) const EBUSY: i32 = Errno::EBUSY as i32;
    pub(crate) const EINVAL: i32 = Errno::EINVAL as i32;
    pub(crate) const EROFS: i32 = Errno::EROFS as i32;
    pub(crate) const EOPNOTSUPP: i32 = Errno::EOPNOTSUPP as i32;
}
