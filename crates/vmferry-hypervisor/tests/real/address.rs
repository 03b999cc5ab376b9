//! Addresses that are wrong, each in its own way.

use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;
use std::time::Duration;

use vmferry_core::GuestUri;
use vmferry_hypervisor::HypervisorError;
use vmferry_hypervisor::qmp::{ConnectOptions, Guest};

use crate::qemu::{Qemu, wait_until_listening};

fn impatient() -> ConnectOptions {
    ConnectOptions {
        greeting_timeout: Duration::from_secs(1),
        ..ConnectOptions::default()
    }
}

async fn refusal(uri: &GuestUri) -> HypervisorError {
    let error = Guest::connect(uri, impatient()).await.unwrap_err();
    assert!(error.is_unreachable());
    error
}

#[tokio::test]
async fn a_monitor_in_use_is_said_to_be() {
    let qemu = Qemu::paused();
    let first = qemu.connect().await;
    // The second is queued by the kernel, the third finds the queue full.
    let second = tokio::spawn({
        let uri = qemu.uri();
        async move { refusal(&uri).await }
    });
    for error in [second.await.unwrap(), refusal(&qemu.uri()).await] {
        assert!(
            matches!(error, HypervisorError::MonitorBusy { .. }),
            "{error}"
        );
        assert!(error.to_string().contains("one at a time"), "{error}");
        assert!(error.to_string().contains("qemu-system"), "{error}");
    }
    drop(first);
    // QEMU takes the next client once it has noticed.
    let patient = ConnectOptions::default();
    Guest::connect(&qemu.uri(), patient).await.unwrap();
}

#[tokio::test]
async fn missing_dead_and_wrong_files_differ() {
    let directory = tempfile::tempdir().unwrap();
    let at = |name: &str| GuestUri::local(directory.path().join(name));
    let error = refusal(&at("none")).await;
    assert!(
        matches!(error, HypervisorError::SocketMissing { .. }),
        "{error}"
    );

    drop(UnixListener::bind(directory.path().join("dead")).unwrap());
    let error = refusal(&at("dead")).await;
    assert!(
        matches!(error, HypervisorError::ConnectionRefused { .. }),
        "{error}"
    );

    std::fs::write(directory.path().join("file"), "hello").unwrap();
    let error = refusal(&at("file")).await;
    assert!(matches!(error, HypervisorError::NotQmp { .. }), "{error}");
    assert!(error.to_string().contains("a regular file"), "{error}");
}

#[tokio::test]
async fn sockets_of_something_else_are_shown() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("other");
    let listener = UnixListener::bind(&path).unwrap();
    let other = std::thread::spawn(move || {
        for greeting in [
            "HTTP/1.1 400 Bad Request\r\n",
            "login: ",
            "{\"id\": 1}\n",
            "",
        ] {
            let (mut stream, _) = listener.accept().unwrap();
            stream.write_all(greeting.as_bytes()).unwrap();
        }
    });
    for shown in ["HTTP/1.1 400", "login:", "id", "the end of the connection"] {
        let error = refusal(&GuestUri::local(&path)).await;
        assert!(matches!(error, HypervisorError::NotQmp { .. }), "{error}");
        assert!(error.to_string().contains(shown), "{error}");
    }
    other.join().unwrap();
}

#[tokio::test]
async fn the_monitor_for_people_is_recognised() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("hmp");
    let option = format!("unix:{},server=on,wait=off", path.display());
    let _qemu = Qemu::start(&["-machine", "none", "-S", "-monitor", &option]);
    wait_until_listening(&path);
    let error = refusal(&GuestUri::local(&path)).await;
    assert!(error.to_string().contains("monitor for people"), "{error}");
}

#[tokio::test]
async fn what_may_not_be_opened_is_said() {
    // Root may open anything, so the question is asked as nobody, on a thread of its own.
    let qemu = Qemu::start(&["-machine", "none", "-S"]);
    let closed = std::fs::Permissions::from_mode(0o700);
    std::fs::set_permissions(qemu.directory(), closed).unwrap();
    let uri = qemu.uri();
    let error = std::thread::spawn(move || {
        as_nobody();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(refusal(&uri))
    })
    .join()
    .unwrap();
    assert!(
        matches!(error, HypervisorError::PermissionDenied { .. }),
        "{error}"
    );
}

/// Gives up this thread's rights to other users' files; other threads keep theirs.
fn as_nobody() {
    if nix::unistd::geteuid().is_root() {
        nix::unistd::setfsuid(nix::unistd::Uid::from_raw(65534));
    } else {
        panic!("this test must be started as root");
    }
}

#[tokio::test]
async fn a_guest_that_is_just_starting_is_waited_for() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("late.qmp");
    let uri = GuestUri::local(&path);
    let patient = ConnectOptions {
        appear_timeout: Duration::from_secs(20),
        ..ConnectOptions::default()
    };
    let connecting = tokio::spawn(async move { Guest::connect(&uri, patient).await });
    tokio::task::yield_now().await;
    let option = format!("unix:{},server=on,wait=off", path.display());
    let _qemu = Qemu::start(&["-machine", "none", "-S", "-qmp", &option]);
    connecting.await.unwrap().unwrap();
}
