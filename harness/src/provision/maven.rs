//! Maven, which knows where jars are to be had; nothing about repositories is said here.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use nix::sys::signal::Signal;

use crate::child::{RunLimit, die_with_parent, find, last_words, run};
use crate::failure::Failure;

/// Limit for the next thing that Maven has to say: it names each file that it begins and ends to fetch, the largest
/// of which has 20 MB.
const QUIET_LIMIT: Duration = Duration::from_secs(300);

/// Variables by which a user's shell changes any Java; what is meant for Maven is in MAVEN_OPTS.
const FOR_ANY_JAVA: [&str; 4] =
    ["_JAVA_OPTIONS", "JAVA_TOOL_OPTIONS", "JDK_JAVA_OPTIONS", "CLASSPATH"];

/// Puts the jars of a version into `into/jars`. A file whose checksum is not what the repository says is an error.
///
/// # Errors
/// A usage failure for a version that does not exist; an infrastructure failure when Maven is missing, fails or says
/// nothing any more.
pub(super) fn fetch(version: &str, into: &Path) -> Result<(), Failure> {
    let pom = POM.replace("@VERSION@", version).replace("@OTHER_LOGGERS@", OTHER_LOGGERS);
    fs::write(into.join("pom.xml"), pom).map_err(|error| {
        Failure::infrastructure(format!("{} cannot be written: {error}", into.display()))
    })?;
    let missing = |error| {
        Failure::infrastructure(format!("Maven cannot be started: {error}")).with_cure(
            "sudo apt-get install maven, or --kafka-home DIR with an unpacked Apache Kafka",
        )
    };
    let mut maven = Command::new(find("mvn").map_err(missing)?);
    die_with_parent(&mut maven, Signal::SIGKILL, false);
    for name in FOR_ANY_JAVA {
        maven.env_remove(name);
    }
    // Its own folder is where it works: whatever that is called, no argument names it.
    maven.args(["-B", "-C", "-Dstyle.color=never", "-f", "pom.xml"]).current_dir(into);
    maven.args(["dependency:copy-dependencies", "-DoutputDirectory=jars"]);
    let said = run(&mut maven, RunLimit::Between(QUIET_LIMIT)).map_err(|error| {
        if error.kind() == std::io::ErrorKind::TimedOut {
            let what = format!("Maven did not get on with Kafka {version}: {error}");
            return Failure::infrastructure(what).with_cure(UNREACHABLE);
        }
        missing(error)
    })?;
    if said.status.success() {
        return Ok(());
    }
    let all = [said.stdout, said.stderr].concat();
    Err(refused(version, &String::from_utf8_lossy(&all)))
}

const UNREACHABLE: &str = "is the network reachable? --kafka-home DIR needs none";

/// What Maven's output means: the version does not exist, or it could not be fetched.
fn refused(version: &str, output: &str) -> Failure {
    let artifact = format!("org.apache.kafka:kafka_2.13:jar:{version}");
    let absent = |line: &str| {
        line.contains(&format!("Could not find artifact {artifact}"))
            || line.contains(&format!("{artifact} was not found in"))
    };
    if output.lines().any(absent) {
        return Failure::usage(format!("there is no Apache Kafka {version}"))
            .with_cure("kafka.apache.org lists the releases; for example --kafka-version 3.9.1");
    }
    let last = last_words(output.as_bytes());
    let why = output.lines().find(|line| line.contains("ERROR")).unwrap_or(&last);
    let cure = if why.contains("local repository") {
        "Maven needs a home that it can write to: MAVEN_OPTS=-Duser.home=DIR names one"
    } else if why.contains("Checksum validation failed") {
        "it was damaged on its way, or is not what was released: try again, by another way if it stays so"
    } else {
        UNREACHABLE
    };
    Failure::infrastructure(format!("Maven could not fetch Kafka {version}: {}", plain(why)))
        .with_cure(cure)
}

/// The line without the colour resets that Maven writes even when it is told to use no colours.
fn plain(line: &str) -> String {
    line.replace("\u{1b}[0m", "").replace("\u{1b}[m", "")
}

/// What is fetched. Until 3.0 Kafka came with log4j 1.2 and its binding: one binding is enough, and
/// reload4j is the same logger, mended.
const POM: &str = r#"<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>kbench</groupId><artifactId>kafka</artifactId><version>1</version>
  <dependencies>
    <dependency><groupId>org.apache.kafka</groupId><artifactId>kafka_2.13</artifactId><version>@VERSION@</version>@OTHER_LOGGERS@</dependency>
    <dependency><groupId>org.apache.kafka</groupId><artifactId>kafka-tools</artifactId><version>@VERSION@</version>@OTHER_LOGGERS@</dependency>
    <dependency><groupId>org.slf4j</groupId><artifactId>slf4j-reload4j</artifactId><version>1.7.36</version></dependency>
  </dependencies>
</project>
"#;

const OTHER_LOGGERS: &str = "<exclusions>\
    <exclusion><groupId>org.slf4j</groupId><artifactId>slf4j-log4j12</artifactId></exclusion>\
    <exclusion><groupId>log4j</groupId><artifactId>log4j</artifactId></exclusion>\
    </exclusions>";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_that_does_not_exist_is_told_from_a_network_that_does_not_work() {
        let text = |output: &str| refused("9.9.9", output).text().to_owned();
        let absent =
            "[ERROR] Failed: Could not find artifact org.apache.kafka:kafka_2.13:jar:9.9.9 in x";
        assert_eq!(text(absent), "there is no Apache Kafka 9.9.9");
        let again = "[ERROR] org.apache.kafka:kafka_2.13:jar:9.9.9 was not found in x during a previous attempt";
        assert_eq!(text(again), "there is no Apache Kafka 9.9.9");
        // Maven itself is incomplete: that says nothing about Kafka.
        let plugin = "[ERROR] Could not find artifact org.apache.maven.plugins:maven-dependency-plugin:jar:3.6";
        assert!(text(plugin).starts_with("Maven could not fetch"), "{}", text(plugin));
        let home = "\u{1b}[0m[ERROR] Could not create local repository at /nowhere/.m2";
        assert!(
            text(home)
                .ends_with("9.9.9: [ERROR] Could not create local repository at /nowhere/.m2")
        );
        assert!(refused("9.9.9", home).cure().unwrap().contains("user.home"));
        let damaged = "[ERROR] Could not transfer artifact a:b:jar:1 from/to x: Checksum validation failed, expected 1 but is 2";
        assert!(refused("3.9.1", damaged).cure().unwrap().contains("damaged"));
    }
}
