//! Reading a load's text, strictly.

use std::str::FromStr;

use super::keys::Keys;
use super::value::{self, RATE, SIZE, SIZE_OR_ZERO};
use super::{
    Grain, Network, PAGE, PATTERN_NAMES, Part, Pattern, Phase, Program, Protocol, Rate, Role,
    Service, Spec, SpecError, Writing,
};

const GRAIN: &str = "page or word";
const PROGRAM: &str = "program:NAME with postgres, redis, xz, sort or python";
const SERVICE: &str =
    "service:NAME with web, postgres, mariadb, standby, cache, file, application or mail";
const SERVICE_SET: &str = "a size only for postgres, mariadb and cache";
const PROGRAM_SET: &str = "a size from 1M to 4G such as 64M (K, M, G are 2^10, 2^20, 2^30)";
const PEER: &str = "peer=IP:PORT such as 10.78.0.1:7";
const PORT: &str = "a port from 1 to 65535, and only for role=sink or role=echo";

impl FromStr for Spec {
    type Err = SpecError;

    fn from_str(text: &str) -> Result<Self, SpecError> {
        Ok(Self {
            parts: text.split('+').map(part).collect::<Result<_, _>>()?,
        })
    }
}

fn part(text: &str) -> Result<Part, SpecError> {
    let (name, rest) = split(text);
    if name == "phases" {
        let phases = rest
            .unwrap_or("")
            .split('/')
            .map(phase)
            .collect::<Result<_, _>>()?;
        return Ok(Part {
            pattern: Pattern::Phases(phases),
            fill: 0,
            seed: 1,
        });
    }
    let common = &["fill", "seed"];
    let (pattern, keys) = match name {
        "program" => {
            let (program, rest) = named(name, rest, PROGRAM, Program::named)?;
            let keys = keys(name, rest, common)?;
            (running(program, &keys)?, keys)
        }
        "service" => {
            let (service, rest) = named(name, rest, SERVICE, |name| name.parse().ok())?;
            let keys = keys(name, rest, common)?;
            (serving(service, &keys)?, keys)
        }
        _ => {
            let keys = keys(name, rest, common)?;
            (pattern(name, &keys)?, keys)
        }
    };
    Ok(Part {
        pattern,
        fill: keys
            .get("fill", SIZE_OR_ZERO, value::pages_or_zero)?
            .unwrap_or(0),
        seed: keys
            .get("seed", "a whole number", |seed| seed.parse().ok())?
            .unwrap_or(1),
    })
}

/// The name that stands before the keys of `program:NAME,KEY=VALUE`, read.
fn named<'a, T>(
    pattern: &str,
    rest: Option<&'a str>,
    allowed: &'static str,
    read: impl Fn(&str) -> Option<T>,
) -> Result<(T, Option<&'a str>), SpecError> {
    let (name, rest) = match rest.unwrap_or("").split_once(',') {
        Some((name, rest)) => (name, Some(rest)),
        None => (rest.unwrap_or(""), None),
    };
    let named = read(name).ok_or_else(|| SpecError::BadValue {
        pattern: pattern.to_owned(),
        key: "NAME".to_owned(),
        value: name.to_owned(),
        allowed,
    })?;
    Ok((named, rest))
}

fn program_set(keys: &Keys<'_>) -> Result<Option<u64>, SpecError> {
    keys.get("set", PROGRAM_SET, |text| {
        value::pages(text).filter(|set| (1 << 20..=1 << 32).contains(set))
    })
}

fn serving(service: Service, keys: &Keys<'_>) -> Result<Pattern, SpecError> {
    let asked = program_set(keys)?;
    let usual = service.usual_set();
    if asked.is_some() && usual.is_none() {
        return Err(keys.refused("set", SERVICE_SET));
    }
    Ok(Pattern::Service {
        service,
        set: asked.or(usual),
    })
}

fn running(program: Program, keys: &Keys<'_>) -> Result<Pattern, SpecError> {
    Ok(Pattern::Program {
        program,
        set: program_set(keys)?.unwrap_or(program.usual_set()),
        duty: number(keys, "duty", 5.0, 400.0, "a number from 5 to 400")?,
    })
}

fn phase(text: &str) -> Result<Phase, SpecError> {
    let bad = || SpecError::BadPhase {
        piece: text.to_owned(),
    };
    let (time, part) = text.split_once('@').ok_or_else(bad)?;
    let time = value::time(time).ok_or_else(|| SpecError::BadValue {
        pattern: "phases".to_owned(),
        key: "TIME".to_owned(),
        value: time.to_owned(),
        allowed: value::TIME,
    })?;
    let (name, rest) = split(part);
    if ["phases", "growing", "network", "program", "service"].contains(&name) {
        return Err(SpecError::NotInPhases {
            pattern: name.to_owned(),
        });
    }
    let at = if own_keys(name).contains(&"set") {
        &["at"][..]
    } else {
        &[]
    };
    let keys = keys(name, rest, at)?;
    Ok(Phase {
        time,
        pattern: pattern(name, &keys)?,
    })
}

fn split(part: &str) -> (&str, Option<&str>) {
    match part.split_once(':') {
        Some((name, rest)) => (name, Some(rest)),
        None => (part, None),
    }
}

fn own_keys(pattern: &str) -> &'static [&'static str] {
    match pattern {
        "sequential" | "uniform" => &["set", "rate", "write", "compress"],
        "zipf" => &["set", "rate", "write", "compress", "skew"],
        "hotcold" => &["set", "rate", "cold-set", "cold-rate", "write", "compress"],
        "growing" => &["set", "limit", "grow", "rate", "write", "compress"],
        "compute" => &["duty"],
        "read" => &["set", "rate", "read", "compress"],
        "program" => &["set", "duty"],
        "service" => &["set"],
        "disk" => &["dev", "rate", "block"],
        "network" => &["role", "proto", "peer", "port", "size", "rate"],
        _ => &[],
    }
}

fn keys<'a>(name: &'a str, rest: Option<&'a str>, more: &[&str]) -> Result<Keys<'a>, SpecError> {
    if name.is_empty() {
        return Err(SpecError::Empty);
    }
    if !PATTERN_NAMES.contains(&name) {
        return Err(SpecError::UnknownPattern {
            name: name.to_owned(),
        });
    }
    let allowed: Vec<&str> = own_keys(name).iter().chain(more).copied().collect();
    Keys::parse(name, rest, &allowed)
}

fn pattern(name: &str, keys: &Keys<'_>) -> Result<Pattern, SpecError> {
    Ok(match name {
        "idle" => Pattern::Idle,
        "sequential" => Pattern::Sequential(writing(keys, 64 << 20)?),
        "uniform" => Pattern::Uniform(writing(keys, 64 << 20)?),
        "read" => Pattern::Read(writing(keys, 64 << 20)?),
        "zipf" => Pattern::Zipf {
            writing: writing(keys, 64 << 20)?,
            skew: number(keys, "skew", 0.1, 5.0, "a number from 0.1 to 5")?.unwrap_or(0.99),
        },
        "hotcold" => Pattern::HotCold {
            hot: writing(keys, 64 << 20)?,
            cold_set: keys
                .get("cold-set", SIZE, value::pages)?
                .unwrap_or(64 << 20),
            cold_rate: keys
                .get("cold-rate", RATE, value::rate)?
                .unwrap_or(Rate::BytesPerSecond(1 << 20)),
        },
        "growing" => growing(keys)?,
        "compute" => Pattern::Compute {
            duty: number(keys, "duty", 0.0, 100.0, "a number from 0 to 100")?.unwrap_or(100.0),
        },
        "disk" => Pattern::Disk {
            device: keys
                .get("dev", "the name of a device below /dev such as vda", device)?
                .unwrap_or_else(|| "vda".to_owned()),
            rate: keys
                .get("rate", RATE, value::rate)?
                .unwrap_or(Rate::Unlimited),
            block: keys
                .get(
                    "block",
                    "a multiple of 4096 from 4K to 16M such as 256K",
                    |text| {
                        value::bytes(text)
                            .filter(|size| size % PAGE == 0 && (PAGE..=16 << 20).contains(size))
                    },
                )?
                .unwrap_or(256 << 10),
        },
        "network" => Pattern::Network(network(keys)?),
        _ => {
            return Err(SpecError::UnknownPattern {
                name: name.to_owned(),
            });
        }
    })
}

fn writing(keys: &Keys<'_>, set: u64) -> Result<Writing, SpecError> {
    let grain = |text: &str| match text {
        "page" => Some(Grain::Page),
        "word" => Some(Grain::Word),
        _ => None,
    };
    let written = keys.get("write", GRAIN, grain)?;
    Ok(Writing {
        at: keys
            .get("at", SIZE_OR_ZERO, value::pages_or_zero)?
            .unwrap_or(0),
        set: keys.get("set", SIZE, value::pages)?.unwrap_or(set),
        rate: keys
            .get("rate", RATE, value::rate)?
            .unwrap_or(Rate::Unlimited),
        grain: written
            .or(keys.get("read", GRAIN, grain)?)
            .unwrap_or(Grain::Page),
        compress: number(keys, "compress", 0.0, 1.0, "a number from 0 to 1")?.unwrap_or(0.0),
    })
}

fn growing(keys: &Keys<'_>) -> Result<Pattern, SpecError> {
    let writing = writing(keys, 16 << 20)?;
    let limit = keys.get("limit", SIZE, value::pages)?.unwrap_or(256 << 20);
    if limit < writing.set {
        return Err(keys.refused("limit", "a size not below set"));
    }
    let grow = keys.get("grow", RATE, value::rate)?;
    Ok(Pattern::Growing {
        writing,
        limit,
        grow: grow.unwrap_or(Rate::BytesPerSecond(4 << 20)),
    })
}

fn network(keys: &Keys<'_>) -> Result<Network, SpecError> {
    let role = keys
        .get("role", "send, exchange, sink or echo", |role| {
            ["send", "exchange", "sink", "echo"]
                .into_iter()
                .find(|known| *known == role)
        })?
        .unwrap_or("send");
    let protocol = keys
        .get("proto", "udp or tcp", |text| match text {
            "udp" => Some(Protocol::Udp),
            "tcp" => Some(Protocol::Tcp),
            _ => None,
        })?
        .unwrap_or(Protocol::Udp);
    let peer = keys.get("peer", PEER, |text| text.parse().ok())?;
    let port = keys.get("port", PORT, |text| {
        text.parse().ok().filter(|port| *port != 0)
    })?;
    let rate = keys.get("rate", RATE, value::rate)?;
    let sends = matches!(role, "send" | "exchange");
    if sends && port.is_some() {
        return Err(keys.refused("port", PORT));
    }
    if !sends && peer.is_some() {
        return Err(keys.refused("peer", "only for role=send or role=exchange"));
    }
    if !sends && rate.is_some() {
        return Err(keys.refused("rate", "only for role=send or role=exchange"));
    }
    let peer = || peer.ok_or_else(|| keys.missing("peer", PEER));
    Ok(Network {
        role: match role {
            "send" => Role::Send(peer()?),
            "exchange" => Role::Exchange(peer()?),
            "sink" => Role::Sink(port.unwrap_or(7)),
            _ => Role::Echo(port.unwrap_or(7)),
        },
        protocol,
        size: keys
            .get("size", "bytes of one message, from 16 to 65000", |text| {
                value::bytes(text).filter(|size| (16..=65_000).contains(size))
            })?
            .unwrap_or(1400),
        rate: rate.unwrap_or(Rate::Unlimited),
    })
}

fn device(text: &str) -> Option<String> {
    let valid = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric());
    valid.then(|| text.to_owned())
}

fn number(
    keys: &Keys<'_>,
    key: &str,
    low: f64,
    high: f64,
    allowed: &'static str,
) -> Result<Option<f64>, SpecError> {
    keys.get(key, allowed, |text| {
        value::decimal(text).filter(|value| (low..=high).contains(value))
    })
}

#[cfg(test)]
mod tests;
