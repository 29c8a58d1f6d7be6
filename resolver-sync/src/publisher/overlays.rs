//! What the publisher does for overlays: hands on what their members are believed to say, and how they stand.

use std::collections::BTreeSet;
use std::rc::Rc;
use std::time::Instant;

use crate::overlay::{OverlaySource, Said, Word};
use crate::record::ServiceSet;
use crate::source::{Fault, Report, Source};

use super::watched::Watched;

/// The overlays among the sources.
#[derive(Default)]
pub(super) struct Overlays {
    each: Vec<Overlaid>,
}

/// One overlay, and where it and its members are among the sources.
struct Overlaid {
    at: usize,
    source: Rc<dyn Source>,
    members: Vec<usize>,
    /// Which members have spoken at all; when one does, it has spoken of every service.
    spoken: Vec<bool>,
}

impl Overlaid {
    fn overlay(&self) -> &OverlaySource {
        self.source.overlay().expect("only overlays are entered")
    }
}

impl Overlays {
    pub(super) fn new(sources: &[Watched]) -> Self {
        let place = |name: &str| sources.iter().position(|source| source.name() == name);
        let overlaid = |(at, watched): (usize, &Watched)| {
            let source = watched.source();
            let members = source.overlay()?.members().filter_map(place).collect();
            Some(Overlaid { at, source, members, spoken: Vec::new() })
        };
        Overlays { each: sources.iter().enumerate().filter_map(overlaid).collect() }
    }

    /// Whether a source is shown through an overlay, and so, without views, not on its own.
    pub(super) fn has_member(&self, index: usize) -> bool {
        self.each.iter().any(|overlaid| overlaid.members.contains(&index))
    }

    /// The members of the source at this place, itself among them: what a view of it asks of whom.
    pub(super) fn with_members(&self, index: usize) -> Vec<usize> {
        let members = self.each.iter().filter(|overlaid| overlaid.at == index);
        std::iter::once(index).chain(members.flat_map(|overlaid| overlaid.members.iter().copied())).collect()
    }

    /// What predecessors published stands until all members have spoken.
    pub(super) fn inherit(&self, sources: &[Watched]) {
        for overlaid in &self.each {
            overlaid.overlay().inherit(sources[overlaid.at].known());
        }
    }

    /// A member is believed to say this.
    pub(super) fn learn(&self, index: usize, sets: &[(String, ServiceSet)]) {
        for (overlaid, member) in self.of(index) {
            for (service, set) in sets {
                overlaid.overlay().learn(member, service, set.clone());
            }
        }
    }

    /// An overlay's service has been empty for too long.
    pub(super) fn forget(&self, index: usize, service: &str) {
        for overlaid in self.each.iter().filter(|overlaid| overlaid.at == index) {
            overlaid.overlay().forget(service);
        }
    }

    /// What the overlays of a member have to say, now that these services of it stand in another way.
    pub(super) fn reports(
        &mut self,
        sources: &[Watched],
        index: usize,
        services: &[String],
    ) -> Vec<(usize, Report)> {
        let mut reports = Vec::new();
        for overlaid in self.each.iter_mut().filter(|overlaid| overlaid.members.contains(&index)) {
            let mut services: BTreeSet<String> = services.iter().cloned().collect();
            let spoken =
                overlaid.members.iter().map(|member| sources[*member].alive_at().is_some()).collect();
            if std::mem::replace(&mut overlaid.spoken, spoken) != overlaid.spoken {
                services.extend(overlaid.overlay().services());
            }
            reports.push((overlaid.at, overlaid.report(sources, services)));
        }
        reports
    }

    /// How the overlays stand as a whole.
    pub(super) fn pulses(&self, sources: &[Watched]) -> Vec<(usize, Report)> {
        self.each.iter().map(|overlaid| (overlaid.at, overlaid.pulse(sources))).collect()
    }

    fn of(&self, index: usize) -> impl Iterator<Item = (&Overlaid, usize)> {
        self.each.iter().filter_map(move |overlaid| {
            let member = overlaid.members.iter().position(|member| *member == index)?;
            Some((overlaid, member))
        })
    }
}

impl Overlaid {
    fn report(&self, sources: &[Watched], services: BTreeSet<String>) -> Report {
        let mut report = self.pulse(sources);
        for service in services {
            let words: Vec<Word> =
                self.members.iter().map(|member| sources[*member].word(&service)).collect();
            match self.overlay().say(&service, &words) {
                Said::Nothing => {}
                Said::Doubt(fault) => drop(report.doubts.insert(service, fault)),
                Said::Set(set, held) => {
                    report.doubts.extend(held.map(|fault| (service.clone(), fault)));
                    report.services.insert(service, set);
                }
            }
        }
        report
    }

    /// As old as its oldest member, and lost where one of them is.
    fn pulse(&self, sources: &[Watched]) -> Report {
        let members = || self.members.iter().map(|member| &sources[*member]);
        let lost = members().find_map(|member| {
            let fault = member.lost()?;
            Some(Fault::new(fault.reason, format!("{}: {}", member.name(), fault.detail)))
        });
        let oldest: Option<Vec<Instant>> = members().map(Watched::alive_at).collect();
        let alive_at = oldest.and_then(|all| all.into_iter().min()).filter(|_| lost.is_none());
        Report { alive_at, lost, ..Report::default() }
    }
}
