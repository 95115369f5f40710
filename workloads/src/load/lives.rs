//! The load on all of its topics as it stands now.

use std::sync::Arc;
use std::time::{Duration, Instant};

use results::record::clock::RunTime;

use super::LOOK;
use crate::live::Live;
use crate::until::until;

/// Figures of each topic that a producer writes to or a group reads, that of the main load first.
#[derive(Debug, Clone)]
pub struct Lives(Arc<[TopicLive]>);

/// Figures of a topic, and where it stands among the run's topics.
#[derive(Debug)]
pub(super) struct TopicLive {
    /// Its place in the cluster's order; 0 for that of the main load.
    pub(super) place: usize,
    pub(super) name: String,
    pub(super) live: Arc<Live>,
}

impl Lives {
    /// Of these topics; the first one is that of the main load.
    pub(super) fn new(main: TopicLive, others: impl IntoIterator<Item = TopicLive>) -> Self {
        Self(std::iter::once(main).chain(others).collect())
    }

    pub(super) fn all(&self) -> impl Iterator<Item = &TopicLive> {
        self.0.iter()
    }

    /// Those of the topic at `place` of the cluster's order.
    pub(super) fn at(&self, place: usize) -> Option<&Arc<Live>> {
        self.0.iter().find(|topic| topic.place == place).map(|topic| &topic.live)
    }

    /// Acked records that a group has not consumed yet, over all topics, on each of the group that is
    /// furthest behind there.
    pub fn lag(&self) -> u64 {
        self.all().map(|topic| topic.live.lag()).sum()
    }

    /// When a send last ended without an ack, or late.
    pub fn last_trouble(&self) -> RunTime {
        self.all().map(|topic| topic.live.last_trouble()).max().unwrap_or(RunTime(0))
    }

    /// Whether every partition of every topic has acked a record that was due after `since`.
    pub fn acked_since(&self, since: RunTime) -> bool {
        self.all().all(|topic| topic.live.acked_since(since))
    }

    /// The ends of what is acked now, by topic and partition.
    pub fn acked_ends(&self) -> Vec<Vec<i64>> {
        self.all().map(|topic| topic.live.acked_ends()).collect()
    }

    /// Whether every group has consumed all up to these ends, and there is a group.
    pub fn has_consumed(&self, ends: &[Vec<i64>]) -> bool {
        let mut read = self.all().zip(ends).filter(|(topic, _)| !topic.live.groups().is_empty());
        let any = self.all().any(|topic| !topic.live.groups().is_empty());
        any && read.all(|(topic, ends)| topic.live.has_consumed(ends))
    }

    /// What is missing on the first topic that lacks anything, with its name where there are several.
    pub(super) fn missing(&self, of: &dyn Fn(&Live) -> Option<String>) -> Option<String> {
        self.all().find_map(|topic| {
            let missing = of(&topic.live)?;
            Some(if self.0.len() == 1 { missing } else { format!("{missing} of {}", topic.name) })
        })
    }

    /// Waits until nothing is missing on any topic. False when `limit` passed or a client failed first.
    pub(super) fn wait(&self, missing: &dyn Fn(&Live) -> Option<String>, limit: Duration) -> bool {
        let deadline = Instant::now() + limit;
        let Some(main) = self.0.first().map(|topic| &topic.live) else { return true };
        // Failures of all clients are told to the first.
        main.wait_until(|live| missing(live).is_none(), limit) && {
            let left = deadline.saturating_duration_since(Instant::now());
            let met = || self.missing(missing).is_none();
            until(left, LOOK, || main.failure().is_some() || met());
            main.failure().is_none() && met()
        }
    }
}

/// The partitions that lack something, after some words; `None` when none does.
fn lacking(live: &Live, words: &str, lacks: impl Fn(u32) -> bool) -> Option<String> {
    let list: Vec<_> =
        (0..live.partitions()).filter(|p| lacks(*p)).map(|p| p.to_string()).collect();
    (!list.is_empty()).then(|| format!("{words} partition {}", list.join(", ")))
}

pub(super) fn unacked(live: &Live) -> Option<String> {
    lacking(live, "no record is acked yet on", |p| live.last_acked_due(p).is_none())
}

pub(super) fn unread(live: &Live) -> Option<String> {
    let mut groups = live.groups().iter().enumerate();
    groups.find_map(|(place, group)| {
        let words = format!("no member of group {group} reads");
        lacking(live, &words, |p| live.owner_in(place, p).is_none())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn topic(place: usize, name: &str, partitions: u32, groups: &[&str]) -> TopicLive {
        let groups: Vec<String> = groups.iter().map(|group| (*group).to_owned()).collect();
        let live = Arc::new(Live::new(partitions, &groups));
        TopicLive { place, name: name.to_owned(), live }
    }

    #[test]
    fn a_load_stands_as_its_topics_do_together() {
        let others = [topic(2, "audit", 1, &["a"]), topic(3, "unread", 1, &[])];
        let lives = Lives::new(topic(0, "first", 1, &["a"]), others);
        let acked = |place: usize, offset| {
            lives.at(place).unwrap().acked(0, RunTime(5), offset);
        };
        let unacked = |live: &Live| live.last_acked_due(0).is_none().then(|| "nothing".to_owned());
        assert!(lives.at(1).is_none());
        acked(0, 3);
        assert_eq!(lives.missing(&unacked).unwrap(), "nothing of audit");
        assert!(!lives.wait(&unacked, Duration::from_millis(1)));
        acked(2, 4);
        assert!(!lives.acked_since(RunTime(4)), "a topic has no ack");
        acked(3, 0);
        assert!(lives.acked_since(RunTime(4)) && lives.wait(&unacked, Duration::from_millis(1)));
        assert_eq!((lives.lag(), lives.acked_ends()), (9, vec![vec![4], vec![5], vec![1]]));
        let ends = lives.acked_ends();
        lives.at(0).unwrap().polled(0, 0, 3);
        assert!(!lives.has_consumed(&ends));
        lives.at(2).unwrap().polled(0, 0, 4);
        assert!(lives.has_consumed(&ends) && lives.lag() == 0, "nobody is to read the third");
        lives.at(3).unwrap().ended(RunTime(6), RunTime(7), false);
        assert_eq!(lives.last_trouble(), RunTime(7));
        lives.at(0).unwrap().fail("broken".to_owned());
        assert!(!lives.wait(&unacked, Duration::from_millis(1)), "a failure ends the load");
    }

    #[test]
    fn one_topic_is_not_named_and_without_groups_nothing_is_consumed() {
        let lives = Lives::new(topic(0, "first", 1, &[]), []);
        assert_eq!(lives.missing(&|_| Some("nothing".to_owned())).unwrap(), "nothing");
        assert!(!lives.has_consumed(&lives.acked_ends()));
    }
}
