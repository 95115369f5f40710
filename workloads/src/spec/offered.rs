//! What the records of a load cannot be: rates, shapes, sizes, payloads and keys, each named by its key.

use std::time::Duration;

use super::validate::{require, shown};
use super::{
    KeyChoice, KeySpec, LoadSpec, Payload, ProducerSpec, Rate, RecordBytes, Shape, Sizes,
    SpecError, limits,
};
use crate::record::HEADER_BYTES;
use crate::settings::{BESIDE_VALUE, MESSAGE_MAX_BYTES};

/// Largest record. A topic takes what its `max.message.bytes` says, which is known where topics are.
const MAX_RECORD_BYTES: usize = 20_000_000;

/// Most sizes and shares that are written out.
const MOST_LISTED: usize = 1000;

/// Shortest stretch of a shape: a wake-up is a fraction of it.
const SHORTEST: Duration = Duration::from_millis(10);

/// Refuses a load that cannot be; `table` is its table's key.
pub(super) fn load(table: &str, load: &LoadSpec) -> Result<(), SpecError> {
    let rate = match load.rate {
        Rate::PerSecond(n) => Some(("per_second", n)),
        Rate::PerBrokerPerSecond(n) => Some(("per_broker_per_second", n)),
        Rate::Max => None,
    };
    match rate {
        Some((key, rate)) => {
            let why = "must be from 1 to 1000000 records per second";
            require((1..=1_000_000).contains(&rate), &format!("{table}.rate.{key}"), rate, why)?;
        }
        None => {
            let why = "is as fast as the producer can send, at all times; remove shape and arrivals, or give a rate";
            require(load.is_even(), &format!("{table}.rate"), "\"max\"", why)?;
        }
    }
    shape(table, &load.shape)?;
    let key = format!("{table}.record_bytes");
    match &load.record_bytes {
        RecordBytes::Fixed(bytes) => record_size(&key, *bytes)?,
        RecordBytes::Drawn(drawn) => sizes(&key, drawn)?,
    }
    if let Payload::Ratio(ratio) = load.payload {
        let why = "must be from 0.01 (a hundredth is left) to 1 (nothing can be compressed)";
        require((0.01..=1.0).contains(&ratio), &format!("{table}.payload.ratio"), ratio, why)?;
    }
    keys(&format!("{table}.keys"), load.keys)
}

/// Refuses records that a producer is set not to send.
pub(super) fn sendable(
    table: &str,
    producer: &ProducerSpec,
    load: &LoadSpec,
) -> Result<(), SpecError> {
    let name = "message.max.bytes";
    let set = producer.settings.get(name).and_then(|bytes| bytes.parse::<u64>().ok());
    let Some(set) = set else { return Ok(()) };
    let needed = load.record_bytes.largest() as u64 + BESIDE_VALUE;
    let key = format!("{table}.settings.\"{name}\"");
    let why = format!(
        "is less than the load's largest record with key and framing, {needed}; remove it, and kbench sets \
         what is needed beyond {MESSAGE_MAX_BYTES}"
    );
    require(set >= needed, &key, set, &why)
}

/// Refuses a record that has no room for the header, or that is larger than any topic's.
pub(super) fn record_size(key: &str, bytes: usize) -> Result<(), SpecError> {
    let why = format!("must be from {HEADER_BYTES} (kbench's header) to {MAX_RECORD_BYTES}");
    require((HEADER_BYTES..=MAX_RECORD_BYTES).contains(&bytes), key, bytes, &why)
}

fn sizes(key: &str, sizes: &Sizes) -> Result<(), SpecError> {
    match sizes {
        Sizes::Uniform { min, max } => {
            let key = format!("{key}.uniform");
            record_size(&format!("{key}.min"), *min)?;
            record_size(&format!("{key}.max"), *max)?;
            require(min <= max, &format!("{key}.min"), min, "must not be greater than max")
        }
        Sizes::Weighted(weighted) => {
            let key = format!("{key}.weighted");
            let why = format!("must be from 1 to {MOST_LISTED} sizes, [[BYTES, WEIGHT], ...]");
            require(
                (1..=MOST_LISTED).contains(&weighted.len()),
                &key,
                format!("{} sizes", weighted.len()),
                &why,
            )?;
            weighted.iter().try_for_each(|(bytes, _)| record_size(&key, *bytes))?;
            let why = "must be from 1 to 1000000000 in all";
            let sum = weighted.iter().fold(0_u64, |sum, (_, weight)| sum.saturating_add(*weight));
            require((1..=1_000_000_000).contains(&sum), &key, format!("weights of {sum}"), why)
        }
        Sizes::Lognormal { p50, p99, max } => {
            let key = format!("{key}.lognormal");
            for (name, bytes) in [("p50", p50), ("p99", p99), ("max", max)] {
                record_size(&format!("{key}.{name}"), *bytes)?;
            }
            require(p50 < p99, &format!("{key}.p99"), p99, "must be greater than p50")?;
            require(p99 <= max, &format!("{key}.max"), max, "must not be less than p99")
        }
        Sizes::Samples(file) => {
            let why = "must be the name of a file in the folder of the workload's file, without a folder of its own";
            let plain = !file.is_empty() && !file.contains('/') && !file.starts_with('.');
            require(plain, &format!("{key}.samples"), format!("\"{file}\""), why)
        }
    }
}

fn keys(key: &str, keys: KeySpec) -> Result<(), SpecError> {
    let why = "must be from 1 to 1000000 keys; each partition needs one of its own";
    let count = keys.count().unwrap_or(1);
    let of_count =
        if matches!(keys, KeySpec::Chosen(_)) { format!("{key}.count") } else { key.to_owned() };
    require((1..=1_000_000).contains(&count), &of_count, count, why)?;
    let KeySpec::Chosen(chosen) = keys else { return Ok(()) };
    match chosen.chosen {
        KeyChoice::RoundRobin | KeyChoice::Uniform => Ok(()),
        KeyChoice::Zipf(exponent) => {
            let why = "must be from 0.1 to 5 (1 is Zipf's own)";
            require((0.1..=5.0).contains(&exponent), &format!("{key}.chosen.zipf"), exponent, why)
        }
        KeyChoice::Hot(share) => {
            let why = "must be a share of all records, from 0.01 to 0.99";
            require((0.01..=0.99).contains(&share), &format!("{key}.chosen.hot"), share, why)
        }
    }
}

fn shape(table: &str, shape: &Shape) -> Result<(), SpecError> {
    let share = |key: String, share: f64| {
        let why = "must be a share of the rate, from 0 to 1";
        require((0.0..=1.0).contains(&share), &key, share, why)
    };
    let time = |key: String, time: Duration| {
        limits::duration(&key, time)?;
        let why = format!("must be at least {}", shown(SHORTEST));
        require(time >= SHORTEST, &key, shown(time), &why)
    };
    match shape {
        Shape::Constant => Ok(()),
        Shape::Ramp { from, over } => {
            share(format!("{table}.shape.ramp.from"), *from)?;
            time(format!("{table}.shape.ramp.over"), *over)
        }
        Shape::Steps { shares, each } => {
            let key = format!("{table}.shape.steps.shares");
            let why = format!(
                "must be from 1 to {MOST_LISTED} shares of the rate, and the last one not 0"
            );
            let listed: Vec<String> = shares.iter().map(f64::to_string).collect();
            let good = (1..=MOST_LISTED).contains(&shares.len()) && shares.last() != Some(&0.0);
            require(good, &key, format!("[{}]", listed.join(", ")), &why)?;
            shares.iter().try_for_each(|one| share(key.clone(), *one))?;
            time(format!("{table}.shape.steps.each"), *each)
        }
        Shape::Sine { low, period } => {
            share(format!("{table}.shape.sine.low"), *low)?;
            time(format!("{table}.shape.sine.period"), *period)
        }
        Shape::Bursts { low, every, lasting } => {
            share(format!("{table}.shape.bursts.low"), *low)?;
            time(format!("{table}.shape.bursts.every"), *every)?;
            time(format!("{table}.shape.bursts.lasting"), *lasting)?;
            let why = "must be shorter than from one burst to the next, every";
            require(lasting < every, &format!("{table}.shape.bursts.lasting"), shown(*lasting), why)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spec::{WorkloadSpec, shipped};

    fn parsed(from: &str, to: &str) -> Result<WorkloadSpec, SpecError> {
        let text = shipped().iter().find(|(name, _)| *name == "1k-msg-s").unwrap().1;
        assert!(text.contains(from), "{from}");
        WorkloadSpec::parse(&text.replacen(from, to, 1))
    }

    #[test]
    fn what_a_load_may_be_is_read_and_written() {
        for (from, to) in [
            ("{ per_second = 1000 }", "\"max\""),
            ("record_bytes = 1024", "record_bytes = { uniform = { min = 100, max = 20000000 } }"),
            ("record_bytes = 1024", "record_bytes = { weighted = [[100, 9], [1000, 1]] }"),
            (
                "record_bytes = 1024",
                "record_bytes = { lognormal = { p50 = 100, p99 = 900, max = 9000 } }",
            ),
            ("record_bytes = 1024", "record_bytes = 1024\npayload = \"text\""),
            ("record_bytes = 1024", "record_bytes = 1024\npayload = { ratio = 0.5 }"),
            ("keys = 1000", "keys = \"none\""),
            ("keys = 1000", "keys = { count = 1000, chosen = { zipf = 1.1 } }"),
            ("keys = 1000", "keys = 1000\nshape = { ramp = { from = 0.1, over = \"30s\" } }"),
            (
                "keys = 1000",
                "keys = 1000\nshape = { steps = { shares = [0.5, 1], each = \"9s\" } }",
            ),
            ("keys = 1000", "keys = 1000\nshape = { sine = { low = 0.1, period = \"30s\" } }"),
            (
                "keys = 1000",
                "keys = 1000\nshape = { bursts = { low = 0.1, every = \"10s\", lasting = \"1s\" } }",
            ),
            ("keys = 1000", "keys = 1000\narrivals = \"poisson\""),
            ("compression = \"none\"", "compression = \"zstd\""),
        ] {
            let spec = parsed(from, to).unwrap_or_else(|error| panic!("{to}: {error}"));
            let again = toml::to_string(&spec).unwrap();
            assert_eq!(WorkloadSpec::parse(&again).unwrap(), spec, "{again}");
        }
    }

    #[test]
    fn what_no_load_can_be_is_named() {
        for (from, to, key) in [
            ("{ per_second = 1000 }", "\"max\"\narrivals = \"poisson\"", "load.rate = \"max\""),
            (
                "= 1024",
                "= { uniform = { min = 1, max = 200 } }",
                "load.record_bytes.uniform.min = 1",
            ),
            (
                "= 1024",
                "= { uniform = { min = 300, max = 200 } }",
                "load.record_bytes.uniform.min = 300",
            ),
            ("= 1024", "= { weighted = [] }", "load.record_bytes.weighted = 0 sizes"),
            ("= 1024", "= { weighted = [[100, 0]] }", "load.record_bytes.weighted = weights of 0"),
            ("= 1024", "= { weighted = [[10, 1]] }", "load.record_bytes.weighted = 10"),
            (
                "= 1024",
                "= { lognormal = { p50 = 900, p99 = 100, max = 9000 } }",
                "load.record_bytes.lognormal.p99 = 100",
            ),
            ("= 1024", "= { samples = \"../sizes\" }", "load.record_bytes.samples = \"../sizes\""),
            ("= 1024", "= 20000001", "load.record_bytes = 20000001"),
            ("= 1024", "= 1024\npayload = { ratio = 0 }", "load.payload.ratio = 0"),
            ("= 1024", "= 1024\npayload = { ratio = nan }", "load.payload.ratio = NaN"),
            ("keys = 1000", "keys = { count = 0, chosen = \"uniform\" }", "load.keys.count = 0"),
            (
                "keys = 1000",
                "keys = { count = 9, chosen = { zipf = 0 } }",
                "load.keys.chosen.zipf = 0",
            ),
            (
                "keys = 1000",
                "keys = { count = 9, chosen = { hot = 1 } }",
                "load.keys.chosen.hot = 1",
            ),
            (
                "keys = 1000",
                "keys = 1\nshape = { ramp = { from = 2, over = \"3s\" } }",
                "load.shape.ramp.from = 2",
            ),
            (
                "keys = 1000",
                "keys = 1\nshape = { steps = { shares = [1, 0], each = \"3s\" } }",
                "load.shape.steps.shares = [1, 0]",
            ),
            (
                "keys = 1000",
                "keys = 1\nshape = { sine = { low = 0, period = \"1ms\" } }",
                "load.shape.sine.period = \"1ms\"",
            ),
            (
                "keys = 1000",
                "keys = 1\nshape = { bursts = { low = 0, every = \"1s\", lasting = \"1s\" } }",
                "load.shape.bursts.lasting = \"1s\"",
            ),
            (
                "compression = \"none\"",
                "compression = \"none\"\nsettings = { \"message.max.bytes\" = \"1100\" }",
                "producer.settings.\"message.max.bytes\" = 1100",
            ),
        ] {
            let why = parsed(from, to).expect_err(to).to_string();
            assert!(why.starts_with(key), "{to}: {why}");
        }
    }

    #[test]
    fn a_file_of_samples_is_read_before_a_run() {
        let spec = parsed("= 1024", "= { samples = \"sizes.txt\" }").unwrap();
        let unread = spec.validate().unwrap_err().to_string();
        assert!(unread.starts_with("load.record_bytes.samples = \"sizes.txt\""), "{unread}");
        let dir = tempfile::tempdir().unwrap();
        let absent = spec.clone().resolved(Some(dir.path())).unwrap_err().to_string();
        assert!(absent.contains("cannot be read"), "{absent}");
        let nowhere = spec.clone().resolved(None).unwrap_err().to_string();
        assert!(nowhere.contains("has no folder"), "{nowhere}");
        std::fs::write(dir.path().join("sizes.txt"), "100\n300\n100\n").unwrap();
        let read = spec.clone().resolved(Some(dir.path())).unwrap();
        let weighted = Sizes::Weighted(vec![(100, 2), (300, 1)]);
        assert_eq!(read.load.record_bytes, RecordBytes::Drawn(weighted));
        std::fs::write(dir.path().join("sizes.txt"), "10\n").unwrap();
        let small = spec.resolved(Some(dir.path())).unwrap_err().to_string();
        assert!(small.starts_with("load.record_bytes.weighted = 10"), "{small}");
    }
}
