//! An ssh server of our own on each host, with keys of its own, for guests reached through ssh.
//!
//! The servers listen inside the hosts' namespaces (on every address, port 22). A program outside
//! of them gets there with the configuration made here, whose `ProxyCommand` enters the namespace.

use std::fs;
use std::io::{self, Write};
use std::net::TcpStream;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::command::{call, detach, not_started};
use crate::console::tail;
use crate::error::TestbedError;
use crate::host::Side;
use crate::netns::Namespace;
use crate::process::Process;
use crate::state;
use crate::testbed::Shared;

const SSHD: &str = "/usr/sbin/sshd";

/// How long a server may take to listen; 50 ms are usual.
const PATIENCE: Duration = Duration::from_secs(10);

/// Starts the servers once, and returns the client's configuration.
pub(crate) fn start(shared: &Shared) -> Result<PathBuf, TestbedError> {
    let directory = shared.directory.join("ssh");
    let config = directory.join("config");
    if config.exists() {
        return Ok(config);
    }
    if !Path::new(SSHD).exists() {
        return Err(TestbedError::ProgramMissing {
            program: "sshd".to_owned(),
        });
    }
    let making = |path: &Path| TestbedError::io(format!("make {}", path.display()));
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(&directory)
        .map_err(making(&directory))?;
    // sshd insists on this empty directory; Debian makes it when its own service starts.
    let empty = Path::new("/run/sshd");
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o755)
        .create(empty)
        .map_err(making(empty))?;
    for key in ["host-key", "user-key"] {
        let path = directory.join(key);
        if !path.exists() {
            call(
                "ssh-keygen",
                [
                    "-q",
                    "-t",
                    "ed25519",
                    "-N",
                    "",
                    "-C",
                    "vmferry-testbed",
                    "-f",
                ]
                .into_iter()
                .map(std::ffi::OsStr::new)
                .chain([path.as_os_str()]),
            )?;
        }
    }
    let known = directory.join("known_hosts");
    let host_key = directory.join("host-key.pub");
    let key = fs::read_to_string(&host_key)
        .map_err(TestbedError::io(format!("read {}", host_key.display())))?;
    write(&known, &format!("source {key}destination {key}"))?;
    for side in Side::BOTH {
        let process = serve(shared.network.host(side), side, &directory)?;
        state::list_process(&shared.directory, process)?;
        listening(shared.network.host(side), side, process, &directory)?;
    }
    // Written last: that it is there says that the servers are.
    write(&config, &client_config(shared, &directory))?;
    Ok(config)
}

fn serve(host: &Namespace, side: Side, directory: &Path) -> Result<Process, TestbedError> {
    let config = directory.join(format!("sshd-{side}"));
    let shown = directory.display();
    write(
        &config,
        &format!(
            "Port 22\n\
             HostKey {shown}/host-key\n\
             AuthorizedKeysFile {shown}/user-key.pub\n\
             # The key lies below a directory that only its owner may enter, wherever that is.\n\
             StrictModes no\n\
             UsePAM no\n\
             PasswordAuthentication no\n\
             PermitRootLogin prohibit-password\n\
             AllowStreamLocalForwarding yes\n\
             MaxStartups 100\n\
             MaxSessions 100\n\
             PrintMotd no\n\
             PidFile none\n"
        ),
    )?;
    let log_path = directory.join(format!("sshd-{side}.log"));
    let log = fs::File::create(&log_path)
        .map_err(TestbedError::io(format!("make {}", log_path.display())))?;
    // sshd wants its own full path: it runs itself again for every connection.
    let mut command = host.command(SSHD)?;
    command.args(["-D", "-e", "-f"]).arg(&config);
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(log);
    detach(&mut command);
    let child = command
        .spawn()
        .map_err(|error| not_started(&command, error))?;
    Process::of(child.id()).ok_or_else(|| TestbedError::Io {
        what: format!("find the sshd just started, process {}", child.id()),
        source: io::Error::from(io::ErrorKind::NotFound),
    })
}

/// Waits until the server listens.
fn listening(
    host: &Namespace,
    side: Side,
    sshd: Process,
    directory: &Path,
) -> Result<(), TestbedError> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let source = match host.inside(|| TcpStream::connect("127.0.0.1:22"))? {
            Ok(_) => return Ok(()),
            Err(error) => error,
        };
        if !sshd.is_alive() || Instant::now() > deadline {
            let said = tail(&directory.join(format!("sshd-{side}.log")), 5);
            return Err(TestbedError::Io {
                what: format!("reach the ssh server of the {side}, which says \"{said}\""),
                source,
            });
        }
        sleep(Duration::from_millis(10));
    }
}

fn client_config(shared: &Shared, directory: &Path) -> String {
    let shown = directory.display();
    let mut text = format!(
        "# ssh -F {shown}/config source|destination\n\
         Host source destination\n\
         \x20   User root\n\
         \x20   IdentityFile \"{shown}/user-key\"\n\
         \x20   IdentitiesOnly yes\n\
         \x20   UserKnownHostsFile \"{shown}/known_hosts\"\n\
         \x20   GlobalKnownHostsFile /dev/null\n\
         \x20   StrictHostKeyChecking yes\n\
         \x20   LogLevel ERROR\n"
    );
    for side in Side::BOTH {
        // bash speaks TCP by itself; the first copy that ends (the server's) ends the other.
        text.push_str(&format!(
            "Host {side}\n    ProxyCommand nsenter --net={} bash -c 'exec 3<>/dev/tcp/127.0.0.1/22; cat >&3 & cat <&3; kill $!'\n",
            shared.network.host(side).path().display()
        ));
    }
    text
}

fn write(path: &Path, text: &str) -> Result<(), TestbedError> {
    fs::OpenOptions::new()
        .create(true)
        .write(true)
        .truncate(true)
        .mode(0o600)
        .open(path)
        .and_then(|mut file| file.write_all(text.as_bytes()))
        .map_err(TestbedError::io(format!("write {}", path.display())))
}
