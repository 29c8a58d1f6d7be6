//! What a view's policies remember, and what they last published.

use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::time::Instant;

use resolver_core::{Endpoint, Handle};

use crate::policy::{Noted, Panic, Ranked, Selection, Zones};
use crate::record::ServiceSet;
use crate::report::Report;
use crate::view::View;

use super::Left;

/// The views whose policies remember something, by name. The others are ranked by what they are alone.
pub(super) struct Courses {
    zones: Zones,
    courses: BTreeMap<String, Course>,
    /// Whose reports count, by the handle's bits. A view keeps its handle for ever.
    reported: HashMap<u64, String>,
}

struct Course {
    view: View,
    selection: Selection,
    /// As they stand in the table.
    published: Option<(Vec<Endpoint>, usize)>,
    due: Option<Instant>,
    panic: Option<Panic>,
    /// The tables that were asked for could not be made.
    lacks_tables: bool,
}

impl Courses {
    pub(super) fn new(zones: Zones) -> Self {
        Courses { zones, courses: BTreeMap::new(), reported: HashMap::new() }
    }

    pub(super) fn zones(&self) -> &Zones {
        &self.zones
    }

    /// Follows a view, if its policies remember anything.
    pub(super) fn follow(&mut self, view: &View, handle: Handle) {
        if !view.policies.remember() {
            return;
        }
        if view.policies.ejection.is_some() {
            self.reported.insert(handle.to_bits(), view.name.clone());
        }
        let course = Course {
            view: view.clone(),
            selection: Selection::default(),
            published: None,
            due: None,
            panic: None,
            lacks_tables: false,
        };
        self.courses.insert(view.name.clone(), course);
    }

    /// A predecessor published this under a view's name.
    pub(super) fn inherit(&mut self, name: &str, left: &Left) {
        if let (Some(course), Some(tier)) = (self.courses.get_mut(name), left.tier) {
            let known = left.ids.iter().copied().zip(left.endpoints.iter().copied());
            course.selection.inherit(tier, known);
        }
    }

    /// What is to be published of a set, as of now.
    pub(super) fn rank(
        &mut self,
        view: &View,
        set: &ServiceSet,
        primary: Option<SocketAddr>,
        now: Instant,
    ) -> Ranked {
        let Some(course) = self.courses.get_mut(&view.name) else {
            return Selection::default().rank(view, &self.zones, set, primary, now);
        };
        let ranked = course.selection.rank(view, &self.zones, set, primary, now);
        course.due = ranked.due;
        if course.panic != ranked.panic {
            match &ranked.panic {
                Some(Panic { healthy, known }) => tracing::warn!(
                    view = view.name,
                    healthy,
                    known,
                    "panic: too few are healthy, so all that are known serve"
                ),
                None => tracing::info!(view = view.name, "the panic is over: the healthy serve"),
            }
            course.panic = ranked.panic;
        }
        ranked
    }

    /// Whether a view's policies have a word of their own in what is published.
    pub(super) fn has(&self, name: &str) -> bool {
        self.courses.contains_key(name)
    }

    /// Whether exactly this stands in the table.
    pub(super) fn stands(&self, name: &str, ranked: &Ranked) -> bool {
        let published = self.courses.get(name).and_then(|course| course.published.as_ref());
        published
            .is_some_and(|(endpoints, active)| (endpoints, *active) == (&ranked.endpoints, ranked.active))
    }

    /// It stands in the table now; with the tables that the view asks for, or without.
    pub(super) fn published(&mut self, name: &str, ranked: Ranked, with_tables: bool) {
        if let Some(course) = self.courses.get_mut(name) {
            let lacks = course.view.policies.has_tables() && !with_tables;
            if std::mem::replace(&mut course.lacks_tables, lacks) != lacks {
                let (maglev, endpoints) = (course.view.policies.maglev, ranked.active);
                match lacks {
                    true => tracing::error!(
                        view = name,
                        endpoints,
                        maglev,
                        "published without its tables: maglev must have 100 places for each endpoint that serves, and \
                         [segment] room for them; pickers that need a table say so"
                    ),
                    false => tracing::info!(view = name, "published with its tables again"),
                }
            }
            course.published = Some((ranked.endpoints, ranked.active));
        }
    }

    /// Views that are to be ranked again, as time has passed.
    pub(super) fn due(&mut self, now: Instant) -> Vec<View> {
        let due = |course: &&mut Course| course.due.is_some_and(|due| now >= due);
        let take = |course: &mut Course| {
            course.due = None;
            course.view.clone()
        };
        self.courses.values_mut().filter(due).map(take).collect()
    }

    /// Takes reports; gives the views that are to be ranked again, and how many reports meant nothing.
    pub(super) fn observe(&mut self, reports: &[Report], now: Instant) -> (Vec<View>, u64) {
        let mut changed = BTreeMap::new();
        let mut unknown = 0;
        for report in reports {
            let name = self.reported.get(&report.service.to_bits());
            let Some(course) = name.and_then(|name| self.courses.get_mut(name)) else {
                unknown += 1;
                continue;
            };
            let Course { view, selection, .. } = course;
            let id = report.endpoint;
            match selection.report(&view.policies, id, report.outcome, now) {
                Noted::Unknown => unknown += 1,
                Noted::Counted => {}
                Noted::Spared => {
                    tracing::debug!(view = view.name, id, "would be ejected; as many as may be are out")
                }
                Noted::Ejected(time) => {
                    let seconds = time.as_secs();
                    tracing::warn!(
                        view = view.name,
                        id = format_args!("{id:016x}"),
                        seconds,
                        "ejected: callers report failures"
                    );
                    changed.insert(view.name.clone(), view.clone());
                }
            }
        }
        (changed.into_values().collect(), unknown)
    }
}
