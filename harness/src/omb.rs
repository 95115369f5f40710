//! Workloads and drivers of the OpenMessaging Benchmark, as workloads of kbench.
//!
//! What means the same is taken over; what kbench has otherwise is said in comments above the workload; what it has not
//! is refused in words. Absent: loads on several topics at once.

mod driver;
mod flat_yaml;
mod workload;

use std::path::Path;

use workloads::WorkloadSpec;

use crate::failure::Failure;
use crate::spec;
use driver::OmbDriver;
use workload::OmbWorkload;

/// The workload, as TOML with comments, that a workload file and a driver's say. `one_topic` makes one topic of several.
///
/// # Errors
/// Usage failures: a file that cannot be read, one that is no such file, or asks for what kbench has not.
pub(crate) fn import(
    workload: &Path,
    driver: Option<&Path>,
    one_topic: bool,
) -> Result<String, Failure> {
    let named = |path: &Path, why: String| Failure::usage(format!("{}: {why}", path.display()));
    let asked = spec::read(workload)?;
    let asked = OmbWorkload::parse(&asked).map_err(|why| named(workload, why))?;
    let of = driver.map(|path| {
        let text = spec::read(path)?;
        OmbDriver::parse(&text).map_err(|why| named(path, why))
    });
    let of = of.transpose()?;
    let name = workload.file_stem().unwrap_or_default().to_string_lossy();
    let imported = converted(&name, &asked, of.as_ref(), one_topic);
    imported.map_err(|why| named(workload, why))
}

fn converted(
    name: &str,
    asked: &OmbWorkload,
    driver: Option<&OmbDriver>,
    one_topic: bool,
) -> Result<String, String> {
    let mut notes = vec![];
    let mut spec = asked.spec(name, one_topic, &mut notes)?;
    match driver {
        Some(driver) => driver.apply(&mut spec, &mut notes)?,
        None => notes.push(
            "no driver file: three replicas, acks=all, idempotence; everything else is kbench's default".to_owned(),
        ),
    }
    spec.validate().map_err(|error| error.to_string())?;
    let text = toml::to_string(&spec).map_err(|error| error.to_string())?;
    // What is printed is what is read.
    WorkloadSpec::parse(&text).map_err(|error| format!("{error} (a defect)"))?;
    let lines: String = notes.iter().map(|note| format!("# - {note}\n")).collect();
    Ok(format!("# From a workload of the OpenMessaging Benchmark.\n{lines}{text}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fixture(name: &str) -> std::path::PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/omb").join(name)
    }

    fn imported(workload: &str, driver: Option<&str>) -> (String, WorkloadSpec) {
        let driver = driver.map(fixture);
        let text = import(&fixture(workload), driver.as_deref(), false).unwrap();
        let spec = WorkloadSpec::parse(&text).unwrap();
        (text, spec)
    }

    #[test]
    fn a_workload_and_its_driver_become_a_workload() {
        let (text, spec) =
            imported("1-topic-16-partitions-1kb.yaml", Some("kafka-big-batches-lz4.yaml"));
        assert_eq!(spec.name, "1-topic-16-partitions-1kb");
        let topics = spec.topics.unwrap();
        assert_eq!((topics.count, topics.partitions, topics.replication_factor), (1, 16, 3));
        assert_eq!(topics.config["min.insync.replicas"], "2");
        assert_eq!(spec.load.rate.total(3), Some(50_000));
        assert_eq!(spec.load.record_bytes.largest(), 1024);
        assert_eq!(spec.producer.compression, workloads::Compression::Lz4);
        assert!(spec.producer.idempotence);
        assert_eq!(spec.producer.settings["linger.ms"], "200");
        assert_eq!(spec.producer.settings["batch.size"], "1048576");
        let group = spec.consumers.unwrap();
        assert_eq!((&*group.group, group.members), ("sub-000", 1));
        assert_eq!(group.settings["max.partition.fetch.bytes"], "10485760");
        let measured = spec.phases.duration.unwrap() + spec.phases.baseline;
        assert_eq!((spec.phases.warm_up.as_secs(), measured.as_secs()), (60, 15 * 60));
        assert!(text.contains("# - bootstrap.servers: localhost:9092"), "{text}");
        assert!(text.contains("payload"), "{text}");
    }

    #[test]
    fn what_kbench_has_otherwise_is_said() {
        let (text, spec) =
            imported("1-topic-100-partitions-1kb-4p-4c-500k.yaml", Some("kafka-throughput.yaml"));
        assert_eq!(spec.load.rate.total(3), Some(500_000));
        assert_eq!(spec.load.payload, workloads::Payload::Ratio(0.5));
        assert_eq!(spec.consumers.unwrap().members, 4);
        assert!(!spec.producer.settings.contains_key("request.timeout.ms"));
        for words in
            ["producersPerTopic: 4", "request.timeout.ms = 1200000", "default.api.timeout.ms"]
        {
            assert!(text.contains(words), "{words}: {text}");
        }
        let (text, spec) = imported("max-rate-1-topic-1-partition-1p-1c-100b.yaml", None);
        assert_eq!(spec.load.rate, workloads::Rate::Max);
        assert!(text.contains("producerRate: 10000000") && text.contains("max-rate"), "{text}");
    }

    #[test]
    fn a_backlog_is_built_and_read_off_before_the_test_s_own_minutes() {
        let (text, spec) = imported("backlog-1-topic-16-partitions-1kb.yaml", None);
        let bytes = 100 << 30;
        assert_eq!(spec.backlog, Some(workloads::BacklogSpec::Bytes(bytes)));
        // 102.4 MB a second.
        let builds = bytes.div_ceil(102_400_000);
        assert_eq!(spec.phases.duration.unwrap().as_secs(), 5 * 60 - 10 + 2 * builds);
        for words in ["consumerBacklogSizeGB: 100", "backlogDrainRatio: 1", "1049 s to build"] {
            assert!(text.contains(words), "{words}: {text}");
        }
    }

    #[test]
    fn an_exactly_once_driver_keeps_its_producer_s_settings() {
        let (_, spec) = imported("1-topic-16-partitions-1kb.yaml", Some("kafka-exactly-once.yaml"));
        assert!(spec.producer.idempotence);
        assert_eq!(spec.producer.settings["max.in.flight.requests.per.connection"], "1");
        assert_eq!(spec.producer.settings["retries"], "2147483647");
    }

    #[test]
    fn what_kbench_has_not_is_refused_in_words() {
        let several =
            import(&fixture("100-topics-1-partitions-1kb.yaml"), None, false).unwrap_err();
        assert!(several.text().contains("topics: 100"), "{}", several.text());
        let one = import(&fixture("100-topics-1-partitions-1kb.yaml"), None, true).unwrap();
        let topics = WorkloadSpec::parse(&one).unwrap().topics.unwrap();
        assert_eq!((topics.count, topics.partitions), (1, 100));
        let swapped = import(&fixture("kafka-throughput.yaml"), None, false).unwrap_err();
        assert!(swapped.text().contains("driverClass"), "{}", swapped.text());
    }
}
