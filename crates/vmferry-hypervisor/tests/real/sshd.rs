//! An ssh server of our own on a loopback port.

use std::fs;
use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;
use vmferry_hypervisor::ssh::SshCommand;

/// A running sshd that knows one key. Ends with the test.
pub(crate) struct Sshd {
    child: Child,
    directory: TempDir,
    pub(crate) port: u16,
}

impl Sshd {
    /// Starts a server; `settings` are lines of its configuration.
    pub(crate) fn start(settings: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let at = |name: &str| directory.path().join(name).display().to_string();
        // sshd insists on this directory, which the package makes only when the service starts.
        fs::create_dir_all("/run/sshd").expect("cannot make /run/sshd; tests run as root");
        for key in ["host_key", "user_key"] {
            let made = Command::new("ssh-keygen")
                .args(["-q", "-t", "ed25519", "-N", "", "-f", &at(key)])
                .status()
                .expect("no ssh-keygen: run `cargo xtask test`, which installs it");
            assert!(made.success());
        }
        fs::copy(at("user_key.pub"), at("authorized_keys")).unwrap();
        let port = free_port();
        let configuration = format!(
            "{settings}\nListenAddress 127.0.0.1\nPort {port}\nHostKey {}\nAuthorizedKeysFile {}\n\
             PidFile none\nStrictModes no\nUsePAM no\nPasswordAuthentication no\n\
             PermitRootLogin yes\nLogLevel VERBOSE\n",
            at("host_key"),
            at("authorized_keys"),
        );
        fs::write(at("sshd_config"), configuration).unwrap();
        let host_key = fs::read_to_string(at("host_key.pub")).unwrap();
        let known_host = format!("[127.0.0.1]:{port} {host_key}");
        fs::write(at("known_hosts"), known_host).unwrap();
        let client = format!(
            "Host *\nIdentityFile {}\nIdentitiesOnly yes\nUserKnownHostsFile {}\n\
             Host vm-host\nHostName 127.0.0.1\nPort {port}\n",
            at("user_key"),
            at("known_hosts"),
        );
        fs::write(at("config"), client).unwrap();

        let mut child = Command::new("setpriv")
            .args(["--pdeathsig", "KILL", "/usr/sbin/sshd"])
            .args(["-D", "-e", "-f", &at("sshd_config")])
            .stdin(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("cannot start setpriv of util-linux");
        let mut log = BufReader::new(child.stderr.take().unwrap()).lines();
        let mut said = Vec::new();
        while let Some(Ok(line)) = log.next() {
            said.push(line);
            if said.last().unwrap().contains("Server listening") {
                // sshd must never wait for somebody to read its log.
                std::thread::spawn(move || log.for_each(drop));
                return Self {
                    child,
                    directory,
                    port,
                };
            }
        }
        let _ = child.wait();
        panic!(
            "sshd does not start; if it is missing, run `cargo xtask test`, which installs it: {said:?}"
        );
    }

    /// What `VMFERRY_SSH` would be.
    pub(crate) fn command(&self) -> SshCommand {
        let config = self.directory.path().join("config");
        SshCommand::parse(&format!("ssh -F {}", config.display())).unwrap()
    }

    pub(crate) fn directory(&self) -> &Path {
        self.directory.path()
    }
}

impl Drop for Sshd {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A port nobody listens on.
pub(crate) fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}
