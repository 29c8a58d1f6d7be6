//! How a source stands with its registry, shared by its heartbeat and all of its blocking queries.
//!
//! Contact is up or down, and has a generation: when it comes back, when the leader changes and when the registry
//! begins a new history, the next generation starts, and every query drops what it holds and reads anew. Only when each
//! has reported in the current generation is the source alive.

use std::cell::{Cell, RefCell};

use tokio::sync::{Notify, watch};

use crate::source::{Fault, Feed};

/// The state of one run of a source.
pub(super) struct Contact<'a> {
    feed: &'a Feed,
    moment: watch::Sender<Moment>,
    /// Wakes the heartbeat before its time.
    doubted: Notify,
    members: Cell<usize>,
    /// How many members have settled in this generation.
    settled: Cell<usize>,
    /// Why contact is down, as far as logged: a heartbeat finds the same again and again, with each agent in turn.
    said: RefCell<Vec<Fault>>,
}

/// A moment in a source's life.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Moment {
    pub(super) up: bool,
    /// Grows whenever everything has to be read again; 0 before the first contact.
    pub(super) generation: u64,
    /// Grows whenever the registry begins a new history, in which revisions may be lower.
    pub(super) epoch: u64,
}

/// One of the queries that must have reported before the source is alive. Leaves when dropped.
pub(super) struct Member<'a> {
    contact: &'a Contact<'a>,
    settled_in: Cell<u64>,
}

impl<'a> Contact<'a> {
    pub(super) fn new(feed: &'a Feed) -> Self {
        Contact {
            feed,
            moment: watch::Sender::default(),
            doubted: Notify::new(),
            members: Cell::new(0),
            settled: Cell::new(0),
            said: RefCell::default(),
        }
    }

    pub(super) fn feed(&self) -> &'a Feed {
        self.feed
    }

    pub(super) fn moment(&self) -> Moment {
        *self.moment.borrow()
    }

    /// Joins those that must report.
    pub(super) fn join(&'a self) -> Member<'a> {
        self.members.set(self.members.get() + 1);
        Member { contact: self, settled_in: Cell::new(0) }
    }

    /// The registry answers and has a leader; `afresh` if everything must be read again.
    pub(super) fn up(&self, afresh: bool) {
        self.said.take();
        if afresh || !self.moment().up {
            self.next_generation(|moment| moment.up = true);
        }
        self.alive_if_settled();
    }

    /// The registry does not answer, or has no leader.
    pub(super) fn down(&self, fault: Fault) {
        let mut said = self.said.borrow_mut();
        if !said.contains(&fault) && said.len() < SAID {
            tracing::warn!(reason = fault.reason.name(), "{}", fault.detail);
            said.push(fault.clone());
        }
        drop(said);
        self.moment.send_if_modified(|moment| std::mem::replace(&mut moment.up, false));
        self.feed.lost(fault);
    }

    /// The registry's revisions went back: what it says from here on is another history.
    pub(super) fn new_epoch(&self, why: String) {
        tracing::warn!("{why}");
        self.feed.epoch_changed(why);
        self.next_generation(|moment| moment.epoch += 1);
    }

    /// Asks the heartbeat to look at once.
    pub(super) fn doubt(&self) {
        self.doubted.notify_one();
    }

    /// Until [`Contact::doubt`] is called.
    pub(super) async fn doubted(&self) {
        self.doubted.notified().await;
    }

    /// Until contact is up; the moment at which it is.
    pub(super) async fn is_up(&self) -> Moment {
        self.when(|moment| moment.up).await
    }

    /// Until everything has to be read again.
    pub(super) async fn is_past(&self, generation: u64) {
        self.when(|moment| moment.generation != generation).await;
    }

    async fn when(&self, condition: impl FnMut(&Moment) -> bool) -> Moment {
        let mut changes = self.moment.subscribe();
        match changes.wait_for(condition).await {
            Ok(moment) => *moment,
            // The sender lives as long as `self`.
            Err(_) => std::future::pending().await,
        }
    }

    fn next_generation(&self, change: impl FnOnce(&mut Moment)) {
        self.settled.set(0);
        self.moment.send_modify(|moment| {
            change(moment);
            moment.generation += 1;
        });
    }

    fn alive_if_settled(&self) {
        if self.moment().up && self.settled.get() == self.members.get() {
            self.feed.alive();
        }
    }
}

impl Member<'_> {
    /// Has reported, or doubted, what it watches, as it was read in `generation`.
    pub(super) fn settle(&self, generation: u64) {
        let contact = self.contact;
        if generation == contact.moment().generation && self.settled_in.replace(generation) != generation {
            contact.settled.set(contact.settled.get() + 1);
            contact.alive_if_settled();
        }
    }

    /// What it reported stands no longer for all it watches.
    pub(super) fn unsettle(&self) {
        let generation = self.contact.moment().generation;
        if generation != 0 && self.settled_in.replace(0) == generation {
            self.contact.settled.set(self.contact.settled.get() - 1);
        }
    }
}

impl Drop for Member<'_> {
    fn drop(&mut self) {
        self.unsettle();
        self.contact.members.set(self.contact.members.get() - 1);
        self.contact.alive_if_settled();
    }
}

/// How many different reasons are logged for one loss of contact.
const SAID: usize = 32;

#[cfg(test)]
mod tests {
    use resolver_core::Reason;

    use super::*;

    fn alive(feed: &Feed) -> bool {
        feed.take().alive_at.is_some()
    }

    #[test]
    fn alive_only_when_every_member_has_settled() {
        let feed = Feed::default();
        let contact = Contact::new(&feed);
        let (first, second) = (contact.join(), contact.join());
        contact.up(false);
        assert!(!alive(&feed));
        first.settle(1);
        first.settle(1);
        assert!(!alive(&feed));
        second.settle(1);
        assert!(alive(&feed));
        contact.up(false);
        assert!(alive(&feed), "every good heartbeat says so again");
    }

    #[test]
    fn after_contact_was_lost_everything_is_read_again() {
        let feed = Feed::default();
        let contact = Contact::new(&feed);
        let member = contact.join();
        contact.up(false);
        member.settle(1);
        contact.down(Fault::new(Reason::Unreachable, "gone"));
        assert_eq!(feed.take().lost.map(|fault| fault.reason), Some(Reason::Unreachable));
        contact.up(false);
        assert!(!alive(&feed));
        member.settle(1);
        assert!(!alive(&feed), "an answer from before does not count");
        member.settle(2);
        assert!(alive(&feed));
    }

    #[test]
    fn a_member_that_leaves_is_waited_for_no_longer() {
        let feed = Feed::default();
        let contact = Contact::new(&feed);
        let (first, second) = (contact.join(), contact.join());
        contact.up(false);
        first.settle(1);
        drop(second);
        assert!(alive(&feed));
        drop(first);
        contact.up(false);
        assert!(alive(&feed), "nothing to watch is no fault");
    }

    #[test]
    fn a_new_epoch_reads_everything_again() {
        let feed = Feed::default();
        let contact = Contact::new(&feed);
        let member = contact.join();
        contact.up(false);
        member.settle(1);
        contact.new_epoch("restored".into());
        let report = feed.take();
        assert_eq!(report.new_epoch.as_deref(), Some("restored"));
        assert_eq!(contact.moment(), Moment { up: true, generation: 2, epoch: 1 });
        contact.up(false);
        assert!(!alive(&feed));
    }
}
