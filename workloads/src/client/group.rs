//! A member of a consumer group, committing what it has processed.
//!
//! Commits are explicit, asynchronous and at intervals; the broker's answer to each goes into the
//! history. A member that leaves makes no last commit, so that whoever takes over re-reads a
//! little, and its resume offset can be compared with the committed one. What becomes of a
//! member's rebalances and commits is told on its own thread, from within its polls.

mod answers;
mod commit;
mod session;

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{Counts, Env, LoadClient, LoadTopic, OpenClient, ToClient};
use crate::error::LoadError;
use crate::settings::ClientSettings;
use session::Session;

/// How often a member that does not poll looks whether it is to.
const STALLED: Duration = Duration::from_millis(20);

/// What a member is made of.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct MemberSetup {
    /// No other member of any group of the run has had it.
    pub(crate) number: u16,
    /// Group id.
    pub(crate) group: String,
    /// What it reads beside the topic that it is started on.
    pub(crate) others: Vec<LoadTopic>,
    pub(crate) settings: ClientSettings,
    pub(crate) commit_interval: Duration,
}

impl LoadClient for MemberSetup {
    fn name(&self) -> String {
        format!("consumer-{}", self.number)
    }

    fn writes(&self) -> bool {
        false
    }

    fn open(&self, topic: &LoadTopic, env: Env) -> Result<Box<dyn OpenClient>, LoadError> {
        let session = Session::open(self, topic, &env)?;
        Ok(Box::new(GroupMember { setup: self.clone(), topic: topic.clone(), env, session }))
    }
}

impl MemberSetup {
    /// The name of its stream of a topic that is not the first of its own.
    pub(crate) fn stream_of(&self, other: &LoadTopic) -> String {
        format!("{}.{}", self.name(), other.place + 1)
    }
}

/// A member, under one number after the other.
struct GroupMember {
    setup: MemberSetup,
    topic: LoadTopic,
    env: Env,
    session: Session,
}

impl OpenClient for GroupMember {
    fn run(self: Box<Self>) -> Result<Counts, LoadError> {
        let Self { mut setup, mut topic, env, mut session } = *self;
        let (mut stalled, mut paused) = (false, false);
        loop {
            match env.inbox.next() {
                Some(ToClient::Stop { .. }) => break,
                Some(ToClient::Replace { number }) => {
                    session.close()?;
                    setup.number = number;
                    session = Session::open(&setup, &topic, &env)?;
                    session.pause(paused)?;
                }
                Some(ToClient::Pause { paused: wanted }) => {
                    paused = wanted;
                    session.pause(paused)?;
                }
                Some(ToClient::Stall { stalled: wanted }) => stalled = wanted,
                Some(ToClient::Partitions { place, count }) => {
                    let own = std::iter::once(&mut topic).chain(&mut setup.others);
                    own.filter(|own| own.place == place).for_each(|own| own.partitions = count);
                    session.learn(place, count)?;
                }
                Some(ToClient::Begin | ToClient::EndWarmUp | ToClient::Rate { .. }) => {}
                None if stalled => std::thread::sleep(STALLED),
                None => session.turn()?,
            }
        }
        session.close()?;
        Ok(Counts::default())
    }
}
