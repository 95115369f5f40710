//! Settings in force, as brokers describe them.

use std::collections::BTreeMap;

use faults::port::PortError;
use kafka_protocol::messages::DescribeConfigsRequest;
use kafka_protocol::messages::describe_configs_request::DescribeConfigsResource;
use kafka_protocol::protocol::StrBytes;
use results::record::event::BrokerId;

use super::{Admin, check};

/// Version of DescribeConfigs that is used.
const VERSION: i16 = 2;

/// Resource types of the protocol.
pub(super) const TOPIC: i8 = 2;
pub(super) const BROKER: i8 = 4;

impl Admin {
    /// Every setting of a broker that is in force, defaults included.
    ///
    /// # Errors
    /// When the broker does not answer or refuses.
    pub async fn broker_config(
        &self,
        broker: BrokerId,
    ) -> Result<BTreeMap<String, String>, PortError> {
        self.config(broker, BROKER, &broker.to_string()).await
    }

    /// Every setting of a topic that is in force, defaults included, by the word of a broker.
    ///
    /// # Errors
    /// When the broker does not answer or refuses.
    pub async fn topic_config(
        &self,
        broker: BrokerId,
        topic: &str,
    ) -> Result<BTreeMap<String, String>, PortError> {
        self.config(broker, TOPIC, topic).await
    }

    async fn config(
        &self,
        broker: BrokerId,
        kind: i8,
        name: &str,
    ) -> Result<BTreeMap<String, String>, PortError> {
        let resource = DescribeConfigsResource::default()
            .with_resource_type(kind)
            .with_resource_name(StrBytes::from_string(name.to_owned()))
            .with_configuration_keys(None);
        let request = DescribeConfigsRequest::default().with_resources(vec![resource]);
        let what = format!("describe the settings of {name}");
        let answer = self
            .ask(broker, VERSION, &request)
            .await
            .map_err(|error| PortError::io(&what, error))?;
        let mut settings = BTreeMap::new();
        for result in answer.results {
            check(&what, result.error_code, result.error_message.as_ref())?;
            for config in result.configs {
                if let Some(value) = config.value {
                    settings.insert(config.name.as_str().to_owned(), value.as_str().to_owned());
                }
            }
        }
        Ok(settings)
    }
}
