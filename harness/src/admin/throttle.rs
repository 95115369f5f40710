//! A throttle of replicas that move, as `kafka-reassign-partitions.sh` sets it when it is given one: each broker sends
//! and gets at most so many bytes a second of the replicas that the topics name, and as much as it can of all others
//! (KIP-73).

use std::collections::BTreeMap;

use faults::port::{Assignment, ErrorKind, PortError};
use kafka_protocol::messages::IncrementalAlterConfigsRequest;
use kafka_protocol::messages::incremental_alter_configs_request::{
    AlterConfigsResource, AlterableConfig,
};
use kafka_protocol::protocol::StrBytes;
use results::record::event::BrokerId;

use super::configs::{BROKER, TOPIC};
use super::{Admin, check};

/// Version of IncrementalAlterConfigs that is used.
const VERSION: i16 = 0;

/// Operations of the protocol.
const SET: i8 = 0;
const DELETE: i8 = 1;

/// Settings of brokers.
const RATES: [&str; 2] =
    ["leader.replication.throttled.rate", "follower.replication.throttled.rate"];

/// Settings of topics.
const REPLICAS: [&str; 2] =
    ["leader.replication.throttled.replicas", "follower.replication.throttled.replicas"];

impl Admin {
    /// Lets a broker send and get at most so many bytes a second of the replicas that are throttled, or as many as it can.
    /// It describes that to nobody: it is no setting of `KafkaConfig`.
    ///
    /// # Errors
    /// When it does not answer or refuses.
    pub async fn throttle_broker(
        &self,
        broker: BrokerId,
        bytes_per_s: Option<u64>,
    ) -> Result<(), PortError> {
        let settings = RATES.map(|name| (name, bytes_per_s.map(|rate| rate.to_string())));
        self.set(BROKER, &broker.to_string(), &settings).await
    }

    /// Throttles the replicas that move to these brokers; what the topics name is read back.
    ///
    /// # Errors
    /// When the controller refuses, or a topic names other replicas.
    pub async fn throttle_replicas(&self, to: &Assignment) -> Result<(), PortError> {
        let controller = self.controller().await?;
        for (topic, named) in named(&self.replicas(to).await?, to) {
            let settings = REPLICAS.into_iter().zip(named);
            let settings: Vec<_> = settings.map(|(name, value)| (name, Some(value))).collect();
            self.set(TOPIC, &topic, &settings).await?;
            let in_force = self.topic_config(controller, &topic).await?;
            let other = settings.iter().find(|(name, value)| in_force.get(*name) != value.as_ref());
            if let Some((name, _)) = other {
                let what = format!("throttle replicas: {name} of {topic} is not what was set");
                return Err(PortError::new(ErrorKind::Other, what));
            }
        }
        Ok(())
    }

    /// Throttles no replica of these topics any more.
    ///
    /// # Errors
    /// When the controller refuses.
    pub async fn unthrottle_replicas(&self, moved: &Assignment) -> Result<(), PortError> {
        for topic in super::leaders::topics_of(moved) {
            self.set(TOPIC, topic, &REPLICAS.map(|name| (name, None))).await?;
        }
        Ok(())
    }

    /// Gives settings these values, or their defaults back. A broker takes its own alone.
    async fn set(
        &self,
        kind: i8,
        name: &str,
        settings: &[(&str, Option<String>)],
    ) -> Result<(), PortError> {
        let configs = settings.iter().map(|(name, value)| {
            AlterableConfig::default()
                .with_name(StrBytes::from_string((*name).to_owned()))
                .with_config_operation(if value.is_some() { SET } else { DELETE })
                .with_value(value.clone().map(StrBytes::from_string))
        });
        let resource = AlterConfigsResource::default()
            .with_resource_type(kind)
            .with_resource_name(StrBytes::from_string(name.to_owned()))
            .with_configs(configs.collect());
        let request = IncrementalAlterConfigsRequest::default().with_resources(vec![resource]);
        let what = format!("change the settings of {name}");
        let answer = match name.parse() {
            Ok(broker) if kind == BROKER => {
                let asked = self.ask(broker, VERSION, &request).await;
                asked.map_err(|error| PortError::io(&what, error))?
            }
            _ => self.ask_controller(&what, VERSION, &request).await?,
        };
        answer
            .responses
            .iter()
            .try_for_each(|it| check(&what, it.error_code, it.error_message.as_ref()))
    }
}

/// Of each topic what it names: replicas that send, which are those that are there, and those that get, which are new.
fn named(current: &Assignment, to: &Assignment) -> BTreeMap<String, [String; 2]> {
    let mut all: BTreeMap<String, [Vec<String>; 2]> = BTreeMap::new();
    for ((topic, partition), replicas) in to {
        let there =
            current.get(&(topic.clone(), *partition)).map(Vec::as_slice).unwrap_or_default();
        let new: Vec<_> = replicas.iter().filter(|broker| !there.contains(broker)).collect();
        if new.is_empty() {
            continue;
        }
        let [sending, getting] = all.entry(topic.clone()).or_default();
        sending.extend(there.iter().map(|broker| format!("{partition}:{broker}")));
        getting.extend(new.iter().map(|broker| format!("{partition}:{broker}")));
    }
    all.into_iter().map(|(topic, both)| (topic, both.map(|of| of.join(",")))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn those_that_are_there_send_and_those_that_are_new_get() {
        let of = |all: &[(i32, &[i32])]| -> Assignment {
            all.iter().map(|(id, on)| (("t".to_owned(), *id), on.to_vec())).collect()
        };
        let current = of(&[(0, &[1, 2, 3]), (1, &[2, 3, 1]), (2, &[3, 1, 2])]);
        let to = of(&[(0, &[1, 2, 4]), (1, &[2, 3, 1]), (2, &[5, 4, 2])]);
        let named = named(&current, &to);
        assert_eq!(named["t"], ["0:1,0:2,0:3,2:3,2:1,2:2", "0:4,2:5,2:4"]);
        assert!(super::named(&current, &current).is_empty());
    }
}
