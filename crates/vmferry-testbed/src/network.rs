//! The wires: a shaped link between the hosts, and a network for the guests.

use std::time::Duration;

use vmferry_core::{ByteRate, Bytes};

use crate::command::run;
use crate::error::TestbedError;
use crate::host::Side;
use crate::netns::Namespace;

/// How long a shaped queue may get before it drops. TCP's own limit for a local sender keeps it
/// shorter than that.
const QUEUE: Duration = Duration::from_millis(20);

/// What a token bucket holds, as time at its rate: 256 KiB at 400 Mbit/s. Smaller buckets lose rate
/// to late timers, larger ones hide it from short transfers.
const BUCKET: Duration = Duration::from_micros(5243);

/// The smallest bucket: some frames, for slow links.
const SMALLEST_BUCKET: Bytes = Bytes(16 << 10);

/// The three namespaces of a testbed.
#[derive(Clone, Debug)]
pub(crate) struct Network {
    pub(crate) source: Namespace,
    pub(crate) destination: Namespace,
    pub(crate) client: Namespace,
}

impl Network {
    pub(crate) fn of(testbed: &str) -> Self {
        let named = |role| Namespace::named(format!("{testbed}-{role}"));
        Self {
            source: named("source"),
            destination: named("destination"),
            client: named("client"),
        }
    }

    pub(crate) fn all(&self) -> [&Namespace; 3] {
        [&self.source, &self.destination, &self.client]
    }

    pub(crate) fn host(&self, side: Side) -> &Namespace {
        match side {
            Side::Source => &self.source,
            Side::Destination => &self.destination,
        }
    }

    /// Makes the namespaces and all wires between them.
    pub(crate) fn create(&self, rate: Option<ByteRate>) -> Result<(), TestbedError> {
        for namespace in self.all() {
            namespace.create()?;
        }
        self.source.ip(&format!(
            "link add migration type veth peer name migration netns {}",
            self.destination.name()
        ))?;
        self.client
            .ip("link add guests type bridge mcast_snooping 0")?;
        for side in Side::BOTH {
            let host = self.host(side);
            // The interface counts frames as a network card does: segments are cut by the kernel
            // above it (and below the queue), not carried through whole.
            run(host
                .command("ethtool")?
                .args(["-K", "migration", "tso", "off"]))?;
            host.ip(&format!("address add {}/24 dev migration", side.address()))?;
            host.ip("link set migration up")?;

            host.ip("link add guests type bridge mcast_snooping 0")?;
            host.ip(&format!(
                "link add client type veth peer name {side} netns {}",
                self.client.name()
            ))?;
            host.ip("link set client master guests up")?;
            host.ip("link set guests up")?;
            self.client
                .ip(&format!("link set {side} master guests up"))?;
        }
        self.client.ip("address add 10.78.0.1/24 dev guests")?;
        self.client.ip("link set guests up")?;
        self.set_rate(rate)
    }

    /// Shapes the link in both directions; `None` takes the shaping off.
    pub(crate) fn set_rate(&self, rate: Option<ByteRate>) -> Result<(), TestbedError> {
        for side in Side::BOTH {
            let host = self.host(side);
            match rate {
                Some(rate) => {
                    host.tc(&format!("qdisc replace dev migration root {}", tbf(rate)))?
                }
                // Replacing and deleting also works where there is nothing to delete.
                None => host
                    .tc("qdisc replace dev migration root pfifo limit 1000")
                    .and_then(|_| host.tc("qdisc del dev migration root"))?,
            };
        }
        Ok(())
    }

    /// Pulls the plug of the link, or puts it back.
    pub(crate) fn plug(&self, plugged: bool) -> Result<(), TestbedError> {
        let state = if plugged { "up" } else { "down" };
        self.source.ip(&format!("link set migration {state}"))?;
        Ok(())
    }

    /// Bytes a host has sent over the link, frames included.
    pub(crate) fn sent(&self, side: Side) -> Result<Bytes, TestbedError> {
        let text = self.host(side).ip("-s -j link show dev migration")?;
        serde_json::from_str::<serde_json::Value>(&text)
            .ok()
            .and_then(|links| links.pointer("/0/stats64/tx/bytes")?.as_u64())
            .map(Bytes)
            .ok_or_else(|| TestbedError::Io {
                what: "read the counters of the link".to_owned(),
                source: std::io::Error::other(text),
            })
    }

    /// Makes the bridges forget behind which of their ports guests are: one that boots again at the
    /// source says nothing by itself, and would be looked for at the destination for minutes.
    pub(crate) fn forget_guests(&self) -> Result<(), TestbedError> {
        for namespace in self.all() {
            namespace.ip("link set dev guests type bridge fdb_flush")?;
        }
        Ok(())
    }

    /// Makes a guest's tap on both hosts.
    pub(crate) fn add_tap(&self, tap: &str) -> Result<(), TestbedError> {
        for side in Side::BOTH {
            let host = self.host(side);
            host.ip(&format!("tuntap add {tap} mode tap"))?;
            host.ip(&format!("link set {tap} master guests up"))?;
        }
        Ok(())
    }
}

/// The shaping of a rate, as `tc` reads it.
fn tbf(rate: ByteRate) -> String {
    let bucket = (rate * BUCKET).max(SMALLEST_BUCKET);
    format!(
        "tbf rate {:.0}bit burst {}b latency {}ms",
        rate.bits_per_s(),
        bucket.0,
        QUEUE.as_millis()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_scale_with_the_rate() {
        let texts: Vec<_> = [1.0, 400.0, 10_000.0]
            .map(|mbit| tbf(ByteRate::from_mbit_per_s(mbit)))
            .into();
        insta::assert_snapshot!(texts.join("\n"), @r"
        tbf rate 1000000bit burst 16384b latency 20ms
        tbf rate 400000000bit burst 262150b latency 20ms
        tbf rate 10000000000bit burst 6553750b latency 20ms
        ");
    }
}
