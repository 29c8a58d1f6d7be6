//! Network namespaces with two cables each, on two bridges of the host.

use std::net::Ipv4Addr;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Once;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

/// What every namespace, bridge and cable of ours is called, before the process's id.
const PREFIX: &str = "rslv";
/// Addresses in each of the two networks, and how many pairs of them 198.18.0.0/15 has (RFC 2544: for tests of devices,
/// routed nowhere).
const SIZE: u32 = 16;
const PAIRS: u32 = (1 << 17) / (2 * SIZE);
/// The last number of a name; interfaces have names of at most 15 bytes.
const MOST: u32 = 99;

/// A host with two bridges, and namespaces on them. Everything goes when it is dropped.
#[derive(Debug)]
pub struct Network {
    name: String,
    front: Ipv4Addr,
    peer: Ipv4Addr,
    /// By member: whether its cable to the others is out.
    cut: Vec<AtomicBool>,
}

impl Network {
    /// So many namespaces, each with a cable in either network.
    ///
    /// # Panics
    ///
    /// Without root or `ip` (iproute2), with what to do.
    #[track_caller]
    pub fn new(members: usize) -> Network {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        static SWEEP: Once = Once::new();
        SWEEP.call_once(sweep);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        assert!(count <= MOST, "at most {MOST} networks in one process");
        let name = format!("{PREFIX}{}n{count}", std::process::id());
        let taken = ip(&["-o", "-4", "addr", "show"]).unwrap_or_else(|why| panic!("{why}"));
        let free = (0..PAIRS).map(|step| pair(std::process::id(), count + step * 7)).find(|(front, peer)| {
            ![front, peer].iter().any(|base| taken.contains(&format!(" {}/", host(**base, 1))))
        });
        let (front, peer) = free.expect("a free network in 198.18.0.0/15");
        let network =
            Network { name, front, peer, cut: (0..members).map(|_| AtomicBool::new(false)).collect() };
        let mut lines = String::new();
        for (bridge, base) in [("f", front), ("p", peer)] {
            let bridge = network.device(bridge);
            lines.push_str(&format!(
                "link add {bridge} type bridge\naddr add {}/28 dev {bridge}\nlink set {bridge} up\n",
                host(base, 1)
            ));
        }
        network.batch(None, &lines);
        for member in 0..members {
            network.add(member);
        }
        network
    }

    /// The address of a member's cable to the clients.
    pub fn front(&self, member: usize) -> Ipv4Addr {
        host(self.front, 2 + index(member))
    }

    /// The address of a member's cable to the other members.
    pub fn peer(&self, member: usize) -> Ipv4Addr {
        host(self.peer, 2 + index(member))
    }

    /// The host's own address in the clients' network.
    pub fn host_front(&self) -> Ipv4Addr {
        host(self.front, 1)
    }

    /// The host's own address in the members' network.
    pub fn host_peer(&self) -> Ipv4Addr {
        host(self.peer, 1)
    }

    /// A program and its arguments, to run in a member's namespace; the process that this starts becomes the program.
    pub fn inside<'a>(&self, member: usize, program: &'a Path, args: &'a [String]) -> Vec<String> {
        let mut all = vec!["netns".to_owned(), "exec".to_owned(), self.namespace(member)];
        all.push(program.display().to_string());
        all.extend(args.iter().cloned());
        all
    }

    /// Pulls a member's cable to the other members: what is on its way is lost, and nobody is told.
    #[track_caller]
    pub fn cut_peer(&self, member: usize) {
        self.cut[member].store(true, Ordering::Relaxed);
        self.set(&format!("p{member}"), "down");
    }

    /// Pulls a member's cable to the clients.
    #[track_caller]
    pub fn cut_front(&self, member: usize) {
        self.set(&format!("f{member}"), "down");
    }

    /// Puts both cables of a member in again.
    #[track_caller]
    pub fn heal(&self, member: usize) {
        self.set(&format!("p{member}"), "up");
        self.set(&format!("f{member}"), "up");
        self.cut[member].store(false, Ordering::Relaxed);
    }

    /// Whether a member's cable to the others is out.
    pub fn is_cut(&self, member: usize) -> bool {
        self.cut[member].load(Ordering::Relaxed)
    }

    fn set(&self, device: &str, state: &str) {
        self.batch(None, &format!("link set {} {state}\n", self.device(device)));
    }

    fn add(&self, member: usize) {
        let namespace = self.namespace(member);
        let mut lines = format!("netns add {namespace}\n");
        for net in ["f", "p"] {
            let (cable, bridge) = (self.device(&format!("{net}{member}")), self.device(net));
            lines.push_str(&format!(
                "link add {cable} type veth peer name {net} netns {namespace}\n\
                 link set {cable} master {bridge} up\n"
            ));
        }
        self.batch(None, &lines);
        let lines = format!(
            "addr add {}/28 dev f\nlink set f up\naddr add {}/28 dev p\nlink set p up\nlink set lo up\n",
            self.front(member),
            self.peer(member)
        );
        self.batch(Some(&namespace), &lines);
    }

    #[track_caller]
    fn batch(&self, namespace: Option<&str>, lines: &str) {
        for line in lines.lines() {
            let mut args: Vec<&str> = namespace.map_or(vec![], |name| vec!["-n", name]);
            args.extend(line.split(' '));
            if let Err(why) = ip(&args) {
                panic!("{why}");
            }
        }
    }

    fn namespace(&self, member: usize) -> String {
        format!("{}m{member}", self.name)
    }

    fn device(&self, which: &str) -> String {
        // PREFIX, 7 digits, n, 2 digits would be too long together with the rest: the name of a device leaves the prefix out.
        format!("{}{which}", &self.name[PREFIX.len()..])
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        for member in 0..self.cut.len() {
            // Takes its end of the cables along, and so the other end.
            let _ = ip(&["netns", "del", &self.namespace(member)]);
        }
        for bridge in ["f", "p"] {
            let _ = ip(&["link", "del", &self.device(bridge)]);
        }
    }
}

/// Removes what test processes left that were killed.
fn sweep() {
    let listed = ip(&["netns", "list"]).unwrap_or_default();
    for line in listed.lines() {
        let Some(name) = line.split_whitespace().next() else { continue };
        let Some(rest) = name.strip_prefix(PREFIX) else { continue };
        let Some((pid, rest)) = rest.split_once('n') else { continue };
        let Some((count, _)) = rest.split_once('m') else { continue };
        if pid.parse::<u32>().is_ok() && !Path::new("/proc").join(pid).exists() {
            let _ = ip(&["netns", "del", name]);
            for bridge in ["f", "p"] {
                // Gone already after another member of the same network.
                let _ = ip(&["link", "del", &format!("{pid}n{count}{bridge}")]);
            }
        }
    }
}

fn ip(args: &[&str]) -> Result<String, String> {
    let output = Command::new("ip").args(args).stdin(Stdio::null()).output();
    let output = output.map_err(|e| format!("ip: {e}: a cluster's network wants iproute2"))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(format!(
        "ip {}: {}; namespaces want root (CAP_SYS_ADMIN and CAP_NET_ADMIN)",
        args.join(" "),
        said.trim()
    ))
}

fn pair(pid: u32, count: u32) -> (Ipv4Addr, Ipv4Addr) {
    // An odd multiplier spreads neighbouring ids, which run at the same time.
    let pair = pid.wrapping_mul(2_654_435_769).wrapping_add(count) % PAIRS;
    let base = u32::from(Ipv4Addr::new(198, 18, 0, 0)) + pair * 2 * SIZE;
    (Ipv4Addr::from(base), Ipv4Addr::from(base + SIZE))
}

fn host(base: Ipv4Addr, number: u32) -> Ipv4Addr {
    Ipv4Addr::from(u32::from(base) + number)
}

fn index(member: usize) -> u32 {
    u32::try_from(member).expect("a handful of members")
}
