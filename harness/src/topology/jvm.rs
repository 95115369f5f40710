//! Options of the servers' JVMs: those that are about heap, collector and compiler are taken; what may run
//! code, write files or open ports takes trust.

use results::record::secret::{REDACTED, is_secret};

use super::trust::is_of_zookeeper;

/// Options that are taken as they stand.
const PLAIN: [&str; 14] = [
    "-server",
    "-Xint",
    "-Xmixed",
    "-Xcomp",
    "-Xbatch",
    "-Xrs",
    "-ea",
    "-esa",
    "-da",
    "-dsa",
    "-enableassertions",
    "-enablesystemassertions",
    "-disableassertions",
    "-disablesystemassertions",
];

/// Options that a size follows.
const BEFORE_SIZES: [&str; 4] = ["-Xms", "-Xmx", "-Xmn", "-Xss"];

/// Flags of `-XX:` that are set or not.
const SWITCHES: [&str; 33] = [
    "AlwaysPreTouch",
    "BackgroundCompilation",
    "ClassUnloading",
    "ClassUnloadingWithConcurrentMark",
    "DisableExplicitGC",
    "ExitOnOutOfMemoryError",
    "ExplicitGCInvokesConcurrent",
    "OmitStackTraceInFastThrow",
    "ParallelRefProcEnabled",
    "PerfDisableSharedMem",
    "ResizeTLAB",
    "ScavengeBeforeFullGC",
    "TieredCompilation",
    "UnlockExperimentalVMOptions",
    "UseAdaptiveSizePolicy",
    "UseBiasedLocking",
    "UseCompressedClassPointers",
    "UseCompressedOops",
    "UseConcMarkSweepGC",
    "UseContainerSupport",
    "UseCountedLoopSafepoints",
    "UseDynamicNumberOfGCThreads",
    "UseEpsilonGC",
    "UseG1GC",
    "UseNUMA",
    "UseParallelGC",
    "UseSerialGC",
    "UseShenandoahGC",
    "UseStringDeduplication",
    "UseTLAB",
    "UseTransparentHugePages",
    "UseZGC",
    "ZGenerational",
];

/// Flags of `-XX:` that are numbers.
const NUMBERS: [&str; 26] = [
    "ActiveProcessorCount",
    "CICompilerCount",
    "CompileThreshold",
    "ConcGCThreads",
    "G1HeapWastePercent",
    "G1MaxNewSizePercent",
    "G1MixedGCCountTarget",
    "G1NewSizePercent",
    "G1ReservePercent",
    "GCPauseIntervalMillis",
    "GCTimeRatio",
    "GuaranteedSafepointInterval",
    "InitialRAMPercentage",
    "InitiatingHeapOccupancyPercent",
    "MaxGCPauseMillis",
    "MaxHeapFreeRatio",
    "MaxJavaStackTraceDepth",
    "MaxRAMPercentage",
    "MaxTenuringThreshold",
    "MinHeapFreeRatio",
    "MinRAMPercentage",
    "NewRatio",
    "ParallelGCThreads",
    "SoftRefLRUPolicyMSPerMB",
    "SurvivorRatio",
    "TieredStopAtLevel",
];

/// Flags of `-XX:` that are sizes.
const SIZES: [&str; 15] = [
    "CompressedClassSpaceSize",
    "G1HeapRegionSize",
    "InitialCodeCacheSize",
    "InitialHeapSize",
    "MaxDirectMemorySize",
    "MaxHeapSize",
    "MaxMetaspaceSize",
    "MaxNewSize",
    "MaxRAM",
    "MetaspaceSize",
    "MinHeapSize",
    "NewSize",
    "ReservedCodeCacheSize",
    "SoftMaxHeapSize",
    "ThreadStackSize",
];

/// Largest of the numbers; of threads, each of which a JVM starts.
const MOST: f64 = 1_000_000.0;
const MOST_THREADS: f64 = 1_000.0;

/// Properties that are taken, beside those of `zookeeper.` that a ZooKeeper server's settings may have.
const PROPERTIES: [&str; 5] = [
    "jute.maxbuffer",
    "java.net.preferIPv4Stack",
    "java.net.preferIPv6Addresses",
    "java.awt.headless",
    "readonlymode.enabled",
];

/// Why an option takes trust, to follow its name; `None` for one that is taken.
pub(super) fn why_not(option: &str) -> Option<&'static str> {
    if is_taken(option) {
        return None;
    }
    let begins = |starts: &[&str]| starts.iter().any(|start| option.starts_with(start));
    Some(if begins(&["-javaagent", "-agentlib", "-agentpath", "-Xrun", "-Xbootclasspath"]) {
        "loads code into the server"
    } else if begins(&["-cp", "-classpath", "-jar"]) {
        "has the server load other code"
    } else if begins(&["-XX:OnOutOfMemoryError", "-XX:OnError"]) {
        "runs a command"
    } else if begins(&[
        "-Dcom.sun.management",
        "-Xdebug",
        "-XX:+ManagementServer",
        "-XX:+StartAttach",
    ]) {
        "lets others into the server"
    } else if begins(&["@", "-XX:Flags", "-XX:VMOptionsFile", "-Djava.security", "-Dlog4j"]) {
        "has a file say what the server does"
    } else if begins(&[
        "-Xlog",
        "-XX:HeapDumpPath",
        "-XX:+HeapDump",
        "-XX:LogFile",
        "-XX:ErrorFile",
    ]) {
        "may write files anywhere"
    } else {
        "is none of those that kbench knows to be harmless"
    })
}

fn is_taken(option: &str) -> bool {
    if PLAIN.contains(&option) || size_of(option).is_some() {
        return true;
    }
    if let Some(flag) = option.strip_prefix("-XX:") {
        return match flag.split_once('=') {
            Some((name, number)) => NUMBERS.contains(&name) && is_number(name, number),
            None => flag.strip_prefix(['+', '-']).is_some_and(|name| SWITCHES.contains(&name)),
        };
    }
    if let Some(property) = option.strip_prefix("-D") {
        let (name, value) = property.split_once('=').unwrap_or((property, ""));
        let plain = value.chars().all(|c| c.is_ascii_alphanumeric() || "._-".contains(c));
        let of_zookeeper = name.strip_prefix("zookeeper.").is_some_and(is_of_zookeeper);
        return plain && (PROPERTIES.contains(&name) || of_zookeeper);
    }
    // To the server's log: behind another colon there would be the name of a file.
    let what = option.strip_prefix("-Xlog:").unwrap_or_default();
    !what.is_empty() && what.chars().all(|c| c.is_ascii_alphanumeric() || "+*=,".contains(c))
}

fn is_number(name: &str, number: &str) -> bool {
    let plain = number.chars().all(|c| c.is_ascii_digit() || c == '.');
    let most =
        if name.ends_with("Threads") || name.ends_with("Count") { MOST_THREADS } else { MOST };
    plain && number.parse::<f64>().is_ok_and(|number| number <= most)
}

/// The size in bytes that an option asks for, if it is one that does.
pub(super) fn size_of(option: &str) -> Option<u64> {
    let of_heap = BEFORE_SIZES.iter().find_map(|start| option.strip_prefix(start));
    let of_flag = || {
        let (name, size) = option.strip_prefix("-XX:")?.split_once('=')?;
        // The only one that is written in KiB.
        let unit = if name == "ThreadStackSize" { 1024 } else { 1 };
        SIZES.contains(&name).then_some((size, unit))
    };
    let (size, unit) = of_heap.map(|size| (size, 1)).or_else(of_flag)?;
    let digits = size.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let factor: u64 = match size.strip_prefix(digits)? {
        "" => 1,
        "k" | "K" => 1 << 10,
        "m" | "M" => 1 << 20,
        "g" | "G" => 1 << 30,
        "t" | "T" => 1 << 40,
        _ => return None,
    };
    let is_number = !digits.is_empty() && digits.chars().all(|c| c.is_ascii_digit());
    // What has more digits than a number can have is too much for every machine.
    let number = is_number.then(|| digits.parse::<u64>().unwrap_or(u64::MAX))?;
    Some(number.saturating_mul(factor).saturating_mul(unit))
}

/// An option as a message may say it: properties may hold secrets.
pub(super) fn shown(option: &str) -> String {
    let mut shown = option.to_owned();
    redact(&mut shown);
    shown
}

/// Takes a secret out of an option; the name of the property that held it.
pub(super) fn redact(option: &mut String) -> Option<String> {
    let (name, value) = option.split_once('=')?;
    let name = (is_secret(name) && value != REDACTED).then(|| name.to_owned())?;
    *option = format!("{name}={REDACTED}");
    Some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_about_heap_collector_and_compiler_is_taken() {
        for option in [
            "-Xms1g",
            "-Xmx512m",
            "-Xmn64M",
            "-Xss512k",
            "-Xmx1073741824",
            "-XX:+UseSerialGC",
            "-XX:-UseCompressedOops",
            "-XX:MaxGCPauseMillis=20",
            "-XX:InitialRAMPercentage=12.5",
            "-XX:MaxDirectMemorySize=64m",
            "-XX:TieredStopAtLevel=1",
            "-Djute.maxbuffer=4194304",
            "-Dzookeeper.forceSync=no",
            "-Dzookeeper.snapCount=10",
            "-Djava.awt.headless=true",
            "-ea",
            "-server",
            "-Xlog:gc*=debug,safepoint",
        ] {
            assert_eq!(why_not(option), None, "{option}");
        }
    }

    #[test]
    fn what_may_run_code_write_files_or_open_ports_is_not() {
        for (option, words) in [
            ("-javaagent:x.jar", "loads code"),
            ("-agentlib:jdwp=transport=dt_socket,server=y", "loads code"),
            ("-agentpath:/x.so", "loads code"),
            ("-Xbootclasspath/a:x.jar", "loads code"),
            ("-cp", "other code"),
            ("-jar", "other code"),
            ("-XX:OnOutOfMemoryError=cmd", "runs a command"),
            ("-XX:OnError=cmd", "runs a command"),
            ("-XX:HeapDumpPath=/x", "write files"),
            ("-XX:+HeapDumpOnOutOfMemoryError", "write files"),
            ("-XX:LogFile=/x", "write files"),
            ("-Xloggc:/x", "write files"),
            ("-Xlog:gc:/x", "write files"),
            ("-Xlog:gc:file=/x", "write files"),
            ("@file", "a file"),
            ("-XX:Flags=/x", "a file"),
            ("-XX:VMOptionsFile=/x", "a file"),
            ("-Djava.security.policy=/x", "a file"),
            ("-Dlog4j.configuration=file:/x", "a file"),
            ("-Dcom.sun.management.jmxremote", "lets others"),
            ("-Dcom.sun.management.jmxremote.port=9999", "lets others"),
            ("-Dzookeeper.serverCnxnFactory=x", "none of those"),
            ("-Dzookeeper.DigestAuthenticationProvider.superDigest=x", "none of those"),
            ("-Djute.maxbuffer=/x", "none of those"),
            ("-XX:+UnknownFlag", "none of those"),
            ("-XX:MaxGCPauseMillis=x", "none of those"),
            ("-XX:ParallelGCThreads=100000", "none of those"),
            ("-XX:+TieredStopAtLevel", "none of those"),
            ("-XX:UseSerialGC=1", "none of those"),
            ("-Xmx", "none of those"),
            ("-Xmx1x", "none of those"),
            ("-Xmx1g -javaagent:x", "none of those"),
            ("kafka.Other", "none of those"),
            ("", "none of those"),
        ] {
            let why = why_not(option).unwrap_or_else(|| panic!("{option} is taken"));
            assert!(why.contains(words), "{option}: {why}");
        }
    }

    #[test]
    fn sizes_are_read_as_a_jvm_reads_them_and_never_overflow() {
        for (option, bytes) in [
            ("-Xmx1g", Some(1 << 30)),
            ("-Xss512k", Some(512 << 10)),
            ("-Xmn7", Some(7)),
            ("-XX:ThreadStackSize=2", Some(2048)),
            ("-XX:MaxRAM=18446744073709551615t", Some(u64::MAX)),
            ("-Xmx99999999999999999999999", Some(u64::MAX)),
            ("-Xmx-1", None),
            ("-Xlog:gc", None),
            ("-XX:MaxGCPauseMillis=1", None),
        ] {
            assert_eq!(size_of(option), bytes, "{option}");
        }
    }

    #[test]
    fn a_secret_in_a_property_is_not_said() {
        assert_eq!(
            shown("-Djavax.net.ssl.keyStorePassword=hunter2"),
            "-Djavax.net.ssl.keyStorePassword=[redacted]"
        );
        assert_eq!(shown("-Xmx1g"), "-Xmx1g");
    }
}
