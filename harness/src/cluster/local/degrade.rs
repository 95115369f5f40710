//! Degraded links, by the first of these that the kernel has for it: rules of `nft` for loss and
//! duplicates, a queueing discipline for rates, delay and reordering, a queue of ours for the latter.
//!
//! Loss, and a queue of ours, act on what a node gets; the rest on what it sends.

use std::collections::BTreeMap;
use std::io;
use std::time::{Duration, Instant};

use faults::degrade::{Condition, Degradation, Degraded};
use futures::future::join_all;

use super::LocalCluster;
use super::queue::{MOST_PACKETS, Manner, Queue};
use crate::cluster::local::sandbox::{LINK, OBSERVER, inside, shape};
use crate::failure::Failure;

/// How long a packet that others overtake is held: longer than they are apart under load.
const OVERTAKEN: Duration = Duration::from_millis(10);

/// What a rate may send at once, in bytes: some packets as large as they get.
const BURST: u64 = 128 * 1024;

impl LocalCluster {
    /// Degrades links.
    ///
    /// # Errors
    /// When one is degraded so already, or a tool refuses.
    pub async fn degrade(&self, degradation: &Degradation) -> Result<(), Failure> {
        let began = Instant::now();
        let done = match rules(degradation.condition) {
            Some(rules) => self.transact(&on_each(degradation, &rules)).await.map(drop),
            None => self.shape(degradation).await,
        };
        tracing::info!(%degradation, us = began.elapsed().as_micros(), "links are degraded");
        done.map_err(|error| cannot("degrade links", degradation, error))
    }

    /// Ends it; nothing happens where links are as they should be.
    ///
    /// # Errors
    /// When a tool refuses.
    pub async fn restore(&self, degradation: &Degradation) -> Result<(), Failure> {
        let done = match table(degradation.condition) {
            Some(table) => {
                // Added first, so that there is one to delete.
                let text = format!("table {table}\ndelete table {table}\n");
                self.transact(&on_each(degradation, &text)).await.map(drop)
            }
            None => self.unshape(degradation).await,
        };
        done.map_err(|error| cannot("restore links", degradation, error))
    }

    /// What was done to packets on each node whose link is so degraded.
    ///
    /// # Errors
    /// When a tool refuses.
    pub async fn degraded(
        &self,
        degradation: &Degradation,
    ) -> Result<BTreeMap<String, Degraded>, Failure> {
        let condition = degradation.condition;
        let counted = async {
            let Some(table) = table(condition) else { return self.shaped(degradation).await };
            let counters = self.transact(&on_each(degradation, "")).await?;
            let (_, name) = table.split_once(' ').unwrap_or_default();
            Ok(counters
                .into_iter()
                .filter_map(|(node, counters)| {
                    let seen = counters.packets(name, "seen")?;
                    let touched = counters.packets(name, "touched")?;
                    Some((node, Degraded { by: "nft", touched, seen }))
                })
                .collect())
        };
        counted.await.map_err(|error: io::Error| cannot("look at links", degradation, error))
    }

    async fn shape(&self, degradation: &Degradation) -> io::Result<()> {
        let condition = degradation.condition;
        let each = degradation.nodes.iter().map(async |node| {
            let ours = manner(condition);
            if ours.is_none() || self.has_netem(node).await? {
                let (handle, words) = (handle(condition), qdisc(condition).unwrap_or_default());
                return self.inside_node(node, move || shape::add_qdisc(&handle, &words)).await;
            }
            if self.queues.borrow().contains_key(node) {
                return Err(io::Error::other(format!("packets of {node} are held up already")));
            }
            let queue = Queue::start(self.namespace_of(node)?, ours.unwrap_or_default()).await?;
            self.queues.borrow_mut().insert(node.clone(), (condition, queue));
            self.inside_node(node, shape::divert).await
        });
        join_all(each).await.into_iter().collect()
    }

    async fn unshape(&self, degradation: &Degradation) -> io::Result<()> {
        let condition = degradation.condition;
        let each = degradation.nodes.iter().map(async |node| {
            let handle = handle(condition);
            self.inside_node(node, move || shape::remove_qdisc(&handle)).await?;
            if self.queues.borrow().get(node).is_some_and(|(of, _)| *of == condition) {
                // First, so that nothing new comes to the queue.
                self.inside_node(node, shape::divert_no_longer).await?;
                let queue = self.queues.borrow_mut().remove(node);
                if let Some((_, queue)) = queue {
                    queue.end().await;
                }
            }
            Ok(())
        });
        join_all(each).await.into_iter().collect()
    }

    async fn shaped(&self, degradation: &Degradation) -> io::Result<BTreeMap<String, Degraded>> {
        let condition = degradation.condition;
        let mut shaped = BTreeMap::new();
        for node in &degradation.nodes {
            let handle = handle(condition);
            let queued = self.inside_node(node, move || shape::qdisc(&handle)).await?;
            let queues = self.queues.borrow();
            let queue = queues.get(node).filter(|(of, _)| *of == condition);
            let degraded = match (queued, queue, condition) {
                (Some(queued), _, Condition::Rate(_)) => {
                    Degraded { by: "tbf", touched: queued.overlimits, seen: queued.packets }
                }
                (Some(queued), _, _) => {
                    Degraded { by: "netem", touched: queued.packets, seen: queued.packets }
                }
                (None, Some((_, queue)), _) => {
                    let (touched, seen) = queue.counts();
                    Degraded { by: "NFQUEUE", touched, seen }
                }
                (None, None, _) => continue,
            };
            shaped.insert(node.clone(), degraded);
        }
        Ok(shaped)
    }

    /// Whether the kernel has netem; it is tried once.
    async fn has_netem(&self, node: &str) -> io::Result<bool> {
        let known = self.netem.get().copied();
        let has = match known {
            Some(has) => has,
            None => self.inside_node(node, || Ok(shape::has_netem())).await?,
        };
        Ok(*self.netem.get_or_init(|| has))
    }

    fn namespace_of(&self, node: &str) -> io::Result<std::fs::File> {
        let none = || io::Error::other(format!("{node} has no network of its own"));
        self.network.namespace(node)?.ok_or_else(none)
    }

    async fn inside_node<T: Send + 'static>(
        &self,
        node: &str,
        work: impl FnOnce() -> io::Result<T> + Send + 'static,
    ) -> io::Result<T> {
        inside(Some(self.namespace_of(node)?), work).await
    }
}

fn on_each(degradation: &Degradation, text: &str) -> BTreeMap<String, String> {
    degradation.nodes.iter().map(|node| (node.clone(), text.to_owned())).collect()
}

/// Family and name of the table of a condition; none where it takes no rules.
fn table(condition: Condition) -> Option<String> {
    match condition {
        Condition::Loss(percent) => Some(format!("inet kbench-loss-{}", percent.get())),
        Condition::Duplicate(percent) => Some(format!("netdev kbench-duplicate-{}", percent.get())),
        Condition::Rate(_) | Condition::Delay(_) | Condition::Reorder(_) => None,
    }
}

/// One transaction that puts a condition in force, unless it is; none where it takes no rules.
fn rules(condition: Condition) -> Option<String> {
    let table = table(condition)?;
    let (hook, chosen) = match condition {
        Condition::Loss(percent) => {
            let chosen =
                format!("numgen random mod 100 < {} counter name touched drop", percent.get());
            let hook = "input priority filter".to_owned();
            (hook, format!("iifname {LINK} ip saddr != {OBSERVER} counter name seen {chosen}"))
        }
        // The second of a pair is marked as the first is, and let alone.
        Condition::Duplicate(percent) => {
            let chosen = format!("numgen random mod 100 < {}", percent.get());
            let hook = format!("egress device {LINK} priority filter");
            let twice = format!("meta mark set {MARK} counter name touched dup to {LINK}");
            let all = format!("meta mark != {MARK} ip daddr != {OBSERVER} counter name seen");
            (hook, format!("{all} {chosen} {twice}"))
        }
        Condition::Rate(_) | Condition::Delay(_) | Condition::Reorder(_) => return None,
    };
    Some(format!(
        "create table {table}\ntable {table} {{\n counter seen {{ }}\n counter touched {{ }}\n \
         chain packets {{\n  type filter hook {hook}; policy accept;\n  {chosen}\n }}\n}}\n"
    ))
}

/// What a copy is known by.
const MARK: &str = "0x6b62";

/// The queueing discipline of a condition; none where rules do it.
fn qdisc(condition: Condition) -> Option<String> {
    match condition {
        Condition::Rate(rate) => Some(format!("tbf rate {}bit burst {BURST} latency 1s", rate * 8)),
        Condition::Delay(delay) => {
            let (by, jitter) = (delay.by.as_micros(), delay.jitter.as_micros());
            Some(format!("netem limit {MOST_PACKETS} delay {by}us {jitter}us"))
        }
        Condition::Reorder(percent) => {
            let (late, at_once) = (OVERTAKEN.as_millis(), 100 - percent.get());
            Some(format!("netem limit {MOST_PACKETS} delay {late}ms reorder {at_once}%"))
        }
        Condition::Loss(_) | Condition::Duplicate(_) => None,
    }
}

/// What its queueing discipline is known by: the same for the same condition (FNV-1a).
fn handle(condition: Condition) -> String {
    let words = condition.to_string();
    let mix = |hash: u32, byte: u8| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193);
    let hash = words.bytes().fold(0x811c_9dc5, mix);
    // From 1000 to 8fff: others take low numbers, the kernel high ones.
    format!("{:x}:", 0x1000 + hash % 0x8000)
}

/// What a queue of ours does instead; none where it cannot.
fn manner(condition: Condition) -> Option<Manner> {
    match condition {
        Condition::Delay(delay) => {
            Some(Manner { percent: 100, by: delay.by, jitter: delay.jitter })
        }
        Condition::Reorder(percent) => {
            Some(Manner { percent: percent.get(), by: OVERTAKEN, jitter: Duration::ZERO })
        }
        Condition::Loss(_) | Condition::Duplicate(_) | Condition::Rate(_) => None,
    }
}

fn cannot(action: &str, degradation: &Degradation, error: io::Error) -> Failure {
    Failure::infrastructure(format!("cannot {action} ({degradation}): {error}"))
}

#[cfg(test)]
mod tests {
    use faults::degrade::{Delay, Percent};

    use super::*;

    fn percent(percent: u8) -> Percent {
        Percent::new(percent).unwrap()
    }

    #[test]
    fn each_condition_has_rules_or_a_queueing_discipline() {
        let delay = Delay { by: Duration::from_millis(100), jitter: Duration::from_millis(20) };
        let words = |condition| qdisc(condition).unwrap();
        assert_eq!(words(Condition::Delay(delay)), "netem limit 100000 delay 100000us 20000us");
        assert_eq!(
            words(Condition::Reorder(percent(20))),
            "netem limit 100000 delay 10ms reorder 80%"
        );
        assert_eq!(words(Condition::Rate(1000)), "tbf rate 8000bit burst 131072 latency 1s");
        let loss = rules(Condition::Loss(percent(10))).unwrap();
        let dropped = "  iifname eth0 ip saddr != 198.18.0.2 counter name seen numgen random mod \
             100 < 10 counter name touched drop\n";
        assert!(loss.contains(dropped) && loss.contains("hook input"), "{loss}");
        let twice = rules(Condition::Duplicate(percent(20))).unwrap();
        let sent = "meta mark set 0x6b62 counter name touched dup to eth0\n";
        assert!(twice.contains(sent) && twice.contains("hook egress device eth0"), "{twice}");
    }

    #[test]
    fn different_conditions_are_told_apart() {
        let (few, more) = (Condition::Reorder(percent(1)), Condition::Reorder(percent(2)));
        assert_ne!(handle(few), handle(more));
        assert_eq!(handle(few), handle(few));
        let (few, more) = (Condition::Loss(percent(1)), Condition::Loss(percent(2)));
        assert_ne!(table(few), table(more));
    }
}
