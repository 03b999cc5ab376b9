//! A baseboard controller through `ipmitool dcmi power reading`.

use std::ffi::OsString;
use std::io;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Instant;

use tokio::process::Command;
use vmferry_core::Watts;

use super::{PowerError, PowerMeter, ReadFuture, Reading, Value};

/// A baseboard controller that speaks DCMI: of this host through the kernel's
/// driver, or of another one over the network.
#[derive(Debug)]
pub struct Ipmi {
    name: String,
    program: PathBuf,
    arguments: Vec<OsString>,
}

impl Ipmi {
    /// This host's own, read by a program like `ipmitool`.
    pub fn local(program: PathBuf) -> Self {
        Self {
            name: "IPMI".to_owned(),
            program,
            arguments: Vec::new(),
        }
    }

    /// That of another host, at the address of its controller. `ipmitool`
    /// takes the password from `IPMI_PASSWORD`.
    pub fn remote(program: PathBuf, user: &str, host: &str) -> Self {
        Self::with(
            program,
            &format!("IPMI of {host}"),
            ["-I", "lanplus", "-H", host, "-U", user, "-E"],
        )
    }

    /// Read with these arguments before `dcmi power reading`, under that name.
    pub fn with<A: Into<OsString>>(
        program: PathBuf,
        name: &str,
        arguments: impl IntoIterator<Item = A>,
    ) -> Self {
        Self {
            name: name.to_owned(),
            program,
            arguments: arguments.into_iter().map(Into::into).collect(),
        }
    }

    async fn ask(&self) -> Result<Reading, PowerError> {
        let began = Instant::now();
        let output = Command::new(&self.program)
            .args(&self.arguments)
            .args(["dcmi", "power", "reading"])
            .env("LC_ALL", "C")
            .stdin(Stdio::null())
            // Who gives a reading up wants no program left behind.
            .kill_on_drop(true)
            .output()
            .await
            .map_err(|error| self.failed(not_started(&error)))?;
        let said = String::from_utf8_lossy(&output.stdout);
        if !output.status.success() {
            let complaint = String::from_utf8_lossy(&output.stderr);
            let complaint = complaint.trim();
            return Err(self.failed(if complaint.is_empty() {
                output.status.to_string()
            } else {
                complaint
                    .lines()
                    .map(str::trim)
                    .collect::<Vec<_>>()
                    .join("; ")
            }));
        }
        let watts = parse_dcmi_power(&said).map_err(|problem| PowerError::NotUnderstood {
            meter: self.name.clone(),
            problem,
        })?;
        Ok(Reading {
            // The controller was asked somewhere between.
            at: began + began.elapsed() / 2,
            value: Value::Power(watts),
        })
    }

    fn failed(&self, problem: String) -> PowerError {
        PowerError::Program {
            meter: self.name.clone(),
            command: format!("{} dcmi power reading", self.program.display()),
            problem,
        }
    }
}

impl PowerMeter for Ipmi {
    fn name(&self) -> &str {
        &self.name
    }

    fn read(&mut self) -> ReadFuture<'_> {
        Box::pin(self.ask())
    }
}

fn not_started(error: &io::Error) -> String {
    if error.kind() == io::ErrorKind::NotFound {
        "it is not installed; install the package ipmitool".to_owned()
    } else {
        error.to_string()
    }
}

/// The instantaneous power in what `ipmitool dcmi power reading` prints.
///
/// # Errors
/// Says what is missing: no power, or a controller that does not meter now.
pub fn parse_dcmi_power(text: &str) -> Result<Watts, String> {
    let value = |name: &str| {
        text.lines()
            .find_map(|line| line.trim().strip_prefix(name)?.trim().strip_prefix(':'))
            .map(str::trim)
    };
    if value("Power reading state is").is_some_and(|state| state != "activated") {
        return Err(
            "the controller says that power metering is deactivated; activate it in its settings"
                .to_owned(),
        );
    }
    let Some(reading) = value("Instantaneous power reading") else {
        let first = text.lines().map(str::trim).find(|line| !line.is_empty());
        return Err(format!(
            "no `Instantaneous power reading` in the answer `{}`",
            first.unwrap_or_default()
        ));
    };
    reading
        .strip_suffix("Watts")
        .and_then(|number| number.trim().parse().ok())
        .map(Watts)
        .ok_or_else(|| format!("`{reading}` is no number of watts"))
}
