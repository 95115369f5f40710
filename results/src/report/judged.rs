//! A run's directory, judged: its report, and the trials that it was made of.

use std::path::{Path, PathBuf};

use super::files::WriteError;
use super::judge::{RunAcks, judge_and_count};
use super::{Question, Report, judge};
use crate::record::integrity::TrialId;
use crate::record::trial::{EVENTS, SPEC, TrialRecord};

/// A judged run.
#[derive(Debug)]
pub struct Judged {
    /// The report.
    pub report: Report,
    trials: Vec<TrialRecord>,
    acks: RunAcks,
}

/// No trial of a run left anything to judge.
#[derive(Debug, thiserror::Error)]
#[error("{} holds nothing to judge: {why}", dir.display())]
pub struct NothingRecorded {
    /// The run's directory.
    pub dir: PathBuf,
    /// What is wrong with each of its trials.
    pub why: String,
}

/// What is wrong with a spec that asks for another number of trials than the run had.
fn spec_of_another_run(run: &Path, asked: u32) -> Option<String> {
    let (one, several) = (run.join(EVENTS).exists(), run.join("trials").exists());
    let other = match asked {
        0 => true,
        1 => !one && several,
        _ => one,
    };
    other.then(|| format!("{SPEC} was changed: the run had another number of trials than {asked}"))
}

/// Reads the trials of the run's directory `dir`, and what is wrong with those that are not readable.
fn load(
    dir: &Path,
    question: &Question,
) -> Result<(Vec<TrialRecord>, Vec<String>), NothingRecorded> {
    let asked = question.run.trials_asked;
    let (mut trials, mut problems) = (vec![], vec![]);
    for number in 1..=asked {
        let id = TrialId { run: &question.run.run_id, number };
        match TrialRecord::load(dir, id, asked) {
            Ok(trial) => trials.push(trial),
            Err(error) => problems.push(format!("trial {number}: {error}")),
        }
    }
    if trials.is_empty() {
        problems.extend(spec_of_another_run(dir, asked));
        return Err(NothingRecorded { dir: dir.to_owned(), why: problems.join("; ") });
    }
    Ok((trials, problems))
}

/// Judges each trial in the run's directory `dir` by itself, without claims and gates: its number, and what it
/// measured.
///
/// # Errors
/// When no trial left a readable record.
pub fn each_trial(dir: &Path, question: &Question) -> Result<Vec<(u32, Report)>, NothingRecorded> {
    let (trials, _) = load(dir, question)?;
    let mut alone = Question { claims: vec![], ..question.clone() };
    (alone.run.trials_asked, alone.run.gates) = (1, vec![]);
    let judged = |trial: &TrialRecord| (trial.number, judge(&alone, std::slice::from_ref(trial)));
    Ok(trials.iter().map(judged).collect())
}

impl Judged {
    /// Judges what is recorded in the run's directory `dir`; the same every time.
    ///
    /// # Errors
    /// When no trial left a readable record.
    pub fn of(dir: &Path, question: &Question) -> Result<Self, NothingRecorded> {
        let (trials, problems) = load(dir, question)?;
        let (mut report, acks) = judge_and_count(question, &trials);
        report.problems.extend(problems);
        Ok(Self { report, trials, acks })
    }

    /// Its trials that were readable.
    pub(crate) fn trials(&self) -> &[TrialRecord] {
        &self.trials
    }

    /// Writes the report's files into the run's directory `dir`.
    ///
    /// # Errors
    /// When one cannot be written.
    pub fn write(&self, dir: &Path) -> Result<(), WriteError> {
        self.report.write_all(dir, &self.trials, &self.acks)
    }
}
