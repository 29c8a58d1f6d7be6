//! A registry that says what it is told to, for what a real one cannot be made to say at a chosen moment.

use std::cell::RefCell;
use std::collections::BTreeMap;

use resolver_core::Reason;

use super::*;
use crate::kv::{Check, Lease, Listing, Op, Outcome};

/// What a second read finds; a fault where it is refused.
#[derive(Default)]
struct Fake {
    keys: RefCell<BTreeMap<String, Entry>>,
    refuses: RefCell<Option<Fault>>,
    reads: RefCell<usize>,
    feed: RefCell<Option<KvFeed>>,
}

fn entry(key: &str, value: &str, revision: u64) -> Entry {
    Entry { key: key.into(), value: value.into(), revision, flags: 0, leased: false }
}

fn listing(entries: &[Entry]) -> Listing {
    Listing { entries: entries.to_vec(), revision: 9, ..Listing::default() }
}

impl Kv for Fake {
    fn name(&self) -> &str {
        "fake"
    }

    fn value_limit(&self) -> usize {
        100
    }

    fn get<'a>(&'a self, key: &'a str) -> LocalFuture<'a, Result<Option<Entry>, KvError>> {
        *self.reads.borrow_mut() += 1;
        let refused = self.refuses.borrow().clone();
        let answer = match refused {
            Some(fault) => Err(KvError::Registry(fault)),
            None => Ok(self.keys.borrow().get(key).cloned()),
        };
        Box::pin(async { answer })
    }

    fn list<'a>(&'a self, prefix: &'a str) -> LocalFuture<'a, Result<Listing, KvError>> {
        *self.reads.borrow_mut() += 1;
        let keys = self.keys.borrow();
        let all: Vec<_> = keys.values().filter(|entry| entry.key.starts_with(prefix)).cloned().collect();
        Box::pin(async move { Ok(listing(&all)) })
    }

    fn txn<'a>(&'a self, _: &'a [Check], _: &'a [Op]) -> LocalFuture<'a, Result<Outcome, KvError>> {
        unimplemented!("nothing is written here")
    }

    fn grant<'a>(&'a self, _: Duration) -> LocalFuture<'a, Result<Lease, KvError>> {
        unimplemented!("nothing is written here")
    }

    fn renew<'a>(&'a self, _: &'a Lease) -> LocalFuture<'a, Result<(), KvError>> {
        unimplemented!("nothing is written here")
    }

    fn revoke<'a>(&'a self, _: &'a Lease) -> LocalFuture<'a, Result<(), KvError>> {
        unimplemented!("nothing is written here")
    }

    fn watch<'a>(&'a self, _: &'a Target, feed: &'a KvFeed) -> LocalFuture<'a, ()> {
        *self.feed.borrow_mut() = Some(feed.clone());
        Box::pin(std::future::pending())
    }

    fn check_key(&self, _: &str) -> Result<(), KvError> {
        Ok(())
    }
}

/// The fake, the watch, and where the fake reports to.
async fn watch(expected: &[&str]) -> (Rc<Fake>, Keys, KvFeed) {
    let fake = Rc::new(Fake::default());
    let target = Target::Prefix("c/".into());
    let expected = expected.iter().map(|key| (*key).to_owned());
    let mut keys = Keys::expecting(Rc::clone(&fake) as Rc<dyn Kv>, target, expected);
    // The watch begins when it is first asked.
    let nothing = tokio::time::timeout(Duration::from_millis(1), keys.next()).await;
    assert!(nothing.is_err(), "{nothing:?}");
    let feed = fake.feed.borrow().clone().expect("it watches");
    (fake, keys, feed)
}

async fn silent(keys: &mut Keys) {
    let events = tokio::time::timeout(Duration::from_millis(100), keys.next()).await;
    assert!(events.is_err(), "{events:?}");
}

#[tokio::test(start_paused = true)]
async fn a_change_is_told_once_and_nothing_goes_back() {
    let (_, mut keys, feed) = watch(&[]).await;
    let first = entry("c/a", "1", 5);
    feed.listing(listing(std::slice::from_ref(&first)));
    assert_eq!(keys.next().await, [KeyEvent::Put(first.clone())]);
    // A listing says again what everybody knows, and an older word comes late.
    feed.listing(listing(std::slice::from_ref(&first)));
    silent(&mut keys).await;
    feed.changes(vec![("c/a".into(), Seen::Value(entry("c/a", "0", 4)))], 4);
    silent(&mut keys).await;
    // Of a new history it is to be believed, and what is the same in both is no news.
    feed.contact.epoch_changed("another");
    feed.listing(listing(std::slice::from_ref(&first)));
    assert_eq!(keys.next().await, [KeyEvent::NewEpoch("another".into())]);
    feed.contact.epoch_changed("restored");
    feed.listing(listing(&[entry("c/a", "0", 4)]));
    let told = keys.next().await;
    assert_eq!(told, [KeyEvent::NewEpoch("restored".into()), KeyEvent::Put(entry("c/a", "0", 4))]);
    feed.changes(vec![("c/a".into(), Seen::Value(entry("c/a", "0", 3)))], 3);
    silent(&mut keys).await;
}

#[tokio::test(start_paused = true)]
async fn that_a_key_is_gone_is_read_again() {
    let (fake, mut keys, feed) = watch(&["c/expected"]).await;
    let a = entry("c/a", "1", 5);
    feed.listing(listing(std::slice::from_ref(&a)));
    assert_eq!(keys.next().await, [KeyEvent::Put(a.clone())]);
    assert_eq!(keys.next().await, [KeyEvent::Deleted { key: "c/expected".into() }]);

    // An empty answer that was wrong: the key is there all the time, so there is nothing to tell.
    fake.keys.borrow_mut().insert("c/a".into(), a.clone());
    let reads = *fake.reads.borrow();
    feed.listing(listing(&[]));
    silent(&mut keys).await;
    assert_eq!(*fake.reads.borrow(), reads + 1);

    // Nobody may read it any more: that is told once, and it is tried again.
    let fault = Fault::new(Reason::Acl, "denied");
    *fake.refuses.borrow_mut() = Some(fault.clone());
    feed.changes(vec![("c/a".into(), Seen::Deleted { revision: 8 })], 8);
    assert_eq!(keys.next().await, [KeyEvent::Held { key: "c/a".into(), fault }]);
    let later = tokio::time::timeout(Duration::from_secs(20), keys.next()).await;
    assert!(later.is_err(), "{later:?}");
    assert!(*fake.reads.borrow() > reads + 3, "it was not tried again");
    *fake.refuses.borrow_mut() = None;
    // Told again, as it was said to be held.
    assert_eq!(keys.next().await, [KeyEvent::Put(a)]);

    fake.keys.borrow_mut().clear();
    feed.changes(vec![("c/a".into(), Seen::Deleted { revision: 9 })], 9);
    assert_eq!(keys.next().await, [KeyEvent::Deleted { key: "c/a".into() }]);
    feed.changes(vec![("c/a".into(), Seen::Deleted { revision: 9 })], 9);
    silent(&mut keys).await;
}

#[tokio::test(start_paused = true)]
async fn many_that_are_gone_cost_one_listing() {
    let (fake, mut keys, feed) = watch(&[]).await;
    let all: Vec<_> = (0..50).map(|n| entry(&format!("c/{n:02}"), "x", 5)).collect();
    feed.listing(listing(&all));
    assert_eq!(keys.next().await.len(), 50);
    fake.keys.borrow_mut().insert("c/07".into(), all[7].clone());
    feed.listing(listing(&[]));
    let gone = keys.next().await;
    assert_eq!((gone.len(), *fake.reads.borrow()), (49, 1));
    assert!(!gone.contains(&KeyEvent::Deleted { key: "c/07".into() }));
}

#[tokio::test(start_paused = true)]
async fn contact_is_told() {
    let (_, mut keys, feed) = watch(&[]).await;
    feed.contact.alive();
    assert_eq!(keys.next().await, [KeyEvent::Alive]);
    let fault = Fault::new(Reason::Unreachable, "gone");
    feed.contact.lost(fault.clone());
    assert_eq!(keys.next().await, [KeyEvent::Lost(fault)]);
}
