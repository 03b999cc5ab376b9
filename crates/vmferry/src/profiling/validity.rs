//! For which hosts a profile holds.

use std::fs;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use vmferry_core::{ByteRate, HostInfo, LinkSpeed};
use vmferry_hypervisor::qmp::Guest;
use vmferry_model::cpu_profile::Cpus;

/// The hosts, versions and link that were profiled. A forecast for others is
/// refused ("the platforms where the models are trained and where they are used
/// are the same", `dom0cpu` section 5).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Validity {
    /// The source host, with its hypervisor's version.
    pub source: HostInfo,
    /// The destination host.
    pub destination: HostInfo,
    /// Model of the CPU of the machine vmferry ran on, as the kernel names it.
    pub cpu_model: Option<String>,
    /// Processors of that machine.
    pub cpus: Option<u32>,
    /// `kvm` or `tcg`.
    pub accelerator: Option<String>,
    /// Rate of the link; `None` where it was not shaped, as fast as the hosts.
    #[serde(rename = "link_rate_bytes_per_s")]
    pub link_rate: Option<ByteRate>,
}

impl Validity {
    /// Asks both ends.
    pub(crate) async fn of(
        source: &Guest,
        destination: &Guest,
        link_rate: Option<ByteRate>,
    ) -> Result<Self, crate::Error> {
        Ok(Self {
            source: source.host_info(),
            destination: destination.host_info(),
            cpu_model: cpu_model(),
            cpus: processors(),
            accelerator: source.info().await?.accelerator,
            link_rate,
        })
    }

    /// The hosts' CPUs; both hosts of a testbed are one machine. Hosts apart are
    /// taken to have as many as this one.
    pub(crate) fn shared_cpus(&self) -> Option<Cpus> {
        let cpus = f64::from(self.cpus?);
        let one =
            self.source.hostname.is_some() && self.source.hostname == self.destination.hostname;
        Some(if one {
            Cpus::OneMachine(cpus)
        } else {
            Cpus::Apart(cpus, cpus)
        })
    }

    /// What to know of a profile over a slower link than the one that carries
    /// so much of a stream.
    pub(crate) fn slower_link(&self, stream: ByteRate) -> Option<String> {
        let profiled = self.link_rate?;
        let carried = LinkSpeed::given(profiled).stream_rate();
        (carried < stream).then(|| {
            format!(
                "The hosts were profiled over a link of {profiled}: whether they manage more than that is not known; profile them without --rate."
            )
        })
    }

    /// Why a profile does not hold for a source, and a destination where it is
    /// known; empty where it does.
    pub fn differs(
        &self,
        source: &HostInfo,
        destination: Option<&HostInfo>,
        accelerator: Option<&str>,
    ) -> Vec<String> {
        let mut differences = Vec::new();
        let mut end = |end: &str, profiled: &HostInfo, now: &HostInfo| {
            for (what, profiled, now) in [
                ("host", &profiled.hostname, &now.hostname),
                (
                    "version of the hypervisor",
                    &profiled.hypervisor_version,
                    &now.hypervisor_version,
                ),
            ] {
                if profiled != now {
                    differences.push(format!(
                        "the {what} of the {end} is {}, and {} was profiled",
                        named(now.as_deref()),
                        named(profiled.as_deref())
                    ));
                }
            }
        };
        end("source", &self.source, source);
        if let Some(destination) = destination {
            end("destination", &self.destination, destination);
        }
        let here = [
            ("CPU", self.cpu_model.as_deref(), cpu_model()),
            (
                "accelerator",
                self.accelerator.as_deref(),
                accelerator.map(str::to_owned),
            ),
        ];
        for (what, profiled, now) in here {
            if profiled != now.as_deref() {
                differences.push(format!(
                    "the {what} is {}, and {} was profiled",
                    named(now.as_deref()),
                    named(profiled)
                ));
            }
        }
        differences
    }
}

#[cfg(test)]
impl Validity {
    /// Of these hosts, on this machine.
    pub(crate) fn for_test(source: HostInfo, destination: HostInfo) -> Self {
        Self {
            source,
            destination,
            cpu_model: cpu_model(),
            cpus: processors(),
            accelerator: Some("tcg".into()),
            link_rate: None,
        }
    }
}

fn named(value: Option<&str>) -> &str {
    value.unwrap_or("unknown")
}

/// What the kernel calls this machine's first processor.
fn cpu_model() -> Option<String> {
    model_in(&fs::read_to_string("/proc/cpuinfo").ok()?)
}

fn model_in(cpuinfo: &str) -> Option<String> {
    let line = cpuinfo
        .lines()
        .find(|line| line.starts_with("model name"))?;
    Some(line.split_once(':')?.1.trim().to_owned())
}

fn processors() -> Option<u32> {
    let known = std::thread::available_parallelism().ok()?;
    u32::try_from(known.get()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_host_or_version_is_told() {
        let host = |name: &str, version: &str| HostInfo {
            hostname: Some(name.into()),
            hypervisor: "qemu".into(),
            hypervisor_version: Some(version.into()),
            package: None,
        };
        let profiled = Validity::for_test(host("a", "10.0.2"), host("b", "10.0.2"));
        let (a, b) = (host("a", "10.0.2"), host("b", "10.0.2"));
        assert_eq!(profiled.differs(&a, Some(&b), Some("tcg")), [""; 0]);
        assert_eq!(profiled.differs(&a, None, Some("tcg")), [""; 0]);
        let told = profiled.differs(
            &host("a", "10.1.0"),
            Some(&host("c", "10.0.2")),
            Some("kvm"),
        );
        insta::assert_snapshot!(told.join("\n"), @r"
        the version of the hypervisor of the source is 10.1.0, and 10.0.2 was profiled
        the host of the destination is c, and b was profiled
        the accelerator is kvm, and tcg was profiled
        ");
    }

    #[test]
    fn a_profile_over_a_slower_link_is_told() {
        let host = HostInfo::default;
        let open = Validity::for_test(host(), host());
        let gigabit = ByteRate::from_mbit_per_s(1000.0);
        assert_eq!(open.slower_link(ByteRate(1e12)), None);
        let shaped = Validity {
            link_rate: Some(gigabit),
            ..open
        };
        assert_eq!(shaped.slower_link(ByteRate(1e8)), None);
        assert!(shaped.slower_link(ByteRate(1e9)).is_some());
    }

    #[test]
    fn the_kernel_s_name_of_a_processor() {
        let text = "processor\t: 0\nmodel name\t: AMD EPYC 9B14\nprocessor\t: 1\n";
        assert_eq!(model_in(text).as_deref(), Some("AMD EPYC 9B14"));
        assert_eq!(model_in(""), None);
    }
}
