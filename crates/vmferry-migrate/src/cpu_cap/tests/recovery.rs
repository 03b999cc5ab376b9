//! Caps undone by others than who put them on, and caps that others took off.

use super::*;

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
