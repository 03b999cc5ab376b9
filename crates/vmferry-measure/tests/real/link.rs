//! The rate of a link whose rate is known, between two network namespaces.

use std::process::{Child, Command, Stdio};

use vmferry_core::{LinkSource, LinkSpeed};
use vmferry_measure::{LinkOptions, MeasureError, WireCounter, measure_link};

/// Two networks, `10.77.9.1` in one and `10.77.9.2` in the other, each with a process; a `tbf`
/// shapes what leaves the first. Everything goes with this value.
struct Link {
    source: Child,
    destination: Child,
}

impl Link {
    fn new(rate: &str) -> Self {
        let idle = || {
            Command::new("unshare")
                .args(["--net", "cat"])
                .stdin(Stdio::piped())
                .stdout(Stdio::null())
                .spawn()
                .unwrap()
        };
        let link = Self {
            source: idle(),
            destination: idle(),
        };
        let (source, destination) = (link.source.id(), link.destination.id());
        // Both are in their own networks once they run cat.
        for pid in [source, destination] {
            let command = format!("/proc/{pid}/comm");
            while std::fs::read_to_string(&command).unwrap().trim() != "cat" {
                std::thread::yield_now();
            }
        }
        inside(
            source,
            &format!("ip link add va type veth peer name vb netns {destination}"),
        );
        for (pid, device, address) in [
            (source, "va", "10.77.9.1/24"),
            (destination, "vb", "10.77.9.2/24"),
        ] {
            inside(pid, &format!("ip addr add {address} dev {device}"));
            inside(pid, &format!("ip link set {device} up"));
            inside(pid, "ip link set lo up");
        }
        // Else the counter sees large packets, which only the other end would cut into frames.
        inside(source, "ip link set va gso_max_segs 1");
        inside(
            source,
            &format!("tc qdisc add dev va root tbf rate {rate} burst 256kb latency 20ms"),
        );
        link
    }
}

fn inside(pid: u32, command: &str) {
    let output = Command::new("nsenter")
        .args(["--net", "--target", &pid.to_string()])
        .args(command.split(' '))
        .output()
        .unwrap();
    let message = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command}: {message}");
}

impl Drop for Link {
    fn drop(&mut self) {
        // The networks go with their last process.
        for child in [&mut self.source, &mut self.destination] {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shaped_link_is_measured_and_its_interface_found() {
    let link = Link::new("20mbit");
    let (source, destination) = (link.source.id(), link.destination.id());
    let address = "10.77.9.2".parse().unwrap();
    let counter = WireCounter::open(source, address).unwrap();
    assert_eq!(counter.interface(), "va");
    let own = WireCounter::open(destination, address).unwrap();
    assert_eq!(own.interface(), "lo");

    let before = counter.tx_bytes().unwrap();
    let options = LinkOptions::default();
    let speed = measure_link(Some(source), Some(destination), address, options)
        .await
        .unwrap();
    assert_eq!(speed.source, LinkSource::Measured);
    let rate = speed.wire_rate.mbit_per_s();
    assert!((16.0..22.0).contains(&rate), "{speed:?}");
    let frames = LinkSpeed::TCP_OVER_ETHERNET.0;
    assert!((speed.efficiency.0 - frames).abs() < 0.02, "{speed:?}");
    let sent = counter.tx_bytes().unwrap().saturating_sub(before);
    // 20 Mbit/s for 2 s are 5 MB.
    assert!((3_000_000..8_000_000).contains(&sent.0), "{sent:?}");

    let nowhere = "192.0.2.1".parse().unwrap();
    let error = measure_link(Some(source), Some(destination), nowhere, options)
        .await
        .unwrap_err();
    assert!(matches!(error, MeasureError::NoRoute { .. }), "{error}");
    let foreign = "10.77.9.7".parse().unwrap();
    let text = measure_link(Some(source), Some(destination), foreign, options)
        .await
        .unwrap_err()
        .to_string();
    assert!(
        text.contains("10.77.9.7") && text.contains("listening at the destination"),
        "{text}"
    );
    let text = measure_link(Some(source), None, address, options)
        .await
        .unwrap_err()
        .to_string();
    assert!(text.contains("destination is not on this machine") && text.contains("--bandwidth"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fast_link_is_bounded_by_bytes() {
    let link = Link::new("100gbit");
    let options = LinkOptions::default();
    let (source, destination) = (Some(link.source.id()), Some(link.destination.id()));
    let address = "10.77.9.2".parse().unwrap();
    let counter = WireCounter::open(link.source.id(), address).unwrap();
    let before = counter.tx_bytes().unwrap();
    let speed = measure_link(source, destination, address, options)
        .await
        .unwrap();
    let sent = counter.tx_bytes().unwrap().saturating_sub(before);
    assert!(sent.0 < options.limit.0 * 11 / 10, "{sent:?}");
    assert_eq!(speed.source, LinkSource::Measured);
}
