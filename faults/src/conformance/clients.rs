//! Clients of the load: as they started, unless they are changed.

use futures::FutureExt as _;

use super::bench::{Bench, eventually, wants};
use super::{Case, Checked};
use crate::port::Subject::Clients as OF;

pub(super) fn cases() -> Vec<Case> {
    vec![Case::new(OF, "they are as they started, and restored to nothing else", &[], |b| {
        unchanged(b).boxed_local()
    })]
}

async fn unchanged(bench: &Bench<'_>) -> Checked {
    let clients = bench.ports().clients()?;
    for time in ["at the start", "when they are restored", "when they are restored once more"] {
        eventually(async || {
            let seen = clients.observe(None).await?;
            wants(seen.in_force, || format!("{time}: {}", seen.line))
        })
        .await?;
        clients.restore().await?;
    }
    Ok(())
}
