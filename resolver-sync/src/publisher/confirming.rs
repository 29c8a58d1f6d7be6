//! Second reads: of what looks like an outage, before it is believed.

use std::time::{Duration, Instant};

use resolver_core::{Counter, Reason};

use super::Publisher;
use crate::guard::Verdict;
use crate::record::ServiceSet;
use crate::source::Fault;

/// Second reads under way at one time, over all sources.
const CONFIRMATIONS: usize = 8;
/// How long a second read may take.
const CONFIRM_DEADLINE: Duration = Duration::from_secs(5);

/// A second read that has ended.
pub(super) struct Confirmed {
    source: usize,
    service: String,
    answer: Result<ServiceSet, Fault>,
}

impl Publisher<'_> {
    pub(super) fn confirmed(&mut self, confirmed: Confirmed) {
        let Confirmed { source, service, answer } = confirmed;
        self.ledger.confirmed(answer.is_ok());
        if let Err(fault) = &answer {
            let (source, reason) = (self.sources[source].name(), fault.reason.name());
            tracing::warn!(source, service, reason, "the last good set stands: {}", fault.detail);
        }
        let now = Instant::now();
        match self.sources[source].confirmed(&service, answer, now) {
            Verdict::Publish(set) => self.publish(source, vec![(service, set)]),
            Verdict::Confirm => self.confirm(source, service),
            Verdict::Keep => {}
        }
        self.confirm_next();
        self.restate(source, now);
    }

    pub(super) fn confirm(&mut self, index: usize, service: String) {
        self.ledger.count(Counter::Confirmations, 1);
        self.to_confirm.push_back((index, service));
        self.confirm_next();
    }

    /// Starts the second reads that wait, as far as there is room: an incident that touches every service at once must
    /// not become a storm of requests.
    fn confirm_next(&mut self) {
        while self.confirming.len() < CONFIRMATIONS
            && let Some((index, service)) = self.to_confirm.pop_front()
        {
            self.start_confirmation(index, service);
        }
    }

    fn start_confirmation(&mut self, index: usize, service: String) {
        let source = self.sources[index].source();
        self.confirming.push(Box::pin(async move {
            let answer = tokio::time::timeout(CONFIRM_DEADLINE, source.confirm(&service)).await;
            let answer = answer.unwrap_or_else(|_| {
                let detail = format!("a second read got no answer within {} s", CONFIRM_DEADLINE.as_secs());
                Err(Fault::new(Reason::Unreachable, detail))
            });
            Confirmed { source: index, service, answer }
        }));
    }
}
