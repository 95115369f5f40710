//! Who was the controller, by ZooKeeper and by the brokers' own logs.

use crate::judge::timeline::Timeline;
use crate::record::clock::RunTime;
use crate::record::event::{BrokerId, EventKind, LogMark};

/// What the metadata plane and the logs tell of controllers, each in order of time.
#[derive(Debug, Clone, Default)]
pub(in crate::judge::claim) struct Controllers {
    /// Whom ZooKeeper named.
    pub(in crate::judge::claim) named: Vec<(RunTime, BrokerId)>,
    /// Brokers that say that they were elected, and with which epoch.
    pub(in crate::judge::claim) elected: Vec<(RunTime, BrokerId, i32)>,
    /// Brokers that say that they resigned.
    pub(in crate::judge::claim) resigned: Vec<(RunTime, BrokerId)>,
    /// When brokers refused what came from a controller of an earlier epoch.
    pub(in crate::judge::claim) refused: Vec<RunTime>,
}

impl Controllers {
    pub(super) fn of(timeline: &Timeline) -> Self {
        let mut seen = Self::default();
        for event in timeline.events() {
            let at = event.at;
            match &event.kind {
                EventKind::ControllerElected { broker, .. } => seen.named.push((at, *broker)),
                EventKind::LogMark { process, mark, line, .. } => match mark {
                    LogMark::ControllerElected => {
                        let epoch = epoch_in(line);
                        seen.elected.extend(epoch.map(|epoch| (at, process.id, epoch)));
                    }
                    LogMark::ControllerLost => seen.resigned.push((at, process.id)),
                    LogMark::StaleController => seen.refused.push(at),
                    _ => {}
                },
                _ => {}
            }
        }
        seen
    }
}

/// The epoch in a line that tells of an election.
fn epoch_in(line: &str) -> Option<i32> {
    let (_, rest) = line.split_once("Epoch incremented to ")?;
    rest.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
}
