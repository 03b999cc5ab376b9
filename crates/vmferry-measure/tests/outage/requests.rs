//! A service's requests.

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc;
use std::thread;

use vmferry_measure::outage::{ProbeError, ProbeKind, Protocol};

use super::{downtime_ms, start, until, until_answered};

/// What a server is told to do with the next request.
enum Order {
    /// To leave it unanswered until the next order.
    Stall,
    Go,
    /// To close the connection.
    Hang,
}

/// A Redis that answers pings, and obeys.
fn server() -> (u16, mpsc::Sender<Order>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a socket");
    let port = listener.local_addr().expect("bound").port();
    let (orders, obeyed) = mpsc::channel();
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            serve(stream, &obeyed);
        }
    });
    (port, orders)
}

fn serve(mut stream: TcpStream, orders: &mpsc::Receiver<Order>) {
    let Ok(reading) = stream.try_clone() else {
        return;
    };
    for line in BufReader::new(reading).lines() {
        if line.is_err() {
            return;
        }
        match orders.try_recv() {
            Ok(Order::Stall) => drop(orders.recv()),
            Ok(Order::Hang) => return,
            Ok(Order::Go) | Err(_) => {}
        }
        if stream.write_all(b"+PONG\r\n").is_err() {
            return;
        }
    }
}

fn redis(port: u16) -> ProbeKind {
    ProbeKind::Request {
        protocol: Protocol::Redis,
        port,
    }
}

#[test]
fn a_stall_is_one_request_with_its_real_latency() {
    let (port, orders) = server();
    let probe = start(redis(port));
    until_answered(&probe);
    orders.send(Order::Stall).expect("the server runs");
    let now = vmferry_measure::outage::monotonic_ns;
    until("200 ms without an answer", || {
        probe
            .last_answered_ns()
            .is_some_and(|at| now() > at + 200_000_000)
    });
    orders.send(Order::Go).expect("the server runs");
    until_answered(&probe);
    let samples = probe.stop().expect("samples");
    assert_eq!(samples.answered(), samples.samples.len());
    let stall = samples.longest_stall(0..u64::MAX).expect("answered").0;
    // It was asked a pace after the last answer at the latest.
    assert!((150.0..10_000.0).contains(&stall), "{stall}");
    assert!((downtime_ms(&samples) - stall).abs() < 1.0);
    let longer = |sample: &&vmferry_measure::outage::ProbeSample| {
        sample.latency_ms.is_some_and(|latency| latency.0 > 150.0)
    };
    assert_eq!(samples.samples.iter().filter(longer).count(), 1);
}

#[test]
fn a_lost_connection_is_an_error_and_is_made_again() {
    let (port, orders) = server();
    let probe = start(redis(port));
    until_answered(&probe);
    orders.send(Order::Hang).expect("the server runs");
    for _ in 0..3 {
        until_answered(&probe);
    }
    let samples = probe.stop().expect("samples");
    let errors: Vec<ProbeError> = samples.samples.iter().filter_map(|one| one.error).collect();
    assert_eq!(errors, [ProbeError::ConnectionLost]);
    assert!(samples.samples.last().expect("asked").latency_ms.is_some());
}

#[test]
fn nobody_there_is_said_of_every_question() {
    let port = {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a socket");
        listener.local_addr().expect("bound").port()
    };
    let begun = vmferry_measure::outage::monotonic_ns();
    let probe = start(redis(port));
    until("some questions", || {
        vmferry_measure::outage::monotonic_ns() > begun + 100_000_000
    });
    assert_eq!(probe.last_answered_ns(), None);
    let samples = probe.stop().expect("samples");
    assert!(!samples.samples.is_empty());
    let refused =
        |one: &vmferry_measure::outage::ProbeSample| one.error == Some(ProbeError::Refused);
    assert!(samples.samples.iter().all(refused));
    assert_eq!(samples.downtime(0..u64::MAX), None);
}
