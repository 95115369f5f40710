//! Figures for other tools that follow them over runs.

use std::collections::BTreeMap;
use std::str::FromStr;

use serde::Serialize;

use super::{MetricTrend, SeriesTrend, Trends};

/// A form that another tool reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TrendExport {
    /// Apache Otava's CSV: `time`, attributes and a column a metric, a row a run. Its importer takes a number in each
    /// cell, and all rows of a file for one test
    /// (<https://github.com/apache/otava/blob/master/docs/CSV.md>, `otava/importer.py`).
    Otava,
    /// Bencher Metric Format: a value for each measure of each benchmark, of the newest run
    /// (<https://bencher.dev/docs/reference/bencher-metric-format>).
    Bencher,
    /// github-action-benchmark's `customSmallerIsBetter`: a list of `name`, `unit`, `value` and `extra`, of the newest run
    /// (<https://github.com/benchmark-action/github-action-benchmark>, `BenchmarkResult` in `src/extract.ts`). Rates
    /// become the time of a record.
    GithubBenchmark,
}

/// Why nothing is exported.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ExportError {
    /// One table cannot hold several series.
    #[error("Otava takes a file for one series, and there are {0}")]
    SeveralSeries(usize),
    /// There is no run with the figures.
    #[error("no run has all of the figures that are to be exported")]
    Nothing,
    /// The document cannot be made.
    #[error("the document cannot be made: {0}")]
    Document(String),
}

impl TrendExport {
    /// The words for them.
    pub const ALL: [(&'static str, Self); 3] = [
        ("otava", Self::Otava),
        ("bencher", Self::Bencher),
        ("github-benchmark", Self::GithubBenchmark),
    ];

    /// The document.
    ///
    /// # Errors
    /// When there is nothing to export, or it does not fit the form.
    pub fn document(self, trends: &Trends) -> Result<String, ExportError> {
        match (self, &trends.series[..]) {
            (_, []) => Err(ExportError::Nothing),
            (Self::Otava, [series]) => otava(series),
            (Self::Otava, several) => Err(ExportError::SeveralSeries(several.len())),
            (Self::Bencher, series) => bencher(series),
            (Self::GithubBenchmark, series) => github_benchmark(series),
        }
    }
}

impl FromStr for TrendExport {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let known = Self::ALL.into_iter().find(|(word, _)| *word == text);
        known.map(|(_, form)| form).ok_or_else(|| {
            let words = Self::ALL.map(|(word, _)| word).join(", ");
            format!("there is no form `{text}`: it is one of {words}")
        })
    }
}

fn otava(series: &SeriesTrend) -> Result<String, ExportError> {
    let failed = |error: &dyn std::fmt::Display| ExportError::Document(error.to_string());
    let mut csv = csv::Writer::from_writer(vec![]);
    let names = series.metrics.iter().map(|it| it.metric.to_string());
    let header = ["time", "run"].map(str::to_owned).into_iter().chain(names);
    csv.write_record(header).map_err(|error| failed(&error))?;
    let mut rows = 0;
    for (index, run) in series.runs.iter().enumerate() {
        // A cell that is empty would be refused.
        let Some(figures) = series.all_figures_of(index) else { continue };
        let cells = figures.iter().map(f64::to_string);
        csv.write_record([run.started.clone(), run.id.clone()].into_iter().chain(cells))
            .map_err(|error| failed(&error))?;
        rows += 1;
    }
    if rows == 0 || series.metrics.is_empty() {
        return Err(ExportError::Nothing);
    }
    let bytes = csv.into_inner().map_err(|error| failed(&error))?;
    String::from_utf8(bytes).map_err(|error| failed(&error))
}

/// A name that stays the same from night to night.
fn name(series: &SeriesTrend) -> String {
    let key = &series.key;
    format!("{}/{}/{}/{}", key.workload, key.plan, key.profile, series.id)
}

/// The metrics of a series that its newest run has.
fn newest(series: &SeriesTrend) -> impl Iterator<Item = (&MetricTrend, f64)> {
    series.metrics.iter().filter_map(|metric| Some((metric, metric.newest?)))
}

fn bencher(all: &[SeriesTrend]) -> Result<String, ExportError> {
    #[derive(Serialize)]
    struct BencherValue {
        value: f64,
    }
    let measures = |series| -> BTreeMap<String, BencherValue> {
        newest(series).map(|(it, value)| (it.metric.to_string(), BencherValue { value })).collect()
    };
    let benchmarks: BTreeMap<_, _> = all
        .iter()
        .map(|series| (name(series), measures(series)))
        .filter(|(_, measures)| !measures.is_empty())
        .collect();
    if benchmarks.is_empty() { Err(ExportError::Nothing) } else { json(&benchmarks) }
}

fn github_benchmark(all: &[SeriesTrend]) -> Result<String, ExportError> {
    #[derive(Serialize)]
    struct SmallerIsBetter {
        name: String,
        unit: &'static str,
        value: f64,
        extra: String,
    }
    let mut entries = Vec::new();
    for series in all {
        let run = series.runs.last().map_or("", |run| &*run.id);
        for (metric, figure) in newest(series) {
            let what = format!("{}: {}", name(series), metric.metric);
            let (name, unit, value) = match metric.metric.higher_is_better() {
                // Of nothing a second no time can be said.
                true if figure <= 0.0 => continue,
                true => (format!("{what}, as the time of a record"), "us/record", 1e6 / figure),
                false => (what, "us", figure),
            };
            entries.push(SmallerIsBetter { name, unit, value, extra: format!("run {run}") });
        }
    }
    if entries.is_empty() { Err(ExportError::Nothing) } else { json(&entries) }
}

fn json(document: &impl Serialize) -> Result<String, ExportError> {
    serde_json::to_string_pretty(document)
        .map(|text| text + "\n")
        .map_err(|error| ExportError::Document(error.to_string()))
}
