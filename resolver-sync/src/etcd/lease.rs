//! What a registration asks of a cluster: a lease, a key that goes with it, and proof that both are there.
//!
//! Each call has a deadline, and goes to one member; who calls decides about the next one ([`Lessor::rotate`]).

use std::future::Future;

use etcd_client::{
    Client, Compare, CompareOp, Error, GetOptions, KeyValue, LeaseTimeToLiveOptions, PutOptions, Txn, TxnOp,
    TxnOpResponse,
};

use crate::source::Fault;

use super::member::{Members, within};
use super::namespace::Namespace;
use super::{EtcdConfig, EtcdError};

/// The members of a cluster, as a registration sees them.
pub(crate) struct Lessor {
    members: Members,
    namespace: Namespace,
    deadline: std::time::Duration,
}

/// What stands under a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Holding {
    pub(crate) value: Vec<u8>,
    /// 0 where the key goes with no lease.
    pub(crate) lease: i64,
    pub(crate) mod_revision: i64,
}

impl Lessor {
    pub(crate) fn new(config: &EtcdConfig) -> Result<Self, EtcdError> {
        let (members, namespace) = (Members::new(config)?, Namespace::new(&config.namespace));
        Ok(Lessor { members, namespace, deadline: config.deadline })
    }

    /// Goes on to the next member.
    pub(crate) fn rotate(&self) {
        self.members.rotate();
    }

    /// A new lease: its id, and its TTL in seconds, which may be longer than what was asked for.
    pub(crate) async fn grant(&self, ttl: i64) -> Result<(i64, i64), Fault> {
        let granted = self.call("a lease", async |mut client| client.lease_grant(ttl, None).await).await?;
        Ok((granted.id(), granted.ttl()))
    }

    /// Starts a lease's TTL anew. `false` means that there is no such lease any more.
    pub(crate) async fn keep_alive(&self, lease: i64) -> Result<bool, Fault> {
        self.call("keeping a lease alive", async |mut client| match client.lease_keep_alive(lease).await {
            Ok(_) => Ok(true),
            // The client's own words for an answer with a TTL of 0.
            Err(Error::LeaseKeepAliveError(why)) if why.contains("not found") => Ok(false),
            Err(error) => Err(error),
        })
        .await
    }

    /// Seconds that a lease has left, and those that it was granted for; `None` where there is no such lease.
    pub(crate) async fn remaining(&self, lease: i64) -> Result<Option<(i64, i64)>, Fault> {
        let options = LeaseTimeToLiveOptions::new();
        let asked = async |mut client: Client| client.lease_time_to_live(lease, Some(options)).await;
        let answer = self.call("a lease's time", asked).await?;
        Ok((answer.ttl() >= 0).then_some((answer.ttl(), answer.granted_ttl())))
    }

    /// A lease and its keys go at once. One that is gone already is none the worse.
    pub(crate) async fn revoke(&self, lease: i64) -> Result<(), Fault> {
        self.call("revoking a lease", async |mut client| match client.lease_revoke(lease).await {
            Err(Error::GRpcStatus(status)) if status.code() == tonic::Code::NotFound => Ok(()),
            other => other.map(|_| ()),
        })
        .await
    }

    /// What stands under a key, read from the leader.
    pub(crate) async fn read(&self, key: &str) -> Result<Option<Holding>, Fault> {
        let key = self.namespace.key(key);
        let asked = async |mut client: Client| client.get(key, Some(GetOptions::new())).await;
        let answer = self.call("reading a key", asked).await?;
        Ok(answer.kvs().first().map(Holding::of))
    }

    /// Puts a key with a lease if nothing was written to it since `seen` (0: if it is not there). What stands there
    /// otherwise is the error's.
    pub(crate) async fn put_if(
        &self,
        key: &str,
        value: &[u8],
        lease: i64,
        seen: i64,
    ) -> Result<Result<(), Option<Holding>>, Fault> {
        let key = self.namespace.key(key);
        let unchanged = match seen {
            0 => Compare::create_revision(key.clone(), CompareOp::Equal, 0),
            seen => Compare::mod_revision(key.clone(), CompareOp::Equal, seen),
        };
        let txn = Txn::new()
            .when([unchanged])
            .and_then([TxnOp::put(key.clone(), value, Some(PutOptions::new().with_lease(lease)))])
            .or_else([TxnOp::get(key, None)]);
        let answer = self.call("putting a key", async |mut client: Client| client.txn(txn).await).await?;
        if answer.succeeded() {
            return Ok(Ok(()));
        }
        let holding = answer.op_responses().into_iter().find_map(|response| match response {
            TxnOpResponse::Get(got) => got.kvs().first().map(Holding::of),
            _ => None,
        });
        Ok(Err(holding))
    }

    /// Removes a key, unless it goes with another lease by now.
    pub(crate) async fn delete_if(&self, key: &str, lease: i64) -> Result<(), Fault> {
        let key = self.namespace.key(key);
        let txn = Txn::new()
            .when([Compare::lease(key.clone(), CompareOp::Equal, lease)])
            .and_then([TxnOp::delete(key, None)]);
        self.call("deleting a key", async |mut client: Client| client.txn(txn).await).await.map(|_| ())
    }

    async fn call<T, F>(&self, what: &str, call: impl FnOnce(Client) -> F) -> Result<T, Fault>
    where
        F: Future<Output = Result<T, Error>>,
    {
        let client = self.members.client().await?;
        let url = self.members.url();
        let called = within(self.deadline, url, what, call(client)).await;
        called.map_err(|trouble| self.members.noted(trouble.into_fault()))
    }
}

impl Holding {
    fn of(pair: &KeyValue) -> Self {
        Holding { value: pair.value().to_vec(), lease: pair.lease(), mod_revision: pair.mod_revision() }
    }
}
