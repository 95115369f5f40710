//! What the client may do with topics and groups, by the word of brokers that hold it to rights (ACLs).

use std::fmt;

use faults::port::{ErrorKind, PortError};
use faults::until;
use kafka_protocol::ResponseError;
use kafka_protocol::messages::{DescribeGroupsRequest, FindCoordinatorRequest, GroupId};
use kafka_protocol::protocol::StrBytes;

use super::{Admin, LOOK, METADATA_VERSION, VISIBLE_LIMIT, check, metadata_request};

/// Version of FindCoordinator that is used: the last that asks for one group.
const COORDINATOR_VERSION: i16 = 2;

/// Version of DescribeGroups that is used: the first that tells rights.
const GROUPS_VERSION: i16 = 3;

/// What is not told: brokers of before Kafka 2.3, and ids of nothing.
const NOT_TOLD: i32 = i32::MIN;

/// Operations on a topic that a run needs, by Kafka's names and codes (`AclOperation`).
const OF_TOPIC: [(&str, u32); 4] =
    [("Read", 3), ("Write", 4), ("Describe", 8), ("DescribeConfigs", 10)];

/// Deletes the run's own topics at its end.
const DELETE: (&str, u32) = ("Delete", 6);

/// Operations on a group.
const OF_GROUP: [(&str, u32); 2] = [("Read", 3), ("Describe", 8)];

/// Operations that the client may not carry out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MissingRights {
    /// `topic` or `group`.
    resource: &'static str,
    name: String,
    operations: Vec<&'static str>,
}

impl fmt::Display for MissingRights {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} on {} {}", self.operations.join(", "), self.resource, self.name)
    }
}

impl MissingRights {
    fn of(
        resource: &'static str,
        name: &str,
        needed: &[(&'static str, u32)],
        told: i32,
    ) -> Option<Self> {
        let missing = needed.iter().filter(|(_, code)| told & (1 << code) == 0);
        let operations: Vec<_> = missing.map(|(operation, _)| *operation).collect();
        let is_told = told != NOT_TOLD && !operations.is_empty();
        is_told.then(|| Self { resource, name: name.to_owned(), operations })
    }

    /// What grants them, for names that begin like this one: `prefix` is what such names have in common.
    pub fn grant(&self, prefix: &str) -> String {
        let operations =
            self.operations.iter().map(|operation| format!(" --operation {operation}"));
        let operations: String = operations.collect();
        format!(
            "kafka-acls --add --allow-principal User:NAME{operations} --{} {prefix} \
             --resource-pattern-type prefixed",
            self.resource
        )
    }

    /// Whose they are.
    pub fn name(&self) -> &str {
        &self.name
    }
}

impl Admin {
    /// What the client may not do and a run needs to, with topics that need not be there yet; with deleting them
    /// when `deleted`.
    ///
    /// # Errors
    /// When no broker answers.
    pub async fn missing_on_topics(
        &self,
        topics: &[&str],
        deleted: bool,
    ) -> Result<Vec<MissingRights>, PortError> {
        let what = "ask for the rights on topics";
        let request = metadata_request(topics).with_include_topic_authorized_operations(true);
        let broker = self.controller().await?;
        let answer = self.ask(broker, METADATA_VERSION, &request).await;
        let answer = answer.map_err(|error| PortError::io(what, error))?;
        let mut needed = OF_TOPIC.to_vec();
        needed.extend(deleted.then_some(DELETE));
        let missing = |name: &&str| {
            let told = answer
                .topics
                .iter()
                .find(|topic| topic.name.as_ref().is_some_and(|found| found.0.as_str() == *name));
            // One that may not even be described is named by its error alone.
            let refused = ResponseError::TopicAuthorizationFailed.code();
            let told = match told {
                Some(topic) if topic.error_code != refused => topic.topic_authorized_operations,
                _ => 0,
            };
            MissingRights::of("topic", name, &needed, told)
        };
        Ok(topics.iter().filter_map(missing).collect())
    }

    /// The same of a group, which need not be there.
    ///
    /// # Errors
    /// When nobody says who coordinates it, or the coordinator does not answer.
    pub async fn missing_on_group(&self, group: &str) -> Result<Option<MissingRights>, PortError> {
        // A cluster that had no group so far makes the topic of their offsets only now.
        let told = until(VISIBLE_LIMIT, LOOK, async || self.told_on_group(group).await).await?;
        Ok(MissingRights::of("group", group, &OF_GROUP, told))
    }

    /// The operations that a group's coordinator lets the client carry out, as bits.
    async fn told_on_group(&self, group: &str) -> Result<i32, PortError> {
        let what = format!("ask for the rights on group {group}");
        let failed = |error| PortError::io(&what, error);
        // One that may not even be described.
        let refused = |code: i16| code == ResponseError::GroupAuthorizationFailed.code();
        let name = StrBytes::from_string(group.to_owned());
        let request = FindCoordinatorRequest::default().with_key(name.clone()).with_key_type(0);
        let broker = self.controller().await?;
        let found = self.ask(broker, COORDINATOR_VERSION, &request).await.map_err(failed)?;
        if refused(found.error_code) {
            return Ok(0);
        }
        check(&what, found.error_code, None)?;
        let request = DescribeGroupsRequest::default()
            .with_groups(vec![GroupId(name)])
            .with_include_authorized_operations(true);
        let answer = self.ask(found.node_id.0, GROUPS_VERSION, &request).await.map_err(failed)?;
        let empty = || PortError::new(ErrorKind::Other, format!("{what}: an empty answer"));
        let described = answer.groups.into_iter().next().ok_or_else(empty)?;
        if refused(described.error_code) {
            return Ok(0);
        }
        check(&what, described.error_code, None)?;
        Ok(described.authorized_operations)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_is_named_with_what_grants_it() {
        let all = OF_TOPIC.iter().fold(0, |bits, (_, code)| bits | 1 << code);
        let of = |told| MissingRights::of("topic", "t-kb0", &OF_TOPIC, told);
        assert_eq!(of(all), None);
        assert_eq!(of(NOT_TOLD), None, "not told is no refusal");
        let missing = of(all & !(1 << 4)).unwrap();
        assert_eq!(missing.to_string(), "Write on topic t-kb0");
        let grant = missing.grant("t-kb");
        assert!(grant.contains("--operation Write --topic t-kb --resource-pattern-type prefixed"));
        assert_eq!(of(0).unwrap().operations.len(), OF_TOPIC.len());
    }
}
