//! A baseboard controller over Redfish (DMTF DSP0266, DSP2046).

use serde_json::Value as Json;
use vmferry_core::Watts;

use super::http::{Address, Server, login};
use super::{PowerError, PowerMeter, READ_TIMEOUT, ReadFuture, Trust, power_now};

/// A document of a Redfish service that holds a power.
#[derive(Debug)]
pub struct Redfish {
    name: String,
    server: Server,
    base: String,
    /// Of the document that holds the reading; a chassis leads to it once.
    path: String,
    /// JSON pointer to the reading within it, where one was asked for.
    pointer: Option<String>,
}

impl Redfish {
    /// The reading at `http://USER@HOST/redfish/v1/Chassis/ID`, `.../Power` or
    /// `.../EnvironmentMetrics`; a chassis is asked for either. Of several
    /// readings in `Power` the first counts, unless the address ends in
    /// `#/PowerControl/N`.
    ///
    /// # Errors
    /// When that is no address, or the certificates to trust cannot be read.
    pub fn new(url: &str, password: Option<&str>, trust: &Trust) -> Result<Self, PowerError> {
        let address = Address::parse(url).map_err(|problem| PowerError::Spec {
            spec: format!("redfish:{url}"),
            problem,
        })?;
        let (path, pointer) = match address.path.split_once('#') {
            Some((path, pointer)) => (path.to_owned(), Some(pointer.to_owned())),
            None => (address.path.clone(), None),
        };
        let name = format!("Redfish {}{}", address.server, address.path);
        let login = address
            .user
            .map(|user| login(&user, password.unwrap_or_default()));
        Ok(Self {
            server: Server::new(&name, login, READ_TIMEOUT, trust)?,
            name,
            base: address.server,
            path,
            pointer,
        })
    }

    async fn watts(&mut self) -> Result<Watts, PowerError> {
        let document = self.document(&self.path).await?;
        let links = links_to_power(&document);
        if links.is_empty() {
            return self.parse(&document);
        }
        let mut first = None;
        for link in links {
            let found = match self.document(&link).await {
                Ok(document) => self.parse(&document),
                Err(error) => Err(error),
            };
            match found {
                Ok(watts) => {
                    // From now on without the way there.
                    self.path = link;
                    return Ok(watts);
                }
                Err(error) => {
                    first.get_or_insert(error);
                }
            }
        }
        first.map_or_else(|| self.parse(&document), Err)
    }

    fn parse(&self, document: &Json) -> Result<Watts, PowerError> {
        parse_power_reading(document, self.pointer.as_deref()).map_err(|problem| {
            PowerError::NotUnderstood {
                meter: self.name.clone(),
                problem,
            }
        })
    }

    async fn document(&self, path: &str) -> Result<Json, PowerError> {
        self.server.document(&format!("{}{path}", self.base)).await
    }
}

impl PowerMeter for Redfish {
    fn name(&self) -> &str {
        &self.name
    }

    fn read(&mut self) -> ReadFuture<'_> {
        Box::pin(async { self.watts().await.map(|watts| power_now(watts.0)) })
    }
}

/// Where a chassis may have its power: `EnvironmentMetrics`, since Redfish 2020.4
/// in the place of `Power`; many have it with fans and temperatures alone, and
/// the power still in `Power`. Empty in other documents.
fn links_to_power(document: &Json) -> Vec<String> {
    ["EnvironmentMetrics", "Power"]
        .iter()
        .filter_map(|name| document[name]["@odata.id"].as_str())
        .map(str::to_owned)
        .collect()
}

/// The power in a `Power` or an `EnvironmentMetrics` document: at a JSON
/// pointer (to the reading, or to the object that holds it), else the first
/// one that is there.
///
/// # Errors
/// Says what is missing.
pub fn parse_power_reading(document: &Json, pointer: Option<&str>) -> Result<Watts, String> {
    if let Some(pointer) = pointer {
        let at = document
            .pointer(pointer)
            .ok_or_else(|| format!("there is nothing at #{pointer}"))?;
        return reading_of(at)
            .ok_or_else(|| format!("there is no power at #{pointer}, but `{}`", short(at)));
    }
    let controls = document["PowerControl"].as_array();
    let found =
        reading_of(&document["PowerWatts"]).or_else(|| controls?.iter().find_map(reading_of));
    found.ok_or_else(|| {
        let kind = document["@odata.type"].as_str().unwrap_or("document");
        let known = document["PowerWatts"].is_object() || controls.is_some();
        if known {
            format!("its {kind} holds no reading now; is the host switched on?")
        } else {
            format!("its {kind} holds neither PowerControl nor PowerWatts; name a Chassis, its Power or its EnvironmentMetrics")
        }
    })
}

fn reading_of(value: &Json) -> Option<Watts> {
    [value, &value["PowerConsumedWatts"], &value["Reading"]]
        .iter()
        .find_map(|v| v.as_f64())
        .map(Watts)
}

fn short(value: &Json) -> String {
    value.to_string().chars().take(60).collect()
}
