//! Answers that the real server cannot be made to give, from a scripted one: none of them makes a hot loop, a false
//! empty service, or a set that goes back in time unannounced.

use std::io::Write;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use flate2::Compression;
use flate2::write::GzEncoder;
use resolver_core::Reason;
use resolver_sync::consul::{Consistency, ConsulConfig};
use resolver_sync::secret::Secret;

use crate::fake::{Fake, Reply};
use crate::table::{Table, config, source, watching};

fn instances(ports: &[u16]) -> String {
    let one = |port: &u16| {
        format!(
            r#"{{"Node":{{"Node":"n"}},"Service":{{"ID":"w{port}","Address":"10.0.0.1","Port":{port}}},"Checks":[]}}"#
        )
    };
    format!("[{}]", ports.iter().map(one).collect::<Vec<_>>().join(","))
}

fn of(fake: &Fake) -> ConsulConfig {
    config(fake.address.clone(), &["web"])
}

/// For the tests of how often something is asked: the time itself is what they are about.
async fn pass(seconds: u64) {
    tokio::time::sleep(Duration::from_secs(seconds)).await;
}

#[tokio::test]
async fn early_answers_that_do_not_advance_are_read_again_and_make_no_hot_loop() {
    let fake = Fake::start(|_| Reply::ok(7, instances(&[1]))).await;
    watching(&source(of(&fake)), &[], async |table| {
        table.until_alive(2).await;
        pass(3).await;
    })
    .await;
    let asked = fake.asked();
    assert_eq!(asked[0].index(), None);
    assert_eq!(asked[1].index(), Some(7));
    assert_eq!(asked[2].index(), None, "an early answer is read again without an index");
    assert!(asked.len() < 40, "{} requests in 3 s", asked.len());
    assert!(asked.iter().all(|asked| asked.index() != Some(0)));
}

#[tokio::test]
async fn after_a_restore_the_new_state_is_read_at_once() {
    // As the real server does it: the parked query wakes with the old data and the old index.
    let fake = Fake::start(|asked| match asked.index() {
        None if RESTORED.load(Ordering::SeqCst) == 0 => Reply::ok(50, instances(&[1, 2])),
        Some(50) => {
            RESTORED.store(1, Ordering::SeqCst);
            Reply::ok(50, instances(&[1, 2])).after(Duration::from_millis(100))
        }
        None => Reply::ok(9, instances(&[1])),
        _ => Reply::parked(),
    })
    .await;
    static RESTORED: AtomicU64 = AtomicU64::new(0);
    watching(&source(of(&fake)), &[], async |table| {
        table.until("the restored state", 2, |t| t.has("web", &["w1"])).await;
        assert_eq!((table.sets["web"].revision, table.epochs.len()), (9, 1));
        table.until("alive", 2, Table::is_alive).await;
        while fake.asked().len() < 5 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await;
    let asked: Vec<_> = fake.asked().iter().map(|a| (a.index(), a.has("consistent"))).collect();
    let expected = [(None, false), (Some(50), false), (None, false), (None, true), (Some(9), false)];
    assert_eq!(asked, expected);
}

#[tokio::test]
async fn a_leader_that_has_not_read_its_own_log_is_asked_to_prove_itself() {
    // As real servers do for a moment after a restart: there is a leader, its index is 1, and nothing is there.
    let fake = Fake::start(|asked| match asked.index() {
        None if asked.has("consistent") => Reply::ok(50, instances(&[1, 2])),
        None if READS.fetch_add(1, Ordering::SeqCst) == 0 => Reply::ok(50, instances(&[1, 2])),
        None => Reply::ok(1, "[]"),
        Some(50) if WATCHES.fetch_add(1, Ordering::SeqCst) == 0 => Reply::ok(1, "[]"),
        _ => Reply::parked(),
    })
    .await;
    static READS: AtomicU64 = AtomicU64::new(0);
    static WATCHES: AtomicU64 = AtomicU64::new(0);
    watching(&source(of(&fake)), &[], async |table| {
        table
            .until("it watches again", 10, |t| {
                assert!(t.sets.get("web").is_none_or(|set| set.revision == 50), "{t:?}");
                WATCHES.load(Ordering::SeqCst) == 2 && t.is_alive()
            })
            .await;
        assert!(table.epochs.is_empty() && table.doubts.is_empty(), "{table:?}");
    })
    .await;
}

#[tokio::test]
async fn a_lower_index_is_read_again_and_announced() {
    let fake = Fake::start(|asked| match asked.index() {
        None if FIRST.swap(1, Ordering::SeqCst) == 0 => Reply::ok(50, instances(&[1, 2])),
        None => Reply::ok(9, instances(&[3])),
        Some(50) => Reply::ok(8, "[]"),
        _ => Reply::parked(),
    })
    .await;
    static FIRST: AtomicU64 = AtomicU64::new(0);
    watching(&source(of(&fake)), &[], async |table| {
        table.until("the state of the new history", 2, |t| t.has("web", &["w3"])).await;
        assert_eq!(table.epochs.len(), 1);
    })
    .await;
}

#[tokio::test]
async fn an_index_that_falls_for_ever_makes_no_hot_loop() {
    let next = AtomicU64::new(1_000_000);
    let fake = Fake::start(move |_| Reply::ok(next.fetch_sub(1, Ordering::SeqCst), instances(&[1]))).await;
    watching(&source(of(&fake)), &[], async |_| pass(3).await).await;
    assert!((3..60).contains(&fake.asked().len()), "{} requests in 3 s", fake.asked().len());
}

#[tokio::test]
async fn an_index_of_0_is_never_asked_with() {
    let fake = Fake::start(|_| Reply::ok(0, instances(&[1]))).await;
    watching(&source(of(&fake)), &[], async |_| pass(1).await).await;
    assert!(fake.asked().iter().all(|asked| asked.index() != Some(0)));
    assert!((2..40).contains(&fake.asked().len()));
}

#[tokio::test]
async fn wakes_that_change_nothing_are_paced() {
    let next = AtomicU64::new(1);
    let fake = Fake::start(move |_| Reply::ok(next.fetch_add(1, Ordering::SeqCst), instances(&[1]))).await;
    watching(&source(of(&fake)), &[], async |_| pass(2).await).await;
    assert!((10..60).contains(&fake.asked().len()), "{} requests in 2 s", fake.asked().len());
}

#[tokio::test]
async fn refusals_back_off_and_their_index_is_not_taken() {
    let fake = Fake::start(|_| {
        let headers = "X-Consul-Index: 1\r\nX-Consul-KnownLeader: false\r\n";
        Reply::error("500 Internal Server Error", headers, "No cluster leader")
    })
    .await;
    watching(&source(of(&fake)), &[], async |table| {
        table.until("a doubt", 2, |t| t.doubts.contains_key("web")).await;
        assert_eq!(table.doubts["web"].reason, Reason::NoLeader);
        assert!(table.sets.is_empty());
        pass(3).await;
    })
    .await;
    let asked = fake.asked();
    assert!(asked.iter().all(|asked| asked.index().is_none()));
    assert!((3..25).contains(&asked.len()), "{} requests in 3 s", asked.len());
}

#[tokio::test]
async fn leaderless_filtered_and_broken_answers_are_doubts_and_not_empty_services() {
    let leaderless = "X-Consul-Index: 5\r\nX-Consul-KnownLeader: false\r\n";
    let good = "X-Consul-Index: 5\r\nX-Consul-KnownLeader: true\r\n";
    let filtered =
        "X-Consul-Index: 5\r\nX-Consul-KnownLeader: true\r\nX-Consul-Results-Filtered-By-ACLs: true\r\n";
    for (headers, body, reason) in [
        (leaderless, "[]", Reason::NoLeader),
        (filtered, "[]", Reason::Acl),
        ("X-Consul-KnownLeader: true\r\n", "[]", Reason::BadAnswer),
        (good, "{}", Reason::BadAnswer),
        (good, "[{", Reason::BadAnswer),
    ] {
        let fake = Fake::start(move |_| Reply::ok(5, body).headers(headers)).await;
        watching(&source(of(&fake)), &[], async |table| {
            table.until("a doubt", 2, |t| t.doubts.contains_key("web")).await;
            assert_eq!(table.doubts["web"].reason, reason, "{:?}", table.doubts);
            assert!(table.sets.is_empty(), "{headers} {body}");
        })
        .await;
    }
}

#[tokio::test]
async fn a_body_over_the_limit_is_refused_packed_or_not() {
    let good = "X-Consul-Index: 5\r\nX-Consul-KnownLeader: true\r\n";
    let packed = format!("{good}Content-Encoding: gzip\r\n");
    let mut bomb = GzEncoder::new(Vec::new(), Compression::best());
    bomb.write_all(&vec![b' '; 64 << 20]).expect("packed");
    let bomb = bomb.finish().expect("packed");
    assert!(bomb.len() < 1 << 20);
    for (headers, body) in [(good.to_owned(), vec![b' '; 5 << 20]), (packed, bomb)] {
        let fake = Fake::start(move |_| Reply::ok(5, body.clone()).headers(&headers)).await;
        watching(&source(of(&fake)), &[], async |table| {
            table.until("a doubt", 10, |t| t.doubts.contains_key("web")).await;
            assert_eq!(table.doubts["web"].reason, Reason::BadAnswer, "{:?}", table.doubts);
            assert!(table.doubts["web"].detail.contains("limit of 4194304 bytes"), "{:?}", table.doubts);
        })
        .await;
    }
}

#[tokio::test]
async fn a_redirect_is_not_followed_and_takes_no_token_along() {
    let other = Fake::start(|_| Reply::ok(5, "[]")).await;
    let target = format!("Location: http://{}/v1/health/service/web\r\n", other.address);
    let fake = Fake::start(move |_| Reply::error("301 Moved Permanently", &target, "")).await;
    let mut secret = of(&fake);
    secret.token = Some(Secret::new("canary-5a1f"));
    watching(&source(secret), &[], async |table| {
        table.until("a doubt", 2, |t| t.doubts.contains_key("web")).await;
        assert!(!format!("{table:?}").contains("canary"));
    })
    .await;
    assert!(other.asked().is_empty(), "followed");
    assert!(fake.asked()[0].head.contains("canary-5a1f"), "the token goes to the agent that was named");
}

#[tokio::test]
async fn a_stale_answer_beyond_its_bound_is_asked_of_the_leader() {
    let fake = Fake::start(|asked| match (asked.has("stale"), asked.index()) {
        (true, None) => Reply::ok(5, "[]")
            .headers("X-Consul-Index: 5\r\nX-Consul-KnownLeader: true\r\nX-Consul-LastContact: 9000\r\n"),
        (false, None) => Reply::ok(8, instances(&[1])),
        _ => Reply::parked(),
    })
    .await;
    let mut stale = of(&fake);
    stale.consistency = Consistency::Stale { max_age: Duration::from_secs(5) };
    watching(&source(stale), &[], async |table| {
        table.until_alive(2).await;
        assert!(table.has("web", &["w1"]));
        table.until("it asks on", 2, |_| fake.asked().len() == 3).await;
    })
    .await;
    let stale: Vec<_> = fake.asked().iter().map(|asked| (asked.has("stale"), asked.index())).collect();
    assert_eq!(stale[..2], [(true, None), (false, None)]);
}

#[tokio::test]
async fn under_another_leader_everything_is_read_again_though_nobody_was_missed() {
    // A query that is parked on a leader that froze hangs for as long as it may.
    static RULES: AtomicU64 = AtomicU64::new(1);
    let fake = Fake::start(|asked| match asked.index() {
        None => Reply::ok(7, instances(&[RULES.load(Ordering::SeqCst) as u16])),
        Some(_) => Reply::parked(),
    })
    .await;
    watching(&source(of(&fake)), &[], async |table| {
        table.until_alive(2).await;
        RULES.store(2, Ordering::SeqCst);
        fake.set_leader("10.0.0.2:8300");
        table.until("what the next one says", 4, |t| t.has("web", &["w2"])).await;
        table.until_alive(4).await;
    })
    .await;
}
