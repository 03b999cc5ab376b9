//! `ipmitool`: its real answers recorded, and the program itself against a
//! controller of ours.

use std::io::{Read as _, Write as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::process::Command;

use vmferry_core::Watts;
use vmferry_measure::power::{Ipmi, PowerMeter as _, parse_dcmi_power};

use crate::watts;

/// What ipmitool 1.8.19 of Debian 12 prints.
const RECORDED: &str = include_str!("fixtures/ipmitool-1.8.19-dcmi-power-reading.txt");
/// The same from a controller whose metering is switched off.
const DEACTIVATED: &str = include_str!("fixtures/ipmitool-1.8.19-dcmi-deactivated.txt");

#[test]
fn recorded_answers() {
    assert_eq!(parse_dcmi_power(RECORDED), Ok(Watts(228.0)));
    let error = parse_dcmi_power(DEACTIVATED).unwrap_err();
    assert!(error.contains("deactivated; activate it"), "{error}");
    for (text, words) in [
        ("", "no `Instantaneous power reading`"),
        ("    DCMI request failed\n", "`DCMI request failed`"),
        (
            "  Instantaneous power reading:   many Watts\n",
            "`many Watts`",
        ),
    ] {
        let error = parse_dcmi_power(text).unwrap_err();
        assert!(error.contains(words), "{error}");
    }
}

/// A controller that answers `ipmitool -I dummy`, which speaks plain structs
/// over a socket (its `src/plugins/dummy`). Answers "Get Power Reading" (DCMI
/// 1.5, 6.6.1) with these bytes, or a completion code.
fn controller(socket: &Path, answer: Result<Vec<u8>, u8>) {
    let listener = UnixListener::bind(socket).expect("a socket");
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            serve(stream, &answer);
        }
    });
}

fn serve(mut stream: UnixStream, answer: &Result<Vec<u8>, u8>) {
    const GROUP_EXTENSION: u8 = 0x2c;
    const GET_POWER_READING: u8 = 0x02;
    const INVALID_COMMAND: u8 = 0xc1;
    // struct dummy_rq: netfn, lun, cmd, target_cmd, u16 length, a pointer.
    let mut request = [0; 16];
    while stream.read_exact(&mut request).is_ok() {
        let (netfn, command) = (request[0], request[2]);
        let length = u16::from_le_bytes([request[4], request[5]]);
        let mut data = vec![0; usize::from(length)];
        if stream.read_exact(&mut data).is_err() {
            return;
        }
        let found = if (netfn, command) == (GROUP_EXTENSION, GET_POWER_READING) {
            answer.clone()
        } else {
            Err(INVALID_COMMAND)
        };
        let (code, data) = match found {
            Ok(data) => (0, data),
            Err(code) => (code, Vec::new()),
        };
        // struct dummy_rs: netfn, cmd, seq, lun, ccode, int length, a pointer.
        let mut reply = vec![netfn | 1, command, 0, 0, code, 0, 0, 0];
        reply.extend((data.len() as u32).to_le_bytes());
        reply.extend([0; 12]);
        reply.extend(data);
        if stream.write_all(&reply).is_err() {
            return;
        }
    }
}

/// Get Power Reading: group, current, least, most and mean power, a time
/// stamp, the sampling period in ms, whether it meters.
fn reading(watts: u16) -> Vec<u8> {
    let mut data = vec![0xdc];
    for power in [watts, 84, 394, 231] {
        data.extend(power.to_le_bytes());
    }
    data.extend(1_769_860_800_u32.to_le_bytes());
    data.extend(1000_u32.to_le_bytes());
    data.push(0x40);
    data
}

#[expect(clippy::print_stderr, reason = "a test says that it skips")]
fn is_installed() -> bool {
    let there = Command::new("ipmitool").arg("-V").output().is_ok();
    if !there {
        crate::may_skip("ipmitool");
        eprintln!("skipped: ipmitool is not installed (apt-get install ipmitool)");
    }
    there
}

#[tokio::test]
async fn the_program_itself() {
    if !is_installed() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let meter = |name: &str, answer| {
        let socket = dir.path().join(name);
        controller(&socket, answer);
        // Its socket is named in the environment; `env` sets it for this run alone.
        Ipmi::with(
            "/usr/bin/env".into(),
            "IPMI",
            [
                format!("IPMI_DUMMY_SOCK={}", socket.display()),
                "ipmitool".to_owned(),
                "-I".to_owned(),
                "dummy".to_owned(),
            ],
        )
    };
    let mut good = meter("good", Ok(reading(228)));
    assert_eq!(watts(&mut good).await.unwrap(), 228.0);
    assert_eq!(good.name(), "IPMI");
    let error = watts(&mut meter("old", Err(0xc1)))
        .await
        .unwrap_err()
        .to_string();
    assert!(error.contains("Invalid command (c1)"), "{error}");
}

#[tokio::test]
async fn programs_that_fail_say_why() {
    let mut missing = Ipmi::local("/nowhere/ipmitool".into());
    let error = watts(&mut missing).await.unwrap_err().to_string();
    assert!(error.contains("install the package ipmitool"), "{error}");
    let mut failing = Ipmi::local("/bin/false".into());
    let error = watts(&mut failing).await.unwrap_err().to_string();
    assert!(
        error.contains("/bin/false dcmi power reading") && error.contains("exit status: 1"),
        "{error}"
    );
    let mut other = Ipmi::local("/bin/echo".into());
    let error = watts(&mut other).await.unwrap_err().to_string();
    assert!(error.contains("`dcmi power reading`"), "{error}");
}
