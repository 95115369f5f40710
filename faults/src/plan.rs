//! Plans: steps of fault, target and timing, read from strict TOML.
//!
//! Timing, in full. Steps without `start` follow one another: each waits until those before it are
//! healed and the cluster is steady. A step with `start` does not wait: it goes with the plain step
//! before it ([`Plan::groups`]), and begins at a time counted from that one's injection (from the
//! plan's first steady moment when there is none), or after something that another step did. Steps
//! that are in force at once overlap, and each heals when its own time has come. Changes go before the steps, or with
//! them where they have a `start`. `repeat` makes
//! rounds of a step with nothing but a pause between, `rolling` one round for each process of its
//! targets with a steady cluster between. A `[mix]` is drawn into timed steps before the run.
//!
//! A plan that was parsed is valid: names are well-formed, ids differ, each step has its targets
//! and knows how long its fault lasts. Whether a cluster can carry it out is asked of
//! [`Plan::needs`] before anything starts. An error keeps its place in the text.

mod change;
mod estimate;
mod limits;
mod mix;
mod replay;
mod start;
mod step;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::ops::Range;

use results::judge::check::NEW_EPOCH;
pub use results::record::event::Expectation;
use results::record::line::MOST_NAME_BYTES;
use serde::{Deserialize, Serialize};
use toml::Spanned;

use crate::fault::FaultSpec;
use crate::port::Capability;
use crate::target::Target;
pub use change::{ChangeStep, ClusterChange};
pub use mix::{Candidate, Mix, Range as HoldRange};
pub use replay::{NotReplayable, replay};
pub use start::{After, Repeat, Start};
pub use step::{EndsWhen, Flapping, Lasts, Prepare, Step};

/// Faults to inject, one step after the other.
///
/// Written and read as a part of a resolved spec; a user's text goes through [`Plan::parse`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Plan {
    /// Its name.
    pub name: String,
    /// What it is for, in a sentence.
    pub description: String,
    /// Damage that is meant; without these words the guard refuses it.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub allows: BTreeSet<Damage>,
    /// Anomalies of the log that are counted and shown, and are no violation.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub anomalies: BTreeSet<Anomaly>,
    /// Most faults in force at once; a step that is due waits for its turn.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at_once: Option<usize>,
    /// Changes of the cluster under load: those without `start` in this order before the steps, the others with them.
    #[serde(default, rename = "change", skip_serializing_if = "Vec::is_empty")]
    pub changes: Vec<ChangeStep>,
    /// What to do, in this order.
    #[serde(default, rename = "step", skip_serializing_if = "Vec::is_empty")]
    pub steps: Vec<Step>,
    /// What to draw the steps from instead.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mix: Option<Mix>,
}

/// Damage that a plan must say it means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Damage {
    /// ZooKeeper may be left without a quorum.
    QuorumLoss,
    /// Every replica of a partition may lose data.
    DataLoss,
}

/// What a plan may expect to be seen although the producer's settings promise otherwise. None of those
/// that a claim is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Anomaly {
    /// A record of an idempotent producer is in the log again, written in a new epoch of the producer:
    /// librdkafka begins one when a broker says that a sequence number was skipped, and then sends again
    /// what may be in the log (its issue 4953).
    DuplicateInNewEpoch,
}

impl Anomaly {
    /// Its name, as the checks know it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::DuplicateInNewEpoch => NEW_EPOCH,
        }
    }
}

/// A plan that cannot be used: why, and where in its text.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct PlanError {
    /// What is wrong, and what is allowed.
    pub message: String,
    /// Bytes of the text that are wrong, where they are known.
    pub span: Option<Range<usize>>,
}

/// A plan as it is written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    name: Spanned<String>,
    description: String,
    #[serde(default)]
    allows: BTreeSet<Damage>,
    #[serde(default)]
    anomalies: BTreeSet<Anomaly>,
    at_once: Option<usize>,
    #[serde(default)]
    change: Vec<Spanned<ChangeStep>>,
    #[serde(default)]
    step: Vec<Spanned<Step>>,
    mix: Option<Spanned<Mix>>,
}

/// The plans that kbench ships, name and text; [`Plan::parse`] takes each of them.
pub const SHIPPED: &[(&str, &str)] = &[
    ("failover", include_str!("../plans/failover.toml")),
    ("failover-sigterm", include_str!("../plans/failover-sigterm.toml")),
    ("failover-two-brokers", include_str!("../plans/failover-two-brokers.toml")),
    ("node-loss", include_str!("../plans/node-loss.toml")),
    ("three-nodes-lost", include_str!("../plans/three-nodes-lost.toml")),
    ("minorities-lost", include_str!("../plans/minorities-lost.toml")),
    ("zombies", include_str!("../plans/zombies.toml")),
    ("single-points", include_str!("../plans/single-points.toml")),
    ("scale-out", include_str!("../plans/scale-out.toml")),
    ("scale-out-joined", include_str!("../plans/scale-out-joined.toml")),
    ("scale-out-broker-lost", include_str!("../plans/scale-out-broker-lost.toml")),
    ("scale-out-and-back", include_str!("../plans/scale-out-and-back.toml")),
    ("scale-out-throttled", include_str!("../plans/scale-out-throttled.toml")),
    ("rolling-restart", include_str!("../plans/rolling-restart.toml")),
    ("rolling-upgrade", include_str!("../plans/rolling-upgrade.toml")),
    ("crash-loop", include_str!("../plans/crash-loop.toml")),
    ("mayhem", include_str!("../plans/mayhem.toml")),
    ("session-expired", include_str!("../plans/session-expired.toml")),
    ("leader-paused", include_str!("../plans/leader-paused.toml")),
    ("controller-and-zk-leader", include_str!("../plans/controller-and-zk-leader.toml")),
    ("zk-server-killed", include_str!("../plans/zk-server-killed.toml")),
    ("zk-quorum-lost", include_str!("../plans/zk-quorum-lost.toml")),
    ("zk-all-killed", include_str!("../plans/zk-all-killed.toml")),
    ("zk-leader-paused", include_str!("../plans/zk-leader-paused.toml")),
    ("isolate-broker", include_str!("../plans/isolate-broker.toml")),
    ("broker-without-zookeeper", include_str!("../plans/broker-without-zookeeper.toml")),
    ("controller-without-zookeeper", include_str!("../plans/controller-without-zookeeper.toml")),
    ("leader-without-followers", include_str!("../plans/leader-without-followers.toml")),
    ("leaders-moved", include_str!("../plans/leaders-moved.toml")),
    ("replicas-reassigned", include_str!("../plans/replicas-reassigned.toml")),
    ("broker-removed", include_str!("../plans/broker-removed.toml")),
    ("clients-without-leader", include_str!("../plans/clients-without-leader.toml")),
    ("all-brokers-without-zookeeper", include_str!("../plans/all-brokers-without-zookeeper.toml")),
    ("zk-leader-isolated", include_str!("../plans/zk-leader-isolated.toml")),
    ("halves", include_str!("../plans/halves.toml")),
    ("bridge", include_str!("../plans/bridge.toml")),
    ("ring", include_str!("../plans/ring.toml")),
    ("clients-without-brokers", include_str!("../plans/clients-without-brokers.toml")),
    ("link-down", include_str!("../plans/link-down.toml")),
    ("link-flapping", include_str!("../plans/link-flapping.toml")),
    ("packet-loss", include_str!("../plans/packet-loss.toml")),
    ("slow-network", include_str!("../plans/slow-network.toml")),
    ("duplicated-packets", include_str!("../plans/duplicated-packets.toml")),
    ("reordered-packets", include_str!("../plans/reordered-packets.toml")),
    ("low-bandwidth", include_str!("../plans/low-bandwidth.toml")),
    ("clients-killed", include_str!("../plans/clients-killed.toml")),
    ("consumers", include_str!("../plans/consumers.toml")),
    ("power-loss", include_str!("../plans/power-loss.toml")),
    ("power-loss-all", include_str!("../plans/power-loss-all.toml")),
    ("last-in-sync-power", include_str!("../plans/last-in-sync-power.toml")),
    ("unclean-election", include_str!("../plans/unclean-election.toml")),
    ("leader-killed-acks-1", include_str!("../plans/leader-killed-acks-1.toml")),
    ("full-disk", include_str!("../plans/full-disk.toml")),
    ("early-restart", include_str!("../plans/early-restart.toml")),
    ("coordinator-lost", include_str!("../plans/coordinator-lost.toml")),
    ("failing-disk", include_str!("../plans/failing-disk.toml")),
    ("slow-disk", include_str!("../plans/slow-disk.toml")),
    ("no-descriptors", include_str!("../plans/no-descriptors.toml")),
    ("slow-cpu", include_str!("../plans/slow-cpu.toml")),
    ("no-memory", include_str!("../plans/no-memory.toml")),
    ("clock-jumps", include_str!("../plans/clock-jumps.toml")),
];

impl Plan {
    /// Reads a plan and checks it.
    pub fn parse(text: &str) -> Result<Self, PlanError> {
        let written: Written = toml::from_str(text)
            .map_err(|e| PlanError { message: e.message().to_owned(), span: e.span() })?;
        let at = |span: Range<usize>| move |message| PlanError { message, span: Some(span) };
        check_name("name", written.name.get_ref()).map_err(at(written.name.span()))?;
        match (written.step.is_empty(), &written.mix) {
            (true, None) if written.change.is_empty() => {
                let needs = "a plan needs at least one [[step]] or [[change]], or a [mix] to draw steps from";
                return Err(at(written.name.span())(needs.into()));
            }
            (false, Some(mix)) => {
                return Err(at(mix.span())("a plan has steps or a mix, not both".into()));
            }
            (true, Some(mix)) => mix.get_ref().check().map_err(at(mix.span()))?,
            (_, None) => {}
        }
        let at_once = written.at_once.map_or(Ok(()), limits::at_once);
        at_once.map_err(at(written.name.span()))?;
        let mut ids: Vec<&str> = vec![];
        for change in &written.change {
            let checked = change.get_ref().check(&ids);
            checked.map_err(at(change.span()))?;
            ids.push(&change.get_ref().id);
        }
        let changes = || written.change.iter().map(Spanned::get_ref);
        let steps = written.step.iter().map(Spanned::get_ref);
        change::check(changes(), steps).map_err(|(id, why)| {
            let of_it = written.change.iter().find(|change| change.get_ref().id == id);
            at(of_it.map_or(written.name.span(), Spanned::span))(why)
        })?;
        let mut ids = ids_beside(changes());
        for step in &written.step {
            let here = at(step.span());
            let step = step.get_ref();
            let checked = step.check().and_then(|()| step.check_among(&ids));
            checked.map_err(here)?;
            ids.push(&step.id);
        }
        for pair in written.step.windows(2) {
            let [before, step] = pair else { continue };
            let overlaps = step.get_ref().start.is_some();
            let until_heal =
                |step: &&Spanned<Step>| step.get_ref().expect == Expectation::OutageUntilHeal;
            if let Some(step) = [before, step].into_iter().find(until_heal).filter(|_| overlaps) {
                return Err(at(step.span())(format!(
                    "step \"{}\": `expect = \"outage-until-heal\"` cannot be judged beside other \
                     faults, any of which may be what keeps clients waiting",
                    step.get_ref().id
                )));
            }
        }
        let of_name = written.name.span();
        let plan = Self {
            name: written.name.into_inner(),
            description: written.description,
            allows: written.allows,
            anomalies: written.anomalies,
            at_once: written.at_once,
            changes: written.change.into_iter().map(Spanned::into_inner).collect(),
            steps: written.step.into_iter().map(Spanned::into_inner).collect(),
            mix: written.mix.map(Spanned::into_inner),
        };
        plan.check_length().map_err(at(of_name))?;
        Ok(plan)
    }

    /// Holds a plan that was read as a part of a spec to what each step of a user's text is held to. A
    /// recorded trial's plan may have steps beside each other that no user would write so.
    ///
    /// # Errors
    /// What is wrong, and what is allowed.
    pub fn check(&self) -> Result<(), String> {
        check_name("name", &self.name)?;
        self.at_once.map_or(Ok(()), limits::at_once)?;
        self.mix.as_ref().map_or(Ok(()), Mix::check)?;
        let mut ids: Vec<&str> = vec![];
        for change in &self.changes {
            change.check(&ids)?;
            ids.push(&change.id);
        }
        change::check(self.changes.iter(), self.steps.iter()).map_err(|(_, why)| why)?;
        let mut ids = ids_beside(self.changes.iter());
        for step in &self.steps {
            step.check().and_then(|()| step.check_among(&ids))?;
            ids.push(&step.id);
        }
        self.check_length()
    }

    /// The plan with the steps that `seed` draws from its mix; itself when it has none.
    pub fn drawn(self, seed: u64) -> Self {
        match self.mix {
            None => self,
            Some(mix) => {
                let at_once = Some(mix.at_once);
                Self { steps: mix.draw(seed), mix: None, at_once, ..self }
            }
        }
    }

    /// Ids of its changes and steps, which claims may name.
    pub fn ids(&self) -> impl Iterator<Item = &str> {
        let changes = self.changes.iter().map(|change| change.id.as_str());
        changes.chain(self.steps.iter().map(|step| step.id.as_str()))
    }

    /// The steps that go together: a plain one with those after it that have a `start`.
    pub fn groups(&self) -> impl Iterator<Item = &[Step]> {
        self.steps.chunk_by(|_, next| next.start.is_some())
    }

    /// What a cluster must be able to do for this plan, healing included.
    pub fn needs(&self) -> BTreeSet<Capability> {
        let drawn = self.mix.iter().flat_map(Mix::needs);
        self.steps.iter().flat_map(Step::needs).chain(drawn).collect()
    }

    /// Its faults, those among which it draws included.
    pub fn faults(&self) -> impl Iterator<Item = &FaultSpec> {
        let drawn = self.mix.iter().flat_map(|mix| &mix.candidates).map(|one| &one.fault);
        self.steps.iter().map(|step| &step.fault).chain(drawn)
    }

    /// The targets that it names, drawn or not.
    pub fn targets(&self) -> impl Iterator<Item = &Target> {
        let drawn = self.mix.iter().flat_map(|mix| &mix.candidates).map(|one| &one.target);
        self.steps.iter().flat_map(Step::targets).chain(drawn)
    }

    /// The versions of Kafka that it starts brokers from.
    pub fn versions(&self) -> BTreeSet<&str> {
        let versions = self.faults().filter_map(|fault| match fault {
            FaultSpec::Upgrade(upgrade) => Some(&*upgrade.to),
            _ => None,
        });
        versions.collect()
    }

    /// How many nodes a cluster must have for this plan.
    pub fn nodes(&self) -> usize {
        self.steps.iter().map(|step| step.fault.fault().nodes()).max().unwrap_or_default()
    }
}

/// Ids of the changes that go with steps, which steps may start after.
fn ids_beside<'a>(changes: impl Iterator<Item = &'a ChangeStep>) -> Vec<&'a str> {
    changes.filter(|change| change.start.is_some()).map(|change| change.id.as_str()).collect()
}

fn check_name(key: &str, name: &str) -> Result<(), String> {
    let fine = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    let good = !name.is_empty() && name.chars().all(fine) && !name.starts_with('-');
    if good && name.len() <= MOST_NAME_BYTES {
        return Ok(());
    }
    Err(format!("`{key}` must be of a-z, 0-9 and \"-\", not \"{name}\""))
}
