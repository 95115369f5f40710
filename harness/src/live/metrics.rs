//! The state of a run while it goes on, for Prometheus.
//!
//! As the live view it is made of the trials' events; nothing is measured here. Rates and quantiles are those of the
//! last second that has ended; who wants others takes the counters, or the report.

use std::collections::BTreeMap;

use results::judge::span::{FaultSpan, FaultSpans};
use results::record::event::{Event, EventKind, Process, Second, ServerCounters, Stage};

use super::exposition::{Exposition, FamilyKind};

/// The stages of a trial, in order.
const STAGES: [Stage; 7] = [
    Stage::Starting,
    Stage::WarmingUp,
    Stage::Baseline,
    Stage::Faults,
    Stage::Healing,
    Stage::Draining,
    Stage::Stopping,
];

/// What is known of the trials of a run.
pub(crate) struct RunMetrics {
    run: String,
    workload: String,
    plan: String,
    /// Whether somebody reads.
    consumed: bool,
    trials: BTreeMap<u32, TrialMetrics>,
}

/// What is known of one trial.
#[derive(Default)]
struct TrialMetrics {
    stage: Option<Stage>,
    second: Second,
    /// Sums over all seconds.
    due: u64,
    sent: u64,
    acked: u64,
    failed: u64,
    consumed: u64,
    faults: FaultSpans,
    /// By cause and place.
    disturbances: BTreeMap<(String, String), u64>,
    problems: u64,
    servers: BTreeMap<Process, ServerCounters>,
    ended: bool,
}

/// A counter of records: its name, its help, and what it counts.
type RecordTotal = (&'static str, &'static str, fn(&TrialMetrics) -> u64);

/// Quantiles of times: their name, their help, and each with its microseconds, if there are any.
type TimeQuantiles = (&'static str, &'static str, fn(&Second) -> Vec<(&'static str, Option<u64>)>);

/// What is told of the last second's times.
const TIMES: [TimeQuantiles; 3] = [
    (
        "kbench_response_seconds",
        "Response times of the last second's acks, from when records were due.",
        |second| {
            vec![
                ("0.5", second.response_p50_us),
                ("0.99", second.response_p99_us),
                ("1", second.response_max_us),
            ]
        },
    ),
    (
        "kbench_service_seconds",
        "Service times of the last second's acks, from when records were handed to the client.",
        |second| vec![("0.5", second.service_p50_us), ("0.99", second.service_p99_us)],
    ),
    (
        "kbench_schedule_lag_seconds",
        "How late the last second's records were handed to the client.",
        |second| vec![("0.99", second.schedule_lag_p99_us)],
    ),
];

/// Labels of a sample.
type SampleLabels = Vec<(&'static str, String)>;

impl RunMetrics {
    /// Of a run, whose load somebody reads or nobody does.
    pub(crate) fn new(run: &str, workload: &str, plan: &str, consumed: bool) -> Self {
        let [run, workload, plan] = [run, workload, plan].map(str::to_owned);
        Self { run, workload, plan, consumed, trials: BTreeMap::new() }
    }

    /// Takes in an event of a trial.
    pub(crate) fn take(&mut self, trial: u32, event: &Event) {
        self.trials.entry(trial).or_default().take(event);
    }

    /// Everything in Prometheus' text format.
    pub(crate) fn text(&self) -> String {
        let mut out = Exposition::default();
        let run = [("run", &self.run), ("workload", &self.workload), ("plan", &self.plan)];
        let labels = run.map(|(label, value)| (label, value.clone())).to_vec();
        out.family("kbench_run_info", FamilyKind::Gauge, "The run.", [(labels, 1.0)]);
        self.load(&mut out);
        self.trouble(&mut out);
        self.servers(&mut out);
        out.text()
    }

    /// Samples of each trial.
    fn each<I: IntoIterator<Item = (SampleLabels, f64)>>(
        &self,
        of: impl Fn(&TrialMetrics) -> I,
    ) -> Vec<(SampleLabels, f64)> {
        let with_trial = |(number, trial): (&u32, &TrialMetrics)| {
            let number = number.to_string();
            let labelled = |(labels, value): (SampleLabels, f64)| {
                ([vec![("trial", number.clone())], labels].concat(), value)
            };
            of(trial).into_iter().map(labelled).collect::<Vec<_>>()
        };
        self.trials.iter().flat_map(with_trial).collect()
    }

    fn load(&self, out: &mut Exposition) {
        use FamilyKind::{Counter, Gauge};
        let stages = self.each(|trial| {
            let now =
                |stage: Stage| f64::from(u8::from(!trial.ended && trial.stage == Some(stage)));
            STAGES.map(|stage| (vec![("stage", stage.as_str().to_owned())], now(stage)))
        });
        out.family("kbench_trial_stage", Gauge, "1 for the stage that a trial is in.", stages);
        let totals: [RecordTotal; 5] = [
            ("kbench_records_due_total", "Records that were due.", |trial| trial.due),
            ("kbench_records_sent_total", "Records handed to the client.", |trial| trial.sent),
            ("kbench_records_acked_total", "Records acked.", |trial| trial.acked),
            ("kbench_records_failed_total", "Records failed, or of unknown outcome.", |trial| {
                trial.failed
            }),
            ("kbench_records_consumed_total", "Records that the main group consumed.", |trial| {
                trial.consumed
            }),
        ];
        for (name, help, of) in totals {
            out.family(name, Counter, help, self.each(|trial| [(vec![], of(trial) as f64)]));
        }
        let rates = self.each(|TrialMetrics { second, .. }| {
            let all = [
                ("offered", second.due),
                ("sent", second.sent),
                ("acked", second.acked),
                ("consumed", second.consumed),
            ];
            all.map(|(what, per_s)| (vec![("what", what.to_owned())], per_s as f64))
        });
        let help = "Records in the last second that has ended, of the main load.";
        out.family("kbench_records_per_second", Gauge, help, rates);
        for (name, help, of) in TIMES {
            let told = |(quantile, us): (&str, Option<u64>)| {
                Some((vec![("quantile", quantile.to_owned())], us? as f64 / 1e6))
            };
            let quantiles = self.each(|TrialMetrics { second, .. }| {
                of(second).into_iter().filter_map(told).collect::<Vec<_>>()
            });
            out.family(name, Gauge, help, quantiles);
        }
        let open = self.each(|trial| [(vec![], trial.second.outstanding as f64)]);
        let help = "Records without an outcome yet.";
        out.family("kbench_records_outstanding", Gauge, help, open);
        let lag = |trial: &TrialMetrics| trial.acked.saturating_sub(trial.consumed) as f64;
        let lags = self.each(|trial| self.consumed.then(|| (vec![], lag(trial))));
        let help = "Records acked and not consumed by the main group.";
        out.family("kbench_consumer_lag_records", Gauge, help, lags);
    }

    fn trouble(&self, out: &mut Exposition) {
        let faults = self.each(|trial| {
            let of = |fault: &FaultSpan| {
                let labels =
                    [("step", &fault.id), ("fault", &fault.fault), ("target", &fault.target)];
                (labels.map(|(label, value)| (label, value.clone())).to_vec(), 1.0)
            };
            trial.faults.in_force().map(of).collect::<Vec<_>>()
        });
        let help = "1 for each fault in effect.";
        out.family("kbench_fault_in_effect", FamilyKind::Gauge, help, faults);
        let disturbances = self.each(|trial| {
            let of = |((cause, place), count): (&(String, String), &u64)| {
                (vec![("cause", cause.clone()), ("place", place.clone())], *count as f64)
            };
            trial.disturbances.iter().map(of).collect::<Vec<_>>()
        });
        let help = "Disturbances that are no part of the plan.";
        out.family("kbench_disturbances_total", FamilyKind::Counter, help, disturbances);
        let problems = self.each(|trial| [(vec![], trial.problems as f64)]);
        let help = "What makes the run worth less.";
        out.family("kbench_problems_total", FamilyKind::Counter, help, problems);
    }

    fn servers(&self, out: &mut Exposition) {
        let of = |value: fn(&ServerCounters) -> f64| {
            self.each(move |trial| {
                let of = |(process, counters): (&Process, &ServerCounters)| {
                    let labels = vec![
                        ("node", process.node.clone()),
                        ("role", process.role.as_str().to_owned()),
                        ("id", process.id.to_string()),
                    ];
                    (labels, value(counters))
                };
                trial.servers.iter().map(of).collect::<Vec<_>>()
            })
        };
        let help = "CPU time of a server's process.";
        let cpu = of(|counters| counters.cpu_s);
        out.family("kbench_server_cpu_seconds_total", FamilyKind::Counter, help, cpu);
        let help = "Memory of a server's process that is resident.";
        let memory = of(|counters| counters.memory_bytes as f64);
        out.family("kbench_server_resident_bytes", FamilyKind::Gauge, help, memory);
    }
}

impl TrialMetrics {
    fn take(&mut self, event: &Event) {
        self.faults.take(event);
        match &event.kind {
            EventKind::Stage { stage } => self.stage = Some(*stage),
            EventKind::Second(second) => {
                self.due += second.due;
                self.sent += second.sent;
                self.acked += second.acked;
                self.failed += second.failed;
                self.consumed += second.consumed;
                self.second = second.clone();
            }
            // The load has ended, and with it what the last second says.
            EventKind::LoadEnded { .. } => self.second = Second::default(),
            EventKind::Disturbed { cause, place, .. } => {
                let key = (cause.to_string(), place.to_string());
                *self.disturbances.entry(key).or_default() += 1;
            }
            EventKind::Problem { .. } => self.problems += 1,
            EventKind::ServerUsage(counters) => {
                self.servers.insert(counters.process.clone(), counters.clone());
            }
            EventKind::TrialEnded | EventKind::TrialFailed { .. } => self.ended = true,
            _ => {}
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use results::record::clock::RunTime;
    use results::record::event::{Cause, Effect, Place, Role};

    use super::*;

    /// A sample as Prometheus reads it.
    pub(crate) type Sample = (String, BTreeMap<String, String>, f64);

    /// Reads the text format by its own rules, strictly: every sample belongs to the family above it, which has a help
    /// and a type, names are names, and escapes are those that there are.
    pub(crate) fn parse(text: &str) -> Vec<Sample> {
        assert!(text.ends_with('\n'));
        let is_name = |name: &str| {
            let first = name.chars().next().unwrap();
            (first.is_ascii_alphabetic() || first == '_')
                && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
        };
        let (mut family, mut helped) = (None, None);
        let mut seen = std::collections::BTreeSet::new();
        let mut samples: Vec<Sample> = vec![];
        for line in text.lines() {
            if let Some(help) = line.strip_prefix("# HELP ") {
                let (name, words) = help.split_once(' ').unwrap();
                assert!(is_name(name) && !words.is_empty() && seen.insert(name), "{line}");
                helped = Some(name);
            } else if let Some(kind) = line.strip_prefix("# TYPE ") {
                let (name, kind) = kind.split_once(' ').unwrap();
                assert_eq!(helped, Some(name), "{line}");
                assert!(["counter", "gauge"].contains(&kind), "{line}");
                assert_eq!(kind == "counter", name.ends_with("_total"), "{line}");
                family = Some(name);
            } else {
                let (name, rest) = line.split_once('{').unwrap();
                assert_eq!(family, Some(name), "{line}");
                let (labels, rest) = labels(rest);
                assert!(labels.keys().all(|label| is_name(label)), "{line}");
                let value = rest.strip_prefix(' ').unwrap().parse().unwrap();
                let twice = samples.iter().any(|(n, l, _)| n == name && *l == labels);
                assert!(!twice, "{line}");
                samples.push((name.to_owned(), labels, value));
            }
        }
        samples
    }

    /// SampleLabels behind the brace, and what is behind theirs.
    fn labels(mut rest: &str) -> (BTreeMap<String, String>, &str) {
        let mut labels = BTreeMap::new();
        loop {
            if let Some(end) = rest.strip_prefix('}') {
                return (labels, end);
            }
            let (label, behind) = rest.split_once("=\"").unwrap();
            let (mut value, mut chars) = (String::new(), behind.char_indices());
            let end = loop {
                match chars.next().unwrap() {
                    (end, '"') => break end,
                    (_, '\\') => value.push(match chars.next().unwrap().1 {
                        'n' => '\n',
                        c @ ('\\' | '"') => c,
                        other => panic!("\\{other} is no escape"),
                    }),
                    (_, c) => value.push(c),
                }
            };
            assert_eq!(labels.insert(label.to_owned(), value), None);
            rest = &behind[end + 1..];
            rest = rest.strip_prefix(',').unwrap_or(rest);
        }
    }

    /// The value of a sample that has these labels among its own.
    pub(crate) fn value(samples: &[Sample], name: &str, of: &[(&str, &str)]) -> Option<f64> {
        let has = |labels: &BTreeMap<String, String>| {
            of.iter().all(|(label, value)| labels.get(*label).is_some_and(|it| it == value))
        };
        let found: Vec<_> =
            samples.iter().filter(|(it, labels, _)| it == name && has(labels)).collect();
        assert!(found.len() < 2, "{found:?}");
        found.first().map(|(.., value)| *value)
    }

    pub(crate) fn event(kind: EventKind) -> Event {
        Event { at: RunTime(1), kind }
    }

    fn second(due: u64, acked: u64, consumed: u64) -> EventKind {
        EventKind::Second(Second {
            due,
            sent: due,
            acked,
            consumed,
            outstanding: 3,
            response_p50_us: Some(4_000),
            response_p99_us: Some(25_000),
            service_p99_us: Some(20_000),
            ..Second::default()
        })
    }

    #[test]
    fn a_run_is_told_in_prometheus_format() {
        let mut run = RunMetrics::new("a \"run\"\\of\nmine", "smoke", "none", true);
        for kind in [
            EventKind::Stage { stage: Stage::Baseline },
            second(1000, 900, 850),
            second(1000, 950, 940),
            EventKind::Problem { text: "x".to_owned() },
            EventKind::Disturbed {
                cause: Cause::CpuStolen,
                place: Place::Host,
                from: RunTime(0),
                detail: None,
            },
            EventKind::FaultInjecting {
                fault_id: "one".to_owned(),
                fault: "kill".to_owned(),
                target: "broker(\"1\")".to_owned(),
                victims: vec![],
                effect: Effect::NONE,
            },
            EventKind::ServerUsage(ServerCounters {
                process: Process { node: "n1".to_owned(), role: Role::Broker, id: 1 },
                pid: 7,
                cpu_s: 1.5,
                memory_bytes: 4096,
                disk_bytes: None,
                network_bytes: None,
                cores: None,
                interface_bytes_per_s: None,
                disk_used: None,
            }),
        ] {
            run.take(1, &event(kind));
        }
        run.take(2, &event(EventKind::Stage { stage: Stage::Starting }));
        let samples = parse(&run.text());
        let of = |name: &str, labels: &[(&str, &str)]| value(&samples, name, labels);
        assert_eq!(of("kbench_run_info", &[("run", "a \"run\"\\of\nmine")]), Some(1.0));
        let one = ("trial", "1");
        assert_eq!(of("kbench_trial_stage", &[one, ("stage", "baseline")]), Some(1.0));
        assert_eq!(of("kbench_trial_stage", &[one, ("stage", "starting")]), Some(0.0));
        assert_eq!(of("kbench_trial_stage", &[("trial", "2"), ("stage", "starting")]), Some(1.0));
        assert_eq!(of("kbench_records_acked_total", &[one]), Some(1850.0));
        for (what, per_s) in [("offered", 1000.0), ("acked", 950.0), ("consumed", 940.0)] {
            assert_eq!(of("kbench_records_per_second", &[one, ("what", what)]), Some(per_s));
        }
        assert_eq!(of("kbench_response_seconds", &[one, ("quantile", "0.99")]), Some(0.025));
        assert_eq!(of("kbench_response_seconds", &[one, ("quantile", "1")]), None);
        assert_eq!(of("kbench_service_seconds", &[one, ("quantile", "0.99")]), Some(0.02));
        // What is not known has no sample: none is taken for zero.
        assert_eq!(of("kbench_service_seconds", &[one, ("quantile", "0.5")]), None);
        assert_eq!(of("kbench_schedule_lag_seconds", &[one]), None);
        assert_eq!(of("kbench_consumer_lag_records", &[one]), Some(60.0));
        assert_eq!(of("kbench_records_outstanding", &[one]), Some(3.0));
        let fault = [("step", "one"), ("fault", "kill"), ("target", "broker(\"1\")")];
        assert_eq!(of("kbench_fault_in_effect", &fault), Some(1.0));
        assert_eq!(of("kbench_disturbances_total", &[("place", "the host")]), Some(1.0));
        assert_eq!(of("kbench_problems_total", &[one]), Some(1.0));
        let server = [("node", "n1"), ("role", "broker"), ("id", "1")];
        assert_eq!(of("kbench_server_cpu_seconds_total", &server), Some(1.5));
    }

    #[test]
    fn nobody_lags_where_nobody_reads_and_what_has_ended_is_told_no_more() {
        let mut run = RunMetrics::new("r", "w", "p", false);
        run.take(1, &event(EventKind::Stage { stage: Stage::Stopping }));
        run.take(1, &event(second(10, 10, 0)));
        assert_eq!(value(&parse(&run.text()), "kbench_consumer_lag_records", &[]), None);
        run.take(1, &event(EventKind::TrialEnded));
        let stage = value(&parse(&run.text()), "kbench_trial_stage", &[("stage", "stopping")]);
        assert_eq!(stage, Some(0.0));
    }
}
