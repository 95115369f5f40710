//! `latency.hlog`: the response times of each second, in the interval log format of HdrHistogram,
//! which its own tools read. Values are microseconds; the trial is the tag (`trial-1`).

use std::collections::BTreeMap;
use std::io;
use std::time::{Duration, UNIX_EPOCH};

use hdrhistogram::Histogram;
use hdrhistogram::serialization::V2DeflateSerializer;
use hdrhistogram::serialization::interval_log::{IntervalLogWriterBuilder, Tag};

use crate::record::event::{Event, EventKind};
use crate::record::history::History;
use crate::record::history::Outcome;

use super::{histogram, main_sends};

/// One second of a log, `\n`-terminated lines in all.
pub fn write(out: &mut impl io::Write, trials: &[(u32, &[Event], &History)]) -> io::Result<()> {
    let mut serializer = V2DeflateSerializer::new();
    let start_ms = trials.iter().flat_map(|(_, events, _)| *events).find_map(wall_at_start);
    let start = UNIX_EPOCH + Duration::from_millis(start_ms.unwrap_or(0).max(0) as u64);
    let mut builder = IntervalLogWriterBuilder::new();
    builder
        .add_comment("kbench: response time (ack - due) of the main load, microseconds")
        .with_start_time(start)
        .with_max_value_divisor(1_000.0);
    let mut writer = builder.begin_log_with(out, &mut serializer)?;
    for (number, _, history) in trials {
        let tag = format!("trial-{number}");
        for (second, histogram) in seconds(history) {
            writer
                .write_histogram(
                    &histogram,
                    Duration::from_secs(second),
                    Duration::from_secs(1),
                    Tag::new(&tag),
                )
                .map_err(|e| io::Error::other(format!("interval log: {e:?}")))?;
        }
    }
    Ok(())
}

fn wall_at_start(event: &Event) -> Option<i64> {
    match event.kind {
        EventKind::TrialStarted { wall_at_start_ms, .. } => Some(wall_at_start_ms),
        _ => None,
    }
}

/// Response times by the second of the trial in which the ack came.
fn seconds(history: &History) -> BTreeMap<u64, Histogram<u64>> {
    let mut seconds: BTreeMap<u64, Vec<u64>> = BTreeMap::new();
    for send in main_sends(history) {
        if matches!(send.outcome, Outcome::Acked { .. }) {
            let response = send.done.since(send.due).as_micros() as u64;
            seconds.entry(send.done.0 / 1_000_000_000).or_default().push(response);
        }
    }
    let fill = |values: Vec<u64>| {
        let mut histogram = histogram();
        values.into_iter().for_each(|value| histogram.saturating_record(value));
        histogram
    };
    seconds.into_iter().map(|(second, values)| (second, fill(values))).collect()
}
