//! How long the cluster was without its controller after a fault that took it away.
//!
//! From the injection to the election of a broker that the fault left alive, with a greater
//! controller epoch. What the other brokers learn after that is no part of the figure, and none of
//! its phases.

use serde::{Deserialize, Serialize};

use crate::judge::span::FaultSpan;
use crate::judge::timeline::Timeline;
use crate::record::clock::RunTime;
use crate::record::event::{BrokerId, Event, EventKind};

use super::phases::Phases;

/// One controller failover.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct ControllerFailover {
    /// The controller that the fault took away.
    pub from: BrokerId,
    /// Its successor, none when none was elected.
    pub to: Option<BrokerId>,
    /// Seconds from the injection to the election; when censored, to the end of the data.
    pub failover_s: f64,
    /// Whether no successor was seen until the end of the data.
    pub censored: bool,
    /// Where the time went: detect and elect.
    pub phases: Phases,
    /// What the phases do not explain of `failover_s`.
    pub phase_residual_s: f64,
    /// From the election until every live broker's metadata named the successor.
    pub known_s: Option<f64>,
    /// Controller epoch before and after, where seen.
    pub epochs: (Option<i32>, Option<i32>),
    /// Why it is not known whether or when a successor was elected.
    #[serde(skip)]
    pub(crate) unseen: Option<String>,
    /// What was not seen, or not in full.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

/// The controller failover of `fault`; `None` when it did not take the controller away.
pub fn failover(timeline: &Timeline, fault: &FaultSpan) -> Option<ControllerFailover> {
    let from = controller_at(timeline, fault.injecting)?;
    if !fault.loses(from) {
        return None;
    }
    let before = timeline.events().take_while(|e| e.at <= fault.injecting).filter_map(epoch).last();
    // A successor may be elected when the next fault has been injected already.
    let window = || timeline.from(fault.injecting).take_while(|e| e.at < timeline.load_end);
    let after = window().filter_map(epoch).find(|epoch| before.is_none_or(|b| *epoch > b));
    let seen_epoch = window().any(|e| epoch(e).is_some());
    let elected = window().find_map(|e| match e.kind {
        EventKind::ControllerElected { broker, .. } if !timeline.is_away(broker, e.at) => {
            Some((e.at, broker))
        }
        _ => None,
    });
    let (mut notes, mut unseen) = (Vec::new(), None);
    let elected = match (elected, after) {
        (Some(elected), Some(_)) => Some(elected),
        (Some(_), None) if seen_epoch => {
            let why = "a controller was seen, but its epoch did not grow";
            unseen = Some(why.to_owned());
            None
        }
        (Some(elected), None) => {
            notes.push("the controller epoch was not seen".to_owned());
            Some(elected)
        }
        (None, Some(epoch)) => {
            unseen = Some(format!("controller epoch {epoch} was seen, and not whose it is"));
            None
        }
        (None, None) => None,
    };
    let gone = window()
        .find(|e| matches!(e.kind, EventKind::ControllerGone { .. }))
        .map(|e| e.at)
        .or_else(|| timeline.gone_since(from, fault.injecting));
    if elected.is_none() && gone.is_none() && !window().any(of_cluster) {
        unseen = Some("nothing of brokers and controllers was seen any more".to_owned());
    }
    notes.extend(unseen.clone());
    if gone.is_none() {
        notes.push("the old controller was not seen to go".to_owned());
    }
    let phases = phases(fault, gone, elected);
    let known_s = elected.and_then(|elected| known(timeline, fault, elected));
    if elected.is_some() && known_s.is_none() {
        notes.push("not every live broker was seen to name the new controller".to_owned());
    }
    let end = elected.map_or(timeline.load_end.max(fault.injecting), |(at, _)| at);
    let failover_s = end.secs_since(fault.injecting);
    Some(ControllerFailover {
        from,
        to: elected.map(|(_, broker)| broker),
        failover_s,
        censored: elected.is_none(),
        phases,
        phase_residual_s: phases.rest_of(failover_s),
        known_s,
        epochs: (before, after),
        unseen,
        note: (!notes.is_empty()).then(|| notes.join("; ")),
    })
}

/// The controller at `at`, `None` when there was none or it is not known.
pub fn controller_at(timeline: &Timeline, at: RunTime) -> Option<BrokerId> {
    let mut controller = None;
    for event in timeline.events().take_while(|e| e.at <= at) {
        match event.kind {
            EventKind::ControllerElected { broker, .. } => controller = Some(broker),
            EventKind::ControllerGone { .. } => controller = None,
            _ => {}
        }
    }
    controller
}

fn phases(
    fault: &FaultSpan,
    gone: Option<RunTime>,
    elected: Option<(RunTime, BrokerId)>,
) -> Phases {
    let Some((elected, _)) = elected else {
        let detect = gone.map(|gone| gone.secs_since(fault.injecting));
        return Phases { detect, ..Phases::default() };
    };
    let gone = gone.map(|gone| gone.clamp(fault.injecting, elected));
    Phases {
        detect: gone.map(|gone| gone.secs_since(fault.injecting)),
        elect: gone.map(|gone| elected.secs_since(gone)),
        ..Phases::default()
    }
}

/// Seconds from the election until the last live broker named the new controller; `None` when one was
/// not seen to.
fn known(
    timeline: &Timeline,
    fault: &FaultSpan,
    (elected, new): (RunTime, BrokerId),
) -> Option<f64> {
    let mut live = timeline.registered_at(fault.injecting);
    live.retain(|broker| !timeline.is_away(*broker, elected));
    let seen = live.iter().map(|broker| {
        let said = EventKind::ControllerSeen { observer: *broker, controller: new };
        timeline.from(fault.injecting).find(|e| e.kind == said).map(|e| e.at)
    });
    let last = seen.collect::<Option<Vec<RunTime>>>()?.into_iter().max()?;
    Some(last.max(elected).secs_since(elected))
}

/// Whether it shows that brokers and controllers were watched.
fn of_cluster(event: &Event) -> bool {
    matches!(
        event.kind,
        EventKind::BrokerRegistered { .. }
            | EventKind::BrokerGone { .. }
            | EventKind::ControllerEpoch { .. }
            | EventKind::ControllerElected { .. }
            | EventKind::ControllerSeen { .. }
            | EventKind::PartitionState { .. }
    )
}

fn epoch(event: &Event) -> Option<i32> {
    match event.kind {
        EventKind::ControllerEpoch { epoch, .. } => Some(epoch),
        _ => None,
    }
}
