//! How soon all was in step again, over several repeats.

use std::collections::BTreeMap;
use std::fmt::{self, Display};
use std::time::Duration;

/// The median after a heal may be this, and the longest.
const TARGET: (Duration, Duration) = (Duration::from_secs(5), Duration::from_secs(15));

/// Times by what they are of; prints as a table.
#[derive(Clone, Debug, Default)]
pub struct Recoveries(BTreeMap<(String, bool), Vec<Duration>>);

impl Recoveries {
    /// From a heal until all was in step: the targets hold for these.
    pub fn healed(&mut self, what: impl Into<String>, took: Duration) {
        self.0.entry((what.into(), true)).or_default().push(took);
    }

    /// From a fault on, the registry's own outage with it: said, and not judged.
    pub fn struck(&mut self, what: impl Into<String>, took: Duration) {
        self.0.entry((what.into(), false)).or_default().push(took);
    }

    /// Takes in what another run found.
    pub fn extend(&mut self, other: Recoveries) {
        for (what, times) in other.0 {
            self.0.entry(what).or_default().extend(times);
        }
    }

    /// Whether all targets are met.
    pub fn met(&self) -> bool {
        self.0.iter().all(|((_, judged), times)| !judged || within(times))
    }
}

fn sorted(times: &[Duration]) -> Vec<Duration> {
    let mut times = times.to_vec();
    times.sort_unstable();
    times
}

fn median(times: &[Duration]) -> Duration {
    sorted(times).get(times.len().saturating_sub(1) / 2).copied().unwrap_or_default()
}

fn longest(times: &[Duration]) -> Duration {
    times.iter().max().copied().unwrap_or_default()
}

fn within(times: &[Duration]) -> bool {
    median(times) <= TARGET.0 && longest(times) <= TARGET.1
}

impl Display for Recoveries {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{:<70}{:>6}{:>10}{:>10}", "in step again after, in s", "times", "median", "longest")?;
        for ((what, judged), times) in &self.0 {
            let (median, longest) = (median(times).as_secs_f64(), longest(times).as_secs_f64());
            let verdict = match (judged, within(times)) {
                (false, _) => "",
                (true, true) => "  met",
                (true, false) => "  MISSED",
            };
            writeln!(f, "{what:<70}{:>6}{median:>10.3}{longest:>10.3}{verdict}", times.len())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_are_of_the_median_and_of_the_longest_after_a_heal() {
        let of = |seconds: &[u64]| {
            let mut all = Recoveries::default();
            seconds.iter().for_each(|s| all.healed("x", Duration::from_secs(*s)));
            all.struck("y", Duration::from_secs(100));
            all
        };
        assert!(of(&[1, 5, 15]).met());
        assert!(!of(&[6, 6, 6]).met(), "the median");
        assert!(!of(&[1, 1, 16]).met(), "the longest");
        assert!(of(&[6]).to_string().contains("MISSED"));
    }
}
