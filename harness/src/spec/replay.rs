//! The faults of a recorded trial once more, at their times and on their processes.
//!
//! The run may be a stranger's. What its spec asks for is held to what a user may ask for; what would run
//! code of its author's choice, or without a sandbox, is taken only from who is trusted.

use std::path::Path;

use faults::plan;
use results::record::event::log::{self, LogEnd};

use super::name::{fresh_number, name_of_run};
use super::permitted::{fits, permitted};
use super::request::{Asked, known_settings};
use super::{BackendSpec, RunSpec, attached, trust};
use crate::cluster::local::sandbox;
use crate::failure::Failure;

/// What repeats trial `number` of the run of `recorded`; `events` is the trial's record of them. `trusted`
/// says that the user knows whose run it is.
///
/// # Errors
/// Usage failures: the run has no such trial, or nothing in it that can be repeated; the plan is one
/// that this machine cannot carry out; the spec asks for what takes trust. A failure when the record
/// cannot be read.
pub fn replay(
    mut recorded: RunSpec,
    number: u32,
    events: &Path,
    asked: &Asked,
    trusted: bool,
) -> Result<RunSpec, Failure> {
    let (name, trials) = (recorded.run_id.clone(), recorded.trials);
    let taken = trust::of_recorded(&recorded);
    trust::granted(&format!("the spec of {name}"), &taken, trusted)?;
    if !(1..=trials).contains(&number) {
        return Err(Failure::usage(format!("{name} has no trial {number}: it has {trials}")));
    }
    let cannot = |why: &dyn std::fmt::Display| {
        Failure::usage(format!("trial {number} of {name} cannot be repeated: {why}"))
    };
    let plan = recorded.plan.as_ref().ok_or_else(|| cannot(&"it had no plan"))?;
    let read = log::read(events).map_err(|error| cannot(&error))?;
    if let LogEnd::Altered(what) = read.end {
        return Err(cannot(&format_args!("{} {what}", events.display())));
    }
    let plan = plan::replay(plan, &read.events, &recorded.cluster.processes())
        .map_err(|error| cannot(&error))?;
    let checked = plan.check();
    checked.map_err(|error| cannot(&error))?;
    fits(&plan, &recorded.workload)?;
    permitted(&plan, &recorded.cluster, &recorded.backend, asked)?;
    known_settings(&recorded.cluster, recorded.backend.kafka(), Some(&plan))?;
    sandbox::choose(Some(recorded.backend.sandbox()))
        .map_err(|error| Failure::infrastructure(error.to_string()).with_cure(error.cure()))?;
    let random = fresh_number();
    match &mut recorded.backend {
        // Repeated on a new cluster, as other runs are.
        BackendSpec::Local(local) => local.kept = None,
        BackendSpec::Docker(_) => {}
        BackendSpec::Attached(_) => attached::again(&mut recorded, random, asked)?,
    }
    let (run_id, started) = name_of_run(&recorded.workload.name, random);
    let spec = RunSpec {
        run_id,
        run_number: random,
        command: asked.command.clone(),
        started,
        replays: Some(format!("trial {number} of {name}")),
        trusted: taken,
        trials: 1,
        parallel: 1,
        plan: Some(plan),
        ..recorded
    };
    trust::run(&spec, trusted)?;
    Ok(spec)
}

#[cfg(test)]
mod tests {
    use super::super::check::tests::{asked, local};
    use super::super::trust::of_recorded;
    use super::*;
    use crate::cluster::local::sandbox::Mode;
    use crate::provision::KafkaSource;

    #[test]
    fn what_a_stranger_may_not_decide_takes_trust() {
        type Change = fn(&mut RunSpec);
        let changes: [(Change, &str); 5] = [
            (|spec| local(spec).kafka = KafkaSource::Home("/x".into()), "the jars in /x"),
            (|spec| spec.cluster.broker.jvm.push("-javaagent:x".to_owned()), "-javaagent:x"),
            (|spec| spec.cluster.zookeeper.jvm.push("-Dx=y".to_owned()), "-Dx=y"),
            (|spec| local(spec).mode = Mode::Loopback, "without a sandbox"),
            (
                |spec| {
                    let settings = &mut spec.workload.producer.settings;
                    settings.insert("plugin.library.paths".to_owned(), "x.so".to_owned());
                },
                "plugin.library.paths",
            ),
        ];
        let mut harmless = asked("failover");
        local(&mut harmless).mode = Mode::UserNamespaces;
        assert!(of_recorded(&harmless).is_empty());
        for (change, words) in changes {
            let mut spec = harmless.clone();
            change(&mut spec);
            assert!(of_recorded(&spec).concat().contains(words), "{words}");
            let (events, asked) = (Path::new("none"), Asked::default());
            let refused = replay(spec.clone(), 1, events, &asked, false).unwrap_err();
            assert!(refused.text().contains(words), "{}", refused.text());
            assert!(refused.cure().is_some_and(|cure| cure.contains("--trust-spec")));
            let further = replay(spec, 1, events, &asked, true).unwrap_err();
            assert!(further.text().contains("cannot be repeated"), "{}", further.text());
        }
    }
}
