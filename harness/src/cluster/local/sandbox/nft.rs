//! `nft`, kept running in a network namespace, and work done inside one.
//!
//! Rules must be in force within milliseconds of the decision. To start `nft` takes longer than
//! that; one that runs already takes a transaction on its standard input and answers within one.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::process::Stdio;
use std::time::Duration;

use nix::sched::{CloneFlags, setns};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::net::unix::pipe::Receiver;
use tokio::process::{Child, ChildStdin, Command};
use tokio::sync::{Mutex, oneshot};
use tokio::time::timeout;

use super::tool::find;

/// Limit for an answer. A transaction takes less than a millisecond on an idle core.
const ANSWER_LIMIT: Duration = Duration::from_secs(5);

/// After each transaction: its answer is one line of JSON, whatever `nft` had to say before.
const ASK: &str = "list counters";

/// How that line begins.
const ANSWER: &str = "{\"nftables\"";

/// What `nft` counted: named counters of all tables.
#[derive(Debug)]
pub struct Counters(Value);

impl Counters {
    /// Packets of the counter `name` of `table`; none when it is not there.
    pub fn packets(&self, table: &str, name: &str) -> Option<u64> {
        let items = self.0["nftables"].as_array()?.iter().map(|item| &item["counter"]);
        let mut counters = items.filter(|c| c["table"] == table && c["name"] == name);
        counters.next()?["packets"].as_u64()
    }

    /// Reads what `nft` answered.
    pub(crate) fn read(answer: &str) -> io::Result<Self> {
        let begins = answer.find(ANSWER).unwrap_or_default();
        Ok(Self(serde_json::from_str(&answer[begins..])?))
    }
}

/// `nft` in one network namespace.
#[derive(Debug)]
pub struct Nft(Mutex<Running>);

#[derive(Debug)]
struct Running {
    /// Ended when dropped; the sandbox ends it should kbench end.
    _child: Child,
    input: ChildStdin,
    output: Lines<BufReader<Receiver>>,
    /// Answers that nobody awaited: the caller went away meanwhile.
    owed: usize,
}

impl Nft {
    /// Starts it in `namespace` (none: in kbench's own).
    ///
    /// # Errors
    /// `NotFound` when `nft` is missing; whatever the start fails of.
    pub fn start(namespace: Option<File>) -> io::Result<Self> {
        // One pipe for both: what it says stays in its order.
        let (output, said) = io::pipe()?;
        let mut command = Command::new(find("nft")?);
        command
            .args(["--json", "--interactive"])
            // Where it would leave a history of what it was told.
            .env("HOME", "/dev/null")
            .stdin(Stdio::piped())
            .stdout(said.try_clone()?)
            .stderr(said)
            .kill_on_drop(true);
        if let Some(namespace) = namespace {
            let enter = move || Ok(setns(namespace.as_fd(), CloneFlags::CLONE_NEWNET)?);
            // SAFETY: between fork and exec only one system call is made: setns.
            unsafe { command.pre_exec(enter) };
        }
        let mut child = command.spawn()?;
        let input = child.stdin.take().ok_or_else(|| io::Error::other("nft has no input"))?;
        let output = Receiver::from_owned_fd(OwnedFd::from(output))?;
        let output = BufReader::new(output).lines();
        Ok(Self(Mutex::new(Running { _child: child, input, output, owed: 0 })))
    }

    /// Carries out `text` as one transaction, in force when this returns; the counters after it.
    ///
    /// # Errors
    /// When `nft` refuses (nothing has changed then), or is gone.
    pub async fn transact(&self, text: &str) -> io::Result<Counters> {
        let mut nft = self.0.lock().await;
        // One line is one transaction.
        let line = format!("{}\n{ASK}\n", text.replace('\n', ";"));
        nft.input.write_all(line.as_bytes()).await?;
        nft.owed += 1;
        let answered = async {
            loop {
                let answer = nft.answer().await;
                nft.owed -= 1;
                if nft.owed == 0 {
                    return answer;
                }
            }
        };
        let late = || io::Error::new(io::ErrorKind::TimedOut, "nft does not answer");
        timeout(ANSWER_LIMIT, answered).await.map_err(|_| late())?
    }
}

impl Running {
    async fn answer(&mut self) -> io::Result<Counters> {
        let mut said = vec![];
        while let Some(line) = self.output.next_line().await? {
            if line.contains(ANSWER) {
                return match said.first() {
                    None => Counters::read(&line),
                    Some(_) => Err(io::Error::other(format!("nft: {}", said.join(" / ")))),
                };
            }
            said.push(line);
        }
        Err(io::Error::other(format!("nft has ended: {}", said.join(" / "))))
    }
}

/// Carries out a transaction in the calling process's namespace: whether it may, has the tool, and
/// a kernel for it.
///
/// # Errors
/// When `nft` is missing or refuses.
pub(super) fn try_rules(rules: &str) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async { Nft::start(None)?.transact(rules).await.map(drop) })
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_counter_is_read_only_from_its_own_table() {
        let list = r#"{"nftables": [{"metainfo": {}}, {"counter":
            {"family": "inet", "name": "taken", "table": "T", "packets": 3, "bytes": 180}}]}"#;
        let counters = Counters::read(&format!("nft> {list}")).unwrap();
        assert_eq!(counters.packets("T", "taken"), Some(3));
        assert_eq!(counters.packets("T", "seen"), None);
        assert_eq!(counters.packets("U", "taken"), None);
        assert!(Counters::read("").is_err());
    }
}
