//! Gates, checks, load, and where the time went.

use comfy_table::Table;

use crate::judge::latency::Percentiles;
use crate::judge::offer::Offer;
use crate::judge::recovery::ClientEnd;
use crate::judge::verdict::{Check, Verdict, Witness};

use super::super::judge::total;
use super::super::{
    BACKLOG_BUILDS, BACKLOG_IS_READ, Bystander, ClockReport, GateOutcome, ObserverReport,
    Population, Report, SendErrors,
};
use super::{Tone, bullet, cell, number, section, show, table};

pub(super) fn checks(out: &mut String, report: &Report, colours: bool) {
    section(out, "Checks");
    let mut rows = table(&["check", "verdict", "found", "examined", "note"], colours);
    for check in &report.checks {
        let tone = match check.verdict {
            Verdict::Valid => Tone::Good,
            Verdict::Unknown | Verdict::InvalidRun => Tone::Doubt,
            Verdict::Violated => Tone::Bad,
        };
        rows.add_row(vec![
            cell(&check.name, Tone::Plain, colours),
            cell(check.verdict.as_str(), tone, colours),
            cell(&check.count.to_string(), Tone::Plain, colours),
            cell(&check.examined.to_string(), Tone::Plain, colours),
            cell(check.note.as_deref().unwrap_or(""), Tone::Plain, colours),
        ]);
    }
    show(out, &rows);
    for check in &report.checks {
        check.witnesses.iter().for_each(|it| bullet(out, &witness(check, it)));
    }
}

/// The gates, where there are any.
pub(super) fn gates(out: &mut String, report: &Report, colours: bool) {
    if report.gates.is_empty() {
        return;
    }
    section(out, "Gates");
    let mut rows = table(&["gate", "outcome", "seen"], colours);
    for gate in &report.gates {
        let tone = match gate.outcome {
            GateOutcome::Passed => Tone::Good,
            GateOutcome::Unknown => Tone::Doubt,
            GateOutcome::Failed => Tone::Bad,
        };
        rows.add_row(vec![
            cell(&gate.gate, Tone::Plain, colours),
            cell(gate.outcome.as_str(), tone, colours),
            cell(&gate.seen, Tone::Plain, colours),
        ]);
    }
    show(out, &rows);
}

/// One example of an anomaly, with its place.
pub(in crate::report) fn witness(check: &Check, witness: &Witness) -> String {
    let mut text = format!("{}: {}-{}", check.name, witness.topic, witness.partition);
    if let Some(offset) = witness.offset {
        text.push_str(&format!(" offset {offset}"));
    }
    if let Some(at) = witness.at_s {
        text.push_str(&format!(" at {at:.3} s"));
    }
    if let Some(fault) = &witness.during {
        text.push_str(&format!(" during {fault}"));
    }
    format!("{text}: {}", witness.what)
}

pub(super) fn load(out: &mut String, report: &Report, colours: bool) {
    let load = &report.load;
    section(out, "Load");
    bullet(
        out,
        &format!(
            "asked {}, achieved {:.1}/s; {} sent: {} acked, {} failed, {} without outcome{}; \
             {} delivered{}",
            match report.run.offer {
                Offer::Even => format!("{:.1}/s", load.asked_per_s),
                Offer::Shaped => {
                    let most = report.run.asked_per_s;
                    format!("{:.1}/s on the average, {most:.1}/s at most", load.asked_per_s)
                }
                Offer::Closed => "as much as the client takes".to_owned(),
            },
            load.achieved_per_s,
            load.sent,
            load.acked,
            load.failed,
            load.indeterminate,
            match load.no_ack_asked {
                0 => String::new(),
                sends => format!(", {sends} for which no ack was asked"),
            },
            load.delivered,
            again(load.redelivered)
        ),
    );
    for SendErrors { error, failed, sends, .. } in &load.errors {
        let class = if *failed { "failed" } else { "without outcome" };
        bullet(out, &format!("{sends} {class}: {error}"));
    }
    for end in &report.client_ends {
        bullet(out, &ended(end, report.trials));
    }
    if report.run.offer == Offer::Closed {
        bullet(
            out,
            "closed loop: each record was due when the client's queue had room for it, so that a slow cluster is \
             sent less; response times are no latency at any rate",
        );
    }
    if load.saturated {
        bullet(
            out,
            "saturated: more was asked for than was acked, and the backlog grew; latencies grow with the time \
             that such a load lasts",
        );
    }
    show(out, &rates(report, colours));
    let header = ["milliseconds", "p50", "p90", "p99", "p99.9", "max", "n"];
    let mut rows = table(&header, colours);
    let all = Population {
        latency_us: load.latency_us,
        service_us: load.service_us,
        schedule_lag_us: load.schedule_lag_us,
        end_to_end_us: load.end_to_end_us,
    };
    let around = (!report.faults.is_empty()).then_some(("around faults", load.faults));
    let parts = [Some(("steady", load.baseline)), around, Some(("all", all))];
    let parts = parts.into_iter().flatten().chain(load.backlog());
    for (part, population) in parts {
        for (name, p) in [
            ("response", population.latency_us),
            ("service", population.service_us),
            ("schedule lag", population.schedule_lag_us),
            ("end to end", population.end_to_end_us),
        ] {
            if name == "end to end" && all.end_to_end_us.n == 0 {
                // Nobody read.
                continue;
            }
            let mut cells = vec![cell(&format!("{part}: {name}"), Tone::Plain, colours)];
            cells.extend(percentile_row(&p).map(|text| number(&text, colours)));
            rows.add_row(cells);
        }
    }
    show(out, &rows);
    if load.burst_us > 0 {
        bullet(
            out,
            &format!(
                "records were sent in bursts: each waited up to {:.1} ms for its own, by plan; schedule lag and \
                 response times contain it",
                load.burst_us as f64 / 1e3
            ),
        );
    }
    if let Some(compressed) = load.compressed {
        bullet(
            out,
            &format!(
                "batches were compressed to {compressed:.3} of the keys and values in them, framing included"
            ),
        );
    }
    let unacked = all.latency_us.unanswered;
    if unacked > 0 {
        bullet(
            out,
            &format!(
                "{unacked} of {} sends were never acked: they count as longer than any that was, and \
                 no percentile that lies among them is given",
                all.latency_us.n + unacked
            ),
        );
    }
    let undelivered = all.end_to_end_us.unanswered;
    if undelivered > 0 {
        bullet(
            out,
            &format!(
                "{undelivered} of {} deliveries of acked records never came: they count in the same way",
                all.end_to_end_us.n + undelivered
            ),
        );
    }
}

/// What was asked for and what became of it, phase by phase.
fn rates(report: &Report, colours: bool) -> Table {
    let load = &report.load;
    let mut rows = table(&["records/s", "asked", "sent", "acked", "consumed", "seconds"], colours);
    let around = (!report.faults.is_empty()).then_some(("around-faults", "around faults"));
    let backlog = [(BACKLOG_BUILDS, "backlog builds"), (BACKLOG_IS_READ, "backlog is read")];
    let phases = [Some(("steady", "steady")), around, Some(("all", "all"))];
    for (key, name) in phases.into_iter().flatten().chain(backlog) {
        let Some(rates) = load.rates.get(key) else { continue };
        let shown = |rate: Option<f64>| {
            let text = rate.map_or("n/a".to_owned(), |rate| format!("{rate:.1}"));
            number(&text, colours)
        };
        let asked = rates.asked_per_s.or(Some(load.asked_per_s));
        let asked = asked.filter(|_| report.run.offer != Offer::Closed);
        let (sent, acked) = (Some(rates.sent_per_s), rates.acked_per_s);
        let cells = [asked, sent, acked, rates.consumed_per_s, Some(rates.seconds)].map(shown);
        let name = cell(name, Tone::Plain, colours);
        rows.add_row([name].into_iter().chain(cells));
    }
    rows
}

/// How many records came again, where any did.
fn again(redelivered: u64) -> String {
    if redelivered == 0 { String::new() } else { format!(", {redelivered} delivered again") }
}

/// A client's own end in words.
fn ended(end: &ClientEnd, trials: u32) -> String {
    let trial = if trials > 1 { format!("trial {}: ", end.trial) } else { String::new() };
    let during = end.during.as_ref().map(|id| format!(", after {id}")).unwrap_or_default();
    let next = match (&end.renewed_as, end.renewed_s) {
        (Some(next), Some(at)) => {
            format!("{next} went on {:.1} s later", at - end.failed_s)
        }
        _ => "it was not made anew".to_owned(),
    };
    format!(
        "{trial}{} ended with a fatal error of its own at {:.1} s{during}; {next}: {}",
        end.client, end.failed_s, end.error
    )
}

pub(in crate::report) fn percentile_row(p: &Percentiles) -> [String; 6] {
    let ms = |us: Option<u64>| match us {
        Some(us) if us >= 100_000 => format!("{:.0}", us as f64 / 1e3),
        Some(us) => format!("{:.2}", us as f64 / 1e3),
        None => "n/a".to_owned(),
    };
    let least = if p.unanswered > 0 && p.max.is_some() { ">= " } else { "" };
    let max = format!("{least}{}", ms(p.max));
    [ms(p.p50), ms(p.p90), ms(p.p99), ms(p.p999), max, p.n.to_string()]
}

pub(super) fn time(out: &mut String, report: &Report) {
    section(out, "Where the time went");
    for time in &report.time {
        let trial =
            if report.trials > 1 { format!("trial {}: ", time.trial) } else { String::new() };
        let total = total(time.stages.iter().map(|stage| stage.seconds));
        let stages: Vec<String> =
            time.stages.iter().map(|s| format!("{} {:.1}", s.stage, s.seconds)).collect();
        bullet(out, &format!("{trial}{total:.1} s: {}", stages.join(", ")));
        if report.faults.is_empty() {
            continue;
        }
        bullet(
            out,
            &format!(
                "{trial}of these, {:.1} s are Kafka's own detection of dead brokers, {:.1} s \
                 kbench's wait for stale registrations",
                time.detection_s, time.kbench_wait_s
            ),
        );
    }
    let most = |of: fn(&ObserverReport) -> f64| report.observer.iter().map(of).reduce(f64::max);
    let (cpu, requests, bytes) =
        (most(|o| o.cpu_share), most(|o| o.requests_per_s), most(|o| o.bytes_per_s));
    if let (Some(cpu), Some(requests), Some(bytes)) = (cpu, requests, bytes) {
        bullet(
            out,
            &format!(
                "watching cost {}{:.1} % of a core, {requests:.0} requests/s, {:.0} KB/s",
                if report.trials > 1 { "at most " } else { "" },
                cpu * 100.0,
                bytes / 1e3
            ),
        );
    }
    for one in &report.bystanders {
        let trial =
            if report.trials > 1 { format!("trial {}: ", one.trial) } else { String::new() };
        let Bystander { group, first, most, last, .. } = one;
        bullet(
            out,
            &format!(
                "{trial}group {group}, which is not the run's, was {first} records behind, {most} at the \
                 most, {last} at the end"
            ),
        );
    }
    if !report.clocks.is_empty() {
        let clocks: Vec<_> = report.clocks.iter().map(|one| clock(report, one)).collect();
        bullet(out, &format!("clocks of the machines against kbench's: {}", clocks.join(", ")));
    }
}

/// How far a machine's clock was from kbench's.
fn clock(report: &Report, one: &ClockReport) -> String {
    let ClockReport { trial, node, least_ms, most_ms, error_ms } = one;
    let of = if report.trials > 1 { format!(" (trial {trial})") } else { String::new() };
    format!("{node}{of} {least_ms:+.1} to {most_ms:+.1} ms (right to {error_ms:.1} ms)")
}
