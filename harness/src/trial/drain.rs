//! What a trial reads when its load has ended: every partition, and the headers of batches where their order is wrong.

use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use results::record::clock::RunTime;
use results::record::event::{Cause, EventKind, Place, Stage};
use results::record::history::{Client, Entry, HistoryError, StreamHeader, StreamWriter};
use results::record::trial::HISTORY;
use results::terminal::counted;
use tokio::time::Instant;
use workloads::{DrainProgress, DrainSummary, DrainTask, Patience};

use super::interrupt::Interrupt;
use super::lab::Lab;
use super::{Trial, blocking};
use crate::admin::Batches;
use crate::failure::Failure;
use crate::topology::Topic;

/// Limit after an interrupt for reading the headers of every partition's batches: 28 MB took 20 ms.
const BATCHES_LIMIT: Duration = Duration::from_secs(20);

impl Trial {
    /// Reads every partition of every topic that the load wrote to, one topic after the other; what was read, and
    /// each topic's place among the cluster's.
    pub(super) async fn drain(
        &self,
        lab: &Rc<Lab>,
        interrupt: &Interrupt,
    ) -> Result<Vec<(usize, DrainSummary)>, Failure> {
        self.stage(Stage::Draining);
        let began = self.recorder.clock().now();
        let mut drained = vec![];
        for place in self.spec.written_topics() {
            drained.push((place, self.drain_topic(place, began, lab, interrupt).await?));
        }
        Ok(drained)
    }

    async fn drain_topic(
        &self,
        place: usize,
        began: RunTime,
        lab: &Rc<Lab>,
        interrupt: &Interrupt,
    ) -> Result<DrainSummary, Failure> {
        let clock = self.recorder.clock();
        let topic = self.topic(place)?.name.clone();
        let stream = stream_of("drain", place);
        let (topic_name, partitions) = (topic.clone(), lab.members.partitions(&topic));
        let bootstrap = lab.cluster.servers().bootstrap();
        let connector = lab.cluster.servers().connector();
        let history = self.files.join(HISTORY);
        let run = self.spec.run_number;
        let (recorder, interrupted) = (Arc::clone(&self.recorder), interrupt.flag());
        let drained = blocking(move || {
            let task = DrainTask {
                bootstrap: &bootstrap,
                security: connector.security(),
                topic: &topic,
                partitions,
                run,
                stream: &stream,
                history_dir: &history,
                clock,
                patience: Patience::default(),
            };
            let mut tell = |at, DrainProgress { passed, left, per_s }| {
                recorder.at(at, EventKind::Draining { passed, left, per_s });
            };
            workloads::drain(task, &mut tell, &|| interrupted.load(Relaxed))
        })
        .await?;
        if let Some(why) = &drained.given_up {
            let text = format!("the drain of {topic_name} was given up: {why}");
            self.recorder.now(EventKind::Problem { text });
        }
        self.note_other_writer(&topic_name, began, drained.of_others);
        Ok(drained)
    }

    /// Records that somebody else wrote since the load has ended.
    fn note_other_writer(&self, topic: &str, from: RunTime, records: u64) {
        if records > 0 {
            let (cause, place) = (Cause::OtherWriter, Place::Topic(topic.to_owned()));
            let detail = Some(counted(records, "record"));
            self.recorder.now(EventKind::Disturbed { cause, place, from, detail });
        }
    }

    /// Writes down in which producer epochs those partitions were written that may hold a record twice, which takes
    /// a second reading of them. What cannot be read stays unknown, and excuses nothing.
    pub(super) async fn read_batch_headers(
        &self,
        lab: &Rc<Lab>,
        drained: &[(usize, DrainSummary)],
        interrupt: &Interrupt,
    ) -> Result<(), Failure> {
        let began = Instant::now();
        let goes_on = || !interrupt.raised() || began.elapsed() < BATCHES_LIMIT;
        for (place, drained) in drained {
            self.read_headers_of(*place, lab, drained, &goes_on).await?;
        }
        Ok(())
    }

    async fn read_headers_of(
        &self,
        place: usize,
        lab: &Rc<Lab>,
        drained: &DrainSummary,
        goes_on: &dyn Fn() -> bool,
    ) -> Result<(), Failure> {
        let topic = self.topic(place)?;
        let partitions = drained.reached.len() as u32;
        let header = StreamHeader {
            run: self.spec.run_number,
            topic: topic.name.clone(),
            partitions,
            client: Client::BatchHeaders,
        };
        let failed = |error: HistoryError| Failure::infrastructure(error.to_string());
        let history = self.files.join(HISTORY);
        let mut stream = StreamWriter::create(&history, &stream_of("batches", place), &header)
            .map_err(failed)?;
        let logs = drained.start_offsets.iter().zip(&drained.reached);
        let doubtful =
            (0..).zip(logs).zip(&drained.out_of_order).filter(|(_, doubtful)| **doubtful);
        for ((partition, (start, end)), _) in doubtful {
            let offsets = start.unwrap_or(0)..*end;
            let batches = lab.admin.batches(&topic.name, partition, offsets, goes_on).await;
            let batches = batches.unwrap_or_else(|error| {
                tracing::warn!(%error, "who wrote the batches is not known");
                vec![]
            });
            let at = self.recorder.clock().now();
            for Batches { first, end, epoch } in batches {
                let entry = Entry::Batches { partition, first, end, epoch, at };
                stream.push(&entry).map_err(failed)?;
            }
        }
        stream.finish().map_err(failed)
    }

    fn topic(&self, place: usize) -> Result<&Topic, Failure> {
        let topic = self.spec.cluster.topic.get(place);
        topic.ok_or_else(|| Failure::infrastructure("a topic of the load is not there (a defect)"))
    }
}

/// The name of the stream that has this of the topic at `place`.
fn stream_of(what: &str, place: usize) -> String {
    if place == 0 { what.to_owned() } else { format!("{what}.{}", place + 1) }
}
