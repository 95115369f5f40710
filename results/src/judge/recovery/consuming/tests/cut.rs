//! A log that goes back below what had been acked.

use super::*;

/// Partition 0, whose leader dies at 20 s with its 500 records: what is written from `resumed` on begins
/// at offset `from`.
#[derive(Debug, Clone)]
struct CutCourse {
    from: u64,
    resumed: u64,
    /// Old records that the group had not got when the leader died.
    behind: u64,
    /// The group gets nothing between these, in ms.
    stalled: (u64, u64),
}

const OLD: u64 = 500;

/// One record: its number, its offset, when it was acked and when the group got it, in ms.
struct Written {
    n: u64,
    offset: u64,
    ack: u64,
    got: Option<u64>,
}

impl CutCourse {
    fn records(&self) -> Vec<Written> {
        let (stall, over) = self.stalled;
        let free = |ready: u64| if (stall..over).contains(&ready) { over } else { ready };
        let mut last = 0;
        let of = |n: u64| {
            let due = BEGIN_MS + n * EVERY_MS;
            let (offset, ack, ready) = if n < OLD - self.behind {
                (n, due, Some(due + 3))
            } else if n < OLD {
                (n, due, (n < self.from).then_some(self.resumed + 3))
            } else {
                let ack = due.max(self.resumed);
                (self.from + n - OLD, ack, Some(ack + 3))
            };
            // What the old leader had not given when it died, it gives no more.
            let lost = |got: &u64| n < self.from || n >= OLD || *got < 20_000;
            let got = ready.map(free).filter(lost).map(|ready| ready.max(last));
            last = got.unwrap_or(last);
            Written { n, offset, ack, got }
        };
        (0..SLOTS).map(of).collect()
    }

    /// Measured, where the partition is assigned anew at some time, with what is committed then, and read again from so
    /// many records before.
    fn measured(&self, mut moved: Option<(f64, i64, usize)>) -> Recovery {
        let mut main = producer(&[]);
        let mut entries = vec![assigned(0, 10.0, Committed::Nothing)];
        for Written { n, offset, ack, got } in self.records() {
            let due = ms(BEGIN_MS + n * EVERY_MS);
            let id =
                RecordId { producer: 1, incarnation: 0, partition: 0, sequence: n, key: 0, due };
            let (offset, done) = (offset as i64, ms(ack));
            main.entries.push(Entry::Send(Send {
                partition: 0,
                sequence: n,
                key: 0,
                warm_up: false,
                due,
                sent: due,
                done,
                outcome: SendOutcome::Acked { offset },
            }));
            let Some(got) = got else { continue };
            if let Some((to, committed, again)) = moved.take_if(|(to, ..)| ms(got) >= at(*to)) {
                let before = entries[entries.len() - again.max(1)].clone();
                entries.extend([revoked(0, to - 1.0), assigned(0, to, Committed::At(committed))]);
                if let (Entry::Poll(poll), 1..) = (before, again) {
                    entries.push(Entry::Poll(Poll { at: ms(got), ..poll }));
                }
            }
            let record = Observed::Record(id);
            entries.push(Entry::Poll(Poll { partition: 0, offset, at: ms(got), record }));
        }
        let streams = vec![main, member(1, entries)];
        let events = killed();
        let timeline = Timeline::new(&events);
        let figures = Figures::of(&History { streams }, &timeline, 150.0).unwrap();
        measure(1, &environment(), &timeline, &figures.service, true)
    }

    fn longest(&self) -> u64 {
        let records = self.records();
        let got = records.iter().filter_map(|record| Some((record.ack, record.got?)));
        let of_fault = got.filter(|(ack, got)| *got > 20_000 && *ack < 38_000);
        of_fault.map(|(ack, got)| got - ack.max(20_000)).max().unwrap_or(0)
    }
}

/// 100 records are lost; new ones are written from 27 s on, and the group stands still until 36 s.
fn stuck() -> CutCourse {
    CutCourse { from: 400, resumed: 27_000, behind: 0, stalled: (20_000, 36_000) }
}

#[test]
fn a_group_that_stands_still_behind_a_cut_waits() {
    let found = stuck().measured(None);
    let row = row(&found, 0);
    assert!(row.interrupted && close(Some(row.unconsumed_s), 9.0), "{row:?}");
    // All since 20 s, at 50 records/s.
    assert!(row.lag.abs_diff(800) <= 2, "{row:?}");
    assert_eq!((row.redelivered, found.consuming[0].redelivered), (0, 0));
    assert_eq!(found.consuming[0].delivered, SLOTS);
    assert!(close(row.phases_s.leader, 3.02) && close(row.phases_s.fetch, 5.98), "{row:?}");
}

#[test]
fn who_had_committed_what_a_cut_took_is_not_accused_of_reading_it_again() {
    let found = stuck().measured(Some((36.0, 500, 0))).resumed;
    assert!(found.broken.is_empty() && found.seen() == 0, "{found:?}");
    assert!(found.open[0].contains("its log had been cut back to 400"), "{found:?}");
    let found = stuck().measured(Some((36.0, 400, 0))).resumed;
    assert_eq!((found.at_committed, found.open.len()), (1, 0), "{found:?}");
}

#[test]
fn what_was_committed_since_a_cut_is_held_against_whoever_reads_it_again() {
    // The group has read on, to offset 1200, when another member takes over.
    let going_on = CutCourse { stalled: (20_000, 27_100), ..stuck() };
    let moved = |again| going_on.measured(Some((36.0, 1190, again))).resumed;
    let sound = moved(0);
    assert_eq!((sound.at_committed, sound.open.len(), sound.broken.len()), (1, 0, 0), "{sound:?}");
    let found = moved(100);
    assert!(found.broken.len() == 1 && found.open.is_empty(), "{found:?}");
    assert!(found.broken[0].contains("although 1190 was committed"), "{found:?}");
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(200) })]

    #[test]
    fn waits_are_found_within_10_ms_wherever_a_log_is_cut(
        from in 300..=500_u64, resumed in 20_000..36_000_u64, behind in 0..60_u64,
        stall in 15_000..36_000_u64, took in 0..12_000_u64,
    ) {
        let course = CutCourse { from, resumed, behind, stalled: (stall, stall + took) };
        let found = course.measured(None);
        let longest = course.longest() as f64 / 1e3;
        let row = row(&found, 0);
        prop_assert!((row.unconsumed_s - longest).abs() <= 0.0101, "{longest}: {row:?}");
        let delivered = course.records().iter().filter(|record| record.got.is_some()).count();
        prop_assert_eq!(found.consuming[0].delivered, delivered as u64);
        prop_assert_eq!((found.consuming[0].redelivered, found.consuming[0].undelivered), (0, 0));
    }
}
