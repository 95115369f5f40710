//! How files of a record are opened, read and written: a run's directory may be a stranger's.
//!
//! No symbolic link is followed, neither the file itself nor a folder on the way to it; what is no regular
//! file is refused before it is opened, so that a FIFO blocks nobody and a device does nothing. What is
//! read whole has a limit, see [`budget`](super::budget). What is written whole is there as it was or as it
//! is, whenever the machine stops.
//!
//! Paths of runs are made free of links where they are found; so a link that is met here was put there.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, BufWriter, Read as _, Write as _};
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::path::{Component, Path};

use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, AtFlags, OFlag, openat, renameat};
use nix::sys::stat::{Mode, SFlag, fstat, fstatat};
use nix::unistd::{UnlinkatFlags, unlinkat};

/// What is common to all opened files: no link, no waiting for the other end, no terminal of ours.
const CAREFULLY: OFlag =
    OFlag::O_NOFOLLOW.union(OFlag::O_NONBLOCK).union(OFlag::O_NOCTTY).union(OFlag::O_CLOEXEC);

/// Permissions of a new file before the umask.
const PERMISSIONS: Mode =
    Mode::S_IRUSR.union(Mode::S_IWUSR).union(Mode::S_IRGRP).union(Mode::S_IROTH);

/// Opens a folder: a handle for what is in it, whatever becomes of its name.
///
/// # Errors
/// When it cannot be opened, or a link is on the way.
pub fn folder(path: &Path) -> io::Result<OwnedFd> {
    let mut folder: Option<OwnedFd> = None;
    for component in path.components() {
        let name = match component {
            Component::RootDir => OsStr::new("/"),
            Component::CurDir => OsStr::new("."),
            Component::ParentDir => OsStr::new(".."),
            Component::Normal(name) => name,
            Component::Prefix(_) => return Err(io::ErrorKind::InvalidInput.into()),
        };
        folder = Some(enter(folder.as_ref().map_or(AT_FDCWD, |folder| folder.as_fd()), name)?);
    }
    folder.map_or_else(|| enter(AT_FDCWD, OsStr::new(".")), Ok)
}

/// Opens the folder `name` in another one.
///
/// # Errors
/// When it cannot be opened, or is none.
pub fn enter(parent: BorrowedFd<'_>, name: &OsStr) -> io::Result<OwnedFd> {
    let flags = OFlag::O_PATH | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    let opened = openat(parent, name, flags, Mode::empty())?;
    match kind(fstat(&opened)?.st_mode) {
        SFlag::S_IFDIR => Ok(opened),
        other => Err(refused(name, other, "a folder")),
    }
}

/// Opens a file to read it.
///
/// # Errors
/// When it cannot be opened, is no regular file, or a link is on the way.
pub fn file(path: &Path) -> io::Result<File> {
    let (folder, name) = place(path)?;
    opened(folder.as_fd(), name, OFlag::O_RDONLY)
}

/// Opens a file to read and write it; one that is not there is made.
///
/// # Errors
/// As [`file`].
pub fn writable(path: &Path) -> io::Result<File> {
    let (folder, name) = place(path)?;
    opened(folder.as_fd(), name, OFlag::O_RDWR | OFlag::O_CREAT)
}

/// Opens a file to append to it; one that is not there is made.
///
/// # Errors
/// As [`file`].
pub fn appended(path: &Path) -> io::Result<File> {
    let (folder, name) = place(path)?;
    opened(folder.as_fd(), name, OFlag::O_WRONLY | OFlag::O_APPEND | OFlag::O_CREAT)
}

/// Makes a file to append to it.
///
/// # Errors
/// When there is one, or it cannot be made, or a link is on the way.
pub fn created(path: &Path) -> io::Result<File> {
    let (folder, name) = place(path)?;
    let flags = OFlag::O_WRONLY | OFlag::O_APPEND | OFlag::O_CREAT | OFlag::O_EXCL | CAREFULLY;
    Ok(File::from(openat(folder.as_fd(), name, flags, PERMISSIONS)?))
}

/// Reads a file whole that has `most` bytes at most.
///
/// # Errors
/// As [`file`]; when it is longer.
pub fn read(path: &Path, most: u64) -> io::Result<Vec<u8>> {
    let file = file(path)?;
    let bytes = file.metadata()?.len();
    let longer = || {
        let what = format!("it has {bytes} bytes, and kbench reads {most} of such a file at most");
        io::Error::new(io::ErrorKind::FileTooLarge, what)
    };
    if bytes > most {
        return Err(longer());
    }
    let mut read = Vec::with_capacity(bytes as usize);
    // It may grow meanwhile.
    file.take(most.saturating_add(1)).read_to_end(&mut read)?;
    if read.len() as u64 > most { Err(longer()) } else { Ok(read) }
}

/// The same as text.
///
/// # Errors
/// As [`read`]; when it is none.
pub fn read_text(path: &Path, most: u64) -> io::Result<String> {
    String::from_utf8(read(path, most)?)
        .map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "it is no UTF-8 text"))
}

/// Names of what is in a folder, in no order, where there are `most` at most.
///
/// # Errors
/// When it cannot be listed, holds more, or a link is on the way.
pub fn names(path: &Path, most: usize) -> io::Result<Vec<OsString>> {
    names_in(folder(path)?.as_fd(), most)
}

/// The same of a folder that is open.
///
/// # Errors
/// As [`names`].
pub fn names_in(folder: BorrowedFd<'_>, most: usize) -> io::Result<Vec<OsString>> {
    let mut names = vec![];
    for entry in std::fs::read_dir(magic(folder))? {
        if names.len() == most {
            let what = format!("it holds more than {most} files, and kbench reads no more");
            return Err(io::Error::new(io::ErrorKind::FileTooLarge, what));
        }
        names.push(entry?.file_name());
    }
    Ok(names)
}

/// Writes a file whole: under a temporary name, synced, renamed, and its folder synced. A crash leaves the
/// old one, or the new one; a link of its name is replaced, not followed.
///
/// # Errors
/// When it cannot be written, or a link is on the way.
pub fn write_whole(
    path: &Path,
    write: impl FnOnce(&mut BufWriter<File>) -> io::Result<()>,
) -> io::Result<()> {
    let (folder, name) = place(path)?;
    let folder = folder.as_fd();
    let temporary = format!(".{}.{}.tmp", name.to_string_lossy(), std::process::id());
    let temporary = temporary.as_str();
    let attempt = || {
        // One of a process of the same id that was killed.
        unlinkat(folder, temporary, UnlinkatFlags::NoRemoveDir).ok();
        let flags = OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_EXCL | CAREFULLY;
        let mut out = BufWriter::new(File::from(openat(folder, temporary, flags, PERMISSIONS)?));
        write(&mut out)?;
        out.into_inner().map_err(io::IntoInnerError::into_error)?.sync_all()?;
        renameat(folder, temporary, folder, name)?;
        sync(folder)
    };
    attempt().inspect_err(|_| {
        // The first error is the one to tell; a left-over temporary file does no harm.
        unlinkat(folder, temporary, UnlinkatFlags::NoRemoveDir).ok();
    })
}

/// Writes these bytes as a file, whole.
///
/// # Errors
/// As [`write_whole`].
pub fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    write_whole(path, |out| out.write_all(bytes))
}

/// Waits until what is in a folder, as its list says, is on disk.
///
/// # Errors
/// When that cannot be done.
pub fn sync(folder: BorrowedFd<'_>) -> io::Result<()> {
    let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
    File::from(openat(folder, ".", flags, Mode::empty())?).sync_all()
}

/// A path that leads to an open folder, for what takes no handle.
pub fn magic(folder: BorrowedFd<'_>) -> std::path::PathBuf {
    use std::os::fd::AsRawFd as _;
    format!("/proc/self/fd/{}", folder.as_raw_fd()).into()
}

/// The folder of a file, opened, and the file's name in it.
fn place(path: &Path) -> io::Result<(OwnedFd, &OsStr)> {
    let name = path.file_name().ok_or(io::ErrorKind::InvalidInput)?;
    Ok((folder(path.parent().unwrap_or(Path::new("")))?, name))
}

fn opened(folder: BorrowedFd<'_>, name: &OsStr, flags: OFlag) -> io::Result<File> {
    let checked = |mode| match kind(mode) {
        SFlag::S_IFREG => Ok(()),
        other => Err(refused(name, other, "a file")),
    };
    match fstatat(folder, name, AtFlags::AT_SYMLINK_NOFOLLOW) {
        Ok(found) => checked(found.st_mode)?,
        Err(Errno::ENOENT) if flags.contains(OFlag::O_CREAT) => {}
        Err(error) => return Err(error.into()),
    }
    let file = openat(folder, name, flags | CAREFULLY, PERMISSIONS)?;
    // Another one may have been put there meanwhile.
    checked(fstat(&file)?.st_mode)?;
    Ok(File::from(file))
}

fn kind(mode: nix::libc::mode_t) -> SFlag {
    SFlag::from_bits_truncate(mode) & SFlag::S_IFMT
}

fn refused(name: &OsStr, kind: SFlag, wanted: &str) -> io::Error {
    let is = match kind {
        SFlag::S_IFLNK => "a symbolic link, which kbench does not follow in a run's directory",
        SFlag::S_IFDIR => "a folder",
        SFlag::S_IFIFO => "a FIFO",
        SFlag::S_IFSOCK => "a socket",
        SFlag::S_IFCHR | SFlag::S_IFBLK => "a device",
        SFlag::S_IFREG => "a file",
        _ => "of no known kind",
    };
    let what = format!("`{}` is {is}, not {wanted}", name.to_string_lossy());
    io::Error::new(io::ErrorKind::InvalidInput, what)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;
    use std::os::unix::net::UnixListener;

    use nix::unistd::mkfifo;

    use super::*;

    /// A folder with a file, and with everything that is none.
    fn place() -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        fs::create_dir(at("real")).unwrap();
        fs::write(at("real/file"), "text").unwrap();
        symlink(at("real"), at("folder-link")).unwrap();
        symlink("real/file", at("link")).unwrap();
        symlink("nowhere", at("loose")).unwrap();
        mkfifo(&at("fifo"), Mode::S_IRWXU).unwrap();
        UnixListener::bind(at("socket")).unwrap();
        symlink("/dev/zero", at("device")).unwrap();
        dir
    }

    const NO_FILES: [&str; 8] =
        ["link", "loose", "fifo", "socket", "device", "real", "folder-link", "folder-link/file"];

    #[test]
    fn nothing_but_a_file_is_opened_and_no_link_is_followed() {
        let dir = place();
        assert_eq!(read(&dir.path().join("real/file"), 4).unwrap(), b"text");
        assert_eq!(read(&dir.path().join("real/../real/./file"), 9).unwrap(), b"text");
        for name in NO_FILES {
            let path = dir.path().join(name);
            for opened in [file(&path), writable(&path), appended(&path), created(&path)] {
                assert!(opened.is_err(), "{name}");
            }
        }
        assert!(!dir.path().join("nowhere").exists());
        let error = file(Path::new("/dev/zero")).unwrap_err().to_string();
        assert!(error.contains("a device, not a file"), "{error}");
        let missing = file(&dir.path().join("missing")).unwrap_err();
        assert_eq!(missing.kind(), io::ErrorKind::NotFound);
        assert!(names(&dir.path().join("folder-link"), 10).is_err());
        assert_eq!(names(&dir.path().join("real"), 1).unwrap(), ["file"]);
        assert!(names(dir.path(), 3).unwrap_err().to_string().contains("more than 3 files"));
    }

    #[test]
    fn a_file_that_is_longer_than_its_limit_is_not_read() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("sparse");
        File::create(&path).unwrap().set_len(1 << 40).unwrap();
        let error = read(&path, 1 << 20).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::FileTooLarge, "{error}");
        // One that says it is empty, and is not.
        assert!(read(Path::new("/proc/self/maps"), 10).is_err());
    }

    #[test]
    fn what_is_written_whole_replaces_a_link_and_leaves_its_target() {
        let dir = place();
        let at = |name: &str| dir.path().join(name);
        write(&at("link"), b"new").unwrap();
        assert_eq!(fs::read(at("real/file")).unwrap(), b"text");
        assert_eq!(read(&at("link"), 9).unwrap(), b"new");
        // Of the same name as the temporary file.
        symlink("real/file", at(&format!(".report.{}.tmp", std::process::id()))).unwrap();
        write(&at("report"), b"new").unwrap();
        assert_eq!(fs::read(at("real/file")).unwrap(), b"text");
        assert!(write(&at("folder-link/file"), b"new").is_err());
        assert!(write(&at("real"), b"new").is_err());
        let failed = write_whole(&at("real/file"), |_| Err(io::Error::other("full")));
        assert_eq!(failed.unwrap_err().to_string(), "full");
        assert_eq!(names(&at("real"), 9).unwrap(), ["file"]);
        assert_eq!(fs::read(at("real/file")).unwrap(), b"text");
    }
}
