//! What changes of the cluster took, and cost.

use super::super::{Report, rows};
use super::{section, show, table};

pub(super) fn render(out: &mut String, report: &Report) {
    if report.changes.is_empty() {
        return;
    }
    section(out, "Changes");
    let changes = rows::changes(report);
    let mut shown = table(&changes.head, false);
    for row in changes.rows {
        shown.add_row(row.into_iter().map(|cell| cell.text));
    }
    show(out, &shown);
}
