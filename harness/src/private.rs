//! Folders that nobody but this user can have put anything into: the only ones in which something is
//! deleted, or by whose word a process is ended.
//!
//! They are opened without following links (see [`results::record::open`]) and looked at through the
//! handle, so that it does not matter what becomes of their names meanwhile.

use std::ffi::OsStr;
use std::fs::{self, DirBuilder};
use std::io;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::Path;

use nix::errno::Errno;
use nix::fcntl::AtFlags;
use nix::sys::stat::{FileStat, SFlag, fstat, fstatat};
use nix::unistd::{Uid, UnlinkatFlags, geteuid, unlinkat};
use results::record::open;

/// Most levels of folders in what is deleted; servers' data has four.
const MOST_LEVELS: u32 = 32;

/// Most files of a folder in what is deleted.
const MOST_FILES: usize = 1_000_000;

/// Permissions by which others could have put something into a folder.
const OTHERS_WRITE: u32 = 0o022;

/// Opens a folder of this user's alone.
///
/// # Errors
/// When it cannot be opened, is somebody else's, others may write into it, or a link is on the way.
pub(crate) fn folder(path: &Path) -> io::Result<OwnedFd> {
    let opened = open::folder(path)?;
    alone(&fstat(&opened)?)?;
    Ok(opened)
}

/// Whether a folder is another user's, and so that one's to look after.
pub(crate) fn is_of_another_user(path: &Path) -> bool {
    open::folder(path)
        .and_then(|opened| Ok(fstat(&opened)?))
        .is_ok_and(|found| found.st_uid != geteuid().as_raw())
}

fn alone(found: &FileStat) -> io::Result<()> {
    let refused = |what: String| Err(io::Error::new(io::ErrorKind::PermissionDenied, what));
    if found.st_uid != geteuid().as_raw() {
        let owner = Uid::from_raw(found.st_uid);
        return refused(format!("it belongs to another user ({owner})"));
    }
    if found.st_mode & OTHERS_WRITE != 0 {
        return refused("other users may write into it".to_owned());
    }
    Ok(())
}

/// Deletes the folder `name` in the folder `parent`, which is this user's alone, and all that is in it;
/// whether there was one. Links in it are deleted, and never followed; nothing of another file system is.
///
/// # Errors
/// When something of it cannot be deleted, or is no folder of this user's on the same file system.
pub(crate) fn remove(parent: &Path, name: &str) -> io::Result<bool> {
    let parent = match folder(parent) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        parent => parent?,
    };
    match fstatat(&parent, name, AtFlags::AT_SYMLINK_NOFOLLOW) {
        Err(Errno::ENOENT) => return Ok(false),
        found => found?,
    };
    let device = fstat(&parent)?.st_dev;
    remove_folder(parent.as_fd(), OsStr::new(name), device, MOST_LEVELS)?;
    Ok(true)
}

/// Deletes what is in a folder that is this user's alone.
///
/// # Errors
/// As [`remove`].
pub(crate) fn clear(path: &Path) -> io::Result<()> {
    let folder = folder(path)?;
    clear_folder(folder.as_fd(), fstat(&folder)?.st_dev, MOST_LEVELS)
}

/// Makes a folder that is this user's alone, unless it is there. Those above it that are missing are made
/// as the umask says.
///
/// # Errors
/// When it cannot be made.
pub(crate) fn create(path: &Path) -> io::Result<()> {
    path.parent().map_or(Ok(()), fs::create_dir_all)?;
    match DirBuilder::new().mode(0o700).create(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && path.is_dir() => Ok(()),
        created => created,
    }
}

fn remove_folder(parent: BorrowedFd<'_>, name: &OsStr, device: u64, levels: u32) -> io::Result<()> {
    let refused = |what: &str| {
        let what = format!("`{}` {what}", name.to_string_lossy());
        Err(io::Error::new(io::ErrorKind::PermissionDenied, what))
    };
    if levels == 0 {
        return refused("has more folders in each other than kbench makes");
    }
    let folder = open::enter(parent, name)?;
    let found = fstat(&folder)?;
    if found.st_dev != device {
        return refused("is on another file system");
    }
    // Under root the servers' data belong to the user whom they ran as, in a folder of root's alone.
    let of_servers = geteuid().is_root() && levels < MOST_LEVELS;
    if found.st_uid != geteuid().as_raw() && !of_servers {
        return refused("belongs to another user");
    }
    clear_folder(folder.as_fd(), device, levels - 1)?;
    Ok(unlinkat(parent, name, UnlinkatFlags::RemoveDir)?)
}

fn clear_folder(folder: BorrowedFd<'_>, device: u64, levels: u32) -> io::Result<()> {
    for inside in open::names_in(folder, MOST_FILES)? {
        let inside = inside.as_os_str();
        let mode = fstatat(folder, inside, AtFlags::AT_SYMLINK_NOFOLLOW)?.st_mode;
        if SFlag::from_bits_truncate(mode) & SFlag::S_IFMT == SFlag::S_IFDIR {
            remove_folder(folder, inside, device, levels)?;
        } else {
            unlinkat(folder, inside, UnlinkatFlags::NoRemoveDir)?;
        }
    }
    Ok(())
}

#[cfg(test)]
pub(crate) mod tests {
    use std::fs::{self, Permissions};
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    use super::*;

    /// A new folder that is this user's alone, whatever the umask.
    pub(crate) fn own_place() -> tempfile::TempDir {
        let own = Permissions::from_mode(0o700);
        tempfile::Builder::new().permissions(own).tempdir().unwrap()
    }

    #[test]
    fn what_is_deleted_is_a_folder_s_own_and_never_what_a_link_leads_to() {
        let place = own_place();
        let at = |name: &str| place.path().join(name);
        fs::create_dir_all(at("trial/data/a/b")).unwrap();
        fs::set_permissions(at("trial"), Permissions::from_mode(0o700)).unwrap();
        fs::create_dir_all(at("victim/data")).unwrap();
        fs::write(at("victim/data/file"), "kept").unwrap();
        symlink(at("victim"), at("trial/data/a/folder")).unwrap();
        symlink(at("victim/data/file"), at("trial/data/a/b/file")).unwrap();
        symlink(at("victim"), at("link")).unwrap();
        assert!(remove(&at("trial"), "data").unwrap());
        assert!(!at("trial/data").exists() && !remove(&at("trial"), "data").unwrap());
        symlink(at("victim/data"), at("trial/data")).unwrap();
        assert!(remove(&at("trial"), "data").is_err(), "data is a link");
        assert!(remove(&at("link"), "data").is_err(), "the trial is a link");
        assert!(remove(&at("link/."), "data").is_err(), "the trial is a link");
        assert_eq!(fs::read_to_string(at("victim/data/file")).unwrap(), "kept");
        assert!(!remove(&at("missing"), "data").unwrap());
    }

    #[test]
    fn nothing_is_deleted_where_others_may_write() {
        let place = own_place();
        let trial = place.path().join("trial");
        fs::create_dir_all(trial.join("data")).unwrap();
        for mode in [0o777, 0o775, 0o757, 0o1777] {
            fs::set_permissions(&trial, Permissions::from_mode(mode)).unwrap();
            let error = remove(&trial, "data").unwrap_err().to_string();
            assert!(error.contains("other users may write"), "{error}");
        }
        fs::set_permissions(&trial, Permissions::from_mode(0o755)).unwrap();
        assert!(remove(&trial, "data").unwrap());
        if !geteuid().is_root() {
            assert!(is_of_another_user(Path::new("/")) && folder(Path::new("/")).is_err());
        }
    }

    #[test]
    fn what_lies_too_deep_or_on_another_file_system_is_left() {
        let place = own_place();
        let deep = "d/".repeat(MOST_LEVELS as usize + 1);
        fs::create_dir_all(place.path().join("data").join(deep)).unwrap();
        assert!(remove(place.path(), "data").is_err());
        let parent = folder(place.path()).unwrap();
        let other = remove_folder(parent.as_fd(), OsStr::new("data"), 0, 9).unwrap_err();
        assert!(other.to_string().contains("another file system"), "{other}");
    }
}
