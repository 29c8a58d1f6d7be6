//! A process of its own that resolves one service from a host's segment all the time, and says what it saw.
//!
//! The program is `follow` (in `src/bin`). It opens the segment once and takes the service's handle once, whatever
//! becomes of the agent. What it reads it checks by [`Place`]'s rule, so a mix of two sets, or an older set after a newer
//! one, does not go by.

use std::net::Ipv4Addr;
use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};

use crate::process::Process;
use crate::resolver::Host;
use crate::wait::try_until;

/// Where an instance that a follower may see is, after it has moved so many times: `10.INSTANCE.MOVES`, at a port and
/// with a weight that follow from the number of moves. An instance never goes back to an earlier place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// Which instance; at most 255 of them.
    pub instance: u8,
    /// How often it has moved; below 50,000.
    pub moves: u16,
}

/// The port of an instance that has not moved yet.
const FIRST_PORT: u16 = 10_000;

impl Place {
    /// An instance after so many moves.
    pub fn new(instance: u8, moves: u16) -> Place {
        assert!(moves < 50_000, "there are no further ports");
        Place { instance, moves }
    }

    /// Its address.
    pub fn address(self) -> Ipv4Addr {
        let [high, low] = self.moves.to_be_bytes();
        Ipv4Addr::new(10, self.instance, high, low)
    }

    /// Its port.
    pub fn port(self) -> u16 {
        FIRST_PORT + self.moves
    }

    /// Its weight.
    pub fn weight(self) -> u32 {
        u32::from(self.moves) + 1
    }

    /// The place that an address and port are of; none where they do not belong together.
    pub fn of(address: std::net::SocketAddr) -> Option<Place> {
        let std::net::SocketAddr::V4(address) = address else { return None };
        let [ten, instance, high, low] = address.ip().octets();
        let place = Place { instance, moves: u16::from_be_bytes([high, low]) };
        (ten == 10 && place.moves < 50_000 && place.port() == address.port()).then_some(place)
    }

    /// A registration of it with Consul's agent, without a check: it passes as long as it is registered.
    pub fn consul(self, service: &str) -> Value {
        json!({
            "Name": service, "ID": format!("{service}-{}", self.instance),
            "Address": self.address(), "Port": self.port(),
            "Weights": { "Passing": self.weight(), "Warning": 1 },
        })
    }

    /// Its value in etcd.
    pub fn etcd(self) -> String {
        json!({ "address": self.address(), "port": self.port(), "weight": self.weight() }).to_string()
    }
}

/// A running `follow`.
#[derive(Debug)]
pub struct Follower {
    process: Process,
}

impl Follower {
    /// Starts `program` (`env!("CARGO_BIN_EXE_follow")`) on a host's segment, which must be there.
    #[track_caller]
    pub fn start(program: &str, host: &Host, service: &str) -> Follower {
        let segment = host.segment().display().to_string();
        Follower { process: Process::start("follow", Path::new(program), &[&segment, service], host.dir()) }
    }

    /// Everything it has said so far, a line for each change (at most one in 20 ms) and for each second.
    pub fn history(&self) -> Vec<Value> {
        let said = self.process.stdout();
        // The last line may not be whole yet.
        let whole = said.rsplit_once('\n').map_or("", |(whole, _)| whole);
        whole.lines().map(|line| serde_json::from_str(line).unwrap_or(Value::Null)).collect()
    }

    /// What it said last.
    ///
    /// # Panics
    ///
    /// If it does not run any more.
    #[track_caller]
    pub fn last(&self) -> Value {
        assert!(self.process.is_running(), "the follower has ended{}", self.process.logs());
        self.history().pop().unwrap_or_default()
    }

    /// Waits until the last it said meets a condition, and returns that.
    ///
    /// # Panics
    ///
    /// At the deadline, with the last it said.
    #[track_caller]
    pub fn until(&self, what: &str, deadline: Duration, condition: impl Fn(&Value) -> bool) -> Value {
        let found = try_until(deadline, || {
            let last = self.last();
            if condition(&last) { Ok(last) } else { Err(last) }
        });
        match found {
            Ok(last) => last,
            Err(last) => {
                panic!(
                    "not within {deadline:?}: {what}; the follower last said {last}{}",
                    self.process.logs()
                )
            }
        }
    }

    /// What it has seen of a count since it said `before`.
    #[track_caller]
    pub fn since(&self, before: &Value, count: &str) -> u64 {
        let of = |said: &Value| said[count].as_u64().unwrap_or_else(|| panic!("no {count} in {said}"));
        of(&self.last()) - of(before)
    }

    /// Asserts that it never saw a mix of two sets nor an older one after a newer one, and that it goes on reading.
    #[track_caller]
    pub fn assert_whole(&self) {
        let before = self.last();
        let reads = |said: &Value| said["reads"].as_u64().unwrap_or_default();
        let last = self.until("it reads on", Duration::from_secs(10), |said| reads(said) > reads(&before));
        assert_eq!((&last["torn"], &last["back"]), (&json!(0), &json!(0)), "{last}{}", self.process.logs());
    }
}

#[cfg(test)]
mod tests {
    use super::Place;

    #[test]
    fn a_place_is_told_from_a_mix_of_two() {
        for place in [Place::new(1, 0), Place::new(255, 49_999), Place::new(3, 256)] {
            let at = |port| std::net::SocketAddr::from((place.address(), port));
            assert_eq!(Place::of(at(place.port())), Some(place));
            assert_eq!(Place::of(at(place.port() - 1)), None);
        }
    }
}
