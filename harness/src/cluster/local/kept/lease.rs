//! A file that whoever a cluster was started for holds locked. The kernel takes the lock back however that process
//! ends, and the cluster's keeper, which looks for it, ends the cluster then: nothing is left by who was killed.

use std::fs::File;
use std::io;
use std::path::Path;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};
use results::record::open;

/// Who only looks whether a file is locked holds its lock for less than this.
const LOOKED_AT: Duration = Duration::from_millis(200);

/// How often a lock that somebody has is tried again.
const LOOK: Duration = Duration::from_millis(20);

/// How often a keeper looks for its cluster's lease.
const LOOK_FOR_LEASE: Duration = Duration::from_millis(500);

/// The right to have a cluster run, until it is dropped.
#[derive(Debug)]
pub struct ClusterLease {
    _lock: Flock<File>,
}

impl ClusterLease {
    /// Takes it, and makes its file; `None` when somebody else has it.
    ///
    /// # Errors
    /// When the file cannot be made or locked.
    pub fn take(path: &Path) -> io::Result<Option<Self>> {
        let lock = exclusive(open::writable(path)?)?;
        Ok(lock.map(|lock| Self { _lock: lock }))
    }

    /// Whether somebody has it. Where that cannot be looked at, somebody may.
    pub fn is_held(path: &Path) -> bool {
        match open::file(path).map(|file| Flock::lock(file, FlockArg::LockSharedNonblock)) {
            Ok(taken) => taken.is_err(),
            Err(error) => error.kind() != io::ErrorKind::NotFound,
        }
    }

    /// Waits until nobody has it; for ever where a cluster has no lease.
    pub async fn lost(path: Option<&Path>) {
        let Some(path) = path else { return std::future::pending().await };
        while Self::is_held(path) {
            tokio::time::sleep(LOOK_FOR_LEASE).await;
        }
    }
}

/// Locks a file; `None` when somebody else has it locked.
pub(super) fn exclusive(mut file: File) -> io::Result<Option<Flock<File>>> {
    let deadline = Instant::now() + LOOKED_AT;
    loop {
        match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
            Ok(lock) => return Ok(Some(lock)),
            Err((_, Errno::EWOULDBLOCK)) if Instant::now() >= deadline => return Ok(None),
            Err((back, Errno::EWOULDBLOCK)) => file = back,
            Err((_, error)) => return Err(error.into()),
        }
        std::thread::sleep(LOOK);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::private::tests::own_place;
    use crate::runtime::runtime;

    #[test]
    fn a_lease_is_one_s_alone_and_lost_when_that_one_ends() {
        let place = own_place();
        let path = place.path().join("cluster.lock");
        assert!(!ClusterLease::is_held(&path), "there is none");
        let lease = ClusterLease::take(&path).unwrap().unwrap();
        assert!(ClusterLease::is_held(&path) && ClusterLease::take(&path).unwrap().is_none());
        let runtime = runtime().unwrap();
        let lost = |path: Option<&Path>| {
            let within = async {
                let lost = ClusterLease::lost(path);
                tokio::time::timeout(Duration::from_millis(50), lost).await.is_ok()
            };
            runtime.block_on(within)
        };
        assert!(!lost(Some(&path)) && !lost(None));
        drop(lease);
        assert!(lost(Some(&path)) && !lost(None), "a cluster without a lease stays");
    }
}
