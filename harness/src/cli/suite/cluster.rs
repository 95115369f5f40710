//! A suite on a cluster that runs already: found, held to what its folder and its user say, and told of.

use results::terminal::{argument, printable_line};

use super::of_all;
use crate::cli::found::FoundCluster;
use crate::cli::run::command_of;
use crate::cli::{BackendChoice, RunArgs};
use crate::failure::Failure;
use crate::series::suite::SuiteSpec;
use crate::spec::{self, RunSuite, SuiteCluster, SuiteScenario, WhichCluster};

/// Gives the arguments the cluster that a suite's folder names. The file of secrets has to be named again: the folder may
/// be a stranger's.
pub(super) fn take_up(cluster: &SuiteCluster, args: &mut RunArgs) -> Result<(), Failure> {
    match &cluster.which {
        WhichCluster::Inventory(name) => args.cluster = Some(name.clone()),
        WhichCluster::BootstrapServer(at) => args.bootstrap_server = Some(at.clone()),
        WhichCluster::Kept(dir) => args.on = Some(dir.clone()),
    }
    args.keep_topics = cluster.keep_topics;
    let named = args.command_config.as_ref().and_then(|file| std::fs::canonicalize(file).ok());
    if named == cluster.command_config {
        return Ok(());
    }
    let Some(file) = &cluster.command_config else {
        return Err(Failure::usage(
            "--command-config: the suite's cluster was connected to without",
        )
        .with_cure("leave it out"));
    };
    let file = file.display().to_string();
    let what = format!(
        "the suite's cluster is connected to as {file} says, which is not read on a file's word"
    );
    Err(Failure::usage(what).with_cure(format!(
        "--command-config {}, if that is the file that you mean",
        argument(&file)
    )))
}

/// The cluster that runs already on which the suite is to be carried out, if there is one.
pub(super) fn cluster_of(args: &RunArgs, spec: &SuiteSpec) -> Result<FoundCluster, Failure> {
    let is_docker = args.backend == BackendChoice::Docker;
    if let Some(name) = args.cluster.as_deref()
        && spec::inventory_of(name)?.is_none()
    {
        let why = format!(
            "cluster `{name}` is no inventory: a suite's scenarios say which clusters they make"
        );
        return Err(Failure::usage(why).with_cure(
            "name the inventory of a cluster that runs already, or leave out --cluster",
        ));
    }
    let is_there = args.cluster.is_some() || args.bootstrap_server.is_some() || args.on.is_some();
    let of_new = [
        ("--backend docker", is_docker),
        ("--mode", args.mode.is_some()),
        ("--kafka-version", args.kafka_version.is_some()),
        ("--kafka-home", args.kafka_home.is_some()),
    ];
    if let Some((option, _)) = of_new.iter().find(|(_, given)| is_there && *given) {
        let why = format!("{option} is of new clusters, and the suite's cluster runs already");
        return Err(Failure::usage(why).with_cure(format!("leave out {option}")));
    }
    if is_there && args.parallel.is_some_and(|n| n > 1) {
        let why = "--parallel is of new clusters: one kbench works on a cluster at a time";
        return Err(Failure::usage(why).with_cure("leave out --parallel"));
    }
    if !is_there && args.yes_hurt_this_cluster.is_some() {
        let why = "--yes-hurt-this-cluster is for a cluster that runs already";
        return Err(Failure::usage(why)
            .with_cure("--cluster INVENTORY or --bootstrap-server HOST:PORT names one"));
    }
    let cluster = FoundCluster::of(args, is_docker || spec.images.is_some())?;
    let Some(survey) = &cluster.survey else { return Ok(cluster) };
    let recorded = spec.cluster.as_ref().and_then(|cluster| cluster.id.as_ref());
    is_named(&survey.cluster_id, &survey.bootstrap, recorded, args.yes_hurt_this_cluster.as_ref())?;
    Ok(cluster)
}

/// Refuses a cluster at this address that is another one than a suite was begun on, or than the one that may be hurt.
fn is_named(
    id: &String,
    at: &str,
    recorded: Option<&String>,
    hurt: Option<&String>,
) -> Result<(), Failure> {
    if let Some(other) = recorded.filter(|other| *other != id) {
        let why = format!("the cluster at {at} is {id}, and the suite was begun on {other}");
        return Err(Failure::infrastructure(why));
    }
    match hurt.filter(|other| *other != id) {
        None => Ok(()),
        Some(other) => Err(Failure::usage(format!("the cluster at {at} is not {other}"))
            .with_cure("leave out --yes-hurt-this-cluster: the dry run says how it is named")),
    }
}

/// Makes the scenarios what they are on a cluster that runs already, and says which of them it does not allow.
pub(super) fn fit_to(
    spec: &mut SuiteSpec,
    args: &RunArgs,
    cluster: &FoundCluster,
) -> Result<(), Failure> {
    let (Some(mut there), Some(brokers)) = (cluster.for_suite(args), cluster.brokers()?) else {
        return Ok(());
    };
    let request = of_all(spec, args, cluster)?;
    for scenario in &mut spec.suite.scenarios {
        let within = |failure: Failure| failure.within(&format!("scenario \"{}\"", scenario.id));
        let (fitted, why) = scenario.on_running(&request, brokers).map_err(within)?;
        there.not_allowed.extend(why.map(|why| (fitted.id.clone(), why)));
        *scenario = fitted;
    }
    if there.not_allowed.len() == spec.suite.scenarios.len() {
        let reasons = there.not_allowed.iter().map(|(id, why)| format!("\n  {id}: {why}"));
        let reasons: String = reasons.collect();
        let name = &spec.suite.name;
        let what = format!("the cluster allows no scenario of suite `{name}`:{reasons}");
        return Err(Failure::usage(what)
            .with_cure("another suite; `kbench list suites` shows those that are shipped"));
    }
    spec.cluster = Some(there);
    Ok(())
}

/// What is otherwise on a cluster that runs already, and what it does not allow; `before` is the suite as it is written.
pub(super) fn tell_of_cluster(spec: &SuiteSpec, before: Option<&RunSuite>) {
    let Some(cluster) = &spec.cluster else { return };
    let any = |is: &dyn Fn(&SuiteScenario) -> bool| {
        before.is_some_and(|suite| suite.scenarios.iter().any(is))
    };
    if any(&SuiteScenario::limits_links) {
        results::err!("cluster.links is left out: the machines' own links and cores are the limit");
    }
    if any(&|scenario| scenario.trials > 1) {
        results::err!("one trial each: further ones take new clusters");
    }
    for (id, why) in &cluster.not_allowed {
        results::err!(
            "not carried out on this cluster: {}",
            printable_line(&format!("{id}: {why}"))
        );
    }
}

/// Whether nothing is to be done: because that is asked for, or because nobody's cluster is hurt without its name.
pub(super) fn is_dry(args: &RunArgs, cluster: &FoundCluster) -> bool {
    args.dry_run || is_unnamed(args, cluster)
}

/// Whether the cluster is somebody else's, and was not named as one that may be hurt.
fn is_unnamed(args: &RunArgs, cluster: &FoundCluster) -> bool {
    cluster.survey.is_some() && args.yes_hurt_this_cluster.is_none()
}

/// The command that was typed, as one that carries the suite out: with the leave that it lacks.
pub(super) fn carried_out_by(
    typed: impl IntoIterator<Item = String>,
    args: &RunArgs,
    cluster: &FoundCluster,
) -> String {
    let typed = typed.into_iter().filter(|typed| typed != "--dry-run");
    let lacking = cluster.survey.as_ref().filter(|_| is_unnamed(args, cluster));
    let id = lacking.map(|survey| survey.cluster_id.clone());
    let leave = id.map(|id| ["--yes-hurt-this-cluster".to_owned(), id]);
    command_of(typed.chain(leave.into_iter().flatten()))
}

#[cfg(test)]
mod tests;
