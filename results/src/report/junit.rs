//! `junit.xml`: one test case a check and a claim.
//!
//! A violated guarantee is a failure. Unknown and invalid-run are skipped, with the reason. A
//! refuted claim is a failure only when the run was strict; else its case passes and its output
//! says so.

use std::fmt;

use crate::judge::claim::{ClaimResult, Outcome};
use crate::judge::verdict::{Check, Verdict};

use super::Report;

/// The report as JUnit's XML.
pub fn render(report: &Report) -> String {
    let suites = [
        suite("checks", report.checks.iter().map(check_case)),
        suite("claims", report.claims.iter().map(|claim| claim_case(claim, report.run.strict))),
    ];
    let sum = |of: fn(&Suite) -> usize| suites.iter().map(of).sum::<usize>();
    let (tests, failures) = (sum(|suite| suite.cases), sum(|suite| suite.failures));
    let name = Escaped(&format!("kbench {}", report.run.run_id)).to_string();
    let suites: String = suites.into_iter().map(|suite| suite.xml).collect();
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\
         <testsuites name=\"{name}\" tests=\"{tests}\" failures=\"{failures}\" errors=\"0\">\n\
         {suites}</testsuites>\n"
    )
}

struct Suite {
    cases: usize,
    failures: usize,
    xml: String,
}

fn suite(name: &str, cases: impl Iterator<Item = Case>) -> Suite {
    let cases: Vec<Case> = cases.collect();
    let of = |counts: fn(&Status) -> bool| cases.iter().filter(|case| counts(&case.status)).count();
    let skipped = of(|status| matches!(status, Status::Skipped { .. }));
    let failures = of(|status| matches!(status, Status::Failed { .. }));
    let inner: String = cases.iter().map(|case| case.xml(name)).collect();
    let xml = format!(
        "  <testsuite name=\"{name}\" tests=\"{}\" skipped=\"{skipped}\" failures=\"{failures}\" \
         errors=\"0\">\n{inner}  </testsuite>\n",
        cases.len()
    );
    Suite { cases: cases.len(), failures, xml }
}

struct Case {
    name: String,
    status: Status,
    output: String,
}

enum Status {
    Passed,
    Skipped { why: String },
    Failed { why: String, text: String },
}

impl Case {
    fn xml(&self, suite: &str) -> String {
        let (name, output) = (Escaped(&self.name), Escaped(&self.output));
        let status = match &self.status {
            Status::Passed => String::new(),
            Status::Skipped { why } => format!("      <skipped message=\"{}\"/>\n", Escaped(why)),
            Status::Failed { why, text } => {
                let (why, text) = (Escaped(why), Escaped(text));
                format!("      <failure message=\"{why}\">{text}</failure>\n")
            }
        };
        format!(
            "    <testcase name=\"{name}\" classname=\"kbench.{suite}\">\n\
             {status}      <system-out>{output}</system-out>\n    </testcase>\n"
        )
    }
}

fn check_case(check: &Check) -> Case {
    let note = check.note.as_deref().unwrap_or("could not be checked in full");
    let status = match check.verdict {
        Verdict::Valid => Status::Passed,
        Verdict::Unknown | Verdict::InvalidRun => {
            Status::Skipped { why: format!("{}: {note}", check.verdict.as_str()) }
        }
        Verdict::Violated => {
            let witnesses: Vec<&str> = check.witnesses.iter().map(|w| w.what.as_str()).collect();
            Status::Failed { why: format!("{} found", check.count), text: witnesses.join("\n") }
        }
    };
    let output = format!("{} examined, {} found", check.examined, check.count);
    Case { name: check.name.clone(), status, output }
}

fn claim_case(claim: &ClaimResult, strict: bool) -> Case {
    let status = match claim.outcome {
        Outcome::Undecided => Status::Skipped { why: format!("undecided: {}", claim.reason) },
        Outcome::Refuted if strict => {
            Status::Failed { why: format!("refuted: {}", claim.reason), text: claim.text.clone() }
        }
        Outcome::Refuted | Outcome::Holds => Status::Passed,
    };
    let output = format!("{}: {}", claim.outcome.as_str(), claim.reason);
    Case { name: claim.id.clone(), status, output }
}

/// A text in XML, between tags or in quotes. What XML 1.0 cannot say, control characters, is left out.
struct Escaped<'a>(&'a str);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.chars().try_for_each(|c| match c {
            '&' => f.write_str("&amp;"),
            '<' => f.write_str("&lt;"),
            '>' => f.write_str("&gt;"),
            '"' => f.write_str("&quot;"),
            // As attributes would otherwise be read with blanks in their place.
            '\n' => f.write_str("&#10;"),
            '\t' => f.write_str("&#9;"),
            '\u{fffe}' | '\u{ffff}' => Ok(()),
            c if c.is_control() => Ok(()),
            c => write!(f, "{c}"),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_xml_gives_a_meaning_is_escaped_and_what_it_forbids_left_out() {
        let text = "a<b> & \"c\"\n\u{1b}[1md\u{0}\u{ffff}é";
        assert_eq!(Escaped(text).to_string(), "a&lt;b&gt; &amp; &quot;c&quot;&#10;[1mdé");
    }

    #[test]
    fn a_suite_counts_its_cases() {
        let case = |status| Case { name: "n".into(), status, output: "o".into() };
        let cases = [
            case(Status::Passed),
            case(Status::Skipped { why: "w".into() }),
            case(Status::Failed { why: "<w>".into(), text: "t".into() }),
        ];
        let Suite { cases, failures, xml } = suite("checks", cases.into_iter());
        assert_eq!((cases, failures), (3, 1));
        let head =
            "<testsuite name=\"checks\" tests=\"3\" skipped=\"1\" failures=\"1\" errors=\"0\">";
        assert!(xml.contains(head), "{xml}");
        assert!(xml.contains("<failure message=\"&lt;w&gt;\">t</failure>"), "{xml}");
        for tag in ["testsuite", "testcase", "failure", "system-out"] {
            let count = |what: &str| xml.matches(what).count();
            assert_eq!(count(&format!("<{tag}")), count(&format!("</{tag}>")), "{xml}");
        }
    }
}
