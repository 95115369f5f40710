//! What a claim is measured by. A new metric is a variant here, with its [example](Metric::EXAMPLES), and what the
//! compiler asks for then.

mod scenarios;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::judge::metric::LoadMetric;
use crate::record::event::BrokerId;
use crate::record::event::probe::ClusterProbe;

/// What a claim is measured by.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Metric {
    /// Time from the fault to another controller.
    ControllerFailover,
    /// The part of it after the dead controller's registration is gone.
    ControllerElection,
    /// Longest unavailability of the main topic's partitions that the dead broker led.
    UnavailabilityLed,
    /// Longest unavailability of partitions that it did not lead, for one kind of client.
    UnavailabilityNotLed(LeaderService),
    /// The part of an unavailability of partitions that the dead broker led from their new leader and copies on.
    NewLeaderServes,
    /// Named checks find nothing.
    Checks(Vec<String>),
    /// The same, and the sentence speaks of acks=all only.
    ChecksAcksAll(Vec<String>),
    /// The same, and the sentence speaks of records alone of which an in-sync replica kept what it had in memory.
    ChecksWithACopy(Vec<String>),
    /// At least so many members of every ISR are alive all the time.
    MinIsrCopies(usize),
    /// Named checks find nothing, and every member that a fault made resume was seen to do so: where it was, or at the
    /// commit.
    ResumeAtCommitted(Vec<String>),
    /// The same, and members that took a partition over were seen to begin at the commit.
    TakeOverAtCommitted(Vec<String>),
    /// Clients and cluster had recovered while each fault lasted.
    RecoversWhileFaultLasts,
    /// Partitions that the dead broker led answered only after it was healed.
    OutageUntilHeal,
    /// ZooKeeper had lost a dead broker's registration before another broker led its partitions.
    RegistrationGoneFirst,
    /// No broker took a write with acks=1 of a partition of the main topic after another one, which ZooKeeper names as its
    /// leader, had taken one.
    OneLeader,
    /// No two brokers were elected controller with one epoch, and one that stood still resigned when it went on.
    OneController,
    /// While ZooKeeper's leader was cut off from its followers, writes were committed on one side alone.
    OneSideCommits(OneSide),
    /// While some of ZooKeeper's servers were away, those that were left committed what was written through each of them, and
    /// no broker that was not struck lost its session.
    EnsembleCommits(EnsembleLimit),
    /// While a majority of ZooKeeper's servers was away, nothing was committed.
    EnsembleRefuses,
    /// The logs of the main topic have an offset for each record, without gaps.
    OffsetsInSequence,
    /// A member that reads several partitions got records of one producer in another order than they were sent in.
    InversionAcrossPartitions,
    /// Before any fault each of these brokers led at least and at most so many partitions of a topic.
    LeadersPerBroker(LeaderSpread),
    /// Before any fault each broker took and gave as many bytes as any other.
    BytesPerBroker(BytesPerBroker),
    /// Before any fault the broker that was the controller led no partition of the main topic, and had no copy of one.
    ControllerWithoutData,
    /// Before any fault each partition of the main topic was read by a member of its own.
    OneReaderAPartition,
    /// Brokers have these settings in force.
    SettingsInForce(BTreeMap<String, String>),
    /// The highest rates of two searches of a suite have such ratios.
    MaxRateRatios(Vec<RateRatio>),
    /// The highest rate of a search of a suite, per broker.
    MaxRatePerBroker(RatePerBroker),
    /// Figures of two scenarios of a suite have such ratios.
    FigureRatios(Vec<FigureRatio>),
    /// Where these searches of a suite found the limit, a threshold told of it: a node's CPU, its link.
    ThresholdAtLimit(Vec<String>),
    /// What a probe of the cluster sees when the load has ended.
    Probe(ClusterProbe),
    /// A sentence about the four phases of scaling out, which the plan's changes carry out under load.
    ScaleOut(ScaleOut),
    /// Nothing measures it; what would be needed.
    NotTestedHere(String),
}

/// The highest rate that one scenario of a suite found, as a multiple of another's.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RateRatio {
    /// The scenario whose rate it is.
    pub of: String,
    /// The scenario whose rate is 1.
    pub to: String,
    /// At least.
    pub least: f64,
    /// At most.
    pub most: f64,
}

/// A figure of one scenario of a suite, as a multiple of another's.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FigureRatio {
    /// Which, as gates name it.
    pub figure: LoadMetric,
    /// The scenario whose figure it is.
    pub of: String,
    /// The scenario whose figure is 1.
    pub to: String,
    /// At least.
    #[serde(default)]
    pub least: f64,
    /// At most.
    pub most: f64,
    /// What figures of runs alike differ by, as a share of them.
    pub spread: f64,
}

/// How evenly brokers share the bytes that they take and give.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BytesPerBroker {
    /// By how much the share of one may differ from that of all divided by their number.
    pub within: f64,
}

/// The highest rate that a scenario of a suite found, per broker.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RatePerBroker {
    /// The scenario.
    pub scenario: String,
    /// At least, in records a second.
    pub least: f64,
    /// At most.
    pub most: f64,
}

/// What is said of scaling out. `joined` brokers are those that hold nothing when the first change begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ScaleOut {
    /// Brokers that joined are among the topic's replicas before partitions are added.
    NewBrokersVisible,
    /// Partitions that are added have all their replicas on brokers that joined.
    NewPartitionsPlaced,
    /// Partitions that were there keep replicas and leaders' places until the reassignment.
    ExistingStay,
    /// Every broker has replicas without a reassignment.
    RebalancedByItself,
    /// Every broker leads as many partitions as any other when all is done.
    LeadersEven,
    /// Every broker holds as many replicas as any other when all is done.
    StorageEven,
    /// No acked record is lost, and no partition leaves a record that is due for longer than 1 s without an ack.
    Online,
}

/// What is asked of a leader.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LeaderService {
    /// Writes that wait for the whole ISR: the main load.
    AcksAll,
    /// Writes that wait for the leader: the probe.
    #[serde(rename = "acks-1")]
    Acks1,
    /// Reads: the read probe.
    Reads,
}

/// How many partitions each broker leads.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LeaderSpread {
    /// The topic; the main one where none is named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub topic: Option<String>,
    /// The brokers; all that lead or follow where none are named.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub brokers: Vec<BrokerId>,
    /// At least.
    pub fewest: usize,
    /// At most.
    pub most: usize,
}

/// What a ZooKeeper leader without followers may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OneSide {
    /// Seconds after the cut in which it may still answer reads: `syncLimit` and two more ticks.
    pub serves_at_most_s: u32,
}

/// How long ZooKeeper's servers may take to commit again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EnsembleLimit {
    /// Seconds between two commits through one server.
    pub within_s: u32,
}

impl Metric {
    /// Each metric as a claim names it, and what it is.
    pub const EXAMPLES: &[(&str, &str)] = &[
        ("\"controller-failover\"", "seconds from a fault to another controller"),
        ("\"controller-election\"", "the part of it after the registration is gone"),
        ("\"unavailability-led\"", "seconds without an ack on partitions that the dead broker led"),
        (
            "{ unavailability-not-led = \"acks-all\" }",
            "the same on partitions that it did not lead; or \"acks-1\", or \"reads\"",
        ),
        ("\"new-leader-serves\"", "seconds from the new leader and its copies to an answer"),
        ("{ checks = [\"lost\", \"duplicate\"] }", "checks of a report, which find nothing"),
        ("{ checks-acks-all = [\"lost\"] }", "the same of a load with acks=all"),
        (
            "{ checks-with-a-copy = [\"lost\"] }",
            "the same of records of which not every in-sync replica lost its power",
        ),
        ("{ min-isr-copies = 2 }", "live members of every ISR while the faults last"),
        (
            "{ resume-at-committed = [\"commit-skip\"] }",
            "members resume where they were, or at the group's commit, and checks find nothing",
        ),
        (
            "{ take-over-at-committed = [\"commit-skip\"] }",
            "the same, and members that took a partition over began at the group's commit",
        ),
        ("\"recovers-while-fault-lasts\"", "everything is served again before the fault is undone"),
        ("\"outage-until-heal\"", "partitions of the dead broker stay away until it is back"),
        ("\"registration-gone-first\"", "no new leader before ZooKeeper lost the registration"),
        ("\"one-leader\"", "no two brokers take writes with acks=1 of one partition at a time"),
        ("\"one-controller\"", "a controller that stood still resigns; each epoch has one"),
        (
            "{ one-side-commits = { serves_at_most_s = 14 } }",
            "ZooKeeper commits on one side of a cut; the leader on the other side ends serving",
        ),
        (
            "{ ensemble-commits = { within_s = 6 } }",
            "ZooKeeper's servers that are left go on committing, and brokers keep their sessions",
        ),
        ("\"ensemble-refuses\"", "ZooKeeper commits nothing while a majority is away"),
        ("\"offsets-in-sequence\"", "an offset for each record of a log, without gaps"),
        (
            "\"inversion-across-partitions\"",
            "a consumer of several partitions got a producer's records in another order",
        ),
        (
            "{ leaders-per-broker = { fewest = 1, most = 1 } }",
            "partitions that each broker leads before any fault; topic = \"...\" names another than the load's",
        ),
        (
            "{ bytes-per-broker = { within = 0.03 } }",
            "each broker's node has the same share of all bytes received and sent, give or take so much",
        ),
        ("\"controller-without-data\"", "the controller neither leads nor copies partitions"),
        ("\"one-reader-a-partition\"", "each partition is read by a member of its own"),
        (
            "{ settings-in-force = { \"min.insync.replicas\" = \"2\" } }",
            "what brokers say of their settings",
        ),
        (
            "{ max-rate-ratios = [{ of = \"five\", to = \"three\", least = 1.6, most = 1.74 }] }",
            "the highest rate that one `max_rate` scenario of a suite found to that of another",
        ),
        (
            "{ max-rate-per-broker = { scenario = \"three\", least = 900, most = 1100 } }",
            "records a second a broker at the highest rate that a `max_rate` scenario of a suite found",
        ),
        (
            "{ figure-ratios = [{ figure = \"response.p99\", of = \"five\", to = \"three\", most = 0.9, spread = 0.1 }] }",
            "a figure of one scenario of a suite to that of another; figures of runs alike differ by `spread`",
        ),
        (
            "{ threshold-at-limit = [\"three\", \"five\"] }",
            "where `max_rate` scenarios of a suite found the limit, a threshold of CPU or network was exceeded",
        ),
        (
            "{ probe = \"any-bootstrap\" }",
            "what a probe of the cluster sees after the load; or \"produce-to-follower\", \"follower-fetch\", \
             \"replica-logs\", \"zookeeper-trees\", \"zookeeper-writes\", \"keys-of-one-client\", \
             \"keys-across-partitions\", \"keys-of-two-clients\"",
        ),
        (
            "{ scale-out = \"leaders-even\" }",
            "what the four phases of scaling out did; or \"new-brokers-visible\", \"new-partitions-placed\", \
             \"existing-stay\", \"rebalanced-by-itself\", \"storage-even\", \"online\"",
        ),
        ("{ not-tested-here = \"two network cards a machine\" }", "nothing; what would be needed"),
    ];

    /// Whether it is a time, to be compared with a bound.
    pub fn is_time(&self) -> bool {
        match self {
            Self::ControllerFailover
            | Self::ControllerElection
            | Self::UnavailabilityLed
            | Self::NewLeaderServes
            | Self::UnavailabilityNotLed(_) => true,
            Self::Checks(_)
            | Self::ChecksAcksAll(_)
            | Self::ChecksWithACopy(_)
            | Self::MinIsrCopies(_)
            | Self::ResumeAtCommitted(_)
            | Self::TakeOverAtCommitted(_)
            | Self::RecoversWhileFaultLasts
            | Self::OutageUntilHeal
            | Self::RegistrationGoneFirst
            | Self::OneLeader
            | Self::OneController
            | Self::OneSideCommits(_)
            | Self::EnsembleCommits(_)
            | Self::EnsembleRefuses
            | Self::OffsetsInSequence
            | Self::InversionAcrossPartitions
            | Self::LeadersPerBroker(_)
            | Self::BytesPerBroker(_)
            | Self::ControllerWithoutData
            | Self::OneReaderAPartition
            | Self::SettingsInForce(_)
            | Self::MaxRateRatios(_)
            | Self::MaxRatePerBroker(_)
            | Self::FigureRatios(_)
            | Self::ThresholdAtLimit(_)
            | Self::Probe(_)
            | Self::ScaleOut(_)
            | Self::NotTestedHere(_) => false,
        }
    }

    /// Whether anything measures it.
    pub fn is_tested_here(&self) -> bool {
        !matches!(self, Self::NotTestedHere(_))
    }

    /// The probe that it needs.
    pub fn probe(&self) -> Option<ClusterProbe> {
        match self {
            Self::Probe(probe) => Some(*probe),
            _ => None,
        }
    }

    /// Whether every run says something about it, whatever its cluster is and its plan does.
    pub fn is_of_any_run(&self) -> bool {
        matches!(
            self,
            Self::Checks(_)
                | Self::ChecksAcksAll(_)
                | Self::ChecksWithACopy(_)
                | Self::ResumeAtCommitted(_)
        )
    }

    /// Whether it is about a fault or a change, which a claim must name by its id.
    pub fn is_of_steps(&self) -> bool {
        self.is_time()
            || matches!(
                self,
                Self::MinIsrCopies(_)
                    | Self::RecoversWhileFaultLasts
                    | Self::OutageUntilHeal
                    | Self::RegistrationGoneFirst
                    | Self::OneLeader
                    | Self::OneController
                    | Self::OneSideCommits(_)
                    | Self::EnsembleCommits(_)
                    | Self::EnsembleRefuses
                    | Self::TakeOverAtCommitted(_)
                    | Self::ScaleOut(_)
            )
    }

    /// What is wrong with what it holds.
    pub(super) fn fault(&self) -> Option<String> {
        let text = match self {
            Self::Checks(names)
            | Self::ChecksAcksAll(names)
            | Self::ChecksWithACopy(names)
            | Self::ResumeAtCommitted(names)
            | Self::TakeOverAtCommitted(names)
                if names.is_empty() =>
            {
                "names no check; list at least one, e.g. [\"lost\"]".to_owned()
            }
            Self::LeadersPerBroker(LeaderSpread { fewest, most, .. }) if fewest > most => {
                format!("at least {fewest} and at most {most} leaders are none; exchange them")
            }
            Self::SettingsInForce(settings) if settings.is_empty() => {
                "names no setting; list at least one with its value".to_owned()
            }
            Self::MaxRateRatios(_) | Self::FigureRatios(_) if self.scenarios().is_empty() => {
                "names no ratio; list at least one with its scenarios".to_owned()
            }
            Self::ThresholdAtLimit(names) if names.is_empty() => {
                "names no scenario; list at least one that searches the highest rate".to_owned()
            }
            Self::MaxRateRatios(ratios) => {
                return ratios.iter().find_map(|it| bounds(it.least, it.most));
            }
            Self::MaxRatePerBroker(bound) => return bounds(bound.least, bound.most),
            Self::FigureRatios(ratios) => {
                return ratios.iter().find_map(|it| bounds(it.least, it.most).or(share(it.spread)));
            }
            Self::BytesPerBroker(BytesPerBroker { within }) => return share(*within),
            Self::NotTestedHere(needs) if needs.trim().is_empty() => {
                "say what would be needed to test it".to_owned()
            }
            _ => return None,
        };
        Some(text)
    }
}

/// What is wrong with a share.
fn share(share: f64) -> Option<String> {
    (!(0.0..1.0).contains(&share)).then(|| format!("{share} is no share; it is from 0 to below 1"))
}

/// What is wrong with bounds of what can only be positive.
fn bounds(least: f64, most: f64) -> Option<String> {
    let are = least.is_finite() && most.is_finite() && 0.0 <= least && least <= most;
    (!are).then(|| {
        format!("least = {least} and most = {most} are no bounds; give both, the lower one first")
    })
}
