//! Plots of synthetic runs, as they are drawn.

use super::*;
use crate::fixture::{self, Fixture};
use crate::record::event::{EventKind, Second};
use crate::report::judge;
use crate::trend::{TrendOptions, Trends, tests::nights};

/// Seconds of a load whose responses are slow from 20 to 28 s.
pub(crate) fn with_seconds(mut trial: TrialRecord) -> TrialRecord {
    for number in 0..50_u64 {
        let at = fixture::at(11.0 + number as f64);
        let slow = (9..17).contains(&number);
        let ms = |ms: u64| if slow && number < 16 { None } else { Some((ms + number % 3) * 1000) };
        let kind = EventKind::Second(Second {
            response_p50_us: ms(3),
            response_p99_us: ms(9),
            service_p50_us: ms(2),
            service_p99_us: ms(8),
            response_max_us: if number == 16 { Some(7_400_000) } else { ms(20) },
            ..Second::default()
        });
        trial.events.push(crate::record::event::Event { at, kind });
    }
    trial.events.sort_by_key(|event| event.at);
    trial
}

fn svg(charts: &[Chart]) -> String {
    let svg = render(charts).unwrap();
    assert_eq!(svg, render(charts).unwrap(), "the same every time");
    // To look at: KBENCH_PLOTS names a folder.
    if let Some(folder) = std::env::var_os("KBENCH_PLOTS") {
        let words: String = charts[0].title.chars().filter(char::is_ascii_alphanumeric).collect();
        std::fs::write(std::path::Path::new(&folder).join(format!("{words}.svg")), &svg).unwrap();
    }
    svg
}

#[test]
fn response_is_drawn_over_time_with_faults_as_bands() {
    let trial = with_seconds(fixture::three_faults(1).trial());
    let report = judge(&fixture::question(1), std::slice::from_ref(&trial));
    let chart = response(&report, &trial);
    assert_eq!(chart.bands.len(), report.faults.len());
    assert_eq!(chart.bands[0].from, report.faults[0].injected_s);
    assert!(chart.series[0].points.iter().any(|(_, figure)| figure.is_none()), "a gap");
    assert_eq!(chart.series.len(), 5);
    insta::assert_snapshot!(svg(&[chart]));
    // What an older kbench recorded has no service times, and nothing is said of them.
    let mut older = trial;
    for event in &mut older.events {
        if let EventKind::Second(second) = &mut event.kind {
            (second.service_p50_us, second.service_p99_us) = (None, None);
        }
    }
    let chart = response(&report, &older);
    assert_eq!(chart.series.len(), 3);
    assert!(!svg(&[chart]).contains("service"));
}

#[test]
fn recovery_of_every_trial_is_a_point_and_what_did_not_end_is_a_ring() {
    let trials: Vec<_> = (1..=3).map(|number| fixture::three_faults(number).trial()).collect();
    let mut report = judge(&fixture::question(3), &trials);
    let chart = recovery(&report);
    assert_eq!((chart.series.len(), chart.series[0].points.len()), (1, 3 * 3));
    for row in report.recovery.iter_mut().filter(|row| row.trial == 2) {
        row.censored = true;
    }
    let chart = recovery(&report);
    let seen = |series: &ChartSeries| series.points.iter().filter(|(_, it)| it.is_some()).count();
    assert_eq!(chart.series.iter().map(seen).collect::<Vec<_>>(), [6, 3]);
    assert_eq!(chart.series[1].form, SeriesForm::Rings);
    insta::assert_snapshot!(svg(&[chart]));
}

#[test]
fn a_sweep_has_a_series_for_the_other_settings() {
    let point = |value: &str, others: &str, figures: &[f64]| SweptPoint {
        value: value.to_owned(),
        others: others.to_owned(),
        figures: figures.to_vec(),
    };
    let points = [
        point("6000", "acks=1", &[6.1e6, 6.4e6, 7.0e6]),
        point("6000", "acks=all", &[6.3e6, 6.6e6, 6.9e6]),
        point("18000", "acks=1", &[17.1e6, 17.9e6, 18.3e6]),
        point("18000", "acks=all", &[17.5e6, 18.9e6]),
        point("30000", "acks=1", &[]),
        point("30000", "acks=all", &[31e6]),
    ];
    let key = "cluster.broker.settings.zookeeper.session.timeout.ms";
    let chart = sweep("faults.recovery".parse().unwrap(), key, &points);
    let labels: Vec<_> = chart.series.iter().map(|it| &*it.label).collect();
    assert_eq!(labels, ["acks=1", "acks=all"]);
    assert_eq!(chart.series[0].points[2].1, None);
    assert_eq!(chart.series[0].intervals.len(), 2);
    assert_eq!(chart.series[0].points[0].1, Some(6.4e6));
    insta::assert_snapshot!(svg(&[chart]));
}

#[test]
fn a_trend_shows_where_the_figure_changed() {
    let options = TrendOptions { metrics: vec![], least_effect: 0.05, last: 100 };
    let trends = Trends::of(&[nights(30, 22, 1.1)], &options);
    let charts = trend(&trends.series[0]);
    assert_eq!(charts.len(), 3);
    assert_eq!(charts[0].rules, []);
    assert_eq!(charts[1].rules.len(), 1);
    assert_eq!(charts[1].rules[0].0, 21.5);
    assert!(charts[1].rules[0].1.ends_with("% regression"), "{:?}", charts[1].rules);
    insta::assert_snapshot!(svg(&charts));
}

#[test]
fn texts_of_others_stay_texts() {
    let mut chart = response(
        &judge(&fixture::question(1), &[Fixture::new(1, 60.0).trial()]),
        &with_seconds(Fixture::new(1, 60.0).trial()),
    );
    chart.title = "<script>\u{1b}[1m &".to_owned();
    let svg = svg(&[chart]);
    assert!(svg.contains("&lt;script&gt;") && !svg.contains("<script") && !svg.contains('\u{1b}'));
}

#[test]
fn a_run_has_the_plots_that_it_has_figures_for() {
    let place = tempfile::tempdir().unwrap();
    let trial = with_seconds(fixture::three_faults(1).trial());
    fixture::files::write_down(&trial, place.path(), 1, &[]);
    let judged = Judged::of(place.path(), &fixture::question(1)).unwrap();
    let names: Vec<_> = of_run(&judged).into_iter().map(|(name, _)| name).collect();
    assert_eq!(names, ["response.svg", "recovery.svg"]);
    let none = Chart { series: vec![], ..response(&judged.report, &trial) };
    assert!(none.is_empty());
}
