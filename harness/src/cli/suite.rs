//! `kbench run --suite` and `--resume`, and a suite's folder judged again.

mod cluster;

use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use comfy_table::{Table, presets};
use faults::plan::Plan;
use results::judge::claim::Claim;
use results::record::budget::MOST_PARALLEL;
use results::suite::{self, SuiteReport};
use results::terminal::{counted, printable_line};

use self::cluster::{carried_out_by, cluster_of, fit_to, is_dry, take_up, tell_of_cluster};
use super::found::FoundCluster;
use super::run::{command_line, command_of, containers, kafka_source, typed};
use super::{BackendChoice, JudgeArgs, PrintArgs, ReportFormat, RunArgs};
use crate::failure::{self, Failure};
use crate::kernel::available_memory;
use crate::need::{Need, RunFigures};
use crate::rundir::{self, RunDir};
use crate::series::search;
use crate::series::suite::{
    SuiteDir, SuiteSpec, carry_out, folder_names, others_beside, said_each_time,
};
use crate::series::{Series, block_on};
use crate::spec::{self, Asked, Request, RunSuite, SuiteCluster, claims_of, guide, now};

/// Cores that a scenario has to itself where another one runs beside it.
const CORES_EACH: usize = 4;

/// What a scenario is expected to take.
#[derive(Default)]
struct Expected {
    id: String,
    /// Trial after trial.
    time: Duration,
    trials: u32,
    /// Bytes of one trial, its servers' data among them.
    memory: u64,
    alone: bool,
    command: String,
    /// What of the cluster or the load it strikes or changes, in words.
    strikes: String,
    finished: bool,
    /// Why the cluster does not allow it.
    not_allowed: Option<String>,
}

impl Expected {
    fn is_left(&self) -> bool {
        !self.finished && self.not_allowed.is_none()
    }

    /// How long it takes where so many trials may run at the same time.
    fn takes(&self, at_once: usize) -> Duration {
        let trials = self.trials.max(1);
        let at_once = u32::try_from(at_once).unwrap_or(u32::MAX).max(1);
        (self.time / trials).saturating_mul(trials.div_ceil(at_once))
    }
}

pub(super) fn run(mut args: RunArgs) -> Result<ExitCode, Failure> {
    let resumed = args.resume.as_ref().map(|path| found(path, &args.out)).transpose()?;
    let (mut spec, claims) = match &resumed {
        Some(dir) => {
            let spec = dir.spec()?;
            let claims = dir.claims(&spec)?;
            spec.cluster.as_ref().map_or(Ok(()), |cluster| take_up(cluster, &mut args))?;
            (spec, claims)
        }
        None => asked(&args)?,
    };
    let cluster = cluster_of(&args, &spec)?;
    let before = resumed.is_none().then(|| spec.suite.clone());
    if resumed.is_none() {
        fit_to(&mut spec, &args, &cluster)?;
    }
    let expected = expected(&spec, &args, &claims, resumed.as_ref(), &cluster)?;
    let at_once = match args.parallel {
        Some(asked) => asked as usize,
        // One kbench works on a cluster at a time.
        None if spec.cluster.is_some() => 1,
        None => side_by_side(&expected, cores(), available_memory().0),
    };
    tell(&spec.suite, &expected, at_once);
    if let Some(survey) = &cluster.survey {
        results::err!("{}", printable_line(&survey.others()));
    }
    tell_of_cluster(&spec, before.as_ref());
    if is_dry(&args, &cluster) {
        results::out!("{}", shown(&expected, at_once));
        match spec.cluster.is_some() {
            true => results::err!(
                "nothing was done; to carry it out: {}",
                carried_out_by(typed(), &args, &cluster)
            ),
            false => results::err!("nothing was done"),
        }
        return Ok(ExitCode::SUCCESS);
    }
    let said = said_each_time(args.trust_spec, args.kafka_home.as_deref(), spec.cluster.as_ref());
    let (dir, report) = block_on(async {
        let series = match &resumed {
            Some(dir) => Series::open(dir.path().to_owned(), &said)?,
            None => Series::create(&args.out, &spec.suite.name, &said)?,
        };
        let dir = match resumed {
            Some(dir) => dir,
            None => {
                let dir = SuiteDir::create(&series, &spec, args.claims.as_deref())?;
                rundir::point_latest(&args.out, &dir.name()).map_err(|error| {
                    Failure::infrastructure(format!("the link `latest` cannot be made: {error}"))
                })?;
                dir
            }
        };
        let Some(_lock) = rundir::lock(dir.path())? else {
            let what = format!("{} is being carried out", dir.name());
            return Err(Failure::usage(what).with_cure("wait for that to end"));
        };
        results::err!("folder of its runs: {}", dir.path().display());
        let (failed, stopped) = carry_out(&series, &dir, &spec, at_once).await?;
        let report = dir.report(&failed, None)?;
        write(&report, &dir)?;
        let listed = dir.path().parent().map_or(Ok(()), RunDir::write_index);
        listed.unwrap_or_else(|error| error.print());
        if stopped {
            let path = dir.path().display().to_string();
            let again = ["run".to_owned(), "--resume".to_owned(), path].into_iter();
            let leave = spec.cluster.iter().flat_map(SuiteCluster::said_each_time);
            results::err!("interrupted: `{}` goes on", command_of(again.chain(leave)));
        }
        Ok((dir, report))
    })?;
    print(&report, &dir, args.print)
}

/// The suite's folder.
fn found(path: &Path, out: &Path) -> Result<SuiteDir, Failure> {
    let dir = SuiteDir::find(path, out).ok_or_else(|| {
        Failure::usage(format!("{} is no suite's folder", path.display()))
            .with_cure("`kbench list runs` shows those that are there; --out names the folder")
    })?;
    dir.is_own()?;
    Ok(dir)
}

/// What the arguments ask for, and the claims that it is to answer for.
fn asked(args: &RunArgs) -> Result<(SuiteSpec, Vec<Claim>), Failure> {
    let Some(name) = &args.suite else {
        return Err(Failure::usage("no suite is named (a defect)"));
    };
    let mut suite: RunSuite = spec::load(name, &[])?;
    let mut claims = guide()?;
    if let Some(file) = &args.claims {
        let own = claims_of(file)?;
        suite.answer_for(&own, &claims, &file.display().to_string())?;
        claims = own;
    }
    let docker = args.backend == BackendChoice::Docker;
    let spec = SuiteSpec {
        claims: args.claims.as_ref().map(|file| file.display().to_string()),
        strict: args.strict,
        seed: args.seed,
        kafka_version: args.kafka_version.clone(),
        mode: args.mode,
        images: docker.then(|| args.image.clone()),
        ..SuiteSpec::new(suite, command_line(), now())
    };
    Ok((spec, claims))
}

/// What every scenario of the suite is asked for alike.
fn of_all(spec: &SuiteSpec, args: &RunArgs, cluster: &FoundCluster) -> Result<Request, Failure> {
    let docker = match &spec.images {
        Some(images) => containers(BackendChoice::Docker, images)?,
        None => containers(args.backend, &args.image)?,
    };
    Ok(cluster.clone().asked(Request {
        mode: spec.mode,
        kafka: kafka_source(spec.kafka_version.clone(), args.kafka_home.clone()),
        docker,
        keep_topics: args.keep_topics,
        trusted: args.trust_spec,
        asked: Asked { hurt: args.yes_hurt_this_cluster.clone(), ..Asked::default() },
        ..Request::of(spec::WORKLOAD, "none", "local")
    }))
}

/// Resolves every scenario as its run will, so that what cannot be carried out is refused before the first.
fn expected(
    spec: &SuiteSpec,
    args: &RunArgs,
    claims: &[Claim],
    dir: Option<&SuiteDir>,
    cluster: &FoundCluster,
) -> Result<Vec<Expected>, Failure> {
    let mut of_all = of_all(spec, args, cluster)?;
    if let (Some(survey), None) = (&cluster.survey, &of_all.asked.hurt) {
        // A dry run: nothing is hurt, so no name has to be given for it.
        of_all.asked.hurt = Some(survey.cluster_id.clone());
    }
    let mut all = vec![];
    for (scenario, folder) in folder_names(&spec.suite) {
        let within = |failure: Failure| failure.within(&format!("scenario \"{}\"", scenario.id));
        let command = scenario.command(spec.cluster.as_ref());
        let expected = Expected {
            id: scenario.id.clone(),
            alone: scenario.is_alone(),
            command,
            not_allowed: spec.not_allowed(scenario).map(str::to_owned),
            ..Expected::default()
        };
        if expected.not_allowed.is_some() {
            let plan = scenario.plan_as_written().map_err(within)?;
            scenario.can_decide(claims, plan.as_ref())?;
            all.push(expected);
            continue;
        }
        let request = scenario.request(&of_all).map_err(within)?;
        let resolved = request.resolve().map_err(within)?;
        scenario.can_decide(claims, resolved.spec.plan.as_ref())?;
        failure::warn(&resolved.warnings);
        let need = Need::of(&RunFigures::of(&resolved.spec));
        all.push(Expected {
            memory: need.data.saturating_add(need.lab).saturating_add(need.judge),
            time: match &scenario.max_rate {
                None => resolved.spec.expected_trial().saturating_mul(scenario.trials),
                Some(search) => search::expected(&search.into(), &resolved.spec),
            },
            trials: scenario.trials,
            strikes: resolved.spec.plan.as_ref().map_or("nothing".to_owned(), strikes),
            finished: dir.is_some_and(|dir| dir.done(scenario, &folder).is_some()),
            ..expected
        });
    }
    Ok(all)
}

/// What a plan does to the cluster and the load's clients, in words.
fn strikes(plan: &Plan) -> String {
    let changes = plan.changes.iter().map(|step| step.change.to_string());
    let faults = plan.steps.iter().map(|step| {
        let (name, targets) = (step.fault.fault().name(), step.targets_listed());
        format!("{name} {targets}").trim_end().to_owned()
    });
    changes.chain(faults).collect::<Vec<_>>().join("; ")
}

fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// How many scenarios there are cores and bytes of memory for.
fn side_by_side(all: &[Expected], cores: usize, memory: u64) -> usize {
    let largest = all.iter().filter(|it| it.is_left()).map(|it| it.memory).max();
    let fit = memory / largest.unwrap_or_default().max(1);
    (cores / CORES_EACH).min(fit as usize).clamp(1, MOST_PARALLEL as usize)
}

/// How long the scenarios that are not finished take, so many of them at the same time.
fn take(all: &[Expected], at_once: usize) -> Duration {
    let (mut now, mut before) = (Duration::ZERO, false);
    let mut ends: Vec<Duration> = vec![];
    for it in all.iter().filter(|it| it.is_left()) {
        ends.sort_unstable();
        let over = ends.len().saturating_sub(others_beside(it.alone, before, at_once));
        now = ends.drain(..over).fold(now, Duration::max);
        ends.push(now.saturating_add(it.takes(at_once)));
        before = it.alone;
    }
    ends.into_iter().fold(now, Duration::max)
}

/// How many scenarios there are, and how long they take.
fn tell(suite: &RunSuite, all: &[Expected], at_once: usize) {
    let seconds = take(all, at_once).as_secs();
    let scenarios = counted(all.len() as u64, "scenario");
    let of_them = |n: usize, how: &str| match n {
        0 => String::new(),
        n => format!(", {n} of them {how}"),
    };
    let finished = of_them(all.iter().filter(|it| it.finished).count(), "finished");
    let not_allowed = all.iter().filter(|it| it.not_allowed.is_some()).count();
    let not_allowed = of_them(not_allowed, "not carried out on this cluster");
    let time = format!("{} min {} s", seconds / 60, seconds % 60);
    let beside = match at_once {
        1 => String::new(),
        n => format!(", {n} at a time"),
    };
    results::err!(
        "suite {}: {scenarios}{finished}{not_allowed}, expected to take about {time}{beside}",
        suite.name
    );
}

/// The scenarios that are carried out: how long each takes, what it strikes, and its command.
fn shown(all: &[Expected], at_once: usize) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_header(["SCENARIO", "ABOUT", "STRIKES", "COMMAND"]);
    for it in all.iter().filter(|it| it.not_allowed.is_none()) {
        let time = match it.finished {
            true => "finished".to_owned(),
            false => format!("{} s", it.takes(at_once).as_secs()),
        };
        let texts = [&it.id, &time, &it.strikes, &it.command];
        table.add_row(texts.map(|text| printable_line(text).into_owned()));
    }
    table.trim_fmt()
}

/// What `kbench validate` says of a suite: it resolves every scenario.
pub(super) fn valid(file: &str, trusted: bool) -> Result<String, Failure> {
    let spec = SuiteSpec::new(spec::load(file, &[])?, String::new(), now());
    let mut args = super::run::arguments(&["--suite", file])?;
    args.trust_spec = trusted;
    let all = expected(&spec, &args, &guide()?, None, &FoundCluster::default())?;
    let takes = if all.len() == 1 { "takes" } else { "take" };
    let seconds = take(&all, 1).as_secs();
    Ok(format!("{} {takes} about {seconds} s", counted(all.len() as u64, "scenario")))
}

/// `kbench check` and `kbench report` of a suite: each of its runs is judged again.
pub(super) fn judge(dir: &SuiteDir, args: &JudgeArgs, writes: bool) -> Result<ExitCode, Failure> {
    let report = dir.report(&Default::default(), Some(args.strict))?;
    if writes {
        write(&report, dir)?;
        let renewed = dir.path().parent().map_or(Ok(()), RunDir::renew_index);
        renewed.unwrap_or_else(|error| error.print());
    }
    print(&report, dir, args.print)
}

fn write(report: &SuiteReport, dir: &SuiteDir) -> Result<(), Failure> {
    report.write(dir.path()).map_err(|error| Failure::infrastructure(error.to_string()))
}

fn print(report: &SuiteReport, dir: &SuiteDir, how: PrintArgs) -> Result<ExitCode, Failure> {
    match how.format {
        ReportFormat::Text => {
            let render = if how.verbose { suite::render } else { suite::summary_of };
            results::out!("{}", render(report, dir.path()).trim_end());
        }
        ReportFormat::Markdown => results::out!("{}", suite::markdown(report).trim_end()),
        ReportFormat::Json => {
            let json = report.to_json().map_err(|error| {
                Failure::infrastructure(format!("the report cannot be written: {error}"))
            })?;
            results::out!("{}", json.trim_end());
        }
    }
    Ok(ExitCode::from(report.exit_code))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scenarios_take_as_long_as_the_last_of_those_beside_it_and_a_search_waits_for_all() {
        let of = |seconds, alone, finished| {
            let time = Duration::from_secs(seconds);
            Expected { time, alone, finished, ..Expected::default() }
        };
        let all = [
            of(30, false, false),
            of(100, false, true),
            of(20, false, false),
            of(20, false, false),
            of(50, true, false),
            of(10, false, false),
            of(10, false, false),
        ];
        let seconds = [1, 2, 3].map(|at_once| take(&all, at_once).as_secs());
        assert_eq!(seconds, [140, 40 + 50 + 10, 30 + 50 + 10]);
        assert_eq!(take(&[], 2), Duration::ZERO);
        let trials = [Expected { trials: 5, ..of(100, true, false) }];
        let seconds = [1, 2, 5, 9].map(|at_once| take(&trials, at_once).as_secs());
        assert_eq!(seconds, [100, 60, 20, 20]);
    }

    #[test]
    fn scenarios_run_side_by_side_where_cores_and_memory_are_enough_for_the_largest_that_is_left() {
        let of = |memory, finished| Expected { memory, finished, ..Expected::default() };
        let all = [of(9, true), of(3, false), of(2, false)];
        let beside = |cores, memory| side_by_side(&all, cores, memory);
        assert_eq!([2, 7, 8, 16].map(|cores| beside(cores, 100)), [1, 1, 2, 4]);
        assert_eq!([0, 5, 6, 9].map(|memory| beside(16, memory)), [1, 1, 2, 3]);
        assert_eq!(side_by_side(&[], 8, 0), 1);
        assert_eq!(side_by_side(&[], 1 << 20, u64::MAX), MOST_PARALLEL as usize);
    }
}
