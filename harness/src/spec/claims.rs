//! The claims that a run is judged by: the guide's, or those of a user's file.

use std::path::Path;

use faults::plan::Plan;
use results::judge::claim::{self, Claim};

use super::suite::unknown_claim;
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

/// The claims of a user's file, all of them; otherwise the guide's, less those whose scenario is not in the plan. Where
/// `only` names some, those.
pub(super) fn for_run(
    file: Option<&Path>,
    only: &[String],
    plan: Option<&Plan>,
) -> Result<Vec<Claim>, Failure> {
    let claims = file.map_or_else(guide, claims_of)?;
    if let Some(id) = only.iter().find(|id| claims.iter().all(|claim| claim.id != **id)) {
        return Err(unknown_claim(id, &claims));
    }
    if !only.is_empty() {
        return Ok(claims.into_iter().filter(|claim| only.contains(&claim.id)).collect());
    }
    let steps = plan.into_iter().flat_map(Plan::ids);
    Ok(if file.is_some() { claims } else { claim::for_steps(claims, steps) })
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
        assert_eq!(ids(for_run(Some(&file), &[], None).unwrap()), ["quick"]);
        assert!(ids(for_run(None, &[], None).unwrap()).contains(&"no-acked-loss".to_owned()));
        let only = |id: &str| for_run(None, &[id.to_owned()], None);
        assert_eq!(ids(only("settings-in-force").unwrap()), ["settings-in-force"]);
        let unknown = only("settings-in-farce").unwrap_err();
        assert!(unknown.cure().is_some_and(|cure| cure.contains("settings-in-force")));
        std::fs::write(&file, claim.replace("unavailability-led", "unavailability")).unwrap();
        let failure = for_run(Some(&file), &[], None).unwrap_err();
        assert!(failure.text().contains("runbook.toml"), "{}", failure.text());
    }
}
