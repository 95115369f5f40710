//! Load on a Kafka cluster: specifications, open-loop producers, a consumer group, probes, and the
//! drain. Everything that the clients see goes into the history of `results`.
//!
//! - [`WorkloadSpec`] says what to send; [`shipped`] ones are embedded.
//! - [`Load`] runs it; [`Live`] is the load as it stands now. [`drain`] reads it all back.
//! - [`record`] is the layout of what is sent.
//!
//! Knows Kafka's clients and the history; knows no cluster, no fault, no runtime.

mod consumer;
mod drain;
mod error;
mod keys;
mod live;
mod load;
mod outcome;
mod poll;
mod probe;
mod producer;
pub mod record;
mod schedule;
mod seconds;
mod settings;
mod spec;
mod wake;
pub mod worker;

pub use drain::{DrainSummary, drain};
pub use error::LoadError;
pub use live::Live;
pub use load::{Load, LoadContext, LoadSummary, STOP_LIMIT};
pub use spec::{
    Acks, Compression, ConsumersSpec, LoadSpec, PhasesSpec, ProbeSpec, ProducerSpec, Rate,
    SpecError, WorkloadSpec, shipped,
};

/// Version of librdkafka that the clients are built on.
pub fn librdkafka_version() -> String {
    rdkafka::util::get_rdkafka_version().1
}
