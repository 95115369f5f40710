//! The words that everybody in kbench records in, and the judgement of what was recorded.
//!
//! Everything here is a pure function of recorded data: no runtime, no Kafka client, no process,
//! no network. A run directory judged again tomorrow gives the same verdict.
//!
//! [`record`]: what was recorded. [`judge`]: what it means. [`report`]: all of it as one document,
//! in several forms. [`suite`]: several runs that answer for one document's claims. [`index`]: the list of both. [`compare`]: two sets
//! of runs. [`trend`]: the history of runs over nights. [`plot`]: figures as SVG.

pub mod compare;
#[cfg(test)]
mod fixture;
pub mod index;
pub mod judge;
pub mod plot;
pub mod record;
pub mod report;
pub mod suite;
pub mod terminal;
pub mod trend;
