//! What can befall a cluster, one after the other on one [`Stage`].

use std::thread::sleep;
use std::time::Duration;

use serde_json::json;

use super::kept::Kept;
use super::lease::Leased;
use super::registry::{Kind, RULES, Registry, TOKEN};
use super::stage::{SERVICES, Stage};
use super::{MEMBERS, Options, Recoveries, now, sockets};
use crate::wait::until;

/// For a cluster to elect, a lease to end, a fault to be noticed.
const PATIENCE: Duration = Duration::from_secs(60);
/// Changes while nobody looks.
const UNSEEN: u16 = 5;
/// How far a restored store's revision is moved on, where it is: beyond all that was written since.
const BUMP: u64 = 1_000_000;
/// How long a fault lasts, where nothing else ends it. A state of the world and not a wait for one.
const LASTS: Duration = Duration::from_secs(3);

/// A fault, and its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// SIGKILL to the leader.
    LeaderKilled,
    /// The member that our agent (or Consul's client agent) talks to loses its cable to the others.
    CutFromPeers,
    /// The same member loses both of its cables: nothing is told to anybody.
    Unplugged,
    /// SIGKILL to all, and all start again.
    FullRestart,
    /// A snapshot is restored, and with it an older revision.
    RestoredOlder,
    /// etcd: a snapshot is restored with its revision moved beyond all that were.
    RestoredBumped,
    /// Our agent is cut off; meanwhile there are changes, and etcd is compacted. Consul's client agent is frozen for that.
    ChangedUnseen,
    /// An instance's lease ends as nobody keeps it alive (Consul: its TTL check), and is granted again.
    LeaseLost,
    /// What `resolver register` registered: etcd's leader, which it talks to, is killed; then its lease is revoked. Consul's
    /// client agent is killed and starts without its services.
    RegistrationShaken,
    /// The agent's token (etcd: its user's role) is revoked, and comes back.
    TokenRevoked,
    /// Every certificate that clients are shown (Consul: the client agent's) has expired, and is renewed.
    CertificateExpired,
    /// The agent's own certificate has expired, and is renewed.
    OwnCertificateExpired,
}

impl Fault {
    /// Those that this kind of cluster can have, in an order in which they can run.
    pub fn of(kind: Kind, options: Options) -> Vec<Fault> {
        let mut all = vec![
            Fault::LeaderKilled,
            Fault::Unplugged,
            Fault::RestoredOlder,
            Fault::RestoredBumped,
            Fault::FullRestart,
            Fault::ChangedUnseen,
            Fault::LeaseLost,
            Fault::RegistrationShaken,
        ];
        if kind == Kind::Consul {
            // The client agent has one cable to all servers; a snapshot's index is no client's to move.
            all.retain(|fault| ![Fault::Unplugged, Fault::RestoredBumped].contains(fault));
        }
        if options.auth {
            all.push(Fault::TokenRevoked);
        }
        if options.tls {
            all.extend([Fault::CertificateExpired, Fault::OwnCertificateExpired]);
        }
        // The last: Consul's servers look for one that they gave up every 30 s only.
        all.push(Fault::CutFromPeers);
        all
    }

    /// Brings it about, ends it, and waits until all is in step again.
    ///
    /// # Panics
    ///
    /// If a wrong answer was read, or all is not in step within a minute.
    #[track_caller]
    pub fn run(self, stage: &mut Stage, found: &mut Recoveries) {
        // Also from what befell it before.
        stage.registry().wait_until_ready();
        match self {
            Fault::LeaderKilled => leader_killed(stage, found),
            Fault::CutFromPeers => cut(stage, found, false),
            Fault::Unplugged => cut(stage, found, true),
            Fault::FullRestart => full_restart(stage, found),
            Fault::RestoredOlder => restored(stage, found, None),
            Fault::RestoredBumped => restored(stage, found, Some(BUMP)),
            Fault::ChangedUnseen => changed_unseen(stage, found),
            Fault::LeaseLost => lease_lost(stage, found),
            Fault::RegistrationShaken => registration_shaken(stage),
            Fault::TokenRevoked => token_revoked(stage, found),
            Fault::CertificateExpired => certificate_expired(stage, found, false),
            Fault::OwnCertificateExpired => certificate_expired(stage, found, true),
        }
        // Whatever it was, the next change comes through.
        let sent = now();
        stage.change();
        found.healed(format!("{}: afterwards, a change", name(stage)), stage.in_step(sent));
        stage.kept().until_there(stage.registry());
    }
}

fn name(stage: &Stage) -> &'static str {
    stage.registry().kind().name()
}

fn leader_killed(stage: &mut Stage, found: &mut Recoveries) {
    let leader = until(PATIENCE, "a leader", || stage.registry().leader());
    let struck = now();
    stage.registry().member(leader).kill();
    let healed = stage.change();
    stage.in_step(healed);
    let name = name(stage);
    found.healed(format!("{name}: leader killed, from the first write taken"), stage.in_step(healed));
    found.struck(format!("{name}: leader killed, from the kill"), stage.in_step(struck));
    stage.registry().member(leader).start_again();
}

/// The member that the agent's answers come through.
fn in_use(stage: &Stage) -> Result<usize, String> {
    match stage.registry() {
        Registry::Consul(consul) => member_of(stage, consul.agent().pid(), 8300),
        Registry::Etcd(_) => member_of(stage, stage.agent().pid(), 2379),
    }
}

/// The member that a process is connected to.
fn member_of(stage: &Stage, pid: u32, port: u16) -> Result<usize, String> {
    let network = stage.registry().network();
    let connected = sockets::connected(pid);
    let to = |member: &usize| {
        let addresses = [network.front(*member), network.peer(*member)];
        connected.iter().any(|other| other.port() == port && addresses.contains(other.ip()))
    };
    (0..MEMBERS).find(to).ok_or_else(|| format!("no connection to a member among {connected:?}"))
}

fn cut(stage: &mut Stage, found: &mut Recoveries, both: bool) {
    let member = until(PATIENCE, "the member in use", || in_use(stage));
    let leader = until(PATIENCE, "a leader", || stage.registry().leader());
    let mut role = "follower";
    if leader == member {
        match stage.registry() {
            Registry::Etcd(etcd) => {
                let other = (member + 1) % MEMBERS;
                until(PATIENCE, "the lead moves on", || {
                    let id = etcd.member_id(other)?;
                    etcd.etcdctl(member, &["move-leader", &id])
                });
            }
            // It has no such call; one that a client agent talks to is as good for the agent's part.
            Registry::Consul(_) => role = "leader",
        }
    }
    let struck = now();
    if both {
        stage.registry().network().cut_front(member);
    }
    stage.registry().network().cut_peer(member);
    let what = if both { "unplugged" } else { "cut from the others" };
    stage.change();
    let name = name(stage);
    found.struck(format!("{name}: {role} in use {what}, from the cut"), stage.in_step(struck));
    stage.registry().network().heal(member);
    let healed = now();
    stage.change();
    found.healed(format!("{name}: {role} in use {what}, from the heal"), stage.in_step(healed));
}

fn full_restart(stage: &mut Stage, found: &mut Recoveries) {
    (0..MEMBERS).for_each(|member| stage.registry().member(member).kill());
    stage.until("all are stale", |seen| seen.state == "STALE");
    (0..MEMBERS).for_each(|member| stage.registry().member(member).start_again());
    let struck = now();
    let healed = stage.change();
    let name = name(stage);
    found.healed(format!("{name}: full restart, from the first write taken"), stage.in_step(healed));
    found.struck(format!("{name}: full restart, from the start of the processes"), stage.in_step(struck));
}

fn restored(stage: &mut Stage, found: &mut Recoveries, bump: Option<u64>) {
    let (mark, consuls) = (
        stage.mark(),
        match stage.registry() {
            Registry::Consul(consul) => consul.save(),
            Registry::Etcd(etcd) => {
                etcd.save();
                Vec::new()
            }
        },
    );
    for _ in 0..UNSEEN {
        stage.change();
    }
    stage.in_step(now());
    stage.rewind(&mark);
    match stage.registry() {
        Registry::Consul(consul) => consul.restore(&consuls),
        Registry::Etcd(etcd) => etcd.restore(bump),
    }
    // Without a change: the older state itself has to be seen.
    until(PATIENCE, "the restored registry answers", || stage.registry().read(SERVICES[0]));
    let healed = now();
    let bumped = if bump.is_some() { "bumped" } else { "older" };
    let what = format!("{}: snapshot restored ({bumped}), from its first answer", name(stage));
    found.healed(what, stage.in_step(healed));
}

fn changed_unseen(stage: &mut Stage, found: &mut Recoveries) {
    let name = name(stage);
    match stage.registry() {
        Registry::Consul(consul) => consul.agent().stop(),
        Registry::Etcd(etcd) => (0..MEMBERS).for_each(|member| etcd.network().cut_front(member)),
    }
    unseen(stage);
    stage.until("all are stale", |seen| seen.state == "STALE");
    let healed = now();
    match stage.registry() {
        Registry::Consul(consul) => consul.agent().cont(),
        Registry::Etcd(etcd) => (0..MEMBERS).for_each(|member| etcd.network().heal(member)),
    }
    found.healed(format!("{name}: changes in an outage, from the heal"), stage.in_step(healed));
}

/// Moves an instance some times and removes another, so that a listing is the only way to know of it.
fn unseen(stage: &mut Stage) {
    for _ in 0..UNSEEN {
        let place = stage.fresh_place(1);
        for service in SERVICES {
            stage.write(service, 1, Some(place));
        }
    }
    SERVICES.iter().for_each(|service| stage.write(service, 3, None));
    if let Registry::Etcd(etcd) = stage.registry() {
        until(PATIENCE, "the history is compacted", || {
            let revision = etcd.revision(0)?.to_string();
            etcd.etcdctl(0, &["compaction", &revision])
        });
    }
    let place = stage.fresh_place(3);
    stage.write(SERVICES[0], 3, Some(place));
}

fn lease_lost(stage: &mut Stage, found: &mut Recoveries) {
    let (name, service) = (name(stage), SERVICES[0]);
    let keeper = grant(stage, service);
    stage.in_step(now());
    drop(keeper);
    // When it ends is the registry's to say; from here on the history may go without it.
    stage.note(service, Leased::INSTANCE, None);
    stage.until("the instance is gone", |seen| seen.service != service || seen.set.len() < 4);
    stage.in_step(now());
    let healed = now();
    let keeper = grant(stage, service);
    found.healed(format!("{name}: lease lost, from the next grant"), stage.in_step(healed));
    // It ends once more, and leaves the stage as it was.
    drop(keeper);
    stage.note(service, Leased::INSTANCE, None);
    stage.in_step(now());
}

fn grant(stage: &mut Stage, service: &str) -> Leased {
    let place = stage.fresh_place(Leased::INSTANCE);
    stage.note(service, Leased::INSTANCE, Some(place));
    until(PATIENCE, "an instance with a lease", || Leased::grant(stage.registry(), service, place))
}

fn registration_shaken(stage: &Stage) {
    let kept = stage.kept();
    match stage.registry() {
        Registry::Consul(consul) => {
            let known = || consul.get_agent(&format!("/v1/agent/service/{}", Kept::ID)).map(drop);
            until(PATIENCE, "it is registered", known);
            let before = kept.registrations();
            consul.restart_agent_empty();
            until(PATIENCE, "the agent that knew nothing of it has it again", || {
                known()?;
                // It says so when it has read it back.
                if kept.registrations() > before { Ok(()) } else { Err(kept.logs()) }
            });
        }
        Registry::Etcd(etcd) => {
            let (key, other) = (Kept::key(), |member: usize| (member + 1) % MEMBERS);
            let member = until(PATIENCE, "the member it talks to", || member_of(stage, kept.pid(), 2379));
            let (created, lease) = until(PATIENCE, "its key", || etcd.holding(other(member), &key));
            if until(PATIENCE, "a leader", || etcd.leader()) != member {
                until(PATIENCE, "the lead moves on", || {
                    let leader = etcd.leader()?;
                    let id = etcd.member_id(member)?;
                    etcd.etcdctl(leader, &["move-leader", &id])
                });
            }
            etcd.member(member).kill();
            // A new leader begins each lease anew; from then on only whoever keeps it alive makes its time longer.
            let mut lowest = i64::MAX;
            until(PATIENCE, "its lease is kept alive by way of another member", || {
                let left = etcd.left(other(member), &lease)?;
                lowest = lowest.min(left);
                if left > lowest { Ok(()) } else { Err(format!("{left} s are left")) }
            });
            let now = until(PATIENCE, "its key", || etcd.holding(other(member), &key));
            assert_eq!(now, (created, lease.clone()), "it was lost meanwhile{}", kept.logs());
            etcd.member(member).start_again();
            until(PATIENCE, "its lease is revoked", || {
                etcd.etcdctl(other(member), &["lease", "revoke", &lease])
            });
            until(PATIENCE, "it is there with another lease", || {
                let (_, now) = etcd.holding(other(member), &key)?;
                if now == lease { Err("the lease of before".to_owned()) } else { Ok(()) }
            });
        }
    }
}

fn token_revoked(stage: &mut Stage, found: &mut Recoveries) {
    match stage.registry() {
        Registry::Consul(consul) => {
            until(PATIENCE, "the token is revoked", || consul.delete_token(TOKEN));
            stage.change();
        }
        Registry::Etcd(etcd) => {
            until(PATIENCE, "the role is revoked", || etcd.grant(false));
            // A watch that stands keeps its rights: etcd asks for them when it begins.
            stage.change();
            reconnect(stage);
        }
    }
    stage.until("all are held for want of rights", |seen| seen.state == "STALE" && seen.reason == "acl");
    sleep(LASTS);
    stage.change();
    stage.held();
    match stage.registry() {
        Registry::Consul(consul) => {
            until(PATIENCE, "the token is back", || consul.create_token(TOKEN, RULES))
        }
        Registry::Etcd(etcd) => until(PATIENCE, "the role is back", || etcd.grant(true)),
    }
    let healed = now();
    found.healed(format!("{}: token revoked, from its return", name(stage)), stage.in_step(healed));
}

fn certificate_expired(stage: &mut Stage, found: &mut Recoveries, own: bool) {
    renew(stage.registry(), own, true);
    reconnect(stage);
    stage.until("all are stale", |seen| seen.state == "STALE");
    if own {
        answers(stage.registry());
    }
    // Long enough for a connection, were it not refused.
    sleep(LASTS);
    stage.change();
    stage.held();
    renew(stage.registry(), own, false);
    // A client agent's start is no part of the time.
    answers(stage.registry());
    let healed = now();
    let whose = if own { "own certificate" } else { "certificates" };
    found.healed(format!("{}: {whose} expired, from the renewal", name(stage)), stage.in_step(healed));
}

/// Waits until Consul's client agent answers those that want no certificate, and is with its servers.
fn answers(registry: &Registry) {
    if let Registry::Consul(consul) = registry {
        let path = "/v1/kv/resolver-tests/ready";
        until(PATIENCE, "the client agent answers", || consul.put_agent(path, &json!("yes")));
    }
}

fn renew(registry: &Registry, own: bool, expired: bool) {
    match (registry, own) {
        (Registry::Consul(consul), true) => consul.renew_agent(expired),
        (Registry::Consul(consul), false) => consul.renew(expired),
        (Registry::Etcd(etcd), true) => etcd.renew_agent(expired),
        (Registry::Etcd(etcd), false) => etcd.renew(expired),
    }
}

/// Ends the connection in use, which would outlive a right or a certificate.
fn reconnect(stage: &Stage) {
    if let Registry::Consul(consul) = stage.registry() {
        consul.restart_agent();
        return;
    }
    let member = until(PATIENCE, "the member in use", || in_use(stage));
    stage.registry().member(member).kill();
    stage.registry().member(member).start_again();
}
