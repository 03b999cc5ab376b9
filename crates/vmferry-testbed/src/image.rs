//! What guests boot: Debian's cloud kernel, and an initrd that holds the load program and the
//! kernel's virtio modules. Nothing is installed on this machine.

use std::env;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::Command;

use cpio::newc;
use nix::fcntl::{Flock, FlockArg};
use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_64;

use crate::command::{call_words, run};
use crate::error::TestbedError;
use crate::load_program;

/// The package that depends on the newest cloud kernel.
const KERNEL_PACKAGE: &str = "linux-image-cloud-amd64";

/// The modules a guest needs, below `kernel/`, in the order in which they must be loaded.
const MODULES: [&str; 9] = [
    "drivers/virtio/virtio_ring.ko",
    "drivers/virtio/virtio.ko",
    "drivers/virtio/virtio_pci_legacy_dev.ko",
    "drivers/virtio/virtio_pci_modern_dev.ko",
    "drivers/virtio/virtio_pci.ko",
    "net/core/failover.ko",
    "drivers/net/net_failover.ko",
    "drivers/net/virtio_net.ko",
    "drivers/block/virtio_blk.ko",
];

/// The list of modules within a cached kernel and within the initrd.
const ORDER: &str = "order";

/// A kernel and an initrd, ready to boot.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GuestImage {
    /// The kernel.
    pub kernel: PathBuf,
    /// The initrd, with the load program as `/init`.
    pub initrd: PathBuf,
}

/// Where vmferry keeps what can be made again: `VMFERRY_CACHE`, or `vmferry` below `XDG_CACHE_HOME`
/// or `~/.cache`.
#[must_use]
pub fn cache_directory() -> PathBuf {
    let set = |name| {
        env::var_os(name)
            .filter(|value| !value.is_empty())
            .map(PathBuf::from)
    };
    set("VMFERRY_CACHE")
        .or_else(|| set("XDG_CACHE_HOME").map(|cache| cache.join("vmferry")))
        .or_else(|| set("HOME").map(|home| home.join(".cache/vmferry")))
        .unwrap_or_else(|| PathBuf::from("/var/cache/vmferry"))
}

/// Makes the cache and holds one of its locks: one builder at a time, the
/// others then find what it has made.
pub(crate) fn lock_cache(images: &Path, name: &str) -> Result<Flock<File>, TestbedError> {
    fs::create_dir_all(images).map_err(TestbedError::io(format!("make {}", images.display())))?;
    let lock = images.join(name);
    let file = File::create(&lock).map_err(TestbedError::io(format!("open {}", lock.display())))?;
    Flock::lock(file, FlockArg::LockExclusive).map_err(|(_, errno)| TestbedError::Io {
        what: format!("lock {}", lock.display()),
        source: errno.into(),
    })
}

/// Runs what fetches packages, and once more with new package lists if it fails: those of a fresh
/// machine are empty, and old ones name packages that are gone.
pub(crate) fn with_fresh_lists<T>(
    fetch: impl Fn() -> Result<T, TestbedError>,
) -> Result<T, TestbedError> {
    fetch().or_else(|error| {
        tracing::info!(%error, "trying again with new package lists");
        call_words("apt-get", "-q -o Acquire::Retries=3 update")?;
        fetch()
    })
}

impl GuestImage {
    /// The image for this machine's load program, made where it is not cached yet. Takes a few
    /// seconds the first time (27 MB are fetched from Debian), then some milliseconds.
    ///
    /// # Errors
    /// When there is no load program, or the kernel can neither be fetched nor found in the cache.
    pub fn prepare() -> Result<Self, TestbedError> {
        Self::prepare_in(&cache_directory().join("images"), &load_program::find()?)
    }

    pub(crate) fn prepare_in(images: &Path, load: &Path) -> Result<Self, TestbedError> {
        let _held = lock_cache(images, "lock")?;
        let kernel = match cached_kernel(images) {
            Some(kernel) => kernel,
            None => with_fresh_lists(|| fetch_kernel(images))?,
        };
        let initrd = initrd(&kernel, load)?;
        Ok(Self {
            kernel: kernel.join("vmlinuz"),
            initrd,
        })
    }
}

/// The newest cached kernel. A cached one is used without asking Debian for a newer: images stay
/// comparable until the cache is emptied.
fn cached_kernel(images: &Path) -> Option<PathBuf> {
    let mut kernels: Vec<PathBuf> = fs::read_dir(images)
        .ok()?
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path.join("vmlinuz").is_file() && path.join("modules").join(ORDER).is_file())
        .collect();
    kernels.sort();
    kernels.pop()
}

/// Fetches the kernel's package and unpacks what guests need of it.
fn fetch_kernel(images: &Path) -> Result<PathBuf, TestbedError> {
    let package = kernel_package()?;
    let version = package.trim_start_matches("linux-image-").to_owned();
    tracing::info!(package, "fetching the guest kernel");
    let doing = |what: &str| format!("{what} in {}", images.display());
    let scratch = tempfile::Builder::new()
        .prefix(".fetch-")
        .tempdir_in(images)
        .map_err(TestbedError::io(doing("make a directory")))?;
    run(Command::new("apt-get")
        // Without this apt warns that its own user cannot write here.
        .args([
            "-q",
            "-o",
            "APT::Sandbox::User=root",
            "-o",
            "Acquire::Retries=3",
            "download",
            &package,
        ])
        .current_dir(scratch.path()))
    .map_err(|error| TestbedError::Kernel {
        problem: error.to_string(),
    })?;
    let archive = fs::read_dir(scratch.path())
        .map_err(TestbedError::io(doing("read a directory")))?
        .flatten()
        .map(|entry| entry.path())
        .find(|path| path.extension().is_some_and(|extension| extension == "deb"))
        .ok_or_else(|| TestbedError::Kernel {
            problem: format!("apt-get fetched no package {package}"),
        })?;
    let unpacked = scratch.path().join("unpacked");
    run(Command::new("dpkg-deb")
        .arg("-x")
        .args([&archive, &unpacked]))?;

    let fresh = scratch.path().join("kernel");
    let modules = fresh.join("modules");
    fs::create_dir_all(&modules).map_err(TestbedError::io(doing("make a directory")))?;
    let copy = |from: PathBuf, to: PathBuf| {
        fs::copy(&from, &to)
            .map(drop)
            .map_err(|error| TestbedError::Kernel {
                problem: format!("{package} has no {} ({error})", from.display()),
            })
    };
    copy(
        unpacked.join(format!("boot/vmlinuz-{version}")),
        fresh.join("vmlinuz"),
    )?;
    let mut order = String::new();
    for module in MODULES {
        let name = file_name(module);
        copy(
            unpacked.join(format!("lib/modules/{version}/kernel/{module}")),
            modules.join(name),
        )?;
        order.push_str(name);
        order.push('\n');
    }
    fs::write(modules.join(ORDER), order)
        .map_err(TestbedError::io(doing("write the list of modules")))?;
    let kernel = images.join(&version);
    fs::rename(&fresh, &kernel).map_err(TestbedError::io(format!("make {}", kernel.display())))?;
    Ok(kernel)
}

/// The package of the newest cloud kernel, for example `linux-image-6.1.0-56-cloud-amd64`.
fn kernel_package() -> Result<String, TestbedError> {
    let text = call_words("apt-cache", &format!("depends {KERNEL_PACKAGE}")).map_err(|error| {
        TestbedError::Kernel {
            problem: error.to_string(),
        }
    })?;
    depended_kernel(&text).ok_or_else(|| TestbedError::Kernel {
        problem: format!("apt knows no kernel behind {KERNEL_PACKAGE}"),
    })
}

fn depended_kernel(text: &str) -> Option<String> {
    text.lines()
        .filter_map(|line| line.trim().strip_prefix("Depends: "))
        .find(|package| package.starts_with("linux-image-") && package.contains("cloud"))
        .map(str::to_owned)
}

/// The initrd of a kernel and a load program, made where it is not cached yet.
fn initrd(kernel: &Path, load: &Path) -> Result<PathBuf, TestbedError> {
    let program = fs::read(load).map_err(TestbedError::io(format!("read {}", load.display())))?;
    let path = kernel.join(format!("initrd-{:016x}.cpio", xxh3_64(&program)));
    if path.is_file() {
        return Ok(path);
    }
    let making = || TestbedError::io(format!("make {}", path.display()));
    let mut fresh = tempfile::NamedTempFile::new_in(kernel).map_err(making())?;
    pack(
        io::BufWriter::new(&mut fresh),
        &program,
        &kernel.join("modules"),
    )
    .map_err(making())?;
    fresh
        .persist(&path)
        .map_err(|error| making()(error.error))?;
    Ok(path)
}

/// Writes the archive that the kernel unpacks as its root.
fn pack(out: impl Write, program: &[u8], modules: &Path) -> io::Result<()> {
    const DIRECTORY: u32 = 0o040_755;
    const PROGRAM: u32 = 0o100_755;
    const FILE: u32 = 0o100_644;
    const CHARACTER_DEVICE: u32 = 0o020_600;

    let order = fs::read_to_string(modules.join(ORDER))?;
    let mut archive = Archive { out, entries: 0 };
    for directory in ["dev", "proc", "sys", "modules"] {
        archive.add(newc::Builder::new(directory).mode(DIRECTORY), &[])?;
    }
    // The kernel opens it for /init before anything can be mounted.
    let console = newc::Builder::new("dev/console")
        .rdev_major(5)
        .rdev_minor(1);
    archive.add(console.mode(CHARACTER_DEVICE), &[])?;
    archive.add(newc::Builder::new("init").mode(PROGRAM), program)?;
    for name in order.lines() {
        let content = fs::read(modules.join(name))?;
        archive.add(
            newc::Builder::new(&format!("modules/{name}")).mode(FILE),
            &content,
        )?;
    }
    archive.add(
        newc::Builder::new("modules/order").mode(FILE),
        order.as_bytes(),
    )?;
    newc::trailer(archive.out)?.flush()
}

struct Archive<W> {
    out: W,
    entries: u32,
}

impl<W: Write> Archive<W> {
    fn add(&mut self, entry: newc::Builder, content: &[u8]) -> io::Result<()> {
        self.entries += 1;
        let size = u32::try_from(content.len()).map_err(io::Error::other)?;
        let mut writer = entry.ino(self.entries).nlink(1).write(&mut self.out, size);
        writer.write_all(content)?;
        writer.finish().map(drop)
    }
}

fn file_name(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_behind_the_meta_package_is_found() {
        let text = "linux-image-cloud-amd64\n  Depends: linux-image-6.1.0-56-cloud-amd64\n";
        assert_eq!(
            depended_kernel(text).as_deref(),
            Some("linux-image-6.1.0-56-cloud-amd64")
        );
        assert_eq!(depended_kernel("N: Unable to locate package\n"), None);
    }

    /// A cache that already holds a kernel, so that nothing is fetched.
    fn images_with_kernel() -> tempfile::TempDir {
        let images = tempfile::tempdir().expect("scratch");
        let modules = images.path().join("6.1.0-test/modules");
        fs::create_dir_all(&modules).expect("modules");
        fs::write(modules.join("a.ko"), b"A").expect("module");
        fs::write(modules.join(ORDER), "a.ko\n").expect("order");
        fs::write(images.path().join("6.1.0-test/vmlinuz"), b"kernel").expect("kernel");
        fs::write(images.path().join("load"), b"program").expect("program");
        images
    }

    #[test]
    fn the_initrd_holds_program_and_modules_in_order() {
        let images = images_with_kernel();
        let image =
            GuestImage::prepare_in(images.path(), &images.path().join("load")).expect("image");
        let mut rest = File::open(&image.initrd).expect("initrd");
        let mut listed = Vec::new();
        loop {
            let reader = newc::Reader::new(rest).expect("an entry");
            if reader.entry().is_trailer() {
                break;
            }
            let entry = reader.entry();
            listed.push(format!(
                "{:06o} {} {}",
                entry.mode(),
                entry.name(),
                entry.file_size()
            ));
            rest = reader.finish().expect("next");
        }
        insta::assert_snapshot!(listed.join("\n"), @r"
        040755 dev 0
        040755 proc 0
        040755 sys 0
        040755 modules 0
        020600 dev/console 0
        100755 init 7
        100644 modules/a.ko 1
        100644 modules/order 5
        ");
    }

    #[test]
    fn many_builders_at_once_make_one_image_per_program() {
        let images = images_with_kernel();
        let load = images.path().join("load");
        let built: Vec<GuestImage> = std::thread::scope(|scope| {
            let builders: Vec<_> = (0..8)
                .map(|_| scope.spawn(|| GuestImage::prepare_in(images.path(), &load)))
                .collect();
            builders
                .into_iter()
                .map(|one| one.join().expect("no panic").expect("image"))
                .collect()
        });
        assert!(built.windows(2).all(|pair| pair[0] == pair[1]));
        fs::write(&load, b"another program").expect("program");
        let other = GuestImage::prepare_in(images.path(), &load).expect("image");
        assert_ne!(other.initrd, built[0].initrd);
        let left = fs::read_dir(images.path().join("6.1.0-test"))
            .expect("kernel")
            .count();
        assert_eq!(left, 4, "kernel, modules, two initrds, no scratch files");
    }
}
