//! Which steps the changes go with that have a `start`.

use super::super::{Plan, Start, Step};
use super::ChangeStep;
use crate::port::Capability;

/// What the changes and steps of a plan come after.
struct Order<'a> {
    changes: Vec<&'a ChangeStep>,
    steps: Vec<&'a Step>,
}

/// What is wrong with when the changes of a plan are made, and with which of them.
pub(in super::super) fn check<'a>(
    changes: impl Iterator<Item = &'a ChangeStep>,
    steps: impl Iterator<Item = &'a Step>,
) -> Result<(), (&'a str, String)> {
    let order = Order { changes: changes.filter(is_beside).collect(), steps: steps.collect() };
    order.changes.iter().try_for_each(|change| {
        let refused = |why: String| (change.id.as_str(), format!("change \"{}\" {why}", change.id));
        let group = order.group(change).map_err(refused)?;
        let mut of_group =
            order.steps.iter().filter(|step| order.group_of_step(&step.id) == Some(group));
        // Also a `prepare` that restores leaders, since it may lead elsewhere first, which the heal takes back.
        let puts_back = |step: &&&Step| step.needs().contains(&Capability::MoveLeaders);
        if let (true, Some(step)) = (change.change.moves_replicas(), of_group.find(puts_back)) {
            let what = "moves replicas, which may be put back where they were by the heal of step";
            return Err(refused(format!("{what} \"{}\"", step.id)));
        }
        let mut after = order.steps.iter().filter_map(|step| Some((step, step.start.as_ref()?)));
        let names = |start: &Start| start.after().is_some_and(|after| after.step == change.id);
        after.try_for_each(|(step, start)| match start {
            start if !names(start) => Ok(()),
            Start::Recovered(_) => {
                Err(refused(format!("is no fault to recover from: step \"{}\"", step.id)))
            }
            _ if order.group_of_step(&step.id) < Some(group) => {
                Err(refused(format!("goes with later steps than step \"{}\"", step.id)))
            }
            _ => Ok(()),
        })
    })
}

/// Whether it goes with steps.
fn is_beside(change: &&ChangeStep) -> bool {
    change.start.is_some()
}

impl<'a> Order<'a> {
    /// The number of the group of steps that a change goes with: that of the step which it comes after, at last; the
    /// first where it comes after none.
    fn group(&self, change: &'a ChangeStep) -> Result<usize, String> {
        if self.steps.is_empty() {
            return Err("has a `start`, which is a time among steps, and the plan has none".into());
        }
        let mut group = None;
        let mut start = change.start.as_ref();
        // What comes after itself goes on for ever.
        for _ in 0..=self.changes.len() + self.steps.len() {
            let Some(after) = start.and_then(Start::after) else {
                return Ok(group.unwrap_or_default());
            };
            if let Some(step) = self.steps.iter().find(|step| step.id == after.step) {
                group = group.or_else(|| self.group_of_step(&step.id));
                start = step.start.as_ref();
            } else if let Some(change) = self.changes.iter().find(|it| it.id == after.step) {
                if matches!(start, Some(Start::Recovered(_))) {
                    return Err(format!(
                        "starts after \"{}\" recovered, which is no fault",
                        after.step
                    ));
                }
                start = change.start.as_ref();
            } else {
                return Err(format!(
                    "starts after \"{}\", which is no step, and no change with a `start`",
                    after.step
                ));
            }
        }
        Err("starts after itself".into())
    }

    fn group_of_step(&self, id: &str) -> Option<usize> {
        let at = self.steps.iter().position(|step| step.id == id)?;
        // A plain step opens a group, and the first step does in any case.
        Some(self.steps[1..=at].iter().filter(|step| step.start.is_none()).count())
    }
}

impl Plan {
    /// The changes that go with the group of steps of this number ([`Plan::groups`]).
    pub fn changes_beside(&self, group: usize) -> impl Iterator<Item = &ChangeStep> {
        let order = Order {
            changes: self.changes.iter().filter(is_beside).collect(),
            steps: self.steps.iter().collect(),
        };
        let of = order.changes.clone().into_iter();
        of.filter(move |change| order.group(change).ok() == Some(group))
    }

    /// The changes that are made before the steps, in this order.
    pub fn changes_before(&self) -> impl Iterator<Item = &ChangeStep> {
        self.changes.iter().filter(|change| !is_beside(change))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(text: &str) -> Result<Plan, String> {
        Plan::parse(&format!("name='a'\ndescription='b'\n{text}")).map_err(|error| error.message)
    }

    fn change(id: &str, start: &str) -> String {
        format!("[[change]]\nid='{id}'\nchange='reassign'\nhold='1s'\nstart={{{start}}}\n")
    }

    fn step(id: &str, start: &str) -> String {
        let start = if start.is_empty() { String::new() } else { format!("start={{{start}}}\n") };
        format!("[[step]]\nid='{id}'\nfault='kill'\ntarget='controller'\nhold='1s'\n{start}")
    }

    #[test]
    fn a_change_goes_with_the_steps_that_it_starts_after() {
        let text = [
            change("first", "at='1s'"),
            change("second", "injected={step='c'}"),
            change("third", "healed={step='second'}"),
            step("a", ""),
            step("b", "injected={step='first', delay='2s'}"),
            step("c", ""),
            step("d", "healed={step='third'}"),
            step("e", ""),
        ];
        let plan = plan(&text.concat()).unwrap();
        let beside = |group| plan.changes_beside(group).map(|it| &*it.id).collect::<Vec<_>>();
        assert_eq!(plan.groups().count(), 3);
        assert_eq!(
            [beside(0), beside(1), beside(2)],
            [vec!["first"], vec!["second", "third"], vec![]]
        );
        assert_eq!(plan.changes_before().count(), 0);
        let written = toml::to_string(&plan).unwrap();
        assert_eq!(toml::from_str::<Plan>(&written).unwrap(), plan);
    }

    #[test]
    fn what_would_never_start_is_refused() {
        let refused = |parts: &[String], why: &str| {
            let said = plan(&parts.concat()).unwrap_err();
            assert!(said.contains(why), "{said}");
        };
        refused(&[change("x", "at='1s'")], "the plan has none");
        refused(&[change("x", "healed={step='y'}"), step("a", "")], "which is no step");
        refused(&[change("x", "healed={step='x'}"), step("a", "")], "starts after itself");
        let both = [change("x", "healed={step='a'}"), step("a", "healed={step='x'}")];
        refused(&both, "starts after itself");
        let later = [
            change("x", "injected={step='c'}"),
            step("a", ""),
            step("b", "injected={step='x'}"),
            step("c", ""),
        ];
        refused(&later, "goes with later steps than step \"b\"");
        refused(&[change("x", "at='1s'"), step("a", "recovered={step='x'}")], "no fault");
        let two = [change("x", "at='1s'"), change("y", "recovered={step='x'}"), step("a", "")];
        refused(&two, "no fault");
        refused(&[change("x", "at='1s'"), step("x", "")], "two steps have the id \"x\"");
        refused(&[change("x", "at='8days'"), step("a", "")], "`start.at` is 8days");
        let away = step("a", "") + "prepare='move-leaders-away'\n";
        refused(&[change("x", "at='1s'"), away], "may be put back where they were by the heal");
        let moved = step("b", "").replace("'kill'", "'reassign'").replace("controller", "brokers");
        refused(&[change("x", "injected={step='b'}"), step("a", ""), moved], "step \"b\"");
    }
}
