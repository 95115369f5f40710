//! What is written before, and what another reader makes of it.

use super::*;
use crate::port::{Process, ProcessIdentity, Signal, Starter};
use results::record::event::Role;
use results::record::seal::first_broken;

fn start(id: i32) -> Undo {
    let process = Process { node: format!("node{id}"), role: Role::Broker, id };
    let identity =
        ProcessIdentity { boot_id: "boot".into(), pid: 100 + id, started_ticks: 7, within: None };
    Undo::StartProcess { process, identity, signal: Signal::Kill, starter: Starter::Parent }
}

fn open(path: &Path) -> Ledger {
    Ledger::open(path, Owner::new("guide", "run/1")).unwrap()
}

fn plan(ledger: &mut Ledger, fault_id: &str, undos: &[Undo]) -> u64 {
    let tag = ledger.tag();
    ledger.plan(&tag, fault_id, RunTime(1), undos).unwrap();
    tag.entry
}

#[test]
fn what_was_planned_and_not_done_is_outstanding_to_another_reader() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("undo.jsonl");
    let mut ledger = open(&path);
    let one = plan(&mut ledger, "a", &[start(1)]);
    let two = plan(&mut ledger, "a", &[Undo::RestoreClients]);
    ledger.done(one, Some(RunTime(3))).unwrap();
    ledger.done(one, None).unwrap();

    let seen = outstanding(&path).unwrap();
    assert_eq!(seen, ledger.outstanding());
    assert_eq!(seen.damage, Vec::<String>::new());
    let ids: Vec<_> = seen.entries.iter().map(|e| (e.id, &e.undo)).collect();
    assert_eq!(ids, [(two, &Undo::RestoreClients)]);
    let lines = std::fs::read_to_string(&path).unwrap();
    assert!(lines.starts_with("{\"format\":3,\"seal\":\""), "{lines}");
    assert_eq!(first_broken(lines.as_bytes()), None, "{lines}");
    assert_eq!(lines.lines().count(), 4, "done twice is written once: {lines}");
}

#[test]
fn an_entry_tells_whose_and_where_it_is_and_a_tag_is_never_used_again() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("undo.jsonl");
    let mut ledger = open(&path);
    let unused = ledger.tag();
    let tag = ledger.tag();
    ledger.plan(&tag, "a", RunTime(1), &[start(1), start(2)]).unwrap();
    assert_eq!((unused.entry, tag.entry, tag.run.as_str()), (1, 2, "run/1"));
    assert_eq!(ledger.tag().entry, 4, "behind the second entry");
    let entries = outstanding(&path).unwrap().entries;
    assert_eq!(entries.iter().map(|entry| entry.id).collect::<Vec<_>>(), [2, 3]);
    let Entry { owner, nodes, .. } = &entries[1];
    assert_eq!((owner.cluster.as_str(), owner.run.as_str()), ("guide", "run/1"));
    assert_eq!(owner.kbench, env!("CARGO_PKG_VERSION"));
    assert_eq!(nodes, &["node2"]);
    assert_eq!(open(&path).tag().entry, 4);
}

/// Every line of the ledger is whole and sealed, and says what is outstanding.
fn is_whole(path: &Path, undos: &[Undo], place: &str) {
    let text = std::fs::read(path).unwrap();
    assert_eq!(first_broken(&text), None, "{place}: {}", String::from_utf8_lossy(&text));
    let seen = outstanding(path).unwrap();
    assert_eq!(seen.damage, Vec::<String>::new(), "{place}");
    let seen: Vec<_> = seen.entries.into_iter().map(|entry| entry.undo).collect();
    assert_eq!(seen, undos, "{place}");
}

#[test]
fn a_line_cut_anywhere_loses_only_itself_is_told_and_cut_back_before_the_next_one() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("undo.jsonl");
    let mut ledger = open(&path);
    plan(&mut ledger, "a", &[start(1)]);
    let whole_line = std::fs::read(&path).unwrap().len();
    // A name whose characters are of several bytes: a cut may be in the middle of one.
    plan(&mut ledger, "b-ü€𝄞", &[start(2)]);
    drop(ledger);
    let bytes = std::fs::read(&path).unwrap();

    for cut in whole_line..=bytes.len() {
        let place = format!("cut at {cut}");
        std::fs::write(&path, &bytes[..cut]).unwrap();
        let seen = outstanding(&path).unwrap();
        // Of the last line only its end is missing, or nothing.
        let has_both = cut + 1 >= bytes.len();
        let whole = has_both || cut == whole_line;
        assert_eq!(seen.entries.len(), 1 + usize::from(has_both), "{place}");
        assert_eq!(seen.damage, Vec::<String>::new(), "{place}: it hides no undo");
        let told = seen.cut_short.as_deref().map(|it| it.starts_with("line 3: cut short"));
        assert_eq!(told, (!whole).then_some(true), "{place}: {seen:?}");
        let mut ledger = open(&path);
        assert_eq!(ledger.outstanding(), seen, "{place}: whoever opens it is told");
        plan(&mut ledger, "c", &[start(3)]);
        let undos = if has_both { vec![1, 2, 3] } else { vec![1, 3] };
        is_whole(&path, &undos.into_iter().map(start).collect::<Vec<_>>(), &place);
    }
    // In the very first line: nothing was planned yet.
    for cut in 0..bytes.iter().position(|byte| *byte == b'\n').unwrap() {
        std::fs::write(&path, &bytes[..cut]).unwrap();
        plan(&mut open(&path), "c", &[start(3)]);
        is_whole(&path, &[start(3)], &format!("cut at {cut}"));
    }
}

#[test]
fn what_a_failed_append_leaves_is_cut_back_before_the_next_one() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("undo.jsonl");
    let mut ledger = open(&path);
    plan(&mut ledger, "a", &[start(1)]);
    let before = std::fs::read(&path).unwrap();
    let next = Ledger::open(&path, Owner::new("guide", "run/1")).unwrap().file;
    for left in ["{", "{\"planned\":{\"id\":2,\"ow", "{\"done\":{\"id\":1}}\n"] {
        // It can be neither written nor cut back: as on a disk that fails in the middle of a write.
        let writable = std::mem::replace(&mut ledger.file, File::open(&path).unwrap());
        let tag = ledger.tag();
        assert!(ledger.plan(&tag, "b", RunTime(1), &[start(2), start(3)]).is_err());
        assert_eq!(ledger.outstanding().entries.len(), 1, "nothing was planned");
        (&next).write_all(left.as_bytes()).unwrap();
        ledger.file = writable;
        ledger.done(7, None).unwrap();
        plan(&mut ledger, "c", &[start(4)]);
        is_whole(&path, &[start(1), start(4)], left);
        // As it was.
        ledger = {
            std::fs::write(&path, &before).unwrap();
            open(&path)
        };
    }
}

#[test]
fn a_line_that_breaks_off_before_another_one_may_hide_an_undo() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("undo.jsonl");
    plan(&mut open(&path), "a", &[start(1)]);
    let text = std::fs::read_to_string(&path).unwrap();
    let half = &text.trim_end()[..text.len() - 30];
    std::fs::write(&path, format!("{half}\n")).unwrap();
    let seen = outstanding(&path).unwrap();
    assert!(seen.entries.is_empty() && seen.cut_short.is_none(), "{seen:?}");
    assert!(seen.damage[0].contains("look at it by hand"), "{seen:?}");
}

#[test]
fn no_ledger_means_nothing_to_undo_and_nonsense_is_told() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("undo.jsonl");
    assert_eq!(outstanding(&path).unwrap(), Outstanding::default());
    let mut chain = SealChain::default();
    let lines = ["{\"format\":3}", "{\"done\":{\"id\":\"seven\"}}"].map(|line| chain.seal(line));
    std::fs::write(&path, lines.concat()).unwrap();
    let damage = outstanding(&path).unwrap().damage;
    assert!(damage[0].contains("look at it by hand"), "{damage:?}");
}

#[test]
fn another_format_is_refused_by_its_number() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("undo.jsonl");
    for (text, says) in [
        ("{\"format\":2}\n{\"planned\":7}\n", "line 2: not readable (format 2, and"),
        ("{\"format\":4}\n{\"planned\":7}\n", "line 2: not readable (format 4, and"),
        ("{\"id\":1,\"state\":\"planned\"}\n", "line 1: not readable (no format is named, and"),
    ] {
        std::fs::write(&path, text).unwrap();
        let seen = outstanding(&path).unwrap();
        assert!(seen.entries.is_empty() && seen.damage[0].starts_with(says), "{seen:?}");
        assert!(seen.damage[0].contains("this kbench reads format 3"), "{seen:?}");
        // What this kbench adds is read all the same.
        plan(&mut open(&path), "b", &[start(1)]);
        assert_eq!(outstanding(&path).unwrap().entries.len(), 1);
    }
    let done = "{\"id\":1,\"state\":\"planned\"}\n{\"id\":1,\"state\":\"done\"}\n";
    std::fs::write(&path, done).unwrap();
    assert_eq!(outstanding(&path).unwrap(), Outstanding::default());
}

#[test]
fn a_changed_bit_hides_nothing_that_is_to_be_undone() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("undo.jsonl");
    let mut ledger = open(&path);
    let one = plan(&mut ledger, "a", &[start(1)]);
    plan(&mut ledger, "b", &[start(2)]);
    ledger.done(one, Some(RunTime(3))).unwrap();
    plan(&mut ledger, "c", &[start(3), Undo::RestoreClients]);
    drop(ledger);
    let whole = std::fs::read(&path).unwrap();
    let left = [start(2), start(3), Undo::RestoreClients];
    for byte in 0..whole.len() - 1 {
        let mut changed = whole.clone();
        changed[byte] ^= 1 << (byte % 8);
        std::fs::write(&path, &changed).unwrap();
        let seen = outstanding(&path).unwrap();
        let undos: Vec<_> = seen.entries.iter().map(|entry| &entry.undo).collect();
        // What cannot be read is told; one that is done may be carried out again.
        assert!(!seen.damage.is_empty() || seen.cut_short.is_some(), "byte {byte}");
        assert!(undos.iter().all(|undo| **undo == start(1) || left.contains(undo)), "byte {byte}");
        if undos.len() < left.len() {
            let by_hand = seen.damage.iter().any(|line| line.contains("look at it by hand"));
            let last_bytes = byte >= whole.len() - 3;
            assert!(by_hand || last_bytes, "byte {byte}: {:?}", seen.damage);
        }
        // And what is planned from now on is read.
        if byte % 32 != 0 {
            continue;
        }
        plan(&mut open(&path), "d", &[start(4)]);
        let more = outstanding(&path).unwrap().entries;
        assert!(more.iter().any(|entry| entry.undo == start(4)), "byte {byte}: {more:?}");
    }
}
