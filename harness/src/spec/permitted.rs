//! What a plan is refused for where it is asked for: by the kept cluster, the load, the nodes, the backend, and by
//! what may be hurt.

use faults::guard::{self, GuardedCluster};
use faults::plan::Plan;
use faults::port::Capability;
use workloads::WorkloadSpec;

use super::{Asked, BackendSpec};
use crate::cluster::local::kept::KeptSpec;
use crate::failure::Failure;
use crate::topology::Topology;

/// Refuses a length of the load where a plan decides how long that is.
pub(super) fn timed(plan: &str, asked: &str) -> Result<(), Failure> {
    if plan == "none" {
        return Ok(());
    }
    Err(Failure::usage(format!(
        "{asked} is the length of a run without faults; with plan `{plan}` the load lasts as long as \
         the plan's steps take"
    ))
    .with_cure("--faults none; or change how long a fault lasts: --set plan.step.ID.hold=20s"))
}

/// Refuses a plan that sets clocks where they cannot be set, or takes what nobody saw to be flushed.
pub(super) fn settable(plan: &Plan, kept: &KeptSpec) -> Result<(), Failure> {
    if plan.needs().contains(&Capability::Flushes) {
        let why = "what a broker flushed is known only where it is watched from its start on, and the \
            cluster runs already";
        return Err(Failure::usage(format!("plan `{}` takes a broker's power: {why}", plan.name))
            .with_cure("leave out --on: a cluster is started for the plan"));
    }
    if kept.clocks || !plan.needs().contains(&Capability::Clock) {
        return Ok(());
    }
    let why =
        format!("plan `{}` sets clocks, and those of the cluster are the machine's", plan.name);
    Err(Failure::usage(why)
        .with_cure("use a cluster that was started with `kbench cluster up --clocks`"))
}

/// Refuses a plan that strikes clients which the load does not have.
pub(super) fn fits(plan: &Plan, workload: &WorkloadSpec) -> Result<(), Failure> {
    if workload.consumers.is_some() || !plan.needs().contains(&Capability::Clients) {
        return Ok(());
    }
    Err(Failure::usage(format!(
        "plan `{}` strikes consumers, and workload `{}` has none",
        plan.name, workload.name
    ))
    .with_cure("choose a workload with a table [consumers]"))
}

/// Refuses a plan that may do damage which nobody asked for, that means nothing on so few nodes, or
/// that needs what the mode cannot do.
pub(super) fn permitted(
    plan: &Plan,
    cluster: &Topology,
    backend: &BackendSpec,
    asked: &Asked,
) -> Result<(), Failure> {
    backend.permits(plan)?;
    let guarded = GuardedCluster { ours: backend.is_ours(), ..cluster.guarded() };
    guard::check(plan, &guarded, asked.hurt.as_deref())
        .map_err(|refusal| Failure::usage(refusal.why).with_cure(refusal.cure))?;
    let (name, nodes) = (&plan.name, cluster.node.len());
    if plan.nodes() > nodes {
        return Err(Failure::usage(format!(
            "plan `{name}` needs {} nodes or more, and the cluster has {nodes}",
            plan.nodes()
        )));
    }
    let main = &cluster.main_topic().name;
    for step in &plan.steps {
        let why = step.targets().iter().find_map(|of| of.never_met(main, &cluster.assignment()));
        if let Some(why) = why {
            return Err(Failure::usage(format!("plan `{name}`, step \"{}\": {why}", step.id))
                .with_cure(
                    "give the topic replicas on several brokers, or choose another target",
                ));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::local::sandbox::Mode;
    use crate::provision::KafkaSource;
    use crate::topology::SHIPPED;

    #[test]
    fn a_kept_cluster_takes_no_plan_that_must_have_been_prepared_for() {
        let topology = Topology::parse(SHIPPED[0].1).unwrap();
        let source = KafkaSource::Version("3.9.1".to_owned());
        let kept =
            |clocks| KeptSpec::new(Mode::UserNamespaces, source.clone(), clocks, topology.clone());
        let plan = |name: &str| {
            let text =
                faults::plan::SHIPPED.iter().find(|(shipped, _)| *shipped == name).unwrap().1;
            Plan::parse(text).unwrap()
        };
        for (name, without, with_clocks) in [
            ("failover", true, true),
            ("clock-jumps", false, true),
            ("power-loss", false, false),
            ("power-loss-all", false, false),
        ] {
            let taken = [false, true].map(|clocks| settable(&plan(name), &kept(clocks)).is_ok());
            assert_eq!(taken, [without, with_clocks], "{name}");
        }
    }
}
