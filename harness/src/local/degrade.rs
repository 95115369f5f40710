//! Degraded links, by the first of these that the kernel has for it: rules of `nft` for loss and
//! duplicates, a queueing discipline for rates, delay and reordering, a queue of ours for the latter.
//!
//! Loss, and a queue of ours, act on what a node gets; the rest on what it sends.

use std::collections::BTreeMap;
use std::io;
use std::time::Instant;

use faults::degrade::{Condition, Degradation, Degraded};
use futures::future::join_all;

use super::LocalCluster;
use super::queue::{Manner, Queue};
use crate::failure::Failure;
use crate::sandbox::{LINK, OBSERVER, inside, shape};

/// How long a packet that others overtake is held: longer than they are apart under load.
const OVERTAKEN_MS: u64 = 10;

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
            let netem = condition_is_rate(condition)
                || self.inside_node(node, || Ok(shape::has_netem())).await?;
            if netem {
                let words = qdisc(condition);
                return self.inside_node(node, move || shape::add_qdisc(&words)).await;
            }
            if self.queues.borrow().contains_key(node) {
                return Err(io::Error::other(format!("packets of {node} are queued already")));
            }
            let queue = Queue::start(self.namespace_of(node)?, manner(condition)).await?;
            self.queues.borrow_mut().insert(node.clone(), queue);
            self.inside_node(node, shape::divert).await
        });
        join_all(each).await.into_iter().collect()
    }

    async fn unshape(&self, degradation: &Degradation) -> io::Result<()> {
        let rate = condition_is_rate(degradation.condition);
        let each = degradation.nodes.iter().map(async |node| {
            self.inside_node(node, shape::remove_qdisc).await?;
            if rate {
                return Ok(());
            }
            let queue = self.queues.borrow_mut().remove(node);
            if let Some(queue) = queue {
                // First, so that nothing new comes to the queue.
                self.inside_node(node, shape::divert_no_longer).await?;
                queue.end().await;
            }
            Ok(())
        });
        join_all(each).await.into_iter().collect()
    }

    async fn shaped(&self, degradation: &Degradation) -> io::Result<BTreeMap<String, Degraded>> {
        let rate = condition_is_rate(degradation.condition);
        let kind = if rate { "tbf" } else { "netem" };
        let mut shaped = BTreeMap::new();
        for node in &degradation.nodes {
            if let Some(done) = self.inside_node(node, move || shape::qdisc(kind)).await? {
                let touched = if rate { done.overlimits } else { done.packets };
                shaped.insert(node.clone(), Degraded { by: kind, touched, seen: done.packets });
            } else if let Some(queue) = self.queues.borrow().get(node).filter(|_| !rate) {
                let (touched, seen) = queue.counts();
                shaped.insert(node.clone(), Degraded { by: "NFQUEUE", touched, seen });
            }
        }
        Ok(shaped)
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

fn condition_is_rate(condition: Condition) -> bool {
    matches!(condition, Condition::Rate(_))
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

/// The queueing discipline of a condition.
fn qdisc(condition: Condition) -> String {
    match condition {
        Condition::Rate(rate) => format!("tbf rate {}bit burst {BURST} latency 1s", rate * 8),
        Condition::Delay(delay) => {
            let (by, jitter) = (delay.by.as_micros(), delay.jitter.as_micros());
            format!("netem limit 100000 delay {by}us {jitter}us")
        }
        Condition::Reorder(percent) => {
            let at_once = 100 - percent.get();
            format!("netem limit 100000 delay {OVERTAKEN_MS}ms reorder {at_once}%")
        }
        Condition::Loss(percent) => format!("netem loss {}%", percent.get()),
        Condition::Duplicate(percent) => format!("netem duplicate {}%", percent.get()),
    }
}

/// The same for a queue of ours.
fn manner(condition: Condition) -> Manner {
    match condition {
        Condition::Delay(delay) => Manner { percent: 100, by: delay.by, jitter: delay.jitter },
        Condition::Loss(percent) | Condition::Duplicate(percent) | Condition::Reorder(percent) => {
            let by = std::time::Duration::from_millis(OVERTAKEN_MS);
            Manner { percent: percent.get(), by, jitter: std::time::Duration::ZERO }
        }
        Condition::Rate(_) => Manner::default(),
    }
}

fn cannot(action: &str, degradation: &Degradation, error: io::Error) -> Failure {
    Failure::infrastructure(format!("cannot {action} ({degradation}): {error}"))
}
