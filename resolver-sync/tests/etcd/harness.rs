//! A real etcd, a proxy that can be cut, and a mirror of what a source reports.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::net::Ipv4Addr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, LazyLock, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::certificates::{Authority, Certificate};
use resolver_sync::etcd::{EtcdConfig, EtcdSource};
use resolver_sync::record::ServiceSet;
use resolver_sync::source::{Fault, Feed, Report, Source as _};
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::{oneshot, watch};

/// Longer than anything here may take; what is not there by then never comes.
pub const DEADLINE: Duration = Duration::from_secs(20);

pub fn runtime() -> Runtime {
    Builder::new_current_thread().enable_all().build().expect("a runtime")
}

fn binary(variable: &str) -> PathBuf {
    let path = std::env::var_os(variable).unwrap_or_else(|| {
        panic!("{variable} is not set. `cargo xtask servers` brings etcd 3.5.16 and says what to export.")
    });
    PathBuf::from(path)
}

/// One etcd server on a loopback address of its own; ended when dropped.
pub struct Etcd {
    ip: Ipv4Addr,
    cluster: String,
    token: String,
    options: Options,
    dir: TempDir,
    child: Child,
}

/// What a server has beyond the usual.
#[derive(Clone, Default)]
pub struct Options {
    /// Further arguments.
    pub args: Vec<String>,
    /// Clients connect by TLS: see [`Etcd::certificate_file`].
    pub tls: bool,
    /// The common name by which etcdctl comes in, where clients need a certificate.
    pub client: Option<&'static str>,
}

/// What signs every certificate of these tests.
pub fn authority() -> &'static Authority {
    static AUTHORITY: LazyLock<Authority> = LazyLock::new(Authority::new);
    &AUTHORITY
}

/// Writes a certificate and its key, as `<name>.pem` and `<name>.key`, in place of what was there.
pub fn write_certificate(dir: &Path, name: &str, certificate: &Certificate) {
    std::fs::write(dir.join(format!("{name}.pem")), &certificate.cert_pem).expect("written");
    let key = dir.join(format!("{name}.key"));
    std::fs::write(&key, &certificate.key_pem).expect("written");
    std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o600)).expect("a mode");
}

impl Etcd {
    /// A single server, ready.
    pub fn start() -> Self {
        Self::start_with(Options::default())
    }

    pub fn start_with(options: Options) -> Self {
        let server = Self::spawn(Self::address(), None, options);
        server.ready();
        server
    }

    /// Three servers that are one cluster, ready.
    pub fn cluster() -> Vec<Self> {
        let addresses = [(); 3].map(|()| Self::address());
        let peers = addresses.map(|ip| format!("{ip}=http://{ip}:2380")).join(",");
        let servers: Vec<_> =
            addresses.iter().map(|ip| Self::spawn(*ip, Some(peers.clone()), Options::default())).collect();
        servers.iter().for_each(Self::ready);
        servers
    }

    /// Addresses differ between the tests of a process and between processes, so the ports can be the usual ones.
    fn address() -> Ipv4Addr {
        static LAST: AtomicU8 = AtomicU8::new(0);
        let [.., high, low] = std::process::id().to_be_bytes();
        Ipv4Addr::new(127, 1 + high % 250, low, 1 + LAST.fetch_add(1, Ordering::Relaxed))
    }

    fn spawn(ip: Ipv4Addr, cluster: Option<String>, options: Options) -> Self {
        let dir = TempDir::new().expect("a directory");
        if options.tls {
            std::fs::write(dir.path().join("ca.pem"), authority().cert_pem()).expect("written");
            write_certificate(dir.path(), "server", &authority().issue(&[&ip.to_string()]));
            write_certificate(dir.path(), "ctl", &authority().issue(&[options.client.unwrap_or("etcdctl")]));
        }
        let cluster = cluster.unwrap_or_else(|| format!("{ip}=http://{ip}:2380"));
        let child = Self::process(ip, &cluster, "first", &dir, &options);
        Etcd { ip, cluster, token: "first".into(), options, dir, child }
    }

    fn process(ip: Ipv4Addr, cluster: &str, token: &str, dir: &TempDir, options: &Options) -> Child {
        let log = std::fs::File::create(dir.path().join("log")).expect("a log");
        let scheme = if options.tls { "https" } else { "http" };
        let mut command = Command::new(binary("ETCD_BIN"));
        if options.tls {
            let file = |name: &str| dir.path().join(name);
            command.arg("--cert-file").arg(file("server.pem")).arg("--key-file").arg(file("server.key"));
            if options.client.is_some() {
                command.arg("--client-cert-auth").arg("--trusted-ca-file").arg(file("ca.pem"));
            }
        }
        command
            .args(["--name", &ip.to_string(), "--data-dir"])
            .arg(dir.path().join("data"))
            .args(["--listen-client-urls", &format!("{scheme}://{ip}:2379")])
            .args(["--advertise-client-urls", &format!("{scheme}://{ip}:2379")])
            .args(["--listen-peer-urls", &format!("http://{ip}:2380")])
            .args(["--initial-advertise-peer-urls", &format!("http://{ip}:2380")])
            .args(["--initial-cluster", cluster, "--initial-cluster-token", token])
            .args(["--log-level", "warn"])
            .args(&options.args)
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .expect("ETCD_BIN starts")
    }

    pub fn url(&self) -> String {
        let scheme = if self.options.tls { "https" } else { "http" };
        format!("{scheme}://{}:2379", self.ip)
    }

    /// Its files: `ca.pem`, `server.pem`, `server.key`, and those of etcdctl, `ctl.pem` and `ctl.key`.
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    pub fn log(&self) -> String {
        std::fs::read_to_string(self.dir.path().join("log")).unwrap_or_default()
    }

    fn ready(&self) {
        let start = Instant::now();
        while !self.try_ctl(&["endpoint", "health"], "").0 {
            if start.elapsed() > DEADLINE {
                panic!("etcd at {} is not ready after {DEADLINE:?}:\n{}", self.url(), self.log());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Runs etcdctl and gives what it printed.
    pub fn ctl(&self, args: &[&str]) -> String {
        self.ctl_with(args, "")
    }

    pub fn ctl_with(&self, args: &[&str], input: &str) -> String {
        let (good, text) = self.try_ctl(args, input);
        assert!(good, "etcdctl {args:?}: {text}");
        text
    }

    /// Whether etcdctl took it, and what it printed.
    pub fn try_ctl(&self, args: &[&str], input: &str) -> (bool, String) {
        let mut command = Command::new(binary("ETCDCTL_BIN"));
        if self.options.tls {
            let file = |name: &str| self.dir.path().join(name);
            command.arg("--cacert").arg(file("ca.pem"));
            command.arg("--cert").arg(file("ctl.pem")).arg("--key").arg(file("ctl.key"));
        }
        let mut child = command
            .args(["--endpoints", &self.url(), "--dial-timeout", "1s", "--command-timeout", "5s"])
            .args(args)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("ETCDCTL_BIN starts");
        child.stdin.take().expect("piped").write_all(input.as_bytes()).expect("etcdctl reads");
        let output = child.wait_with_output().expect("etcdctl ends");
        let text = [output.stdout, output.stderr].concat();
        (output.status.success(), String::from_utf8_lossy(&text).into_owned())
    }

    /// Puts an instance in the seed's form.
    pub fn put(&self, service: &str, id: &str, address: &str, port: i64) {
        let value = format!(r#"{{"address":"{address}","port":{port},"timestamp":1700000000}}"#);
        self.ctl(&["put", &format!("/services/{service}/{id}"), &value]);
    }

    pub fn delete(&self, service: &str, id: &str) {
        self.ctl(&["del", &format!("/services/{service}/{id}")]);
    }

    /// Stops the server; returns when no thread of it can answer any more.
    pub fn freeze(&self) {
        self.signal(Signal::STOP);
        let start = Instant::now();
        let tasks = format!("/proc/{}/task", self.child.id());
        let stopped = || {
            std::fs::read_dir(&tasks).expect("its threads").all(|task| {
                let stat = std::fs::read_to_string(task.expect("a thread").path().join("stat"));
                // `pid (name) state ...`
                stat.is_ok_and(|stat| stat.rsplit(") ").next().is_some_and(|rest| rest.starts_with('T')))
            })
        };
        while !stopped() {
            assert!(start.elapsed() < DEADLINE, "the server does not stop");
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    pub fn thaw(&self) {
        self.signal(Signal::CONT);
    }

    fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw).expect("a pid");
        kill_process(pid, signal).expect("the server is there");
    }

    pub fn kill(&mut self) {
        self.child.kill().expect("the server is there");
        self.child.wait().expect("the server is dead");
    }

    /// Asks it to end, and waits until it has.
    pub fn stop(&mut self) {
        self.signal(Signal::TERM);
        self.child.wait().expect("the server has ended");
    }

    /// After [`Etcd::kill`]: the same server again, with the data it had.
    pub fn restart(&mut self) {
        self.child = Self::process(self.ip, &self.cluster, &self.token, &self.dir, &self.options);
        self.ready();
    }

    /// After [`Etcd::kill`]: a new and empty cluster in its place.
    pub fn restart_empty(&mut self, token: &str) {
        std::fs::remove_dir_all(self.dir.path().join("data")).expect("it had data");
        self.token = token.into();
        self.restart();
    }
}

impl Drop for Etcd {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A TCP proxy before a server, in a thread of its own.
pub struct Proxy {
    url: String,
    open: watch::Sender<bool>,
    /// What the client says is held back.
    held: watch::Sender<bool>,
    /// Once the server has said this, what the client says is held back.
    trigger: Arc<Mutex<Option<Vec<u8>>>>,
}

impl Proxy {
    pub fn before(server: &Etcd) -> Self {
        let (open, opened) = watch::channel(true);
        let (held, holding) = watch::channel(false);
        let trigger = Arc::new(Mutex::new(None));
        let (theirs, hold) = (trigger.clone(), held.clone());
        let target = (server.ip, 2379);
        let listener = std::net::TcpListener::bind((server.ip, 0)).expect("a free port");
        listener.set_nonblocking(true).expect("non-blocking");
        let url = format!("http://{}", listener.local_addr().expect("bound"));
        std::thread::spawn(move || {
            runtime().block_on(async {
                let listener = tokio::net::TcpListener::from_std(listener).expect("a listener");
                let mut ended = opened.clone();
                loop {
                    let accepted = tokio::select! {
                        accepted = listener.accept() => accepted,
                        // The proxy was dropped.
                        _ = ended.wait_for(|_| false) => return,
                    };
                    let (Ok((mut client, _)), mut opened) = (accepted, opened.clone()) else { continue };
                    let (mut holding, trigger, hold) = (holding.clone(), theirs.clone(), hold.clone());
                    tokio::spawn(async move {
                        if !*opened.borrow() {
                            return;
                        }
                        let Ok(mut server) = tokio::net::TcpStream::connect(target).await else { return };
                        let (_keep, mut never) = watch::channel(false);
                        let (from_client, to_client) = client.split();
                        let (from_server, to_server) = server.split();
                        tokio::select! {
                            _ = forward(from_client, to_server, &mut holding, |_| {}) => {}
                            _ = forward(from_server, to_client, &mut never, |said| {
                                let mut trigger = trigger.lock().expect("not poisoned");
                                let is_it = |mark: &Vec<u8>| said.windows(mark.len()).any(|part| part == mark);
                                if trigger.as_ref().is_some_and(is_it) {
                                    *trigger = None;
                                    hold.send_replace(true);
                                }
                            }) => {}
                            _ = opened.wait_for(|open| !open) => {}
                        }
                    });
                }
            });
        });
        Proxy { url, open, held, trigger }
    }

    /// From the moment on at which the server says this, the client is not heard.
    pub fn hold_after(&self, said: &str) {
        *self.trigger.lock().expect("not poisoned") = Some(said.into());
    }

    /// Waits until the client is not heard.
    pub fn until_held(&self) {
        let mut held = self.held.subscribe();
        let wait = async { tokio::time::timeout(DEADLINE, held.wait_for(|held| *held)).await.map(|_| ()) };
        runtime().block_on(wait).expect("the server never said it");
    }

    /// The client is heard again, with all that it said.
    pub fn release(&self) {
        self.held.send_replace(false);
    }

    pub fn url(&self) -> String {
        self.url.clone()
    }

    /// Closes every connection, and each new one at once.
    pub fn cut(&self) {
        self.open.send_replace(false);
    }

    pub fn heal(&self) {
        self.open.send_replace(true);
    }
}

/// Passes on what one side says, but nothing while it is held back; shows each piece before it passes it on.
async fn forward(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    held: &mut watch::Receiver<bool>,
    mut show: impl FnMut(&[u8]),
) -> std::io::Result<()> {
    let mut bytes = vec![0; 64 << 10];
    loop {
        let count = from.read(&mut bytes).await?;
        if count == 0 {
            return Ok(());
        }
        show(&bytes[..count]);
        // Held for ever where the proxy is gone: then nobody listens either.
        let _ = held.wait_for(|held| !held).await;
        to.write_all(&bytes[..count]).await?;
    }
}

/// A source that runs in a thread of its own, and all that it has reported.
pub struct Mirror {
    pub source: Arc<EtcdSource>,
    pub services: BTreeMap<String, ServiceSet>,
    pub lost: Option<Fault>,
    /// Every loss there ever was.
    pub losses: Vec<Fault>,
    pub alive: usize,
    pub epochs: Vec<String>,
    pub snapshots: usize,
    /// The services of the latest report that had any.
    pub latest: BTreeMap<String, ServiceSet>,
    feed: Feed,
    runtime: Runtime,
    thread: Option<(oneshot::Sender<()>, JoinHandle<()>)>,
}

impl Mirror {
    pub fn of(config: EtcdConfig) -> Self {
        let source = Arc::new(EtcdSource::new(config).expect("a good configuration"));
        let feed = Feed::default();
        let (stop, stopped) = oneshot::channel();
        let (theirs, their_feed) = (source.clone(), feed.clone());
        let thread = std::thread::spawn(move || {
            runtime().block_on(async {
                tokio::select! {
                    () = theirs.watch(Vec::new(), &their_feed) => panic!("a watch never returns"),
                    _ = stopped => {}
                }
            });
        });
        Mirror {
            source,
            services: BTreeMap::new(),
            lost: None,
            losses: Vec::new(),
            alive: 0,
            epochs: Vec::new(),
            snapshots: 0,
            latest: BTreeMap::new(),
            feed,
            runtime: runtime(),
            thread: Some((stop, thread)),
        }
    }

    /// A source on these servers that has listed them and is alive.
    pub fn on(urls: impl IntoIterator<Item = String>) -> Self {
        let mut mirror = Self::of(config(urls));
        mirror.until("the first listing", |mirror| mirror.alive > 0);
        mirror
    }

    /// Takes reports until this is so, and says how long it took.
    #[track_caller]
    pub fn until(&mut self, what: &str, so: impl Fn(&Self) -> bool) -> Duration {
        let start = Instant::now();
        loop {
            let report = self.feed.take();
            self.apply(report);
            if so(self) {
                return start.elapsed();
            }
            let left = DEADLINE.saturating_sub(start.elapsed());
            let feed = self.feed.clone();
            if self.runtime.block_on(async { tokio::time::timeout(left, feed.ready()).await }).is_err() {
                panic!("not so after {DEADLINE:?}: {what}\n{:#?}\nlosses {:#?}", self.services, self.losses);
            }
        }
    }

    /// Until the service has exactly these ports.
    #[track_caller]
    pub fn until_ports(&mut self, service: &str, ports: &[u16]) -> Duration {
        self.until(&format!("{service} has the ports {ports:?}"), |mirror| mirror.ports(service) == ports)
    }

    pub fn ports(&self, service: &str) -> Vec<u16> {
        self.services.get(service).into_iter().flat_map(|set| &set.instances).map(|i| i.port).collect()
    }

    pub fn confirm(&self, service: &str) -> Result<ServiceSet, Fault> {
        self.runtime.block_on(self.source.confirm(service))
    }

    fn apply(&mut self, report: Report) {
        if let Some(why) = report.new_epoch {
            self.epochs.push(why);
            self.services.clear();
        }
        if report.complete {
            self.snapshots += 1;
            // What is not named has no instance.
            self.services.retain(|name, _| report.services.contains_key(name));
        }
        if !report.services.is_empty() || report.complete {
            self.latest.clone_from(&report.services);
        }
        for (name, set) in report.services {
            if let Some(before) = self.services.get(&name) {
                assert!(before.revision <= set.revision, "{name} went back: {before:?} to {set:?}");
            }
            self.services.insert(name, set);
        }
        if report.alive_at.is_some() {
            self.alive += 1;
            self.lost = None;
        }
        if let Some(fault) = report.lost {
            self.losses.push(fault.clone());
            self.lost = Some(fault);
        }
    }
}

impl Drop for Mirror {
    fn drop(&mut self) {
        if let Some((stop, thread)) = self.thread.take() {
            let _ = stop.send(());
            let ended = thread.join();
            assert!(std::thread::panicking() || ended.is_ok(), "the source panicked");
        }
    }
}

/// The usual settings.
pub fn config(urls: impl IntoIterator<Item = String>) -> EtcdConfig {
    EtcdConfig { endpoints: urls.into_iter().collect(), ..EtcdConfig::default() }
}
