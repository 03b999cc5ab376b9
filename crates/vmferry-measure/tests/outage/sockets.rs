//! Echoes and connections.

use std::net::{TcpListener, UdpSocket};
use std::sync::mpsc;
use std::thread;

use vmferry_measure::MeasureError;
use vmferry_measure::outage::{ProbeError, ProbeKind, ProbeTarget, ReachProbe};

use super::{downtime_ms, start, until, until_answered};

#[expect(clippy::print_stderr, reason = "a test says that it skips")]
fn skip(error: &MeasureError) {
    eprintln!("skipped: {error}");
}

#[test]
fn this_machine_answers_pings() {
    let probe = match ReachProbe::start(
        ProbeKind::IcmpEcho,
        &ProbeTarget::new([127, 0, 0, 1].into()),
    ) {
        Ok(probe) => probe,
        Err(error @ MeasureError::Probe { .. }) => return skip(&error),
        Err(error) => panic!("{error}"),
    };
    for _ in 0..5 {
        until_answered(&probe);
    }
    let samples = probe.stop().expect("samples");
    assert!(samples.samples.len() >= 5);
    assert_eq!(samples.answered(), samples.samples.len());
    assert!(samples.samples.iter().all(|sample| sample.error.is_none()));
    let gaps = samples.samples.windows(2);
    assert!(
        gaps.map(|pair| pair[1].asked_ns - pair[0].asked_ns)
            .all(|gap| gap >= 1_000_000)
    );
}

#[test]
fn late_echoes_count_with_their_latency() {
    let server = UdpSocket::bind("127.0.0.1:0").expect("a socket");
    let port = server.local_addr().expect("bound").port();
    let (hold, held) = mpsc::channel::<()>();
    thread::spawn(move || {
        let mut kept = Vec::new();
        let mut holding = None;
        let mut room = [0; 64];
        while let Ok((length, from)) = server.recv_from(&mut room) {
            kept.push((room[..length].to_vec(), from));
            if held.try_recv().is_ok() {
                holding = Some(kept.len());
            }
            // From when it is told, the next 40 are held back and then answered at once.
            if holding.is_some_and(|from| kept.len() < from + 40) {
                continue;
            }
            for (bytes, from) in kept.drain(..) {
                let _ = server.send_to(&bytes, from);
            }
            holding = None;
        }
    });
    let probe = start(ProbeKind::UdpEcho { port });
    until_answered(&probe);
    hold.send(()).expect("the server runs");
    let mut last = probe.last_answered_ns();
    // The answers before the pause may still come.
    until("an answer after the pause", || {
        let now = probe.last_answered_ns();
        let gap = now.zip(last).map_or(0, |(now, last)| now - last);
        last = now;
        gap > 100_000_000
    });
    let samples = probe.stop().expect("samples");
    assert_eq!(samples.answered(), samples.samples.len(), "late, but all");
    let stall = samples.longest_stall(0..u64::MAX).expect("answered");
    // 40 questions at 5 ms.
    assert!((150.0..5000.0).contains(&stall.0), "{stall}");
    assert!((downtime_ms(&samples) - stall.0).abs() < 50.0, "{stall}");
}

#[test]
fn connections_are_counted_and_leave_nothing_behind() {
    let server = TcpListener::bind("127.0.0.1:0").expect("a socket");
    let port = server.local_addr().expect("bound").port();
    let accepting = thread::spawn(move || {
        let accepted = server.incoming().take(20).filter(Result::is_ok).count();
        (server, accepted)
    });
    let probe = start(ProbeKind::TcpConnect { port });
    let (server, accepted) = accepting.join().expect("accepted");
    assert_eq!(accepted, 20);
    until_answered(&probe);
    let table = std::fs::read_to_string("/proc/net/tcp").expect("the kernel's table");
    let waiting = format!(":{port:04X} 06 ");
    assert!(!table.contains(&waiting), "nothing is in TIME_WAIT");
    drop(server);
    // Closed: refused at once, and not answered.
    let closed_at = vmferry_measure::outage::monotonic_ns();
    until("some questions after that", || {
        vmferry_measure::outage::monotonic_ns() > closed_at + 100_000_000
    });
    let samples = probe.stop().expect("samples");
    let after = samples.latency(closed_at..u64::MAX);
    assert!(after.asked > 0 && after.failed > 0, "{after:?}");
    let last = samples.samples.last().expect("asked");
    assert_eq!(
        (last.latency_ms, last.error),
        (None, Some(ProbeError::Refused))
    );
    assert_eq!(samples.downtime(0..u64::MAX), None, "it did not come back");
}

#[test]
fn a_closed_port_answers_by_refusing() {
    let port = {
        let server = TcpListener::bind("127.0.0.1:0").expect("a socket");
        server.local_addr().expect("bound").port()
    };
    let probe = start(ProbeKind::TcpRefusal { port });
    for _ in 0..3 {
        until_answered(&probe);
    }
    let samples = probe.stop().expect("samples");
    assert_eq!(samples.answered(), samples.samples.len());
    assert!(samples.samples.iter().all(|sample| sample.error.is_none()));
}
