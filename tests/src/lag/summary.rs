//! What the changes of one run say together.

use std::fmt::{self, Display};

use super::{Change, Load};

/// Nearest-rank percentiles, in nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Spread {
    /// The median.
    pub p50: i64,
    /// The 90th percentile.
    pub p90: i64,
    /// The 99th percentile.
    pub p99: i64,
    /// The greatest.
    pub max: i64,
}

impl Spread {
    /// Of any figures; zeros of none.
    pub fn of(figures: impl IntoIterator<Item = i64>) -> Self {
        let mut figures: Vec<i64> = figures.into_iter().collect();
        figures.sort_unstable();
        let rank = |percent: usize| {
            let rank = (figures.len() * percent).div_ceil(100).max(1);
            figures.get(rank - 1).copied().unwrap_or(0)
        };
        Spread { p50: rank(50), p90: rank(90), p99: rank(99), max: rank(100) }
    }
}

impl Display for Spread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for figure in [self.p50, self.p90, self.p99, self.max] {
            write!(f, "{:>9.3}", ms(figure))?;
        }
        Ok(())
    }
}

/// All spreads of one run; it prints as a table in ms.
#[derive(Clone, Debug)]
pub struct Summary {
    /// How many changes.
    pub changes: usize,
    /// Write sent to write answered.
    pub answered: Spread,
    /// Write sent to the bare watch's parsed address.
    pub bare: Spread,
    /// Write sent to `resolve()`.
    pub resolved: Spread,
    /// `resolve()` after the bare watch, change by change.
    pub difference: Spread,
    /// The second bare watch after the first, either way round, where there was one.
    pub control: Option<Spread>,
    /// `resolve()` after the bare watch, either way round: to be held against [`Summary::control`].
    pub apart: Spread,
    /// From the last poll that gave the old address to the first that gave the new one: by so much at most, what
    /// `resolved` says is later than the publication.
    pub poll: Spread,
    /// What the agent's thread ran for each change.
    pub agent_ran: Spread,
    /// What the agent's thread waited for a core, for each change.
    pub agent_waited: Spread,
    outliers: Vec<Change>,
}

/// Beyond this, in any of its times, a change is shown by itself. Nanoseconds.
const OUTLIER: u64 = 10_000_000;

impl Summary {
    /// Of one run's changes.
    pub fn of(changes: &[Change]) -> Self {
        let spread = |figure: fn(&Change) -> i64| Spread::of(changes.iter().map(figure));
        Summary {
            changes: changes.len(),
            answered: spread(|c| since(c.sent, c.answered)),
            bare: spread(|c| since(c.sent, c.bare)),
            resolved: spread(|c| since(c.sent, c.resolved)),
            difference: spread(Change::difference),
            control: changes
                .iter()
                .map(|c| Some(since(c.bare, c.control?).abs()))
                .collect::<Option<Vec<_>>>()
                .map(Spread::of),
            apart: spread(|c| c.difference().abs()),
            poll: spread(|c| since(c.polled_before, c.resolved)),
            agent_ran: spread(|c| c.agent.ran as i64),
            agent_waited: spread(|c| c.agent.waited as i64),
            outliers: changes.iter().filter(|c| is_outlier(c)).copied().collect(),
        }
    }
}

fn is_outlier(change: &Change) -> bool {
    [change.answered, change.bare, change.resolved].iter().any(|at| at.saturating_sub(change.sent) > OUTLIER)
}

impl Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} changes, each seen by both, in order", self.changes)?;
        writeln!(f, "  {:<44}{:>9}{:>9}{:>9}{:>9}", "ms", "p50", "p90", "p99", "max")?;
        for (what, spread) in [
            ("write sent -> write answered", self.answered),
            ("write sent -> bare watch", self.bare),
            ("write sent -> resolve()", self.resolved),
            ("resolve() - bare watch, paired", self.difference),
            ("  of it, between two polls, at most", self.poll),
            ("agent's thread ran, per change", self.agent_ran),
            ("agent's thread waited for a core", self.agent_waited),
        ] {
            writeln!(f, "  {what:<44}{spread}")?;
        }
        if let Some(control) = self.control {
            writeln!(f, "  {:<44}{}", "resolve() and bare watch apart, either way", self.apart)?;
            writeln!(f, "  {:<44}{control}", "two bare watches apart, either way (control)")?;
        }
        writeln!(f, "  over 10 ms: {}", self.outliers.len())?;
        for change in &self.outliers {
            let Change { number, sent, answered, bare, resolved, polled_before, .. } = *change;
            let since = |at| ms(since(sent, at));
            writeln!(
                f,
                "    change {number}: after the write was sent, answered {:.3}, bare watch {:.3}, last poll without it \
                 {:.3}, resolve() {:.3}; {}, {}, {}",
                since(answered),
                since(bare),
                since(polled_before),
                since(resolved),
                load("agent", change.agent),
                load("bare watch", change.bare_load),
                load("reader", change.reader_load),
            )?;
        }
        Ok(())
    }
}

fn load(name: &str, load: Load) -> String {
    format!("{name} ran {:.3} waited {:.3}", ms(load.ran as i64), ms(load.waited as i64))
}

fn since(start: u64, end: u64) -> i64 {
    end as i64 - start as i64
}

fn ms(nanoseconds: i64) -> f64 {
    nanoseconds as f64 / 1e6
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_by_nearest_rank() {
        let spread = Spread::of((1..=1000).rev());
        assert_eq!(spread, Spread { p50: 500, p90: 900, p99: 990, max: 1000 });
        assert_eq!(Spread::of([7]), Spread { p50: 7, p90: 7, p99: 7, max: 7 });
        assert_eq!(Spread::of([]).max, 0);
    }

    #[test]
    fn a_change_is_an_outlier_by_any_of_its_times() {
        let change = |answered, bare, resolved| Change {
            number: 1,
            sent: 1_000,
            answered: 1_000 + answered,
            bare: 1_000 + bare,
            resolved: 1_000 + resolved,
            control: None,
            polled_before: 1_000,
            agent: Load::default(),
            bare_load: Load::default(),
            reader_load: Load::default(),
        };
        let late = OUTLIER + 1;
        let all = [change(1, 2, 3), change(1, 2, late), change(1, late, late), change(late, 1, 1)];
        let summary = Summary::of(&all);
        assert_eq!(summary.outliers.len(), 3);
        assert_eq!(summary.difference.max, OUTLIER as i64 - 1);
        assert_eq!(summary.to_string().matches("change 1:").count(), 3);
    }
}
