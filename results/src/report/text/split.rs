//! Where responses' time went.

use crate::judge::split::PartTimes;

use super::super::Report;
use super::{Tone, bullet, cell, number, section, show, table};

/// A row a broker and phase; nothing where no client told.
pub(super) fn split(out: &mut String, report: &Report, colours: bool) {
    if report.split.is_empty() {
        return;
    }
    section(out, "Where responses' time went");
    let mut rows = table(
        &["load", "broker", "queue ms", "p99", "socket ms", "p99", "broker ms", "p99", "requests"],
        colours,
    );
    for one in &report.split {
        let shown = |of: &PartTimes| {
            let none = of.n == 0;
            let ms = |us: f64| if none { "-".to_owned() } else { format!("{:.2}", us / 1e3) };
            [ms(of.mean), ms(of.worst_p99 as f64)]
        };
        let figures =
            [one.queue_us, one.socket_us, one.broker_us].iter().flat_map(shown).collect::<Vec<_>>();
        let requests = one.broker_us.n.to_string();
        let cells = figures.iter().chain([&requests]).map(|text| number(text, colours));
        let phase = if one.phase == "steady" { "steady" } else { "around faults" };
        let named = [phase.to_owned(), one.broker.to_string()]
            .map(|text| cell(&text, Tone::Plain, colours));
        rows.add_row(named.into_iter().chain(cells));
    }
    show(out, &rows);
    bullet(
        out,
        "by the main producer's client: means, and the highest p99 of a second. queue: of a record, linger.ms included; \
         socket and broker: of a request of any kind, the broker's with the network to it",
    );
}
