//! Evidence: what shows that a fault took effect, or that it is undone.
//!
//! Invariant: nothing is proven by something that could not be asked. An error is a line of the
//! evidence, and spoils the whole.

use std::time::Duration;

use tokio::time::Instant;

use crate::port::PortError;
use crate::until::until;

/// What shows that something took effect.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Evidence {
    /// What was seen, one observation a line, for people.
    pub lines: Vec<String>,
    /// Whether it proves the effect. False until something was seen.
    pub proven: bool,
    /// When the last of it was the case: as soon as it was seen, and for a silence as soon as the question
    /// was asked that got no answer.
    pub at: Option<Instant>,
}

impl Evidence {
    /// Evidence of one observation.
    pub fn of(line: impl Into<String>, proven: bool) -> Self {
        Self { lines: vec![line.into()], proven, at: Some(Instant::now()) }
    }

    /// The same, if what it shows was so at `asked` already.
    pub fn asked(self, asked: Instant) -> Self {
        Self { at: Some(asked), ..self }
    }

    /// Evidence of several effects: it proves all of them, or it proves nothing.
    pub fn all(parts: impl IntoIterator<Item: Into<Self>>) -> Self {
        let mut whole = Self { lines: vec![], proven: true, at: None };
        let mut parts = parts.into_iter().peekable();
        whole.proven = parts.peek().is_some();
        for part in parts {
            let part = part.into();
            whole.lines.extend(part.lines);
            whole.proven &= part.proven;
            whole.at = whole.at.max(part.at);
        }
        whole
    }

    /// Looks `every` so often until there is evidence that proves the effect; what was seen last
    /// when `limit` has passed.
    pub async fn within(
        limit: Duration,
        every: Duration,
        mut look: impl AsyncFnMut() -> Result<Self, PortError>,
    ) -> Self {
        let looked = until(limit, every, async || {
            let evidence = Self::from(look().await);
            if evidence.proven { Ok(evidence) } else { Err(evidence) }
        });
        looked.await.unwrap_or_else(|last| last)
    }
}

/// What could not be looked at proves nothing.
impl From<Result<Self, PortError>> for Evidence {
    fn from(looked: Result<Self, PortError>) -> Self {
        looked.unwrap_or_else(|error| Self::of(error.to_string(), false))
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::sleep;

    use super::*;
    use crate::port::ErrorKind;

    #[test]
    fn no_evidence_proves_nothing_and_one_doubt_spoils_the_whole() {
        assert!(!Evidence::all([] as [Evidence; 0]).proven);
        assert!(Evidence::all([Evidence::of("a", true), Evidence::of("b", true)]).proven);
        let doubtful = Evidence::all([Evidence::of("a", false), Evidence::of("b", true)]);
        assert_eq!((doubtful.lines, doubtful.proven), (vec!["a".into(), "b".into()], false));
        let unreachable = PortError::new(ErrorKind::Unreachable, "host1 cannot be reached");
        let unknown = Evidence::all([Ok(Evidence::of("a", true)), Err(unreachable)]);
        assert_eq!(unknown.lines, ["a", "host1 cannot be reached"]);
        assert!(!unknown.proven);
    }

    #[tokio::test(start_paused = true)]
    async fn evidence_is_as_late_as_its_last_part_and_a_silence_began_when_it_was_asked() {
        let asked = Instant::now();
        sleep(Duration::from_millis(250)).await;
        let silence = Evidence::of("silent", true).asked(asked);
        let gone = Evidence::of("gone", true);
        assert_eq!(silence.at, Some(asked));
        assert_eq!(Evidence::all([gone, silence]).at, Some(asked + Duration::from_millis(250)));
    }

    #[tokio::test(start_paused = true)]
    async fn an_error_is_looked_past_until_the_limit() {
        let (limit, every) = (Duration::from_millis(100), Duration::from_millis(20));
        let mut looks = 0;
        let seen = Evidence::within(limit, every, async || {
            looks += 1;
            match looks {
                1 => Err(PortError::new(ErrorKind::Unreachable, "not yet")),
                _ => Ok(Evidence::of("there", looks == 3)),
            }
        });
        assert!(seen.await.proven);
        assert_eq!(looks, 3);
    }
}
