//! How a registry's cluster is: members, leader, quorum, and what is wrong with it.

use std::time::Duration;

use serde::Serialize;

/// A cluster as it was found.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Status {
    /// `consul` or `etcd`.
    pub registry: &'static str,
    /// The servers, in the order of their names.
    pub members: Vec<Member>,
    /// Who leads: a name where it is known, else an address.
    pub leader: Option<String>,
    /// Whether a read that the majority has to agree to was answered.
    pub quorum: bool,
    /// Servers that vote.
    pub voters: usize,
    /// How many of them may fail before nothing can be written; of those that there are, not of those that answer.
    pub tolerance: usize,
    /// Consul's index of the catalogue, etcd's revision.
    pub revision: Option<u64>,
    /// How long the read for the quorum took, in milliseconds.
    pub latency_ms: Option<f64>,
    /// What should be looked at.
    pub warnings: Vec<String>,
}

/// One server.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Member {
    /// Its name, or its address where the name is not known.
    pub name: String,
    /// Consul: of its RPC; etcd: the endpoint that was asked, or what it says for clients.
    pub address: String,
    /// Whether it votes. A learner of etcd does not.
    pub voter: bool,
    /// Whether it leads.
    pub leader: bool,
    /// Whether it works: by Consul's autopilot, or by its own answer. `None` where nobody could say.
    pub healthy: Option<bool>,
    /// Its version.
    pub version: Option<String>,
    /// How far its log is.
    pub raft_index: Option<u64>,
    /// How long its own answer took, in milliseconds; only where it was asked itself.
    pub latency_ms: Option<f64>,
    /// Why it did not answer.
    pub error: Option<String>,
}

impl Status {
    /// Counts, and says what should be looked at. `more` comes before what follows from the counts.
    pub(crate) fn conclude(mut self, more: Vec<String>) -> Self {
        self.members.sort_by(|a, b| (&a.name, &a.address).cmp(&(&b.name, &b.address)));
        self.voters = self.members.iter().filter(|member| member.voter).count();
        self.tolerance = self.voters.saturating_sub(1) / 2;
        self.warnings = more;
        if self.leader.is_none() {
            self.warnings.push("there is no leader: nothing can be written".into());
        }
        if !self.quorum {
            self.warnings.push("there is no quorum: nothing can be written".into());
        }
        let unwell: Vec<_> = self.members.iter().filter(|member| member.healthy == Some(false)).collect();
        if !unwell.is_empty() {
            let names: Vec<_> = unwell.iter().map(|member| member.name.as_str()).collect();
            self.warnings.push(format!("not well: {}", names.join(", ")));
        }
        match self.voters {
            0 => {}
            1 => self.warnings.push(
                "a single server: its loss is the loss of the registry; run 3 or 5 in production".into(),
            ),
            even if even % 2 == 0 => self.warnings.push(format!(
                "an even number of servers ({even}) survives no more failures than {}; run an odd number",
                even - 1
            )),
            _ => {}
        }
        self
    }
}

pub(crate) fn milliseconds(took: Duration) -> f64 {
    // Microseconds are as fine as it means anything.
    (took.as_secs_f64() * 1e6).round() / 1e3
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(voters: usize, change: impl Fn(&mut Status)) -> Status {
        let member = |n: usize| Member { name: format!("n{n}"), voter: true, ..Member::default() };
        let mut status = Status {
            leader: Some("n0".into()),
            quorum: true,
            members: (0..voters).map(member).collect(),
            ..Status::default()
        };
        change(&mut status);
        status.conclude(Vec::new())
    }

    #[test]
    fn odd_clusters_are_fine() {
        for (voters, tolerance) in [(3, 1), (5, 2)] {
            let status = of(voters, |_| {});
            assert_eq!((status.warnings.len(), status.tolerance), (0, tolerance));
        }
    }

    #[test]
    fn what_should_be_looked_at_is_said() {
        assert!(of(1, |_| {}).warnings[0].contains("single server"));
        let even = of(4, |_| {});
        assert!(even.warnings[0].contains("even number") && even.tolerance == 1, "{even:?}");
        assert!(of(3, |status| status.leader = None).warnings[0].contains("no leader"));
        assert!(of(3, |status| status.quorum = false).warnings[0].contains("no quorum"));
        assert!(of(3, |status| status.members[1].healthy = Some(false)).warnings[0].contains("n1"));
        // A learner does not vote.
        assert_eq!(of(4, |status| status.members[3].voter = false).warnings, Vec::<String>::new());
    }
}
