//! The devices of both ends: one that is missing at the destination fails the
//! move only at its very end, when the devices' state arrives.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};
use vmferry_hypervisor::HypervisorError;
use vmferry_hypervisor::qmp::Guest;

use super::{Check, verdict};

/// The devices of a guest, as far as they can be compared between two ends.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Devices {
    /// Devices by type, as `-device` and `device_add` name them, with their
    /// number. Virtual CPUs are left out, they have a check of their own.
    pub types: BTreeMap<String, u32>,
    /// What is on the root PCI bus, built-in devices included: `SLOT.FUNCTION
    /// VENDOR:DEVICE`. Buses behind bridges get their numbers from the guest,
    /// so they look different before the move.
    pub root_bus: BTreeSet<String>,
}

impl Devices {
    /// Asks a guest; `None` where its hypervisor cannot tell.
    pub(crate) async fn of(guest: &Guest) -> Result<Option<Self>, HypervisorError> {
        let mut found = Self::default();
        for place in ["/machine/peripheral", "/machine/peripheral-anon"] {
            match guest
                .request("qom-list", Some(json!({ "path": place })))
                .await
            {
                Ok(answer) => found.add_types(&answer),
                Err(error) if error.is_unreachable() => return Err(error),
                Err(_) => return Ok(None),
            }
        }
        match guest.request("query-pci", None).await {
            Ok(answer) => found.add_root_bus(&answer),
            Err(error) if error.is_unreachable() => return Err(error),
            Err(_) => {}
        }
        Ok(Some(found))
    }

    /// Reads the answer to `qom-list`: a child is of type `child<TYPE>`.
    fn add_types(&mut self, answer: &Value) {
        let types = answer
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(|property| property["type"].as_str()?.strip_prefix("child<"))
            .filter_map(|kind| kind.strip_suffix('>'))
            .filter(|kind| !kind.ends_with("-cpu"));
        for kind in types {
            *self.types.entry(kind.to_owned()).or_default() += 1;
        }
    }

    /// Reads the answer to `query-pci`.
    fn add_root_bus(&mut self, answer: &Value) {
        let devices = answer
            .as_array()
            .into_iter()
            .flatten()
            .filter(|bus| bus["bus"] == 0)
            .filter_map(|bus| bus["devices"].as_array())
            .flatten();
        self.root_bus.extend(devices.filter_map(|device| {
            Some(format!(
                "{:02x}.{} {:04x}:{:04x}",
                device["slot"].as_u64()?,
                device["function"].as_u64()?,
                device["id"]["vendor"].as_u64()?,
                device["id"]["device"].as_u64()?
            ))
        }));
    }

    /// Devices that `self` has more of than `other`.
    fn beyond(&self, other: &Self) -> Vec<String> {
        let more = |(kind, count): (&String, &u32)| {
            let more = count.saturating_sub(other.types.get(kind).copied().unwrap_or(0));
            match more {
                0 => None,
                1 => Some(kind.clone()),
                more => Some(format!("{more} x {kind}")),
            }
        };
        let types: Vec<_> = self.types.iter().filter_map(more).collect();
        if types.is_empty() && self.types == other.types {
            // Only places or built-in devices differ.
            let pci = |place: &String| format!("PCI {place}");
            return self.root_bus.difference(&other.root_bus).map(pci).collect();
        }
        types
    }
}

pub(super) fn same_devices(source: Option<&Devices>, destination: Option<&Devices>) -> Check {
    let name = "devices";
    let (Some(source), Some(destination)) = (source, destination) else {
        return verdict(name, true, "not told by the hypervisor", String::new);
    };
    let (here, there) = (source.beyond(destination), destination.beyond(source));
    let count: u32 = source.types.values().sum();
    verdict(
        name,
        here.is_empty() && there.is_empty(),
        format!("{count} given at both ends, the same on the PCI bus"),
        || {
            let only = |side: &str, devices: &[String]| {
                (!devices.is_empty()).then(|| format!("only the {side} has {}", devices.join(", ")))
            };
            let differences: Vec<_> = [only("source", &here), only("destination", &there)]
                .into_iter()
                .flatten()
                .collect();
            format!(
                "devices differ: {}; start the destination with the devices that the source has now, in the same order or at the same addresses",
                differences.join("; ")
            )
        },
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn devices(types: &[(&str, u32)], root_bus: &[&str]) -> Devices {
        Devices {
            types: types.iter().map(|(t, n)| ((*t).to_owned(), *n)).collect(),
            root_bus: root_bus.iter().map(|d| (*d).to_owned()).collect(),
        }
    }

    #[test]
    fn answers_of_the_hypervisor_are_read() {
        let mut found = Devices::default();
        found.add_types(&json!([
            {"name": "type", "type": "string"},
            {"name": "device[0]", "type": "child<virtio-rng-pci>"},
            {"name": "rng1", "type": "child<virtio-rng-pci>"},
            {"name": "cpu1", "type": "child<qemu64-x86_64-cpu>"},
        ]));
        found.add_root_bus(&json!([
            {"bus": 0, "devices": [
                {"bus": 0, "slot": 31, "function": 2, "id": {"vendor": 0x8086, "device": 0x2922}},
            ]},
            {"bus": 1, "devices": [
                {"bus": 1, "slot": 0, "function": 0, "id": {"vendor": 1, "device": 2}},
            ]},
        ]));
        assert_eq!(
            found,
            devices(&[("virtio-rng-pci", 2)], &["1f.2 8086:2922"])
        );
    }

    #[test]
    fn every_difference_is_named() {
        let detail = |a: &Devices, b: &Devices| {
            let check = same_devices(Some(a), Some(b));
            assert_eq!(check.passed, a == b);
            check.detail
        };
        let plain = devices(&[("virtio-blk-pci", 1)], &["02.0 1af4:1001"]);
        let rng = devices(
            &[("virtio-blk-pci", 1), ("virtio-rng-pci", 2)],
            &["02.0 1af4:1001", "03.0 1af4:1005", "04.0 1af4:1005"],
        );
        let moved = devices(&[("virtio-blk-pci", 1)], &["05.0 1af4:1001"]);
        insta::assert_snapshot!(
            [
                detail(&plain, &plain),
                detail(&rng, &plain),
                detail(&plain, &rng),
                detail(&plain, &moved),
            ]
            .join("\n"),
            @r"
        1 given at both ends, the same on the PCI bus
        devices differ: only the source has 2 x virtio-rng-pci; start the destination with the devices that the source has now, in the same order or at the same addresses
        devices differ: only the destination has 2 x virtio-rng-pci; start the destination with the devices that the source has now, in the same order or at the same addresses
        devices differ: only the source has PCI 02.0 1af4:1001; only the destination has PCI 05.0 1af4:1001; start the destination with the devices that the source has now, in the same order or at the same addresses
        "
        );
        assert!(same_devices(None, Some(&plain)).passed);
    }
}
