//! What a stored spec asks for.

use std::fs;

use kbench::spec::{BackendSpec, RunSpec};

use crate::place::{Place, VERBS, on, spec, told};
use crate::support::{flat, kbench};

#[test]
fn numbers_that_a_spec_claims_are_not_counted_to() {
    let place = Place::new();
    let text = toml::to_string(&spec(1)).expect("TOML");
    for (from, to) in [
        ("trials = 1", "trials = 4294967295"),
        ("trials = 1", "trials = 0"),
        ("trials = 1", "trials = 1001"),
        ("parallel = 1", "parallel = 4294967295"),
        ("parallel = 1", "parallel = 0"),
    ] {
        let run = place.run(&format!("run-{}", to.replace(' ', "")), 1);
        assert!(text.contains(from), "{text}");
        fs::write(run.join("spec.toml"), text.replacen(from, to, 1)).expect("a file");
        for verb in VERBS {
            let (code, said) = on(verb, &run, &place.out());
            assert!(
                code == 3 && said.contains(&format!("{to}: a run has")),
                "{verb}: {code} {said}"
            );
        }
    }
    let run = place.run("thousand", 1000);
    for verb in VERBS {
        on(verb, &run, &place.out());
    }
}

#[test]
fn names_that_are_paths_are_refused_wherever_a_spec_is_loaded() {
    let place = Place::new();
    type Change = fn(&mut RunSpec);
    let changes: [(Change, &str); 6] = [
        (|spec| spec.cluster.node[0].name = "../../x".to_owned(), "node name"),
        (|spec| spec.cluster.topic[0].name = "../../x".to_owned(), "topic name"),
        (|spec| spec.run_id = "../../x".to_owned(), "run_id"),
        (|spec| spec.cluster.kafka.version = "../../x".to_owned(), "not a version"),
        (|spec| spec.cluster.broker.heap_mb = 0, "heap_mb"),
        (|spec| spec.workload.name = "../../x".to_owned(), "name = \"../../x\""),
    ];
    for (number, (change, words)) in changes.into_iter().enumerate() {
        let mut forged = spec(1);
        change(&mut forged);
        let run = place.run_of(&format!("run{number}"), &forged);
        for verb in VERBS {
            let (code, said) = on(verb, &run, &place.out());
            assert!(code == 3 && flat(&said).contains(words), "{verb}: {code} {said}");
        }
    }
}

#[test]
fn a_stranger_s_jars_options_and_mode_are_not_taken() {
    let place = Place::new();
    let run = place.run("run", 1);
    let (code, said) = on("replay", &run, &place.out());
    assert!(
        code == 2 && said.contains("--mode loopback") && said.contains("--trust-spec"),
        "{said}"
    );
    let (code, said) = told(kbench().arg("replay").arg(&run).arg("--trust-spec"));
    assert!(code == 2 && said.contains("cannot be repeated"), "{code} {said}");
    let mut forged = spec(1);
    let BackendSpec::Local(local) = &mut forged.backend else { panic!("it is not local") };
    local.kafka = kbench::provision::KafkaSource::Home(place.victim(""));
    forged.cluster.broker.jvm.push("-javaagent:evil.jar".to_owned());
    let run = place.run_of("evil", &forged);
    let (code, said) = on("replay", &run, &place.out());
    assert!(
        code == 2 && said.contains("the jars in") && said.contains("-javaagent:evil.jar"),
        "{said}"
    );
    assert_eq!(fs::read_dir(place.out()).expect("a folder").count(), 2, "a run was begun");
}
