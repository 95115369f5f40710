//! The claims that a run is judged by: the guide's, or those of a user's file.

use std::path::Path;

use faults::plan::Plan;
use results::judge::claim::{self, Claim};

use super::{plain, read};
use crate::failure::Failure;

/// The claims of a file.
///
/// # Errors
/// When it cannot be read, or a mistake with its place.
pub fn claims_of(file: &Path) -> Result<Vec<Claim>, Failure> {
    let name = file.display().to_string();
    let text = read(file)?;
    claim::parse(&name, &text)
        .map_err(|error| Failure::spec(&name, &text, &plain(&error.message), Some(error.span)))
}

/// The guide's claims.
///
/// # Errors
/// When what is shipped is damaged.
pub fn guide() -> Result<Vec<Claim>, Failure> {
    claim::guide()
        .map_err(|error| Failure::usage(format!("the shipped claims are damaged: {error}")))
}

/// The claims of a user's file, all of them; otherwise the guide's, less those whose scenario is not in the plan.
pub(super) fn for_run(file: Option<&Path>, plan: Option<&Plan>) -> Result<Vec<Claim>, Failure> {
    if let Some(file) = file {
        return claims_of(file);
    }
    let mut claims = guide()?;
    claims.retain(|claim| {
        claim.scenario.is_empty()
            || plan
                .is_some_and(|plan| plan.steps.iter().any(|step| claim.scenario.contains(&step.id)))
    });
    Ok(claims)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_s_claims_take_the_place_of_the_guide_s_and_a_mistake_has_its_place() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("runbook.toml");
        let claim = "[[claim]]\nid = \"quick\"\ntext = \"failover typically under 2 s\"\n\
                     source = \"a provider's page\"\nscenario = [\"leader\"]\n\
                     metric = \"unavailability-led\"\nstated_s = [0.0, 2.0]\n";
        std::fs::write(&file, claim).unwrap();
        let ids = |claims: Vec<Claim>| claims.into_iter().map(|it| it.id).collect::<Vec<_>>();
        assert_eq!(ids(for_run(Some(&file), None).unwrap()), ["quick"]);
        assert!(ids(for_run(None, None).unwrap()).contains(&"no-acked-loss".to_owned()));
        std::fs::write(&file, claim.replace("unavailability-led", "unavailability")).unwrap();
        let failure = for_run(Some(&file), None).unwrap_err();
        assert!(failure.text().contains("runbook.toml"), "{}", failure.text());
    }
}
