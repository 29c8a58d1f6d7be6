//! etcd's keys: linearizable reads, transactions, leases, and a listing with a watch from its revision on.

mod follow;

use std::time::Duration;

use etcd_client::{Client, Compare, CompareOp, KeyValue, LeaseGrantOptions, PutOptions, Txn, TxnOp};
use resolver_core::Reason;

use crate::kv::{
    Check, Entry, Kv, KvError, KvFeed, Lease, Op, Outcome, Refused, Seen, Target, VALUE_LIMIT, check_key,
    check_prefix, retry, sort_in, vet,
};
use crate::source::{Fault, LocalFuture};

use super::list::Listing;
use super::member::{Members, Trouble, within};
use super::namespace::Namespace;
use super::{EtcdConfig, EtcdError};

/// The keys of one etcd cluster, or of one namespace in it. Of the configuration, prefix and codec are left aside: they are
/// about services.
pub struct EtcdKv {
    config: EtcdConfig,
    namespace: Namespace,
    members: Members,
    value_limit: usize,
}

impl EtcdKv {
    /// Connects to nothing yet.
    ///
    /// # Errors
    ///
    /// [`EtcdError`] says which setting cannot be used.
    pub fn new(config: EtcdConfig) -> Result<Self, EtcdError> {
        let (members, namespace) = (Members::new(&config)?, Namespace::new(&config.namespace));
        Ok(EtcdKv { config, namespace, members, value_limit: VALUE_LIMIT })
    }

    /// With another limit for values, in bytes. etcd's own is 1.5 MiB for a whole request.
    #[must_use]
    pub fn with_value_limit(self, bytes: usize) -> Self {
        EtcdKv { value_limit: bytes, ..self }
    }

    pub(super) fn config(&self) -> &EtcdConfig {
        &self.config
    }

    pub(super) fn members(&self) -> &Members {
        &self.members
    }

    pub(super) fn namespace(&self) -> &Namespace {
        &self.namespace
    }

    /// A client that is connected. A member that does not let itself be connected to is left for the next one: nothing
    /// was sent, so a write may do that too.
    async fn client(&self) -> Result<(Client, &str), KvError> {
        let mut last = None;
        for _ in self.members.order() {
            match self.members.client().await {
                Ok(client) => return Ok((client, self.members.url())),
                Err(fault) => {
                    let is_acl = fault.reason == Reason::Acl;
                    last = Some(fault);
                    if is_acl {
                        break;
                    }
                    self.members.rotate();
                }
            }
        }
        let none = || Fault::new(Reason::Unreachable, "etcd: no member to ask");
        Err(KvError::Registry(last.unwrap_or_else(none)))
    }

    /// A failed member is left, so that the next attempt is another's.
    fn failed(&self, trouble: Trouble) -> Fault {
        let fault = self.members.noted(trouble.into_fault());
        if matches!(fault.reason, Reason::Unreachable | Reason::NoLeader) {
            self.members.rotate();
        }
        fault
    }

    async fn point(&self, key: &str) -> Result<Option<Entry>, KvError> {
        self.check_key(key)?;
        let answer = retry(|| async {
            let (client, url) = self.client().await?;
            let mut client = client.kv_client();
            let call = client.get(self.namespace.key(key), None);
            let outcome = within(self.config.deadline, url, "reading a key", call).await;
            outcome.map_err(|trouble| KvError::Registry(self.failed(trouble)))
        });
        let mut answer = answer.await?;
        match answer.take_kvs().pop().map(|kv| entry(&kv, &self.namespace)) {
            None => Ok(None),
            Some(Ok(entry)) if entry.value.len() > self.value_limit => {
                Err(KvError::too_large(key, entry.value.len(), self.value_limit))
            }
            Some(Ok(entry)) => Ok(Some(entry)),
            Some(Err(refused)) => Err(KvError::key(&refused.key, refused.why)),
        }
    }

    async fn range(&self, prefix: &str) -> Result<crate::kv::Listing, KvError> {
        check_prefix(prefix)?;
        retry(|| async {
            let (client, url) = self.client().await?;
            let mut listing = self.listing(&client, url, &Target::Prefix(prefix.into()));
            let mut all = crate::kv::Listing::default();
            loop {
                let page = listing.page().await.map_err(|trouble| KvError::Registry(self.failed(trouble)))?;
                all.revision = number(page.revision);
                for kv in &page.kvs {
                    match entry(kv, &self.namespace) {
                        Ok(entry) => sort_in(&mut all, entry, self.value_limit),
                        Err(refused) => all.refused.push(refused),
                    }
                }
                if page.last {
                    return Ok(all);
                }
            }
        })
        .await
    }

    fn listing(&self, client: &Client, url: &str, target: &Target) -> Listing {
        Listing::new(client, url, self.namespace.range(target), self.config.page, self.config.deadline)
    }

    async fn transact(&self, checks: &[Check], ops: &[Op]) -> Result<Outcome, KvError> {
        vet(self, checks, ops)?;
        let (client, url) = self.client().await?;
        let mut client = client.kv_client();
        let whens: Vec<Compare> = checks.iter().map(|check| compare(check, &self.namespace)).collect();
        let thens = ops.iter().map(|op| operation(op, &self.namespace)).collect::<Result<Vec<_>, _>>()?;
        let call = client.txn(Txn::new().when(whens).and_then(thens));
        let answer = match within(self.config.deadline, url, "writing", call).await {
            Ok(answer) => answer,
            Err(trouble) => {
                let fault = self.failed(trouble);
                let is_gone = fault.detail.contains("lease not found");
                return Err(if is_gone { KvError::LeaseGone } else { KvError::of_write(fault) });
            }
        };
        match answer.succeeded() {
            true => Ok(Outcome::Done { revision: answer.header().map(|header| number(header.revision())) }),
            false => Ok(Outcome::Conflict { why: "a key is not as it was expected to be".into() }),
        }
    }

    async fn lease(&self, ttl: Duration) -> Result<Lease, KvError> {
        if !(Duration::from_secs(1)..=Duration::from_secs(86_400)).contains(&ttl) {
            return Err(KvError::Ttl(ttl));
        }
        let (client, url) = self.client().await?;
        let mut client = client.lease_client();
        let seconds = i64::try_from(ttl.as_secs()).unwrap_or(i64::MAX);
        let call = client.grant(seconds, None::<LeaseGrantOptions>);
        let granted = within(self.config.deadline, url, "asking for a lease", call).await;
        let granted = granted.map_err(|trouble| KvError::of_write(self.failed(trouble)))?;
        Ok(Lease { id: granted.id().to_string(), ttl: Duration::from_secs(number(granted.ttl())) })
    }

    async fn keep_alive(&self, lease: &Lease) -> Result<(), KvError> {
        let (client, url) = self.client().await?;
        let mut client = client.lease_client();
        let id = id_of(lease)?;
        // The first answer is in it, and an error if that says that the lease is gone.
        let call = client.keep_alive(id);
        match within(self.config.deadline, url, "renewing a lease", call).await {
            Ok(_) => Ok(()),
            Err(trouble) => gone_or(self.failed(trouble)),
        }
    }

    async fn end(&self, lease: &Lease) -> Result<(), KvError> {
        let (client, url) = self.client().await?;
        let mut client = client.lease_client();
        let call = client.revoke(id_of(lease)?);
        match within(self.config.deadline, url, "ending a lease", call).await {
            Ok(_) => Ok(()),
            Err(trouble) => gone_or(self.failed(trouble)),
        }
    }
}

fn gone_or(fault: Fault) -> Result<(), KvError> {
    let is_gone = fault.detail.contains("lease not found");
    Err(if is_gone { KvError::LeaseGone } else { KvError::Registry(fault) })
}

impl Kv for EtcdKv {
    fn name(&self) -> &str {
        &self.config.name
    }

    fn value_limit(&self) -> usize {
        self.value_limit
    }

    fn get<'a>(&'a self, key: &'a str) -> LocalFuture<'a, Result<Option<Entry>, KvError>> {
        Box::pin(self.point(key))
    }

    fn list<'a>(&'a self, prefix: &'a str) -> LocalFuture<'a, Result<crate::kv::Listing, KvError>> {
        Box::pin(self.range(prefix))
    }

    fn txn<'a>(&'a self, checks: &'a [Check], ops: &'a [Op]) -> LocalFuture<'a, Result<Outcome, KvError>> {
        Box::pin(self.transact(checks, ops))
    }

    fn grant<'a>(&'a self, ttl: Duration) -> LocalFuture<'a, Result<Lease, KvError>> {
        Box::pin(self.lease(ttl))
    }

    fn renew<'a>(&'a self, lease: &'a Lease) -> LocalFuture<'a, Result<(), KvError>> {
        Box::pin(self.keep_alive(lease))
    }

    fn revoke<'a>(&'a self, lease: &'a Lease) -> LocalFuture<'a, Result<(), KvError>> {
        Box::pin(self.end(lease))
    }

    fn watch<'a>(&'a self, target: &'a Target, feed: &'a KvFeed) -> LocalFuture<'a, ()> {
        Box::pin(self.run(target, feed))
    }

    fn check_key(&self, key: &str) -> Result<(), KvError> {
        check_key(key)
    }
}

/// A key as it was read; refused where it is no text.
fn entry(kv: &KeyValue, namespace: &Namespace) -> Result<Entry, Refused> {
    let (revision, key) = (number(kv.mod_revision()), namespace.inside(kv.key()));
    match std::str::from_utf8(key) {
        Ok(key) => Ok(Entry {
            key: key.into(),
            value: kv.value().to_vec(),
            revision,
            flags: 0,
            leased: kv.lease() != 0,
        }),
        Err(_) => {
            let key = key.escape_ascii().to_string();
            Err(Refused { key, why: "the key is not UTF-8".into(), revision })
        }
    }
}

/// A key as a watch tells of it.
fn seen(kv: &KeyValue, namespace: &Namespace, limit: usize) -> (String, Seen) {
    match entry(kv, namespace) {
        Ok(entry) if entry.value.len() > limit => {
            let why = KvError::too_large(&entry.key, entry.value.len(), limit).to_string();
            let refused = Refused { key: entry.key.clone(), why, revision: entry.revision };
            (entry.key, Seen::Refused(refused))
        }
        Ok(entry) => (entry.key.clone(), Seen::Value(entry)),
        Err(refused) => (refused.key.clone(), Seen::Refused(refused)),
    }
}

fn compare(check: &Check, namespace: &Namespace) -> Compare {
    match check {
        Check::Revision { key, revision } => {
            let revision = i64::try_from(*revision).unwrap_or(i64::MAX);
            Compare::mod_revision(namespace.key(key), CompareOp::Equal, revision)
        }
        Check::Absent { key } => Compare::version(namespace.key(key), CompareOp::Equal, 0),
    }
}

fn operation(op: &Op, namespace: &Namespace) -> Result<TxnOp, KvError> {
    Ok(match op {
        Op::Put { key, value, lease, .. } => {
            let lease = lease.as_ref().map(id_of).transpose()?;
            let options = lease.map(|id| PutOptions::new().with_lease(id));
            TxnOp::put(namespace.key(key), value.as_slice(), options)
        }
        Op::Delete { key } => TxnOp::delete(namespace.key(key), None),
    })
}

fn id_of(lease: &Lease) -> Result<i64, KvError> {
    lease.id.parse().map_err(|_| KvError::LeaseGone)
}

fn number(count: i64) -> u64 {
    u64::try_from(count).unwrap_or_default()
}
