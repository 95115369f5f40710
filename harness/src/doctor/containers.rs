//! What the containers of an inventory lack for a run, and the cure. They are only looked at.

use nix::unistd::geteuid;
use workloads::wire::Connector;

use super::{DoctorCheck, Health, check, of_docker, tool};
use crate::cluster::attached::ClusterSurvey;
use crate::cluster::docker;
use crate::cluster::docker::adopted::{self, ContainerInventory};

/// Looks at every container, and at what its load would connect to.
pub fn container_checks(inventory: ContainerInventory) -> Vec<DoctorCheck> {
    let engine = docker::engine();
    let is_there = engine.is_ok();
    let mut checks = vec![of_docker("Docker", engine), root(geteuid().is_root())];
    checks.push(tool("iproute2", "ip", Health::Poor));
    checks.push(tool("nftables", "nft", Health::Poor));
    if !is_there {
        return checks;
    }
    let found = match adopted::find(inventory) {
        Ok(found) => found,
        Err(failure) => {
            checks.push(of_docker("containers", Err(failure)));
            return checks;
        }
    };
    checks.extend(found.told().into_iter().map(|line| of_docker("container", Ok(line))));
    let survey = ClusterSurvey::blocking(&found.spec.bootstrap(), &Connector::default());
    checks.push(of_docker(
        "load",
        survey.and_then(|survey| {
            found.at(&survey)?;
            survey.is_whole()?;
            let id = survey.cluster_id;
            Ok(format!(
                "cluster {id} takes connections from here, and tells where its containers are"
            ))
        }),
    ));
    checks
}

/// Whether kbench may act in containers.
fn root(is_root: bool) -> DoctorCheck {
    if is_root {
        return check(
            "root",
            Health::Good,
            "processes and networks of containers can be acted on",
            None,
        );
    }
    let detail = "you are not root: load, checks and faults of clients work, and what acts on containers does not";
    let cure = "start kbench by sudo, on the machine that Docker runs on, and not in a container";
    check("root", Health::Poor, detail, Some(cure.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_not_root_is_told_what_works_all_the_same() {
        assert_eq!(root(true).health, Health::Good);
        let told = root(false);
        assert!(told.health == Health::Poor && told.detail.contains("load, checks"), "{told:?}");
        assert!(told.cure.is_some_and(|cure| cure.contains("sudo")));
    }
}
