//! The sentence that would be true in place of a refuted one: a template in the claim's own file, with the measured
//! figures put in.
//!
//! Places: `{n}` usable trials; `{min}`, `{median}`, `{max}` of what was measured, in seconds; `{range}` the trials and
//! from where to where, as in "n = 3, 15.3 to 19.1 s"; `{low}`, `{high}` of what the settings predict, in seconds;
//! `{session}` ZooKeeper's session time-out in force, in seconds; `{found}` the judgement in words. Where a figure is
//! not known there is no sentence.

use super::{ClaimResult, TrialFacts};

/// What a template may name.
const PLACES: [&str; 9] = ["n", "min", "median", "max", "range", "low", "high", "session", "found"];

/// The texts of a template, and between them the names of its places.
fn parts(template: &str) -> Result<Vec<(&str, Option<&str>)>, String> {
    let (mut parts, mut rest) = (vec![], template);
    while let Some((text, after)) = rest.split_once('{') {
        let Some((place, behind)) = after.split_once('}') else {
            return Err(format!("corrected: a place begins with {{ and ends with }}: \"{after}\""));
        };
        if !PLACES.contains(&place) {
            let all = PLACES.map(|place| format!("{{{place}}}")).join(", ");
            return Err(format!("corrected: {{{place}}} is no figure; there are {all}"));
        }
        parts.push((text, Some(place)));
        rest = behind;
    }
    parts.push((rest, None));
    Ok(parts)
}

/// What is wrong with a template.
pub(super) fn fault(template: &str) -> Option<String> {
    parts(template).err()
}

/// The template with its figures; `None` where one is not known.
pub(super) fn filled(
    template: &str,
    result: &ClaimResult,
    trials: &[TrialFacts],
) -> Option<String> {
    let mut sentence = String::new();
    for (text, place) in parts(template).ok()? {
        sentence.push_str(text);
        if let Some(place) = place {
            sentence.push_str(&figure(place, result, trials)?);
        }
    }
    Some(sentence)
}

fn figure(place: &str, result: &ClaimResult, trials: &[TrialFacts]) -> Option<String> {
    let measured = result.measured_s.as_ref();
    let predicted = result.predicted_s;
    match place {
        "n" => measured.map(|it| it.n.to_string()),
        "min" => measured.and_then(|it| it.min).map(seconds),
        "median" => measured.and_then(|it| it.median).map(seconds),
        // What did not end took longer than it was seen to.
        "max" => measured.and_then(|it| {
            let max = it.max.map(seconds)?;
            Some(if it.censored > 0 { format!("more than {max}") } else { max })
        }),
        "range" => match measured?.n {
            1 => Some("n = 1".to_owned()),
            n => Some(format!(
                "n = {n}, {} to {} s",
                figure("min", result, trials)?,
                figure("max", result, trials)?
            )),
        },
        "low" => predicted.map(|[low, _]| seconds(low)),
        "high" => predicted.map(|[_, high]| seconds(high)),
        "session" => {
            let all = trials.iter().map(|it| it.environment.settings.zk_session_timeout_ms);
            let mut all: Vec<u64> = all.collect::<Option<_>>()?;
            all.dedup();
            // Of trials that differ there is no one value.
            let [one] = all.as_slice() else { return None };
            Some(format!("{}", *one as f64 / 1e3))
        }
        "found" => Some(result.reason.clone()),
        _ => None,
    }
}

/// Seconds to three digits, and no more than hundredths.
fn seconds(value: f64) -> String {
    if value >= 9.95 { format!("{value:.1}") } else { format!("{value:.2}") }
}
