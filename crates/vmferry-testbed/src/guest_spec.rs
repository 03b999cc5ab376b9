//! What guest is wanted.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use vmferry_core::Bytes;
use vmferry_load::spec::{Service, Spec};

use crate::error::TestbedError;
use crate::testbed::is_name;

/// The least memory a guest boots with.
const LEAST_MEMORY: Bytes = Bytes::from_mib(128);
/// The most memory that is believed to be meant.
const MOST_MEMORY: Bytes = Bytes::from_mib(4096);
/// What kernel and initrd need beside the load.
const KERNEL_MEMORY: Bytes = Bytes::from_mib(72);
/// More virtual CPUs than this starve each other without KVM.
const MOST_VCPUS: u32 = 4;

/// The guest to start.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GuestSpec {
    /// Its name within the testbed, and in QEMU.
    pub name: String,
    /// Memory, 128 MiB to 4 GiB.
    #[serde(rename = "memory_bytes")]
    pub memory: Bytes,
    /// Virtual CPUs, 1 to 4.
    pub vcpus: u32,
    /// What it does, in the language of [`vmferry_load`].
    pub load: String,
    /// Size of a virtio disk `vda`, if it has one.
    #[serde(rename = "disk_bytes")]
    pub disk: Option<Bytes>,
    /// QEMU's machine type at the source.
    pub machine: String,
    /// The QEMU to run at both ends; that of the testbed where none is named.
    #[serde(default)]
    pub binary: Option<PathBuf>,
    /// Another machine type at the destination: a mismatch on purpose.
    pub destination_machine: Option<String>,
    /// Another memory size at the destination: a mismatch on purpose.
    #[serde(rename = "destination_memory_bytes")]
    pub destination_memory: Option<Bytes>,
    /// More arguments for QEMU, at both ends.
    pub extra_arguments: Vec<String>,
}

impl GuestSpec {
    /// A guest of 256 MiB and one virtual CPU that runs this load.
    pub fn new(name: impl Into<String>, load: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            memory: Bytes::from_mib(256),
            vcpus: 1,
            load: load.into(),
            disk: None,
            machine: "q35".to_owned(),
            binary: None,
            destination_machine: None,
            destination_memory: None,
            extra_arguments: Vec::new(),
        }
    }

    /// A guest that offers a service, with memory that fits it and one virtual CPU.
    #[must_use]
    pub fn service(service: Service, name: impl Into<String>) -> Self {
        let memory = match service {
            Service::Web | Service::Cache | Service::File => 384,
            Service::Postgres | Service::Mail => 512,
            Service::Mariadb => 640,
            Service::Standby => 256,
            Service::Application => 768,
        };
        Self::new(name, format!("service:{service}")).memory(Bytes::from_mib(memory))
    }

    /// The same with other memory.
    #[must_use]
    pub fn memory(self, memory: Bytes) -> Self {
        Self { memory, ..self }
    }

    /// The same with other virtual CPUs.
    #[must_use]
    pub fn vcpus(self, vcpus: u32) -> Self {
        Self { vcpus, ..self }
    }

    /// The same with a disk of this size.
    #[must_use]
    pub fn disk(self, size: Bytes) -> Self {
        Self {
            disk: Some(size),
            ..self
        }
    }

    /// Whether its load runs real programs, for which it gets the disk of programs
    /// ([`crate::ProgramImage`]).
    #[must_use]
    pub fn runs_programs(&self) -> bool {
        let load = self.load.parse::<Spec>();
        load.is_ok_and(|load| load.runs_programs())
    }

    /// The service that its load offers, if any.
    #[must_use]
    pub fn offers(&self) -> Option<Service> {
        let load = self.load.parse::<Spec>().ok()?;
        load.services().next()
    }

    /// Says what cannot work before anything is started.
    pub(crate) fn check(&self) -> Result<(), TestbedError> {
        if !is_name(&self.name) {
            return Err(TestbedError::InvalidName {
                name: self.name.clone(),
                what: "guest",
            });
        }
        let wrong = |problem| {
            Err(TestbedError::InvalidGuest {
                guest: self.name.clone(),
                problem,
            })
        };
        for memory in [Some(self.memory), self.destination_memory]
            .into_iter()
            .flatten()
        {
            if !(LEAST_MEMORY..=MOST_MEMORY).contains(&memory) {
                return wrong(format!(
                    "{memory} of memory; possible are {LEAST_MEMORY} to {MOST_MEMORY}"
                ));
            }
        }
        if !(1..=MOST_VCPUS).contains(&self.vcpus) {
            return wrong(format!(
                "{} virtual CPUs; possible are 1 to {MOST_VCPUS}",
                self.vcpus
            ));
        }
        let load: Spec = match self.load.parse() {
            Ok(load) => load,
            Err(error) => return wrong(format!("the load `{}`: {error}", self.load)),
        };
        if load.services().count() > 1 {
            return wrong(format!(
                "the load `{}`: a guest offers one service, others want guests of their own",
                self.load
            ));
        }
        let needed = Bytes(load.memory()) + KERNEL_MEMORY;
        if needed > self.memory {
            return wrong(format!(
                "the load `{}` needs {needed} with the kernel, the guest has {}",
                self.load, self.memory
            ));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_work_is_said_before_a_start() {
        let good = GuestSpec::new("web", "uniform:set=64M,rate=20M");
        good.check().expect("a good guest");
        let bad = [
            GuestSpec {
                name: "a b".into(),
                ..good.clone()
            },
            good.clone().memory(Bytes::from_mib(64)),
            good.clone().memory(Bytes::from_mib(8192)),
            good.clone().vcpus(0),
            GuestSpec {
                load: "uniform:set=1T".into(),
                ..good.clone()
            },
            GuestSpec {
                load: "program:mysql".into(),
                ..good.clone()
            },
            GuestSpec {
                load: "program:redis,set=128M".into(),
                ..good.clone()
            },
            GuestSpec {
                load: "service:web+service:cache".into(),
                ..good.clone()
            },
            GuestSpec::service(Service::Mariadb, "web").memory(Bytes::from_mib(256)),
            GuestSpec {
                load: "uniform:set=200M".into(),
                ..good.clone()
            },
        ];
        let said: Vec<String> = bad
            .iter()
            .map(|spec| spec.check().expect_err("bad").to_string())
            .collect();
        insta::assert_snapshot!(said.join("\n"), @r#"
        `a b` cannot name a guest: use 1 to 32 of a-z, 0-9 and -, not at the ends
        guest web: 64 MiB of memory; possible are 128 MiB to 4096 MiB
        guest web: 8192 MiB of memory; possible are 128 MiB to 4096 MiB
        guest web: 0 virtual CPUs; possible are 1 to 4
        guest web: the load `uniform:set=1T`: uniform: set="1T" is not valid; allowed: a size from 4K to 1024G such as 64M (K, M, G are 2^10, 2^20, 2^30)
        guest web: the load `program:mysql`: program: NAME="mysql" is not valid; allowed: program:NAME with postgres, redis, xz, sort or python
        guest web: the load `program:redis,set=128M` needs 392 MiB with the kernel, the guest has 256 MiB
        guest web: the load `service:web+service:cache`: a guest offers one service, others want guests of their own
        guest web: the load `service:mariadb` needs 360 MiB with the kernel, the guest has 256 MiB
        guest web: the load `uniform:set=200M` needs 272 MiB with the kernel, the guest has 256 MiB
        "#);
    }

    #[test]
    fn every_service_fits_into_its_guest() {
        for service in Service::ALL {
            let spec = GuestSpec::service(service, "guest");
            spec.check().expect("it fits");
            assert_eq!(spec.offers(), Some(service));
        }
        assert_eq!(GuestSpec::new("guest", "idle").offers(), None);
    }
}
