//! `vmferry choose` without any guest: what is refused, and why.

use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::{Command, Stdio};

mod ended;

use ended::Ended;

fn choose(directory: &Path, arguments: &[&str]) -> Ended {
    let output = Command::new(env!("CARGO_BIN_EXE_vmferry"))
        .arg("choose")
        .args(arguments)
        .env("VMFERRY_DB", directory.join("history.db"))
        .env("VMFERRY_STATE", directory.join("state"))
        .env("NO_COLOR", "1")
        .current_dir(directory)
        .stdin(Stdio::null())
        .output()
        .expect("vmferry starts");
    Ended::from(output)
}

const VIA: [&str; 2] = ["--via", "tcp:10.0.0.2:4444"];

#[test]
fn wrong_arguments_are_explained() {
    let directory = tempfile::tempdir().expect("a directory");
    let hosts = [&["--from", "a", "--to", "b"][..], &VIA].concat();
    for (arguments, words) in [
        (&[][..], &["--from", "--to"][..]),
        (
            &["--weights", "downtime=0.5,time=0.4"],
            &["add up to 0.9000, not to 1", "downtime=0.5556,time=0.4444"],
        ),
        (&["--weights", "speed=1"], &["of no quantity"]),
        (
            &["--weights", "time=1", "--prefer", "time"],
            &["cannot be used with"],
        ),
        (&["--prefer", "beauty"], &["balanced, downtime"]),
        (
            &["--count", "1", "--free-memory", "1GiB"],
            &["cannot be used with"],
        ),
        (&["--count", "0"], &["--count"]),
        (&["--free-memory", "0"], &["--free-memory"]),
        (&["--free-cpu", "0"], &["make no sense"]),
        (&["--free-cpu", "many"], &["no number of cores"]),
        (&["--worth", "downtime"], &["has no `=`"]),
        (&["--worth", "fun=1s"], &["`fun` is no quantity"]),
        (&["--courtesy", "400Mbit/s"], &["no range"]),
        (&["--courtesy", "2Gbit/s..1Gbit/s"], &["is above"]),
        (&["--yes"], &["--execute"]),
        (&["--model", "post-copy"], &["does not describe"]),
        (&["--to", "c"], &["2 --to and 1 --via"]),
    ] {
        let all = match arguments {
            [] => Vec::new(),
            some => [hosts.as_slice(), some].concat(),
        };
        let code = if arguments.contains(&"post-copy") {
            50
        } else {
            2
        };
        choose(directory.path(), &all).expect(code, words);
    }
    let twice = [&["--from", "a", "--to", "./a"][..], &VIA].concat();
    choose(directory.path(), &twice).expect(2, &["given twice"]);
    let nowhere = ["--from", "a", "--to", "b"];
    choose(directory.path(), &nowhere).expect(2, &["give --via tcp:HOST:PORT"]);
    let one = [&["--from", "qmp:/run/a", "--to", "b"][..], &VIA].concat();
    choose(directory.path(), &one).expect(2, &["one guest, not all of a host"]);
    // Before any guest is looked for: the weights say what the worth has to.
    let half = [&hosts[..], &["--worth", "downtime=1s"]].concat();
    choose(directory.path(), &half).expect(2, &["says nothing of time"]);
    let nobody_asked = [&hosts[..], &["--execute"]].concat();
    choose(directory.path(), &nobody_asked).expect(2, &["give --yes"]);
}

#[test]
fn a_host_without_guests_is_told() {
    let directory = tempfile::tempdir().expect("a directory");
    let hosts = [&["--from", "guests", "--to", "b"][..], &VIA].concat();
    choose(directory.path(), &hosts).expect(40, &["qmp-dir:", "guests", "cannot be read"]);
    let guests = directory.path().join("guests");
    std::fs::create_dir(&guests).expect("a directory");
    choose(directory.path(), &hosts).expect(40, &["no QMP socket in it", "-qmp unix:"]);
    drop(UnixListener::bind(guests.join("gone.qmp")).expect("a socket"));
    choose(directory.path(), &hosts).expect(
        40,
        &["no guest runs behind its sockets", "gone.qmp", "has exited"],
    );
}
