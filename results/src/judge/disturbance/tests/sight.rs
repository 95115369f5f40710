//! An observer that lost sight of the cluster: by the plan, or not.

use super::*;

#[test]
fn the_sight_that_a_cut_takes_is_the_plan_s_and_a_machine_that_was_not_reached_is_not() {
    let told = |takes: Takes, detail: Option<&str>| {
        let mut f = three_faults(1);
        let (cause, place, detail) =
            (Cause::ObserverLost, Place::Kbench, detail.map(str::to_owned));
        f.at(23.0, EventKind::Disturbed { cause, place, from: at(22.0), detail });
        let mut trial = f.trial();
        for event in &mut trial.events {
            if let EventKind::FaultInjecting { effect, .. } = &mut event.kind {
                effect.takes = takes;
            }
        }
        let report = judge(&fixture::question(1), &[trial]);
        report.checks.iter().find(|check| check.name == "disturbance").unwrap().count
    };
    for cut in [Takes::Nodes, Takes::Links, Takes::Ensemble] {
        assert_eq!(told(cut, None), 0, "{cut:?}");
        assert_eq!(told(cut, Some("m1 was not reached by ssh")), 1, "{cut:?}");
    }
    assert_eq!(told(Takes::Processes, None), 1);
}
