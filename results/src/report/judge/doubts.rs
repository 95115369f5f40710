//! What makes a run's verdict unknown, and what else it tells of its course.

use super::super::{GroupConsuming, ObserverReport, SkippedStep};
use super::Parts;
use crate::judge::timeline::Timeline;
use crate::judge::verdict::Verdict;
use crate::record::event::{ChangeMark, ChangeSeen, Event, EventKind};
use crate::terminal::counted;

impl Parts {
    /// Something makes the run's verdict at least unknown.
    pub(super) fn doubt(&mut self, problem: String) {
        self.verdict = self.verdict.max(Verdict::Unknown);
        self.problems.push(problem);
    }

    pub(super) fn note_doubts(&mut self, trial: u32, timeline: &Timeline) {
        if timeline.interrupted {
            self.doubt(format!("trial {trial}: interrupted"));
        } else if !timeline.ended {
            self.doubt(format!("trial {trial}: its events break off before its end"));
        }
        for (id, reason) in &timeline.skipped {
            self.doubt(format!("trial {trial}: step \"{id}\" was skipped: {reason}"));
            self.skipped.push(SkippedStep { trial, id: id.clone(), reason: reason.clone() });
        }
        for fault in &timeline.faults {
            if !fault.proven {
                self.doubt(format!(
                    "trial {trial}: nothing proves that the fault of step \"{}\" took effect",
                    fault.id
                ));
            }
            if !fault.heal_proven {
                self.doubt(format!(
                    "trial {trial}: nothing proves that the fault of step \"{}\" was undone",
                    fault.id
                ));
            }
        }
    }

    /// The group was stopped before it had been delivered everything: kbench gave up waiting for it.
    pub(super) fn note_undelivered(&mut self, group: &GroupConsuming) {
        let GroupConsuming { trial, group, topic, undelivered, .. } = group;
        if *undelivered > 0 {
            let records = counted(*undelivered, "acked record");
            self.doubt(format!(
                "trial {trial}: group {group} was stopped with {records} of {topic} not delivered to it"
            ));
        }
    }

    pub(super) fn note_events(&mut self, trial: u32, events: &[Event]) {
        for event in events {
            match &event.kind {
                EventKind::NotSteady { missing } => self.doubt(format!(
                    "trial {trial}: the cluster was not steady again after the last fault: {missing}"
                )),
                EventKind::Change(seen) if seen.mark == ChangeMark::GivenUp => {
                    let ChangeSeen { change, what, .. } = seen;
                    self.doubt(format!("trial {trial}: change \"{change}\" was given up: {what}"));
                }
                EventKind::Change(seen) if seen.mark == ChangeMark::NotUndone => {
                    let ChangeSeen { change, what, .. } = seen;
                    self.doubt(format!("trial {trial}: change \"{change}\" was not undone: {what}"));
                }
                EventKind::Problem { text } => {
                    self.problems.push(format!("trial {trial}: {text}"));
                }
                EventKind::ObserverCost { requests, bytes, cpu_s, over_s } if *over_s > 0.0 => {
                    self.observer.push(ObserverReport {
                        trial,
                        requests_per_s: *requests as f64 / over_s,
                        bytes_per_s: *bytes as f64 / over_s,
                        cpu_share: cpu_s / over_s,
                    });
                }
                _ => {}
            }
        }
    }
}
