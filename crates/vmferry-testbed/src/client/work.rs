//! What clients have done.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use vmferry_core::Millis;

use crate::Service;

use super::series::{self, ClientPoint};

/// What the clients of a service have done, from their start to their end.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ClientWork {
    /// The service.
    pub service: Service,
    /// The tools' names, for example `wrk`.
    pub tool: String,
    /// Their versions, as Debian gives them.
    pub version: String,
    /// Connections of all tools together.
    pub connections: u16,
    /// Operations done: requests, transactions, letters.
    pub operations: u64,
    /// From start to end.
    pub seconds: f64,
    /// Operations a second, over all of that.
    pub operations_per_s: f64,
    /// Operations that failed, connections that broke.
    pub errors: u64,
    /// Operations done so far, about once a second. In a stall points may be missing.
    pub series: Vec<ClientPoint>,
    /// Latencies as the tool said, where there is one tool.
    pub latency: ClientLatency,
    /// Each tool's own part.
    pub parts: Vec<PartWork>,
}

/// What one tool has done.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct PartWork {
    /// Its name, and what it did.
    pub tool: String,
    /// Its version.
    pub version: String,
    /// Operations done.
    pub operations: u64,
    /// Operations that failed.
    pub errors: u64,
    /// Latencies as the tool said.
    pub latency: ClientLatency,
    /// Why it ended although nobody asked it to.
    pub fault: Option<String>,
}

/// Latencies of operations over the whole run; a tool says some of them, or none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ClientLatency {
    /// Mean.
    pub mean_ms: Option<Millis>,
    /// Median.
    pub p50_ms: Option<Millis>,
    /// 90th percentile.
    pub p90_ms: Option<Millis>,
    /// 99th percentile.
    pub p99_ms: Option<Millis>,
    /// The longest.
    pub max_ms: Option<Millis>,
}

impl ClientWork {
    /// Operations a second between two moments (`CLOCK_MONOTONIC`, ns); between the points of the
    /// series they are taken for steady. `None` where the series does not reach over both.
    #[must_use]
    pub fn rate_between(&self, from_ns: u64, to_ns: u64) -> Option<f64> {
        let seconds = to_ns.checked_sub(from_ns).filter(|span| *span > 0)? as f64 / 1e9;
        let done = series::at(&self.series, to_ns)? - series::at(&self.series, from_ns)?;
        Some(done / seconds)
    }

    /// The tools that ended although nobody asked them to, and why.
    pub fn faults(&self) -> impl Iterator<Item = (&str, &str)> {
        self.parts
            .iter()
            .filter_map(|part| Some((part.tool.as_str(), part.fault.as_deref()?)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_of_a_window() {
        let part = |tool: &str, fault: Option<&str>| PartWork {
            tool: tool.to_owned(),
            version: "1".to_owned(),
            operations: 0,
            errors: 0,
            latency: ClientLatency::default(),
            fault: fault.map(str::to_owned),
        };
        let point = |at_ns, operations| ClientPoint { at_ns, operations };
        let work = ClientWork {
            service: Service::Web,
            tool: "wrk".to_owned(),
            version: "4.1.0".to_owned(),
            connections: 4,
            operations: 300,
            seconds: 3.0,
            operations_per_s: 100.0,
            errors: 0,
            series: vec![point(1_000_000_000, 0), point(2_000_000_000, 200)],
            latency: ClientLatency::default(),
            parts: vec![part("one", None), part("other", Some("gone"))],
        };
        assert_eq!(work.rate_between(1_500_000_000, 2_000_000_000), Some(200.0));
        assert_eq!(work.rate_between(1_500_000_000, 3_000_000_000), None);
        assert_eq!(work.rate_between(2, 2), None);
        assert_eq!(work.faults().collect::<Vec<_>>(), [("other", "gone")]);
        let text = serde_json::to_string(&work).expect("JSON");
        let back: ClientWork = serde_json::from_str(&text).expect("read back");
        assert_eq!(back, work);
    }
}
