//! A network namespace.

use std::fs::File;
use std::path::PathBuf;
use std::process::Command;
use std::thread;

use nix::sched::{CloneFlags, setns};
use serde::{Deserialize, Serialize};

use crate::command::{call_words, enter};
use crate::error::TestbedError;

/// A network namespace, by the name `ip netns` knows it by.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Namespace(String);

impl Namespace {
    pub(crate) fn named(name: String) -> Self {
        Self(name)
    }

    /// One that exists.
    ///
    /// # Errors
    /// When there is none of this name.
    pub fn find(name: &str) -> Result<Self, TestbedError> {
        let namespace = Self(name.to_owned());
        namespace.open()?;
        Ok(namespace)
    }

    /// Its name, for `ip netns exec NAME`.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.0
    }

    /// The file that stands for it.
    #[must_use]
    pub fn path(&self) -> PathBuf {
        PathBuf::from("/run/netns").join(&self.0)
    }

    /// Whether it exists.
    #[must_use]
    pub fn exists(&self) -> bool {
        self.path().exists()
    }

    pub(crate) fn create(&self) -> Result<(), TestbedError> {
        call_words("ip", &format!("netns add {}", self.0))?;
        self.ip("link set lo up")?;
        // Router solicitations and duplicate address detection would count as traffic of the link.
        // A kernel without IPv6 has nothing to turn off.
        self.inside(|| {
            let _ = std::fs::write("/proc/sys/net/ipv6/conf/all/disable_ipv6", "1");
            let _ = std::fs::write("/proc/sys/net/ipv6/conf/default/disable_ipv6", "1");
        })
    }

    /// Runs `ip` on this namespace with arguments given as one text.
    pub(crate) fn ip(&self, arguments: &str) -> Result<String, TestbedError> {
        call_words("ip", &format!("-n {} {arguments}", self.0))
    }

    /// Runs `tc` on this namespace with arguments given as one text.
    pub(crate) fn tc(&self, arguments: &str) -> Result<String, TestbedError> {
        call_words("tc", &format!("-n {} {arguments}", self.0))
    }

    /// A command that will run inside the namespace.
    ///
    /// # Errors
    /// When the namespace does not exist.
    pub fn command(&self, program: &str) -> Result<Command, TestbedError> {
        let mut command = Command::new(program);
        enter(&mut command, self.open()?);
        Ok(command)
    }

    /// Runs a function on a thread of its own inside the namespace: its sockets live there, and so
    /// does `/proc/thread-self/net`.
    ///
    /// # Errors
    /// When the namespace does not exist or cannot be entered.
    pub fn inside<T: Send>(&self, work: impl FnOnce() -> T + Send) -> Result<T, TestbedError> {
        let file = self.open()?;
        let entered = thread::scope(|scope| {
            scope
                .spawn(|| {
                    setns(&file, CloneFlags::CLONE_NEWNET)?;
                    Ok(work())
                })
                .join()
        });
        match entered {
            Ok(result) => result.map_err(|errno: nix::Error| TestbedError::Io {
                what: format!("enter the network namespace {}", self.0),
                source: errno.into(),
            }),
            Err(panic) => std::panic::resume_unwind(panic),
        }
    }

    fn open(&self) -> Result<File, TestbedError> {
        File::open(self.path()).map_err(TestbedError::io(format!(
            "open the network namespace {}",
            self.0
        )))
    }
}
