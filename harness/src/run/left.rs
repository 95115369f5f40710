//! What a trial that did not come to its end leaves behind, in words, and how that is undone.

use std::fmt::Display;
use std::path::Path;

use faults::ledger;
use results::record::trial::LEDGER;
use results::terminal::argument;

use crate::heal;
use crate::rundir::RunDir;
use crate::spec::RunSpec;

/// The command that undoes what a run left, as it is typed.
pub(super) fn heal_command(spec: &RunSpec, dir: &RunDir) -> String {
    let run = dir.path().display().to_string();
    let mut command = format!("kbench heal {}", argument(&run));
    if let Some(attached) = spec.backend.attached() {
        command += &format!(" --yes-hurt-this-cluster {}", argument(&attached.cluster_id));
        if let Some(secured) = &attached.secured {
            let file = secured.file.display().to_string();
            command += &format!(" --command-config {}", argument(&file));
        }
    }
    command
}

/// What there is to do when the trials were killed by a second interrupt.
pub(super) fn after_kill(spec: &RunSpec, dir: &RunDir) -> String {
    let heal = heal_command(spec, dir);
    let run = dir.path().display().to_string();
    let judges = format!("`kbench report {}` judges what there is", argument(&run));
    let backend = &spec.backend;
    if let Some(attached) = backend.attached() {
        let topics = if attached.keep_topics { "" } else { " and the run's topics are left" };
        let id = &attached.cluster_id;
        return format!(
            "faults may still be in force on the cluster {id}{topics}: `{heal}` undoes that, {judges}"
        );
    }
    if let Some(kept) = backend.kept() {
        let name = kept.name();
        return format!(
            "faults may still be in force on the cluster {name}: `{heal}` undoes them, {judges}"
        );
    }
    if backend.docker().is_some() {
        return format!(
            "containers and data ended with it; `{heal}` removes their network and verifies that, {judges}"
        );
    }
    format!(
        "processes, namespaces and data of the local cluster ended with it; `{heal}` verifies that, {judges}"
    )
}

/// What the ledger of a trial that died still lists, in words; nothing where that is gone with the cluster.
pub(super) fn outstanding(spec: &RunSpec, trial_dir: &Path) -> Vec<String> {
    if heal::is_gone(spec) {
        return vec![];
    }
    match ledger::outstanding(&trial_dir.join(LEDGER)) {
        Ok(left) => {
            let undos = left.entries.iter().map(|entry| entry.undo.to_string());
            undos.chain(left.damage).collect()
        }
        Err(error) => vec![error.to_string()],
    }
}

/// Why a trial that died without a word is a failure, and the cure; none where it was interrupted and left nothing.
pub(super) fn died(
    status: &dyn Display,
    left: &[String],
    interrupted: bool,
    heal: &str,
) -> Option<(String, Option<String>)> {
    match left {
        [] if interrupted => None,
        [] => Some((format!("the trial ended with {status}"), None)),
        _ => {
            let left = left.join("; ");
            let text = format!("the trial ended with {status} and left to undo: {left}");
            Some((text, Some(format!("`{heal}` undoes that"))))
        }
    }
}

#[cfg(test)]
mod tests {
    use faults::ledger::Ledger;
    use faults::undo::Undo;

    use super::*;
    use crate::heal::tests::{recorded, theirs};
    use crate::private::tests::own_place;

    #[test]
    fn a_kill_on_a_cluster_of_others_says_what_is_left_there_and_how_it_is_healed() {
        let place = own_place();
        let (spec, dir) = recorded(place.path(), Some(theirs()));
        let said = after_kill(&spec, &dir);
        let run = dir.path().display();
        assert!(said.contains("faults may still be in force on the cluster theirs"), "{said}");
        assert!(said.contains("the run's topics are left"), "{said}");
        assert!(said.contains(&format!("`kbench heal {run} --yes-hurt-this-cluster theirs`")));
        let (spec, dir) = recorded(own_place().path(), None);
        let said = after_kill(&spec, &dir);
        assert!(said.contains("local cluster ended") && !said.contains("--yes-hurt"), "{said}");
    }

    #[test]
    fn a_trial_that_dies_while_it_heals_is_told_with_what_it_left() {
        let place = own_place();
        let (spec, dir) = recorded(place.path(), Some(theirs()));
        assert_eq!(outstanding(&spec, dir.path()), Vec::<String>::new());
        let mut ledger = Ledger::open(&dir.path().join(LEDGER), heal::owner(&spec, 1)).unwrap();
        let tag = ledger.tag();
        ledger.plan(&tag, "a", Default::default(), &[Undo::RestoreClients]).unwrap();
        let left = outstanding(&spec, dir.path());
        assert_eq!(left, [Undo::RestoreClients.to_string()]);
        for interrupted in [false, true] {
            let (text, cure) = died(&"signal 9", &left, interrupted, "kbench heal x").unwrap();
            assert!(text.contains("signal 9") && text.contains(&left[0]), "{text}");
            assert!(cure.unwrap().contains("kbench heal x"));
        }
        assert_eq!(died(&"signal 9", &[], true, ""), None);
        assert!(died(&"signal 9", &[], false, "").is_some());
        let (own, _) = recorded(own_place().path(), None);
        assert!(outstanding(&own, dir.path()).is_empty(), "it is gone with the cluster");
    }
}
