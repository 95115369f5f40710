//! A trial whose cluster changes under load, with the trial's own parts. In loopback mode: namespaces
//! would need a process of their own.

mod record;

use std::collections::BTreeSet;

use faults::port::{Assignment, ErrorKind};
use faults::until;
use results::judge::check::{self, CheckContext};
use results::judge::verdict::Verdict;
use results::record::event::{BrokerId, log};
use results::record::history::{Entry, History};

use super::*;
use crate::cluster::local::sandbox::Mode;
use crate::spec::Request;

/// A number that no trial of a run beside this test has: loopback addresses follow from it.
const NUMBER: u32 = 200;

/// The broker that joins.
const FOURTH: BrokerId = 4;

/// Limit for records on the new partitions to be acked and read: clients refresh metadata first.
const TAKEN_UP_LIMIT: Duration = Duration::from_secs(60);

const LOOK: Duration = Duration::from_millis(50);

/// The shortest load on the guide's cluster, with a fourth broker on standby.
fn spec() -> RunSpec {
    let (seed, mode) = (Some(1), Some(Mode::Loopback));
    let request = Request { seed, mode, ..Request::of("smoke", "none", "four-nodes") };
    let mut spec = request.resolve().expect("a spec").spec;
    for node in spec.cluster.node.iter_mut().filter(|node| node.broker == Some(FOURTH)) {
        node.standby = true;
    }
    spec
}

/// Lets the broker join and the topic grow; returns when the load is served by all of it.
async fn grow(lab: &Lab, load: &Rc<RefCell<Load>>, topic: &str) -> Result<(), Failure> {
    let servers = lab.cluster.servers().processes();
    let fourth = servers.into_iter().find(|p| p.id == FOURTH).expect("a fourth broker");
    assert!(!lab.members.brokers().contains_key(&FOURTH), "it joined by itself");
    lab.join(&fourth).await?;
    lab.add_partitions(&lab.admin, load, topic, 5).await?;
    let since = lab.recorder.clock().now();
    let taken_up = until(TAKEN_UP_LIMIT, LOOK, async || {
        if let Some(missing) = lab.members.missing(&lab.observer.view()) {
            return Err(missing);
        }
        let load = load.borrow();
        let unread = (0..5).find(|partition| load.live().owner(*partition).is_none());
        match unread {
            Some(partition) => Err(format!("nobody reads partition {partition}")),
            None if !load.served_since(since) => Err("a partition does not ack".to_owned()),
            None => Ok(()),
        }
    });
    taken_up.await.map_err(|missing| Failure::infrastructure(format!("not grown: {missing}")))
}

/// A move to the broker that joined, which a throttle holds up, is cancelled; nothing of both is left.
async fn move_and_cancel(lab: &Lab, topic: &str) -> Result<(), Failure> {
    let partition = (topic.to_owned(), 0);
    let before = lab.members.assignment()[&partition].clone();
    let to = Assignment::from([(partition, vec![before[0], before[1], FOURTH])]);
    // The first fetch gets what is there, and for a long time there is no other one.
    for broker in lab.admin.brokers() {
        lab.admin.throttle_broker(broker, Some(1_000)).await?;
    }
    lab.admin.throttle_replicas(&to).await?;
    let moved = lab.admin.place_within(&to, Duration::from_secs(3)).await;
    assert_eq!(moved.map_err(|error| error.kind), Err(ErrorKind::TimedOut));
    assert_eq!(lab.admin.cancel_reassignment(&to).await?, 1);
    lab.admin.unthrottle_replicas(&to).await?;
    for broker in lab.admin.brokers() {
        lab.admin.throttle_broker(broker, None).await?;
    }
    let unmoved = until(TAKEN_UP_LIMIT, LOOK, async || {
        let placed = lab.admin.placement(topic).await.unwrap_or_default();
        placed.into_iter().find(|it| it.partition == 0 && it.replicas == before).ok_or(())
    });
    assert!(unmoved.await.is_ok(), "the replicas are others");
    let config = lab.admin.topic_config(1, topic).await?;
    let left = config.iter().find(|(name, value)| name.contains("throttled") && !value.is_empty());
    assert_eq!(left, None);
    Ok(())
}

#[test]
#[ignore = "starts a real cluster"]
fn a_broker_joins_and_a_topic_grows_under_load() {
    let out = tempfile::tempdir().expect("a folder");
    let spec = spec();
    let topic = spec.cluster.main_topic().name.clone();
    let recorder = Recorder::create(out.path(), RunClock::start()).expect("a recorder");
    let files = out.path().to_owned();
    let recorder = Arc::new(recorder);
    let trial = Trial { spec, files, recorder, number: NUMBER, outside: None };
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let local = tokio::task::LocalSet::new();
    let outcome = runtime.block_on(local.run_until(async {
        let started = trial.recorder.clock().now();
        let interrupt = Interrupt::watch(Arc::clone(&trial.recorder))?;
        let started_lab = Lab::start(&trial.spec, &trial.files, &trial.recorder, NUMBER).await?;
        let lab = Rc::new(started_lab);
        let act = async |load: &Rc<RefCell<Load>>| {
            grow(&lab, load, &topic).await?;
            move_and_cancel(&lab, &topic).await
        };
        let outcome = trial.with_cluster(&lab, &interrupt, started, act).await;
        let stopped = lab.stop(false).await;
        outcome.and(stopped)
    }));
    outcome.unwrap_or_else(|failure| panic!("{}", failure.text()));

    let history = History::load(&out.path().join("history")).expect("a history");
    let entries = || history.streams.iter().flat_map(|stream| &stream.entries);
    let drained: BTreeSet<i32> = entries()
        .filter_map(|entry| match entry {
            Entry::Drained { partition, end_offset, .. } if *end_offset > 0 => Some(*partition),
            _ => None,
        })
        .collect();
    assert_eq!(drained, BTreeSet::from([0, 1, 2, 3, 4]), "partitions with records");
    let checks = check::all(&history, &CheckContext::default()).expect("checks");
    for check in checks {
        assert_eq!((check.verdict, check.count), (Verdict::Valid, 0), "{check:?}");
    }
    let log::ReadLog { events, end } = log::read(&out.path().join("events.jsonl")).expect("events");
    assert_eq!(end, log::LogEnd::Whole);
    let seen: BTreeSet<BrokerId> = events
        .iter()
        .filter_map(|event| match &event.kind {
            EventKind::MetadataSeen { observer, partition: 4, .. } => Some(*observer),
            _ => None,
        })
        .collect();
    assert!(seen.contains(&FOURTH), "nobody asked the broker that joined: {seen:?}");
}
