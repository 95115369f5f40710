//! The ZooKeeper session of a broker expires: the broker runs on, its registration is gone at once.

use std::time::Duration;

use async_trait::async_trait;
use results::record::event::{Detection, Effect, Risk, Takes};

use super::{Context, Fault, Victim};
use crate::evidence::Evidence;
use crate::port::{Capability, ErrorKind, PortError, Ports};
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

    async fn undo(&self, on: Context<'_>) -> Result<Vec<Undo>, PortError> {
        let undo = |victim: &Victim| Undo::AwaitUp { process: victim.process.clone() };
        Ok(on.victims.iter().map(undo).collect())
    }

    async fn inject(&self, on: Context<'_>) -> Result<(), PortError> {
        for victim in on.victims {
            let session = victim.session.ok_or_else(|| {
                let why = format!("{victim} has no registration whose session could expire");
                PortError::new(ErrorKind::Gone, why)
            })?;
            let expired = on.ports.metadata()?.expire_session(session).await;
            expired.map_err(|error| error.context(victim.to_string()))?;
        }
        Ok(())
    }

    async fn evidence(&self, on: Context<'_>) -> Result<Evidence, PortError> {
        let mut parts = vec![];
        for victim in on.victims {
            parts.push(lost(victim, on.ports).await);
        }
        Ok(Evidence::all(parts))
    }
}

/// Evidence that the session of before owns no registration any more.
async fn lost(victim: &Victim, ports: Ports<'_>) -> Evidence {
    let Some(before) = victim.session else {
        return Evidence::of(format!("{victim} had no session"), false);
    };
    Evidence::within(SEEN_LIMIT, VIEW_INTERVAL, async || {
        let view = ports.metadata()?.view().await?;
        let (line, lost) = match view.sessions.get(&victim.process.id) {
            None => (format!("the registration of {victim} by session {before:#x} is gone"), true),
            Some(now) if *now != before => {
                let other =
                    format!("{victim} is registered by session {now:#x}, no longer by {before:#x}");
                (other, true)
            }
            Some(_) => (format!("{victim} is still registered by session {before:#x}"), false),
        };
        Ok(Evidence::of(line, lost))
    })
    .await
}
