//! What changes of the cluster took and cost stands in every form of the report.

use std::path::Path;

use super::*;
use crate::record::event::{ChangeMark, ChangeSeen};
use crate::report::{html, markdown, text};

#[test]
fn each_change_is_told_with_what_it_took_and_whether_it_was_completed() {
    let mut f = three_faults(1);
    for (seconds, change, mark) in [
        (10.0, "partitions", ChangeMark::Began),
        (13.25, "partitions", ChangeMark::Done),
        (14.0, "reassignment", ChangeMark::Began),
        (15.0, "reassignment", ChangeMark::GivenUp),
    ] {
        let what = format!("the {change} change");
        let (change, partitions, log_bytes) = (change.to_owned(), vec![], Default::default());
        let seen = ChangeSeen { change, mark, what, partitions, log_bytes, unseen: None };
        f.at(seconds, EventKind::Change(seen));
    }
    let trial = f.trial();
    let report = judge(&fixture::question(1), std::slice::from_ref(&trial));
    let [done, given_up] = &report.changes[..] else { panic!("{:?}", report.changes) };
    assert_eq!((done.change.as_str(), done.took_s), ("partitions", Some(3.25)));
    assert_eq!((given_up.change.as_str(), given_up.took_s), ("reassignment", None));
    assert_eq!(done.p99_before_s, None, "too few records were due before");
    assert_eq!(report.verdict, Verdict::Unknown);
    let doubt = "trial 1: change \"reassignment\" was given up: the reassignment change";
    assert!(report.problems.iter().any(|problem| problem == doubt), "{:?}", report.problems);
    for form in [
        text::render(&report, Some(Path::new("x")), false),
        text::summary(&report, Some(Path::new("x")), false),
        markdown::render(&report).unwrap(),
        html::render(&report, &[trial]).unwrap(),
    ] {
        assert!(form.contains("the partitions change") && form.contains("3.2 s"), "{form}");
        assert!(form.contains("not completed"), "{form}");
    }
    let none = judge(&fixture::question(1), &[three_faults(1).trial()]);
    assert!(none.changes.is_empty() && !text::render(&none, None, false).contains("Changes"));
}
