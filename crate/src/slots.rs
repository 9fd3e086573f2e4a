//! The sockets of one I/O thread, in a table indexed by descriptor.
//!
//! The kernel gives out the lowest free descriptor, so the table has few holes, and an idle connection costs its entry and
//! no heap.

use std::os::fd::RawFd;

use crate::connection::Connection;
use crate::exchange::Exchange;

/// How many entries the table grows by. Doubling would leave up to half of it unused.
const GROWTH: usize = 1024;

/// Who owns a descriptor.
#[derive(Debug, Default)]
pub enum Slot {
    /// No socket of ours.
    #[default]
    Free,
    /// A connection that the server accepted.
    Connection(Connection),
    /// The client's side of a send. Boxed, for there are few of them and an entry is to stay small.
    Exchange(Box<Exchange>),
}

/// The table.
#[derive(Debug, Default)]
pub struct Slots {
    slots: Vec<Slot>,
    connections: usize,
}

impl Slots {
    /// Gives a descriptor its owner.
    pub fn insert(&mut self, fd: RawFd, slot: Slot) {
        let index = index(fd);
        if index >= self.slots.len() {
            let length = (index / GROWTH + 1) * GROWTH;
            self.slots.reserve_exact(length - self.slots.len());
            self.slots.resize_with(length, Slot::default);
        }
        self.connections += usize::from(matches!(slot, Slot::Connection(_)));
        self.slots[index] = slot;
    }

    /// Takes the owner out, which closes the descriptor when it is dropped.
    pub fn remove(&mut self, fd: RawFd) -> Slot {
        let slot = self.slots.get_mut(index(fd)).map(std::mem::take).unwrap_or_default();
        self.connections -= usize::from(matches!(slot, Slot::Connection(_)));
        slot
    }

    /// The owner of a descriptor.
    pub fn get_mut(&mut self, fd: RawFd) -> Option<&mut Slot> {
        self.slots.get_mut(index(fd))
    }

    /// How many connections there are.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.connections
    }

    /// Every connection, with its descriptor.
    pub fn iter_connections(&mut self) -> impl Iterator<Item = (RawFd, &mut Connection)> {
        (0..).zip(&mut self.slots).filter_map(|(fd, slot)| match slot {
            Slot::Connection(connection) => Some((fd, connection)),
            _ => None,
        })
    }
}

fn index(fd: RawFd) -> usize {
    usize::try_from(fd).expect("descriptors are not negative")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_idle_connection_costs_at_most_64_bytes() {
        assert!(size_of::<Slot>() <= 64, "{} bytes", size_of::<Slot>());
    }
}
