//! What the history does not show. Its findings make a run unknown, never violated.

use super::finding::{Anomaly, Finding, Weight};
use super::index::LogIndex;
use super::witness::name;
use crate::record::history::Ending;

/// `unseen`: see the table in [`check`](super).
pub(super) fn unseen(index: &LogIndex<'_>, finding: &mut Finding<'_>) {
    for log in index.partitions.values() {
        finding.examined(1);
        if let Some(what) = index.survey.undrained(log.topic, log.partition) {
            let reached = log.facts.log.drained.map(|drained| drained.reached);
            finding.found(Weight::Doubtful, || Anomaly {
                topic: log.topic,
                partition: log.partition,
                offset: reached,
                at: None,
                what,
            });
        }
    }
    for log in index.partitions.values() {
        let late = log
            .acked()
            .filter(|(writer, send, _)| writer.of_load && log.facts.log.came_late(send.done));
        for (writer, send, offset) in late {
            finding.found(Weight::Doubtful, || Anomaly {
                topic: log.topic,
                partition: log.partition,
                offset: Some(offset),
                at: Some(send.done),
                what: format!(
                    "{} was acked after the drain of its partition had begun",
                    name(writer.identity(send))
                ),
            });
        }
    }
    for stream in &index.survey.streams {
        finding.examined(1);
        if let Ending::Truncated { what, .. } = &stream.ending {
            finding.doubt(what);
        }
    }
}
