//! Producer ids: a broker's first one is not at hand when it starts.

use faults::port::{ErrorKind, PortError};
use kafka_protocol::messages::InitProducerIdRequest;
use tokio::time::{Instant, sleep};

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
        let deadline = Instant::now() + VISIBLE_LIMIT;
        let request = InitProducerIdRequest::default().with_transactional_id(None);
        for broker in self.brokers() {
            while self.ask(broker, VERSION, &request).await.is_ok_and(|a| a.error_code != 0) {
                if Instant::now() >= deadline {
                    let what = format!("broker {broker} hands out no producer ids");
                    return Err(PortError::new(ErrorKind::TimedOut, what));
                }
                sleep(LOOK).await;
            }
        }
        Ok(())
    }
}
