//! The path from a source to the table, with the embedded registry and a source that says what it is told to: what a
//! real registry cannot be made to do (lie in one answer and not in the next) is done here.

mod confirmations;
mod overlay;
mod reports;
mod stage;

use std::time::Duration;

use resolver_core::{Capacity, Reason, ResolveError, State};
use resolver_sync::memory::MemoryRegistry;
use resolver_sync::publisher::Patience;
use resolver_sync::record::ServiceSet;
use resolver_sync::source::Fault;
use resolver_sync::view::{Policy, View};

use stage::{Stage, candidate, candidates, eventually};

fn quick() -> Patience {
    Patience { stale_after: Duration::from_millis(400), ..Patience::default() }
}

#[test]
fn what_the_registry_has_is_resolved_and_what_it_drops_is_empty() {
    let registry = MemoryRegistry::new();
    registry.set("oms", candidates(1..4));
    let stage = Stage::new(Capacity::SMALL);
    stage.run(vec![stage::memory("m", &registry)], vec![], quick(), |reader| {
        let oms = eventually("oms is published", || {
            reader.service("oms").filter(|oms| reader.resolve(*oms).is_ok())
        });
        assert_eq!(reader.resolve(oms).expect("published").endpoints(), 3);
        registry.set("oms", candidates(2..4));
        eventually("one left", || (reader.resolve(oms).ok()?.endpoints() == 2).then_some(()));
        assert_eq!(reader.resolve(oms).expect("published").address().port(), 2);
        registry.remove("oms");
        eventually("empty", || (reader.resolve(oms) == Err(ResolveError::Empty)).then_some(()));
        registry.set("oms", candidates(7..8));
        eventually("back under the same handle", || {
            (reader.resolve(oms).ok()?.address().port() == 7).then_some(())
        });
    });
}

#[test]
fn a_discovered_name_that_stays_empty_is_gone_and_comes_back_under_another_handle() {
    let registry = MemoryRegistry::new();
    registry.set("oms", candidates(1..2));
    let patience = Patience { forget_after: Duration::from_millis(100), ..quick() };
    Stage::new(Capacity::SMALL).run(vec![stage::memory("m", &registry)], vec![], patience, |reader| {
        let oms =
            eventually("published", || reader.service("oms").filter(|oms| reader.resolve(*oms).is_ok()));
        registry.remove("oms");
        eventually("gone", || (reader.resolve(oms) == Err(ResolveError::Gone)).then_some(()));
        assert_eq!(reader.service("oms"), None);
        registry.set("oms", candidates(1..2));
        let again = eventually("back", || reader.service("oms"));
        assert_ne!(again, oms);
        assert_eq!(reader.resolve(oms), Err(ResolveError::Gone));
    });
}

#[test]
fn a_lost_source_is_stale_with_its_reason_and_recovers() {
    let registry = MemoryRegistry::new();
    registry.set("oms", candidates(1..2));
    Stage::new(Capacity::SMALL).run(vec![stage::memory("m", &registry)], vec![], quick(), |reader| {
        let oms =
            eventually("published", || reader.service("oms").filter(|oms| reader.resolve(*oms).is_ok()));
        let standing = || reader.resolve(oms).map(|oms| (oms.state(), oms.reason(), oms.address().port()));
        eventually("fresh", || (standing() == Ok((State::Fresh, Reason::None, 1))).then_some(()));
        registry.fail(Fault::new(Reason::NoLeader, "no leader"));
        eventually("stale", || (standing() == Ok((State::Stale, Reason::NoLeader, 1))).then_some(()));
        registry.set("oms", candidates(5..6));
        registry.heal();
        eventually("fresh again", || (standing() == Ok((State::Fresh, Reason::None, 5))).then_some(()));
    });
}

#[test]
fn an_empty_answer_that_is_not_confirmed_is_held_with_its_reason() {
    let (source, script) = stage::scripted("s");
    script.say("oms", ServiceSet::check(candidates(1..4), 1));
    Stage::new(Capacity::SMALL).run(vec![source], vec![], quick(), |reader| {
        let oms =
            eventually("published", || reader.service("oms").filter(|oms| reader.resolve(*oms).is_ok()));
        script.confirm_with(Err(Fault::new(Reason::Acl, "denied")));
        script.say("oms", ServiceSet { revision: 2, ..ServiceSet::default() });
        eventually("held", || {
            (reader.resolve(oms).expect("never empty").reason() == Reason::Acl).then_some(())
        });
        assert_eq!(reader.resolve(oms).expect("held").endpoints(), 3);
        script.confirm_with(Ok(ServiceSet { revision: 2, ..ServiceSet::default() }));
        eventually("believed once confirmed", || {
            (reader.resolve(oms) == Err(ResolveError::Empty)).then_some(())
        });
        assert!(script.confirmations() >= 2);
    });
}

#[test]
fn a_shrink_that_the_second_read_contradicts_is_never_seen() {
    let (source, script) = stage::scripted("s");
    script.say("oms", ServiceSet::check(candidates(1..11), 1));
    Stage::new(Capacity::SMALL).run(vec![source], vec![], quick(), |reader| {
        let oms =
            eventually("published", || reader.service("oms").filter(|oms| reader.resolve(*oms).is_ok()));
        script.confirm_with(Ok(ServiceSet::check(candidates(1..12), 3)));
        script.say("oms", ServiceSet::check(candidates(1..3), 2));
        eventually("the second read's set", || {
            let endpoints = reader.resolve(oms).expect("never empty").endpoints();
            assert_ne!(endpoints, 2, "the lie was published");
            (endpoints == 11).then_some(())
        });
    });
}

#[test]
fn what_does_not_fit_leaves_the_old_set_and_says_so() {
    let registry = MemoryRegistry::new();
    registry.set("oms", candidates(1..5));
    registry.set("risk", candidates(1..2));
    let capacity = Capacity { endpoints: 32, ..Capacity::SMALL };
    Stage::new(capacity).run(vec![stage::memory("m", &registry)], vec![], quick(), |reader| {
        let oms =
            eventually("published", || reader.service("oms").filter(|oms| reader.resolve(*oms).is_ok()));
        registry.set("oms", candidates(1..1000));
        eventually("refused", || (reader.resolve(oms).ok()?.reason() == Reason::Capacity).then_some(()));
        assert_eq!(reader.resolve(oms).expect("the old set").endpoints(), 4);
        registry.set("risk", candidates(8..9));
        let risk = reader.service("risk").expect("published");
        eventually("others go on", || (reader.resolve(risk).ok()?.address().port() == 8).then_some(()));
        let endpoints_of_oms = |count, state| {
            let oms = reader.resolve(oms).ok()?;
            (oms.endpoints() == count && oms.state() == state).then_some(())
        };
        registry.set("oms", candidates(1..6));
        eventually("fits again", || endpoints_of_oms(5, State::Fresh));
        // Room that others leave is used without a word from the registry. There are two halves that hold 32 (a set has a
        // block of a power of two, and twice the room is set aside): one has the small sets, the other this one.
        registry.set("big", candidates(1..18));
        let big = eventually("it fits", || reader.service("big").filter(|big| reader.resolve(*big).is_ok()));
        registry.set("oms", candidates(1..33));
        eventually("refused", || (reader.resolve(oms).ok()?.reason() == Reason::Capacity).then_some(()));
        assert_eq!(reader.resolve(oms).expect("the old set").endpoints(), 5);
        registry.remove("big");
        eventually("empty", || (reader.resolve(big) == Err(ResolveError::Empty)).then_some(()));
        eventually("tried again", || endpoints_of_oms(32, State::Fresh));
        registry.set("oms", candidates(1..7));
        eventually("fits as before", || endpoints_of_oms(6, State::Fresh));
    });
}

#[test]
fn of_two_sources_with_one_name_the_first_that_has_instances_has_it() {
    let (first, second) = (MemoryRegistry::new(), MemoryRegistry::new());
    first.set("oms", candidates(1..2));
    second.set("oms", candidates(2..3));
    second.set("risk", candidates(2..3));
    let sources = vec![stage::memory("first", &first), stage::memory("second", &second)];
    Stage::new(Capacity::SMALL).run(sources, vec![], quick(), |reader| {
        let risk = eventually("risk", || reader.service("risk").filter(|risk| reader.resolve(*risk).is_ok()));
        assert_eq!(reader.resolve(risk).expect("published").source(), 1);
        let oms = eventually("oms", || reader.service("oms").filter(|oms| reader.resolve(*oms).is_ok()));
        let port = || reader.resolve(oms).map(|oms| (oms.source(), oms.address().port()));
        eventually("the first one's", || (port() == Ok((0, 1))).then_some(()));
        first.remove("oms");
        eventually("the second one's, as the first has none", || (port() == Ok((1, 2))).then_some(()));
        second.set("oms", candidates(4..5));
        eventually("and its changes", || (port() == Ok((1, 4))).then_some(()));
        first.set("oms", candidates(7..8));
        eventually("the first one's again", || (port() == Ok((0, 7))).then_some(()));
        eventually("fresh, whatever the other says", || {
            second.set("oms", candidates(5..6));
            (reader.resolve(oms).ok()?.state() == State::Fresh).then_some(())
        });
    });
}

#[test]
fn views_filter_by_tags_and_are_there_from_the_start() {
    let registry = MemoryRegistry::new();
    let view = |name: &str, tags: &[&str], policy| View {
        name: name.into(),
        source: "m".into(),
        service: "oms".into(),
        tags: tags.iter().map(|tag| (*tag).into()).collect(),
        policy,
        ..View::of_service("m", "oms")
    };
    let views = vec![view("oms-v2", &["v2"], Policy::Primary), view("oms-held", &[], Policy::Sticky)];
    Stage::new(Capacity::SMALL).run(vec![stage::memory("m", &registry)], views, quick(), |reader| {
        let v2 = eventually("the view", || reader.service("oms-v2"));
        let held = eventually("the view", || reader.service("oms-held"));
        assert_eq!(reader.resolve(held), Err(ResolveError::Never));
        registry.set("oms", vec![candidate(5, &[]), candidate(6, &["v2"])]);
        eventually("filtered", || (reader.resolve(v2).ok()?.address().port() == 6).then_some(()));
        // Names are published one after the other: that one of a source's views is there says nothing of the next.
        eventually("unfiltered", || (reader.resolve(held).ok()?.address().port() == 5).then_some(()));
        registry.set("oms", vec![candidate(4, &[]), candidate(5, &[]), candidate(6, &[])]);
        eventually("filtered to nothing", || (reader.resolve(v2) == Err(ResolveError::Empty)).then_some(()));
        let endpoints = || reader.resolve(held).map(|held| held.endpoints());
        eventually("the other as well", || (endpoints() == Ok(3)).then_some(()));
        assert_eq!(reader.resolve(held).expect("published").address().port(), 5, "sticks");
        assert_eq!(reader.service("oms"), None, "with views, nothing else is published");
    });
}

#[test]
fn a_successor_goes_on_with_what_is_there() {
    let registry = MemoryRegistry::new();
    registry.set("oms", candidates(1..4));
    registry.set("risk", candidates(1..2));
    let stage = Stage::new(Capacity::SMALL);
    let oms = stage.run(vec![stage::memory("m", &registry)], vec![], quick(), |reader| {
        eventually("risk", || reader.service("risk").filter(|risk| reader.resolve(*risk).is_ok()));
        eventually("oms", || reader.service("oms").filter(|oms| reader.resolve(*oms).is_ok()))
    });
    // Silent at first: what the predecessor published stands, as stale.
    registry.fail(Fault::new(Reason::Unreachable, "down"));
    registry.remove("risk");
    stage.run(vec![stage::memory("m", &registry)], vec![], quick(), |reader| {
        eventually("stale", || (reader.resolve(oms).ok()?.state() == State::Stale).then_some(()));
        assert_eq!(reader.resolve(oms).expect("it stands").endpoints(), 3);
        registry.heal();
        eventually("fresh, same handle", || {
            (reader.resolve(oms).ok()?.state() == State::Fresh).then_some(())
        });
        let risk = reader.service("risk").expect("it was published");
        eventually("what went meanwhile is empty", || {
            (reader.resolve(risk) == Err(ResolveError::Empty)).then_some(())
        });
    });
    // Under another source's name nothing of it is anybody's.
    stage.run(vec![stage::memory("other", &MemoryRegistry::new())], vec![], quick(), |reader| {
        eventually("gone", || (reader.resolve(oms) == Err(ResolveError::Gone)).then_some(()));
    });
}

#[test]
fn a_predecessors_set_is_nobody_elses_when_the_sources_are_numbered_anew() {
    let registry = MemoryRegistry::new();
    registry.set("oms", candidates(1..4));
    let stage = Stage::new(Capacity::SMALL);
    let oms = stage.run(vec![stage::memory("m", &registry)], vec![], quick(), |reader| {
        eventually("oms", || reader.service("oms").filter(|oms| reader.resolve(*oms).is_ok()))
    });
    registry.fail(Fault::new(Reason::Unreachable, "down"));
    let other = MemoryRegistry::new();
    // Twice: the first successor has renumbered the sources in the table, the second one reads that.
    for _ in 0..2 {
        let sources = vec![stage::memory("new", &other), stage::memory("m", &registry)];
        stage.run(sources, vec![], quick(), |reader| {
            other.set("marker", candidates(1..2));
            eventually("the new source has spoken", || {
                let marker = reader.service("marker")?;
                (reader.resolve(marker).ok()?.state() == State::Fresh).then_some(())
            });
            let stands = reader.resolve(oms).expect("the set of a source that is down stands");
            assert_eq!((stands.source(), stands.endpoints(), stands.state()), (1, 3, State::Stale));
        });
    }
}

#[test]
fn a_watch_that_panics_is_started_again_and_its_sets_stand() {
    let (source, script) = stage::scripted("s");
    script.say("oms", ServiceSet::check(candidates(1..4), 1));
    Stage::new(Capacity::SMALL).run(vec![source], vec![], quick(), |reader| {
        let oms =
            eventually("published", || reader.service("oms").filter(|oms| reader.resolve(*oms).is_ok()));
        eventually("fresh", || (reader.resolve(oms).ok()?.state() == State::Fresh).then_some(()));
        script.die();
        let stands = || reader.resolve(oms).expect("its set stands");
        eventually("stale", || (stands().reason() == Reason::BadAnswer).then_some(()));
        assert_eq!(stands().endpoints(), 3);
        script.say("oms", ServiceSet::check(candidates(1..5), 2));
        eventually("watched again", || {
            (stands().endpoints() == 4 && stands().state() == State::Fresh).then_some(())
        });
    });
}

#[test]
fn a_predecessors_set_that_the_source_contradicts_is_never_fresh() {
    let stage = Stage::new(Capacity::SMALL);
    let (source, script) = stage::scripted("s");
    script.say("oms", ServiceSet::check(candidates(1..4), 1));
    let oms = stage.run(vec![source], vec![], quick(), |reader| {
        eventually("published", || reader.service("oms").filter(|oms| reader.resolve(*oms).is_ok()))
    });
    // Alive, says that there is nothing, and does not answer the second read.
    let (source, script) = stage::scripted("s");
    script.say("oms", ServiceSet { revision: 2, ..ServiceSet::default() });
    // What the first run left may be fresh until the second one has taken it over.
    let before = stage.epoch();
    stage.run(vec![source], vec![], quick(), |reader| {
        eventually("taken over", || (reader.epoch() > before).then_some(()));
        eventually("held", || {
            let stands = reader.resolve(oms).expect("its set stands");
            assert_eq!((stands.state(), stands.endpoints()), (State::Stale, 3));
            (stands.reason() == Reason::Unconfirmed).then_some(())
        });
    });
}
