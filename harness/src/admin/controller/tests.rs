use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use faults::port::Process;
use kafka_protocol::messages::delete_topics_response::DeletableTopicResult;
use kafka_protocol::messages::metadata_response::MetadataResponseBroker;
use kafka_protocol::messages::{ApiKey, BrokerId as WireBroker, MetadataResponse};
use results::record::event::Role;

use super::*;
use crate::membership::{Member, Membership};
use crate::wire::played::{PlayedRequest, listen};

/// A broker that names itself the controller, and answers the first requests to delete a topic with these errors.
fn broker(refusals: &'static [ResponseError]) -> (Admin, Arc<AtomicU32>) {
    let asked_to_delete = Arc::new(AtomicU32::new(0));
    let many = Arc::clone(&asked_to_delete);
    let address = listen(move |mut stream, _| {
        let many = Arc::clone(&many);
        async move {
            loop {
                let asked = PlayedRequest::read(&mut stream).await?;
                if asked.key == ApiKey::DeleteTopics {
                    let before = many.fetch_add(1, Ordering::Relaxed) as usize;
                    let code = refusals.get(before).map_or(0, ResponseError::code);
                    let topic = DeletableTopicResult::default().with_error_code(code);
                    let answer = DeleteTopicsResponse::default().with_responses(vec![topic]);
                    asked.answer(&mut stream, &answer).await?;
                } else {
                    let itself = MetadataResponseBroker::default().with_node_id(WireBroker(1));
                    let answer = MetadataResponse::default()
                        .with_brokers(vec![itself])
                        .with_controller_id(WireBroker(1));
                    asked.answer(&mut stream, &answer).await?;
                }
            }
        }
    });
    let process = Process { node: "node1".to_owned(), role: Role::Broker, id: 1 };
    let members = Membership::new(vec![Member { process, address }]);
    (Admin::new(Arc::new(members)), asked_to_delete)
}

async fn deletes(refusals: &'static [ResponseError]) -> (Result<(), PortError>, u32) {
    let (admin, asked) = broker(refusals);
    let deleted = admin.delete_topics(&["user-events".to_owned()]).await;
    (deleted, asked.load(Ordering::Relaxed))
}

#[tokio::test]
async fn who_was_deposed_is_asked_until_a_controller_answers() {
    use ResponseError::{NotController, UnknownServerError};
    let (deleted, asked) = deletes(&[UnknownServerError, NotController, NotController]).await;
    deleted.unwrap();
    assert_eq!(asked, 4);
}

#[tokio::test]
async fn what_the_controller_refuses_is_told_at_once() {
    let (deleted, asked) = deletes(&[ResponseError::TopicAuthorizationFailed]).await;
    assert!(deleted.unwrap_err().to_string().contains("TopicAuthorizationFailed"));
    assert_eq!(asked, 1);
}
