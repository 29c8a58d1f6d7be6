//! Which services are to be watched, and which of them have no query of their own.

use std::cell::RefCell;
use std::collections::{BTreeSet, HashMap, VecDeque};
use std::rc::Rc;

use tokio::sync::Notify;

use super::contact::Contact;
use super::merged::Merged;

/// The services of one run.
pub(super) struct Wanted<'a> {
    contact: &'a Contact<'a>,
    datacenters: usize,
    services: RefCell<HashMap<String, Standing<'a>>>,
    /// Not yet looked at.
    fresh: RefCell<VecDeque<Rc<Merged<'a>>>>,
    /// Over the limit, and watched together; in the order in which they came.
    unwatched: RefCell<VecDeque<Rc<Merged<'a>>>>,
    /// What each datacentre's catalogue listed last.
    lists: RefCell<Vec<Option<BTreeSet<String>>>>,
    changed: Notify,
}

struct Standing<'a> {
    /// Watched whether or not the catalogue lists it.
    always: bool,
    listed: bool,
    merged: Rc<Merged<'a>>,
}

impl<'a> Wanted<'a> {
    pub(super) fn new(contact: &'a Contact<'a>, datacenters: usize) -> Self {
        Wanted {
            contact,
            datacenters,
            services: RefCell::default(),
            fresh: RefCell::default(),
            unwatched: RefCell::default(),
            lists: RefCell::new(vec![None; datacenters]),
            changed: Notify::new(),
        }
    }

    /// Puts a service among those that are watched, if it is not there yet.
    pub(super) fn want(&self, name: &str, always: bool) {
        let mut services = self.services.borrow_mut();
        if let Some(standing) = services.get_mut(name) {
            standing.always |= always;
            standing.listed = true;
            return;
        }
        // A member from the start: the source is not alive before it has reported.
        let merged = Rc::new(Merged::new(name, self.contact, self.datacenters));
        self.fresh.borrow_mut().push_back(Rc::clone(&merged));
        services.insert(name.to_owned(), Standing { always, listed: true, merged });
        self.changed.notify_one();
    }

    /// Whether an empty service is still worth a query.
    pub(super) fn is_wanted(&self, name: &str) -> bool {
        let services = self.services.borrow();
        services.get(name).is_none_or(|standing| standing.always || standing.listed)
    }

    /// The next service that gets a query of its own: who has waited longest goes first.
    pub(super) fn next(&self) -> Option<Rc<Merged<'a>>> {
        let longest = self.unwatched.borrow_mut().pop_front();
        longest.or_else(|| self.fresh.borrow_mut().pop_front())
    }

    /// There is no place for what is left: those are watched together from here on. How many they are, and whether any is
    /// new among them.
    pub(super) fn no_more_places(&self) -> (usize, Vec<Rc<Merged<'a>>>) {
        let new: Vec<_> = self.fresh.take().into();
        let mut unwatched = self.unwatched.borrow_mut();
        unwatched.extend(new.iter().cloned());
        (unwatched.len(), new)
    }

    /// A service's query has ended, or it was found to be gone without one.
    pub(super) fn ended(&self, name: &str) {
        // Listed again since it ended?
        let again = self.is_wanted(name);
        self.services.borrow_mut().remove(name);
        self.unwatched.borrow_mut().retain(|merged| merged.name != name);
        if again {
            self.want(name, false);
        }
    }

    pub(super) async fn changed(&self) {
        self.changed.notified().await;
    }

    /// A datacentre's catalogue lists these, and no others.
    pub(super) fn list(&self, datacenter: u8, names: &BTreeSet<String>) {
        let mut lists = self.lists.borrow_mut();
        lists[usize::from(datacenter)] = Some(names.clone());
        // What another one may list, as long as that is not known, is not unlisted.
        if lists.iter().all(Option::is_some) {
            let listed = |name: &String| lists.iter().flatten().any(|list| list.contains(name));
            for (name, standing) in self.services.borrow_mut().iter_mut() {
                standing.listed = listed(name);
            }
        }
        drop(lists);
        // A service that left before it had a place needs none any longer.
        let mut gone = Vec::new();
        self.fresh.borrow_mut().retain(|merged| {
            let wanted = self.is_wanted(&merged.name);
            if !wanted {
                gone.push(merged.name.clone());
            }
            wanted
        });
        for name in gone {
            self.services.borrow_mut().remove(&name);
        }
        names.iter().for_each(|name| self.want(name, false));
    }

    /// The service of this name.
    pub(super) fn get(&self, name: &str) -> Option<Rc<Merged<'a>>> {
        self.services.borrow().get(name).map(|standing| Rc::clone(&standing.merged))
    }
}
