//! The servers' logs: lines that mark a step of a recovery, and what only a log tells.
//!
//! Read when the cluster has stopped. Times are the lines' own, so reading late loses nothing.

use std::path::Path;

use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use results::record::clock::{RunClock, RunTime};
use results::record::event::{EventKind, LogMark, Process};

use crate::log::{last, lines};

/// Texts of Apache Kafka 3.9.1 and ZooKeeper 3.8.4, and what they mark.
const MARKS: [(&str, LogMark); 16] = [
    ("successfully elected as the controller", LogMark::ControllerElected),
    ("Resigned (kafka.controller.KafkaController)", LogMark::ControllerLost),
    ("from an old controller", LogMark::StaleController),
    ("since its controller epoch", LogMark::StaleController),
    ("Broker failure callback for", LogMark::BrokerFailure),
    ("Shrinking ISR from", LogMark::IsrShrunk),
    ("ISR updated to", LogMark::IsrUpdated),
    ("started (kafka.server.KafkaServer)", LogMark::BrokerStarted),
    ("Expiring session", LogMark::SessionExpired),
    ("Deleting ephemeral node /brokers/ids/", LogMark::RegistrationDeleted),
    ("LEADING - LEADER ELECTION TOOK", LogMark::ZookeeperLeading),
    ("Session establishment complete", LogMark::SessionEstablished),
    ("Incremented log start offset to", LogMark::LogStartMoved),
    ("Deleting segment", LogMark::SegmentDeleted),
    // Until Kafka 2.7.
    ("Found deletable segments", LogMark::SegmentDeleted),
    ("Truncating to offset", LogMark::LogTruncated),
];

/// What the times of a log's lines are.
#[derive(Clone, Copy)]
pub struct LogStamps {
    /// The run's clock.
    pub clock: RunClock,
    /// How much they are ahead of our wall clock when they are read as UTC, in milliseconds: the time zone of the
    /// server's machine, and how far its clock is from ours.
    pub ahead_ms: i64,
}

/// Reads the marks of one server's log, from byte `from` on.
///
/// # Errors
/// When the file cannot be read.
pub fn marks(
    log: &Path,
    from: u64,
    process: &Process,
    LogStamps { clock, ahead_ms }: LogStamps,
) -> std::io::Result<Vec<(RunTime, EventKind)>> {
    let now = clock.now();
    let mut marks: Vec<(RunTime, EventKind)> = Vec::new();
    // Marks whose clock was ahead of ours: they were written before the next line that is not.
    let mut ahead = vec![];
    lines(log, from, |line| {
        let Some(wall_ms) = time_of(line) else { return };
        let said = clock.from_wall_ms(wall_ms.saturating_sub(ahead_ms));
        if let Some((_, mark)) = MARKS.iter().find(|(text, _)| line.contains(text)) {
            let (process, mark, line) = (process.clone(), *mark, line.to_owned());
            let at = said.min(now);
            marks.push((at, EventKind::LogMark { process, mark, wall_ms, line }));
            if said > now {
                ahead.push(marks.len() - 1);
            }
        }
        if said <= now {
            ahead.drain(..).for_each(|mark| marks[mark].0 = said);
        }
    })?;
    Ok(marks)
}

/// The brokers' ZooKeeper session time-out as the server granted it, in milliseconds, from a
/// broker's log; the newest when there are several.
pub fn negotiated_timeout_ms(log: &Path) -> Option<u64> {
    last(log, negotiated_in).ok().flatten()
}

/// What a broker says when ZooKeeper has granted it a session.
pub const NEGOTIATED: &str = "negotiated timeout = ";

/// The time-out that a line of a broker's log tells of, in milliseconds.
pub fn negotiated_in(line: &str) -> Option<u64> {
    let (_, rest) = line.split_once(NEGOTIATED)?;
    rest.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
}

/// Unix milliseconds of a line `[2026-11-23 07:30:00,123] ...`, in UTC.
pub(crate) fn time_of(line: &str) -> Option<i64> {
    let stamp = line.strip_prefix('[')?.split_once(']')?.0.replace(',', ".");
    let time = DateTime::strptime("%Y-%m-%d %H:%M:%S%.f", stamp).ok()?;
    Some(time.to_zoned(TimeZone::UTC).ok()?.timestamp().as_millisecond())
}

#[cfg(test)]
mod tests {
    use results::record::event::Role;

    use super::*;

    fn ours(clock: RunClock) -> LogStamps {
        LogStamps { clock, ahead_ms: 0 }
    }

    const LINE: &str = "[1970-01-01 00:01:00,250] INFO [Controller id=2] 2 successfully elected as \
                        the controller. Epoch incremented to 2 (kafka.controller.KafkaController)";

    #[test]
    fn a_line_s_own_time_is_read() {
        assert_eq!(time_of(LINE), Some(60_250));
        assert_eq!(time_of("java.lang.Exception: no time"), None);
    }

    #[test]
    fn marks_are_found_among_other_lines() {
        let dir = tempfile::tempdir().unwrap();
        let log = dir.path().join("broker.log");
        std::fs::write(&log, format!("[x] nothing\n{LINE}\nat some.Class\n")).unwrap();
        let broker = Process { node: "n".into(), role: Role::Broker, id: 2 };
        let marks = marks(&log, 0, &broker, ours(RunClock::start())).unwrap();
        assert_eq!(marks.len(), 1);
        let elected = EventKind::LogMark {
            process: broker,
            mark: LogMark::ControllerElected,
            wall_ms: 60_250,
            line: LINE.to_owned(),
        };
        assert_eq!(marks[0].1, elected);
    }

    #[test]
    fn a_line_that_is_ahead_of_our_clock_was_written_before_the_next_one() {
        let dir = tempfile::tempdir().unwrap();
        let log = dir.path().join("broker.log");
        let ahead = LINE.replace("1970", "2970");
        std::fs::write(&log, format!("{ahead}\n{LINE}\n{ahead}\n")).unwrap();
        let broker = Process { node: "n".into(), role: Role::Broker, id: 2 };
        let clock = RunClock::start();
        let marks = marks(&log, 0, &broker, ours(clock)).unwrap();
        let times: Vec<RunTime> = marks.iter().map(|(at, _)| *at).collect();
        assert!(
            times[0] == times[1] && times[2] > times[1] && times[2] <= clock.now(),
            "{times:?}"
        );
    }

    #[test]
    fn the_granted_timeout_is_the_newest() {
        let dir = tempfile::tempdir().unwrap();
        let log = dir.path().join("broker.log");
        let line = "INFO Session establishment complete on server a/1.2.3.4:2181, session id = 0x1, \
                    negotiated timeout = ";
        std::fs::write(&log, format!("{line}18000 (x)\n{line}6000 (x)\n")).unwrap();
        assert_eq!(negotiated_timeout_ms(&log), Some(6000));
    }
}
