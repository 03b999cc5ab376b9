//! A testbed for people, with the command that moves its first guest.

use vmferry::testbed::TestbedStatus;

use super::{or_dash, table as new_table, text};

/// The answer of `testbed up` and `testbed status`.
pub(crate) fn table(status: &TestbedStatus) -> String {
    let mut out = format!(
        "testbed      {} ({}), link {}\nclients in   ip netns exec {}\n",
        status.name,
        status.accelerator,
        or_dash(status.rate),
        status.client_namespace
    );
    let mut rows = new_table(&[
        "guest",
        "load",
        "address",
        "at the source",
        "at the destination",
    ]);
    for guest in &status.guests {
        rows.add_row(vec![
            guest.name.clone(),
            guest.load.clone(),
            guest.ip.clone(),
            or_dash(guest.source.status.as_ref()),
            or_dash(guest.destination.status.as_ref()),
        ]);
    }
    out.push_str(&text(&rows));
    if let Some(guest) = status.guests.first() {
        out.push_str(&format!(
            "\n\nmove it:\n  vmferry migrate {} --to {} --via {}{}\n",
            guest.source.uri,
            guest.destination.uri,
            guest.via,
            status.rate.map_or_else(String::new, |rate| format!(
                " --bandwidth {:.0}Mbit/s",
                rate.mbit_per_s()
            )),
        ));
    }
    out.trim_end().to_owned()
}
