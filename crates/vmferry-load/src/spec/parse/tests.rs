//! What loads are read as, and what is refused.

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
