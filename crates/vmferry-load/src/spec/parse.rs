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
mod tests {
    use std::time::Duration;

    use super::*;

    const WRITING: Writing = Writing {
        at: 0,
        set: 64 << 20,
        rate: Rate::Unlimited,
        grain: Grain::Page,
        compress: 0.0,
    };

    fn one(text: &str) -> Pattern {
        let mut spec: Spec = text.parse().unwrap();
        assert_eq!(spec.parts.len(), 1);
        spec.parts.remove(0).pattern
    }

    #[test]
    fn defaults_of_every_pattern() {
        assert_eq!(one("idle"), Pattern::Idle);
        assert_eq!(one("sequential"), Pattern::Sequential(WRITING));
        assert_eq!(one("uniform"), Pattern::Uniform(WRITING));
        assert_eq!(one("read"), Pattern::Read(WRITING));
        assert_eq!(
            one("zipf"),
            Pattern::Zipf {
                writing: WRITING,
                skew: 0.99
            }
        );
        assert_eq!(one("compute"), Pattern::Compute { duty: 100.0 });
        assert_eq!(
            one("hotcold"),
            Pattern::HotCold {
                hot: WRITING,
                cold_set: 64 << 20,
                cold_rate: Rate::BytesPerSecond(1 << 20)
            }
        );
        assert_eq!(
            one("growing"),
            Pattern::Growing {
                writing: Writing {
                    set: 16 << 20,
                    ..WRITING
                },
                limit: 256 << 20,
                grow: Rate::BytesPerSecond(4 << 20)
            }
        );
        assert_eq!(
            one("disk"),
            Pattern::Disk {
                device: "vda".to_owned(),
                rate: Rate::Unlimited,
                block: 256 << 10
            }
        );
        let Pattern::Network(network) = one("network:role=echo") else {
            panic!("not network")
        };
        assert_eq!(
            (network.role, network.protocol),
            (Role::Echo(7), Protocol::Udp)
        );
    }

    #[test]
    fn a_full_hot_and_cold_load() {
        let spec: Spec =
            "hotcold:set=64M,rate=20M,cold-set=128M,cold-rate=1M,write=word,compress=0.5,fill=8M,seed=7"
                .parse()
                .unwrap();
        assert_eq!(
            spec.parts[0],
            Part {
                pattern: Pattern::HotCold {
                    hot: Writing {
                        rate: Rate::BytesPerSecond(20 << 20),
                        grain: Grain::Word,
                        compress: 0.5,
                        ..WRITING
                    },
                    cold_set: 128 << 20,
                    cold_rate: Rate::BytesPerSecond(1 << 20),
                },
                fill: 8 << 20,
                seed: 7,
            }
        );
        assert_eq!(spec.memory(), 200 << 20);
    }

    #[test]
    fn programs() {
        assert_eq!(
            one("program:redis,set=128M,duty=50"),
            Pattern::Program {
                program: Program::Redis,
                set: 128 << 20,
                duty: Some(50.0)
            }
        );
        for program in Program::ALL {
            let text = format!("program:{}", program.name());
            let set = program.usual_set();
            let usual = Pattern::Program {
                program,
                set,
                duty: None,
            };
            assert_eq!(one(&text), usual);
            let spec: Spec = format!("{text}+idle").parse().unwrap();
            assert!(spec.runs_programs());
            assert!(spec.memory() > set, "a set is not all");
            assert_eq!(usual.span(), 0, "the memory is the program's own");
        }
        assert!(!"idle".parse::<Spec>().unwrap().runs_programs());
    }

    #[test]
    fn services() {
        for service in Service::ALL {
            let usual = one(&format!("service:{service}"));
            let set = service.usual_set();
            assert_eq!(usual, Pattern::Service { service, set });
        }
        let spec: Spec = "service:cache,set=32M+idle".parse().unwrap();
        assert_eq!(spec.services().collect::<Vec<_>>(), [Service::Cache]);
        assert_eq!(spec.memory(), Service::Cache.memory(Some(32 << 20)));
    }

    #[test]
    fn parts_and_phases() {
        let spec: Spec = "phases:8s@uniform:set=4M,at=4M/500ms@idle+compute:duty=30"
            .parse()
            .unwrap();
        assert_eq!(spec.parts.len(), 2);
        let Pattern::Phases(phases) = &spec.parts[0].pattern else {
            panic!("not phases")
        };
        assert_eq!(phases[0].time, Duration::from_secs(8));
        assert_eq!(
            phases[1],
            Phase {
                time: Duration::from_millis(500),
                pattern: Pattern::Idle
            }
        );
        assert_eq!(spec.memory(), 8 << 20);
    }

    #[test]
    fn network_roles() {
        let Pattern::Network(network) =
            one("network:role=exchange,proto=tcp,peer=10.78.0.1:7,size=1K,rate=1M")
        else {
            panic!("not network")
        };
        assert_eq!(network.role, Role::Exchange("10.78.0.1:7".parse().unwrap()));
        assert_eq!((network.protocol, network.size), (Protocol::Tcp, 1024));
    }

    #[test]
    fn examples_of_the_grammar_are_valid() {
        let (_, examples) = super::super::GRAMMAR.split_once("Examples:\n").unwrap();
        assert!(examples.lines().count() >= 4);
        for example in examples.lines() {
            example.trim().parse::<Spec>().unwrap();
        }
    }

    #[test]
    fn the_grammar_names_every_pattern_and_key() {
        for name in PATTERN_NAMES {
            assert!(
                super::super::GRAMMAR.contains(&format!("\n  {name} ")),
                "{name}"
            );
            for key in own_keys(name) {
                assert!(super::super::GRAMMAR.contains(key), "{name} {key}");
            }
        }
    }

    /// Bad text, and what its message must contain: the pattern, the key, what is allowed.
    #[test]
    fn bad_text_is_refused_with_a_clear_message() {
        for (text, words) in [
            ("", &["empty pattern"][..]),
            ("idle+", &["empty pattern"]),
            ("+idle", &["empty pattern"]),
            (":set=1M", &["empty pattern"]),
            ("unifrom", &["unifrom", "sequential, uniform"]),
            ("Uniform", &["unknown pattern"]),
            ("uniform:", &["uniform", "KEY=VALUE"]),
            ("program", &["program", "postgres, redis"]),
            ("program:mysql", &["mysql", "postgres, redis"]),
            ("program:redis,", &["\"\" is not KEY=VALUE"]),
            ("program:redis,duty=1", &["duty=", "5 to 400"]),
            ("program:redis,set=4K", &["set=", "from 1M"]),
            ("phases:1s@program:redis", &["program cannot be a phase"]),
            ("service", &["service", "web, postgres"]),
            ("service:ftp", &["ftp", "web, postgres"]),
            ("service:web,set=8M", &["set=", "postgres, mariadb"]),
            ("service:cache,duty=50", &["duty", "set, fill, seed"]),
            ("phases:1s@service:web", &["service cannot be a phase"]),
            ("uniform:set", &["uniform", "\"set\"", "KEY=VALUE"]),
            ("uniform:set=64M,", &["\"\" is not KEY=VALUE"]),
            ("uniform:set=", &["set=\"\"", "64M"]),
            ("uniform:set=1K", &["set=", "from 4K"]),
            ("uniform:set=64MB", &["set=\"64MB\"", "K, M, G"]),
            ("uniform:set=-1M", &["set="]),
            ("uniform:set=nan", &["set="]),
            ("uniform:set=2000G", &["set=", "1024G"]),
            ("uniform:set=1M,set=2M", &["set", "twice"]),
            ("uniform:at=1M", &["unknown key \"at\""]),
            (
                "uniform:duty=3",
                &["duty", "set, rate, write, compress, fill, seed"],
            ),
            ("uniform:rate=0", &["rate=", "max"]),
            ("uniform:rate=fast", &["rate=\"fast\"", "max"]),
            ("uniform:write=half", &["write=\"half\"", "page or word"]),
            ("uniform:compress=1.1", &["compress=", "from 0 to 1"]),
            ("uniform:compress=-0.1", &["compress="]),
            ("uniform:fill=x", &["fill="]),
            ("uniform:seed=-1", &["seed=", "whole number"]),
            ("read:write=page", &["read", "unknown key \"write\""]),
            ("zipf:skew=0", &["skew=", "0.1 to 5"]),
            (
                "growing:set=8M,limit=4M",
                &["limit=\"4M\"", "not below set"],
            ),
            ("compute:duty=101", &["duty=", "0 to 100"]),
            ("compute:duty=inf", &["duty="]),
            ("disk:dev=/dev/vda", &["dev=", "below /dev"]),
            ("disk:dev=../x", &["dev="]),
            ("disk:block=5000", &["block=", "multiple of 4096"]),
            ("network", &["network", "peer", "IP:PORT"]),
            ("network:peer=host:7", &["peer=", "IP:PORT"]),
            (
                "network:role=both",
                &["role=", "send, exchange, sink or echo"],
            ),
            ("network:role=echo,port=0", &["port=", "65535"]),
            ("network:role=echo,peer=1.2.3.4:5", &["peer=", "role=send"]),
            ("network:role=sink,rate=1M", &["rate=", "role=send"]),
            ("network:peer=1.2.3.4:5,port=7", &["port=", "role=sink"]),
            ("network:peer=1.2.3.4:5,size=70000", &["size=", "65000"]),
            (
                "network:peer=1.2.3.4:5,proto=icmp",
                &["proto=", "udp or tcp"],
            ),
            ("phases", &["phases", "TIME@PATTERN"]),
            ("phases:8s", &["TIME@PATTERN"]),
            ("phases:8@idle", &["TIME", "500ms or 10s"]),
            ("phases:8s@idle/", &["TIME@PATTERN"]),
            ("phases:8s@phases:1s@idle", &["phases cannot be a phase"]),
            ("phases:8s@growing", &["growing cannot be a phase"]),
            ("phases:8s@idle:fill=1M", &["unknown key \"fill\""]),
            ("idle:set=1M", &["unknown key \"set\"", "fill, seed"]),
        ] {
            let message = text.parse::<Spec>().unwrap_err().to_string();
            for word in words {
                assert!(
                    message.contains(word),
                    "{text:?}: {message:?} lacks {word:?}"
                );
            }
        }
    }
}
