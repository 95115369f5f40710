//! The cluster that runs already which arguments name, found and asked about itself.

use std::path::Path;

use super::RunArgs;
use crate::cluster::attached::{ClusterSurvey, SecuredBy};
use crate::cluster::docker::adopted::{self, AdoptedSpec, FoundContainers};
use crate::cluster::local::kept::{KeptCluster, KeptSpec};
use crate::cluster::ssh::Inventory;
use crate::failure::Failure;
use crate::spec::{self, AnyInventory, Request, SuiteCluster, WhichCluster};

/// What is known of it; nothing where a run makes its cluster.
#[derive(Debug, Clone, Default)]
pub(super) struct FoundCluster {
    /// One that `kbench cluster up` started.
    pub on: Option<KeptCluster>,
    /// One of somebody else's, as it told of itself.
    pub survey: Option<ClusterSurvey>,
    /// How that is connected to.
    pub secured: Option<SecuredBy>,
    /// Its machines.
    pub inventory: Option<Inventory>,
    /// Its containers.
    pub containers: Option<AdoptedSpec>,
}

impl FoundCluster {
    /// Looks it up, and asks it where it is somebody else's; `is_made` where containers are to be made.
    ///
    /// # Errors
    /// Usage failures: it cannot be found, or an option is for another kind of cluster. Infrastructure failures: nobody
    /// answers, or brokers are elsewhere than the inventory has them.
    pub(super) fn of(args: &RunArgs, is_made: bool) -> Result<Self, Failure> {
        let secured = args.command_config.as_deref().map(SecuredBy::read).transpose()?;
        let (secured, connector) = secured.unzip();
        let connector = connector.unwrap_or_default();
        let is_named = args.on.is_some() || args.bootstrap_server.is_some() || is_made;
        let named = args.cluster.as_deref().filter(|_| !is_named);
        let (inventory, containers) = match named.map(spec::inventory_of).transpose()?.flatten() {
            Some(AnyInventory::Machines(inventory)) => (Some(*inventory), None),
            Some(AnyInventory::Containers(inventory)) => (None, Some(adopted::find(inventory)?)),
            None => (None, None),
        };
        let of_inventory = || match &containers {
            Some(found) => Some(found.spec.bootstrap()),
            None => inventory.as_ref().map(Inventory::bootstrap),
        };
        let bootstrap = args.bootstrap_server.clone().or_else(of_inventory);
        let for_those =
            [("--command-config", secured.is_some()), ("--keep-topics", args.keep_topics)];
        if let Some((option, _)) = for_those.iter().find(|(_, given)| *given && bootstrap.is_none())
        {
            let why = format!("{option} is for a cluster that runs already");
            return Err(Failure::usage(why).with_cure("--bootstrap-server HOST:PORT names one"));
        }
        let survey = bootstrap.map(|at| ClusterSurvey::blocking(&at, &connector)).transpose()?;
        if let (Some(inventory), Some(survey)) = (&inventory, &survey) {
            survey.is_at(inventory)?;
        }
        let at = |found: FoundContainers| survey.as_ref().map(|survey| found.at(survey));
        let containers = containers.and_then(at).transpose()?.map(|found| found.spec);
        let on = args.on.as_ref().map(|on| KeptCluster::find(on, &args.clusters)).transpose()?;
        Ok(Self { on, survey, secured, inventory, containers })
    }

    /// A request for a run on it.
    pub(super) fn asked(self, request: Request) -> Request {
        let Self { on, survey, secured, inventory, containers } = self;
        Request { on, attached: survey, secured, inventory, containers, ..request }
    }

    /// How many brokers it has; none where a run makes its cluster.
    ///
    /// # Errors
    /// When it is a kept one that has gone meanwhile.
    pub(super) fn brokers(&self) -> Result<Option<usize>, Failure> {
        match (&self.survey, &self.on) {
            (Some(survey), _) => Ok(Some(survey.brokers.len())),
            (None, Some(kept)) => Ok(Some(KeptSpec::load(&kept.dir)?.topology.brokers().len())),
            (None, None) => Ok(None),
        }
    }

    /// As a suite's folder names it; none where each scenario makes its cluster. What `args` named was found here.
    pub(super) fn for_suite(&self, args: &RunArgs) -> Option<SuiteCluster> {
        let which = match (&self.on, &args.bootstrap_server, &args.cluster, &self.survey) {
            (Some(kept), ..) => WhichCluster::Kept(kept.dir.clone()),
            (None, Some(at), ..) => WhichCluster::BootstrapServer(at.clone()),
            (None, None, Some(name), Some(_)) => WhichCluster::Inventory(from_anywhere(name)),
            (None, None, ..) => return None,
        };
        Some(SuiteCluster {
            which,
            id: self.survey.as_ref().map(|survey| survey.cluster_id.clone()),
            command_config: self.secured.as_ref().map(|secured| secured.file.clone()),
            keep_topics: args.keep_topics,
            not_allowed: Default::default(),
        })
    }
}

/// The path of an inventory's file from whatever folder it is read; a shipped name as it is.
fn from_anywhere(name: &str) -> String {
    let shipped = [crate::cluster::ssh::inventory::SHIPPED, adopted::inventory::SHIPPED];
    if shipped.concat().iter().any(|(shipped, _)| *shipped == name) {
        return name.to_owned();
    }
    let absolute = std::fs::canonicalize(Path::new(name)).ok();
    absolute.and_then(|path| path.to_str().map(str::to_owned)).unwrap_or_else(|| name.to_owned())
}
