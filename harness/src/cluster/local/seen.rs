//! Where servers see the files that they only read: jars, class archives, and their own settings.
//!
//! In a sandbox all lie below one folder: whatever the user's folders are called, nothing in Java's class paths,
//! lists and URLs has to be quoted, and another user than theirs need not be let into them. Without a sandbox
//! servers see what is there, and a path that Java would misread is refused.

use std::fs::{self, DirEntry};
use std::io;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use super::SEEN_AT;
use super::sandbox::{self, Mode, ServerUser};
use crate::failure::Failure;
use crate::provision::{Archives, Kafka, cache_dir};

/// What lets everybody read a file, and enter a folder as well.
const READ: u32 = 0o444;
const ENTER: u32 = 0o555;

/// Where the servers of a cluster in `mode` see its jars.
pub(super) fn jars(mode: Mode, kafka: &Kafka) -> PathBuf {
    if !mode.has_namespaces() {
        return kafka.jars.clone();
    }
    // A short name for a long one, nothing more.
    let key = crc32fast::hash(kafka.jars.as_os_str().as_encoded_bytes());
    Path::new(SEEN_AT).join("jars").join(format!("{}-{key:08x}", kafka.version))
}

/// The class archives of JVMs that see the jars there, in the cache.
pub fn archives(mode: Mode, kafka: &Kafka) -> Archives {
    Archives::of(&jars(mode, kafka), &kafka.version, &kafka.java)
}

/// Shows the jars and class archives of a version; where the JVMs see the archives.
///
/// # Errors
/// A failure that names the folder which cannot be shown, or which the servers' user may not read.
pub(super) fn show(
    mode: Mode,
    user: Option<ServerUser>,
    kafka: &Kafka,
) -> Result<Archives, Failure> {
    let archives = archives(mode, kafka);
    if !mode.has_namespaces() {
        return Ok(archives);
    }
    let cache = cache_dir().ok();
    user.map_or(Ok(()), |user| readable(&kafka.jars, cache.as_deref(), user))?;
    let cannot = |error: io::Error| {
        let jars = kafka.jars.display();
        Failure::infrastructure(format!("the jars in {jars} cannot be shown to servers: {error}"))
    };
    show_at(&kafka.jars, &jars(mode, kafka)).map_err(cannot)?;
    // There may be none, and no place for any: then they are done without.
    let Some(dir) = archives.dir() else { return Ok(archives) };
    let name = dir.file_name().unwrap_or_default();
    let seen = Path::new(SEEN_AT).join("classes").join(name);
    show_at(dir, &seen).map_err(cannot)?;
    Ok(Archives::seen_at(seen))
}

/// Shows at `seen` what is in `folder`, unless it does so already.
fn show_at(folder: &Path, seen: &Path) -> io::Result<()> {
    fs::create_dir_all(seen)?;
    let identity = |path: &Path| fs::metadata(path).map(|found| (found.dev(), found.ino()));
    if identity(folder)? == identity(seen)? { Ok(()) } else { sandbox::bind(folder, seen) }
}

/// Makes sure that another user may read the jars. In kbench's cache, which nobody else enters, they are let.
fn readable(jars: &Path, cache: Option<&Path>, user: ServerUser) -> Result<(), Failure> {
    let is_cached = cache.is_some_and(|cache| jars.starts_with(cache));
    let lets = |path: &Path, wanted: u32| {
        let found = fs::metadata(path)?;
        if found.mode() & wanted == wanted || found.uid() == user.uid {
            return Ok(());
        }
        if !is_cached {
            return Err(io::Error::from(io::ErrorKind::PermissionDenied));
        }
        fs::set_permissions(path, fs::Permissions::from_mode(found.mode() & 0o7777 | wanted))
    };
    let is_jar = |entry: &DirEntry| entry.path().extension().is_some_and(|it| it == "jar");
    let all = || -> io::Result<()> {
        lets(jars, ENTER)?;
        let jars = fs::read_dir(jars)?.filter(|entry| entry.as_ref().map_or(true, is_jar));
        jars.into_iter().try_for_each(|jar| lets(&jar?.path(), READ))
    };
    all().map_err(|error| {
        let (jars, uid) = (jars.display(), user.uid);
        let what = format!("servers run as the user {uid}, who may not read the jars in {jars}");
        Failure::infrastructure(format!("{what}: {error}"))
            .with_cure(format!("chmod -R a+rX {jars}"))
    })
}

/// Refuses a folder whose name Java would misread where servers see it as it is: lists are separated by commas and
/// colons, and URLs quote by `%`.
///
/// # Errors
/// A usage failure that names the folder.
pub(super) fn plain(mode: Mode, folder: &Path) -> Result<(), Failure> {
    let is_plain = |c: char| !c.is_control() && !"%#,:;*?\\\"".contains(c);
    let path = folder.to_str();
    if mode.has_namespaces() || path.is_some_and(|path| path.chars().all(is_plain)) {
        return Ok(());
    }
    Err(Failure::usage(format!(
        "{} has a name that Java misreads: none of `%#,:;*?\\\"` may be in it, nor what is not UTF-8",
        folder.display()
    ))
    .with_cure("choose another folder (--out for runs, XDG_CACHE_HOME for jars), or leave --mode loopback out"))
}

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt as _;

    use super::*;

    #[test]
    fn a_folder_that_java_misreads_is_refused_where_servers_see_it() {
        for name in ["/a/b,c", "/a:b", "/a#", "/50%", "/a*", "/a\\b", "/a\nb"] {
            let refused = plain(Mode::Loopback, Path::new(name)).unwrap_err();
            assert!(refused.text().contains("Java misreads"), "{}", refused.text());
            assert!(plain(Mode::UserNamespaces, Path::new(name)).is_ok());
        }
        let not_utf_8 = Path::new(OsStr::from_bytes(b"/a\xff"));
        assert!(plain(Mode::Loopback, not_utf_8).is_err());
        for name in ["/plain", "/with blanks/and'quotes", "/r\u{fc}ck"] {
            assert!(plain(Mode::Loopback, Path::new(name)).is_ok(), "{name}");
        }
    }

    #[test]
    fn jars_are_let_to_be_read_by_another_user() {
        let jars = tempfile::tempdir().unwrap();
        let jar = jars.path().join("a.jar");
        fs::write(&jar, "").unwrap();
        fs::set_permissions(&jar, fs::Permissions::from_mode(0o600)).unwrap();
        let user = ServerUser { uid: 61200, gid: 61200 };
        let elsewhere = readable(jars.path(), None, user).unwrap_err();
        assert!(elsewhere.cure().unwrap().starts_with("chmod -R a+rX "), "{}", elsewhere.text());
        readable(jars.path(), jars.path().parent(), user).unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().mode() & 0o7777;
        assert_eq!((mode(&jar), mode(jars.path())), (0o644, 0o755));
        readable(jars.path(), None, user).unwrap();
        let missing = readable(&jar, None, user).unwrap_err();
        assert!(missing.text().contains("the user 61200"), "{}", missing.text());
    }
}
