//! Run directories of a stranger: what is in one makes kbench neither follow a link, nor delete, signal or
//! write anything elsewhere, nor wait for ever; and one bad directory stops nothing. Specifications of a
//! stranger: none runs code, reaches other files, or asks for more than there is. The real binary is let
//! loose on each; nothing here starts a cluster.

#![expect(clippy::expect_used, reason = "a test that cannot set itself up has failed")]

mod files;
mod inputs;
mod place;
mod processes;
mod siblings;
mod specs;
#[path = "../support/mod.rs"]
mod support;
mod texts;
