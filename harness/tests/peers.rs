//! kbench's clients beside those of others on the same cluster, in turns: what they get through, and at what cost of
//! CPU. Carried out by `ci/peers`, which builds the other client.

#![expect(clippy::expect_used, reason = "a test that cannot set itself up has failed")]

mod support;

use std::env;
use std::iter;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::Duration;

use comfy_table::{Table, presets};
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeValLike;
use results::compare::{interval, median, ratio};
use results::record::clock::RunTime;
use results::record::history::{Entry, Files, Source};
use support::kept::{Kept, jars};
use support::*;

/// A version of Kafka whose jars hold its own tools.
const KAFKA: &str = "3.9.1";

/// How long each produces: a cluster that is kept has its data in memory.
const SECONDS: u64 = 6;

/// How long brokers have to delete the files of a topic, which is some gigabytes of memory to be freed: nobody's turn is
/// to pay for that. They begin after a second ([`DELETE_DELAY`]), and tell nobody when they have ended.
const DELETED: Duration = Duration::from_secs(4);

/// What is deleted makes room at once.
const DELETE_DELAY: &str = "cluster.broker.settings.log.segment.delete.delay.ms=1000";

/// The topic that kbench makes for its load.
const OWN_TOPIC: &str = "user-events";

/// Partitions and copies of each topic, as kbench's own has.
const LAYOUT: [&str; 4] = ["--partitions", "3", "--replication-factor", "3"];

/// What a client is to do.
#[derive(Debug, Clone, Copy)]
struct Case {
    bytes: u64,
    acks: &'static str,
    linger_ms: u64,
}

/// What a client did.
#[derive(Clone, Copy, Debug)]
struct Turn {
    records_per_s: f64,
    /// CPU time for a record, in microseconds.
    cpu_us: f64,
}

/// A table with the columns that every comparison begins with.
fn table_of(columns: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table.set_header(["BYTES", "ACKS", "LINGER"].iter().chain(columns));
    table
}

impl Case {
    /// The first cells of its row.
    fn cells(self) -> Vec<String> {
        vec![self.bytes.to_string(), self.acks.to_owned(), format!("{} ms", self.linger_ms)]
    }
}

/// Median of the rates, in records a second.
fn rate(turns: &[Turn]) -> f64 {
    middle(turns, |turn| turn.records_per_s)
}

/// Median of the CPU times of a record, in microseconds.
fn cpu(turns: &[Turn]) -> f64 {
    middle(turns, |turn| turn.cpu_us)
}

/// The cells of a client: its rate and its CPU time.
fn figures(turns: &[Turn]) -> [String; 2] {
    [format!("{:.0}/s", rate(turns)), format!("{:.2}", cpu(turns))]
}

fn middle(turns: &[Turn], of: fn(&Turn) -> f64) -> f64 {
    median(&turns.iter().map(of).collect::<Vec<_>>()).expect("turns")
}

/// CPU seconds of all children that were waited for.
fn children_cpu_s() -> f64 {
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN).expect("a usage");
    (usage.user_time().num_microseconds() + usage.system_time().num_microseconds()) as f64 / 1e6
}

/// The number before a word of a text: `12345 msgs/s`.
fn number_before(text: &str, word: &str) -> Option<f64> {
    let words: Vec<&str> = text.split_whitespace().collect();
    let at = words.iter().rposition(|one| one.trim_end_matches([',', ';']) == word)?;
    words.get(at.checked_sub(1)?)?.parse().ok()
}

/// How `rdkafka_performance` comes by its records.
#[derive(Debug, Clone, Copy)]
enum Records {
    /// Each has memory of its own, as with every client whose records differ.
    Own,
    /// All are the same bytes in the same place, which is not copied into the queue and stays in the CPU's cache.
    OneForAll,
}

/// What rdkafka_performance is told, but for the brokers.
fn performance_arguments(case: Case, records: Records, count: u64, topic: &str) -> Vec<String> {
    let Case { bytes, acks, linger_ms } = case;
    let acks = if acks == "all" { "-1" } else { acks };
    let text = format!(
        "-P -t {topic} -s {bytes} -c {count} -a {acks} -X linger.ms={linger_ms} -X \
         queue.buffering.max.messages=100000 -X queue.buffering.max.kbytes=65536"
    );
    let own = matches!(records, Records::Own).then_some("-D");
    text.split_whitespace().chain(own).map(str::to_owned).collect()
}

/// The cells of ratios, kbench's to each of the others': of rates, with their 95 % intervals, and of records a CPU
/// second.
fn ratios(ours: &[Turn], others: &[&[Turn]]) -> [String; 2] {
    let rates = |theirs: &&[Turn]| {
        let rates =
            |turns: &[Turn]| turns.iter().map(|turn| turn.records_per_s).collect::<Vec<_>>();
        ratio_to(&rates(theirs), &rates(ours))
    };
    let costs = |theirs: &&[Turn]| format!("{:.2}", cpu(theirs) / cpu(ours));
    [
        others.iter().map(rates).collect::<Vec<_>>().join(" "),
        others.iter().map(costs).collect::<Vec<_>>().join(" "),
    ]
}

/// The ratio of medians, with its 95 % interval.
fn ratio_to(theirs: &[f64], ours: &[f64]) -> String {
    let ratio = ratio(theirs, ours).expect("figures");
    let (from, to) = interval(theirs, ours).expect("figures");
    format!("{ratio:.2} ({from:.2}-{to:.2})")
}

/// The cases: sizes, acks and lingers, each with each; with `KBENCH_CASES` those of a size, or of acks and linger as
/// well: `1024/all`.
fn cases() -> Vec<Case> {
    let asked = env::var("KBENCH_CASES").unwrap_or_default();
    let of = |bytes| ["1", "all"].into_iter().map(move |acks| (bytes, acks));
    let all = [100, 1024].into_iter().flat_map(of).flat_map(|(bytes, acks)| {
        [5, 50].into_iter().map(move |linger_ms| Case { bytes, acks, linger_ms })
    });
    let name = |case: &Case| format!("{}/{}/{}", case.bytes, case.acks, case.linger_ms);
    let wanted = |case: &Case| {
        let name = name(case);
        asked.is_empty() || name == asked || name.starts_with(&format!("{asked}/"))
    };
    let cases: Vec<Case> = all.filter(wanted).collect();
    assert!(!cases.is_empty(), "no case is called {asked}");
    cases
}

fn rounds() -> usize {
    env::var("KBENCH_ROUNDS").ok().and_then(|text| text.parse().ok()).unwrap_or(3)
}

/// A client on librdkafka's mock brokers in its own process: what it says, and its CPU seconds.
fn on_mock_brokers(client: &str, arguments: &[String]) -> (String, f64) {
    let client = env::var_os(client).expect("ci/peers builds the clients");
    let before = children_cpu_s();
    let (code, stdout, stderr) = output(Command::new(client).args(arguments).stdin(Stdio::null()));
    assert_eq!(code, Some(0), "{stdout}{stderr}");
    (stdout + &stderr, children_cpu_s() - before)
}

/// The producers take turns on mock brokers: what the client alone costs.
#[test]
#[ignore = "compares speeds, for about five minutes"]
fn producers_on_mock_brokers() {
    let mut table = table_of(&[
        "KBENCH",
        "us CPU",
        "RDKAFKA_PERFORMANCE -D",
        "us CPU",
        "WITHOUT -D",
        "us CPU",
        "RATE",
        "RECORDS A CPU SECOND",
    ]);
    for case in cases() {
        let (mut ours, mut own, mut one) = (vec![], vec![], vec![]);
        for _ in 0..rounds() {
            let Case { bytes, acks, linger_ms } = case;
            let [linger, seconds] = [linger_ms, SECONDS].map(|number| number.to_string());
            let ask = [bytes.to_string(), acks.into(), linger, seconds];
            let (said, cpu_s) = on_mock_brokers("KBENCH_MOCK_LOAD", &ask);
            let number = |word| number_before(&said, word).unwrap_or_else(|| panic!("{said}"));
            let count = number("acked") as u64;
            ours.push(Turn { records_per_s: number("msgs/s"), cpu_us: cpu_s * 1e6 / count as f64 });
            for (records, turns) in [(Records::Own, &mut own), (Records::OneForAll, &mut one)] {
                let mut ask = performance_arguments(case, records, count, "mock");
                ask.extend(["-X", "test.mock.num.brokers=3", "-b", "mock"].map(str::to_owned));
                let (said, cpu_s) = on_mock_brokers("KBENCH_PEER", &ask);
                let records_per_s = number_before(&said, "msgs/s");
                let records_per_s = records_per_s.unwrap_or_else(|| panic!("{said}"));
                turns.push(Turn { records_per_s, cpu_us: cpu_s * 1e6 / count as f64 });
            }
        }
        let mut row = case.cells();
        [&ours, &own, &one].into_iter().for_each(|turns| row.extend(figures(turns)));
        row.extend(ratios(&ours, &[&own, &one]));
        table.add_row(row);
        eprintln!("{case:?}\n  kbench {ours:?}\n  -D {own:?}\n  without {one:?}");
    }
    eprintln!("\n{}", table.trim_fmt());
    assert_eq!(table.row_count(), cases().len());
}

/// Seconds from a load's first record to its last ack, as `rdkafka_performance` counts: what it takes a client to end is
/// not in its figure. A load begins behind one record for each partition, when all clients of a run are ready.
fn first_to_last_s(trial: &Path) -> f64 {
    let history = Files::open(&trial.join("history")).expect("a history");
    let history: &dyn Source = &history;
    let (mut first, mut last) = (RunTime(u64::MAX), RunTime(0));
    for stream in history.streams() {
        let read = history.each(stream.number, |entry| {
            if let Entry::Send(send) = entry
                && send.sequence > 0
            {
                (first, last) = (first.min(send.sent), last.max(send.done));
            }
        });
        read.expect("a stream");
    }
    last.secs_since(first)
}

struct Peers {
    kept: Kept,
    bootstrap: String,
    performance: PathBuf,
    /// How many records the others send, by case: as many as kbench got through in its time.
    count: u64,
}

impl Peers {
    fn up() -> Self {
        // No benchmark's cluster is kept: all take their turns on one of the usual profile.
        let kept = Kept::up(&["--kafka-version", KAFKA, "--set", DELETE_DELAY]);
        let bootstrap = kept.bootstrap();
        let performance = env::var_os("KBENCH_PEER").expect("ci/peers builds the other client");
        Self { kept, bootstrap, performance: performance.into(), count: 0 }
    }

    /// What kbench got through, as fast as it could: from its first record to its last ack, the warm-up included, as the
    /// others count; and what its drain read.
    fn kbench(&mut self, case: Case) -> (Turn, f64) {
        let workload = self.kept.folder().join("peers.toml");
        let Case { bytes, acks, linger_ms } = case;
        let text = format!(
            "name = \"peers\"\ndescription = \"a producer alone, as fast as it can\"\n\
             [load]\nrate = \"max\"\nrecord_bytes = {bytes}\nkeys = \"none\"\n\
             [producer]\nacks = \"{acks}\"\nidempotence = false\ncompression = \"none\"\n\
             settings = {{ \"linger.ms\" = \"{linger_ms}\" }}\n\
             [phases]\nwarm_up = \"1s\"\nbaseline = \"1s\"\nduration = \"{}s\"\n",
            SECONDS - 2
        );
        std::fs::write(&workload, text).expect("a file");
        let workload = workload.display().to_string();
        let arguments = ["run", "--on", "guide", "--faults", "none", "--workload", &workload];
        let (_, said) = self.kept.kbench(&arguments);
        let trial = latest(self.kept.folder());
        let events = events(&trial);
        let ended = events.iter().find(|event| event["event"] == "load-ended");
        let ended = ended.unwrap_or_else(|| panic!("{said}"));
        let report = json(&trial.join("report.json"));
        let seconds = events.iter().filter(|event| event["event"] == "second");
        self.count = seconds.map(|second| second["sent"].as_u64().expect("a number")).sum();
        // Those that are open when the load ends are acked after the last second.
        for never in ["failed", "indeterminate"] {
            assert_eq!(report["load"][never], 0, "{said}");
        }
        let acked = self.count as f64;
        let cpu_s = ended["clients_cpu_s"].as_f64().expect("a figure");
        let stages = report["time"][0]["stages"].as_array().expect("stages");
        let draining = stages.iter().find(|stage| stage["stage"] == "draining");
        let drained_s = draining.expect("a stage")["seconds"].as_f64().expect("a figure");
        let over_s = first_to_last_s(&trial);
        (Turn { records_per_s: acked / over_s, cpu_us: cpu_s * 1e6 / acked }, acked / drained_s)
    }

    /// What somebody else's client says on the cluster, and its CPU seconds.
    fn others(&self, command: &[&str]) -> (String, f64) {
        let before = children_cpu_s();
        let mut exec = kbench();
        exec.args(["cluster", "exec", "guide", "--"]).args(command).stdin(Stdio::null());
        let (code, stdout, stderr) = output(exec.env("KBENCH_CLUSTERS", self.kept.clusters()));
        assert_eq!(code, Some(0), "{command:?}: {stdout}{stderr}");
        (stdout + &stderr, children_cpu_s() - before)
    }

    /// What one of Kafka's own tools says, and its CPU seconds.
    fn tool(&self, class: &str, arguments: &[&str]) -> (String, f64) {
        let jars = jars(KAFKA).join("*").display().to_string();
        let class = format!("org.apache.kafka.tools.{class}");
        self.others(&[&["java", "-Xmx512m", "-cp", &jars, &class], arguments].concat())
    }

    /// What is said of a client that has an empty topic for its turn, and its CPU seconds.
    fn on_a_topic(&self, turn: impl FnOnce(&str) -> (String, f64)) -> (String, f64) {
        const TOPIC: &str = "peers";
        let which = ["--bootstrap-server", &self.bootstrap, "--topic", TOPIC, "--create"];
        self.tool("TopicCommand", &[&which, &LAYOUT[..]].concat());
        let said = turn(TOPIC);
        self.delete(TOPIC);
        said
    }

    /// Deletes a topic, if there is one of this name, and lets the brokers delete its files.
    fn delete(&self, topic: &str) {
        let which = ["--bootstrap-server", &self.bootstrap, "--topic", topic];
        self.tool("TopicCommand", &[&which[..], &["--delete", "--if-exists"]].concat());
        sleep(DELETED);
    }

    fn turn(&self, said: &str, unit: &str, cpu_s: f64) -> Turn {
        let records_per_s = number_before(said, unit).unwrap_or_else(|| panic!("{unit}: {said}"));
        Turn { records_per_s, cpu_us: cpu_s * 1e6 / self.count as f64 }
    }

    fn rdkafka_performance(&self, case: Case, records: Records) -> Turn {
        let (said, cpu_s) = self.on_a_topic(|topic| {
            let mut command = vec![self.performance.display().to_string()];
            command.extend(performance_arguments(case, records, self.count, topic));
            command.extend(["-b".into(), self.bootstrap.clone()]);
            let command: Vec<&str> = command.iter().map(String::as_str).collect();
            self.others(&command)
        });
        self.turn(&said, "msgs/s", cpu_s)
    }

    fn producer_performance(&self, case: Case) -> Turn {
        let Case { bytes, acks, linger_ms } = case;
        let (bytes, count) = (bytes.to_string(), self.count.to_string());
        let servers = format!("bootstrap.servers={}", self.bootstrap);
        let (acks, linger) = (format!("acks={acks}"), format!("linger.ms={linger_ms}"));
        let (said, cpu_s) = self.on_a_topic(|topic| {
            let load = ["--topic", topic, "--num-records", &count, "--record-size", &bytes];
            let settings = [&*servers, &acks, &linger, "enable.idempotence=false"];
            let rest = ["--throughput", "-1", "--producer-props"];
            self.tool("ProducerPerformance", &[&load[..], &rest, &settings].concat())
        });
        self.turn(&said, "records/sec", cpu_s)
    }

    /// Records a second that rdkafka_performance reads of what lies there.
    fn rdkafka_consumer(&self) -> f64 {
        let count = self.count.to_string();
        let performance = self.performance.display().to_string();
        let mut all = vec![performance.as_str(), "-G", "peers", "-t", OWN_TOPIC, "-b"];
        all.extend([self.bootstrap.as_str(), "-o", "beginning", "-c", &count]);
        let (said, _) = self.others(&all);
        number_before(&said, "msgs/s").unwrap_or_else(|| panic!("{said}"))
    }

    /// The same of ConsumerPerformance.
    fn consumer_performance(&self) -> f64 {
        let count = self.count.to_string();
        let which = ["--topic", OWN_TOPIC, "--messages", &count, "--timeout", "30000"];
        let servers = ["--bootstrap-server", &self.bootstrap];
        let (said, _) = self.tool("ConsumerPerformance", &[&which[..], &servers].concat());
        // start.time, end.time, data.consumed.in.MB, MB.sec, data.consumed.in.nMsg, nMsg.sec, ...
        let line = said.lines().rev().find(|line| line.matches(", ").count() >= 5);
        let figure = line.and_then(|line| line.split(", ").nth(5)?.parse().ok());
        figure.unwrap_or_else(|| panic!("{said}"))
    }
}

/// The clients take turns with as many records each; the ratios are of medians, kbench's to the other's.
#[test]
#[ignore = "starts a real cluster, for about 25 minutes"]
fn kbench_beside_other_clients() {
    let rounds = rounds();
    let mut peers = Peers::up();
    let mut table = table_of(&[
        "KBENCH",
        "us CPU",
        "RDKAFKA_PERFORMANCE -D",
        "us CPU",
        "WITHOUT -D",
        "us CPU",
        "PRODUCERPERFORMANCE",
        "us CPU",
        "RATE",
        "RECORDS A CPU SECOND",
        "DRAIN",
        "-G",
        "RATE",
        "CONSUMERPERFORMANCE",
    ]);
    // A round of the first case does not count: memory that the machine has not used before is dearer, and the first
    // turns of a series would pay for all of it (kbench's, which came first, were a third slower).
    let again = iter::once((0, cases()[0])).chain(cases().into_iter().map(|case| (rounds, case)));
    for (counted, case) in again {
        let (mut ours, mut own, mut one, mut javas) = (vec![], vec![], vec![], vec![]);
        let (mut drained, mut read) = (vec![], vec![]);
        // A turn that does not count: how many records the others send, and what the slowest consumer reads.
        peers.kbench(case);
        let java = peers.consumer_performance();
        peers.delete(OWN_TOPIC);
        for round in 0..counted.max(1) {
            let mut turns = [0, 1, 2, 3];
            // Who comes first has the colder brokers.
            if round % 2 == 1 {
                turns.reverse();
            }
            for turn in turns {
                match turn {
                    0 => {
                        let (turn, drain) = peers.kbench(case);
                        ours.push(turn);
                        drained.push(drain);
                        read.push(peers.rdkafka_consumer());
                        peers.delete(OWN_TOPIC);
                    }
                    1 => own.push(peers.rdkafka_performance(case, Records::Own)),
                    2 => one.push(peers.rdkafka_performance(case, Records::OneForAll)),
                    _ => javas.push(peers.producer_performance(case)),
                }
            }
        }
        if counted == 0 {
            continue;
        }
        let mut row = case.cells();
        [&ours, &own, &one, &javas].into_iter().for_each(|turns| row.extend(figures(turns)));
        row.extend(ratios(&ours, &[&own, &one, &javas]));
        row.extend([&drained, &read].map(|all| format!("{:.0}/s", median(all).expect("rounds"))));
        eprintln!("{case:?}\n  kbench {ours:?}\n  -D {own:?}\n  without {one:?}\n  Java {javas:?}");
        eprintln!("  drain {drained:?}\n  -G {read:?}");
        row.extend([ratio_to(&read, &drained), format!("{java:.0}/s")]);
        table.add_row(row);
    }
    eprintln!("\n{}", table.trim_fmt());
    assert_eq!(table.row_count(), cases().len());
}
