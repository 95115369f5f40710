//! Where a cluster keeps who is registered, who controls it and who leads its partitions.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A cluster's metadata plane: the source of a fact about registration, control or leadership. What
/// brokers say of it to clients is recorded apart, under the broker that said it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum MetadataPlane {
    /// The znodes of the cluster's ZooKeeper ensemble.
    #[default]
    Zookeeper,
    /// What a broker tells clients, of a cluster whose ZooKeeper nobody can ask.
    Brokers,
    /// The same of a KRaft cluster, whose brokers name any of them in place of its controller.
    KraftBrokers,
}

impl MetadataPlane {
    /// Whether it tells who controls the cluster.
    pub fn tells_controller(self) -> bool {
        match self {
            Self::Zookeeper | Self::Brokers => true,
            Self::KraftBrokers => false,
        }
    }
}

impl fmt::Display for MetadataPlane {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Zookeeper => "ZooKeeper",
            Self::Brokers | Self::KraftBrokers => "the brokers' metadata",
        })
    }
}
