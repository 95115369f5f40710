use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use faults::port::Process;
use kafka_protocol::messages::create_topics_response::CreatableTopicResult;
use kafka_protocol::messages::delete_topics_response::DeletableTopicResult;
use kafka_protocol::messages::metadata_response::MetadataResponseBroker;
use kafka_protocol::messages::{
    ApiKey, BrokerId as WireBroker, CreateTopicsRequest, MetadataResponse,
};
use kafka_protocol::protocol::Encodable;
use results::record::event::Role;

use super::*;
use crate::membership::{Member, Membership};
use crate::wire::played::{PlayedRequest, listen};

/// A broker that names itself the controller, and answers requests of one kind, of which it counts how many came before,
/// by `answer`.
fn broker<A: Encodable + Send + Sync>(
    key: ApiKey,
    answer: impl Fn(usize) -> A + Send + Sync + 'static,
) -> (Admin, Arc<AtomicU32>) {
    let asked = Arc::new(AtomicU32::new(0));
    let counted = Arc::clone(&asked);
    let answer = Arc::new(answer);
    let address = listen(move |mut stream, _| {
        let (counted, answer) = (Arc::clone(&counted), Arc::clone(&answer));
        async move {
            loop {
                let asked = PlayedRequest::read(&mut stream).await?;
                if asked.key == key {
                    let before = counted.fetch_add(1, Ordering::Relaxed) as usize;
                    asked.answer(&mut stream, &answer(before)).await?;
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
    (Admin::new(Arc::new(members)), asked)
}

async fn deletes(refusals: &'static [ResponseError]) -> (Result<(), PortError>, u32) {
    let (admin, asked) = broker(ApiKey::DeleteTopics, |before| {
        let code = refusals.get(before).map_or(0, ResponseError::code);
        let topic = DeletableTopicResult::default().with_error_code(code);
        DeleteTopicsResponse::default().with_responses(vec![topic])
    });
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

/// The errors of the last answer of a controller that answers a request for two topics with these, one after the other.
async fn creates(
    answers: &'static [[Option<ResponseError>; 2]],
    there: Option<ResponseError>,
) -> Vec<i16> {
    let (admin, _) = broker(ApiKey::CreateTopics, |before| {
        let topic = |error: Option<ResponseError>| {
            CreatableTopicResult::default().with_error_code(error.map_or(0, |it| it.code()))
        };
        CreateTopicsResponse::default().with_topics(answers[before].map(topic).to_vec())
    });
    let request = CreateTopicsRequest::default();
    let answer = admin.ask_controller_to_make("create topics", 5, &request, 2, there).await;
    answer.unwrap().codes().into_iter().map(|code| *code).collect()
}

#[tokio::test]
async fn a_topic_that_a_deposed_controller_made_is_made() {
    use ResponseError::{TopicAlreadyExists, UnknownServerError};
    const DEPOSED: [Option<ResponseError>; 2] = [None, Some(UnknownServerError)];
    const THERE: [Option<ResponseError>; 2] = [Some(TopicAlreadyExists), None];
    let there = Some(TopicAlreadyExists);
    assert_eq!(creates(&[DEPOSED, THERE], there).await, [0, 0]);
    // Nobody made it before: it is another's.
    assert_eq!(creates(&[THERE], there).await, [TopicAlreadyExists.code(), 0]);
    assert_eq!(creates(&[DEPOSED, THERE], None).await, [TopicAlreadyExists.code(), 0]);
    const BOTH: [Option<ResponseError>; 2] = [Some(TopicAlreadyExists), Some(UnknownServerError)];
    assert_eq!(creates(&[BOTH, THERE], there).await[0], TopicAlreadyExists.code());
}
