//! How many bytes records have: one number, or how each record's is drawn.
//!
//! A record's size is a function of the run's seed, its producer, partition and sequence number (see
//! [`SizeDraw`]), so that a run is repeated byte for byte. A reader need not know it: the record's checksum covers
//! the whole value, so that one that was cut is corrupt.

use std::fmt;
use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use results::record::budget::MOST_DOCUMENT_BYTES;
use serde::de::{Error, MapAccess, Unexpected, Visitor, value::MapAccessDeserializer};
use serde::{Deserialize, Deserializer, Serialize};

use crate::draw;
use crate::record::HEADER_BYTES;

/// Most sizes that a distribution is made of; a file of more samples is read as so many of its quantiles.
const MOST_SIZES: usize = 1000;

/// Standard normal deviate of the 99th percentile.
const Z99: f64 = 2.326_347_874;

/// Bytes of a record's value, kbench's header included.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum RecordBytes {
    /// Each record has so many.
    Fixed(usize),
    /// Each record's are drawn.
    Drawn(Sizes),
}

/// How sizes are drawn.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Sizes {
    /// Each size from `min` to `max` is as likely as any other.
    Uniform {
        /// The smallest.
        min: usize,
        /// The largest.
        max: usize,
    },
    /// These sizes, each as often as its weight says: `[[100, 9], [10000, 1]]`.
    Weighted(Vec<(usize, u64)>),
    /// A lognormal distribution by two of its percentiles. What is larger than `max` has `max`, and what has no
    /// room for kbench's header has just that.
    Lognormal {
        /// The median.
        p50: usize,
        /// The 99th percentile.
        p99: usize,
        /// The largest.
        max: usize,
    },
    /// A file of sizes, one on each line, in the folder of the workload's file. It is read with that, and
    /// recorded as the weights that were found.
    Samples(String),
}

impl From<usize> for RecordBytes {
    fn from(bytes: usize) -> Self {
        Self::Fixed(bytes)
    }
}

impl<'de> Deserialize<'de> for RecordBytes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(NumberOrTable)
    }
}

struct NumberOrTable;

impl<'de> Visitor<'de> for NumberOrTable {
    type Value = RecordBytes;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a whole number of bytes, or a table with `uniform`, `weighted`, `lognormal` or `samples`")
    }

    fn visit_u64<E: Error>(self, bytes: u64) -> Result<RecordBytes, E> {
        Ok(RecordBytes::Fixed(usize::try_from(bytes).unwrap_or(usize::MAX)))
    }

    fn visit_i64<E: Error>(self, bytes: i64) -> Result<RecordBytes, E> {
        let whole = u64::try_from(bytes);
        let wrong = |_| E::invalid_value(Unexpected::Signed(bytes), &self);
        whole.map_err(wrong).and_then(|bytes| Self.visit_u64(bytes))
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<RecordBytes, A::Error> {
        // By way of a table, which refuses a second key.
        let table = toml::Table::deserialize(MapAccessDeserializer::new(map))?;
        let sizes = Sizes::deserialize(toml::Value::Table(table));
        sizes.map(RecordBytes::Drawn).map_err(|error| A::Error::custom(error.message()))
    }
}

impl RecordBytes {
    /// The smallest and the largest that may come; of a file that was not read they are not known.
    pub fn range(&self) -> Option<(usize, usize)> {
        match self {
            Self::Fixed(bytes) => Some((*bytes, *bytes)),
            Self::Drawn(Sizes::Uniform { min, max }) => Some((*min, *max)),
            Self::Drawn(Sizes::Weighted(sizes)) => {
                let sizes = || sizes.iter().map(|(bytes, _)| *bytes);
                sizes().min().zip(sizes().max())
            }
            Self::Drawn(lognormal @ Sizes::Lognormal { max, .. }) => {
                let drawn = SizeDraw::of(&Self::Drawn(lognormal.clone()));
                let least = drawn.table.iter().map(|(bytes, _)| *bytes).min();
                Some((least.unwrap_or(*max).min(*max), *max))
            }
            Self::Drawn(Sizes::Samples(_)) => None,
        }
    }

    /// The largest that may come; 0 of a file that was not read.
    pub fn largest(&self) -> usize {
        self.range().map_or(0, |(_, largest)| largest)
    }

    /// Their mean.
    pub fn mean(&self) -> f64 {
        match self {
            Self::Fixed(bytes) => *bytes as f64,
            Self::Drawn(Sizes::Uniform { min, max }) => (*min as f64 + *max as f64) / 2.0,
            Self::Drawn(_) => {
                let drawn = SizeDraw::of(self);
                let mut before = 0;
                let weighted = drawn.table.iter().map(|(bytes, until)| {
                    let weight = until - std::mem::replace(&mut before, *until);
                    *bytes as f64 * weight as f64
                });
                weighted.sum::<f64>() / drawn.whole().max(1) as f64
            }
        }
    }

    /// The name of the file of samples that is to be read.
    pub fn samples(&self) -> Option<&str> {
        match self {
            Self::Drawn(Sizes::Samples(file)) => Some(file),
            _ => None,
        }
    }
}

impl Sizes {
    /// The weights of the sizes in a file of samples.
    ///
    /// # Errors
    /// The first line that is no size, in words; nothing of what it says.
    pub fn of_samples(text: &str) -> Result<Self, String> {
        let mut sizes: Vec<usize> = vec![];
        for (number, line) in (1..).zip(text.lines().map(str::trim)) {
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let size = line.parse().map_err(|_| format!("line {number} is no number of bytes"))?;
            sizes.push(size);
        }
        sizes.sort_unstable();
        let mut weighted: Vec<(usize, u64)> = vec![];
        for size in &sizes {
            match weighted.last_mut() {
                Some((last, weight)) if last == size => *weight += 1,
                _ => weighted.push((*size, 1)),
            }
        }
        if weighted.len() > MOST_SIZES {
            let quantile = |n: usize| sizes[(2 * n + 1) * sizes.len() / (2 * MOST_SIZES)];
            weighted = (0..MOST_SIZES).map(|n| (quantile(n), 1)).collect();
        }
        if weighted.is_empty() {
            Err("it has no sizes".to_owned())
        } else {
            Ok(Self::Weighted(weighted))
        }
    }
}

/// The sizes in a file of samples in `folder`; what is wrong with it in words.
pub(super) fn read_samples(folder: Option<&Path>, file: &str) -> Result<Sizes, String> {
    let folder = folder.ok_or("has no folder to be in: the workload is no file")?;
    let cannot = |why: &dyn fmt::Display| format!("cannot be read: {why}");
    let opened = File::open(folder.join(file)).map_err(|error| cannot(&error))?;
    let mut text = String::new();
    let read = opened.take(MOST_DOCUMENT_BYTES + 1).read_to_string(&mut text);
    read.map_err(|error| cannot(&error))?;
    if text.len() as u64 > MOST_DOCUMENT_BYTES {
        return Err(cannot(&format_args!("it has more than {MOST_DOCUMENT_BYTES} bytes")));
    }
    Sizes::of_samples(&text).map_err(|why| cannot(&why))
}

/// Draws the sizes of records.
#[derive(Debug, Clone)]
pub(crate) struct SizeDraw {
    /// Where no table says otherwise: from the smallest so many.
    uniform: (usize, u64),
    /// Sizes, and the weights of all up to each.
    table: Vec<(usize, u64)>,
}

impl SizeDraw {
    pub(crate) fn of(bytes: &RecordBytes) -> Self {
        let table = |weighted: &mut dyn Iterator<Item = (usize, u64)>| {
            let mut until = 0_u64;
            weighted
                .filter(|(_, weight)| *weight > 0)
                .map(|(bytes, weight)| {
                    until = until.saturating_add(weight);
                    (bytes, until)
                })
                .collect()
        };
        match bytes {
            RecordBytes::Fixed(bytes) => Self { uniform: (*bytes, 1), table: vec![] },
            RecordBytes::Drawn(Sizes::Uniform { min, max }) => Self {
                uniform: (*min, (max.saturating_sub(*min) as u64).saturating_add(1)),
                table: vec![],
            },
            RecordBytes::Drawn(Sizes::Weighted(sizes)) => {
                Self { uniform: (0, 1), table: table(&mut sizes.iter().copied()) }
            }
            RecordBytes::Drawn(Sizes::Lognormal { p50, p99, max }) => {
                let sizes = lognormal(*p50 as f64, *p99 as f64);
                let held = |bytes: f64| (bytes.round() as usize).max(HEADER_BYTES).min(*max);
                let mut sizes = sizes.into_iter().map(|bytes| (held(bytes), 1));
                Self { uniform: (0, 1), table: table(&mut sizes) }
            }
            RecordBytes::Drawn(Sizes::Samples(_)) => Self { uniform: (0, 1), table: vec![] },
        }
    }

    fn whole(&self) -> u64 {
        self.table.last().map_or(0, |(_, until)| *until)
    }

    /// The size of record `sequence` of a partition, where `series` is of producer and partition.
    pub(crate) fn size(&self, seed: u64, series: u64, sequence: u64) -> usize {
        let (least, count) = self.uniform;
        let of = |count: u64| {
            // The high half of the product: as even as 64 bits can be.
            let number = draw::number(seed, series, sequence);
            ((u128::from(number) * u128::from(count)) >> 64) as u64
        };
        match self.whole() {
            0 if count == 1 => least,
            0 => least + of(count) as usize,
            whole => {
                let drawn = of(whole);
                let place = self.table.partition_point(|(_, until)| *until <= drawn);
                self.table.get(place).map_or(least, |(bytes, _)| *bytes)
            }
        }
    }
}

/// The quantiles of a lognormal distribution in the middles of [`MOST_SIZES`] equal parts. The normal density is
/// added up in small steps; its quantiles have no closed form.
fn lognormal(p50: f64, p99: f64) -> Vec<f64> {
    const STEP: f64 = 1e-4;
    let sigma = (p99 / p50).ln() / Z99;
    let density = |z: f64| (-z * z / 2.0).exp() / (2.0 * std::f64::consts::PI).sqrt();
    let (mut z, mut below) = (-6.0, 0.0);
    (0..MOST_SIZES)
        .map(|n| {
            let quantile = (n as f64 + 0.5) / MOST_SIZES as f64;
            while below < quantile && z < 6.0 {
                below += density(z + STEP / 2.0) * STEP;
                z += STEP;
            }
            p50 * (sigma * z).exp()
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drawn(bytes: &RecordBytes) -> Vec<usize> {
        let draw = SizeDraw::of(bytes);
        let mut sizes: Vec<usize> = (0..20_000).map(|n| draw.size(7, 1, n)).collect();
        assert_eq!(sizes[77], draw.size(7, 1, 77), "a function of its place");
        sizes.sort_unstable();
        let mean = sizes.iter().sum::<usize>() as f64 / sizes.len() as f64;
        assert!((mean / bytes.mean() - 1.0).abs() < 0.05, "{mean} and not {}", bytes.mean());
        let (least, largest) = bytes.range().unwrap();
        assert!(sizes[0] >= least && sizes[sizes.len() - 1] <= largest, "{least} to {largest}");
        sizes
    }

    #[test]
    fn sizes_are_distributed_as_is_said() {
        assert!(drawn(&RecordBytes::Fixed(100)).iter().all(|bytes| *bytes == 100));
        let sizes = drawn(&RecordBytes::Drawn(Sizes::Uniform { min: 100, max: 199 }));
        assert_eq!((sizes[0], sizes[sizes.len() - 1]), (100, 199));
        let sizes = drawn(&RecordBytes::Drawn(Sizes::Weighted(vec![(100, 9), (5000, 1), (7, 0)])));
        let large = sizes.iter().filter(|bytes| **bytes == 5000).count();
        assert!(large.abs_diff(2000) < 200 && sizes[0] == 100, "{large}");
        let lognormal = Sizes::Lognormal { p50: 1000, p99: 20_000, max: 30_000 };
        let sizes = drawn(&RecordBytes::Drawn(lognormal));
        let at = |quantile: f64| sizes[(sizes.len() as f64 * quantile) as usize] as f64;
        assert!((at(0.5) / 1000.0 - 1.0).abs() < 0.05, "{}", at(0.5));
        assert!((at(0.99) / 20_000.0 - 1.0).abs() < 0.15, "{}", at(0.99));
        assert_eq!(sizes[sizes.len() - 1], 30_000, "the tail is cut");
    }

    #[test]
    fn another_producer_or_seed_draws_others() {
        let draw = SizeDraw::of(&RecordBytes::Drawn(Sizes::Uniform { min: 1, max: 1_000_000 }));
        assert_ne!(draw.size(1, 1, 0), draw.size(1, 2, 0));
        assert_ne!(draw.size(1, 1, 0), draw.size(2, 1, 0));
    }

    #[test]
    fn samples_become_weights() {
        let sizes = Sizes::of_samples("# bytes\n100\n200\n\n100\n").unwrap();
        assert_eq!(sizes, Sizes::Weighted(vec![(100, 2), (200, 1)]));
        let many: String = (0..5000).map(|n| format!("{}\n", 100 + n)).collect();
        let Sizes::Weighted(weighted) = Sizes::of_samples(&many).unwrap() else { panic!() };
        assert_eq!(weighted.len(), MOST_SIZES);
        assert_eq!((weighted[0].0, weighted[999].0), (102, 5097));
        assert_eq!(Sizes::of_samples("100\nsecret\n").unwrap_err(), "line 2 is no number of bytes");
        assert_eq!(Sizes::of_samples("\n").unwrap_err(), "it has no sizes");
    }

    #[test]
    fn a_number_or_one_way_to_draw_is_read() {
        #[derive(Deserialize, Serialize, Debug, PartialEq)]
        struct OfSizes {
            bytes: RecordBytes,
        }
        let read = |text: &str| toml::from_str::<OfSizes>(&format!("bytes = {text}"));
        for text in [
            "100",
            "{ uniform = { min = 100, max = 200 } }",
            "{ weighted = [[100, 9], [5000, 1]] }",
            "{ lognormal = { p50 = 100, p99 = 900, max = 2000 } }",
            "{ samples = \"sizes.txt\" }",
        ] {
            let spec = read(text).unwrap();
            assert_eq!(toml::from_str::<OfSizes>(&toml::to_string(&spec).unwrap()).unwrap(), spec);
            let json = serde_json::to_string(&spec).unwrap();
            assert_eq!(serde_json::from_str::<OfSizes>(&json).unwrap(), spec);
        }
        for (text, words) in [
            ("-1", "-1"),
            ("1.5", "a whole number of bytes"),
            ("\"large\"", "a whole number of bytes"),
            ("{ unifrm = { min = 1, max = 2 } }", "`unifrm`"),
            ("{ uniform = { min = 1, max = 2, p50 = 1 } }", "`p50`"),
            ("{ uniform = { min = 1, max = 2 }, samples = \"a\" }", "1 element"),
        ] {
            let why = read(text).unwrap_err().to_string();
            assert!(why.contains(words), "{text}: {why}");
        }
    }
}
