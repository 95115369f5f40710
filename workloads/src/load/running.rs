//! One running client of a load.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering::Relaxed};
use std::time::Duration;

use results::record::event::EventKind;
use results::record::history::LoadRole;

use super::lives::TopicLive;
use super::{Lives, OnEvent};
use crate::client::{ClientKind, ClientSetup, Counts, FromClient, ToClient, Watch};
use crate::error::LoadError;
use crate::live::Live;
use crate::seat::Seat;

/// A client that runs, as the load holds it.
pub(super) struct RunningClient {
    /// Its place in the list of clients that the load is to have; `None` for one more than that.
    pub(super) place: Option<usize>,
    pub(super) setup: ClientSetup,
    /// Name of its topic.
    pub(super) topic: String,
    /// Whether that is the probes'.
    pub(super) probes: bool,
    pub(super) seat: Box<dyn Seat>,
    pub(super) watch: Arc<ClientWatch>,
    /// Whether it is a member that was told not to poll.
    pub(super) stalled: bool,
}

impl RunningClient {
    /// Its name in the life that it has now.
    pub(super) fn name(&self) -> String {
        name_in(&self.setup, &self.watch)
    }

    /// Its number, if it is a member of the group `group`.
    pub(super) fn member_of(&self, group: &str) -> Option<u16> {
        match &self.setup {
            ClientSetup::Member(setup) if setup.group == group => Some(setup.number),
            _ => None,
        }
    }

    pub(super) fn role(&self) -> Option<LoadRole> {
        match &self.setup {
            ClientSetup::Producer(setup) => Some(setup.role),
            _ => None,
        }
    }

    pub(super) fn is_killable(&self) -> bool {
        self.seat.pid().is_some() && self.watch.at_work()
    }

    /// Lets a member leave and a new one, `number`, join.
    pub(super) fn replace(&mut self, number: u16) {
        if let ClientSetup::Member(setup) = &mut self.setup {
            setup.number = number;
            self.seat.tell(ToClient::Replace { number });
        }
    }

    /// Lets a member stop polling, or poll again.
    pub(super) fn stall(&mut self, stalled: bool) {
        if self.stalled != stalled {
            self.stalled = stalled;
            self.seat.tell(ToClient::Stall { stalled });
        }
    }

    /// Waits for its end; it was told to stop. Without time for outcomes, there is none for an end of
    /// a process in good order.
    pub(super) fn end(self, limit: Duration) -> Result<Counts, LoadError> {
        if limit.is_zero() && self.seat.pid().is_some() {
            return self.seat.kill().map(|_| Counts::default());
        }
        self.seat.join()
    }

    pub(super) fn state(&self) -> ClientState {
        ClientState {
            name: self.name(),
            kind: self.setup.kind(),
            runs: true,
            pid: self.seat.pid(),
            at_work: self.watch.at_work(),
        }
    }
}

/// The name of a client that was started with this setup, in the life that it has now.
pub(super) fn name_in(setup: &ClientSetup, watch: &ClientWatch) -> String {
    let mut setup = setup.clone();
    if let (ClientSetup::Producer(setup), Some(incarnation)) = (&mut setup, watch.renewed()) {
        setup.incarnation = incarnation;
    }
    setup.client().name()
}

/// What a client told of itself.
pub(super) struct ClientWatch {
    lives: Lives,
    on_event: OnEvent,
    /// Which of a topic's groups it is in, by the topics' places.
    groups: BTreeMap<usize, usize>,
    at_work: AtomicBool,
    /// One more than the life that it was made anew for; 0 when it was not.
    renewed: AtomicU32,
}

impl ClientWatch {
    /// Of a client in `group`, if it is in one.
    pub(super) fn new(lives: Lives, group: Option<&str>, on_event: OnEvent) -> Self {
        let (at_work, renewed) = (AtomicBool::new(false), AtomicU32::new(0));
        let in_group = |topic: &TopicLive| {
            let at = topic.live.groups().iter().position(|id| Some(id.as_str()) == group)?;
            Some((topic.place, at))
        };
        let groups = lives.all().filter_map(in_group).collect();
        Self { lives, on_event, groups, at_work, renewed }
    }

    /// Tells the figures of the topic at `place`, of which it is in a group.
    fn note(&self, place: usize, note: impl FnOnce(&Live, usize)) {
        if let (Some(live), Some(group)) = (self.lives.at(place), self.groups.get(&place)) {
            note(live, *group);
        }
    }

    pub(super) fn at_work(&self) -> bool {
        self.at_work.load(Relaxed)
    }

    /// The life that it has now, if it was made anew since it was started.
    pub(super) fn renewed(&self) -> Option<u16> {
        self.renewed.load(Relaxed).checked_sub(1).map(|incarnation| incarnation as u16)
    }
}

impl Watch for ClientWatch {
    fn hear(&self, message: FromClient) {
        match message {
            FromClient::AtWork => self.at_work.store(true, Relaxed),
            FromClient::Failed { at, client, error } => {
                (self.on_event)(at, EventKind::ClientFailed { client, error });
            }
            FromClient::Renewed { at, failed, client, incarnation } => {
                self.renewed.store(u32::from(incarnation) + 1, Relaxed);
                (self.on_event)(at, EventKind::ClientRenewed { failed, client });
            }
            FromClient::Times { at, times } => (self.on_event)(at, EventKind::ClientTimes(times)),
            FromClient::Assigned { place, partition, member } => {
                self.note(place, |live, group| live.assigned(group, partition, member));
            }
            FromClient::Revoked { place, partition, member } => {
                self.note(place, |live, group| live.revoked(group, partition, member));
            }
            FromClient::Polled { place, partition, offset } => {
                self.note(place, |live, group| live.polled(group, partition, offset));
            }
            // What it came to is its seat's to know.
            FromClient::Ended(_) => {}
        }
    }
}

/// A client that the load has or is to have, as it stands now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientState {
    /// Its name, and that of its stream in the history.
    pub name: String,
    /// What kind of client.
    pub kind: ClientKind,
    /// Whether it runs.
    pub runs: bool,
    /// Id of the process of its own that it runs in.
    pub pid: Option<u32>,
    /// Whether it does what it is for: every partition has acked a record of it, the group gave it
    /// partitions, a record was read.
    pub at_work: bool,
}

impl fmt::Display for ClientState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.name)?;
        if let Some(pid) = self.pid {
            write!(f, " (pid {pid})")?;
        }
        let is = match self {
            Self { runs: false, .. } => "does not run",
            Self { at_work: false, .. } => "is not at work yet",
            Self { kind: ClientKind::Producer, .. } => {
                "is at work: every partition has acked a record of it"
            }
            _ => "is at work",
        };
        write!(f, " {is}")
    }
}
