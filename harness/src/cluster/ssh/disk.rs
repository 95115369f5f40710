//! Disks of servers' data: one that is full ends a server, whatever Kafka is like.

use std::path::Path;
use std::rc::Weak;
use std::time::Duration;

use tokio::time::sleep;

use super::look::free_mb_in;
use super::node::SshNode;

/// How often they are looked at.
const LOOK: Duration = Duration::from_secs(3);

/// Below this many megabytes a disk is full: a segment's index is mapped with that size (`segment.index.bytes`), and a
/// JVM that finds no place for a page of it ends.
const LEAST_FREE_MB: u64 = 10;

/// Looks after the disks of a machine for as long as somebody has it. What is not known of one is nothing against it.
pub(super) async fn watch(node: Weak<SshNode>) {
    while let Some(node) = node.upgrade() {
        for data in &node.data {
            let free = free_mb_in(&node.host, data).await;
            if let Some(what) = free.ok().and_then(Result::ok).and_then(|free| full(free, data)) {
                let what = format!("a disk of {} is full: {what}", node.host.name_of());
                node.lose(what, "free some there: a server that cannot write ends");
            }
        }
        drop(node);
        sleep(LOOK).await;
    }
}

/// That a disk is full, in words.
fn full(free_mb: u64, data: &Path) -> Option<String> {
    let data = data.display();
    let words = || format!("{free_mb} MB are free in {data}, and {LEAST_FREE_MB} MB are needed");
    (free_mb < LEAST_FREE_MB).then(words)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_disk_is_full_when_nothing_more_can_be_mapped() {
        let of = |free| full(free, Path::new("/var/lib/kafka"));
        assert_eq!(of(10), None);
        let words = "9 MB are free in /var/lib/kafka, and 10 MB are needed";
        assert_eq!(of(9).as_deref(), Some(words));
    }
}
