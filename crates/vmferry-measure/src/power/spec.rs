//! A meter named on the command line.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use super::{
    CsvLog, Hwmon, Ipmi, PowerError, PowerMeter, Prometheus, Rapl, RaplDomains, Redfish, Trust,
};

/// The program that reads baseboard controllers.
const IPMITOOL: &str = "ipmitool";

/// Which meter; see [the module](super) for what can be written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MeterSpec {
    /// RAPL, below a directory other than the kernel's where one is named.
    Rapl {
        /// Which counters.
        domains: RaplDomains,
        /// Where.
        root: Option<PathBuf>,
    },
    /// A sensor, or a chip with one sensor.
    Hwmon(PathBuf),
    /// This host's baseboard controller.
    Ipmi,
    /// Another host's baseboard controller.
    RemoteIpmi {
        /// The user.
        user: String,
        /// The controller's address.
        host: String,
    },
    /// A Redfish document or chassis.
    Redfish {
        /// Its address.
        url: String,
        /// Whether whoever answers is trusted.
        insecure: bool,
    },
    /// A Prometheus with a query.
    Prometheus(String),
    /// A log of another program.
    Csv(PathBuf),
}

impl FromStr for MeterSpec {
    type Err = PowerError;

    fn from_str(text: &str) -> Result<Self, PowerError> {
        let wrong = |problem: &str| PowerError::Spec {
            spec: text.to_owned(),
            problem: problem.to_owned(),
        };
        let (kind, rest) = match text.split_once(':') {
            Some((_, "")) => return Err(wrong("nothing follows the colon")),
            Some((kind, rest)) => (kind, Some(rest)),
            None => (text, None),
        };
        let needed = |what: &str| rest.ok_or_else(|| wrong(what));
        Ok(match kind {
            "rapl" | "rapl+dram" => Self::Rapl {
                domains: if kind == "rapl" {
                    RaplDomains::Packages
                } else {
                    RaplDomains::PackagesAndMemory
                },
                root: rest.map(PathBuf::from),
            },
            "hwmon" => Self::Hwmon(needed("the path of a sensor is missing")?.into()),
            "ipmi" => match rest {
                None => Self::Ipmi,
                Some(rest) => {
                    let (user, host) = rest
                        .split_once('@')
                        .filter(|(user, host)| !user.is_empty() && !host.is_empty())
                        .ok_or_else(|| wrong("another host's controller takes USER@HOST, and the password in IPMI_PASSWORD"))?;
                    // Else `ipmitool` would take it for an option.
                    if user.starts_with('-') || host.starts_with('-') {
                        return Err(wrong("neither user nor host begins with a hyphen"));
                    }
                    Self::RemoteIpmi {
                        user: user.to_owned(),
                        host: host.to_owned(),
                    }
                }
            },
            "redfish" | "redfish+insecure" => {
                let url = needed("its URL is missing")?;
                Redfish::new(url, None, &Trust::Anyone)?;
                Self::Redfish {
                    url: url.to_owned(),
                    insecure: kind != "redfish",
                }
            }
            "prometheus" => {
                let url = needed("its URL is missing")?;
                Prometheus::new(url, &Trust::Anyone)?;
                Self::Prometheus(url.to_owned())
            }
            "csv" => Self::Csv(needed("the file is missing")?.into()),
            _ => return Err(wrong("its kind is unknown")),
        })
    }
}

impl fmt::Display for MeterSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Rapl { domains, root } => {
                f.write_str(match domains {
                    RaplDomains::Packages => "rapl",
                    RaplDomains::PackagesAndMemory => "rapl+dram",
                })?;
                root.as_ref()
                    .map_or(Ok(()), |root| write!(f, ":{}", root.display()))
            }
            Self::Hwmon(path) => write!(f, "hwmon:{}", path.display()),
            Self::Ipmi => f.write_str("ipmi"),
            Self::RemoteIpmi { user, host } => write!(f, "ipmi:{user}@{host}"),
            Self::Redfish {
                url,
                insecure: false,
            } => write!(f, "redfish:{url}"),
            Self::Redfish { url, .. } => write!(f, "redfish+insecure:{url}"),
            Self::Prometheus(url) => write!(f, "prometheus:{url}"),
            Self::Csv(path) => write!(f, "csv:{}", path.display()),
        }
    }
}

impl MeterSpec {
    /// Opens the meter. The password of a Redfish service comes from
    /// `VMFERRY_REDFISH_PASSWORD`, that of another host's controller from
    /// `IPMI_PASSWORD`.
    ///
    /// # Errors
    /// When it is not there or cannot be read; meters behind a network or a
    /// program are asked by the first reading only.
    pub fn open(&self) -> Result<Box<dyn PowerMeter>, PowerError> {
        Ok(match self {
            Self::Rapl { domains, root } => Box::new(match root {
                Some(root) => Rapl::open_at(root, *domains)?,
                None => Rapl::open(*domains)?,
            }),
            Self::Hwmon(path) => Box::new(Hwmon::open(path)?),
            Self::Ipmi => Box::new(Ipmi::local(IPMITOOL.into())),
            Self::RemoteIpmi { user, host } => Box::new(Ipmi::remote(IPMITOOL.into(), user, host)),
            Self::Redfish { url, insecure } => {
                let trust = if *insecure { Trust::Anyone } else { trust() };
                let password = std::env::var("VMFERRY_REDFISH_PASSWORD").ok();
                Box::new(Redfish::new(url, password.as_deref(), &trust)?)
            }
            Self::Prometheus(url) => Box::new(Prometheus::new(url, &trust())?),
            Self::Csv(path) => Box::new(CsvLog::open(path)?),
        })
    }
}

/// As other programs take it.
fn trust() -> Trust {
    std::env::var_os("SSL_CERT_FILE").map_or(Trust::System, |path| Trust::File(path.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn specs_come_back_as_written() {
        for text in [
            "rapl",
            "rapl+dram",
            "rapl:/tmp/powercap",
            "hwmon:/sys/class/hwmon/hwmon3",
            "ipmi",
            "ipmi:ADMIN@10.0.0.7",
            "redfish:https://root@bmc/redfish/v1/Chassis/1/Power#/PowerControl/1",
            "redfish+insecure:https://bmc/redfish/v1/Chassis/1",
            "prometheus:http://localhost:9090?query=sum(rate(kepler_node_platform_joules_total[5s]))",
            "csv:power.csv",
        ] {
            assert_eq!(text.parse::<MeterSpec>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn wrong_specs_say_what_is_wrong() {
        for (text, words) in [
            ("wattmeter", "its kind is unknown"),
            ("", "its kind is unknown"),
            ("hwmon", "the path of a sensor is missing"),
            ("csv:", "nothing follows the colon"),
            ("ipmi:10.0.0.7", "USER@HOST"),
            ("ipmi:-x@y", "hyphen"),
            ("redfish:bmc/redfish", "http:// or https://"),
            (
                "redfish:http://root:calvin@bmc/",
                "VMFERRY_REDFISH_PASSWORD",
            ),
            ("prometheus:http://h:9090", "?query="),
        ] {
            let said = text.parse::<MeterSpec>().unwrap_err().to_string();
            assert!(said.contains(words), "{said}");
            assert!(said.contains("csv:FILE"), "what can be written: {said}");
        }
    }
}
