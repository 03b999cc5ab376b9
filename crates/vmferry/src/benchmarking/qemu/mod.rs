//! Virt-LM's platform on real QEMU: two hosts on a testbed of this machine.

mod blackout;
mod clients;
mod cpu_time;
mod looking;
mod machine;
mod meters;
mod migration;
mod power;
mod sending_threads;
mod service;
mod settings;

use std::path::Path;

use vmferry_bench::plan::{BenchPlan, Subject};
use vmferry_bench::platform::{Fault, Platform, Setup};
use vmferry_bench::record::{ImageRecord, MachineRecord, SubjectRecord};
use vmferry_core::Bytes;
use vmferry_testbed::{Accelerator, GuestImage, GuestSpec, Service, ServiceImage, Side, Testbed};

use crate::HistoryPlace;
use clients::Tools;
pub use service::QemuService;

/// QEMU between two network namespaces of this machine.
#[derive(Debug, Default)]
pub struct QemuPlatform {
    /// The clients' tools, once they were needed.
    tools: Option<Tools>,
    /// Where moves are kept and learned from.
    history: HistoryPlace,
}

impl QemuPlatform {
    /// Nothing is made before it is asked for.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }
}

impl Platform for QemuPlatform {
    type Service = QemuService;

    fn workloads(&self) -> Vec<String> {
        Service::ALL.map(|service| service.name().to_owned()).into()
    }

    fn keep_in(&mut self, directory: &Path) {
        // A guard looks for it from another directory.
        let directory = std::path::absolute(directory).unwrap_or_else(|_| directory.to_owned());
        self.history = HistoryPlace::File(directory.join("history.db"));
    }

    async fn machine(&mut self) -> Result<MachineRecord, Fault> {
        let accelerator = tokio::task::spawn_blocking(|| {
            let image = GuestImage::prepare()?;
            Accelerator::best(&image)
        })
        .await??;
        Ok(machine::read(accelerator)?)
    }

    fn most_background_guests(&self, _: &BenchPlan, workload: &str) -> Result<u32, Fault> {
        let service: Service = workload.parse()?;
        let most = machine::most_guests(GuestSpec::service(service, workload).memory)?;
        // One of them is the guest that is migrated.
        Ok(most.saturating_sub(1))
    }

    async fn check(&mut self, plan: &BenchPlan, subject: &Subject) -> Result<SubjectRecord, Fault> {
        settings::check(subject)?;
        power::check(plan)?;
        let testbed = testbed(plan).await?;
        let spec = as_subject(
            GuestSpec::new("check", "idle").memory(Bytes::from_mib(128)),
            subject,
        );
        let checked = async {
            let guest = testbed.start_guest(spec).await?;
            for side in Side::BOTH {
                settings::apply(subject, &guest.watch(side).await?).await?;
            }
            Ok::<_, Fault>(guest.watch(Side::Source).await?.host_info())
        };
        let host = checked.await;
        let closed = testbed.close().await.map_err(Fault::from);
        let host = match host {
            Ok(host) => host,
            Err(error) => {
                let fault = format!("subject {}: {error}", subject.name);
                return Err(with_left(fault.into(), closed));
            }
        };
        closed?;
        Ok(SubjectRecord {
            name: subject.name.clone(),
            host,
        })
    }

    async fn prepare(&mut self, workload: &str) -> Result<Vec<ImageRecord>, Fault> {
        let service: Service = workload.parse()?;
        let image = tokio::task::spawn_blocking(move || ServiceImage::prepare(service)).await??;
        let tools = Tools::prepare().await?;
        let of_image = |image: ServiceImage| ImageRecord {
            name: service.name().to_owned(),
            packages: clients::versions(&image.manifest.packages),
        };
        let records = image
            .map(of_image)
            .into_iter()
            .chain([tools.record()])
            .collect();
        self.tools = Some(tools);
        Ok(records)
    }

    async fn start(&mut self, setup: &Setup<'_>) -> Result<QemuService, Fault> {
        let tools = match &self.tools {
            Some(tools) => tools.clone(),
            None => self.tools.insert(Tools::prepare().await?).clone(),
        };
        QemuService::start(setup, self.history.clone(), tools).await
    }
}

/// Why something failed, and then what of it could not be removed: the clean-up never hides why.
fn with_left(fault: Fault, removed: Result<(), Fault>) -> Fault {
    match removed {
        Ok(()) => fault,
        Err(left) => format!("{fault}; and {left}").into(),
    }
}

async fn testbed(plan: &BenchPlan) -> Result<Testbed, Fault> {
    let builder = Testbed::builder();
    let builder = match plan.link {
        Some(rate) => builder.rate(rate),
        None => builder.unshaped(),
    };
    Ok(builder.build().await?)
}

/// A guest as the subject's hypervisor is to run it.
fn as_subject(mut spec: GuestSpec, subject: &Subject) -> GuestSpec {
    if let Some(machine) = &subject.machine {
        spec.machine.clone_from(machine);
    }
    spec.binary.clone_from(&subject.binary);
    spec.extra_arguments.extend(blackout::arguments());
    spec
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clean_up_that_fails_hides_no_fault() {
        let said = |removed| with_left("no answer".into(), removed).to_string();
        assert_eq!(said(Ok(())), "no answer");
        let left = Err("testbed b1 is not fully removed".into());
        assert_eq!(said(left), "no answer; and testbed b1 is not fully removed");
    }
}
