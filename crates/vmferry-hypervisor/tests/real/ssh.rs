//! Guests of another machine.

use std::fs;
use std::time::Duration;

use vmferry_core::GuestUri;
use vmferry_core::guest_uri::SshDestination;
use vmferry_hypervisor::HypervisorError;
use vmferry_hypervisor::qmp::{ConnectOptions, Guest};
use vmferry_hypervisor::ssh::{SshCommand, run_remote};

use crate::qemu::Qemu;
use crate::sshd::{Sshd, free_port};

fn options(sshd: &Sshd) -> ConnectOptions {
    ConnectOptions {
        ssh: sshd.command(),
        ..ConnectOptions::default()
    }
}

fn far(host: &str, path: &std::path::Path) -> GuestUri {
    format!("qmp+ssh://root@{host}{}", path.display())
        .parse()
        .unwrap()
}

fn vm_host() -> SshDestination {
    SshDestination {
        user: Some("root".into()),
        host: "vm-host".into(),
        port: None,
    }
}

#[tokio::test]
async fn a_far_guest_is_commanded_like_a_near_one() {
    let (sshd, qemu) = (Sshd::start(""), Qemu::paused());
    for host in ["vm-host".to_owned(), format!("127.0.0.1:{}", sshd.port)] {
        let guest = Guest::connect(&far(&host, &qemu.socket()), options(&sshd))
            .await
            .unwrap();
        let mut events = guest.events();
        guest.cont().await.unwrap();
        assert_eq!(events.next().await.unwrap().name, "RESUME");
        assert_eq!(guest.pid(), None);
        guest.stop().await.unwrap();
        assert!(guest.schema().await.unwrap().has_command("migrate"));
    }
}

#[tokio::test]
async fn paths_with_sshs_own_signs_are_reached() {
    let (sshd, qemu) = (Sshd::start(""), Qemu::paused());
    let odd = qemu.directory().join("a:b 100%h\\x");
    std::os::unix::fs::symlink(qemu.socket(), &odd).unwrap();
    let guest = Guest::connect(&far("vm-host", &odd), options(&sshd))
        .await
        .unwrap();
    assert_eq!(guest.run_state().await.unwrap().running, Some(false));
}

#[tokio::test]
async fn what_fails_on_the_way_is_said() {
    let (sshd, qemu) = (Sshd::start(""), Qemu::paused());
    let attempt = async |uri: GuestUri, options| {
        let error = Guest::connect(&uri, options).await.unwrap_err();
        assert!(error.is_unreachable());
        error
    };
    let missing = far("vm-host", &qemu.directory().join("none.qmp"));
    let error = attempt(missing, options(&sshd)).await;
    assert!(
        matches!(error, HypervisorError::RemoteSocket { .. }),
        "{error}"
    );
    assert!(error.to_string().contains("none.qmp on vm-host"), "{error}");
    assert!(error.to_string().contains("no such socket"), "{error}");
    let error = attempt(far("vm-host", qemu.directory()), options(&sshd)).await;
    assert!(error.to_string().contains("it is no socket"), "{error}");

    let nobody = format!("127.0.0.1:{}", free_port());
    let error = attempt(far(&nobody, &qemu.socket()), options(&sshd)).await;
    assert!(error.to_string().contains("Connection refused"), "{error}");

    fs::remove_file(sshd.directory().join("authorized_keys")).unwrap();
    let error = attempt(far("vm-host", &qemu.socket()), options(&sshd)).await;
    assert!(
        error
            .to_string()
            .contains("failed: root@127.0.0.1: Permission denied"),
        "{error}"
    );

    let absent = ConnectOptions {
        ssh: SshCommand::parse("/nowhere/ssh").unwrap(),
        ..ConnectOptions::default()
    };
    let error = attempt(far("vm-host", &qemu.socket()), absent).await;
    assert!(
        matches!(error, HypervisorError::SshMissing { .. }),
        "{error}"
    );
}

#[tokio::test]
async fn a_server_that_forbids_forwarding_is_said() {
    let (sshd, qemu) = (Sshd::start("AllowStreamLocalForwarding no"), Qemu::paused());
    let error = Guest::connect(&far("vm-host", &qemu.socket()), options(&sshd))
        .await
        .unwrap_err();
    assert!(
        error.to_string().contains("AllowStreamLocalForwarding"),
        "{error}"
    );
}

#[tokio::test]
async fn a_monitor_with_a_full_queue_has_not_exited() {
    let (sshd, mut qemu) = (Sshd::start(""), Qemu::paused());
    let holder = qemu.connect().await;
    // QEMU serves one client and lets the kernel queue two more.
    let mut waiting = Vec::new();
    for _ in 0..2 {
        waiting.push(
            tokio::net::UnixStream::connect(qemu.socket())
                .await
                .unwrap(),
        );
    }
    let refusal = async || {
        let uri = far("vm-host", &qemu.socket());
        Guest::connect(&uri, options(&sshd)).await.unwrap_err()
    };
    let error = refusal().await;
    assert!(
        matches!(error, HypervisorError::RemoteSocket { .. }),
        "{error}"
    );
    assert!(
        error.to_string().contains("too many other clients"),
        "{error}"
    );
    assert!(!error.is_gone(), "{error}");
    drop((holder, waiting));
    // QEMU takes the next client once it has noticed.
    let served = async {
        let uri = far("vm-host", &qemu.socket());
        while let Err(error) = Guest::connect(&uri, options(&sshd)).await {
            assert!(!error.is_gone(), "{error}");
        }
    };
    tokio::time::timeout(Duration::from_secs(60), served)
        .await
        .unwrap();
    qemu.kill();
    let uri = far("vm-host", &qemu.socket());
    let error = Guest::connect(&uri, options(&sshd)).await.unwrap_err();
    assert!(error.to_string().contains("has exited"), "{error}");
    assert!(error.is_gone(), "{error}");
}

#[tokio::test]
async fn listeners_of_other_namespaces_and_names_are_seen() {
    let sshd = Sshd::start("AllowStreamLocalForwarding no");
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("of a guest.qmp");
    let link = directory.path().join("link.qmp");
    std::os::unix::fs::symlink(&path, &link).unwrap();
    let gone = async |path: &std::path::Path| {
        let error = Guest::connect(&far("vm-host", path), options(&sshd))
            .await
            .unwrap_err();
        assert!(
            matches!(error, HypervisorError::RemoteSocket { .. }),
            "{error}"
        );
        error.is_gone()
    };
    assert!(!gone(&link).await, "where it leads cannot be told");
    // A QEMU in a network namespace of its own, started with a relative path.
    let mut qemu = Qemu::in_own_network(directory, "of a guest.qmp");
    assert!(!gone(&path).await);
    assert!(!gone(&link).await);
    qemu.kill();
    assert!(path.exists());
    assert!(gone(&path).await);
    assert!(gone(&link).await);
    assert!(gone(&qemu.directory().join("none/none.qmp")).await);
}

#[tokio::test]
async fn a_login_that_hangs_is_given_up() {
    // A listener that never says a word.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let host = silent.local_addr().unwrap().to_string();
    let impatient = ConnectOptions {
        ssh_timeout: Duration::from_millis(300),
        ..ConnectOptions::default()
    };
    let uri = far(&host, std::path::Path::new("/run/a.qmp"));
    let error = Guest::connect(&uri, impatient).await.unwrap_err();
    assert!(
        matches!(error, HypervisorError::SshTimeout { .. }),
        "{error}"
    );
}

#[tokio::test]
async fn a_lost_link_closes_the_guest() {
    let (sshd, mut qemu) = (Sshd::start(""), Qemu::paused());
    let guest = Guest::connect(&far("vm-host", &qemu.socket()), options(&sshd))
        .await
        .unwrap();
    qemu.kill();
    guest.closed().await;
    assert!(guest.run_state().await.unwrap_err().is_closed());
}

#[tokio::test]
async fn the_tunnel_leaves_nothing_behind() {
    let (sshd, qemu) = (Sshd::start(""), Qemu::paused());
    let guest = Guest::connect(&far("vm-host", &qemu.socket()), options(&sshd))
        .await
        .unwrap();
    let config = sshd.directory().join("config");
    let clients = ssh_processes(&config);
    let [ssh] = clients[..] else {
        panic!("one ssh, not {clients:?}");
    };
    let words = fs::read_to_string(format!("/proc/{ssh}/cmdline")).unwrap();
    let forwarded = words.split('\0').skip_while(|word| *word != "-L").nth(1);
    let (near, _) = forwarded.unwrap().split_once(':').unwrap();
    let directory = std::path::Path::new(near).parent().unwrap();
    assert!(
        directory
            .file_name()
            .unwrap()
            .to_string_lossy()
            .starts_with("vmferry-")
    );
    assert!(!directory.exists());
    drop(guest);
    while !ssh_processes(&config).is_empty() {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test]
async fn ssh_dies_with_the_process_that_needs_it() {
    let (sshd, qemu) = (Sshd::start(""), Qemu::paused());
    // This test, started again as a process of its own, holds a tunnel until it is killed.
    let mut holder = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "ssh::holds_a_tunnel_when_told_to", "--nocapture"])
        .env("VMFERRY_SSH", sshd.command().to_string())
        .env(
            "VMFERRY_TEST_HOLD",
            far("vm-host", &qemu.socket()).to_string(),
        )
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::null())
        .spawn()
        .unwrap();
    let output = std::io::BufReader::new(holder.stdout.take().unwrap());
    let connected =
        std::io::BufRead::lines(output).any(|line| line.unwrap().contains("the tunnel stands"));
    let config = sshd.directory().join("config");
    let before = ssh_processes(&config).len();
    holder.kill().unwrap();
    holder.wait().unwrap();
    assert!(connected);
    assert_eq!(before, 1);
    while !ssh_processes(&config).is_empty() {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Does nothing unless [`ssh_dies_with_the_process_that_needs_it`] runs it; it also shows that
/// `VMFERRY_SSH` is heeded. Runs on a thread that ends at once, so that a tunnel tied to the thread
/// that opened it would be noticed.
#[test]
fn holds_a_tunnel_when_told_to() {
    let Ok(uri) = std::env::var("VMFERRY_TEST_HOLD") else {
        return;
    };
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let handle = runtime.handle().clone();
    let guest = std::thread::spawn(move || {
        handle
            .block_on(Guest::connect(
                &uri.parse().unwrap(),
                ConnectOptions::default(),
            ))
            .unwrap()
    })
    .join()
    .unwrap();
    runtime.block_on(async {
        guest.run_state().await.unwrap();
        std::io::Write::write_all(&mut std::io::stdout(), b"the tunnel stands\n").unwrap();
        guest.closed().await;
    });
}

#[tokio::test]
async fn commands_run_on_the_other_machine() {
    let sshd = Sshd::start("");
    let ssh = sshd.command();
    let output = run_remote(&ssh, &vm_host(), &["printf", "%s|", "a b", "$HOME", "it's"])
        .await
        .unwrap();
    assert_eq!(String::from_utf8(output.stdout).unwrap(), "a b|$HOME|it's|");
    let output = run_remote(&ssh, &vm_host(), &["sh", "-c", "echo no >&2; exit 3"])
        .await
        .unwrap();
    assert_eq!(output.status.code(), Some(3));
    assert_eq!(output.stderr, b"no\n");
    fs::remove_file(sshd.directory().join("authorized_keys")).unwrap();
    let error = run_remote(&ssh, &vm_host(), &["true"]).await.unwrap_err();
    assert!(matches!(error, HypervisorError::SshFailed { .. }));
}

/// The ssh clients that use this configuration.
fn ssh_processes(config: &std::path::Path) -> Vec<u32> {
    let config = config.display().to_string();
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc").unwrap().flatten() {
        let Some(pid) = entry
            .file_name()
            .to_str()
            .and_then(|name| name.parse().ok())
        else {
            continue;
        };
        let command = fs::read(entry.path().join("cmdline")).unwrap_or_default();
        let mut words = command.split(|b| *b == 0);
        let is_ssh = words.next() == Some(b"ssh");
        if is_ssh && words.any(|word| word == config.as_bytes()) {
            found.push(pid);
        }
    }
    found
}
