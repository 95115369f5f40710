//! Secured clusters: of kbench's own, and those that run already, by `--command-config`, on a real broker.

#![expect(clippy::expect_used, reason = "a test that cannot set itself up has failed")]

mod support;

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use support::attached::{assert_valid, run};
use support::kept::Kept;
use support::kraft::{KraftNode, jars};
use support::scenario::valid_report;
use support::*;

/// Where the broker is.
const HOST: &str = "127.0.78.1";

/// What must be in no file of a run.
const PASSWORD: &str = "hunter2-of-kbench";

/// CAs and certificates: `broker.pem` for [`HOST`], `elsewhere.pem` for another host, `client.pem`; each with its
/// key. `ca.pem` has issued them, `stranger.pem` has not.
fn certificates(folder: &Path) {
    let openssl = |arguments: &str| {
        let arguments = arguments.split(' ');
        let made = Command::new("openssl").args(arguments).current_dir(folder).output();
        let made = made.expect("openssl");
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    };
    for ca in ["ca", "stranger"] {
        openssl(&format!(
            "req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN={ca} -keyout {ca}.key -out {ca}.pem"
        ));
    }
    let names =
        [("broker", "IP:127.0.78.1"), ("elsewhere", "DNS:elsewhere.test"), ("client", "DNS:c")];
    for (name, alternative) in names {
        fs::write(folder.join("extensions"), format!("subjectAltName={alternative}\n"))
            .expect("a file");
        openssl(&format!(
            "req -newkey rsa:2048 -nodes -subj /CN={name} -keyout {name}.key -out {name}.csr"
        ));
        openssl(&format!(
            "x509 -req -in {name}.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -extfile extensions -out {name}.crt"
        ));
        let text = |ending: &str| fs::read_to_string(folder.join(format!("{name}.{ending}")));
        let pair = text("key").expect("a key") + &text("crt").expect("a certificate");
        fs::write(folder.join(format!("{name}.pem")), pair).expect("a file");
    }
}

/// Listeners of the broker: 9094 is SASL_SSL; 9095 is SSL, wants a certificate and shows that of another host.
fn listeners(folder: &Path) -> String {
    let at = folder.display();
    let module = "org.apache.kafka.common.security";
    format!(
        ",SASL_SSL://{HOST}:9094,SSL://{HOST}:9095\n\
         ssl.keystore.type=PEM\nssl.keystore.location={at}/broker.pem\n\
         ssl.truststore.type=PEM\nssl.truststore.location={at}/ca.pem\n\
         listener.name.ssl.ssl.keystore.type=PEM\n\
         listener.name.ssl.ssl.keystore.location={at}/elsewhere.pem\n\
         listener.name.ssl.ssl.client.auth=required\n\
         authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer\n\
         super.users=User:ANONYMOUS\nallow.everyone.if.no.acl.found=true\n\
         sasl.enabled.mechanisms=PLAIN,SCRAM-SHA-512\n\
         listener.name.sasl_ssl.plain.sasl.jaas.config={module}.plain.PlainLoginModule required user_kbench=\"{PASSWORD}\";\n\
         listener.name.sasl_ssl.scram-sha-512.sasl.jaas.config={module}.scram.ScramLoginModule required;"
    )
}

/// Files of a folder, at any depth, in which a text is.
fn files_with(folder: &Path, text: &str) -> Vec<String> {
    let mut found = vec![];
    for entry in fs::read_dir(folder).expect("a folder").flatten() {
        let (path, kind) = (entry.path(), entry.file_type().expect("a type"));
        if kind.is_dir() {
            found.extend(files_with(&path, text));
        } else if kind.is_file() {
            let bytes = fs::read(&path).expect("a file");
            if bytes.windows(text.len()).any(|window| window == text.as_bytes()) {
                found.push(path.display().to_string());
            }
        }
    }
    found
}

/// A leader is killed, and started again when somebody else leads.
const ONE_KILL: &str = "name = 'one-kill'\ndescription = 'A leader is killed'\n[[step]]\nid = 'killed'\n\
    fault = 'kill'\ntarget = { leader = { not_controller = true } }\nprepare = 'restore-leaders'\n\
    until = 'recovered'\nrecover_within = '90s'\n";

/// Limit for a run of that.
const RUN: Duration = Duration::from_secs(180);

/// Where clients of a lab in namespaces find how to connect.
const CLIENT: &str = "/run/kbench/security/client.properties";

/// A run of [`ONE_KILL`] that found the guarantees kept, on brokers that are connected to so.
fn hurt(out: &Path, arguments: &[&str], view: &str) {
    let plan = out.join("one-kill.toml");
    fs::write(&plan, ONE_KILL).expect("a plan");
    let plan = plan.display().to_string();
    let all = [&["--workload", "smoke", "--faults", &plan], arguments].concat();
    let code = exit_code(&mut start(out, &all), RUN, out);
    let environment = json(&latest(out).join("environment.json"));
    let mode = environment["mode"].as_str().unwrap_or_default();
    assert!(mode.ends_with(&format!(", brokers by {view}")), "{environment}");
    let Some(report) = valid_report(view, out, code) else { return };
    assert_eq!(report["faults"][0]["proven"], true, "{}", report["faults"]);
}

#[test]
#[ignore = "starts a real cluster"]
fn a_lab_with_tls_is_hurt_as_one_in_plain_text_is() {
    let out = folder();
    let arguments = ["--set", "cluster.security=tls", "--set", SHORT_SESSION];
    hurt(out.path(), &arguments, "SSL, CAs from a file");
    assert_eq!(files_with(&latest(out.path()), "PRIVATE KEY"), [""; 0]);
}

#[test]
#[ignore = "starts a real cluster"]
fn a_kept_lab_with_sasl_tells_its_password_to_nobody_but_those_inside() {
    let kept = Kept::up(&["--set", "cluster.security=sasl-scram", "--set", SHORT_SESSION]);
    let exec =
        |command: &[&str]| kept.kbench(&[&["cluster", "exec", "guide", "--"], command].concat());
    let (_, properties) = exec(&["cat", CLIENT]);
    let password = properties.split("password=\"").nth(1).expect("a password");
    let password = password.split('"').next().expect("its end").to_owned();
    assert!(password.len() >= 32, "{properties}");

    // Kafka's own tools come in with it, and without it nobody does.
    if let Some(jars) = jars() {
        let (_, status) = kept.kbench(&["cluster", "status", "guide"]);
        let broker = status.split_whitespace().find(|word| word.ends_with(":9092"));
        let jars = jars.join("*").display().to_string();
        let tool = [
            "timeout",
            "20",
            "java",
            "-cp",
            &jars,
            "org.apache.kafka.tools.TopicCommand",
            "--list",
        ];
        let tool = [&tool[..], &["--bootstrap-server", broker.expect("a broker")]].concat();
        let (code, topics) = exec(&[&tool[..], &["--command-config", CLIENT]].concat());
        assert!(code == Some(0) && topics.contains("user-events"), "{topics}");
        let (code, topics) = exec(&tool);
        assert!(code != Some(0) && !topics.contains("user-events"), "{topics}");
    } else {
        skipped(
            "Kafka's own tools",
            "Kafka 3.9.1 is not in kbench's cache: kbench doctor --prepare",
        );
    }

    let mut told = false;
    let plan = std::thread::scope(|scope| {
        let run = scope.spawn(|| {
            let on = kept.clusters().join("guide").display().to_string();
            hurt(kept.folder(), &["--on", &on], "SASL_PLAINTEXT, SCRAM-SHA-512");
        });
        while !run.is_finished() {
            told |= processes().iter().any(|(_, _, line)| line.contains(&password));
            std::thread::sleep(Duration::from_millis(500));
        }
        run.join()
    });
    plan.expect("the run");
    assert!(!told, "an argument of a process");
    assert_eq!(files_with(kept.folder(), &password), [""; 0]);
}

#[test]
#[ignore = "starts a real broker"]
fn a_secured_cluster_is_loaded_and_who_may_not_is_told_why() {
    let Some(jars) = jars() else {
        return skipped(
            "TLS and SASL",
            "Kafka 3.9.1 is not in kbench's cache: kbench doctor --prepare",
        );
    };
    if Command::new("openssl").arg("version").output().is_err() {
        return skipped("TLS and SASL", "openssl is missing: apt-get install openssl");
    }
    let files = folder();
    let (at, out) = (files.path(), files.path().join("runs"));
    fs::create_dir(&out).expect("a folder");
    certificates(at);
    let user = format!("SCRAM-SHA-512=[name=kbench,password={PASSWORD}]");
    let node = KraftNode::up(&jars, HOST, &listeners(at), &["--add-scram", &user]);
    let [plain, sasl, tls] = ["9092", "9094", "9095"].map(|port| format!("{HOST}:{port}"));
    let path = |name: &str| at.join(name).display().to_string();
    let config = |text: &str| {
        fs::write(at.join("client.properties"), text).expect("a file");
        path("client.properties")
    };
    let jaas = |module: &str, password: &str| {
        format!(
            "org.apache.kafka.common.security.{module} required username=\"kbench\" password=\"{password}\";"
        )
    };
    let secured = |ca: &str, mechanism: &str, module: &str, password: &str| {
        let (ca, login) = (path(ca), jaas(module, password));
        format!(
            "security.protocol=SASL_SSL\nsasl.mechanism={mechanism}\nsasl.jaas.config={login}\n\
             ssl.truststore.type=PEM\nssl.truststore.location={ca}\n"
        )
    };
    let (scram, plain_module) = ("scram.ScramLoginModule", "plain.PlainLoginModule");
    let load = ["--faults", "none", "--duration", "6s"];

    // The same load by each way in; librdkafka and kbench's own connections both.
    let with_certificate = format!(
        "security.protocol=SSL\nssl.truststore.type=PEM\nssl.truststore.location={}\n\
         ssl.keystore.type=PEM\nssl.keystore.location={}\nssl.endpoint.identification.algorithm=\n",
        path("ca.pem"),
        path("client.pem")
    );
    for (bootstrap, text) in [
        (&sasl, secured("ca.pem", "SCRAM-SHA-512", scram, PASSWORD)),
        (&sasl, secured("ca.pem", "PLAIN", plain_module, PASSWORD)),
        (&tls, with_certificate.clone()),
    ] {
        let file = config(&text);
        let (_, text) = run(&out, bootstrap, &[&load[..], &["--command-config", &file]].concat());
        assert_valid(&out, &format!("{text}\n{}", node.log()));
        assert_eq!(files_with(&latest(&out), PASSWORD), [""; 0]);
        assert_eq!(files_with(&latest(&out), "PRIVATE KEY"), [""; 0]);
        assert!(!text.contains(PASSWORD), "{text}");
    }

    // Who is refused is told why, and nothing is begun.
    let runs = fs::read_dir(&out).expect("a folder").count();
    let named = with_certificate.replace("ssl.endpoint.identification.algorithm=\n", "");
    let without = with_certificate.lines().filter(|line| !line.contains("keystore"));
    let without = without.map(|line| format!("{line}\n")).collect::<String>();
    for (bootstrap, text, words) in [
        (
            &sasl,
            secured("ca.pem", "SCRAM-SHA-512", scram, "wrong"),
            "refuses the user or the password",
        ),
        (
            &sasl,
            secured("ca.pem", "PLAIN", plain_module, "wrong"),
            "refuses the user or the password",
        ),
        (
            &sasl,
            secured("ca.pem", "SCRAM-SHA-256", scram, PASSWORD),
            "does not take SCRAM-SHA-256; it takes",
        ),
        (
            &sasl,
            secured("stranger.pem", "SCRAM-SHA-512", scram, PASSWORD),
            "from a CA that is not trusted",
        ),
        (&tls, named, "is not for the host 127.0.78.1"),
        (&tls, without, "refuses the client's certificate, or asks for one"),
        (&plain, with_certificate, "does not speak TLS"),
        (&sasl, "security.protocol=PLAINTEXT\n".to_owned(), "asks for TLS"),
    ] {
        let file = config(&text);
        let (code, text) =
            run(&out, bootstrap, &[&load[..], &["--command-config", &file]].concat());
        assert_eq!(code, Some(4), "{words}: {text}");
        assert!(flat(&text).contains(words), "{words}: {text}");
        assert!(!text.contains(PASSWORD), "{text}");
    }
    assert_eq!(fs::read_dir(&out).expect("a folder").count(), runs, "a run was begun");
    let (code, text) = run(&out, &sasl, &load);
    assert!(code == Some(4) && flat(&text).contains("--command-config FILE"), "{text}");
    assert_eq!(fs::read_dir(&out).expect("a folder").count(), runs, "a run was begun");

    // So is who may come in and may not do what a load does. Whatever has one rule lets nobody else in.
    for (operation, resource, name) in
        [("Write", "--topic", "user-events"), ("Read", "--group", "analytics")]
    {
        let arguments = ["--bootstrap-server", &plain, "--add", "--deny-principal", "User:kbench"];
        let which =
            ["--operation", operation, resource, name, "--resource-pattern-type", "prefixed"];
        let all = [&arguments[..], &which].concat();
        let denied = node.java(&jars, "kafka.admin.AclCommand", &all).status().expect("java");
        assert!(denied.success(), "{}", node.log());
    }
    let file = config(&secured("ca.pem", "SCRAM-SHA-512", scram, PASSWORD));
    let (code, text) = run(&out, &sasl, &[&load[..], &["--command-config", &file]].concat());
    let told = flat(&text);
    assert_eq!(code, Some(4), "{text}");
    for words in [
        "the user lacks rights: Read, Write, Describe, DescribeConfigs, Delete on topic user-events-kb",
        "Read, Describe on group analytics-kb",
        "--operation Write --operation Describe",
        "--topic user-events-kb --resource-pattern-type prefixed",
    ] {
        assert!(told.contains(words), "{words}: {text}");
    }
    let (_, text) = run(&out, &plain, &load);
    assert_valid(&out, &text);
}
