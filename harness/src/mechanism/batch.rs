//! A tool that is kept running on a host and fed on its standard input: `nft`, `tc`, `ip`.
//!
//! What a fault does must be in force within milliseconds of the decision. To start a tool takes
//! longer than that; one that runs already carries a line out within one. After each request the tool
//! is asked for the whole state of what it manages, which it always answers by one line of JSON: that
//! line ends the answer, and whatever came before it is an error.
//!
//! Undone without kbench, the same lines go to a tool that is started for them.

use tokio::sync::Mutex;
use tokio::time::{Duration, timeout};

use crate::cluster::host::{Command, ErrorKind, Host, HostError, Resident};

/// Limit for an answer. A request takes less than a millisecond on an idle core.
const ANSWER_LIMIT: Duration = Duration::from_secs(5);

/// How a tool is fed.
#[derive(Debug, Clone, Copy)]
pub(super) struct Tool {
    /// Its program.
    pub(super) program: &'static str,
    /// The arguments by which it takes commands from its standard input.
    pub(super) arguments: &'static [&'static str],
    /// The command that lists the whole state.
    pub(super) list: &'static str,
    /// How the answer to that begins; errors do not.
    pub(super) answer: &'static str,
    /// The answer of a host that has nothing of the kind.
    pub(super) nothing: &'static str,
}

impl Tool {
    /// The answer in a line, if that has one. A prompt may stand before it.
    fn answer_in<'l>(&self, line: &'l str) -> Option<&'l str> {
        match line.find(self.answer) {
            Some(begins) => Some(&line[begins..]),
            None => Some(line).filter(|line| *line == self.nothing),
        }
    }
}

/// A tool that runs.
pub(super) struct Batch {
    host: String,
    tool: Tool,
    running: Mutex<RunningTool>,
}

struct RunningTool {
    resident: Box<dyn Resident>,
    /// Answers that nobody awaited: the caller went away meanwhile.
    owed: usize,
}

impl Batch {
    /// Starts the tool.
    ///
    /// # Errors
    /// `Unsupported` when it is missing; whatever the start fails of.
    pub(super) async fn start(host: &dyn Host, tool: Tool) -> Result<Self, HostError> {
        let command = Command::new(tool.program)
            .args(tool.arguments)
            // Where `nft` would leave a history of what it was told.
            .env("HOME", "/dev/null")
            .supposing(tool.nothing);
        let running = RunningTool { resident: host.keep(&command).await?, owed: 0 };
        Ok(Self { host: host.name().to_owned(), tool, running: Mutex::new(running) })
    }

    /// Carries out the lines of `text`, in force when this returns; the state after them, in JSON.
    ///
    /// # Errors
    /// When the tool refuses, in its own words, does not answer, or is gone.
    pub(super) async fn ask(&self, text: &str) -> Result<String, HostError> {
        let mut running = self.running.lock().await;
        let asked =
            format!("{text}{}{}\n", if text.is_empty() { "" } else { "\n" }, self.tool.list);
        running.resident.send(&asked).await?;
        running.owed += 1;
        let answered = async {
            loop {
                let answer = self.answer(running.resident.as_mut()).await;
                running.owed -= 1;
                if running.owed == 0 {
                    return answer;
                }
            }
        };
        let limit = ANSWER_LIMIT.as_secs();
        let late =
            |_| self.failed(ErrorKind::TimedOut, format!("it does not answer within {limit} s"));
        timeout(ANSWER_LIMIT, answered).await.map_err(late)?
    }

    async fn answer(&self, resident: &mut dyn Resident) -> Result<String, HostError> {
        let mut said = vec![];
        while let Some(line) = resident.line().await? {
            if let Some(answer) = self.tool.answer_in(&line) {
                return match said.is_empty() {
                    true => Ok(answer.to_owned()),
                    false => {
                        let said = said.join(" / ");
                        Err(self.failed(kind_of(&said), said))
                    }
                };
            }
            // What `ip` and `tc` add to an error: which line it was.
            if !line.starts_with("Command failed ") {
                said.push(line);
            }
        }
        said.insert(0, "it has ended".to_owned());
        Err(self.failed(ErrorKind::Gone, said.join(" / ")))
    }

    /// What became of a request.
    pub(super) fn failed(&self, kind: ErrorKind, why: impl ToString) -> HostError {
        HostError::new(kind, &self.host, format!("use `{}`", self.tool.program), why.to_string())
    }
}

/// The kind of what a tool says in answer to a request.
fn kind_of(said: &str) -> ErrorKind {
    /// The kernel's words for something that is there already: a table, a queueing discipline.
    const THERE_ALREADY: [&str; 2] = ["File exists", "Exclusivity flag on"];
    match THERE_ALREADY.iter().any(|words| said.contains(words)) {
        true => ErrorKind::Refused,
        false => ErrorKind::Other,
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::block_on;
    use super::*;
    use crate::cluster::local::LocalHost;

    /// A shell that behaves as a tool does.
    const SHELL: Tool = Tool {
        program: "sh",
        arguments: &[],
        list: "echo 'state> [1]'",
        answer: "[1",
        nothing: "[]",
    };

    #[test]
    fn each_request_gets_its_own_answer_or_the_tool_s_error() {
        block_on(async {
            let here = LocalHost::here("here");
            let shell = Batch::start(&here, SHELL).await.unwrap();
            assert_eq!(shell.ask("").await.unwrap(), "[1]");
            let refused = shell.ask("echo [no] >&2; echo Command failed -:3").await.unwrap_err();
            assert_eq!(refused.to_string(), "here cannot use `sh`: [no]");
            // Whoever asks next does not get the answer to what nobody awaited.
            let abandoned = timeout(Duration::from_millis(20), shell.ask("sleep 0.2; echo late"));
            assert!(abandoned.await.is_err());
            assert_eq!(shell.ask("").await.unwrap(), "[1]");
            let gone = shell.ask("echo bye; exit").await.unwrap_err();
            assert_eq!(gone.kind(), ErrorKind::Gone);
            assert!(gone.to_string().contains("it has ended / bye"), "{gone}");
        });
    }
}
