//! Several sources laid over each other, from what each says to the table.

use resolver_core::{Capacity, Handle, Reader, Reason, ResolveError, State};
use resolver_sync::memory::MemoryRegistry;
use resolver_sync::overlay::{OverlaySource, Rule};
use resolver_sync::publisher::Patience;
use resolver_sync::record::{Candidate, ServiceSet};
use resolver_sync::source::Fault;
use resolver_sync::view::Label;

use crate::stage::{self, AnySource, Stage, candidate, candidates, eventually};

/// With room for the words of each endpoint.
const ROOM: Capacity = Capacity { text_bytes: 128, ..Capacity::SMALL };

fn overlay(members: &[&str], rule: Rule) -> AnySource {
    Box::new(OverlaySource::new("all", members.iter().map(|member| (*member).to_owned()), rule))
}

/// Ids with their ports and who said so, in the order of the table.
fn said(reader: &Reader<'_>, handle: Handle) -> Vec<(String, u16, String)> {
    let mut text = vec![0; 4096];
    let Ok(length) = reader.text(handle, &mut text) else { return Vec::new() };
    let labels: Vec<Label> = serde_json::from_slice(&text[..length]).unwrap_or_default();
    let Ok(set) = reader.set(handle) else { return Vec::new() };
    let ports = set.into_iter().flatten().map(|endpoint| endpoint.address().port());
    let shown = |(label, port): (Label, u16)| (label.id, port, label.source.unwrap_or_default());
    labels.into_iter().zip(ports).map(shown).collect()
}

fn published(reader: &Reader<'_>, name: &str) -> Handle {
    eventually(name, || reader.service(name).filter(|handle| reader.resolve(*handle).is_ok()))
}

#[track_caller]
fn until_said(reader: &Reader<'_>, handle: Handle, wanted: &[(&str, u16, &str)]) {
    let wanted: Vec<_> =
        wanted.iter().map(|(id, port, by)| ((*id).to_owned(), *port, (*by).to_owned())).collect();
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(10);
    while said(reader, handle) != wanted {
        let now = said(reader, handle);
        assert!(std::time::Instant::now() < deadline, "{now:?} is not {wanted:?}");
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
}

#[test]
fn the_sets_of_all_with_who_said_so() {
    let (pins, consul) = (MemoryRegistry::new(), MemoryRegistry::new());
    consul.set("oms", candidates(1..4));
    consul.set("risk", candidates(7..8));
    pins.set("oms", vec![Candidate { weight: Some(5), ..candidate(2, &[]) }]);
    let sources = vec![
        stage::memory("pins", &pins),
        stage::memory("consul", &consul),
        overlay(&["pins", "consul"], Rule::Merge),
    ];
    Stage::new(ROOM).run(sources, vec![], Patience::default(), |reader| {
        let oms = published(&reader, "oms");
        // The pin's own weight makes it the first.
        until_said(&reader, oms, &[("i2", 2, "pins"), ("i1", 1, "consul"), ("i3", 3, "consul")]);
        until_said(&reader, published(&reader, "risk"), &[("i7", 7, "consul")]);
        let (state, _, source, _) = reader.standing(oms).expect("there");
        assert_eq!(state, State::Fresh);
        assert_eq!(reader.source(source).expect("a row").name(&mut [0; 24]), "all");
        // A pin by its id hides the place that the registry has for it.
        pins.set("oms", vec![Candidate { port: 30, ..candidate(3, &[]) }]);
        until_said(&reader, oms, &[("i1", 1, "consul"), ("i2", 2, "consul"), ("i3", 30, "pins")]);
        pins.remove("oms");
        until_said(&reader, oms, &[("i1", 1, "consul"), ("i2", 2, "consul"), ("i3", 3, "consul")]);
        consul.remove("oms");
        eventually("both are empty", || (reader.resolve(oms) == Err(ResolveError::Empty)).then_some(()));
    });
}

#[test]
fn the_first_that_has_any() {
    let (pins, consul) = (MemoryRegistry::new(), MemoryRegistry::new());
    consul.set("oms", candidates(1..3));
    let sources = vec![
        stage::memory("pins", &pins),
        stage::memory("consul", &consul),
        overlay(&["pins", "consul"], Rule::First),
    ];
    Stage::new(ROOM).run(sources, vec![], Patience::default(), |reader| {
        let oms = published(&reader, "oms");
        pins.set("oms", candidates(9..10));
        until_said(&reader, oms, &[("i9", 9, "pins")]);
        consul.set("oms", candidates(1..4));
        pins.remove("oms");
        until_said(&reader, oms, &[("i1", 1, "consul"), ("i2", 2, "consul"), ("i3", 3, "consul")]);
    });
}

#[test]
fn what_one_cannot_prove_is_kept_and_said() {
    let pins = MemoryRegistry::new();
    pins.set("oms", candidates(9..10));
    let (scripted, script) = stage::scripted("consul");
    script.say("oms", ServiceSet::check(candidates(1..4), 1));
    let sources = vec![stage::memory("pins", &pins), scripted, overlay(&["pins", "consul"], Rule::Merge)];
    Stage::new(ROOM).run(sources, vec![], Patience::default(), |reader| {
        let oms = published(&reader, "oms");
        let all = [("i1", 1, "consul"), ("i2", 2, "consul"), ("i3", 3, "consul"), ("i9", 9, "pins")];
        until_said(&reader, oms, &all);
        // The registry loses its mind: an empty answer that no second read confirms.
        script.confirm_with(Err(Fault::new(Reason::Acl, "denied")));
        script.say("oms", ServiceSet::check([], 2));
        let standing = || reader.standing(oms).map(|(state, reason, ..)| (state, reason)).ok();
        eventually("held", || (standing() == Some((State::Stale, Reason::Acl))).then_some(()));
        until_said(&reader, oms, &all);
        // The others' changes go on.
        pins.set("oms", candidates(9..11));
        let more = [all[0], all[1], all[2], ("i10", 10, "pins"), ("i9", 9, "pins")];
        let mut more = more.to_vec();
        more.sort_by_key(|(_, port, _)| *port);
        until_said(&reader, oms, &more);
        assert_eq!(standing(), Some((State::Stale, Reason::Acl)));
        script.say("oms", ServiceSet::check(candidates(1..3), 3));
        until_said(&reader, oms, &[more[0], more[1], more[3], more[4]]);
        eventually("fresh", || (standing() == Some((State::Fresh, Reason::None))).then_some(()));
    });
}

#[test]
fn a_member_out_of_reach_makes_it_stale_and_takes_nothing_away() {
    let (pins, consul) = (MemoryRegistry::new(), MemoryRegistry::new());
    consul.set("oms", candidates(1..2));
    // Most are the pins': what is lost without the other is too little for the guard to doubt it.
    pins.set("oms", candidates(7..10));
    let sources = || {
        let members = [stage::memory("pins", &pins), stage::memory("consul", &consul)];
        members.into_iter().chain([overlay(&["pins", "consul"], Rule::Merge)]).collect::<Vec<_>>()
    };
    let patience = Patience { stale_after: std::time::Duration::from_millis(1500), ..Patience::default() };
    let stage = Stage::new(ROOM);
    let all = [("i1", 1, "consul"), ("i7", 7, "pins"), ("i8", 8, "pins"), ("i9", 9, "pins")];
    stage.run(sources(), vec![], patience, |reader| {
        let oms = published(&reader, "oms");
        until_said(&reader, oms, &all);
        consul.fail(Fault::new(Reason::NoLeader, "pulled"));
        let standing = || reader.standing(oms).map(|(state, reason, ..)| (state, reason)).ok();
        eventually("stale", || (standing() == Some((State::Stale, Reason::NoLeader))).then_some(()));
        until_said(&reader, oms, &all);
    });
    // Its successor finds the one that is out of reach still so: what stands is not what the other says alone.
    stage.run(sources(), vec![], patience, |reader| {
        let oms = published(&reader, "oms");
        let row = |name: &str| {
            (0..3).filter_map(|row| reader.source(row)).find(|row| row.name(&mut [0; 24]) == name)
        };
        eventually("the pins were read", || row("pins").filter(|row| row.revision() > 0));
        assert_eq!(reader.resolve(oms).expect("stands").endpoints(), 4);
        // A service that nobody knew is served by those who know it.
        pins.set("new", candidates(5..6));
        until_said(&reader, published(&reader, "new"), &[("i5", 5, "pins")]);
        assert_eq!(reader.resolve(oms).expect("stands").endpoints(), 4);
        consul.set("oms", candidates(2..3));
        consul.heal();
        until_said(&reader, oms, &[("i2", 2, "consul"), all[1], all[2], all[3]]);
        let standing = || reader.standing(oms).map(|(state, reason, ..)| (state, reason)).ok();
        eventually("fresh", || (standing() == Some((State::Fresh, Reason::None))).then_some(()));
    });
}

#[test]
fn a_first_answer_that_waits_for_its_second_read_takes_nothing_away() {
    let pins = MemoryRegistry::new();
    pins.set("oms", candidates(7..10));
    let stage = Stage::new(ROOM);
    let run = |set: ServiceSet, play: &mut dyn FnMut(&Reader<'_>, &stage::Script)| {
        let (scripted, script) = stage::scripted("consul");
        script.say("oms", set);
        let sources = vec![stage::memory("pins", &pins), scripted, overlay(&["pins", "consul"], Rule::Merge)];
        stage.run(sources, vec![], Patience::default(), |reader| play(&reader, &script));
    };
    let before = &mut |reader: &Reader<'_>, _: &stage::Script| {
        let all = [("i1", 1, "consul"), ("i7", 7, "pins"), ("i8", 8, "pins"), ("i9", 9, "pins")];
        until_said(reader, published(reader, "oms"), &all);
    };
    run(ServiceSet::check(candidates(1..2), 1), before);
    // A successor, to whom the registry's first word is an empty answer; the second read never comes.
    let after = &mut |reader: &Reader<'_>, script: &stage::Script| {
        let oms = published(reader, "oms");
        let generation = || reader.standing(oms).map(|(_, _, _, generation)| generation);
        let first = generation();
        let reason = || reader.standing(oms).map(|(_, reason, ..)| reason);
        eventually("held", || (reason() == Ok(Reason::Unconfirmed)).then_some(()));
        assert_eq!(
            (script.confirmations(), generation()),
            (1, first),
            "it was published without the registry's"
        );
        assert_eq!(reader.resolve(oms).expect("stands").endpoints(), 4);
    };
    run(ServiceSet::check([], 1), after);
}
