//! A real etcd of three members.

use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;

use super::access::Access;
use super::kept::KEPT;
use super::network::Network;
use super::registry::value;
use super::{MEMBERS, Options};
use crate::process::{Process, output_within};
use crate::scratch;
use crate::servers;
use crate::tls::Tls;
use crate::wait::{try_until, until};

/// For an election that splits on a machine that is busy building.
const READY: Duration = Duration::from_secs(60);
/// For one call of etcdctl; its own deadline is shorter.
const CALL: Duration = Duration::from_secs(20);
const SNAPSHOT: &str = "snapshot.db";
/// The names of certificates: etcdctl's, and our agent's, which is its user's and its role's name, too.
const CTL: &str = "etcdctl";
const AGENT: &str = "agent";
/// Everybody's.
const PASSWORD: &str = "not-a-secret";

/// Three members, each in a namespace of its own.
#[derive(Debug)]
pub struct Etcd {
    members: Vec<Process>,
    etcdctl: PathBuf,
    etcdutl: PathBuf,
    tls: Option<Tls>,
    /// Whether whoever shows no password may do nothing.
    auth: AtomicBool,
    // Dropped after the processes that use them: fields drop in their order.
    network: Network,
    dir: TempDir,
}

impl Etcd {
    /// Starts one, and waits until every member answers linearizable reads.
    #[track_caller]
    pub fn start(options: Options) -> Etcd {
        assert!(options.tls || !options.auth, "a password wants TLS");
        let program = servers::server("etcd", "etcd", "ETCD_BIN");
        let etcdctl = servers::server("etcdctl", "etcd", "ETCDCTL_BIN");
        let etcdutl = etcdctl.with_file_name("etcdutl");
        assert!(etcdutl.is_file(), "no {}: it comes with etcdctl (`cargo xtask servers`)", etcdutl.display());
        let network = Network::new(MEMBERS);
        let dir = scratch::on_disk();
        let tls = options.tls.then(|| Tls::new(dir.path()));
        if let Some(tls) = &tls {
            (0..MEMBERS).for_each(|member| tls.issue(&name(member), &names(&network, member)));
            [CTL, AGENT].into_iter().for_each(|name| tls.issue(name, &[name.to_owned()]));
        }
        let members = (0..MEMBERS).map(|member| {
            let args =
                network.inside(member, &program, &arguments(&network, dir.path(), member, tls.as_ref()));
            let args: Vec<&str> = args.iter().map(String::as_str).collect();
            Process::start(&name(member), Path::new("ip"), &args, dir.path())
        });
        let members = members.collect();
        let auth = AtomicBool::new(false);
        let etcd = Etcd { members, etcdctl, etcdutl, tls, auth, network, dir };
        etcd.wait_until_ready();
        if options.auth {
            etcd.enable_auth();
        }
        etcd
    }

    /// Where clients reach a member.
    pub fn url(&self, member: usize) -> String {
        client_url(&self.network, member, self.tls.is_some())
    }

    /// A member, over TLS where there is any, as one who may do everything.
    pub fn access(&self, member: usize) -> Access {
        let user = self.auth.load(Ordering::Relaxed).then(|| ("root".to_owned(), PASSWORD.to_owned()));
        let tls = self.tls.as_ref().map(|tls| tls.files(CTL));
        Access { url: self.url(member), tls, token: None, user }
    }

    /// The settings of a source of ours besides its endpoints; its password's file is put into this directory.
    pub fn settings(&self, dir: &Path) -> String {
        let mut settings = self.tls.as_ref().map(|tls| tls.settings(AGENT)).unwrap_or_default();
        if self.auth.load(Ordering::Relaxed) {
            let file = dir.join("password");
            std::fs::write(&file, PASSWORD).expect("a file in the test's own directory");
            std::fs::set_permissions(&file, PermissionsExt::from_mode(0o600)).expect("our own file");
            settings.push_str(&format!("user = \"{AGENT}\"\npassword_file = \"{}\"\n", file.display()));
        }
        settings
    }

    /// Gives the agent's user its rights, or takes them.
    pub fn grant(&self, granted: bool) -> Result<(), String> {
        let what = if granted { "grant-role" } else { "revoke-role" };
        self.etcdctl(0, &["user", what, AGENT, AGENT]).map(drop)
    }

    /// Gives every member a certificate that has expired, or one that holds. Members read them at each connection.
    pub fn renew(&self, expired: bool) {
        let Some(tls) = &self.tls else { return };
        for member in 0..MEMBERS {
            let (name, names) = (name(member), names(&self.network, member));
            if expired { tls.issue_expired(&name, &names) } else { tls.issue(&name, &names) }
        }
    }

    /// The same of our agent's own certificate.
    pub fn renew_agent(&self, expired: bool) {
        let Some(tls) = &self.tls else { return };
        let names = [AGENT.to_owned()];
        if expired { tls.issue_expired(AGENT, &names) } else { tls.issue(AGENT, &names) }
    }

    fn enable_auth(&self) {
        let (root, agent) = (format!("root:{PASSWORD}"), format!("{AGENT}:{PASSWORD}"));
        for args in [
            &["user", "add", &root][..],
            &["user", "grant-role", "root", "root"],
            &["role", "add", AGENT],
            &["role", "grant-permission", "--prefix=true", AGENT, "read", "/services/"],
            &["role", "grant-permission", "--prefix=true", AGENT, "readwrite", &format!("/services/{KEPT}/")],
            &["user", "add", &agent],
            &["user", "grant-role", AGENT, AGENT],
            &["auth", "enable"],
        ] {
            if let Err(why) = self.etcdctl(0, args) {
                panic!("{why}{}", self.members[0].logs());
            }
        }
        self.auth.store(true, Ordering::Relaxed);
    }

    /// The cables.
    pub fn network(&self) -> &Network {
        &self.network
    }

    /// A member's process.
    pub fn member(&self, member: usize) -> &Process {
        &self.members[member]
    }

    /// The member that leads, as those see it that answer.
    pub fn leader(&self) -> Result<usize, String> {
        let mut answers = Vec::new();
        for member in (0..MEMBERS).filter(|member| self.members[*member].is_running()) {
            if let Ok(status) = self.etcdctl(member, &["endpoint", "status", "--write-out=json"]) {
                let status: Value = serde_json::from_str(&status).unwrap_or_default();
                let status = &status[0]["Status"];
                if status["leader"].is_u64() && status["leader"] == status["header"]["member_id"] {
                    let term = status["raftTerm"].as_u64();
                    answers.push((term, member));
                }
            }
        }
        // One that was deposed and does not know it has an older term.
        answers.iter().max().map(|(_, member)| *member).ok_or_else(|| "no member leads".to_owned())
    }

    /// Runs etcdctl beside a member and on it, whatever became of the member's cables; what it printed.
    pub fn etcdctl(&self, member: usize, args: &[&str]) -> Result<String, String> {
        let all = self.command(member, args);
        let output = output_within(Path::new("ip"), &all, b"", CALL)?;
        if output.status.success() {
            return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
        }
        let said = String::from_utf8_lossy(&output.stderr);
        Err(format!("etcdctl {} on member {member}: {}", args.join(" "), said.trim()))
    }

    /// A member's own id, in the form that etcdctl takes.
    pub fn member_id(&self, member: usize) -> Result<String, String> {
        let status = self.etcdctl(member, &["endpoint", "status", "--write-out=json"])?;
        let status: Value = serde_json::from_str(&status).unwrap_or_default();
        let id = status[0]["Status"]["header"]["member_id"].as_u64();
        id.map(|id| format!("{id:x}")).ok_or_else(|| format!("no id in {status}"))
    }

    /// A key's creation and its lease, in hexadecimal form, by a linearizable read.
    pub fn holding(&self, member: usize, key: &str) -> Result<(i64, String), String> {
        let got = self.etcdctl(member, &["get", "--write-out=json", "--", key])?;
        let got: Value = serde_json::from_str(&got).unwrap_or_default();
        let number = |field: &str| got["kvs"][0][field].as_i64().ok_or_else(|| format!("no {key} in {got}"));
        Ok((number("create_revision")?, format!("{:x}", number("lease")?)))
    }

    /// Seconds that a lease has left; -1 where there is none.
    pub fn left(&self, member: usize, lease: &str) -> Result<i64, String> {
        let got = self.etcdctl(member, &["lease", "timetolive", "--write-out=json", lease])?;
        let got: Value = serde_json::from_str(&got).unwrap_or_default();
        got["ttl"].as_i64().ok_or_else(|| format!("no time in {got}"))
    }

    /// Writes an instance with a new lease of the server's shortest time (2 s): the lease's id.
    pub fn put_leased(&self, service: &str, instance: u8, place: SocketAddr) -> Result<String, String> {
        let granted = self.etcdctl(0, &["lease", "grant", "2", "--write-out=json"])?;
        let granted: Value = serde_json::from_str(&granted).unwrap_or_default();
        let lease = format!("{:x}", granted["ID"].as_i64().ok_or_else(|| format!("no lease: {granted}"))?);
        let key = format!("/services/{service}/{instance}");
        self.etcdctl(0, &["put", &format!("--lease={lease}"), "--", &key, &value(place)])?;
        Ok(lease)
    }

    /// Keeps a lease alive for as long as the process runs that this starts.
    #[track_caller]
    pub fn keep_alive(&self, lease: &str) -> Process {
        let args = self.command(0, &["lease", "keep-alive", lease]);
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        Process::start("keep-alive", Path::new("ip"), &args, self.dir.path())
    }

    fn command(&self, member: usize, args: &[&str]) -> Vec<String> {
        let mut all = vec![
            format!("--endpoints={}", self.url(member)),
            "--command-timeout=2s".to_owned(),
            "--dial-timeout=1s".to_owned(),
        ];
        if let Some(tls) = &self.tls {
            all.extend([
                format!("--cacert={}", tls.ca().display()),
                format!("--cert={}", tls.cert(CTL).display()),
                format!("--key={}", tls.key(CTL).display()),
                // We know whom we ask, and have to when its certificate has expired.
                "--insecure-skip-tls-verify".to_owned(),
            ]);
        }
        if self.auth.load(Ordering::Relaxed) {
            all.push(format!("--user=root:{PASSWORD}"));
        }
        all.extend(args.iter().map(|&arg| arg.to_owned()));
        self.network.inside(member, &self.etcdctl, &all)
    }

    /// All below a prefix, by a linearizable read through a member.
    pub fn all(&self, member: usize, prefix: &str) -> Result<Vec<(String, String)>, String> {
        let said = self.etcdctl(member, &["get", "--prefix", "--", prefix])?;
        let mut lines = said.lines();
        let mut found = Vec::new();
        while let (Some(key), Some(value)) = (lines.next(), lines.next()) {
            found.push((key.to_owned(), value.to_owned()));
        }
        Ok(found)
    }

    /// The store's revision, by a linearizable read through a member.
    pub fn revision(&self, member: usize) -> Result<i64, String> {
        let got = self.etcdctl(member, &["get", "resolver-tests", "--write-out=json"])?;
        let got: Value = serde_json::from_str(&got).unwrap_or_default();
        got["header"]["revision"].as_i64().ok_or_else(|| format!("no revision in {got}"))
    }

    /// Writes the whole store to a file, which [`restore`](Self::restore) takes.
    #[track_caller]
    pub fn save(&self) {
        let file = self.dir.path().join(SNAPSHOT).display().to_string();
        until(READY, "a snapshot is saved", || self.etcdctl(0, &["snapshot", "save", &file]));
    }

    /// Ends every member, gives each the data of the snapshot and starts them: another cluster by its id, at an older
    /// revision, or at one that is `bump` higher than the snapshot's.
    #[track_caller]
    pub fn restore(&self, bump: Option<u64>) {
        for (member, process) in self.members.iter().enumerate() {
            process.kill();
            let data = data(self.dir.path(), member);
            if let Err(e) = std::fs::remove_dir_all(&data) {
                panic!("{}: {e}", data.display());
            }
            let mut args = vec![
                "snapshot".to_owned(),
                "restore".to_owned(),
                self.dir.path().join(SNAPSHOT).display().to_string(),
                format!("--data-dir={}", data.display()),
            ];
            args.extend(identity(&self.network, member, self.tls.is_some()));
            if let Some(bump) = bump {
                args.extend([format!("--bump-revision={bump}"), "--mark-compacted".to_owned()]);
            }
            match output_within(&self.etcdutl, &args, b"", CALL) {
                Ok(output) if output.status.success() => {}
                Ok(output) => panic!("etcdutl snapshot restore: {}", String::from_utf8_lossy(&output.stderr)),
                Err(e) => panic!("etcdutl snapshot restore: {e}"),
            }
        }
        self.members.iter().for_each(Process::start_again);
    }

    /// Waits until every member answers linearizable reads.
    #[track_caller]
    pub fn wait_until_ready(&self) {
        for (member, process) in self.members.iter().enumerate() {
            let ready = try_until(READY, || {
                if !process.is_running() {
                    return Ok(Err("it has ended".to_owned()));
                }
                self.revision(member).map(|_| Ok(()))
            });
            if let Err(why) = ready.and_then(|running| running) {
                panic!("etcd's member {member} is not ready: {why}{}", process.logs());
            }
        }
    }
}

fn name(member: usize) -> String {
    format!("etcd-{member}")
}

fn data(dir: &Path, member: usize) -> PathBuf {
    dir.join(format!("data-{member}"))
}

/// The names in a member's certificate: it is asked for by its address, from either side.
fn names(network: &Network, member: usize) -> Vec<String> {
    vec![name(member), network.front(member).to_string(), network.peer(member).to_string()]
}

fn client_url(network: &Network, member: usize, tls: bool) -> String {
    format!("{}://{}:2379", scheme(tls), network.front(member))
}

fn peer_url(network: &Network, member: usize, tls: bool) -> String {
    format!("{}://{}:2380", scheme(tls), network.peer(member))
}

fn scheme(tls: bool) -> &'static str {
    if tls { "https" } else { "http" }
}

/// Who a member is, and who the others are: the same for a new cluster and for one that is restored.
fn identity(network: &Network, member: usize, tls: bool) -> [String; 3] {
    let all: Vec<String> =
        (0..MEMBERS).map(|member| format!("{}={}", name(member), peer_url(network, member, tls))).collect();
    [
        format!("--name={}", name(member)),
        format!("--initial-cluster={}", all.join(",")),
        format!("--initial-advertise-peer-urls={}", peer_url(network, member, tls)),
    ]
}

fn arguments(network: &Network, dir: &Path, member: usize, tls: Option<&Tls>) -> Vec<String> {
    let (client, peer) =
        (client_url(network, member, tls.is_some()), peer_url(network, member, tls.is_some()));
    let mut args = vec![
        format!("--data-dir={}", data(dir, member).display()),
        format!("--listen-client-urls={client}"),
        format!("--advertise-client-urls={client}"),
        format!("--listen-peer-urls={peer}"),
        // Passwords are hashed for each call of etcdctl.
        "--bcrypt-cost=4".to_owned(),
    ];
    if let Some(tls) = tls {
        let ca = tls.ca().display().to_string();
        let (cert, key) = (tls.cert(&name(member)), tls.key(&name(member)));
        // What members show each other is the clients' authority's, too, and does not expire with the rest.
        let own = format!("peer-{member}");
        tls.issue(&own, &names(network, member));
        args.extend([
            format!("--cert-file={}", cert.display()),
            format!("--key-file={}", key.display()),
            format!("--trusted-ca-file={ca}"),
            "--client-cert-auth".to_owned(),
            format!("--peer-cert-file={}", tls.cert(&own).display()),
            format!("--peer-key-file={}", tls.key(&own).display()),
            format!("--peer-trusted-ca-file={ca}"),
            "--peer-client-cert-auth".to_owned(),
        ]);
    }
    args.extend(identity(network, member, tls.is_some()));
    args
}
