//! Where data go, by what there is.

use super::*;

const GIB: u64 = 1 << 30;

fn need(data_gib: f64, labs: u32) -> Need {
    Need {
        data: (data_gib * GIB as f64) as u64,
        lab: 3 * GIB,
        judge: GIB / 4,
        files: GIB / 4,
        history: GIB / 8,
        events: 1 << 20,
        records: 3_600_000,
        seconds: 3600,
        labs,
    }
}

fn have(memory_gib: u64, disk_gib: u64) -> Have {
    Have { memory: memory_gib * GIB, limit: None, disk: disk_gib * GIB, disk_is_memory: false }
}

const PLAIN: Terms<'static> = Terms {
    mode: Mode::UserNamespaces,
    in_memory: None,
    is_kept: false,
    has_plan: false,
    profile: Profile::Failover,
};

fn plan(name: &str) -> Plan {
    Plan::parse(faults::plan::SHIPPED.iter().find(|(shipped, _)| *shipped == name).unwrap().1)
        .unwrap()
}

#[test]
fn data_go_to_memory_where_they_fit_else_to_disk_else_nowhere() {
    let on = |data, labs, memory, disk| {
        storage(&need(data, labs), &have(memory, disk), &PLAIN).map_err(|f| f.text().to_owned())
    };
    for (data, labs, memory, disk, place) in [
        (1.0, 1, 8, 100, Storage::Memory),
        (4.0, 1, 8, 100, Storage::Memory),
        // The margin does not fit.
        (4.5, 1, 8, 100, Storage::Disk),
        (11.0, 1, 23, 42, Storage::Memory),
        (11.0, 2, 23, 42, Storage::Disk),
        (88.0, 1, 23, 200, Storage::Disk),
    ] {
        assert_eq!(on(data, labs, memory, disk), Ok(place), "{data} {labs} {memory} {disk}");
    }
    for (data, labs, memory, disk, words) in [
        (
            88.0,
            1,
            23,
            42,
            "data need 96.8 GiB in 3600 s of load: 19.8 GiB of memory or 41.5 GiB of disk are left",
        ),
        (4.0, 4, 12, 100, "the run needs 12.2 GiB of memory beside its servers' data, and 12.0"),
        (1.0, 1, 8, 0, "the run's directory needs 512 MiB of disk, and 0 MiB are free"),
    ] {
        let text = on(data, labs, memory, disk).unwrap_err();
        assert!(text.contains(words), "{text}");
    }
}

#[test]
fn what_would_do_is_told() {
    let cure = |terms: &Terms<'_>, labs| {
        let failure = storage(&need(88.0, labs), &have(23, 42), terms).unwrap_err();
        failure.cure().unwrap().to_owned()
    };
    let plain = cure(&PLAIN, 1);
    // 41.5 of 96.8 GiB, of an hour.
    assert!(plain.starts_with("a shorter load (about 25 min fit: --duration), a lower"), "{plain}");
    assert!(cure(&Terms { has_plan: true, ..PLAIN }, 1).starts_with("a shorter plan"));
    assert!(cure(&PLAIN, 2).contains("--parallel"));
    assert!(plain.contains("--out DIR"), "{plain}");
    let kept = cure(&Terms { is_kept: true, ..PLAIN }, 1);
    assert!(!kept.contains("--out DIR"), "no disk helps: {kept}");
}

#[test]
fn who_needs_its_data_in_memory_gets_no_disk() {
    let (filled, power) = (plan("full-disk"), plan("power-loss"));
    for (terms, words) in [
        (
            Terms { in_memory: Some((&filled, "disk")), ..PLAIN },
            "plan `full-disk` needs them in memory (capability `disk`)",
        ),
        (Terms { in_memory: Some((&power, "flushes")), ..PLAIN }, "plan `power-loss` needs"),
        (Terms { is_kept: true, ..PLAIN }, "a kept cluster has them in memory, where"),
    ] {
        let place = |data| storage(&need(data, 1), &have(8, 100), &terms);
        assert_eq!(place(4.0).unwrap(), Storage::Memory);
        let failure = place(5.0).unwrap_err();
        assert!(failure.text().contains(words), "{}", failure.text());
    }
    for plan in [&filled, &power] {
        assert!(plan.needs().into_iter().any(takes_memory), "{}", plan.name);
    }
    assert!(!plan("failover").needs().into_iter().any(takes_memory));
}

#[test]
fn without_namespaces_there_is_the_disk_alone() {
    let terms = Terms { mode: Mode::Loopback, ..PLAIN };
    assert_eq!(storage(&need(1.0, 1), &have(100, 3), &terms).unwrap(), Storage::Disk);
    assert!(storage(&need(3.0, 1), &have(100, 3), &terms).is_err());
    let kept = Terms { is_kept: true, ..terms };
    assert_eq!(storage(&need(1.0, 1), &have(100, 3), &kept).unwrap(), Storage::Disk);
}

#[test]
fn a_run_s_directory_in_memory_is_memory() {
    let tmpfs = |memory, disk| Have { disk_is_memory: true, ..have(memory, disk) };
    let on = |data, have: &Have| storage(&need(data, 1), have, &PLAIN);
    assert_eq!(on(4.0, &tmpfs(8, 8)).unwrap(), Storage::Memory);
    let failure = on(5.0, &tmpfs(8, 8)).unwrap_err();
    assert!(failure.text().contains("in which the run's directory is, too"), "{}", failure.text());
}

#[test]
fn the_limit_of_a_group_is_named() {
    let limit = Some(PathBuf::from("/sys/fs/cgroup/a/memory.max"));
    let failure = storage(&need(1.0, 1), &Have { limit, ..have(2, 100) }, &PLAIN).unwrap_err();
    let words = "2.0 GiB are free (the limit is /sys/fs/cgroup/a/memory.max)";
    assert!(failure.text().ends_with(words), "{}", failure.text());
}

#[test]
fn what_could_not_be_read_afterwards_is_refused() {
    let all = Have { memory: u64::MAX, limit: None, disk: u64::MAX, disk_is_memory: false };
    let text = |need: &Need| storage(need, &all, &PLAIN).unwrap_err().text().to_owned();
    assert!(storage(&need(1.0, 1), &all, &PLAIN).is_ok());
    let week = Need { seconds: 7 * 24 * 3600, ..need(1.0, 1) };
    assert!(text(&week).contains("604800 s of load"), "{}", text(&week));
    let events = Need { events: 129 << 20, ..need(1.0, 1) };
    assert!(text(&events).contains("129 MiB of events, and kbench reads 128 MiB"));
    let history = Need { history: 33 * GIB, ..need(1.0, 1) };
    assert!(text(&history).contains("33.0 GiB of history"));
}

#[test]
fn this_machine_has_something() {
    let here = Have::now(Path::new("results/runs/none")).unwrap();
    assert!(here.memory > 0 && here.disk > 0, "{here:?}");
}

#[test]
fn data_of_a_benchmark_go_to_disk_or_nowhere_however_much_memory_there_is() {
    let terms = Terms { profile: Profile::Benchmark, ..PLAIN };
    let on = |data, have: &Have| storage(&need(data, 1), have, &terms);
    assert_eq!(on(1.0, &have(23, 100)).unwrap(), Storage::Disk);
    let failure = on(20.0, &have(23, 10)).unwrap_err();
    assert!(failure.text().ends_with("of load: 9.5 GiB of disk are left for them"), "{failure:?}");
    // What fits is counted by the disk alone.
    assert!(failure.cure().unwrap().contains("about 25 min fit"), "{failure:?}");
    let in_memory = Have { disk_is_memory: true, ..have(23, 100) };
    let failure = on(1.0, &in_memory).unwrap_err();
    let words = "profile `benchmark` keeps them on disk, and the run's directory is in memory";
    assert!(failure.text().ends_with(words), "{failure:?}");
}
