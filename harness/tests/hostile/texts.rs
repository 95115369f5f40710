//! What is printed and written down.

use std::fs;

use crate::place::{Place, VERBS, on, spec, swept, told};
use crate::support::kbench;

#[test]
fn no_text_of_a_run_s_directory_reaches_a_terminal_as_it_is() {
    let place = Place::new();
    let evil = "\u{1b}[2J\u{1b}]0;x\u{7}\r\n\u{9b}31m\u{202e}\t=cmd";
    let mut forged = spec(1);
    // No name: with such a one nothing of the run is shown.
    for text in [&mut forged.command, &mut forged.started] {
        *text = evil.to_owned();
    }
    forged.replays = Some(evil.to_owned());
    forged.cluster.description = evil.to_owned();
    forged.workload.description = evil.to_owned();
    forged.trusted = vec![evil.to_owned()];
    let mut log = String::new();
    let mut chain = results::record::seal::SealChain::default();
    for kind in [
        serde_json::json!({ "event": "problem", "text": evil }),
        serde_json::json!({ "event": "not-steady", "missing": evil }),
        serde_json::json!({ "event": "trial-failed", "text": evil, "cure": evil }),
    ] {
        let mut event = serde_json::json!({ "at": 1 });
        event.as_object_mut().expect("a table").extend(kind.as_object().expect("a table").clone());
        log += &chain.seal(&event.to_string());
    }
    for (number, name) in ["plain", evil, "-rf", "$(x) 'y'", "a\nerror: b"].into_iter().enumerate()
    {
        let run = place.run_of(&format!("{name}{number}"), &forged);
        fs::write(run.join("events.jsonl"), &log).expect("a file");
        fs::write(run.join("lab.json"), evil).expect("a file");
        fs::write(run.join("undo.jsonl"), format!("{evil}\n{{\"format\":\"{evil}\"}}\n"))
            .expect("a file");
        for verb in VERBS {
            // What is said of it is held against control characters there.
            on(verb, &run, &place.out());
        }
    }
    for arguments in [["list", "runs"], ["heal", "--all"]] {
        let (_, said) = told(kbench().args(arguments).arg("--out").arg(place.out()));
        assert!(said.contains("plain0"), "{said}");
    }
    swept(&place);
    for (number, format) in [evil, "3\u{1b}"].into_iter().enumerate() {
        let run = place.run(&format!("format{number}"), 1);
        fs::write(run.join("format"), format).expect("a file");
        fs::write(place.run(&format!("spec{number}"), 1).join("spec.toml"), evil).expect("a file");
        VERBS.iter().for_each(|verb| drop(on(verb, &run, &place.out())));
    }
}

#[test]
fn a_secret_that_was_typed_is_in_no_file_and_no_message() {
    let place = Place::new();
    let home = tempfile::tempdir().expect("a folder");
    let mut command = kbench();
    command.env("XDG_CACHE_HOME", home.path()).env("PATH", home.path());
    command.args(["run", "--trust-spec", "--faults", "none", "--mode", "loopback", "--out"]);
    command.arg(place.out());
    for key in [
        "workload.producer.settings.sasl.password",
        "cluster.broker.settings.password.encoder.secret",
    ] {
        command.arg("--set").arg(format!("{key}=hunter2"));
    }
    command.arg("--set=workload.consumers.settings.sasl.password=hunter2");
    let (_, said) = told(&mut command);
    assert!(said.contains("`sasl.password` holds a secret") && !said.contains("hunter2"), "{said}");
    let run = fs::canonicalize(place.out().join("latest")).expect("a run");
    let text = fs::read_to_string(run.join("spec.toml")).expect("a spec");
    assert!(!text.contains("hunter2"), "{text}");
    assert_eq!(text.matches("[redacted]").count(), 6, "{text}");
}

#[test]
fn a_secret_that_is_refused_is_not_said() {
    let out = tempfile::tempdir().expect("a folder");
    for set in [
        "workload.producer.settings.ssl.key.password=hunter2",
        "workload.producer.settings={ 'ssl.key.password' = 'hunter2' }",
        "cluster.broker.settings.sasl.jaas.config=hunter2\u{1b}",
        "plan.step.x.password=hunter2",
        "nothing.password=hunter2",
        "cluster.broker.jvm=['-Djavax.net.ssl.keyStorePassword=hunter2']",
        "workload.producer.settings.sasl.password=hunter2",
    ] {
        let mut command = kbench();
        let (_, said) = told(
            command
                .args(["run", "--set", set, "--faults", "none", "--kafka-home", "/"])
                .arg("--out")
                .arg(out.path()),
        );
        assert!(!said.contains("hunter2"), "{set}: {said}");
    }
}
