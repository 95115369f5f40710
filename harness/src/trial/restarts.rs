//! Restart policies of containers that are not kbench's: while faults kill what is in them, no engine starts it again.
//! That they are given back is in the ledger before they are taken.

use faults::ledger::{Ledger, LedgerError};
use results::record::trial::LEDGER;

use super::lab::Lab;
use crate::failure::Failure;
use crate::heal::owner;
use crate::spec::RunSpec;

/// What the ledger calls it.
const HOLDING: &str = "restart-policies";

/// Keeps whoever starts servers again by himself from it, where the cluster has such.
///
/// # Errors
/// An infrastructure failure when it cannot be written down, or is not done.
pub(super) async fn hold(lab: &Lab, spec: &RunSpec, number: u32) -> Result<(), Failure> {
    let undos = lab.cluster.restarts();
    if undos.is_empty() {
        return Ok(());
    }
    let broken = |error: LedgerError| Failure::infrastructure(error.to_string());
    let mut ledger = Ledger::open(&lab.files.join(LEDGER), owner(spec, number)).map_err(broken)?;
    let tag = ledger.tag();
    ledger.plan(&tag, HOLDING, lab.recorder.clock().now(), undos).map_err(broken)?;
    lab.cluster.hold_restarts().await
}
