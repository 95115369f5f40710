//! Clusters that run already and are secured: TLS and SASL by `--command-config`, on a real broker.

#![expect(clippy::expect_used, reason = "a test that cannot set itself up has failed")]

mod support;

use std::fs;
use std::path::Path;
use std::process::Command;

use support::attached::{assert_valid, run};
use support::kraft::{KraftNode, jars};
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
