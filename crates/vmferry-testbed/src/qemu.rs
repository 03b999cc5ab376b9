//! Starting QEMU for one end of a guest, and waiting until it is ready.

use std::env;
use std::ffi::OsString;
use std::fs::OpenOptions;
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use tokio::time::sleep;
use vmferry_core::GuestUri;
use vmferry_hypervisor::qmp::{ConnectOptions, Guest};
use vmferry_load::report::Message;
use vmferry_load::spec::{PROGRAMS_SERIAL, SERVICE_SERIAL};

use crate::accelerator::Accelerator;
use crate::command::{detach, not_started};
use crate::console::Console;
use crate::error::TestbedError;
use crate::host::Side;
use crate::image::GuestImage;
use crate::netns::Namespace;
use crate::process::Process;
use crate::state::GuestRecord;

/// How long a monitor may take to greet: 0.3 s is usual, a loaded machine takes ten times that.
const MONITOR_PATIENCE: Duration = Duration::from_secs(30);

/// How long a guest may take to boot: 2 to 4 s are usual without KVM, more side by side.
const BOOT_PATIENCE: Duration = Duration::from_secs(90);

/// The same for a guest whose programs or service make their data first. Longer than the load
/// program waits, which then tells their last words.
const PROGRAMS_PATIENCE: Duration = Duration::from_secs(300);

/// How one end begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Begin {
    /// The guest boots.
    Booting,
    /// The guest is to come from the other end.
    Awaiting,
}

const POLL: Duration = Duration::from_millis(10);

/// The QEMU to use: `VMFERRY_QEMU`, or `qemu-system-x86_64`.
pub(crate) fn program() -> OsString {
    env::var_os("VMFERRY_QEMU")
        .filter(|program| !program.is_empty())
        .unwrap_or_else(|| "qemu-system-x86_64".into())
}

/// The kernel's command line for a load. A guest whose kernel panics ends its QEMU, so that nobody
/// waits for it. Its timer is not tested: on a host that has no time for the guest the test fails,
/// and the kernel panics.
pub(crate) fn command_line(load: &str, ip: Option<std::net::Ipv4Addr>) -> String {
    let mut line = format!("console=ttyS0 quiet panic=-1 no_timer_check vmferry.load={load}");
    if let Some(ip) = ip {
        line.push_str(&format!(" vmferry.ip={ip}/24"));
    }
    line
}

/// The arguments of one end of a guest: alike at both but for what is asked to differ, files, and
/// the waiting.
pub(crate) fn arguments(
    guest: &GuestRecord,
    side: Side,
    begin: Begin,
    image: &GuestImage,
    accelerator: Accelerator,
) -> Vec<String> {
    let spec = &guest.spec;
    let end = guest.end(side);
    let here = |at_destination: Option<String>, at_source: &str| match side {
        Side::Destination => at_destination.unwrap_or_else(|| at_source.to_owned()),
        Side::Source => at_source.to_owned(),
    };
    let memory = match side {
        Side::Destination => spec.destination_memory.unwrap_or(spec.memory),
        Side::Source => spec.memory,
    };
    let mut words: Vec<String> = Vec::new();
    let mut add = |option: &str, value: String| words.extend([option.to_owned(), value]);
    add("-name", format!("{},debug-threads=on", spec.name));
    add("-uuid", guest.uuid.to_string());
    add(
        "-machine",
        here(spec.destination_machine.clone(), &spec.machine),
    );
    add("-accel", accelerator.to_string());
    add("-m", format!("{}k", memory.0 >> 10));
    add("-smp", spec.vcpus.to_string());
    add("-kernel", image.kernel.display().to_string());
    add("-initrd", image.initrd.display().to_string());
    add("-append", command_line(&spec.load, Some(guest.ip)));
    for (id, path) in [("qmp", &end.qmp), ("watch", &end.watch)] {
        add(
            "-chardev",
            format!("socket,id={id},path={},server=on,wait=off", escaped(path)),
        );
        add("-mon", format!("chardev={id},mode=control"));
    }
    add(
        "-chardev",
        format!("file,id=console,path={},append=on", escaped(&end.console)),
    );
    add("-serial", "chardev:console".to_owned());
    add(
        "-netdev",
        format!("tap,id=net0,ifname={},script=no,downscript=no", guest.tap),
    );
    // Without its boot ROM, which nobody boots from.
    add(
        "-device",
        format!("virtio-net-pci,netdev=net0,mac={},romfile=", guest.mac),
    );
    if let Some(disk) = &guest.disk {
        add(
            "-drive",
            format!("file={},if=none,id=disk0,format=raw", escaped(disk)),
        );
        add("-device", "virtio-blk-pci,drive=disk0".to_owned());
    }
    if let Some(programs) = &guest.programs {
        // After the guest's own disk, which stays vda; the guest finds this one by its serial number.
        let file = escaped(programs);
        add(
            "-drive",
            format!("file={file},if=none,id=programs,format=raw,readonly=on"),
        );
        add(
            "-device",
            format!("virtio-blk-pci,drive=programs,serial={PROGRAMS_SERIAL}"),
        );
    }
    if let Some(disk) = &guest.service {
        let file = escaped(&disk.overlay);
        // Both ends read and write through this machine's page cache, and what it holds outlives
        // every QEMU: so nothing need be flushed to the disk, whose delays would be measured.
        add(
            "-drive",
            format!("file={file},if=none,id=service,format=qcow2,cache=unsafe"),
        );
        add(
            "-device",
            format!("virtio-blk-pci,drive=service,serial={SERVICE_SERIAL}"),
        );
    }
    if begin == Begin::Awaiting {
        add("-incoming", "defer".to_owned());
    }
    words.extend(
        [
            "-display",
            "none",
            "-nodefaults",
            "-no-user-config",
            "-no-reboot",
        ]
        .map(str::to_owned),
    );
    words.extend(spec.extra_arguments.iter().cloned());
    words
}

/// A path within one of QEMU's comma-separated lists.
fn escaped(path: &Path) -> String {
    path.display().to_string().replace(',', ",,")
}

/// Starts one end of a guest in its host's namespace.
pub(crate) fn start(
    host: &Namespace,
    guest: &GuestRecord,
    side: Side,
    arguments: &[String],
) -> Result<Process, TestbedError> {
    let end = guest.end(side);
    if let Some(directory) = end.qmp.parent() {
        std::fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(directory)
            .map_err(TestbedError::io(format!("make {}", directory.display())))?;
    }
    for socket in [&end.qmp, &end.watch] {
        // sun_path holds 108 bytes with the closing zero.
        if socket.as_os_str().len() > 107 {
            return Err(TestbedError::SocketPathTooLong {
                path: socket.clone(),
            });
        }
    }
    let log = || {
        OpenOptions::new()
            .create(true)
            .append(true)
            .open(&end.log)
            .map_err(TestbedError::io(format!("open {}", end.log.display())))
    };
    let program = guest
        .spec
        .binary
        .clone()
        .map_or_else(program, OsString::from);
    let mut command = host.command(&program.to_string_lossy())?;
    command
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(log()?)
        .stderr(log()?);
    detach(&mut command);
    let child = command
        .spawn()
        .map_err(|error| not_started(&command, error))?;
    // A child that has ended keeps its number until it is reaped, so it is found either way.
    Process::of(child.id()).ok_or_else(|| TestbedError::Io {
        what: format!("find the QEMU just started, process {}", child.id()),
        source: std::io::Error::from(std::io::ErrorKind::NotFound),
    })
}

/// Waits until the guest's monitor answers, and returns the connection.
pub(crate) async fn monitor(guest: &GuestRecord, side: Side) -> Result<Guest, TestbedError> {
    let end = guest.end(side);
    let waiting_for = "waiting for its monitor";
    let uri = GuestUri::local(&end.watch);
    let deadline = Instant::now() + MONITOR_PATIENCE;
    loop {
        let options = ConnectOptions {
            greeting_timeout: MONITOR_PATIENCE,
            ..ConnectOptions::default()
        };
        match Guest::connect(&uri, options).await {
            Ok(monitor) => return Ok(monitor),
            Err(error) => {
                check_alive(guest, side, waiting_for)?;
                // QEMU makes its sockets, and listens on them, shortly after its start.
                if Instant::now() > deadline {
                    return Err(error.into());
                }
                sleep(POLL).await;
            }
        }
    }
}

/// Waits until the guest's load runs.
pub(crate) async fn booted(guest: &GuestRecord) -> Result<(), TestbedError> {
    let waiting_for = "booting";
    let mut console = Console::at(&guest.source.console);
    let patience = if guest.programs.is_some() || guest.service.is_some() {
        PROGRAMS_PATIENCE
    } else {
        BOOT_PATIENCE
    };
    let deadline = Instant::now() + patience;
    loop {
        let messages = console.read_new().map_err(TestbedError::io(format!(
            "read {}",
            guest.source.console.display()
        )))?;
        for message in messages {
            match message {
                Message::Up(_) | Message::Progress(_) => return Ok(()),
                Message::Error(problem) => {
                    return Err(TestbedError::Load {
                        guest: guest.spec.name.clone(),
                        problem,
                    });
                }
                _ => {}
            }
        }
        check_alive(guest, Side::Source, waiting_for)?;
        if Instant::now() > deadline {
            return Err(too_long(guest, Side::Source, waiting_for, patience));
        }
        sleep(POLL).await;
    }
}

fn check_alive(
    guest: &GuestRecord,
    side: Side,
    waiting_for: &'static str,
) -> Result<(), TestbedError> {
    let end = guest.end(side);
    if end.process.is_some_and(Process::is_alive) {
        return Ok(());
    }
    Err(TestbedError::QemuExited {
        guest: guest.spec.name.clone(),
        side,
        waiting_for,
        tail: end.tail(),
    })
}

fn too_long(
    guest: &GuestRecord,
    side: Side,
    waiting_for: &'static str,
    after: Duration,
) -> TestbedError {
    TestbedError::NotReady {
        guest: guest.spec.name.clone(),
        side,
        waiting_for,
        after,
        tail: guest.end(side).tail(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::guest_spec::GuestSpec;
    use crate::state::EndRecord;
    use vmferry_core::Bytes;

    #[test]
    fn both_ends_get_the_same_machine() {
        let directory = Path::new("/run/a,b");
        let mut spec = GuestSpec::new("web", "idle").disk(Bytes::from_mib(8));
        spec.destination_memory = Some(Bytes::from_mib(128));
        let guest = GuestRecord {
            spec,
            index: 0,
            uuid: uuid::Uuid::nil(),
            mac: "52:54:00:4e:00:00".to_owned(),
            ip: std::net::Ipv4Addr::new(10, 78, 0, 10),
            tap: "tap0".to_owned(),
            via: "tcp:10.77.0.2:4444".parse().expect("an address"),
            disk: Some(directory.join("disk.raw")),
            programs: Some("/cache/programs".into()),
            service: Some(crate::state::ServiceDisk {
                service: vmferry_load::spec::Service::Web,
                base: "/cache/web".into(),
                overlay: directory.join("service.qcow2"),
            }),
            source: EndRecord::in_directory(&directory.join("source")),
            destination: EndRecord::in_directory(&directory.join("destination")),
        };
        let image = GuestImage {
            kernel: "/k".into(),
            initrd: "/i".into(),
        };
        let of = |side| {
            let begin = match side {
                Side::Source => Begin::Booting,
                Side::Destination => Begin::Awaiting,
            };
            arguments(&guest, side, begin, &image, Accelerator::Tcg)
        };
        insta::assert_snapshot!(of(Side::Source).join(" ").replace(" -", "\n-"), @r"
        -name web,debug-threads=on
        -uuid 00000000-0000-0000-0000-000000000000
        -machine q35
        -accel tcg
        -m 262144k
        -smp 1
        -kernel /k
        -initrd /i
        -append console=ttyS0 quiet panic=-1 no_timer_check vmferry.load=idle vmferry.ip=10.78.0.10/24
        -chardev socket,id=qmp,path=/run/a,,b/source/qmp.sock,server=on,wait=off
        -mon chardev=qmp,mode=control
        -chardev socket,id=watch,path=/run/a,,b/source/watch.sock,server=on,wait=off
        -mon chardev=watch,mode=control
        -chardev file,id=console,path=/run/a,,b/source/console,append=on
        -serial chardev:console
        -netdev tap,id=net0,ifname=tap0,script=no,downscript=no
        -device virtio-net-pci,netdev=net0,mac=52:54:00:4e:00:00,romfile=
        -drive file=/run/a,,b/disk.raw,if=none,id=disk0,format=raw
        -device virtio-blk-pci,drive=disk0
        -drive file=/cache/programs,if=none,id=programs,format=raw,readonly=on
        -device virtio-blk-pci,drive=programs,serial=vmferry-programs
        -drive file=/run/a,,b/service.qcow2,if=none,id=service,format=qcow2,cache=unsafe
        -device virtio-blk-pci,drive=service,serial=vmferry-service
        -display none
        -nodefaults
        -no-user-config
        -no-reboot
        ");
        let (source, destination) = (of(Side::Source), of(Side::Destination));
        let only: Vec<&str> = destination
            .iter()
            .filter(|word| !source.contains(word))
            .map(String::as_str)
            .collect();
        insta::assert_snapshot!(only.join("\n"), @r"
        131072k
        socket,id=qmp,path=/run/a,,b/destination/qmp.sock,server=on,wait=off
        socket,id=watch,path=/run/a,,b/destination/watch.sock,server=on,wait=off
        file,id=console,path=/run/a,,b/destination/console,append=on
        -incoming
        defer
        ");
    }
}
