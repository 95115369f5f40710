//! `latency.hlog`: the response times of each second, in the interval log format of HdrHistogram,
//! which its own tools read. Values are microseconds; the trial is the tag (`trial-1`).

use std::collections::BTreeMap;
use std::io;
use std::time::{Duration, UNIX_EPOCH};

use hdrhistogram::serialization::V2DeflateSerializer;
use hdrhistogram::serialization::interval_log::{IntervalLogWriterBuilder, Tag};

use crate::record::event::{Event, EventKind};
use crate::record::history::{Block, Client, Entry, LoadRole, SendOutcome, Source, StreamRef};
use crate::record::trial::TrialRecord;

use super::{counts, histogram};

const SECOND: u64 = 1_000_000_000;

/// Writes the log of these trials.
pub fn write(out: &mut impl io::Write, trials: &[TrialRecord]) -> io::Result<()> {
    let mut serializer = V2DeflateSerializer::new();
    let start_ms = trials.iter().flat_map(|trial| &trial.events).find_map(wall_at_start);
    let start = UNIX_EPOCH + Duration::from_millis(start_ms.unwrap_or(0).max(0) as u64);
    let mut builder = IntervalLogWriterBuilder::new();
    builder
        .add_comment("kbench: response time (ack - due) of the main load, microseconds")
        .with_start_time(start)
        .with_max_value_divisor(1_000.0);
    let mut writer = builder.begin_log_with(out, &mut serializer)?;
    for TrialRecord { number, history, .. } in trials {
        let tag = format!("trial-{number}");
        let mut histogram = histogram();
        each_second(&**history, |second, responses| {
            histogram.reset();
            responses.iter().for_each(|response| histogram.saturating_record(*response));
            let (from, length) = (Duration::from_secs(second), Duration::from_secs(1));
            writer
                .write_histogram(&histogram, from, length, Tag::new(&tag))
                .map_err(|e| io::Error::other(format!("interval log: {e}")))
        })?;
    }
    Ok(())
}

fn wall_at_start(event: &Event) -> Option<i64> {
    match event.kind {
        EventKind::TrialStarted { wall_at_start_ms, .. } => Some(wall_at_start_ms),
        _ => None,
    }
}

/// A second is complete when every producer's outcomes have gone this much further: outcomes are
/// written down in the order in which they were reported, but for those that the client refused at
/// once.
const SLACK_S: u64 = 1;

/// Calls `complete` with the response times of each second of the trial in which acks came, in order
/// of time. Producers are read side by side, so that few seconds are held at once.
fn each_second(
    source: &dyn Source,
    mut complete: impl FnMut(u64, &[u64]) -> io::Result<()>,
) -> io::Result<()> {
    let is_main = |stream: &StreamRef<'_>| {
        matches!(stream.header.client, Client::Producer { role: LoadRole::Main, .. })
    };
    let mut producers = Vec::new();
    for stream in source.streams().into_iter().filter(is_main) {
        producers.push((0, stream, source.read(stream.number).map_err(io::Error::other)?));
    }
    let mut open: BTreeMap<u64, Vec<u64>> = BTreeMap::new();
    while let Some(behind) = (0..producers.len()).min_by_key(|at| producers[*at].0) {
        let (reached, stream, blocks) = &mut producers[behind];
        match blocks.next().map_err(io::Error::other)? {
            Block::End(_) => drop(producers.swap_remove(behind)),
            Block::Entries(entries) => {
                for entry in entries {
                    let Entry::Send(send) = entry else { continue };
                    let second = send.done.0 / SECOND;
                    *reached = second.max(*reached);
                    let acked = matches!(send.outcome, SendOutcome::Acked { .. });
                    if acked && counts(&stream.header.client, send) {
                        let response = send.done.since(send.due).as_micros() as u64;
                        open.entry(second).or_default().push(response);
                    }
                }
            }
        }
        let reached = producers.iter().map(|(reached, ..)| *reached).min().unwrap_or(u64::MAX);
        while let Some(first) = open.first_entry()
            && first.key().saturating_add(SLACK_S) < reached
        {
            let (second, responses) = first.remove_entry();
            complete(second, &responses)?;
        }
    }
    open.into_iter().try_for_each(|(second, responses)| complete(second, &responses))
}
