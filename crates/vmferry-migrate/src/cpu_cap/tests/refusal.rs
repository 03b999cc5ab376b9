//! What cannot be capped, and what the kernel refuses.

use super::*;
use crate::cpu_cap::files::libc_errno::{EINVAL, EROFS};

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
    // Or another one has its number by then.
    host.kernel.thread(PID, 102, "/vm");
    let threads = host.threads().unwrap();
    host.kernel.is_another(102);
    let files = host.files();
    let error = CpuCap::install_with(files, &mut host.journal, &uri(), id(), threads, options);
    assert!(matches!(
        error,
        Err(MigrateError::CpuCap(CpuCapError::ThreadGone {
            tid: 102,
            ..
        }))
    ));
    assert_eq!(host.kernel.group_of(102), "/vm");
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
