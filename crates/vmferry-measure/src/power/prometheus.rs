//! A power in Prometheus: what Kepler, Scaphandre or an exporter of a power
//! distribution unit put there.

use serde_json::Value as Json;
use vmferry_core::Watts;

use super::http::{Address, Server};
use super::{PowerError, PowerMeter, READ_TIMEOUT, ReadFuture, Trust, power_now};

/// An instant query whose answer is a power in watts
/// (<https://prometheus.io/docs/prometheus/latest/querying/api/>).
///
/// Counters of energy become a power by `rate()`, for example
/// `sum(rate(kepler_node_platform_joules_total{instance="a"}[5s]))`: the shorter
/// its window, the less a move is smeared. Prometheus has nothing newer than
/// its last scrape.
#[derive(Debug)]
pub struct Prometheus {
    name: String,
    server: Server,
    url: String,
}

impl Prometheus {
    /// The query in `http://HOST:PORT?query=EXPRESSION`, with the expression as
    /// it is, not encoded for a URL.
    ///
    /// # Errors
    /// When that is no address, has no query, or the certificates to trust
    /// cannot be read.
    pub fn new(url: &str, trust: &Trust) -> Result<Self, PowerError> {
        let wrong = |problem: &str| PowerError::Spec {
            spec: format!("prometheus:{url}"),
            problem: problem.to_owned(),
        };
        let (address, query) = url
            .split_once("?query=")
            .ok_or_else(|| wrong("the query is missing: ?query=EXPRESSION"))?;
        if query.trim().is_empty() {
            return Err(wrong("the query is empty"));
        }
        let address = Address::parse(address).map_err(|problem| wrong(&problem))?;
        let path = address.path.trim_end_matches('/');
        let path = path.strip_suffix("/api/v1/query").unwrap_or(path);
        let name = format!("Prometheus {}{path} {query}", address.server);
        Ok(Self {
            server: Server::new(&name, None, READ_TIMEOUT, trust)?,
            name,
            url: format!(
                "{}{path}/api/v1/query?query={}",
                address.server,
                percent_encoded(query)
            ),
        })
    }

    async fn watts(&self) -> Result<Watts, PowerError> {
        let document = self.server.document(&self.url).await?;
        parse_instant_query(&document).map_err(|problem| PowerError::NotUnderstood {
            meter: self.name.clone(),
            problem,
        })
    }
}

impl PowerMeter for Prometheus {
    fn name(&self) -> &str {
        &self.name
    }

    fn read(&mut self) -> ReadFuture<'_> {
        Box::pin(async { self.watts().await.map(|watts| power_now(watts.0)) })
    }
}

/// All but the unreserved characters of RFC 3986 as `%XX`.
fn percent_encoded(text: &str) -> String {
    let mut encoded = String::new();
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            encoded.push_str(&format!("%{byte:02X}"));
        }
    }
    encoded
}

/// The one value in the answer of `/api/v1/query`.
///
/// # Errors
/// Says why there is none: an error of Prometheus, no data, or several series.
pub fn parse_instant_query(document: &Json) -> Result<Watts, String> {
    if document["status"] != "success" {
        return Err(document["error"].as_str().map_or_else(
            || "the answer is none of Prometheus".to_owned(),
            |error| format!("Prometheus refuses the query: {error}"),
        ));
    }
    let data = &document["data"];
    let result = &data["result"];
    let value = match data["resultType"].as_str() {
        Some("scalar") => &result[1],
        Some("vector") => match result.as_array().map_or(&[][..], Vec::as_slice) {
            [one] => &one["value"][1],
            [] => {
                return Err("the query has no data; is the exporter scraped, and is the window of rate() longer than two scrapes?".to_owned());
            }
            several => {
                return Err(format!(
                    "the query gives {} series; narrow it to one, or sum() them",
                    several.len()
                ));
            }
        },
        other => {
            return Err(format!(
                "the query gives a {}, and one value is needed",
                other.unwrap_or("document without result")
            ));
        }
    };
    // Numbers are strings there, so that NaN and infinities can be told.
    value
        .as_str()
        .and_then(|text| text.parse().ok())
        .map(Watts)
        .ok_or_else(|| format!("the value `{value}` is no number"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queries_are_encoded_and_paths_kept() {
        let of = |url: &str| Prometheus::new(url, &Trust::System).unwrap().url;
        assert_eq!(
            of("http://h:9090?query=sum(rate(j{a=\"b c\"}[5s]))"),
            "http://h:9090/api/v1/query?query=sum%28rate%28j%7Ba%3D%22b%20c%22%7D%5B5s%5D%29%29"
        );
        let long = "http://h/prom/api/v1/query?query=up";
        assert_eq!(of(long), long);
        for wrong in ["http://h:9090", "http://h?query= ", "h:9090?query=up"] {
            assert!(matches!(
                Prometheus::new(wrong, &Trust::System),
                Err(PowerError::Spec { .. })
            ));
        }
    }
}
