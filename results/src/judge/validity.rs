//! Whether the run itself is worth anything: did the generator keep up, did the clients disturb
//! what they measured? Findings are checks like others; a bad one makes the run invalid, which is
//! neither a pass nor Kafka's failure.

use crate::judge::latency::{LoadFigures, Percentiles, percentiles};
use crate::judge::offer::Offer;
use crate::judge::verdict::{Check, Verdict};
use crate::record::burst;
use crate::record::event::{Event, EventKind};
use crate::record::history::Ending;
use crate::terminal::counted;

/// Least part of the asked rate that must have been handed to the client.
const SENT: f64 = 0.99;
/// The schedule lag's p99 may be this part of the response's p99.
const LAG_SHARE: f64 = 0.10;
/// A lag p99 up to here is never condemned. Lag adds to the response time one to one, so a latency
/// p99 is overstated, never understated, by at most 1 ms. Without this floor a healthy p99 of 2 ms
/// would condemn 0.25 ms of scheduler noise on a two-core machine.
const LAG_FLOOR_US: u64 = 1_000;
/// The same with faults: such a run judges times in seconds, and a lag below the 10 ms by which its
/// time-keeping may err changes none of them. Its steady load lasts seconds, where one stall of the
/// machine by 0.1 s is a p99 of some milliseconds.
const LAG_FLOOR_WITH_FAULTS_US: u64 = 10_000;
/// Part of its CPU that a client may use. `LoadEnded` covers the whole load, fault windows included:
/// retries only raise it, so the check errs to the strict side.
const CPU: f64 = 0.80;

/// Name of the check that the client's queue took every record at once.
const QUEUE: &str = "client-queue";

/// Name of the check that the cluster kept up with the load.
pub(crate) const SATURATION: &str = "saturation";

/// Name of the check that every stream was read to its end mark.
pub(crate) const HISTORY_COMPLETE: &str = "history-complete";

/// What a trial is judged by as a measurement.
#[derive(Debug)]
pub(crate) struct Conduct<'a> {
    pub(crate) load: &'a LoadFigures,
    /// Records a second that were asked for, at most.
    pub(crate) asked_per_s: f64,
    /// What decided when they were due.
    pub(crate) offer: Offer,
    /// Cores that it could use.
    pub(crate) cores: u32,
    /// Producers of the main load.
    pub(crate) producers: usize,
    pub(crate) events: &'a [Event],
    /// Name of each stream, and how it ends.
    pub(crate) streams: &'a [(String, Ending)],
}

/// Judges a trial as a measurement; and whether it measures the cluster's limit, so that what its clients handed over late
/// follows from that.
pub(crate) fn judge(conduct: &Conduct<'_>) -> (Vec<Check>, bool) {
    let Conduct { load, offer, cores, producers, events, streams, .. } = *conduct;
    let cpu = cpu(events, cores, producers);
    if offer == Offer::Closed {
        let [rate, queue, lag, saturation] =
            ["generator-rate", QUEUE, "schedule-lag", SATURATION].map(closed);
        return (vec![rate, cpu, queue, complete(streams), lag, saturation], false);
    }
    let lag = schedule_lag(load, conduct.asked_per_s / producers.max(1) as f64);
    let rate = match offer {
        Offer::Shaped => shaped_rate(load),
        Offer::Even | Offer::Closed => rate(load, conduct.asked_per_s),
    };
    let asked_per_s = offer.per_s(conduct.asked_per_s, &load.counts.steady);
    let mut of_generator = [rate, queue(events), lag];
    // Where the clients had time to spare, it is the cluster that did not keep up: then the run measures its
    // limit, and that records waited in kbench follows from it.
    let steady = &load.counts.steady;
    let handed = steady.sent as f64 >= SENT * asked_per_s * steady.seconds;
    let queued = of_generator.iter().any(|it| it.name == QUEUE && it.count > 0);
    let limited = load.counts.left_behind(asked_per_s).is_some()
        && cpu.verdict == Verdict::Valid
        && (handed || queued);
    if limited {
        for check in of_generator.iter_mut().filter(|it| it.verdict == Verdict::InvalidRun) {
            let note = check.note.take().unwrap_or_default();
            check.note = Some(format!("{note}; the cluster is what limits, see \"{SATURATION}\""));
            (check.verdict, check.count) = (Verdict::Valid, 0);
        }
    }
    let [rate, queue, lag] = of_generator;
    let saturation = saturation(load, asked_per_s, limited);
    (vec![rate, cpu, queue, complete(streams), lag, saturation], limited)
}

/// Whether the cluster kept up with the steady load. That it did not is a finding, and no fault of the run.
fn saturation(load: &LoadFigures, asked_per_s: f64, limited: bool) -> Check {
    let steady = &load.counts.steady;
    let rates = steady.rates(load.counts.unacked);
    let Some((rates, acked)) = rates.and_then(|rates| Some((rates.clone(), rates.acked_per_s?)))
    else {
        let why = if load.counts.unacked { "no acks asked for" } else { "no steady load" };
        return check(SATURATION, Verdict::Valid, 0, format!("not applicable: {why}"));
    };
    let note = match load.counts.left_behind(asked_per_s) {
        None => format!("{acked:.1} of {asked_per_s:.1} records/s were acked in the steady load"),
        Some(behind) => {
            let by = if limited { "the cluster" } else { "the load's generator" };
            format!(
                "saturated by {by}: {acked:.1} of {asked_per_s:.1} records/s were acked in the steady load \
                 ({:.1} handed to the client), which left {} behind in {:.1} s; its latency grows with the \
                 time that it lasts",
                rates.sent_per_s,
                counted(behind, "record"),
                steady.seconds
            )
        }
    };
    check(SATURATION, Verdict::Valid, steady.acked, note)
}

/// A check of a schedule, where there is none.
fn closed(name: &str) -> Check {
    let note = "not applicable: the load is as fast as the client takes it";
    check(name, Verdict::Valid, 0, note.to_owned())
}

/// Judges the rate of a load by what its schedule offered.
fn shaped_rate(load: &LoadFigures) -> Check {
    let all = &load.counts.all;
    let sent = all.sent as f64 / all.seconds.max(f64::MIN_POSITIVE);
    handed_over(load.sent, sent, Offer::Shaped.per_s(0.0, all))
}

fn rate(load: &LoadFigures, asked_per_s: f64) -> Check {
    handed_over(load.sent, load.sent_per_s(), asked_per_s)
}

fn handed_over(records: u64, sent: f64, asked_per_s: f64) -> Check {
    const NAME: &str = "generator-rate";
    if records == 0 || asked_per_s <= 0.0 {
        return check(NAME, Verdict::Unknown, records, "no load after the warm-up".to_owned());
    }
    let note = format!("{sent:.1} of {asked_per_s:.1} records/s were handed to the client");
    let enough = sent / asked_per_s >= SENT;
    check(NAME, if enough { Verdict::Valid } else { Verdict::InvalidRun }, records, note)
}

/// Judges the schedule lag of one trial's steady load, by the highest percentile that its samples
/// support: one stall of 0.1 s is already more than 1 % of a short baseline. What records wait for their
/// burst, at a producer of `per_s` records a second, is the plan: it comes on top of what is allowed.
fn schedule_lag(load: &LoadFigures, per_s: f64) -> Check {
    const NAME: &str = "schedule-lag";
    let lag = percentiles(&load.baseline.schedule_lag, 0);
    let response = percentiles(&load.baseline.response, load.baseline.unacked);
    // Without acks there is no response; then the lag has its floor alone.
    let response = match load.no_ack_asked {
        0 => response,
        _ => Percentiles { p50: Some(0), p90: Some(0), p99: Some(0), ..response },
    };
    let judged = [
        ("p99", lag.p99, response.p99),
        ("p90", lag.p90, response.p90),
        ("p50", lag.p50, response.p50),
    ];
    let judged = judged.into_iter().find_map(|(name, lag, response)| Some((name, lag?, response?)));
    let Some((name, lag_us, response_us)) = judged else {
        let note = format!("{} records of steady load: too few for a percentile", lag.n);
        return check(NAME, Verdict::Unknown, lag.n, note);
    };
    let with_faults = !load.faults.schedule_lag.is_empty();
    let floor = if with_faults { LAG_FLOOR_WITH_FAULTS_US } else { LAG_FLOOR_US };
    let burst_us = burst::planned(per_s).as_micros() as u64;
    let allowed = ((response_us as f64 * LAG_SHARE) as u64).max(floor) + burst_us;
    let ms = |us: u64| us as f64 / 1e3;
    let response = match load.no_ack_asked {
        0 => format!("response {name} {:.2} ms", ms(response_us)),
        _ => "no acks asked for".to_owned(),
    };
    let note = format!(
        "steady load: lag {name} {:.2} ms, {response}, allowed {:.2} ms",
        ms(lag_us),
        ms(allowed)
    );
    let note = match burst_us {
        0 => note,
        us => format!("{note}, of which {:.2} ms are the bursts in which records are sent", ms(us)),
    };
    let verdict = if lag_us <= allowed { Verdict::Valid } else { Verdict::InvalidRun };
    check(NAME, verdict, lag.n, note)
}

fn cpu(events: &[Event], cores: u32, producers: usize) -> Check {
    const NAME: &str = "client-cpu";
    let ended = events.iter().find_map(|event| match event.kind {
        EventKind::LoadEnded { producer_cpu_s, clients_cpu_s, over_s, .. } if over_s > 0.0 => {
            Some((producer_cpu_s, clients_cpu_s, over_s))
        }
        _ => None,
    });
    let Some((producer_cpu_s, clients_cpu_s, over_s)) = ended else {
        return check(
            NAME,
            Verdict::Unknown,
            0,
            "the clients' CPU time was not recorded".to_owned(),
        );
    };
    let producer = producer_cpu_s / over_s / producers.max(1) as f64;
    let clients = clients_cpu_s / over_s / f64::from(cores.max(1));
    let note = format!(
        "a producing thread used {:.0} % of a core, the clients in kbench's process {:.0} % of {}",
        producer * 100.0,
        clients * 100.0,
        counted(cores.max(1).into(), "core")
    );
    let fine = producer <= CPU && clients <= CPU;
    check(NAME, if fine { Verdict::Valid } else { Verdict::InvalidRun }, 1, note)
}

fn queue(events: &[Event]) -> Check {
    let full = events.iter().find_map(|event| match event.kind {
        EventKind::LoadEnded { queue_full, .. } => Some(queue_full),
        _ => None,
    });
    match full {
        None => {
            let note = "how often the client's queue was full was not recorded".to_owned();
            check(QUEUE, Verdict::Unknown, 0, note)
        }
        Some(0) => check(QUEUE, Verdict::Valid, 1, "never full".to_owned()),
        Some(times) => {
            let note = "the client's queue was full: sends waited in kbench, not in Kafka; raise \
                        queue.buffering.max.messages or lower the rate"
                .to_owned();
            Check { count: times, ..check(QUEUE, Verdict::InvalidRun, 1, note) }
        }
    }
}

fn complete(streams: &[(String, Ending)]) -> Check {
    const NAME: &str = HISTORY_COMPLETE;
    let cut: Vec<String> = streams
        .iter()
        .filter_map(|(name, ending)| match ending {
            Ending::Complete | Ending::Killed => None,
            Ending::Truncated { at_byte: 0, what, .. } => Some(what.clone()),
            Ending::Truncated { at_byte, what, .. } => {
                Some(format!("stream {name} breaks off at byte {at_byte}: {what}"))
            }
        })
        .collect();
    let examined = streams.len() as u64;
    if cut.is_empty() && examined > 0 {
        let killed = streams.iter().filter(|(_, ending)| *ending == Ending::Killed);
        let killed: Vec<&str> = killed.map(|(name, _)| name.as_str()).collect();
        let note = match &*killed {
            [] => "every stream is complete".to_owned(),
            _ => format!("complete but for what was killed on purpose: {}", killed.join(", ")),
        };
        return check(NAME, Verdict::Valid, examined, note);
    }
    let note = if cut.is_empty() { "there is no history".to_owned() } else { cut.join("; ") };
    Check { count: cut.len() as u64, ..check(NAME, Verdict::Unknown, examined, note) }
}

fn check(name: &str, verdict: Verdict, examined: u64, note: String) -> Check {
    let count = u64::from(verdict == Verdict::InvalidRun);
    Check {
        name: name.to_owned(),
        verdict,
        count,
        examined,
        without_a_copy: false,
        note: Some(note),
        witnesses: vec![],
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::judge::rates::PhaseCounts;
    use crate::record::clock::RunTime;

    fn load(lag_us: u64, response_us: u64) -> LoadFigures {
        let mut load = LoadFigures { sent: 1000, seconds: 1.0, ..LoadFigures::default() };
        for _ in 0..1000 {
            load.baseline.schedule_lag.record(lag_us).unwrap();
            load.baseline.response.record(response_us).unwrap();
        }
        load
    }

    #[test]
    fn a_generator_that_falls_behind_makes_the_run_invalid() {
        assert_eq!(rate(&load(1, 1), 1000.0).verdict, Verdict::Valid);
        assert_eq!(rate(&load(1, 1), 1011.0).verdict, Verdict::InvalidRun);
        assert_eq!(rate(&LoadFigures::default(), 1000.0).verdict, Verdict::Unknown);
    }

    #[test]
    fn lag_is_judged_against_the_response_with_a_floor() {
        assert_eq!(schedule_lag(&load(250, 2_000), 1000.0).verdict, Verdict::Valid);
        assert_eq!(schedule_lag(&load(1_500, 2_000), 1000.0).verdict, Verdict::InvalidRun);
        assert_eq!(schedule_lag(&load(1_500, 20_000), 1000.0).verdict, Verdict::Valid);

        // In bursts of 1 ms.
        let fast = |lag_us| schedule_lag(&load(lag_us, 2_000), 20_000.0);
        assert_eq!(fast(1_900).verdict, Verdict::Valid);
        assert_eq!(fast(2_100).verdict, Verdict::InvalidRun);
        assert!(fast(1_900).note.unwrap().contains("1.00 ms are the bursts"));

        let with_faults = |lag_us| {
            let mut load = load(lag_us, 20_000);
            load.faults.schedule_lag.record(1).unwrap();
            schedule_lag(&load, 1000.0).verdict
        };
        let few = |records| {
            let mut few = LoadFigures::default();
            for _ in 0..records {
                few.baseline.schedule_lag.record(50_000).unwrap();
                few.baseline.response.record(60_000).unwrap();
            }
            schedule_lag(&few, 1000.0).verdict
        };
        assert_eq!([few(19), few(20)], [Verdict::Unknown, Verdict::InvalidRun]);

        assert_eq!(with_faults(9_000), Verdict::Valid);
        assert_eq!(with_faults(11_000), Verdict::InvalidRun);
    }

    fn worst_and_saturation(conduct: &Conduct<'_>) -> (Verdict, String) {
        let (checks, limited) = judge(conduct);
        let worst = checks.iter().map(|check| check.verdict).max().unwrap();
        let saturation = checks.into_iter().find(|check| check.name == SATURATION).unwrap();
        let note = saturation.note.unwrap();
        assert_eq!(limited, note.starts_with("saturated by the cluster"), "{note}");
        (worst, note)
    }

    #[test]
    fn who_limits_a_load_that_is_not_acked_is_told() {
        // Ten seconds of 1000/s, of which so many were handed over and acked.
        let judged = |(sent, acked), busy: f64, queue_full| {
            let mut load = load(1, 1);
            load.counts.steady = PhaseCounts { seconds: 10.0, sent, acked, ..Default::default() };
            load.sent = sent;
            load.seconds = 10.0;
            let events = [Event {
                at: RunTime(1),
                kind: EventKind::LoadEnded {
                    producer_cpu_s: busy * 10.0,
                    clients_cpu_s: busy * 10.0,
                    over_s: 10.0,
                    queue_full,
                },
            }];
            let streams = [("main".to_owned(), Ending::Complete)];
            let conduct = Conduct {
                load: &load,
                asked_per_s: 1000.0,
                offer: Offer::Even,
                cores: 2,
                producers: 1,
                events: &events,
                streams: &streams,
            };
            worst_and_saturation(&conduct)
        };
        let (worst, note) = judged((10_000, 9_990), 0.1, 0);
        assert!(worst == Verdict::Valid && note.starts_with("999.0 of 1000.0"), "{note}");
        for (counts, queue_full) in [((10_000, 8_000), 0), ((8_100, 8_000), 50)] {
            let (worst, note) = judged(counts, 0.1, queue_full);
            assert!(worst == Verdict::Valid, "{worst:?} {note}");
            assert!(note.starts_with("saturated by the cluster: 800.0 of 1000.0"), "{note}");
        }
        for (counts, busy, queue_full) in
            [((8_100, 8_000), 0.1, 0), ((8_100, 8_000), 0.9, 50), ((10_000, 8_000), 0.9, 0)]
        {
            let (worst, note) = judged(counts, busy, queue_full);
            assert!(worst == Verdict::InvalidRun, "{worst:?} {note}");
            assert!(note.starts_with("saturated by the load's generator"), "{note}");
        }
    }

    #[test]
    fn a_shape_is_judged_by_what_it_offered_and_a_closed_loop_by_its_cpu() {
        let judged = |offer, (due, sent, acked), busy: f64| {
            let mut load = load(1, 1);
            load.counts.steady =
                PhaseCounts { seconds: 10.0, due, sent, acked, ..Default::default() };
            load.counts.all = load.counts.steady.clone();
            (load.sent, load.seconds) = (sent, 10.0);
            let (producer_cpu_s, over_s) = (busy * 10.0, 10.0);
            let (clients_cpu_s, queue_full) = (producer_cpu_s, 0);
            let kind = EventKind::LoadEnded { producer_cpu_s, clients_cpu_s, over_s, queue_full };
            let events = [Event { at: RunTime(1), kind }];
            let streams = [("main".to_owned(), Ending::Complete)];
            let (load, events, streams) = (&load, &events, &streams);
            let (asked_per_s, cores, producers) = (1000.0, 2, 1);
            let conduct = Conduct { load, asked_per_s, offer, cores, producers, events, streams };
            worst_and_saturation(&conduct)
        };
        // Of 1000/s at the highest 500/s were offered, and sent and acked.
        let (worst, note) = judged(Offer::Shaped, (5000, 5000, 4990), 0.1);
        assert!(worst == Verdict::Valid && note.starts_with("499.0 of 500.0"), "{note}");
        assert_eq!(judged(Offer::Even, (5000, 5000, 4990), 0.1).0, Verdict::InvalidRun);
        // Half of what was offered was never sent.
        assert_eq!(judged(Offer::Shaped, (10_000, 5000, 4990), 0.1).0, Verdict::InvalidRun);
        let (worst, note) = judged(Offer::Shaped, (9000, 9000, 5000), 0.1);
        assert!(worst == Verdict::Valid && note.starts_with("saturated by the cluster"), "{note}");
        let (worst, note) = judged(Offer::Closed, (5000, 5000, 4000), 0.1);
        assert!(worst == Verdict::Valid && note.starts_with("not applicable"), "{note}");
        assert_eq!(judged(Offer::Closed, (5000, 5000, 4000), 0.9).0, Verdict::InvalidRun);
    }

    #[test]
    fn busy_clients_and_full_queues_are_told() {
        let ended = |cpu: f64, queue_full| {
            vec![Event {
                at: RunTime(1),
                kind: EventKind::LoadEnded {
                    producer_cpu_s: cpu,
                    clients_cpu_s: cpu,
                    over_s: 10.0,
                    queue_full,
                },
            }]
        };
        assert_eq!(cpu(&ended(7.9, 0), 2, 1).verdict, Verdict::Valid);
        assert_eq!(cpu(&ended(8.1, 0), 2, 1).verdict, Verdict::InvalidRun);
        assert_eq!(cpu(&[], 2, 1).verdict, Verdict::Unknown);
        let full = queue(&ended(1.0, 3));
        assert_eq!((full.verdict, full.count), (Verdict::InvalidRun, 3));
    }
}
