//! Caps put on and taken off, on a model of the kernel.

mod recovery;
mod refusal;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;
use uuid::Uuid;
use vmferry_core::{GuestUri, Ratio};

use super::fake::FakeKernel;
use super::*;

const PID: u32 = 100;
const MAIN: u32 = 100;

fn uri() -> GuestUri {
    "qmp:/run/a.qmp".parse().unwrap()
}

fn id() -> Uuid {
    Uuid::from_u128(7)
}

fn ours(home: &str) -> String {
    format!("{home}/vmferry-{}", id())
}

/// A kernel with one guest, its journal, and what is asked of both.
struct Host {
    kernel: Arc<FakeKernel>,
    journal: Journal,
    _dir: tempfile::TempDir,
}

impl Host {
    fn new(kernel: FakeKernel) -> Self {
        let dir = tempfile::tempdir().unwrap();
        Self {
            kernel: Arc::new(kernel),
            journal: Journal::create(&dir.path().join("journal.jsonl")).unwrap(),
            _dir: dir,
        }
    }

    /// With a main thread and two virtual CPUs in one group.
    fn with_guest(kernel: FakeKernel, home: &str) -> Self {
        let host = Self::new(kernel);
        for tid in [MAIN, 101, 102] {
            host.kernel.thread(PID, tid, home);
        }
        host
    }

    fn files(&self) -> Arc<dyn Files> {
        Arc::clone(&self.kernel) as Arc<dyn Files>
    }

    fn threads(&self) -> Result<VcpuThreads, CpuCapError> {
        VcpuThreads::look_up(&*self.kernel, PID, &[(0, 101), (1, 102)])
    }

    fn install(&mut self, grouping: Grouping) -> Result<CpuCap, MigrateError> {
        let threads = self.threads()?;
        let options = CpuCapOptions {
            grouping,
            ..CpuCapOptions::default()
        };
        let files = self.files();
        CpuCap::install_with(files, &mut self.journal, &uri(), id(), threads, options)
    }

    /// What a guard does, or a recovery: everything in the journal, latest first.
    fn recover(&mut self) -> Vec<Result<bool, CpuCapError>> {
        let pending = self.journal.pending();
        let one = |change: &crate::journal::Change| match &change.undo {
            UndoAction::CpuCap(undo) => restore::undo(&*self.kernel, undo),
            other => panic!("{other:?}"),
        };
        pending.iter().map(one).collect()
    }
}

fn kernels() -> [FakeKernel; 2] {
    [FakeKernel::v1(), FakeKernel::v2()]
}

fn share(share: f64) -> Option<Ratio> {
    Some(Ratio(share))
}

fn about(found: Ratio, expected: f64) {
    assert!(
        (found.0 - expected).abs() < 1e-4,
        "{found:?}, not {expected}"
    );
}

#[test]
fn only_the_virtual_cpus_are_capped_and_everything_is_put_back() {
    for kernel in kernels() {
        let mut host = Host::with_guest(kernel, "/vm");
        let before = host.kernel.groups();
        let mut cap = host.install(Grouping::Together).unwrap();
        let group = ours("/vm");
        assert_eq!(host.kernel.group_of(MAIN), "/vm");
        assert_eq!(host.kernel.group_of(101), group);
        assert_eq!(host.kernel.group_of(102), group);

        host.kernel.writes();
        about(cap.set(share(0.3)).unwrap(), 0.3);
        about(cap.set(share(1.0)).unwrap(), 1.0);
        about(cap.set(None).unwrap(), 1.0);
        // Two threads at 30 % are 60 ms of CPU in 100 ms; a change is one write.
        let expected: [&str; 3] = if cap.groups[0].home.version == CgroupVersion::V1 {
            [
                "cpu.cfs_quota_us=60000",
                "cpu.cfs_quota_us=200000",
                "cpu.cfs_quota_us=-1",
            ]
        } else {
            [
                "cpu.max=60000 100000",
                "cpu.max=200000 100000",
                "cpu.max=max 100000",
            ]
        };
        assert_eq!(host.kernel.writes(), expected);
        assert_eq!(cap.look().unwrap(), None);
        let held = cap.throttling().unwrap();
        assert_eq!(
            (held.periods, held.throttled_periods, held.throttled),
            (7, 3, Duration::from_millis(40))
        );

        cap.release(&mut host.journal).unwrap();
        assert_eq!(host.kernel.groups(), before);
        assert_eq!(host.kernel.group_of(102), "/vm");
        assert_eq!(host.journal.pending(), []);
    }
}

#[test]
fn a_busy_virtual_cpu_is_capped_alone() {
    for kernel in kernels() {
        let mut host = Host::with_guest(kernel, "/vm");
        let mut cap = host.install(Grouping::Apart).unwrap();
        about(cap.set_vcpu(1, share(0.25)).unwrap(), 0.25);
        let (idle, busy) = (host.kernel.group_of(101), host.kernel.group_of(102));
        assert_ne!(idle, busy);
        let quota = |group: &str| {
            let version = cap.groups[0].home.version;
            host.kernel.setting(group, version.quota_file())
        };
        assert_eq!(quota(&idle), None, "not even touched");
        assert!(quota(&busy).unwrap().starts_with("25000"));
        assert!(matches!(
            cap.set_vcpu(2, None),
            Err(CpuCapError::NoSuchVcpu { vcpu: 2 })
        ));
        assert!(host.recover().iter().all(|undone| undone.is_ok()));
        assert_eq!(host.kernel.group_of(102), "/vm");

        let mut together = host.install(Grouping::Together).unwrap();
        assert!(together.set_vcpu(0, share(0.5)).is_err());
    }
}

#[test]
fn virtual_cpus_that_libvirt_holds_apart_stay_below_their_groups_and_quotas() {
    for (kernel, quota) in kernels().into_iter().zip(["cpu.cfs_quota_us", "cpu.max"]) {
        let v2 = quota == "cpu.max";
        let mut host = Host::new(kernel);
        host.kernel.thread(PID, MAIN, "/machine/vm/emulator");
        for tid in [101, 102] {
            let home = format!("/machine/vm/vcpu{}", tid - 101);
            host.kernel.thread(PID, tid, &home);
            let text = if v2 { "50000 100000" } else { "50000" };
            host.kernel.sets(&home, quota, text);
        }
        let above = if v2 { "200000 400000" } else { "150000" };
        host.kernel.sets("/machine", quota, above);
        let mut cap = host.install(Grouping::Together).unwrap();
        assert_eq!(host.kernel.group_of(102), ours("/machine/vm/vcpu1"));
        about(cap.set(share(0.2)).unwrap(), 0.2);
        // Half a CPU each is all that the host gives.
        about(cap.set(share(0.9)).unwrap(), 0.5);
        about(cap.set(None).unwrap(), 0.5);
        cap.release(&mut host.journal).unwrap();
        let left = host.kernel.setting("/machine/vm/vcpu0", quota).unwrap();
        assert!(left.starts_with("50000"), "the host's own quota stays");
        assert_eq!(host.kernel.group_of(101), "/machine/vm/vcpu0");
    }
}

#[test]
fn a_group_of_its_own_weighs_what_its_threads_weighed() {
    for (kernel, (file, two)) in kernels()
        .into_iter()
        .zip([("cpu.shares", "2048"), ("cpu.weight", "200")])
    {
        let mut host = Host::with_guest(kernel, "/vm");
        let mut cap = host.install(Grouping::Together).unwrap();
        let weight = |host: &Host| host.kernel.setting(&ours("/vm"), file).unwrap();
        assert_eq!(weight(&host), two);

        // Nobody else there: nothing to be weighed against.
        cap.set_weight(share(0.5)).unwrap();
        assert_eq!(weight(&host), two);
        // A group of 1024 beside it, and another of nobody: eq. 10 says as much.
        host.kernel.thread(9, 900, "/vm/other");
        host.kernel.group("/vm/empty", true);
        host.kernel.sets("/vm/empty", file, "999");
        assert!(cap.follow_neighbours().unwrap());
        assert_eq!(
            weight(&host),
            ["1024", "100"][usize::from(file == "cpu.weight")]
        );
        assert!(!cap.follow_neighbours().unwrap());
        // The neighbour becomes twice as heavy, and the migration thread busy.
        host.kernel.sets(
            "/vm/other",
            file,
            ["2048", "200"][usize::from(file == "cpu.weight")],
        );
        host.kernel.runs(MAIN, true);
        assert!(cap.follow_neighbours().unwrap());
        assert_eq!(
            weight(&host),
            ["3072", "300"][usize::from(file == "cpu.weight")]
        );
        cap.set_weight(None).unwrap();
        assert_eq!(weight(&host), two);
        assert!(cap.set_weight(share(1.0)).is_err());
    }
}

#[test]
fn the_paper_s_weights() {
    // `jin2011` eq. 10: a share e against others at W in all.
    assert_eq!(weight_for_share(0.5, 768.0), 768.0);
    assert_eq!(weight_for_share(0.75, 256.0), 768.0);
    let others = 1280.0;
    let own = weight_for_share(0.6, others);
    assert!((own / (own + others) - 0.6).abs() < 1e-12);
}

#[test]
fn v2_hands_the_controller_down_and_takes_it_back() {
    let mut host = Host::with_guest(FakeKernel::v2(), "/vm");
    assert!(!host.kernel.gives_cpu("/vm"));
    let mut cap = host.install(Grouping::Apart).unwrap();
    assert!(host.kernel.gives_cpu("/vm"));
    assert_eq!(host.journal.pending().len(), 5);
    cap.set(share(0.4)).unwrap();
    assert!(host.recover().iter().all(|undone| undone.is_ok()));
    assert!(!host.kernel.gives_cpu("/vm"));

    // Not where somebody began to use it meanwhile.
    let mut host = Host::with_guest(FakeKernel::v2(), "/vm");
    let cap = host.install(Grouping::Together).unwrap();
    host.kernel.group("/vm/theirs", true);
    host.kernel.sets("/vm/theirs", "cpu.weight", "50");
    cap.release(&mut host.journal).unwrap();
    assert!(host.kernel.gives_cpu("/vm"));

    // Nor where it was on before.
    let mut host = Host::with_guest(FakeKernel::v2(), "/vm");
    host.kernel.group("/vm/theirs", true);
    let cap = host.install(Grouping::Together).unwrap();
    cap.release(&mut host.journal).unwrap();
    assert!(host.kernel.gives_cpu("/vm"));
}

#[test]
fn one_thread_for_all_virtual_cpus_is_capped_once() {
    let host = Host::with_guest(FakeKernel::v1(), "/vm");
    host.kernel.in_namespace(101, 5);
    let threads = VcpuThreads::look_up(&*host.kernel, PID, &[(0, 5), (1, 5)]).unwrap();
    assert_eq!(threads.vcpus().collect::<Vec<_>>(), [(0, 101), (1, 101)]);
    assert_eq!(threads.threads.len(), 1);
    assert_eq!(threads.controller(), Some(CgroupVersion::V1));
}

proptest! {
    // Each writes a journal, which waits for the disk.
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// Whatever is asked for under whatever the host gives: never more than
    /// either, but for the kernel's least quota.
    #[test]
    fn a_cap_is_never_looser_than_asked_or_given(
        asked in 0.001_f64..=1.0,
        given_us in 2_000_u64..400_000,
        period_ms in 10_u64..=1000,
    ) {
        let mut host = Host::with_guest(FakeKernel::v1(), "/vm");
        host.kernel.sets("/vm", "cpu.cfs_quota_us", &given_us.to_string());
        let files = host.files();
        let options = CpuCapOptions {
            period: Duration::from_millis(period_ms),
            ..CpuCapOptions::default()
        };
        let threads = host.threads().unwrap();
        let mut cap =
            CpuCap::install_with(files, &mut host.journal, &uri(), id(), threads, options).unwrap();
        let given = given_us as f64 / 100_000.0 / 2.0;
        match cap.set(share(asked)) {
            Ok(in_force) => {
                let least = 1.0 / period_ms as f64 / 2.0;
                prop_assert!(in_force.0 <= asked.max(least) + 1e-4);
                prop_assert!(in_force.0 <= given + 1e-9);
            }
            // Less than the least quota is given there.
            Err(error) => prop_assert!(given * 2.0 * period_ms as f64 <= 1.0, "{}", error),
        }
    }
}

#[test]
fn groups_are_named_after_the_move() {
    let mut host = Host::with_guest(FakeKernel::v1(), "/vm");
    let cap = host.install(Grouping::Apart).unwrap();
    let names: Vec<_> = cap
        .groups
        .iter()
        .map(|group| group.dir.strip_prefix(Path::new("/sys/fs/cgroup")).unwrap())
        .collect();
    assert_eq!(
        names,
        [
            Path::new("cpu,cpuacct/vm/vmferry-00000000-0000-0000-0000-000000000007-thread101"),
            Path::new("cpu,cpuacct/vm/vmferry-00000000-0000-0000-0000-000000000007-thread102"),
        ]
    );
}
