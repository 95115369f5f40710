//! Machines of a process on a host that only records.

use faults::fault::FaultSpec;

use super::super::tests::block_on;
use super::*;
use crate::cluster::host::recording::{Recording, RecordingHost};

/// Every capability.
fn claims() -> BTreeSet<Capability> {
    Capability::ALL.into()
}

/// One process on a host that only records.
struct OneProcess(Rc<dyn Host>);

impl HostedProcesses for OneProcess {
    fn subject(&self, process: &Process) -> Result<HostedProcess, HostError> {
        Ok(HostedProcess {
            server: process.clone(),
            host: Rc::clone(&self.0),
            process: Some(ProcessIdentity {
                boot_id: "b".into(),
                pid: 7,
                started_ticks: 1,
                within: None,
            }),
            data: "/data".into(),
            disk: Some(1 << 30),
            flushed: None,
            scratch: "/tmp".into(),
            clock: None,
            groups: ControlGroups::default(),
        })
    }
}

#[test]
fn a_dry_run_shows_a_limit_that_goes_back_to_what_it_was() {
    let limits = |soft: &str| {
        format!(
            "Limit                     Soft Limit           Hard Limit           Units     \n\
             Max open files            {soft:<20} 20000                files     \n"
        )
    };
    // What procfs reads are all of them.
    let all = std::fs::read_to_string("/proc/self/limits").unwrap();
    let with = |soft: &str| {
        let line = |line: &str| match line.starts_with("Max open files") {
            true => limits(soft).lines().nth(1).unwrap_or_default().to_owned(),
            false => line.to_owned(),
        };
        all.lines().map(|text| line(text) + "\n").collect::<String>()
    };
    let recording = Recording::default();
    let files = [("/proc/7/limits", with("1000"))];
    let files = files.iter().map(|(path, text)| (*path, text.as_str()));
    let host = Rc::new(RecordingHost::new("node1", &recording, files));
    let process = Process { node: "node1".into(), role: Role::Broker, id: 1 };
    block_on(async {
        let machine = ClusterMachine::new(Rc::new(OneProcess(host.clone())), claims());
        let withhold = Impairment::NoDescriptors;
        let before = machine.before(&process, &withhold).await.unwrap();
        assert_eq!(before, Before::Limit { soft: Some(1000) });
        machine.impair(&process, &withhold).await.unwrap();
        machine.repair(&process, &withhold, &before).await.unwrap();
        let withheld = with("1");
        host.write("/proc/7/limits".as_ref(), withheld.as_bytes()).await.unwrap();
        // By another kbench than the one that withheld it.
        let another = ClusterMachine::new(Rc::new(OneProcess(host.clone())), claims());
        another.repair(&process, &withhold, &before).await.unwrap();
    });
    let text = recording.text();
    let asked: Vec<_> = text.lines().filter(|line| line.contains("$ prlimit")).collect();
    let prlimit = |soft| format!("node1$ prlimit --pid=7 --nofile={soft}:");
    // What is not withheld is let alone; what is, becomes what it was and not the hard limit.
    assert_eq!(asked, [prlimit("1"), prlimit("1000")]);
}

#[test]
fn a_dry_run_shows_a_disk_that_is_filled_and_gets_its_size_back() {
    let recording = Recording::default();
    let host = Rc::new(RecordingHost::new("node1", &recording, []));
    let process = Process { node: "node1".into(), role: Role::Broker, id: 1 };
    block_on(async {
        let machine = ClusterMachine::new(Rc::new(OneProcess(host)), claims());
        let before = machine.before(&process, &Impairment::FullDisk).await.unwrap();
        machine.impair(&process, &Impairment::FullDisk).await.unwrap();
        machine.repair(&process, &Impairment::FullDisk, &before).await.unwrap();
    });
    let text = recording.text();
    assert!(text.starts_with("node1$ sh -c 'for spare in 0 0 0 1 8 64 512; do\n"), "{text}");
    let last = text.lines().last().unwrap();
    assert_eq!(last, "node1$ mount -o remount,mode=700,size=1073741824 tmpfs /data");
}

#[test]
fn what_a_cluster_does_not_claim_is_not_done_to_its_processes() {
    let process = Process { node: "node1".into(), role: Role::Broker, id: 1 };
    for spec in FaultSpec::ALL {
        let fault = spec.fault();
        let Some(need) = fault.needs().first().filter(|need| need.subject() == Subject::Machine)
        else {
            continue;
        };
        let written = serde_json::to_value(spec).unwrap();
        let impairment: Impairment = match need {
            Capability::Clock => Impairment::Clock { ahead_s: 1 },
            _ => serde_json::from_value(written).unwrap(),
        };
        let recording = Recording::default();
        let host = Rc::new(RecordingHost::new("node1", &recording, []));
        let mut claimed = claims();
        claimed.remove(need);
        let machine = ClusterMachine::new(Rc::new(OneProcess(host)), claimed);
        block_on(async {
            let looked = machine.before(&process, &impairment).await.map(drop).unwrap_err();
            let impaired = machine.impair(&process, &impairment).await.unwrap_err();
            let unsupported = ErrorKind::Unsupported;
            assert_eq!((looked.kind, impaired.kind), (unsupported, unsupported), "{impaired}");
        });
        assert_eq!(recording.text(), "", "{}", fault.name());
    }
}
