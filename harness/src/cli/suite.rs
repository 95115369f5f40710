//! `kbench run --suite` and `--resume`, and a suite's folder judged again.

use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use comfy_table::{Table, presets};
use results::judge::claim::Claim;
use results::suite::{self, SuiteReport};
use results::terminal::{argument, counted, printable_line};

use super::run::{command_line, containers, kafka_source};
use super::{BackendChoice, JudgeArgs, PrintArgs, ReportFormat, RunArgs};
use crate::failure::{self, Failure};
use crate::rundir;
use crate::series::search;
use crate::series::suite::{SuiteDir, SuiteSpec, carry_out, folder_names, others_beside, trusted};
use crate::series::{Series, block_on};
use crate::spec::{self, Request, RunSuite, claims_of, guide, now};

/// What a scenario is expected to take.
struct Expected {
    id: String,
    time: Duration,
    alone: bool,
    command: String,
    finished: bool,
}

pub(super) fn run(args: &RunArgs) -> Result<ExitCode, Failure> {
    let resumed = args.resume.as_ref().map(|path| found(path, &args.out)).transpose()?;
    let (spec, claims) = match &resumed {
        Some(dir) => {
            let spec = dir.spec()?;
            let claims = dir.claims(&spec)?;
            (spec, claims)
        }
        None => (asked(args)?, args.claims.as_deref().map_or_else(guide, claims_of)?),
    };
    let expected = expected(&spec, args, &claims, resumed.as_ref())?;
    tell(&spec.suite, &expected, args.parallel as usize);
    if args.dry_run {
        show(&expected);
        results::err!("nothing was done");
        return Ok(ExitCode::SUCCESS);
    }
    let further = trusted(args.trust_spec, args.kafka_home.as_deref());
    let (dir, report) = block_on(async {
        let series = match &resumed {
            Some(dir) => Series::open(dir.path().to_owned(), &further)?,
            None => Series::create(&args.out, &spec.suite.name, &further)?,
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
        let (failed, stopped) = carry_out(&series, &dir, &spec, args.parallel as usize).await?;
        let report = dir.report(&failed, None)?;
        write(&report, &dir)?;
        if stopped {
            let path = dir.path().display().to_string();
            results::err!("interrupted: `kbench run --resume {}` goes on", argument(&path));
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

/// What the arguments ask for.
fn asked(args: &RunArgs) -> Result<SuiteSpec, Failure> {
    let Some(name) = &args.suite else {
        return Err(Failure::usage("no suite is named (a defect)"));
    };
    let suite: RunSuite = spec::load(name, &[])?;
    let docker = args.backend == BackendChoice::Docker;
    Ok(SuiteSpec {
        claims: args.claims.as_ref().map(|file| file.display().to_string()),
        strict: args.strict,
        seed: args.seed,
        kafka_version: args.kafka_version.clone(),
        mode: args.mode,
        images: docker.then(|| args.image.clone()),
        ..SuiteSpec::new(suite, command_line(), now())
    })
}

/// Resolves every scenario as its run will, so that what cannot be carried out is refused before the first.
fn expected(
    spec: &SuiteSpec,
    args: &RunArgs,
    claims: &[Claim],
    dir: Option<&SuiteDir>,
) -> Result<Vec<Expected>, Failure> {
    let docker = match &spec.images {
        Some(images) => containers(BackendChoice::Docker, images)?,
        None => containers(args.backend, &args.image)?,
    };
    let mut all = vec![];
    for (scenario, folder) in folder_names(&spec.suite) {
        let within = |failure: Failure| failure.within(&format!("scenario \"{}\"", scenario.id));
        let mut request = Request {
            set: scenario.set.clone(),
            duration: scenario.length().map_err(Failure::usage).map_err(within)?,
            trials: scenario.trials,
            mode: spec.mode,
            kafka: kafka_source(spec.kafka_version.clone(), args.kafka_home.clone()),
            docker: docker.clone(),
            trusted: args.trust_spec,
            ..Request::of(&scenario.workload, &scenario.plan, &scenario.cluster)
        };
        if let Some(search) = &scenario.max_rate {
            let gates = search.objective.iter().map(|gate| gate.parse().map_err(Failure::usage));
            request.gates = gates.collect::<Result<_, _>>().map_err(within)?;
        }
        let resolved = request.resolve().map_err(within)?;
        scenario.can_decide(claims, &resolved.spec)?;
        failure::warn(&resolved.warnings);
        all.push(Expected {
            id: scenario.id.clone(),
            time: match &scenario.max_rate {
                None => resolved.spec.expected_trial().saturating_mul(scenario.trials),
                Some(search) => search::expected(&search.into(), &resolved.spec),
            },
            alone: scenario.is_alone(),
            command: scenario.command(),
            finished: dir.is_some_and(|dir| dir.done(scenario, &folder).is_some()),
        });
    }
    Ok(all)
}

/// How long the scenarios that are not finished take, so many of them at the same time.
fn take(all: &[Expected], at_once: usize) -> Duration {
    let (mut now, mut before) = (Duration::ZERO, false);
    let mut ends: Vec<Duration> = vec![];
    for it in all.iter().filter(|it| !it.finished) {
        ends.sort_unstable();
        let over = ends.len().saturating_sub(others_beside(it.alone, before, at_once));
        now = ends.drain(..over).fold(now, Duration::max);
        ends.push(now.saturating_add(it.time));
        before = it.alone;
    }
    ends.into_iter().fold(now, Duration::max)
}

/// How many scenarios there are, and how long they take.
fn tell(suite: &RunSuite, all: &[Expected], at_once: usize) {
    let left = all.iter().filter(|it| !it.finished).count();
    let seconds = take(all, at_once).as_secs();
    let scenarios = counted(all.len() as u64, "scenario");
    let finished = match all.len() - left {
        0 => String::new(),
        n => format!(", {n} of them finished"),
    };
    let time = format!("{} min {} s", seconds / 60, seconds % 60);
    results::err!("suite {}: {scenarios}{finished}, expected to take about {time}", suite.name);
}

fn show(all: &[Expected]) {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_header(["SCENARIO", "ABOUT", "COMMAND"]);
    for it in all {
        let time =
            if it.finished { "finished".to_owned() } else { format!("{} s", it.time.as_secs()) };
        table.add_row([&*printable_line(&it.id), &time, &printable_line(&it.command)]);
    }
    results::out!("{}", table.trim_fmt());
}

/// What `kbench validate` says of a suite: it resolves every scenario.
pub(super) fn valid(file: &str, trusted: bool) -> Result<String, Failure> {
    let spec = SuiteSpec::new(spec::load(file, &[])?, String::new(), now());
    let mut args = super::run::arguments(&["--suite", file])?;
    args.trust_spec = trusted;
    let all = expected(&spec, &args, &guide()?, None)?;
    let takes = if all.len() == 1 { "takes" } else { "take" };
    let seconds = take(&all, 1).as_secs();
    Ok(format!("{} {takes} about {seconds} s", counted(all.len() as u64, "scenario")))
}

/// `kbench check` and `kbench report` of a suite: each of its runs is judged again.
pub(super) fn judge(dir: &SuiteDir, args: &JudgeArgs, writes: bool) -> Result<ExitCode, Failure> {
    let report = dir.report(&Default::default(), Some(args.strict))?;
    if writes {
        write(&report, dir)?;
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
            Expected { id: String::new(), time, alone, command: String::new(), finished }
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
    }
}
