//! System tools, run in the calling thread's network namespace.

use std::io::{self, Write as _};
use std::path::PathBuf;
use std::process::{Command, Stdio};

/// Where a tool is: in the PATH, or where such tools are. Ordinary users often lack those folders
/// in their PATH.
///
/// # Errors
/// `NotFound`, with the package that it is in.
pub fn find(name: &str) -> io::Result<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let places = std::env::split_paths(&path).chain(["/usr/sbin".into(), "/sbin".into()]);
    let mut programs = places.map(|directory| directory.join(name));
    programs.find(|program| program.is_file()).ok_or_else(|| {
        let package = match name {
            "nft" => "nftables",
            "ip" | "tc" => "iproute2",
            "prlimit" => "util-linux",
            other => other,
        };
        let missing = format!("`{name}` is missing (package {package})");
        io::Error::new(io::ErrorKind::NotFound, missing)
    })
}

/// Runs a tool; what it says.
///
/// # Errors
/// When it is missing or refuses, in its own words.
pub fn tool(name: &str, arguments: &[&str], input: &str) -> io::Result<String> {
    let mut child = Command::new(find(name)?)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    if let Some(mut stdin) = child.stdin.take() {
        stdin.write_all(input.as_bytes())?;
    }
    let output = child.wait_with_output()?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(io::Error::other(format!("{name}: {}", said.trim())))
}
