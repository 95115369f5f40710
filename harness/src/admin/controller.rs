//! Who the controller is, and asking it.

use faults::port::{ErrorKind, PortError};
use faults::until;
use kafka_protocol::ResponseError;
use kafka_protocol::messages::{
    AlterPartitionReassignmentsResponse, CreatePartitionsResponse, CreateTopicsResponse,
    DeleteTopicsResponse, ElectLeadersResponse, IncrementalAlterConfigsResponse,
    ListPartitionReassignmentsResponse,
};
use kafka_protocol::protocol::Request;
use results::record::event::BrokerId;

use super::{ANSWER_LIMIT, Admin, LOOK, VISIBLE_LIMIT, for_many};

impl Admin {
    /// The controller, by the word of the first broker that names one; waits for one.
    pub(super) async fn controller(&self) -> Result<BrokerId, PortError> {
        let named = until(VISIBLE_LIMIT, LOOK, async || {
            let brokers = self.brokers();
            for broker in &brokers {
                // A broker that does not answer is not the one to ask.
                if let Ok(metadata) = self.metadata(*broker, &[]).await {
                    let controller = metadata.controller_id.0;
                    if brokers.contains(&controller) {
                        return Ok(controller);
                    }
                }
            }
            Err(PortError::new(ErrorKind::TimedOut, "no broker names a controller"))
        });
        named.await
    }

    /// Asks the controller, and whoever is controller after it where it was none any more; within a limit, after which
    /// its refusal is the answer.
    pub(super) async fn ask_controller<R>(
        &self,
        what: &str,
        version: i16,
        request: &R,
    ) -> Result<R::Response, PortError>
    where
        R: Request<Response: OfController>,
    {
        self.ask_controller_to_make(what, version, request, 0, None).await
    }

    /// The same where it makes so many partitions. What `there` says of is done: one that was deposed meanwhile may have
    /// made a part.
    pub(super) async fn ask_controller_to_make<R>(
        &self,
        what: &str,
        version: i16,
        request: &R,
        partitions: usize,
        there: Option<ResponseError>,
    ) -> Result<R::Response, PortError>
    where
        R: Request<Response: OfController>,
    {
        let limit = for_many(ANSWER_LIMIT, partitions);
        let mut asked_before = false;
        let answered = until(VISIBLE_LIMIT, LOOK, async || {
            let asked = async {
                let controller = self.controller().await?;
                let answer = self.ask_within(controller, version, request, limit).await;
                answer.map_err(|error| PortError::io(what, error))
            };
            let mut answer = match asked.await {
                Ok(answer) => answer,
                Err(error) => return Ok(Err(error)),
            };
            let is_there =
                |error: ResponseError| answer.codes().iter().any(|code| **code == error.code());
            // It was another's before this was asked for.
            if !asked_before && there.is_some_and(is_there) {
                return Ok(Ok(answer));
            }
            if was_deposed(&mut answer) {
                asked_before = true;
                return Err(answer);
            }
            if let Some(there) = there.filter(|_| asked_before) {
                let made = answer.codes().into_iter().filter(|code| **code == there.code());
                made.for_each(|code| *code = 0);
            }
            Ok(Ok(answer))
        });
        answered.await.unwrap_or_else(Ok)
    }
}

/// An answer that only the controller can give.
pub(super) trait OfController {
    /// The errors in it, and zeros where there is none.
    fn codes(&mut self) -> Vec<&mut i16>;
}

impl OfController for CreateTopicsResponse {
    fn codes(&mut self) -> Vec<&mut i16> {
        self.topics.iter_mut().map(|topic| &mut topic.error_code).collect()
    }
}

impl OfController for DeleteTopicsResponse {
    fn codes(&mut self) -> Vec<&mut i16> {
        self.responses.iter_mut().map(|topic| &mut topic.error_code).collect()
    }
}

impl OfController for CreatePartitionsResponse {
    fn codes(&mut self) -> Vec<&mut i16> {
        self.results.iter_mut().map(|topic| &mut topic.error_code).collect()
    }
}

impl OfController for IncrementalAlterConfigsResponse {
    fn codes(&mut self) -> Vec<&mut i16> {
        self.responses.iter_mut().map(|resource| &mut resource.error_code).collect()
    }
}

impl OfController for ListPartitionReassignmentsResponse {
    fn codes(&mut self) -> Vec<&mut i16> {
        vec![&mut self.error_code]
    }
}

impl OfController for AlterPartitionReassignmentsResponse {
    fn codes(&mut self) -> Vec<&mut i16> {
        let partitions = self.responses.iter_mut().flat_map(|topic| &mut topic.partitions);
        let own = [&mut self.error_code];
        own.into_iter().chain(partitions.map(|it| &mut it.error_code)).collect()
    }
}

impl OfController for ElectLeadersResponse {
    fn codes(&mut self) -> Vec<&mut i16> {
        let topics = self.replica_election_results.iter_mut();
        let partitions = topics.flat_map(|topic| &mut topic.partition_result);
        let own = [&mut self.error_code];
        own.into_iter().chain(partitions.map(|it| &mut it.error_code)).collect()
    }
}

/// Whether a broker answered so that is not the controller any more.
///
/// One that was stopped or cut off takes itself for the controller until it learns that its ZooKeeper session has
/// ended, and its metadata names it. What it is asked in between fails with `SessionExpiredException`, which
/// `ZkAdminManager` has no code for: seen of Kafka 3.9.1 within a second of its going on; later it says
/// `NOT_CONTROLLER`.
fn was_deposed(answer: &mut impl OfController) -> bool {
    let deposed = [ResponseError::NotController, ResponseError::UnknownServerError];
    answer.codes().into_iter().any(|code| deposed.iter().any(|error| error.code() == *code))
}

#[cfg(test)]
mod tests;
