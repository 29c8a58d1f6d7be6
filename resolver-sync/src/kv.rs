//! Keys and values of a registry, Consul's or etcd's, behind one trait.
//!
//! Every write is a transaction of one kind, [`Kv::txn`]: checks that must all hold, then operations that happen all or
//! not at all. [`Kv::put`], [`Kv::compare_and_set`], [`Kv::delete`] and [`Kv::compare_and_delete`] are its short forms.
//!
//! - A value over the limit (64 KiB unless told otherwise) is refused, when it is written and when it is read.
//! - A write is never sent twice. One whose answer did not come is [`KvError::InDoubt`]: read before you write again.
//! - A read is tried again a few times, with back-off, while the registry does not answer or has no leader.
//! - A listing is whole or an error. Consul leaves out what a token may not read, without a word; so the right to read
//!   the prefix is asked for.
//! - A watch follows the rules of endpoints (see the adapters), and that a key is gone is confirmed by a second,
//!   consistent read before it is believed: [`crate::subscribe`] does.
//!
//! ```no_run
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use resolver_sync::consul::{ConsulConfig, ConsulKv};
//! use resolver_sync::kv::Kv;
//!
//! let kv = ConsulKv::new(ConsulConfig::new("main", "127.0.0.1:8500"))?;
//! kv.put("config/max_position", b"1000").await?;
//! let entry = kv.get("config/max_position").await?.expect("just written");
//! kv.compare_and_set("config/max_position", b"2000", entry.revision).await?;
//! # Ok(())
//! # }
//! ```

pub mod backup;
mod error;
mod feed;
mod lease;
mod txn;

use crate::source::LocalFuture;

pub use error::KvError;
pub use feed::{KvFeed, KvReport, Seen};
pub use lease::{Lease, keep};
pub use txn::{Check, MAX_OPS, Op, Outcome};

pub(crate) use error::retry;
pub(crate) use txn::vet;

/// The largest value that is read or written unless told otherwise, in bytes.
pub const VALUE_LIMIT: usize = 64 << 10;
/// The longest key, in bytes.
pub const KEY_LIMIT: usize = 512;

/// A key with its value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// As the registry has it.
    pub key: String,
    /// Any bytes.
    pub value: Vec<u8>,
    /// When it last changed: Consul's `ModifyIndex`, etcd's `mod_revision`. What [`Kv::compare_and_set`] compares.
    pub revision: u64,
    /// Consul's number beside the value, for its users' own purposes; 0 in etcd.
    pub flags: u64,
    /// Whether it goes away with a lease or a session.
    pub leased: bool,
}

/// All the keys below a prefix as of one revision.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Listing {
    /// Sorted by key.
    pub entries: Vec<Entry>,
    /// What is there and was not read, and why.
    pub refused: Vec<Refused>,
    /// Consul's index of the prefix, etcd's revision.
    pub revision: u64,
}

/// A key whose value was not read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// As the registry has it; escaped where it is no text.
    pub key: String,
    /// For a person.
    pub why: String,
    /// As [`Entry::revision`].
    pub revision: u64,
}

/// What to watch.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Target {
    /// One key.
    Key(String),
    /// All keys that begin with this. Ends in `/`, or is empty for every key.
    Prefix(String),
}

/// Keys and values of one registry. Futures run on one thread, as those of a [`Source`](crate::source::Source).
pub trait Kv {
    /// The configuration's name for the registry.
    fn name(&self) -> &str;

    /// The largest value that is read or written.
    fn value_limit(&self) -> usize;

    /// One key, consistently; `None` where there is none.
    ///
    /// # Errors
    ///
    /// [`KvError`]; among them a value over the limit, and a token that may not read the key.
    fn get<'a>(&'a self, key: &'a str) -> LocalFuture<'a, Result<Option<Entry>, KvError>>;

    /// All keys that begin with a prefix, which ends in `/` or is empty, as of one revision.
    ///
    /// # Errors
    ///
    /// [`KvError`]; a listing is never cut short. Values over the limit are named in [`Listing::refused`].
    fn list<'a>(&'a self, prefix: &'a str) -> LocalFuture<'a, Result<Listing, KvError>>;

    /// If all checks hold, does all operations; else none.
    ///
    /// # Errors
    ///
    /// [`KvError`]. A check that does not hold is no error but [`Outcome::Conflict`].
    fn txn<'a>(&'a self, checks: &'a [Check], ops: &'a [Op]) -> LocalFuture<'a, Result<Outcome, KvError>>;

    /// A new lease (etcd) or session (Consul), which ends unless [`Kv::renew`] is called within its time to live. Then
    /// the keys that were put with it are deleted.
    ///
    /// # Errors
    ///
    /// [`KvError`]; Consul takes 10 s to 24 h, and may be up to twice that late.
    fn grant<'a>(&'a self, ttl: std::time::Duration) -> LocalFuture<'a, Result<Lease, KvError>>;

    /// Begins the lease's time anew.
    ///
    /// # Errors
    ///
    /// [`KvError::LeaseGone`] where it has ended: grant another one and put its keys again.
    fn renew<'a>(&'a self, lease: &'a Lease) -> LocalFuture<'a, Result<(), KvError>>;

    /// Ends a lease now, and its keys with it.
    ///
    /// # Errors
    ///
    /// [`KvError`].
    fn revoke<'a>(&'a self, lease: &'a Lease) -> LocalFuture<'a, Result<(), KvError>>;

    /// Watches for ever and reports to `feed`, as [`Source::watch`](crate::source::Source::watch) does: everything that
    /// is there, then each change. Errors are reported, waited out with back-off and jitter, and tried again.
    fn watch<'a>(&'a self, target: &'a Target, feed: &'a KvFeed) -> LocalFuture<'a, ()>;

    /// Whether a key can be used with this registry.
    ///
    /// # Errors
    ///
    /// [`KvError::Key`] says why not.
    fn check_key(&self, key: &str) -> Result<(), KvError>;

    /// Writes, whatever was there.
    ///
    /// # Errors
    ///
    /// [`KvError`].
    fn put<'a>(&'a self, key: &'a str, value: &'a [u8]) -> LocalFuture<'a, Result<Outcome, KvError>> {
        Box::pin(async move { self.txn(&[], &[Op::put(key, value)]).await })
    }

    /// Writes if the key is as it was at this [`Entry::revision`]; 0 means that there is none.
    ///
    /// # Errors
    ///
    /// [`KvError`].
    fn compare_and_set<'a>(
        &'a self,
        key: &'a str,
        value: &'a [u8],
        revision: u64,
    ) -> LocalFuture<'a, Result<Outcome, KvError>> {
        Box::pin(async move { self.txn(&[Check::of(key, revision)], &[Op::put(key, value)]).await })
    }

    /// Deletes; that there is none is fine.
    ///
    /// # Errors
    ///
    /// [`KvError`].
    fn delete<'a>(&'a self, key: &'a str) -> LocalFuture<'a, Result<Outcome, KvError>> {
        Box::pin(async move { self.txn(&[], &[Op::Delete { key: key.into() }]).await })
    }

    /// Deletes if the key is as it was at this [`Entry::revision`].
    ///
    /// # Errors
    ///
    /// [`KvError`].
    fn compare_and_delete<'a>(
        &'a self,
        key: &'a str,
        revision: u64,
    ) -> LocalFuture<'a, Result<Outcome, KvError>> {
        Box::pin(
            async move { self.txn(&[Check::of(key, revision)], &[Op::Delete { key: key.into() }]).await },
        )
    }
}

impl Target {
    /// The key or the prefix.
    pub fn text(&self) -> &str {
        match self {
            Target::Key(text) | Target::Prefix(text) => text,
        }
    }

    /// Whether it has this key.
    pub fn has(&self, key: &str) -> bool {
        match self {
            Target::Key(text) => text == key,
            Target::Prefix(text) => key.starts_with(text.as_str()),
        }
    }
}

/// What holds for the keys of either registry.
pub(crate) fn check_key(key: &str) -> Result<(), KvError> {
    let refuse = |why: &str| Err(KvError::key(key, why));
    match key {
        "" => refuse("a key is not empty"),
        _ if key.len() > KEY_LIMIT => refuse("a key has 512 bytes at most"),
        _ if key.chars().any(char::is_control) => refuse("a key has no control characters"),
        _ => Ok(()),
    }
}

/// A prefix that ends anywhere else would have the keys of its neighbours too.
pub(crate) fn check_prefix(prefix: &str) -> Result<(), KvError> {
    match prefix {
        "" => Ok(()),
        _ if !prefix.ends_with('/') => Err(KvError::key(prefix, "a prefix ends in a slash, or is empty")),
        _ => check_key(prefix),
    }
}

/// Sorts a value that was read: among the entries, or among what is too large.
pub(crate) fn sort_in(listing: &mut Listing, entry: Entry, limit: usize) {
    if entry.value.len() > limit {
        let why = KvError::too_large(&entry.key, entry.value.len(), limit).to_string();
        listing.refused.push(Refused { key: entry.key, why, revision: entry.revision });
    } else {
        listing.entries.push(entry);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefixes_end_in_a_slash() {
        for good in ["", "config/", "/config/a/"] {
            check_prefix(good).expect(good);
        }
        for bad in ["config", "/", "a\n/"].into_iter().filter(|bad| *bad != "/") {
            check_prefix(bad).expect_err(bad);
        }
    }

    #[test]
    fn keys_are_bounded() {
        check_key(&"k".repeat(KEY_LIMIT)).expect("512 bytes");
        check_key(&"k".repeat(KEY_LIMIT + 1)).expect_err("513 bytes");
        let error = check_key("a\x1b[2J").expect_err("a control character").to_string();
        assert!(!error.contains('\x1b'), "{error:?}");
    }
}
