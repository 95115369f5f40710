//! What the tables of a page or of a document show: cells in words, each with how it is meant.

mod claims;
mod faults;
mod predicted;

use serde::Serialize;

use super::text::load::{percentile_row, witness};
use super::text::{consuming, usage};
use super::{GateOutcome, Population, Report};
use crate::judge::latency::Percentiles;
use crate::judge::offer::Offer;
use crate::judge::threshold::Threshold;
use crate::judge::usage::ServerUse;
use crate::judge::verdict::Verdict;
use crate::terminal::counted;

pub(super) use claims::{ClaimRow, claims};
pub(super) use faults::{FaultRow, faults};

/// How a text is meant: a class of the page's style.
pub(super) type ToneClass = &'static str;

pub(super) const GOOD: ToneClass = "good";
pub(super) const DOUBT: ToneClass = "doubt";
pub(super) const BAD: ToneClass = "bad";
pub(super) const PLAIN: ToneClass = "";

/// A cell of a table.
#[derive(Serialize)]
pub(super) struct ReportCell {
    pub(super) text: String,
    pub(super) tone: ToneClass,
}

fn plain(text: impl ToString) -> ReportCell {
    ReportCell { text: text.to_string(), tone: PLAIN }
}

fn toned((text, tone): (&str, ToneClass)) -> ReportCell {
    ReportCell { text: text.to_owned(), tone }
}

/// A table.
#[derive(Serialize)]
pub(super) struct ReportTable {
    pub(super) head: Vec<&'static str>,
    pub(super) rows: Vec<Vec<ReportCell>>,
    /// What stands beneath it.
    pub(super) notes: Vec<String>,
}

pub(super) fn verdict(verdict: Verdict) -> (&'static str, ToneClass) {
    let tone = match verdict {
        Verdict::Valid => GOOD,
        Verdict::Unknown | Verdict::InvalidRun => DOUBT,
        Verdict::Violated => BAD,
    };
    (verdict.as_str(), tone)
}

/// What was run, and where: names and values.
pub(super) fn facts(report: &Report) -> Vec<(&'static str, String)> {
    let run = &report.run;
    let mut facts = vec![
        ("workload", run.workload.clone()),
        ("faults", run.plan.clone()),
        ("seed", run.seed.to_string()),
        ("trials", report.trials.to_string()),
        ("started", run.started.clone()),
        ("kbench", run.kbench.clone()),
    ];
    if let Some(first) = report.environments.first() {
        let e = &first.environment;
        let settings = &e.settings;
        facts.extend([
            ("Kafka", e.kafka.clone()),
            ("ZooKeeper", e.zookeeper.clone()),
            ("brokers", settings.brokers.to_string()),
            ("replication factor", settings.replication_factor.to_string()),
            ("servers run in", e.mode.clone()),
            ("cores", e.cores.to_string()),
            ("data", e.storage.clone()),
            ("librdkafka", e.librdkafka.clone()),
        ]);
        facts.extend(e.profile.clone().map(|profile| ("profile", profile)));
        facts.extend(e.links.as_ref().map(|links| ("links of nodes", links.to_string())));
        let ms = |name, value: Option<u64>| value.map(|ms| (name, format!("{ms} ms")));
        facts.extend(ms("ZooKeeper session", settings.zk_session_timeout_ms));
        let copies = settings.min_insync_replicas;
        facts.extend(copies.map(|n| ("min.insync.replicas", n.to_string())));
        facts.extend(e.observer.clone().map(|words| ("observer", words)));
        facts.extend(e.host.clone().map(|words| ("host", words)));
    }
    facts
}

pub(super) fn gates(report: &Report) -> ReportTable {
    let tone = |outcome| match outcome {
        GateOutcome::Passed => GOOD,
        GateOutcome::Unknown => DOUBT,
        GateOutcome::Failed => BAD,
    };
    let gates = report.gates.iter();
    let rows = gates.map(|gate| {
        vec![
            plain(&gate.gate),
            toned((gate.outcome.as_str(), tone(gate.outcome))),
            plain(&gate.seen),
        ]
    });
    ReportTable { head: vec!["gate", "outcome", "seen"], rows: rows.collect(), notes: vec![] }
}

pub(super) fn checks(report: &Report) -> ReportTable {
    let rows = report.checks.iter().map(|check| {
        vec![
            plain(&check.name),
            toned(verdict(check.verdict)),
            plain(check.count),
            plain(check.examined),
            plain(check.note.as_deref().unwrap_or("")),
        ]
    });
    let each = report.checks.iter();
    let notes = each.flat_map(|check| check.witnesses.iter().map(|it| witness(check, it)));
    ReportTable {
        head: vec!["check", "verdict", "found", "examined", "note"],
        rows: rows.collect(),
        notes: notes.collect(),
    }
}

pub(super) fn rates(report: &Report) -> ReportTable {
    let rows = report.load.rates.iter().map(|(phase, rates)| {
        let shown =
            |rate: Option<f64>| plain(rate.map_or("n/a".into(), |rate| format!("{rate:.1}")));
        let asked = rates.asked_per_s.or(Some(report.load.asked_per_s));
        vec![
            plain(phase.replace('-', " ")),
            shown(asked.filter(|_| report.run.offer != Offer::Closed)),
            shown(Some(rates.sent_per_s)),
            shown(rates.acked_per_s),
            shown(rates.consumed_per_s),
            plain(format!("{:.1}", rates.seconds)),
        ]
    });
    let head = vec!["records/s", "asked", "sent", "acked", "consumed", "seconds"];
    let load = &report.load;
    let mut notes = vec![format!(
        "{} sent: {} acked, {} failed, {} without outcome; {} delivered, {} delivered again",
        load.sent, load.acked, load.failed, load.indeterminate, load.delivered, load.redelivered
    )];
    let errors = load.errors.iter();
    notes.extend(errors.map(|it| format!("{} ended with {}", counted(it.sends, "send"), it.error)));
    if load.saturated {
        notes.push("saturated: more was asked for than was acked, and the backlog grew".into());
    }
    ReportTable { head, rows: rows.collect(), notes }
}

/// The parts of the load that the report tells apart, and all of it, with their names.
pub(super) fn populations(report: &Report) -> Vec<(&'static str, Population)> {
    let load = &report.load;
    let around = (!report.faults.is_empty()).then_some(("around faults", load.faults));
    let parts = [Some(("steady", load.baseline)), around, Some(("all", load.all()))];
    parts.into_iter().flatten().chain(load.backlog()).collect()
}

pub(super) fn latencies(report: &Report) -> ReportTable {
    let was_read = report.load.end_to_end_us.n > 0;
    let rows = populations(report).into_iter().flat_map(|(part, of)| {
        let row = move |name: &str, p: Percentiles| {
            let mut cells = vec![plain(format!("{part}: {name}"))];
            cells.extend(percentile_row(&p).map(plain));
            cells
        };
        let read = was_read.then(|| row("end to end", of.end_to_end_us));
        let own = [
            row("response", of.latency_us),
            row("service", of.service_us),
            row("schedule lag", of.schedule_lag_us),
        ];
        own.into_iter().chain(read).collect::<Vec<_>>()
    });
    let head = vec!["milliseconds", "p50", "p90", "p99", "p99.9", "max", "n"];
    let notes = vec![
        "response: from when a record was due to its ack; service: from when it was sent; schedule lag: from \
         due to sent; end to end: from due to consumed."
            .into(),
    ];
    ReportTable { head, rows: rows.collect(), notes }
}

pub(super) fn changes(report: &Report) -> ReportTable {
    let any_undone = report.changes.iter().any(|it| it.undone_s.is_some());
    let rows = report.changes.iter().map(|it| {
        let took = it.took_s.map_or("not completed".to_owned(), |s| format!("{s:.1} s"));
        let undone = it.undone_s.map_or("no".to_owned(), |s| format!("in {s:.1} s"));
        let [during, before] = [it.p99_s, it.p99_before_s]
            .map(|s| plain(s.map_or("n/a".to_owned(), |s| format!("{:.0} ms", s * 1e3))));
        let took = ReportCell { text: took, tone: if it.took_s.is_none() { DOUBT } else { PLAIN } };
        let mut row = vec![plain(it.trial), plain(&it.change), plain(&it.what), took];
        row.extend(any_undone.then(|| plain(undone)));
        row.extend([during, before]);
        row
    });
    let mut head = vec!["trial", "change", "what", "took"];
    head.extend(any_undone.then_some("undone"));
    head.extend(["p99 meanwhile", "p99 before"]);
    ReportTable { head, rows: rows.collect(), notes: vec![] }
}

pub(super) fn consuming(report: &Report) -> ReportTable {
    let rows = report.consuming.iter().flat_map(|group| {
        group.faults.iter().filter_map(move |fault| {
            let worst = consuming::worst(fault)?;
            let later = fault.partitions.iter().filter_map(|row| row.after_heal_s).reduce(f64::max);
            Some(vec![
                plain(group.trial),
                plain(&group.group),
                plain(&fault.fault),
                plain(format!("{}-{}", group.topic, worst.partition)),
                plain(consuming::unconsumed(worst)),
                plain(later.map_or("".into(), |later| format!("{later:.2} s"))),
                plain(fault.lag),
                plain(fault.redelivered),
            ])
        })
    });
    let head = vec![
        "trial",
        "group",
        "fault",
        "worst partition",
        "unconsumed",
        "after healing",
        "most lag",
        "delivered again",
    ];
    let each = report.consuming.iter();
    let notes = each.map(|group| format!("trial {}: {}", group.trial, consuming::summary(group)));
    ReportTable { head, rows: rows.collect(), notes: notes.collect() }
}

pub(super) fn servers(report: &Report) -> ReportTable {
    let rows = usage::by_server(report).into_iter().map(|(process, used)| {
        let most = used.iter().map(|one| one.cpu_share_most).fold(0.0, f64::max);
        let memory = used.iter().map(|one| one.memory_bytes).max().unwrap_or_default();
        let kb = |of: &dyn Fn(&ServerUse) -> Option<f64>| plain(usage::kilobytes(&used, of));
        vec![
            plain(process),
            plain(usage::percent(usage::mean(used.iter().map(|one| one.cpu_share)))),
            plain(usage::percent(most)),
            plain(format!("{:.0}", memory as f64 / 1e6)),
            kb(&|one| Some(one.disk_bytes_per_s?[0])),
            kb(&|one| Some(one.disk_bytes_per_s?[1])),
            kb(&|one| Some(one.network_bytes_per_s?[0])),
            kb(&|one| Some(one.network_bytes_per_s?[1])),
        ]
    });
    let head = vec![
        "server",
        "CPU %",
        "most",
        "memory MB",
        "read KB/s",
        "written KB/s",
        "received KB/s",
        "sent KB/s",
    ];
    let above = |threshold| usage::above(threshold, report);
    let notes = if report.servers.is_empty() { vec![] } else { Threshold::ALL.map(above).to_vec() };
    ReportTable { head, rows: rows.collect(), notes }
}

pub(super) fn times(report: &Report) -> ReportTable {
    let rows = report.time.iter().flat_map(|time| {
        let row = |name: &str, seconds: f64| {
            vec![plain(time.trial), plain(name), plain(format!("{seconds:.1}"))]
        };
        let stages = time.stages.iter().map(|stage| row(&stage.stage, stage.seconds));
        let of_which = [
            row("of these, Kafka's detection of dead brokers", time.detection_s),
            row("of these, kbench's wait for stale registrations", time.kbench_wait_s),
        ];
        stages.chain(of_which).collect::<Vec<_>>()
    });
    let head = vec!["trial", "stage", "seconds"];
    ReportTable { head, rows: rows.collect(), notes: vec![] }
}

/// Settings in force, of the first trial: names and values.
pub(super) fn settings(report: &Report) -> ReportTable {
    let rows = report.environments.first().map(|first| {
        let e = &first.environment;
        let groups = [
            ("broker", &e.settings.broker),
            ("topic", &e.settings.topic_config),
            ("producer", &e.producer),
        ];
        let each = groups.into_iter().flat_map(|(of, settings)| {
            settings.iter().map(move |(name, value)| vec![plain(of), plain(name), plain(value)])
        });
        each.collect()
    });
    ReportTable {
        head: vec!["of", "setting", "value"],
        rows: rows.unwrap_or_default(),
        notes: vec![],
    }
}
