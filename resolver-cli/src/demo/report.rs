//! What the demo found, for people and as JSON.

use std::fmt::Write;

use hdrhistogram::Histogram;
use serde::Serialize;

use super::cores::Cores;
use super::lookups::{BATCH, Findings};
use super::oracle::SERVICES;

/// Every figure of a run, with its unit in its name.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Summary {
    /// How long the reader read.
    pub(crate) seconds: f64,
    pub(crate) sync_core: Option<usize>,
    pub(crate) reader_core: Option<usize>,
    pub(crate) services: usize,
    pub(crate) lookups: u64,
    /// All lookups over all the time, with the oracle's work and the clock's in it.
    pub(crate) reads_per_second: u64,
    /// Of all lookups in batches, with whatever interrupted them.
    pub(crate) resolve_ns_mean_batched: f64,
    /// In the median batch, which hardly anything interrupted.
    pub(crate) resolve_ns_median_batch: f64,
    pub(crate) batched_lookups: u64,
    pub(crate) batch_lookups: usize,
    /// One lookup between two reads of the clock, less what two reads cost.
    pub(crate) latency_ns: Latency,
    /// Two reads of the clock with nothing between, less the same.
    pub(crate) clock_alone_ns: Latency,
    /// Changes made in the registry.
    pub(crate) registry_changes: u64,
    /// Sets published. A service that changed again before its turn came is published once.
    pub(crate) changes_applied: u64,
    /// Batches that they were published in.
    pub(crate) publications: u64,
    /// New sets that came into the reader's sight.
    pub(crate) changes_seen: u64,
    /// Records that the oracle judged: lookups, and endpoints of sets that were walked.
    pub(crate) records_checked: u64,
    pub(crate) torn_reads: u64,
    pub(crate) back_in_time: u64,
    /// Lookups that found no service where there is one.
    pub(crate) lost_names: u64,
    pub(crate) empty_answers: u64,
    pub(crate) busy_answers: u64,
    /// On the reader's thread, from its first lookup to its last.
    pub(crate) allocations: u64,
    /// What the counter made of one allocation on purpose: 1, or its 0 means nothing.
    pub(crate) planted_allocations_counted: u64,
    /// Services that the table had as the registry had them, when that had come to rest.
    pub(crate) services_in_step: usize,
}

#[derive(Debug, Default, Serialize)]
pub(crate) struct Latency {
    p50: u64,
    p99: u64,
    p99_9: u64,
    max: u64,
    samples: u64,
    clock_overhead_subtracted_ns: u64,
    /// The clock's own step, as the differences show it; 1 where it is too fine to tell.
    clock_step_ns: u64,
}

/// What happened on the publishing side during a run.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Published {
    pub(crate) registry_changes: u64,
    pub(crate) sets: u64,
    pub(crate) batches: u64,
    pub(crate) services_in_step: usize,
}

impl Summary {
    pub(crate) fn new(cores: Cores, found: &Findings, published: Published) -> Self {
        let seconds = found.elapsed.as_secs_f64();
        let tally = found.tally;
        Summary {
            seconds: (seconds * 1e3).round() / 1e3,
            sync_core: cores.sync,
            reader_core: cores.reader,
            services: SERVICES,
            lookups: found.lookups,
            reads_per_second: (found.lookups as f64 / seconds) as u64,
            resolve_ns_mean_batched: mean(found.batched_ns, found.batched),
            resolve_ns_median_batch: mean(found.batches.value_at_quantile(0.5), BATCH as u64),
            batched_lookups: found.batched,
            batch_lookups: BATCH,
            latency_ns: Latency::of(&found.single, &found.nothing),
            clock_alone_ns: Latency::of(&found.nothing, &found.nothing),
            registry_changes: published.registry_changes,
            changes_applied: published.sets,
            publications: published.batches,
            changes_seen: tally.changes,
            records_checked: tally.checked,
            torn_reads: tally.torn,
            back_in_time: tally.back,
            lost_names: tally.gone,
            empty_answers: tally.empty,
            busy_answers: tally.busy,
            allocations: found.allocations,
            planted_allocations_counted: found.planted_allocations,
            services_in_step: published.services_in_step,
        }
    }

    /// What must not be, in words.
    pub(crate) fn faults(&self) -> Vec<String> {
        let mut faults = Vec::new();
        let mut check = |is_bad: bool, what: String| {
            if is_bad {
                faults.push(what);
            }
        };
        check(self.torn_reads > 0, format!("{} torn reads", self.torn_reads));
        check(self.back_in_time > 0, format!("{} reads went back in time", self.back_in_time));
        check(
            self.lost_names > 0,
            format!("{} lookups found no service where there is one", self.lost_names),
        );
        check(self.allocations > 0, format!("{} allocations on the reader's thread", self.allocations));
        check(
            self.planted_allocations_counted != 1,
            format!(
                "the allocation counter saw {} of 1 planted allocation",
                self.planted_allocations_counted
            ),
        );
        check(self.lookups == 0, "the reader made no lookup".into());
        check(self.changes_applied == 0, "no change reached the table".into());
        check(self.changes_seen == 0, "no change reached the reader".into());
        check(
            self.services_in_step != self.services,
            format!(
                "only {} of {} services are in the table as the registry has them",
                self.services_in_step, self.services
            ),
        );
        faults
    }

    /// The summary in lines.
    pub(crate) fn text(&self) -> String {
        let count = |value: u64| format!("{:>15}", grouped(value));
        let (single, alone) = (&self.latency_ns, &self.clock_alone_ns);
        let mut lines = vec![
            format!("after {:.1} s", self.seconds),
            String::new(),
            format!(
                "  lookups        {}  {} a second by one thread, its checks and clock reads included",
                count(self.lookups),
                short(self.reads_per_second)
            ),
            format!(
                "  ns/resolve     {:>15.2}  in the median batch; mean {:.2}. A batch is {} lookups between two",
                self.resolve_ns_median_batch,
                self.resolve_ns_mean_batched,
                grouped(self.batch_lookups as u64)
            ),
            format!(
                "{:34}clock reads, over {} services; they overlap in the core, as yours would",
                "", self.services
            ),
            format!("  registry       {}  changes", count(self.registry_changes)),
            format!(
                "  table          {}  of them applied, in {} publications",
                count(self.changes_applied),
                grouped(self.publications)
            ),
            format!(
                "  reader         {}  of them seen, before another took their place",
                count(self.changes_seen)
            ),
            String::new(),
            "  latency, ns            p50       p99     p99.9         max       samples".into(),
            format!("    one resolve(){}", single.row()),
            format!("    clock alone  {}", alone.row()),
            format!(
                "    One call between two clock reads, less {} ns: the median of two reads with nothing between,",
                single.clock_overhead_subtracted_ns
            ),
            "    taken by turns. What \"clock alone\" shows too is the machine (interrupts, other programs)."
                .into(),
        ];
        if single.clock_step_ns > 1 {
            lines.push(format!(
                "    This machine's clock steps by {} ns: no single time is finer than that, batches are.",
                single.clock_step_ns
            ));
        }
        lines.extend([
            String::new(),
            format!(
                "  torn reads     {}  in {} records checked (every lookup outside the timed batches, and sets)",
                count(self.torn_reads),
                grouped(self.records_checked)
            ),
            format!("  back in time   {}  by the generation of each service", count(self.back_in_time)),
            format!(
                "  allocations    {}  on the reader's thread; the counter saw {} of 1 planted before",
                count(self.allocations),
                self.planted_allocations_counted
            ),
            format!(
                "  in step        {:>15}  services, when the registry came to rest",
                format!("{} of {}", self.services_in_step, self.services)
            ),
        ]);
        lines.join("\n")
    }
}

impl Latency {
    /// `nothing` are the differences of two reads with nothing between.
    fn of(histogram: &Histogram<u64>, nothing: &Histogram<u64>) -> Self {
        let overhead = nothing.value_at_quantile(0.5);
        let at = |quantile| histogram.value_at_quantile(quantile).saturating_sub(overhead);
        Latency {
            p50: at(0.5),
            p99: at(0.99),
            p99_9: at(0.999),
            max: histogram.max().saturating_sub(overhead),
            samples: histogram.len(),
            clock_overhead_subtracted_ns: overhead,
            clock_step_ns: step(nothing),
        }
    }

    fn row(&self) -> String {
        let mut row = String::new();
        for (value, width) in
            [(self.p50, 10), (self.p99, 10), (self.p99_9, 10), (self.max, 12), (self.samples, 14)]
        {
            // Writing to a string cannot fail.
            let _ = write!(row, "{:>width$}", grouped(value));
        }
        row
    }
}

/// The step of a clock, by the differences that it gave: the least distance between those that are frequent. Two next
/// to each other are one that was rounded to whole ns; where there are three, the clock is finer than that.
fn step(differences: &Histogram<u64>) -> u64 {
    let frequent = differences.iter_recorded().filter(|at| at.count_at_value() > differences.len() / 10_000);
    let frequent: Vec<u64> = frequent.map(|at| at.value_iterated_to()).collect();
    if frequent.windows(3).any(|near| near[2] - near[0] == 2) {
        return 1;
    }
    let steps: Vec<u64> =
        frequent.iter().copied().filter(|ns| !frequent.contains(&ns.wrapping_sub(1))).collect();
    steps.windows(2).map(|near| near[1] - near[0]).min().unwrap_or(1)
}

/// Nanoseconds for each of `count`, to three digits; 0 where there is none.
pub(crate) fn mean(ns: u64, count: u64) -> f64 {
    if count == 0 { 0.0 } else { (ns as f64 / count as f64 * 1e3).round() / 1e3 }
}

/// With a comma after each third digit.
pub(crate) fn grouped(value: u64) -> String {
    let digits = value.to_string();
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// In millions, or as it is where there are few.
pub(crate) fn short(value: u64) -> String {
    if value < 10_000_000 { grouped(value) } else { format!("{} million", grouped(value / 1_000_000)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_grouped() {
        assert_eq!(["0", "999", "1,000", "12,345,678"], [0, 999, 1000, 12_345_678].map(grouped)[..]);
        assert_eq!((short(9_999_999), short(295_600_000)), ("9,999,999".into(), "295 million".into()));
    }

    #[test]
    fn each_thing_that_must_not_be_is_a_fault() {
        let good = || Summary {
            services: SERVICES,
            services_in_step: SERVICES,
            lookups: 1,
            changes_applied: 1,
            changes_seen: 1,
            planted_allocations_counted: 1,
            ..Summary::default()
        };
        assert!(good().faults().is_empty());
        let bad = [
            Summary { torn_reads: 1, ..good() },
            Summary { back_in_time: 1, ..good() },
            Summary { lost_names: 1, ..good() },
            Summary { allocations: 1, ..good() },
            Summary { planted_allocations_counted: 0, ..good() },
            Summary { lookups: 0, ..good() },
            Summary { changes_applied: 0, ..good() },
            Summary { changes_seen: 0, ..good() },
            Summary { services_in_step: 15, ..good() },
        ];
        for summary in bad {
            assert_eq!(summary.faults().len(), 1, "{summary:?}");
        }
    }

    fn of(values: &[u64]) -> Histogram<u64> {
        let mut histogram = Histogram::new_with_bounds(1, 1_000_000, 2).expect("good bounds");
        values.iter().for_each(|ns| histogram.saturating_record(*ns));
        histogram
    }

    #[test]
    fn what_the_clock_costs_is_subtracted() {
        let histogram = of(&(20..=119).collect::<Vec<_>>());
        let latency = Latency::of(&histogram, &of(&[30, 30, 30, 31]));
        assert_eq!((latency.p50, latency.p99, latency.max, latency.samples), (39, 88, 89, 100));
        assert_eq!(Latency::of(&histogram, &of(&[1000])).max, 0);
    }

    #[test]
    fn the_clocks_step_shows_in_the_differences() {
        assert_eq!(step(&of(&[20, 21, 30, 31, 40])), 10);
        assert_eq!(step(&of(&[41, 42, 83])), 42);
        assert_eq!(step(&of(&[20, 21, 22, 30])), 1);
        assert_eq!(step(&of(&[25])), 1);
    }
}
