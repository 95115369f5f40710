//! The page's structure: for those who hear it, or have a keyboard alone, and for a browser without network.

use super::*;

/// A tag as it is written: its name, and what stands behind it up to `>`.
fn tags(page: &str) -> Vec<(&str, &str)> {
    let opened = page.split('<').skip(1).filter(|tag| tag.starts_with(char::is_alphabetic));
    let whole = opened.filter_map(|tag| Some(tag.split_once('>')?.0));
    whole.map(|tag| tag.split_once(char::is_whitespace).unwrap_or((tag, ""))).collect()
}

/// The page without what is no markup: styles, scripts, data.
fn markup(page: &str) -> String {
    let without = |page: String, name: &str| {
        let (open, close) = (format!("<{name}"), format!("</{name}>"));
        let mut parts = page.split(&open);
        let first = parts.next().unwrap().to_owned();
        let rest = parts.map(|part| part.split_once(&close).unwrap().1);
        first + &rest.collect::<String>()
    };
    ["style", "script"].into_iter().fold(page.to_owned(), without)
}

/// Pages that have every part.
fn pages() -> Vec<String> {
    let trials = vec![three_faults(1).trial(), three_faults(2).trial()];
    let mut report = judge(&fixture::question(2), &trials);
    report.problems.push("a problem".into());
    let one = vec![three_faults(1).trial()];
    vec![
        markup(&page_of(&report, &trials)),
        markup(&page_of(&judge(&fixture::question(1), &one), &one)),
        markup(&page_and_data(&[with_seconds(three_faults(1).trial())]).0),
        markup(&page_of(&judge(&fixture::question(1), &[]), &[])),
    ]
}

#[test]
fn headings_are_in_order_and_none_is_left_out() {
    for page in pages() {
        let level = |name: &str| name.strip_prefix('h')?.parse::<u32>().ok();
        let levels: Vec<u32> = tags(&page).iter().filter_map(|(name, _)| level(name)).collect();
        assert_eq!(levels[0], 1);
        assert_eq!(levels.iter().filter(|level| **level == 1).count(), 1);
        assert!(levels.windows(2).all(|pair| pair[1] <= pair[0] + 1), "{levels:?}");
        for id in between(&page, "aria-labelledby=\"", "\"") {
            assert_eq!(page.matches(&format!(" id=\"{id}\"")).count(), 1, "{id}");
        }
        let ids = between(&page, " id=\"", "\"");
        let sections = page.matches("<section").count();
        assert!(sections == ids.len() && sections == page.matches("<h2").count(), "{ids:?}");
    }
}

#[test]
fn tables_have_a_head_and_rows_as_wide_as_it() {
    for page in pages() {
        for table in between(&page, "<table", "</table>") {
            let (head, body) = table.split_once("</thead>").expect(table);
            let columns = head.matches("<th scope=\"col\"").count();
            assert!(columns > 1 && head.matches("<th").count() == columns + 1, "{head}");
            assert!(between(head, "<th scope", "</th>").iter().all(|th| !th.ends_with('>')));
            for row in between(body, "<tr", "</tr>") {
                let spans = between(row, "colspan=\"", "\"");
                let wider: usize = spans.iter().map(|n| n.parse::<usize>().unwrap() - 1).sum();
                assert_eq!(row.matches("<td").count() + wider, columns, "{row}");
            }
        }
    }
}

#[test]
fn every_picture_has_a_label_and_every_button_a_text() {
    for page in pages() {
        let all = tags(&page);
        for (name, attributes) in &all {
            let picture = ["figure", "svg"].contains(name) || attributes.contains("role=\"img\"");
            let label = between(attributes, "aria-label=\"", "\"");
            assert!(!picture || label.first().is_some_and(|text| text.len() > 3), "{attributes}");
            let keyboard = attributes.contains("tabindex") && !attributes.contains("role=");
            assert!(!keyboard, "it says what it is: {attributes}");
            let says = ["img", "canvas", "iframe", "object", "embed", "link"].contains(name);
            assert!(!says, "{name}");
        }
        let svgs = all.iter().filter(|(name, _)| *name == "svg");
        assert!(svgs.into_iter().all(|(_, attributes)| attributes.contains("role=\"img\"")));
        let buttons = between(&page, "<button", "</button>");
        assert_eq!(buttons.len(), 5 * page.matches("<figure class=\"timeline\"").count());
        for button in buttons {
            let (attributes, text) = button.split_once('>').unwrap();
            assert!(attributes.contains("type=\"button\"") && text.trim().len() > 3, "{button}");
        }
        for details in between(&page, "<details>", "</details>") {
            assert!(details.trim_start().starts_with("<summary>"), "{details}");
        }
    }
}

#[test]
fn nothing_is_loaded_and_no_markup_holds_a_script() {
    for page in pages() {
        for (name, attributes) in tags(&page) {
            // What stands in quotes is text, and so is what follows no space.
            let names = attributes.split('"').step_by(2).flat_map(str::split_whitespace);
            for attribute in names {
                let attribute = attribute.trim_end_matches('=');
                assert!(!attribute.starts_with("on"), "{name} {attributes}");
                let loads = ["src", "href", "srcset", "action", "data", "poster", "background"];
                assert!(!loads.contains(&attribute), "{name} {attributes}");
            }
        }
        assert!(page.contains("content=\"default-src 'none';"), "the browser holds to it");
    }
    let own = [include_str!("../../html/report.css"), include_str!("../../html/report.js")];
    for text in own {
        for loads in ["http:", "https:", "url(", "@import", "fetch(", "import("] {
            assert!(!text.contains(loads), "{loads}");
        }
    }
}

#[test]
fn partitions_without_a_lane_are_counted() {
    let mut trials = vec![three_faults(1).trial()];
    let events = &mut trials[0].events;
    let of_it = |event: &&Event| matches!(&event.kind, EventKind::PartitionState { topic, partition: 0, .. } if topic == TOPIC);
    let one = events.iter().find(of_it).unwrap().clone();
    for number in 3..15 {
        let mut other = one.clone();
        if let EventKind::PartitionState { partition, .. } = &mut other.kind {
            *partition = number;
        }
        events.push(other);
    }
    let page = page_of(&judge(&fixture::question(1), &trials), &trials);
    assert!(page.contains("More partitions, without a lane: 3."));
    assert!(!pages()[0].contains("without a lane"));
}
