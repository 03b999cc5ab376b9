//! What the kernel command line asks for.

use std::net::Ipv4Addr;

/// Values of the keys that begin with `vmferry.`; what is not valid is a warning, never fatal.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct CommandLine {
    pub(crate) load: Option<String>,
    pub(crate) address: Option<(Ipv4Addr, u8)>,
    pub(crate) gateway: Option<Ipv4Addr>,
    pub(crate) report: Option<String>,
    pub(crate) warnings: Vec<String>,
}

impl CommandLine {
    pub(crate) fn parse(text: &str) -> Self {
        let mut line = Self::default();
        for (key, value) in text
            .split_whitespace()
            .filter_map(|word| word.strip_prefix("vmferry.")?.split_once('='))
        {
            let valid = match key {
                "load" => {
                    line.load = Some(value.to_owned());
                    true
                }
                "ip" => {
                    line.address = address(value);
                    line.address.is_some()
                }
                "gw" => {
                    line.gateway = value.parse().ok();
                    line.gateway.is_some()
                }
                "report" => {
                    line.report = Some(device(value));
                    true
                }
                _ => false,
            };
            if !valid {
                line.warnings.push(format!(
                    "vmferry.{key}={value} on the kernel command line is not valid; allowed: vmferry.load=SPEC, \
                     vmferry.ip=ADDRESS/PREFIX, vmferry.gw=ADDRESS, vmferry.report=ttyS0"
                ));
            }
        }
        line
    }
}

fn address(text: &str) -> Option<(Ipv4Addr, u8)> {
    let (address, prefix) = text.split_once('/')?;
    Some((
        address.parse().ok()?,
        prefix.parse().ok().filter(|prefix| *prefix <= 32)?,
    ))
}

fn device(name: &str) -> String {
    if name.starts_with('/') {
        name.to_owned()
    } else {
        format!("/dev/{name}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_ours_and_leaves_the_rest() {
        let line = CommandLine::parse(
            "console=ttyS0 quiet vmferry.load=uniform:set=64M,rate=20M vmferry.ip=10.78.0.10/24 \
             vmferry.gw=10.78.0.1 vmferry.report=hvc0 panic=-1\n",
        );
        assert_eq!(
            line,
            CommandLine {
                load: Some("uniform:set=64M,rate=20M".to_owned()),
                address: Some((Ipv4Addr::new(10, 78, 0, 10), 24)),
                gateway: Some(Ipv4Addr::new(10, 78, 0, 1)),
                report: Some("/dev/hvc0".to_owned()),
                warnings: Vec::new(),
            }
        );
        assert_eq!(CommandLine::parse("console=ttyS0"), CommandLine::default());
    }

    #[test]
    fn what_is_not_valid_is_told() {
        for text in [
            "vmferry.ip=10.0.0.1",
            "vmferry.ip=10.0.0.1/33",
            "vmferry.gw=x",
            "vmferry.laod=idle",
        ] {
            let line = CommandLine::parse(text);
            assert_eq!(line.warnings.len(), 1, "{text}");
            assert!(line.warnings[0].contains(text), "{text}");
        }
    }
}
