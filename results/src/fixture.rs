//! Synthetic trials for tests: a small builder of events and history that agree with each other.
