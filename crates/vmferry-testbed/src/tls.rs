//! Certificates for moves over TLS.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::command::run;
use crate::error::TestbedError;
use crate::host::Side;
use crate::private::{make_directory, write};

/// Makes an authority and the certificates of server and client in a directory, under the names
/// that QEMU's `tls-creds-x509` reads. One directory serves both hosts: the server's certificate
/// is good for both addresses of the link.
pub(crate) fn certificates(directory: &Path) -> Result<PathBuf, TestbedError> {
    // Made last.
    if directory.join("client-cert.pem").exists() {
        return Ok(directory.to_owned());
    }
    make_directory(directory, 0o700)?;
    let addresses: String = Side::BOTH
        .iter()
        .map(|side| format!("ip_address = {}\n", side.address()))
        .collect();
    let hosts = format!("cn = vmferry testbed\n{addresses}dns_name = localhost\n");
    issue(
        directory,
        "ca",
        "cn = vmferry testbed authority\nca\ncert_signing_key\n",
    )?;
    issue(
        directory,
        "server",
        &format!("{hosts}tls_www_server\nsigning_key\nencryption_key\n"),
    )?;
    issue(
        directory,
        "client",
        &format!("{hosts}tls_www_client\nsigning_key\nencryption_key\n"),
    )?;
    Ok(directory.to_owned())
}

fn issue(directory: &Path, name: &str, template: &str) -> Result<(), TestbedError> {
    let file = |suffix: &str| directory.join(format!("{name}{suffix}"));
    let (key, certificate, info) = (file("-key.pem"), file("-cert.pem"), file(".info"));
    write(&info, &format!("{template}expiration_days = 3650\n"))?;
    write(&key, "")?;
    run(Command::new("certtool")
        .args([
            // QEMU wants a key that may encipher keys, which only RSA's may.
            "--generate-privkey",
            "--key-type=rsa",
            "--bits=2048",
            "--outfile",
        ])
        .arg(&key))?;
    let mut command = Command::new("certtool");
    if name == "ca" {
        command.arg("--generate-self-signed");
    } else {
        command.args(["--generate-certificate", "--load-ca-certificate"]);
        command
            .arg(directory.join("ca-cert.pem"))
            .arg("--load-ca-privkey")
            .arg(directory.join("ca-key.pem"));
    }
    command
        .arg("--load-privkey")
        .arg(&key)
        .arg("--template")
        .arg(&info);
    run(command.arg("--outfile").arg(&certificate))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_certificates_are_signed_by_the_authority_and_good_for_the_link() {
        let scratch = tempfile::tempdir().expect("scratch");
        let directory = certificates(&scratch.path().join("tls")).expect("certificates");
        for (name, purpose) in [("server", "TLS WWW Server"), ("client", "TLS WWW Client")] {
            let certificate = directory.join(format!("{name}-cert.pem"));
            run(Command::new("certtool")
                .args(["--verify", "--load-ca-certificate"])
                .arg(directory.join("ca-cert.pem"))
                .arg("--infile")
                .arg(&certificate))
            .expect("signed by the authority");
            let text = run(Command::new("certtool")
                .args(["--certificate-info", "--infile"])
                .arg(&certificate))
            .expect("readable");
            assert!(text.contains(purpose), "{text}");
            assert!(text.contains("IPAddress: 10.77.0.2"), "{text}");
        }
        assert_eq!(certificates(&directory).expect("again"), directory);
    }
}
