//! What the drain says of the order of logs.

use rdkafka::ClientConfig;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use results::record::clock::RunTime;
use results::record::history::RecordId;
use workloads::record::{HEADER_BYTES, encode};

use crate::lab::{LIMIT, Lab, RUN, TOPIC};

#[test]
fn a_log_that_holds_a_record_twice_is_told_of_and_no_other() {
    let lab = Lab::new();
    let bootstrap = lab.cluster().bootstrap_servers();
    let producer: BaseProducer =
        ClientConfig::new().set("bootstrap.servers", bootstrap).create().unwrap();
    for (partition, sequence) in [(0, 0), (1, 0), (0, 1), (1, 1), (1, 0), (1, 2), (2, 7)] {
        let (due, key) = (RunTime(0), 0);
        let id = RecordId { producer: 0, incarnation: 1, partition, sequence, key, due };
        let mut value = [0; HEADER_BYTES];
        encode(&mut value, RUN, &id, false);
        let record = BaseRecord::<(), _>::to(TOPIC).partition(partition).payload(&value[..]);
        assert!(producer.send(record).is_ok());
    }
    producer.flush(LIMIT).unwrap();
    let drained = lab.drain(3, LIMIT);
    assert_eq!((drained.records, drained.complete), (7, true));
    assert_eq!(drained.out_of_order, [false, true, false]);
}
