//! Members that follow the same. The hub tells a channel once that there are news, however many members it
//! has, and they share one filter.

use std::{collections::HashMap, sync::Arc};

use eventwall_hub::{Hub, Registration, Waiter};
use eventwall_log::Filter;
use slab::Slab;

use super::mailbox::{ChannelNews, Mailbox};

pub(super) struct Channel {
    pub(super) filter: Filter,
    /// By their index in the shard.
    pub(super) members: Vec<u32>,
    pub(super) news: Arc<ChannelNews>,
    _registration: Registration,
}

#[derive(Default)]
pub(super) struct Channels {
    by_filter: HashMap<Filter, u32>,
    all: Slab<Channel>,
}

/// A member's place in its channel.
#[derive(Debug, Clone, Copy)]
pub(super) struct Seat {
    pub(super) channel: u32,
    pub(super) seat: u32,
}

impl Channels {
    pub(super) fn get(&self, channel: u32) -> Option<&Channel> {
        self.all.get(channel as usize)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Channel> {
        self.all.iter().map(|(_, channel)| channel)
    }

    /// From now on a member hears of news.
    pub(super) fn join(
        &mut self,
        member: u32,
        filter: &Filter,
        (hub, mailbox): (&Hub, &Arc<Mailbox>),
    ) -> Seat {
        let number = match self.by_filter.get(filter) {
            Some(number) => *number,
            None => self.add(filter, hub, mailbox),
        };
        let members = &mut self.all[number as usize].members;
        members.push(member);
        Seat { channel: number, seat: small(members.len() - 1) }
    }

    fn add(&mut self, filter: &Filter, hub: &Hub, mailbox: &Arc<Mailbox>) -> u32 {
        let entry = self.all.vacant_entry();
        let number = small(entry.key());
        let news = Arc::new(ChannelNews::new(mailbox.clone(), number));
        let waiter: Arc<dyn Waiter> = news.clone();
        let registration = hub.register(filter.clone(), &waiter);
        let filter = filter.clone();
        self.by_filter.insert(filter.clone(), number);
        let members = Vec::with_capacity(1);
        entry.insert(Channel { filter, members, news, _registration: registration });
        number
    }

    /// Gives a seat up; answers who sits there now.
    pub(super) fn leave(&mut self, Seat { channel, seat }: Seat) -> Option<u32> {
        let left = &mut self.all[channel as usize];
        left.members.swap_remove(seat as usize);
        if left.members.is_empty() {
            let empty = self.all.remove(channel as usize);
            self.by_filter.remove(&empty.filter);
            return None;
        }
        left.members.get(seat as usize).copied()
    }
}

/// There are never as many: each has a socket.
pub(super) fn small(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}
