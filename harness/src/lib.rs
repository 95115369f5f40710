//! kbench
