//! How long the cluster was without its controller after a fault that took it away.
//!
//! From the injection to the election of a broker that the fault left alive, with a greater
//! controller epoch. What the other brokers learn after that is the metadata phase; it is not part
//! of the figure.

use serde::{Deserialize, Serialize};

use crate::judge::span::FaultSpan;
use crate::judge::timeline::Timeline;
use crate::record::clock::RunTime;
use crate::record::event::{BrokerId, EventKind};

use super::phases::Phases;

/// One controller failover.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct ControllerFailover {
    /// The controller that the fault took away.
    pub from: BrokerId,
    /// Its successor, none when none was elected.
    pub to: Option<BrokerId>,
    /// Seconds from the injection to the election; when censored, to the end of the data.
    pub failover_s: f64,
    /// Whether no successor was seen until the end of the data.
    pub censored: bool,
    /// Detect and elect add up to the figure; metadata is what the live brokers needed after it.
    pub phases: Phases,
    /// Controller epoch before and after, where seen.
    pub epochs: (Option<i32>, Option<i32>),
    /// What was not seen, or not in full.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

/// The controller failover of `fault`; none when it did not take the controller away.
pub fn failover(timeline: &Timeline, fault: &FaultSpan) -> Option<ControllerFailover> {
    let from = controller_at(timeline, fault.injecting)?;
    if !fault.loses(from) {
        return None;
    }
    let before = timeline.events().take_while(|e| e.at <= fault.injecting).filter_map(epoch).last();
    let window = || timeline.from(fault.injecting).take_while(|e| e.at < fault.window_end);
    let after = window().filter_map(epoch).find(|epoch| before.is_none_or(|b| *epoch > b));
    let seen_epoch = window().any(|e| epoch(e).is_some());
    let elected = window().find_map(|e| match e.kind {
        EventKind::ControllerElected { broker, .. } if !fault.loses(broker) => Some((e.at, broker)),
        _ => None,
    });
    let mut notes = Vec::new();
    let elected = match (elected, after) {
        (Some(elected), Some(_)) => Some(elected),
        (Some(_), None) if seen_epoch => {
            notes.push("a controller was seen, but its epoch did not grow".to_owned());
            None
        }
        (Some(elected), None) => {
            notes.push("the controller epoch was not seen".to_owned());
            Some(elected)
        }
        (None, _) => None,
    };
    let gone = window()
        .find(|e| e.kind == EventKind::ControllerGone)
        .map(|e| e.at)
        .or_else(|| timeline.gone_since(from, fault.injecting));
    if gone.is_none() {
        notes.push("the old controller was not seen to go".to_owned());
    }
    let phases = phases(timeline, fault, gone, elected, &mut notes);
    let end = elected.map_or(fault.window_end, |(at, _)| at);
    Some(ControllerFailover {
        from,
        to: elected.map(|(_, broker)| broker),
        failover_s: end.secs_since(fault.injecting),
        censored: elected.is_none(),
        phases,
        epochs: (before, after),
        note: (!notes.is_empty()).then(|| notes.join("; ")),
    })
}

/// The controller at `at`, none when there was none or it is not known.
pub fn controller_at(timeline: &Timeline, at: RunTime) -> Option<BrokerId> {
    let mut controller = None;
    for event in timeline.events().take_while(|e| e.at <= at) {
        match event.kind {
            EventKind::ControllerElected { broker, .. } => controller = Some(broker),
            EventKind::ControllerGone => controller = None,
            _ => {}
        }
    }
    controller
}

fn phases(
    timeline: &Timeline,
    fault: &FaultSpan,
    gone: Option<RunTime>,
    elected: Option<(RunTime, BrokerId)>,
    notes: &mut Vec<String>,
) -> Phases {
    let mut phases = Phases::default();
    let Some((elected_at, new)) = elected else {
        phases.detect = gone.map(|gone| gone.secs_since(fault.injecting));
        return phases;
    };
    if let Some(gone) = gone.map(|gone| gone.clamp(fault.injecting, elected_at)) {
        phases.detect = Some(gone.secs_since(fault.injecting));
        phases.elect = Some(elected_at.secs_since(gone));
    }
    let mut live = timeline.registered_at(fault.injecting);
    live.retain(|broker| !fault.loses(*broker));
    let seen = live.iter().map(|broker| {
        let said = EventKind::ControllerSeen { observer: *broker, controller: new };
        timeline.from(fault.injecting).find(|e| e.kind == said).map(|e| e.at)
    });
    match seen.collect::<Option<Vec<RunTime>>>().and_then(|all| all.into_iter().max()) {
        Some(last) => phases.metadata = Some(last.max(elected_at).secs_since(elected_at)),
        None => notes.push("not every live broker was seen to name the new controller".to_owned()),
    }
    phases
}

fn epoch(event: &crate::record::event::Event) -> Option<i32> {
    match event.kind {
        EventKind::ControllerEpoch { epoch } => Some(epoch),
        _ => None,
    }
}
