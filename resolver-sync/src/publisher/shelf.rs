//! The table with what the publisher knows of it: names, handles, what stands under each.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use resolver_core::{Endpoint, Handle, PublishError, Reason, SourceBeat, Standing, State, Writer};

use super::Left;
use crate::catalog::{Catalog, Entry};
use crate::record::ServiceSet;
use crate::view::{self, View};

/// A set that is to be published under a view's name.
pub(super) struct Publication<'s> {
    pub(super) view: View,
    pub(super) set: &'s ServiceSet,
    pub(super) standing: (State, Reason),
    pub(super) source: u8,
}

pub(super) struct Shelf<'t> {
    writer: Writer<'t>,
    catalog: Catalog,
    places: BTreeMap<String, Place>,
    /// Names that could not be entered or published; each is reported once until it succeeds.
    refused: BTreeMap<String, String>,
}

/// What stands under a name.
struct Place {
    handle: Handle,
    source: u8,
    standing: (State, Reason),
    primary: Option<SocketAddr>,
}

impl<'t> Shelf<'t> {
    pub(super) fn new(writer: Writer<'t>, catalog: Catalog) -> Self {
        Shelf { writer, catalog, places: BTreeMap::new(), refused: BTreeMap::new() }
    }

    /// Enters a name, so that readers can take its handle before the first publication, and see why there is none.
    pub(super) fn reserve(&mut self, name: &str, source: u8) {
        match self.writer.add(name) {
            Ok(handle) => {
                let standing = (State::Never, Reason::None);
                self.places.insert(name.into(), Place { handle, source, standing, primary: None });
            }
            Err(error) => self.refuse(name, &error.to_string()),
        }
    }

    pub(super) fn names(&self) -> Vec<String> {
        let mut names = Vec::new();
        self.writer.reader().for_each(|name, _| {
            names.push(name.to_owned());
            true
        });
        names
    }

    /// What stands under a name from before this publisher.
    pub(super) fn left_by_predecessor(&self, name: &str) -> Left {
        let reader = self.writer.reader();
        let Some(handle) = reader.service(name) else { return Left::default() };
        let Ok((state, _, source, _)) = reader.standing(handle) else { return Left::default() };
        if state == State::Never {
            return Left::default();
        }
        let status = reader.source(source);
        let source = status.map_or(String::new(), |status| status.name(&mut [0; 24]).to_owned());
        let endpoints = reader.set(handle).map_or(Vec::new(), |set| {
            set.into_iter().flatten().map(|endpoint| endpoint.address().socket_addr()).collect()
        });
        Left { source, endpoints }
    }

    /// Keeps what a predecessor published, as stale.
    pub(super) fn inherit(&mut self, name: &str, source: u8, primary: Option<SocketAddr>) {
        let Some(handle) = self.writer.reader().service(name) else { return };
        let standing = (State::Stale, Reason::Restored);
        if self.writer.mark(handle, standing.0, standing.1).is_ok() {
            self.places.insert(name.into(), Place { handle, source, standing, primary });
        }
    }

    /// What the catalogue has from a table before this one: names, sources and sets.
    pub(super) fn superseded(&self) -> Vec<(String, String, ServiceSet)> {
        let stands =
            |name: &String| self.places.get(name).is_some_and(|place| place.standing.0 != State::Never);
        let names = self.catalog.names().into_iter().filter(|name| !stands(name));
        let known = |name: String| {
            let entry = self.catalog.get(&name)?;
            Some((name, entry.source.clone(), entry.set.clone()))
        };
        names.filter_map(known).collect()
    }

    /// Publishes a set from a table before this one, as stale; gives where its instances are.
    pub(super) fn restore(&mut self, view: &View, set: &ServiceSet, source: u8) -> Vec<SocketAddr> {
        let standing = (State::Stale, Reason::Restored);
        self.publish(vec![Publication { view: view.clone(), set, standing, source }]);
        set.instances.iter().map(|instance| SocketAddr::new(instance.address, instance.port)).collect()
    }

    pub(super) fn remove(&mut self, name: &str) {
        self.writer.remove(name);
        self.places.remove(name);
        self.catalog.remove(name);
    }

    /// The source whose set stands under a name.
    pub(super) fn owner(&self, name: &str) -> Option<u8> {
        self.places.get(name).map(|place| place.source)
    }

    pub(super) fn beat<'s>(&mut self, sources: impl Iterator<Item = SourceBeat<'s>>) {
        let sources: Vec<_> = sources.collect();
        self.writer.beat(&sources);
    }

    /// Publishes all of them as of one moment. One that is refused leaves its old set standing, as stale, and the
    /// others go on.
    pub(super) fn publish(&mut self, publications: Vec<Publication<'_>>) {
        let mut ready = Vec::new();
        for publication in publications {
            let name = &publication.view.name;
            if let Some(place) = self.places.get(name)
                && place.source != publication.source
            {
                self.refuse(
                    &publication.view.name,
                    "another source, named before this one, has a service of this name",
                );
                continue;
            }
            if self.stands(&publication) {
                continue;
            }
            match self.writer.add(name) {
                Ok(handle) => ready.push((handle, publication)),
                Err(error) => self.refuse(&publication.view.name, &error.to_string()),
            }
        }
        let mut batch = self.writer.batch();
        let mut done = Vec::new();
        let mut failed = Vec::new();
        for (handle, publication) in ready {
            let Publication { view, set, standing, source } = publication;
            let primary = self.places.get(&view.name).and_then(|place| place.primary);
            let chosen = view.select(set, primary);
            let endpoints: Vec<Endpoint> = chosen.iter().map(|instance| view::endpoint(instance)).collect();
            let text = if chosen.is_empty() { Vec::new() } else { view::text(&chosen) };
            let primary = endpoints.first().map(|endpoint| endpoint.address().socket_addr());
            let said = Standing { state: standing.0, reason: standing.1, source };
            let published = match batch.publish(handle, &endpoints, said, &text) {
                // A table without room for text serves all the same.
                Err(PublishError::Text) => batch.publish(handle, &endpoints, said, b""),
                other => other,
            };
            match published {
                Ok(generation) => {
                    done.push((view.name, Place { handle, source, standing, primary }, set, generation));
                }
                Err(error) => {
                    // Best effort: a name that is gone has nothing to mark.
                    let _ = batch.mark(handle, State::Stale, Reason::Capacity);
                    failed.push((view.name, error.to_string()));
                }
            }
        }
        batch.commit();
        for (name, place, set, generation) in done {
            self.refused.remove(&name);
            self.enter(&name, &place, set.clone(), generation);
            self.places.insert(name, place);
        }
        for (name, error) in failed {
            if let Some(place) = self.places.get_mut(&name) {
                place.standing = (State::Stale, Reason::Capacity);
            }
            self.refuse(&name, &error);
        }
    }

    /// Marks names of one source as they stand now, where that is news.
    pub(super) fn mark(&mut self, source: u8, standings: Vec<(String, (State, Reason), String)>) {
        let mut batch = self.writer.batch();
        for (name, standing, detail) in standings {
            // What does not fit stays marked so, until a set of it does.
            if standing.0 == State::Fresh && self.refused.contains_key(&name) {
                continue;
            }
            let Some(place) = self.places.get_mut(&name).filter(|place| place.source == source) else {
                continue;
            };
            if place.standing != standing && batch.mark(place.handle, standing.0, standing.1).is_ok() {
                place.standing = standing;
                if let Some(entry) = self.catalog.get(&name) {
                    let (state, reason) = standing;
                    let state = if entry.state == State::Empty { State::Empty } else { state };
                    self.catalog.put(&name, Entry { state, reason, detail, ..Entry::clone(&entry) });
                }
            }
        }
        batch.commit();
    }

    /// Whether exactly this is published already: a listing says again what everybody knows.
    fn stands(&self, publication: &Publication<'_>) -> bool {
        let name = &publication.view.name;
        let (Some(place), Some(entry)) = (self.places.get(name), self.catalog.get(name)) else {
            return false;
        };
        place.standing == publication.standing
            && entry.set.instances == publication.set.instances
            && entry.set.rejected == publication.set.rejected
            && !self.refused.contains_key(name)
    }

    fn enter(&self, name: &str, place: &Place, set: ServiceSet, generation: u64) {
        let state = if place.primary.is_none() { State::Empty } else { place.standing.0 };
        let status = self.writer.reader().source(place.source);
        let source = status.map_or(String::new(), |status| status.name(&mut [0; 24]).to_owned());
        let reason = place.standing.1;
        self.catalog.put(name, Entry { source, set, state, reason, detail: String::new(), generation });
    }

    fn refuse(&mut self, name: &str, why: &str) {
        if self.refused.insert(name.to_owned(), why.to_owned()).as_deref() != Some(why) {
            tracing::error!(name, "not published: {why}");
        }
    }
}
