//! Clusters behind the ports, one folder a backend.

pub mod local;
