//! Every text of the page can be read on what it stands on, in both themes: 4.5 to 1 at the least (WCAG 2.2, AA).

use std::collections::BTreeMap;

use crate::report::html::STYLE;

type Rgb = [f64; 3];

const LEAST: f64 = 4.5;
/// Colours of brokers in lanes.
const BROKERS: [&str; 7] = ["detect", "elect", "metadata", "copies", "client", "answer", "rest"];
/// How opaque lanes are drawn: usually, and where nobody led.
const LANE: f64 = 0.85;
const NOBODY: f64 = 0.35;
/// How opaque the shade of a fault is.
const SHADE: f64 = 0.12;

/// The colours that a part of the style gives names to.
fn colours(style: &str) -> BTreeMap<&str, Rgb> {
    let named = style.split("--").skip(1).filter_map(|rest| rest.split_once(": #"));
    let channel = |hex: &str, at: usize| {
        f64::from(u8::from_str_radix(&hex[at * 2..at * 2 + 2], 16).unwrap()) / 255.0
    };
    named.map(|(name, hex)| (name, [0, 1, 2].map(|at| channel(hex, at)))).collect()
}

/// Both themes: the dark one changes colours of the light one.
fn themes() -> [BTreeMap<&'static str, Rgb>; 2] {
    let (light, rest) = STYLE.split_once("@media").unwrap();
    let dark = rest.split_once("* {").unwrap().0;
    let light = colours(light);
    let mut other = light.clone();
    other.extend(colours(dark));
    [light, other]
}

fn over(front: Rgb, alpha: f64, back: Rgb) -> Rgb {
    [0, 1, 2].map(|at| front[at] * alpha + back[at] * (1.0 - alpha))
}

fn luminance(colour: Rgb) -> f64 {
    let linear = |v: f64| if v <= 0.04045 { v / 12.92 } else { ((v + 0.055) / 1.055).powf(2.4) };
    let [r, g, b] = colour.map(linear);
    0.2126 * r + 0.7152 * g + 0.0722 * b
}

fn contrast(a: Rgb, b: Rgb) -> f64 {
    let (a, b) = (luminance(a), luminance(b));
    (a.max(b) + 0.05) / (a.min(b) + 0.05)
}

#[test]
fn contrast_is_that_of_the_definition() {
    assert!((contrast([0.0; 3], [1.0; 3]) - 21.0).abs() < 1e-9);
    let grey = colours("--grey: #767676;")["grey"];
    assert!((contrast(grey, [1.0; 3]) - 4.54).abs() < 0.01);
}

#[test]
fn every_text_can_be_read_in_both_themes() {
    let [light, dark] = themes();
    assert!(light.len() >= 18 && light.keys().eq(dark.keys()), "{light:?}");
    let mut faint = vec![];
    for (theme, of) in [("light", light), ("dark", dark)] {
        let mut pair = |text: &str, on: &str, back: Rgb| {
            let found = contrast(of[text], back);
            if found < LEAST {
                faint.push(format!("{theme}: {text} on {on}: {found:.2}"));
            }
        };
        for text in ["ink", "soft", "good", "doubt", "bad", "detect"] {
            ["paper", "panel"].iter().for_each(|on| pair(text, on, of[on]));
        }
        // Lanes stand on the paper, and on the shade of a fault.
        for back in [of["paper"], over(of["bad"], SHADE, of["paper"])] {
            let lane = |name: &str| over(of[name], LANE, back);
            BROKERS.iter().chain(&["bad"]).for_each(|on| pair("paper", on, lane(on)));
            ["stated", "predicted"].iter().for_each(|on| pair("ink", on, lane(on)));
            pair("ink", "nobody", over(of["bad"], NOBODY, back));
            ["ink", "soft"].iter().for_each(|text| pair(text, "shade", back));
        }
    }
    assert!(faint.is_empty(), "{faint:#?}");
}

#[test]
fn lanes_are_drawn_as_it_is_tested() {
    let script = include_str!("../../html/report.js");
    let brokers = BROKERS.map(|name| format!("\"{name}\"")).join(", ");
    assert!(script.contains(&format!("BROKERS = [{brokers}]")));
    assert!(script.contains(&format!("globalAlpha = nobody ? {NOBODY} : {LANE};")));
    assert!(script.contains(&format!("globalAlpha = {SHADE};")));
}
