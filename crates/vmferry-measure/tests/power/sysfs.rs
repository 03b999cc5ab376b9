use vmferry_measure::power::{Hwmon, PowerError, PowerMeter as _, Rapl, RaplDomains};

use crate::tree::Tree;
use crate::{joules, watts};

const SERVER: &str = include_str!("fixtures/powercap-two-packages.txt");
const LAPTOP: &str = include_str!("fixtures/powercap-laptop.txt");
const HWMON: &str = include_str!("fixtures/hwmon.txt");

fn rapl(tree: &Tree, domains: RaplDomains) -> Result<Rapl, PowerError> {
    Rapl::open_at(&tree.path("class/powercap"), domains)
}

#[tokio::test]
async fn packages_are_summed_and_nothing_twice() {
    let tree = Tree::of(SERVER);
    let zone = |n: u32| format!("class/powercap/intel-rapl:{n}/energy_uj");
    let mut meter = rapl(&tree, RaplDomains::Packages).unwrap();
    assert_eq!(meter.name(), "RAPL (package-0, package-1)");
    assert_eq!(joules(&mut meter).await.unwrap(), 0.0);
    // 25 J in one package; the other begins again after 0.32885 J, and counts 9.67115 more.
    tree.set(&zone(0), 100_025_000_000_u64);
    tree.set(&zone(1), 9_671_150);
    tree.set("class/powercap/intel-rapl:0:0/energy_uj", 5_900_000_000_u64);
    let read = joules(&mut meter).await.unwrap();
    assert!((read - 35.0).abs() < 1e-9, "{read}");
    // Nothing happened since.
    assert_eq!(joules(&mut meter).await.unwrap(), read);
}

#[tokio::test]
async fn memory_at_the_packages_is_added_where_asked_for() {
    let tree = Tree::of(SERVER);
    let mut meter = rapl(&tree, RaplDomains::PackagesAndMemory).unwrap();
    assert_eq!(
        meter.name(),
        "RAPL (package-0, package-0 dram, package-1, package-1 dram)"
    );
    tree.set("class/powercap/intel-rapl:0/energy_uj", 100_002_000_000_u64);
    // Around the end of its own, smaller range: 613 uJ, then 999,387.
    tree.set("class/powercap/intel-rapl:1:0/energy_uj", 999_387);
    let read = joules(&mut meter).await.unwrap();
    assert!((read - 3.0).abs() < 1e-9, "{read}");
}

#[tokio::test]
async fn parts_the_platform_and_the_second_way_are_left_out() {
    let tree = Tree::of(LAPTOP);
    for domains in [RaplDomains::Packages, RaplDomains::PackagesAndMemory] {
        let mut meter = rapl(&tree, domains).unwrap();
        assert_eq!(meter.name(), "RAPL (package-0)");
        tree.set("class/powercap/intel-rapl:0/energy_uj", 4_500_000);
        tree.set("class/powercap/intel-rapl:1/energy_uj", 9_500_000);
        assert!((joules(&mut meter).await.unwrap() - 3.5).abs() < 1e-9);
        tree.set("class/powercap/intel-rapl:0/energy_uj", 1_000_000);
    }
}

#[tokio::test]
async fn what_is_no_counter_is_told() {
    let tree = Tree::of(SERVER);
    let mut meter = rapl(&tree, RaplDomains::Packages).unwrap();
    let energy = "class/powercap/intel-rapl:0/energy_uj";
    tree.set(energy, "262143328851");
    let error = joules(&mut meter).await.unwrap_err().to_string();
    assert!(
        error.contains("beyond its range of 262143328850"),
        "{error}"
    );
    tree.set(energy, "-5");
    let error = joules(&mut meter).await.unwrap_err().to_string();
    assert!(error.contains("holds `-5`"), "{error}");
    std::fs::remove_file(tree.path(energy)).unwrap();
    let error = joules(&mut meter).await.unwrap_err();
    assert!(matches!(error, PowerError::File { .. }), "{error}");
    // Within a guest there is no powercap, or an empty one.
    for listing in ["class/powercap/intel-rapl/enabled = 0", "class/other = 0"] {
        let error = rapl(&Tree::of(listing), RaplDomains::Packages).unwrap_err();
        let text = error.to_string();
        assert!(text.contains("no package to count"), "{text}");
    }
}

#[tokio::test]
async fn sensors_of_the_kernel() {
    let tree = Tree::of(HWMON);
    for (path, name, expected) in [
        ("hwmon0", "hwmon power_meter power1_average", 184.0),
        // An average misses nothing between two readings.
        ("hwmon1", "hwmon amdgpu slowPPT", 31.0),
        ("hwmon1/power1_input", "hwmon amdgpu slowPPT", 35.0),
        ("hwmon2/power2_input", "hwmon ina3221 power2_input", 1.25),
    ] {
        let path = tree.path("class/hwmon").join(path);
        let mut meter = Hwmon::open(&path).unwrap();
        assert_eq!(meter.name(), name);
        assert_eq!(watts(&mut meter).await.unwrap(), expected);
    }
    for (path, words) in [
        ("hwmon2", "name one of power1_input, power2_input"),
        ("hwmon3", "has no power sensor"),
        ("hwmon3/temp9_input", "No such file"),
        ("hwmon0/name", "holds `power_meter`"),
    ] {
        let path = tree.path("class/hwmon").join(path);
        let error = Hwmon::open(&path).unwrap_err().to_string();
        assert!(error.contains(words), "{error}");
    }
}
