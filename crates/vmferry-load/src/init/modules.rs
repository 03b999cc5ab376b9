//! Kernel modules of the initrd.

use std::fs::{self, File};
use std::io;
use std::os::fd::AsRawFd;

const DIRECTORY: &str = "/modules";

/// Loads what `/modules/order` names, in its order; returns what could not be loaded. No such file: nothing to load.
pub(crate) fn load_all() -> Vec<String> {
    let Ok(order) = fs::read_to_string(format!("{DIRECTORY}/order")) else {
        return Vec::new();
    };
    names(&order)
        .filter_map(|name| {
            let error = load(&format!("{DIRECTORY}/{name}")).err()?;
            Some(format!(
                "cannot load the kernel module {DIRECTORY}/{name}: {error}"
            ))
        })
        .collect()
}

fn names(order: &str) -> impl Iterator<Item = &str> {
    order
        .lines()
        .map(str::trim)
        .filter(|name| !name.is_empty() && !name.starts_with('#'))
}

fn load(path: &str) -> io::Result<()> {
    let file = File::open(path)?;
    // SAFETY: the descriptor is open and the parameters are an empty string.
    let result =
        unsafe { libc::syscall(libc::SYS_finit_module, file.as_raw_fd(), c"".as_ptr(), 0) };
    let error = io::Error::last_os_error();
    if result == 0 || error.raw_os_error() == Some(libc::EEXIST) {
        Ok(())
    } else {
        Err(error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_name_a_line() {
        let order = "# virtio\nvirtio_ring.ko\n\n virtio.ko \n";
        assert_eq!(
            names(order).collect::<Vec<_>>(),
            ["virtio_ring.ko", "virtio.ko"]
        );
    }
}
