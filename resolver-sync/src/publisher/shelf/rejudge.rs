//! Taking out of what stands what an operator took out, at once.

use resolver_core::{Reason, State};

use super::{Publication, Shelf, said};
use crate::view::View;

/// What an operator's order has changed.
#[derive(Default)]
pub(in crate::publisher) struct Rejudged {
    /// Names and how many endpoints each has left.
    pub(in crate::publisher) names: Vec<(String, usize)>,
    /// Names under which something stands that should be out.
    pub(in crate::publisher) failed: Vec<String>,
}

impl Shelf<'_> {
    /// Publishes what stands under these views once more, where other endpoints are out than when it was published: past any
    /// hold, and though something newer waits for room.
    pub(in crate::publisher) fn rejudge(&mut self, views: Vec<View>) -> Rejudged {
        let mut rejudged = Rejudged::default();
        for view in views {
            let name = view.name.clone();
            let (Some(place), Some(entry)) = (self.places.get(&name), self.catalog.get(&name)) else {
                continue;
            };
            let out = self.kills.out_of(&view, &entry.set);
            if place.out == out {
                continue;
            }
            let (handle, standing, source) = (place.handle, place.standing, place.source);
            let waiting = self.refused.remove(&(name.clone(), source));
            let publication = Publication { view, set: entry.set.clone(), standing, source };
            self.publish(vec![publication.clone()]);
            let is_out = |shelf: &Self| shelf.places.get(&name).is_some_and(|place| place.out == out);
            if !is_out(self) {
                // No room for the smaller set beside the one that stands: what is out must be out, so that one goes first.
                let mut batch = self.writer.batch();
                let emptied = batch.publish(handle, &[], said((State::Stale, Reason::Capacity), source), b"");
                batch.commit();
                if emptied.is_ok() {
                    self.refused.remove(&(name.clone(), source));
                    self.publish(vec![publication]);
                }
            }
            if let Some(waiting) = waiting {
                self.refused.insert((name.clone(), source), waiting);
            }
            if is_out(self) {
                let left = self.places.get(&name).map_or(0, |place| place.endpoints);
                rejudged.names.push((name, left));
            } else {
                rejudged.failed.push(name);
            }
        }
        rejudged
    }
}
