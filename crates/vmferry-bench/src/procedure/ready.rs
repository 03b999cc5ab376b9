//! What has to be there before anything is measured.

use tokio::sync::watch;

use super::{BenchEvent, Tell};
use crate::error::BenchError;
use crate::plan::BenchPlan;
use crate::platform::{Fault, Platform};
use crate::record::{BenchRecord, ImageRecord, MachineRecord, SubjectRecord};

/// Machine, subjects and images as they are now.
pub(super) struct Ready {
    pub(super) machine: MachineRecord,
    pub(super) subjects: Vec<SubjectRecord>,
    pub(super) images: Vec<ImageRecord>,
}

/// Makes everything ready: a binary that does not run or an image that cannot be built is known
/// before hours of runs.
pub(super) async fn make<P: Platform>(
    platform: &mut P,
    plan: &BenchPlan,
    cancel: &watch::Receiver<bool>,
    tell: Tell<'_>,
) -> Result<Ready, BenchError> {
    let mut begin = |what: String| {
        if *cancel.borrow() {
            return Err(BenchError::CancelledEarly);
        }
        tell(BenchEvent::Preparing { what: what.clone() });
        Ok(move |fault: Fault| BenchError::NotReady { what, fault })
    };
    let fail = begin("the machine".into())?;
    let machine = platform.machine().await.map_err(fail)?;
    let mut subjects = Vec::new();
    for subject in &plan.subjects {
        let fail = begin(format!("subject {}", subject.name))?;
        subjects.push(platform.check(plan, subject).await.map_err(fail)?);
    }
    let mut images: Vec<ImageRecord> = Vec::new();
    for workload in &plan.workloads {
        let fail = begin(format!("workload {workload}"))?;
        for image in platform.prepare(workload).await.map_err(fail)? {
            // Workloads share tools.
            if !images.contains(&image) {
                images.push(image);
            }
        }
    }
    if *cancel.borrow() {
        return Err(BenchError::CancelledEarly);
    }
    Ok(Ready {
        machine,
        subjects,
        images,
    })
}

impl Ready {
    /// What is not as it was when the benchmark was begun, in words.
    pub(super) fn differences(&self, begun: &BenchRecord, tool_version: &str) -> Vec<String> {
        let mut found = Vec::new();
        let mut differ = |what: &str, was: String, is: String| {
            if was != is {
                found.push(format!("{what} was {was} and is {is}"));
            }
        };
        differ(
            "vmferry",
            begun.tool_version.clone(),
            tool_version.to_owned(),
        );
        let (was, is) = (&begun.machine, &self.machine);
        differ("the processor", was.cpu.clone(), is.cpu.clone());
        differ(
            "the number of CPUs",
            was.cpus.to_string(),
            is.cpus.to_string(),
        );
        differ(
            "the memory",
            was.memory_bytes.to_string(),
            is.memory_bytes.to_string(),
        );
        differ("the kernel", was.kernel.clone(), is.kernel.clone());
        differ(
            "the accelerator",
            was.accelerator.clone(),
            is.accelerator.clone(),
        );
        differ("the machine", was.note.clone(), is.note.clone());
        for (was, is) in begun.subjects.iter().zip(&self.subjects) {
            let told = |subject: &SubjectRecord| {
                let host = &subject.host;
                let known = [&host.hostname, &host.hypervisor_version, &host.package];
                let known: Vec<&str> = known.into_iter().flatten().map(String::as_str).collect();
                format!("{} {}", host.hypervisor, known.join(" "))
            };
            differ(&format!("subject {}", was.name), told(was), told(is));
        }
        for was in &begun.images {
            let is = self.images.iter().find(|image| image.name == was.name);
            let packages = |image: &ImageRecord| image.packages.clone();
            let old = packages(was);
            let new = is.map(packages).unwrap_or_default();
            let changed: Vec<String> = new
                .iter()
                .filter(|package| !old.contains(package))
                .chain(old.iter().filter(|package| !new.contains(package)))
                .map(|(name, version)| format!("{name} {version}"))
                .collect();
            if !changed.is_empty() {
                found.push(format!(
                    "image {} has or had other packages: {}",
                    was.name,
                    changed.join(", ")
                ));
            }
        }
        found
    }
}
