//! Maps by id, written as pairs. As an object their keys would be text, which an event is not read back from: serde
//! holds what an internally tagged enum has before it knows the type, and makes no number of a text then.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::record::event::BrokerId;

pub(super) fn serialize<V: Serialize, S: Serializer>(
    map: &BTreeMap<BrokerId, V>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(map)
}

pub(super) fn deserialize<'de, V: Deserialize<'de>, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<BTreeMap<BrokerId, V>, D::Error> {
    Ok(Vec::<(BrokerId, V)>::deserialize(deserializer)?.into_iter().collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::clock::RunTime;
    use crate::record::event::probe::{
        ClusterProbe, ConsumerSeen, FetchesSeen, ProbeSaw, Probed, ZookeeperWritesSeen,
    };
    use crate::record::event::{Event, EventKind};

    #[test]
    fn an_event_with_maps_by_id_is_read_back() {
        let writes = ZookeeperWritesSeen {
            modes: BTreeMap::from([(1, "leader".to_owned()), (2, "follower".to_owned())]),
            leader_epoch: Some(1),
            writes: vec![],
            sessions: BTreeMap::from([(3, 2)]),
        };
        let consumer =
            ConsumerSeen { rack: None, records: 1, fetches: BTreeMap::from([(1, 7), (2, 0)]) };
        let (topic, consumers) = ("t".to_owned(), vec![consumer]);
        let fetches = FetchesSeen { topic, partition: 0, leader: 1, answers: vec![], consumers };
        for (probe, saw) in [
            (ClusterProbe::ZookeeperWrites, ProbeSaw::ZookeeperWrites(writes)),
            (ClusterProbe::FollowerFetch, ProbeSaw::Fetched(fetches)),
        ] {
            let event = Event { at: RunTime(1), kind: EventKind::Probed(Probed { probe, saw }) };
            let text = serde_json::to_string(&event).unwrap();
            assert_eq!(serde_json::from_str::<Event>(&text).unwrap(), event, "{text}");
        }
    }
}
