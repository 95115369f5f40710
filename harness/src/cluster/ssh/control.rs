//! Folders of control sockets, one a connection: in the folder of temporary files of kbench's own machine, for the
//! path of a socket has 107 bytes at most.
//!
//! Whoever has one holds a lock on it, which the kernel lets go of however kbench ends. What nobody holds is removed by
//! the next connection, and by `kbench heal`.

use std::fs;
use std::io::{self, ErrorKind};
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg, OFlag, openat};
use nix::sys::stat::Mode;
use tempfile::TempDir;

use crate::private;

/// What their names begin with.
const PREFIX: &str = "kbench-control-";

/// A folder for a control socket, which is removed with this.
pub(super) struct ControlFolder {
    dir: TempDir,
    /// Let go of when the folder is gone.
    _held: Flock<OwnedFd>,
}

impl ControlFolder {
    /// Makes one, and removes what others have left.
    ///
    /// # Errors
    /// When it cannot be made.
    pub(super) fn make() -> io::Result<Self> {
        let place = place()?;
        sweep_in(&place);
        Self::make_in(&place)
    }

    fn make_in(place: &Path) -> io::Result<Self> {
        loop {
            let alone = fs::Permissions::from_mode(0o700);
            let dir =
                tempfile::Builder::new().prefix(PREFIX).permissions(alone).tempdir_in(place)?;
            // Before it is held, another kbench may take it for one that is left.
            match hold(dir.path()) {
                Ok(Some(held)) if dir.path().exists() => return Ok(Self { dir, _held: held }),
                Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
    }

    /// Where it is.
    pub(super) fn path(&self) -> &Path {
        self.dir.path()
    }
}

/// Removes what connections have left whose kbench was killed; the folders.
///
/// # Errors
/// When there is no folder of temporary files.
pub fn sweep() -> io::Result<Vec<PathBuf>> {
    Ok(sweep_in(&place()?))
}

fn place() -> io::Result<PathBuf> {
    fs::canonicalize(std::env::temp_dir())
}

fn sweep_in(place: &Path) -> Vec<PathBuf> {
    let is_ours = |name: &fs::DirEntry| name.file_name().to_string_lossy().starts_with(PREFIX);
    let all = fs::read_dir(place).into_iter().flatten().flatten().filter(is_ours);
    // Those of other users are theirs.
    all.map(|entry| entry.path()).filter(|path| removed(path).unwrap_or(false)).collect()
}

/// Removes a folder, unless somebody holds it; whether it was.
fn removed(path: &Path) -> io::Result<bool> {
    let Some(_held) = hold(path)? else { return Ok(false) };
    private::clear(path)?;
    fs::remove_dir(path)?;
    Ok(true)
}

/// Holds a folder of this user's alone; none when somebody else does.
fn hold(path: &Path) -> io::Result<Option<Flock<OwnedFd>>> {
    let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
    let opened = openat(private::folder(path)?, ".", flags, Mode::empty())?;
    match Flock::lock(opened, FlockArg::LockExclusiveNonblock) {
        Ok(held) => Ok(Some(held)),
        Err((_, Errno::EWOULDBLOCK)) => Ok(None),
        Err((_, error)) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsRawFd as _;
    use std::os::unix::fs::symlink;
    use std::os::unix::net::UnixListener;
    use std::process::{Command, Stdio};
    use std::time::Duration;

    use nix::unistd::close;

    use super::*;

    #[test]
    fn what_nobody_holds_is_removed_and_nothing_else() {
        let place = tempfile::tempdir().unwrap();
        let held = ControlFolder::make_in(place.path()).unwrap();
        let left = place.path().join(format!("{PREFIX}left"));
        private::create(&left).unwrap();
        let socket = UnixListener::bind(left.join("s")).unwrap();
        fs::write(left.join("log"), "").unwrap();
        let other = place.path().join("kbench-other");
        private::create(&other).unwrap();
        symlink(&other, place.path().join(format!("{PREFIX}link"))).unwrap();
        fs::write(other.join("file"), "").unwrap();
        assert_eq!(sweep_in(place.path()), [left]);
        assert!(held.path().exists() && other.join("file").exists());
        drop((held, socket));
        assert!(sweep_in(place.path()).is_empty());
    }

    #[test]
    fn a_kbench_that_is_killed_holds_nothing_by_what_it_has_started() {
        let place = tempfile::tempdir().unwrap();
        let ControlFolder { dir, _held: held } = ControlFolder::make_in(place.path()).unwrap();
        let mut child = Command::new("cat").stdin(Stdio::piped()).spawn().unwrap();
        // As the kernel does it: nothing is unlocked or removed.
        let (file, path) = (held.as_raw_fd(), dir.keep());
        std::mem::forget(held);
        close(file).unwrap();
        // What another test forks has a copy of the descriptor until it executes something, and so the lock.
        let swept = (0..1000).map(|_| sweep_in(place.path())).find(|swept| {
            let is_held = swept.is_empty();
            is_held.then(|| std::thread::sleep(Duration::from_millis(10)));
            !is_held
        });
        assert_eq!(swept.unwrap_or_default(), [path]);
        child.kill().unwrap();
        child.wait().unwrap();
    }
}
