//! A spec that was read from a run's directory is held to what holds for one that a user asks for: names
//! that are parts of paths, numbers that are gone by. The directory may be a stranger's.

use std::collections::BTreeSet;
use std::time::Duration;

use faults::plan::{ClusterChange, Plan};
use faults::port::Capability;
use results::record::budget::{MOST_PARALLEL, MOST_RUN_TIME, MOST_TRIALS};
use results::record::event::BrokerId;
use results::record::line;

use super::{BackendSpec, LocalSpec, RunSpec};
use crate::cluster::docker::{self, adopted::AdoptedSpec};
use crate::cluster::local::capability::takes_memory;
use crate::cluster::ssh::Inventory;
use crate::need::place::Storage;
use crate::provision::KafkaSource;
use crate::topology::Profile;
use crate::topology::Topic;
use crate::version::KafkaVersion;

/// Most bytes of the name of a file.
const MOST_NAME_BYTES: usize = 255;

/// Claims of a run; the guide makes ten.
const MOST_CLAIMS: usize = 1000;

/// Start and end of a cluster, of what a trial takes around its load; three brokers or five took 8 to 12 s on two cores.
pub(crate) const CLUSTER_TIME: Duration = Duration::from_secs(8);

impl RunSpec {
    /// Refuses what no run can be.
    ///
    /// # Errors
    /// What is wrong, in words.
    pub fn check(&self) -> Result<(), String> {
        if !is_file_name(&self.run_id) {
            return Err(format!("run_id `{}` is no name of a folder", self.run_id));
        }
        for (key, number, most) in
            [("trials", self.trials, MOST_TRIALS), ("parallel", self.parallel, MOST_PARALLEL)]
        {
            if !(1..=most).contains(&number) {
                return Err(format!("{key} = {number}: a run has from 1 to {most}"));
            }
        }
        if self.claims.len() > MOST_CLAIMS {
            return Err(format!("it has more than {MOST_CLAIMS} claims"));
        }
        if let Some(KafkaSource::Version(version)) = self.backend.kafka() {
            KafkaVersion::of(version).map_err(|failure| failure.text().to_owned())?;
        }
        let cluster = match &self.backend {
            BackendSpec::Local(local) => {
                let in_memory = || self.plan.iter().flat_map(Plan::needs).any(takes_memory);
                if self.cluster.profile == Profile::Benchmark {
                    benchmark(local, in_memory())?;
                }
                if local.storage == Storage::Disk && local.mode.has_namespaces() && in_memory() {
                    let why = "storage = \"disk\": the plan needs the servers' data in memory";
                    return Err(why.to_owned());
                }
                self.cluster.check()
            }
            BackendSpec::Attached(attached) => {
                let inventory = attached.inventory.as_ref();
                let checked = inventory.map_or(Ok(()), Inventory::check);
                checked.map_err(|why| format!("inventory: {why}"))?;
                let adopted = attached.containers.as_ref();
                let checked = adopted.map_or(Ok(()), AdoptedSpec::check);
                checked.map_err(|why| format!("containers: {why}"))?;
                self.cluster.check_attached()
            }
            BackendSpec::Docker(docker) => {
                let mut images = docker.images();
                images.try_for_each(line::check).map_err(|why| format!("image: {why}"))?;
                docker::spec::check(&self.cluster)?;
                self.cluster.check()
            }
        };
        cluster.map_err(|error| format!("cluster: {error}"))?;
        self.links()?;
        if self.backend.runs_already() && self.trials != 1 {
            return Err("a run on a cluster that runs already is of one trial".to_owned());
        }
        self.workload.validate().map_err(|error| format!("workload: {error}"))?;
        self.check_choices().map_err(|error| format!("workload: {error}"))?;
        self.taken_by_topics()?;
        let plan = self.plan.as_ref().map_or(Ok(()), |plan| plan.check());
        plan.map_err(|error| format!("plan: {error}"))?;
        self.may_change()?;
        if let (Some(plan), Some(count)) = (&self.plan, self.workload.phases.count) {
            let name = &plan.name;
            return Err(format!(
                "workload: phases.count = {count} is the length of a run without faults; with plan `{name}` the load \
                 lasts as long as the plan's steps take: --faults none"
            ));
        }
        if let Some(plan) = self.plan.as_ref().filter(|_| self.workload.backlog.is_some()) {
            let name = &plan.name;
            return Err(format!(
                "workload: [backlog] is built and read off on a healthy cluster; with plan `{name}` nobody could tell it \
                 from what the faults do: --faults none"
            ));
        }
        let expected = self.expected_trial();
        if expected > Duration::from_nanos(MOST_RUN_TIME) {
            let days = expected.as_secs() / (24 * 3600);
            return Err(format!("a trial would take about {days} days: it has 7 at most"));
        }
        Ok(())
    }

    /// Refuses limits of links where nodes have none of their own, and faults that would need their place.
    fn links(&self) -> Result<(), String> {
        if self.cluster.links.is_none() {
            return Ok(());
        }
        if matches!(&self.backend, BackendSpec::Local(local) if !local.mode.has_namespaces()) {
            let why = "in loopback mode nodes have no links of their own; run it in namespaces \
                (`kbench doctor` says what is missing for that), or without cluster.links";
            return Err(format!("cluster: links: {why}"));
        }
        let needs = self.plan.iter().flat_map(Plan::needs);
        let takes = |need: &Capability| {
            matches!(need, Capability::Rate | Capability::Delay | Capability::Reorder)
        };
        match (self.plan.as_ref(), needs.into_iter().find(takes)) {
            (Some(plan), Some(need)) => Err(format!(
                "cluster: links: plan `{}` needs `{need}`, which acts where the links are limited; use another plan, \
                 or leave cluster.links out",
                plan.name
            )),
            _ => Ok(()),
        }
    }

    /// Refuses changes that this cluster cannot make, or that nobody would undo on it.
    fn may_change(&self) -> Result<(), String> {
        let Some(plan) = self.plan.as_ref().filter(|plan| !plan.changes.is_empty()) else {
            return Ok(());
        };
        let name = &plan.name;
        let started_here = self.backend.local().is_some() && self.backend.kept().is_none();
        let lasts = plan.changes.iter().find_map(|step| Some((&step.id, step.change.lasts()?)));
        if let Some((id, lasts)) = lasts.filter(|_| !started_here) {
            return Err(format!(
                "plan `{name}`, change \"{id}\" {lasts}: only on a cluster that the run starts itself, on this machine"
            ));
        }
        let standby =
            |id: BrokerId| self.cluster.node.iter().any(|n| n.standby && n.broker == Some(id));
        let mut partitions = self.cluster.main_topic().assignment.len();
        let mut joined = BTreeSet::new();
        for step in &plan.changes {
            let id = &step.id;
            match &step.change {
                ClusterChange::Join(brokers) => {
                    if let Some(broker) =
                        brokers.iter().find(|id| !standby(**id) || !joined.insert(**id))
                    {
                        return Err(format!(
                            "plan `{name}`, change \"{id}\": broker {broker} is not on standby in the cluster: \
                             --cluster scale-out"
                        ));
                    }
                }
                ClusterChange::AddPartitions(count) if *count as usize <= partitions => {
                    return Err(format!(
                        "plan `{name}`, change \"{id}\": the topic of the load has {partitions} partitions already"
                    ));
                }
                ClusterChange::AddPartitions(count) => {
                    self.check_keys(0, *count)?;
                    partitions = *count as usize;
                }
                ClusterChange::Reassign
                | ClusterChange::ReassignThrottled(_)
                | ClusterChange::ElectLeaders => {}
            }
        }
        Ok(())
    }

    /// Refuses records that a topic refuses to which they are sent, as far as its settings are known.
    fn taken_by_topics(&self) -> Result<(), String> {
        let places = self.written_topics().into_iter();
        let mut topics = places.filter_map(|place| Some((place, self.cluster.topic.get(place)?)));
        topics.try_for_each(|(place, topic)| self.taken_by(place, topic))
    }

    fn taken_by(&self, place: usize, topic: &Topic) -> Result<(), String> {
        /// Kafka's default of `message.max.bytes`.
        const DEFAULT: u64 = 1_048_588;
        self.check_keys(place, topic.assignment.len() as u32)?;
        let (largest, keyless) = self.sent_to(place);
        let name = &topic.name;
        let broker = &self.cluster.broker.settings;
        let set = topic.config.get("max.message.bytes").or_else(|| broker.get("message.max.bytes"));
        let known = set.and_then(|bytes| bytes.trim().parse().ok());
        let most = known.or((!self.backend.runs_already()).then_some(DEFAULT));
        let largest = largest as u64;
        if let Some(most) = most.filter(|most| largest + workloads::BESIDE_VALUE > *most) {
            return Err(format!(
                "workload: record_bytes of {largest}: topic {name} takes batches of {most} bytes at most; raise its \
                 `max.message.bytes`"
            ));
        }
        let policy =
            topic.config.get("cleanup.policy").or_else(|| broker.get("log.cleanup.policy"));
        let compacts = policy.is_some_and(|policy| policy.contains("compact"));
        if compacts && keyless {
            return Err(format!(
                "workload: keys = \"none\": topic {name} is compacted, and takes no record without a key"
            ));
        }
        Ok(())
    }

    /// How long a trial is likely to take on two cores that have nothing else to do.
    pub fn expected_trial(&self) -> Duration {
        /// Cluster up, group joined, cluster down.
        const AROUND: Duration = Duration::from_secs(14);
        let there = if self.backend.runs_already() { CLUSTER_TIME } else { Duration::ZERO };
        /// Records that are drained and judged in a second: 130 000 were drained.
        const READ_PER_S: f64 = 60_000.0;
        let phases = &self.workload.phases;
        let middle = match &self.plan {
            None => self.workload.longest(self.cluster.brokers().len() as u32),
            Some(plan) => plan.estimate(Duration::from_millis(self.cluster.session_timeout_ms())),
        };
        let load = phases.warm_up.saturating_add(phases.baseline).saturating_add(middle);
        let per_s = self.workload.load.most_per_s(self.cluster.brokers().len() as u32) as f64;
        let read = Duration::try_from_secs_f64(load.as_secs_f64() * per_s / READ_PER_S);
        (AROUND - there).saturating_add(load).saturating_add(read.unwrap_or(Duration::MAX))
    }
}

/// Refuses what is no benchmark: `in_memory` says that a plan takes data in memory.
fn benchmark(local: &LocalSpec, in_memory: bool) -> Result<(), String> {
    let why = if local.kept.is_some() {
        "a kept cluster has the topics of the runs before; a benchmark starts a new one (without --on)"
    } else if in_memory {
        "the plan needs the servers' data in memory, and a benchmark has them on disk \
         (--set cluster.profile=failover has them in memory)"
    } else if local.storage == Storage::Memory {
        "storage = \"memory\", and a benchmark has the servers' data on disk"
    } else {
        return Ok(());
    };
    Err(format!("cluster: profile = \"benchmark\": {why}"))
}

fn is_file_name(name: &str) -> bool {
    let plain = line::check(name).is_ok() && !name.contains('/') && !name.starts_with('.');
    plain && !name.is_empty() && name.len() <= MOST_NAME_BYTES
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::cluster::local::sandbox::Mode;
    use crate::spec::{LocalSpec, Request};
    use results::compare::{Aspect, Conditions};

    /// What a run on a cluster of kbench's own says of that.
    pub(in super::super) fn local(spec: &mut RunSpec) -> &mut LocalSpec {
        match &mut spec.backend {
            BackendSpec::Local(local) => local,
            _ => panic!("it is not local"),
        }
    }

    /// What is asked for with this plan.
    pub(in super::super) fn asked(faults: &str) -> RunSpec {
        asked_on("four-nodes", faults)
    }

    pub(in super::super) fn asked_on(cluster: &str, faults: &str) -> RunSpec {
        let (seed, mode) = (Some(7), Some(Mode::Loopback));
        let request = Request { seed, mode, ..Request::of("smoke", faults, cluster) };
        request.resolve().unwrap().spec
    }

    #[test]
    fn what_is_asked_for_is_itself_when_it_is_read_again() {
        let (four, standby) = (asked("none"), asked_on("scale-out", "none"));
        for (name, text) in faults::plan::SHIPPED {
            for seed in 0..3 {
                let plan = faults::plan::Plan::parse(text).unwrap().drawn(seed);
                let without = if plan.changes.is_empty() { &four } else { &standby };
                let spec = RunSpec { plan: Some(plan), ..without.clone() };
                let again: RunSpec = toml::from_str(&toml::to_string(&spec).unwrap()).unwrap();
                assert_eq!(again.check(), Ok(()), "{name}");
                assert_eq!(again.plan, spec.plan, "{name}");
            }
        }
    }

    #[test]
    fn what_no_user_can_ask_for_is_refused_in_a_file_as_well() {
        type Change = fn(&mut RunSpec);
        let changes: [(Change, &str); 17] = [
            (
                |spec| spec.workload.backlog = Some(workloads::BacklogSpec::Bytes(1)),
                "[backlog] is built and read off on a healthy cluster",
            ),
            (
                |spec| spec.workload.phases.count = Some(1000),
                "phases.count = 1000 is the length of a run without faults",
            ),
            (|spec| spec.trials = u32::MAX, "trials = 4294967295: a run has from 1 to 1000"),
            (|spec| spec.trials = 0, "trials = 0"),
            (|spec| spec.parallel = 65, "parallel = 65"),
            (|spec| spec.run_id = "../../x".to_owned(), "run_id `../../x`"),
            (|spec| spec.run_id = "..".to_owned(), "run_id"),
            (|spec| spec.run_id = String::new(), "run_id"),
            (|spec| spec.run_id = "a\u{1b}b".to_owned(), "run_id"),
            (|spec| spec.cluster.node[0].name = "../../x".to_owned(), "node name `../../x`"),
            (|spec| spec.cluster.topic[0].name = "../x".to_owned(), "topic name `../x`"),
            (|spec| spec.cluster.topic.clear(), "a cluster needs a [[topic]]"),
            (|spec| spec.cluster.kafka.version = "../x".to_owned(), "not a version"),
            (
                |spec| local(spec).kafka = KafkaSource::Version("../../x".to_owned()),
                "not a version",
            ),
            (|spec| spec.workload.load.record_bytes = (usize::MAX >> 1).into(), "record_bytes"),
            (
                |spec| {
                    let named = toml::from_str("members = 1\ncommit_interval = '1s'").unwrap();
                    spec.workload.groups.insert("../x".to_owned(), named);
                },
                "\"../x\"",
            ),
            (|spec| spec.plan.as_mut().unwrap().steps[0].id = "../x".to_owned(), "\"../x\""),
        ];
        for (change, words) in changes {
            let mut spec = asked("failover");
            assert_eq!(spec.check(), Ok(()));
            change(&mut spec);
            let refused = spec.check().expect_err(words);
            assert!(refused.contains(words), "{refused}");
        }
    }

    #[test]
    fn a_benchmark_is_on_disk_and_on_a_new_cluster() {
        let benchmark = |faults| {
            let mut spec = asked(faults);
            spec.cluster.profile = Profile::Benchmark;
            let isolated = local(&mut spec);
            (isolated.mode, isolated.storage) = (Mode::UserNamespaces, Storage::Disk);
            spec
        };
        assert_eq!(benchmark("none").check(), Ok(()));
        assert_eq!(benchmark("failover").check(), Ok(()));
        let mut filled = benchmark("failover");
        let (_, text) =
            faults::plan::SHIPPED.iter().find(|(name, _)| *name == "full-disk").unwrap();
        filled.plan = Some(Plan::parse(text).unwrap());
        let refused = filled.check().unwrap_err();
        assert!(refused.contains("the plan needs the servers' data in memory"), "{refused}");
        let mut spec = benchmark("none");
        local(&mut spec).storage = Storage::Memory;
        let refused = spec.check().unwrap_err();
        assert!(refused.contains("storage = \"memory\", and a benchmark"), "{refused}");
    }

    #[test]
    fn links_are_limited_where_nodes_have_their_own_and_no_fault_takes_their_place() {
        let limited = |plan: &str, mode| {
            let mut spec = asked("none");
            let set = ["cluster.links.rate=2 MB/s".to_owned()];
            let (cluster, _) = crate::spec::cluster("local", &set, None, false).unwrap().spec;
            assert_eq!(cluster.links.map(|it| it.rate), Some(2_000_000));
            spec.cluster = cluster;
            local(&mut spec).mode = mode;
            let text = faults::plan::SHIPPED.iter().find(|(name, _)| *name == plan);
            spec.plan = text.map(|(_, text)| Plan::parse(text).unwrap().drawn(7));
            spec.check()
        };
        assert_eq!(limited("none", Mode::UserNamespaces), Ok(()));
        assert_eq!(limited("failover", Mode::UserNamespaces), Ok(()));
        let refused = limited("none", Mode::Loopback).unwrap_err();
        assert!(refused.contains("nodes have no links of their own"), "{refused}");
        let taken = faults::plan::SHIPPED.iter().find(|(_, text)| {
            Plan::parse(text).is_ok_and(|plan| plan.needs().contains(&Capability::Rate))
        });
        let refused = limited(taken.unwrap().0, Mode::UserNamespaces).unwrap_err();
        assert!(refused.contains("where the links are limited"), "{refused}");
    }

    #[test]
    fn profiles_are_asked_for_on_the_command_line_and_make_runs_unlike() {
        let of = |profile: &str| {
            let set = vec![format!("cluster.profile={profile}")];
            let (seed, mode) = (Some(7), Some(Mode::Loopback));
            let request = Request { seed, mode, set, ..Request::of("smoke", "none", "guide") };
            let spec = request.resolve().unwrap().spec;
            assert_eq!(spec.cluster.profile.as_str(), profile);
            let mut conditions = Conditions::default();
            let cluster = serde_json::to_value(&spec.cluster).unwrap();
            conditions.add(Aspect::Cluster, "cluster", &cluster);
            conditions
        };
        let unlike = of("failover").unlike(&of("benchmark"));
        let unlike: Vec<_> = unlike.iter().map(ToString::to_string).collect();
        let words = "cluster: cluster.profile is failover in A and benchmark in B";
        assert_eq!(unlike, [words]);
    }
}
