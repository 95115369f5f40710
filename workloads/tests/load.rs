//! The clients against librdkafka's mock cluster: what they record, how they stop, and that a
//! stalled cluster cannot hide behind a waiting generator.

#![expect(clippy::unwrap_used, reason = "a failing step is a failing test")]

use std::collections::{BTreeMap, BTreeSet};
use std::process::{Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use rdkafka::mocking::MockCluster;
use rdkafka::producer::DefaultProducerContext;
use results::judge::check::CheckContext;
use results::judge::verdict::Verdict;
use results::record::clock::{RunClock, RunTime};
use results::record::event::Second;
use results::record::history::{
    Client, Ending, Entry, History, LoadRole, Observed, Outcome, Send, Stream,
};
use workloads::{ClientKind, Load, LoadContext, LoadError, WorkloadSpec, drain, shipped};

const TOPIC: &str = "user-events";
const PROBES: &str = "probes";
const RUN: u64 = 42;

/// Everything here takes a fraction of this; it only ends a test that hangs.
const LIMIT: Duration = Duration::from_secs(30);

struct Lab {
    cluster: MockCluster<'static, DefaultProducerContext>,
    clock: RunClock,
    dir: tempfile::TempDir,
    worker: Option<fn() -> Command>,
}

impl Lab {
    fn new() -> Self {
        let cluster = MockCluster::new(3).unwrap();
        cluster.create_topic(TOPIC, 3, 3).unwrap();
        cluster.create_topic(PROBES, 3, 3).unwrap();
        let dir = tempfile::tempdir().unwrap();
        Self { cluster, clock: RunClock::start(), dir, worker: None }
    }

    fn start(&self, spec: &WorkloadSpec) -> (Load, Receiver<(RunTime, Second)>) {
        let (out, seconds) = channel();
        let context = LoadContext {
            bootstrap: self.cluster.bootstrap_servers(),
            run: RUN,
            topic: TOPIC.into(),
            partitions: 3,
            brokers: 3,
            probe_topic: Some(PROBES.into()),
            history_dir: self.dir.path().into(),
            clock: self.clock,
            seed: 7,
            worker: self.worker,
            on_second: Box::new(move |at, second| drop(out.send((at, second)))),
        };
        let mut load = Load::start(spec, context).unwrap();
        load.start_group().unwrap();
        (load, seconds)
    }

    fn history(&self) -> BTreeMap<String, Stream> {
        let history = History::load(self.dir.path()).unwrap();
        let named = |stream: Stream| (stream.name.clone(), stream);
        history.streams.into_iter().map(named).collect()
    }
}

/// The shipped smoke load with some of its text replaced.
fn spec(changes: &[(&str, &str)]) -> WorkloadSpec {
    let mut text = shipped().iter().find(|(name, _)| *name == "smoke").unwrap().1.to_owned();
    for (from, to) in changes {
        assert!(text.contains(from), "{from}");
        text = text.replace(from, to);
    }
    // The mock's group waits for almost a session time-out when somebody joins late or leaves.
    let settings = "settings = { \"session.timeout.ms\" = \"2500\", \
                    \"heartbeat.interval.ms\" = \"200\" }\ncommit_interval";
    text = text.replace("commit_interval", settings);
    WorkloadSpec::parse(&text).unwrap()
}

/// Waits until `n` more seconds have passed on the run's clock; returns those that ended meanwhile.
fn wait(lab: &Lab, seconds: &Receiver<(RunTime, Second)>, n: u64) -> Vec<Second> {
    let from = lab.clock.now();
    let until = from.plus(Duration::from_secs(n));
    let mut ended = Vec::new();
    loop {
        let (at, second) = seconds.recv_timeout(LIMIT).unwrap();
        if at > from {
            ended.push(second);
        }
        if at >= until {
            return ended;
        }
    }
}

/// Waits until `met`, with an end and a word of why it is not.
fn await_that(
    lab: &Lab,
    seconds: &Receiver<(RunTime, Second)>,
    load: &Load,
    met: &dyn Fn(&Load) -> bool,
) {
    let deadline = lab.clock.now().plus(LIMIT);
    while !met(load) {
        let live = load.live();
        let owners: Vec<_> = (0..3).map(|p| live.owner(p)).collect();
        assert_eq!(live.failure(), None);
        let clients = load.clients();
        assert!(lab.clock.now() < deadline, "partitions are read by {owners:?}, {clients:?}");
        wait(lab, seconds, 1);
    }
}

fn sends(stream: &Stream) -> Vec<Send> {
    let send = |entry: &Entry| match entry {
        Entry::Send(send) => *send,
        other => panic!("a producer's stream holds sends only: {other:?}"),
    };
    stream.entries.iter().map(send).collect()
}

#[test]
fn a_load_is_recorded_in_full_and_read_back() {
    let lab = Lab::new();
    let (load, seconds) = lab.start(&spec(&[]));
    load.wait_warm(LIMIT).unwrap();
    load.end_warm_up();
    let figures = wait(&lab, &seconds, 4);
    let live = load.live();
    let summary = load.stop(LIMIT).unwrap();
    assert_eq!((summary.failed, summary.indeterminate, summary.queue_full), (0, 0, 0));
    assert_eq!(summary.sent, summary.acked);
    assert_eq!(live.lag(), 0, "the group reads what was acked before it leaves");
    assert_eq!(live.failure(), None);
    let steady = figures.last().unwrap();
    assert!((199..=201).contains(&steady.due), "200 a second were asked for: {steady:?}");
    assert!(steady.response_p50_us.is_some() && steady.schedule_lag_p99_us.is_some());
    assert_eq!(summary.producer_settings["acks"], "-1");

    let bootstrap = lab.cluster.bootstrap_servers();
    let drained = drain(&bootstrap, TOPIC, 3, RUN, lab.dir.path(), lab.clock, LIMIT).unwrap();
    assert!(drained.complete);
    assert_eq!(drained.records, summary.acked);

    let history = lab.history();
    assert!(history.values().all(|stream| stream.ending == Ending::Complete));
    let main = sends(&history["producer-0"]);
    assert_eq!(main.len() as u64, summary.sent);
    check_sequences(&main);
    assert!(main.iter().any(|send| send.warm_up) && main.iter().any(|send| !send.warm_up));
    check_log(&main, &history["drain"]);
    check_consumers(&main, &history);
    check_probes(&history);
}

/// Sequences of each partition are 0, 1, 2... and rise with the due time.
fn check_sequences(main: &[Send]) {
    for partition in 0..3 {
        let mut own: Vec<_> = main.iter().filter(|send| send.partition == partition).collect();
        own.sort_by_key(|send| send.sequence);
        assert!(own.len() > 100, "partition {partition} was fed");
        for (i, pair) in own.windows(2).enumerate() {
            assert_eq!(pair[0].sequence, i as u64);
            assert!(pair[0].due < pair[1].due && pair[0].sent <= pair[1].sent);
        }
    }
    assert!(main.iter().all(|send| send.due <= send.sent && send.sent <= send.done));
}

/// The drain found each acked record at its offset, and nothing else.
fn check_log(main: &[Send], drain: &Stream) {
    let mut log = BTreeMap::new();
    for entry in &drain.entries {
        if let Entry::Poll(poll) = entry {
            let Observed::Record(id) = poll.record else { panic!("{poll:?}") };
            log.insert((poll.partition, poll.offset), (id.sequence, id.key, id.due));
        }
    }
    assert_eq!(log.len(), main.len());
    for send in main {
        let Outcome::Acked { offset } = send.outcome else { panic!("{send:?}") };
        assert_eq!(log[&(send.partition, offset)], (send.sequence, send.key, send.due));
    }
}

/// Every record reached a member of the group, and every partition was committed by its reader.
fn check_consumers(main: &[Send], history: &BTreeMap<String, Stream>) {
    let mut polled = BTreeSet::new();
    let mut committed = BTreeSet::new();
    for stream in history.values() {
        let Client::GroupConsumer { .. } = stream.header.client else {
            continue;
        };
        for entry in &stream.entries {
            match entry {
                Entry::Poll(poll) => drop(polled.insert((poll.partition, poll.offset))),
                Entry::Commit { partition, error: None, .. } => drop(committed.insert(*partition)),
                Entry::Commit { error: Some(code), .. } => panic!("commit refused: {code}"),
                _ => (),
            }
        }
    }
    assert_eq!(polled.len(), main.len());
    assert_eq!(committed, BTreeSet::from([0, 1, 2]));
}

fn check_probes(history: &BTreeMap<String, Stream>) {
    let probe = &history["probe-producer-0"];
    let Client::Producer { acks: 1, role: LoadRole::Probe, idempotent: false, .. } =
        probe.header.client
    else {
        panic!("{:?}", probe.header)
    };
    assert!(sends(probe).iter().all(|send| matches!(send.outcome, Outcome::Acked { .. })));
    let mut reads = [0; 3];
    for entry in &history["read-probe"].entries {
        let Entry::Read { partition, asked, got } = entry else { panic!("{entry:?}") };
        assert!(asked < got);
        reads[*partition as usize] += 1;
    }
    assert!(reads.iter().all(|n| *n > 10), "several reads a second for some seconds: {reads:?}");
}

#[test]
fn a_stall_shows_in_the_response_times() {
    check_stall("100000");
}

#[test]
fn a_stall_shows_in_the_response_times_when_the_clients_queue_is_full_too() {
    check_stall("100");
}

fn check_stall(queue: &str) {
    let lab = Lab::new();
    let setting = format!(
        "compression = \"none\"\nsettings = {{ \"queue.buffering.max.messages\" = \"{queue}\" }}"
    );
    let spec =
        spec(&[("per_second = 200", "per_second = 1000"), ("compression = \"none\"", &setting)]);
    let (load, seconds) = lab.start(&spec);
    load.wait_warm(LIMIT).unwrap();
    load.end_warm_up();
    wait(&lab, &seconds, 2);
    let stall = lab.clock.now();
    lab.cluster.broker_round_trip_time(-1, Duration::from_millis(1000)).unwrap();
    wait(&lab, &seconds, 1);
    lab.cluster.broker_round_trip_time(-1, Duration::ZERO).unwrap();
    let healed = lab.clock.now();
    wait(&lab, &seconds, 5);
    let summary = load.stop(LIMIT).unwrap();
    assert_eq!(summary.acked, summary.sent, "nothing is lost by a stall");
    assert_eq!(summary.queue_full > 0, queue == "100");

    let sends = sends(&lab.history()["producer-0"]);
    let stalled: Vec<_> =
        sends.iter().filter(|send| send.due > stall && send.due < healed).collect();
    let due = (healed.secs_since(stall) * 1000.0) as usize;
    assert!(stalled.len().abs_diff(due) < 10, "none skipped: {} of {due}", stalled.len());
    // What was due in the stall waited for its end: half of it longer than half the stall.
    let mut response: Vec<_> = stalled.iter().map(|s| s.done.secs_since(s.due)).collect();
    response.sort_by(f64::total_cmp);
    let median = response[response.len() / 2];
    assert!(median > 0.4, "queue {queue}: median response in the stall {median} s");
    let (first, last) = (sends.iter().map(|s| s.due).min(), sends.iter().map(|s| s.due).max());
    let over = last.unwrap().secs_since(first.unwrap());
    assert!(sends.len() as f64 > over * 1000.0 * 0.9, "{} in {over} s", sends.len());
}

#[test]
fn a_replaced_member_goes_on_from_the_committed_offset() {
    let lab = Lab::new();
    let (mut load, seconds) = lab.start(&spec(&[("members = 3", "members = 1")]));
    load.wait_warm(LIMIT).unwrap();
    wait(&lab, &seconds, 2);
    assert_eq!(load.restart_consumer(), 1);
    let live = load.live();
    while (0..3).any(|p| live.owner(p) != Some(1)) {
        wait(&lab, &seconds, 1);
    }
    wait(&lab, &seconds, 1);
    load.stop(LIMIT).unwrap();
    let history = lab.history();
    let (old, new) = (&history["consumer-0"], &history["consumer-1"]);
    assert_eq!(old.ending, Ending::Complete);
    for partition in 0..3 {
        let accepted = |entry: &Entry| match entry {
            Entry::Commit { partition: p, offset, error: None, .. } if *p == partition => {
                Some(*offset)
            }
            _ => None,
        };
        let last_commit = old.entries.iter().filter_map(accepted).max();
        assert!(last_commit.is_some(), "partition {partition} was committed");
        let assigned = new.entries.iter().find_map(|entry| match entry {
            Entry::Assigned { partition: p, committed, .. } if *p == partition => Some(*committed),
            _ => None,
        });
        assert_eq!(assigned, Some(last_commit));
        let first_poll = new.entries.iter().find_map(|entry| match entry {
            Entry::Poll(poll) if poll.partition == partition => Some(poll.offset),
            _ => None,
        });
        assert_eq!(first_poll, last_commit, "it resumes there");
    }
    let revoked = |e: &&Entry| matches!(e, Entry::Revoked { .. });
    assert_eq!(old.entries.iter().filter(revoked).count(), 3);
}

#[test]
fn what_never_had_an_outcome_is_recorded_as_indeterminate() {
    let lab = Lab::new();
    let (load, seconds) = lab.start(&spec(&[]));
    load.wait_warm(LIMIT).unwrap();
    wait(&lab, &seconds, 1);
    lab.cluster.broker_down(-1).unwrap();
    wait(&lab, &seconds, 2);
    let summary = load.stop(Duration::from_millis(200)).unwrap();
    assert!(summary.indeterminate > 100, "{summary:?}");
    assert_eq!(summary.sent, summary.acked + summary.indeterminate);
    let sends = sends(&lab.history()["producer-0"]);
    let open = sends.iter().filter(|s| s.outcome == Outcome::Indeterminate { code: 0 }).count();
    assert_eq!(open as u64, summary.indeterminate);
    check_sequences_of(&sends);
}

fn check_sequences_of(sends: &[Send]) {
    let unique: BTreeSet<_> = sends.iter().map(|send| (send.partition, send.sequence)).collect();
    assert_eq!(unique.len(), sends.len());
}

#[test]
fn a_load_that_cannot_get_warm_says_what_is_missing_and_a_dropped_one_ends() {
    let lab = Lab::new();
    lab.cluster.broker_down(-1).unwrap();
    let (load, _seconds) = lab.start(&spec(&[]));
    let error = load.wait_warm(Duration::from_millis(300)).unwrap_err();
    let words = error.to_string();
    assert!(matches!(error, LoadError::NotWarm { .. }), "{words}");
    assert!(words.contains("no record is acked yet on partition 0, 1, 2"), "{words}");
    assert!(words.contains("no member of group analytics reads partition 0, 1, 2"), "{words}");
    drop(load);
    assert!(lab.history().values().all(|stream| stream.ending == Ending::Complete));
}

#[test]
fn a_wrong_setting_and_too_few_keys_are_refused_at_the_start() {
    let lab = Lab::new();
    let setting = "compression = \"none\"\nsettings = { \"linger.msec\" = \"5\" }";
    for (from, to, words) in [
        ("compression = \"none\"", setting, "linger.msec"),
        ("keys = 100", "keys = 1", "load.keys = 1 leaves partition"),
    ] {
        let context = LoadContext {
            bootstrap: lab.cluster.bootstrap_servers(),
            run: RUN,
            topic: TOPIC.into(),
            partitions: 3,
            brokers: 3,
            probe_topic: None,
            history_dir: tempfile::tempdir().unwrap().path().into(),
            clock: lab.clock,
            seed: 7,
            worker: None,
            on_second: Box::new(|_, _| ()),
        };
        let started = Load::start(&spec(&[(from, to)]), context);
        let Err(error) = started.and_then(|mut load| load.start_group()) else {
            panic!("{to}: accepted")
        };
        assert!(error.to_string().contains(words), "{error}");
    }
}

#[test]
fn a_drain_that_cannot_finish_says_how_far_it_came() {
    let lab = Lab::new();
    lab.cluster.broker_down(-1).unwrap();
    let bootstrap = lab.cluster.bootstrap_servers();
    let limit = Duration::from_millis(300);
    let drained = drain(&bootstrap, TOPIC, 3, RUN, lab.dir.path(), lab.clock, limit).unwrap();
    assert!(!drained.complete);
    let unread = |e: &&Entry| matches!(e, Entry::Drained { reached: 0, end_offset: 1.., .. });
    assert_eq!(lab.history()["drain"].entries.iter().filter(unread).count(), 3);
}

/// The worker process of the test below, which starts this very program to run it.
#[test]
#[ignore = "a process of another test"]
fn worker() {
    let code = workloads::worker_main();
    assert_eq!(format!("{code:?}"), format!("{:?}", std::process::ExitCode::SUCCESS));
}

#[test]
fn clients_that_are_killed_leave_what_they_saw_and_are_started_again() {
    let mut lab = Lab::new();
    lab.worker = Some(|| {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--ignored", "--exact", "worker"]).stderr(Stdio::inherit());
        command
    });
    let (mut load, seconds) = lab.start(&spec(&[]));
    load.wait_warm(LIMIT).unwrap();
    let works = |load: &Load| load.killable(ClientKind::Producer).is_ok();
    await_that(&lab, &seconds, &load, &works);
    wait(&lab, &seconds, 2);
    let read_by_worker = |load: &Load| (0..3).any(|p| load.live().owner(p) == Some(0));
    assert!(read_by_worker(&load), "member 0 has a process of its own, and reads");
    let names = ["killable-producer-0", "consumer-0"];
    let kinds = [ClientKind::Producer, ClientKind::Member];
    assert_eq!(kinds.map(|kind| load.killable(kind).unwrap()), names);
    let [producer, consumer] = names.map(|name| load.kill(name).unwrap());
    assert_eq!([&*producer.client, &*consumer.client], names);
    assert!(producer.how.contains("signal: 9") && consumer.how.contains("signal: 9"));
    assert!(!works(&load));
    assert!(matches!(load.kill(names[1]), Err(LoadError::NoProcess { .. })));
    let absent: Vec<_> = load.clients().into_iter().filter(|client| !client.runs).collect();
    assert_eq!(absent.iter().map(|client| client.kind).collect::<Vec<_>>(), kinds);
    assert_eq!(load.live().failure(), None, "it was asked for");
    load.restore().unwrap();
    await_that(&lab, &seconds, &load, &|load| works(load) && !read_by_worker(load));
    load.stop(LIMIT).unwrap();
    let bootstrap = lab.cluster.bootstrap_servers();
    assert!(drain(&bootstrap, TOPIC, 3, RUN, lab.dir.path(), lab.clock, LIMIT).unwrap().complete);

    let streams = lab.history();
    let cut =
        |name: &&str| matches!(streams[*name].ending, Ending::Truncated { size: Some(_), .. });
    assert!(names.iter().all(cut) && !cut(&"killable-producer-1") && !cut(&"consumer-3"));
    assert!(sends(&streams[names[0]]).len() > 100, "it had outcomes before it was killed");
    let mut history = History::load(lab.dir.path()).unwrap();
    history.killed([&producer, &consumer].map(|one| (&*one.client, one.history_bytes)));
    for check in results::judge::check::all(&history, &CheckContext::default()).unwrap() {
        assert_eq!(check.verdict, Verdict::Valid, "{check:?}");
    }
}
