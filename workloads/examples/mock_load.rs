//! What a producer of the load gets through on librdkafka's own mock brokers, and at what cost of CPU, with history,
//! checksums and figures as in any run: `mock_load BYTES ACKS LINGER_MS SECONDS [RECORDS_PER_S]`. The mock brokers' CPU time is in
//! it, as it is in that of librdkafka's `rdkafka_performance -X test.mock.num.brokers=3`.

use std::error::Error;
use std::sync::Arc;
use std::time::{Duration, Instant};

use mimalloc::MiMalloc;
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeValLike;
use rdkafka::mocking::MockCluster;
use results::record::clock::RunClock;
use workloads::spec::WorkloadSpec;
use workloads::wire::Connector;
use workloads::{Load, LoadContext};

/// That of kbench.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

const PARTITIONS: u32 = 3;

/// CPU time of this process so far.
fn cpu() -> Result<Duration, Box<dyn Error>> {
    let usage = getrusage(UsageWho::RUSAGE_SELF)?;
    let micros = usage.user_time().num_microseconds() + usage.system_time().num_microseconds();
    Ok(Duration::from_micros(micros.try_into()?))
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (first, rate) = match arguments.as_slice() {
        [first @ .., rate] if first.len() == 4 => (first, format!("{{ per_second = {rate} }}")),
        all => (all, "\"max\"".to_owned()),
    };
    let [bytes, acks, linger_ms, seconds] = first else {
        return Err("usage: mock_load BYTES ACKS LINGER_MS SECONDS [RECORDS_PER_S]".into());
    };
    let text = format!(
        "name = \"peers\"\ndescription = \"a producer alone, as fast as it can\"\n\
         [load]\nrate = {rate}\nrecord_bytes = {bytes}\nkeys = \"none\"\n\
         [producer]\nacks = \"{acks}\"\nidempotence = false\ncompression = \"none\"\n\
         settings = {{ \"linger.ms\" = \"{linger_ms}\" }}\n\
         [phases]\nwarm_up = \"1s\"\nbaseline = \"1s\"\nduration = \"{seconds}s\"\n"
    );
    let cluster = MockCluster::new(3)?;
    cluster.create_topic("peers", PARTITIONS as i32, 3)?;
    let folder = tempfile::tempdir()?;
    let context = LoadContext {
        bootstrap: cluster.bootstrap_servers(),
        connector: Connector::default(),
        run: 1,
        topic: "peers".into(),
        partitions: PARTITIONS,
        brokers: (1..=3).collect(),
        further: vec![],
        suffix: String::new(),
        probe_topic: None,
        history_dir: folder.path().into(),
        clock: RunClock::start(),
        seed: 1,
        worker: None,
        on_second: Box::new(|_, _| ()),
        on_event: Arc::new(|_, _| ()),
    };
    let (began, before) = (Instant::now(), cpu()?);
    let load = Load::start(&WorkloadSpec::parse(&text)?, context)?;
    load.end_warm_up();
    std::thread::sleep(Duration::from_secs(seconds.parse()?));
    let summary = load.stop(Duration::from_secs(30))?;
    let (took, used) = (began.elapsed(), cpu()? - before);
    let acked = summary.acked as f64;
    let files = std::fs::read_dir(folder.path())?.flatten();
    let history: u64 = files.filter_map(|file| Some(file.metadata().ok()?.len())).sum();
    println!(
        "{} acked, {:.0} msgs/s, {:.3} us of CPU each, {:.3} of them the producing thread's, {:.1} bytes of history",
        summary.acked,
        acked / took.as_secs_f64(),
        used.as_secs_f64() * 1e6 / acked,
        summary.producer_cpu_s * 1e6 / acked,
        history as f64 / acked
    );
    Ok(())
}
