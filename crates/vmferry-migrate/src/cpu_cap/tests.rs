//! Caps put on and taken off, on a model of the kernel.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;
use uuid::Uuid;
use vmferry_core::{GuestUri, Ratio};

use super::fake::FakeKernel;
use super::files::libc_errno::{EINVAL, EROFS};
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
fn v2_says_where_threads_cannot_have_a_group() {
    let mut host = Host::with_guest(FakeKernel::v2(), "/slice");
    host.kernel.thread(8, 800, "/slice/service");
    let before = host.kernel.groups();
    let error = host.install(Grouping::Together).unwrap_err().to_string();
    assert!(
        error.contains("give the guest a group of its own"),
        "{error}"
    );
    assert_eq!(host.kernel.groups(), before);
    assert_eq!(host.journal.pending(), []);
}

#[test]
fn recovery_leaves_what_others_did_and_finds_what_is_left() {
    for kernel in kernels() {
        // One thread has ended, one was moved elsewhere, one has a number of old.
        let mut host = Host::with_guest(kernel, "/vm");
        host.install(Grouping::Together).unwrap();
        host.kernel.group("/elsewhere", true);
        host.kernel.ends(101);
        host.kernel.moves(102, "/elsewhere");
        host.kernel.thread(PID, 103, &ours("/vm"));
        let undone = host.recover();
        assert!(
            undone.iter().all(|undone| matches!(undone, Ok(true))),
            "{undone:?}"
        );
        assert_eq!(host.kernel.group_of(102), "/elsewhere");
        assert_eq!(host.kernel.group_of(103), "/vm", "started by one of ours");
        assert!(!host.kernel.groups().contains(&ours("/vm")));
        // A second time nothing is left to do.
        assert!(
            host.recover()
                .iter()
                .all(|undone| matches!(undone, Ok(false)))
        );
    }
}

#[test]
fn recovery_after_the_guest_or_its_groups_have_gone() {
    for kernel in kernels() {
        let mut host = Host::with_guest(kernel, "/vm");
        host.install(Grouping::Apart).unwrap();
        for tid in [MAIN, 101, 102] {
            host.kernel.ends(tid);
        }
        assert!(host.recover().iter().all(|undone| undone.is_ok()));
        assert_eq!(host.kernel.groups(), ["", "/vm"]);

        host.kernel.loses("/vm", "");
        assert!(
            host.recover()
                .iter()
                .all(|undone| matches!(undone, Ok(false)))
        );
    }
    // The old group is gone, ours is not: into the nearest one above.
    let kernel = FakeKernel::v1();
    kernel.thread(PID, 101, &ours("/vm"));
    let undo = CpuUndo::MoveThreads {
        version: CgroupVersion::V1,
        group: kernel.mount_point().join(&ours("/vm")[1..]),
        home: kernel.mount_point().join("old/group"),
        threads: vec![ThreadMark {
            tid: 101,
            start_time: 1101,
        }],
    };
    assert!(restore::undo(&kernel, &undo).unwrap());
    assert_eq!(kernel.group_of(101), "");
}

#[test]
fn a_thread_of_the_same_number_is_not_taken_for_ours() {
    let mut host = Host::with_guest(FakeKernel::v1(), "/vm");
    host.install(Grouping::Together).unwrap();
    host.kernel.is_another(101);
    let pending = host.journal.pending();
    let UndoAction::CpuCap(moving) = &pending[0].undo else {
        panic!("{pending:?}")
    };
    assert!(restore::undo(&*host.kernel, moving).unwrap());
    assert_eq!(host.kernel.group_of(101), ours("/vm"), "not by its number");
    assert_eq!(host.kernel.group_of(102), "/vm");
    // Still, it leaves the group before that goes.
    assert!(host.recover().iter().all(|undone| undone.is_ok()));
    assert_eq!(host.kernel.group_of(101), "/vm");
}

#[test]
fn a_group_whose_threads_start_others_is_emptied_all_the_same() {
    let mut host = Host::with_guest(FakeKernel::v1(), "/vm");
    host.install(Grouping::Together).unwrap();
    host.kernel.forks(4);
    assert!(host.recover().iter().all(|undone| undone.is_ok()));
    assert_eq!(host.kernel.groups(), ["", "/vm"]);
}

#[test]
fn a_cap_that_others_take_off_is_told_as_lost() {
    for kernel in kernels() {
        let mut host = Host::with_guest(kernel, "/vm");
        let mut cap = host.install(Grouping::Together).unwrap();
        cap.set(share(0.5)).unwrap();
        let group = ours("/vm");

        let quota = cap.groups[0].home.version.quota_file();
        let before = host.kernel.setting(&group, quota).unwrap();
        host.kernel.sets(&group, quota, "7000");
        let told = cap.look().unwrap().unwrap();
        assert!(
            matches!(&told, Loss::LimitChanged { reads, .. } if reads == "7000"),
            "{told}"
        );
        host.kernel.sets(&group, quota, &before);

        host.kernel.moves(102, "/vm");
        let told = cap.look().unwrap().unwrap();
        assert!(
            matches!(&told, Loss::ThreadsMoved { tids, .. } if *tids == [102]),
            "{told}"
        );
        host.kernel.moves(102, &group);
        assert_eq!(cap.look().unwrap(), None);

        host.kernel.loses(&group, "/vm");
        let told = cap.look().unwrap().unwrap();
        assert!(matches!(told, Loss::GroupGone { .. }), "{told}");
        let told = cap.set(share(0.4)).unwrap_err();
        assert!(
            matches!(told, CpuCapError::Lost(Loss::GroupGone { .. })),
            "{told}"
        );
        for tid in [101, 102] {
            host.kernel.ends(tid);
        }
        assert_eq!(cap.look().unwrap(), Some(Loss::GuestGone));
        cap.release(&mut host.journal).unwrap();
        assert_eq!(host.journal.pending(), []);
    }
}

#[test]
fn what_the_kernel_refuses_is_said_in_words_and_undone() {
    let refusals: [(&str, i32, &str); 4] = [
        ("mkdir", EROFS, "mounted read-only"),
        (
            "mkdir",
            nix::errno::Errno::EACCES as i32,
            "run vmferry as root",
        ),
        (
            "tasks",
            nix::errno::Errno::EPERM as i32,
            "run vmferry as root",
        ),
        ("tasks", EINVAL, "real-time"),
    ];
    for (file, number, words) in refusals {
        let mut host = Host::with_guest(FakeKernel::v1(), "/vm");
        host.kernel.refuses(file, number);
        let error = host.install(Grouping::Together).unwrap_err().to_string();
        assert!(error.contains(words), "{file}: {error}");
        assert_eq!(host.kernel.groups(), ["", "/vm"]);
        assert_eq!(host.kernel.group_of(101), "/vm");
        assert_eq!(host.journal.pending(), []);
    }
    let mut host = Host::with_guest(FakeKernel::v1(), "/vm");
    let mut cap = host.install(Grouping::Together).unwrap();
    host.kernel.refuses("cpu.cfs_quota_us", EINVAL);
    let error = cap.set(share(0.5)).unwrap_err().to_string();
    assert!(error.contains("may have a lower quota"), "{error}");

    for file in ["cpu.cfs_quota_us", "cpu.max"] {
        let kernel = kernels().into_iter().nth(usize::from(file == "cpu.max"));
        let mut host = Host::with_guest(kernel.unwrap(), "/vm");
        let mut cap = host.install(Grouping::Together).unwrap();
        host.kernel.ignores(file);
        let error = cap.set(share(0.5)).unwrap_err().to_string();
        assert!(
            error.contains("wrote 100000") && error.contains("reads"),
            "{error}"
        );
    }
}

#[test]
fn what_cannot_be_capped_is_said_in_words() {
    let mut host = Host::with_guest(FakeKernel::v1(), "/vm");
    let none = VcpuThreads::look_up(&*host.kernel, PID, &[]).unwrap_err();
    assert!(none.to_string().contains("names no threads"), "{none}");
    let gone = VcpuThreads::look_up(&*host.kernel, PID, &[(0, 555)]).unwrap_err();
    assert!(
        gone.to_string().contains("no thread 555 any more"),
        "{gone}"
    );
    let exited = VcpuThreads::look_up(&*host.kernel, 4, &[(0, 555)]).unwrap_err();
    assert!(exited.to_string().contains("has exited"), "{exited}");
    for bad in [0.0, -0.1, 1.1, f64::NAN, f64::INFINITY] {
        let mut cap = host.install(Grouping::Together).unwrap();
        assert!(cap.set(share(bad)).is_err(), "{bad}");
        cap.release(&mut host.journal).unwrap();
    }
    // The thread ends between the look and the move.
    let threads = host.threads().unwrap();
    host.kernel.ends(102);
    let files = host.files();
    let options = CpuCapOptions::default();
    let error = CpuCap::install_with(files, &mut host.journal, &uri(), id(), threads, options);
    assert!(matches!(
        error,
        Err(MigrateError::CpuCap(CpuCapError::ThreadGone {
            tid: 102,
            ..
        }))
    ));
    assert_eq!(host.kernel.group_of(101), "/vm");
    host.kernel.real_time(101);
    let error = VcpuThreads::look_up(&*host.kernel, PID, &[(0, 101)]).unwrap_err();
    assert!(error.to_string().contains("real-time"), "{error}");

    // Built without bandwidth control: weights go.
    let mut host = Host::with_guest(FakeKernel::v1(), "/vm");
    host.kernel.has_no_quota();
    let mut cap = host.install(Grouping::Together).unwrap();
    let error = cap.set(share(0.5)).unwrap_err().to_string();
    assert!(
        error.contains("no CPU quota there; cap by weight"),
        "{error}"
    );
    host.kernel.thread(9, 900, "/vm/other");
    cap.set_weight(share(0.25)).unwrap();
    assert_eq!(
        host.kernel.setting(&ours("/vm"), "cpu.shares").unwrap(),
        "341"
    );
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

#[test]
fn whoever_dies_while_installing_leaves_nothing_that_recovery_cannot_undo() {
    for kernel in [FakeKernel::v1, FakeKernel::v2] {
        let mut died = 0;
        loop {
            let mut host = Host::with_guest(kernel(), "/vm");
            let before = host.kernel.gives_cpu("/vm");
            host.kernel.dies_after(Some(died));
            let installed = host.install(Grouping::Apart).is_ok();
            host.kernel.dies_after(None);
            assert!(host.recover().iter().all(|undone| undone.is_ok()), "{died}");
            assert_eq!(host.kernel.groups(), ["", "/vm"], "{died}");
            assert_eq!(host.kernel.group_of(101), "/vm", "{died}");
            assert_eq!(host.kernel.group_of(102), "/vm", "{died}");
            assert_eq!(host.kernel.gives_cpu("/vm"), before, "{died}");
            if installed {
                break;
            }
            died += 1;
        }
        assert!(died >= 8, "{died} changes for two groups");
    }
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
