//! The ZooKeeper session of a broker expires: the broker runs on, its registration is gone at once.

use std::time::Duration;

use async_trait::async_trait;
use results::record::event::{Detection, Effect, Risk, Takes};
use tokio::time::{Instant, sleep};

use super::{Evidence, Fault, Victim};
use crate::port::{Capability, Cluster, PortError};
use crate::undo::{Undo, VIEW_INTERVAL};

/// Limit for the registration to vanish from the view. ZooKeeper removes a closed session's znodes
/// in the same transaction; the rest is the notification's way on a busy machine.
const SEEN_LIMIT: Duration = Duration::from_secs(5);

/// The fault.
#[derive(Debug)]
pub(super) struct ExpireSession;

#[async_trait(?Send)]
impl Fault for ExpireSession {
    fn name(&self) -> &'static str {
        "expire-session"
    }

    fn summary(&self) -> &'static str {
        "The ZooKeeper session of a broker expires at once; the broker runs on and opens another."
    }

    fn needs(&self) -> &'static [Capability] {
        &[Capability::ExpireSession]
    }

    fn effect(&self) -> Effect {
        Effect {
            takes: Takes::Registrations,
            detection: Detection::SessionClosed,
            risk: Risk::None,
        }
    }

    fn undo(&self, victims: &[Victim]) -> Vec<Undo> {
        victims.iter().map(|victim| Undo::AwaitUp { process: victim.process.clone() }).collect()
    }

    async fn inject(&self, victims: &[Victim], cluster: &dyn Cluster) -> Result<(), PortError> {
        for victim in victims {
            let session = victim.session.ok_or_else(|| {
                PortError(format!("{victim} has no registration whose session could expire"))
            })?;
            let expired = cluster.expire_session(session).await;
            expired.map_err(|error| PortError(format!("{victim}: {error}")))?;
        }
        Ok(())
    }

    async fn evidence(&self, victims: &[Victim], cluster: &dyn Cluster) -> Evidence {
        let mut parts = vec![];
        for victim in victims {
            parts.push(lost(victim, cluster).await);
        }
        Evidence::all(parts)
    }
}

/// Evidence that the session of before owns no registration any more.
async fn lost(victim: &Victim, cluster: &dyn Cluster) -> Evidence {
    let Some(before) = victim.session else {
        return Evidence::of(format!("{victim} had no session"), false);
    };
    let began = Instant::now();
    loop {
        let seen = match cluster.view().await {
            Ok(view) => match view.sessions.get(&victim.process.id) {
                None => {
                    let gone =
                        format!("the registration of {victim} by session {before:#x} is gone");
                    return Evidence::of(gone, true);
                }
                Some(now) if *now != before => {
                    let other = format!(
                        "{victim} is registered by session {now:#x}, no longer by {before:#x}"
                    );
                    return Evidence::of(other, true);
                }
                Some(_) => format!("{victim} is still registered by session {before:#x}"),
            },
            Err(error) => error.to_string(),
        };
        if began.elapsed() >= SEEN_LIMIT {
            return Evidence::of(seen, false);
        }
        sleep(VIEW_INTERVAL).await;
    }
}
