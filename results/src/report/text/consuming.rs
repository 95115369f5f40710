//! What groups consumed: per fault the partition that waited longest, with what it waited for.

use crate::judge::recovery::consuming::{ConsumingRecovery, GroupConsuming, GroupFault};
use crate::terminal::counted;

use super::super::Report;
use super::{Tone, bullet, cell, known, number, rest, seconds, section, show, table};

pub(super) fn render(out: &mut String, report: &Report, colours: bool) {
    if report.consuming.is_empty() {
        return;
    }
    section(out, "Consuming");
    bullet(
        out,
        "unconsumed: the longest wait from an ack to the first delivery, of the worst partition; after: of \
         what was acked after kbench began to heal; lag: most records that waited at once; again: records \
         delivered again.",
    );
    for group in &report.consuming {
        one(out, report, group, colours);
    }
}

fn one(out: &mut String, report: &Report, group: &GroupConsuming, colours: bool) {
    let trial = if report.trials > 1 { format!("trial {}, ", group.trial) } else { String::new() };
    bullet(out, &format!("{trial}{}", summary(group)));
    if let Some(began) = group.began_s.filter(|_| group.began_late) {
        let began = seconds(began);
        let name = &group.group;
        bullet(
            out,
            &format!(
                "group {name} had no partition before {began} s: what was acked before waits from then on"
            ),
        );
    }
    if group.faults.is_empty() {
        return;
    }
    let worst: Vec<_> = group.faults.iter().map(|fault| (fault, worst(fault))).collect();
    let residual = |row: Option<&ConsumingRecovery>| row.and_then(|row| rest(row.phase_residual_s));
    let with_rest = worst.iter().any(|(_, row)| residual(*row).is_some());
    let mut header = vec!["fault", "worst", "unconsumed", "coord", "rebal", "leader", "fetch"];
    header.extend(with_rest.then_some("rest"));
    header.extend(["after", "lag", "again"]);
    let mut shown = table(&header, colours);
    for (fault, row) in &worst {
        let partition = row.map_or("-".to_owned(), |row| row.partition.to_string());
        let mut cells = vec![
            cell(&fault.fault, Tone::Plain, colours),
            number(&partition, colours),
            match row {
                Some(row) => cell(&unconsumed(row), tone(row), colours),
                None => cell("-", Tone::Plain, colours),
            },
        ];
        let unseen = if residual(*row).is_some() { "-" } else { "" };
        let phases = row.map(|row| row.phases_s).unwrap_or_default().named();
        cells.extend(
            phases.map(|(_, value)| {
                number(&value.map_or_else(|| unseen.to_owned(), seconds), colours)
            }),
        );
        cells.extend(with_rest.then(|| number(&known(residual(*row)), colours)));
        let later = fault.partitions.iter().filter_map(|row| row.after_heal_s).reduce(f64::max);
        cells.push(number(&known(later), colours));
        cells.push(number(&fault.lag.to_string(), colours));
        cells.push(number(&fault.redelivered.to_string(), colours));
        shown.add_row(cells);
    }
    show(out, &shown);
    for (fault, row) in &worst {
        if let Some(row) = row
            && row.ended_after_heal
        {
            let how =
                if row.censored { "was not consumed again" } else { "was consumed again only" };
            let (topic, partition) = (&group.topic, row.partition);
            bullet(
                out,
                &format!("{}: {topic}-{partition} {how} after kbench began to heal", fault.fault),
            );
        }
    }
}

/// What a group got in all, and how long it waited while nothing was wrong.
pub(in crate::report) fn summary(group: &GroupConsuming) -> String {
    let steady = &group.steady;
    let backlog = group.backlog.as_ref();
    let backlog = backlog.map_or(String::new(), |it| format!("; planned: {}", it.words()));
    let longest = steady.longest_wait_s.map_or("not seen".to_owned(), |wait| {
        let wait = if wait < 0.01 { "< 0.01".to_owned() } else { seconds(wait) };
        let least = if steady.censored { ">= " } else { "" };
        format!("{least}{wait} s from ack to delivery at the longest")
    });
    let lag = steady.lag.map(|lag| format!(", lag at most {lag}")).unwrap_or_default();
    let undelivered = match group.undelivered {
        0 => String::new(),
        n => format!("; {} NOT DELIVERED when it was stopped", counted(n, "acked record")),
    };
    format!(
        "group {} of {}: {} delivered, {} delivered again{undelivered}; steady: {longest}{lag}{backlog}",
        group.group,
        group.topic,
        counted(group.delivered, "record"),
        group.redelivered
    )
}

/// The partition whose records waited longest.
pub(in crate::report) fn worst(fault: &GroupFault) -> Option<&ConsumingRecovery> {
    fault
        .partitions
        .iter()
        .max_by(|a, b| a.censored.cmp(&b.censored).then(a.unconsumed_s.total_cmp(&b.unconsumed_s)))
}

fn tone(row: &ConsumingRecovery) -> Tone {
    match (row.interrupted, row.censored) {
        (_, true) => Tone::Bad,
        (true, false) => Tone::Doubt,
        (false, false) => Tone::Good,
    }
}

pub(in crate::report) fn unconsumed(row: &ConsumingRecovery) -> String {
    match (row.interrupted, row.censored) {
        (false, _) => format!("no, {} ms", (row.unconsumed_s * 1e3).round()),
        (true, false) => format!("{} s", seconds(row.unconsumed_s)),
        (true, true) => format!(">= {} s", seconds(row.unconsumed_s)),
    }
}
