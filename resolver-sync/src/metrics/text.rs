//! Prometheus's text format 0.0.4, as far as it is needed: counters, gauges and one histogram.

use std::fmt::Write;

/// A page of metrics that grows family by family.
#[derive(Debug, Default)]
pub(super) struct Page(String);

impl Page {
    /// A metric without labels.
    pub(super) fn one(&mut self, kind: &str, name: &str, help: &str, value: f64) {
        self.family(kind, name, help, [(Vec::new(), value)]);
    }

    /// A metric with labels; where there is no sample, there is no family.
    pub(super) fn family<'l>(
        &mut self,
        kind: &str,
        name: &str,
        help: &str,
        samples: impl IntoIterator<Item = (Vec<(&'static str, &'l str)>, f64)>,
    ) {
        let mut samples = samples.into_iter().peekable();
        if samples.peek().is_none() {
            return;
        }
        self.head(kind, name, help);
        for (labels, value) in samples {
            self.sample(name, &labels, value);
        }
    }

    /// A histogram: how many values were at most each bound (not yet summed up), how many there were, and their sum.
    pub(super) fn histogram(&mut self, name: &str, help: &str, buckets: &[(f64, u64)], over: u64, sum: f64) {
        self.head("histogram", name, help);
        let mut count = 0;
        for (bound, values) in buckets {
            count += values;
            self.sample(&format!("{name}_bucket"), &[("le", &bound.to_string())], count as f64);
        }
        count += over;
        self.sample(&format!("{name}_bucket"), &[("le", "+Inf")], count as f64);
        self.sample(&format!("{name}_sum"), &[], sum);
        self.sample(&format!("{name}_count"), &[], count as f64);
    }

    pub(super) fn into_text(self) -> String {
        self.0
    }

    fn head(&mut self, kind: &str, name: &str, help: &str) {
        // A string takes whatever is written to it.
        let _ = write!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}\n");
    }

    fn sample(&mut self, name: &str, labels: &[(&str, &str)], value: f64) {
        self.0.push_str(name);
        for (place, (label, text)) in labels.iter().enumerate() {
            let open = if place == 0 { '{' } else { ',' };
            let _ = write!(self.0, "{open}{label}=\"{}\"", escaped(text));
        }
        if !labels.is_empty() {
            self.0.push('}');
        }
        let _ = writeln!(self.0, " {value}");
    }
}

fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_format_to_the_letter() {
        let mut page = Page::default();
        page.one("counter", "a_total", "What it counts.", 3.0);
        page.family("gauge", "b", "With labels.", [(vec![("source", "x\"\\\n"), ("state", "y")], 0.25)]);
        page.family("gauge", "none", "Nothing.", []);
        page.histogram("c_seconds", "Times.", &[(0.001, 2), (0.01, 1)], 1, 1.5);
        assert_eq!(
            page.into_text(),
            "# HELP a_total What it counts.\n# TYPE a_total counter\na_total 3\n\
             # HELP b With labels.\n# TYPE b gauge\nb{source=\"x\\\"\\\\\\n\",state=\"y\"} 0.25\n\
             # HELP c_seconds Times.\n# TYPE c_seconds histogram\nc_seconds_bucket{le=\"0.001\"} 2\n\
             c_seconds_bucket{le=\"0.01\"} 3\nc_seconds_bucket{le=\"+Inf\"} 4\nc_seconds_sum 1.5\nc_seconds_count 4\n"
        );
    }
}
