//! Clusters on machines that kbench reaches by ssh: they ran before, are found as an [`inventory`] says, and are
//! left as they were.
//!
//! A node is a [`host`] behind a connection of its own. Nothing is installed on it: faults use what the
//! machine has, as the user that logs in, with `sudo` for what takes root. Before a server is hurt or packets are taken,
//! the node is told how to undo that by itself (the [`guardian`], a dead-man's switch). What is absent: making a
//! cluster, links that go down, packets that are held back or sent twice, and faults of clocks, disks and memory, which
//! would outlast kbench on a machine that is not kbench's.

mod clock;
pub mod cluster;
pub mod control;
mod disk;
mod driver;
pub mod drop_in;
mod dry_run;
pub mod guardian;
pub mod host;
pub mod inventory;
mod link;
mod logs;
pub mod look;
mod network;
mod node;
mod resident;
mod rules;
mod servers;
mod shell;
mod usage;

pub use cluster::{SshCluster, SshSetup};
pub use dry_run::dry_run;
pub use host::SshHost;
pub use inventory::{Driver, Inventory, InventoryNode, Login, ServiceSpec};
