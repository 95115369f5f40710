//! What happens to clients while the load runs: members leave, join, are replaced and stall, clients
//! are killed, and the load is restored.
//!
//! What is done to members is done to those of the main group, the one of `[consumers]`.

use std::sync::Arc;
use std::time::Duration;

use results::record::history::stream_path;

use super::running::name_in;
use super::{ClientState, Load, RunningClient};
use crate::client::{ClientKind, ClientSetup, ToClient};
use crate::error::LoadError;
use crate::live::Live;

/// A client whose process was killed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Killed {
    /// Name of the client and of its stream in the history, that of its first topic.
    pub client: String,
    /// How the process ended, for people.
    pub how: String,
    /// Size of its stream when it had ended.
    pub history_bytes: u64,
    /// Its streams of further topics, by name and size.
    pub further: Vec<(String, u64)>,
}

impl Load {
    /// The clients that the load has or is to have.
    pub fn clients(&self) -> Vec<ClientState> {
        let absent = self.absent().map(|place| {
            let setup = &self.list[place].setup;
            let (name, kind) = (setup.client().name(), setup.kind());
            ClientState { name, kind, runs: false, pid: None, at_work: false }
        });
        self.clients.iter().map(RunningClient::state).chain(absent).collect()
    }

    /// Places in the list of clients that do not run.
    fn absent(&self) -> impl Iterator<Item = usize> {
        let runs = |place: &usize| self.clients.iter().any(|client| client.place == Some(*place));
        (0..self.list.len()).filter(move |place| !runs(place))
    }

    /// Name of a client of this kind that is at work in a process of its own.
    ///
    /// # Errors
    /// When there is none.
    pub fn killable(&self, kind: ClientKind) -> Result<String, LoadError> {
        let mut found = self.clients.iter().filter(|client| client.setup.kind() == kind);
        let found = found.find(|client| client.is_killable());
        found
            .map(RunningClient::name)
            .ok_or_else(|| LoadError::NoProcess { client: kind.to_string() })
    }

    /// Kills the process of the client `name`; returns when it has ended.
    ///
    /// # Errors
    /// When no client of that name is at work in a process of its own, or it cannot be killed.
    pub fn kill(&mut self, name: &str) -> Result<Killed, LoadError> {
        let mut clients = self.clients.iter();
        let at = clients.position(|client| client.name() == name && client.is_killable());
        let at = at.ok_or_else(|| LoadError::NoProcess { client: name.to_owned() })?;
        let client = self.clients.remove(at);
        let how = client.seat.kill()?;
        // It may have begun another life in its last moments: what it told last counts.
        let name = name_in(&client.setup, &client.watch);
        if let (Some(place), Some(renewed)) = (client.place, client.watch.renewed())
            && let ClientSetup::Producer(producer) = &mut self.list[place].setup
        {
            producer.incarnation = renewed + 1;
        }
        // One that was killed before it wrote anything has no stream.
        let written = |name: &str| {
            stream_path(&self.history_dir, name).metadata().map_or(0, |written| written.len())
        };
        let history_bytes = written(&name);
        let further = match &client.setup {
            ClientSetup::Member(member) => {
                let names = member.others.iter().map(|other| member.stream_of(other));
                names.map(|name| (name.clone(), written(&name))).collect()
            }
            _ => vec![],
        };
        Ok(Killed { client: name, how, history_bytes, further })
    }

    /// Gives the load the clients that it is to have: starts what was killed or left, lets members
    /// leave that are one too many, and stalled ones poll.
    ///
    /// # Errors
    /// When one cannot be started.
    pub fn restore(&mut self) -> Result<(), LoadError> {
        self.clients.iter_mut().for_each(|client| client.stall(false));
        while let Some(at) = self.clients.iter().position(|client| client.place.is_none()) {
            self.leave(at);
        }
        self.start_absent(|_| true)
    }

    /// Starts the clients of the list that do not run and are `wanted`.
    pub(super) fn start_absent(
        &mut self,
        wanted: impl Fn(&ClientSetup) -> bool,
    ) -> Result<(), LoadError> {
        let absent: Vec<_> = self.absent().filter(|p| wanted(&self.list[*p].setup)).collect();
        absent.into_iter().try_for_each(|place| self.start_client(place, Some(place)))
    }

    /// The main group's members that run: place among the running clients, and number.
    fn members(&self) -> Vec<(usize, u16)> {
        let Some(group) = self.live.groups().first() else {
            return vec![];
        };
        let member = |(at, client): (usize, &RunningClient)| Some((at, client.member_of(group)?));
        self.clients.iter().enumerate().filter_map(member).collect()
    }

    /// Places in the list of the main group's members.
    fn listed_members(&self) -> Vec<usize> {
        let group = self.live.groups().first();
        let of_group = |place: &usize| {
            let setup = &self.list[*place].setup;
            matches!(setup, ClientSetup::Member(setup) if Some(&setup.group) == group)
        };
        (0..self.list.len()).filter(of_group).collect()
    }

    /// Lets the running client at this place leave at once; its end is awaited with the load's.
    fn leave(&mut self, at: usize) {
        let client = self.clients.remove(at);
        client.seat.tell(ToClient::Stop { within: Duration::ZERO });
        self.former.push(client);
    }

    /// Lets one member of the group leave without a last commit and a new one join; returns the
    /// new one's number. Members take turns. Without a group nothing happens, and there is no number.
    pub fn restart_consumer(&mut self) -> Option<u16> {
        let (number, members) = (self.next_member, self.members());
        let (at, _) = members.get(usize::from(number) % members.len().max(1))?;
        self.clients[*at].replace(number);
        self.next_member += 1;
        Some(number)
    }

    /// Lets one member of the group leave at once, without a last commit; the others take over.
    pub fn remove_consumer(&mut self) {
        if let Some((at, _)) = self.members().pop() {
            self.leave(at);
        }
    }

    /// Lets one more member join the group. Without a group nothing happens.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn add_consumer(&mut self) -> Result<(), LoadError> {
        // Any member's settings are the group's.
        let like = self.listed_members().pop();
        like.map_or(Ok(()), |like| self.start_client(like, None))
    }

    /// Lets one member of the group that reads a partition stop polling. It stays connected, and is
    /// missed only after `max.poll.interval.ms`.
    pub fn stall_consumer(&mut self) {
        let members = self.members();
        let reads = members.iter().find(|(_, number)| !self.read_by(*number).is_empty());
        if let Some((at, _)) = reads {
            self.clients[*at].stall(true);
        }
    }

    /// Lets the members of all groups pause, or resume where they were. They stay in their groups.
    pub fn pause_groups(&self, paused: bool) {
        let members =
            self.clients.iter().filter(|client| client.setup.kind() == ClientKind::Member);
        members.for_each(|member| member.seat.tell(ToClient::Pause { paused }));
    }

    /// How many members the group has now, and how many it is to have.
    pub fn consumers(&self) -> (usize, usize) {
        (self.members().len(), self.listed_members().len())
    }

    /// Partitions that a member which does not poll was last seen to read, each with its topic's figures.
    pub fn stalled_partitions(&self) -> Vec<(Arc<Live>, u32)> {
        let members = self.members();
        let stalled = members.iter().filter(|(at, _)| self.clients[*at].stalled);
        stalled.flat_map(|(_, number)| self.read_by(*number)).collect()
    }

    /// Whether a member was told not to poll.
    pub fn is_stalled(&self) -> bool {
        self.clients.iter().any(|client| client.stalled)
    }

    /// What the main group's member `number` reads.
    fn read_by(&self, number: u16) -> Vec<(Arc<Live>, u32)> {
        let of = |live: &Arc<Live>| {
            let own = |p: &u32| live.owner(*p) == Some(number);
            let live = Arc::clone(live);
            let own = (0..live.partitions()).filter(own).collect::<Vec<_>>();
            own.into_iter().map(move |p| (Arc::clone(&live), p))
        };
        self.of_main_group().flat_map(of).collect()
    }

    /// Figures of the topics that the main group reads.
    fn of_main_group(&self) -> impl Iterator<Item = &Arc<Live>> {
        let group = self.live.groups().first();
        let read = move |live: &&Arc<Live>| group.is_some() && live.groups().first() == group;
        self.lives.all().map(|topic| &topic.live).filter(read)
    }

    /// Whether every member reads a partition, or need not.
    pub fn all_joined(&self) -> bool {
        self.members().iter().all(|(_, number)| self.has_joined(*number))
    }

    /// Whether member `number` reads a partition, or need not: it has left, there are more members
    /// than partitions, or no group.
    pub fn has_joined(&self, number: u16) -> bool {
        let members = self.members();
        members.iter().all(|(_, other)| *other != number)
            || members.len() > self.of_main_group().map(|live| live.partitions() as usize).sum()
            || !self.read_by(number).is_empty()
    }
}
