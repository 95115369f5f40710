//! The valid files that inputs are made of: what comes with kbench, and a small run with a fault.

use std::fs;
use std::path::{Path, PathBuf};

use faults::ledger::{Ledger, Owner};
use faults::port::{Process, ProcessIdentity, Signal, Starter};
use faults::undo::Undo;
use kbench::cluster::local::sandbox::Mode;
use kbench::rundir::RunDir;
use kbench::spec::{Request, RunSpec};
use results::record::clock::RunTime;
use results::record::environment::Environment;
use results::record::event::Role;
use results::record::history::{
    Client, Committed, Entry, History, LoadRole, Observed, Poll, ProducerEpoch, RecordId, Send,
    SendOutcome, Stream, StreamHeader, StreamWriter,
};
use results::record::trial::{ENVIRONMENT, EVENTS, HISTORY, LEDGER, SPEC};
use serde_json::{Value, json};

use crate::mutate::sealed;

/// Milliseconds between two records of a partition, and partitions.
const EVERY: u64 = 50;
const PARTITIONS: i32 = 3;

/// When the run's fault begins and what it interrupts ends, in milliseconds.
const OUTAGE: std::ops::Range<u64> = 3000..6000;

/// When the load ends.
const END: u64 = 9000;

pub(crate) struct Seeds {
    pub(crate) workloads: Vec<String>,
    pub(crate) plans: Vec<String>,
    pub(crate) clusters: Vec<String>,
    pub(crate) claims: Vec<String>,
    pub(crate) spec: RunSpec,
    pub(crate) run: PathBuf,
    pub(crate) events: Vec<Value>,
    pub(crate) ledger: Vec<u8>,
    pub(crate) environment: Value,
    pub(crate) history: History,
}

fn ms(at: u64) -> RunTime {
    RunTime(at * 1_000_000)
}

fn texts(all: &[(&str, &str)]) -> Vec<String> {
    all.iter().map(|(_, text)| (*text).to_owned()).collect()
}

impl Seeds {
    pub(crate) fn make(folder: &Path) -> Self {
        let (seed, mode) = (Some(7), Some(Mode::Loopback));
        let request = Request { seed, mode, ..Request::of("smoke", "failover", "local") };
        let spec = request.resolve().expect("a spec").spec;
        let (dir, _lock) = RunDir::create(&folder.join("runs"), &spec.run_id).expect("a run");
        kbench::run::save_spec(&spec, &dir).expect("a spec");
        let run = dir.path().to_owned();
        let checksum = dir.spec_checksum().expect("a checksum").to_string();
        let events = events(&spec.run_id, &checksum);
        fs::write(run.join(EVENTS), sealed(&events)).expect("a file");
        let environment = Environment { cores: 2, ..Environment::default() };
        let environment = serde_json::to_value(environment).expect("JSON");
        fs::write(run.join(ENVIRONMENT), environment.to_string()).expect("a file");
        ledger(&run.join(LEDGER));
        let topic = &spec.cluster.main_topic().name;
        write(&run.join(HISTORY), &streams(spec.run_number, topic));
        let claims = Path::new(env!("CARGO_MANIFEST_DIR")).join("../results/claims");
        let claims = fs::read_dir(claims).expect("claims").flatten();
        Self {
            workloads: texts(workloads::shipped()),
            plans: texts(faults::plan::SHIPPED),
            clusters: texts(kbench::topology::SHIPPED),
            claims: claims.map(|f| fs::read_to_string(f.path()).expect("claims")).collect(),
            ledger: fs::read(run.join(LEDGER)).expect("a ledger"),
            history: History::load(&run.join(HISTORY)).expect("a history"),
            spec,
            run,
            events,
            environment,
        }
    }

    /// The text of the run's spec.
    pub(crate) fn spec_text(&self) -> String {
        fs::read_to_string(self.run.join(SPEC)).expect("a spec")
    }
}

/// Writes streams as a history, anew.
pub(crate) fn write(history: &Path, streams: &[Stream]) {
    fs::remove_dir_all(history).ok();
    fs::create_dir_all(history).expect("a folder");
    for Stream { name, header, entries, .. } in streams {
        let mut out = StreamWriter::create(history, name, header).expect("a stream");
        entries.iter().for_each(|entry| out.push(entry).expect("an entry"));
        out.finish().expect("an end");
    }
}

fn ledger(path: &Path) {
    let mut ledger = Ledger::open(path, Owner::new("guide", "run/1")).expect("a ledger");
    let process = Process { node: "cpu-node1".into(), role: Role::Broker, id: 1 };
    let identity =
        ProcessIdentity { boot_id: "boot".into(), pid: 1, started_ticks: 7, within: None };
    let (signal, starter) = (Signal::Kill, Starter::Parent);
    for undo in [Undo::StartProcess { process, identity, signal, starter }, Undo::RestoreClients] {
        let tag = ledger.tag();
        ledger.plan(&tag, "kill", ms(10), &[undo]).expect("a plan");
    }
    ledger.done(1, Some(ms(20))).expect("an undo");
}

fn events(run_id: &str, spec: &str) -> Vec<Value> {
    let broker = json!({"node": "cpu-node1", "role": "broker", "id": 1});
    let fault = "kill-leader";
    let mut events = vec![
        (
            0,
            json!({"event": "trial-started", "run_id": run_id, "trial": 1, "wall_at_start_ms": 1_000_000, "spec": spec}),
        ),
        (0, json!({"event": "stage", "stage": "starting"})),
        (5, json!({"event": "process-started", "process": broker, "pid": 17})),
        (
            10,
            json!({"event": "broker-registered", "plane": "zookeeper", "broker": 1, "session": 77, "ctime_ms": 1_000_010}),
        ),
        (
            11,
            json!({"event": "controller-elected", "plane": "zookeeper", "broker": 1, "ctime_ms": 1_000_011}),
        ),
        (900, json!({"event": "cluster-ready", "took_s": 0.9})),
        (1000, json!({"event": "stage", "stage": "baseline"})),
        (2500, json!({"event": "stage", "stage": "faults"})),
        (2600, json!({"event": "awaiting-steady", "fault_id": fault})),
        (2700, json!({"event": "steady"})),
        (
            3000,
            json!({"event": "fault-injecting", "fault_id": fault, "fault": "kill", "target": "leader", "victims": [broker], "effect": {"takes": "processes-for-a-restart", "detection": "session-expiry", "risk": "process"}}),
        ),
        (
            3010,
            json!({"event": "fault-injected", "fault_id": fault, "evidence": ["it is gone"], "proven": true, "took_s": 0.01, "shown_s": 0.02}),
        ),
        (
            3010,
            json!({"event": "process-ended", "process": broker, "pid": 17, "end": {"signal": 9}}),
        ),
        (4500, json!({"event": "broker-gone", "plane": "zookeeper", "broker": 1})),
        (4510, json!({"event": "controller-gone", "plane": "zookeeper"})),
        (
            4600,
            json!({"event": "controller-elected", "plane": "zookeeper", "broker": 2, "ctime_ms": 1_004_600}),
        ),
        (
            4700,
            json!({"event": "log-mark", "process": broker, "mark": "controller-elected", "wall_ms": 1_004_650, "line": "elected"}),
        ),
        (6100, json!({"event": "fault-recovered", "fault_id": fault, "recovered": true})),
        (6200, json!({"event": "fault-healing", "fault_id": fault})),
        (
            7000,
            json!({"event": "fault-healed", "fault_id": fault, "evidence": ["it runs"], "proven": true, "waited_for_session_s": 0.5}),
        ),
        (7100, json!({"event": "stage", "stage": "healing"})),
        (
            7200,
            json!({"event": "disturbed", "cause": "cpu-taken", "place": "host", "from": 7_100_000_000_u64, "detail": "5 %"}),
        ),
        (END, json!({"event": "load-stopping"})),
        (
            END + 50,
            json!({"event": "load-ended", "producer_cpu_s": 0.1, "clients_cpu_s": 0.2, "over_s": 8.0, "queue_full": 0}),
        ),
        (END + 50, json!({"event": "stage", "stage": "draining"})),
        (END + 60, json!({"event": "draining", "passed": 10, "left": 20, "per_s": 5})),
        (END + 300, json!({"event": "stage", "stage": "stopping"})),
        (END + 400, json!({"event": "trial-ended"})),
    ];
    for (seconds, leader) in [(0, 1), (4, 2)] {
        for partition in 0..PARTITIONS {
            let at = seconds * 1000 + 900;
            let state = |event: &str, who: &str, of: Value| {
                json!({"event": event, who: of, "topic": "user-events", "partition": partition,
                       "leader": leader, "leader_epoch": leader, "isr": [1, 2, 3]})
            };
            let mut seen = state("partition-state", "plane", json!("zookeeper"));
            seen["mtime_ms"] = json!(1_000_000 + at);
            events.push((at, seen));
            events.push((at + 5, state("metadata-seen", "observer", json!(2))));
        }
    }
    for second in 1..END / 1000 {
        let second_of = json!({"event": "second", "due": 60, "sent": 60, "acked": 60, "failed": 0, "consumed": 60,
            "outstanding": 0, "response_p50_us": 900, "response_p99_us": 2000, "response_max_us": 3000,
            "schedule_lag_p99_us": 50});
        events.push((second * 1000, second_of));
    }
    events.sort_by_key(|(at, _)| *at);
    let timed = |(at, mut event): (u64, Value)| {
        event["at"] = json!(at * 1_000_000);
        event
    };
    events.into_iter().map(timed).collect()
}

/// What clients saw of a load with one outage.
fn streams(run: u64, topic: &str) -> Vec<Stream> {
    let header = |client| StreamHeader { run, topic: topic.into(), partitions: 3, client };
    let (mut sends, mut polls, mut drained) = (vec![], vec![], vec![]);
    for partition in 0..PARTITIONS {
        let (at, committed) = (ms(950), Committed::Nothing);
        polls.push(Entry::Assigned { partition, at, committed });
    }
    let (producer, incarnation, key) = (0, 0, 1);
    let mut count = 0_i64;
    for due in (1000..END).step_by(EVERY as usize) {
        for partition in 0..PARTITIONS {
            let sequence = count as u64;
            let done = if OUTAGE.contains(&due) { OUTAGE.end + 5 } else { due + 3 };
            let (offset, due) = (count, ms(due));
            let outcome = SendOutcome::Acked { offset };
            let (sent, done) = (due, ms(done));
            let warm_up = false;
            let send = Send { partition, sequence, key, warm_up, due, sent, done, outcome };
            sends.push(Entry::Send(send));
            let id = RecordId { producer, incarnation, partition, sequence, key, due };
            let record = Observed::Record(id);
            let at = RunTime(done.0 + 2_000_000);
            polls.push(Entry::Poll(Poll { partition, offset, at, record }));
            drained.push(Entry::Poll(Poll { partition, offset, at: ms(END + 100), record }));
        }
        count += 1;
    }
    let mut batches = vec![];
    for partition in 0..PARTITIONS {
        let (asked, at, offset, error) = (ms(END), ms(END + 1), count, None);
        polls.push(Entry::Commit { partition, asked, at, offset, error });
        polls.push(Entry::Revoked { partition, at: ms(END + 2) });
        let (start_offset, end_offset, reached, at) = (0, count, count, ms(END + 200));
        drained.push(Entry::Drained { partition, start_offset, end_offset, reached, at });
        let epoch = ProducerEpoch { id: 1, epoch: 0 };
        batches.push(Entry::Batches { partition, first: 0, end: count, epoch, at });
    }
    let reads = (0..40).map(|n| {
        let (asked, done) = (ms(1000 + n * 200), ms(1002 + n * 200));
        Entry::Read { partition: (n % 3) as i32, asked, done, answered: true }
    });
    let (acks, idempotent, role) = (-1, true, LoadRole::Main);
    let main = Client::Producer { producer, incarnation, acks, idempotent, role };
    let group = Client::GroupConsumer { group: "analytics".into(), consumer: 0 };
    let all = [
        ("producer-0", main, sends),
        ("consumer-0", group, polls),
        ("drain", Client::Drain, drained),
        ("batches", Client::BatchHeaders, batches),
        ("read-probe", Client::ReadProbe, reads.collect()),
    ];
    let stream = |(name, client, entries): (&str, Client, Vec<Entry>)| {
        let (name, header) = (name.to_owned(), header(client));
        Stream { name, header, entries, ending: results::record::history::Ending::Complete }
    };
    all.into_iter().map(stream).collect()
}
