//! A member of the group that is the lock, as Kafka's protocol has it. Which broker coordinates the group is asked
//! anew whenever the connection to it is of no more use.

use std::io;
use std::time::Duration;

use bytes::Bytes;
use kafka_protocol::ResponseError;
use kafka_protocol::messages::join_group_request::JoinGroupRequestProtocol;
use kafka_protocol::messages::sync_group_request::SyncGroupRequestAssignment;
use kafka_protocol::messages::{
    DescribeGroupsRequest, FindCoordinatorRequest, GroupId, HeartbeatRequest, JoinGroupRequest,
    LeaveGroupRequest, SyncGroupRequest,
};
use kafka_protocol::protocol::{Request, StrBytes};

use super::super::survey::reachable;
use super::{GROUP, SESSION};
use crate::wire::{self, Connection, Connector};

/// Versions of the requests: none that Kafka before 2.4 or after 3.9 does not know, and none in which a member must
/// have been given an id before it joins.
const FIND: i16 = 2;
const DESCRIBE: i16 = 0;
const JOIN: i16 = 3;
const SYNC: i16 = 2;
const BEAT: i16 = 2;
const LEAVE: i16 = 2;

/// What kind of group it is: none of consumers.
const KIND: &str = "kbench";

/// How much of what a member says of itself is told: it may be anybody.
const MOST_CHARS: usize = 200;

/// Limit for a connection and an answer.
const LIMIT: Duration = Duration::from_secs(5);

/// Limit for others to join, whom a coordinator waits for: those of before as long as a session lasts, those of a
/// group that was empty for `group.initial.rebalance.delay.ms`.
const JOIN_LIMIT: Duration = Duration::from_secs(60);

/// Why a coordinator did not do what it was asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum GroupError {
    /// Nobody coordinates the group now, or is reached who does.
    Away(String),
    /// The client lacks the right.
    NotAllowed,
    /// Others join or leave: whoever stays has to join again.
    Rebalance,
    /// The member is not known any more.
    Forgotten,
    /// Anything else.
    Refused(String),
}

/// A member, in one generation of the group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct LockMember {
    pub(super) id: StrBytes,
    generation: i32,
    /// Whether the coordinator made it the leader of the group: one of its members is, and stays that while it lives.
    pub(super) leads: bool,
}

/// The group, asked through whichever broker answers.
pub(super) struct LockGroup {
    addresses: Vec<(String, u16)>,
    connector: Connector,
    coordinator: Option<Connection>,
}

impl LockGroup {
    /// That of the cluster whose brokers are at these addresses.
    pub(super) fn new(addresses: Vec<(String, u16)>, connector: Connector) -> Self {
        Self { addresses, connector, coordinator: None }
    }

    /// What each member says of itself, in words; nothing when there is none.
    pub(super) async fn members(&mut self) -> Result<Vec<String>, GroupError> {
        let request = DescribeGroupsRequest::default().with_groups(vec![group()]);
        let answer = self.ask(DESCRIBE, &request, LIMIT).await?;
        let described = answer.groups.into_iter().next();
        let described =
            described.ok_or_else(|| GroupError::Refused("an empty answer".to_owned()))?;
        self.check(described.error_code)?;
        let told = described.members.into_iter().map(|member| {
            let said = String::from_utf8_lossy(&member.member_metadata);
            let said: String = said.chars().take(MOST_CHARS).collect();
            // While others join, nobody's words are told.
            if said.is_empty() { format!("a client at {}", member.client_host) } else { said }
        });
        Ok(told.collect())
    }

    /// Joins, as a member that the group knows or as a new one, which says `who` it is.
    pub(super) async fn join(
        &mut self,
        known: Option<&LockMember>,
        who: &str,
    ) -> Result<LockMember, GroupError> {
        let protocol = JoinGroupRequestProtocol::default()
            .with_name(StrBytes::from_static_str(KIND))
            .with_metadata(Bytes::from(who.to_owned()));
        let request = JoinGroupRequest::default()
            .with_group_id(group())
            .with_session_timeout_ms(SESSION.as_millis() as i32)
            .with_rebalance_timeout_ms(SESSION.as_millis() as i32)
            .with_member_id(known.map(|member| member.id.clone()).unwrap_or_default())
            .with_protocol_type(StrBytes::from_static_str(KIND))
            .with_protocols(vec![protocol]);
        let answer = self.ask(JOIN, &request, JOIN_LIMIT).await?;
        self.check(answer.error_code)?;
        let leads = answer.leader == answer.member_id;
        Ok(LockMember { id: answer.member_id, generation: answer.generation_id, leads })
    }

    /// Ends the joining, as its leader.
    pub(super) async fn settle(&mut self, member: &LockMember) -> Result<(), GroupError> {
        let mine = SyncGroupRequestAssignment::default().with_member_id(member.id.clone());
        let request = SyncGroupRequest::default()
            .with_group_id(group())
            .with_generation_id(member.generation)
            .with_member_id(member.id.clone())
            .with_assignments(vec![mine]);
        let answer = self.ask(SYNC, &request, JOIN_LIMIT).await?;
        self.check(answer.error_code)
    }

    /// Says that the member lives.
    pub(super) async fn beat(&mut self, member: &LockMember) -> Result<(), GroupError> {
        let request = HeartbeatRequest::default()
            .with_group_id(group())
            .with_generation_id(member.generation)
            .with_member_id(member.id.clone());
        let answer = self.ask(BEAT, &request, LIMIT).await?;
        self.check(answer.error_code)
    }

    /// Leaves the group.
    pub(super) async fn leave(&mut self, member: &LockMember) -> Result<(), GroupError> {
        let request =
            LeaveGroupRequest::default().with_group_id(group()).with_member_id(member.id.clone());
        let answer = self.ask(LEAVE, &request, LIMIT).await?;
        self.check(answer.error_code)
    }

    async fn ask<R: Request>(
        &mut self,
        version: i16,
        request: &R,
        limit: Duration,
    ) -> Result<R::Response, GroupError> {
        let mut connection = match self.coordinator.take() {
            Some(connection) => connection,
            None => self.connect().await?,
        };
        let answer =
            connection.call(version, request, limit).await.map_err(|error| away(&error))?;
        self.coordinator = Some(connection);
        Ok(answer)
    }

    async fn connect(&mut self) -> Result<Connection, GroupError> {
        let mut last = GroupError::Away("no broker is known".to_owned());
        for (host, port) in self.addresses.clone() {
            match self.coordinator_by(&host, i32::from(port)).await {
                Ok(connection) => return Ok(connection),
                Err(GroupError::Away(why)) => last = GroupError::Away(why),
                Err(error) => return Err(error),
            }
        }
        Err(last)
    }

    /// Connects to who coordinates the group by the word of one broker.
    async fn coordinator_by(&mut self, host: &str, port: i32) -> Result<Connection, GroupError> {
        let key = StrBytes::from_static_str(GROUP);
        let request = FindCoordinatorRequest::default().with_key(key).with_key_type(0);
        let asked = async {
            let address = reachable(host, port, &self.connector).await?;
            let mut broker = wire::connect(&self.connector, address, LIMIT).await?;
            broker.call(FIND, &request, LIMIT).await
        };
        let found = asked.await.map_err(|error| away(&error))?;
        self.check(found.error_code)?;
        let connected = async {
            let address = reachable(found.host.as_str(), found.port, &self.connector).await?;
            wire::connect(&self.connector, address, LIMIT).await
        };
        connected.await.map_err(|error| away(&error))
    }

    /// What an error code says.
    fn check(&mut self, code: i16) -> Result<(), GroupError> {
        let Some(error) = ResponseError::try_from_code(code) else { return Ok(()) };
        Err(match error {
            ResponseError::CoordinatorLoadInProgress
            | ResponseError::CoordinatorNotAvailable
            | ResponseError::NotCoordinator => {
                self.coordinator = None;
                GroupError::Away(error.to_string())
            }
            ResponseError::GroupAuthorizationFailed => GroupError::NotAllowed,
            ResponseError::RebalanceInProgress => GroupError::Rebalance,
            ResponseError::UnknownMemberId | ResponseError::IllegalGeneration => {
                GroupError::Forgotten
            }
            other => GroupError::Refused(other.to_string()),
        })
    }
}

fn group() -> GroupId {
    GroupId(StrBytes::from_static_str(GROUP))
}

fn away(error: &io::Error) -> GroupError {
    GroupError::Away(error.to_string())
}
