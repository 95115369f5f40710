//! What is wrong with a file of properties.

/// A file that says not, or says wrongly, how brokers are connected to. No value of it is told.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what}")]
pub struct SecurityError {
    pub(super) what: String,
    pub(super) cure: Option<String>,
}

impl SecurityError {
    pub(super) fn new(what: impl Into<String>) -> Self {
        Self { what: what.into(), cure: None }
    }

    pub(super) fn with_cure(self, cure: impl Into<String>) -> Self {
        Self { cure: Some(cure.into()), ..self }
    }

    /// What to do, where that is known.
    pub fn cure(&self) -> Option<&str> {
        self.cure.as_deref()
    }
}
