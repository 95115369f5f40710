//! The run around the cluster in memory.

use std::collections::BTreeSet;

use results::record::event::{ChangeMark, ChangeSeen};

use super::*;
use crate::plan::ChangeStep;

#[async_trait(?Send)]
impl RunControl for World {
    fn now(&self) -> RunTime {
        RunTime(self.began.elapsed().as_nanos() as u64)
    }

    fn record(&self, at: RunTime, kind: EventKind) {
        let json = serde_json::to_value(&kind).unwrap();
        // Recording cannot fail; that the user interrupts just then can happen.
        self.trouble(json["event"].as_str().unwrap());
        self.events.borrow_mut().push(Event { at, kind });
    }

    async fn steady(&self, limit: Duration) -> Result<(), PortError> {
        let act = async || {
            let until = Instant::now() + limit;
            while self.see().brokers.len() < 3 || !self.down().is_empty() {
                if Instant::now() >= until {
                    return Err(PortError::new(ErrorKind::TimedOut, "a broker is missing"));
                }
                sleep(Duration::from_millis(100)).await;
            }
            Ok(())
        };
        self.call("steady".into(), act).await
    }

    async fn replace_member(&self, _: Duration) -> Result<(), PortError> {
        self.call("replace member".into(), async || Ok(())).await
    }

    async fn recovered(&self, _: RunTime, without: &[Process], limit: Duration) -> bool {
        let zookeeper = without.iter().any(|process| process.role == Role::Zookeeper);
        let brokers = without.iter().filter(|process| process.role == Role::Broker);
        let without: Vec<_> = brokers.map(|process| process.id).collect();
        let act = async || {
            let until = Instant::now() + limit;
            loop {
                let view = self.see();
                let elected = view.controller.is_some_and(|id| !without.contains(&id));
                // min.insync.replicas = 2, and an ISR that still lists the dead acks nothing.
                let acks = view.partitions.values().all(|p| {
                    p.leader.is_some()
                        && p.isr.len() >= 2
                        && without.iter().all(|id| !p.isr.contains(id))
                });
                let quorum = !zookeeper || self.state.borrow().has_quorum();
                let mute = self.state.borrow().mute;
                if elected && acks && quorum && !mute {
                    return Ok(true);
                }
                if Instant::now() >= until {
                    return Ok(false);
                }
                sleep(Duration::from_millis(100)).await;
            }
        };
        self.call("recovered".into(), act).await.unwrap_or(false)
    }

    async fn change(&self, step: &ChangeStep, struck: &dyn Fn() -> BTreeSet<Process>) -> bool {
        let record = |mark| {
            let struck: Vec<_> = struck().iter().map(|it| it.id.to_string()).collect();
            self.record(
                self.now(),
                EventKind::Change(ChangeSeen {
                    change: step.id.clone(),
                    mark,
                    what: format!("beside {}", struck.join(",")),
                    leave: vec![],
                    partitions: vec![],
                    log_bytes: BTreeMap::new(),
                    unseen: None,
                }),
            );
        };
        record(ChangeMark::Began);
        let made = async || {
            sleep(Duration::from_secs(4)).await;
            Ok(())
        };
        let made = self.call("make change".into(), made).await.is_ok();
        record(if made { ChangeMark::Done } else { ChangeMark::GivenUp });
        made
    }

    fn delay_before(&self, _: &str) -> Duration {
        Duration::ZERO
    }

    fn interrupted(&self) -> bool {
        self.interrupted.get()
    }
}
