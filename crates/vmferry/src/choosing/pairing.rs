//! Which waiting hypervisor is meant for which guest.

use vmferry_core::GuestInfo;

/// By what a waiting hypervisor is known to be meant for a guest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Fit {
    /// It was given the guest's UUID.
    Uuid,
    /// It was given the guest's name, and no other UUID.
    Name,
    /// It was given neither name nor UUID, and is built like the guest: it takes
    /// any guest of this kind.
    Shape,
}

/// Whether a waiting hypervisor takes a guest: one of its UUID or name, or one
/// without either; with as much memory and as many virtual CPUs, and of the same
/// machine, where both ends tell.
pub(super) fn fits(guest: &GuestInfo, waiting: &GuestInfo) -> Option<Fit> {
    let fit = match (&guest.uuid, &waiting.uuid) {
        (Some(a), Some(b)) if a == b => Fit::Uuid,
        (Some(_), Some(_)) => return None,
        _ => match (&guest.name, &waiting.name) {
            (Some(a), Some(b)) if a == b => Fit::Name,
            (_, Some(_)) => return None,
            (_, None) if waiting.uuid.is_some() => return None,
            (_, None) => Fit::Shape,
        },
    };
    let built_alike = alike(&guest.memory_bytes, &waiting.memory_bytes)
        && alike(&guest.vcpus, &waiting.vcpus)
        && alike(&guest.machine, &waiting.machine);
    built_alike.then_some(fit)
}

/// Alike as far as both tell.
fn alike<T: PartialEq>(a: &Option<T>, b: &Option<T>) -> bool {
    match (a, b) {
        (Some(a), Some(b)) => a == b,
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use vmferry_core::{Bytes, GuestUri};

    fn guest(uuid: Option<&str>, name: Option<&str>, mib: u64) -> GuestInfo {
        GuestInfo {
            uri: GuestUri::local("/run/a.qmp"),
            name: name.map(str::to_owned),
            uuid: uuid.map(str::to_owned),
            memory_bytes: Some(Bytes::from_mib(mib)),
            ram_blocks: Vec::new(),
            vcpus: Some(1),
            machine: None,
            accelerator: None,
        }
    }

    #[test]
    fn a_uuid_counts_before_a_name_and_a_name_before_the_shape() {
        let web = guest(Some("u1"), Some("web"), 512);
        for (waiting, fit) in [
            (guest(Some("u1"), Some("other"), 512), Some(Fit::Uuid)),
            (guest(Some("u2"), Some("web"), 512), None),
            (guest(None, Some("web"), 512), Some(Fit::Name)),
            (guest(None, Some("db"), 512), None),
            (guest(None, None, 512), Some(Fit::Shape)),
            (guest(Some("u2"), None, 512), None),
            (guest(Some("u1"), Some("web"), 256), None),
            (guest(None, None, 256), None),
        ] {
            assert_eq!(fits(&web, &waiting), fit, "{waiting:?}");
        }
        let nameless = guest(None, None, 512);
        assert_eq!(fits(&nameless, &guest(None, None, 512)), Some(Fit::Shape));
        assert_eq!(fits(&nameless, &guest(None, Some("web"), 512)), None);
    }
}
