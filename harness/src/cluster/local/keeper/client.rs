//! Asking a keeper.

use std::io;
use std::os::fd::AsRawFd as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use results::record::event::{Process, ProcessEnd};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::UnixStream;
use tokio::time::timeout;

use super::protocol::{KeeperAnswer, KeeperRequest, ServerStates};
use super::socket;
use crate::cluster::host::ProcessIdentity;
use crate::failure::Failure;

/// Limit for an answer: to end the servers takes the longest, 10 s at most.
const ANSWER_LIMIT: Duration = Duration::from_secs(30);

/// The keeper of a cluster, to whoever uses that.
#[derive(Debug, Clone)]
pub struct Keeper {
    dir: PathBuf,
}

impl Keeper {
    /// The keeper of the cluster in `dir`.
    pub fn of(dir: &Path) -> Self {
        Self { dir: dir.to_owned() }
    }

    /// Asks; its answer when that is not a refusal.
    ///
    /// # Errors
    /// An infrastructure failure when it does not answer, or refuses.
    pub async fn ask(&self, request: &KeeperRequest) -> Result<KeeperAnswer, Failure> {
        let dir = self.dir.display();
        let answer = timeout(ANSWER_LIMIT, self.exchange(request)).await;
        match answer.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())) {
            Ok(KeeperAnswer::Failed(why)) => Err(Failure::infrastructure(why)),
            Ok(answer) => Ok(answer),
            Err(error) => Err(Failure::infrastructure(format!(
                "the keeper of the cluster in {dir} does not answer: {error}"
            ))),
        }
    }

    /// How the servers are.
    ///
    /// # Errors
    /// As [`Self::ask`].
    pub async fn states(&self) -> Result<ServerStates, Failure> {
        match self.ask(&KeeperRequest::State).await? {
            KeeperAnswer::State(state) => Ok(state),
            other => Err(self.unexpected(&other)),
        }
    }

    /// Starts a server if it has ended; which process it is.
    ///
    /// # Errors
    /// As [`Self::ask`].
    pub async fn start(&self, process: &Process) -> Result<ProcessIdentity, Failure> {
        match self.ask(&KeeperRequest::Start(process.clone())).await? {
            KeeperAnswer::Started(identity) => Ok(identity),
            other => Err(self.unexpected(&other)),
        }
    }

    /// Lets a server be started from another version from its next start on.
    ///
    /// # Errors
    /// As [`Self::ask`].
    pub async fn set_version(&self, process: &Process, version: &str) -> Result<(), Failure> {
        let (process, version) = (process.clone(), version.to_owned());
        self.ask(&KeeperRequest::SetVersion { process, version }).await.map(drop)
    }

    /// Waits until a server has ended; how.
    pub async fn ended(&self, process: Process, pid: i32) -> ProcessEnd {
        match self.exchange(&KeeperRequest::Ended { process, pid }).await {
            Ok(KeeperAnswer::Ended(how)) => how,
            Ok(other) => ProcessEnd::Unknown(self.unexpected(&other).to_string()),
            Err(error) => ProcessEnd::Unknown(format!("its keeper does not answer: {error}")),
        }
    }

    async fn exchange(&self, request: &KeeperRequest) -> io::Result<KeeperAnswer> {
        // A path of a socket has 107 bytes at most, a folder's may have more.
        let folder = std::fs::File::open(&self.dir)?;
        let here = PathBuf::from(format!("/proc/self/fd/{}", folder.as_raw_fd()));
        let mut stream = UnixStream::connect(socket(&here)).await?;
        let line = format!("{}\n", serde_json::to_string(request)?);
        stream.write_all(line.as_bytes()).await?;
        let mut answer = String::new();
        BufReader::new(stream).read_line(&mut answer).await?;
        if answer.is_empty() {
            return Err(io::Error::from(io::ErrorKind::UnexpectedEof));
        }
        Ok(serde_json::from_str(&answer)?)
    }

    fn unexpected(&self, answer: &KeeperAnswer) -> Failure {
        let answer = serde_json::to_string(answer).unwrap_or_default();
        Failure::infrastructure(format!(
            "the keeper of the cluster in {} is of another kbench: it answers {answer}",
            self.dir.display()
        ))
    }
}
