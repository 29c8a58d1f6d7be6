//! etcd: one prefix, listed page by page at one revision and watched from there.
//!
//! Every kind of gap has one way back: list again, report all of it, watch from the listing's revision on. A gap is a
//! compacted revision, a watch that is cancelled or silent, a member that dies or loses its leader, a message that is
//! too large or not understood, a cluster that is another one or went back. Catching up by replaying old revisions is
//! not done: a server replays slower than it lists.
//!
//! Watches have been known to lose events on the server's side, so the prefix is also listed again from time to time,
//! beside the running watch, and what differs is repaired.

use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use resolver_core::Reason;

use crate::record::ServiceSet;
use crate::secret::Secret;
use crate::source::{Fault, Feed, LocalFuture, Source};

mod catalogue;
mod codec;
mod kv;
pub(crate) mod lease;
mod list;
mod login;
mod member;
mod namespace;
mod services;
mod status;
mod tail;
mod tls;
mod watch;

use catalogue::Catalogue;
use codec::Range;
pub use codec::{Codec, Decoded, MAX_VALUE};
pub use kv::EtcdKv;
use list::Listing;
use member::Members;
use services::Services;
pub use tls::EtcdTls;
use watch::Follow;

/// Which prefix of which cluster to watch, and how.
#[derive(Clone, Debug)]
pub struct EtcdConfig {
    /// The source's name; unique among the sources of one agent.
    pub name: String,
    /// The members' URLs, such as `http://10.0.0.1:2379`. One is used at a time; the next one when it fails.
    pub endpoints: Vec<String>,
    /// What stands before every key in this cluster, such as `/desk-a`: a tenant's part of it. It is put before the prefix of
    /// services, before the keys of [`EtcdKv`] and of registrations, and taken away from what is read. Never shown.
    pub namespace: String,
    /// What every key begins with. A slash is added where there is none at the end.
    pub prefix: String,
    /// How instances are written below the prefix.
    pub codec: Codec,
    /// For clusters with authentication; together with [`EtcdConfig::password`] or [`EtcdConfig::password_file`].
    pub user: Option<String>,
    /// Never printed.
    pub password: Option<Secret>,
    /// A file with the password, in place of `password`; read again at a connection when it has changed, and after a
    /// refusal. Must be readable by its owner alone.
    pub password_file: Option<PathBuf>,
    /// For members whose URLs begin with `https://`. They are verified always; by the system's roots unless a file of
    /// roots is named.
    pub tls: EtcdTls,
    /// How often a quiet watch is asked for its progress. After three that were not answered the next member is taken.
    pub heartbeat: Duration,
    /// The most keys in one page of a listing. Fewer are asked for when an answer is too large.
    pub page: u32,
    /// How often everything is listed again beside the watch.
    pub relist: Duration,
    /// How long a member may take for one answer.
    pub deadline: Duration,
}

impl Default for EtcdConfig {
    fn default() -> Self {
        EtcdConfig {
            name: "etcd".into(),
            endpoints: Vec::new(),
            namespace: String::new(),
            prefix: Codec::default().usual_prefix().into(),
            codec: Codec::default(),
            user: None,
            password: None,
            password_file: None,
            tls: EtcdTls::default(),
            heartbeat: Duration::from_secs(1),
            page: 1000,
            relist: Duration::from_secs(60),
            deadline: Duration::from_secs(3),
        }
    }
}

/// A configuration that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EtcdError {
    /// Nothing to connect to.
    #[error("an etcd source has no endpoints; name at least one, such as http://127.0.0.1:2379")]
    NoEndpoints,
    /// A URL that cannot be used.
    #[error("etcd endpoint {url}: {why}")]
    Endpoint {
        /// As configured, unless it may hold a password.
        url: String,
        /// What is wrong with it.
        why: String,
    },
    /// All keys of the cluster are no service's.
    #[error("an etcd source's prefix is empty; name what the keys begin with, such as /services/")]
    NoPrefix,
    /// One of user and password without the other.
    #[error(
        "an etcd source has a user without a password, or a password without a user; set both or neither"
    )]
    HalfUser,
    /// A password and its file.
    #[error("an etcd source has a password and a password's file; set one of them")]
    TwoPasswords,
    /// The password's file cannot be used. Its content is never quoted.
    #[error("{0}")]
    Password(String),
    /// One of certificate and key without the other.
    #[error(
        "an etcd source has a certificate without its key, or a key without its certificate; set both or neither"
    )]
    HalfCertificate,
    /// A file of certificates or a key that cannot be used.
    #[error("{}: {why}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// A period of nothing would be a hot loop.
    #[error("an etcd source's {0} is 0; leave it out for the default")]
    Zero(&'static str),
}

/// Watches one prefix of an etcd cluster.
///
/// # Examples
///
/// ```
/// use resolver_sync::etcd::{EtcdConfig, EtcdSource};
///
/// let endpoints = vec!["http://127.0.0.1:2379".into()];
/// let source = EtcdSource::new(EtcdConfig { endpoints, ..EtcdConfig::default() })?;
/// # Ok::<(), resolver_sync::etcd::EtcdError>(())
/// ```
pub struct EtcdSource {
    config: EtcdConfig,
    members: Members,
    position: Mutex<Position>,
}

/// How far the watch has come; what a second read must not fall behind.
#[derive(Clone, Copy, Debug, Default)]
struct Position {
    /// 0 until a first listing.
    cluster: u64,
    revision: i64,
}

impl EtcdSource {
    /// Checks the configuration. Nothing is connected before [`Source::watch`].
    ///
    /// # Errors
    ///
    /// [`EtcdError`] says which setting cannot be used.
    pub fn new(mut config: EtcdConfig) -> Result<Self, EtcdError> {
        if !config.prefix.ends_with('/') {
            if config.prefix.is_empty() {
                return Err(EtcdError::NoPrefix);
            }
            tracing::warn!(source = %config.name, prefix = %config.prefix, "the prefix has no slash at its end; it gets one");
            config.prefix.push('/');
        }
        for (name, period) in
            [("heartbeat", config.heartbeat), ("relist", config.relist), ("deadline", config.deadline)]
        {
            if period.is_zero() {
                return Err(EtcdError::Zero(name));
            }
        }
        let members = Members::new(&config)?;
        Ok(EtcdSource { config, members, position: Mutex::default() })
    }

    async fn run(&self, feed: &Feed) {
        let _close = Close(&self.members);
        let EtcdConfig { prefix, codec, namespace, .. } = &self.config;
        let (config, members, position) = (&self.config, &self.members, &self.position);
        let follow = Follow { config, members, range: Range::below(&self.below()), position };
        let services = || {
            let mut catalogue = Catalogue::new(prefix, *codec).within(namespace);
            catalogue.begin();
            Services::new(members.url(), feed, catalogue)
        };
        follow.run(feed, services).await;
    }

    /// What every key begins with in the cluster.
    fn below(&self) -> String {
        format!("{}{}", self.config.namespace, self.config.prefix)
    }

    async fn read_again(&self, service: &str) -> Result<ServiceSet, Fault> {
        let before = *self.lock();
        let mut last = None;
        for member in self.members.order() {
            match self.read_from(member, service, before).await {
                Ok(set) => return Ok(set),
                // Another member would say the same of a right; of anything else it may know more.
                Err(fault) if fault.reason == Reason::Acl => return Err(fault),
                Err(fault) => last = last.or(Some(fault)),
            }
        }
        Err(last.unwrap_or_else(|| Fault::new(Reason::Unreachable, "etcd: no member to ask")))
    }

    async fn read_from(&self, member: usize, service: &str, before: Position) -> Result<ServiceSet, Fault> {
        let (client, url) = self.members.client_of(member).await?;
        let EtcdConfig { prefix, codec, page, deadline, namespace, .. } = &self.config;
        let mut catalogue = Catalogue::new(prefix, *codec).within(namespace);
        let mut oldest = i64::MAX;
        for range in codec.ranges(prefix, service) {
            let within = |key: Vec<u8>| [namespace.as_bytes(), &key].concat();
            let range = Range { from: within(range.from), end: within(range.end) };
            catalogue.begin_at(&range.from);
            let mut listing = Listing::new(&client, url, range, *page, *deadline);
            loop {
                let page =
                    listing.page().await.map_err(|trouble| self.members.noted(trouble.into_fault()))?;
                if before.cluster != 0 && (page.cluster != before.cluster || page.revision < before.revision)
                {
                    let detail = format!(
                        "etcd {url}: the second read is of cluster {:x} revision {}, behind cluster {:x} revision {}",
                        page.cluster, page.revision, before.cluster, before.revision
                    );
                    return Err(Fault::new(Reason::Regressed, detail));
                }
                catalogue.page(page.changes(), page.done.clone(), page.revision);
                oldest = oldest.min(page.revision);
                if page.last {
                    break;
                }
            }
            catalogue.finish();
        }
        Ok(catalogue.set(service, oldest))
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Position> {
        self.position.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Source for EtcdSource {
    fn name(&self) -> &str {
        &self.config.name
    }

    /// A prefix holds every service, so those in `known` are watched without being named.
    fn watch<'a>(&'a self, _known: Vec<String>, feed: &'a Feed) -> LocalFuture<'a, ()> {
        Box::pin(self.run(feed))
    }

    fn confirm<'a>(&'a self, service: &'a str) -> LocalFuture<'a, Result<ServiceSet, Fault>> {
        Box::pin(self.read_again(service))
    }
}

/// Closes the connection when the watch is dropped.
struct Close<'a>(&'a Members);

impl Drop for Close<'_> {
    fn drop(&mut self) {
        self.0.close();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(config: EtcdConfig) -> String {
        EtcdSource::new(config).err().expect("it was taken").to_string()
    }

    fn config(endpoint: &str) -> EtcdConfig {
        EtcdConfig { endpoints: vec![endpoint.into()], ..EtcdConfig::default() }
    }

    #[test]
    fn what_cannot_be_used_is_said() {
        assert!(refused(EtcdConfig::default()).contains("no endpoints"));
        assert!(refused(config("127.0.0.1:2379")).contains("begin with https://"));
        assert!(refused(config("http://not a url")).contains("not a url"));
        assert!(
            refused(EtcdConfig { user: Some("u".into()), ..config("http://h:1") })
                .contains("both or neither")
        );
        assert!(
            refused(EtcdConfig { heartbeat: Duration::ZERO, ..config("http://h:1") }).contains("heartbeat")
        );
        let why = refused(config("http://root:canary@127.0.0.1:2379"));
        assert!(why.contains("holds a user") && !why.contains("canary"), "{why}");
    }

    #[test]
    fn a_prefix_ends_in_a_slash() {
        let source =
            EtcdSource::new(EtcdConfig { prefix: "/x".into(), ..config("http://h:1") }).expect("good");
        assert_eq!(source.config.prefix, "/x/");
    }
}
