//! Changes of the cluster that go with steps.

use std::collections::BTreeMap;

use results::record::event::{ChangeMark, ChangeSeen, EventKind};
use tokio::time::{Instant, sleep};

use super::super::step::Stop;
use super::Run;
use crate::plan::ChangeStep;

impl Run<'_> {
    /// A change, from its start to the end of its `hold`.
    pub(super) async fn change(&self, change: &ChangeStep) {
        match self.due(change.start.as_ref()).await {
            Ok(()) => {
                self.marks(&change.id, |marks| marks.injected = Some(Instant::now()));
                let struck = || self.progress.borrow().struck_now().cloned().collect();
                if self.run_control.change(change, &struck).await {
                    // Whoever stops the plan meanwhile stops the pause only.
                    drop(self.unless_stopped(sleep(change.hold)).await);
                    self.marks(&change.id, |marks| marks.healed = Some(Instant::now()));
                }
            }
            Err(Stop::Unmet(reason)) => self.skip_change(change, &reason),
            Err(_) => self.skip_change(change, self.ends().as_deref().unwrap_or_default()),
        }
        self.marks(&change.id, |marks| marks.over = true);
    }

    /// Notes that a change is not made.
    pub(super) fn skip_change(&self, change: &ChangeStep, reason: &str) {
        self.nemesis.record(EventKind::Change(ChangeSeen {
            change: change.id.clone(),
            mark: ChangeMark::GivenUp,
            what: format!("it was not begun: {reason}"),
            leave: vec![],
            partitions: vec![],
            log_bytes: BTreeMap::new(),
            unseen: None,
        }));
    }
}
