//! Producer ids: a broker's first one is not at hand when it starts.

use faults::port::{ErrorKind, PortError};
use faults::until;
use kafka_protocol::messages::InitProducerIdRequest;

use super::{Admin, LOOK, VISIBLE_LIMIT};

/// Version of InitProducerId that is used.
const VERSION: i16 = 2;

impl Admin {
    /// Waits until every broker hands out producer ids. It asks the controller for a block of them
    /// (KIP-730) only when the first producer wants one, and refuses that one; librdkafka then
    /// waits half a second.
    ///
    /// # Errors
    /// When a broker does not hand one out in time.
    pub async fn await_producer_ids(&self) -> Result<(), PortError> {
        let request = InitProducerIdRequest::default().with_transactional_id(None);
        for broker in self.brokers() {
            let hands_out = until(VISIBLE_LIMIT, LOOK, async || {
                match self.ask(broker, VERSION, &request).await {
                    Ok(answer) if answer.error_code != 0 => {
                        let what = format!("broker {broker} hands out no producer ids");
                        Err(PortError::new(ErrorKind::TimedOut, what))
                    }
                    // One that does not answer is not waited for.
                    _ => Ok(()),
                }
            });
            hands_out.await?;
        }
        Ok(())
    }
}
