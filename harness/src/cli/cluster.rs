//! `kbench cluster`: a local cluster that outlives the command that starts it.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, Subcommand};
use comfy_table::{Table, presets};
use results::terminal::{argument, printable_line};

use super::{CLUSTERS, mode};
use crate::cluster::docker::{self, spec::usual_image};
use crate::cluster::local::keeper::{Keeper, ServerState};
use crate::cluster::local::kept::{KeptCluster, KeptSpec};
use crate::cluster::local::sandbox::{self, Mode};
use crate::cluster::local::{client_file, data_dir};
use crate::failure::{self, Failure};
use crate::provision;
use crate::runtime::runtime;
use crate::spec::{self, Resolved};
use crate::topology::Profile;

#[derive(Subcommand)]
pub(super) enum ClusterCommand {
    /// Start a cluster, and return when it serves
    Up(UpArgs),
    /// Show kept clusters: their servers, and who uses them
    Status(StatusArgs),
    /// End a kept cluster, and make sure that nothing of it is left
    Down(DownArgs),
    /// Make the image of a cluster of containers, for `kbench run --backend docker`
    Image(ImageArgs),
    /// Run a command where the cluster's addresses are reached, e.g. Kafka's own tools
    Exec(ExecArgs),
}

#[derive(Args)]
pub(super) struct UpArgs {
    /// Cluster: `local` (the guide's three machines), a shipped name (`kbench list clusters`), or a
    /// TOML file
    #[arg(long, value_name = "local|NAME|FILE", default_value = "local")]
    cluster: String,
    /// Name of the kept cluster, and of its directory (default: the cluster's own)
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// Change one value of the cluster, e.g.
    /// `cluster.broker.settings.zookeeper.session.timeout.ms=6000` (may be repeated)
    #[arg(long = "set", value_name = "KEY=VALUE")]
    set: Vec<String>,
    /// Version of Apache Kafka, from 2.6 to 3.9 (default: the cluster's)
    #[arg(long, value_name = "V", conflicts_with = "kafka_home")]
    kafka_version: Option<String>,
    /// Use this installation of Apache Kafka (its `libs` folder) instead
    #[arg(long, value_name = "DIR")]
    kafka_home: Option<PathBuf>,
    /// How it is isolated (default: the best that this machine allows)
    #[arg(long, value_parser = mode())]
    mode: Option<Mode>,
    /// Let plans set the clocks of its nodes: each look at a clock costs more then
    #[arg(long)]
    clocks: bool,
    /// Take what runs code or reaches other files from the cluster's file (classes, JVM options and
    /// settings that kbench does not know to be harmless): whoever wrote it may run programs as you then
    #[arg(long)]
    trust_spec: bool,
    #[command(flatten)]
    folder: Folder,
}

#[derive(Args)]
struct Folder {
    /// Folder of kept clusters
    #[arg(long, value_name = "DIR", env = "KBENCH_CLUSTERS", default_value = CLUSTERS)]
    clusters: PathBuf,
}

#[derive(Args)]
pub(super) struct StatusArgs {
    /// Name or directory of the cluster (default: all of them)
    #[arg(value_name = "NAME|DIR")]
    name: Option<PathBuf>,
    #[command(flatten)]
    folder: Folder,
}

#[derive(Args)]
pub(super) struct DownArgs {
    /// Name or directory of the cluster
    #[arg(value_name = "NAME|DIR", required_unless_present = "all")]
    name: Option<PathBuf>,
    /// End every kept cluster in the folder
    #[arg(long, conflicts_with = "name")]
    all: bool,
    #[command(flatten)]
    folder: Folder,
}

#[derive(Args)]
pub(super) struct ImageArgs {
    /// Image that has Java, and that Docker has
    #[arg(long, value_name = "IMAGE")]
    base: String,
    /// Name of the image that is made (default: kbench-kafka:VERSION)
    #[arg(long, value_name = "NAME[:TAG]")]
    tag: Option<String>,
    /// Version of Apache Kafka, from 2.6 to 3.9 (default: that of the guide)
    #[arg(long, value_name = "V", conflicts_with = "kafka_home")]
    kafka_version: Option<String>,
    /// Use this installation of Apache Kafka (its `libs` folder) instead
    #[arg(long, value_name = "DIR")]
    kafka_home: Option<PathBuf>,
}

#[derive(Args)]
pub(super) struct ExecArgs {
    /// Name or directory of the cluster
    #[arg(value_name = "NAME|DIR")]
    name: PathBuf,
    /// On this node of it (default: where clients are)
    #[arg(long, value_name = "NODE")]
    node: Option<String>,
    /// The command and its arguments
    #[arg(value_name = "COMMAND", required = true, last = true)]
    command: Vec<OsString>,
    #[command(flatten)]
    folder: Folder,
}

pub(super) fn carry_out(command: ClusterCommand) -> Result<ExitCode, Failure> {
    match command {
        ClusterCommand::Up(args) => up(args),
        ClusterCommand::Status(args) => status(&args),
        ClusterCommand::Down(args) => down(&args),
        ClusterCommand::Exec(args) => exec(&args),
        ClusterCommand::Image(args) => image(args),
    }
}

fn image(args: ImageArgs) -> Result<ExitCode, Failure> {
    let asked = super::run::kafka_source(args.kafka_version, args.kafka_home);
    let Resolved { spec: (_, source), .. } = spec::cluster("local", &[], asked, false)?;
    let kafka = provision::provide(&source)?;
    let name = args.tag.unwrap_or_else(|| usual_image(&kafka.version));
    docker::build(&args.base, &name, &kafka)?;
    results::out!("{}", printable_line(&name));
    Ok(ExitCode::SUCCESS)
}

fn up(args: UpArgs) -> Result<ExitCode, Failure> {
    let asked = super::run::kafka_source(args.kafka_version, args.kafka_home);
    let Resolved { spec: (topology, kafka), warnings } =
        spec::cluster(&args.cluster, &args.set, asked, args.trust_spec)?;
    failure::warn(&warnings);
    if topology.profile == Profile::Benchmark {
        return Err(Failure::usage(
            "profile = \"benchmark\": a kept cluster has the topics of the runs before, so that no benchmark \
             runs on one",
        )
        .with_cure("--set cluster.profile=failover; or a benchmark on a new cluster: kbench run --set \
                    cluster.profile=benchmark"));
    }
    let mode = sandbox::choose(args.mode)
        .map_err(|error| Failure::infrastructure(error.to_string()).with_cure(error.cure()))?;
    let provided = provision::provide(&kafka)?;
    provided.has_classes_of(&topology)?;
    let version = provided.version;
    let dir = args.folder.clusters.join(args.name.as_ref().unwrap_or(&topology.name));
    let spec = KeptSpec::new(mode, kafka, args.clocks, topology);
    let (kept, took_s) = KeptCluster::start(&dir, &spec)?;
    let name = kept.name();
    results::err!("cluster {name}: Apache Kafka {version} in {mode}, up after {took_s:.1} s");
    if let Some(warning) = mode.warning() {
        results::err!("{mode}: {warning}");
    }
    let servers = state(&kept)?.unwrap_or_default();
    results::out!("{}", table(&servers));
    results::err!("directory: {}", kept.dir.display());
    // Its name alone is looked up in the default folder.
    let path = kept.dir.display().to_string();
    let known = if args.folder.clusters == Path::new(CLUSTERS) { &name } else { &path };
    let known = argument(known);
    if !spec.topology.security.is_none() {
        // Its tools see what the servers see.
        let file = client_file(&data_dir(mode, &kept.dir));
        let protocol = spec.topology.security.protocol();
        results::err!("clients connect by {protocol}: --command-config {}", file.display());
    }
    results::err!("run on it: kbench run --on {known}");
    results::err!("other programs: kbench cluster exec {known} -- COMMAND");
    Ok(ExitCode::SUCCESS)
}

/// The servers of a kept cluster; `None` when it has ended.
fn state(kept: &KeptCluster) -> Result<Option<Vec<ServerState>>, Failure> {
    if !kept.is_alive() {
        return Ok(None);
    }
    runtime()?.block_on(Keeper::of(&kept.dir).states()).map(|state| Some(state.servers))
}

fn table(servers: &[ServerState]) -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table.set_header(["SERVER", "ADDRESS", "VERSION", "PID", "STATE"]);
    for server in servers {
        let state = match (&server.ended, server.paused) {
            (Some(how), _) => format!("ended ({how})"),
            (None, true) => "paused".to_owned(),
            (None, false) => "runs".to_owned(),
        };
        table.add_row([
            server.process.to_string(),
            server.address.to_string(),
            server.version.clone().unwrap_or_default(),
            server.identity.pid.to_string(),
            state,
        ]);
    }
    table
}

fn status(args: &StatusArgs) -> Result<ExitCode, Failure> {
    let all = match &args.name {
        Some(name) => vec![KeptCluster::named(name, &args.folder.clusters)?],
        None => KeptCluster::all(&args.folder.clusters),
    };
    for kept in &all {
        let name = kept.name();
        let Some(servers) = state(kept)? else {
            let left = if kept.is_gone() { "" } else { "; processes of it are left" };
            results::out!("{}: ended{left}", printable_line(&name));
            continue;
        };
        let user =
            kept.user().map_or("in use by nobody".to_owned(), |user| format!("in use: {user}"));
        results::out!("{name}: runs as process {}, {user}", kept.lab.pid);
        results::out!("{}", table(&servers));
    }
    Ok(ExitCode::SUCCESS)
}

fn down(args: &DownArgs) -> Result<ExitCode, Failure> {
    let all = match &args.name {
        Some(name) => vec![KeptCluster::named(name, &args.folder.clusters)?],
        None => KeptCluster::all(&args.folder.clusters),
    };
    for kept in all {
        let name = kept.name();
        if kept.is_gone() {
            results::out!("{name}: had ended");
            continue;
        }
        let Some(_lock) = kept.lock("kbench cluster down")? else {
            let user = kept.user().unwrap_or_default();
            return Err(Failure::usage(format!("the cluster {name} is in use: {user}"))
                .with_cure("wait for that to end, or end it, and try again"));
        };
        kept.end()?;
        results::out!("{name}: ended, nothing of it is left");
    }
    Ok(ExitCode::SUCCESS)
}

fn exec(args: &ExecArgs) -> Result<ExitCode, Failure> {
    let kept = KeptCluster::find(&args.name, &args.folder.clusters)?;
    let mode = KeptSpec::load(&kept.dir)?.mode;
    let status = sandbox::execute(mode, &kept.lab, args.node.as_deref(), &args.command);
    let status = status.map_err(|error| {
        let command = args.command.first().map(|name| name.to_string_lossy()).unwrap_or_default();
        let name = kept.name();
        Failure::infrastructure(format!("`{command}` cannot be run in cluster {name}: {error}"))
    })?;
    // As a shell tells it: 128 and the signal.
    let signal = std::os::unix::process::ExitStatusExt::signal(&status).unwrap_or_default();
    Ok(ExitCode::from(status.code().unwrap_or(128 + signal) as u8))
}
