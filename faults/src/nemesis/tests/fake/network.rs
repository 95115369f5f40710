//! The network of the cluster in memory.

use super::*;

#[async_trait(?Send)]
impl Network for World {
    async fn cut(&self, cut: &Cut) -> Result<(), PortError> {
        let act = async || {
            self.can(Capability::Cut)?;
            cut.nodes.iter().try_for_each(|node| self.knows_node(node))?;
            if self.cuts().contains(cut) {
                let what = format!("{cut}: that is cut already");
                return Err(PortError::new(ErrorKind::Refused, what));
            }
            let listed = |undo: &Undo| matches!(undo, Undo::Uncut { cut: of, .. } if of == cut);
            assert!(self.on_disk().iter().any(listed), "{cut} cut without undo");
            if self.deaf {
                return Ok(());
            }
            let mut state = self.state.borrow_mut();
            state.cuts.push(cut.clone());
            let on_it = |id: &BrokerId| cut.nodes.contains(&self.broker(*id).node);
            let struck = state.leaders.iter().flatten().any(on_it);
            state.mute |= struck && matches!(cut.spec.from, Side::Brokers | Side::Clients);
            drop(state);
            if matches!(cut.spec.from, Side::OtherNodes | Side::Zookeeper) {
                self.lose(&cut.nodes, true);
            }
            Ok(())
        };
        self.call(format!("cut {cut}"), act).await
    }

    async fn uncut(&self, cut: &Cut) -> Result<(), PortError> {
        let act = async || {
            self.tick();
            let mut state = self.state.borrow_mut();
            state.cuts.retain(|known| known != cut);
            state.mute &= !state.cuts.is_empty();
            drop(state);
            self.lose(&cut.nodes, false);
            Ok(())
        };
        self.call(format!("uncut {cut}"), act).await
    }

    fn cuts(&self) -> Vec<Cut> {
        self.state.borrow().cuts.clone()
    }

    async fn taken(&self, cut: &Cut) -> Result<BTreeMap<String, u64>, PortError> {
        let act = async || {
            let there = self.cuts().contains(cut);
            Ok(cut.ends(&nodes()).into_keys().filter(|_| there).map(|node| (node, 7)).collect())
        };
        self.call(format!("taken {cut}"), act).await
    }

    fn link(&self, node: &str) -> Result<LinkEnds, PortError> {
        let far = FarEnd { host: "switch".into(), interface: format!("to-{node}") };
        Ok(LinkEnds { node: node.into(), interface: "eth0".into(), far: Some(far) })
    }

    async fn set_links(&self, nodes: &[String], up: bool) -> Result<(), PortError> {
        let act = async || {
            self.can(Capability::LinkDown)?;
            nodes.iter().try_for_each(|node| self.knows_node(node))?;
            let listed = nodes.iter().all(|node| self.on_disk().iter().any(|u| takes_up(u, node)));
            assert!(up || listed, "links taken down without undo");
            if self.deaf && !up {
                return Ok(());
            }
            self.lose(nodes, !up);
            let mut state = self.state.borrow_mut();
            for node in nodes {
                if up {
                    state.links_down.remove(node);
                } else {
                    state.links_down.insert(node.clone());
                }
            }
            Ok(())
        };
        let verb = if up { "take up" } else { "take down" };
        self.call(format!("{verb} {}", nodes.join(" and ")), act).await
    }

    async fn link_is_up(&self, node: &str) -> Result<bool, PortError> {
        let act = async || {
            self.knows_node(node)?;
            Ok(!self.links_down().iter().any(|down| down == node))
        };
        self.call(format!("link of {node}"), act).await
    }

    async fn degrade(&self, degradation: &Degradation) -> Result<(), PortError> {
        let act = async || {
            self.can(match degradation.condition {
                Condition::Loss(_) => Capability::Loss,
                Condition::Rate(_) => Capability::Rate,
                Condition::Delay(_) => Capability::Delay,
                Condition::Duplicate(_) => Capability::Duplicate,
                Condition::Reorder(_) => Capability::Reorder,
            })?;
            degradation.nodes.iter().try_for_each(|node| self.knows_node(node))?;
            if self.degradations().contains(degradation) {
                let what = format!("there is a {degradation} already");
                return Err(PortError::new(ErrorKind::Refused, what));
            }
            let listed = self.on_disk().iter().any(|undo| restores(undo, degradation));
            assert!(listed, "{degradation} without undo");
            if !self.deaf {
                self.state.borrow_mut().degraded.push(degradation.clone());
            }
            Ok(())
        };
        self.call(format!("degrade {degradation}"), act).await
    }

    async fn restore(&self, degradation: &Degradation) -> Result<(), PortError> {
        let act = async || {
            self.state.borrow_mut().degraded.retain(|known| known != degradation);
            Ok(())
        };
        self.call(format!("restore {degradation}"), act).await
    }

    async fn degraded(
        &self,
        degradation: &Degradation,
    ) -> Result<BTreeMap<String, Degraded>, PortError> {
        let act = async || {
            let there = self.degradations().contains(degradation);
            let nodes = degradation.nodes.iter().filter(|_| there).cloned();
            Ok(nodes.map(|node| (node, Degraded { by: "nft", touched: 7, seen: 70 })).collect())
        };
        self.call(format!("degraded {degradation}"), act).await
    }

    async fn round_trip(&self, from: &Origin, to: &Process) -> Result<Option<Duration>, PortError> {
        if self.way(from, to, Service::Clients)? != Reach::Answered {
            sleep(Duration::from_secs(3)).await;
            return Ok(None);
        }
        let delay = self.degradations().into_iter().find_map(|degraded| match degraded.condition {
            Condition::Delay(delay) if degraded.nodes.contains(&to.node) => Some(delay.by),
            _ => None,
        });
        Ok(Some(delay.unwrap_or_default() + Duration::from_micros(200)))
    }

    async fn reaches(
        &self,
        from: &Origin,
        to: &Process,
        service: Service,
    ) -> Result<Reach, PortError> {
        let reach = self.way(from, to, service)?;
        if reach == Reach::Unanswered {
            sleep(Duration::from_millis(250)).await;
        }
        Ok(reach)
    }
}

impl World {
    /// What becomes of a connection.
    fn way(&self, from: &Origin, to: &Process, service: Service) -> Result<Reach, PortError> {
        self.reach()?;
        self.knows(to)?;
        let (cuts, down) = (self.cuts(), self.links_down());
        let mut cuts = cuts.iter().filter(|cut| cut.silences(&nodes(), from, to, service));
        let from = match from {
            Origin::Node(node) => node.as_str(),
            Origin::Clients => "",
        };
        if !from.is_empty() {
            self.knows_node(from)?;
        }
        let is_down = |node: &String| *node == from || *node == to.node;
        Ok(if self.haunted {
            Reach::Answered
        } else if from != to.node && down.iter().any(is_down) {
            Reach::Unanswered
        } else if let Some(cut) = cuts.next() {
            if cut.spec.by == By::Reset { Reach::Refused } else { Reach::Unanswered }
        } else if matches!(self.state_of(to), ProcessState::Gone { .. }) {
            Reach::Refused
        } else {
            Reach::Answered
        })
    }
}
