use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::policy::{Ejection, TagBits};
use crate::record::Candidate;

const RULE: Ejection =
    Ejection { failures: 1, base: Duration::from_secs(30), max: Duration::from_secs(300), max_ejected: 10 };

/// An instance at this port.
fn at(port: i64, tier: u8, weight: i64) -> Candidate {
    Candidate {
        id: format!("i{port}"),
        address: "10.0.0.1".into(),
        port,
        weight: Some(weight),
        tier,
        ..Candidate::default()
    }
}

fn within(zone: &str, candidate: Candidate) -> Candidate {
    Candidate { zone: zone.into(), ..candidate }
}

fn unhealthy(candidate: Candidate) -> Candidate {
    Candidate { unhealthy: true, ..candidate }
}

fn set(candidates: impl IntoIterator<Item = Candidate>) -> ServiceSet {
    ServiceSet::check(candidates, 1)
}

fn view(policies: Policies) -> View {
    View { policies, ..View::of_service("s", "oms") }
}

fn zones() -> Zones {
    Zones::new(vec!["a".into(), "b".into()], Some("a")).expect("good")
}

fn address(port: u16) -> SocketAddr {
    SocketAddr::from(([10, 0, 0, 1], port))
}

/// The ports of those that serve, and of the reserves.
fn ports(ranked: &Ranked) -> (Vec<u16>, Vec<u16>) {
    let ports: Vec<u16> = ranked.endpoints.iter().map(|endpoint| endpoint.address().port()).collect();
    (ports[..ranked.active].to_vec(), ports[ranked.active..].to_vec())
}

/// A view with what it remembers, at a moment of the test's own.
struct Course {
    view: View,
    selection: Selection,
    now: Instant,
}

impl Course {
    fn new(policies: Policies) -> Self {
        Course { view: view(policies), selection: Selection::default(), now: Instant::now() }
    }

    fn rank(&mut self, set: &ServiceSet) -> Ranked {
        self.selection.rank(&self.view, &zones(), set, None, self.now)
    }

    fn ports(&mut self, set: &ServiceSet) -> (Vec<u16>, Vec<u16>) {
        ports(&self.rank(set))
    }

    fn fail(&mut self, port: u16) -> Noted {
        let id = view::id_hash(&format!("i{port}"));
        self.selection.report(&self.view.policies, id, Outcome::Failure, self.now)
    }

    fn wait(&mut self, seconds: u64) {
        self.now += Duration::from_secs(seconds);
    }
}

fn plain(view: &View, set: &ServiceSet, primary: Option<SocketAddr>) -> (Vec<u16>, Vec<u16>) {
    ports(&Selection::default().rank(view, &Zones::default(), set, primary, Instant::now()))
}

#[test]
fn the_primary_has_the_lowest_tier_and_then_the_highest_weight() {
    let set = set([at(1, 1, 1), at(2, 0, 1), at(3, 0, 9)]);
    assert_eq!(plain(&view(Policies::default()), &set, None), (vec![3, 2], vec![1]));
}

#[test]
fn a_sticky_primary_stays_within_its_tier() {
    let set = set([at(1, 1, 1), at(2, 0, 1), at(3, 0, 9)]);
    let view = View { policy: Policy::Sticky, ..view(Policies::default()) };
    assert_eq!(plain(&view, &set, Some(address(2))), (vec![2, 3], vec![1]));
    assert_eq!(plain(&view, &set, Some(address(1))), (vec![3, 2], vec![1]), "a lower tier came");
    assert_eq!(plain(&view, &set, Some(address(7))), (vec![3, 2], vec![1]), "it left");
}

#[test]
fn tags_must_all_be_there_and_named_ones_have_their_bits() {
    let tagged = |port, tags: &[&str]| Candidate {
        tags: tags.iter().map(|t| (*t).into()).collect(),
        ..at(port, 0, 1)
    };
    let set = set([tagged(1, &["a", "b"]), tagged(2, &["a"]), tagged(3, &["b"])]);
    let tag_bits = TagBits::new(vec!["b".into(), "x".into(), "a".into()]).expect("good");
    let mut course = Course::new(Policies { tag_bits, ..Policies::default() });
    let bits = |ranked: Ranked| ranked.endpoints.iter().map(Endpoint::tags).collect::<Vec<_>>();
    assert_eq!(bits(course.rank(&set)), [0b101, 0b100, 0b001]);
    course.view.tags = vec!["a".into(), "b".into()];
    assert_eq!(course.ports(&set), (vec![1], vec![]));
}

#[test]
fn a_drained_endpoint_is_a_reserve_and_a_drained_tier_is_left() {
    let both = set([at(1, 0, 0), at(2, 0, 5), at(3, 1, 5)]);
    assert_eq!(plain(&view(Policies::default()), &both, None), (vec![2], vec![3, 1]));
    let tier = set([at(1, 0, 0), at(2, 0, 0), at(3, 1, 5)]);
    assert_eq!(plain(&view(Policies::default()), &tier, None), (vec![3], vec![1, 2]));
    let all = set([at(1, 0, 0), at(2, 0, 0), at(3, 1, 0)]);
    assert_eq!(plain(&view(Policies::default()), &all, None), (vec![1, 2], vec![3]), "no weights at all");
}

#[test]
fn a_tier_that_was_lost_waits_before_it_serves_again() {
    let mut course = Course::new(Policies { fail_back: Duration::from_secs(30), ..Policies::default() });
    let (both, backup) = (set([at(1, 0, 1), at(2, 1, 1)]), set([at(2, 1, 1)]));
    assert_eq!(course.ports(&both), (vec![1], vec![2]));
    assert_eq!(course.ports(&backup), (vec![2], vec![]));
    assert_eq!(course.ports(&both), (vec![2], vec![1]));
    assert_eq!(course.rank(&both).due, Some(course.now + Duration::from_secs(30)));
    course.wait(30);
    assert_eq!(course.ports(&both), (vec![1], vec![2]));
    assert_eq!(course.rank(&both).due, None);
}

#[test]
fn the_own_zone_serves_alone_while_enough_of_it_is_there() {
    let zone = |min| Policies { zone: ZoneRule::Prefer { min }, ..Policies::default() };
    let set = set([
        within("b", at(1, 0, 9)),
        within("a", at(2, 0, 1)),
        within("a", at(3, 0, 1)),
        within("?", at(4, 0, 1)),
        within("a", at(5, 1, 1)),
        within("b", at(6, 1, 1)),
    ]);
    for min in [1, 2] {
        assert_eq!(
            Course::new(zone(min)).ports(&set),
            (vec![2, 3], vec![1, 4, 6 - 1, 6]),
            "a tier is over a zone"
        );
    }
    let mut few = Course::new(zone(3));
    assert_eq!(few.ports(&set), (vec![2, 3, 1, 4], vec![5, 6]), "first, but not alone");
    assert_eq!(few.rank(&set).endpoints.iter().map(Endpoint::zone).collect::<Vec<_>>(), [1, 1, 2, 0, 1, 2]);
    let any = Course::new(Policies::default()).ports(&set);
    assert_eq!(any, (vec![1, 2, 3, 4], vec![5, 6]));
    // A session in another zone is given up for the own one, as for a lower tier.
    let sticky = View { policy: Policy::Sticky, ..view(zone(1)) };
    let ranked = Selection::default().rank(&sticky, &zones(), &set, Some(address(1)), Instant::now());
    assert_eq!(ports(&ranked).0, [2, 3]);
}

#[test]
fn a_new_instance_starts_slowly_and_becomes_the_primary_only_with_its_weight() {
    let mut course = Course::new(Policies { slow_start: Duration::from_secs(60), ..Policies::default() });
    let weights = |ranked: &Ranked| {
        let of = |e: &Endpoint| (e.address().port(), e.weight());
        ranked.endpoints.iter().map(of).collect::<Vec<_>>()
    };
    course.rank(&set([at(2, 0, 1)]));
    let both = set([at(1, 0, 1), at(2, 0, 1)]);
    assert_eq!(weights(&course.rank(&both)), [(2, 10), (1, 1)]);
    assert_eq!(course.rank(&both).due, Some(course.now + Duration::from_secs(1)));
    course.wait(30);
    assert_eq!(weights(&course.rank(&both)), [(2, 10), (1, 5)]);
    course.wait(30);
    assert_eq!((weights(&course.rank(&both)), course.rank(&both).due), (vec![(1, 1), (2, 1)], None));
}

#[test]
fn in_a_panic_all_that_is_known_serves_the_healthy_first() {
    let mut course =
        Course::new(Policies { panic_threshold: 50, ejection: Some(RULE), ..Policies::default() });
    let calm = set([at(1, 0, 1), unhealthy(at(2, 0, 1)), at(3, 1, 1), unhealthy(at(4, 1, 1))]);
    assert_eq!(
        (course.ports(&calm), course.rank(&calm).panic),
        ((vec![1], vec![3]), None),
        "half is not below half"
    );
    let worse = set([unhealthy(at(1, 0, 9)), unhealthy(at(2, 0, 1)), at(3, 1, 1), unhealthy(at(4, 1, 1))]);
    let ranked = course.rank(&worse);
    assert_eq!(ports(&ranked), (vec![3, 1, 2, 4], vec![]));
    assert_eq!(ranked.panic, Some(Panic { healthy: 1, known: 4 }));
    let none = set([unhealthy(at(1, 0, 1)), unhealthy(at(2, 0, 0))]);
    assert_eq!(course.ports(&none), (vec![1], vec![]), "none is healthy; what is drained stays out");
    let drained = set([unhealthy(at(1, 0, 0)), unhealthy(at(2, 0, 1)), at(3, 0, 0)]);
    assert_eq!(course.ports(&drained), (vec![2], vec![3]), "drained by what all that are known weigh");
    assert_eq!(course.ports(&set([])), (vec![], vec![]), "nothing is known");
    // Ejected ones do not count as healthy.
    course.rank(&calm);
    course.fail(3);
    assert_eq!(course.rank(&calm).panic, Some(Panic { healthy: 1, known: 4 }));
    assert_eq!(course.ports(&calm), (vec![1, 2, 3, 4], vec![]));
    course.wait(30);
    assert_eq!(course.ports(&calm), (vec![1], vec![3]));
    course.view.policies.panic_threshold = 0;
    assert_eq!(course.ports(&worse), (vec![3], vec![]), "off, the unhealthy are nowhere");
}

#[test]
fn an_ejected_endpoint_is_the_last_reserve_and_comes_back_by_itself() {
    let mut course = Course::new(Policies { ejection: Some(RULE), ..Policies::default() });
    let set = set([at(1, 0, 9), at(2, 0, 1), at(3, 1, 1), at(4, 1, 0)]);
    assert_eq!(course.ports(&set), (vec![1, 2], vec![3, 4]));
    assert_eq!(course.fail(1), Noted::Ejected(RULE.base));
    assert_eq!(course.ports(&set), (vec![2], vec![3, 4, 1]));
    assert_eq!(course.rank(&set).due, Some(course.now + RULE.base));
    course.wait(30);
    assert_eq!(course.ports(&set), (vec![1, 2], vec![3, 4]));
}

#[test]
fn an_ejected_tier_is_left_and_ejection_yields_where_nothing_else_is_left() {
    let mut course = Course::new(Policies { ejection: Some(RULE), ..Policies::default() });
    let tiers = set([at(1, 0, 1), at(2, 1, 1)]);
    course.rank(&tiers);
    course.fail(1);
    assert_eq!(course.ports(&tiers), (vec![2], vec![1]));
    let drained = set([at(1, 0, 1), at(2, 1, 0)]);
    assert_eq!(course.ports(&drained), (vec![1], vec![2]), "better than what an operator took out");
}

fn any_candidates() -> impl Strategy<Value = Vec<Candidate>> {
    let one = (0u8..3, 0i64..4, "[abc]", prop::bool::weighted(0.3));
    prop::collection::vec(one, 0..12).prop_map(|all| {
        let place = |(port, (tier, weight, zone, bad)): (usize, (u8, i64, String, bool))| {
            let candidate = within(&zone, at(port as i64 + 1, tier, weight));
            if bad { unhealthy(candidate) } else { candidate }
        };
        all.into_iter().enumerate().map(place).collect()
    })
}

proptest! {
    /// Whatever is configured, comes and fails: nobody is lost or doubled, somebody serves, and who serves may.
    #[test]
    fn what_is_ranked_is_right(
        (fail_back, slow_start, panic_threshold, zone, ejects) in (0u64..60, 0u64..60, 0u8..=100, 0u16..4, any::<bool>()),
        steps in prop::collection::vec((any_candidates(), prop::collection::vec(1u16..12, 0..4), 0u64..40), 1..8),
    ) {
        let mut course = Course::new(Policies {
            fail_back: Duration::from_secs(fail_back),
            slow_start: Duration::from_secs(slow_start),
            panic_threshold,
            zone: if zone == 0 { ZoneRule::Any } else { ZoneRule::Prefer { min: zone } },
            ejection: ejects.then_some(Ejection { max_ejected: 50, ..RULE }),
            ..Policies::default()
        });
        for (candidates, failures, pause) in steps {
            let set = set(candidates);
            course.rank(&set);
            for port in failures {
                course.fail(port);
            }
            course.wait(pause);
            let ranked = course.rank(&set);
            let (serve, reserve) = ports(&ranked);
            let mut all: Vec<u16> = serve.iter().chain(&reserve).copied().collect();
            all.sort();
            let healthy: Vec<u16> = set.instances.iter().map(|instance| instance.port).collect();
            let mut known: Vec<u16> = healthy.clone();
            if ranked.panic.is_some() {
                let any = set.instances.iter().chain(&set.unhealthy).any(|i| i.weight > 0);
                known.extend(set.unhealthy.iter().filter(|i| !any || i.weight > 0).map(|i| i.port));
            }
            known.sort();
            prop_assert_eq!(&all, &known);
            prop_assert_eq!(ranked.active == 0, ranked.endpoints.is_empty());
            prop_assert!(ranked.due.is_none_or(|due| due > course.now), "due is never in the past");
            let (active, rest) = ranked.endpoints.split_at(ranked.active);
            if active.iter().any(|e| e.weight() > 0) {
                prop_assert!(active.iter().all(|e| e.weight() > 0), "weight 0 serves only where all are 0");
            }
            if ranked.panic.is_none() {
                prop_assert!(active.windows(2).all(|pair| pair[0].tier() == pair[1].tier()), "one tier serves");
                let lower = rest.iter().any(|e| e.weight() > 0 && active.first().is_some_and(|a| e.tier() < a.tier()));
                prop_assert!(!lower || fail_back > 0 || ejects, "no lower tier is passed over for nothing");
            }
            prop_assert_eq!(course.rank(&set), ranked, "the same question has the same answer");
        }
    }
}
