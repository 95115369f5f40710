//! A step of a plan: fault, targets, how long, and what is done before and expected meanwhile.

use std::collections::BTreeSet;
use std::time::Duration;

use results::record::event::Expectation;
use serde::{Deserialize, Serialize};

use super::start::{After, Repeat, Start};
use super::{check_name, limits};
use crate::fault::FaultSpec;
use crate::port::Capability;
use crate::target::{Target, list_targets};

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
    pub(super) target: Option<Target>,
    /// Whom it strikes, several at once.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) targets: Vec<Target>,
    /// What is done to the healthy cluster before.
    #[serde(default)]
    pub prepare: Prepare,
    /// The fault lasts until this is so...
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) until: Option<EndsWhen>,
    /// ... or at most this long.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "humantime_serde")]
    pub(super) recover_within: Option<Duration>,
    /// The fault lasts this long, whatever happens.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "humantime_serde")]
    pub(super) hold: Option<Duration>,
    /// It comes and goes meanwhile.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub flapping: Option<Flapping>,
    /// When it begins, if not after the steps before it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start: Option<Start>,
    /// Injected and healed again and again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repeat: Option<Repeat>,
    /// Done to each process that the targets name, one after the other.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub rolling: bool,
    /// What the cluster is expected to do meanwhile.
    #[serde(default)]
    pub expect: Expectation,
}

/// How a fault comes and goes while it lasts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Flapping {
    /// It is there for so long...
    #[serde(with = "humantime_serde")]
    pub on: Duration,
    /// ... and then not, for so long.
    #[serde(with = "humantime_serde")]
    pub off: Duration,
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
pub enum EndsWhen {
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

impl Step {
    /// Whom it strikes; one or more.
    pub fn targets(&self) -> &[Target] {
        self.target.as_ref().map_or(&self.targets, std::slice::from_ref)
    }

    /// The targets as they are written in reports.
    pub fn targets_listed(&self) -> String {
        list_targets(self.targets())
    }

    /// How long its fault lasts.
    pub fn lasts(&self) -> Lasts {
        match (self.hold, self.recover_within) {
            (Some(hold), _) => Lasts::Hold(hold),
            (None, within) => Lasts::UntilRecovered(within.unwrap_or_default()),
        }
    }

    pub(super) fn needs(&self) -> BTreeSet<Capability> {
        let prepare: &[Capability] = match self.prepare {
            Prepare::None => &[],
            Prepare::MoveLeadersAway | Prepare::RestoreLeaders => &[Capability::MoveLeaders],
        };
        self.fault.fault().needs().iter().chain(prepare).copied().collect()
    }

    pub(super) fn check(&self) -> Result<(), String> {
        check_name("id", &self.id)?;
        let step = format!("step \"{}\"", self.id);
        match (&self.target, self.targets.len()) {
            (None, 0) if self.fault.fault().effect().is_of_clients() => {}
            (_, _) if self.fault.fault().effect().is_of_clients() => {
                let name = self.fault.fault().name();
                return Err(format!("{step}: `{name}` strikes clients, and has no `target`"));
            }
            (Some(_), 0) | (None, 1..) => {}
            (None, 0) => return Err(format!("{step} needs a `target`, or several `targets`")),
            (Some(_), _) => return Err(format!("{step}: give `target` or `targets`, not both")),
        }
        let lasts = match (self.until, self.recover_within, self.hold) {
            (Some(EndsWhen::Recovered), Some(limit), None) | (None, None, Some(limit)) => limit,
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
        limits::step(self).map_err(|why| format!("{step}: {why}"))?;
        if let Some(Flapping { on, off }) = self.flapping {
            let fault = self.fault.fault();
            if !fault.flaps() {
                return Err(format!("{step}: `{}` cannot come and go", fault.name()));
            }
            if on.is_zero() || off.is_zero() {
                return Err(format!("{step}: `flapping` needs some time `on` and some `off`"));
            }
        }
        if self.expect == Expectation::OutageUntilHeal && self.hold.is_none() {
            return Err(format!(
                "{step}: `expect = \"outage-until-heal\"` needs `hold`; there is no recovery to \
                 wait for"
            ));
        }
        if self.rolling && (self.repeat.is_some() || self.start.is_some()) {
            return Err(format!(
                "{step}: `rolling` waits for a steady cluster before each process; it goes with \
                 neither `repeat` nor `start`"
            ));
        }
        if self.start.is_some() && self.prepare != Prepare::None {
            return Err(format!(
                "{step}: `prepare` needs a steady cluster, and a step with `start` does not wait \
                 for one"
            ));
        }
        self.repeat.as_ref().map_or(Ok(()), |repeat| repeat.check(&step))
    }

    /// Whether it fits with the ids of the steps before it.
    pub(super) fn check_among(&self, before: &[&str]) -> Result<(), String> {
        let id = &self.id;
        if before.contains(&id.as_str()) {
            return Err(format!("two steps have the id \"{id}\""));
        }
        let Some(After { step, .. }) = self.start.as_ref().and_then(Start::after) else {
            return Ok(());
        };
        if before.contains(&step.as_str()) {
            return Ok(());
        }
        let known = if before.is_empty() { "none".to_owned() } else { before.join(", ") };
        Err(format!(
            "step \"{id}\" starts after \"{step}\", which is no step before it (those are: {known})"
        ))
    }

    /// The id of one of its rounds, counted from 1, in events and reports.
    pub fn round_id(&self, round: u32) -> String {
        if self.rolling || self.repeat.is_some() {
            format!("{}-{round}", self.id)
        } else {
            self.id.clone()
        }
    }
}
