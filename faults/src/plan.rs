//! Plans: steps of fault, target and timing, read from strict TOML.
//!
//! A plan that was parsed is valid: names are well-formed, ids differ, each step has its targets
//! and knows how long its fault lasts. Whether a cluster can carry it out is asked of
//! [`Plan::needs`] before anything starts. An error keeps its place in the text.

#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::ops::Range;
use std::time::Duration;

pub use results::expectation::Expectation;
use serde::{Deserialize, Serialize};
use toml::Spanned;

use crate::fault::FaultSpec;
use crate::port::Capability;
use crate::target::Target;

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
    /// What to do, in this order.
    #[serde(rename = "step")]
    pub steps: Vec<Step>,
}

/// One fault of a plan: prepared, injected, awaited, healed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Step {
    /// Its id in events and reports, unique in the plan.
    pub id: String,
    /// What is injected.
    pub fault: FaultSpec,
    /// Whom it strikes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    target: Option<Target>,
    /// Whom it strikes, several at once.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    targets: Vec<Target>,
    /// What is done to the healthy cluster before.
    #[serde(default)]
    pub prepare: Prepare,
    /// The fault lasts until this is so...
    #[serde(default, skip_serializing_if = "Option::is_none")]
    until: Option<Condition>,
    /// ... or at most this long.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "humantime_serde")]
    recover_within: Option<Duration>,
    /// The fault lasts this long, whatever happens.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "humantime_serde")]
    hold: Option<Duration>,
    /// What the cluster is expected to do meanwhile.
    #[serde(default)]
    pub expect: Expectation,
}

/// What is done to the healthy cluster before an injection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Prepare {
    /// Nothing.
    #[default]
    None,
    /// The targets' brokers hand over every partition of the load that they lead. Undone after
    /// the fault has healed.
    MoveLeadersAway,
    /// Partitions of the load are led by their preferred replicas.
    RestoreLeaders,
}

/// What ends a fault before its deadline.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Condition {
    /// Every partition of the load acks again and there is a controller.
    Recovered,
}

/// How long a fault lasts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lasts {
    /// Until clients and cluster have recovered, at most this long.
    UntilRecovered(Duration),
    /// This long.
    Hold(Duration),
}

impl Lasts {
    /// The longest that it may last.
    pub fn limit(self) -> Duration {
        match self {
            Self::UntilRecovered(limit) | Self::Hold(limit) => limit,
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
    step: Vec<Spanned<Step>>,
}

/// The plans that kbench ships, name and text; [`Plan::parse`] takes each of them.
pub const SHIPPED: &[(&str, &str)] = &[
    ("failover", include_str!("../plans/failover.toml")),
    ("failover-sigterm", include_str!("../plans/failover-sigterm.toml")),
    ("failover-two-brokers", include_str!("../plans/failover-two-brokers.toml")),
    ("node-loss", include_str!("../plans/node-loss.toml")),
    ("session-expired", include_str!("../plans/session-expired.toml")),
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
];

impl Plan {
    /// Reads a plan and checks it.
    pub fn parse(text: &str) -> Result<Self, PlanError> {
        let written: Written = toml::from_str(text)
            .map_err(|e| PlanError { message: e.message().to_owned(), span: e.span() })?;
        let at = |span: Range<usize>| move |message| PlanError { message, span: Some(span) };
        check_name("name", written.name.get_ref()).map_err(at(written.name.span()))?;
        if written.step.is_empty() {
            return Err(at(written.name.span())("a plan needs at least one [[step]]".into()));
        }
        let mut ids = BTreeSet::new();
        for step in &written.step {
            step.get_ref().check().map_err(at(step.span()))?;
            let id = &step.get_ref().id;
            if !ids.insert(id) {
                return Err(at(step.span())(format!("two steps have the id \"{id}\"")));
            }
        }
        Ok(Self {
            name: written.name.into_inner(),
            description: written.description,
            steps: written.step.into_iter().map(Spanned::into_inner).collect(),
        })
    }

    /// What a cluster must be able to do for this plan, healing included.
    pub fn needs(&self) -> BTreeSet<Capability> {
        self.steps.iter().flat_map(Step::needs).collect()
    }

    /// How long the plan is likely to take on a cluster whose brokers have this ZooKeeper session
    /// time-out.
    pub fn estimate(&self, session_timeout: Duration) -> Duration {
        self.steps.iter().map(|step| step.estimate(session_timeout)).sum()
    }
}

impl Step {
    /// Whom it strikes; one or more.
    pub fn targets(&self) -> &[Target] {
        self.target.as_ref().map_or(&self.targets, std::slice::from_ref)
    }

    /// The targets as they are written in reports.
    pub fn targets_in_words(&self) -> String {
        self.targets().iter().map(Target::to_string).collect::<Vec<_>>().join(" + ")
    }

    /// How long its fault lasts.
    pub fn lasts(&self) -> Lasts {
        match (self.hold, self.recover_within) {
            (Some(hold), _) => Lasts::Hold(hold),
            (None, within) => Lasts::UntilRecovered(within.unwrap_or_default()),
        }
    }

    fn needs(&self) -> BTreeSet<Capability> {
        let prepare: &[Capability] = match self.prepare {
            Prepare::None => &[],
            Prepare::MoveLeadersAway | Prepare::RestoreLeaders => &[Capability::MoveLeaders],
        };
        self.fault.fault().needs().iter().chain(prepare).copied().collect()
    }

    fn estimate(&self, session_timeout: Duration) -> Duration {
        /// Until the cluster is steady: the broker of the step before is back in every ISR, and
        /// clients were served well for a few seconds.
        const STEADY: Duration = Duration::from_secs(6);
        /// Two reassignments and elections, there and back.
        const MOVE_LEADERS: Duration = Duration::from_secs(4);
        /// ZooKeeper expires sessions up to a tick (3 s) late; then election and metadata.
        const BEYOND_SESSION: Duration = Duration::from_secs(5);
        /// A broker starts, recovers its logs, and registers.
        const RESTART: Duration = Duration::from_secs(6);
        let prepare = if self.prepare == Prepare::None { Duration::ZERO } else { MOVE_LEADERS };
        let detected = session_timeout + BEYOND_SESSION;
        let lasts = match self.lasts() {
            Lasts::UntilRecovered(within) => within.min(detected),
            // A restart waits for what is left of the old session.
            Lasts::Hold(hold) => hold.max(detected),
        };
        STEADY + prepare + lasts + RESTART
    }

    fn check(&self) -> Result<(), String> {
        check_name("id", &self.id)?;
        let step = format!("step \"{}\"", self.id);
        match (&self.target, self.targets.len()) {
            (Some(_), 0) | (None, 1..) => {}
            (None, 0) => return Err(format!("{step} needs a `target`, or several `targets`")),
            (Some(_), _) => return Err(format!("{step}: give `target` or `targets`, not both")),
        }
        let lasts = match (self.until, self.recover_within, self.hold) {
            (Some(Condition::Recovered), Some(limit), None) | (None, None, Some(limit)) => limit,
            _ => {
                return Err(format!(
                    "{step}: say how long the fault lasts, either by `until = \"recovered\"` with \
                     `recover_within = \"60s\"`, or by `hold = \"20s\"`"
                ));
            }
        };
        if lasts.is_zero() {
            return Err(format!("{step}: a fault must last longer than 0 s"));
        }
        if self.expect == Expectation::OutageUntilHeal && self.hold.is_none() {
            return Err(format!(
                "{step}: `expect = \"outage-until-heal\"` needs `hold`; there is no recovery to \
                 wait for"
            ));
        }
        Ok(())
    }
}

fn check_name(key: &str, name: &str) -> Result<(), String> {
    let fine = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    if !name.is_empty() && name.chars().all(fine) && !name.starts_with('-') {
        return Ok(());
    }
    Err(format!("`{key}` must be of a-z, 0-9 and \"-\", not \"{name}\""))
}
