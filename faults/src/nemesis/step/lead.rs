//! Where a step's target is a leader and the cluster happens to have none that fits, one is made: few
//! partitions would else be a target of chance.

use super::{Stepper, Stop};
use crate::target::Target;
use crate::undo::Undo;

impl Stepper<'_, '_> {
    /// Moves the leadership of a partition for each target that names nobody without. The preferred
    /// leaders are in the ledger before, and lead again after the heal.
    pub(super) async fn lead_as_wanted(&self) -> Result<(), Stop> {
        if !self.targets.iter().any(Target::depends_on_leaders) {
            return Ok(());
        }
        let (all, view) =
            self.view().await.map_err(|e| self.failed("look at the partitions' leaders", e))?;
        let unmet =
            self.targets.iter().filter(|target| target.resolve(&view, &all, self.seed).is_err());
        let wanted: Vec<_> =
            unmet.filter_map(|target| target.wanted_leader(&view, self.seed)).collect();
        let preferred = self.metadata()?.assignment();
        let mut assignment = preferred.clone();
        for (partition, leader) in wanted {
            let Some(replicas) = assignment.get_mut(&partition) else { continue };
            replicas.retain(|replica| *replica != leader);
            replicas.insert(0, leader);
        }
        if assignment == preferred {
            return Ok(());
        }
        self.plan(&self.tag(), &[Undo::RestoreLeaders { assignment: preferred }])?;
        let moved = self.metadata()?.assign(&assignment).await;
        moved.map_err(|e| self.failed("move leadership to where the target needs it", e))?;
        self.steady().await
    }
}
