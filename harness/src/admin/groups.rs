//! Consumer groups: who coordinates one, and what its coordinator says of it.

use std::time::Duration;

use faults::port::{ErrorKind, PortError};
use futures::FutureExt;
use futures::future::select_ok;
use kafka_protocol::messages::{DescribeGroupsRequest, FindCoordinatorRequest, GroupId};
use kafka_protocol::protocol::StrBytes;
use results::record::event::BrokerId;
use tokio::time::timeout;

use super::{Admin, check};

/// Version of FindCoordinator that is used: the last that asks for one group.
const VERSION: i16 = 2;

/// Version of DescribeGroups that is used.
const DESCRIBE_VERSION: i16 = 0;

/// What a coordinator says of a group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    /// Its state, by Kafka's own name.
    pub state: String,
    /// How many members it has.
    pub members: usize,
}

impl Group {
    /// Whether every member has its partitions, and no rebalance is under way.
    pub fn is_stable(&self) -> bool {
        self.state == "Stable"
    }
}

/// Limit for an answer: any broker that is well knows it in milliseconds.
const LIMIT: Duration = Duration::from_secs(2);

impl Admin {
    /// The broker that coordinates a consumer group, by the word of the broker that answers first;
    /// `None` when nobody says so in time.
    pub async fn coordinator(&self, group: &str) -> Option<BrokerId> {
        let request = FindCoordinatorRequest::default()
            .with_key(StrBytes::from_string(group.to_owned()))
            .with_key_type(0);
        let one = async |broker: BrokerId| {
            let answer = timeout(LIMIT, self.ask(broker, VERSION, &request)).await.ok()?.ok()?;
            (answer.error_code == 0).then_some(answer.node_id.0)
        };
        let brokers = self.brokers().into_iter();
        let asked = brokers.map(|broker| one(broker).map(|answer| answer.ok_or(())).boxed_local());
        let asked: Vec<_> = asked.collect();
        if asked.is_empty() {
            return None;
        }
        select_ok(asked).await.ok().map(|(coordinator, _)| coordinator)
    }

    /// What the coordinator of a consumer group says of it.
    ///
    /// # Errors
    /// When there is no coordinator, or it does not answer.
    pub async fn group(&self, group: &str) -> Result<Group, PortError> {
        let what = || format!("describe the group {group}");
        let failed = |kind, why| PortError::new(kind, format!("{}: {why}", what()));
        let coordinator = self.coordinator(group).await;
        let coordinator = coordinator
            .ok_or_else(|| failed(ErrorKind::Unreachable, "nobody says who coordinates it"))?;
        let id = GroupId(StrBytes::from_string(group.to_owned()));
        let request = DescribeGroupsRequest::default().with_groups(vec![id]);
        let answer = timeout(LIMIT, self.ask(coordinator, DESCRIBE_VERSION, &request)).await;
        let answer = answer.map_err(|_| failed(ErrorKind::TimedOut, "no answer in time"))?;
        let answer = answer.map_err(|error| PortError::io(what(), error))?;
        let described = answer.groups.into_iter().next();
        let described = described.ok_or_else(|| failed(ErrorKind::Other, "an empty answer"))?;
        check(what(), described.error_code, None)?;
        Ok(Group { state: described.group_state.to_string(), members: described.members.len() })
    }
}
