//! What the settings in force predict of each fault, for the partitions of a report.

use std::collections::BTreeMap;

use crate::judge::predict;
use crate::judge::recovery::{PartitionRecovery, StreamKind};
use crate::judge::span::FaultSpan;
use crate::judge::timeline::Timeline;
use crate::record::environment::Settings;
use crate::record::history::{Client, LoadRole};
use crate::record::trial::TrialRecord;
use crate::report::Report;

/// The faults of a run's trials, as far as their records are there.
pub(super) struct Predictions<'a> {
    trials: BTreeMap<u32, PredictedTrial<'a>>,
}

struct PredictedTrial<'a> {
    settings: &'a Settings,
    faults: Vec<FaultSpan>,
    /// Whether the main load waits for the whole ISR.
    acks_all: bool,
}

impl<'a> Predictions<'a> {
    pub(super) fn of(report: &'a Report, trials: &[TrialRecord]) -> Self {
        let of_trial = |trial: &TrialRecord| {
            let mut each = report.environments.iter();
            let own = each.find(|it| it.trial == trial.number)?;
            let settings = &own.environment.settings;
            let faults = Timeline::new(&trial.events).faults;
            let acks_all = acks_all(trial);
            Some((trial.number, PredictedTrial { settings, faults, acks_all }))
        };
        Self { trials: trials.iter().filter_map(of_trial).collect() }
    }

    /// Seconds, at least and at most, for which a partition is unavailable; none without a formula.
    pub(super) fn unavailable_s(&self, row: &PartitionRecovery) -> Option<[f64; 2]> {
        let PredictedTrial { settings, faults, acks_all } = self.trials.get(&row.trial)?;
        let fault = faults.iter().find(|fault| fault.id == row.fault && fault.proven)?;
        // Where every broker has a copy, each partition waits for the dead one.
        let everywhere = *acks_all && settings.replication_factor == settings.brokers;
        let predicted = match (row.stream, row.led?) {
            _ if row.added => None,
            (StreamKind::Main, true) => predict::partition_recovery(settings, fault),
            (StreamKind::Main, false) if everywhere => predict::copies_recovery(settings, fault),
            // That nothing is felt needs no band where nothing was.
            (StreamKind::Probe | StreamKind::Reads, false) if row.interrupted => {
                predict::undisturbed(fault)
            }
            _ => None,
        };
        predicted.map(|it| it.interval_s)
    }
}

fn acks_all(trial: &TrialRecord) -> bool {
    let streams = trial.history.streams();
    streams.iter().all(|stream| match stream.header.client {
        Client::Producer { role: LoadRole::Main, acks, .. } => acks == -1,
        _ => true,
    })
}
