//! What a run was asked to do, as conditions that runs have in common which are compared.

use results::compare::{Aspect, Conditions};
use results::report::Report;
use serde::Serialize;
use serde_json::Value;

use super::RunSpec;
use crate::cluster::attached::AttachedSpec;

impl RunSpec {
    /// Workload, plan and cluster. Names that are this run's alone, on a cluster that others use, are as others' are.
    pub fn conditions(&self) -> Conditions {
        let mut all = Conditions::default();
        all.add(Aspect::Workload, "workload", &self.anonymous(&self.workload));
        all.add(Aspect::Workload, "plan", &self.anonymous(&self.plan));
        all.add(Aspect::Cluster, "cluster", &self.anonymous(&self.cluster));
        all
    }

    /// The same, with what a report of the run says of where it was.
    pub fn conditions_with(&self, report: &Report) -> Conditions {
        let mut all = self.conditions();
        let recorded = report.environments.first().map(|it| Conditions::of(&it.environment));
        all.merge(recorded.unwrap_or_default());
        all
    }

    fn anonymous(&self, part: &impl Serialize) -> Value {
        let text = serde_json::to_string(part).unwrap_or_default();
        let own = AttachedSpec::own("", self.run_number);
        serde_json::from_str(&text.replace(&own, "")).unwrap_or_default()
    }
}
