//! `nft`, and work done inside a node's network namespace.

use std::fs::File;
use std::io::{self, Write as _};
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::LazyLock;

use nix::sched::{CloneFlags, setns};
use tokio::sync::oneshot;

/// Where `nft` is. Ordinary users often lack the directories of system tools in their PATH.
static NFT: LazyLock<Option<PathBuf>> = LazyLock::new(|| {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(["/usr/sbin".into(), "/sbin".into()])
        .map(|directory| directory.join("nft"))
        .find(|program| program.is_file())
});

/// Says every word that cuts are made of.
const TRIAL: &str = "\
create table inet try
table inet try {
 counter taken { }
 chain inbound { type filter hook input priority filter; policy accept;
  ip saddr { 198.18.0.1 } tcp dport 1 counter name taken drop
  tcp flags & rst == 0 counter name taken reject with tcp reset
 }
}
";

/// Runs `nft` on `text` in the calling thread's network namespace, as one transaction; what it
/// says.
///
/// # Errors
/// When `nft` is missing or refuses.
pub fn nft(arguments: &[&str], text: &str) -> io::Result<String> {
    let program = NFT.as_ref().ok_or_else(|| {
        io::Error::new(io::ErrorKind::NotFound, "`nft` is missing (package nftables)")
    })?;
    let mut child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    if let Some(mut stdin) = child.stdin.take() {
        stdin.write_all(text.as_bytes())?;
    }
    let output = child.wait_with_output()?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(io::Error::other(format!("nft: {}", said.trim())))
}

/// Sets rules like those of a cut: whether this process may, has the tool, and a kernel for it.
///
/// # Errors
/// When `nft` is missing or refuses.
pub(super) fn try_rules() -> io::Result<()> {
    nft(&["-f", "-"], TRIAL).map(drop)
}

/// Does `work` in a network namespace (none: in kbench's own), on a thread that ends with it: a
/// thread that has entered a namespace is fit for nothing else.
///
/// # Errors
/// When the namespace cannot be entered, or what `work` returns.
pub async fn inside<T: Send + 'static>(
    namespace: Option<File>,
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    let (sender, done) = oneshot::channel();
    std::thread::Builder::new().name("namespace".to_owned()).spawn(move || {
        let enter = namespace
            .map_or(Ok(()), |namespace| setns(namespace.as_fd(), CloneFlags::CLONE_NEWNET));
        // Nobody waits any more when this fails.
        drop(sender.send(enter.map_err(io::Error::from).and_then(|()| work())));
    })?;
    done.await.map_err(|_| io::Error::other("its thread ended early"))?
}
