//! kbench's folder in the user's cache: nobody else's, and nowhere else.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use nix::unistd::geteuid;

use crate::failure::Failure;
use crate::private;

/// Permissions by which others could put something into a folder.
const OTHERS_WRITE: u32 = 0o022;

/// kbench's folder in the user's cache, whether or not it is there.
///
/// # Errors
/// An infrastructure failure when nothing names the user's folders.
pub fn cache_dir() -> Result<PathBuf, Failure> {
    named(|name| std::env::var_os(name).map(PathBuf::from))
}

fn named(variable: impl Fn(&str) -> Option<PathBuf>) -> Result<PathBuf, Failure> {
    let absolute = |name| variable(name).filter(|path| path.is_absolute());
    let cache = absolute("XDG_CACHE_HOME").or_else(|| Some(absolute("HOME")?.join(".cache")));
    cache.map(|cache| cache.join("kbench")).ok_or_else(|| {
        Failure::infrastructure(
            "there is no place for Kafka's jars: neither HOME nor XDG_CACHE_HOME names a folder",
        )
        .with_cure("set HOME, or XDG_CACHE_HOME to a folder of yours; or --kafka-home DIR with an unpacked Apache Kafka")
    })
}

/// Makes sure that nobody else can have put anything into the cache, if there is one: what is in it is run.
///
/// # Errors
/// An infrastructure failure that names the folder and who else may write into it.
pub(super) fn is_own(cache: &Path) -> Result<(), Failure> {
    let Ok(found) = fs::metadata(cache) else { return Ok(()) };
    // Who calls `sudo` lets root run what is in the cache of theirs.
    let caller = std::env::var("SUDO_UID").ok().and_then(|uid| uid.parse().ok());
    let own = geteuid().as_raw();
    let is_owner = found.uid() == own || (own == 0 && caller == Some(found.uid()));
    let path = cache.display();
    let (why, cure) = if !is_owner {
        (
            format!("belongs to another user ({})", found.uid()),
            "set XDG_CACHE_HOME to a folder of yours".to_owned(),
        )
    } else if found.mode() & OTHERS_WRITE != 0 {
        (
            "may be written by other users".to_owned(),
            format!("chmod go-w {path}, and remove from it what is not yours"),
        )
    } else {
        return Ok(());
    };
    Err(Failure::infrastructure(format!("the cache {path}, from which jars are run, {why}"))
        .with_cure(cure))
}

/// Makes the cache, unless it is there.
///
/// # Errors
/// An infrastructure failure when it cannot be made, or is not this user's alone.
pub(super) fn make(cache: &Path) -> Result<(), Failure> {
    private::create(cache).map_err(|error| cannot_write(cache, error))?;
    is_own(cache)
}

pub(super) fn cannot_write(path: &Path, error: std::io::Error) -> Failure {
    Failure::infrastructure(format!("the cache {} cannot be written: {error}", path.display()))
        .with_cure("set XDG_CACHE_HOME to a folder that can; or --kafka-home DIR with an unpacked Apache Kafka")
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn the_cache_is_where_the_user_s_folders_are_and_nowhere_else() {
        let of = |xdg: Option<&str>, home: Option<&str>| {
            named(|name| if name == "HOME" { home } else { xdg }.map(PathBuf::from))
        };
        let at = |xdg, home| of(xdg, home).unwrap().display().to_string();
        assert_eq!(at(Some("/c"), Some("/h")), "/c/kbench");
        assert_eq!(at(None, Some("/h")), "/h/.cache/kbench");
        assert_eq!(at(Some("relative"), Some("/h")), "/h/.cache/kbench");
        for (xdg, home) in [(None, None), (Some(""), Some("")), (Some("c"), Some("h"))] {
            let failure = of(xdg, home).unwrap_err();
            assert!(
                failure.text().contains("neither HOME nor XDG_CACHE_HOME"),
                "{}",
                failure.text()
            );
        }
    }

    #[test]
    fn a_cache_that_others_may_write_is_refused() {
        let place = private::tests::own_place();
        let cache = place.path().join("kbench");
        is_own(&cache).unwrap();
        make(&cache).unwrap();
        assert_eq!(fs::metadata(&cache).unwrap().mode() & 0o777, 0o700);
        for mode in [0o770, 0o702, 0o777] {
            fs::set_permissions(&cache, fs::Permissions::from_mode(mode)).unwrap();
            let refused = make(&cache).unwrap_err();
            assert!(refused.text().contains("written by other users"), "{}", refused.text());
        }
        fs::set_permissions(&cache, fs::Permissions::from_mode(0o755)).unwrap();
        make(&cache).unwrap();
        if geteuid().is_root() {
            std::os::unix::fs::chown(&cache, Some(61200), None).unwrap();
            assert!(is_own(&cache).unwrap_err().text().contains("another user (61200)"));
        } else {
            assert!(is_own(Path::new("/")).unwrap_err().text().contains("another user (0)"));
        }
    }
}
