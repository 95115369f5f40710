//! Timelines with a known wait of each partition.

mod backlog;
mod cut;
mod steady;

use proptest::prelude::*;

use super::*;
use crate::fixture::{Fixture, TOPIC, at, broker, environment};
use crate::judge::figures::Figures;
use crate::judge::recovery::{Recovery, measure};
use crate::record::clock::RunTime;
use crate::record::event::{Event, MetadataPlane, ProcessEnd};
use crate::record::history::*;

const GROUP: &str = "readers";
/// Milliseconds between two sends of a partition.
const EVERY_MS: u64 = 20;
const SLOTS: u64 = 40_000 / EVERY_MS;
/// The load begins here, and the fault comes 10 s later.
const BEGIN_MS: u64 = 10_000;

fn ms(ms: u64) -> RunTime {
    RunTime(ms * 1_000_000)
}

/// One partition: acks at their due times but in `unacked`, deliveries 3 ms later but in `undelivered`;
/// from there on as many at once as a batch has, so many ms apart.
#[derive(Debug, Clone)]
struct Course {
    unacked: (u64, u64),
    undelivered: (u64, u64),
    batch: u64,
    apart_ms: u64,
}

impl Course {
    fn acks(&self) -> Vec<u64> {
        let (from, to) = self.unacked;
        let due = (0..SLOTS).map(|n| BEGIN_MS + n * EVERY_MS);
        due.map(|due| if (from..to).contains(&due) { to } else { due }).collect()
    }

    fn deliveries(&self) -> Vec<u64> {
        let (from, to) = self.undelivered;
        let (mut held, mut last) = (0, 0);
        let mut one = |ack: u64| {
            let ready = ack + 3;
            let at = if (from..to).contains(&ready) {
                held += 1;
                to + (held - 1) / self.batch * self.apart_ms
            } else {
                ready
            };
            last = at.max(last);
            last
        };
        self.acks().into_iter().map(&mut one).collect()
    }

    /// The longest wait of what was delivered after the injection and acked before the heal, in ms.
    fn longest(&self, injecting: u64, healing: u64) -> u64 {
        let both = self.acks().into_iter().zip(self.deliveries());
        let of_fault = both.filter(|(ack, got)| *got > injecting && *ack < healing);
        of_fault.map(|(ack, got)| got - ack.max(injecting)).max().unwrap_or(0)
    }
}

fn stream(name: &str, client: Client, entries: Vec<Entry>) -> Stream {
    let header = StreamHeader { run: 1, topic: TOPIC.to_owned(), partitions: 3, client };
    Stream { name: name.to_owned(), header, entries, ending: Ending::Complete }
}

fn producer(courses: &[Course]) -> Stream {
    let mut entries = vec![];
    for (partition, course) in (0..).zip(courses) {
        for (n, ack) in (0..).zip(course.acks()) {
            let due = ms(BEGIN_MS + n * EVERY_MS);
            let outcome = SendOutcome::Acked { offset: n as i64 };
            let (sequence, done) = (n, ms(ack));
            let send =
                Send { partition, sequence, key: 0, warm_up: false, due, sent: due, done, outcome };
            entries.push(Entry::Send(send));
        }
    }
    let role = LoadRole::Main;
    let client = Client::Producer { producer: 1, incarnation: 0, acks: -1, idempotent: true, role };
    stream("main", client, entries)
}

fn member(consumer: u16, entries: Vec<Entry>) -> Stream {
    let client = Client::GroupConsumer { consumer, group: GROUP.to_owned() };
    stream(&format!("consumer-{consumer}"), client, entries)
}

fn poll(partition: i32, offset: i64, at: RunTime) -> Entry {
    Entry::Poll(Poll { partition, offset, at, record: Observed::Corrupt })
}

fn assigned(partition: i32, s: f64, committed: Committed) -> Entry {
    Entry::Assigned { partition, at: at(s), committed }
}

fn revoked(partition: i32, s: f64) -> Entry {
    Entry::Revoked { partition, at: at(s) }
}

/// Broker 1, which coordinates the group and leads partition 0, is killed at 20 s, detected at 30 s,
/// and back at 40 s.
fn killed() -> Vec<Event> {
    let mut f = Fixture::new(1, 50.0);
    f.inject("kill", 20.0, &[1]);
    f.detect(30.0, &[1], None);
    f.heal("kill", 38.0, 0.0, &[1], true);
    f.trial().events
}

fn measured(events: &[Event], courses: &[Course], members: Vec<Stream>) -> Recovery {
    let mut streams = vec![producer(courses)];
    streams.extend(members);
    let timeline = Timeline::new(events);
    let figures = Figures::of(&History { streams }, &timeline, 150.0).unwrap();
    measure(1, &environment(), &timeline, &figures.service, true)
}

fn deliveries(partition: i32, course: &Course) -> impl Iterator<Item = Entry> + use<> {
    let all = (0..).zip(course.deliveries());
    all.map(move |(offset, at)| poll(partition, offset, ms(at)))
}

const NEVER: (u64, u64) = (0, 0);

fn quiet() -> Course {
    Course { unacked: NEVER, undelivered: NEVER, batch: 1, apart_ms: 0 }
}

fn outage(from: u64, to: u64) -> Course {
    Course { undelivered: (from, to), ..quiet() }
}

fn row(recovery: &Recovery, partition: usize) -> &ConsumingRecovery {
    &recovery.consuming[0].faults[0].partitions[partition]
}

/// Partition 0 with this course, read by one member that has it but from the second to the third time.
fn read_by_one(course: &Course, away: Option<(f64, f64)>, change: fn(&mut Vec<Event>)) -> Recovery {
    let mut entries = vec![assigned(0, 10.0, Committed::Nothing)];
    let mut rest: Vec<Entry> = deliveries(0, course).collect();
    if let Some((from, to)) = away {
        let is_before = |entry: &Entry| matches!(entry, Entry::Poll(poll) if poll.at < at(from));
        let later = rest.split_off(rest.iter().take_while(|entry| is_before(entry)).count());
        let next = rest.len() as i64;
        entries.append(&mut rest);
        entries.extend([revoked(0, from), assigned(0, to, Committed::At(next))]);
        rest = later;
    }
    entries.append(&mut rest);
    let mut events = killed();
    change(&mut events);
    measured(&events, std::slice::from_ref(course), vec![member(1, entries)])
}

fn close(found: Option<f64>, wanted: f64) -> bool {
    found.is_some_and(|found| (found - wanted).abs() <= 0.0101)
}

#[test]
fn each_wait_is_charged_to_what_was_lacking() {
    // Had by nobody from 21 to 35 s: without a coordinator until 30.02 s, then for want of a rebalance.
    let found = read_by_one(&outage(21_000, 35_000), Some((21.0, 35.0)), |_| ());
    let p = row(&found, 0).phases_s;
    assert!(close(p.coordinator, 9.02) && close(p.rebalance, 4.98), "{p:?}");
    assert!(close(p.leader, 0.0) && close(p.fetch, 0.0), "{p:?}");
    // Kept all the time: its own leader is away until 30.02 s, then it is not fetched.
    let found = read_by_one(&outage(21_000, 35_000), None, |_| ());
    let p = row(&found, 0).phases_s;
    assert!(close(p.leader, 9.02) && close(p.fetch, 4.98) && close(p.coordinator, 0.0), "{p:?}");
    assert!(row(&found, 0).interrupted && !row(&found, 0).ended_after_heal);
    // Nobody saw who coordinates the group.
    let unseen = |events: &mut Vec<Event>| {
        events.retain(|event| {
            !matches!(&event.kind, EventKind::PartitionState { topic, .. } if topic == phases::OFFSETS_TOPIC)
        });
    };
    let found = read_by_one(&outage(21_000, 35_000), Some((21.0, 35.0)), unseen);
    let found = row(&found, 0);
    assert_eq!((found.phases_s.coordinator, found.phases_s.rebalance), (None, None));
    assert!(close(Some(found.phase_residual_s), 14.0), "{found:?}");
}

#[test]
fn an_outage_of_producing_is_none_of_consuming() {
    let course = Course { unacked: (20_000, 36_200), ..quiet() };
    let found = read_by_one(&course, None, |_| ());
    assert!(!row(&found, 0).interrupted && row(&found, 0).unconsumed_s < 0.02, "{found:?}");
    // Both at once: what was acked at 36.2 s waits from then on.
    let both = Course { undelivered: (20_000, 37_200), ..course };
    let found = read_by_one(&both, None, |_| ());
    // The last record before the injection is delivered with the others.
    assert!(close(Some(row(&found, 0).unconsumed_s), 1.0), "{found:?}");
}

#[test]
fn what_was_never_delivered_waits_to_the_end_and_is_told() {
    let mut entries = vec![assigned(0, 10.0, Committed::Nothing)];
    entries.extend(deliveries(0, &quiet()).take(500));
    let found = measured(&killed(), &[quiet()], vec![member(1, entries)]);
    let row = row(&found, 0);
    assert!(row.censored && row.interrupted && close(Some(row.unconsumed_s), 30.0), "{row:?}");
    assert_eq!(found.consuming[0].undelivered, 1500);
    assert_eq!((row.lag, row.delivered), (1500, 0));
    assert!(found.resumed.open[0].contains("not consumed again"), "{:?}", found.resumed);
}

#[test]
fn deliveries_are_told_from_redeliveries_by_other_members_too() {
    let mut first = vec![assigned(0, 10.0, Committed::Nothing)];
    first.extend(deliveries(0, &quiet()).take(600));
    first.push(revoked(0, 22.0));
    // Another member begins at the last commit, 100 records before.
    let mut second = vec![assigned(0, 23.0, Committed::At(500))];
    let late = |(offset, got)| poll(0, offset, ms(got).max(at(23.0)));
    second.extend((0..).zip(quiet().deliveries()).skip(500).map(late));
    let found = measured(&killed(), &[quiet()], vec![member(2, second), member(1, first)]);
    let group = &found.consuming[0];
    assert_eq!((group.delivered, group.redelivered), (SLOTS, 100));
    let fault = &group.faults[0];
    assert_eq!((fault.redelivered, fault.partitions[0].redelivered), (100, 100));
    assert!(close(Some(row(&found, 0).unconsumed_s), 1.0), "{found:?}");
    assert_eq!((group.steady.redelivered, group.steady.delivered > 0), (0, true));
    assert_eq!((found.resumed.at_committed, found.resumed.in_place), (1, 0));
}

#[test]
fn what_kbench_does_to_a_group_is_no_fault_s() {
    let replaced = |events: &mut Vec<Event>| {
        let kind = EventKind::ConsumerRestarted { consumer: 9 };
        events.push(Event { at: at(45.0), kind });
    };
    let found = read_by_one(&outage(45_000, 48_000), Some((45.0, 48.0)), replaced);
    let row = row(&found, 0);
    assert!(!row.interrupted && row.after_heal_s.is_none_or(|wait| wait < 0.1), "{row:?}");
    assert_eq!(found.resumed.at_committed, 0);
    assert_eq!(found.resumed.in_place, 1, "its leader was killed before");
}

#[test]
fn a_group_that_stands_still_until_the_heal_has_not_resumed() {
    // The coordinator does not move: its topic has one copy.
    let one_copy = |events: &mut Vec<Event>| {
        for event in events {
            if let EventKind::PartitionState {
                topic,
                leader,
                isr,
                plane: MetadataPlane::Zookeeper,
                ..
            } = &mut event.kind
                && topic == phases::OFFSETS_TOPIC
            {
                *isr = vec![1];
                *leader = if event.at > at(25.0) && event.at < at(38.0) { -1 } else { 1 };
            }
        }
    };
    let found = read_by_one(&outage(21_000, 43_000), Some((21.0, 43.0)), one_copy);
    let row = row(&found, 0);
    assert!(row.ended_after_heal && close(row.phases_s.coordinator, 19.5), "{row:?}");
    // The detection may take 20 s at these settings, and the fault lasted 18 s.
    assert!(
        found.resumed.broken.is_empty() && found.resumed.open.len() == 1,
        "{:?}",
        found.resumed
    );
}

/// The coordinator ends at 21 s, and the group has none until kbench heals, after 24 s: broker 1 by the fault,
/// another by itself.
fn without_coordinator(coordinator: i32) -> Recovery {
    let mut events = killed();
    for event in &mut events {
        if (at(38.0)..at(45.0)).contains(&event.at) {
            event.at = event.at.plus(std::time::Duration::from_secs(6));
        }
        let back = !(at(21.0)..at(44.0)).contains(&event.at);
        if let EventKind::PartitionState { topic, leader, isr, .. } = &mut event.kind
            && topic == phases::OFFSETS_TOPIC
        {
            (*isr, *leader) = (vec![coordinator], if back { coordinator } else { -1 });
        }
    }
    if coordinator != 1 {
        let plane = MetadataPlane::Zookeeper;
        let (process, end) = (broker(coordinator), ProcessEnd::Signal(9));
        let ended = EventKind::ProcessEnded { process: process.clone(), pid: 1, end };
        let gone = EventKind::BrokerGone { plane, broker: coordinator };
        let (session, ctime_ms) = (9, 0);
        let anew = EventKind::BrokerRegistered { plane, broker: coordinator, session, ctime_ms };
        let started = EventKind::ProcessStarted { process, pid: 2 };
        for (s, kind) in [(21.0, ended), (30.0, gone), (45.0, started), (46.0, anew)] {
            events.push(Event { at: at(s), kind });
        }
    }
    let course = outage(21_000, 49_000);
    let mut entries = vec![assigned(0, 10.0, Committed::Nothing)];
    entries.extend(deliveries(0, &course).take(550));
    entries.extend([revoked(0, 21.0), assigned(0, 48.9, Committed::At(550))]);
    entries.extend(deliveries(0, &course).skip(550));
    measured(&events, &[course], vec![member(1, entries)])
}

#[test]
fn a_coordinator_that_somebody_else_took_refutes_nothing() {
    let own = without_coordinator(1).resumed;
    assert!(own.broken.len() == 1 && own.broken[0].contains("no coordinator"), "{own:?}");
    let other = without_coordinator(3).resumed;
    assert!(other.broken.is_empty() && other.open.len() == 1, "{other:?}");
}

#[test]
fn what_no_member_had_before_the_fault_was_not_kept_by_one() {
    for (from, kept) in [(10.0, 1), (25.0, 0)] {
        let mut entries = vec![assigned(0, from, Committed::Nothing)];
        let late = |(offset, got)| poll(0, offset, ms(got).max(at(from)));
        entries.extend((0..).zip(quiet().deliveries()).map(late));
        let resumed = measured(&killed(), &[quiet()], vec![member(1, entries)]).resumed;
        assert_eq!((resumed.in_place, resumed.at_committed), (kept, 0), "{resumed:?}");
    }
}

/// A member joins at this time, and gets its first records so much later, at once.
fn joined_late(joined: f64, later: f64) -> Recovery {
    let mut entries = vec![assigned(0, joined, Committed::Nothing)];
    let late = |(offset, got)| poll(0, offset, ms(got).max(at(joined + later)));
    entries.extend((0..).zip(quiet().deliveries()).map(late));
    measured(&killed(), &[quiet()], vec![member(1, entries)])
}

#[test]
fn a_group_that_joins_late_is_not_charged_what_was_acked_before() {
    for (joined, later) in
        [(10.0, 0.0), (10.2, 0.1), (14.0, 0.2), (14.0, 3.0), (22.0, 0.2), (22.0, 3.0), (36.0, 1.0)]
    {
        let found = joined_late(joined, later);
        let group = &found.consuming[0];
        let longest = row(&found, 0).unconsumed_s.max(group.steady.longest_wait_s.unwrap_or(0.0));
        assert!((longest - later).abs() < 0.03, "{longest} s, joined {joined}, {later} s later");
        assert_eq!((group.began_s, group.began_late), (Some(joined), joined > 11.0));
        assert_eq!(row(&found, 0).interrupted, joined > 20.0 && later > 0.5);
        let waited = ((later + (joined - 10.0)) * 50.0) as u64;
        assert!(row(&found, 0).lag <= waited + 5, "{} of {waited}", row(&found, 0).lag);
    }
}

fn any_course() -> impl Strategy<Value = Course> {
    let outage = (15_000..36_000_u64, 0..12_000_u64).prop_map(|(from, took)| (from, from + took));
    (outage.clone(), outage, 1..200_u64, 0..40_u64).prop_map(
        |(unacked, undelivered, batch, apart_ms)| Course { unacked, undelivered, batch, apart_ms },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(200) })]

    #[test]
    fn the_longest_wait_is_found_within_10_ms(
        courses in prop::collection::vec(any_course(), 1..4), takes_over in 10.0..45.0_f64,
    ) {
        // Two members: all partitions go from one to the other at some time.
        let (mut first, mut second) = (vec![], vec![]);
        for (partition, course) in (0..).zip(&courses) {
            first.push(assigned(partition, 10.0, Committed::Nothing));
            let mut next = 0;
            for entry in deliveries(partition, course) {
                let Entry::Poll(poll) = &entry else { continue };
                if poll.at < at(takes_over) { next += 1; first.push(entry) } else { second.push(entry) }
            }
            first.push(revoked(partition, takes_over));
            second.push(assigned(partition, takes_over, Committed::At(next)));
        }
        let found = measured(&killed(), &courses, vec![member(1, first), member(2, second)]);
        for (partition, course) in courses.iter().enumerate() {
            let row = row(&found, partition);
            let longest = course.longest(20_000, 38_000) as f64 / 1e3;
            prop_assert!((row.unconsumed_s - longest).abs() <= 0.0101, "{longest}: {row:?}");
            let phases: f64 = row.phases_s.named().iter().filter_map(|(_, s)| *s).sum();
            let total = if row.interrupted { row.unconsumed_s } else { 0.0 };
            prop_assert!((phases + row.phase_residual_s - total).abs() < 1e-6, "{row:?}");
        }
        prop_assert_eq!(found.consuming[0].delivered, SLOTS * courses.len() as u64);
        prop_assert_eq!(found.consuming[0].redelivered, 0);
    }
}

#[test]
fn the_coordinating_partition_is_kafka_s() {
    let trial = Fixture::new(1, 30.0);
    let states = |partition| {
        let mut event = trial.events[9].clone();
        event.kind = EventKind::PartitionState {
            plane: MetadataPlane::Zookeeper,
            topic: phases::OFFSETS_TOPIC.to_owned(),
            partition,
            leader: 1,
            leader_epoch: 1,
            isr: vec![1],
            mtime_ms: 0,
        };
        event
    };
    let events: Vec<Event> = (0..50).map(states).collect();
    let timeline = Timeline::new(&events);
    assert_eq!(phases::coordinating(&timeline, "a"), Some(97 % 50));
    assert_eq!(phases::coordinating(&timeline, "ab"), Some((97 * 31 + 98) % 50));
    // Negative hashes, -1693017210 and the lowest that there is.
    assert_eq!(phases::coordinating(&timeline, "analytics"), Some(10));
    assert_eq!(phases::coordinating(&timeline, "polygenelubricants"), Some(0));
}
