//! The changes of a plan, one after the other, under load: each waits for a steady cluster, is made, and is
//! recorded with the cluster before and after it. An interrupt is heeded between them; one that is begun is
//! brought to its end.

use std::time::Duration;

use faults::plan::ChangeStep;
use faults::port::RunControl as _;
use results::record::event::{ChangeMark, ChangeSeen, EventKind};
use tokio::time::{Instant, sleep};

use super::lab::Lab;
use super::run_control::TrialRunControl;
use crate::failure::Failure;

/// Limit for the cluster to be steady before and after a change: replicas copy under load.
const STEADY_LIMIT: Duration = Duration::from_secs(120);

/// How often a pause looks for an interrupt.
const LOOK: Duration = Duration::from_millis(50);

impl Lab {
    /// Makes the changes; those behind an interrupt are left.
    ///
    /// # Errors
    /// When the cluster is not steady in time, or a change fails; it is recorded as given up then.
    pub(super) async fn make_all(
        &self,
        changes: &[ChangeStep],
        run_control: &TrialRunControl,
    ) -> Result<(), Failure> {
        for step in changes {
            run_control.steady(STEADY_LIMIT).await?;
            if run_control.interrupted() {
                return Ok(());
            }
            let text = format!("{:?}", step.change);
            self.record_change(step, ChangeMark::Began, text.clone()).await;
            let mut made = self.make(&step.change).await;
            if made.is_ok() {
                made = run_control.steady(STEADY_LIMIT).await;
            }
            let (mark, text) = match &made {
                Ok(()) => (ChangeMark::Done, text),
                Err(error) => (ChangeMark::GivenUp, format!("{text}: {error}")),
            };
            self.record_change(step, mark, text).await;
            made.map_err(|error| error.context(format!("change \"{}\"", step.id)))?;
            let until = Instant::now() + step.hold;
            while Instant::now() < until && !run_control.interrupted() {
                sleep(LOOK).await;
            }
        }
        Ok(())
    }

    /// Records a change, stamped before anything is asked about the cluster.
    async fn record_change(&self, step: &ChangeStep, mark: ChangeMark, what: String) {
        let at = self.recorder.clock().now();
        let topic = self.members.topics().into_iter().next().unwrap_or_default();
        let (partitions, bytes) =
            (self.admin.placement(&topic).await, self.admin.log_bytes(&topic).await);
        let why = [partitions.as_ref().err(), bytes.as_ref().err()];
        let why: Vec<_> = why.into_iter().flatten().map(ToString::to_string).collect();
        let seen = ChangeSeen {
            change: step.id.clone(),
            mark,
            what,
            partitions: partitions.unwrap_or_default(),
            log_bytes: bytes.unwrap_or_default(),
            unseen: (!why.is_empty()).then(|| why.join("; ")),
        };
        self.recorder.at(at, EventKind::Change(seen));
    }
}
