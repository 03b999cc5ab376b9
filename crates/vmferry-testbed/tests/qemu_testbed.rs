//! Testbeds with real QEMU: guests boot, are reached, move, and leave nothing behind.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use vmferry_core::{ByteRate, Bytes};
use vmferry_hypervisor::qmp::{Guest, MigrationAddress};
use vmferry_load::report::{Message, Progress};
use vmferry_testbed::{Console, GuestSpec, Process, Side, TestGuest, Testbed, TestbedError};

/// How long anything may take on a loaded machine.
const PATIENCE: Duration = Duration::from_secs(120);

type Outcome = Result<(), Box<dyn std::error::Error>>;

/// Asks until the answer is there.
async fn wait_for<T>(what: &str, mut ask: impl AsyncFnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(answer) = ask().await {
            return answer;
        }
        assert!(
            Instant::now() < deadline,
            "{what} took more than {PATIENCE:?}"
        );
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

fn last_progress(console: &Path) -> Option<Progress> {
    let messages = Console::at(console).read_new().expect("a readable console");
    messages
        .into_iter()
        .rev()
        .find_map(|message| match message {
            Message::Progress(progress) => Some(progress),
            _ => None,
        })
}

/// Waits until the guest reports more work on a console than it had done.
async fn works_on(guest: &TestGuest, side: Side, than: u64) -> u64 {
    let console = guest.record().end(side).console.clone();
    wait_for("progress", async || {
        let work = last_progress(&console)?.work[0];
        (work > than).then_some(work)
    })
    .await
}

/// Whether a client gets answers from the guest.
async fn reachable(testbed: &Testbed, guest: &TestGuest) -> bool {
    let probe = testbed
        .probe(guest, Duration::from_millis(10))
        .expect("a probe");
    tokio::time::sleep(Duration::from_millis(200)).await;
    probe.finish().expect("a report").ends_reachable()
}

/// What a testbed has on this machine: for looking whether it is gone.
struct Traces {
    directory: PathBuf,
    namespaces: Vec<PathBuf>,
    processes: Vec<Process>,
}

impl Traces {
    fn of(testbed: &Testbed) -> Self {
        let record = testbed.record();
        let ends = record
            .guests
            .iter()
            .flat_map(|guest| [&guest.source, &guest.destination]);
        Self {
            directory: testbed.directory().to_owned(),
            namespaces: [
                testbed.host(Side::Source),
                testbed.host(Side::Destination),
                testbed.client(),
            ]
            .map(|namespace| namespace.path())
            .into(),
            processes: ends.filter_map(|end| end.process).collect(),
        }
    }

    fn left(&self) -> Vec<String> {
        let files = std::iter::once(&self.directory).chain(&self.namespaces);
        let files = files
            .filter(|path| path.exists())
            .map(|path| path.display().to_string());
        let alive = self.processes.iter().filter(|process| process.is_alive());
        files
            .chain(alive.map(|process| format!("process {}", process.pid)))
            .collect()
    }

    fn all_there(&self) -> bool {
        self.left().len() == 1 + self.namespaces.len() + self.processes.len()
    }
}

async fn migrate(source: &Guest, destination: &Guest, guest: &TestGuest) {
    let at = MigrationAddress::from(&guest.via());
    destination
        .migrate_incoming(&at)
        .await
        .expect("the destination listens");
    source.migrate(&at).await.expect("the migration starts");
    wait_for("the migration", async || {
        let info = source.migration().await.expect("query-migrate");
        let failed = info.error_desc.clone();
        assert_eq!(failed, None);
        (info.status.to_string() == "completed").then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guest_boots_works_is_reached_and_moves() -> Outcome {
    let testbed = Testbed::builder().build().await?;
    let spec = GuestSpec::new("web", "uniform:set=16M,rate=4M").disk(Bytes::from_mib(64));
    let guest = testbed.start_guest(spec).await?;
    let traces = Traces::of(&testbed);
    assert!(traces.all_there(), "only {:?}", traces.left());
    let begun = works_on(&guest, Side::Source, 0).await;
    works_on(&guest, Side::Source, begun).await;
    assert!(reachable(&testbed, &guest).await);

    // The first monitors are free for the program under test; those for watching work meanwhile.
    let source = Guest::connect(&guest.source_uri(), Default::default()).await?;
    let destination = Guest::connect(&guest.destination_uri(), Default::default()).await?;
    assert_eq!(source.pid(), guest.pid(Side::Source));
    let status = testbed.status().await;
    assert_eq!(status.guests[0].source.status.as_deref(), Some("running"));
    assert_eq!(
        status.guests[0].destination.status.as_deref(),
        Some("inmigrate")
    );
    assert!(status.hosts.iter().all(|host| host.exists));

    let watch = guest.console_watch();
    wait_for("a report", async || watch.reports().first().cloned()).await;
    let probe = testbed.probe(&guest, Duration::from_millis(5))?;
    let sent_before = testbed.link_bytes(Side::Source)?;
    let begin = Instant::now();
    migrate(&source, &destination, &guest).await;
    let end = Instant::now();

    let at_source = last_progress(&guest.record().source.console).ok_or("reports at the source")?;
    works_on(&guest, Side::Destination, at_source.work[0]).await;
    // Read only now: when QEMU calls the migration completed, megabytes still wait in the queue.
    let sent = testbed
        .link_bytes(Side::Source)?
        .saturating_sub(sent_before);
    wait_for("answers from the destination", async || {
        reachable(&testbed, &guest).await.then_some(())
    })
    .await;
    let report = probe.finish()?;
    assert!(report.ends_reachable(), "{report:?}");
    assert!(
        !report.longest_outage().is_zero(),
        "a move is seen from outside"
    );

    // Frames of 1514 bytes carry 1448 bytes of stream: were segments counted whole, the surplus
    // would be missing.
    let transferred = source
        .migration()
        .await?
        .ram
        .transferred_bytes
        .ok_or("transferred bytes")?;
    let surplus = sent.0 as f64 / transferred as f64;
    assert!(
        (1.044..1.048).contains(&surplus),
        "{sent} on the wire for {transferred} bytes"
    );
    let rate = sent / (end - begin);
    assert!(rate.mbit_per_s() < 420.0, "faster than the link: {rate}");

    let work = watch
        .work_between(begin, end)
        .ok_or("reports all the way")?;
    assert!(work[0] > 0.0, "it worked during the move");
    let silence = watch
        .longest_silence(begin, end)
        .ok_or("reports all the way")?;
    assert!(
        silence >= Duration::from_millis(90),
        "reports come every 100 ms: {silence:?}"
    );
    let status = testbed.status().await;
    assert_eq!(
        status.guests[0].source.status.as_deref(),
        Some("postmigrate")
    );
    assert_eq!(
        status.guests[0].destination.status.as_deref(),
        Some("running")
    );

    guest.reset().await?;
    let again = last_progress(&guest.record().source.console);
    assert!(again.is_none_or(|progress| progress.time < Duration::from_secs(60)));
    works_on(&guest, Side::Source, 0).await;
    assert!(reachable(&testbed, &guest).await);

    let now = Traces::of(&testbed);
    drop(testbed);
    assert_eq!(now.left(), Vec::<String>::new());
    assert_eq!(traces.left(), Vec::<String>::new());
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn two_testbeds_stand_side_by_side() -> Outcome {
    let one = Testbed::builder()
        .rate(ByteRate::from_mbit_per_s(100.0))
        .build()
        .await?;
    let two = Testbed::builder().unshaped().build().await?;
    assert_eq!(
        (one.rate(), two.rate()),
        (Some(ByteRate::from_mbit_per_s(100.0)), None)
    );
    let spec = || GuestSpec::new("guest", "idle");
    let (first, second) = tokio::try_join!(one.start_guest(spec()), two.start_guest(spec()))?;
    let third = one
        .start_guest(GuestSpec::new("another", "idle").vcpus(2))
        .await?;
    assert_ne!(first.via(), third.via());
    assert!(reachable(&one, &first).await);
    assert!(reachable(&two, &second).await);
    assert!(reachable(&one, &third).await);

    let taken = one
        .start_guest(spec())
        .await
        .expect_err("the name is taken")
        .to_string();
    assert_eq!(taken, "guest guest: this testbed has a guest of that name");
    let name = one.name();
    let again = Testbed::builder()
        .name(&name)
        .build()
        .await
        .expect_err("the name is taken");
    assert!(matches!(again, TestbedError::NameTaken { .. }), "{again}");

    let (traces, others) = (Traces::of(&one), Traces::of(&two));
    one.close().await?;
    assert_eq!(traces.left(), Vec::<String>::new());
    assert!(
        others.all_there(),
        "the other one stays: {:?}",
        others.left()
    );
    assert!(reachable(&two, &second).await);
    drop(two);
    assert_eq!(others.left(), Vec::<String>::new());
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_qemu_that_refuses_says_why() -> Outcome {
    let testbed = Testbed::builder().build().await?;
    let mut spec = GuestSpec::new("odd", "idle");
    spec.extra_arguments = vec!["-device".to_owned(), "no-such-device".to_owned()];
    let error = testbed.start_guest(spec).await.expect_err("QEMU refuses");
    let text = error.to_string();
    assert!(matches!(error, TestbedError::QemuExited { .. }), "{text}");
    assert!(
        text.contains("'no-such-device' is not a valid device model name"),
        "{text}"
    );

    // A destination that ends can be started again, and is another process.
    let guest = testbed.start_guest(GuestSpec::new("good", "idle")).await?;
    let before = guest.pid(Side::Destination);
    guest.kill(Side::Destination).await?;
    assert_eq!(guest.pid(Side::Destination), None);
    guest.restart_destination().await?;
    assert!(guest.pid(Side::Destination).is_some());
    assert_ne!(guest.pid(Side::Destination), before);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_detached_testbed_is_found_and_removed_once() -> Outcome {
    let testbed = Testbed::builder().build().await?;
    testbed.start_guest(GuestSpec::new("guest", "idle")).await?;
    let traces = Traces::of(&testbed);
    let name = testbed.detach()?;
    // Found by whoever knows the name; removed here even if a check below fails.
    let result = look_at_detached(&name, &traces).await;
    let removed = Testbed::down(&name).await;
    result?;
    assert!(removed?, "there was something to remove");
    assert_eq!(traces.left(), Vec::<String>::new());
    assert!(!Testbed::down(&name).await?, "nothing is left to remove");
    assert!(matches!(
        Testbed::load(&name),
        Err(TestbedError::Unknown { .. })
    ));
    Ok(())
}

async fn look_at_detached(name: &str, traces: &Traces) -> Outcome {
    let found = Testbed::load(name)?;
    if !Testbed::list()?.contains(&name.to_owned()) {
        return Err("it is not listed".into());
    }
    let status = found.status().await;
    if status.owner_pid.is_some() || status.guests[0].source.status.as_deref() != Some("running") {
        return Err(format!("{status:?}").into());
    }
    found
        .set_rate(Some(ByteRate::from_mbit_per_s(50.0)))
        .await?;
    drop(found);
    if Testbed::load(name)?.rate() != Some(ByteRate::from_mbit_per_s(50.0)) {
        return Err("the new rate is not written down".into());
    }
    // Half broken: a namespace and a QEMU are gone.
    Testbed::load(name)?.guests()[0].kill(Side::Source).await?;
    let removed = Command::new("ip")
        .args(["netns", "del"])
        .arg(traces.namespaces[2].file_name().ok_or("a name")?)
        .status()?;
    if !removed.success() {
        return Err("ip netns del".into());
    }
    Ok(())
}

/// Runs in a process of its own, which is then killed: see below.
const VICTIM: &str = "VMFERRY_TESTBED_VICTIM";

#[tokio::test(flavor = "multi_thread")]
async fn kill_9_leaves_nothing() -> Outcome {
    if std::env::var_os(VICTIM).is_some() {
        let testbed = Testbed::builder()
            .name(std::env::var(VICTIM)?)
            .build()
            .await?;
        testbed.start_guest(GuestSpec::new("guest", "idle")).await?;
        testbed.ssh_config().await?;
        std::fs::write(testbed.directory().join("ready"), "")?;
        std::future::pending::<()>().await;
    }
    let name = format!("vmf-kill-{}", std::process::id());
    let mut victim = Command::new(std::env::current_exe()?)
        .args(["--exact", "kill_9_leaves_nothing", "--nocapture"])
        .env(VICTIM, &name)
        .spawn()?;
    let found = tokio::time::timeout(PATIENCE, async {
        loop {
            if let Ok(testbed) = Testbed::load(&name)
                && testbed.directory().join("ready").exists()
            {
                return Traces::of(&testbed);
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
    let all_there = found.as_ref().is_ok_and(Traces::all_there);
    victim.kill()?;
    victim.wait()?;
    let traces = found?;
    assert!(all_there, "a testbed with its QEMUs was there");
    wait_for("the removal", async || {
        traces.left().is_empty().then_some(())
    })
    .await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_panic_leaves_nothing() -> Outcome {
    let (to, from) = std::sync::mpsc::channel();
    let panicked = tokio::spawn(async move {
        let testbed = Testbed::builder().build().await.expect("a testbed");
        to.send(Traces::of(&testbed)).expect("sent");
        panic!("on purpose");
    })
    .await;
    assert!(panicked.is_err());
    assert_eq!(from.recv()?.left(), Vec::<String>::new());
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn both_ends_are_reached_through_ssh() -> Outcome {
    let testbed = Testbed::builder().build().await?;
    let guest = testbed.start_guest(GuestSpec::new("guest", "idle")).await?;
    let config = testbed.ssh_config().await?;
    assert_eq!(testbed.ssh_config().await?, config, "started once");
    for side in Side::BOTH {
        let ssh = format!("ssh -F {}", config.display());
        let options = vmferry_hypervisor::qmp::ConnectOptions {
            ssh: vmferry_hypervisor::ssh::SshCommand::parse(&ssh).ok_or("a command")?,
            ..Default::default()
        };
        let far = Guest::connect(&guest.ssh_uri(side), options).await?;
        assert!(
            far.request("query-status", None)
                .await?
                .get("status")
                .is_some()
        );
        let login = Command::new("ssh")
            .arg("-F")
            .arg(&config)
            .args([side.name(), "ip -4 -o address show dev migration"])
            .output()?;
        let shown = String::from_utf8_lossy(&login.stdout).into_owned();
        assert!(
            shown.contains(side.address()),
            "the session is inside the host: {shown}"
        );
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guest_moves_over_tls_with_real_certificates() -> Outcome {
    let testbed = Testbed::builder().build().await?;
    let guest = testbed
        .start_guest(GuestSpec::new("guest", "idle").memory(Bytes::from_mib(128)))
        .await?;
    let directory = testbed.tls_directory().await?;
    let source = guest.watch(Side::Source).await?;
    let destination = guest.watch(Side::Destination).await?;
    for (end, endpoint) in [(&destination, "server"), (&source, "client")] {
        let credentials = serde_json::json!({
            "qom-type": "tls-creds-x509", "id": "tls0", "dir": directory,
            "endpoint": endpoint, "verify-peer": true,
        });
        end.request("object-add", Some(credentials)).await?;
        end.request(
            "migrate-set-parameters",
            Some(serde_json::json!({ "tls-creds": "tls0" })),
        )
        .await?;
    }
    migrate(&source, &destination, &guest).await;
    let console = guest.record().destination.console;
    wait_for("a report", async || last_progress(&console)).await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_link_can_be_cut_and_mended() -> Outcome {
    let testbed = Testbed::builder().unshaped().build().await?;
    let ping = |testbed: &Testbed| {
        let mut command = testbed.host(Side::Source).command("ping").expect("a host");
        let output = command
            .args(["-c", "1", "-W", "2", Side::Destination.address()])
            .output();
        output.expect("ping runs").status.success()
    };
    assert!(ping(&testbed));
    testbed.cut_link().await?;
    assert!(!ping(&testbed));
    testbed.mend_link().await?;
    assert!(ping(&testbed));
    Ok(())
}
