//! How much a plan may ask for, and what names in it may be: nothing that a run cannot last, count or look
//! up.

use std::time::Duration;

use humantime_serde::re::humantime::format_duration;
use results::record::budget::MOST_RUN_TIME;
use results::record::line;

use super::{Plan, Start, Step};
use crate::cut::Side;
use crate::degrade::{Condition, Delay};
use crate::fault::FaultSpec;
use crate::machine::Impairment;
use crate::target::Target;

/// Most steps of a plan, those drawn from a mix included.
pub(super) const MOST_STEPS: usize = 3_000;

/// Most rounds of a step, each of which is a fault of its own in the record.
const MOST_ROUNDS: u32 = 10_000;

/// Most faults at once.
const MOST_AT_ONCE: usize = 100;

/// Most processes that are drawn: a cluster has 100 nodes at most, with two on each.
const MOST_DRAWN: usize = 200;

/// Longest time that a packet or a write is held up: beyond it is an outage, and other faults' work.
const MOST_DELAY: Duration = Duration::from_secs(60);

/// Farthest that a clock is set: ten years.
const MOST_JUMP: Duration = Duration::from_secs(3652 * 24 * 3600);

/// Highest rate of a link, in bytes a second: 100 Gbit/s.
const MOST_BYTES_PER_S: u64 = 12_500_000_000;

/// Longest time of a run.
const fn most_time() -> Duration {
    Duration::from_nanos(MOST_RUN_TIME)
}

/// Refuses a time that no run can have.
pub(super) fn time(key: &str, value: Duration) -> Result<(), String> {
    at_most(key, value, most_time(), "the longest time of a run")
}

fn at_most(key: &str, value: Duration, most: Duration, why: &str) -> Result<(), String> {
    if value <= most {
        return Ok(());
    }
    let (value, most) = (format_duration(value), format_duration(most));
    Err(format!("`{key}` is {value}: at most {most}, {why}"))
}

/// Refuses a number of faults at once that no plan has.
pub(super) fn at_once(count: usize) -> Result<(), String> {
    if (1..=MOST_AT_ONCE).contains(&count) {
        return Ok(());
    }
    Err(format!("`at_once` is {count}: it must be 1 or more, and {MOST_AT_ONCE} at most"))
}

/// Refuses a step with a time, a number or a name that cannot be.
pub(super) fn step(step: &Step) -> Result<(), String> {
    times(step).into_iter().try_for_each(|(key, value)| time(key, value))?;
    if let Some(times) = step.repeat.as_ref().and_then(|repeat| repeat.times)
        && times > MOST_ROUNDS
    {
        return Err(format!(
            "`repeat.times` is {times}: at most {MOST_ROUNDS} rounds are recorded"
        ));
    }
    fault(&step.fault)?;
    step.targets().iter().try_for_each(target)
}

/// The times that a step itself says, with their keys.
fn times(step: &Step) -> Vec<(&'static str, Duration)> {
    let start = step.start.as_ref().map(Start::delay);
    let repeat = step.repeat.as_ref();
    let all = [
        step.hold.map(|hold| ("hold", hold)),
        step.recover_within.map(|within| ("recover_within", within)),
        step.flapping.map(|flapping| ("flapping.on", flapping.on)),
        step.flapping.map(|flapping| ("flapping.off", flapping.off)),
        repeat.and_then(|repeat| Some(("repeat.during", repeat.during?))),
        repeat.map(|repeat| ("repeat.pause", repeat.pause)),
        start,
    ];
    all.into_iter().flatten().collect()
}

fn fault(fault: &FaultSpec) -> Result<(), String> {
    const OF_DELAYS: &str = "what takes longer is an outage, for which there is `cut`";
    match fault {
        FaultSpec::Degrade(Condition::Delay(Delay { by, jitter })) => {
            at_most("degrade.delay.by", *by, MOST_DELAY, OF_DELAYS)?;
            at_most("degrade.delay.jitter", *jitter, MOST_DELAY, OF_DELAYS)
        }
        FaultSpec::Degrade(Condition::Rate(rate)) if !(1..=MOST_BYTES_PER_S).contains(rate) => {
            Err(format!("`degrade.rate` is {rate}: from 1 to {MOST_BYTES_PER_S} bytes per second"))
        }
        FaultSpec::SlowDisk(Impairment::SlowDisk { by }) => {
            at_most("slow-disk.by", *by, MOST_DELAY, "what takes longer is an outage")
        }
        FaultSpec::Clock(Impairment::Clock { ahead_s }) => {
            let by = Duration::from_secs(ahead_s.unsigned_abs());
            at_most("clock", by, MOST_JUMP, "ten years")
        }
        FaultSpec::Cut(cut) => match &cut.from {
            Side::Nodes(nodes) => nodes.iter().try_for_each(|node| name("cut.from.nodes", node)),
            _ => Ok(()),
        },
        FaultSpec::Upgrade(upgrade) => name("upgrade.to", &upgrade.to),
        _ => Ok(()),
    }
}

fn target(target: &Target) -> Result<(), String> {
    let named = match target {
        Target::Node(node) => Some(("node", node)),
        Target::Leader(leader) => leader.topic.as_ref().map(|topic| ("leader.topic", topic)),
        Target::Follower(follower) => {
            follower.topic.as_ref().map(|topic| ("follower.topic", topic))
        }
        Target::Coordinator(of) => of.group.as_ref().map(|group| ("coordinator.group", group)),
        Target::Random(random) if random.count > MOST_DRAWN => {
            let count = random.count;
            return Err(format!(
                "`random.count` is {count}: a cluster has {MOST_DRAWN} servers at most"
            ));
        }
        _ => None,
    };
    named.map_or(Ok(()), |(key, text)| name(key, text))
}

/// Refuses what is no name of a node, a topic, a group or a version.
fn name(key: &str, text: &str) -> Result<(), String> {
    let printed = results::terminal::printable_line(text);
    line::check_name(text).map_err(|why| format!("`{key}` is \"{printed}\": it {why}"))
}

impl Plan {
    /// Refuses more steps than a run has, and steps that take longer than a run.
    pub(super) fn check_length(&self) -> Result<(), String> {
        if self.steps.len() > MOST_STEPS {
            return Err(format!("a plan has {MOST_STEPS} steps at most, those drawn included"));
        }
        let length = self.estimate(Duration::ZERO);
        if length <= most_time() {
            return Ok(());
        }
        let most = format_duration(most_time());
        let days = length.as_secs() / (24 * 3600);
        Err(format!("the steps take about {days} days in all: a run lasts {most} at most"))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::guard;

    /// A plan with every time that a plan may have, each a number between braces.
    const EVERY_TIME: [&str; 4] = [
        "name = 'p'\ndescription = 'd'\n\
         [[step]]\nid = 'a'\nfault = {degrade = {delay = {by = '{0}', jitter = '{1}'}}}\n\
         target = 'controller'\nhold = '{2}'\nflapping = {on = '{3}', off = '{4}'}\n\
         [[step]]\nid = 'b'\nfault = {slow-disk = {by = '{5}'}}\ntarget = {broker = 1}\n\
         until = 'recovered'\nrecover_within = '{6}'\nstart = {at = '{7}'}\n\
         repeat = {during = '{8}', pause = '{9}'}\n\
         [[step]]\nid = 'c'\nfault = {clock = {ahead = '{10}'}}\ntarget = 'zk-leader'\nhold = '1s'\n\
         start = {injected = {step = 'b', delay = '{11}'}}\n",
        "name = 'p'\ndescription = 'd'\n\
         [[step]]\nid = 'a'\nfault = {clock = {behind = '{0}'}}\ntarget = 'controller'\nhold = '{1}'\n\
         repeat = {times = 9999, pause = '{2}'}\n\
         [[step]]\nid = 'b'\nfault = 'kill'\ntarget = {broker = 1}\nhold = '{3}'\n\
         start = {recovered = {step = 'a', delay = '{4}'}}\n\
         [[step]]\nid = 'c'\nfault = 'kill'\ntarget = {broker = 1}\nhold = '{5}'\n\
         start = {healed = {step = 'b', delay = '{6}'}}\n",
        "name = 'p'\ndescription = 'd'\n\
         [[step]]\nid = 'a'\nfault = 'kill'\ntarget = 'brokers'\nhold = '{0}'\nrolling = true\n",
        "name = 'p'\ndescription = 'd'\n[mix]\nduration = '{0}'\nquiet = '{1}'\nat_once = 100\n\
         [[mix.candidate]]\nfault = 'kill'\ntarget = 'controller'\nhold = {from = '{2}', to = '{3}'}\n",
    ];

    fn with(text: &str, times: &[String]) -> String {
        let mut text = text.to_owned();
        for (number, time) in times.iter().enumerate() {
            text = text.replace(&format!("{{{number}}}"), time);
        }
        text
    }

    /// All that is done with a plan before it is carried out.
    fn gone_through(text: &str) -> Result<(), String> {
        let plan = Plan::parse(text).map_err(|error| error.message)?;
        let cluster = crate::guard::GuardedCluster {
            name: "c".to_owned(),
            ours: true,
            processes: vec![],
            least_replicas: 3,
            min_insync_replicas: 2,
            unclean_election: false,
            flushes_each_record: false,
        };
        for plan in [plan.clone(), plan.drawn(7)] {
            plan.check()?;
            drop(guard::check(&plan, &cluster, None));
            plan.estimate(Duration::from_millis(u64::from(u32::MAX)));
        }
        Ok(())
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(200) })]

        #[test]
        fn no_time_in_a_plan_makes_anything_overflow(
            which in 0..EVERY_TIME.len(),
            times in proptest::collection::vec(
                prop_oneof![
                    Just("18446744073709551615s".to_owned()),
                    Just("7days".to_owned()),
                    Just("7days 1ns".to_owned()),
                    Just("0s".to_owned()),
                    Just("1ns".to_owned()),
                    (0..u64::MAX).prop_map(|s| format!("{s}s")),
                    (0..200_u64).prop_map(|s| format!("{s}s")),
                    (0..u64::MAX).prop_map(|ns| format!("{ns}ns")),
                ],
                12,
            ),
        ) {
            drop(gone_through(&with(EVERY_TIME[which], &times)));
        }
    }

    #[test]
    fn each_time_of_a_plan_has_a_limit_and_is_named_with_it() {
        let keys: [&[&str]; 4] = [
            &[
                "degrade.delay.by",
                "degrade.delay.jitter",
                "hold",
                "flapping.on",
                "flapping.off",
                "slow-disk.by",
                "recover_within",
                "start.at",
                "repeat.during",
                "repeat.pause",
                "clock",
                "start.injected.delay",
            ],
            &[
                "clock",
                "hold",
                "repeat.pause",
                "hold",
                "start.recovered.delay",
                "hold",
                "start.healed.delay",
            ],
            &["hold"],
            &["mix.duration", "mix.quiet", "mix.candidate.hold.from", "mix.candidate.hold.to"],
        ];
        for (text, keys) in EVERY_TIME.iter().zip(keys) {
            let harmless = |at_once: &str| {
                let times: Vec<_> = keys.iter().map(|_| "2s".to_owned()).collect();
                let times = if text.contains("[mix]") {
                    ["300s", "2s", "2s", "2s"].map(str::to_owned).to_vec()
                } else {
                    times
                };
                (with(&text.replace("at_once = 100", at_once), &times), times)
            };
            let (plan, times) = harmless("at_once = 2");
            assert_eq!(gone_through(&plan), Ok(()), "{plan}");
            for (number, key) in keys.iter().enumerate() {
                for long in ["18446744073709551615s", "9223372036854775807s"] {
                    let mut times = times.clone();
                    times[number] = long.to_owned();
                    let why = gone_through(&with(text, &times)).expect_err(key);
                    let cannot_be = *key == "clock" && why.contains("out of range");
                    let named = why.contains(&format!("`{key}` is ")) && why.contains(": at most ");
                    assert!(named || cannot_be, "{key}: {why}");
                }
            }
        }
    }

    #[test]
    fn numbers_and_names_of_a_plan_have_limits_too() {
        let step = |lines: &str| {
            gone_through(&format!("name = 'p'\ndescription = 'd'\n[[step]]\nid = 'a'\n{lines}\n"))
        };
        for (lines, words) in [
            (
                "fault = 'kill'\ntarget = 'controller'\nhold = '1s'\nrepeat = {times = 10001}",
                "10001",
            ),
            (
                "fault = 'kill'\ntarget = {random = {count = 201}}\nhold = '1s'",
                "`random.count` is 201",
            ),
            (
                "fault = {degrade = {rate = 0}}\ntarget = 'controller'\nhold = '1s'",
                "`degrade.rate`",
            ),
            (
                "fault = {degrade = {rate = 9223372036854775807}}\ntarget = 'controller'\nhold = '1s'",
                "`degrade.rate`",
            ),
            ("fault = 'kill'\ntarget = {node = '../x'}\nhold = '1s'", "`node` is \"../x\""),
            ("fault = 'kill'\ntarget = {node = \"a\\nb\"}\nhold = '1s'", "control character"),
            ("fault = 'kill'\ntarget = {leader = {topic = ' t'}}\nhold = '1s'", "`leader.topic`"),
            (
                "fault = 'kill'\ntarget = {follower = {topic = 't/u'}}\nhold = '1s'",
                "`follower.topic`",
            ),
            (
                "fault = 'kill'\ntarget = {coordinator = {group = ''}}\nhold = '1s'",
                "`coordinator.group`",
            ),
            ("fault = {upgrade = {to = '-x'}}\ntarget = 'controller'\nhold = '1s'", "`upgrade.to`"),
            (
                "fault = {cut = {from = {nodes = ['a', '..']}}}\ntarget = 'controller'\nhold = '1s'",
                "`cut.from.nodes`",
            ),
            (
                "fault = 'kill'\ntarget = 'controller'\nhold = '6days'\nrolling = true",
                "about 18 days",
            ),
        ] {
            let why = step(lines).expect_err(lines);
            assert!(why.contains(words), "{lines}: {why}");
        }
        let head = "name = 'p'\ndescription = 'd'\n";
        let one = "[[step]]\nid = 'a'\nfault = 'kill'\ntarget = 'controller'\nhold = '1s'\n";
        for count in ["0", "101", "9223372036854775807"] {
            let why = gone_through(&format!("{head}at_once = {count}\n{one}")).unwrap_err();
            assert!(why.contains(&format!("`at_once` is {count}")), "{why}");
        }
        let long = format!("name = '{}'\ndescription = 'd'\n{one}", "a".repeat(129));
        assert!(gone_through(&long).unwrap_err().contains("a-z, 0-9"));
        let many: String = (0..=MOST_STEPS)
            .map(|n| format!("{}start = {{at = '1s'}}\n", one.replace("'a'", &format!("'a{n}'"))))
            .collect();
        assert!(gone_through(&format!("{head}{many}")).unwrap_err().contains("3000 steps at most"));
        let mix = format!(
            "{head}[mix]\nduration = '7days'\nquiet = '0s'\nat_once = 100\n\
             [[mix.candidate]]\nfault = 'kill'\ntarget = 'controller'\nhold = {{from = '1ns', to = '1ns'}}\n"
        );
        assert!(gone_through(&mix).unwrap_err().contains("draws more than 3000 steps"));
        let of_clients = mix.replace("7days", "60s").replace("'kill'", "'consumer-leaves'");
        assert!(gone_through(&of_clients).unwrap_err().contains("has no `target`"));
    }
}
