//! The run's own topics on a cluster that others use: in the ledger before they are there, deleted when the trial
//! is over. On a cluster of kbench's own they go with it, or stay for the next run.

use std::path::Path;

use faults::ledger::{Ledger, LedgerError};
use faults::nemesis;
use faults::undo::Undo;
use results::record::trial::LEDGER;

use super::lab::Lab;
use crate::admin::{MissingRights, NewTopic};
use crate::cluster::attached::AttachedSpec;
use crate::failure::Failure;
use crate::heal::owner;
use crate::recorder::Recorder;
use crate::spec::RunSpec;

/// What the ledger calls their making.
const MAKING: &str = "own-topics";

/// Writes down that these topics will have to be deleted, unless they are to stay.
pub(super) fn plan(
    spec: &RunSpec,
    files: &Path,
    number: u32,
    recorder: &Recorder,
    topics: Vec<String>,
) -> Result<(), Failure> {
    if spec.backend.attached().is_none_or(|attached| attached.keep_topics) {
        return Ok(());
    }
    let mut ledger = Ledger::open(&files.join(LEDGER), owner(spec, number)).map_err(broken)?;
    let tag = ledger.tag();
    let undos = [Undo::DeleteTopics { topics }];
    ledger.plan(&tag, MAKING, recorder.clock().now(), &undos).map_err(broken)
}

/// Refuses a load whose user lacks rights that it needs on what will be made.
pub(super) async fn may_be_used(
    lab: &Lab,
    spec: &RunSpec,
    topics: &[NewTopic],
) -> Result<(), Failure> {
    let names: Vec<_> = topics.iter().map(|topic| &*topic.name).collect();
    let deleted = spec.backend.attached().is_some_and(|attached| !attached.keep_topics);
    let mut missing = lab.admin.missing_on_topics(&names, deleted).await?;
    let first = spec.workload.consumers.as_ref().map(|consumers| &consumers.group);
    for group in first.into_iter().chain(spec.workload.groups.keys()) {
        missing.extend(lab.admin.missing_on_group(group).await?);
    }
    let Some(one) = missing.first() else { return Ok(()) };
    let all: Vec<_> = missing.iter().map(MissingRights::to_string).collect();
    let number = AttachedSpec::own("", spec.run_number);
    let base = one.name().strip_suffix(&*number).unwrap_or(one.name());
    let failure = Failure::infrastructure(format!("the user lacks rights: {}", all.join("; ")));
    Err(failure.with_cure(format!(
        "grant them for the names of every run, as in `{}`",
        one.grant(&format!("{base}-kb"))
    )))
}

/// Deletes what was made. Nobody may use them any more.
pub(super) async fn delete(
    lab: &Lab,
    spec: &RunSpec,
    files: &Path,
    number: u32,
) -> Result<(), Failure> {
    if spec.backend.is_ours() || !files.join(LEDGER).exists() {
        return Ok(());
    }
    let mut ledger = Ledger::open(&files.join(LEDGER), owner(spec, number)).map_err(broken)?;
    let now = lab.recorder.clock().now();
    nemesis::end_trial(lab.ports(), &mut ledger, now).await.map_err(Failure::from)
}

fn broken(error: LedgerError) -> Failure {
    Failure::infrastructure(error.to_string())
}
