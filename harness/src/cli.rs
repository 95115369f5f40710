//! The command line: arguments, and one file a command under `cli/`.
//!
//! Messages go to stderr, data to stdout. What a command does is in the library; this module only
//! parses, calls and prints.

mod cluster;
mod compare;
mod format;
mod found;
mod heal;
mod import;
mod judge;
mod list;
mod max_rate;
mod prune;
mod run;
mod suite;
mod sweep;
mod tools;
mod trend;
mod validate;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};
use clap::{Args, Parser, Subcommand, ValueEnum};
use results::judge::gate::Gate;
use results::record::budget::{MOST_PARALLEL, MOST_TRIALS};

use crate::cluster::local::sandbox::Mode;
use crate::failure::Failure;
use crate::spec::WORKLOAD;
use format::Format;

const EXIT_CODES: &str = "\
Exit codes:
  0  guarantees kept (a refuted claim is shown, and fails only with --strict)
  1  a guarantee was violated or a gate failed (or, with --strict, a claim refuted)
  2  wrong usage or specification
  3  unknown: interrupted, undecided, or the run itself was invalid
  4  infrastructure: the cluster did not start, a tool is missing, a disk is full";

/// Largest seed: a resolved spec is TOML, whose integers are signed.
const MOST_SEED: u64 = i64::MAX as u64;

/// Folder of kept clusters.
const CLUSTERS: &str = "results/clusters";

/// Chaos and benchmarking test harness for Apache Kafka.
#[derive(Parser)]
#[command(version, about, after_help = EXIT_CODES, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: CliCommand,
}

#[derive(Subcommand)]
enum CliCommand {
    /// Start a cluster, load it, hurt it, heal it, check every record, and report
    Run(Box<RunArgs>),
    /// Hurt a new cluster as a recorded run did: the same times, the same processes
    Replay(ReplayArgs),
    /// Judge a recorded run again, from its files alone
    Check(JudgeArgs),
    /// Judge a recorded run again and write its report files anew
    Report(ReportArgs),
    /// Compare two sets of recorded runs: is B worse than A?
    Compare(compare::CompareArgs),
    /// Find the highest rate at which a cluster keeps an objective, by several runs
    MaxRate(max_rate::MaxRateArgs),
    /// Run every combination of some settings, and show their figures side by side
    Sweep(sweep::SweepArgs),
    /// Keep the figures of recorded runs, and say where they changed from run to run
    Trend(trend::TrendArgs),
    /// Undo what an interrupted run may have left behind
    Heal(HealArgs),
    /// Delete the oldest recorded runs of which nothing is left to undo
    Prune(prune::PruneArgs),
    /// Keep a local cluster running, for several runs or for tools
    #[command(subcommand)]
    Cluster(cluster::ClusterCommand),
    /// Print another tool's workload as one of kbench
    #[command(subcommand)]
    Import(import::ImportCommand),
    /// List what is shipped, or the recorded runs
    List(ListArgs),
    /// Check specification files without running anything
    Validate(ValidateArgs),
    /// Say what this machine lacks for a run, and the cure
    Doctor(DoctorArgs),
    /// Print a completion script for a shell
    Completions {
        /// Shell to complete for
        shell: clap_complete::Shell,
    },
    /// Write the manual pages into a folder: kbench(1), and one for each command
    Man {
        /// The folder
        #[arg(value_name = "DIR")]
        dir: PathBuf,
    },
}

/// How a report is printed on stdout.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum ReportFormat {
    /// Tables for people
    Text,
    /// JSON: exactly report.json
    Json,
    /// Markdown for a pull request: verdict, claims, and what is not as it should be
    Markdown,
}

/// How a report is printed.
#[derive(Clone, Copy, Args)]
struct PrintArgs {
    /// What to print on stdout at the end
    #[arg(long, value_enum, default_value = "text")]
    format: ReportFormat,
    /// Print every table of the report, and not just what fits a screen
    #[arg(long)]
    verbose: bool,
}

/// What makes a cluster.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum BackendChoice {
    /// Processes of this machine, each node in a sandbox's network namespace
    Local,
    /// Containers
    Docker,
}

/// Arguments of a run that are each scenario's own in a suite.
const OF_A_SCENARIO: [&str; 7] =
    ["workload", "faults", "trials", "duration", "set", "only", "gates"];

/// Those that a suite's folder says of itself.
const OF_A_SUITE: [&str; 12] = [
    "suite",
    "claims",
    "strict",
    "seed",
    "kafka_version",
    "mode",
    "backend",
    "image",
    "cluster",
    "on",
    "bootstrap_server",
    "keep_topics",
];

#[derive(Args)]
struct RunArgs {
    /// Carry out a suite, several runs with one report: a shipped name (`kbench list suites`) or a TOML file. On a
    /// cluster that runs already (--cluster INVENTORY, --bootstrap-server) it is a dry run without --yes-hurt-this-cluster
    #[arg(long, value_name = "NAME|FILE", conflicts_with_all = OF_A_SCENARIO)]
    suite: Option<String>,
    /// Go on with a suite that was interrupted, or that has scenarios without a finished run, or with one that is invalid
    /// or was disturbed: its folder, or `latest`
    #[arg(long, value_name = "DIR", conflicts_with_all = OF_A_SCENARIO, conflicts_with_all = OF_A_SUITE)]
    resume: Option<PathBuf>,
    /// Workload: a shipped name (`kbench list workloads`) or a TOML file
    #[arg(long, value_name = "NAME|FILE", default_value = WORKLOAD)]
    workload: String,
    /// Fault plan: a shipped name (`kbench list plans`), a TOML file, or `none`
    #[arg(long, value_name = "PLAN|FILE|none", default_value = "failover")]
    faults: String,
    /// Cluster: `local` (the guide's three machines), a shipped name (`kbench list clusters`), or a
    /// TOML file: of a cluster to be made, or the inventory of one that runs already, on machines reached by ssh or
    /// in containers of this machine [default: local]. Of a suite: an inventory, on which every scenario is carried out
    /// that it allows
    #[arg(long, value_name = "local|NAME|FILE")]
    cluster: Option<String>,
    /// What the nodes of a new cluster are: `local`, or `docker` for containers of an image that
    /// `kbench cluster image` made or one of your own, on the engine that DOCKER_HOST names or the usual one
    #[arg(long, value_enum, default_value = "local", conflicts_with_all = ["on", "bootstrap_server"])]
    backend: BackendChoice,
    /// The image of the servers, for both roles or for `broker=` or `zookeeper=` alone (default: kbench-kafka:VERSION)
    #[arg(long, value_name = "[ROLE=]IMAGE")]
    image: Vec<String>,
    /// Run on a cluster that was started with `kbench cluster up`, which then stays: its name or its
    /// directory
    #[arg(
        long,
        value_name = "NAME|DIR",
        conflicts_with_all = ["cluster", "mode", "kafka_version", "kafka_home", "parallel"]
    )]
    on: Option<PathBuf>,
    /// Run on a cluster that runs already, and is only connected to: some of its brokers. Only what
    /// Kafka's own protocol does can be done there
    #[arg(
        long,
        value_name = "HOST:PORT[,HOST:PORT...]",
        conflicts_with_all = ["cluster", "on", "mode", "kafka_version", "kafka_home", "parallel"]
    )]
    bootstrap_server: Option<String>,
    /// How brokers that run already are connected to (TLS, SASL): a file of properties as Kafka's own tools take it
    #[arg(long, value_name = "FILE")]
    command_config: Option<PathBuf>,
    /// Leave the run's topics on a cluster that runs already
    #[arg(long)]
    keep_topics: bool,
    /// Serve Prometheus metrics at http://ADDR/metrics while the run goes on
    #[arg(long, value_name = "HOST:PORT")]
    metrics_addr: Option<String>,
    /// Folder in which --on is looked up
    #[arg(long, value_name = "DIR", env = "KBENCH_CLUSTERS", default_value = CLUSTERS)]
    clusters: PathBuf,
    /// Number of trials, each on a fresh cluster
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=i64::from(MOST_TRIALS)))]
    trials: u32,
    /// How many trials run at the same time; the next ones start when all of these have ended (default: 1). Of a suite:
    /// how many scenarios, or trials of one that has several, each with a cluster for itself; the next scenario starts
    /// when one of these has ended (default: as many as there are four cores, and the memory, for)
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=i64::from(MOST_PARALLEL)))]
    parallel: Option<u32>,
    /// Seed of everything that is drawn at random; drawn itself when absent
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(..=MOST_SEED))]
    seed: Option<u64>,
    /// Length of the load of a run without faults, e.g. `60s` (default: the workload's); with faults
    /// it lasts as long as the plan takes
    #[arg(long, value_name = "T")]
    duration: Option<humantime::Duration>,
    /// Change one value of a specification, e.g. `workload.producer.acks=1` or
    /// `cluster.broker.settings.zookeeper.session.timeout.ms=6000` (may be repeated; of two for one
    /// key the last counts)
    #[arg(long = "set", value_name = "KEY=VALUE")]
    set: Vec<String>,
    /// Version of Apache Kafka, from 2.6 to 3.9 (default: the cluster's)
    #[arg(long, value_name = "V", conflicts_with = "kafka_home")]
    kafka_version: Option<String>,
    /// Use this installation of Apache Kafka (its `libs` folder) instead
    #[arg(long, value_name = "DIR")]
    kafka_home: Option<PathBuf>,
    /// How the local cluster is isolated (default: the best that this machine allows)
    #[arg(long, value_parser = mode())]
    mode: Option<Mode>,
    /// Take what runs code or reaches other files from the specifications (classes, JVM options and settings that kbench
    /// does not know to be harmless): whoever wrote them may run programs as you then
    #[arg(long)]
    trust_spec: bool,
    /// Folder in which the run's directory is made
    #[arg(long, value_name = "DIR", env = "KBENCH_OUT", default_value = "results/runs")]
    out: PathBuf,
    #[command(flatten)]
    print: PrintArgs,
    /// Judge the claims of this file (a runbook's, say) in place of the guide's; `kbench list claims` shows those
    #[arg(long, value_name = "FILE")]
    claims: Option<PathBuf>,
    /// Judge this claim, and no other that is not named so (may be repeated)
    #[arg(long = "claim", value_name = "ID")]
    only: Vec<String>,
    /// Exit with 1 when a claim is refuted
    #[arg(long)]
    strict: bool,
    /// Exit with 1 when a figure does not keep this bound, e.g. `response.p99<50ms`, `acked.rate>=99%`,
    /// `consume.lag<10s`, `faults.response.max<30s` (may be repeated; beside those of the workload)
    #[arg(long = "gate", value_name = "EXPR")]
    gates: Vec<Gate>,
    /// Name of the cluster, to let a plan hurt one that kbench did not make: Kafka's own id of it
    #[arg(long, value_name = "NAME", allow_hyphen_values = true)]
    yes_hurt_this_cluster: Option<String>,
    /// Print every command that the machines of an inventory would be given, by machine, or every scenario of a suite
    /// with the time that it takes and what it strikes, and do nothing
    #[arg(long)]
    dry_run: bool,
}

fn mode() -> impl TypedValueParser<Value = Mode> {
    let values = Mode::ALL.map(|mode| {
        PossibleValue::new(mode.as_str()).help(match mode {
            Mode::UserNamespaces => "Namespaces of the user's own; needs no privilege",
            Mode::RootNamespaces => "Namespaces made by real root",
            Mode::Loopback => "Plain processes on loopback addresses; no network faults",
        })
    });
    let known = |text: String| Mode::ALL.into_iter().find(|mode| mode.as_str() == text);
    PossibleValuesParser::new(values).try_map(move |text| known(text).ok_or("no such mode"))
}

/// A number of per cent.
fn per_cent(text: &str) -> Result<f64, String> {
    let number = text.trim_end_matches('%').trim().parse().ok();
    number
        .filter(|it| (0.0..=1000.0).contains(it))
        .ok_or_else(|| "not a per cent, as `5`".to_owned())
}

#[derive(Args)]
struct ReplayArgs {
    /// Directory of the run to repeat, or `latest`
    #[arg(value_name = "RUN")]
    run: PathBuf,
    /// Which of its trials
    #[arg(long, value_name = "N", default_value_t = 1)]
    trial: u32,
    /// Folder in which runs are looked up, and the new run's directory is made
    #[arg(long, value_name = "DIR", env = "KBENCH_OUT", default_value = "results/runs")]
    out: PathBuf,
    #[command(flatten)]
    print: PrintArgs,
    /// Take what runs code or reaches other files from the recorded spec as well (Kafka's jars, loopback
    /// mode, classes, JVM options, settings that kbench does not know): whoever wrote it may run programs
    /// as you then
    #[arg(long)]
    trust_spec: bool,
    /// Name of the cluster, to let a plan hurt one that kbench did not make: Kafka's own id of it
    #[arg(long, value_name = "NAME", allow_hyphen_values = true)]
    yes_hurt_this_cluster: Option<String>,
    /// How brokers that run already are connected to (TLS, SASL): a file of properties as Kafka's own tools take it
    #[arg(long, value_name = "FILE")]
    command_config: Option<PathBuf>,
}

#[derive(Args)]
struct JudgeArgs {
    /// Directory of the run, or of a suite, or `latest`
    #[arg(value_name = "RUN", default_value = "latest")]
    run: PathBuf,
    /// Folder in which `latest` and run names are looked up
    #[arg(long, value_name = "DIR", env = "KBENCH_OUT", default_value = "results/runs")]
    out: PathBuf,
    #[command(flatten)]
    print: PrintArgs,
    /// Exit with 1 when a claim is refuted
    #[arg(long)]
    strict: bool,
}

#[derive(Args)]
struct ReportArgs {
    #[command(flatten)]
    judge: JudgeArgs,
    /// Write plots into this folder as well, as SVG: response over time of each trial, and recovery
    #[arg(long, value_name = "DIR")]
    svg: Option<PathBuf>,
}

#[derive(Args)]
struct HealArgs {
    /// Directory of the run, or of a suite, or `latest`
    #[arg(value_name = "RUN", required_unless_present = "all")]
    run: Option<PathBuf>,
    /// Heal every run in the folder
    #[arg(long, conflicts_with = "run")]
    all: bool,
    /// Name of the cluster, to undo on one that kbench did not make: Kafka's own id of it
    #[arg(long, value_name = "NAME", allow_hyphen_values = true)]
    yes_hurt_this_cluster: Option<String>,
    /// How brokers that run already are connected to (TLS, SASL): a file of properties as Kafka's own tools take it
    #[arg(long, value_name = "FILE")]
    command_config: Option<PathBuf>,
    /// Folder in which runs are looked up
    #[arg(long, value_name = "DIR", env = "KBENCH_OUT", default_value = "results/runs")]
    out: PathBuf,
}

#[derive(Args)]
struct ListArgs {
    /// What to list
    #[arg(value_enum)]
    what: list::What,
    /// Folder in which runs are looked up
    #[arg(long, value_name = "DIR", env = "KBENCH_OUT", default_value = "results/runs")]
    out: PathBuf,
}

#[derive(Args)]
struct ValidateArgs {
    /// Length of the load without faults, for what a workload needs then
    #[arg(long, value_name = "T")]
    duration: Option<humantime::Duration>,
    /// Workloads, plans, clusters, suites or claims, as TOML files
    #[arg(value_name = "FILE", required = true)]
    files: Vec<PathBuf>,
    /// Take what runs code or reaches other files, as `kbench run --trust-spec` does
    #[arg(long)]
    trust_spec: bool,
}

#[derive(Args)]
struct DoctorArgs {
    /// Also fetch Kafka and make the JVMs' class archives, so that the first run is fast
    #[arg(long)]
    prepare: bool,
    /// Look at the machines or containers of this inventory instead; nothing on them is changed
    #[arg(long, value_name = "FILE", conflicts_with_all = ["prepare", "backend", "image", "kafka_version", "kafka_home"])]
    cluster: Option<String>,
    /// Run the commands by which an inventory tells whether a server runs
    #[arg(long, requires = "cluster")]
    trust_spec: bool,
    /// What makes the clusters
    #[arg(long, value_enum, default_value = "local")]
    backend: BackendChoice,
    /// The image of the servers, for both roles or for `broker=` or `zookeeper=` alone (default: kbench-kafka:VERSION)
    #[arg(long, value_name = "[ROLE=]IMAGE")]
    image: Vec<String>,
    /// Version of Apache Kafka, from 2.6 to 3.9 (default: the guide's cluster's)
    #[arg(long, value_name = "V", conflicts_with = "kafka_home")]
    kafka_version: Option<String>,
    /// Use this installation of Apache Kafka instead
    #[arg(long, value_name = "DIR")]
    kafka_home: Option<PathBuf>,
}

/// Parses the command line, carries it out, and says with which code to exit.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    let outcome = match cli.command {
        CliCommand::Run(args) => run::run(*args),
        CliCommand::Replay(args) => run::replay(args),
        CliCommand::Check(args) => judge::check(&args),
        CliCommand::Report(args) => judge::report(&args),
        CliCommand::Compare(args) => compare::compare(&args),
        CliCommand::MaxRate(args) => max_rate::max_rate(&args),
        CliCommand::Sweep(args) => sweep::sweep(&args),
        CliCommand::Trend(args) => trend::trend(&args),
        CliCommand::Heal(args) => heal::heal(&args),
        CliCommand::Prune(args) => prune::prune(&args),
        CliCommand::Cluster(command) => cluster::carry_out(command),
        CliCommand::Import(command) => import::import(&command),
        CliCommand::List(args) => list::list(&args),
        CliCommand::Validate(args) => validate::validate(&args),
        CliCommand::Doctor(args) => tools::doctor(&args),
        CliCommand::Completions { shell } => tools::completions(shell),
        CliCommand::Man { dir } => tools::man(&dir),
    };
    outcome.unwrap_or_else(|failure: Failure| {
        failure.print();
        failure.exit_code()
    })
}

#[cfg(test)]
mod tests;
