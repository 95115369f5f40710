//! How long a plan is likely to take. Nothing depends on it but what people are told.

use std::collections::BTreeMap;
use std::time::Duration;

use super::{Lasts, Plan, Prepare, Start, Step};

/// Until the cluster is steady: the broker of the step before is back in every ISR, and clients
/// were served well for a few seconds.
const STEADY: Duration = Duration::from_secs(6);

/// Two reassignments and elections, there and back.
const MOVE_LEADERS: Duration = Duration::from_secs(4);

/// ZooKeeper expires sessions up to a tick (3 s) late; then election and metadata.
const BEYOND_SESSION: Duration = Duration::from_secs(5);

/// A broker starts, recovers its logs, and registers.
const RESTART: Duration = Duration::from_secs(6);

/// Processes that a rolling step is likely to be done to: a cluster of three, as the guide's.
const ROLLING: u32 = 3;

impl Plan {
    /// How long the plan is likely to take on a cluster whose brokers have this ZooKeeper session
    /// time-out.
    pub fn estimate(&self, session_timeout: Duration) -> Duration {
        let around = STEADY + RESTART;
        let drawn =
            self.mix.as_ref().map_or(Duration::ZERO, |mix| mix.duration.saturating_add(around));
        let groups = self.groups().map(|group| estimate(group, session_timeout));
        let changes = self.changes.iter().map(|change| {
            let waits = if change.start.is_some() { Duration::ZERO } else { STEADY };
            let made = waits.saturating_add(change.estimate());
            if change.undo { made.saturating_add(STEADY + change.estimate()) } else { made }
        });
        groups.chain(changes).fold(drawn, Duration::saturating_add)
    }
}

/// Of steps that go together: until the last of them is healed.
fn estimate(group: &[Step], session_timeout: Duration) -> Duration {
    let mut zero = STEADY;
    let mut ends: BTreeMap<&str, Duration> = BTreeMap::new();
    for step in group {
        let lasts = step.lasting(session_timeout);
        let begins = match &step.start {
            None => {
                let moves =
                    if step.prepare == Prepare::None { Duration::ZERO } else { MOVE_LEADERS };
                zero = STEADY + moves;
                zero
            }
            Some(Start::At(at)) => zero.saturating_add(*at),
            Some(Start::Injected(after)) => zero.saturating_add(after.delay),
            Some(Start::Recovered(after) | Start::Healed(after)) => {
                let ends = ends.get(after.step.as_str()).copied().unwrap_or(zero);
                ends.saturating_add(after.delay)
            }
        };
        ends.insert(&step.id, begins.saturating_add(lasts));
    }
    ends.into_values().max().unwrap_or_default()
}

impl Step {
    /// From its injection to its heal, all rounds together.
    fn lasting(&self, session_timeout: Duration) -> Duration {
        let detected = session_timeout.saturating_add(BEYOND_SESSION);
        let in_force = match self.lasts() {
            Lasts::UntilRecovered(within) => within.min(detected),
            // A restart waits for what is left of the old session.
            Lasts::Hold(hold) => hold.max(detected),
        };
        let round = in_force.saturating_add(RESTART);
        match &self.repeat {
            _ if self.rolling => round.saturating_add(STEADY).saturating_mul(ROLLING),
            None => round,
            Some(repeat) => match (repeat.times, repeat.during) {
                (Some(times), _) => round.saturating_add(repeat.pause).saturating_mul(times),
                (None, during) => round.saturating_add(during.unwrap_or_default()),
            },
        }
    }
}
