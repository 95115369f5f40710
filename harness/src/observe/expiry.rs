//! A ZooKeeper session that is left to expire while the cluster warms up.
//!
//! The first session that a fresh ensemble expires takes it 5 to 11 ms from its decision to the
//! vanished znode (classes are loaded), every later one 2 to 5 ms. Servers that an operator trusts
//! have run for longer than ours: the first expiry is not left to a fault.

use std::time::Duration;

use zookeeper_client::{Acls, Client, CreateMode};

/// Shortest session that ZooKeeper grants: two ticks of 2 s.
const SESSION: Duration = Duration::from_secs(4);

/// Limit for opening the session.
const LIMIT: Duration = Duration::from_secs(10);

/// Opens a session with an ephemeral znode, and keeps it alive no longer. Nothing depends on whether
/// it works.
pub(super) fn expire_one_session(zookeeper: String) {
    let open = async move {
        let connect = Client::connector().with_session_timeout(SESSION).connect(&zookeeper);
        let client = connect.await.map_err(|error| error.to_string())?;
        let ephemeral = CreateMode::Ephemeral.with_acls(Acls::anyone_all());
        client.create("/kbench", b"", &ephemeral).await.map_err(|error| error.to_string())?;
        // Dropped, a client closes its session.
        std::mem::forget(client);
        Ok::<(), String>(())
    };
    let work = || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let outcome = runtime.map_err(|error| error.to_string()).and_then(|runtime| {
            runtime
                .block_on(async { tokio::time::timeout(LIMIT, open).await })
                .map_err(|_| "no answer".to_owned())?
            // The runtime ends here, and the connection with it.
        });
        if let Err(error) = outcome {
            tracing::warn!(%error, "no session to let expire");
        }
    };
    let thread = std::thread::Builder::new().name("first-expiry".to_owned()).spawn(work);
    if let Err(error) = thread {
        tracing::warn!(%error, "no session to let expire");
    }
}
