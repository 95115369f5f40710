//! scratch
pub mod doctor; pub mod failure; pub mod local; pub mod provision; pub mod recorder; pub mod sandbox; pub mod spec; pub mod topology;
