//! What of a running load is changed from outside: rates of producers, partitions of the main topic.

use std::num::NonZeroU64;

use super::Load;
use crate::client::{ClientSetup, ToClient};
use crate::error::LoadError;

impl Load {
    /// Changes the rate of a producer; the main one is called `main`, others as in the workload. What
    /// was due by now stays due when it was, and the new rate begins where the old one stopped. The
    /// client's queue keeps the size that the first rate gave it.
    ///
    /// # Errors
    /// When the load has no producer of that name.
    pub fn set_rate(&mut self, producer: &str, per_second: NonZeroU64) -> Result<(), LoadError> {
        let is_meant = |setup: &ClientSetup| matches!(setup, ClientSetup::Producer(setup) if setup.is_called(producer));
        // A table's producers, one on each topic, have equal shares.
        let meant = self.list.iter().filter(|spec| is_meant(&spec.setup)).count() as u64;
        if meant == 0 {
            return Err(LoadError::NoProducer { name: producer.to_owned() });
        }
        let per_second = (per_second.get() / meant).max(1);
        let change = |setup: &mut ClientSetup| {
            if let ClientSetup::Producer(setup) = setup {
                setup.rate = Some(per_second);
            }
        };
        for spec in self.list.iter_mut().filter(|spec| is_meant(&spec.setup)) {
            change(&mut spec.setup);
        }
        for client in self.clients.iter_mut().filter(|client| is_meant(&client.setup)) {
            change(&mut client.setup);
            client.seat.tell(ToClient::Rate { per_second });
        }
        Ok(())
    }

    /// Takes up the partitions that a topic has been given: it has `partitions` now. Every client of it asks the
    /// brokers until it knows them. Fewer than before, or as many, change nothing, and so does a topic that no
    /// client is on.
    ///
    /// # Errors
    /// When a producer has no key for one of them; then nothing has changed.
    pub fn grow(&mut self, topic: &str, partitions: u32) -> Result<(), LoadError> {
        let mut loaded = self.lives.all();
        let Some(grown) = loaded.find(|loaded| loaded.name == topic) else { return Ok(()) };
        let place = grown.place;
        if partitions <= grown.live.partitions() {
            return Ok(());
        }
        for spec in self.list.iter().filter(|spec| spec.topic.name == topic) {
            if let ClientSetup::Producer(producer) = &spec.setup {
                producer.check(partitions)?;
            }
        }
        grown.live.grow(partitions);
        for spec in &mut self.list {
            let others = spec.setup.others_mut().iter_mut();
            let of_client = std::iter::once(&mut spec.topic).chain(others);
            for own in of_client.filter(|own| own.name == topic) {
                own.partitions = partitions;
            }
        }
        for client in &mut self.clients {
            let reads = client.setup.others_mut().iter().any(|other| other.name == topic);
            if reads || client.topic == topic {
                client.seat.tell(ToClient::Partitions { place, count: partitions });
            }
        }
        Ok(())
    }
}
