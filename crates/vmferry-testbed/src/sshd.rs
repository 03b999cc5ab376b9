//! An ssh server of our own on each host, with keys of its own, for guests reached through ssh.
//!
//! The client's configuration made here starts a server for every connection: its `ProxyCommand`
//! enters the host's namespace and runs `sshd -i` there. So nothing listens, a session is truly
//! inside the host, and its server ends with its client, however that ends. As on another machine,
//! a Ctrl-C for the client's process group does not reach the server.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};

use crate::command::call;
use crate::error::TestbedError;
use crate::host::Side;
use crate::private::{make_directory, write};
use crate::testbed::Shared;

const SSHD: &str = "/usr/sbin/sshd";

/// Makes keys and configurations, once, and returns the client's.
pub(crate) fn configure(shared: &Shared) -> Result<PathBuf, TestbedError> {
    let directory = shared.directory.join("ssh");
    let config = directory.join("config");
    // Written last.
    if config.exists() {
        return Ok(config);
    }
    if !Path::new(SSHD).exists() {
        return Err(TestbedError::ProgramMissing {
            program: "sshd".to_owned(),
        });
    }
    make_directory(&directory, 0o700)?;
    // sshd insists on this empty directory; Debian makes it when its own service starts.
    make_directory(Path::new("/run/sshd"), 0o755)?;
    for key in ["host-key", "user-key"] {
        let path = directory.join(key);
        if !path.exists() {
            let options = [
                "-q",
                "-t",
                "ed25519",
                "-N",
                "",
                "-C",
                "vmferry-testbed",
                "-f",
            ];
            call(
                "ssh-keygen",
                options
                    .map(OsStr::new)
                    .into_iter()
                    .chain([path.as_os_str()]),
            )?;
        }
    }
    let host_key = directory.join("host-key.pub");
    let key = fs::read_to_string(&host_key)
        .map_err(TestbedError::io(format!("read {}", host_key.display())))?;
    write(
        &directory.join("known_hosts"),
        &format!("source {key}destination {key}"),
    )?;
    write(&directory.join("sshd_config"), &server_config(&directory))?;
    write(&config, &client_config(shared, &directory))?;
    Ok(config)
}

fn server_config(directory: &Path) -> String {
    let shown = directory.display();
    format!(
        "HostKey {shown}/host-key\n\
         AuthorizedKeysFile {shown}/user-key.pub\n\
         # The key lies below a directory that only its owner may enter, wherever that is.\n\
         StrictModes no\n\
         UsePAM no\n\
         PasswordAuthentication no\n\
         PermitRootLogin prohibit-password\n\
         PrintMotd no\n\
         PidFile none\n"
    )
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
        text.push_str(&format!(
            "Host {side}\n    ProxyCommand setsid nsenter --net={} {SSHD} -i -f \"{shown}/sshd_config\" -E \"{shown}/sshd-{side}.log\"\n",
            shared.network.host(side).path().display()
        ));
    }
    text
}
