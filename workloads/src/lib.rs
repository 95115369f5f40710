//! Load on a Kafka cluster: specifications, open-loop producers, a consumer group, probes, and the
//! drain. Everything that the clients see goes into the history of `results`.
//!
//! - [`WorkloadSpec`] says what to send; [`shipped`] ones are embedded.
//! - [`SUITES`] are the texts of the shipped suites, which name workloads.
//! - [`Load`] runs it, as a list of clients; [`Live`] is the load as it stands now. [`drain`] reads
//!   it all back.
//! - [`record`] is the layout of what is sent.
//! - [`worker_main`] is what a client in a process of its own runs.
//! - [`Security`] is how brokers are connected to: TLS and SASL, for every connection.
//! - [`wire`] is a connection to a broker, for what librdkafka does not ask or is not to be trusted with.
//!
//! Knows Kafka's clients and the history; knows no cluster and no fault.

mod client;
mod closing;
mod drain;
mod draw;
mod error;
mod honesty;
mod live;
mod load;
mod one_client;
mod poll;
pub mod record;
mod seat;
pub mod security;
mod settings;
pub mod spec;
mod suites;
mod until;
mod wake;
pub mod wire;

pub use client::ClientKind;
pub use drain::{DrainProgress, DrainSummary, DrainTask, OnDrained, Patience, drain};
pub use error::LoadError;
pub use honesty::{HonestyFigures, honesty};
pub use live::Live;
pub use load::{
    ClientState, FurtherTopic, Killed, Lives, Load, LoadContext, LoadSummary, OnEvent, STOP_LIMIT,
};
pub use one_client::{OneClient, PartitionRead};
pub use poll::WAIT as POLL_WAIT;
pub use seat::worker_main;
pub use security::{Security, SecurityError};
pub use settings::BESIDE_VALUE;
pub use spec::{
    Acks, Arrivals, BacklogSpec, Compression, ConsumersSpec, KeySpec, LoadSpec, MOST_PARTITIONS,
    Payload, PhasesSpec, ProbeSpec, ProducerSpec, Rate, RecordBytes, Shape, Sizes, SpecError,
    TopicChoice, TopicsSpec, WorkloadSpec, shipped,
};
pub use suites::SUITES;

/// Version of librdkafka that the clients are built on.
pub fn librdkafka_version() -> String {
    rdkafka::util::get_rdkafka_version().1
}
