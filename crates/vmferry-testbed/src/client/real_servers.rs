//! Tests of the tools against real servers, in a network of their own.

use std::io::{BufRead, BufReader, Write};
use std::net::{Ipv4Addr, TcpListener};
use std::process::{Child, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::{ClientLoad, ClientTools, ServiceClient};
use crate::Service;
use crate::command::call_words;
use crate::netns::Namespace;

/// How long a busy machine may take for what takes a second.
const PATIENCE: Duration = Duration::from_secs(120);

/// A network, removed at the end with the servers in it.
struct Scene {
    tools: ClientTools,
    network: Namespace,
    servers: Vec<Child>,
}

impl Scene {
    /// `None` where it cannot be, with a word why.
    #[expect(clippy::print_stderr, reason = "a test says that it skips")]
    fn set(name: &str) -> Option<Self> {
        if !nix::unistd::geteuid().is_root() {
            eprintln!("skipped: network namespaces need root");
            return None;
        }
        let Some(tools) = ClientTools::find() else {
            eprintln!("skipped: the tools are not in the cache; ClientTools::prepare fetches them");
            return None;
        };
        let network = Namespace::named(format!("vmf-test-{name}-{}", std::process::id()));
        network.create().expect("a namespace");
        Some(Self {
            tools,
            network,
            servers: Vec::new(),
        })
    }

    fn serve(&mut self, program: &str, name: &str, arguments: &str) -> Pid {
        let mut command = self
            .tools
            .command_as(&self.network, program, name)
            .expect("a command");
        command
            .args(arguments.split_whitespace())
            .current_dir("/tmp")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        crate::command::end_with_parent(&mut command);
        let server = command.spawn().expect("the server starts");
        let pid = Pid::from_raw(i32::try_from(server.id()).expect("a PID"));
        self.servers.push(server);
        pid
    }

    /// Waits until somebody listens.
    fn await_port(&self, port: u16) {
        until("the server listens", || {
            let connect = || std::net::TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_ok();
            self.network.inside(connect).expect("inside")
        });
    }

    fn start(&self, service: Service) -> ServiceClient {
        let load = ClientLoad::default();
        self.tools
            .start(&self.network, service, Ipv4Addr::LOCALHOST, &load)
            .expect("it starts")
            .expect("it has clients")
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        for server in &mut self.servers {
            let _ = server.kill();
            let _ = server.wait();
        }
        let _ = call_words("ip", &format!("netns del {}", self.network.name()));
    }
}

fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < PATIENCE, "{what}");
        thread::sleep(Duration::from_millis(10));
    }
}

fn until_progress(client: &ServiceClient, points: usize) {
    let wanted = client.progress().series.len() + points;
    until("the client makes progress", || {
        let progress = client.progress();
        assert_eq!(progress.fault, None);
        progress.series.len() >= wanted && progress.operations > 0
    });
}

#[test]
fn wrk_counts_on_the_way_and_says_percentiles() {
    let Some(scene) = Scene::set("web") else {
        return;
    };
    let server = scene
        .network
        .inside(|| TcpListener::bind("0.0.0.0:80").expect("port 80"))
        .expect("inside");
    thread::spawn(move || {
        for stream in server.incoming().flatten() {
            thread::spawn(move || {
                let mut answers = stream.try_clone().expect("a clone");
                for line in BufReader::new(stream).lines().map_while(Result::ok) {
                    let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
                    if line.is_empty() && answers.write_all(answer).is_err() {
                        return;
                    }
                }
            });
        }
    });
    let client = scene.start(Service::Web);
    until_progress(&client, 3);
    let progress = client.progress();
    let work = client.stop();
    assert!(work.operations >= progress.operations, "{work:?}");
    assert_eq!(work.faults().count(), 0, "{work:?}");
    assert_eq!(work.errors, 0, "{work:?}");
    assert!(work.latency.p99_ms.is_some() && !work.version.is_empty());
    let points = &work.series;
    assert!(
        points
            .windows(2)
            .all(|pair| pair[0].operations <= pair[1].operations)
    );
    assert_eq!(points.last().expect("points").operations, work.operations);
}

#[test]
fn redis_benchmark_outlives_a_server_that_stands_still() {
    let Some(mut scene) = Scene::set("cache") else {
        return;
    };
    let server = scene.serve(
        "usr/bin/redis-check-rdb",
        "redis-server",
        "--bind 0.0.0.0 --protected-mode no --appendonly no --dir /tmp --dbfilename none.rdb",
    );
    scene.await_port(6379);
    let client = scene.start(Service::Cache);
    until_progress(&client, 2);
    kill(server, Signal::SIGSTOP).expect("it stops");
    let limit = Duration::from_secs(1);
    // Were the service to answer others, the client would stall.
    until("the stall is noticed", || {
        client.stall(Some(u64::MAX), limit).is_some()
    });
    assert_eq!(client.stall(None, limit), None, "nobody answers");
    kill(server, Signal::SIGCONT).expect("it goes on");
    until_progress(&client, 2);
    until("the stall is over", || {
        client.stall(Some(u64::MAX), limit).is_none()
    });
    let work = client.stop();
    assert_eq!(work.faults().count(), 0, "{work:?}");
    assert_eq!(work.parts.len(), 2);
    assert!(
        work.parts.iter().all(|part| part.operations > 0),
        "{work:?}"
    );
}

#[test]
fn letters_are_sent_and_a_missing_mailbox_is_told() {
    let Some(mut scene) = Scene::set("mail") else {
        return;
    };
    scene.serve("usr/sbin/smtp-sink", "smtp-sink", "-u nobody 0.0.0.0:25 64");
    scene.await_port(25);
    let client = scene.start(Service::Mail);
    until_progress(&client, 2);
    // Nobody hands letters out.
    until("an error of IMAP", || client.progress().errors > 0);
    let work = client.stop();
    assert_eq!(work.tool, "smtp-source, IMAP client");
    assert!(work.parts[0].operations > 0 && work.parts[1].operations == 0);
    assert_eq!(work.faults().count(), 0, "{work:?}");
}

#[test]
fn a_service_that_is_not_there_is_a_fault_of_the_client() {
    let Some(scene) = Scene::set("none") else {
        return;
    };
    let client = scene.start(Service::Postgres);
    until("pgbench gives up", || client.progress().fault.is_some());
    let work = client.stop();
    let (tool, fault) = work.faults().next().expect("said");
    assert_eq!(tool, "pgbench");
    assert!(fault.contains("exit status"), "{fault}");
    assert_eq!((work.operations, work.latency.mean_ms), (0, None));
    let idle = ClientLoad::default();
    let none = scene
        .tools
        .start(&scene.network, Service::Standby, Ipv4Addr::LOCALHOST, &idle);
    assert!(none.expect("no error").is_none());
}
